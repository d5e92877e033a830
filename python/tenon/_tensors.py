"""NumPy arrays as the library's tensors, without copies."""

from __future__ import annotations

import ctypes
from typing import Any, Sequence

import numpy as np

from . import _dtypes
from ._lib import Tensor
from .errors import InvalidTypeError

_pointer = ctypes.POINTER(ctypes.c_int64)
_size = ctypes.sizeof(Tensor)


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """An array that shares the memory of ``value``: an array, or anything with DLPack or the array interface."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    return np.asarray(value)


def fill(tensor: Tensor, array: np.ndarray[Any, Any]) -> Any:
    """Points ``tensor`` to an array. What is returned must live as long as the tensor is used, and the array too."""
    rank = array.ndim
    shape = (ctypes.c_int64 * max(rank, 1))(*array.shape)
    strides = None
    if not array.flags.c_contiguous:
        width = array.itemsize
        if any(step % width for step in array.strides):
            raise InvalidTypeError("an array whose strides are not multiples of its elements' size")
        strides = (ctypes.c_int64 * max(rank, 1))(*[step // width for step in array.strides])
    tensor.struct_size = _size
    tensor.dtype = _dtypes.from_numpy(array.dtype)
    tensor.rank = rank
    tensor.shape = ctypes.cast(shape, _pointer)
    tensor.strides = ctypes.cast(strides, _pointer) if strides is not None else None
    tensor.data = array.ctypes.data
    # Strided views may begin in the middle of their memory and go backwards, so only dense ones state their size.
    tensor.byte_count = array.nbytes if strides is None else 0
    return shape, strides


def memory_array(address: int, dtype: np.dtype[Any], shape: Sequence[int], owner: Any) -> np.ndarray[Any, Any]:
    """The memory at an address as an array that keeps ``owner`` alive."""
    size = int(np.prod(list(shape), dtype=np.int64)) * dtype.itemsize
    if size == 0:
        return np.empty(shape, dtype)
    memory: Any = (ctypes.c_uint8 * size).from_address(address)
    memory._owner = owner
    array: np.ndarray[Any, Any] = np.frombuffer(memory, dtype).reshape(shape)
    return array
