"""What ``tenon.compile`` takes, and what it says about what it does not take."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Mapping, Sequence, TypedDict

from ._lib import (
    COMPILE_CANCELLABLE,
    COMPILE_FLUSH_DENORMALS,
    COMPILE_REFERENCE,
    COMPILE_REPRODUCIBLE,
    COMPILE_UNOPTIMIZED,
    NUMERICS,
    SPINS,
    ExecutableOptions,
)
from ._names import require_known
from ._progress import Progress
from .backend import Backends
from .errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from .backend import Backend
    from .executable import CancelToken


class CompileOptions(TypedDict, total=False):
    """The options of ``tenon.compile``, which says what they mean; for type checkers."""

    optimize: bool
    threads: int
    reproducible: bool
    reference: bool
    tuning: float
    cached_shapes: int
    cached_bytes: int
    memory_limit: int
    concurrent_runs: int
    spin: str
    numerics: str | None
    flush_denormals: bool
    cancellable: bool
    progress: Progress | None
    timeout: float | None
    cancel: CancelToken | None
    backends: Sequence[Backend]


def executable_options(options: Mapping[str, Any]) -> tuple[ExecutableOptions, Backends]:
    """The C structure of options, and the callbacks that must live as long as what points to them."""
    require_known(options, set(CompileOptions.__annotations__) - {"progress", "optimize", "timeout", "cancel"}, "compile")
    numbers: dict[str, Any] = {}
    for name, limit in (("threads", 2**32), ("cached_shapes", 2**32), ("cached_bytes", 2**63), ("memory_limit", 2**63),
                        ("concurrent_runs", 2**32), ("tuning", 2**32 / 1000)):
        value = options.get(name, 0)
        if isinstance(value, bool) or not hasattr(value, "__index__") and not (name == "tuning" and hasattr(value, "__float__")):
            raise InvalidTypeError.mismatch(name, "a number", type(value).__name__, node=name)
        if not 0 <= value < limit:
            raise InvalidArgumentError.mismatch(name, "a number from 0", value, node=name)
        numbers[name] = value
    spin = options.get("spin", "adaptive")
    if spin not in SPINS:
        raise InvalidArgumentError.mismatch("spin", " or ".join(map(repr, SPINS)), repr(spin), node="spin")
    numerics = options.get("numerics")
    if numerics not in NUMERICS:
        raise InvalidArgumentError.mismatch("numerics", "'strict' or 'fast'", numerics, node="numerics")
    hosts = Backends(options.get("backends", ()))
    # What is to be optimized has been.
    flags = COMPILE_UNOPTIMIZED
    if options.get("reproducible"):
        flags |= COMPILE_REPRODUCIBLE
    if options.get("reference"):
        flags |= COMPILE_REFERENCE
    if options.get("flush_denormals"):
        flags |= COMPILE_FLUSH_DENORMALS
    if options.get("cancellable"):
        flags |= COMPILE_CANCELLABLE
    return ExecutableOptions(
        struct_size=ctypes.sizeof(ExecutableOptions), flags=flags, threads=numbers["threads"],
        concurrent_runs=numbers["concurrent_runs"], tuning_milliseconds=int(numbers["tuning"] * 1000),
        cached_shapes=numbers["cached_shapes"], cached_bytes=numbers["cached_bytes"],
        memory_limit=numbers["memory_limit"], backends=hosts.array, backend_count=hosts.count, numerics=NUMERICS[numerics],
        spin=SPINS[spin]), hosts
