"""Reductions."""

import numpy as np

from .base import FLOATS, INTS, case, f32, rand, wide

OPS = [
    ("sum", np.sum), ("mean", np.mean), ("max", np.max), ("min", np.min), ("prod", np.prod), ("variance", np.var),
    ("std", np.std), ("sum_square", lambda x, **k: np.sum(x * x, **k)), ("l1_norm", lambda x, **k: np.sum(np.abs(x), **k)),
    ("l2_norm", lambda x, **k: np.sqrt(np.sum(x * x, **k))), ("log_sum", lambda x, **k: np.log(np.sum(x, **k))),
    ("log_sum_exp", lambda x, **k: np.log(np.sum(np.exp(x), **k))),
]
SHAPES = [((3, 5), None), ((3, 5), [0]), ((3, 5), [1]), ((2, 3, 4), [0, 2]), ((2, 3, 4), [1]), ((2, 3, 4), [-1, 0, 1]), ((1, 1), [0]),
          ((2, 3, 4, 5), [2, 3]), ((2, 3, 4, 5), [1]), ((4, 70), [1]), ((70, 4), [0]), ((2, 3), []), ((), None), ((5, 0), [0]),
          ((2, 1, 3, 1, 2, 2), [1, 2, 4])]


def cases():
    found = []
    for op, reference in OPS:
        for shape, axes in SHAPES:
            x = rand(op, shape, f32, 0.5, 2)
            axis = None if axes is None else tuple(axes)
            for keep in ([False, True] if len(shape) < 4 else [False]):
                y = np.asarray(reference(wide(x), axis=axis, keepdims=keep)).astype(f32)
                attrs = {"keepdims": keep} | ({} if axes is None else {"axis": axes})
                found.append(case(f"{op}-{shape}-{axes}-{keep}".replace(" ", ""), op, [x], y, attrs, scale=3))
        for dtype in FLOATS[1:]:
            x = rand(op, (3, 9), dtype, 0.5, 2)
            found.append(case(f"{op}-{dtype.name}", op, [x], reference(wide(x), axis=1).astype(dtype), {"axis": [1]}, scale=2))
    for op, reference in OPS[:5]:
        for dtype in INTS:
            x = rand(op, (3, 9), dtype, -4, 9)
            with np.errstate(over="ignore"):
                y = np.trunc(x.mean(axis=1)).astype(dtype) if op == "mean" else reference(x, axis=1).astype(dtype)
            found.append(case(f"{op}-{dtype.name}", op, [x], y, {"axis": [1]}))
    empty = np.zeros((2, 0), f32)
    for op, value in [("sum", 0), ("prod", 1), ("max", -np.inf), ("min", np.inf), ("mean", np.nan)]:
        found.append(case(f"{op}-nothing", op, [empty], np.full(2, value, f32), {"axis": [1]}))
    nan = np.array([[1, np.nan, 3], [4, 5, 6]], f32)
    for op, reference in [("max", np.max), ("min", np.min)]:
        found.append(case(f"{op}-nan", op, [nan], reference(nan, axis=1), {"axis": [1]}))
    found.append(case("log_sum_exp-large", "log_sum_exp", [np.array([1000, 1000, -np.inf], f32)],
                      np.asarray(1000 + np.log(2), f32)))
    for shape, axis in [((3, 4), [1]), ((3, 4), None), ((2, 0), [1])]:
        x = rand("b", shape, bool)
        attrs = {} if axis is None else {"axis": axis}
        numpy_axis = None if axis is None else tuple(axis)
        found.append(case(f"all-{shape}-{axis}".replace(" ", ""), "all", [x], np.all(x, axis=numpy_axis), attrs))
        found.append(case(f"any-{shape}-{axis}".replace(" ", ""), "any", [x], np.any(x, axis=numpy_axis), attrs))
    return found
