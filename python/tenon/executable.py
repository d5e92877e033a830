"""Running modules."""

from __future__ import annotations

import ctypes
import html
import sys
import weakref
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from . import _dtypes
from ._handle import Handle, integers, new, text
from ._lib import (
    COMPILE_FLUSH_DENORMALS, COMPILE_REFERENCE, COMPILE_REPRODUCIBLE, NUMERICS, RUN_PROFILE, ExecutableOptions, Memory,
    Port as _Port, RunOptions, Tensor, lib,
)
from ._limits import limits
from ._progress import Progress, Reporter
from ._tensors import as_array, fill
from .backend import Backends
from .comparison import Comparison
from .drawing import Drawing
from .errors import BackendError, InvalidArgumentError, InvalidTypeError, check
from .module import Module
from .profile import Profile


class Port(NamedTuple):
    """An input or an output."""

    name: str
    #: NumPy's element type; None when not known.
    dtype: np.dtype | None
    #: Sizes, None where symbolic; None when not even the rank is known.
    shape: tuple[int | None, ...] | None
    #: The type in the text form: ``f32[n,3,224,224]``.
    type: str


class MemoryUse(NamedTuple):
    """Bytes that an executable needs."""

    #: Weights in the layouts of the backends.
    packed_weights: int
    #: Constants that kernels read as they are.
    constants: int
    #: Intermediates and scratch of one run; each concurrent run has its own.
    arena: int
    #: The part of the arena that a single step needs for itself at most.
    scratch: int
    #: Packed weights and arenas held now.
    in_use: int
    peak: int


class CancelToken(Handle):
    """Ends runs early, from any thread: runs that use it raise CancelledError at their next step until ``reset``.

    >>> import numpy as np, tenon
    >>> module = tenon.Module.parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }")
    >>> token, run = CancelToken(), tenon.compile(module)
    >>> token.cancel()
    >>> try:
    ...     run.run([np.zeros(2, np.float32)], cancel=token)
    ... except tenon.CancelledError as error:
    ...     print(error.status_name)
    TENON_ERROR_CANCELLED
    """

    _release = "tenon_cancel_token_release"

    def __init__(self) -> None:
        super().__init__(new(lib.tenon_cancel_token_create))

    def cancel(self) -> None:
        lib.tenon_cancel_token_cancel(self._handle)

    def reset(self) -> None:
        lib.tenon_cancel_token_reset(self._handle)


class _Frame:
    """The C arrays of one call with fixed shapes, kept for the next: only the addresses change."""

    __slots__ = ("inputs", "outputs", "keep")

    def __init__(self, inputs: Sequence[Port], outputs: Sequence[Port]):
        self.inputs = (Tensor * max(len(inputs), 1))()
        self.outputs = (Tensor * max(len(outputs), 1))()
        self.keep = []
        for tensors, ports in ((self.inputs, inputs), (self.outputs, outputs)):
            for tensor, port in zip(tensors, ports):
                # An array of the port's type without its memory.
                model = np.broadcast_to(np.empty((), port.dtype), port.shape)
                self.keep.append(fill(tensor, model))
                tensor.strides = None
                tensor.byte_count = model.size * model.itemsize


