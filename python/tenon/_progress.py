"""Telling Python how far long work has come."""

from __future__ import annotations

from typing import Any, Callable

from ._lib import ProgressFunction
from .errors import CancelledError

#: Called with the stage (``import``, ``compile``, ``tune``, ``calibrate`` or ``compare``), the parts that are done, and all of them. Raising ends the work.
Progress = Callable[[str, int, int], Any]


class Reporter:
    """Hands a Python function to the library for the time of a ``with`` block, and raises what it raised."""

    def __init__(self, progress: Progress | None):
        self._progress = progress
        self._error: BaseException | None = None
        #: For the options; a null pointer when nobody listens.
        self.function: Any = ProgressFunction() if progress is None else ProgressFunction(self._call)

    def _call(self, stage: bytes, done: int, total: int, data: Any) -> int:
        try:
            if self._progress is not None:
                self._progress(stage.decode(), done, total)
            return 0
        except BaseException as error:
            self._error = error
            return 1

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        own, self._error = self._error, None
        # The reporter and its C function hold each other.
        self.function = None
        if own is not None and (error is None or isinstance(error, CancelledError)):
            raise own from None
