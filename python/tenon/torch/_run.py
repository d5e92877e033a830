"""Running an executable on PyTorch's tensors."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Sequence

import torch

from .. import _dtypes
from .._lib import Tensor as _Tensor
from .._lib import lib
from ..errors import InvalidShapeError, InvalidTypeError, check
from ..executable import Executable
from ._constants import check_readable, fill
from ._sizes import DTYPES, dtype_name, sizes_text


class Input(NamedTuple):
    """A tensor that a run takes."""

    name: str
    dtype: torch.dtype
    #: Numbers, and symbols or expressions over them as texts.
    shape: tuple[int | str, ...]

    @property
    def type(self) -> str:
        return f"{dtype_name(self.dtype)}[{','.join(str(size) for size in self.shape)}]"


#: Shapes and types of outputs whose sizes are all known.
_Types = Sequence[tuple[tuple[int, ...], torch.dtype]]


class _Frame:
    """The C arrays of one call with fixed shapes, kept for the next: only the addresses change."""

    __slots__ = ("inputs", "outputs", "keep")

    def __init__(self, inputs: Sequence[Input], outputs: _Types):
        self.inputs = (_Tensor * max(len(inputs), 1))()
        self.outputs = (_Tensor * max(len(outputs), 1))()
        # Tensors of the right type without their memory.
        models: Any = [(port.shape, port.dtype) for port in inputs], outputs
        self.keep = []
        for tensors, types in zip((self.inputs, self.outputs), models):
            for tensor, (shape, dtype) in zip(tensors, types):
                self.keep.append(fill(tensor, torch.empty(shape, dtype=dtype, device="meta")))


class Runner:
    """Runs on tensors in the order of the inputs, and gives new ones in the order of the outputs."""

    def __init__(
        self, executable: Executable, names: Sequence[str], inputs: Sequence[torch.Tensor],
        outputs: Sequence[torch.Tensor], ranges: dict[str, tuple[int, int]],
    ):
        self.executable = executable
        self.inputs = tuple(Input(name, meta.dtype, sizes_text(meta.shape)) for name, meta in zip(names, inputs))
        self._ranges = ranges
        fixed = all(isinstance(size, int) for port in self.inputs for size in port.shape)
        self._made: _Types | None = [(tuple(meta.shape), meta.dtype) for meta in outputs] if fixed else None
        self._frames: list[_Frame] = []

    def run(self, tensors: Sequence[Any]) -> list[torch.Tensor]:
        """Runs.

        Raises:
            InvalidShapeError, InvalidTypeError, InvalidArgumentError: a tensor does not fit, or is not on the CPU.
        """
        is_expected = self._made is not None
        for tensor, port in zip(tensors, self.inputs):
            if type(tensor) is not torch.Tensor or tensor.dtype != port.dtype or tensor.device.type != "cpu":
                self._check(tensor, port)
            if tensor.layout is not torch.strided:
                check_readable(tensor, port.name)
            if is_expected and not (tensor.shape == port.shape and tensor.is_contiguous()):
                is_expected = False
        made = self._made
        if is_expected and made is not None:
            results: list[torch.Tensor] = self.executable._guarded(self._run_expected, tensors, made)
        else:
            results = self.executable._guarded(self._run_any, tensors)
        return results

    def _check(self, tensor: Any, port: Input) -> None:
        if not isinstance(tensor, torch.Tensor):
            raise InvalidTypeError.mismatch(f"input '{port.name}'", "a tensor", type(tensor).__name__, node=port.name)
        check_readable(tensor, port.name)
        if tensor.dtype != port.dtype:
            raise InvalidTypeError.mismatch(f"input '{port.name}'", str(port.dtype), tensor.dtype, node=port.name)

    def _run_expected(self, tensors: Sequence[torch.Tensor], made: _Types) -> list[torch.Tensor]:
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self.inputs, made)
        for tensor, data in zip(frame.inputs, tensors):
            tensor.data = data.data_ptr()
        results = [torch.empty(shape, dtype=dtype) for shape, dtype in made]
        for tensor, data in zip(frame.outputs, results):
            tensor.data = data.data_ptr()
        status = lib.tenon_run(
            self.executable._handle, frame.inputs, len(tensors), frame.outputs, len(results), None)
        if status:
            check(status)
        self._frames.append(frame)
        return results

    def _run_any(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        for tensor, port in zip(tensors, self.inputs):
            self._check_shape(tensor, port)
        read = [tensor.resolve_neg() for tensor in tensors]
        inputs = (_Tensor * max(len(read), 1))()
        keep = [fill(tensor, data) for tensor, data in zip(inputs, read)]
        results = ctypes.c_void_p()
        check(lib.tenon_run_new(self.executable._handle, inputs, len(read), None, ctypes.byref(results)))
        del keep
        return _Results(results.value).tensors()

    def _check_shape(self, tensor: torch.Tensor, port: Input) -> None:
        fits = tensor.dim() == len(port.shape)
        for found, expected in zip(tensor.shape, port.shape):
            if isinstance(expected, int):
                fits = fits and found == expected
            elif expected in self._ranges and not self._ranges[expected][0] <= found <= self._ranges[expected][1]:
                least, most = self._ranges[expected]
                raise InvalidShapeError(
                    f"input '{port.name}' has size {found} where {expected} was exported for {least} to {most}",
                    node=port.name)
        if not fits:
            raise InvalidShapeError(
                f"input '{port.name}' expects {port.type}, found {list(tensor.shape)}", node=port.name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_frames": []}


class _Results:
    """Outputs that a run made, given away as tensors that keep them alive."""

    def __init__(self, address: int | None):
        self._address = address

    def __del__(self) -> None:
        lib.tenon_results_release(self._address)

    def tensors(self) -> list[torch.Tensor]:
        tensors = []
        for index in range(lib.tenon_results_count(self._address)):
            tensor = _Tensor(struct_size=ctypes.sizeof(_Tensor))
            check(lib.tenon_results_get(self._address, index, ctypes.byref(tensor)))
            shape = tuple(tensor.shape[axis] for axis in range(tensor.rank))
            dtype = DTYPES[_dtypes.NAMES[tensor.dtype]]
            count = 1
            for size in shape:
                count *= size
            if count == 0:
                tensors.append(torch.empty(shape, dtype=dtype))
                continue
            memory: Any = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(tensor.data)
            memory._results = self
            tensors.append(torch.frombuffer(memory, dtype=dtype).view(shape))
        return tensors
