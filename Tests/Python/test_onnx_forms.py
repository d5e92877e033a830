"""Forms of operators that exporters write and that need sizes which only a run knows: padding SAME, resizes, einsums, geometry,
transforms, sequences and optionals; against ONNX Runtime, or ONNX's reference evaluator and NumPy where it has no kernel."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from onnx.reference import ReferenceEvaluator

import tenon

onnxruntime.set_default_logger_severity(4)
rng = np.random.default_rng(9)


def r(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def info(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, constants=None, opset=20):
    outputs = [info(o, T.FLOAT, None) if isinstance(o, str) else o for o in outputs]
    graph = h.make_graph(nodes, "g", inputs, outputs, [nh.from_array(np.asarray(v), k) for k, v in (constants or {}).items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=9)


def by_runtime(proto):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, feed)


def by_reference(proto):
    evaluator = ReferenceEvaluator(proto)
    return lambda feed: evaluator.run(None, feed)


def check(proto, feeds, oracle=by_runtime, tolerance=2e-5):
    expected = oracle(proto) if oracle in (by_runtime, by_reference) else oracle
    for optimised in (False, True):
        module = tenon.Module.load_onnx(proto.SerializeToString())
        executable = tenon.compile(module.optimize() if optimised else module)
        for feed in feeds:
            got = executable(*feed.values())
            got = list(got) if isinstance(got, (list, tuple)) else [got]
            for a, b in zip(got, expected(feed), strict=True):
                b = np.asarray(b)
                assert a.shape == b.shape and a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=tolerance * 10, atol=tolerance)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool", "AveragePool, padding counted"])
def test_same_padding_over_symbolic_sizes(mode, stride, op):
    attributes = {"auto_pad": mode, "strides": [stride, stride], "kernel_shape": [3, 3]}
    constants = {}
    if op == "Conv":
        constants = {"w": r(4, 3, 3, 3)}
        node = h.make_node("Conv", ["x", "w"], ["y"], **attributes)
    else:
        if "counted" in op:
            attributes["count_include_pad"] = 1
        node = h.make_node(op.split(",")[0], ["x"], ["y"], **attributes)
    proto = model([node], [info("x", T.FLOAT, ["n", 3, "h", "w"])], ["y"], constants, opset=17)
    check(proto, [{"x": r(n, 3, a, b)} for n, a, b in ((1, 8, 8), (2, 9, 7), (1, 5, 12))])


@pytest.mark.parametrize("shape, sizes", [
    (["n", 3, 4, 6], [1, 3, 5, 7]), (["n", 3, "h", "w"], [1, 3, 8, 3]), ([1, 3, 4, 6], [1, 6, 4, 6]),
    (["n", 3, 4, 6], [1, 3, 4, 6]), ([4, 6], [8, 3]), ([1, 3, 4, 6], [1, 5, 8, 6]),
])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_resize_to_constant_sizes(shape, sizes, mode):
    node = h.make_node("Resize", ["x", "", "", "s"], ["y"], mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    proto = model([node], [info("x", T.FLOAT, shape)], ["y"], {"s": np.array(sizes)}, opset=18)
    actual = [{"n": 1, "h": 4, "w": 6}.get(d, d) for d in shape]
    oracle = by_runtime if mode == "nearest" or sizes[1] == shape[1] or len(sizes) == 2 else by_reference
    check(proto, [{"x": r(*actual)}], oracle, 1e-4)


@pytest.mark.parametrize("equation, shapes, symbols", [
    ("...ij,...jk->...ik", [(1, 3, 4), (5, 4, 2)], [["m", 3, 4], ["n", 4, 2]]),
    ("...ij,...jk->...ik", [(5, 1, 3, 4), (6, 4, 2)], None), ("bij,bjk->bik", [(1, 3, 4), (5, 4, 2)], None),
    ("ii->i", [(4, 4)], [["n", "n"]]), ("bii->bi", [(3, 4, 4)], None), ("bii,bi->b", [(3, 4, 4), (3, 4)], None),
    ("ij,j", [(3, 4), (4,)], [["a", "b"], ["b"]]), ("i,j->ij", [(3,), (4,)], None), ("ii", [(4, 4)], None),
])
def test_einsum(equation, shapes, symbols):
    names = "ab"[: len(shapes)]
    node = h.make_node("Einsum", list(names), ["y"], equation=equation)
    feed = {n: r(*s) for n, s in zip(names, shapes)}
    for dims in [shapes] + ([symbols] if symbols else []):
        proto = model([node], [info(n, T.FLOAT, d) for n, d in zip(names, dims)], ["y"])
        check(proto, [feed], lambda f: [np.einsum(equation, *f.values())])


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 5, 6), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("known", [True, False])
def test_affine_grid(corners, size, known):
    spatial = len(size) - 2
    node = h.make_node("AffineGrid", ["t", "s"], ["y"], align_corners=corners)
    feed = {"t": r(2, spatial, spatial + 1)}
    inputs = [info("t", T.FLOAT, ["n", spatial, spatial + 1])]
    if known:
        proto = model([node], inputs, ["y"], {"s": np.array(size)})
    else:
        feed["s"] = np.array(size)
        proto = model([node], inputs + [info("s", T.INT64, [len(size)])], ["y"])
    check(proto, [feed], by_reference)


@pytest.mark.parametrize("axes", [None, [1, 2], [-1, 0]])
@pytest.mark.parametrize("known", [True, False])
def test_center_crop_pad(axes, known):
    wanted = [9, 7, 4] if axes is None else [9, 4]
    node = h.make_node("CenterCropPad", ["x", "s"], ["y"], **({"axes": axes} if axes else {}))
    for shape in (["a", "b", "c"], [5, 8, 6]):
        inputs = [info("x", T.FLOAT, shape)]
        feed = {"x": r(5, 8, 6)}
        if not known:
            inputs.append(info("s", T.INT64, [len(wanted)]))
            feed["s"] = np.array(wanted)
        proto = model([node], inputs, ["y"], {"s": np.array(wanted)} if known else None)
        check(proto, [feed], by_reference)


@pytest.mark.parametrize("attributes", [{}, {"strides": [2, 2]}, {"pads": [1, 0, 0, 1]}, {"dilations": [2, 1], "strides": [1, 3]}])
def test_col2im(attributes):
    image, block = (7, 8), (2, 3)
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    pads = attributes.get("pads", [0] * 4)
    counts = [(image[i] + pads[i] + pads[i + 2] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(2)]
    node = h.make_node("Col2Im", ["x", "i", "b"], ["y"], **attributes)
    proto = model(
        [node], [info("x", T.FLOAT, ["n", 12, "l"])], ["y"], {"i": np.array(image), "b": np.array(block)})
    check(proto, [{"x": r(2, 12, counts[0] * counts[1])}], by_reference)


@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("mask", [False, True])
def test_deformable_convolution(groups, mask):
    group, offset_group = groups
    node = h.make_node(
        "DeformConv", ["x", "w", "o", "b"] + (["m"] if mask else []), ["y"], group=group, offset_group=offset_group,
        kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1])
    shapes = {"x": (2, 4, 7, 6), "w": (6, 4 // group, 3, 2), "o": (2, offset_group * 12, 4, 6), "b": (6,), "m": (2, offset_group * 6, 4, 6)}
    names = list(shapes) if mask else list(shapes)[:4]
    proto = model([node], [info(n, T.FLOAT, shapes[n]) for n in names], ["y"], opset=19)
    check(proto, [{n: r(*shapes[n]) for n in names}], by_reference, 1e-4)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("window", [False, True])
def test_stft(onesided, window):
    node = h.make_node("STFT", ["x", "step", "w" if window else "", "" if window else "l"], ["y"], onesided=onesided)
    constants = {"step": np.array(4)} | ({"w": np.hanning(16).astype("f4")} if window else {"l": np.array(16)})
    proto = model([node], [info("x", T.FLOAT, ["n", "t", 1])], ["y"], constants, opset=17)
    check(proto, [{"x": r(2, t, 1)} for t in (64, 37)], tolerance=1e-4)


def test_sequence_of_slices_that_only_a_run_counts():
    nodes = [
        h.make_node("SplitToSequence", ["x", "one"], ["s"], axis=0), h.make_node("SequenceAt", ["s", "i"], ["y"]),
        h.make_node("SequenceLength", ["s"], ["n"]), h.make_node("ConcatFromSequence", ["s"], ["z"], axis=0),
        h.make_node("SplitToSequence", ["x"], ["t"], axis=0, keepdims=0), h.make_node("SequenceAt", ["t", "i"], ["u"]),
        h.make_node("SplitToSequence", ["x", "two"], ["v"], axis=0), h.make_node("SequenceAt", ["v", "last"], ["w"]),
        h.make_node("ConcatFromSequence", ["t"], ["a"], axis=1, new_axis=1),
    ]
    proto = model(
        nodes, [info("x", T.FLOAT, ["n", 4]), info("i", T.INT64, [])], ["y", info("n", T.INT64, None), "z", "u", "w", "a"],
        {"one": np.array(1), "two": np.array(2), "last": np.array(-1)}, opset=17)
    check(proto, [{"x": r(n, 4), "i": np.array(i)} for n, i in ((5, 2), (4, -1), (1, 0))])


def test_optionals():
    nodes = [
        h.make_node("Optional", ["x"], ["o"]), h.make_node("OptionalGetElement", ["o"], ["e"]),
        h.make_node("OptionalHasElement", ["o"], ["has"]), h.make_node("Relu", ["e"], ["y"]),
        h.make_node("Optional", [], ["none"], type=h.make_tensor_type_proto(T.FLOAT, [4])),
        h.make_node("OptionalHasElement", ["none"], ["hasnot"]),
        h.make_node("If", ["hasnot"], ["z"],
                    then_branch=h.make_graph([h.make_node("Neg", ["x"], ["a"])], "t", [], [info("a", T.FLOAT, [4])]),
                    else_branch=h.make_graph([h.make_node("Abs", ["x"], ["b"])], "e", [], [info("b", T.FLOAT, [4])])),
    ]
    proto = model(nodes, [info("x", T.FLOAT, [4])], ["y", info("has", T.BOOL, []), info("hasnot", T.BOOL, []), "z"], opset=18)
    x = r(4)
    check(proto, [{"x": x}], lambda f: [np.maximum(x, 0), np.array(True), np.array(False), np.abs(x)])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_split_of_a_tensor_of_unknown_rank(axis):
    nodes = [h.make_node("Reshape", ["x", "s"], ["a"]), h.make_node("Split", ["a"], ["b", "c"], axis=axis, num_outputs=2),
             h.make_node("Concat", ["c", "b"], ["y"], axis=axis)]
    proto = model(nodes, [info("x", T.FLOAT, [24]), info("s", T.INT64, ["k"])], ["y", "b"])
    check(proto, [{"x": r(24), "s": np.array(s)} for s in ([4, 6], [2, 2, 6], [3, 8])], by_reference)
