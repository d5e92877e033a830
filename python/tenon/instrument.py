"""Instruments: what hears of passes before and after they run.

>>> import tenon
>>> from tenon import instrument, transform
>>> timing = instrument.PassTimingInstrument()
>>> module = tenon.Module.parse("fn @main(%x: f32[4]) { %y = nn.relu(%x) return %y }")
>>> with transform.PassContext(instruments=[timing]):
...     _ = transform.Sequential([transform.FoldConstant(), transform.EliminateDeadCode()])(module)
>>> [name for name, *_ in timing.times]
['FoldConstant', 'EliminateDeadCode']
"""

from __future__ import annotations

import functools
import pathlib
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .module import Module
    from ._callbacks import PassInfo


class PassInstrument:
    """Hears of every pass that runs in a ``PassContext`` that lists it, those inside other passes included; what a method raises
    ends the passes and is raised from there. Subclasses override what they need."""

    def enter_pass_ctx(self) -> None:
        """The ``with`` block of the context begins."""

    def exit_pass_ctx(self) -> None:
        """The ``with`` block of the context ends."""

    def should_run(self, mod: Module, info: PassInfo) -> bool:
        """Whether the pass is to run."""
        return True

    def run_before_pass(self, mod: Module, info: PassInfo) -> None:
        """A pass is about to run on ``mod``."""

    def run_after_pass(self, mod: Module, info: PassInfo) -> None:
        """A pass has made ``mod``. ``info.nanoseconds`` says how long it took."""


class PassTime(NamedTuple):
    name: str
    #: How many other passes it ran inside of.
    depth: int
    seconds: float


class PassTimingInstrument(PassInstrument):
    """Measures how long passes take."""

    def __init__(self) -> None:
        #: In the order in which passes ended.
        self.times: list[PassTime] = []

    def run_after_pass(self, mod: Module, info: PassInfo) -> None:
        self.times.append(PassTime(info.name, info.depth, info.nanoseconds / 1e9))

    def render(self) -> str:
        """A line per pass."""
        return "\n".join(f"{'  ' * time.depth}{time.name}: {time.seconds * 1e6:.0f}us" for time in self.times)


class PrintBeforeAll(PassInstrument):
    """Prints the module before each pass."""

    def run_before_pass(self, mod: Module, info: PassInfo) -> None:
        print(f"// before {info.name}\n{mod}")


class PrintAfterAll(PassInstrument):
    """Prints the module after each pass."""

    def run_after_pass(self, mod: Module, info: PassInfo) -> None:
        print(f"// after {info.name}\n{mod}")


class DumpIR(PassInstrument):
    """Writes the module after each pass to a file of its own, in the order in which passes ended: ``000_FoldConstant.txt``.

    Args:
        dump_dir: the folder; it is made where it is missing.
        refresh: what is in it goes first.
    """

    def __init__(self, dump_dir: Any, refresh: bool = False):
        self._folder = pathlib.Path(dump_dir)
        if refresh and self._folder.is_dir():
            shutil.rmtree(self._folder)
        self._count = 0

    def run_after_pass(self, mod: Module, info: PassInfo) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in info.name)
        (self._folder / f"{self._count:03}_{name}.txt").write_text(mod.print(with_data=True), encoding="utf-8")
        self._count += 1


def pass_instrument(given: type) -> type:
    """Makes an instrument of a class that has some of the methods of ``PassInstrument``, under TVM's name for it.

    >>> @pass_instrument
    ... class Names:
    ...     def run_before_pass(self, mod, info):
    ...         print(info.name)
    >>> isinstance(Names(), PassInstrument)
    True
    """
    if issubclass(given, PassInstrument):
        return given
    made = type(given.__name__, (given, PassInstrument), {})
    functools.update_wrapper(made, given, updated=())
    return made
