"""A second opinion: the forward pass in float64 numpy, from the GGUF file.

Reads nothing but the file (names, metadata, NORM or NEOX rotation), as the
engine does, so that a golden made by `transformers` from the same weights
proves the file's conventions too.  kv_bits=16 rounds K and V to binary16, as
the engine's cache does for models that are not all F32.
"""

import math

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


class Model:
    def __init__(self, path):
        reader = GGUFReader(path)
        self.meta = {name: field.contents()
                     for name, field in reader.fields.items()}
        self.arch = self.meta["general.architecture"]
        self.tensors = {
            t.name: dequantize(t.data, t.tensor_type).astype(np.float64)
            for t in reader.tensors}

    def key(self, name, default=None):
        return self.meta.get(self.arch + "." + name, default)

    def linear(self, x, name):
        y = x @ self.tensors[name + ".weight"].T
        bias = self.tensors.get(name + ".bias")
        return y if bias is None else y + bias

    def norm(self, x, name):
        weight = self.tensors[name + ".weight"]
        if self.arch == "gpt2":
            c = x - x.mean(-1, keepdims=True)
            eps = self.key("attention.layer_norm_epsilon")
            c = c / np.sqrt((c * c).mean(-1, keepdims=True) + eps)
            return c * weight + self.tensors[name + ".bias"]
        eps = self.key("attention.layer_norm_rms_epsilon")
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rope_frequencies(model, n_rot):
    """Angle per position of each pair, and the magnitude."""
    base = model.key("rope.freq_base", 10000.0)
    pairs = np.arange(n_rot // 2, dtype=np.float64)
    theta = base ** (-2 * pairs / n_rot)
    factors = model.tensors.get("rope_freqs.weight")
    if factors is not None:
        theta = theta / factors
    kind = model.key("rope.scaling.type", "none")
    scale = model.key("rope.scaling.factor", 1.0)
    if kind == "linear":
        return theta / scale, 1.0
    if kind != "yarn":
        return theta, 1.0
    original = model.key("rope.scaling.original_context_length")

    def dimension(beta):
        return (n_rot * math.log(original / (beta * 2 * math.pi)) /
                (2 * math.log(base)))

    low = max(math.floor(dimension(32)), 0)
    high = min(math.ceil(dimension(1)), n_rot - 1)
    ramp = np.clip((pairs - low) / max(0.001, high - low), 0, 1)
    theta = theta / scale * ramp + theta * (1 - ramp)
    return theta, 1.0 + 0.1 * math.log(scale)


def rotate(model, x, theta, magnitude):
    """x[position, head, d]; NORM pairs neighbours, NEOX pairs the halves."""
    angle = np.arange(x.shape[0])[:, None, None] * theta
    c, s = np.cos(angle) * magnitude, np.sin(angle) * magnitude
    out, half = x.copy(), len(theta)
    if model.arch == "llama":
        a, b = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    else:
        a, b = slice(0, half), slice(half, 2 * half)
    out[..., a] = x[..., a] * c - x[..., b] * s
    out[..., b] = x[..., a] * s + x[..., b] * c
    return out


def attention(model, x, layer, kv_bits):
    prefix = f"blk.{layer}."
    n = x.shape[0]
    heads = model.key("attention.head_count")
    kv_heads = model.key("attention.head_count_kv", heads)
    d = model.key("attention.key_length",
                  model.key("embedding_length") // heads)
    if prefix + "attn_qkv.weight" in model.tensors:
        q, k, v = np.split(model.linear(x, prefix + "attn_qkv"),
                           [heads * d, (heads + kv_heads) * d], axis=-1)
    else:
        q, k, v = (model.linear(x, prefix + "attn_" + t) for t in "qkv")
    q = q.reshape(n, heads, d)
    k, v = k.reshape(n, kv_heads, d), v.reshape(n, kv_heads, d)
    if prefix + "attn_q_norm.weight" in model.tensors:
        q = model.norm(q, prefix + "attn_q_norm")
        k = model.norm(k, prefix + "attn_k_norm")
    if model.arch != "gpt2":
        theta, magnitude = rope_frequencies(
            model, model.key("rope.dimension_count", d))
        q = rotate(model, q, theta, magnitude)
        k = rotate(model, k, theta, magnitude)
    if kv_bits == 16:
        k = k.astype(np.float32).astype(np.float16).astype(np.float64)
        v = v.astype(np.float32).astype(np.float16).astype(np.float64)
    k, v = (np.repeat(t, heads // kv_heads, axis=1) for t in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(d)
    scores[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    out = np.einsum("hqk,khd->qhd", p, v).reshape(n, heads * d)
    return model.linear(out, prefix + "attn_output"), p


def feed_forward(model, x, layer):
    prefix = f"blk.{layer}.ffn_"
    up = model.linear(x, prefix + "up")
    if model.arch == "gpt2":
        up = 0.5 * up * (1 + np.tanh(math.sqrt(2 / math.pi) *
                                     (up + 0.044715 * up ** 3)))
    else:
        gate = model.linear(x, prefix + "gate")
        up = gate / (1 + np.exp(-gate)) * up
    return model.linear(up, prefix + "down")


def logits(model, ids, kv_bits=32):
    """logits[position, vocabulary] of one prompt."""
    x = model.tensors["token_embd.weight"][ids]
    if model.arch == "gpt2":
        x = x + model.tensors["position_embd.weight"][:len(ids)]
    for layer in range(model.key("block_count")):
        normed = model.norm(x, f"blk.{layer}.attn_norm")
        x = x + attention(model, normed, layer, kv_bits)[0]
        x = x + feed_forward(model, model.norm(x, f"blk.{layer}.ffn_norm"),
                             layer)
    x = model.norm(x, "output_norm")
    head = "output" if "output.weight" in model.tensors else "token_embd"
    return model.linear(x, head)
