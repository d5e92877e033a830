"""Pooling, window by window."""

import itertools
import math

import numpy as np

from .base import case, f16, f32, f64, rand, wide

#: data, window, strides, padding, dilation, ceil_mode
POOL = [
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), False),
    ((2, 3, 7, 9), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), False),
    ((1, 2, 8, 7), (2, 3), (2, 1), (0, 1, 1, 0), (1, 1), False),
    ((1, 2, 8, 8), (3, 3), (2, 2), (0, 0, 0, 0), (1, 1), True),
    ((1, 2, 7, 7), (2, 2), (2, 2), (0, 0, 1, 1), (1, 1), True),
    ((1, 2, 9, 9), (2, 3), (1, 2), (1, 1, 0, 1), (2, 2), False),
    ((0, 2, 5, 5), (2, 2), (1, 1), (0, 0, 0, 0), (1, 1), False),
    ((2, 3, 10), (3,), (2,), (1, 0), (1,), False),
    ((1, 2, 5, 6, 4), (2, 3, 2), (2, 1, 2), (1, 1, 0, 0, 1, 0), (1, 1, 1), False),
]


def windows(size, out, kernel, stride, begin, dilation):
    for position in range(out):
        start = position * stride - begin
        yield [start + k * dilation for k in range(kernel)]


def sizes(x, kernel, strides, pads, dilation, ceil_mode):
    spatial = len(kernel)
    for i in range(spatial):
        room = x[i + 2] + pads[i] + pads[i + spatial] - dilation[i] * (kernel[i] - 1) - 1
        steps = room / strides[i]
        out = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
        # The last window must begin inside the data or before it.
        if ceil_mode and (out - 1) * strides[i] >= x[i + 2] + pads[i]:
            out -= 1
        yield out


def pool(x, kernel, strides, pads, dilation, ceil_mode, kind, include_pad=False):
    spatial = len(kernel)
    out = list(sizes(x.shape, kernel, strides, pads, dilation, ceil_mode))
    y = np.zeros(list(x.shape[:2]) + out)
    axes = [list(windows(x.shape[i + 2], out[i], kernel[i], strides[i], pads[i], dilation[i])) for i in range(spatial)]
    for at in itertools.product(*[range(o) for o in out]):
        picks = [[p for p in axes[i][at[i]] if 0 <= p < x.shape[i + 2]] for i in range(spatial)]
        values = x[(slice(None), slice(None)) + np.ix_(*picks)].reshape(*x.shape[:2], math.prod(map(len, picks)))
        if kind == "max":
            y[(slice(None), slice(None)) + at] = values.max(axis=2)
        else:
            count = values.shape[2]
            if include_pad:
                count = math.prod(
                    sum(1 for p in axes[i][at[i]] if p < x.shape[i + 2] + pads[i + spatial]) for i in range(spatial))
            y[(slice(None), slice(None)) + at] = values.sum(axis=2) / count
    return y


def positions(x, kernel, strides, pads, dilation, ceil_mode, column_major=False):
    """Where the largest values stand, the first of equal ones; NaN counts as largest."""
    spatial = len(kernel)
    out = list(sizes(x.shape, kernel, strides, pads, dilation, ceil_mode))
    places = np.zeros(list(x.shape[:2]) + out, np.int64)
    plane = x.shape[2:]
    counts = np.arange(math.prod(plane)).reshape(plane[::-1]).T if column_major else np.arange(math.prod(plane)).reshape(plane)
    axes = [list(windows(plane[i], out[i], kernel[i], strides[i], pads[i], dilation[i])) for i in range(spatial)]
    for at in itertools.product(*[range(o) for o in out]):
        picks = np.ix_(*[[p for p in axes[i][at[i]] if 0 <= p < plane[i]] for i in range(spatial)])
        inside = counts[picks].reshape(-1)
        for n, c in itertools.product(range(x.shape[0]), range(x.shape[1])):
            best = np.argmax(x[n, c][picks].reshape(-1))
            places[(n, c) + at] = (n * x.shape[1] + c) * math.prod(plane) + inside[best]
    return places


