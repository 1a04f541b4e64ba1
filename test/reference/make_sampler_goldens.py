"""What the sampler must keep and draw, by its definition, in float64 numpy.

    python make_sampler_goldens.py

Writes ../data/sampler.json.  The order: logit_bias, repeat penalty, presence
and frequency penalties, end tokens; greedy when the temperature is 0; else
top_k, typical_p, top_p, min_p on the renormalised softmax of what is kept;
then a draw over the kept ids in ascending order with weights
exp((x - max) / temperature).  Cases whose outcome hangs on the last bits of a
sum are refused, so another correct float64 implementation agrees.  Seeds are
strings, since 63 bits do not fit the number of every JSON reader.
"""

import json
import math
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parent.parent / "data"
MARGIN = 1e-9
MASK = 0xFFFFFFFF


def philox4x32(counter, key):
    """Ten rounds; Salmon et al., "Parallel random numbers", 2011."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK,
             (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


# Known answers published with Random123.
KNOWN = [
    ((0, 0, 0, 0), (0, 0),
     (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK, MASK, MASK, MASK), (MASK, MASK),
     (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
     (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


def uniform(seed, index):
    w = philox4x32((index, 0, 0, 0), (seed & MASK, seed >> 32))
    return ((w[0] << 32 | w[1]) >> 11) * 2.0 ** -53


DEFAULTS = dict(temperature=0.0, top_k=0, typical_p=1.0, top_p=1.0, min_p=0.0,
                repeat_penalty=1.0, repeat_last_n=64, presence_penalty=0.0,
                frequency_penalty=0.0, logit_bias={}, seed=0,
                ignore_end=False)


def adjusted(case, logits):
    """Logits after bias, penalties and end tokens."""
    o = DEFAULTS | case["options"]
    x = np.array(logits, dtype=np.float64)
    for token, bias in o["logit_bias"].items():
        x[int(token)] += np.float64(np.float32(bias))
    history = case["prompt"] + case["output"]
    n = o["repeat_last_n"]
    recent = history if n < 0 else history[max(0, len(history) - n):]
    for token in set(recent):
        r = o["repeat_penalty"]
        x[token] = x[token] / r if x[token] > 0 else x[token] * r
    for token in set(case["output"]):
        x[token] -= (o["frequency_penalty"] * case["output"].count(token) +
                     o["presence_penalty"])
    if o["ignore_end"]:
        x[case["end_tokens"]] = -np.inf
    return x, o


class TooClose(Exception):
    """The outcome depends on rounding."""


def softmax(x, kept):
    p = np.exp(x[kept] - x[kept].max())
    return p / p.sum()


def smallest_set(kept, p, order, mass):
    """The shortest beginning of order that holds the mass."""
    total, n = 0.0, 0
    while n < len(order):
        total += p[order[n]]
        n += 1
        if abs(total - mass) < MARGIN:
            raise TooClose
        if total >= mass:
            break
    return np.sort(kept[order[:n]])


def keep(x, o):
    """Ids that the filters leave, ascending."""
    kept = np.flatnonzero(x > -np.inf)
    if o["top_k"] > 0:
        order = sorted(kept, key=lambda i: (-x[i], i))
        kept = np.sort(np.array(order[:o["top_k"]]))
    if o["typical_p"] < 1:
        p = softmax(x, kept)
        entropy = -np.sum(p * np.log(p))
        distance = np.abs(-np.log(p) - entropy)
        order = sorted(range(len(kept)), key=lambda i: (distance[i], i))
        # ids of equal logits tie exactly; others must not nearly tie
        for a, b in zip(order, order[1:]):
            if (x[kept[a]] != x[kept[b]] and
                    distance[b] - distance[a] < MARGIN):
                raise TooClose
        kept = smallest_set(kept, p, order, o["typical_p"])
    if o["top_p"] < 1:
        p = softmax(x, kept)
        order = sorted(range(len(kept)), key=lambda i: (-x[kept[i]], i))
        kept = smallest_set(kept, p, order, o["top_p"])
    if o["min_p"] > 0:
        p = softmax(x, kept)
        bound = o["min_p"] * p.max()
        if np.any((np.abs(p - bound) < MARGIN * bound) & (p < p.max())):
            raise TooClose
        kept = kept[(p >= bound) | (p == p.max())]
    return kept


def pick(case, logits):
    x, o = adjusted(case, logits)
    if o["temperature"] == 0:
        order = sorted(range(len(x)), key=lambda i: (-x[i], i))
        if 0 < x[order[0]] - x[order[1]] < MARGIN:
            raise TooClose
        return {"token": order[0]}
    kept = keep(x, o)
    weight = [math.exp((x[i] - x[kept].max()) / o["temperature"])
              for i in kept]
    u = uniform(int(o["seed"]), case["index"])
    total = 0.0
    for w in weight:
        total += w
    running = 0.0
    for i, w in zip(kept, weight):
        running += w
        if abs(running - u * total) < MARGIN * total:
            raise TooClose
        if running > u * total:
            return {"kept": [int(k) for k in kept], "u": u, "token": int(i)}
    raise AssertionError("the last one must be drawn")


def vectors(rng):
    """Logits: spread, nearly flat, peaked, tied, rounded to halves."""
    spread = rng.standard_normal(64) * 3
    flat = rng.standard_normal(200) * 0.2
    peaked = rng.standard_normal(100)
    peaked[17] = 12
    tied = np.repeat([2.0, 1.0, 0.5, -1.0, -8.0], 10)
    rng.shuffle(tied)
    halves = np.round(rng.standard_normal(150) * 4) / 2
    return [v.astype(np.float32) for v in
            (spread, flat, peaked, tied, halves)]


SETTINGS = [
    {}, {"temperature": 1}, {"temperature": 0.7}, {"temperature": 2.5},
    {"temperature": 0.01}, {"temperature": 10},
    {"temperature": 1, "top_k": 1}, {"temperature": 1, "top_k": 7},
    {"temperature": 1, "top_k": 100000},
    {"temperature": 1, "top_p": 0.9}, {"temperature": 1, "top_p": 0.01},
    {"temperature": 1.3, "top_p": 0.999},
    {"temperature": 1, "min_p": 0.05}, {"temperature": 1, "min_p": 1},
    {"temperature": 1, "typical_p": 0.5}, {"temperature": 1, "typical_p": 0.05},
    {"temperature": 0.9, "typical_p": 0.95},
    {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.02},
    {"temperature": 1.5, "top_k": 30, "typical_p": 0.8, "top_p": 0.8,
     "min_p": 0.1},
    {"repeat_penalty": 1.3}, {"repeat_penalty": 1.3, "repeat_last_n": 3},
    {"repeat_penalty": 1.3, "repeat_last_n": 0},
    {"repeat_penalty": 0.5, "repeat_last_n": -1},
    {"presence_penalty": 1.5}, {"frequency_penalty": 0.8},
    {"presence_penalty": -2, "frequency_penalty": -1.25},
    {"logit_bias": "favour"}, {"logit_bias": "forbid"}, {"ignore_end": True},
    {"temperature": 1, "repeat_penalty": 1.2, "presence_penalty": 0.5,
     "frequency_penalty": 0.25, "logit_bias": "favour", "top_k": 20,
     "top_p": 0.9, "ignore_end": True},
]


def settle(setting, logits, history, rng):
    """A setting with its ids; biases are exact in float32."""
    best = int(np.argmax(logits))
    options = dict(setting)
    if options.get("logit_bias") == "favour":
        options["logit_bias"] = {str(len(logits) - 1): 5.25,
                                 str(history[0]): -3.5, str(best): -0.125}
    if options.get("logit_bias") == "forbid":
        options["logit_bias"] = {str(best): -100}
    if options.get("temperature"):
        options["seed"] = str(rng.integers(0, 2 ** 63))
    return options


def make_cases(rng, all_logits):
    for number, setting in enumerate(SETTINGS):
        for v, logits in enumerate(all_logits):
            best = np.argsort(-logits, kind="stable")
            history = [int(t) for t in rng.choice(best[:12], 14)]
            case = {
                "vector": v, "options": settle(setting, logits, history, rng),
                "prompt": history[:6], "output": history[6:],
                "end_tokens": [int(best[0]), int(best[5])],
                "index": int(rng.integers(0, 3 + number * 5)),
            }
            try:
                case |= pick(case, logits)
            except TooClose:
                continue
            yield case


def draws(count=32):
    return [{"seed": str(seed), "index": index, "u": uniform(seed, index)}
            for seed, index in
            [(0, i) for i in range(8)] +
            [(2 ** 63 - 1, i) for i in (0, 1, 2 ** 32 - 1)] +
            [(2 ** 32, 0), (2 ** 32 - 1, 0)] +
            [(i * 0x9E3779B97F4A7C15 % 2 ** 63, i) for i in range(1, count)]]


def main():
    for counter, key, answer in KNOWN:
        assert tuple(philox4x32(counter, key)) == answer
    rng = np.random.default_rng(2024)
    all_logits = vectors(rng)
    cases = list(make_cases(rng, all_logits))
    used = {json.dumps({k: v for k, v in c["options"].items()
                        if k not in ("seed", "logit_bias")}) for c in cases}
    parts = {
        "philox": [{"counter": c, "key": k, "out": o} for c, k, o in KNOWN],
        "uniform": draws(),
        "vectors": [[float(f"{x:.9g}") for x in v.tolist()]
                    for v in all_logits],
        "cases": cases,
    }
    text = ",\n".join(
        json.dumps(key) + ":[\n" + ",\n".join(
            json.dumps(line, separators=(",", ":")) for line in lines) + "\n]"
        for key, lines in parts.items())
    (DATA / "sampler.json").write_text("{" + text + "}\n")
    print(f"sampler: {len(cases)} of {len(SETTINGS) * len(all_logits)} cases, "
          f"{len(used)} option sets")


if __name__ == "__main__":
    main()
