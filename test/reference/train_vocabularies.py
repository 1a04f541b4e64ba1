"""Train the small vocabularies of the tokenizer goldens.

    python train_vocabularies.py [directory of English texts]

Writes ../data/tok-<name>.gguf: a model of one tiny layer whose point is its
tokenizer.* metadata.  The files are committed and make_tokenizer_goldens.py
starts from them, so a corpus that differs elsewhere changes nothing.
"""

import io
import sys
from pathlib import Path

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from tokenizers import (Tokenizer, models, normalizers, pre_tokenizers,
                        trainers)

import tokenizer_recipes
from nasty_strings import TEXTS, WORDPIECE_TEXTS
from tiny_vocabulary import byte_characters

DATA = Path(__file__).resolve().parent.parent / "data"
LEARNED = 1000            # tokens beside control and user-defined ones
UNIGRAM = 520             # the charsmap needs the room
WIDTH = 32

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
HEADERS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
           "<|end_header_id|>", "<|eot_id|>"]

# name: (pre, control tokens, at the front?, user-defined, bos, eos, add_bos)
BYTE_LEVEL = {
    "gpt2": ("gpt-2", ["<|endoftext|>"], False, ["==>", "=>>>", "<a>", "<a><b>"],
             "<|endoftext|>", "<|endoftext|>", False),
    "llama3": ("llama-bpe", HEADERS, False, [], "<|begin_of_text|>",
               "<|eot_id|>", True),
    "qwen2": ("qwen2", CHAT, False, ["<tool_call>", "</tool_call>"], None,
              "<|im_end|>", False),
    "smollm": ("smollm", CHAT, True, [], "<|im_start|>", "<|im_end|>", False),
}

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Tokens that no sequence of merges gives: only ignore_merges emits them.
UNREACHABLE = ["Ġunreachable", "Unreachable"]


def corpus(directory):
    texts = [(Path(directory) / name).read_text(errors="replace")
             for name in ("GPL-3", "Apache-2.0", "MPL-2.0")]
    lines = [line for text in texts for line in text.splitlines(True)]
    return lines + [t for t in TEXTS if len(set(t)) > 3] * 8


def train_byte_level(pre, lines):
    """(tokens, merges) of a byte-level BPE, byte tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = tokenizer_recipes.normalizer(pre)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [tokenizer_recipes.splitter(pre),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=LEARNED, show_progress=False,
        initial_alphabet=list(byte_characters().values())))
    vocabulary = tokenizer.get_vocab()
    merges = tokenizer_recipes.merges_of(tokenizer)
    return sorted(vocabulary, key=vocabulary.get), merges


def train_spm(lines):
    """Pieces, scores and types of a SentencePiece BPE with byte fallback."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line.rstrip("\n") for line in lines
                               if "\0" not in line),
        model_writer=out, vocab_size=LEARNED, model_type="bpe",
        byte_fallback=True, character_coverage=0.99,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, split_digits=True,
        num_threads=1, minloglevel=2)
    model = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    pieces, scores, types = [], [], []
    for i in range(model.get_piece_size()):
        pieces.append(model.id_to_piece(i))
        scores.append(model.get_score(i))
        types.append(UNKNOWN if model.is_unknown(i) else
                     CONTROL if model.is_control(i) else
                     BYTE if model.is_byte(i) else NORMAL)
    return pieces, scores, types


def train_wordpiece(lines, lowercase):
    """Tokens of a WordPiece vocabulary, special ones first.

    The trainer breaks ties at random, so every run gives another one.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        strip_accents=lowercase, lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        lines + WORDPIECE_TEXTS, trainers.WordPieceTrainer(
            vocab_size=2500, show_progress=False, special_tokens=BERT,
            limit_alphabet=1000))
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=lambda t: (
        vocabulary[t] if t in BERT else len(BERT), t.startswith("##"), t))


def train_unigram(lines, size, **options):
    """The SentencePiece model of a unigram vocabulary."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line.rstrip("\n") for line in lines
                               if "\0" not in line),
        model_writer=out, vocab_size=size, model_type="unigram",
        num_threads=1, minloglevel=2, **options)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(out.getvalue())
    return proto


