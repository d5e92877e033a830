"""What a case is, and helpers to make one."""

import importlib
import zlib
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

bf16 = np.dtype(ml_dtypes.bfloat16)
f16, f32, f64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
FLOATS = [f32, f64, f16, bf16]
INTS = [np.dtype(t) for t in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)]

#: Relative and absolute tolerance per element type: a few units in the last place of what is computed in.
TOLERANCE = {f32: (2e-5, 2e-6), f64: (1e-10, 1e-12), f16: (2e-3, 1e-3), bf16: (1.6e-2, 8e-3)}

FAMILIES = [
    "elementwise", "comparison", "linear", "convolution", "pooling", "normalization", "manipulation", "reduction",
    "creation", "indexing", "image", "recurrent", "vision", "dependent", "attention", "quantization",
]


@dataclass
class Shape:
    """A shape literal."""
    dims: list


@dataclass
class DType:
    """An attribute that is an element type."""
    dtype: np.dtype


@dataclass
class Case:
    """One call: `args` are arrays, tuples of arrays, shapes or plain numbers."""
    name: str
    op: str
    args: list
    outputs: list
    attrs: dict = field(default_factory=dict)
    rtol: float = 0.0
    atol: float = 0.0
    #: Some outputs of a tuple may be left unchecked with None.


def case(name, op, args, outputs, attrs=None, tol=None, scale=1.0):
    """A case with the usual tolerance of its first output, times `scale`."""
    if not isinstance(outputs, (list, tuple)):
        outputs = [outputs]
    outputs = [np.asarray(o) for o in outputs]
    rtol, atol = tol or TOLERANCE.get(outputs[0].dtype, (0.0, 0.0))
    return Case(name, op, list(args), outputs, dict(attrs or {}), rtol * scale, atol * scale)


def rng(name):
    """Random numbers that depend on the case's name only."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def rand(name, shape, dtype=f32, low=-3.0, high=3.0):
    r = rng(f"{name}{shape}")
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return r.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return r.integers(max(info.min, int(low)), min(info.max, int(high)) + 1, size=shape).astype(dtype)
    return np.asarray(r.uniform(low, high, size=shape)).astype(dtype)


def wide(x):
    """The type to compute a reference in."""
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype.kind == "f" or x.dtype == bf16 else x


def onnx(op, inputs, attrs=None, opset=22, outputs=1):
    """Results of one ONNX operator in ONNX's reference, for inputs in float64 where that is possible."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, **(attrs or {}))
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
         for n, x in zip(names, inputs) if x is not None],
        [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in results])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    evaluator = ReferenceEvaluator(model)
    found = evaluator.run(None, {n: x for n, x in zip(names, inputs) if x is not None})
    return found[0] if outputs == 1 else found


def all_cases():
    found = []
    for family in FAMILIES:
        found += importlib.import_module(f"{__package__}.{family}").cases()
    names = [c.name for c in found]
    assert len(set(names)) == len(names), "case names repeat"
    return found
