"""Compares an exported MiniLM with its folder, tensor by tensor.

    PYTHONPATH=$(scripts/fetch-gguf) python3 check_export.py FILE FOLDER

Reads the file with PyPI's gguf and the folder's safetensors by hand, and prints
how many tensors are equal to the bit.  What differs is named, and is an error.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFReader

GLOBAL = {
    "token_embd": "embeddings.word_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
}
IN_LAYER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
LEFT_OUT = {"embeddings.position_ids", "pooler.dense.weight",
            "pooler.dense.bias"}


def read_safetensors(path):
    """name -> array of float32"""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__" or name in LEFT_OUT:
            continue
        assert info["dtype"] == "F32", name
        begin, end = (8 + length + x for x in info["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(
            info["shape"])
    return tensors


def folder_name(name):
    """The folder's name of a tensor of the file"""
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if layer:
        return "encoder.layer.%s.%s.%s" % (
            layer[1], IN_LAYER[layer[2]], layer[3])
    module, kind = name.rsplit(".", 1)
    return f"{GLOBAL[module]}.{kind}"


def main(path, folder):
    wanted = read_safetensors(Path(folder) / "model.safetensors")
    equal = 0
    for tensor in GGUFReader(path).tensors:
        array = wanted.pop(folder_name(tensor.name))
        shape = tuple(int(n) for n in reversed(tensor.shape))
        if shape != array.shape or tensor.tensor_type.name != "F32" or \
                tensor.data.tobytes() != array.tobytes():
            sys.exit(f"{tensor.name} differs")
        equal += 1
    if wanted:
        sys.exit(f"missing: {', '.join(sorted(wanted))}")
    print(f"{equal} tensors equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
