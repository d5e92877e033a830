"""Matrix products."""

import numpy as np

from .base import INTS, case, f16, f32, f64, bf16, rand, wide

SHAPES = [((3, 4), (4, 5)), ((1, 1), (1, 1)), ((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 3, 4), (4, 5)),
          ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (2, 4, 5)), ((5, 0), (0, 3)), ((0, 4), (4, 3)),
          ((2, 0, 4), (2, 4, 3)), ((7, 33), (33, 19)), ((5, 300), (300, 70)), ((1, 70), (70, 9)), ((2, 17), (17, 65)),
          ((2, 2, 1, 4), (1, 2, 4, 3)), ((1, 2, 3, 4), (2, 1, 4, 3)), ((4,), (3, 4, 2)), ((2, 3, 4), (4,))]


def cases():
    found = []
    for p, q in SHAPES:
        a, b = rand("a", p, f32, -1, 1), rand("b", q, f32, -1, 1)
        found.append(case(f"matmul-{p}-{q}".replace(" ", ""), "matmul", [a, b], (wide(a) @ wide(b)).astype(f32), scale=5))
    for dtype in [f64, f16, bf16]:
        a, b = rand("a", (5, 33), dtype, -1, 1), rand("b", (33, 11), dtype, -1, 1)
        found.append(case(f"matmul-{dtype.name}", "matmul", [a, b], (wide(a) @ wide(b)).astype(dtype), scale=2))
    for dtype in INTS:
        a, b = rand("a", (5, 9), dtype, -3, 3), rand("b", (9, 11), dtype, -3, 3)
        found.append(case(f"matmul-{dtype.name}", "matmul", [a, b], a @ b))
    for dtype in [np.dtype(np.int8), np.dtype(np.uint8)]:
        a, b = rand("a", (3, 50), dtype, -128, 255), rand("b", (50, 7), dtype, -128, 255)
        found.append(case(f"matmul-{dtype.name}-int32", "matmul", [a, b], a.astype(np.int32) @ b.astype(np.int32),
                          {"out_dtype": np.dtype(np.int32)}))
    for dtype in [f16, bf16]:
        a, b = rand("a", (3, 20), dtype), rand("b", (20, 7), dtype)
        found.append(case(f"matmul-{dtype.name}-float32", "matmul", [a, b], (wide(a) @ wide(b)).astype(f32),
                          {"out_dtype": f32}))
    for p, q in [((3, 4), (5, 4)), ((1, 70), (33, 70)), ((2, 3, 4), (5, 4)), ((4,), (5, 4)), ((9, 300), (17, 300)), ((0, 4), (5, 4)),
                 ((3, 0), (5, 0))]:
        a, b = rand("a", p, f32, -1, 1), rand("b", q, f32, -1, 1)
        found.append(case(f"dense-{p}-{q}".replace(" ", ""), "nn.dense", [a, b], (wide(a) @ wide(b).T).astype(f32), scale=5))
    a, b = rand("a", (6, 9), np.int32, -9, 9), rand("b", (4, 9), np.int32, -9, 9)
    found.append(case("dense-int32", "nn.dense", [a, b], a @ b.T))
    return found
