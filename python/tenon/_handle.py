"""Ownership of the library's objects."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Callable

from ._lib import lib
from .errors import InvalidStateError, check


class Handle:
    """Owns one object of the library: released by ``close``, at the end of a ``with`` block, or by the collector."""

    _release: str

    def __init__(self, address: int):
        self._address: int | None = address
        self._finalizer: weakref.finalize[..., Any] = weakref.finalize(self, getattr(lib, self._release), address)

    def close(self) -> None:
        """Releases the object now. Further use raises InvalidStateError; closing again does nothing."""
        self._address = None
        self._finalizer()

    @property
    def closed(self) -> bool:
        return self._address is None

    @property
    def _handle(self) -> int:
        """The object's address, for calls."""
        if self._address is None:
            raise InvalidStateError(f"the {type(self).__name__} is closed")
        return self._address

    def __enter__(self) -> Any:
        self._handle
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def new(function: Callable[..., int], *arguments: Any) -> int:
    """Calls a function whose last parameter gives an object, and returns its address."""
    out = ctypes.c_void_p()
    check(function(*arguments, ctypes.byref(out)))
    return out.value or 0


def text(function: Callable[..., int], *arguments: Any) -> str:
    """Calls a function whose last parameter gives text that must be released."""
    address = new(function, *arguments)
    try:
        return ctypes.string_at(address).decode(errors="replace")
    finally:
        lib.tenon_string_release(address)


def strings(values: list[str]) -> Any:
    """A C array of texts; None when empty."""
    if not values:
        return None
    return (ctypes.c_char_p * len(values))(*[value.encode() for value in values])


def integers(values: Any) -> Any:
    """A C array of int64."""
    return (ctypes.c_int64 * len(values))(*values)
