"""Reading images at any positions, and regions of them."""

import math

import numpy as np

from .base import case, f16, f32, f64, onnx, rand, wide

METHODS = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}


def grid_sample():
    found = []
    for shape, out in [((2, 3, 5, 7), (4, 3)), ((1, 1, 1, 1), (2, 2)), ((1, 2, 6, 4), (0, 3)), ((1, 2, 3, 4, 5), (2, 3, 2))]:
        x = rand("grid-x", shape)
        grid = rand("grid", (shape[0], *out, len(shape) - 2), f32, -1.4, 1.4)
        for method, name in METHODS.items():
            if method == "bicubic" and (len(shape) == 5 or 1 in shape[2:]):
                continue
            for padding in ("zeros", "border", "reflection"):
                for corners in (False, True):
                    # With one pixel and aligned corners, ONNX's reference divides by 0 where it reflects.
                    if padding == "reflection" and corners and 1 in shape[2:]:
                        continue
                    label = f"{method}-{padding}-{corners}-{'x'.join(map(str, shape))}"
                    attrs = {"method": method, "padding_mode": padding, "align_corners": corners}
                    y = np.zeros(shape[:2] + out) if 0 in out else onnx(
                        "GridSample", [x.astype(f64), grid.astype(f64)],
                        {"mode": name, "padding_mode": padding, "align_corners": int(corners)})
                    found.append(case(f"grid_sample-{label}", "image.grid_sample", [x, grid], y.astype(f32), attrs, scale=3))
    for dtype in (f64, f16):
        x = rand("grid-x", (1, 2, 4, 4), dtype)
        grid = np.array([[[-0.5, 0.25], [0.75, -1]]], dtype)[:, :, :].reshape(1, 1, 2, 2)
        y = onnx("GridSample", [x.astype(f64), grid.astype(f64)], {"mode": "linear"})
        found.append(case(f"grid_sample-{dtype.name}", "image.grid_sample", [x, grid], y.astype(dtype)))
    return found


def roi_pool(x, rois, size, scale):
    y = np.zeros((len(rois), x.shape[1], *size))
    for r, (batch, *box) in enumerate(rois):
        left, top, right, bottom = (math.floor(v * scale + 0.5) for v in box)
        height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
        for i in range(size[0]):
            for j in range(size[1]):
                h = [min(max(v + top, 0), x.shape[2]) for v in (math.floor(i * height / size[0]), math.ceil((i + 1) * height / size[0]))]
                w = [min(max(v + left, 0), x.shape[3]) for v in (math.floor(j * width / size[1]), math.ceil((j + 1) * width / size[1]))]
                part = x[int(batch), :, h[0]:h[1], w[0]:w[1]]
                y[r, :, i, j] = part.max(axis=(1, 2)) if part.size else 0
    return y


def regions():
    found = []
    x = rand("roi", (2, 3, 9, 11))
    rois = np.array([[0, 1, 1, 5, 6], [1, 0, 0, 10, 8], [0, 3.3, 2.1, 3.6, 7.9], [1, -2, 4, 14, 12]], f32)
    for size, scale, samples, aligned in [((3, 2), 1.0, 2, False), ((2, 2), 0.5, 2, True), ((3, 3), 1.0, 0, False), ((1, 1), 1.0, 3, True)]:
        for mode in ("avg", "max"):
            y = onnx("RoiAlign", [x.astype(f64), rois[:, 1:].astype(f64), rois[:, 0].astype(np.int64)], {
                "output_height": size[0], "output_width": size[1], "spatial_scale": scale, "sampling_ratio": samples,
                "mode": mode, "coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel"})
            found.append(case(f"roi_align-{size}-{scale}-{samples}-{aligned}-{mode}".replace(" ", ""), "vision.roi_align", [x, rois],
                              y.astype(f32), {"pooled_size": list(size), "spatial_scale": scale, "sample_ratio": samples,
                                              "aligned": aligned, "mode": mode}, scale=3))
    for size, scale in [((3, 2), 1.0), ((2, 4), 0.5)]:
        found.append(case(f"roi_pool-{size}-{scale}".replace(" ", ""), "vision.roi_pool", [x, rois],
                          roi_pool(x, wide(rois), size, scale).astype(f32), {"pooled_size": list(size), "spatial_scale": scale}))
    found.append(case("roi_align-none", "vision.roi_align", [x, rois[:0]], np.zeros((0, 3, 2, 2), f32), {"pooled_size": [2, 2]}))
    return found


def sequences():
    found = []
    add = lambda name, op, args, y, attrs=None: found.append(case(name, op, args, y, attrs, tol=(0, 0)))
    x = rand("seq", (4, 3, 2))
    for time, batch in [(0, 1), (1, 0), (2, 0), (0, 2)]:
        lens = np.array([(i * 2 + 1) % (x.shape[time] + 1) for i in range(x.shape[batch])], np.int64)
        y = x.copy()
        for i, n in enumerate(lens):
            at = [slice(None)] * 3
            at[batch] = slice(i, i + 1)
            to, back = list(at), list(at)
            to[time], back[time] = slice(0, n), slice(n - 1, None, -1) if n else slice(0, 0)
            part = x[tuple(at)]
            local = [slice(None)] * 3
            local[time] = slice(0, n)
            y[tuple(to)] = np.flip(part[tuple(local)], time)
        add(f"reverse_sequence-{time}-{batch}", "reverse_sequence", [x, lens], y, {"seq_axis": time, "batch_axis": batch})
    from .base import Shape
    add("shape_to_tensor", "shape_to_tensor", [Shape([3, 0, 7])], np.array([3, 0, 7]))
    add("size", "size", [x], np.asarray(24))
    add("size-empty", "size", [x[:0]], np.asarray(0))
    for dtype in (f32, f64, f16, np.dtype(np.int8), np.dtype(np.uint16)):
        v = rand("sort", (3, 17), dtype, -9, 9)
        add(f"sort-{dtype.name}", "sort", [v], np.sort(v, axis=1), {"axis": 1})
        add(f"argsort-{dtype.name}", "argsort", [v], np.argsort(v, axis=0, kind="stable"), {"axis": 0})
    add("argsort-int32", "argsort", [v], np.argsort(v, axis=-1, kind="stable").astype(np.int32), {"dtype": np.dtype(np.int32)})
    ties = np.array([2, 1, 2, 1, 3, 1], f32)
    add("argsort-ties-descending", "argsort", [ties], np.argsort(-ties, kind="stable"), {"descending": True})
    special = np.array([1, np.nan, -np.inf, 3, np.inf, -0.0], f32)
    add("sort-nan", "sort", [special], np.sort(special))
    add("sort-empty", "sort", [special[:0]], special[:0])
    v = rand("sort", (2, 5))
    add("sort-descending", "sort", [v], -np.sort(-v, axis=-1), {"descending": True})
    return found


def cases():
    return grid_sample() + regions() + sequences()
