"""Python functions as callbacks of the library. What one raises ends the call that led to it, and is raised from there."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, NamedTuple, Sequence

from . import op
from ._attributes import Attributes
from ._handle import new
from ._patterns import OperatorName
from ._lib import AttributesFunction, CheckFunction, Instrument, InstrumentFunction, RewriteFunction, lib
from .builder import Builder, Value
from .errors import InvalidTypeError, TenonError, check
from .graph import Expr, Graph
from .instrument import PassInstrument
from .module import Module

REFUSE, ACCEPT, FAIL = 0, 1, 2


class Refusal(NamedTuple):
    """Why a match must stay as it is; what a check or a rewriter returns to say no. Explanations show it."""

    found: str
    expected: str = ""

    def __bool__(self) -> bool:
        return False


class Match:
    """What a pattern met."""

    def __init__(self, address: int):
        self._address = address
        self.graph = Graph(lib.tenon_match_function(address) or 0, self)

    @property
    def root(self) -> Expr | None:
        number = lib.tenon_match_root(self._address)
        return None if number == 0xFFFFFFFF else Expr(self.graph, number)

    @property
    def captures(self) -> dict[str, Expr]:
        """By the names that the pattern gives its nodes; nodes that met an operator are left out."""
        result = {}
        for index in range(lib.tenon_match_capture_count(self._address)):
            name = lib.tenon_match_capture_name(self._address, index)
            value = ctypes.c_uint32()
            if lib.tenon_match_get(self._address, name, ctypes.byref(value)) == 0:
                result[name.decode()] = Expr(self.graph, value.value)
        return result

    @property
    def subjects(self) -> dict[str, Any]:
        """As ``captures``, with operators too, as names."""
        result: dict[str, Any] = {}
        for index in range(lib.tenon_match_capture_count(self._address)):
            name = lib.tenon_match_capture_name(self._address, index)
            value, operator = ctypes.c_uint32(), ctypes.c_char_p()
            if lib.tenon_match_get(self._address, name, ctypes.byref(value)) == 0:
                result[name.decode()] = Expr(self.graph, value.value)
            elif lib.tenon_match_get_operator(self._address, name, ctypes.byref(operator)) == 0:
                result[name.decode()] = OperatorName((operator.value or b"").decode())
        return result

    @property
    def bindings(self) -> list[Expr]:
        values = ctypes.POINTER(ctypes.c_uint32)()
        count = ctypes.c_size_t()
        check(lib.tenon_match_get_bindings(self._address, ctypes.byref(values), ctypes.byref(count)))
        return [Expr(self.graph, values[index]) for index in range(count.value)]


class ReplacementBuilder(Builder):
    """What a rewriter builds with. Values of the match are operands here."""

    def __init__(self, address: int, graph: Graph):
        self._address = address
        self._graph = graph

    def _end(self) -> None:
        self._address = None

    def close(self) -> None:
        """It goes when the rewriter returns."""

    def _operand(self, operand: Any) -> Value:
        if isinstance(operand, Expr) and operand._graph is self._graph:
            return Value(self, operand._id)
        if isinstance(operand, (tuple, list)) and any(isinstance(field, Expr) for field in operand):
            return self.tuple(operand)
        return super()._operand(operand)


class Callbacks:
    """Callbacks for one call of the library."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        #: What the library is told of it.
        self.reason = ""

    def status(self, status: int) -> None:
        """Raises what a callback raised, with the library's error as its context; else what the status stands for."""
        error, self._error = self._error, None
        if error is None:
            return check(status)
        try:
            check(status)
        except TenonError:
            raise error
        raise error

    def guard(self, reply: int, body: Callable[[], int]) -> int:
        """The verdict of ``body``; TENON_FAIL when it raises."""
        if self._error is not None:
            return FAIL
        try:
            return body()
        except BaseException as error:
            self._error = error
            try:
                reason = f"{type(error).__name__}: {error}"
            except Exception:
                reason = type(error).__name__
            # The library's messages are one line.
            self.reason = " ".join(reason.replace("\0", " ").splitlines())
            lib.tenon_reply_set_reason(reply, self.reason.encode(errors="replace"), None)
            return FAIL

    def check(self, function: Callable[[Match], Any]) -> Any:
        """A check: anything true or false, or a ``Refusal``."""

        def call(match: int, reply: int, user_data: int) -> int:
            def body() -> int:
                seen = Match(match)
                try:
                    return _verdict(reply, function(seen), "a check")
                finally:
                    seen.graph._end()

            return self.guard(reply, body)

        return CheckFunction(call)

    def attributes(self, function: Callable[[Match], Any]) -> Any:
        """An attribute getter: a dictionary."""

        def call(match: int, attributes: int, reply: int, user_data: int) -> int:
            def body() -> int:
                seen = Match(match)
                try:
                    given = function(seen)
                finally:
                    seen.graph._end()
                borrowed = Attributes.__new__(Attributes)
                borrowed.address = attributes
                for name, value in dict(given or {}).items():
                    borrowed._set(name, value)
                return ACCEPT

            return self.guard(reply, body)

        return AttributesFunction(call)

    def rewrite(self, function: Callable[[Match, ReplacementBuilder], Any]) -> Any:
        """A rewriter: gives pairs of an expression and what replaces it, or None or a ``Refusal``."""

        def call(match: int, builder: int, reply: int, user_data: int) -> int:
            def body() -> int:
                seen = Match(match)
                building = ReplacementBuilder(builder, seen.graph)
                token = op._current.set(building)
                try:
                    pairs = function(seen, building)
                    if not pairs:
                        return _verdict(reply, pairs if isinstance(pairs, Refusal) else False, "a rewriter")
                    for old, new in pairs:
                        check(lib.tenon_reply_replace(reply, building._operand(old)._id, building._operand(new)._id))
                    return ACCEPT
                finally:
                    op._current.reset(token)
                    seen.graph._end()
                    building._end()

            return self.guard(reply, body)

        return RewriteFunction(call)


    def instruments(self, instruments: Sequence[PassInstrument]) -> Any:
        """The C array for instruments; None for none."""
        if not instruments:
            return None

        def heard(event: Any) -> tuple[Module, PassInfo]:
            seen = event.contents
            mod = Module._take(new(lib.tenon_module_copy, seen.module))
            return mod, PassInfo(seen.name.decode(), 0, (), seen.depth, seen.nanoseconds)

        def before(event: Any, reply: int, user_data: int) -> int:
            def body() -> int:
                mod, info = heard(event)
                return ACCEPT if _before(instruments, mod, info) else REFUSE

            return self.guard(reply, body)

        def after(event: Any, reply: int, user_data: int) -> int:
            def body() -> int:
                mod, info = heard(event)
                for instrument in instruments:
                    instrument.run_after_pass(mod, info)
                return ACCEPT

            return self.guard(reply, body)

        array = (Instrument * 1)()
        array[0].struct_size = ctypes.sizeof(Instrument)
        array[0].before = InstrumentFunction(before)
        array[0].after = InstrumentFunction(after)
        return array


def _before(instruments: Sequence[PassInstrument], mod: Module, info: PassInfo) -> bool:
    """Tells instruments of a pass that is to run, unless one of them says no."""
    if not all(instrument.should_run(mod, info) for instrument in instruments):
        return False
    for instrument in instruments:
        instrument.run_before_pass(mod, info)
    return True


class PassInfo(NamedTuple):
    """What is known of a pass."""

    name: str
    #: A pass runs in contexts of this level and above.
    opt_level: int
    #: Passes that must be enabled for it.
    required: tuple[str, ...] = ()
    #: For instruments: how many other passes it runs inside of, and how long it took.
    depth: int = 0
    nanoseconds: int = 0


def _verdict(reply: int, answer: Any, what: str) -> int:
    if isinstance(answer, Refusal):
        check(lib.tenon_reply_set_reason(reply, answer.found.encode(), answer.expected.encode() or None))
        return REFUSE
    return ACCEPT if answer else REFUSE
