"""QuantizeLinear and DequantizeLinear of every type that they know, against ONNX's own implementation."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

INTEGERS = ["INT4", "UINT4", "INT2", "UINT2", "INT8", "UINT8", "INT16", "UINT16"]
FLOATS = ["FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT4E2M1"]
SHAPE = (3, 4, 9)
#: Axis, block, and the shape of the scale.
PLACES = [(None, 0, ()), (1, 0, (4,)), (-1, 0, (9,)), (1, 2, (3, 2, 9)), (-1, 4, (3, 4, 3))]


def numpy_type(kind):
    return np.dtype(helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind)))


def model(op, feeds, target, **attributes):
    info = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()]
    node = helper.make_node(op, list(feeds), ["y"], **attributes)
    shape = feeds["x"].shape
    graph = helper.make_graph([node], "g", info, [helper.make_tensor_value_info("y", target, shape)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)


def check(op, feeds, target, **attributes):
    """What ONNX computes, plain and optimised, and again from the model that is written."""
    proto = model(op, feeds, target, **attributes)
    with np.errstate(all="ignore"):
        expected = ReferenceEvaluator(proto).run(None, feeds)[0]
    module = tenon.Module.load_onnx(proto.SerializeToString())
    written = module.serialize_onnx()
    onnx.checker.check_model(written, full_check=True)
    for run in [tenon.compile(module, optimize=False), tenon.compile(module), tenon.compile(tenon.Module.load_onnx(written))]:
        found = run.run(list(feeds.values()))[0]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.astype(np.float64), expected.astype(np.float64))
    return expected


@pytest.mark.parametrize("axis, block, form", PLACES)
@pytest.mark.parametrize("kind", INTEGERS + FLOATS)
def test_there_and_back(kind, axis, block, form, rng):
    target = getattr(TensorProto, kind)
    dtype = numpy_type(kind)
    place = {} if axis is None else {"axis": axis}
    place |= {"block_size": block} if block else {}
    for real, precision in [("FLOAT", None), ("FLOAT16", None), ("BFLOAT16", None), ("FLOAT", "FLOAT16"), ("FLOAT16", "FLOAT")]:
        x = (rng.standard_normal(SHAPE) * rng.choice([1, 30, 2000], SHAPE)).astype(numpy_type(real))
        scale = rng.uniform(0.3, 2, form).astype(numpy_type(real))
        feeds = {"x": x, "scale": np.asarray(scale)}
        if kind in INTEGERS:
            feeds["zero"] = np.asarray(rng.integers(0, 2, form)).astype(dtype)
        else:
            x.flat[:5] = np.array([np.inf, -np.inf, -0.0, np.nan if kind != "FLOAT4E2M1" else 7, 1e-6]).astype(x.dtype)
        attributes = place | ({} if "zero" in feeds else {"output_dtype": target})
        if precision:
            attributes["precision"] = getattr(TensorProto, precision)
        q = check("QuantizeLinear", feeds, target, **attributes)
        if kind.startswith("FLOAT8"):
            q = check("QuantizeLinear", feeds, target, saturate=0, **attributes)
        check("DequantizeLinear", feeds | {"x": q}, getattr(TensorProto, real), **place)
        if real != "FLOAT":
            check("DequantizeLinear", feeds | {"x": q, "scale": feeds["scale"].astype(np.float32)}, TensorProto.FLOAT, **place)


@pytest.mark.parametrize("kind", ["FLOAT8E5M2", "FLOAT8E4M3FN", "INT4"])
def test_only_integers_cancel(kind):
    """Infinity and NaN would not come back as they were."""
    name = {"FLOAT8E5M2": "f8e5m2", "FLOAT8E4M3FN": "f8e4m3fn", "INT4": "i4"}[kind]
    zero = f"const {name}[](0)"
    module = tenon.Module.parse(f"""
        fn @main(%q: {name}[4]) {{
          dataflow {{
            %x = dequantize(%q, const f32[](0.5), {zero})
            %y = quantize(%x, const f32[](0.5), {zero}) {{out_dtype={name}}}
            %a = dequantize(%q, const f32[](0.5), {zero})
            %b = concat((%a, %a)) {{axis=0}}
            %z = quantize(%b, const f32[](0.5), {zero}) {{out_dtype={name}}}
            output %y, %z
          }}
          return (%y, %z)
        }}""")
    values = {"FLOAT8E5M2": [np.inf, -np.inf, 1, np.nan], "FLOAT8E4M3FN": [1, 2, -3, np.nan], "INT4": [-8, 7, 0, 1]}[kind]
    q = np.array(values, np.float32).astype(numpy_type(kind))
    plain = [y.astype(np.float32) for y in tenon.compile(module, optimize=False).run([q])]
    for a, b in zip(tenon.compile(module).run([q]), plain):
        np.testing.assert_array_equal(a.astype(np.float32), b)
    assert kind != "FLOAT8E5M2" or plain[0][0] == plain[1][4] == 57344
    assert ("dequantize(" in str(module.optimize())) == (kind != "INT4")


@pytest.mark.parametrize("real, expected", [("f32", True), ("bf16", False)])
def test_integers_cancel_over_numbers_that_tell_them_apart(real, expected):
    module = tenon.Module.parse(f"""
        fn @main(%q: u8[256]) {{
          %x = dequantize(%q, const f32[](0.3), const u8[](0)) {{out_dtype={real}}}
          %y = quantize(%x, const f32[](0.3), const u8[](0)) {{out_dtype=u8}}
          return %y
        }}""")
    q = np.arange(256, dtype=np.uint8)
    plain = tenon.compile(module, optimize=False).run([q])[0]
    np.testing.assert_array_equal(tenon.compile(module).run([q])[0], plain)
    assert np.array_equal(plain, q) == expected


def test_integers_as_scales():
    x, scale = np.array([7, -7, 9, 2**30 + 1], np.int32), np.asarray(3, np.int32)
    data = model("QuantizeLinear", {"x": x, "scale": scale}, TensorProto.INT16, output_dtype=TensorProto.INT16)
    found = tenon.compile(tenon.Module.load_onnx(data.SerializeToString())).run([x, scale])[0]
    np.testing.assert_array_equal(found, [2, -2, 3, 32767])


def test_types_that_contradict():
    feeds = {"x": np.ones(3, np.float32), "scale": np.float32(1).reshape(()), "zero": np.zeros((), np.uint8)}
    data = model("QuantizeLinear", feeds, TensorProto.INT8, output_dtype=TensorProto.INT8)
    with pytest.raises(tenon.TenonError, match="output_dtype"):
        tenon.Module.load_onnx(data.SerializeToString())
    for text in ["quantize(%x, %s, %z) {out_dtype=f8e8m0}", "quantize(%x, %s, %z) {out_dtype=u4, precision=i32}"]:
        with pytest.raises(tenon.TenonError, match="out_dtype|precision"):
            tenon.Module.parse(f"fn @main(%x: f32[3], %s: f32[], %z: u4[]) {{ %y = {text}  return %y }}")
