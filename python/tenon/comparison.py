"""How what backends compute differs from the library's own kernels."""

from __future__ import annotations

import ctypes
import html
from typing import Any, Iterator, NamedTuple, Sequence, overload

import numpy as np

from ._handle import Handle, new
from ._lib import Difference as _Difference, ExecutableOptions, Tensor, lib
from ._table import html_table, table
from ._tensors import as_array, fill
from .errors import check
from .module import Module


class Difference(NamedTuple):
    """One value that a binding of ``main`` gives."""

    name: str
    #: The type in the text form.
    type: str
    #: The largest difference; infinite where only one of both is a number.
    absolute: float
    #: The same, divided by the largest element of the reference.
    relative: float
    #: Whether it is within one of both tolerances.
    ok: bool


class Comparison(Sequence[Difference]):
    """Every value that ``main`` computes, by backends and by the library's own kernels: a sequence of ``Difference``.

    Regions count as one binding each.
    """

    def __init__(
        self, module: Module, options: ExecutableOptions, inputs: Sequence[Any], absolute: float, relative: float
    ):
        arrays = [np.ascontiguousarray(as_array(value)).reshape(np.shape(value)) for value in inputs]
        tensors = (Tensor * max(len(arrays), 1))()
        keep = [fill(tensor, array) for tensor, array in zip(tensors, arrays)]
        address = new(
            lib.tenon_module_compare, module._handle, ctypes.byref(options), tensors, len(arrays), absolute, relative)
        del keep
        try:
            self._differences = tuple(self._read(address))
        finally:
            lib.tenon_comparison_release(address)

    @staticmethod
    def _read(address: int) -> Iterator[Difference]:
        entry = _Difference(struct_size=ctypes.sizeof(_Difference))
        for index in range(lib.tenon_comparison_count(address)):
            check(lib.tenon_comparison_get(address, index, ctypes.byref(entry)))
            yield Difference(
                entry.name.decode(), entry.type.decode(), entry.absolute, entry.relative, bool(entry.is_within_tolerance))

    @property
    def ok(self) -> bool:
        """Whether every value is within its tolerance."""
        return all(difference.ok for difference in self._differences)

    @property
    def worst(self) -> Difference | None:
        """The value with the largest relative difference; None when there is no value."""
        return max(self._differences, key=lambda difference: difference.relative, default=None)

    def __len__(self) -> int:
        return len(self._differences)

    @overload
    def __getitem__(self, index: int) -> Difference: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Difference, ...]: ...

    def __getitem__(self, index: int | slice) -> Difference | tuple[Difference, ...]:
        return self._differences[index]

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """A structured array with one entry per value and the fields of ``Difference``."""
        return np.array(list(self._differences), dtype=[
            ("name", object), ("type", object), ("absolute", np.float64), ("relative", np.float64), ("ok", np.bool_)])

    def _rows(self) -> list[list[str]]:
        return [[entry.name, entry.type, f"{entry.absolute:.3g}", f"{entry.relative:.3g}", "yes" if entry.ok else "NO"]
                for entry in self._differences]

    def __repr__(self) -> str:
        return table([["binding", "type", "absolute", "relative", "ok"], *self._rows()], right={2, 3})

    def _repr_html_(self) -> str:
        bad = sum(not entry.ok for entry in self._differences)
        return html_table(
            ["binding", "type", "absolute", "relative", "ok"],
            [[html.escape(cell) for cell in row] for row in self._rows()],
            f"{len(self)} values, {bad} outside of their tolerance" if bad else f"{len(self)} values, all within tolerance")
