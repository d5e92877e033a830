"""Tensors made of sizes. Those of known size are made by PyTorch itself; these are of sizes that depend on inputs."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, element_type
from .._sizes import size_text, sizes_text
from . import converter


def _full(g: Graph, number: Any) -> Any:
    dtype = g.out.dtype
    return g.call("full", g.builder.shape(sizes_text(g.out.shape)), g.scalar(number, dtype), dtype=element_type(dtype))


@converter("zeros", "zeros_like", "new_zeros", "empty.memory_format", "empty_like", "new_empty", "zero")
def zeros(g: Graph, size: Any = None, self: Any = None, dtype: Any = None) -> Any:
    return _full(g, 0)


@converter("ones", "ones_like", "new_ones")
def ones(g: Graph, size: Any = None, self: Any = None, dtype: Any = None) -> Any:
    return _full(g, 1)


@converter("full", "full_like", "new_full")
def full(g: Graph, fill_value: Any, size: Any = None, self: Any = None, dtype: Any = None) -> Any:
    return _full(g, fill_value)


@converter("scalar_tensor")
def scalar_tensor(g: Graph, s: Any, dtype: Any = None) -> Any:
    return g.scalar(s, g.out.dtype)


@converter("arange", "arange.start", "arange.start_step")
def arange(g: Graph, end: Any, start: Any = 0, step: Any = 1, dtype: Any = None) -> Any:
    dtype = g.out.dtype
    if not isinstance(step, int) or dtype.is_floating_point and not isinstance(start, (int, torch.SymInt)):
        raise UnsupportedError("arange of a symbolic size expects whole numbers")
    shape = g.builder.shape([size_text(g.out.shape[0])])
    counted = g.call("cumsum", g.call("full", shape, g.scalar(1, torch.int64)), axis=0, exclusive=True)
    counted = g.scaled(counted, step, torch.int64)
    if not (isinstance(start, int) and start == 0):
        counted = g.call("add", counted, g.scalar(start, torch.int64))
    return g.cast_value(counted, torch.int64, dtype)
