"""Operators that pick by position; exact."""

import numpy as np

from .base import INTS, case, rand


def cases():
    found = []
    add = lambda name, op, args, y, attrs=None: found.append(case(name.replace(" ", ""), op, args, y, attrs, tol=(0, 0)))
    x = rand("x", (4, 5, 3))
    for axis in (0, 1, -1):
        for shape in [(), (2,), (2, 3), (0,)]:
            indices = rand("i", shape, np.int64, -3, 2)
            add(f"take-{axis}-{shape}", "take", [x, indices], np.take(x, indices, axis), {"axis": axis})
    for dtype in INTS:
        indices = rand("i", (3,), dtype, 0, 2)
        add(f"take-{dtype.name}", "take", [x, indices], np.take(x, indices.astype(np.int64), 1), {"axis": 1})
    for dtype in (np.float16, np.int8, np.float64, bool):
        values = rand("v", (7,), dtype)
        add(f"take-values-{np.dtype(dtype).name}", "take", [values, np.array([6, 0, -1, 3])], values[[6, 0, -1, 3]])
    far = np.array([-9, 9, 3], np.int32)
    add("take-clip", "take", [x, far], np.take(x, far, 1, mode="clip"), {"axis": 1, "mode": "clip"})
    add("take-wrap", "take", [x, far], np.take(x, far, 1, mode="wrap"), {"axis": 1, "mode": "wrap"})
    return found
