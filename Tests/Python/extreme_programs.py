"""Small programs with extreme values, drawn from a seed, and the comparison of every way to run them.

As a script it goes on for as many programs as it is told: ``python extreme_programs.py 1000000``.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_add import Add
from onnx.reference.ops.op_batch_normalization import BatchNormalization_14
from onnx.reference.ops.op_conv import Conv
from onnx.reference.ops.op_exp import Exp
from onnx.reference.ops.op_matmul import MatMul
from onnx.reference.ops.op_reduce_mean import ReduceMean_18
from onnx.reference.ops.op_reduce_sum import ReduceSum_13
from onnx.reference.ops.op_sigmoid import Sigmoid
from onnx.reference.ops.op_softmax import Softmax
from onnx.reference.ops.op_softplus import Softplus
from onnx.reference.ops.op_sub import Sub

import tenon

F = np.float32
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], F)
#: The size that ordinary values of a program have. Sums of very different ones would hide what is wrong with the small.
SIZES = [1.0, 1.0, 1.0, 1e-30, 1e25, 100.0, 1e-6]
ENDS = np.array([0, 1, -1, 2**31 - 1, -(2**31), 2**53 + 1, -(2**53) - 1, 2**62 + 3, 2**63 - 1, -(2**63), 7, -7], np.int64)


class Program:
    """A chain of operators with side branches, over one picture [1, c, h, w] or one matrix."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.size = float(self.rng.choice(SIZES))
        self.nodes: list = []
        self.constants: list = []
        self.isPicture = self.rng.random() < 0.6
        channels = int(self.rng.choice([3, 8, 16, 19]))
        self.shape = (1, channels, 4, 6) if self.isPicture else (5, channels)
        self.input = self.shape
        self.last, self.count = "x", 0
        self.steps: list[str] = []
        for _ in range(int(self.rng.integers(1, 6))):
            self.step()

    def values(self, shape, size=None, special=0.05) -> np.ndarray:
        data = np.array(self.rng.standard_normal(shape) * (self.size if size is None else size), F)
        where = np.asarray(self.rng.random(shape) < special)
        data[where] = self.rng.choice(SPECIAL, int(where.sum()))
        return data

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, F), name))
        return name

    def add(self, op: str, inputs: list[str], **attributes) -> str:
        self.count += 1
        name = f"v{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self.steps.append(op)
        return name

    def step(self) -> None:
        kinds = ["combine", "unary", "bound", "choice", "reduce", "twice"]
        kinds += ["conv", "pool", "conv", "norm"] if self.isPicture else ["matmul", "softmax", "matmul"]
        getattr(self, str(self.rng.choice(kinds)))()

    # One step each

    def constant_shape(self):
        per = (self.shape[1], 1, 1) if self.isPicture else (self.shape[1],)
        return [(), per, self.shape][int(self.rng.integers(3))]

    def combine(self) -> None:
        op = str(self.rng.choice(["Add", "Sub", "Mul", "Div"]))
        size = {"Mul": 1.0, "Div": 1.0}.get(op, None)
        c = self.constant(self.values(self.constant_shape(), size, 0.02))
        self.last = self.add(op, [self.last, c])

    def twice(self) -> None:
        op = str(self.rng.choice(["Add", "Mul"]))
        other = {"Add": "Sub", "Mul": "Div"}[op]
        number = F(self.rng.choice([12582912.0, 3.0, 0.1, 3e38, 1e-38, 1e20, 0.5]))
        c = self.constant(number)
        self.last = self.add(str(self.rng.choice([op, other])), [self.add(op, [self.last, c]), c])

    def unary(self) -> None:
        op = str(self.rng.choice(
            ["Relu", "LeakyRelu", "Sigmoid", "Tanh", "Abs", "Neg", "Exp", "Sqrt", "HardSigmoid", "HardSwish", "Softplus", "Elu", "Log",
             "Sign", "Reciprocal", "Erf", "Identity", "Softsign", "Mish"]))
        self.last = self.add(op, [self.last])

    def bound(self) -> None:
        op = str(self.rng.choice(["Max", "Min", "Clip", "ClipLow", "ClipHigh"]))
        low, high = sorted(self.rng.standard_normal(2) * self.size)
        if op.startswith("Clip"):
            names = [self.last, self.constant(F(low)) if op != "ClipHigh" else "", self.constant(F(high)) if op != "ClipLow" else ""]
            self.last = self.add("Clip", names[:2] if op == "ClipLow" else names)
        else:
            self.last = self.add(op, [self.last, self.constant(self.values(self.constant_shape(), None, 0.02))])

    def choice(self) -> None:
        bound = self.constant(F(0))
        test = self.add(str(self.rng.choice(["Less", "Greater", "LessOrEqual"])), [self.last, bound])
        self.last = self.add("Where", [test, self.last, self.add("Mul", [self.last, self.constant(F(0.25))])])

    def reduce(self) -> None:
        op = str(self.rng.choice(["ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean"]))
        axes = helper.make_tensor(f"a{self.count}", TensorProto.INT64, [1], [1])
        self.constants.append(axes)
        part = self.add(op, [self.last, axes.name], keepdims=1)
        self.last = self.add(str(self.rng.choice(["Add", "Sub", "Max"])), [self.last, part])

    def conv(self) -> None:
        kernel = int(self.rng.choice([1, 3]))
        outputs = int(self.rng.choice([8, 16, 19]))
        weight = self.constant(self.values((outputs, self.shape[1], kernel, kernel), 0.3, 0.0))
        inputs = [self.last, weight]
        if self.rng.random() < 0.5:
            inputs.append(self.constant(self.values((outputs,), None, 0.0)))
        self.last = self.add("Conv", inputs, pads=[kernel // 2] * 4)
        self.shape = (1, outputs, *self.shape[2:])

    def norm(self) -> None:
        c = self.shape[1]
        self.last = self.add(
            "BatchNormalization", [
                self.last, self.constant(self.values((c,), 1.0, 0.0)), self.constant(self.values((c,), 1.0, 0.0)),
                self.constant(self.values((c,), None, 0.0)), self.constant(np.abs(self.values((c,), 1.0, 0.0)) + F(0.1))])

    def pool(self) -> None:
        if self.shape[2] < 2 or self.shape[3] < 2:
            return
        op = str(self.rng.choice(["MaxPool", "AveragePool"]))
        self.last = self.add(op, [self.last], kernel_shape=[2, 2], strides=[2, 2])
        self.shape = (*self.shape[:2], self.shape[2] // 2, self.shape[3] // 2)

    def matmul(self) -> None:
        outputs = int(self.rng.choice([4, 16, 19]))
        self.last = self.add("MatMul", [self.last, self.constant(self.values((self.shape[1], outputs), 0.3, 0.0))])
        self.shape = (self.shape[0], outputs)

    def softmax(self) -> None:
        self.last = self.add(str(self.rng.choice(["Softmax", "LogSoftmax"])), [self.last], axis=-1)

    def model(self):
        nodes = [*self.nodes, helper.make_node("Identity", [self.last], ["y"])]
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.input)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _windows(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x[:, :, :h // 2 * 2, :w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2)


# Where onnx.reference leaves NaN out or takes the logarithm of 0, NumPy says what is right.


class MaxPool(OpRun):
    def _run(self, x, **_):
        return (_windows(x).max((3, 5)),)


class AveragePool(OpRun):
    def _run(self, x, **_):
        return (_windows(x).mean((3, 5), dtype=np.float64).astype(F),)


class LogSoftmax(OpRun):
    def _run(self, x, axis=None):
        away = x.astype(np.float64) - x.max(axis, keepdims=True)
        return ((away - np.log(np.exp(away).sum(axis, keepdims=True))).astype(F),)


ORACLES = [MaxPool, AveragePool, LogSoftmax]


#: A sum may be done in any order, so it may be off by this part of the sum of its terms' sizes.
SUM_ERROR = 1e-6
_signs = np.random.default_rng(0)


def _off(exact: np.ndarray, size: np.ndarray) -> tuple[np.ndarray]:
    error = np.where(np.isfinite(size), size, 0).astype(np.float64) * SUM_ERROR * _signs.choice([-1.0, 1.0], size.shape)
    return ((exact + error).astype(F),)


def _sum_with_error(base: type, name: str, size) -> type:
    """An operator of the reference whose sums are off, as far as another order could make them."""

    def run(self, *inputs, **attributes):
        exact = base._run(self, *inputs, **attributes)[0]
        return _off(exact, size(lambda *values: base._run(self, *values, **attributes)[0], *inputs))

    return type(name, (base,), {"_run": run, "op_domain": ""})


def _flushing(base: type, name: str) -> type:
    """An exponential that gives 0 for what is no normal number, as kernels may."""

    def run(self, *inputs, **attributes):
        exact = base._run(self, *inputs, **attributes)[0]
        return (np.where((np.abs(exact) < np.finfo(F).tiny) & (_signs.random() < 0.5), F(0), exact),)

    return type(name, (base,), {"_run": run, "op_domain": ""})


def _sizes(run, x, *rest):
    return run(np.abs(x), *[np.abs(value) if value is not None and value.dtype == F else value for value in rest])


def _shifted_sizes(run, x, factor, bias, mean, variance):
    return run(np.abs(x), np.abs(factor), np.abs(bias), -np.abs(mean), variance)


class _AveragePoolWithError(AveragePool):
    def _run(self, x, **_):
        return _off(AveragePool._run(self, x)[0], AveragePool._run(self, np.abs(x))[0])


_AveragePoolWithError.__name__ = "AveragePool"


class _AddWithError(Add):
    """A small constant may go into the bias of a layer, and its rounding with it; large ones round on purpose."""

    def _run(self, x, y, **_):
        size = np.abs(x) + np.abs(y)
        return _off(x + y, np.where(size <= 256, size * (2.0**-23 / SUM_ERROR), 0))


class _SubWithError(Sub):
    def _run(self, x, y, **_):
        return _AddWithError._run(self, x, -y)


class _LogSoftmaxWithError(LogSoftmax):
    """Off by the rounding of its operands, or 0 where that is as near."""

    def _run(self, x, axis=None):
        exact = LogSoftmax._run(self, x, axis)[0]
        error = (1 + np.abs(exact) + np.where(np.isfinite(x), np.abs(x), 0).max(axis, keepdims=True)) * 2.0**-22
        off = _off(exact, error / SUM_ERROR)[0]
        return (np.where((np.abs(exact) <= error) & (_signs.random() < 0.5), F(0), off),)


_LogSoftmaxWithError.__name__ = "LogSoftmax"
_AddWithError.__name__, _SubWithError.__name__ = "Add", "Sub"
WITH_ERRORS = [
    *[_flushing(base, base.__name__) for base in (Exp, Sigmoid, Softmax, Softplus)],
    MaxPool, _LogSoftmaxWithError, _AveragePoolWithError, _AddWithError, _SubWithError,
    _sum_with_error(Conv, "Conv", _sizes), _sum_with_error(MatMul, "MatMul", _sizes),
    _sum_with_error(ReduceSum_13, "ReduceSum", _sizes), _sum_with_error(ReduceMean_18, "ReduceMean", _sizes),
    _sum_with_error(BatchNormalization_14, "BatchNormalization", _shifted_sizes),
]


def uncertainty(model, data: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How far each element may be from ``expected`` because sums may be done in another order: some such results were looked at."""
    evaluator = ReferenceEvaluator(model, new_ops=WITH_ERRORS)
    spread = np.zeros(expected.shape)
    for _ in range(8):
        other = evaluator.run(None, {"x": data})[0].astype(np.float64)
        away = np.abs(other - expected)
        spread = np.maximum(spread, np.where(np.isnan(away), np.where(np.isnan(other) == np.isnan(expected), 0, np.inf), away))
    return 4 * spread


def difference(got: np.ndarray, expected: np.ndarray, scale: float, allowed: np.ndarray | float = 0.0) -> str:
    """What differs beyond rounding, or nothing."""
    if got.shape != expected.shape:
        return f"shape {got.shape} for {expected.shape}"
    nan = (np.isnan(got) != np.isnan(expected)) & np.isfinite(allowed)
    if nan.any():
        return f"NaN: {got[nan][:3]} for {expected[nan][:3]}"
    with np.errstate(all="ignore"):
        # Within rounding of the largest number infinity is as near, and what is as uncertain as it is large may be divided by.
        near = np.abs(np.where(np.isinf(got), expected, got)) > 1e38
        infinite = (np.isinf(got) | np.isinf(expected)) & (got != expected) & ~near & ~((allowed > 0) & (allowed >= np.abs(expected)))
        if infinite.any():
            return f"infinities: {got[infinite][:3]} for {expected[infinite][:3]}"
        finite = np.isfinite(got) & np.isfinite(expected)
        wrong = finite & (np.abs(got.astype(float) - expected) > 2e-5 * np.abs(expected) + 2e-5 * scale + 1e-37 + allowed)
        if wrong.any():
            return f"{got[wrong][:3]} for {expected[wrong][:3]}"
    return ""


def check(seed: int) -> str:
    """Runs the program of a seed in every way; says what differs, or nothing."""
    program = Program(seed)
    model = program.model()
    data = program.values(program.input)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = ReferenceEvaluator(model, new_ops=ORACLES)
        wanted = [node.output[0] for node in program.nodes]
        expected = evaluator.run(None, {"x": data})[0]
        inner = ReferenceEvaluator(_with_outputs(model, wanted), new_ops=ORACLES).run(None, {"x": data})
    # Rounding is relative to the largest number on the way, but for constants that round on purpose.
    finite = [np.abs(v[np.isfinite(v)]).max(initial=0) for v in [data, *inner] if v.dtype == F]
    scale = max([v for v in finite if v < 1e6 * max(program.size, 1)] or [0.0])
    source = tenon.Module.load_onnx(model.SerializeToString())
    fused = source.optimize()
    saved = tenon.Module.load_onnx(fused.serialize_onnx()).optimize()
    ways = [("plain", source, 1), ("optimised", fused, 1), ("two threads", fused, 2), ("saved", saved, 1)]
    for label, module, threads in ways:
        run = tenon.compile(module, threads=threads, optimize=False)
        got = run(data)
        found = difference(got, expected, scale)
        if found:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = difference(got, expected, scale, uncertainty(model, data, expected))
        if found:
            return f"seed {seed}, {label}, {program.steps}: {found}"
    return ""


def _with_outputs(model, names):
    copy = type(model)()
    copy.CopyFrom(model)
    for name in names:
        copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None))
    return copy


if __name__ == "__main__":
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    bad = 0
    for number in range(first, first + count):
        line = check(number)
        if line:
            bad += 1
            print(line, flush=True)
    print(f"{count - bad} passed, {bad} failed")
    sys.exit(bad > 0)