class Executable(Handle):
    """A module made ready to run. Any number of threads may run it at once; Python's lock is free during a run.

    Calling it takes arrays by position or by name and returns the output, or a tuple of the outputs when there are
    several. Inputs are read where they are, strided ones too; outputs are new arrays.

    >>> import numpy as np, tenon
    >>> module = tenon.Module.parse("fn @main(%x: f32[n]) -> f32[n] { %y: f32[n] = nn.relu(%x)  return %y }")
    >>> with tenon.compile(module, threads=1) as run:
    ...     run, run(np.array([-1, 2], np.float32)), run(x=np.zeros(3, np.float32))
    (<tenon.Executable (x: f32[n]) -> (y: f32[n])>, array([0., 2.], dtype=float32), array([0., 0., 0.], dtype=float32))
    """

    _release = "tenon_executable_release"

    def __init__(
        self, module: Module, *, progress: Progress | None = None, timeout: float | None = None,
        cancel: CancelToken | None = None, **options: Any,
    ):
        """See ``tenon.compile``."""
        self._options = dict(options)
        # For pickling: an executable is its module and its options.
        self._module = module.copy()
        given = _options(**options)
        for field, value in limits(timeout, cancel).items():
            setattr(given, field, value)
        self._hosts = given.hosts
        try:
            with Reporter(progress) as reporter:
                given.progress = reporter.function
                super().__init__(new(lib.tenon_compile, module._handle, ctypes.byref(given)))
        except BackendError as error:
            raise self._hosts.explained(error)
        # The callbacks stay until the library has called them for the last time.
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _release, self._address, self._hosts)
        self.inputs = self._ports(lib.tenon_executable_input_count, lib.tenon_executable_get_input)
        self.outputs = self._ports(lib.tenon_executable_output_count, lib.tenon_executable_get_output)
        self._names = [port.name for port in self.inputs]
        known = all(_is_fixed(port) for port in (*self.inputs, *self.outputs))
        # What a call with the expected arrays compares with; None when shapes are not fixed.
        self._expected = [(port.dtype, port.shape) for port in self.inputs] if known else None
        self._made = [(port.shape, port.dtype) for port in self.outputs] if known else None
        self._frames: list[_Frame] = []
        # One entry per run under way: closing waits for them.
        self._running: list[None] = []

    def _ports(self, count: Any, get: Any) -> tuple[Port, ...]:
        ports = []
        for index in range(count(self._handle)):
            port = _Port(struct_size=ctypes.sizeof(_Port))
            check(get(self._handle, index, ctypes.byref(port)))
            shape = None
            if port.rank >= 0:
                sizes = [port.shape[axis] for axis in range(port.rank)]
                shape = tuple(None if size < 0 else size for size in sizes)
            try:
                dtype = _dtypes.to_numpy(port.dtype) if port.dtype else None
            except InvalidTypeError:
                # NumPy lacks it (bf16 without ml_dtypes); runs on NumPy's arrays will say so.
                dtype = None
            ports.append(Port(port.name.decode(), dtype, shape, port.type.decode()))
        return tuple(ports)

    # Running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs on arrays, by position or by the names of the inputs."""
        results = self.run(self._ordered(args, kwargs) if kwargs else args)
        return results[0] if len(results) == 1 else tuple(results)

    def _ordered(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        given = dict(zip(self._names, args))
        if len(args) > len(self._names):
            raise InvalidArgumentError.mismatch("", f"{len(self._names)} inputs", len(args))
        for name, value in kwargs.items():
            if name not in self._names:
                known = ", ".join(map(repr, self._names))
                raise InvalidArgumentError(
                    f"no input '{name}'; expected {known}", node=name, expectation=known, found=repr(name))
            if name in given:
                raise InvalidArgumentError(f"input '{name}' is given twice", node=name)
            given[name] = value
        missing = [name for name in self._names if name not in given]
        if missing:
            raise InvalidArgumentError(f"input {', '.join(map(repr, missing))} is missing", node=missing[0])
        return [given[name] for name in self._names]

    def run(
        self, inputs: Sequence[Any] | Mapping[str, Any], outputs: Sequence[np.ndarray] | None = None, *,
        timeout: float | None = None, cancel: CancelToken | None = None, profile: bool = False,
    ) -> list[np.ndarray]:
        """Runs, and returns the outputs in order.

        Args:
            inputs: arrays in order, or by name. Anything with DLPack (PyTorch's CPU tensors) is read where it is.
            outputs: arrays to write to, dense and of the right type; new ones by default.
            timeout: seconds after which the run raises DeadlineExceededError.
            cancel: a token that ends the run early.
            profile: record the time of each step, for ``report``.

        Raises:
            InvalidArgumentError, InvalidShapeError, InvalidTypeError: an array does not fit its port.

        >>> import numpy as np, tenon
        >>> module = tenon.Module.parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }")
        >>> run, out = tenon.compile(module), np.empty(2, np.float32)
        >>> run.run([np.array([-1, 2], np.float32)], [out], timeout=10)[0] is out, out
        (True, array([0., 2.], dtype=float32))
        """
        if isinstance(inputs, Mapping):
            inputs = self._ordered((), inputs)
        options = None
        if timeout is not None or cancel is not None or profile:
            options = ctypes.byref(RunOptions(
                struct_size=ctypes.sizeof(RunOptions), flags=RUN_PROFILE if profile else 0,
                timeout_nanoseconds=0 if timeout is None else max(1, int(timeout * 1e9)),
                cancel=None if cancel is None else cancel._handle))
        arrays = [value if type(value) is np.ndarray else as_array(value) for value in inputs]
        return self._guarded(self._run, arrays, outputs, options)

    def _guarded(self, run: Any, *arguments: Any) -> Any:
        """The result of a run, during which ``close`` waits."""
        self._running.append(None)
        try:
            return run(*arguments)
        except BackendError as error:
            raise self._hosts.explained(error)
        finally:
            self._running.pop()
            if self._address is None and not self._running:
                self._finalizer()

    def _run(
        self, arrays: list[np.ndarray], outputs: Sequence[np.ndarray] | None, options: Any
    ) -> list[np.ndarray]:
        if outputs is None and self._expected is not None and len(arrays) == len(self._expected):
            for array, expected in zip(arrays, self._expected):
                if array.dtype != expected[0] or array.shape != expected[1] or not array.flags.c_contiguous:
                    break
            else:
                return self._run_expected(arrays, options)
        return self._run_any(arrays, outputs, options)

    def _run_expected(self, arrays: list[np.ndarray], options: Any) -> list[np.ndarray]:
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self.inputs, self.outputs)
        for tensor, array in zip(frame.inputs, arrays):
            tensor.data = array.__array_interface__["data"][0]
        results = [np.empty(shape, dtype) for shape, dtype in self._made]
        for tensor, array in zip(frame.outputs, results):
            tensor.data = array.__array_interface__["data"][0]
        status = lib.tenon_run(self._handle, frame.inputs, len(arrays), frame.outputs, len(results), options)
        if status:
            check(status)
        self._frames.append(frame)
        return results

    def _run_any(
        self, arrays: list[np.ndarray], outputs: Sequence[np.ndarray] | None, options: Any
    ) -> list[np.ndarray]:
        tensors = (Tensor * max(len(arrays), 1))()
        keep = [fill(tensor, array) for tensor, array in zip(tensors, arrays)]
        if outputs is None:
            results = ctypes.c_void_p()
            check(lib.tenon_run_new(self._handle, tensors, len(arrays), options, ctypes.byref(results)))
            return _Results(results.value).arrays()
        for array in outputs:
            if not array.flags.writeable:
                raise InvalidArgumentError("an output array is read-only")
        targets = (Tensor * max(len(outputs), 1))()
        keep += [fill(tensor, array) for tensor, array in zip(targets, outputs)]
        check(lib.tenon_run(self._handle, tensors, len(arrays), targets, len(outputs), options))
        del keep
        return list(outputs)

    def prepare(self, *shapes: Sequence[int]) -> None:
        """Compiles for inputs of these shapes now, so that their first run is not slow."""
        arrays = [integers(list(shape)) for shape in shapes]
        pointers = (ctypes.POINTER(ctypes.c_int64) * max(len(arrays), 1))(
            *[ctypes.cast(array, ctypes.POINTER(ctypes.c_int64)) for array in arrays])
        ranks = (ctypes.c_uint32 * max(len(arrays), 1))(*[len(shape) for shape in shapes])
        check(lib.tenon_executable_prepare(self._handle, pointers, ranks, len(shapes)))

    def prepare_ranges(self, **sizes: range | int) -> None:
        """Compiles for every combination of sizes of the inputs' symbols: ``prepare_ranges(batch=1, sequence=range(16, 513, 16))``."""
        ranges = [range(size, size + 1) if isinstance(size, int) else size for size in sizes.values()]
        if not all(ranges):
            raise InvalidArgumentError("a range of sizes is empty")
        count = max(len(ranges), 1)
        names = (ctypes.c_char_p * count)(*[name.encode() for name in sizes])
        first, last, step = (
            (ctypes.c_int64 * count)(*numbers)
            for numbers in zip(*[(r[0], r[-1], abs(r.step)) if r.step > 0 else (r[-1], r[0], -r.step) for r in ranges]))
        check(lib.tenon_executable_prepare_ranges(self._handle, names, first, last, step, len(ranges)))

    # Looking

    @property
    def memory(self) -> MemoryUse:
        """What it needs; known before the first run when all shapes are fixed."""
        memory = Memory(struct_size=ctypes.sizeof(Memory))
        check(lib.tenon_executable_get_memory(self._handle, ctypes.byref(memory)))
        return MemoryUse(memory.packed_weights, memory.constants, memory.arena, memory.scratch, memory.in_use, memory.peak)

    @property
    def digest(self) -> int:
        """A number for the plan used last: equal for equal steps, implementations, layouts, threads and machine.

        With ``reproducible=True`` equal digests and equal inputs give equal bits. 0 when there is no plan yet.
        """
        digest = ctypes.c_uint64()
        check(lib.tenon_executable_get_digest(self._handle, ctypes.byref(digest)))
        return digest.value

    def trim(self) -> None:
        """Gives back memory that no run uses now."""
        check(lib.tenon_executable_trim(self._handle))

    def report(self) -> str:
        """What runs, step by step, with times of the last run that had ``profile=True``."""
        return text(lib.tenon_executable_report, self._handle)

    def profile(self, inputs: Sequence[Any] | Mapping[str, Any] | None = None) -> Profile:
        """What runs, step by step, as data.

        Args:
            inputs: arrays to run on now; without them the times are those of the last run that had ``profile=True``.
        """
        if inputs is not None:
            self.run(inputs, profile=True)
        return Profile(self)

    def verify(
        self, inputs: Sequence[Any] | Mapping[str, Any], *, absolute: float = 1e-6, relative: float = 1e-4
    ) -> Comparison:
        """Compares every value that ``main`` computes with the library's own kernels: slow, a yardstick.

        Args:
            inputs: arrays in order, or by name.
            absolute: how far elements may differ.
            relative: how far they may differ in parts of the largest element of the reference.
        """
        if isinstance(inputs, Mapping):
            inputs = self._ordered((), inputs)
        self._handle
        return Comparison(self._module, _options(**self._options), inputs, absolute, relative)

    def draw(self) -> Drawing:
        """The graph with its regions opened, and with the times of the last run that had ``profile=True``."""
        return Drawing(self._module, Profile(self))

    def close(self) -> None:
        """Releases the executable, after the runs under way have ended. Further use raises InvalidStateError."""
        self._address = None
        self._module.close()
        if not self._running:
            self._finalizer()

    def __reduce__(self):
        return _restore, (self._module, self._options)

    def _repr_html_(self) -> str:
        if self.closed:
            return f"<pre>{html.escape(repr(self))}</pre>"
        use = ", ".join(f"{name.replace('_', ' ')} {size:,} bytes" for name, size in self.memory._asdict().items())
        return f"<pre>{html.escape(repr(self))}\n{use}</pre>{self.draw().svg}"

    def __repr__(self) -> str:
        if self.closed:
            return "<tenon.Executable closed>"
        ports = [", ".join(f"{port.name}: {port.type}" for port in ports) for ports in (self.inputs, self.outputs)]
        return f"<tenon.Executable ({ports[0]}) -> ({ports[1]})>"


