"""Quantised models: every operator against a formula in NumPy's integers, plain and optimised."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RANGE = {np.uint8: (0, 255), np.int8: (-128, 127), np.uint16: (0, 65535), np.int16: (-32768, 32767)}


def saturated(x, zero, dtype):
    low, high = RANGE[dtype]
    return np.clip(np.rint(x) + zero, low, high).astype(dtype)


def quantize(x, scale, zero, dtype):
    return saturated((x / np.float32(scale)).astype(np.float32), zero, dtype)


def model(nodes, inputs, outputs, constants, domain=False, opset=21):
    """An ONNX model; `inputs` by name with their arrays, `outputs` by name."""
    info = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()]
    graph = helper.make_graph(
        nodes, "g", info, [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()])
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("com.microsoft", 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports).SerializeToString()


def runs(data, inputs):
    """Results of the module as it is and optimised, with what the steps of the second are."""
    module = tenon.Module.load_onnx(data)
    plain = tenon.compile(module).run(list(inputs.values()))
    run = tenon.compile(module.optimize(), threads=2)
    fused = run.run(list(inputs.values()))
    return plain, fused, run


def implementations(run):
    return [step.implementation for step in run.profile()]


def conv_sums(x, x_zero, w, w_zero, stride, pad, dilation, groups):
    """Sums of a 2-d convolution in int64; padding is the zero point."""
    x = x.astype(np.int64) - x_zero
    w = w.astype(np.int64) - np.asarray(w_zero, np.int64).reshape(-1, *[1] * (w.ndim - 1))
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    n, c, h, wd = x.shape
    o, ci, kh, kw = w.shape
    oh, ow = (h - (kh - 1) * dilation - 1) // stride + 1, (wd - (kw - 1) * dilation - 1) // stride + 1
    y = np.zeros((n, o, oh, ow), np.int64)
    for g in range(groups):
        for i in range(kh):
            for j in range(kw):
                part = x[:, g * ci:(g + 1) * ci, i * dilation:, j * dilation:][:, :, : (oh - 1) * stride + 1: stride,
                                                                              : (ow - 1) * stride + 1: stride]
                y[:, g * (o // groups):(g + 1) * (o // groups)] += np.einsum(
                    "ncab,oc->noab", part, w[g * (o // groups):(g + 1) * (o // groups), :, i, j])
    return y


def test_halves_go_to_even_before_the_zero_point_is_added():
    x = np.array([0.5, 1.5, 2.5, 3.5, -0.5, 300, -300, np.inf, -np.inf, np.nan], np.float32)
    data = model([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])], {"x": x}, ["y"],
                 {"s": np.float32(1), "z": np.uint8(1)})
    plain, fused, _ = runs(data, {"x": x})
    expected = np.array([1, 3, 3, 5, 1, 255, 0, 255, 0, 1], np.uint8)
    np.testing.assert_array_equal(plain[0], expected)
    np.testing.assert_array_equal(fused[0], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("axis, block", [(None, 0), (0, 0), (1, 0), (-1, 0), (1, 2), (2, 3)])
def test_parameters_per_tensor_axis_and_block(dtype, axis, block, rng):
    x = rng.normal(0, 40, (3, 4, 7)).astype(np.float32)
    if axis is None:
        shape, attributes = (), {}
    elif block:
        shape = tuple(-(-d // block) if i == axis else d for i, d in enumerate(x.shape))
        attributes = {"axis": axis, "block_size": block}
    else:
        shape, attributes = (x.shape[axis],), {"axis": axis}
    low, high = RANGE[dtype]
    scale = rng.uniform(0.1, 2, shape).astype(np.float32)
    zero = rng.integers(low // 4, high // 4 + 1, shape).astype(dtype)

    def spread(p):
        p = np.asarray(p)
        if axis is None:
            return p
        if block:
            return np.take(np.repeat(p, block, axis), range(x.shape[axis]), axis)
        return p.reshape([-1 if i == axis % 3 else 1 for i in range(3)])

    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
             helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes)]
    data = model(nodes, {"x": x}, ["q", "y"], {"s": scale, "z": zero})
    q = saturated(x / spread(scale), spread(zero).astype(np.float64), dtype)
    y = (q.astype(np.int64) - spread(zero).astype(np.int64)).astype(np.float32) * spread(scale)
    for found in runs(data, {"x": x})[:2]:
        np.testing.assert_array_equal(found[0], q)
        np.testing.assert_array_equal(found[1], y)


@pytest.mark.parametrize("values, scale, zero", [
    ([0, 0, 0], 1.0, 0), ([-3, -1, -2], 3 / 255, 255), ([1, 2, 3], 3 / 255, 0), ([-1, 0, 1], 2 / 255, np.rint(1 / (np.float32(2) / np.float32(255))))])
def test_dynamic_quantisation(values, scale, zero):
    x = np.array(values, np.float32)
    data = model([helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])], {"x": x}, ["y", "s", "z"], {})
    for found in runs(data, {"x": x})[:2]:
        np.testing.assert_allclose(found[1], scale, rtol=1e-6)
        assert found[2] == zero
        np.testing.assert_array_equal(found[0], quantize(x, found[1], zero, np.uint8))


@pytest.mark.parametrize("a_type", [np.uint8, np.int8])
@pytest.mark.parametrize("b_type", [np.uint8, np.int8])
@pytest.mark.parametrize("shape", [((5, 7), (7, 3)), ((1, 64), (64, 100)), ((2, 3, 30), (30, 65)), ((2, 4, 9), (2, 9, 5)), ((130, 33), (33, 1))])
@pytest.mark.parametrize("rows", [False, True])
def test_matmul_integer(a_type, b_type, shape, rows, rng):
    a = rng.integers(*RANGE[a_type], shape[0], endpoint=True).astype(a_type)
    b = rng.integers(*RANGE[b_type], shape[1], endpoint=True).astype(b_type)
    if rows and len(shape[0]) != 2:
        pytest.skip("zero points of rows are told for matrices")
    a_zero = rng.integers(*RANGE[a_type], shape[0][-2:-1] if rows else (), endpoint=True).astype(a_type)
    b_zero = rng.integers(*RANGE[b_type], shape[1][-1:] if rows else (), endpoint=True).astype(b_type)
    left = a.astype(np.int64) - (a_zero.astype(np.int64)[:, None] if rows else np.int64(a_zero))
    expected = left @ (b.astype(np.int64) - b_zero.astype(np.int64))
    node = helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["y"])
    for constants in [{"b": b, "az": a_zero, "bz": b_zero}, {"bz": b_zero}]:
        inputs = {n: v for n, v in [("a", a), ("b", b), ("az", a_zero), ("bz", b_zero)] if n not in constants}
        for found in runs(model([node], inputs, ["y"], constants), inputs)[:2]:
            np.testing.assert_array_equal(found[0], expected)


def test_sums_do_not_saturate():
    """What vpmaddubsw would cut: 4,096 products of the largest and of the smallest numbers."""
    for a, b in [(255, 127), (255, -128), (128, -128)]:
        x = np.full((3, 4096), a, np.uint8)
        w = np.full((4096, 40), b, np.int8)
        data = model([helper.make_node("MatMulInteger", ["a", "b"], ["y"])], {"a": x}, ["y"], {"b": w})
        for found in runs(data, {"a": x})[:2]:
            np.testing.assert_array_equal(found[0], np.full((3, 40), 4096 * a * b))
    x = np.full((2, 4096), -128, np.int8)
    w = np.full((4096, 8), -128, np.int8)
    data = model([helper.make_node("MatMulInteger", ["a", "b"], ["y"])], {"a": x}, ["y"], {"b": w})
    for found in runs(data, {"a": x})[:2]:
        np.testing.assert_array_equal(found[0], np.full((2, 8), 4096 * 128 * 128))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("per_column", [False, True])
def test_dynamically_quantised_product_is_one_step(bias, per_column, rng):
    x = rng.normal(0, 2, (2, 9, 30)).astype(np.float32)
    w = rng.integers(-127, 128, (30, 20)).astype(np.int8)
    w_scale = rng.uniform(0.01, 0.1, 20 if per_column else ()).astype(np.float32)
    b = rng.normal(0, 1, 20).astype(np.float32)
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
             helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["i"]),
             helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["s", "ws"], ["ss"]), helper.make_node("Mul", ["f", "ss"], ["m"])]
    if bias:
        nodes.append(helper.make_node("Add", ["m", "b"], ["y"]))
    constants = {"w": w, "ws": w_scale, "wz": np.int8(0)} | ({"b": b} if bias else {})
    data = model(nodes, {"x": x}, ["y" if bias else "m"], constants)
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = np.float32(high - low) / np.float32(255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    q = quantize(x, scale, zero, np.uint8)
    expected = ((q.astype(np.int64) - int(zero)) @ w.astype(np.int64)).astype(np.float32) * (scale * w_scale)
    expected = expected + b if bias else expected
    plain, fused, run = runs(data, {"x": x})
    np.testing.assert_allclose(plain[0], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fused[0], expected, rtol=1e-6, atol=1e-6)
    assert "quantized_matmul" in str(tenon.Module.load_onnx(data).optimize())


CONVOLUTIONS = [
    # inputs, outputs, groups, size, kernel, stride, pad, dilation
    (3, 8, 1, 12, 7, 2, 3, 1), (16, 40, 1, 9, 3, 1, 1, 1), (6, 9, 3, 8, 3, 2, 1, 1), (64, 64, 1, 7, 1, 1, 0, 1), (32, 32, 32, 9, 3, 1, 1, 1),
    (80, 80, 80, 10, 3, 2, 1, 1), (24, 24, 24, 11, 5, 1, 2, 1), (16, 16, 16, 12, 3, 1, 2, 2), (5, 33, 1, 8, 3, 1, 2, 2),
]


@pytest.mark.parametrize("x_type", [np.uint8, np.int8])
@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_convolution(x_type, shape, rng):
    """QLinearConv and the same said with Q and DQ, against sums in integers; padding is the zero point."""
    ci, co, groups, size, kernel, stride, pad, dilation = shape
    x = rng.integers(*RANGE[x_type], (2, ci, size, size), endpoint=True).astype(x_type)
    w = rng.integers(-128, 128, (co, ci // groups, kernel, kernel)).astype(np.int8)
    b = rng.integers(-5000, 5000, co).astype(np.int32)
    x_scale, x_zero, y_scale, y_zero = np.float32(0.02), x_type(11), np.float32(0.7), x_type(-9 if x_type is np.int8 else 120)
    w_scale = rng.uniform(0.002, 0.02, co).astype(np.float32)
    sums = conv_sums(x, int(x_zero), w, 0, stride, pad, dilation, groups) + b.reshape(1, -1, 1, 1)
    ratio = (x_scale * w_scale / y_scale).reshape(1, -1, 1, 1)
    expected = saturated(sums.astype(np.float32) * ratio, int(y_zero), x_type)
    constants = {"xs": x_scale, "xz": x_zero, "w": w, "ws": w_scale, "wz": np.zeros(co, np.int8), "ys": y_scale, "yz": y_zero, "b": b,
                 "bs": x_scale * w_scale, "bz": np.zeros(co, np.int32)}
    attributes = dict(strides=[stride] * 2, pads=[pad] * 4, dilations=[dilation] * 2, group=groups)
    linear = [helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"], **attributes)]
    said = [helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
            helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bf"], axis=0),
            helper.make_node("Conv", ["xf", "wf", "bf"], ["yf"], **attributes),
            helper.make_node("QuantizeLinear", ["yf", "ys", "yz"], ["y"])]
    for nodes in [linear, said]:
        plain, fused, run = runs(model(nodes, {"x": x}, ["y"], constants), {"x": x})
        np.testing.assert_array_equal(fused[0], expected)
        # Single precision between: an element on the edge may fall to the other side.
        difference = np.abs(plain[0].astype(int) - expected.astype(int))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.01
        assert any(name.startswith("int8") for name in implementations(run)), implementations(run)


@pytest.mark.parametrize("relu", [None, "Relu", "Clip"])
def test_convolution_with_bounds(relu, rng):
    x = rng.integers(0, 256, (1, 8, 6, 6)).astype(np.uint8)
    w = rng.integers(-127, 128, (12, 8, 3, 3)).astype(np.int8)
    constants = {"xs": np.float32(0.05), "xz": np.uint8(3), "w": w, "ws": np.float32(0.01), "wz": np.int8(0), "ys": np.float32(0.2),
                 "yz": np.uint8(100), "lo": np.float32(-1.5), "hi": np.float32(6)}
    nodes = [helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
             helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"]),
             helper.make_node("Conv", ["xf", "wf"], ["c"], pads=[1] * 4)]
    last, low, high = "c", -np.inf, np.inf
    if relu == "Relu":
        nodes.append(helper.make_node("Relu", ["c"], ["r"]))
        last, low = "r", 0
    elif relu == "Clip":
        nodes.append(helper.make_node("Clip", ["c", "lo", "hi"], ["r"]))
        last, low, high = "r", -1.5, 6
    nodes.append(helper.make_node("QuantizeLinear", [last, "ys", "yz"], ["y"]))
    sums = conv_sums(x, 3, w, 0, 1, 1, 1, 1).astype(np.float32)
    real = np.clip(sums * (np.float32(0.05) * np.float32(0.01) / np.float32(0.2)), np.float32(low / 0.2), np.float32(high / 0.2))
    plain, fused, run = runs(model(nodes, {"x": x}, ["y"], constants), {"x": x})
    np.testing.assert_array_equal(fused[0], saturated(real, 100, np.uint8))
    assert np.abs(plain[0].astype(int) - fused[0].astype(int)).max() <= 1
    assert any(name.startswith("int8") for name in implementations(run))


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_sum_and_product_of_two_scales(op, dtype, rng):
    a, b = (rng.integers(*RANGE[dtype], (2, 5, 7, 3), endpoint=True).astype(dtype) for _ in range(2))
    p = {"as": np.float32(0.03), "az": dtype(4), "bs": np.float32(0.05), "bz": dtype(7), "cs": np.float32(0.09), "cz": dtype(50)}
    data = model([helper.make_node(op, ["a", "as", "az", "b", "bs", "bz", "cs", "cz"], ["y"], domain="com.microsoft")],
                 {"a": a, "b": b}, ["y"], p, domain=True)
    x, y = (a.astype(np.float64) - 4) * 0.03, (b.astype(np.float64) - 7) * 0.05
    exact = (x + y if op == "QLinearAdd" else x * y) / 0.09
    plain, fused, run = runs(data, {"a": a, "b": b})
    for found in [plain, fused]:
        wrong = found[0] != saturated(exact, 50, dtype)
        # Only where the exact number lies on an edge.
        assert np.all(np.abs(exact[wrong] % 1 - 0.5) < 1e-3)
    assert any(name.startswith("int8") for name in implementations(run))


@pytest.mark.parametrize("op, attributes, function", [
    ("QLinearSigmoid", {}, lambda x: 1 / (1 + np.exp(-x))), ("QLinearLeakyRelu", {"alpha": 0.2}, lambda x: np.where(x > 0, x, 0.2 * x))])
def test_functions_are_tables(op, attributes, function, rng):
    x = np.arange(256, dtype=np.uint8).reshape(1, 4, 8, 8)
    p = {"xs": np.float32(0.05), "xz": np.uint8(100), "ys": np.float32(1 / 200), "yz": np.uint8(10)}
    node = helper.make_node(op, ["x", "xs", "xz", "ys", "yz"], ["y"], domain="com.microsoft", **attributes)
    exact = function((x.astype(np.float64) - 100) * 0.05) * 200
    plain, fused, run = runs(model([node], {"x": x}, ["y"], p, domain=True), {"x": x})
    np.testing.assert_array_equal(plain[0], fused[0])
    wrong = fused[0] != saturated(exact, 10, np.uint8)
    assert np.all(np.abs(exact[wrong] % 1 - 0.5) < 1e-3)
    assert implementations(run) == ["int8_table"]


@pytest.mark.parametrize("counts", [0, 1])
def test_pooling(counts, rng):
    x = rng.integers(0, 256, (2, 20, 9, 9)).astype(np.uint8)
    p = {"xs": np.float32(0.1), "xz": np.uint8(30), "ys": np.float32(0.13), "yz": np.uint8(20)}
    inputs = ["x", "xs", "xz", "ys", "yz"]
    node = helper.make_node("QLinearAveragePool", inputs, ["y"], domain="com.microsoft", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
                            count_include_pad=counts)
    real = np.pad((x.astype(np.float64) - 30) * 0.1, [(0, 0), (0, 0), (1, 1), (1, 1)])
    ones = np.pad(np.ones_like(x, np.float64), [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(real, (3, 3), (2, 3))[:, :, ::2, ::2].sum((-1, -2))
    counted = np.lib.stride_tricks.sliding_window_view(ones, (3, 3), (2, 3))[:, :, ::2, ::2].sum((-1, -2))
    exact = windows / (9 if counts else counted) / 0.13
    plain, fused, run = runs(model([node], {"x": x}, ["y"], p, domain=True), {"x": x})
    for found in [plain, fused]:
        wrong = found[0] != saturated(exact, 20, np.uint8)
        assert np.all(np.abs(exact[wrong] % 1 - 0.5) < 1e-3)
    node = helper.make_node("QLinearGlobalAveragePool", inputs, ["y"], domain="com.microsoft")
    exact = ((x.astype(np.float64) - 30) * 0.1).mean((2, 3), keepdims=True) / 0.13
    plain, fused, run = runs(model([node], {"x": x}, ["y"], p, domain=True), {"x": x})
    for found in [plain, fused]:
        wrong = found[0] != saturated(exact, 20, np.uint8)
        assert np.all(np.abs(exact[wrong] % 1 - 0.5) < 1e-3)
    nodes = [helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["f"]),
             helper.make_node("MaxPool", ["f"], ["m"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
             helper.make_node("QuantizeLinear", ["m", "xs", "xz"], ["y"])]
    plain, fused, run = runs(model(nodes, {"x": x}, ["y"], p), {"x": x})
    expected = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)]), (3, 3), (2, 3))[:, :, ::2, ::2].max((-1, -2))
    np.testing.assert_array_equal(plain[0], expected)
    np.testing.assert_array_equal(fused[0], expected)
    assert "int8_max_pool" in implementations(run)


def test_concatenation_of_scales(rng):
    a, b = (rng.integers(0, 256, (1, c, 4, 4)).astype(np.uint8) for c in (3, 5))
    p = {"as": np.float32(0.1), "az": np.uint8(3), "bs": np.float32(0.2), "bz": np.uint8(9), "ys": np.float32(0.15), "yz": np.uint8(7)}
    node = helper.make_node("QLinearConcat", ["ys", "yz", "a", "as", "az", "b", "bs", "bz"], ["y"], domain="com.microsoft", axis=1)
    exact = np.concatenate([(a.astype(np.float64) - 3) * 0.1, (b.astype(np.float64) - 9) * 0.2], 1) / 0.15
    plain, fused, _ = runs(model([node], {"a": a, "b": b}, ["y"], p, domain=True), {"a": a, "b": b})
    for found in [plain, fused]:
        wrong = found[0] != saturated(exact, 7, np.uint8)
        assert np.all(np.abs(exact[wrong] % 1 - 0.5) < 1e-3)


@pytest.mark.parametrize("w_type, w_zero", [(np.int8, 0), (np.uint8, 131)])
def test_linear_layers(w_type, w_zero, rng):
    x = rng.integers(0, 256, (7, 40)).astype(np.uint8)
    w = rng.integers(*RANGE[w_type], (40, 37), endpoint=True).astype(w_type)
    p = {"xs": np.float32(0.02), "xz": np.uint8(128), "w": w, "ws": np.float32(0.01), "wz": w_type(w_zero), "ys": np.float32(0.4),
         "yz": np.uint8(110)}
    sums = (x.astype(np.int64) - 128) @ (w.astype(np.int64) - w_zero)
    expected = saturated(sums.astype(np.float32) * (p["xs"] * p["ws"] / p["ys"]), 110, np.uint8)
    node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])
    plain, fused, run = runs(model([node], {"x": x}, ["y"], p), {"x": x})
    np.testing.assert_array_equal(fused[0], expected)
    assert np.abs(plain[0].astype(int) - expected).max() <= 1
    assert any(name.startswith("int8") for name in implementations(run))
    c = rng.integers(-3000, 3000, 37).astype(np.int32)
    node = helper.make_node("QGemm", ["x", "xs", "xz", "w", "ws", "wz", "c", "ys", "yz"], ["y"], domain="com.microsoft")
    plain, fused, run = runs(model([node], {"x": x}, ["y"], p | {"c": c}, domain=True), {"x": x})
    expected = saturated((sums + c).astype(np.float32) * (p["xs"] * p["ws"] / p["ys"]), 110, np.uint8)
    np.testing.assert_array_equal(fused[0], expected)


def test_round_trip_through_onnx(tmp_path, rng):
    x = rng.normal(0, 1, (2, 8, 5, 5)).astype(np.float32)
    w = rng.integers(-127, 128, (6, 8, 3, 3)).astype(np.int8)
    p = {"xs": np.float32(0.02), "xz": np.uint8(120), "w": w, "ws": rng.uniform(0.01, 0.02, 6).astype(np.float32), "wz": np.zeros(6, np.int8)}
    nodes = [helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]), helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["f"]),
             helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0), helper.make_node("Conv", ["f", "wf"], ["c"]),
             helper.make_node("QuantizeLinear", ["c", "xs", "xz"], ["y"])]
    module = tenon.Module.load_onnx(model(nodes, {"x": x}, ["y"], p))
    expected = tenon.compile(module).run([x])[0]
    module.save_onnx(tmp_path / "again.onnx")
    onnx.checker.check_model(str(tmp_path / "again.onnx"), full_check=True)
    np.testing.assert_array_equal(tenon.compile(tenon.load(tmp_path / "again.onnx")).run([x])[0], expected)
    assert "dequantize(" in str(module) and "quantize(" in str(module)


@pytest.mark.parametrize("change, words", [
    ({"z": np.zeros(3, np.uint8)}, ["zero_point"]), ({"s": np.ones(5, np.float32)}, ["scale"]), ({"s": np.ones((), np.int32)}, ["scale"])])
def test_wrong_parameters_are_named(change, words, rng):
    x = rng.normal(0, 1, (2, 4)).astype(np.float32)
    constants = {"s": np.float32(1), "z": np.uint8(0)} | change
    data = model([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])], {"x": x}, ["y"], constants)
    with pytest.raises(tenon.TenonError) as caught:
        tenon.Module.load_onnx(data)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("scale", [0.0, -0.5, np.nan, np.inf])
def test_strange_scales_stay_in_single_precision(scale, rng):
    """No kernel for integers takes them, and nothing falls."""
    x = rng.integers(0, 256, (1, 4, 5, 5)).astype(np.uint8)
    nodes = [helper.make_node("DequantizeLinear", ["x", "s", "z"], ["f"]), helper.make_node("MaxPool", ["f"], ["m"], kernel_shape=[2, 2]),
             helper.make_node("QuantizeLinear", ["m", "s", "z"], ["y"])]
    data = model(nodes, {"x": x}, ["y"], {"s": np.float32(scale), "z": np.uint8(5)})
    plain, fused, run = runs(data, {"x": x})
    assert "int8_max_pool" not in implementations(run)
    if scale == -0.5:
        expected = np.lib.stride_tricks.sliding_window_view(x, (2, 2), (2, 3)).min((-1, -2))
        np.testing.assert_array_equal(plain[0], expected)
        np.testing.assert_array_equal(fused[0], expected)


@pytest.mark.parametrize("from_type", [np.float32, np.float64])
@pytest.mark.parametrize("to", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_casts_saturate(from_type, to, rng):
    info = np.iinfo(to)
    x = np.concatenate([rng.uniform(max(info.min, -1000), min(info.max, 1000), 200), [np.nan, np.inf, -np.inf, 1e30, -1e30, 0.99, -0.99]])
    x = x.astype(from_type)
    b = tenon.Builder()
    value = b.call("astype", b.parameter("x", x.shape, dtype=np.dtype(from_type).name), dtype=np.dtype(to))
    found = tenon.compile(b.finish(value))(x)
    finite = np.nan_to_num(x, nan=0.0).astype(np.float64)
    expected = [info.max if v >= info.max else info.min if v <= info.min else int(v) for v in finite.tolist()]
    np.testing.assert_array_equal(found, np.array(expected, dtype=to))


def test_any_batch_is_computed_in_integers(rng):
    """A batch that the run tells takes the integer kernels too, with the results of the reference."""
    b = tenon.Builder()

    def pair(x, scale, zero, dtype):
        scale, zero = b.constant(np.float32(scale)), b.constant(np.array(zero, dtype))
        q = x if isinstance(x, np.ndarray) else b.call("quantize", x, scale, zero, out_dtype=np.dtype(dtype).name)
        return b.call("dequantize", b.constant(q) if isinstance(q, np.ndarray) else q, scale, zero)

    data = pair(b.parameter("x", ("n", 4, 9, 9)), 0.05, 128, np.uint8)
    weights = pair(rng.integers(-127, 128, (8, 4, 3, 3), np.int8), 0.01, 0, np.int8)
    y = b.call("nn.conv2d", data, weights, padding=[1, 1, 1, 1])
    module = b.finish(pair(y, 0.1, 128, np.uint8))
    assert "dnnl.int8_conv2d" in str(module.optimize())
    run, reference = tenon.compile(module), tenon.compile(module, reference=True)
    for n in (1, 3):
        values = rng.standard_normal((n, 4, 9, 9)).astype(np.float32)
        assert np.abs(run(values) - reference(values)).max() <= 0.1001


def turned(values, rank):
    """Values per output beside a result of `rank` dimensions."""
    return np.asarray(values).reshape(-1, *[1] * (rank - 2))


CONVOLUTIONS = [  # x, weight, stride, pad, dilation, groups
    ((2, 3, 9, 8), (5, 3, 3, 3), 2, 1, 1, 1), ((1, 8, 6, 6), (8, 1, 3, 3), 1, 1, 1, 8), ((1, 6, 7, 5), (4, 3, 1, 1), 1, 0, 1, 2),
    ((1, 70, 5, 5), (40, 70, 3, 3), 1, 2, 2, 1)]


@pytest.mark.parametrize("x_type, w_type", [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)])
@pytest.mark.parametrize("shape", CONVOLUTIONS)
@pytest.mark.parametrize("zeros", ["none", "one", "per output"])
def test_integer_convolution(x_type, w_type, shape, zeros, rng):
    x_shape, w_shape, stride, pad, dilation, groups = shape
    x = rng.integers(*RANGE[x_type], x_shape, endpoint=True).astype(x_type)
    w = rng.integers(*RANGE[w_type], w_shape, endpoint=True).astype(w_type)
    x_zero, w_zero = x_type(0), w_type(0)
    names, constants = ["x", "w"], {"w": w}
    if zeros != "none":
        x_zero = x_type(rng.integers(*RANGE[x_type]))
        w_zero = rng.integers(*RANGE[w_type], w_shape[0] if zeros == "per output" else 1).astype(w_type)
        names += ["xz", "wz"]
        constants |= {"xz": x_zero, "wz": w_zero if zeros == "per output" else w_zero[0]}
    node = helper.make_node(
        "ConvInteger", names, ["y"], strides=[stride] * 2, pads=[pad] * 4, dilations=[dilation] * 2, group=groups)
    expected = conv_sums(x, int(x_zero), w, w_zero, stride, pad, dilation, groups)
    plain, fused, run = runs(model([node], {"x": x}, ["y"], constants), {"x": x})
    assert plain[0].dtype == np.int32
    np.testing.assert_array_equal(plain[0], expected)
    np.testing.assert_array_equal(fused[0], expected)
    assert "nn.conv2d_integer" in str(run.module)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_integer_convolution_of_other_dimensions(dimensions, rng):
    x = rng.integers(0, 256, (2, 4, *[6] * dimensions)).astype(np.uint8)
    w = rng.integers(-128, 128, (5, 4, *[3] * dimensions)).astype(np.int8)
    node = helper.make_node("ConvInteger", ["x", "w", "xz"], ["y"], pads=[1] * dimensions * 2)
    real = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * dimensions * 2)
    plain, fused, _ = runs(model([node], {"x": x}, ["y"], {"w": w, "xz": np.uint8(77)}), {"x": x})
    exact = x.astype(np.float64) - 77
    expected, _, _ = runs(model([real], {"x": exact}, ["y"], {"w": w.astype(np.float64)}), {"x": exact})
    np.testing.assert_array_equal(plain[0], expected[0])
    np.testing.assert_array_equal(fused[0], expected[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("shape", CONVOLUTIONS)
def test_dynamically_quantised_convolution_is_one_step(bias, per_channel, shape, rng, tmp_path):
    x_shape, w_shape, stride, pad, dilation, groups = shape
    x = rng.normal(0.2, 1, x_shape).astype(np.float32)
    w = rng.integers(-128, 128, w_shape).astype(np.int8)
    scale = rng.uniform(0.01, 0.1, (w_shape[0], 1, 1) if per_channel else ()).astype(np.float32)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["i"], strides=[stride] * 2, pads=[pad] * 4,
                         dilations=[dilation] * 2, group=groups),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT), helper.make_node("Mul", ["s", "ws"], ["t"]),
        helper.make_node("Mul", ["f", "t"], ["y"]),
    ]
    constants = {"w": w, "ws": scale, "wz": np.int8(3)}
    if bias:
        constants["b"] = rng.normal(size=(1, w_shape[0], 1, 1)).astype(np.float32)
        nodes[-1].output[0] = "p"
        nodes.append(helper.make_node("Add", ["p", "b"], ["y"]))
    data = model(nodes, {"x": x}, ["y"], constants)
    low, high = min(x.min(), 0), max(x.max(), 0)
    step = np.float32(high - low) / np.float32(255)
    zero = int(np.clip(np.rint(-low / step), 0, 255))
    q = quantize(x, step, zero, np.uint8)
    expected = conv_sums(q, zero, w, 3, stride, pad, dilation, groups) * (step * scale) + constants.get("b", 0)
    plain, fused, run = runs(data, {"x": x})
    np.testing.assert_allclose(plain[0], expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(fused[0], expected, rtol=1e-5, atol=1e-4)
    text = str(run.module)
    assert "nn.quantized_conv2d" in text and "= multiply(" not in text and "= add(" not in text
    # Back in ONNX it is what it was.
    path = tmp_path / "model.onnx"
    run.module.save_onnx(path)
    again = tenon.compile(tenon.load(path)).run([x])
    np.testing.assert_allclose(again[0], expected, rtol=1e-5, atol=1e-4)


def test_integer_convolution_pads_unknown_sizes_with_its_zero_point(rng):
    x = rng.integers(0, 256, (1, 2, 7, 7)).astype(np.uint8)
    w = rng.integers(-128, 128, (3, 2, 3, 3)).astype(np.int8)
    node = helper.make_node("ConvInteger", ["x", "w", "xz"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])
    info = [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 2, "h", "w"])]
    graph = helper.make_graph([node], "g", info, [onnx.ValueInfoProto(name="y")], [
        numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.uint8(90), "xz")])
    module = tenon.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    found = tenon.compile(module).run([x])
    np.testing.assert_array_equal(found[0], conv_sums(x, 90, w, 0, 2, 1, 1, 1))


@pytest.mark.parametrize("text, words", [
    ("nn.conv2d_integer(%x, %w, const u8[](1), const i8[2](1, 2))", "weight_zero"),
    ("nn.conv2d_integer(%x, %w, const i8[](1))", "data_zero"), ("nn.conv2d_integer(%x, %w, const u8[2](1, 2))", "data_zero"),
    ("nn.conv2d_integer(%f, %w)", "data"),
    ("nn.quantized_conv2d(%x, %w, const f64[](1), const u8[](1), const f32[](1), const i8[](0))", "data_scale"),
    ("nn.quantized_conv2d(%x, %w, const f32[](1), const u8[](1), const f32[2](1, 2), const i8[](0))", "weight_scale")])
def test_wrong_operands_of_integer_convolutions_are_named(text, words):
    with pytest.raises(tenon.TenonError, match=words):
        tenon.Module.parse(f"fn @main(%x: u8[1,2,5,5], %w: i8[3,2,3,3], %f: f32[1,2,5,5]) {{ %y = {text}  return %y }}")
