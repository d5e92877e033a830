"""Pooling."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from . import converter


def _pair(value: Any, rank: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def _batched(g: Graph, x: Tensor, rank: int, operator: str, **attributes: Any) -> Any:
    """The operator on [n, c, spatial…], also where the batch is left out."""
    if x.rank == rank + 2:
        return g.call(operator, x, **attributes)
    if x.rank != rank + 1:
        raise UnsupportedError(f"pooling over {rank} dimensions of a tensor of {x.rank}")
    return g.call("squeeze", g.call(operator, g.call("expand_dims", x, axis=[0]), **attributes), axis=[0])


def _pool(
    g: Graph, x: Tensor, rank: int, kind: str, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, **more: Any,
) -> Any:
    size, padding = _pair(kernel_size, rank), _pair(padding, rank)
    # An empty stride means the size of the window.
    stride = _pair(stride, rank) if stride not in (None, [], ()) else size
    return _batched(
        g, x, rank, f"nn.{kind}_pool{rank}d", pool_size=size, strides=stride, padding=[*padding, *padding],
        ceil_mode=ceil_mode, **more)


def _register(rank: int) -> None:
    @converter(f"max_pool{rank}d")
    def max_pool(g: Graph, self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> Any:
        return _pool(g, self, rank, "max", kernel_size, stride, padding, ceil_mode, dilation=_pair(dilation, rank))

    @converter(f"max_pool{rank}d_with_indices")
    def max_pool_with_indices(
        g: Graph, self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any,
    ) -> Any:
        return [max_pool(g, self, kernel_size, stride, padding, dilation, ceil_mode), None]

    @converter(f"avg_pool{rank}d")
    def avg_pool(
        g: Graph, self: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any, count_include_pad: Any,
        divisor_override: Any = None,
    ) -> Any:
        if divisor_override is None:
            return _pool(
                g, self, rank, "avg", kernel_size, stride, padding, ceil_mode, count_include_pad=count_include_pad)
        if ceil_mode:
            raise UnsupportedError("average pooling with both divisor_override and ceil_mode")
        # Windows counted whole, and their size replaced.
        area = 1
        for size in _pair(kernel_size, rank):
            area *= size
        mean = _pool(g, self, rank, "avg", kernel_size, stride, padding, ceil_mode, count_include_pad=True)
        return g.scaled(mean, area / divisor_override, self.dtype)

    def adaptive(g: Graph, x: Tensor, kind: str, output_size: Any) -> Any:
        sizes = [x.shape[axis - rank] if size is None else size for axis, size in enumerate(_pair(output_size, rank))]
        return _batched(g, x, rank, f"nn.adaptive_{kind}_pool{rank}d", output_size=sizes)

    @converter(f"adaptive_avg_pool{rank}d", f"_adaptive_avg_pool{rank}d")
    def adaptive_avg_pool(g: Graph, self: Any, output_size: Any) -> Any:
        return adaptive(g, self, "avg", output_size)

    @converter(f"adaptive_max_pool{rank}d")
    def adaptive_max_pool(g: Graph, self: Any, output_size: Any) -> Any:
        return [adaptive(g, self, "max", output_size), None]


for _rank in (1, 2, 3):
    _register(_rank)
