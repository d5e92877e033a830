"""Matching and rewriting with Python callbacks, under TVM's names. ``tenon.dpl`` is where to import them from."""

from __future__ import annotations

import contextvars
import ctypes
from typing import Any, Callable, Mapping, Sequence

from ._callbacks import Callbacks, Match, Refusal, ReplacementBuilder
from ._handle import new
from ._lib import RewriteFunction, RewriteRule, lib
from .errors import InvalidArgumentError, InvalidStateError, InvalidTypeError, check
from .graph import Expr, Graph
from .module import Function, Module

_context: contextvars.ContextVar[PatternContext | None] = contextvars.ContextVar("tenon_pattern_context", default=None)


class PatternSeq:
    """Patterns one after the other, each used by the next."""

    def __init__(self, patterns: Sequence[dpl.DFPattern]):
        self.patterns = list(patterns)

    def _join(self, other: Any, index: int, sign: str) -> PatternSeq:
        following = other if isinstance(other, PatternSeq) else PatternSeq([dpl._pattern(other)])
        if index < -1:
            raise InvalidArgumentError.mismatch("index", "-1 for any or an index", index)
        place = "" if index < 0 else f"[{index}]"
        PatternContext._state(_Use(self.patterns[-1], following.patterns[0], sign + place))
        return PatternSeq([*self.patterns, *following.patterns])

    def used_by(self, other: Any, index: int = -1) -> PatternSeq:
        return self._join(other, index, "^")

    def only_used_by(self, other: Any, index: int = -1) -> PatternSeq:
        return self._join(other, index, ">>")

    def __xor__(self, other: Any) -> PatternSeq:
        return self.used_by(other)

    def __rshift__(self, other: Any) -> PatternSeq:
        return self.only_used_by(other)


class _Use:
    def __init__(self, producer: dpl.DFPattern, consumer: dpl.DFPattern, sign: str):
        self.patterns = [producer, consumer]
        self._sign = sign

    def text(self, printer: dpl._Printer) -> str:
        return f"{printer(self.patterns[0])} {self._sign} {printer(self.patterns[1])};"


class _SameShape:
    def __init__(self, patterns: Sequence[dpl.DFPattern]):
        self.patterns = [dpl._pattern(pattern) for pattern in patterns]

    def text(self, printer: dpl._Printer) -> str:
        return f"same_shape({', '.join(printer(pattern) for pattern in self.patterns)});"


class _Mention:
    def __init__(self, pattern: dpl.DFPattern):
        self.patterns = [pattern]

    def text(self, printer: dpl._Printer) -> str:
        return f"{printer(self.patterns[0])};"


class PatternContext:
    """Patterns of one block and who uses whom, stated inside a ``with`` block by ``^``, ``>>`` and calls of patterns.

    >>> from tenon.dpl import is_op, wildcard
    >>> with PatternContext() as context:
    ...     x = wildcard()
    ...     product = is_op("matmul")(x, wildcard())
    ...     _ = product >> is_op("nn.relu")(product)
    >>> print(context)
    %p1: matmul(%p2: *, %p3: *);
    %p4: nn.relu(%p1);
    %p1 >> %p4;
    """

    def __init__(self) -> None:
        self._statements: list[Any] = []
        self._tokens: list[contextvars.Token] = []

    def __enter__(self) -> PatternContext:
        self._tokens.append(_context.set(self))
        return self

    def __exit__(self, *exception: object) -> None:
        _context.reset(self._tokens.pop())

    @staticmethod
    def current() -> PatternContext:
        context = _context.get()
        if context is None:
            raise InvalidStateError("uses are stated inside `with PatternContext():`")
        return context

    @staticmethod
    def _state(statement: Any) -> None:
        PatternContext.current()._statements.append(statement)

    @staticmethod
    def _mention(pattern: dpl.DFPattern) -> None:
        context = _context.get()
        if context is not None:
            context._statements.append(_Mention(pattern))

    def _printed(self) -> tuple[str, dpl._Printer]:
        patterns = [pattern for statement in self._statements for pattern in statement.patterns]
        printer = dpl._Printer(*patterns, all_named=True)
        return "\n".join(statement.text(printer) for statement in self._statements), printer

    def __str__(self) -> str:
        return self._printed()[0]

    def match(self, function: Function | Graph) -> dict[dpl.DFPattern, Expr] | None:
        """What the patterns meet in the first dataflow block that has them all; None when none has."""
        graph = function if isinstance(function, Graph) else function.graph
        source, printer = self._printed()
        context = new(lib.tenon_pattern_context_parse, source.encode())
        try:
            address = new(lib.tenon_pattern_context_match, context, graph._handle)
        finally:
            lib.tenon_pattern_context_release(context)
        return _met(printer, address, graph)

    match_dfb = match


