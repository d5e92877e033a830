"""Element types of at most 8 bits, value by value, against ml_dtypes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import tenon
from tenon._dtypes import ElementType

NAMES = {
    "f8e4m3fn": "float8_e4m3fn", "f8e4m3fnuz": "float8_e4m3fnuz", "f8e5m2": "float8_e5m2", "f8e5m2fnuz": "float8_e5m2fnuz",
    "f4e2m1": "float4_e2m1fn", "f8e8m0": "float8_e8m0fnu", "u4": "uint4", "i4": "int4", "u2": "uint2", "i2": "int2",
}
BITS = {"u2": 2, "i2": 2, "u4": 4, "i4": 4, "f4e2m1": 4}


def kind(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, NAMES[name]))


def every_value(name: str) -> np.ndarray:
    return np.arange(1 << BITS.get(name, 8), dtype=np.uint8).view(kind(name))


def cast(source: str, target: str, count: int, **attributes) -> tenon.Executable:
    b = tenon.Builder()
    x = b.parameter("x", (count,), source)
    return tenon.compile(b.finish(b.call("astype", x, dtype=ElementType(target), **attributes)))


@pytest.mark.parametrize("target", ["f32", "f64", "f16", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_every_value_to_a_wider_type(name, target):
    values = every_value(name)
    result = cast(name, target, len(values))(values)
    np.testing.assert_array_equal(result.astype(np.float64), values.astype(np.float32).astype(result.dtype).astype(np.float64))


@pytest.mark.parametrize("name", [name for name in NAMES if name[0] == "f" and name != "f8e8m0"])
def test_rounding_to_the_nearest(name):
    values = every_value(name).astype(np.float32)
    values = np.unique(values[np.isfinite(values)])
    # Every value, what lies half way between two, and their neighbours.
    middle = (values[1:] + values[:-1]) / 2
    x = np.concatenate([values, middle, np.nextafter(middle, np.float32(-1e9)), np.nextafter(middle, np.float32(1e9))])
    x = np.concatenate([x, [-0.0, 0.0]]).astype(np.float32)
    result = cast("f32", name, len(x))(x)
    np.testing.assert_array_equal(result.view(np.uint8), x.astype(kind(name)).view(np.uint8))


@pytest.mark.parametrize("name", ["f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz"])
def test_saturation(name):
    largest = float(ml_dtypes.finfo(kind(name)).max)
    x = np.array([largest, largest * 1.01, largest * 4, 1e30, np.inf, -np.inf, -1e30, np.nan], np.float32)
    result = cast("f32", name, len(x))(x).astype(np.float32)
    np.testing.assert_array_equal(result, [largest, largest, largest, largest, largest, -largest, -largest, np.nan])
    plain = cast("f32", name, len(x), saturate=False)(x)
    np.testing.assert_array_equal(plain.astype(np.float32), x.astype(kind(name)).astype(np.float32))


@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
def test_scales(mode):
    x = np.array([1, 1.25, 1.5, 1.75, 2, 3, 1e-40, 3e38, 2.0**-127, np.inf, np.nan, 0.7], np.float32)
    expected = numpy_helper.to_float8e8m0(x, True, mode)
    np.testing.assert_array_equal(
        cast("f32", "f8e8m0", len(x), round_mode=mode)(x).view(np.uint8), np.asarray(expected).view(np.uint8))


@pytest.mark.parametrize("name", ["u4", "i4", "u2", "i2"])
def test_integers(name):
    low, high = int(ml_dtypes.iinfo(kind(name)).min), int(ml_dtypes.iinfo(kind(name)).max)
    # Towards zero, and then the lowest bits, as ONNX and NumPy have it.
    x = np.array([low, high, 0, 1, low - 0.9, high + 0.9, low - 3, high + 9, 1e9, np.nan, 0.99, -0.99], np.float32)
    result = cast("f32", name, len(x))(x)
    np.testing.assert_array_equal(result, np.trunc(np.nan_to_num(x)).astype(np.int64).astype(kind(name)))
    wide = np.arange(-40, 40, dtype=np.int32)
    np.testing.assert_array_equal(cast("i32", name, 80)(wide), wide.astype(kind(name)))


@pytest.mark.parametrize("name", NAMES)
def test_constants_and_movements_in_files(name, tmp_path):
    """As an initialiser, packed in raw_data; through a transposition and a reshape; saved, and loaded again."""
    values = every_value(name)[: 3 * (len(every_value(name)) // 3)].reshape(3, -1)
    number = helper.np_dtype_to_tensor_dtype(values.dtype)
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("Flatten", ["t"], ["f"], axis=0),
        helper.make_node("Cast", ["f"], ["y"], to=TensorProto.FLOAT), helper.make_node("Add", ["y", "x"], ["z"]),
        helper.make_node("Cast", ["x"], ["s"], to=number)]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, values.size])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, values.size]),
         helper.make_tensor_value_info("s", number, [1, values.size])], [numpy_helper.from_array(values, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    x = np.linspace(0, 3, values.size, dtype=np.float32)[None]
    expected = values.T.reshape(1, -1).astype(np.float32) + x
    module = tenon.Module.load_onnx(model.SerializeToString())
    saved = tenon.Module.load_onnx(module.serialize_onnx())
    for each in (module, module.optimize(), saved):
        z, s = tenon.compile(each)(x)
        np.testing.assert_array_equal(z, expected)
        assert s.dtype == values.dtype
    onnx.checker.check_model(onnx.load_from_string(module.serialize_onnx()))
