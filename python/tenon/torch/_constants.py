"""PyTorch's tensors as constants of a builder and as the library's tensors, without copies."""

from __future__ import annotations

import ctypes
from typing import Any

import torch

from .. import _dtypes
from .._lib import Tensor, lib
from ..builder import Builder, Value, borrow
from ..errors import InvalidArgumentError
from ._sizes import dtype_name

_pointer = ctypes.POINTER(ctypes.c_int64)


def check_readable(tensor: torch.Tensor, what: str) -> None:
    """Refuses tensors whose elements do not lie in this machine's memory as the type says."""
    if tensor.device.type != "cpu":
        raise InvalidArgumentError.mismatch(what, "device 'cpu'", f"device '{tensor.device}'", node=what)
    if tensor.layout is not torch.strided:
        raise InvalidArgumentError.mismatch(what, "the layout torch.strided", tensor.layout, node=what)
    if tensor.is_quantized:
        raise InvalidArgumentError.mismatch(what, "plain numbers", "a quantised tensor", node=what)


def fill(tensor: Tensor, data: torch.Tensor) -> Any:
    """Points ``tensor`` to the memory of ``data``. What is returned must live as long as the tensor is used."""
    rank = data.dim()
    shape = (ctypes.c_int64 * max(rank, 1))(*data.shape)
    strides = None
    if not data.is_contiguous():
        strides = (ctypes.c_int64 * max(rank, 1))(*data.stride())
    tensor.struct_size = ctypes.sizeof(Tensor)
    tensor.dtype = _dtypes.BY_NAME[dtype_name(data.dtype)]
    tensor.rank = rank
    tensor.shape = ctypes.cast(shape, _pointer)
    tensor.strides = None if strides is None else ctypes.cast(strides, _pointer)
    tensor.data = data.data_ptr()
    tensor.byte_count = data.numel() * data.element_size() if strides is None else 0
    return shape, strides


def add_constant(builder: Builder, data: torch.Tensor, what: str = "a constant") -> Value:
    """Adds a tensor whose memory is shared with PyTorch until nothing uses it; only strided ones are copied."""
    check_readable(data, what)
    data = data.detach().resolve_conj().resolve_neg().contiguous()
    tensor = Tensor()
    keep = fill(tensor, data)
    if data.numel() <= 16:
        value = builder._new(lib.tenon_builder_add_constant, ctypes.byref(tensor))
    else:
        value = borrow(builder, tensor, data)
    del keep
    return value