class _Results:
    """Tensors that a run made, given away as arrays that keep them alive."""

    def __init__(self, address: int | None):
        self._address = address

    def __del__(self) -> None:
        lib.tenon_results_release(self._address)

    def arrays(self) -> list[np.ndarray]:
        arrays = []
        for index in range(lib.tenon_results_count(self._address)):
            tensor = Tensor(struct_size=ctypes.sizeof(Tensor))
            check(lib.tenon_results_get(self._address, index, ctypes.byref(tensor)))
            shape = tuple(tensor.shape[axis] for axis in range(tensor.rank))
            dtype = _dtypes.to_numpy(tensor.dtype)
            size = int(np.prod(shape, dtype=np.int64))
            if size == 0:
                arrays.append(np.empty(shape, dtype))
                continue
            memory = (ctypes.c_uint8 * (size * dtype.itemsize)).from_address(tensor.data)
            memory._results = self
            arrays.append(np.frombuffer(memory, dtype).reshape(shape))
        return arrays


def _release(address: int, hosts: Backends) -> None:
    lib.tenon_executable_release(address)


def _is_fixed(port: Port) -> bool:
    return port.dtype is not None and port.shape is not None and None not in port.shape


def _restore(module: Module, options: dict[str, Any]) -> Executable:
    return Executable(module, **options)


