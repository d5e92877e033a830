"""Element types and sizes: PyTorch's and the library's."""

from __future__ import annotations

from typing import Any, Sequence

import torch

from ..errors import UnsupportedError

#: Element types by PyTorch's, in the short names of the text form.
NAMES = {
    torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.float64: "f64", torch.bool: "bool",
    torch.uint8: "u8", torch.int8: "i8", torch.int16: "i16", torch.int32: "i32", torch.int64: "i64",
    torch.uint16: "u16", torch.uint32: "u32", torch.uint64: "u64",
}
DTYPES = {name: dtype for dtype, name in NAMES.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """The short name of an element type.

    Raises:
        UnsupportedError: there is none (complex numbers, quantised types).
    """
    name = NAMES.get(dtype)
    if name is None:
        raise UnsupportedError(f"element type {dtype} is not supported")
    return name


def known(size: Any) -> int | None:
    """The number that a size is, or None when it depends on inputs."""
    if isinstance(size, int):
        return int(size)
    return size.node.maybe_as_int() if isinstance(size, torch.SymInt) else None


def size_text(size: Any) -> int | str:
    """A size as a number, or as an expression of the text form over the symbols of inputs: ``2*s0 + 1``.

    Raises:
        UnsupportedError: the expression needs more than sums, products, floor divisions and maxima.
    """
    number = known(size)
    return _expression(size.node.expr) if number is None else number


def _expression(expr: Any) -> str:
    import sympy  # type: ignore[import-untyped, unused-ignore]
    from torch.utils._sympy.functions import CleanDiv, FloorDiv, Max

    if expr.is_Symbol:
        return str(expr)
    if isinstance(expr, (int, sympy.Integer)):
        return str(int(expr))
    if expr.is_Add:
        # The text form has no signed factors: negative terms are subtracted.
        text = ""
        for term in sorted(expr.args, key=lambda term: term.could_extract_minus_sign()):
            if term.could_extract_minus_sign():
                text += f" - {_expression(-term)}" if text else f"-{_expression(-term)}"
            else:
                text += f" + {_expression(term)}" if text else _expression(term)
        return f"({text})"
    if expr.is_Mul and not any(factor.is_Rational and not factor.is_Integer for factor in expr.args):
        if expr.could_extract_minus_sign():
            return f"(0 - {_expression(-expr)})"
        return "*".join(_expression(factor) for factor in expr.args)
    if expr.is_Pow and expr.exp.is_Integer and 0 < int(expr.exp) <= 8:
        return "*".join([_expression(expr.base)] * int(expr.exp))
    if isinstance(expr, (FloorDiv, CleanDiv)) and expr.args[1].is_Integer:
        return f"floordiv({_expression(expr.args[0])}, {int(expr.args[1])})"
    if isinstance(expr, (Max, sympy.Max)) and len(expr.args) == 2:
        return f"max({_expression(expr.args[0])}, {_expression(expr.args[1])})"
    raise UnsupportedError(f"the size {expr} is not a sum, product, floor division or maximum of sizes of inputs")


def sizes_text(sizes: Sequence[Any]) -> tuple[int | str, ...]:
    return tuple(size_text(size) for size in sizes)


def type_text(meta: torch.Tensor) -> str:
    """The type of a tensor in the text form: ``f32[s0,3,224,224]``."""
    return f"{dtype_name(meta.dtype)}[{','.join(str(size) for size in sizes_text(meta.shape))}]"
