"""Tiny models whose tensors have every weight type, and blocks of each type.

    python make_quantised_models.py

Writes ../data/tiny-mixed-<n>.gguf and .json: llamas of one layer, embedding
256, that together hold all types; logits are those of `transformers` in
float32 on the dequantised weights.  Writes ../data/dequantise.bin: random
blocks and their exact values.
"""

import struct

import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as T
from gguf import GGUFWriter
from gguf.quants import dequantize, quant_shape_to_byte_shape, quantize

import gguf_forward
import tiny_vocabulary
from make_tiny_models import (BASE, DATA, build, dump, numbers, permute,
                              prompts, rope, run)

WIDTH, KV, FEED = 256, 64, 256
BLOCK = {T.Q2_K: (256, 84), T.Q3_K: (256, 110), T.Q4_K: (256, 144),
         T.Q5_K: (256, 176), T.Q6_K: (256, 210), T.IQ4_NL: (32, 18),
         T.IQ4_XS: (256, 136), T.MXFP4: (32, 17)}
ALL = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, *BLOCK]

# Offsets of the f16 fields in blocks that `gguf` cannot quantise, and what
# the integer part of a value is on average: (offset, divisor) each.
HALVES = {T.Q2_K: [(80, 16.0), (82, 11.0)], T.Q3_K: [(108, 35.0)],
          T.Q4_K: [(0, 270.0), (2, 36.0)], T.Q5_K: [(0, 550.0), (2, 36.0)],
          T.Q6_K: [(208, 1000.0)], T.IQ4_NL: [(0, 70.0)],
          T.IQ4_XS: [(0, 1200.0)]}

# One row per file: token_embd, q, k, v, output, gate, up, down.
MIXES = [
    (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.F16, T.BF16, T.Q2_K),
    (T.Q6_K, T.Q3_K, T.Q4_K, T.Q5_K, T.IQ4_NL, T.IQ4_XS, T.MXFP4, T.Q6_K),
    (T.MXFP4, T.IQ4_XS, T.Q2_K, T.Q6_K, T.Q3_K, T.Q4_1, T.Q5_K, T.Q4_K),
    (T.BF16, T.Q8_0, T.F16, T.Q4_0, T.MXFP4, T.IQ4_NL, T.Q5_1, T.Q5_0),
]
PARTS = ["token_embd", "attn_q", "attn_k", "attn_v", "attn_output",
         "ffn_gate", "ffn_up", "ffn_down"]


def random_blocks(rng, kind, rows, columns, scale):
    """Bytes [rows, n] of valid blocks, values of about the given scale."""
    values, size = BLOCK[kind]
    n = columns // values
    data = rng.integers(0, 256, (rows, n, size), dtype=np.uint8)
    if kind == T.MXFP4:
        # a value is at most 12 * 2^(e - 128)
        data[..., 0] = 128 + int(np.round(np.log2(scale / 5)))
    for offset, divisor in HALVES.get(kind, []):
        half = (scale / divisor * rng.uniform(0.6, 1.4, (rows, n)))
        data[..., offset:offset + 2] = (half.astype("<f2")[..., None]
                                        .view(np.uint8))
    return data.reshape(rows, n * size)


def random_tensor(rng, kind, rows, columns, scale):
    if kind in BLOCK:
        return random_blocks(rng, kind, rows, columns, scale)
    values = rng.standard_normal((rows, columns)).astype(np.float32) * scale
    return quantize(values, kind)


def shapes():
    """(rows, columns, scale of the values) of each of PARTS."""
    inner = 1.3 / WIDTH ** 0.5
    return [(tiny_vocabulary.SIZE, WIDTH, 0.2), (WIDTH, WIDTH, inner),
            (KV, WIDTH, inner), (KV, WIDTH, inner), (WIDTH, WIDTH, inner),
            (FEED, WIDTH, inner), (FEED, WIDTH, inner), (WIDTH, FEED, inner)]


def make_tensors(rng, mix):
    tensors = {}
    for part, kind, shape in zip(PARTS, mix, shapes()):
        prefix = "" if part == "token_embd" else "blk.0."
        tensors[f"{prefix}{part}.weight"] = (
            kind, random_tensor(rng, kind, *shape))
    for part in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        values = 1 + 0.2 * rng.standard_normal(WIDTH)
        tensors[part + ".weight"] = (T.F32, values.astype(np.float32))
    return tensors


def config():
    return transformers.LlamaConfig(**{
        **BASE, **rope(), "num_hidden_layers": 1}, hidden_size=WIDTH,
        intermediate_size=FEED, num_attention_heads=4, num_key_value_heads=1,
        tie_word_embeddings=True)


