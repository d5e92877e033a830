"""Operators in other layouts: what they compute, by NumPy, and that no permutation is left where none is needed."""

import itertools

import numpy as np
import pytest

import tenon
from tenon import dpl


def convolution(x, w, stride=1, padding=0, groups=1):
    """float64 convolution in NCHW and OIHW, written out."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    parts = []
    for part, kernel in zip(np.split(x, groups, 1), np.split(w.astype(np.float64), groups, 0)):
        windows = np.lib.stride_tricks.sliding_window_view(part, kernel.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
        parts.append(np.einsum("nchwij,ocij->nohw", windows, kernel))
    return np.concatenate(parts, 1)


def ordered(array, given, wanted):
    return np.ascontiguousarray(array.transpose([given.index(letter) for letter in wanted]))


def close(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1)


LAYOUTS = [("NHWC", "OHWI", None), ("NHWC", "HWIO", None), ("NCHW", "HWOI", "NHWC"), ("CNHW", "OIHW", "NCHW"), ("NHWC", "OHWI", "NCHW")]


@pytest.mark.parametrize("data, kernel, out", LAYOUTS)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions(rng, data, kernel, out, groups):
    x, w = rng.standard_normal((2, 4, 9, 7), np.float32), rng.standard_normal((6, 4 // groups, 3, 3), np.float32)
    b = tenon.Builder()
    given = ordered(x, "NCHW", data)
    source = b.parameter("x", given.shape)
    options = {"out_layout": out} if out else {}
    y = b.call("nn.conv2d", source, b.constant(ordered(w, "OIHW", kernel)), strides=2, padding=[1, 1], groups=groups,
               data_layout=data, kernel_layout=kernel, **options)
    module = b.finish(y)
    assert tenon.Module.parse(module.print(with_data=True)) == module
    expected = ordered(convolution(x, w, 2, 1, groups), "NCHW", out or data)
    for stage in (module, module.apply("ExpandOperators"), module.optimize()):
        close(tenon.compile(stage, threads=1)(given), expected)


def test_own_layouts_are_no_attributes():
    conv = "fn @main(%x: f32[1,4,8,8], %w: f32[2,4,3,3]) {{ dataflow {{ %y = nn.conv2d(%x, %w) {} output %y }} return %y }}"
    plain = tenon.Module.parse(conv.format(""))
    said = tenon.Module.parse(conv.format('{data_layout="NCHW", kernel_layout="OIHW", out_layout="NCHW", strides=[1]}'))
    assert said == plain
    binding = plain["main"].graph.bindings[0]
    pattern = dpl.is_op("nn.conv2d")("*", "*")
    assert pattern.has_attr({"data_layout": "NCHW"}).match(binding) and pattern.has_attr({"out_layout": "NCHW"}).match(binding)
    assert not pattern.has_attr({"data_layout": "NHWC"}).match(binding)


@pytest.mark.parametrize("attributes", ['data_layout="NHW"', 'data_layout="NHWCC"', 'data_layout="NCHW4c"', 'kernel_layout="OIHO"', 'out_layout="ABCD"'])
def test_layouts_that_are_none(attributes):
    with pytest.raises(tenon.TenonError, match="order of the letters"):
        tenon.Module.parse(
            f"fn @main(%x: f32[1,4,8,8], %w: f32[2,4,3,3]) {{ %y = nn.conv2d(%x, %w) {{{attributes}}} return %y }}")


def test_wider_results():
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((1, 64, 5, 5)).astype(np.float16), rng.standard_normal((2, 64, 3, 3)).astype(np.float16)
    b = tenon.Builder()
    y = b.call("nn.conv2d", b.parameter("x", x.shape, "f16"), b.constant(w), out_dtype="float32")
    assert y.type == "f32[1,2,3,3]"
    found = tenon.compile(b.finish(y), threads=1)(x)
    close(found, convolution(x.astype(np.float64), w.astype(np.float64)))


@pytest.mark.parametrize("op, numpy", [("nn.max_pool2d", np.max), ("nn.avg_pool2d", np.mean)])
def test_pools(rng, op, numpy):
    x = rng.standard_normal((2, 3, 8, 6), np.float32)
    b = tenon.Builder()
    y = b.call(op, b.parameter("x", (2, 8, 6, 3)), pool_size=2, strides=[2, 2], layout="NHWC")
    module = b.finish(y)
    expected = numpy(x.reshape(2, 3, 4, 2, 3, 2).astype(np.float64), axis=(3, 5))
    for stage in (module, module.optimize()):
        close(tenon.compile(stage, threads=1)(ordered(x, "NCHW", "NHWC")), ordered(expected, "NCHW", "NHWC"))


def test_other_ranks_and_pools(rng):
    x = rng.standard_normal((2, 7, 3), np.float32)
    b = tenon.Builder()
    y = b.call("nn.adaptive_avg_pool1d", b.parameter("x", x.shape), layout="NWC")
    close(tenon.compile(b.finish(y), threads=1)(x), x.astype(np.float64).mean(1, keepdims=True))
    b = tenon.Builder()
    z = b.call("image.resize2d", b.parameter("x", (1, 2, 3, 4)), (4, 6), layout="NHWC", method="nearest_neighbor",
               coordinate_transformation_mode="asymmetric", rounding_method="floor")
    image = rng.standard_normal((1, 2, 3, 4), np.float32)
    close(tenon.compile(b.finish(z), threads=1)(image), image.repeat(2, 1).repeat(2, 2))


def network(layout, rng):
    """A small residual network; what computes it, and its input in that layout."""
    last = layout == "NHWC"
    b = tenon.Builder()
    x = b.parameter("x", (1, 16, 16, 3) if last else (1, 3, 16, 16))
    channel = (lambda c: (1, 1, 1, c)) if last else (lambda c: (1, c, 1, 1))

    def conv(y, inputs, outputs, relu=True, groups=1):
        w = rng.standard_normal((outputs, inputs // groups, 3, 3), np.float32) / np.float32(np.sqrt(inputs * 9 / groups))
        bias = rng.standard_normal(outputs, np.float32).reshape(channel(outputs))
        layouts = {"data_layout": "NHWC", "kernel_layout": "OHWI"} if last else {}
        y = b.call("nn.conv2d", y, b.constant(ordered(w, "OIHW", "OHWI") if last else w), padding=1, groups=groups, **layouts)
        y = b.call("add", y, b.constant(bias))
        return b.call("nn.relu", y) if relu else y

    y = conv(x, 3, 16)
    z = conv(conv(y, 16, 16), 16, 16, relu=False)
    y = b.call("nn.relu", b.call("add", y, z))
    y = b.call("nn.max_pool2d", y, pool_size=2, strides=2, **({"layout": "NHWC"} if last else {}))
    y = conv(y, 16, 16, groups=16)
    y = b.call("concat", b.tuple([y, conv(y, 16, 8)]), axis=-1 if last else 1)
    y = b.call("mean", y, axis=[1, 2] if last else [2, 3])
    return b.finish(b.call("matmul", y, b.constant(rng.standard_normal((24, 5), np.float32))))


def test_a_network_keeps_one_permutation_at_its_door():
    first, last = (network(layout, np.random.default_rng(5)) for layout in ("NCHW", "NHWC"))
    x = np.random.default_rng(6).standard_normal((1, 3, 16, 16), np.float32)
    expected = tenon.compile(first, threads=1)(x)
    optimised = last.optimize()
    close(tenon.compile(optimised, threads=1)(ordered(x, "NCHW", "NHWC")), expected)
    close(tenon.compile(last, threads=1)(ordered(x, "NCHW", "NHWC")), expected)
    assert str(optimised).count("= permute_dims(") == 1


def onnx_network(rng):
    """As TensorFlow's converter writes it: images [n, h, w, c], transposes around every convolution."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, names = [], [], itertools.count()

    def node(op, *inputs, **attributes):
        name = f"t{next(names)}"
        nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def weight(array):
        name = f"w{next(names)}"
        weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(y, inputs, outputs, relu=True):
        w = rng.standard_normal((outputs, inputs, 3, 3), np.float32) / np.float32(np.sqrt(inputs * 9))
        y = node("Conv", node("Transpose", y, perm=[0, 3, 1, 2]), weight(w), pads=[1, 1, 1, 1])
        y = node("Add", node("Transpose", y, perm=[0, 2, 3, 1]), weight(rng.standard_normal(outputs, np.float32)))
        return node("Relu", y) if relu else y

    y = conv("x", 3, 8)
    y = node("Relu", node("Add", y, conv(conv(y, 8, 8), 8, 8, relu=False)))
    y = node("Transpose", y, perm=[0, 3, 1, 2])
    y = node("Transpose", node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), perm=[0, 2, 3, 1])
    y = node("Concat", y, conv(y, 8, 8), axis=3)
    y = node("ReduceMean", y, weight(np.array([1, 2], np.int64)), keepdims=0)
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 12, 12, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def test_files_with_transposes_around_every_convolution(rng):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    model = onnx_network(rng)
    x = rng.standard_normal((1, 12, 12, 3), np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    module = tenon.Module.load_onnx(model.SerializeToString())
    optimised = module.optimize()
    close(tenon.compile(optimised, threads=1)(x), expected)
    assert str(optimised).count("= permute_dims(") == 1


@pytest.mark.parametrize("body", [
    "%p = permute_dims(%c) {axes=[0,2,3,1]} %q = nn.softmax(%p) {axis=3} %r = permute_dims(%q) {axes=[0,3,1,2]}",
    "%p = permute_dims(%c) {axes=[0,2,3,1]} %q = nn.pad(%p) {pad_width=[0,0,1,2,3,4,0,0]} %r = permute_dims(%q) {axes=[0,3,1,2]}",
    "%p = permute_dims(%c) {axes=[0,2,3,1]} %q = sum(%p) {axis=[3], keepdims=true} %r = permute_dims(%q) {axes=[0,3,1,2]}",
    "%p = permute_dims(%c) {axes=[0,2,3,1]} %q = strided_slice(%p, shape[3], shape[1], shape[3]) %r = permute_dims(%q) {axes=[0,3,1,2]}",
    "%p = permute_dims(%c) {axes=[0,2,3,1]} %q = max(%p) {axis=[1]} %r = tanh(%q)",
    "%p = permute_dims(%c) {axes=[3,2,0,1]} %q = subtract(const f32[5](1,2,3,4,5), %p) %r = exp(%q)",
    "%p = permute_dims(%c) {axes=[0,2,3,1]} %q = power(%p, const f32[](2)) %r = add(%q, %p)",
    "%p = permute_dims(%c) {axes=[0,2,3,1]} %q = add(%p, %z) %r = nn.relu(%q)",
])
def test_moving_changes_no_number(rng, body):
    module = tenon.Module.parse(
        "fn @main(%x: f32[2,3,7,8], %w: f32[5,3,3,3], %z: f32[2,5,6,5]) { dataflow { %c = nn.conv2d(%x, %w) "
        + body + " output %r } return %r }")
    shapes = [(2, 3, 7, 8), (5, 3, 3, 3), (2, 5, 6, 5)]
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    moved = module.apply("MoveTransposes", "FoldConstant")
    a, b = (tenon.compile(stage, threads=1)(*arrays) for stage in (module, moved))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(a, tenon.compile(module.optimize(), threads=1)(*arrays), rtol=1e-4, atol=1e-4)