def _options(
    threads: int = 0, reproducible: bool = False, reference: bool = False, tuning: float = 0.0, cached_shapes: int = 0,
    cached_bytes: int = 0, memory_limit: int = 0, concurrent_runs: int = 0, backends: Sequence[Any] = (),
    numerics: str | None = None, flush_denormals: bool = False,
) -> ExecutableOptions:
    for name, value in (("threads", threads), ("cached_shapes", cached_shapes), ("cached_bytes", cached_bytes),
                        ("memory_limit", memory_limit), ("concurrent_runs", concurrent_runs), ("tuning", tuning)):
        if not 0 <= value < 2**32 and not (name in ("cached_bytes", "memory_limit") and 0 <= value < 2**63):
            raise InvalidArgumentError.mismatch(name, "a number from 0", value, node=name)
    if numerics not in NUMERICS:
        raise InvalidArgumentError.mismatch("numerics", "'strict' or 'fast'", numerics, node="numerics")
    hosts = Backends(backends)
    options = ExecutableOptions(
        struct_size=ctypes.sizeof(ExecutableOptions),
        flags=(COMPILE_REPRODUCIBLE if reproducible else 0) | (COMPILE_REFERENCE if reference else 0)
        | (COMPILE_FLUSH_DENORMALS if flush_denormals else 0),
        threads=threads, concurrent_runs=concurrent_runs, tuning_milliseconds=int(tuning * 1000),
        cached_shapes=cached_shapes, cached_bytes=cached_bytes, memory_limit=memory_limit, backends=hosts.array,
        backend_count=hosts.count, numerics=NUMERICS[numerics])
    # The callbacks live as long as what points to them.
    options.hosts = hosts
    return options


