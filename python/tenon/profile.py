"""What an executable runs, step by step, and how long each step took."""

from __future__ import annotations

import ctypes
import html
import os
from typing import Any, Iterator, NamedTuple, Sequence, overload

import numpy as np

from ._handle import Handle, new, text
from ._lib import Step as _Step, lib
from ._table import html_table, table
from .errors import check

_TABLE, _TRACE = 0, 1


class Step(NamedTuple):
    """One step of an executable: a primitive of oneDNN, a kernel, a copy."""

    #: The binding that the step computes, as named in the module.
    binding: str
    #: The function of the region that it lies in; empty outside of regions.
    region: str
    #: The composite, or the operator where there is none.
    composite: str
    #: The implementation, as its library names it: ``brgconv:avx512_core``, ``tenon:reshape``.
    implementation: str
    #: Layouts of the first input and of the output, as ``nChw16c:nhwc``; empty when plain.
    layouts: str
    #: Bytes read and written at least.
    bytes: int
    #: Multiplications and additions, where they are counted.
    flops: int
    #: Time of the step; 0 when no run was profiled.
    nanoseconds: int
    #: Why not the backend that the region names runs it; empty where it does.
    note: str = ""

    @property
    def gflops(self) -> float:
        """Thousand million multiplications and additions per second; 0 where nothing is known."""
        return self.flops / self.nanoseconds if self.nanoseconds else 0.0


#: Columns of ``Profile.to_numpy``.
_COLUMNS = [("binding", object), ("region", object), ("composite", object), ("implementation", object),
            ("layouts", object), ("bytes", np.uint64), ("flops", np.uint64), ("nanoseconds", np.uint64), ("note", object)]


class Profile(Handle, Sequence[Step]):
    """The steps of an executable with the times of its last profiled run: a sequence of ``Step``.

    >>> import numpy as np, tenon
    >>> module = tenon.Module.parse('''
    ... fn @main(%x: f32[1,4]) -> f32[1,4] {
    ...   %y: f32[1,4] = nn.relu(%x)
    ...   return %y
    ... }''')
    >>> run = tenon.compile(module, optimize=False)
    >>> profile = run.profile([np.ones((1, 4), np.float32)])
    >>> [(step.composite, step.implementation) for step in profile]
    [('nn.relu', 'tenon:nn.relu')]
    >>> profile[0].nanoseconds <= profile.nanoseconds
    True
    """

    _release = "tenon_profile_release"

    def __init__(self, executable: Handle):
        super().__init__(new(lib.tenon_executable_get_profile, executable._handle))
        steps = []
        step = _Step(struct_size=ctypes.sizeof(_Step))
        for index in range(lib.tenon_profile_count(self._handle)):
            check(lib.tenon_profile_get(self._handle, index, ctypes.byref(step)))
            steps.append(Step(
                step.binding.decode(), step.region.decode(), step.composite.decode(), step.implementation.decode(),
                step.layouts.decode(), step.bytes, step.flops, step.nanoseconds, step.note.decode()))
        self._steps = tuple(steps)
        #: Time of the whole run in nanoseconds; 0 when no run was profiled.
        self.nanoseconds: int = lib.tenon_profile_total(self._handle)

    def __len__(self) -> int:
        return len(self._steps)

    @overload
    def __getitem__(self, index: int) -> Step: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Step, ...]: ...

    def __getitem__(self, index: int | slice) -> Step | tuple[Step, ...]:
        return self._steps[index]

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """A structured array with one entry per step and the fields of ``Step``."""
        return np.array(list(self._steps), dtype=_COLUMNS)

    def by_operator(self) -> list[tuple[str, int, int]]:
        """Composite or operator, number of steps and nanoseconds; what takes longest comes first."""
        sums: dict[str, list[int]] = {}
        for step in self._steps:
            entry = sums.setdefault(step.composite, [0, 0])
            entry[0] += 1
            entry[1] += step.nanoseconds
        return sorted(((name, count, time) for name, (count, time) in sums.items()), key=lambda entry: -entry[2])

    def trace(self) -> str:
        """Events in JSON, for the trace viewers of browsers (``about:tracing``, Perfetto)."""
        return text(lib.tenon_profile_print, self._handle, _TRACE)

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Writes ``trace()`` to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.trace())

    def __str__(self) -> str:
        return text(lib.tenon_profile_print, self._handle, _TABLE)

    def __repr__(self) -> str:
        if self.closed:
            return "<tenon.Profile closed>"
        rows = [["operator", "steps", "microseconds", "share"]]
        total = max(1, sum(step.nanoseconds for step in self._steps))
        for name, count, nanoseconds in self.by_operator():
            rows.append([name, str(count), f"{nanoseconds / 1e3:.1f}", f"{nanoseconds / total:.1%}"])
        rows.append(["run", str(len(self)), f"{self.nanoseconds / 1e3:.1f}", ""])
        return table(rows, right={1, 2, 3})

    def _repr_html_(self) -> str:
        longest = max((step.nanoseconds for step in self._steps), default=0) or 1
        rows = []
        for step in self._steps:
            bar = (f'<div style="background:#f0a050;height:0.8em;width:{100 * step.nanoseconds / longest:.1f}px">'
                   "</div>")
            rows.append([
                html.escape(step.binding), html.escape(step.composite), html.escape(step.implementation),
                html.escape(step.layouts), f"{step.nanoseconds / 1e3:.1f}", bar])
        return html_table(
            ["binding", "composite", "implementation", "layouts", "µs", ""], rows,
            f"{len(self)} steps, {self.nanoseconds / 1e3:.1f} µs")
