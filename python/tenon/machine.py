"""What this machine offers, and what of it is used."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from ._lib import Machine as _Machine, lib
from .errors import check


class Machine(NamedTuple):
    """CPUs, instruction sets and kernels."""

    #: CPUs that this process may use now: affinity mask and cgroup quota.
    usable_cpus: int
    #: Instruction sets that matter here and that the processor has.
    instruction_sets: tuple[str, ...]
    #: Which of its kernels the library uses: "avx512", "avx2" or "portable".
    kernels: str
    #: oneDNN's version, and the highest instruction set that it uses.
    onednn_version: str
    onednn_instruction_set: str


def machine() -> Machine:
    """What this machine offers, and what of it is used.

    >>> machine().usable_cpus >= 1
    True
    """
    found = _Machine(struct_size=ctypes.sizeof(_Machine))
    check(lib.tenon_get_machine(ctypes.byref(found)))
    return Machine(
        found.usable_cpus, tuple(found.instruction_sets.decode().split()), found.kernels.decode(),
        found.onednn_version.decode(), found.onednn_instruction_set.decode())
