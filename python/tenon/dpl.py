"""Dataflow patterns under the names that TVM's users know.

A pattern is an object that prints as the library's pattern text (docs/patterns.md), and that
``tenon.transform.FuseOpsByPattern`` takes. An object mentioned twice must meet the same value both times.

>>> x, w, bias = wildcard(), is_const(), wildcard()
>>> conv = is_op("relax.nn.conv2d")(x, w)
>>> print(is_op("relax.nn.relu")(conv + is_op("relax.reshape")(bias, wildcard())))
nn.relu(add(nn.conv2d(*, const), reshape(*, *)))
>>> print(is_op("relax.multiply")(x, is_op("relax.sigmoid")(x)))
multiply(%p1: *, sigmoid(%p1))
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from . import _dtypes
from .errors import InvalidTypeError

if TYPE_CHECKING:
    from .graph import Expr


class DFPattern:
    """A pattern. ``|`` is either, ``&`` both, ``~`` anything else; arithmetic makes patterns of calls."""

    def _text(self, printer: _Printer) -> str:
        raise NotImplementedError

    @property
    def _children(self) -> Sequence[DFPattern]:
        return ()

    def __str__(self) -> str:
        return _Printer(self).text()

    def __repr__(self) -> str:
        return f"<tenon.dpl pattern {self}>"

    def __or__(self, other: DFPattern) -> DFPattern:
        return _Choice(self, _pattern(other))

    def __and__(self, other: DFPattern) -> DFPattern:
        return _Both(self, _pattern(other))

    def __invert__(self) -> DFPattern:
        return _Not(self)

    def __add__(self, other: DFPattern) -> DFPattern:
        return is_op("add")(self, other)

    def __sub__(self, other: DFPattern) -> DFPattern:
        return is_op("subtract")(self, other)

    def __mul__(self, other: DFPattern) -> DFPattern:
        return is_op("multiply")(self, other)

    def __truediv__(self, other: DFPattern) -> DFPattern:
        return is_op("divide")(self, other)

    def __getitem__(self, index: int) -> DFPattern:
        return is_tuple_get_item(self, index)

    def __xor__(self, other: Any) -> PatternSeq:
        """In a ``PatternContext``: what this meets is used by what ``other`` meets."""
        return PatternSeq([self]).used_by(other)

    def __rshift__(self, other: Any) -> PatternSeq:
        """In a ``PatternContext``: what this meets is used by what ``other`` meets, and by nothing else."""
        return PatternSeq([self]).only_used_by(other)

    def used_by(self, other: Any, index: int = -1) -> PatternSeq:
        """As ``^``, as variable ``index`` of those that the user mentions."""
        return PatternSeq([self]).used_by(other, index)

    def only_used_by(self, other: Any, index: int = -1) -> PatternSeq:
        """As ``>>``, as variable ``index`` of those that the user mentions."""
        return PatternSeq([self]).only_used_by(other, index)

    def fork_to(self, *items: Any) -> None:
        """In a ``PatternContext``: what this meets is used by what each of the items meets."""
        for item in items:
            self.used_by(item)

    def same_shape_as(self, *others: DFPattern) -> DFPattern:
        """In a ``PatternContext``: all of them meet values of one shape."""
        PatternContext._state(_SameShape([self, *others]))
        return self

    def match(self, expr: Expr) -> bool:
        """Whether an expression of a function (``module.functions["main"].graph``) looks like this."""
        return self.extract_matched_expr(expr) is not None

    def extract_matched_expr(self, expr: Expr) -> dict[DFPattern, Expr] | None:
        """What every pattern inside met; None when it does not match."""
        return extract(self, expr)

    def __iter__(self):
        # Without this Python would take items until one fails.
        raise TypeError("a pattern is not iterable")

    def has_attr(self, attrs: Mapping[str, Any]) -> DFPattern:
        """Also has these attributes."""
        listed = ", ".join(f"{name}={_literal(value)}" for name, value in attrs.items())
        return _Constraint(self, f"@attr{{{listed}}}")

    def has_dtype(self, dtype: Any) -> DFPattern:
        """Also is provably of this element type."""
        return _Constraint(self, f"@dtype {_dtypes.NAMES[_dtypes.number(dtype)]}")

    def has_shape(self, shape: Sequence[int | str]) -> DFPattern:
        """Also is provably of this shape; texts are symbols."""
        return _Constraint(self, f"@shape[{','.join(str(size) for size in shape)}]")

    def optional(self, constructor: Callable[[DFPattern], DFPattern]) -> DFPattern:
        """This, with or without what ``constructor`` puts around it."""
        return constructor(self) | self

    def dup(self) -> DFPattern:
        """The same pattern as an object of its own: it need not meet the same value."""
        return copy.deepcopy(self)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    return _dtypes.NAMES[_dtypes.number(value)]


def _pattern(value: Any) -> DFPattern:
    if not isinstance(value, DFPattern):
        raise InvalidTypeError.mismatch("", "a pattern", type(value).__name__)
    return value


class _Printer:
    """Prints patterns, with names for what is mentioned more than once, for ``named``, or for all with ``all_named``."""

    def __init__(self, *roots: DFPattern, named: Mapping[int, str] | None = None, all_named: bool = False):
        self._roots = roots
        self._counts: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._given = dict(named or {})
        self._all = all_named
        self._next = 1
        #: Every name given, and to what.
        self.labels: list[tuple[str, DFPattern]] = []
        for root in roots:
            self._count(root)

    def text(self) -> str:
        return self(self._roots[0])

    def _count(self, pattern: DFPattern) -> None:
        seen = self._counts[id(pattern)] = self._counts.get(id(pattern), 0) + 1
        if seen == 1:
            for child in pattern._children:
                self._count(child)

    def _name(self, pattern: DFPattern) -> str:
        used = {name for name, _ in self.labels}
        name = self._given.get(id(pattern))
        while name is None or name in used:
            name = f"p{self._next}"
            self._next += 1
        self.labels.append((name, pattern))
        return f"%{name}" if name.isidentifier() and name.isascii() else f"%{_literal(name)}"

    def __call__(self, pattern: DFPattern) -> str:
        if self._counts[id(pattern)] == 1 and not self._all and id(pattern) not in self._given:
            return pattern._text(self)
        if id(pattern) in self._names:
            return self._names[id(pattern)]
        name = self._name(pattern)
        text = pattern._text(self)
        self._names[id(pattern)] = name
        return f"{name}: {text}"

    def branch(self, pattern: DFPattern) -> str:
        """One side of a choice: names that it defines are not known outside."""
        outer = dict(self._names)
        text = self(pattern)
        self._names = outer
        return text

    def met(self, captures: Mapping[str, Expr]) -> dict[DFPattern, Expr]:
        """What the patterns met, from what their names met."""
        result: dict[DFPattern, Expr] = {}
        for name, pattern in self.labels:
            if name in captures and pattern not in result:
                result[pattern] = captures[name]
        return result


class _Leaf(DFPattern):
    def __init__(self, text: str):
        self._source = text

    def _text(self, printer: _Printer) -> str:
        return self._source


class _Group(DFPattern):
    """``prefix(a, b)``; without a prefix just what is inside."""

    def __init__(self, *children: DFPattern, prefix: str | None = None, rest: bool = False):
        self._inside = tuple(_pattern(child) for child in children)
        self._prefix = prefix
        self._rest = rest
        PatternContext._mention(self)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return self._inside

    def _text(self, printer: _Printer) -> str:
        parts = [printer(child) for child in self._inside] + (["..."] if self._rest else [])
        return f"{self._prefix or ''}({', '.join(parts)})"


class _Item(DFPattern):
    def __init__(self, inside: DFPattern, suffix: str):
        self._inside = _pattern(inside)
        self._suffix = suffix

    @property
    def _children(self) -> Sequence[DFPattern]:
        return (self._inside,)

    def _text(self, printer: _Printer) -> str:
        return f"({printer(self._inside)}){self._suffix}"


class _Constraint(_Item):
    def __init__(self, inside: DFPattern, constraint: str):
        super().__init__(inside, f" {constraint}")

    def _text(self, printer: _Printer) -> str:
        return f"({super()._text(printer)})"


class _Not(_Item):
    def __init__(self, inside: DFPattern):
        super().__init__(inside, "")

    def _text(self, printer: _Printer) -> str:
        # What must not match defines no names.
        return f"!({printer.branch(self._inside)})"


class _Both(DFPattern):
    def __init__(self, left: DFPattern, right: DFPattern):
        self._sides = (left, right)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return self._sides

    def _text(self, printer: _Printer) -> str:
        return "(" + " & ".join(f"({printer(side)})" for side in self._sides) + ")"


class _Choice(_Both):
    def _text(self, printer: _Printer) -> str:
        return "(" + " | ".join(f"({printer.branch(side)})" for side in self._sides) + ")"


class _Op:
    """The pattern of an operator, to be called with the patterns of its arguments."""

    def __init__(self, names: Sequence[str], prefix: str = ""):
        self._names = [name.removeprefix("relax.") for name in names]
        self._prefix = prefix

    def __call__(self, *args: DFPattern, varg_default_wildcard: bool = False) -> DFPattern:
        """A call. With ``varg_default_wildcard`` there may be more arguments."""
        name = self._names[0] if len(self._names) == 1 else f"({' | '.join(self._names)})"
        return _Group(*args, prefix=self._prefix + name, rest=varg_default_wildcard)

    def __or__(self, other: _Op) -> _Op:
        return _Op([*self._names, *other._names], self._prefix)


def is_op(op_name: str) -> _Op:
    """The operator of this name, with or without Relax's prefix: ``is_op("relax.nn.relu")(x)``."""
    return _Op([op_name])


