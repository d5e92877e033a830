"""Tensors of ONNX Runtime's interface, and how they are tied to a session."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .. import _dtypes
from ._errors import InvalidArgument, NotImplemented
from ._types import require_cpu

if TYPE_CHECKING:
    from ._session import InferenceSession

_Array = np.ndarray[Any, Any]

TYPE_NAMES = {
    1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "double", 12: "uint32", 13: "uint64", 16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz",
    19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0", 25: "uint2", 26: "int2",
}


class OrtValue:
    """A tensor on the CPU."""

    def __init__(self, array: Any):
        self._array: _Array = array._array if isinstance(array, OrtValue) else array

    @staticmethod
    def ortvalue_from_numpy(
        numpy_obj: _Array, device_type: str = "cpu", device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue:
        require_cpu(device_type)
        return OrtValue(np.array(numpy_obj, order="C"))

    @staticmethod
    def ortvalue_from_numpy_with_onnx_type(data: _Array, onnx_element_type: int) -> OrtValue:
        dtype = _dtypes.to_numpy(onnx_element_type)
        if data.dtype.itemsize != dtype.itemsize:
            raise InvalidArgument(f"elements of {data.dtype} are no {dtype}")
        return OrtValue(data.view(dtype))

    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0, vendor_id: int = -1,
        memory_info: Any = None,
    ) -> OrtValue:
        require_cpu(device_type)
        return OrtValue(np.empty(shape, element(element_type)))

    @staticmethod
    def ort_value_from_sparse_tensor(sparse_tensor: Any) -> OrtValue:
        raise NotImplemented("OrtValue.ort_value_from_sparse_tensor: tensors are dense")

    def as_sparse_tensor(self) -> Any:
        raise NotImplemented("OrtValue.as_sparse_tensor: tensors are dense")

    @staticmethod
    def from_dlpack(data: Any, is_bool_tensor: bool = False) -> OrtValue:
        array = np.from_dlpack(data)
        return OrtValue(array.view(np.bool_) if is_bool_tensor else array)

    def __dlpack__(self, **arguments: Any) -> Any:
        return self._array.__dlpack__(**arguments)

    to_dlpack = __dlpack__

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __array__(self, dtype: Any = None, copy: Any = None) -> _Array:
        if copy is False and dtype is not None and np.dtype(dtype) != self._array.dtype:
            raise ValueError("a copy is needed to convert the elements")
        return np.array(self._array, dtype=dtype, copy=True if copy is None else copy)

    @property
    def _ortvalue(self) -> OrtValue:
        """What programs that reach inside take for the value itself."""
        return self

    def numpy(self) -> _Array:
        return self._array.copy()

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def data_type(self) -> str:
        return f"tensor({TYPE_NAMES[_dtypes.from_numpy(self._array.dtype)]})"

    def element_type(self) -> int:
        return _dtypes.from_numpy(self._array.dtype)

    def device_name(self) -> str:
        return "cpu"

    def data_ptr(self) -> int:
        return int(self._array.ctypes.data)

    def tensor_size_in_bytes(self) -> int:
        return self._array.nbytes

    def has_value(self) -> bool:
        return True

    def is_tensor(self) -> bool:
        return True

    def is_sparse_tensor(self) -> bool:
        return False

    def is_tensor_sequence(self) -> bool:
        return False

    def update_inplace(self, array: _Array) -> None:
        if array.shape != self._array.shape or array.dtype != self._array.dtype:
            raise InvalidArgument(
                f"expected {self._array.dtype}{self._array.shape}, found {array.dtype}{array.shape}")
        self._array[...] = array


class OrtValueVector(list[OrtValue]):
    """Several of them."""

    def push_back(self, value: OrtValue) -> None:
        self.append(value)

    def reserve(self, count: int) -> None:
        """Lists grow as they need."""

    def shrink_to_fit(self) -> None:
        """Lists grow as they need."""


def copy_tensors(src: Sequence[OrtValue], dst: Sequence[OrtValue], stream: Any = None) -> None:
    """Copies contents."""
    if len(src) != len(dst):
        raise ValueError(f"{len(src)} tensors cannot be copied to {len(dst)}")
    for source, target in zip(src, dst):
        target.update_inplace(source._array)


def element(element_type: Any) -> np.dtype[Any]:
    """NumPy's type of a type as ONNX Runtime's functions take it: NumPy's own, or ONNX's number."""
    if isinstance(element_type, int):
        return _dtypes.to_numpy(element_type)
    dtype: np.dtype[Any] = np.dtype(element_type)
    return dtype


class IOBinding:
    """Inputs and outputs of a session tied to memory before it runs."""

    def __init__(self, session: InferenceSession):
        self._session = session
        self._inputs: dict[str, _Array] = {}
        self._outputs: dict[str, _Array | None] = {}
        self._results: dict[str, _Array] = {}

    def bind_cpu_input(self, name: str, arr_on_cpu: _Array) -> None:
        self._inputs[self._session._known(name, "input")] = arr_on_cpu

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        require_cpu(device_type)
        self._inputs[self._session._known(name, "input")] = _memory(element_type, shape, buffer_ptr)

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self._inputs[self._session._known(name, "input")] = ortvalue._array

    def bind_output(
        self, name: str, device_type: str = "cpu", device_id: int = 0, element_type: Any = None,
        shape: Sequence[int] | None = None, buffer_ptr: int | None = None,
    ) -> None:
        require_cpu(device_type)
        target = None if buffer_ptr is None else _memory(element_type, shape or (), buffer_ptr)
        self._outputs[self._session._known(name, "output")] = target

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self._outputs[self._session._known(name, "output")] = ortvalue._array

    def synchronize_inputs(self) -> None:
        """There is nothing to wait for on a CPU."""

    synchronize_outputs = synchronize_inputs

    def get_outputs(self) -> list[OrtValue]:
        return [OrtValue(self._results[name]) for name in self._outputs]

    def get_outputs_as_ortvaluevector(self) -> OrtValueVector:
        return OrtValueVector(self.get_outputs())

    def copy_outputs_to_cpu(self) -> list[_Array]:
        return [self._results[name].copy() for name in self._outputs]

    def clear_binding_inputs(self) -> None:
        self._inputs.clear()

    def clear_binding_outputs(self) -> None:
        self._outputs.clear()
        self._results.clear()


def _memory(element_type: Any, shape: Sequence[int], address: int) -> _Array:
    dtype = element(element_type)
    size = int(np.prod(list(shape), dtype=np.int64)) * dtype.itemsize
    memory: Any = (ctypes.c_uint8 * size).from_address(address)
    array: _Array = np.frombuffer(memory, dtype).reshape(shape)
    return array
