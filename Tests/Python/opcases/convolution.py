"""Convolutions against ONNX's reference."""

import numpy as np

from .base import case, f16, f32, f64, bf16, onnx, rand

#: data, weight, strides, padding, dilation, groups
CONV = [
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    ((1, 3, 7, 9), (4, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    ((2, 3, 7, 9), (5, 3, 3, 3), (2, 1), (0, 1, 2, 0), (1, 1), 1),
    ((1, 4, 9, 8), (6, 2, 3, 2), (1, 2), (1, 0, 0, 1), (2, 3), 2),
    ((2, 6, 8, 7), (6, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 6),
    ((1, 6, 9, 9), (12, 1, 5, 5), (2, 2), (2, 2, 2, 2), (1, 1), 6),
    ((1, 16, 5, 13), (9, 16, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    ((3, 5, 6, 6), (7, 5, 1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1),
    ((1, 40, 6, 7), (8, 40, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    ((1, 3, 16, 16), (8, 3, 7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 1),
    ((1, 2, 5, 5), (4, 2, 3, 3), (1, 1), (4, 4, 4, 4), (1, 1), 1),
    ((0, 2, 5, 5), (4, 2, 3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    ((1, 2, 12, 15), (1, 2, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    ((1, 2, 20), (3, 2, 5), (2,), (1, 2), (2,), 1),
    ((2, 4, 11), (4, 1, 3), (1,), (1, 1), (1,), 4),
    ((1, 2, 5, 6, 7), (3, 2, 2, 3, 3), (1, 2, 1), (0, 1, 1, 1, 1, 0), (1, 1, 2), 1),
    ((1, 4, 4, 5, 6), (4, 2, 2, 2, 2), (2, 1, 1), (1, 0, 0, 0, 1, 1), (1, 1, 1), 2),
]
#: data, weight, strides, padding, dilation, groups, output padding
TRANSPOSED = [
    ((1, 3, 4, 5), (3, 2, 3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1, (0, 0)),
    ((2, 4, 4, 5), (4, 3, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1, (1, 0)),
    ((1, 4, 5, 4), (4, 3, 2, 3), (2, 3), (0, 1, 1, 0), (2, 1), 2, (0, 1)),
    ((1, 3, 6), (3, 2, 4), (2,), (1, 0), (1,), 1, (1,)),
    ((1, 2, 3, 4, 3), (2, 3, 2, 2, 3), (1, 2, 2), (0, 1, 0, 1, 0, 1), (1, 1, 1), 1, (0, 1, 0)),
]


def name(prefix, x, w, strides, pads, dilation, groups):
    join = lambda values: "x".join(map(str, values))
    return f"{prefix}-{join(x)}-{join(w)}-s{join(strides)}-p{join(pads)}-d{join(dilation)}-g{groups}"


def cases():
    found = []
    for x, w, strides, pads, dilation, groups in CONV:
        spatial = len(x) - 2
        attrs = {"strides": list(strides), "padding": list(pads), "dilation": list(dilation), "groups": groups}
        label = name(f"conv{spatial}d", x, w, strides, pads, dilation, groups)
        for dtype in [f32] + ([f64, f16, bf16] if x in [(2, 3, 7, 9), (2, 6, 8, 7)] else []):
            data, weight = rand(label, x, dtype, -1, 1), rand(label + "w", w, dtype, -1, 1)
            if x[0] == 0:
                out = np.zeros((0, 4, 3, 3), f32)
            else:
                out = onnx("Conv", [data.astype(f64), weight.astype(f64)],
                           {"strides": strides, "pads": pads, "dilations": dilation, "group": groups,
                            "kernel_shape": w[2:]}).astype(dtype)
            found.append(case(f"{label}-{dtype.name}", f"nn.conv{spatial}d", [data, weight], out, attrs, scale=4))
    for x, w, strides, pads, dilation, groups in CONV:
        spatial = len(x) - 2
        attrs = {"strides": list(strides), "padding": list(pads), "dilation": list(dilation), "groups": groups}
        for data_type, weight_type in [(np.uint8, np.int8), (np.int8, np.uint8)]:
            label = name(f"conv{spatial}d_integer", x, w, strides, pads, dilation, groups) + np.dtype(data_type).name
            data, weight = rand(label, x, data_type, -128, 255), rand(label + "w", w, weight_type, -128, 255)
            zero, zeros = rand(label + "z", (), data_type, -40, 90), rand(label + "wz", w[:1], weight_type, -40, 90)
            less = weight.astype(f64) - zeros.astype(f64).reshape(-1, *[1] * (len(w) - 1))
            if x[0] == 0:
                sums = np.zeros((0, 4, 3, 3))
            else:
                sums = onnx("Conv", [data.astype(f64) - float(zero), less],
                            {"strides": strides, "pads": pads, "dilations": dilation, "group": groups, "kernel_shape": w[2:]})
            found.append(case(label, f"nn.conv{spatial}d_integer", [data, weight, zero, zeros], sums.astype(np.int32), attrs))
            scale, bias = rand(label + "s", w[:1], f32, 0.01, 0.1), rand(label + "b", w[:1], f32)
            per = lambda values: values.reshape(-1, *[1] * spatial)  # noqa: E731
            real = sums.astype(f32) * per(np.float32(0.25) * scale) + per(bias)
            found.append(case(label + "_real", f"nn.quantized_conv{spatial}d",
                              [data, weight, np.float32(0.25), zero, scale, zeros, bias], real.astype(f32), attrs, tol=(1e-6, 1e-5)))
    for dtype in [np.int32, np.int64]:
        data, weight = rand("c", (1, 3, 5, 6), dtype, -5, 5), rand("w", (4, 3, 3, 3), dtype, -5, 5)
        out = onnx("Conv", [data.astype(f64), weight.astype(f64)], {"pads": (1, 1, 1, 1)}).astype(dtype)
        found.append(case(f"conv2d-{np.dtype(dtype).name}", "nn.conv2d", [data, weight], out, {"padding": [1, 1, 1, 1]}))
    for x, w, strides, pads, dilation, groups, extra in TRANSPOSED:
        spatial = len(x) - 2
        attrs = {"strides": list(strides), "padding": list(pads), "dilation": list(dilation), "groups": groups,
                 "output_padding": list(extra)}
        label = name(f"conv{spatial}d_transpose", x, w, strides, pads, dilation, groups)
        for dtype in [f32] + ([f64, f16] if x[0] == 2 else []):
            data, weight = rand(label, x, dtype, -1, 1), rand(label + "w", w, dtype, -1, 1)
            out = transposed(data.astype(f64), weight.astype(f64), strides, pads, dilation, groups, extra).astype(dtype)
            found.append(case(f"{label}-{dtype.name}", f"nn.conv{spatial}d_transpose", [data, weight], out, attrs, scale=4))
    return found


def transposed(x, w, strides, pads, dilation, groups, extra):
    """Each value of the data, times the kernel, added where the window lies."""
    spatial = x.ndim - 2
    full = [(x.shape[i + 2] - 1) * strides[i] + dilation[i] * (w.shape[i + 2] - 1) + 1 + extra[i] for i in range(spatial)]
    each_in, each_out = x.shape[1] // groups, w.shape[1]
    out = np.zeros([x.shape[0], each_out * groups] + full)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            g = c // each_in
            for at in np.ndindex(*x.shape[2:]):
                window = tuple(slice(at[i] * strides[i], at[i] * strides[i] + dilation[i] * (w.shape[i + 2] - 1) + 1, dilation[i])
                               for i in range(spatial))
                for o in range(each_out):
                    out[(n, g * each_out + o) + window] += x[(n, c) + at] * w[c, o]
    inside = tuple(slice(pads[i], full[i] - pads[i + spatial]) for i in range(spatial))
    return out[(slice(None), slice(None)) + inside]
