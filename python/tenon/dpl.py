"""Dataflow patterns under the names that TVM's users know.

A pattern is an object that prints as the library's pattern text (docs/patterns.md), and that
``tenon.transform.FuseOpsByPattern`` takes. An object mentioned twice must meet the same value both times.

>>> x, w, bias = wildcard(), is_const(), wildcard()
>>> conv = is_op("relax.nn.conv2d")(x, w)
>>> print(is_op("relax.nn.relu")(conv + is_op("relax.reshape")(bias, wildcard())))
nn.relu(add(nn.conv2d(*, const), reshape(*, *)))
>>> print(is_op("relax.multiply")(x, is_op("relax.sigmoid")(x)))
multiply(%p1: *, sigmoid(%p1))
>>> print(is_op("relax.nn.relu")("nn.conv2d(*, const)"))
nn.relu((nn.conv2d(*, const)))
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ._callbacks import Refusal
from ._patterns import (
    AndPattern, AttrPattern, CallPattern, ConstantPattern, DataflowVarPattern, DataTypePattern, DFPattern, ExprPattern,
    ExternFuncPattern, FunctionPattern, GlobalVarPattern, NotPattern, OperatorName, OrPattern, PrimArrPattern,
    SameShapeConstraint, ShapePattern, TextPattern, TupleGetItemPattern, TuplePattern, TypePattern,
    UnorderedTuplePattern, VarPattern, WildcardPattern,
)
from ._rewriting import (
    ExprPatternRewriter, OrRewriter, PatternContext, PatternMatchingRewriter, PatternSeq, TupleRewriter,
    rewrite_bindings, rewrite_call,
)

__all__ = [
    "AndPattern", "AttrPattern", "CallPattern", "ConstantPattern", "DFPattern", "DataTypePattern", "DataflowVarPattern",
    "ExprPattern", "ExprPatternRewriter", "ExternFuncPattern", "FunctionPattern", "GlobalVarPattern", "NotPattern",
    "OrPattern", "OrRewriter", "PatternContext", "PatternMatchingRewriter", "PatternSeq", "PrimArrPattern", "Refusal",
    "SameShapeConstraint", "ShapePattern", "TextPattern", "TupleGetItemPattern", "TuplePattern", "TupleRewriter",
    "TypePattern", "UnorderedTuplePattern", "VarPattern", "WildcardPattern", "has_attr", "has_dtype", "has_shape",
    "is_call_dps_packed", "is_call_packed", "is_call_tir", "is_const", "is_dfv", "is_expr", "is_gv", "is_op", "is_shape",
    "is_tuple", "is_tuple_get_item", "is_var", "make_fused_bias_activation_pattern", "reject", "rewrite_bindings",
    "rewrite_call", "wildcard",
]


def is_op(op_name: str) -> ExprPattern:
    """The operator of this name, with or without Relax's prefix: ``is_op("relax.nn.relu")(x)``."""
    return ExprPattern(OperatorName(op_name))


def is_expr(expr: Any) -> ExprPattern:
    """This literal: a number, a text, an array, a constant or a parameter that a function holds."""
    return ExprPattern(expr)


def wildcard() -> WildcardPattern:
    """Anything."""
    return WildcardPattern()


def is_const() -> ConstantPattern:
    """A tensor literal."""
    return ConstantPattern()


def is_var(name: str = "") -> VarPattern:
    """A variable that no binding explains."""
    return VarPattern(name)


def is_dfv(name: str = "") -> DataflowVarPattern:
    """A variable local to a dataflow block."""
    return DataflowVarPattern(name)


def is_gv(name: str = "") -> GlobalVarPattern:
    """The name of a function of the module; ``is_gv("f")(x)`` calls it."""
    return GlobalVarPattern(name)


def is_shape(shape: Sequence[int | str]) -> PrimArrPattern:
    """A shape literal."""
    return PrimArrPattern(shape)


def is_tuple(fields: Sequence[Any], unordered: bool = False) -> TuplePattern | UnorderedTuplePattern:
    """A tuple of these fields, in any order with ``unordered``."""
    return UnorderedTuplePattern(fields) if unordered else TuplePattern(fields)


def is_tuple_get_item(tuple_value: Any, index: int | None = None) -> TupleGetItemPattern:
    """An item of a tuple; any with ``index`` None."""
    return TupleGetItemPattern(tuple_value, index)


def is_call_packed(func_name: str, args: Sequence[Any] | None = None) -> CallPattern:
    """The call of a function that the library knows nothing of; of any arguments with ``args`` None."""
    return CallPattern(ExternFuncPattern(func_name), args)


def is_call_dps_packed(func_name: str, args: Sequence[Any] | None = None) -> CallPattern:
    """As ``is_call_packed``: where a result is written is no argument in this IR."""
    return is_call_packed(func_name, args)


def is_call_tir(func_name: str, args: Sequence[Any] | None = None) -> CallPattern:
    """The call of a function of that name, be it one of the module or one that the library knows nothing of."""
    return CallPattern(GlobalVarPattern(func_name) | ExternFuncPattern(func_name), args)


def reject(pattern: Any) -> NotPattern:
    """Anything that does not match."""
    return NotPattern(pattern)


def has_dtype(dtype: Any, pattern: Any = None) -> DataTypePattern:
    """Anything, or ``pattern``, of this element type."""
    return DataTypePattern(wildcard() if pattern is None else pattern, dtype)


def has_shape(shape: Sequence[int | str], pattern: Any = None) -> ShapePattern:
    """Anything, or ``pattern``, of this shape."""
    return ShapePattern(wildcard() if pattern is None else pattern, shape)


def has_attr(attrs: Mapping[str, Any], pattern: Any = None) -> AttrPattern:
    """Anything, or ``pattern``, with these attributes."""
    return AttrPattern(wildcard() if pattern is None else pattern, attrs)


def make_fused_bias_activation_pattern(
    op_name: str, with_bias: bool = False, activation: str | None = None, allow_reshape: bool = False
) -> DFPattern:
    """An operator of two operands, perhaps with a bias added (through a ``reshape`` with ``allow_reshape``) and an
    activation.

    >>> print(make_fused_bias_activation_pattern("relax.nn.conv2d", True, "relax.nn.relu", allow_reshape=True))
    nn.relu(add(nn.conv2d(*, *), reshape(*, *)))
    """
    out = is_op(op_name)(wildcard(), wildcard())
    if with_bias:
        bias = wildcard()
        out = is_op("relax.add")(out, is_op("relax.reshape")(bias, wildcard()) if allow_reshape else bias)
    return out if activation is None else is_op(activation)(out)
