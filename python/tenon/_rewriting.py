"""Matching and rewriting with Python callbacks, under TVM's names. ``tenon.dpl`` is where to import them from."""

from __future__ import annotations

import contextvars
import copy
import ctypes
from typing import Any, Callable, Mapping, Sequence

from . import _patterns
from ._callbacks import Callbacks, Match, Refusal, ReplacementBuilder
from ._handle import new
from ._lib import RewriteFunction, RewriteRule, lib
from .errors import InvalidArgumentError, InvalidStateError, InvalidTypeError, LimitExceededError, check
from .graph import Expr, Graph
from .module import Function, Module

_context: contextvars.ContextVar[PatternContext | None] = contextvars.ContextVar("tenon_pattern_context", default=None)


class PatternSeq:
    """Patterns one after the other, each used by the next; with ``only_use`` by nothing else. In a ``PatternContext`` that is
    stated where the sequence is made."""

    def __init__(self, patterns: Sequence[Any], only_use: bool = False):
        self.patterns = [_patterns.pattern(item) for item in patterns]
        if not self.patterns:
            raise InvalidArgumentError.mismatch("a PatternSeq", "at least one pattern", "none")
        self._signs: list[str] = []
        for _ in self.patterns[1:]:
            self._signs.append(">>" if only_use else "^")
        self._state_all()

    def _state_all(self) -> None:
        for index, sign in enumerate(self._signs):
            PatternContext._state(_Use(self.patterns[index], self.patterns[index + 1], sign))

    @classmethod
    def _of(cls, patterns: list[_patterns.DFPattern], signs: list[str]) -> PatternSeq:
        """One whose uses are stated already."""
        made = cls.__new__(cls)
        made.patterns, made._signs = patterns, signs
        return made

    def __len__(self) -> int:
        return len(self.patterns)

    def __getitem__(self, index: int) -> _patterns.DFPattern:
        return self.patterns[index]

    def dup(self) -> PatternSeq:
        """The same sequence of patterns of their own, used by one another in the same way."""
        memo: dict[int, Any] = {}
        copies = [copy.deepcopy(item, memo) for item in self.patterns]
        made = PatternSeq._of(copies, list(self._signs))
        for item in copies:
            _mention_all(item)
        made._state_all()
        return made

    def _join(self, other: Any, index: int, sign: str) -> PatternSeq:
        following = other if isinstance(other, PatternSeq) else PatternSeq([other])
        if index < -1:
            raise InvalidArgumentError.mismatch("index", "-1 for any or an index", index)
        sign += "" if index < 0 else f"[{index}]"
        PatternContext._state(_Use(self.patterns[-1], following.patterns[0], sign))
        return PatternSeq._of([*self.patterns, *following.patterns], [*self._signs, sign, *following._signs])

    def used_by(self, other: Any, index: int = -1) -> PatternSeq:
        return self._join(other, index, "^")

    def only_used_by(self, other: Any, index: int = -1) -> PatternSeq:
        return self._join(other, index, ">>")

    __xor__ = used_by
    __rshift__ = only_used_by


def _mention_all(pattern: _patterns.DFPattern) -> None:
    """States the uses that the calls inside a copied pattern state by themselves."""
    if isinstance(pattern, _patterns.CallPattern):
        PatternContext._mention(pattern)
    for child in pattern._children:
        _mention_all(child)


class _Use:
    def __init__(self, producer: _patterns.DFPattern, consumer: _patterns.DFPattern, sign: str):
        self.patterns = [producer, consumer]
        self._sign = sign

    def text(self, printer: _patterns.Printer) -> str:
        return f"{printer(self.patterns[0])} {self._sign} {printer(self.patterns[1])};"


class _Mention:
    def __init__(self, pattern: _patterns.DFPattern):
        self.patterns = [pattern]

    def text(self, printer: _patterns.Printer) -> str:
        return f"{printer(self.patterns[0])};"


