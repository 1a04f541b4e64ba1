"""Small tokenizers in Hugging Face's files, one of each kind that models use.

Each function returns (tokenizers.Tokenizer, special tokens by role, entries
for tokenizer_config.json).  Vocabularies are learned from the paragraph of
tiny_vocabulary.py and a few words in other scripts; the folders that hold
them are committed, so that a later version of a trainer changes nothing.
"""

import io
import tempfile
from collections import Counter
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,
                        normalizers, pre_tokenizers, processors)

import tiny_vocabulary
import tokenizer_recipes

WORDS = ["Café", "naïve", "Ünïcode", "données", "модель", "база", "数据库",
         "answer!", "x=3.14", "(index)", "it's", "42,", "\u00bd", "memory-"]
LINES = [line for line in tiny_vocabulary.TEXT.split("\n") if line] * 4
LINES += [" ".join(WORDS)] * 2
LICENCE = "/usr/share/common-licenses/GPL-3"    # more English, for Unigram

# Replacements of the Unigram tokenizer's normaliser: a few of NFKC's.
CHARSMAP = {
    "\ufb01": "fi", "\ufb02": "fl", "\u00bd": "1\u20442", "\u2026": "...",
    "\u3000": " ", "\u00a0": " ", "\u202f": " ", "\t": " ", "\n": " ",
    "\uff01": "!", "\uff0c": ",", "\uff1f": "?", "e\u0301": "\u00e9",
    "u\u0308": "\u00fc", "\u2122": "TM", "\u00b2": "2", "\u200b": "",
    **{chr(0xff10 + i): chr(0x30 + i) for i in range(10)},
    **{chr(0xff21 + i): chr(0x41 + i) for i in range(26)},
    **{chr(0xff41 + i): chr(0x61 + i) for i in range(26)},
}


def template(single, pair, ids):
    return processors.TemplateProcessing(single=single, pair=pair,
                                         special_tokens=list(ids.items()))


def pick(tokenizer, *tokens):
    return {token: tokenizer.token_to_id(token) for token in tokens}


def word_pieces(tokenizer, special, size):
    """Every character, then the parts of words that occur most."""
    characters, parts = set(), Counter()
    for line in LINES:
        line = tokenizer.normalizer.normalize_str(line)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(line):
            for i in range(len(word)):
                for j in range(i + 1, len(word) + 1):
                    part = ("##" if i else "") + word[i:j]
                    parts[part] += j - i - 1
                    if j == i + 1:
                        characters.add(part)
    chosen = special + sorted(characters)
    best = sorted(parts, key=lambda part: (-parts[part], part))
    chosen += [part for part in best if part not in characters]
    return chosen[:size]


def word_piece(lowercase=True, size=220):
    """BERT's: [PAD] [UNK] [CLS] [SEP] [MASK] are ids 0 to 4."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None,
        lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces = word_pieces(tokenizer, special, size)
    tokenizer.model = models.WordPiece(
        {piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]",
        max_input_chars_per_word=100)
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in special])
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = template(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1",
        pick(tokenizer, "[CLS]", "[SEP]"))
    roles = dict(unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]",
                 cls_token="[CLS]", mask_token="[MASK]")
    return tokenizer, roles, {
        "do_lower_case": lowercase, "strip_accents": None,
        "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer"}


def byte_bpe(before, after, merges, **options):
    """Byte tokens and merges between two groups of special tokens."""
    pairs = tiny_vocabulary.learn_merges(count=merges)
    tokens = (before + list(tiny_vocabulary.byte_characters().values()) +
              [a + b for a, b in pairs])
    tokenizer = Tokenizer(models.BPE(
        {token: i for i, token in enumerate(tokens)}, pairs, **options))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True,
                    lstrip=t in ("<mask>", "[MASK]"))
         for t in before + after])
    return tokenizer


def roberta():
    tokenizer = byte_bpe(["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"], 20)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    roles = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                 sep_token="</s>", pad_token="<pad>", cls_token="<s>",
                 mask_token="<mask>")
    return tokenizer, roles, {"add_prefix_space": False, "trim_offsets": True,
                              "tokenizer_class": "RobertaTokenizer"}


def modern_bert():
    """Special tokens behind the vocabulary, normalised to NFC."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokenizer = byte_bpe([], special, 20)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, trim_offsets=True)
    tokenizer.post_processor = template(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]",
        pick(tokenizer, "[CLS]", "[SEP]"))
    roles = dict(unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]",
                 cls_token="[CLS]", mask_token="[MASK]")
    return tokenizer, roles, {"tokenizer_class": "PreTrainedTokenizerFast"}


def gpt2():
    tokenizer = byte_bpe([], ["<|endoftext|>"], 24)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    end = "<|endoftext|>"
    return tokenizer, dict(bos_token=end, eos_token=end, unk_token=end), {
        "add_prefix_space": False, "tokenizer_class": "GPT2Tokenizer"}


