"""Token ids of Hugging Face tokenizers, for the importer of their files.

    python make_hf_tokenizers.py

Writes ../data/hf-tokenizers/<name>.json, tokenizer.json files of kinds that
the folders in ../data/hf do not have, and ../data/hf-tokenizers.json with the
ids that `tokenizers` gives for every text of nasty_strings.py: for these files
and for the folders.  Texts are in it once, ids by tokenizer in their order.
"""

import json
import sys
from pathlib import Path

from tokenizers import (AddedToken, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

import nasty_strings
import tiny_tokenizers
import tokenizer_recipes

DATA = Path(__file__).resolve().parent.parent / "data"
OUT = DATA / "hf-tokenizers"
MARK = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXTS = (nasty_strings.TEXTS + nasty_strings.SPECIAL_TEXTS +
         ["<pad> <eos> <s>x</s> y", "  two spaces", " </s> after", "x</s>"])


def sentencepiece_like(merge_count, learned):
    """Vocabulary and merges of a BPE with byte fallback.

    learned: as a trainer of `tokenizers` leaves it, one merge for each token;
    else as SentencePiece's are converted, every way to make a token.
    """
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", MARK)
    trained.train_from_iterator(
        tiny_tokenizers.LINES, trainers.BpeTrainer(
            vocab_size=80 + merge_count, show_progress=False,
            special_tokens=["<unk>", "<s>", "</s>"]))
    order = sorted(trained.get_vocab(), key=trained.get_vocab().get)
    tokens = order[:3] + BYTES + order[3:]
    ids = {token: i for i, token in enumerate(tokens)}
    if learned:
        return ids, tokenizer_recipes.merges_of(trained)
    merges = []
    for token in order[3:]:
        ways = [(token[:k], token[k:]) for k in range(1, len(token))
                if token[:k] in ids and token[k:] in ids]
        merges += sorted(ways, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return ids, merges


def spm(normalizer, pre_tokenizer, learned=False, unknown="<unk>"):
    ids, merges = sentencepiece_like(120, learned)
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token=unknown,
                                     fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace(MARK, " "), decoders.ByteFallback(),
        decoders.Fuse()])
    tokenizer.add_special_tokens([
        AddedToken(t, normalized=False, special=True)
        for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1",
        special_tokens=[("<s>", ids["<s>"])])
    return tokenizer


def legacy(learned=False):
    return spm(normalizers.Sequence([normalizers.Prepend(MARK),
                                     normalizers.Replace(" ", MARK)]), None,
               learned)


def metaspace(scheme):
    return spm(None, pre_tokenizers.Metaspace(MARK, prepend_scheme=scheme,
                                              split=False))


def runs_of_spaces():
    """Gemma's: runs of spaces and of line ends are added tokens."""
    tokenizer = spm(normalizers.Replace(" ", MARK),
                    pre_tokenizers.Split(" ", "merged_with_previous"))
    saved = json.loads(tokenizer.to_str())
    model = saved["model"]
    runs = [MARK * n for n in range(2, 9)]
    merges = [[run[:k], run[k:]] for run in reversed(runs)
              for k in range(len(run) - 1, 0, -1)]
    for text in ["\n"] + runs + ["\n" * n for n in range(2, 5)]:
        if text not in model["vocab"]:
            model["vocab"][text] = len(model["vocab"])
    model["merges"] = merges + [m for m in model["merges"] if m not in merges]
    saved["added_tokens"] += [
        {"id": model["vocab"][text], "content": text, "special": False,
         "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False}
        for text in runs + ["\n" * n for n in range(2, 5)]]
    return Tokenizer.from_str(json.dumps(saved))


def split_like(pre):
    def make():
        tokenizer = tiny_tokenizers.byte_bpe(
            ["<|endoftext|>"], [], 60, ignore_merges=pre == "tekken")
        steps = [pre_tokenizers.Split(tokenizer_recipes.Regex(text),
                                      "isolated")
                 for text in tokenizer_recipes.SPLITS[pre]]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            steps + [pre_tokenizers.ByteLevel(add_prefix_space=False,
                                              use_regex=False)])
        tokenizer.add_tokens([AddedToken("==>", normalized=False)])
        return tokenizer
    return make


def digits():
    tokenizer = tiny_tokenizers.byte_bpe(["<|endoftext|>"], [], 60)
    tokenizer.normalizer = normalizers.NFC()    # no name has this with it
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


STRIP = {"type": "Strip", "strip_left": False, "strip_right": True}


def collapse(content):
    return {"type": "Replace", "pattern": {"Regex": " {2,}"},
            "content": content}


def unigram_without_words(*steps):
    """As transformers 4 converts SentencePiece: (strip,) (collapse,) mark."""
    def make():
        tokenizer = tiny_tokenizers.unigram()[0]
        saved = json.loads(tokenizer.to_str())
        saved["normalizer"] = {"type": "Sequence", "normalizers": [
            saved["normalizer"], *steps]}
        saved["pre_tokenizer"] = {"type": "Metaspace", "replacement": MARK,
                                  "prepend_scheme": "always", "split": True}
        return Tokenizer.from_str(json.dumps(saved))
    return make


# name: how it is made, architecture of the config.json that goes with it
TOKENIZERS = {
    "spm-legacy": (legacy, "LlamaForCausalLM"),
    "spm-learned": (lambda: legacy(learned=True), "LlamaForCausalLM"),
    "spm-first": (lambda: metaspace("first"), "LlamaForCausalLM"),
    "spm-always": (lambda: metaspace("always"), "LlamaForCausalLM"),
    "spm-never": (lambda: metaspace("never"), "LlamaForCausalLM"),
    "spm-runs": (runs_of_spaces, "LlamaForCausalLM"),
    "split-tekken": (split_like("tekken"), "LlamaForCausalLM"),
    "split-gpt-4o": (split_like("gpt-4o"), "LlamaForCausalLM"),
    "split-deepseek-v3": (split_like("deepseek-v3"), "LlamaForCausalLM"),
    "split-deepseek-llm": (split_like("deepseek-llm"), "LlamaForCausalLM"),
    "split-deepseek-coder": (split_like("deepseek-coder"),
                             "LlamaForCausalLM"),
    "split-llama-bpe": (split_like("llama-bpe"), "LlamaForCausalLM"),
    "split-qwen2": (split_like("qwen2"), "Qwen2ForCausalLM"),
    "split-qwen35": (split_like("qwen35"), "LlamaForCausalLM"),
    "split-bloom": (split_like("bloom"), "LlamaForCausalLM"),
    "split-digits": (digits, "LlamaForCausalLM"),
    "unigram-strip": (unigram_without_words(STRIP, collapse(MARK)),
                      "XLMRobertaModel"),
    "unigram-collapse": (unigram_without_words(collapse(" ")),
                         "XLMRobertaModel"),
    "unigram-spaces": (unigram_without_words(), "XLMRobertaModel"),
}


def texts_of(tokenizer):
    kind = json.loads(tokenizer.to_str())["model"]["type"]
    extra = {"WordPiece": nasty_strings.WORDPIECE_TEXTS,
             "Unigram": nasty_strings.UNIGRAM_TEXTS}.get(kind, [])
    return TEXTS + extra


# A run of U+2581 in the text itself is an added token to Hugging Face, but a
# run of spaces to SentencePiece and to us: no ids (spm-runs only).


def result(name, architecture, path, tokenizer):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = texts_of(tokenizer)
    return {"name": name, "architecture": architecture, "path": path,
            "rows": tokenizer.get_vocab_size(),
            "model": json.loads(tokenizer.to_str())["model"]["type"],
            "ids": [None if name == "spm-runs" and MARK * 2 in text else
                    tokenizer.encode(text).ids for text in texts]}


def main():
    OUT.mkdir(exist_ok=True)
    results = []
    for name, (make, architecture) in TOKENIZERS.items():
        path = OUT / f"{name}.json"
        if not path.exists():       # trainers may change, these must not
            make().save(str(path), pretty=False)
        results.append(result(name, architecture,
                              f"hf-tokenizers/{name}.json",
                              Tokenizer.from_file(str(path))))
    for folder in sorted((DATA / "hf").iterdir()):
        config = json.loads((folder / "config.json").read_text())
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        results.append(result(folder.name, config["architectures"][0],
                              f"hf/{folder.name}", tokenizer))
    value = {"texts": TEXTS, "WordPiece": nasty_strings.WORDPIECE_TEXTS,
             "Unigram": nasty_strings.UNIGRAM_TEXTS, "tokenizers": results}
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    (DATA / "hf-tokenizers.json").write_text(
        text.replace('},{"name"', '},\n{"name"').replace('"],', '"],\n')
        + "\n")


if __name__ == "__main__":
    sys.exit(main())