def wildcard() -> DFPattern:
    """Anything."""
    return _Leaf("*")


def is_const() -> DFPattern:
    """A tensor literal."""
    return _Leaf("const")


def is_var(name: str = "") -> DFPattern:
    """A variable that no binding explains."""
    return _Leaf(f"var {_literal(name)}" if name else "var")


def is_dfv(name: str = "") -> DFPattern:
    """A variable local to a dataflow block."""
    return _Leaf(f"dfvar {_literal(name)}" if name else "dfvar")


def is_gv(name: str = "") -> DFPattern:
    """The name of a function of the module."""
    return _Leaf(f"gvar {_literal(name)}" if name else "gvar")


def is_shape(shape: Sequence[int | str]) -> DFPattern:
    """A shape literal."""
    return _Leaf(f"shape[{','.join(str(size) for size in shape)}]")


def is_tuple(fields: Sequence[DFPattern], unordered: bool = False) -> DFPattern:
    """A tuple of these fields, in any order with ``unordered``."""
    return _Group(*fields, prefix="unordered" if unordered else "tuple")


def is_tuple_get_item(tuple_value: DFPattern, index: int | None = None) -> DFPattern:
    """An item of a tuple; any with ``index`` None."""
    return _Item(tuple_value, ".?" if index is None else f".{index}")


def has_dtype(dtype: Any, pattern: DFPattern | None = None) -> DFPattern:
    """Anything, or ``pattern``, of this element type."""
    return (wildcard() if pattern is None else pattern).has_dtype(dtype)


def has_shape(shape: Sequence[int | str], pattern: DFPattern | None = None) -> DFPattern:
    """Anything, or ``pattern``, of this shape."""
    return (wildcard() if pattern is None else pattern).has_shape(shape)


def has_attr(attrs: Mapping[str, Any], pattern: DFPattern | None = None) -> DFPattern:
    """Anything, or ``pattern``, with these attributes."""
    return (wildcard() if pattern is None else pattern).has_attr(attrs)


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


from ._rewriting import (  # noqa: E402  (it needs the patterns above)
    PatternContext, PatternMatchingRewriter, PatternSeq, _SameShape, extract, rewrite_bindings, rewrite_call,
)
from ._callbacks import Refusal  # noqa: E402, F401