def split_then_bytes(pre):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(tokenizer_recipes.SPLITS[pre][0]),
                             "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False,
                                 use_regex=False)])


LLAMA_CHAT = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}"
    "{% endif %}{{ '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


def llama3():
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
               "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = byte_bpe([], special, 30, ignore_merges=True)
    tokenizer.pre_tokenizer = split_then_bytes("llama-bpe")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        template("<|begin_of_text|> $A",
                 "<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                 pick(tokenizer, "<|begin_of_text|>"))])
    return tokenizer, dict(bos_token="<|begin_of_text|>",
                           eos_token="<|eot_id|>"), {
        "chat_template": LLAMA_CHAT,
        "tokenizer_class": "PreTrainedTokenizerFast"}


def qwen(end_of_embedding=False):
    """Qwen2's; Qwen3-Embedding's puts <|endoftext|> behind every text."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = byte_bpe([], special, 30)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split_then_bytes("qwen2")
    steps = [processors.ByteLevel(add_prefix_space=False, trim_offsets=False,
                                  use_regex=False)]
    if end_of_embedding:
        steps.append(template("$A <|endoftext|>",
                              "$A $B <|endoftext|>",
                              pick(tokenizer, "<|endoftext|>")))
    tokenizer.post_processor = (processors.Sequence(steps)
                                if end_of_embedding else steps[0])
    return tokenizer, dict(eos_token="<|im_end|>" if not end_of_embedding
                           else "<|endoftext|>",
                           pad_token="<|endoftext|>"), {
        "add_bos_token": False, "chat_template": tiny_vocabulary.CHATML,
        "tokenizer_class": "Qwen2Tokenizer"}


def sentencepiece_of(lines, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, num_threads=1,
        minloglevel=2, **options)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(out.getvalue())
    return proto


def unigram(size=240):
    """XLM-RoBERTa's: <s> <pad> </s> <unk>, the pieces, <mask>."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        for source, target in sorted(CHARSMAP.items()):
            rules.write(" ".join(f"{ord(c):X}" for c in source) + "\t" +
                        " ".join(f"{ord(c):X}" for c in target) + "\n")
        rules.flush()
        proto = sentencepiece_of(
            LINES * 4 + Path(LICENCE).read_text().splitlines(),
            model_type="unigram", vocab_size=size, character_coverage=1.0,
            normalization_rule_tsv=rules.name, hard_vocab_limit=False)
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece.piece, piece.score) for piece in proto.pieces
                   if piece.type == 1]
    vocabulary.append(("<mask>", 0.0))
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3,
                                         byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(
        proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Metaspace("\u2581", prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace("\u2581", prepend_scheme="always")
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False, special=True, lstrip=t == "<mask>")
         for t in special])
    tokenizer.post_processor = template(
        "<s> $A </s>", "<s> $A </s> </s> $B </s>",
        pick(tokenizer, "<s>", "</s>"))
    roles = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                 sep_token="</s>", pad_token="<pad>", cls_token="<s>",
                 mask_token="<mask>")
    return tokenizer, roles, {"tokenizer_class": "XLMRobertaTokenizer"}


GEMMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else "
    "message['role']) + '\n' + message['content'] | trim + '<end_of_turn>\n' "
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' "
    "}}{% endif %}")


def gemma(end=False):
    """SentencePiece BPE with byte fallback and no prefix."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>",
               "<end_of_turn>"]
    proto = sentencepiece_of(
        LINES, model_type="bpe", vocab_size=305, byte_fallback=True,
        character_coverage=0.98, normalization_rule_name="identity",
        add_dummy_prefix=False, remove_extra_whitespaces=False)
    pieces = [piece for piece in proto.pieces if piece.type == 1]
    tokens = special + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += [piece.piece for piece in pieces]
    ids = {token: i for i, token in enumerate(tokens)}
    merges = []
    for piece in pieces:
        ways = [(piece.piece[:k], piece.piece[k:])
                for k in range(1, len(piece.piece))
                if piece.piece[:k] in ids and piece.piece[k:] in ids]
        merges += sorted(ways, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(),
        decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True)
                                  for t in special])
    tail = " <eos>" if end else ""
    tokenizer.post_processor = template(
        "<bos> $A" + tail, "<bos> $A <bos>:1 $B:1",
        pick(tokenizer, "<bos>", "<eos>"))
    return tokenizer, dict(bos_token="<bos>", eos_token="<eos>",
                           pad_token="<pad>", unk_token="<unk>"), {
        "add_bos_token": True, "add_eos_token": end,
        "chat_template": GEMMA_CHAT, "tokenizer_class": "GemmaTokenizer"}
