"""Normalisations and softmax, from their formulas."""

import numpy as np

from .base import case, f16, f32, f64, bf16, rand, wide


def along(x, axis, v):
    return v.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def standard(x, axes, epsilon):
    mean = x.mean(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + epsilon)


def softmax(x, axis):
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
        return e / e.sum(axis=axis, keepdims=True)


def local_response(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    # Not ONNX's reference, which in 1.23 sums over as many channels as there are samples.
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - (size - 1) // 2):c + size // 2 + 1]
        y[:, c] = x[:, c] / (bias + alpha / size * (near**2).sum(axis=1)) ** beta
    return y


def cases():
    found = []
    for shape, axis in [((2, 3, 4, 5), 1), ((3, 5), 1), ((3, 5), -1), ((1, 1), 1), ((2, 3, 4), 0), ((2, 7, 3), 2), ((0, 3), 1),
                        ((2, 3, 1, 1), 1)]:
        for dtype in [f32, f64, f16, bf16] if len(shape) == 4 else [f32]:
            c = shape[axis]
            x, g, b, m = (rand(n, s, dtype) for n, s in zip("xgbm", (shape, (c,), (c,), (c,))))
            v = rand("v", (c,), dtype, 0.5, 2)
            y = (wide(x) - along(x, axis, wide(m))) / np.sqrt(along(x, axis, wide(v)) + 1e-3)
            y = y * along(x, axis, wide(g)) + along(x, axis, wide(b))
            found.append(case(f"batch_norm-{shape}-{axis}-{dtype.name}".replace(" ", ""), "nn.batch_norm", [x, g, b, m, v],
                              [y.astype(dtype), m, v], {"axis": axis, "epsilon": 1e-3}, scale=3))
    x, g, b, m = (rand(n, s) for n, s in zip("xgbm", ((2, 3, 4), (3,), (3,), (3,))))
    v = rand("v", (3,), f32, 0.5, 2)
    mean, variance = wide(x).mean(axis=(0, 2)), wide(x).var(axis=(0, 2))
    y = standard(wide(x), (0, 2), 1e-5) * along(x, 1, g) + along(x, 1, b)
    found.append(case("batch_norm-training", "nn.batch_norm", [x, g, b, m, v],
                      [y.astype(f32), (m * 0.75 + mean * 0.25).astype(f32), (v * 0.75 + variance * 0.25).astype(f32)],
                      {"training": True, "momentum": 0.25}, scale=3))
    y = (wide(x) - along(x, 1, m)) / np.sqrt(along(x, 1, wide(v)) + 1e-5)
    found.append(case("batch_norm-plain", "nn.batch_norm", [x, g, b, m, v], [y.astype(f32), m, v],
                      {"center": False, "scale": False}, scale=3))

    for shape, axes, gamma in [((3, 17), [-1], (17,)), ((2, 3, 4), [1, 2], (3, 4)), ((2, 3, 4), [-1], (4,)), ((1, 1), [1], (1,)),
                               ((2, 3, 4), [2], (1,)), ((2, 3, 5), [1], (3,)), ((0, 4), [1], (4,)), ((2, 3, 4), [0, 1, 2], (2, 3, 4))]:
        for dtype in [f32, f64, f16, bf16] if shape == (3, 17) else [f32]:
            x, g, b = rand("x", shape, dtype), rand("g", gamma, dtype), rand("b", gamma, dtype)
            at = tuple(a % len(shape) for a in axes)
            fit = lambda v: wide(v).reshape([v.shape[at.index(i)] if i in at and v.ndim == len(at) else 1
                                             for i in range(len(shape))]) if v.ndim == len(at) else wide(v)
            label = f"{shape}-{axes}-{gamma}-{dtype.name}".replace(" ", "")
            y = standard(wide(x), at, 1e-5) * fit(g) + fit(b)
            found.append(case(f"layer_norm-{label}", "nn.layer_norm", [x, g, b], y.astype(dtype), {"axes": axes}, scale=3))
            y = wide(x) / np.sqrt((wide(x) ** 2).mean(axis=at, keepdims=True) + 1e-5) * fit(g)
            found.append(case(f"rms_norm-{label}", "nn.rms_norm", [x, g], y.astype(dtype), {"axes": axes}, scale=3))
    for shape, axes in [((2, 3, 4, 5), [2, 3]), ((2, 3, 7), [2]), ((1, 1, 1, 1), [2, 3]), ((2, 4, 3, 2, 2), [2, 3, 4])]:
        for dtype in [f32, f64, f16] if len(shape) == 4 else [f32]:
            c = shape[1]
            x, g, b = rand("x", shape, dtype), rand("g", (c,), dtype), rand("b", (c,), dtype)
            y = standard(wide(x), tuple(axes), 1e-4) * along(x, 1, wide(g)) + along(x, 1, wide(b))
            found.append(case(f"instance_norm-{shape}-{dtype.name}".replace(" ", ""), "nn.instance_norm", [x, g, b],
                              y.astype(dtype), {"axes": axes, "epsilon": 1e-4}, scale=3))
    for shape, axes, groups in [((2, 6, 4, 5), [2, 3], 3), ((2, 6, 4, 5), [2, 3], 6), ((1, 4, 3), [2], 1), ((2, 4, 3, 2, 2), [2, 3, 4], 2)]:
        c = shape[1]
        x, g, b = rand("x", shape), rand("g", (c,)), rand("b", (c,))
        parts = wide(x).reshape(shape[0], groups, -1)
        y = standard(parts, (2,), 1e-5).reshape(shape) * along(x, 1, wide(g)) + along(x, 1, wide(b))
        found.append(case(f"group_norm-{shape}-{groups}".replace(" ", ""), "nn.group_norm", [x, g, b], y.astype(f32),
                          {"axes": axes, "num_groups": groups}, scale=3))
    for shape, axis in [((3, 7), -1), ((3, 7), 0), ((2, 3, 4), 1), ((1,), 0), ((1, 1), 1), ((0, 3), 1), ((5, 100), 1), ((4, 33), 1),
                        ((2, 1, 2, 1, 3, 1), 4)]:
        for dtype in [f32, f64, f16, bf16] if shape == (3, 7) else [f32]:
            x = rand("softmax", shape, dtype, -8, 8)
            y = softmax(wide(x), axis)
            label = f"{shape}-{axis}-{dtype.name}".replace(" ", "")
            found.append(case(f"softmax-{label}", "nn.softmax", [x], y.astype(dtype), {"axis": axis}))
            with np.errstate(divide="ignore"):
                found.append(case(f"log_softmax-{label}", "nn.log_softmax", [x], np.log(y).astype(dtype), {"axis": axis}, scale=2))
    x = np.array([[1e4, 1e4 - 1, 0], [-np.inf, 0, 1]], f32)
    found.append(case("softmax-large", "nn.softmax", [x], softmax(wide(x), 1).astype(f32)))
    for shape, size, attrs in [((1, 7, 3, 2), 3, {}), ((2, 4, 3), 4, {"alpha": 0.01, "beta": 0.5, "bias": 2.0}), ((1, 1, 2, 2), 5, {})]:
        x = rand("lrn", shape)
        y = local_response(wide(x), size, **attrs)
        found.append(case(f"lrn-{shape}-{size}".replace(" ", ""), "nn.lrn", [x], y.astype(f32), {"size": size} | attrs))
    for axis in (0, -1):
        for p in (1, 2):
            x = rand("lp", (3, 4))
            x[1] = 0
            norm = np.linalg.norm(wide(x), ord=p, axis=axis, keepdims=True)
            y = np.divide(wide(x), norm, out=np.zeros_like(wide(x)), where=norm != 0)
            found.append(case(f"lp_normalize-{p}-{axis}", "nn.lp_normalize", [x], y.astype(f32), {"p": p, "axis": axis}))
    return found
