"""Tensors of shapes and numbers; exact."""

import numpy as np

from .base import FLOATS, INTS, Shape, bf16, case, f32, rand

TYPES = [np.dtype(t) for t in (np.float32, np.float16, np.int64, np.uint8, bool)] + [bf16]


def cases():
    found = []
    add = lambda name, op, args, y, attrs=None: found.append(case(name.replace(" ", ""), op, args, y, attrs, tol=(0, 0)))
    for shape in [(2, 3), (), (0, 2), (1, 1, 1)]:
        for dtype in TYPES:
            add(f"zeros-{shape}-{dtype.name}", "zeros", [Shape(list(shape))], np.zeros(shape, dtype), {"dtype": dtype})
            add(f"ones-{shape}-{dtype.name}", "ones", [Shape(list(shape))], np.ones(shape, dtype), {"dtype": dtype})
            value = np.array(3 if dtype != bool else True, dtype)
            add(f"full-{shape}-{dtype.name}", "full", [Shape(list(shape)), value], np.full(shape, value, dtype))
    x = rand("x", (2, 3))
    add("zeros_like", "zeros_like", [x], np.zeros_like(x))
    add("ones_like", "ones_like", [x], np.ones_like(x, dtype=np.int32), {"dtype": np.dtype(np.int32)})
    for n, m, k in [(3, 3, 0), (2, 4, 1), (4, 2, -1), (0, 3, 0), (3, 3, 5)]:
        add(f"eye-{n}-{m}-{k}", "eye", [Shape([n, m])], np.eye(n, m, k, dtype=f32), {"k": k})
    for shape in [(3, 4), (2, 4, 3), (0, 3), (1, 1)]:
        for k in (0, 1, -2, 9):
            x = rand("x", shape, np.int32, 1, 9)
            add(f"tril-{shape}-{k}", "tril", [x], np.tril(x, k), {"k": k})
            add(f"triu-{shape}-{k}", "triu", [x], np.triu(x, k), {"k": k})
    indices = np.array([[0, 2, -1], [1, 5, 0]], np.int64)
    for axis in (-1, 0, 1):
        codes = np.where((np.arange(3) == np.where(indices < 0, indices + 3, indices)[..., None]), 2.5, -1.0).astype(f32)
        add(f"one_hot-{axis}", "one_hot", [indices, 2.5, -1.0], np.moveaxis(codes, -1, axis), {"depth": 3, "axis": axis})
    add("one_hot-tensors", "one_hot", [indices.astype(np.int32), np.array(7, np.int64), np.array(1, np.int64)],
        np.where(np.arange(3) == np.where(indices < 0, indices + 3, indices)[..., None], 7, 1).astype(np.int64),
        {"depth": 3, "dtype": np.dtype(np.int64)})
    return found
