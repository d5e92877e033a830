"""Element-wise arithmetic, comparisons and conversions."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor, finite
from .._sizes import sizes_text
from . import converter


def common(*operands: Any) -> torch.dtype:
    """The type that PyTorch computes these operands in."""
    metas = [operand.meta if isinstance(operand, Tensor) else operand for operand in operands]
    metas = [1 if isinstance(meta, torch.SymInt) else meta for meta in metas]
    if len(metas) == 1:
        return metas[0].dtype
    dtype = torch.result_type(metas[0], metas[1])
    for meta in metas[2:]:
        dtype = torch.promote_types(dtype, torch.result_type(metas[0], meta))
    return dtype


def _unary(name: str, operator: str) -> None:
    @converter(name)
    def convert(g: Graph, self: Tensor) -> Any:
        # Integers become the result's type first (exp of i64 is f32); comparisons with NaN give bool by themselves.
        dtype = self.dtype if g.out.dtype == torch.bool else g.out.dtype
        return g.call(operator, g.as_type(self, dtype))


for _name in ("abs", "exp", "log", "sqrt", "rsqrt", "erf", "floor", "ceil", "round", "sign", "sin", "cos", "tan", "asin",
              "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "trunc", "square", "reciprocal", "log1p", "isnan",
              "isinf", "isfinite", "bitwise_not", "sigmoid", "tanh"):
    _unary(_name, _name)
_unary("neg", "negative")
_unary("negative", "negative")
_unary("fix", "trunc")
_unary("absolute", "abs")


def _composed(name: str, compute: Any) -> None:
    @converter(name)
    def convert(g: Graph, self: Tensor) -> Any:
        return compute(g, g.as_type(self, g.out.dtype), g.out.dtype)


_composed("exp2", lambda g, x, t: g.call("exp", g.scaled(x, math.log(2), t)))
_composed("expm1", lambda g, x, t: g.call("subtract", g.call("exp", x), g.scalar(1, t)))
_composed("log2", lambda g, x, t: g.scaled(g.call("log", x), 1 / math.log(2), t))
_composed("log10", lambda g, x, t: g.scaled(g.call("log", x), 1 / math.log(10), t))
_composed("erfc", lambda g, x, t: g.call("subtract", g.scalar(1, t), g.call("erf", x)))
_composed("frac", lambda g, x, t: g.call("subtract", x, g.call("trunc", x)))


@converter("logical_not")
def logical_not(g: Graph, self: Any) -> Any:
    return g.call("logical_not", g.as_type(self, torch.bool))


def _sum(g: Graph, a: Any, b: Any, alpha: Any, operator: str) -> Any:
    dtype = g.out.dtype
    if dtype == torch.bool and operator == "add":
        return g.binary("logical_or", a, b, dtype)
    return g.call(operator, g.as_type(a, dtype), g.scaled(g.as_type(b, dtype), alpha, dtype))


@converter("add.Tensor", "add.Scalar")
def add(g: Graph, self: Any, other: Any, alpha: Any) -> Any:
    return _sum(g, self, other, alpha, "add")


@converter("sub.Tensor", "sub.Scalar")
def sub(g: Graph, self: Any, other: Any, alpha: Any) -> Any:
    return _sum(g, self, other, alpha, "subtract")


@converter("rsub.Tensor", "rsub.Scalar")
def rsub(g: Graph, self: Any, other: Any, alpha: Any) -> Any:
    return _sum(g, other, self, alpha, "subtract")


def _binary(operator: str, *names: str) -> None:
    @converter(*names)
    def convert(g: Graph, self: Any, other: Any) -> Any:
        return g.binary(operator, self, other, g.out.dtype)


@converter("mul.Tensor", "mul.Scalar")
def mul(g: Graph, self: Any, other: Any) -> Any:
    dtype = g.out.dtype
    return g.binary("logical_and" if dtype == torch.bool else "multiply", self, other, dtype)


_binary("divide", "div.Tensor", "div.Scalar", "true_divide.Tensor")
_binary("minimum", "minimum", "min.other")
_binary("maximum", "maximum", "max.other")
_binary("mod", "fmod.Tensor", "fmod.Scalar")
_binary("floor_mod", "remainder.Tensor", "remainder.Scalar")
_binary("atan2", "atan2")
_binary("bitwise_and", "bitwise_and.Tensor", "bitwise_and.Scalar", "__and__.Tensor", "__and__.Scalar")
_binary("bitwise_or", "bitwise_or.Tensor", "bitwise_or.Scalar", "__or__.Tensor", "__or__.Scalar")
_binary("bitwise_xor", "bitwise_xor.Tensor", "bitwise_xor.Scalar", "__xor__.Tensor", "__xor__.Scalar")


@converter("floor_divide", "floor_divide.Scalar")
def floor_divide(g: Graph, self: Any, other: Any) -> Any:
    return _floor(g, self, other)


def _floor(g: Graph, a: Any, b: Any) -> Any:
    dtype = g.out.dtype
    if dtype.is_floating_point:
        return g.call("floor", g.binary("divide", a, b, dtype))
    return g.binary("floor_divide", a, b, dtype)


@converter("div.Tensor_mode", "div.Scalar_mode")
def div_mode(g: Graph, self: Any, other: Any, rounding_mode: Any) -> Any:
    if rounding_mode == "floor":
        return _floor(g, self, other)
    quotient = g.binary("divide", self, other, g.out.dtype)
    if rounding_mode == "trunc" and g.out.dtype.is_floating_point:
        return g.call("trunc", quotient)
    return quotient


@converter("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar")
def pow(g: Graph, self: Any, exponent: Any) -> Any:
    dtype = g.out.dtype
    special = {2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if isinstance(exponent, (int, float)) and exponent in special and dtype.is_floating_point:
        return g.call(special[exponent], g.as_type(self, dtype))
    return g.binary("power", self, exponent, dtype)


def _comparison(operator: str, *names: str) -> None:
    @converter(*names)
    def convert(g: Graph, self: Any, other: Any) -> Any:
        return g.binary(operator, self, other, common(self, other))


for _name, _operator in (("eq", "equal"), ("ne", "not_equal"), ("lt", "less"), ("le", "less_equal"), ("gt", "greater"),
                         ("ge", "greater_equal")):
    _comparison(_operator, f"{_name}.Tensor", f"{_name}.Scalar")


for _name in ("logical_and", "logical_or", "logical_xor"):
    @converter(_name)
    def _logical(g: Graph, self: Any, other: Any, operator: Any = _name) -> Any:
        return g.binary(operator, self, other, torch.bool)


@converter("clamp", "clip", "clamp.Tensor", "hardtanh")
def clamp(g: Graph, self: Any, min: Any = None, max: Any = None, min_val: Any = None, max_val: Any = None) -> Any:
    low, high = min if min_val is None else min_val, max if max_val is None else max_val
    dtype = g.out.dtype
    x = g.as_type(self, dtype)
    if dtype == torch.float32 and (low, high) == (0, 6):
        return g.call("nn.relu6", x)
    if dtype.is_floating_point and all(isinstance(bound, (int, float)) and finite(bound) for bound in (low, high)):
        return g.call("clip", x, g.builder.literal(repr(float(low))), g.builder.literal(repr(float(high))))
    if low is not None:
        x = g.call("maximum", x, g.as_type(low, dtype))
    if high is not None:
        x = g.call("minimum", x, g.as_type(high, dtype))
    return x


@converter("clamp_min", "clamp_min.Tensor")
def clamp_min(g: Graph, self: Any, min: Any) -> Any:
    return g.binary("maximum", self, min, g.out.dtype)


@converter("clamp_max", "clamp_max.Tensor")
def clamp_max(g: Graph, self: Any, max: Any) -> Any:
    return g.binary("minimum", self, max, g.out.dtype)


@converter("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def where(g: Graph, condition: Any, self: Any, other: Any) -> Any:
    dtype = g.out.dtype
    return g.call("where", g.as_type(condition, torch.bool), g.as_type(self, dtype), g.as_type(other, dtype))


@converter("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(g: Graph, self: Any, mask: Any, value: Any) -> Any:
    dtype = g.out.dtype
    return g.call("where", mask, g.as_type(value, dtype), g.as_type(self, dtype))


def _add_scaled(operator: str, name: str) -> None:
    @converter(name)
    def convert(g: Graph, self: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
        dtype = g.out.dtype
        return g.call("add", g.as_type(self, dtype), g.scaled(g.binary(operator, tensor1, tensor2, dtype), value, dtype))


_add_scaled("multiply", "addcmul")
_add_scaled("divide", "addcdiv")


@converter("lerp.Scalar", "lerp.Tensor")
def lerp(g: Graph, self: Any, end: Any, weight: Any) -> Any:
    dtype = g.out.dtype
    step = g.call("multiply", g.binary("subtract", end, self, dtype), g.as_type(weight, dtype))
    return g.call("add", g.as_type(self, dtype), step)


@converter("to.dtype", "to.device", "to.dtype_layout", "to.other", "_to_copy", "type_as", "contiguous", "clone", "alias",
           "detach", "lift_fresh_copy", "detach_copy", "alias_copy", "resolve_conj", "resolve_neg", "positive")
def convert(g: Graph, self: Any, dtype: Any = None, other: Any = None) -> Any:
    return g.as_type(self, g.out.dtype)


@converter("view.dtype")
def view_dtype(g: Graph, self: Any, dtype: Any) -> Any:
    if dtype == self.dtype:
        return self.value
    raise UnsupportedError(f"a view of {self.dtype} as {dtype} reads bits, which no operator does")


@converter("copy", "fill.Scalar", "fill.Tensor")
def copy(g: Graph, self: Any, src: Any = None, value: Any = None) -> Any:
    source = src if src is not None else value
    cast = g.as_type(source, g.out.dtype)
    return g.call("broadcast_to", cast, sizes_text(self.shape))


@converter("bitwise_left_shift.Tensor", "bitwise_left_shift.Tensor_Scalar", "__lshift__.Tensor", "__lshift__.Scalar")
def left_shift(g: Graph, self: Any, other: Any) -> Any:
    return g.binary("left_shift", self, other, g.out.dtype)


@converter("bitwise_right_shift.Tensor", "bitwise_right_shift.Tensor_Scalar", "__rshift__.Tensor", "__rshift__.Scalar")
def right_shift(g: Graph, self: Any, other: Any) -> Any:
    return g.binary("right_shift", self, other, g.out.dtype)


@converter("logaddexp")
def logaddexp(g: Graph, self: Any, other: Any) -> Any:
    dtype = g.out.dtype
    a, b = g.as_type(self, dtype), g.as_type(other, dtype)
    distance = g.call("negative", g.call("abs", g.call("subtract", a, b)))
    return g.call("add", g.call("maximum", a, b), g.call("log1p", g.call("exp", distance)))