def _met(printer: dpl._Printer, address: int, graph: Graph) -> dict[dpl.DFPattern, Expr] | None:
    """What a match that was transferred says, in terms of the graph that it was asked of."""
    if not address:
        return None
    try:
        captures = Match(address).captures
        return printer.met({name: Expr(graph, expr._id) for name, expr in captures.items()})
    finally:
        lib.tenon_match_release(address)


def extract(pattern: dpl.DFPattern, expr: Expr) -> dict[dpl.DFPattern, Expr] | None:
    """What every pattern inside ``pattern`` met; None when it does not match ``expr``."""
    printer = dpl._Printer(dpl._pattern(pattern), all_named=True)
    handle = new(lib.tenon_pattern_parse, printer.text().encode())
    try:
        address = new(lib.tenon_pattern_match, handle, expr._graph._handle, expr._id)
    finally:
        lib.tenon_pattern_release(handle)
    return _met(printer, address, expr._graph)


def _apply(rule: RewriteRule, calls: Callbacks, mod: Module) -> Module:
    if not isinstance(mod, Module):
        raise InvalidTypeError.mismatch("", "a tenon.Module", type(mod).__name__)
    result = mod.copy()
    calls.status(lib.tenon_module_rewrite_rules(result._handle, ctypes.byref(rule), 1, None))
    return result


def _rule(name: str, **fields: Any) -> RewriteRule:
    return RewriteRule(struct_size=ctypes.sizeof(RewriteRule), name=name.encode(), **fields)


def rewrite_call(
    pattern: dpl.DFPattern | str, rewriter: Callable[[Expr, Mapping[Any, Expr]], Any], mod: Module,
    name: str = "rewrite_call",
) -> Module:
    """A new module, in which what matches is replaced by what ``rewriter(expr, matchings)`` returns, until nothing changes.

    ``matchings`` says what every pattern inside met; for a pattern in text, what its names met. The rewriter returns
    ``expr`` itself, None or a ``Refusal`` to leave it; another expression of the match; or what it builds with
    ``tenon.op``: ``R.multiply(matchings[x], R.const(2.0))``. What it raises is raised here, and nothing has changed.
    """
    printer = None if isinstance(pattern, str) else dpl._Printer(dpl._pattern(pattern), all_named=True)
    calls = Callbacks()

    def replace(match: Match, builder: ReplacementBuilder) -> Any:
        root = match.root
        result = rewriter(root, printer.met(match.captures) if printer else match.captures)
        if result is None or isinstance(result, Refusal) or result == root:
            return result if isinstance(result, Refusal) else None
        return [(root, result)]

    text = pattern if isinstance(pattern, str) else printer.text()
    return _apply(_rule(name, text=text.encode(), rewrite=calls.rewrite(replace)), calls, mod)


def rewrite_bindings(
    ctx: PatternContext, rewriter: Callable[[Mapping[Any, Expr], Mapping[Expr, Expr]], Mapping[Expr, Any]], mod: Module,
    name: str = "rewrite_bindings",
) -> Module:
    """A new module, in which the values that ``rewriter(matchings, bindings)`` names are replaced by what it gives for them,
    block by block, until it gives nothing or nothing matches."""
    source, printer = ctx._printed()
    calls = Callbacks()

    def replace(match: Match, builder: ReplacementBuilder) -> Any:
        result = rewriter(printer.met(match.captures), {expr: expr for expr in match.bindings})
        if result is None or isinstance(result, Refusal):
            return result
        return list(result.items())

    context = new(lib.tenon_pattern_context_parse, source.encode())
    try:
        return _apply(_rule(name, context=context, rewrite=calls.rewrite(replace)), calls, mod)
    finally:
        lib.tenon_pattern_context_release(context)


class PatternMatchingRewriter:
    """A rewriter to be applied to any number of modules."""

    def __init__(self, apply: Callable[[Module], Module]):
        self._apply = apply

    @staticmethod
    def from_pattern(pattern: Any, func: Callable[[Expr, Mapping[Any, Expr]], Any]) -> PatternMatchingRewriter:
        """As ``rewrite_call``."""
        return PatternMatchingRewriter(lambda mod: rewrite_call(pattern, func, mod))

    @staticmethod
    def from_text(
        source: str, check: Callable[[Mapping[str, Expr]], Any] | None = None, name: str = "rewrite",
    ) -> PatternMatchingRewriter:
        """The functions ``before`` and ``after`` in text; ``check`` looks at what the parameters of ``before`` met."""

        def apply(mod: Module) -> Module:
            calls = Callbacks()
            rule = _rule(name, text=source.encode(), rewrite=RewriteFunction())
            if check is not None:
                rule.check = calls.check(lambda match: check(match.captures))
            return _apply(rule, calls, mod)

        return PatternMatchingRewriter(apply)

    def __call__(self, mod: Module) -> Module:
        return self._apply(mod)


from . import dpl  # noqa: E402  (it takes the names above)