def write(path, name, tensors):
    writer = GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(2)
    writer.add_quantization_version(2)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(4)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(BASE["rms_norm_eps"])
    writer.add_rope_dimension_count(WIDTH // 4)
    writer.add_vocab_size(tiny_vocabulary.SIZE)
    tiny_vocabulary.add_to(writer, "smollm")
    for tensor, (kind, data) in tensors.items():
        writer.add_tensor(tensor, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


HF_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def undo_permute(rows, heads):
    """The inverse of permute(): neighbouring pairs back to halves."""
    order = permute(np.arange(rows.shape[0]), heads)
    out = np.empty_like(rows)
    out[order] = rows
    return out


def fill(model, tensors):
    state = {}
    for name, (kind, data) in tensors.items():
        values = dequantize(data, kind)
        part = name.removeprefix("blk.0.").removesuffix(".weight")
        if part in ("attn_q", "attn_k"):
            values = undo_permute(values, 4 if part == "attn_q" else 1)
        target = HF_NAMES[part]
        if name.startswith("blk."):
            target = "model.layers.0." + target
        state[target + ".weight"] = torch.from_numpy(np.array(values))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing in ([], ["lm_head.weight"]) and not unexpected
    model.tie_weights()


def make_model(number, mix):
    name = f"tiny-mixed-{number}"
    rng = np.random.default_rng(100 + number)
    tensors = make_tensors(rng, mix)
    path = DATA / f"{name}.gguf"
    write(path, name, tensors)
    model = build(config())
    fill(model, tensors)
    second = gguf_forward.Model(path)
    cases, worst, cache_effect = [], 0.0, 0.0
    for ids in prompts(100 + number)[:2]:
        logits = run(model, ids).logits[0].numpy()
        exact = gguf_forward.logits(second, ids)
        half = gguf_forward.logits(second, ids, kv_bits=16)
        worst = max(worst, float(np.abs(logits - exact).max()))
        cache_effect = max(cache_effect, float(np.abs(half - exact).max()))
        cases.append({"ids": ids, "first_row": len(ids) - 1,
                      "logits": numbers(logits[-1:]),
                      "logits_kv16": numbers(half[-1:])})
    assert worst < 5e-5, (name, worst)
    dump(DATA / f"{name}.json", {
        "model": f"{name}.gguf",
        "types": {p: k.name for p, k in zip(PARTS, mix)},
        "float64_difference": float(f"{worst:.3g}"),
        "kv16_difference": float(f"{cache_effect:.3g}"), "prompts": cases})
    print(f"{name}: {path.stat().st_size} bytes, float64 {worst:.2g}, "
          f"f16 cache {cache_effect:.2g}, logits {logits.std():.1f} std")


def wild_blocks(rng, kind, count):
    """Blocks of arbitrary bytes with finite scales of every size."""
    columns = {T.F32: 32, T.F16: 32, T.BF16: 32}.get(kind)
    if columns is None:
        columns, size = BLOCK.get(kind) or (32, quant_shape_to_byte_shape(
            (32,), kind)[0])
        data = rng.integers(0, 256, (count, size), dtype=np.uint8)
        places = ([o for o, _ in HALVES.get(kind, [])] or
                  {T.Q4_1: [0, 2], T.Q5_1: [0, 2], T.MXFP4: []}.get(kind, [0]))
        for offset in places:
            bits = rng.integers(0, 0x7C00, count).astype("<u2")
            bits[0] = 0                       # zero, and a subnormal scale
            bits[1] = rng.integers(1, 0x400)
            bits |= (rng.integers(0, 2, count) << 15).astype("<u2")
            data[:, offset:offset + 2] = bits[:, None].view(np.uint8)
        if kind == T.MXFP4:
            data[:, 0] = [0, 1, 2, 100, 127, 128, 129, 250]
        return columns, data
    if kind == T.F32:
        values = rng.standard_normal((count, 32)).astype("<f4")
        return columns, values.view(np.uint8)
    limit = 0x7C00 if kind == T.F16 else 0x7F80
    bits = rng.integers(0, limit, (count, 32)).astype("<u2")
    bits[0, :8] = [0, 1, 2, 0x3FF, 0x400, limit - 1, 0x7F, 0x80]
    bits |= (rng.integers(0, 2, (count, 32)) << 15).astype("<u2")
    return columns, bits.view(np.uint8)


def exact_values(kind, data):
    """gguf's dequantisation, row by row."""
    if kind == T.F32:
        return data.view("<f4")
    if kind == T.F16:
        return data.view("<f2").astype("<f4")
    return dequantize(data, kind).astype("<f4")


def make_blocks():
    rng = np.random.default_rng(7)
    with open(DATA / "dequantise.bin", "wb") as file:
        for kind in ALL:
            columns, data = wild_blocks(rng, kind, 8)
            values = exact_values(kind, data).reshape(-1)
            assert len(values) == 8 * columns and np.isfinite(values).all()
            file.write(struct.pack("<3I", int(kind), len(values), data.size))
            file.write(data.tobytes() + values.astype("<f4").tobytes())
    print(f"dequantise.bin: {(DATA / 'dequantise.bin').stat().st_size} bytes")


if __name__ == "__main__":
    assert {k for mix in MIXES for k in mix} | {T.F32} == set(ALL)
    for number, mix in enumerate(MIXES, 1):
        make_model(number, mix)
    make_blocks()
