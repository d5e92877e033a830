"""Running modules."""

from __future__ import annotations

import ctypes
import difflib
import html
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Sequence, overload

import numpy as np

from . import _dtypes
from ._handle import Handle, integers, new, text
from ._lib import RUN_PROFILE, Memory, Port as _Port, RunOptions, Tensor, lib
from ._limits import limits
from ._logging import logger
from ._names import require_known
from ._options import CompileOptions, executable_options
from ._progress import Reporter
from ._tensors import as_array, fill, memory_array
from .backend import Backends
from .comparison import Comparison
from .drawing import Drawing
from .errors import BackendError, InvalidArgumentError, InvalidTypeError, check
from .module import Module
from .profile import Profile

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from .torch import CompiledModule
    from .torch._compiled import TorchOptions

#: What ``run`` takes besides arrays.
_RUN_OPTIONS = ("inputs", "outputs", "timeout", "cancel", "profile")


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


_tensor_size = ctypes.sizeof(Tensor)


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


#: Element types and shapes of ports whose sizes are all known.
_Types = Sequence[tuple[np.dtype[Any], tuple[int, ...]]]


class _Frame:
    """The C arrays of one call with fixed shapes, kept for the next: only the addresses change."""

    __slots__ = ("inputs", "outputs", "keep")

    def __init__(self, inputs: _Types, outputs: _Types):
        self.inputs = (Tensor * max(len(inputs), 1))()
        self.outputs = (Tensor * max(len(outputs), 1))()
        self.keep = []
        for tensors, types in ((self.inputs, inputs), (self.outputs, outputs)):
            for tensor, (dtype, shape) in zip(tensors, types):
                # An array of the port's type without its memory.
                model = np.broadcast_to(np.empty((), dtype), shape)
                self.keep.append(fill(tensor, model))
                tensor.strides = None
                tensor.byte_count = model.size * model.itemsize


