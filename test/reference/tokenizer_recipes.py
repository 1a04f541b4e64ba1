"""Hugging Face tokenizers built from the tokenizer metadata of a GGUF file.

A GGUF file names its pre-tokenizer only; SPLITS holds the regular expressions
behind the names, in the form of the models' own tokenizer.json files.  They
are applied in order, each to what the earlier ones left.
"""

import json
from types import SimpleNamespace

from gguf import GGUFReader
from sentencepiece import SentencePieceProcessor
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,
                        normalizers, pre_tokenizers, processors)

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

BERT_FLAGS = ("clean_text", "chinese_chars", "strip_accents", "lowercase")

SHORT_FORMS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
        r"|\s+(?!\S)|\s+")
LLAMA3 = (SHORT_FORMS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
WORD = r"[^\r\n\p{L}\p{N}]?"
CASED = [WORD + "[" + UPPER + "]*[" + LOWER + "]+",
         WORD + "[" + UPPER + "]+[" + LOWER + "]*"]
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HAN_AND_MORE = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# Escapes: characters that normalisation would replace.
DEEPSEEK_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ"
    "-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂ"
    "ℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-"
    "Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")

SPLITS = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "starcoder": [r"\p{N}", GPT2],
    "llama-bpe": [LLAMA3],
    "qwen2": [LLAMA3.replace("{1,3}", "")],
    "qwen35": [SHORT_FORMS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN_AND_MORE,
                       r"\p{N}"],
    "deepseek-llm": [r"[\r\n]", r"\s?[" + DEEPSEEK_LETTERS + "]+",
                     r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", HAN_AND_MORE,
                     r"\p{N}+"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
                    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
                    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "tekken": [CASED[0] + "|" + CASED[1] + r"|\p{N}" + REST],
    "gpt-4o": [CASED[0] + SHORT_FORMS + "?|" + CASED[1] + SHORT_FORMS +
               r"?|\p{N}{1,3}" + REST],
    "bloom": [r" ?[^(\s|.,!?…。，、।۔،)]+"],
    "bailingmoe": [LLAMA3.replace("{1,3}", "").replace(r"\s*[\r\n]+",
                                                       r"\s*[\r\n]")],
}


def splitter(pre):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(text), "isolated")
         for text in SPLITS[pre]])


def normalizer(pre):
    return normalizers.NFC() if pre == "qwen2" else None


def merges_of(tokenizer):
    """Pairs by rank; a list of pairs in newer files, of strings in older."""
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(m.split(" ")) if isinstance(m, str) else tuple(m)
            for m in merges]


class Vocabulary:
    """tokenizer.ggml.* of a GGUF file."""

    def __init__(self, path):
        fields = GGUFReader(path).fields

        def get(name, default=None):
            field = fields.get("tokenizer.ggml." + name)
            return default if field is None else field.contents()

        self.model, self.pre = get("model"), get("pre")
        self.tokens, self.types = get("tokens"), get("token_type")
        self.scores = get("scores")
        self.merges = [tuple(m.split(" ")) for m in get("merges", [])]
        unigram = self.model == "t5"
        self.bos = get("bos_token_id")
        self.eos = get("eos_token_id", 1 if unigram else None)
        self.unknown = get("unknown_token_id", 2 if unigram else None)
        self.add_bos = get("add_bos_token", self.model == "llama")
        self.add_eos = get("add_eos_token", unigram)
        self.add_space_prefix = get("add_space_prefix", True)
        self.trim_spaces = get("remove_extra_whitespaces", unigram)
        self.charsmap = bytes(get("precompiled_charsmap", []))
        if self.model == "bert":
            self.bos, self.eos = get("cls_token_id", self.bos), get(
                "seperator_token_id")
            self.add_bos = self.add_eos = True
        self.ours = {name: fields["tokenizer.llm." + name].contents()
                     for name in BERT_FLAGS + ("max_word",)
                     if "tokenizer.llm." + name in fields}

    def of_type(self, *kinds):
        return [t for t, kind in zip(self.tokens, self.types) if kind in kinds]


def add_tokens(tokenizer, vocabulary, parse_special):
    """Tokens that are cut out of the text before anything else."""
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False)
                          for t in vocabulary.of_type(USER_DEFINED)])
    if parse_special:
        tokenizer.add_special_tokens(
            [AddedToken(t, normalized=False, special=True)
             for t in vocabulary.of_type(CONTROL, UNKNOWN)])


