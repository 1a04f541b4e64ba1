"""Blocks of float32 and their bytes in the types that gguf-py can make.

    python make_quantise_goldens.py

Writes ../data/quantise.bin: records of u32 type, u32 n_values, u32 n_bytes,
the values as float32 and the bytes, all little endian.
"""

import struct
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

DATA = Path(__file__).resolve().parent.parent / "data"


def rows():
    """Rows of 256 values of many kinds; NaN and infinity are not among them."""
    rng = np.random.default_rng(4)
    normal = rng.standard_normal((3, 256)) * np.array([[1], [0.02], [700]])
    outliers = normal[0] * np.where(rng.random(256) < 0.05, 30, 1)
    exponents = 10.0 ** rng.uniform(-6, 4, 256) * rng.choice([-1, 1], 256)
    halves = np.round(rng.uniform(-127, 127, 256)) / 2
    positive = np.abs(normal[0]) + 3
    steps = np.repeat(rng.standard_normal(8), 32)       # constant blocks
    small = rng.standard_normal(256) * 1e-6             # subnormal scales
    zeros = np.where(rng.random(256) < 0.9, 0.0, normal[1])
    zeros[:64] = 0.0
    zeros[40] = -0.0
    return np.stack([*normal, outliers, exponents, halves, positive, steps,
                     -positive, small, zeros]).astype(np.float32)


def main():
    x = rows()
    with open(DATA / "quantise.bin", "wb") as out:
        for kind in (Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0,
                     Type.Q5_1, Type.Q8_0):
            values = x
            if kind in (Type.F16, Type.BF16):
                edge = np.array([0.0, -0.0, 1e-8, 6e-8, -3e-5, 65504, 65519,
                                 2.0 ** -24, 2.0 ** -25 * 1.5, 1 + 2.0 ** -11,
                                 1 + 3 * 2.0 ** -11, 1 + 2.0 ** -8,
                                 1 + 3 * 2.0 ** -8, 1e-40, -1e-44, 1.0],
                                np.float32)
                values = np.concatenate([x[4], x[0, :16], edge])
            made = quantize(values, kind).tobytes()
            out.write(struct.pack("<III", kind, values.size, len(made)))
            out.write(values.astype("<f4").tobytes() + made)


if __name__ == "__main__":
    main()
