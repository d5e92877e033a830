"""Operators by name, for rewriters: ``from tenon import op as R`` and then ``R.nn.relu(x)`` or ``R.add(x, y)`` add calls to what
the rewriter at work builds.
"""

from __future__ import annotations

import contextvars
from typing import Any

from .builder import Builder, Value
from .errors import InvalidStateError
from .module import operators as _operators

_current: contextvars.ContextVar[Builder | None] = contextvars.ContextVar("tenon_rewriter", default=None)
_known = frozenset(_operators())


def current(what: str = "this") -> Builder:
    """The builder of the rewriter that runs on this thread.

    Raises:
        InvalidStateError: none runs.
    """
    builder = _current.get()
    if builder is None:
        raise InvalidStateError(f"{what} can be built only while a rewriter runs")
    return builder


def const(array: Any, dtype: Any = None) -> Value:
    """A tensor of known contents."""
    return current("a constant").constant(array, dtype)


def literal(source: str) -> Value:
    """A literal in the text form: ``shape[n,64]``, ``4``, ``f16``."""
    return current("a literal").literal(source)


class _Operator:
    """An operator, or what stands in front of a dot in the names of several."""

    def __init__(self, name: str):
        self._name = name

    def __call__(self, *inputs: Any, name: str | None = None, **attributes: Any) -> Value:
        return current(self._name).call(self._name, *inputs, name=name, **attributes)

    def __getattr__(self, name: str) -> _Operator:
        return _named(f"{self._name}.{name}")

    def __repr__(self) -> str:
        return f"<tenon operator {self._name}>"


def _named(name: str) -> _Operator:
    if name.startswith("_") or not (name in _known or any(known.startswith(name + ".") for known in _known)):
        raise AttributeError(f"no operator '{name}'")
    return _Operator(name)


def __getattr__(name: str) -> _Operator:
    return _named(name)
