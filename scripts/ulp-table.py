"""Largest errors of element-wise functions in units of the last place, against double precision, as a table for docs/fusion.md.

All exponents of single precision are sampled alike, and numbers around 0 and 1 once more. `kernel` is the library's own kernel,
`network` what runs after optimisation, alone on a large tensor, `layer` the same behind a convolution.
"""

from __future__ import annotations

import math
import sys

import numpy as np

import tenon

F = np.float32
erf = np.vectorize(math.erf)
erfc = np.vectorize(math.erfc)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


FUNCTIONS = {
    "exp": ({}, np.exp), "log": ({}, np.log), "log1p": ({}, np.log1p), "sqrt": ({}, np.sqrt),
    "rsqrt": ({}, lambda x: 1 / np.sqrt(x)), "reciprocal": ({}, lambda x: 1 / x), "sigmoid": ({}, sigmoid), "tanh": ({}, np.tanh),
    "erf": ({}, erf), "nn.gelu": ({}, lambda x: 0.5 * x * erfc(-x / math.sqrt(2))),
    "nn.gelu_tanh": ({}, lambda x: x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "nn.silu": ({}, lambda x: x * sigmoid(x)),
    "nn.mish": ({}, lambda x: x * np.where(x < 0, _tail(x), np.tanh(softplus(x)))),
    "nn.softplus": ({}, softplus), "nn.elu": ({"alpha": 1.0}, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    "sin": ({}, np.sin), "cos": ({}, np.cos), "tan": ({}, np.tan), "atan": ({}, np.arctan), "asin": ({}, np.arcsin),
    "acos": ({}, np.arccos), "sinh": ({}, np.sinh), "cosh": ({}, np.cosh), "asinh": ({}, np.arcsinh), "acosh": ({}, np.arccosh),
    "atanh": ({}, np.arctanh),
}


def _tail(x):
    """tanh(log(1 + e^x)) without cancellation."""
    e = np.exp(np.minimum(x, 0))
    n = e * (e + 2)
    return n / (n + 2)


def samples(count: int = 1 << 17) -> np.ndarray:
    bits = np.linspace(0x00800000, 0x7f7fffff, count // 2).astype(np.uint32)
    wide = np.concatenate([bits, bits | 0x80000000]).view(F)
    near = np.concatenate([np.linspace(a, b, count // 4) for a, b in ((0.9, 1.1), (-12, 12), (-0.7, 0.7), (-104, 89))]).astype(F)
    both = np.concatenate([wide, near])
    return both[: both.size // 64 * 64].reshape(1, 64, 1, -1)


def errors(got: np.ndarray, exact: np.ndarray, x: np.ndarray) -> tuple[float, float, float]:
    """Units of the last place, the relative error, and where."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(F)
        valid = np.isfinite(rounded) & (np.abs(exact) >= np.finfo(F).tiny)
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        ulp = np.where(valid, np.abs(got.astype(np.float64) - exact) / unit, 0)
        at = np.nanargmax(ulp)
        return float(ulp.flat[at]), float(np.nanmax(np.where(valid, np.abs(got - exact) / np.abs(exact), 0))), float(x.flat[at])


def main() -> None:
    x = samples()
    print("| function | kernel | at | network | at | layer | at |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, (attributes, exact) in FUNCTIONS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        with np.errstate(all="ignore"):
            wanted = exact(x.astype(np.float64))
        row = []
        for kind in ("kernel", "network", "layer"):
            b = tenon.Builder()
            value = b.parameter("x", x.shape)
            if kind == "layer":
                value = b.call("nn.conv2d", value, b.constant(np.eye(64, dtype=F).reshape(64, 64, 1, 1)))
            module = b.finish(b.call(name, value, **attributes))
            run = tenon.compile(module if kind == "kernel" else module.optimize(), threads=1, reference=kind == "kernel")
            ulp, relative, at = errors(run(x), wanted, x)
            row += [f"{ulp:.1f}" if ulp < 1e4 else f"{ulp:.0e}", f"{at:.4g}"]
        print(f"| `{name}` | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
