"""The nodes of patterns, under TVM's names and with TVM's fields. ``tenon.dpl`` is where to import them from."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Sequence

import numpy as np

from . import _dtypes
from ._handle import new
from ._lib import lib
from .errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from .graph import Expr


class DFPattern:
    """A pattern. ``|`` is either, ``&`` both, ``~`` anything else; arithmetic makes patterns of calls, and so does calling a
    pattern with those of arguments. Wherever a pattern is taken, its text (docs/patterns.md) is too."""

    def _text(self, printer: Printer) -> str:
        raise NotImplementedError

    @property
    def _children(self) -> Sequence[DFPattern]:
        return ()

    def __str__(self) -> str:
        return Printer(self).text()

    def __repr__(self) -> str:
        return f"<tenon.dpl.{type(self).__name__} {self}>"

    def __call__(
        self, *args: Any, varg_default_wildcard: bool = False, add_constraint: bool = True,
    ) -> CallPattern:
        """A call of what this meets. With ``varg_default_wildcard`` there may be more arguments; without ``add_constraint`` the
        call states no use of its arguments in a ``PatternContext``."""
        return CallPattern(self, args, varg_default_wildcard, add_constraint=add_constraint)

    def __or__(self, other: Any) -> OrPattern:
        return OrPattern(self, other)

    def __and__(self, other: Any) -> AndPattern:
        return AndPattern(self, other)

    def __invert__(self) -> NotPattern:
        return NotPattern(self)

    def __add__(self, other: Any) -> CallPattern:
        return _op("add")(self, other)

    def __sub__(self, other: Any) -> CallPattern:
        return _op("subtract")(self, other)

    def __mul__(self, other: Any) -> CallPattern:
        return _op("multiply")(self, other)

    def __truediv__(self, other: Any) -> CallPattern:
        return _op("divide")(self, other)

    def __getitem__(self, index: int | None) -> TupleGetItemPattern:
        return TupleGetItemPattern(self, index)

    def __xor__(self, other: Any) -> Any:
        """In a ``PatternContext``: what this meets is used by what ``other`` meets."""
        return self.used_by(other)

    def __rshift__(self, other: Any) -> Any:
        """In a ``PatternContext``: what this meets is used by what ``other`` meets, and by nothing else."""
        return self.only_used_by(other)

    def used_by(self, other: Any, index: int = -1) -> Any:
        """As ``^``, as variable ``index`` of those that the user mentions."""
        return _context().PatternSeq([self]).used_by(other, index)

    def only_used_by(self, other: Any, index: int = -1) -> Any:
        """As ``>>``, as variable ``index`` of those that the user mentions."""
        return _context().PatternSeq([self]).only_used_by(other, index)

    def fork_to(self, *items: Any) -> None:
        """In a ``PatternContext``: what this meets is used by what each of the items meets."""
        for item in items:
            self.used_by(item)

    def same_shape_as(self, *others: Any) -> Any:
        """In a ``PatternContext``: all of them meet values of one shape."""
        return SameShapeConstraint(self, *others)

    def match(self, expr: Expr, var2val: Mapping[Any, Any] | None = None) -> bool:
        """Whether an expression of a function (``module.functions["main"].graph``) looks like this. Names are seen through,
        unless ``var2val`` is there and empty."""
        return self.extract_matched_expr(expr, var2val) is not None

    def extract_matched_expr(
        self, expr: Expr, var2val: Mapping[Any, Any] | None = None,
    ) -> dict[DFPattern, Expr] | None:
        """What every pattern inside met; None when it does not match."""
        met: dict[DFPattern, Expr] | None = _context().extract(self, expr, var2val is None or len(var2val) > 0)
        return met

    def __iter__(self) -> Iterator[Any]:
        # Without this Python would take items until one fails.
        raise TypeError("a pattern is not iterable")

    def has_attr(self, attrs: Mapping[str, Any]) -> AttrPattern:
        """Also has these attributes."""
        return AttrPattern(self, attrs)

    def has_ty(self, ty: Any) -> TypePattern:
        """Also cannot be shown to be of another type than this one, given as text: ``f32[n,4]``."""
        return TypePattern(self, ty)

    has_type = has_ty

    def has_dtype(self, dtype: Any) -> DataTypePattern:
        """Also is provably of this element type."""
        return DataTypePattern(self, dtype)

    def has_shape(self, shape: Sequence[int | str]) -> ShapePattern:
        """Also is provably of this shape; texts are symbols."""
        return ShapePattern(self, shape)

    def optional(self, constructor: Callable[[DFPattern], DFPattern]) -> OrPattern:
        """This, with or without what ``constructor`` puts around it."""
        return constructor(self) | self

    def dup(self) -> DFPattern:
        """The same pattern as an object of its own: it need not meet the same value."""
        return copy.deepcopy(self)


def _context() -> Any:
    from . import _rewriting

    return _rewriting


def _op(name: str) -> ExprPattern:
    return ExprPattern(OperatorName(name))


def literal(value: Any) -> str:
    """A value of an attribute in the text form."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, (int, float, np.integer, np.floating)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    return _dtypes.NAMES[_dtypes.number(value)]