def byte_level(vocabulary, parse_special):
    tokenizer = Tokenizer(models.BPE(
        {t: i for i, t in enumerate(vocabulary.tokens)}, vocabulary.merges,
        ignore_merges=vocabulary.pre in ("llama-bpe", "tekken")))
    text_normalizer = normalizer(vocabulary.pre)
    if text_normalizer:
        tokenizer.normalizer = text_normalizer
    if vocabulary.pre in ("smollm", "starcoder"):
        # as SmolLM2's tokenizer.json writes it
        steps = [pre_tokenizers.Digits(individual_digits=True),
                 pre_tokenizers.ByteLevel(add_prefix_space=False)]
    elif vocabulary.pre == "gpt-2":
        steps = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    else:
        steps = [splitter(vocabulary.pre),
                 pre_tokenizers.ByteLevel(add_prefix_space=False,
                                          use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    add_tokens(tokenizer, vocabulary, parse_special)
    return tokenizer


def spm_merges(vocabulary):
    """Every way to join two pieces into a third, the best piece first."""
    ids = {t: i for i, t in enumerate(vocabulary.tokens)}
    found = []
    for i, piece in enumerate(vocabulary.tokens):
        if vocabulary.types[i] != NORMAL:
            continue
        local = [(piece[:k], piece[k:]) for k in range(1, len(piece))
                 if piece[:k] in ids and piece[k:] in ids]
        local.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        found += [(-vocabulary.scores[i], pair) for pair in local]
    found.sort(key=lambda entry: entry[0])
    return [pair for _, pair in found]


def spm(vocabulary, parse_special):
    """Llama 2's tokenizer.json: a prefix for every stretch of text."""
    tokenizer = Tokenizer(models.BPE(
        {t: i for i, t in enumerate(vocabulary.tokens)},
        spm_merges(vocabulary), unk_token=vocabulary.tokens[0], fuse_unk=True,
        byte_fallback=True))
    steps = [normalizers.Replace(" ", "\u2581")]
    if vocabulary.add_space_prefix:
        steps.insert(0, normalizers.Prepend("\u2581"))
    tokenizer.normalizer = normalizers.Sequence(steps)
    decode = [decoders.Replace("\u2581", " "), decoders.ByteFallback(),
              decoders.Fuse()]
    if vocabulary.add_space_prefix:
        decode.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(decode)
    add_tokens(tokenizer, vocabulary, parse_special)
    return tokenizer


def wordpiece(vocabulary, parse_special):
    """BERT's tokenizer.json; an uncased one without keys of ours."""
    ids = {}
    for i, (token, kind) in enumerate(zip(vocabulary.tokens,
                                          vocabulary.types)):
        if kind == NORMAL:
            token = (token[1:] if token[0] == "\u2581" and token != "\u2581"
                     else "##" + token)
        ids[token] = i
    tokenizer = Tokenizer(models.WordPiece(
        ids, unk_token="[UNK]",
        max_input_chars_per_word=vocabulary.ours.get("max_word", 100)))
    clean, chinese, accents, lower = (vocabulary.ours.get(name, True)
                                      for name in BERT_FLAGS)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=clean, handle_chinese_chars=chinese,
        strip_accents=accents, lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    add_tokens(tokenizer, vocabulary, parse_special)
    return tokenizer


class Renumbered:
    """A tokenizer that gives added tokens the ids of the vocabulary."""

    def __init__(self, tokenizer, tokens):
        added = tokenizer.get_added_tokens_decoder()
        self.tokenizer = tokenizer
        self.ids = {i: tokens.index(token.content)
                    for i, token in added.items()}

    def encode(self, *texts, **options):
        encoding = self.tokenizer.encode(*texts, **options)
        return SimpleNamespace(ids=[self.ids.get(i, i) for i in encoding.ids])


def unigram(vocabulary, parse_special):
    """XLM-R's and T5's, or one that does what SentencePiece does.

    Hugging Face's model would find control tokens in any text: texts that do
    not occur stand in for theirs.
    """
    names = [token if kind in (NORMAL, BYTE) else f"\0{i}"
             for i, (token, kind) in enumerate(zip(vocabulary.tokens,
                                                   vocabulary.types))]
    tokenizer = Tokenizer(models.Unigram(
        list(zip(names, vocabulary.scores)), unk_id=vocabulary.unknown,
        byte_fallback=BYTE in vocabulary.types))
    if vocabulary.trim_spaces:
        tokenizer.normalizer = normalizers.Precompiled(vocabulary.charsmap)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace("\u2581", prepend_scheme="always")])
    else:
        tokenizer.normalizer = normalizers.Sequence([
            normalizers.Prepend("\u2581"),
            normalizers.Replace(" ", "\u2581")])
    add_tokens(tokenizer, vocabulary, parse_special)
    return Renumbered(tokenizer, vocabulary.tokens)


def sentencepiece_itself(vocabulary):
    """The library that such vocabularies come from, for plain text."""
    proto = sentencepiece_model_pb2.ModelProto()
    for token, score, kind in zip(vocabulary.tokens, vocabulary.scores,
                                  vocabulary.types):
        proto.pieces.add(piece=token, score=score, type=kind)
    proto.trainer_spec.model_type = (
        proto.trainer_spec.UNIGRAM if vocabulary.model == "t5" else
        proto.trainer_spec.BPE)
    proto.trainer_spec.byte_fallback = BYTE in vocabulary.types
    proto.trainer_spec.vocab_size = len(vocabulary.tokens)
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.precompiled_charsmap = vocabulary.charsmap
    proto.normalizer_spec.add_dummy_prefix = vocabulary.add_space_prefix
    proto.normalizer_spec.remove_extra_whitespaces = vocabulary.trim_spaces
    proto.normalizer_spec.escape_whitespaces = True
    return SentencePieceProcessor(model_proto=proto.SerializeToString())


def build(vocabulary, parse_special):
    make = {"llama": spm, "bert": wordpiece, "gpt2": byte_level,
            "t5": unigram}
    return make[vocabulary.model](vocabulary, parse_special)