class _OpenFrame:
    """The C arrays of the dense inputs of one call, kept for the next: addresses change, and sizes where they differ."""

    __slots__ = ("tensors", "shapes", "types")

    def __init__(self, arrays: Sequence[np.ndarray[Any, Any]]):
        self.tensors = (Tensor * max(len(arrays), 1))()
        self.shapes = [fill(tensor, array)[0] for tensor, array in zip(self.tensors, arrays)]
        self.types = [(array.dtype, array.shape) for array in arrays]

    def take(self, arrays: Sequence[np.ndarray[Any, Any]]) -> bool:
        """Points to other arrays, if they have the same element types and ranks."""
        if len(arrays) != len(self.types):
            return False
        for index, array in enumerate(arrays):
            dtype, shape = self.types[index]
            tensor = self.tensors[index]
            if array.shape != shape:
                if len(array.shape) != len(shape):
                    return False
                self.shapes[index][:len(shape)] = array.shape
                self.types[index] = dtype, array.shape
                tensor.byte_count = array.nbytes
            if array.dtype != dtype:
                return False
            tensor.data = array.__array_interface__["data"][0]
        return True


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

    def __init__(self, module: Module, **options: Unpack[CompileOptions]):
        """See ``tenon.compile``."""
        require_known(options, CompileOptions.__annotations__, "compile")
        given: dict[str, Any] = dict(options)
        progress = options.get("progress")
        given.pop("progress", None)
        timeout, cancel = given.pop("timeout", None), given.pop("cancel", None)
        # Whole numbers: the caller may let inexact results of floats trap.
        start = time.monotonic_ns()
        is_wanted = given.pop("optimize", True) and not given.get("reference")
        made, hosts = executable_options(given)
        is_optimized = bool(is_wanted) and "main" in module.functions and not module.is_fused
        # For pickling and for pictures: an executable is the module that it was made of, and its options.
        self._module = module.optimize(timeout=timeout, cancel=cancel) if is_optimized else module.copy()
        self._options = given
        self._hosts = hosts
        if timeout is not None:
            # One time for both.
            timeout = max(timeout - (time.monotonic_ns() - start) / 1e9, 1e-9)
        for field, value in limits(timeout, cancel).items():
            setattr(made, field, value)
        try:
            with Reporter(progress) as reporter:
                made.progress = reporter.function
                super().__init__(new(lib.tenon_compile, self._module._handle, ctypes.byref(made)))
        except BackendError as error:
            raise hosts.explained(error)
        # The callbacks stay until the library has called them for the last time.
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _release_hosted, self._handle, hosts)
        #: Threads of one run.
        self.threads: int = lib.tenon_executable_threads(self._handle)
        self.inputs = self._ports(lib.tenon_executable_input_count, lib.tenon_executable_get_input)
        self.outputs = self._ports(lib.tenon_executable_output_count, lib.tenon_executable_get_output)
        self._names = [port.name for port in self.inputs]
        # What a call with the expected arrays compares with; None when shapes are not fixed.
        self._expected = _fixed(self.inputs)
        self._made = _fixed(self.outputs)
        self._frames: list[_Frame] = []
        self._open_frames: list[_OpenFrame] = []
        # One entry per run under way: closing waits for them.
        self._running: list[None] = []
        logger.info("compiled %r with %d threads", self, self.threads)

    @property
    def module(self) -> Module:
        """The module that runs: fused, unless it was to be taken as it stood. A copy."""
        return self._module.copy()

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

    def __call__(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any] | tuple[np.ndarray[Any, Any], ...]:
        """Runs on arrays, by position or by the names of the inputs; a mapping alone is of arrays by name."""
        if len(args) == 1 and not kwargs and isinstance(args[0], Mapping):
            kwargs, args = dict(args[0]), ()
        inputs: Any = self._ordered(args, kwargs) if kwargs else args
        results = self.run(inputs)
        return results[0] if len(results) == 1 else tuple(results)

    def _given(self, inputs: Any) -> Sequence[Any]:
        """Arrays in the order of the inputs: from a mapping by name, a sequence, or one array for a single input."""
        if isinstance(inputs, Mapping):
            return self._ordered((), inputs)
        if isinstance(inputs, (list, tuple)) and len(self.inputs) == 1 and len(inputs) > 1:
            # Nested lists of numbers are one array, where a list of arrays is one per input.
            if not any(hasattr(value, "shape") for value in inputs):
                return [inputs]
        if isinstance(inputs, (list, tuple)):
            return inputs
        if hasattr(inputs, "shape") or hasattr(inputs, "__dlpack__") or isinstance(inputs, (int, float)):
            return [inputs]
        return list(inputs)

    def _ordered(self, args: Sequence[Any], kwargs: Mapping[str, Any], others: Sequence[str] = ()) -> list[Any]:
        given = dict(zip(self._names, args))
        if len(args) > len(self._names):
            raise InvalidArgumentError.mismatch("", f"{len(self._names)} inputs", len(args))
        for name, value in kwargs.items():
            if name not in self._names:
                known = ", ".join(map(repr, self._names))
                option = difflib.get_close_matches(name, others, 1, 0.6)
                hint = f"did you mean '{option[0]}'?" if option else f"expected {known}"
                raise InvalidArgumentError(f"no input '{name}'; {hint}", node=name, expectation=known, found=repr(name))
            if name in given:
                raise InvalidArgumentError(f"input '{name}' is given twice", node=name)
            given[name] = value
        missing = [name for name in self._names if name not in given]
        if missing:
            raise InvalidArgumentError(f"input {', '.join(map(repr, missing))} is missing", node=missing[0])
        return [given[name] for name in self._names]

    def run(
        self, inputs: Any = (), outputs: Sequence[np.ndarray[Any, Any]] | None = None, *,
        timeout: float | None = None, cancel: CancelToken | None = None, profile: bool = False, **named: Any,
    ) -> list[np.ndarray[Any, Any]]:
        """Runs, and returns the outputs in order.

        Args:
            inputs: arrays in order, or by name; one array alone for a single input. Anything with DLPack (PyTorch's CPU
                tensors) is read where it is.
            outputs: arrays to write to, dense and of the right type; new ones by default.
            timeout: seconds after which the run raises DeadlineExceededError.
            cancel: a token that ends the run early.
            profile: record the time of each step, for ``report``.
            named: arrays by the names of the inputs, as a call takes them.

        Raises:
            InvalidArgumentError, InvalidShapeError, InvalidTypeError: an array does not fit its port.

        >>> import numpy as np, tenon
        >>> module = tenon.Module.parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }")
        >>> run, out = tenon.compile(module), np.empty(2, np.float32)
        >>> run.run([np.array([-1, 2], np.float32)], [out], timeout=10)[0] is out, out
        (True, array([0., 2.], dtype=float32))
        """
        if named:
            inputs = self._ordered(self._given(inputs), named, _RUN_OPTIONS)
        elif type(inputs) is not tuple:
            inputs = self._given(inputs)
        options = None
        if timeout is not None or cancel is not None or profile:
            options = ctypes.byref(RunOptions(
                struct_size=ctypes.sizeof(RunOptions), flags=RUN_PROFILE if profile else 0,
                timeout_nanoseconds=0 if timeout is None else max(1, int(timeout * 1e9)),
                cancel=None if cancel is None else cancel._handle))
        arrays = [value if type(value) is np.ndarray else as_array(value) for value in inputs]
        results: list[np.ndarray[Any, Any]] = self._guarded(self._run, arrays, outputs, options)
        return results

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
        self, arrays: list[np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]] | None, options: Any
    ) -> list[np.ndarray[Any, Any]]:
        expected, made = self._expected, self._made
        if outputs is None and expected is not None and made is not None and len(arrays) == len(expected):
            for array, (dtype, shape) in zip(arrays, expected):
                if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
                    break
            else:
                return self._run_expected(arrays, expected, made, options)
        return self._run_any(arrays, outputs, options)

    def _run_expected(
        self, arrays: list[np.ndarray[Any, Any]], expected: _Types, made: _Types, options: Any
    ) -> list[np.ndarray[Any, Any]]:
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(expected, made)
        for tensor, array in zip(frame.inputs, arrays):
            tensor.data = array.__array_interface__["data"][0]
        results: list[np.ndarray[Any, Any]] = [np.empty(shape, dtype) for dtype, shape in made]
        for tensor, array in zip(frame.outputs, results):
            tensor.data = array.__array_interface__["data"][0]
        status = lib.tenon_run(self._handle, frame.inputs, len(arrays), frame.outputs, len(results), options)
        if status:
            check(status)
        self._frames.append(frame)
        return results

    def _run_any(
        self, arrays: list[np.ndarray[Any, Any]], outputs: Sequence[np.ndarray[Any, Any]] | None, options: Any
    ) -> list[np.ndarray[Any, Any]]:
        if outputs is None and all([array.flags.c_contiguous for array in arrays]):
            try:
                frame = self._open_frames.pop()
            except IndexError:
                frame = _OpenFrame(arrays)
            if not frame.take(arrays):
                frame = _OpenFrame(arrays)
            made = self._run_new(frame.tensors, len(arrays), options)
            self._open_frames.append(frame)
            return made
        tensors = (Tensor * max(len(arrays), 1))()
        keep = [fill(tensor, array) for tensor, array in zip(tensors, arrays)]
        if outputs is None:
            return self._run_new(tensors, len(arrays), options)
        for array in outputs:
            if not array.flags.writeable:
                raise InvalidArgumentError("an output array is read-only")
        targets = (Tensor * max(len(outputs), 1))()
        keep += [fill(tensor, array) for tensor, array in zip(targets, outputs)]
        check(lib.tenon_run(self._handle, tensors, len(arrays), targets, len(outputs), options))
        del keep
        return list(outputs)

    def _run_new(self, tensors: Any, count: int, options: Any) -> list[np.ndarray[Any, Any]]:
        results = ctypes.c_void_p()
        status = lib.tenon_run_new(self._handle, tensors, count, options, ctypes.byref(results))
        if status:
            check(status)
        return _Results(results.value).arrays()

    def prepare(self, *shapes: Sequence[int]) -> None:
        """Compiles for inputs of these shapes now, so that their first run is not slow."""
        check(lib.tenon_executable_prepare(self._handle, *_shape_lists(shapes)))

    def run_bytes(self, *shapes: Sequence[int]) -> tuple[int, bool]:
        """The bytes of intermediates and scratch that a run with inputs of these shapes needs, and whether that is all: False where
        more follows whose size depends on the data. Prepares, and does not run."""
        size, is_complete = ctypes.c_uint64(), ctypes.c_int32()
        check(lib.tenon_executable_get_run_bytes(
            self._handle, *_shape_lists(shapes), ctypes.byref(size), ctypes.byref(is_complete)))
        return size.value, bool(is_complete.value)

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

    def _called(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[Any] | None:
        """Inputs as ``__call__`` or as ``run`` takes them; None for none."""
        if kwargs:
            return self._ordered(args, kwargs)
        if not args or (len(args) == 1 and args[0] is None):
            return None
        return self._given(args[0]) if len(args) == 1 else args

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """What runs, step by step, as data.

        Takes arrays to run on now, by position or by name as a call does, or in one list or mapping as ``run`` does; without
        any the times are those of the last run that had ``profile=True``.
        """
        if set(kwargs) == {"inputs"} and "inputs" not in self._names:
            args, kwargs = (kwargs["inputs"],), {}
        inputs = self._called(args, kwargs)
        if inputs is not None:
            self.run(tuple(inputs), profile=True)
        return Profile(self)

    def verify(self, *args: Any, absolute: float = 1e-6, relative: float = 1e-4, **kwargs: Any) -> Comparison:
        """Compares every value that ``main`` computes with the library's own kernels: slow, a yardstick.

        Takes arrays by position or by name as a call does, or in one list or mapping as ``run`` does.

        Args:
            absolute: how far elements may differ.
            relative: how far they may differ in parts of the largest element of the reference.
        """
        if set(kwargs) == {"inputs"} and "inputs" not in self._names:
            args, kwargs = (kwargs["inputs"],), {}
        self._handle
        options, hosts = executable_options(self._options)
        comparison = Comparison(self._module, options, self._called(args, kwargs) or (), absolute, relative)
        del hosts
        return comparison

    def draw(self) -> Drawing:
        """The graph with its regions opened, and with the times of the last run that had ``profile=True``."""
        return Drawing(self._module, Profile(self))

    def close(self) -> None:
        """Releases the executable, after the runs under way have ended. Further use raises InvalidStateError."""
        self._address = None
        self._module.close()
        if not self._running:
            self._finalizer()

    def __reduce__(self) -> tuple[Any, ...]:
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

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        arrays = []
        tensor = Tensor(struct_size=_tensor_size)
        place = ctypes.byref(tensor)
        for index in range(lib.tenon_results_count(self._address)):
            status = lib.tenon_results_get(self._address, index, place)
            if status:
                check(status)
            shape = tuple(tensor.shape[:tensor.rank]) if tensor.rank else ()
            arrays.append(memory_array(tensor.data, _dtypes.to_numpy(tensor.dtype), shape, self))
        return arrays


def _release_hosted(address: int, hosts: Backends) -> None:
    lib.tenon_executable_release(address)


def _fixed(ports: Sequence[Port]) -> _Types | None:
    """The types of ports, if all of their sizes are known."""
    types = []
    for port in ports:
        if port.dtype is None or port.shape is None:
            return None
        sizes = tuple(size for size in port.shape if size is not None)
        if len(sizes) != len(port.shape):
            return None
        types.append((port.dtype, sizes))
    return types


def _shape_lists(shapes: Sequence[Sequence[int]]) -> tuple[Any, Any, int]:
    """Shapes as the C functions take them."""
    pointer = ctypes.POINTER(ctypes.c_int64)
    pointers = (pointer * max(len(shapes), 1))(*[ctypes.cast(integers(list(shape)), pointer) for shape in shapes])
    return pointers, (ctypes.c_uint32 * max(len(shapes), 1))(*[len(shape) for shape in shapes]), len(shapes)


def _restore(module: Module, options: Mapping[str, Any]) -> Executable:
    given: Any = {**options, "optimize": False}
    return Executable(module, **given)


@overload
def compile(module: Module, example_inputs: None = None, **options: Unpack[CompileOptions]) -> Executable: ...


@overload
def compile(
    module: torch.nn.Module | torch.export.ExportedProgram, example_inputs: Any = None, **options: Unpack[TorchOptions]
) -> CompiledModule: ...


def compile(module: Any, example_inputs: Any = None, **options: Any) -> Any:
    """Makes ``main`` ready to run, optimized unless a function of it carries ``Composite`` or ``Codegen`` already. The module
    does not change, and may be changed or closed afterwards.

    A PyTorch module, with the arguments of a call as ``example_inputs``, and a program of ``torch.export`` give a
    ``tenon.torch.CompiledModule``; see ``tenon.torch.compile`` for more options.

    Args:
        optimize: fuse, and offload to oneDNN, as ``Module.optimize`` does; False takes the module as it stands.
        threads: of one run; 0 for the CPUs that this process may use.
        reproducible: the same input gives the same bits, run after run.
        reference: run everything on the library's own kernels, and as it stands: slow, a yardstick.
        tuning: seconds that may be spent on measuring alternatives.
        cached_shapes: how many shapes of a module with symbolic sizes are kept compiled; 0 for 16.
        cached_bytes: bytes that those may hold together; 0 for 512 MiB.
        memory_limit: upper bound of packed weights and working memory in bytes; 0 for none.
        concurrent_runs: runs at the same time, further callers wait; 0 for what the CPUs can serve.
        spin: how long threads of a run that wait for each other spin before they sleep: "long", as OpenMP is set up;
            "short", some microseconds; "adaptive", the default, short while others need the CPUs. Concerns the whole process, and
            means nothing where ``GOMP_SPINCOUNT`` is set, as it is when this package has loaded OpenMP.
        progress: called as ``progress("compile", done, total)`` with numbers of regions and as ``progress("tune", done, total)``
            with numbers of operations measured, on any thread; what it raises ends the work.
        backends: ``tenon.Backend`` objects: they run the functions that carry ``Codegen`` with their names.
        numerics: ``"strict"``, the default, keeps NaN and infinities as ONNX does; ``"fast"`` may lose them where
            ``docs/fusion.md`` says so.
        flush_denormals: runs take numbers below the normal range for 0.
        cancellable: timeouts and tokens end runs within 50 ms inside every step too, at the cost of speed where steps are long;
            without it long steps run in pieces of some tens of milliseconds, rarely some tenths of a second.
        timeout: seconds after which compiling and tuning raise DeadlineExceededError.
        cancel: a token that ends them with CancelledError.

    Raises:
        LimitExceededError: the memory limit is too small. UnsupportedError: an operator has no kernel. InvalidTypeError: there
            is no such option.
    """
    if isinstance(module, Module):
        if example_inputs is not None:
            raise InvalidArgumentError("example_inputs are for PyTorch modules; the inputs of a tenon.Module are known")
        return Executable(module, **options)
    # Whoever has a module of PyTorch's has imported PyTorch.
    if "torch" not in sys.modules:
        if isinstance(module, (str, bytes)) or hasattr(module, "SerializeToString") or hasattr(module, "__fspath__"):
            raise InvalidTypeError(
                f"expected a tenon.Module, found {type(module).__name__}; tenon.load reads models",
                expectation="a tenon.Module", found=type(module).__name__)
        raise InvalidTypeError.mismatch("", "a tenon.Module", type(module).__name__)
    from .torch import compile as compile_torch

    return compile_torch(module, example_inputs, **options)
