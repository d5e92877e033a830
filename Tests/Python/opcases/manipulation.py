"""Operators that move elements; exact."""

import numpy as np

from .base import Shape, case, f32, onnx, rand

TYPES = [np.float32, np.float64, np.float16, np.int8, np.int64, bool]


def cases():
    found = []
    add = lambda name, op, args, y, attrs=None: found.append(case(name.replace(" ", ""), op, args, y, attrs, tol=(0, 0)))
    for shape, target in [((2, 3, 4), (4, 6)), ((), (1, 1)), ((1,), ()), ((0, 3), (3, 0, 2)), ((2, 3, 4), (-1, 2)), ((6,), (1, 2, 1, 3, 1))]:
        x = rand("x", shape)
        add(f"reshape-{shape}-{target}", "reshape", [x, Shape(list(target))],
            x.reshape(target) if -1 in target or x.size else x.reshape(target))
    for dtype in TYPES:
        x = rand("x", (2, 3, 5), dtype)
        add(f"reshape-{np.dtype(dtype).name}", "reshape", [x, Shape([30])], x.reshape(30))
        add(f"permute-{np.dtype(dtype).name}", "permute_dims", [x], x.transpose(2, 0, 1), {"axes": [2, 0, 1]})
        add(f"concat-{np.dtype(dtype).name}", "concat", [(x, x[:, :1], x)], np.concatenate([x, x[:, :1], x], 1), {"axis": 1})
    for source, target in [(np.float32, np.int32), (np.int32, np.float32), (np.float64, np.uint64), (np.uint8, np.int8),
                           (np.float16, np.int16), (np.float32, np.float32)]:
        x = rand("bits", (3, 5), source, 0, 100)
        add(f"reinterpret-{np.dtype(source).name}-{np.dtype(target).name}", "reinterpret", [x], x.view(target),
            {"dtype": np.dtype(target)})
    add("reinterpret-to-bool", "reinterpret", [np.array([0, 1, 2, 255], np.uint8)], np.array([False, True, True, True]),
        {"dtype": np.dtype(bool)})
    x = rand("bytes", (4, 6))
    add("view-rows", "memory.view", [x, Shape([3, 8])], x.reshape(3, 8))
    add("view-behind", "memory.view", [x, Shape([3])], x.reshape(-1)[2:5], {"relative_byte_offset": 8})
    add("view-integers", "memory.view", [x, Shape([2, 5])], x.view(np.uint16).reshape(-1)[3:13].reshape(2, 5),
        {"dtype": np.dtype(np.uint16), "relative_byte_offset": 6})
    x = rand("x", (2, 3, 4))
    add("flatten", "flatten", [x], x.reshape(-1))
    add("flatten-scalar", "flatten", [np.float32(3).reshape(())], np.array([3], f32))
    add("squeeze-all", "squeeze", [x[:1, :, :1]], x[:1, :, :1].squeeze())
    add("squeeze-one", "squeeze", [x[:1, :, :1]], x[:1, :, :1].squeeze(0), {"axis": [0]})
    add("expand_dims", "expand_dims", [x], x[None, ..., None], {"axis": [0, -1]})
    for shape, axes in [((2, 3), (1, 0)), ((2, 3, 4), (2, 1, 0)), ((2, 3, 4), (0, 2, 1)), ((1, 5, 1), (1, 0, 2)), ((), ()),
                        ((0, 3), (1, 0)), ((2, 3, 4, 5), (0, 2, 3, 1)), ((2, 1, 3, 1, 2, 2), (5, 3, 0, 1, 4, 2)), ((33, 17), (1, 0))]:
        x = rand("x", shape)
        add(f"permute-{shape}-{axes}", "permute_dims", [x], x.transpose(axes), {"axes": list(axes)})
    add("permute-default", "permute_dims", [rand("x", (2, 3, 4))], rand("x", (2, 3, 4)).T)
    for shape, target in [((3, 1), (2, 3, 4)), ((), (2, 2)), ((1,), (0,)), ((2, 3), (2, 3)), ((1, 3, 1, 1), (2, 3, 2, 2))]:
        x = rand("x", shape)
        add(f"broadcast_to-{shape}-{target}", "broadcast_to", [x, Shape(list(target))], np.broadcast_to(x, target))
    parts = [rand("a", (2, 0, 3)), rand("b", (2, 4, 3)), rand("c", (2, 1, 3))]
    add("concat-empty-part", "concat", [tuple(parts)], np.concatenate(parts, 1), {"axis": 1})
    add("concat-0", "concat", [tuple(p.reshape(-1) for p in parts)], np.concatenate([p.reshape(-1) for p in parts]), {"axis": 0})
    add("concat-last", "concat", [(x := rand("x", (3, 1, 2)), x + 1)], np.concatenate([x, x + 1], -1), {"axis": -1})
    add("concat-one", "concat", [(x,)], x, {"axis": 0})
    for axis in (0, 1, -1):
        add(f"stack-{axis}", "stack", [(x[:, 0], x[:, 0] + 1)], np.stack([x[:, 0], x[:, 0] + 1], axis), {"axis": axis})
    x = rand("x", (4, 7, 2))
    for sections, axis, cut in [(2, 0, [2]), (3, 1, [3, 6]), (7, 1, list(range(1, 7))), (2, -1, [1]), (1, 0, []), (5, 1, [2, 4, 6, 7])]:
        add(f"split-{sections}-{axis}", "split", [x], np.split(x, cut, axis), {"sections": sections, "axis": axis})
    for cut, axis in [([2, 5], 1), ([0, 1], 0), ([3, 3], 1), ([], 0)]:
        add(f"split-at-{cut}-{axis}", "split", [x], np.split(x, cut, axis), {"indices": cut, "axis": axis})
    for repeats in [(2, 1, 3), (2,), (1, 1, 2, 2), (0, 1, 1)]:
        add(f"tile-{repeats}", "tile", [x], np.tile(x, repeats), {"repeats": list(repeats)})
    add("repeat", "repeat", [x], np.repeat(x, 3, 1), {"repeats": 3, "axis": 1})
    for axis in (0, 1, 2):
        add(f"flip-{axis}", "flip", [x], np.flip(x, axis), {"axis": axis})
    add("flip-empty", "flip", [x[:0]], x[:0], {"axis": 0})

    big, small = 2**63 - 1, -(2**63)
    x = rand("x", (5, 7, 3))
    for axes, begin, end, strides in [([0], [1], [4], None), ([1], [-3], [big], [1]), ([0, 2], [0, 1], [5, 3], [2, 1]),
                                      ([1], [-1], [small], [-1]), ([1], [5], [1], [-2]), ([0], [3], [3], [1]), ([0], [4], [2], [1]),
                                      ([1], [-100], [100], [3]), ([-1], [0], [-1], [1]), ([0, 1, 2], [1, 2, 0], [3, 6, 2], [1, 3, 1]),
                                      ([1], [big], [small], [-3])]:
        index = [slice(None)] * 3
        for i, axis in enumerate(axes):
            step = 1 if strides is None else strides[i]
            stop = None if step < 0 and end[i] == small else end[i]
            index[axis] = slice(begin[i], stop, step)
        add(f"strided_slice-{axes}-{begin}-{end}-{strides}", "strided_slice",
            [x, Shape(axes), Shape(begin), Shape(end)] + ([] if strides is None else [Shape(strides)]), x[tuple(index)])
    add("strided_slice-empty", "strided_slice", [x[:0], Shape([0]), Shape([0]), Shape([2])], x[:0])

    modes = [("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
    for mode, numpy_mode in modes:
        for shape, widths in [((4, 5), [1, 2, 2, 1]), ((4, 5), [0, 0, 3, 3]), ((3,), [2, 2]), ((2, 3, 4, 5), [0, 0, 0, 0, 1, 1, 2, 2]),
                              ((1, 2, 3, 3), [0, 0, 1, 1, 0, 2, 2, 0])]:
            x = rand("pad", shape)
            pairs = list(zip(widths[::2], widths[1::2]))
            extra = {"constant_values": 1.5} if mode == "constant" else {}
            add(f"pad-{mode}-{shape}-{widths}", "nn.pad", [x], np.pad(x, pairs, numpy_mode, **extra),
                {"pad_width": widths, "pad_mode": mode, "pad_value": 1.5})
    x = rand("pad", (4, 5))
    add("pad-cuts", "nn.pad", [x], x[1:, :4], {"pad_width": [-1, 0, 0, -1]})
    add("pad-cuts-and-fills", "nn.pad", [x], np.pad(x[1:], [(0, 2), (1, 0)]), {"pad_width": [-1, 2, 1, 0]})
    add("pad-empty", "nn.pad", [x[:0]], np.zeros((2, 5), f32), {"pad_width": [1, 1, 0, 0]})
    add("pad-scalar", "nn.pad", [np.float32(3).reshape(())], np.float32(3).reshape(()), {"pad_width": []})
    for dtype in (np.int8, np.int64, np.float16):
        x = rand("pad", (2, 3), dtype)
        add(f"pad-{np.dtype(dtype).name}", "nn.pad", [x], np.pad(x, [(1, 0), (0, 2)], constant_values=7),
            {"pad_width": [1, 0, 0, 2], "pad_value": 7.0})
    x = rand("blocks", (2, 12, 2, 3))
    for mode in ("DCR", "CRD"):
        add(f"depth_to_space-{mode}", "nn.depth_to_space", [x], onnx("DepthToSpace", [x], {"blocksize": 2, "mode": mode}),
            {"block_size": 2, "mode": mode})
    x = rand("blocks", (2, 3, 4, 6))
    add("space_to_depth", "nn.space_to_depth", [x], onnx("SpaceToDepth", [x], {"blocksize": 2}), {"block_size": 2})
    return found
