"""Operators whose number of results depends on the data; exact."""

import numpy as np

from .base import FLOATS, INTS, case, f32, rand


def cases():
    found = []
    add = lambda name, op, args, y, attrs=None: found.append(case(name.replace(" ", ""), op, args, y, attrs, tol=(0, 0)))
    for dtype in [*FLOATS, *INTS, np.dtype(bool)]:
        x = rand("nz", (3, 4, 2), dtype, -1, 1)
        x[x == x.dtype.type(1)] = 0
        add(f"nonzero-{dtype.name}", "nonzero", [x], np.array(np.nonzero(x)))
    for x in [np.array(3, f32), np.array(0, f32)]:
        add(f"nonzero-scalar-{x}", "nonzero", [x], np.array(np.nonzero(x.reshape(1))))
    add("nonzero-empty", "nonzero", [np.zeros((2, 0), f32)], np.zeros((2, 0), np.int64))
    for dtype in [f32, np.dtype(np.int64), np.dtype(np.uint8), np.dtype(bool)]:
        x = np.round(rand("unique", (4, 3), f32, 0, 3)).astype(dtype)
        for axis in (None, 0, 1):
            values, first, inverse, counts = np.unique(x, True, True, True, axis=axis)
            attrs = {} if axis is None else {"axis": axis}
            add(f"unique-{dtype.name}-{axis}", "unique", [x], [values, first, inverse.reshape(-1), counts], attrs)
            order = np.argsort(first, kind="stable")
            rank = np.argsort(order)
            add(f"unique-unsorted-{dtype.name}-{axis}", "unique", [x],
                [np.take(values, order, 0 if axis is None else axis), first[order], rank[inverse.reshape(-1)], counts[order]],
                attrs | {"sorted": False})
    rows = np.array([[1, 0], [2, 5], [1, 0], [2, 5]], f32)
    values, first, inverse, counts = np.unique(rows, True, True, True, axis=0)
    add("unique-rows", "unique", [rows], [values, first, inverse.reshape(-1), counts], {"axis": 0})
    none = np.zeros(0, np.int64)
    add("unique-empty", "unique", [np.zeros(0, f32)], [np.zeros(0, f32), none, none, none])
    x = rand("compress", (3, 4, 2))
    for axis, condition in [(0, [True, False, True]), (1, [False, True]), (-1, [True, True]), (None, [True, False, False, True, True]),
                            (0, [False])]:
        attrs = {} if axis is None else {"axis": axis}
        add(f"compress-{axis}-{len(condition)}", "compress", [x, np.array(condition)], np.compress(condition, x, axis), attrs)

    boxes = rand("boxes", (2, 12, 4), f32, 0, 10)
    boxes[..., 2:] = boxes[..., :2] + rand("sizes", (2, 12, 2), f32, 1, 6)
    scores = rand("scores", (2, 3, 12), f32, 0, 1)
    for most, overlap, threshold, centred in [(5, 0.5, None, 0), (3, 0.3, 0.4, 0), (20, 0.0, 0.1, 0), (0, 0.5, 0.1, 0), (4, 0.2, 0.2, 1)]:
        y = suppress(boxes, scores, most, overlap, threshold, centred)
        attrs = {"max_output_boxes_per_class": most, "iou_threshold": float(f32.type(overlap)), "center_point_box": bool(centred)}
        add(f"nms-{most}-{overlap}-{threshold}-{centred}", "vision.all_class_non_max_suppression", [boxes, scores], y,
            attrs if threshold is None else attrs | {"score_threshold": float(f32.type(threshold))})
    flipped = boxes[..., [2, 3, 0, 1]]
    add("nms-flipped", "vision.all_class_non_max_suppression", [flipped, scores], suppress(boxes, scores, 5, 0.5, None, 0),
        {"max_output_boxes_per_class": 5, "iou_threshold": 0.5})
    return found


def suppress(boxes, scores, most, overlap, threshold, centred):
    rows = []
    for n in range(scores.shape[0]):
        corners = boxes[n].astype(np.float64)
        if centred:
            x, y, w, h = corners.T
            corners = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
        areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        for c in range(scores.shape[1]):
            left = [i for i in np.argsort(-scores[n, c], kind="stable") if threshold is None or scores[n, c, i] > f32.type(threshold)]
            kept = 0
            while left and kept < most:
                best = left.pop(0)
                rows.append([n, c, best])
                kept += 1
                shared = np.prod(np.maximum(np.minimum(corners[best, 2:], corners[left, 2:])
                                            - np.maximum(corners[best, :2], corners[left, :2]), 0), axis=1)
                ratio = shared / (areas[best] + areas[left] - shared)
                left = [i for i, r in zip(left, ratio) if r <= f32.type(overlap)]
    return np.array(rows, np.int64).reshape(-1, 3)
