"""Token ids of nasty strings by Hugging Face `tokenizers`.

    python make_tokenizer_goldens.py [SmolLM2-135M-Instruct.Q4_1.gguf]

Writes ../data/tokenize-<name>.json for every ../data/tok-<name>.gguf,
../data/wordpiece-pairs.json, ../data/tokenize-smollm2.json when the real
model is given, and ../data/pretokenize.json.  SPM results, and those of the
unigram vocabulary that keeps all spaces, must also be those of the
`sentencepiece` library itself.
"""

import json
import sys
import unicodedata
from pathlib import Path

import tokenizer_recipes
from nasty_strings import (SPECIAL_TEXTS, TEXTS, UNIGRAM_TEXTS,
                           WORDPIECE_TEXTS)
from tiny_vocabulary import byte_characters

DATA = Path(__file__).resolve().parent.parent / "data"
ALL = TEXTS + SPECIAL_TEXTS
# Where sentencepiece itself cuts differently: it adds scores in float, so that
# runs of spaces tie otherwise, and user-defined tokens are pieces like others.
OTHERWISE = ["   a   b    c     ", "==>>>", "===>>>> ==> =>>>"]


def dump(path, head, cases):
    """One case a line."""
    lines = [json.dumps(case, ensure_ascii=True, separators=(",", ":"))
             for case in cases]
    path.write_text(head + ",\n".join(lines) + "\n]" +
                    ("}" if head[0] == "{" else "") + "\n")


def with_special(vocabulary, ids):
    return (([vocabulary.bos] if vocabulary.add_bos else []) + ids +
            ([vocabulary.eos] if vocabulary.add_eos else []))


def without_missing_bytes(vocabulary, text):
    """SmolLM2 has no token for some bytes; Hugging Face drops them."""
    tokens = set(vocabulary.tokens)
    missing = [byte for byte, character in byte_characters().items()
               if character not in tokens]
    kept = bytes(byte for byte in text.encode() if byte not in missing)
    return kept.decode(errors="replace")


def check_decoding(vocabulary, tokenizer, text, ids):
    """Decoding gives the text back, but for what is documented."""
    expected = text
    if vocabulary.pre == "qwen2":
        expected = unicodedata.normalize("NFC", text)
    if vocabulary.model == "gpt2":
        expected = without_missing_bytes(vocabulary, expected)
    if vocabulary.model == "llama":
        expected = text.replace("\u2581", " ")
        if expected != text and vocabulary.add_space_prefix:
            return        # which of two spaces was the prefix is lost
    if vocabulary.model in ("bert", "t5"):
        return
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    assert decoded == expected, (text, decoded)


def check_sentencepiece(vocabulary, library, text, ids):
    if "\0" in text or not text:
        return
    if vocabulary.model == "t5" and text in OTHERWISE:
        return
    assert library.encode(text) == ids, (text, ids, library.encode(text))


def cases_of(vocabulary):
    plain = tokenizer_recipes.build(vocabulary, parse_special=False)
    special = tokenizer_recipes.build(vocabulary, parse_special=True)
    library = (tokenizer_recipes.sentencepiece_itself(vocabulary)
               if vocabulary.model in ("llama", "t5") and
               not vocabulary.trim_spaces else None)
    bert = vocabulary.model == "bert"
    specials = SPECIAL_TEXTS + (WORDPIECE_TEXTS[-15:] if bert else [])
    more = {"bert": WORDPIECE_TEXTS, "t5": UNIGRAM_TEXTS}
    for number, text in enumerate(ALL + more.get(vocabulary.model, [])):
        if vocabulary.model == "t5" and "<0x0A>" in text:
            continue        # tokenizers finds byte tokens in texts
        ids = plain.encode(text, add_special_tokens=False).ids
        check_decoding(vocabulary, plain, text, ids)
        if library:
            check_sentencepiece(vocabulary, library, text, ids)
        yield {"text": text, "parse_special": False, "add_special": False,
               "ids": ids}
        if text in specials:
            parsed = special.encode(text, add_special_tokens=False).ids
            yield {"text": text, "parse_special": True, "add_special": False,
                   "ids": parsed}
        if number % 20 == 0:
            yield {"text": text, "parse_special": False, "add_special": True,
                   "ids": with_special(vocabulary, ids)}


def tokenize(name, path):
    vocabulary = tokenizer_recipes.Vocabulary(path)
    cases = list(cases_of(vocabulary))
    dump(DATA / f"tokenize-{name}.json", "[\n", cases)
    used = {i for case in cases for i in case["ids"]}
    print(f"{name}: {len(cases)} cases, {len(used)} ids of "
          f"{len(vocabulary.tokens)} occur")


def wordpiece_pairs():
    """Ids and token types of pairs, and how each text decodes."""
    texts = TEXTS[::9] + WORDPIECE_TEXTS[::4]
    cases = []
    for path in sorted(DATA.glob("tok-wordpiece*.gguf")):
        tokenizer = tokenizer_recipes.build(
            tokenizer_recipes.Vocabulary(path), parse_special=False)
        for a, b in zip(texts, texts[::-1] + [""]):
            encoding = tokenizer.encode(a, b)
            cases.append({
                "vocabulary": path.stem.removeprefix("tok-"), "a": a, "b": b,
                "ids": encoding.ids, "second": encoding.type_ids.index(1),
                "decoded": tokenizer.decode(encoding.ids,
                                            skip_special_tokens=False)})
    dump(DATA / "wordpiece-pairs.json", "[\n", cases)
    print(f"wordpiece-pairs: {len(cases)} cases")


def pretokenize():
    groups = []
    for name in tokenizer_recipes.SPLITS:
        splitter = tokenizer_recipes.splitter(name)
        lengths = []
        for text in ALL:
            pieces = [piece for piece, _ in splitter.pre_tokenize_str(text)]
            assert "".join(pieces) == text
            lengths.append([len(piece.encode()) for piece in pieces])
        groups.append({"group": name, "lengths": lengths})
    head = ('{"texts":' + json.dumps(ALL, separators=(",", ":")) +
            ',\n"groups":[\n')
    dump(DATA / "pretokenize.json", head, groups)
    print(f"pretokenize: {len(groups)} groups, {len(ALL)} texts")


def main(model=None):
    for path in sorted(DATA.glob("tok-*.gguf")):
        tokenize(path.stem.removeprefix("tok-"), path)
    if model:
        tokenize("smollm2", model)
    wordpiece_pairs()
    pretokenize()


if __name__ == "__main__":
    main(*sys.argv[1:])
