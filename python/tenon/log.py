"""What the library has to say besides results and errors. It prints nothing."""

from __future__ import annotations

from typing import Any, Callable

from ._lib import LogFunction, lib
from .errors import InvalidArgumentError, check

LEVELS = {"debug": 1, "information": 2, "warning": 3, "error": 4}
_NAMES = {number: name for name, number in LEVELS.items()}
# The callbacks that were given: one may still be under way when another takes its place.
_kept: list[Any] = []


def set_log(listener: Callable[[str, str], None] | None, level: str = "warning") -> None:
    """Messages of ``level`` and above go to ``listener(level, message)``; ``None``, as at first, for nobody.

    The listener may be called on any thread, and must not call the library.

    >>> import tenon
    >>> tenon.set_log(print, "information")
    >>> tenon.set_log(None)
    """
    if level not in LEVELS:
        raise InvalidArgumentError.mismatch("level", "one of " + ", ".join(LEVELS), level, node="level")

    def call(number: int, message: bytes, _: int) -> None:
        assert listener is not None
        listener(_NAMES.get(number, str(number)), message.decode(errors="replace"))

    function = LogFunction(call) if listener is not None else LogFunction()
    check(lib.tenon_set_log(function, None, LEVELS[level]))
    if listener is not None:
        _kept.append(function)