class PatternContext:
    """Patterns of one block and who uses whom, stated inside a ``with`` block by ``^``, ``>>`` and calls of patterns.

    >>> from tenon.dpl import is_op, wildcard
    >>> with PatternContext() as context:
    ...     x = wildcard()
    ...     product = is_op("matmul")(x, wildcard())
    ...     _ = product >> is_op("nn.relu")(product)
    >>> print(context)
    %p1: (%p2: matmul)(%p3: *, %p4: *);
    %p5: (%p6: nn.relu)(%p1);
    %p1 >> %p5;
    """

    def __init__(self, incremental: bool = False) -> None:
        """With ``incremental`` what the context around this one states holds here too; shapes apart."""
        self._statements: list[Any] = []
        if incremental:
            outer = _context.get()
            if outer is None:
                raise InvalidStateError("an incremental context goes on from one that is open")
            self._statements = [
                statement for statement in outer._statements if not isinstance(statement, _patterns.SameShapeConstraint)]
        self._tokens: list[contextvars.Token[Any]] = []

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
    def _mention(pattern: _patterns.DFPattern) -> None:
        context = _context.get()
        if context is not None:
            context._statements.append(_Mention(pattern))

    def _printed(self) -> tuple[str, _patterns.Printer]:
        patterns = [pattern for statement in self._statements for pattern in statement.patterns]
        printer = _patterns.Printer(*patterns, all_named=True)
        return "\n".join(statement.text(printer) for statement in self._statements), printer

    def __str__(self) -> str:
        return self._printed()[0]

    def match(self, function: Function | Graph) -> dict[_patterns.DFPattern, Expr] | None:
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


def _met(printer: _patterns.Printer, address: int, graph: Graph) -> dict[_patterns.DFPattern, Expr] | None:
    """What a match that was transferred says, in terms of the graph that it was asked of."""
    if not address:
        return None
    try:
        captures = Match(address).captures
        return printer.met({name: Expr(graph, expr._id) for name, expr in captures.items()})
    finally:
        lib.tenon_match_release(address)


def extract(
    pattern: _patterns.DFPattern, expr: Expr, sees_through: bool = True,
) -> dict[_patterns.DFPattern, Expr] | None:
    """What every pattern inside ``pattern`` met; None when it does not match ``expr``."""
    printer = _patterns.Printer(_patterns.pattern(pattern), all_named=True)
    handle = new(lib.tenon_pattern_parse, printer.text().encode())
    try:
        function = lib.tenon_pattern_match if sees_through else lib.tenon_pattern_match_binding
        address = new(function, handle, expr._graph._handle, expr._id)
    finally:
        lib.tenon_pattern_release(handle)
    return _met(printer, address, expr._graph)


def _apply(rule: RewriteRule, calls: Callbacks, target: Module | Function) -> Any:
    """The rule on a module, or on one function, of which another module is then made."""
    if isinstance(target, Function):
        rule.function = target.name.encode()
        return _apply(rule, calls, target._module)[target.name]
    if not isinstance(target, Module):
        raise InvalidTypeError.mismatch("", "a tenon.Module or a function of one", type(target).__name__)
    result = target.copy()
    calls.status(lib.tenon_module_rewrite_rules(result._handle, ctypes.byref(rule), 1, None))
    return result


def _rule(name: str, **fields: Any) -> RewriteRule:
    return RewriteRule(struct_size=ctypes.sizeof(RewriteRule), name=name.encode(), **fields)


def rewrite_call(
    pattern: _patterns.DFPattern | str, rewriter: Callable[[Expr, Mapping[Any, Any]], Any], mod: Module | Function,
    name: str = "rewrite_call",
) -> Any:
    """A new module, in which what matches is replaced by what ``rewriter(expr, matchings)`` returns, until nothing changes. Of
    a function only that one is rewritten, and given.

    ``matchings`` says what every pattern inside met; for a pattern in text, what its names met. An operator that a pattern met
    is its name. The rewriter returns ``expr`` itself, None or a ``Refusal`` to leave it; another expression of the match; or
    what it builds with ``tenon.op``: ``R.multiply(matchings[x], R.const(2.0))``. What it raises is raised here, and nothing has
    changed.
    """
    printer = None if isinstance(pattern, str) else _patterns.Printer(_patterns.pattern(pattern), all_named=True)
    calls = Callbacks()

    def replace(match: Match, builder: ReplacementBuilder) -> Any:
        root = match.root
        assert root is not None
        result = rewriter(root, printer.met(match.subjects) if printer else match.captures)
        if result is None or isinstance(result, Refusal) or result == root:
            return result if isinstance(result, Refusal) else None
        return [(root, result)]

    text = printer.text() if printer else str(pattern)
    return _apply(_rule(name, text=text.encode(), rewrite=calls.rewrite(replace)), calls, mod)