def pattern(value: Any) -> DFPattern:
    """A pattern, of an object or of text."""
    if isinstance(value, str):
        return TextPattern(value)
    if not isinstance(value, DFPattern):
        raise InvalidTypeError.mismatch("", "a pattern", type(value).__name__)
    return value


class OperatorName(str):
    """The operator that a pattern met: equal to its name, with or without Relax's prefix."""

    def __new__(cls, name: str) -> OperatorName:
        return super().__new__(cls, name.removeprefix("relax."))

    @property
    def op(self) -> str:
        return str(self)

    name = op

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(self) == str(other).removeprefix("relax.")

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Printer:
    """Prints patterns, with names for what is mentioned more than once, for ``named``, or for all with ``all_named``."""

    def __init__(self, *roots: DFPattern, named: Mapping[int, str] | None = None, all_named: bool = False):
        self._roots = roots
        self._counts: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._given = dict(named or {})
        self._all = all_named
        self._next = 1
        self._taken: set[str] = set()
        #: Every name given, and to what.
        self.labels: list[tuple[str, DFPattern]] = []
        for root in roots:
            self._count(root)

    def text(self) -> str:
        return self(self._roots[0])

    def _count(self, pattern: DFPattern) -> None:
        seen = self._counts[id(pattern)] = self._counts.get(id(pattern), 0) + 1
        if isinstance(pattern, TextPattern):
            self._taken.update(pattern.names)
        if seen == 1:
            for child in pattern._children:
                self._count(child)

    def _name(self, pattern: DFPattern) -> str:
        name = self._given.get(id(pattern))
        while name is None or name in self._taken:
            name = f"p{self._next}"
            self._next += 1
        self._taken.add(name)
        self.labels.append((name, pattern))
        return f"%{name}" if name.isidentifier() and name.isascii() else f"%{literal(name)}"

    def __call__(self, pattern: DFPattern) -> str:
        # An operator is the same whether its pattern is or not.
        is_plain = self._counts[id(pattern)] == 1 or isinstance(pattern, ExprPattern)
        if is_plain and not self._all and id(pattern) not in self._given:
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

    def met(self, captures: Mapping[str, Any]) -> dict[Any, Any]:
        """What the patterns met, from what their names met; names in patterns of text stand for themselves."""
        result: dict[Any, Any] = {}
        own = set()
        for name, pattern in self.labels:
            own.add(name)
            if name in captures and pattern not in result:
                result[pattern] = captures[name]
        for name, expr in captures.items():
            if name not in own:
                result[name] = expr
        return result


class TextPattern(DFPattern):
    """A pattern in text. Names in it are those of the whole pattern that it stands in."""

    def __init__(self, source: str):
        self.source = source
        #: Names that the text mentions.
        self.names = set(re.findall(r"%([A-Za-z_][A-Za-z_0-9]*)", source))
        # Errors are better told here than where the whole is used.
        lib.tenon_pattern_release(new(lib.tenon_pattern_parse, source.encode()))

    def _text(self, printer: Printer) -> str:
        return f"({self.source})"


