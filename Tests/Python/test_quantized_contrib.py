"""Layers of ONNX Runtime with weights of small integers, against ONNX Runtime or the formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402


def model(nodes, inputs, outputs, constants, opset=17):
    info = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()]
    graph = helper.make_graph(
        nodes, "g", info, [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


def expected(data, inputs):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    # Without VNNI its products of u8 and i8 saturate, unless it is told to be exact.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, inputs)


def found(data, inputs):
    """As it stands and optimised."""
    module = tenon.load(data)
    for optimize in (False, True):
        yield tenon.compile(module, optimize=optimize, threads=1).run(list(inputs.values()))


def compare(data, inputs, **tolerances):
    wanted = expected(data, inputs)
    for results in found(data, inputs):
        for a, b in zip(results, wanted):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, **tolerances)


@pytest.mark.parametrize("x_type, w_type", [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)])
@pytest.mark.parametrize("mask, past, causal", [(None, False, False), ("lengths", False, True), ("ones", True, False)])
def test_attention(x_type, w_type, mask, past, causal, rng):
    batch, tokens, hidden, heads, before = 2, 5, 16, 4, 3
    low = {np.uint8: 0, np.int8: -60}
    x = rng.integers(low[x_type], low[x_type] + 120, (batch, tokens, hidden)).astype(x_type)
    # Small weights: sums of pairs must not saturate in ONNX Runtime on processors without VNNI.
    w = rng.integers(low[w_type], low[w_type] + 60, (hidden, 3 * hidden)).astype(w_type)
    inputs = {"x": x}
    constants = {
        "w": w, "b": rng.normal(size=3 * hidden).astype(np.float32), "xs": np.float32(0.02), "ws": np.float32(0.01),
        "xz": x_type(low[x_type] + 60), "wz": w_type(low[w_type] + 30),
    }
    names = ["x", "w", "b", "xs", "ws", "", "xz", "wz"]
    if mask:
        names[5] = "mask"
        keys = tokens + (before if past else 0)
        inputs["mask"] = np.array([4, 5], np.int32) if mask == "lengths" else (rng.random((batch, keys)) < 0.7).astype(np.int32)
    outputs = ["y"]
    if past:
        names.append("past")
        inputs["past"] = rng.normal(size=(2, batch, heads, before, hidden // heads)).astype(np.float32)
        outputs.append("present")
    node = helper.make_node(
        "QAttention", names, outputs, domain="com.microsoft", num_heads=heads, unidirectional=int(causal))
    data = model([node], inputs, outputs, constants)
    if x_type is np.uint8:
        return compare(data, inputs, rtol=1e-4, atol=1e-4)
    # ONNX Runtime has no kernel for data of i8; the same on real numbers is the formula.
    real = {
        "x": (x.astype(np.float32) - constants["xz"]) * constants["xs"],
        "w": (w.astype(np.float32) - constants["wz"]) * constants["ws"], "b": constants["b"]}
    node = helper.make_node(
        "Attention", ["x", "w", "b", names[5], *(["past"] if past else [])], outputs, domain="com.microsoft", num_heads=heads,
        unidirectional=int(causal))
    plain = {**inputs, "x": real.pop("x")}
    for results in found(data, inputs):
        for a, b in zip(results, expected(model([node], plain, outputs, real), plain)):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("segments, mask", [(True, True), (False, False)])
def test_embedding(dtype, segments, mask, rng):
    batch, tokens, size = 2, 6, 8
    low = 0 if dtype is np.uint8 else -128
    table = lambda *shape: rng.integers(low, low + 256, shape).astype(dtype)  # noqa: E731
    inputs = {"ids": rng.integers(0, 20, (batch, tokens)).astype(np.int32)}
    names = ["ids", "", "word", "position", "", "gamma", "beta", ""]
    constants = {"word": table(20, size), "position": table(10, size), "gamma": table(size), "beta": table(size)}
    if segments:
        names[1], names[4] = "which", "segment"
        inputs["which"] = rng.integers(0, 2, (batch, tokens)).astype(np.int32)
        constants["segment"] = table(2, size)
    if mask:
        names[7] = "mask"
        inputs["mask"] = (rng.random((batch, tokens)) < 0.6).astype(np.int32)
    for suffix, value in (("s", lambda: np.float32(rng.uniform(0.01, 0.02))), ("z", lambda: dtype(low + rng.integers(100, 150)))):
        for part in ("word", "position", "segment", "gamma", "beta"):
            if part == "segment" and not segments:
                names.append("")
                continue
            constants[part + suffix] = value()
            names.append(part + suffix)
    node = helper.make_node("QEmbedLayerNormalization", names, ["y", "m"], domain="com.microsoft", epsilon=1e-12)
    compare(model([node], inputs, ["y", "m"], constants), inputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("w_type", [np.int8, np.uint8])
@pytest.mark.parametrize("columns, states", [(False, False), (True, True)])
def test_lstm(direction, w_type, columns, states, rng):
    steps, batch, size, hidden = 5, 2, 6, 4
    directions = 2 if direction == "bidirectional" else 1
    x = rng.uniform(-1, 1, (steps, batch, size)).astype(np.float32)
    middle = 128 if w_type is np.uint8 else 0
    w, r = (rng.integers(middle - 60, middle + 60, (directions, n, 4 * hidden)).astype(w_type) for n in (size, hidden))
    shape = (directions, 4 * hidden) if columns else (directions,)
    constants = {
        "w": w, "r": r, "b": rng.normal(size=(directions, 8 * hidden)).astype(np.float32) * np.float32(0.3),
        "ws": rng.uniform(0.005, 0.01, shape).astype(np.float32), "rs": rng.uniform(0.005, 0.01, shape).astype(np.float32),
        # ONNX Runtime takes one zero point for all.
        "wz": np.full(shape, middle, w_type), "rz": np.full(shape, middle, w_type),
    }
    inputs = {"x": x}
    names = ["x", "w", "r", "b", "", "", "", "", "ws", "wz", "rs", "rz"]
    if states:
        names[5], names[6] = "h", "c"
        inputs["h"] = rng.uniform(-1, 1, (directions, batch, hidden)).astype(np.float32)
        inputs["c"] = rng.uniform(-1, 1, (directions, batch, hidden)).astype(np.float32)
    node = helper.make_node(
        "DynamicQuantizeLSTM", names, ["y", "yh", "yc"], domain="com.microsoft", hidden_size=hidden, direction=direction)
    data = model([node], inputs, ["y", "yh", "yc"], constants)
    # It rounds data and states to 256 steps at every step; here they stay what they are.
    compare(data, inputs, atol=0.02)
    real = {"w": (w.astype(np.float32) - middle) * constants["ws"].reshape(directions, 1, -1),
            "r": (r.astype(np.float32) - middle) * constants["rs"].reshape(directions, 1, -1)}
    exact = helper.make_node(
        "LSTM", ["x", "w", "r", "b", "", names[5], names[6]], ["y", "yh", "yc"], hidden_size=hidden, direction=direction)
    plain = model([exact], inputs, ["y", "yh", "yc"],
                  {"w": real["w"].transpose(0, 2, 1), "r": real["r"].transpose(0, 2, 1), "b": constants["b"]})
    for results, wanted in zip(found(data, inputs), found(plain, inputs)):
        for a, b in zip(results, wanted):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change, error", [
    ({"ws": np.float32([0.1, 0.1])}, tenon.InvalidShapeError), ({"w": np.zeros((6, 16), np.int8)}, tenon.InvalidShapeError)])
def test_lstm_with_wrong_weights_is_refused(change, error, rng):
    constants = {
        "w": np.zeros((1, 6, 16), np.int8), "r": np.zeros((1, 4, 16), np.int8), "ws": np.float32([0.1]), "rs": np.float32([0.1]),
        "wz": np.int8([0]), "rz": np.int8([0]), **change}
    node = helper.make_node(
        "DynamicQuantizeLSTM", ["x", "w", "r", "", "", "", "", "", "ws", "wz", "rs", "rz"], ["y"], domain="com.microsoft", hidden_size=4)
    with pytest.raises(error):
        tenon.load(model([node], {"x": np.zeros((2, 1, 6), np.float32)}, ["y"], constants))


def operators(rng):
    """One node of every quantised operator that has a kernel in ONNX Runtime: node, inputs, constants."""
    u8 = lambda *shape: rng.integers(0, 256, shape).astype(np.uint8)  # noqa: E731
    i8 = lambda *shape: rng.integers(-128, 128, shape).astype(np.int8)  # noqa: E731
    f = np.float32
    scales = {"as": f(0.02), "az": np.uint8(120), "bs": f(0.03), "bz": np.uint8(130), "ys": f(0.05), "yz": np.uint8(110)}
    ms = {"domain": "com.microsoft"}
    for op in ("QLinearAdd", "QLinearMul"):
        yield helper.make_node(op, ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"], **ms), {"a": u8(2, 8), "b": u8(2, 8)}, scales
    yield (helper.make_node("QLinearConcat", ["ys", "yz", "a", "as", "az", "b", "bs", "bz"], ["y"], axis=1, **ms),
           {"a": u8(2, 3), "b": u8(2, 5)}, scales)
    for op, attributes in (("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.1}), ("QLinearSoftmax", {"opset": 13, "axis": -1})):
        constants = scales if op != "QLinearSoftmax" else {**scales, "ys": f(1 / 256), "yz": np.uint8(0)}
        yield helper.make_node(op, ["a", "as", "az", "ys", "yz"], ["y"], **ms, **attributes), {"a": u8(2, 8)}, constants
    yield (helper.make_node("QLinearAveragePool", ["a", "as", "az", "ys", "yz"], ["y"], kernel_shape=[2, 2], **ms),
           {"a": u8(1, 3, 4, 4)}, scales)
    yield (helper.make_node("QLinearGlobalAveragePool", ["a", "as", "az", "ys", "yz"], ["y"], **ms), {"a": u8(1, 3, 4, 4)}, scales)
    gemm = {"as": f(0.02), "az": np.uint8(120), "b": i8(8, 4) // 2, "bs": f(0.01), "bz": np.int8(0), "c": np.arange(4, dtype=np.int32) * 50}
    yield (helper.make_node("QGemm", ["a", "as", "az", "b", "bs", "bz", "c", "ys", "yz"], ["y"], **ms), {"a": u8(2, 8)},
           {**gemm, "ys": f(0.1), "yz": np.uint8(100)})
    yield helper.make_node("QGemm", ["a", "as", "az", "b", "bs", "bz", "c"], ["y"], **ms), {"a": u8(2, 8)}, gemm
    yield (helper.make_node("MatMulIntegerToFloat", ["a", "b", "as", "bs", "az", "bz", "c"], ["y"], **ms), {"a": u8(2, 8)},
           {**gemm, "bs": rng.uniform(0.01, 0.02, 4).astype(f), "bz": np.zeros(4, np.int8), "c": np.arange(4, dtype=f)})
    yield (helper.make_node("DynamicQuantizeMatMul", ["x", "b", "bs", "", "c"], ["y"], **ms),
           {"x": rng.normal(size=(2, 8)).astype(f)}, {"b": gemm["b"], "bs": f(0.01), "c": np.arange(4, dtype=f)})


@pytest.mark.parametrize("index", range(12))
def test_every_quantised_operator_agrees(index, rng):
    node, inputs, constants = list(operators(rng))[index]
    used = {name: array for name, array in constants.items() if name in node.input}
    data = model([node], inputs, ["y"], used)
    wanted = expected(data, inputs)[0]
    for results in found(data, inputs):
        if wanted.dtype == np.uint8:
            # A quantum: ties, and its softmax of a table.
            assert np.abs(results[0].astype(int) - wanted.astype(int)).max() <= 1
        else:
            np.testing.assert_allclose(results[0], wanted, rtol=1e-4, atol=1e-4)