def add_body(writer, rows):
    """Hyper-parameters and tensors of a llama with one small layer."""
    rng = np.random.default_rng(rows)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(rows)
    writer.add_file_type(7)
    writer.add_quantization_version(2)

    def matrix(name, n):
        values = rng.standard_normal((n, WIDTH)).astype(np.float32) * 0.3
        writer.add_tensor(name, quantize(values, GGMLQuantizationType.Q8_0),
                          raw_dtype=GGMLQuantizationType.Q8_0)

    matrix("token_embd.weight", rows)
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate",
                 "ffn_up", "ffn_down"):
        matrix(f"blk.0.{part}.weight", WIDTH)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(name + ".weight", np.ones(WIDTH, np.float32))


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_byte_level(name, lines):
    pre, control, front, user, bos, eos, add_bos = BYTE_LEVEL[name]
    learned, merges = train_byte_level(pre, lines)
    learned += [t for t in UNREACHABLE if t not in learned]
    special = control + user
    tokens = special + learned if front else learned + special
    kind = {t: CONTROL for t in control} | {t: USER_DEFINED for t in user}
    writer = GGUFWriter(DATA / f"tok-{name}.gguf", "llama")
    writer.add_name(f"tok-{name}")
    add_body(writer, len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([kind.get(t, NORMAL) for t in tokens])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    if bos:
        writer.add_bos_token_id(tokens.index(bos))
    writer.add_eos_token_id(tokens.index(eos))
    writer.add_add_bos_token(add_bos)
    finish(writer)


def write_spm(name, vocabulary, add_space_prefix):
    pieces, scores, types = vocabulary
    writer = GGUFWriter(DATA / f"tok-{name}.gguf", "llama")
    writer.add_name(f"tok-{name}")
    add_body(writer, len(pieces))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(add_space_prefix)
    finish(writer)


def write_wordpiece(name, lines, lowercase):
    """No body: a vocabulary alone.  The uncased one has no keys of ours."""
    tokens = train_wordpiece(lines, lowercase)
    control = [t for t in tokens if t in BERT]
    kind = {t: CONTROL for t in BERT} | {"[UNK]": UNKNOWN}
    texts = control + [t[2:] if t.startswith("##") else "\u2581" + t
                       for t in tokens[len(control):]]
    writer = GGUFWriter(DATA / f"tok-{name}.gguf", "bert")
    writer.add_name(f"tok-{name}")
    writer.add_tokenizer_model("bert")
    writer.add_sep_token_id(texts.index("[SEP]"))
    writer.add_unk_token_id(texts.index("[UNK]"))
    writer.add_pad_token_id(texts.index("[PAD]"))
    writer.add_mask_token_id(texts.index("[MASK]"))
    if lowercase:
        writer.add_bos_token_id(texts.index("[CLS]"))
    else:
        texts.append("<ent>")
        kind["<ent>"] = USER_DEFINED
        writer.add_uint32("tokenizer.ggml.cls_token_id",
                          texts.index("[CLS]"))
        writer.add_bool("tokenizer.llm.clean_text", False)
        writer.add_bool("tokenizer.llm.chinese_chars", False)
        writer.add_bool("tokenizer.llm.lowercase", False)
        writer.add_bool("tokenizer.llm.strip_accents", False)
        writer.add_uint32("tokenizer.llm.max_word", 50)
    writer.add_token_list(texts)
    writer.add_token_types([kind.get(t, NORMAL) for t in texts])
    finish(writer)


def start_unigram(name, tokens, scores, types):
    writer = GGUFWriter(DATA / f"tok-{name}.gguf", "llama")
    writer.add_name(f"tok-{name}")
    add_body(writer, len(tokens))
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    return writer


def write_xlmr(lines):
    """XLM-R's ids, keys and normalisation."""
    proto = train_unigram(lines, UNIGRAM, character_coverage=0.99,
                          normalization_rule_name="nmt_nfkc")
    pieces = [piece for piece in proto.pieces if piece.type == NORMAL]
    tokens = (["<s>", "<pad>", "</s>", "<unk>"] +
              [piece.piece for piece in pieces] + ["<mask>"])
    scores = [0.0] * 4 + [piece.score for piece in pieces] + [-1000.0]
    types = ([CONTROL, CONTROL, CONTROL, UNKNOWN] + [NORMAL] * len(pieces) +
             [CONTROL])
    writer = start_unigram("unigram", tokens, scores, types)
    writer.add_precompiled_charsmap(proto.normalizer_spec.precompiled_charsmap)
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_sep_token_id(2)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(1)
    writer.add_mask_token_id(len(tokens) - 1)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_sep_token(True)
    finish(writer)


def write_unigram_spm(lines):
    """T5's ids, no normalisation, bytes for unknown characters."""
    proto = train_unigram(
        lines, LEARNED, character_coverage=0.99, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, pad_id=0, eos_id=1, unk_id=2,
        bos_id=-1, user_defined_symbols=["==>", "=>>>", "<a>", "<a><b>"])
    writer = start_unigram(
        "unigram-spm", [piece.piece for piece in proto.pieces],
        [piece.score for piece in proto.pieces],
        [piece.type for piece in proto.pieces])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(False)
    finish(writer)


def main(directory="/usr/share/common-licenses"):
    lines = corpus(directory)
    for name in BYTE_LEVEL:
        write_byte_level(name, lines)
    vocabulary = train_spm(lines)
    write_spm("spm", vocabulary, True)
    write_spm("spm-no-prefix", vocabulary, False)
    write_xlmr(lines)
    write_unigram_spm(lines)
    write_wordpiece("wordpiece", lines, True)
    write_wordpiece("wordpiece-cased", lines, False)


if __name__ == "__main__":
    main(*sys.argv[1:])