class ExprPattern(DFPattern):
    """This very expression: an operator, or a literal (a number, a text, an array, a literal ``Expr``)."""

    def __init__(self, expr: Any):
        self.expr = expr
        self._source = self._written(expr)

    @staticmethod
    def _written(expr: Any) -> str:
        if isinstance(expr, OperatorName):
            return str(expr)
        if isinstance(expr, (bool, int, float, str)) and not isinstance(expr, bool):
            return literal(expr)
        if isinstance(expr, (np.ndarray, np.generic, bool)):
            array = np.asarray(expr)
            elements = ", ".join(literal(element) for element in array.ravel())
            dims = ",".join(str(size) for size in array.shape)
            return f"const {_dtypes.NAMES[_dtypes.number(array.dtype)]}[{dims}]({elements})"
        kind = getattr(expr, "kind", None)
        if kind == "literal":
            return f"literal {expr.text}"
        if kind == "constant":
            return ExprPattern._written(expr.data)
        if kind in ("parameter", "variable"):
            return f"var {literal(expr.name)}"
        raise InvalidTypeError.mismatch("is_expr", "an operator, a literal or a parameter", kind or type(expr).__name__)

    def _text(self, printer: Printer) -> str:
        return self._source


class _Named(DFPattern):
    _word = ""

    def __init__(self, name: str = ""):
        self.name = name

    def _text(self, printer: Printer) -> str:
        return f"{self._word} {literal(self.name)}" if self.name else self._word


class VarPattern(_Named):
    """A variable that no binding explains."""

    _word = "var"


class DataflowVarPattern(VarPattern):
    """A variable local to a dataflow block."""

    _word = "dfvar"


class GlobalVarPattern(_Named):
    """The name of a function of the module."""

    _word = "gvar"


class ExternFuncPattern(_Named):
    """A function that the library knows nothing of."""

    _word = "extern"

    @property
    def global_symbol(self) -> str:
        return self.name


class ConstantPattern(DFPattern):
    """A tensor literal."""

    def _text(self, printer: Printer) -> str:
        return "const"


class WildcardPattern(DFPattern):
    """Anything."""

    def _text(self, printer: Printer) -> str:
        return "*"


class CallPattern(DFPattern):
    """A call of ``op``; with ``args`` None of any arguments."""

    def __init__(
        self, op: Any, args: Sequence[Any] | None, varg_default_wildcard: bool = False, *, add_constraint: bool = True,
    ):
        self.op = pattern(op)
        self.args = None if args is None else tuple(pattern(argument) for argument in args)
        self.varg_default_wildcard = varg_default_wildcard
        if add_constraint:
            _context().PatternContext._mention(self)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return (self.op, *(self.args or ()))

    def _text(self, printer: Printer) -> str:
        head = printer(self.op)
        if not re.fullmatch(r"[\w.]+|\*", head):
            head = f"({head})"
        parts = [printer(argument) for argument in self.args or ()]
        if self.args is None or self.varg_default_wildcard:
            parts.append("...")
        return f"{head}({', '.join(parts)})"


class FunctionPattern(DFPattern):
    """A local function of these parameters and this body."""

    def __init__(self, params: Sequence[Any], body: Any):
        self.params = tuple(pattern(parameter) for parameter in params)
        self.body = pattern(body)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return (*self.params, self.body)

    def _text(self, printer: Printer) -> str:
        parameters = ", ".join(printer(parameter) for parameter in self.params)
        return f"(fn({parameters}) -> {printer(self.body)})"


class _Fields(DFPattern):
    _word = ""

    def __init__(self, fields: Sequence[Any]):
        self.fields = tuple(pattern(field) for field in fields)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return self.fields

    def __len__(self) -> int:
        return len(self.fields)

    def __bool__(self) -> bool:
        return True

    def _text(self, printer: Printer) -> str:
        return f"{self._word}({', '.join(printer(field) for field in self.fields)})"


class TuplePattern(_Fields):
    """A tuple of these fields."""

    _word = "tuple"


class UnorderedTuplePattern(_Fields):
    """A tuple of these fields in any order."""

    _word = "unordered"


class PatternIndexError(InvalidArgumentError, IndexError):
    """An item of a tuple pattern that it does not have."""


class TupleGetItemPattern(DFPattern):
    """An item of a tuple; any with ``index`` None."""

    def __init__(self, tuple_value: Any, index: int | None = None):
        self.tuple = pattern(tuple_value)
        if index is not None:
            index = int(index)
            count = len(self.tuple) if isinstance(self.tuple, TuplePattern) else None
            if count is None and index < 0 or count is not None and not -count <= index < count:
                expected = "0 or above" if count is None else f"less than {count}, the number of fields"
                raise PatternIndexError.mismatch("tuple item:", expected, index)
            if index < 0:
                index += count or 0
        self.index = index

    @property
    def _children(self) -> Sequence[DFPattern]:
        return (self.tuple,)

    def _text(self, printer: Printer) -> str:
        return f"({printer(self.tuple)}).{'?' if self.index is None else self.index}"


