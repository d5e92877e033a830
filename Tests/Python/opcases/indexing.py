"""Operators that pick by position; exact."""

import itertools

import numpy as np

from .base import INTS, case, onnx, rand


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
    elements(add)
    slices(add)
    lines(add)
    return found


REDUCTIONS = {"update": "none", "add": "add", "mul": "mul", "min": "min", "max": "max"}


def elements(add):
    for axis, shape in itertools.product((0, 1, -1), [(4, 5, 3), (2, 3, 2), (4, 0, 3)]):
        x = rand("gather", (4, 5, 3))
        size = x.shape[axis]
        indices = rand(f"g{axis}", shape, np.int64, -size, size - 1)
        reach = tuple(slice(None) if d == axis % 3 else slice(shape[d]) for d in range(3))
        add(f"gather_elements-{axis}-{shape}", "gather_elements", [x, indices],
            np.take_along_axis(x[reach], indices, axis), {"axis": axis})
    for dtype in (np.int8, np.float16, bool, np.float64):
        x = rand("gather", (3, 4), dtype)
        indices = np.array([[0, -1], [2, 1]], np.int32)
        add(f"gather_elements-{np.dtype(dtype).name}", "gather_elements", [x, indices],
            np.take_along_axis(x[:2], indices.astype(np.int64), 1), {"axis": 1})
    for reduction, axis in itertools.product(REDUCTIONS, (0, 1)):
        x, updates = rand("scatter", (4, 5)), rand("updates", (3, 4))
        # A replaced place must have one update: the order among several is not defined.
        indices = np.argsort(rand("order", (3, 4) if axis else (4, 4)), axis=axis)[:3, :4]
        if reduction != "update":
            indices[0, 0] = indices[1, 0] = indices[0, 1]
        add(f"scatter_elements-{reduction}-{axis}", "scatter_elements", [x, indices, updates],
            onnx("ScatterElements", [x, indices, updates], {"axis": axis, "reduction": REDUCTIONS[reduction]}),
            {"axis": axis, "reduction": reduction})


def slices(add):
    x = rand("nd", (3, 4, 2, 5))
    for depth in range(1, 5):
        indices = np.stack([rand(f"n{i}", (2, 3), np.int64, -x.shape[i], x.shape[i] - 1) for i in range(depth)], axis=-1)
        add(f"gather_nd-{depth}", "gather_nd", [x, indices], onnx("GatherND", [x, indices]))
    for batch in (1, 2):
        indices = rand("batch", (*x.shape[:batch], 2, 1), np.int64, -2, 1)
        add(f"gather_nd-batch{batch}", "gather_nd", [x, indices],
            onnx("GatherND", [x, indices], {"batch_dims": batch}), {"batch_dims": batch})
    add("gather_nd-none", "gather_nd", [x, np.zeros((0, 2), np.int64)], np.zeros((0, 2, 5), np.float32))
    for reduction, depth in itertools.product(REDUCTIONS, (1, 2, 4)):
        every = np.array(list(itertools.product(*[range(n) for n in x.shape[:depth]])))
        indices = every[np.random.default_rng(depth).permutation(len(every))[:3]]
        if reduction != "update":
            indices[1] = indices[0]
        updates = rand("u", (3, *x.shape[depth:]))
        add(f"scatter_nd-{reduction}-{depth}", "scatter_nd", [x, indices, updates],
            onnx("ScatterND", [x, indices, updates], {"reduction": REDUCTIONS[reduction]}), {"reduction": reduction})


def lines(add):
    x = rand("lines", (3, 4, 5), np.int32, -3, 3)
    for axis, dtype, exclusive, reverse in itertools.product((0, 1, -1), (np.int32, np.float64), (0, 1), (0, 1)):
        values = x.astype(dtype)
        for name, running in (("cumsum", np.cumsum), ("cumprod", np.cumprod)):
            y = np.flip(values, axis) if reverse else values
            if exclusive:
                first = np.full_like(np.take(y, [0], axis), 0 if name == "cumsum" else 1)
                y = np.concatenate([first, np.delete(y, -1, axis)], axis)
            y = running(y, axis=axis).astype(dtype)
            add(f"{name}-{axis}-{np.dtype(dtype).name}-{exclusive}{reverse}", name, [values],
                np.flip(y, axis) if reverse else y,
                {"axis": axis, "exclusive": bool(exclusive), "reverse": bool(reverse)})
    for name, op in (("argmax", "ArgMax"), ("argmin", "ArgMin")):
        for axis, keep, last in itertools.product((0, 1, -1), (0, 1), (0, 1)):
            add(f"{name}-{axis}-{keep}{last}", name, [x],
                onnx(op, [x], {"axis": axis, "keepdims": keep, "select_last_index": last}),
                {"axis": axis, "keepdims": bool(keep), "select_last_index": bool(last)})
        function = np.argmax if name == "argmax" else np.argmin
        add(f"{name}-all", name, [x], np.asarray(function(x), np.int64))
        special = np.array([[1, np.nan, 9], [np.inf, -np.inf, 0]], np.float32)
        add(f"{name}-special", name, [special], function(special, axis=1), {"axis": 1})
    for k, axis, largest in itertools.product((0, 1, 3, 4), (0, 1, -1), (True, False)):
        if k > x.shape[axis]:
            continue
        order = np.argsort(-x if largest else x, axis=axis, kind="stable")
        picked = np.take(order, range(k), axis)
        add(f"topk-{k}-{axis}-{largest}", "topk", [x], [np.take_along_axis(x, picked, axis), picked],
            {"k": k, "axis": axis, "largest": largest})
    many = rand("many", (2, 300))
    picked = np.argsort(-many, axis=1, kind="stable")[:, :40]
    add("topk-many", "topk", [many], [np.take_along_axis(many, picked, 1), picked], {"k": 40})
    values = np.array([3, np.nan, 1, np.inf], np.float32)
    add("topk-nan", "topk", [values], [values[[1, 3]], np.array([1, 3])], {"k": 2})
