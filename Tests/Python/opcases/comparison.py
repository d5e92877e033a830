"""Comparisons, logic, bits, choice."""

import numpy as np

from .base import FLOATS, INTS, case, f32, rand

OPS = [("equal", np.equal), ("not_equal", np.not_equal), ("less", np.less), ("less_equal", np.less_equal),
       ("greater", np.greater), ("greater_equal", np.greater_equal)]
SHAPES = [((), ()), ((3, 5), (5,)), ((3, 1), (3, 5)), ((0, 2), (2,)), ((2, 3, 2), (3, 1))]


def cases():
    found = []
    for op, reference in OPS:
        for dtype in FLOATS + INTS + [np.dtype(bool)]:
            a, b = rand("a", (4, 5), dtype, -2, 2), rand("b", (4, 5), dtype, -2, 2)
            a[0], b[0] = 1, 1
            found.append(case(f"{op}-{dtype.name}", op, [a, b], reference(a, b)))
        for p, q in SHAPES:
            a, b = rand("a", p, np.int32, -2, 2), rand("b", q, np.int32, -2, 2)
            found.append(case(f"{op}-{p}-{q}".replace(" ", ""), op, [a, b], reference(a, b)))
        nan = np.array([np.nan, 1, np.inf, -0.0], f32)
        found.append(case(f"{op}-nan", op, [nan, np.array([np.nan, np.nan, np.inf, 0.0], f32)],
                          reference(nan, np.array([np.nan, np.nan, np.inf, 0.0], f32))))
    for op, reference in [("logical_and", np.logical_and), ("logical_or", np.logical_or), ("logical_xor", np.logical_xor)]:
        for p, q in SHAPES:
            a, b = rand("a", p, bool), rand("b", q, bool)
            found.append(case(f"{op}-{p}-{q}".replace(" ", ""), op, [a, b], reference(a, b)))
    for op, reference in [("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor),
                          ("left_shift", np.left_shift), ("right_shift", np.right_shift)]:
        for dtype in INTS:
            a = rand("a", (2, 9), dtype, -100, 100)
            b = rand("b", (9,), dtype, 0, 5)
            found.append(case(f"{op}-{dtype.name}", op, [a, b], reference(a, b)))
    for dtype in INTS + [np.dtype(bool)]:
        a = rand("a", (9,), dtype, -100, 100)
        found.append(case(f"bitwise_not-{dtype.name}", "bitwise_not", [a], np.invert(a)))
    x = np.array([True, False, True])
    found.append(case("logical_not", "logical_not", [x], ~x))
    special = np.array([[np.nan, np.inf], [-np.inf, 1]])
    for dtype in FLOATS:
        x = special.astype(dtype)
        found.append(case(f"isnan-{dtype.name}", "isnan", [x], np.isnan(x)))
        found.append(case(f"isinf-{dtype.name}", "isinf", [x], np.isinf(x)))
        found.append(case(f"isfinite-{dtype.name}", "isfinite", [x], np.isfinite(x)))
        found.append(case(f"isinf-negative-{dtype.name}", "isinf", [x], np.isneginf(x.astype(f32)), {"detect_positive": False}))
    for c, p, q in [((3, 5), (3, 5), (3, 5)), ((3, 1), (5,), ()), ((), (2, 3), (3,)), ((2, 1, 3), (4, 1), (1,)), ((0,), (1,), (1,))]:
        for dtype in [f32, np.dtype(np.int64), np.dtype(np.int8), np.dtype(np.float16), np.dtype(bool)]:
            condition, a, b = rand("c", c, bool), rand("a", p, dtype, -9, 9), rand("b", q, dtype, -9, 9)
            found.append(case(f"where-{c}-{p}-{q}-{dtype.name}".replace(" ", ""), "where", [condition, a, b],
                              np.where(condition, a, b), tol=(0, 0)))
    return found