class _Pair(DFPattern):
    def __init__(self, left: Any, right: Any):
        self.left = pattern(left)
        self.right = pattern(right)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return (self.left, self.right)


class OrPattern(_Pair):
    """Either; the left one when both match."""

    def _text(self, printer: Printer) -> str:
        if all(isinstance(side, ExprPattern) and isinstance(side.expr, OperatorName) for side in self._children):
            return f"({printer.branch(self.left)} | {printer.branch(self.right)})"
        return f"(({printer.branch(self.left)}) | ({printer.branch(self.right)}))"


class AndPattern(_Pair):
    """Both."""

    def _text(self, printer: Printer) -> str:
        return f"(({printer(self.left)}) & ({printer(self.right)}))"


class NotPattern(DFPattern):
    """Anything else."""

    def __init__(self, to_reject: Any):
        self.reject = pattern(to_reject)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return (self.reject,)

    def _text(self, printer: Printer) -> str:
        # What must not match defines no names.
        return f"(!({printer.branch(self.reject)}))"


class _Constraint(DFPattern):
    def __init__(self, inside: Any):
        self.pattern = pattern(inside)

    @property
    def _children(self) -> Sequence[DFPattern]:
        return (self.pattern,)

    def _constraint(self) -> str:
        raise NotImplementedError

    def _text(self, printer: Printer) -> str:
        return f"(({printer(self.pattern)}) {self._constraint()})"


class TypePattern(_Constraint):
    """Cannot be shown to be of another type."""

    def __init__(self, inside: Any, ty: Any):
        super().__init__(inside)
        self.ty = str(ty)
        lib.tenon_pattern_release(new(lib.tenon_pattern_parse, f"* {self._constraint()}".encode()))

    def _constraint(self) -> str:
        return f"@type {self.ty}"


class DataTypePattern(_Constraint):
    """Is provably of this element type."""

    def __init__(self, inside: Any, dtype: Any):
        super().__init__(inside)
        self.dtype = _dtypes.NAMES[_dtypes.number(dtype)]

    def _constraint(self) -> str:
        return f"@dtype {self.dtype}"


class ShapePattern(_Constraint):
    """Is provably of this shape."""

    def __init__(self, inside: Any, shape: Sequence[int | str]):
        super().__init__(inside)
        self.shape = tuple(shape)

    def _constraint(self) -> str:
        return f"@shape[{','.join(str(size) for size in self.shape)}]"


class AttrPattern(_Constraint):
    """Has these attributes. Names that the operators inside do not have are refused here."""

    def __init__(self, inside: Any, attrs: Mapping[str, Any]):
        super().__init__(inside)
        self.attrs = dict(attrs)
        lib.tenon_pattern_release(new(lib.tenon_pattern_parse, Printer(self).text().encode()))

    def _constraint(self) -> str:
        listed = ", ".join(f"{name if name.isidentifier() else literal(name)}={literal(value)}" for name, value in self.attrs.items())
        return f"@attr{{{listed}}}"


class PrimArrPattern(DFPattern):
    """A shape literal."""

    def __init__(self, shape: Sequence[int | str]):
        self.fields = tuple(shape)

    def __getitem__(self, index: int) -> Any:  # type: ignore[override]
        if not -len(self.fields) <= index < len(self.fields):
            raise PatternIndexError.mismatch("size", f"an index below {len(self.fields)}", index)
        return self.fields[index]

    def __len__(self) -> int:
        return len(self.fields)

    def __bool__(self) -> bool:
        return True

    def _text(self, printer: Printer) -> str:
        return f"shape[{','.join(str(size) for size in self.fields)}]"


class SameShapeConstraint:
    """In a ``PatternContext``: all of these meet values of one shape."""

    def __init__(self, *patterns: Any):
        self.patterns = [pattern(item) for item in patterns]
        _context().PatternContext._state(self)

    def text(self, printer: Printer) -> str:
        return f"same_shape({', '.join(printer(pattern) for pattern in self.patterns)});"