def rewrite_bindings(
    ctx: PatternContext, rewriter: Callable[[Mapping[Any, Expr], Mapping[Expr, Expr]], Mapping[Expr, Any]],
    mod: Module | Function,
    name: str = "rewrite_bindings",
) -> Any:
    """A new module, in which the values that ``rewriter(matchings, bindings)`` names are replaced by what it gives for them,
    block by block, until it gives nothing or nothing matches. Of a function only that one is rewritten, and given."""
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
    """A rewriter to be applied to any number of modules or functions; also a step of ``transform.Sequential``. ``a | b`` applies
    both until neither finds anything."""

    name = "PatternMatchingRewriter"

    def __init__(self, apply: Callable[[Any], Any]):
        self._apply = apply

    @staticmethod
    def from_pattern(pattern: Any, func: Callable[[Expr, Mapping[Any, Any]], Any]) -> PatternMatchingRewriter:
        """As ``rewrite_call``."""
        return ExprPatternRewriter(pattern, func)

    @staticmethod
    def from_text(
        source: str, check: Callable[[Mapping[str, Expr]], Any] | None = None, name: str = "rewrite",
    ) -> PatternMatchingRewriter:
        """The functions ``before`` and ``after`` in text, and those that ``after`` calls; ``check`` looks at what the parameters
        of ``before`` met."""
        calls = Callbacks()
        # Tells at once what is wrong with the rule.
        probe = Module.parse("fn @main(%x: object) { return %x }")
        calls.status(lib.tenon_module_rewrite(probe._handle, source.encode(), None))

        def apply(mod: Any) -> Any:
            calls = Callbacks()
            rule = _rule(name, text=source.encode(), rewrite=RewriteFunction())
            if check is not None:
                rule.check = calls.check(lambda match: check(match.captures))
            return _apply(rule, calls, mod)

        return PatternMatchingRewriter(apply)

    @staticmethod
    def from_module(mod: Module) -> PatternMatchingRewriter:
        """A module of the functions ``pattern`` and ``replacement`` (or ``before`` and ``after``), and those that the latter
        calls."""
        rule = mod.copy()
        for name, new_name in (("pattern", "before"), ("replacement", "after")):
            if name in rule.functions:
                rule[new_name] = rule[name]
                rule.remove_function(name)
        return PatternMatchingRewriter.from_text(rule.print(with_data=True))

    def __call__(self, mod: Any) -> Any:
        return self._apply(mod)

    def __or__(self, other: PatternMatchingRewriter) -> PatternMatchingRewriter:
        if not isinstance(other, PatternMatchingRewriter):
            return NotImplemented
        return OrRewriter(self, other)


class ExprPatternRewriter(PatternMatchingRewriter):
    """Replaces what matches ``pattern`` by what ``func(expr, matchings)`` gives."""

    def __init__(self, pattern: Any, func: Callable[[Expr, Mapping[Any, Any]], Any]):
        super().__init__(lambda mod: rewrite_call(pattern, func, mod))
        self.pattern, self.func = pattern, func


class OrRewriter(PatternMatchingRewriter):
    """Applies either rewriter until neither changes anything."""

    _rounds = 1000

    def __init__(self, lhs: PatternMatchingRewriter, rhs: PatternMatchingRewriter):
        super().__init__(self._both)
        self.lhs, self.rhs = lhs, rhs

    def _both(self, mod: Any) -> Any:
        for _ in range(self._rounds):
            changed = self.rhs(self.lhs(mod))
            if _same(changed, mod):
                return changed
            mod = changed
        raise LimitExceededError(f"rewriting still finds something to do after {self._rounds} rounds")


def _same(a: Any, b: Any) -> bool:
    return str(a) == str(b) if isinstance(a, Function) else a == b


class TupleRewriter(PatternMatchingRewriter):
    """Replaces what all of ``patterns`` match in one block, together, by the tuple of as many expressions that
    ``func(expr, matchings)`` gives; ``expr`` is the tuple of what they met."""

    def __init__(self, patterns: Sequence[Any], func: Callable[[Any, Mapping[Any, Any]], Any]):
        self.patterns = [_patterns.pattern(item) for item in patterns]
        self.func = func
        context = PatternContext()
        for item in self.patterns:
            context._statements.append(_Mention(item))

        def replace(matchings: Mapping[Any, Any], bindings: Mapping[Expr, Expr]) -> Any:
            roots = tuple(matchings[item] for item in self.patterns)
            made = func(roots, matchings)
            if made is None or isinstance(made, Refusal):
                return made
            return dict(zip(roots, made, strict=True))

        super().__init__(lambda mod: rewrite_bindings(context, replace, mod))