def compile(module: Any, example_inputs: Any = None, **options: Any) -> Any:
    """Makes ``main`` ready to run. The module may be changed or closed afterwards.

    A PyTorch module, with the arguments of a call as ``example_inputs``, and a program of ``torch.export`` are optimized
    and give a ``tenon.torch.CompiledModule``; see ``tenon.torch.compile`` for more options.

    Args:
        threads: of one run; 0 for the CPUs that this process may use.
        reproducible: the same input gives the same bits, run after run.
        reference: run everything on the library's own kernels: slow, a yardstick.
        tuning: seconds that may be spent on measuring alternatives.
        cached_shapes: how many shapes of a module with symbolic sizes are kept compiled; 0 for 16.
        cached_bytes: bytes that those may hold together; 0 for 512 MiB.
        memory_limit: upper bound of packed weights and working memory in bytes; 0 for none.
        concurrent_runs: runs at the same time, further callers wait; 0 for what the CPUs can serve.
        progress: called as ``progress("compile", done, total)`` with numbers of regions and as ``progress("tune", done, total)``
            with numbers of operations measured, on any thread; what it raises ends the work.
        backends: ``tenon.Backend`` objects: they run the functions that carry ``Codegen`` with their names.
        numerics: ``"strict"``, the default, keeps NaN and infinities as ONNX does; ``"fast"`` may lose them where
            ``docs/fusion.md`` says so.
        flush_denormals: runs take numbers below the normal range for 0.
        timeout: seconds after which compiling and tuning raise DeadlineExceededError.
        cancel: a token that ends them with CancelledError.

    Raises:
        LimitExceededError: the memory limit is too small. UnsupportedError: an operator has no kernel.
    """
    if isinstance(module, Module):
        if example_inputs is not None:
            raise InvalidArgumentError("example_inputs are for PyTorch modules; the inputs of a tenon.Module are known")
        return Executable(module, **options)
    # Whoever has a module of PyTorch's has imported PyTorch.
    if "torch" not in sys.modules:
        raise InvalidTypeError.mismatch("", "a tenon.Module", type(module).__name__)
    from .torch import compile as compile_torch

    return compile_torch(module, example_inputs, **options)
