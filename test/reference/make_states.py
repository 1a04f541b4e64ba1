#!/usr/bin/env python3
"""Residual streams of the tiny models in ../data/hf, by transformers.

Writes ../data/hf-states.json: for each model the text and the token ids of one
case of hf-<name>.json, some positions, and states[layer + 1][i]: the input of
the first block and the output of every block at positions[i], as float32.

    make_states.py
"""

import json
import pathlib

import numpy as np
import torch
import transformers

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
MODELS = ["bert", "distilbert", "roberta", "nomic-bert", "modern-bert",
          "gpt2", "llama", "qwen2", "qwen3", "gemma2", "gemma3"]


def blocks_of(model):
    """The blocks: the module list nearest to the root."""
    lists = [(name.count("."), module) for name, module
             in model.named_modules()
             if isinstance(module, torch.nn.ModuleList)]
    return min(lists, key=lambda found: found[0])[1]


def numbers(array):
    array = np.asarray(array, dtype=np.float32)
    if array.ndim > 1:
        return [numbers(row) for row in array]
    return [float(f"{x:.7g}") for x in array.tolist()]


def first_tensor(value):
    return value[0] if isinstance(value, tuple) else value


def states(model, ids, positions):
    """[n_blocks + 1][positions][d]"""
    seen = []
    handles = []
    blocks = blocks_of(model)

    def keep(tensor):
        seen.append(tensor.reshape(len(ids), -1)[positions].numpy())

    handles.append(blocks[0].register_forward_pre_hook(
        lambda _m, args, kwargs: keep(
            args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True))
    handles += [block.register_forward_hook(
        lambda _m, _i, out: keep(first_tensor(out))) for block in blocks]
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    assert len(seen) == len(blocks) + 1
    return numbers(np.stack(seen))


def one(name):
    golden = json.loads((DATA / f"hf-{name}.json").read_text())
    case = golden["texts"][golden["attention"]["text"]]
    config = transformers.AutoConfig.from_pretrained(DATA / "hf" / name)
    kind = getattr(transformers, config.architectures[0])
    model = kind.from_pretrained(DATA / "hf" / name, dtype=torch.float32,
                                 attn_implementation="eager").eval()
    last = len(case["ids"]) - 1
    positions = [0, 1, last // 2, last]
    return {"text": case["text"], "ids": case["ids"], "positions": positions,
            "states": states(model, case["ids"], positions)}


def main():
    result = {"made_with": f"transformers {transformers.__version__}, "
                           f"torch {torch.__version__.split('+')[0]}",
              "models": {name: one(name) for name in MODELS}}
    text = json.dumps(result, separators=(",", ":"), ensure_ascii=True)
    (DATA / "hf-states.json").write_text(
        text.replace("],[", "],\n[").replace(",\"", ",\n\"") + "\n")


if __name__ == "__main__":
    main()