def adaptive(x, out, kind):
    y = np.zeros(list(x.shape[:2]) + list(out))
    for at in itertools.product(*[range(o) for o in out]):
        picks = [slice(a * n // o, -(-(a + 1) * n // o)) for a, o, n in zip(at, out, x.shape[2:])]
        values = x[(slice(None), slice(None)) + tuple(picks)].reshape(*x.shape[:2], -1)
        y[(slice(None), slice(None)) + at] = values.max(axis=2) if kind == "max" else values.mean(axis=2)
    return y


def cases():
    found = []
    for shape, kernel, strides, pads, dilation, ceil_mode in POOL:
        spatial = len(kernel)
        attrs = {"pool_size": list(kernel), "strides": list(strides), "padding": list(pads), "dilation": list(dilation),
                 "ceil_mode": ceil_mode}
        label = "-".join("x".join(map(str, v)) for v in (shape, kernel, strides, pads, dilation)) + ("-ceil" if ceil_mode else "")
        for dtype in [f32] + ([f64, f16] if shape == (2, 3, 7, 9) else []):
            x = rand(label, shape, dtype)
            args = (wide(x), kernel, strides, pads, dilation, ceil_mode)
            found.append(case(f"max_pool{spatial}d-{label}-{dtype.name}", f"nn.max_pool{spatial}d", [x],
                              pool(*args, "max").astype(dtype), attrs))
            for column_major in (False, True):
                found.append(case(
                    f"max_pool{spatial}d-indices-{label}-{dtype.name}{'-columns' if column_major else ''}",
                    f"nn.max_pool{spatial}d_with_indices", [x],
                    [pool(*args, "max").astype(dtype), positions(*args, column_major)],
                    attrs | {"column_major": column_major}))
            for include in (False, True):
                found.append(case(f"avg_pool{spatial}d-{label}-{dtype.name}{'-padded' if include else ''}",
                                  f"nn.avg_pool{spatial}d", [x], pool(*args, "avg", include).astype(dtype),
                                  attrs | {"count_include_pad": include}))
    for dtype in (np.int8, np.uint8):
        x = rand("pool", (1, 2, 5, 5), dtype, -100, 200)
        attrs = {"pool_size": [3, 3], "strides": [1, 1], "padding": [1, 1, 1, 1]}
        y = pool(x.astype(f64), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), False, "max")
        found.append(case(f"max_pool2d-{np.dtype(dtype).name}", "nn.max_pool2d", [x], y.astype(dtype), attrs))
    x = np.arange(16, dtype=f32).reshape(1, 1, 4, 4)
    x[0, 0, 1, 1] = np.nan
    found.append(case("max_pool2d-nan", "nn.max_pool2d", [x], pool(x, (2, 2), (2, 2), (0,) * 4, (1, 1), False, "max").astype(f32),
                      {"pool_size": [2, 2], "strides": [2, 2]}))
    found.append(case("max_pool2d-indices-nan", "nn.max_pool2d_with_indices", [x],
                      [pool(x, (2, 2), (2, 2), (0,) * 4, (1, 1), False, "max").astype(f32),
                       positions(x, (2, 2), (2, 2), (0,) * 4, (1, 1), False)], {"pool_size": [2, 2], "strides": [2, 2]}))
    x = np.array([[[[1, 7, 7], [7, 2, 7]]]], np.int32)
    found.append(case("max_pool2d-indices-equal", "nn.max_pool2d_with_indices", [x],
                      [np.array([[[[7, 7]]]], np.int32), np.array([[[[1, 1]]]])], {"pool_size": [2, 2]}))
    for shape, out in [((2, 3, 7, 9), (1, 1)), ((2, 3, 7, 9), (3, 4)), ((1, 2, 3, 3), (5, 5)), ((1, 1, 1, 1), (1, 1)),
                       ((2, 3, 10), (4,)), ((1, 2, 4, 5, 6), (1, 1, 1)), ((1, 2, 4, 5, 6), (2, 3, 4))]:
        x = rand("adaptive", shape)
        for kind in ("avg", "max"):
            op = f"nn.adaptive_{kind}_pool{len(out)}d"
            found.append(case(f"{op}-{shape}-{out}".replace(" ", ""), op, [x], adaptive(wide(x), out, kind).astype(f32),
                              {"output_size": list(out)}))
    return found
