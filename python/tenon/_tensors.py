"""NumPy arrays as the library's tensors, without copies."""

from __future__ import annotations

import ctypes
import math
from typing import Any, Sequence

import numpy as np

from . import _dtypes
from ._lib import Tensor
from .errors import InvalidTypeError

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
    tensor.shape = shape
    tensor.strides = strides
    tensor.data = array.__array_interface__["data"][0]
    # Strided views may begin in the middle of their memory and go backwards, so only dense ones state their size.
    tensor.byte_count = array.nbytes if strides is None else 0
    return shape, strides


class _Memory:
    """Memory as NumPy takes it; arrays keep this object, and with it the owner."""

    __slots__ = ("__array_interface__", "owner")
    __array_interface__: dict[str, Any]
    owner: Any


def memory_array(address: int, dtype: np.dtype[Any], shape: tuple[int, ...], owner: Any) -> np.ndarray[Any, Any]:
    """The memory at an address as an array that keeps ``owner`` alive."""
    size = math.prod(shape)
    if size == 0:
        return np.empty(shape, dtype)
    is_known = dtype.isbuiltin == 1
    memory = _Memory()
    memory.owner = owner
    memory.__array_interface__ = {
        "version": 3, "data": (address, False), "shape": shape if is_known else (size * dtype.itemsize,),
        "typestr": dtype.str if is_known else "|u1",
    }
    array: np.ndarray[Any, Any] = np.asarray(memory)
    return array if is_known else array.view(dtype).reshape(shape)
