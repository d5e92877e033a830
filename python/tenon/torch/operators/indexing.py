"""Reading and writing at positions."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from .._sizes import known, sizes_text
from . import converter


@converter("embedding")
def embedding(g: Graph, weight: Any, indices: Any) -> Any:
    return g.call("take", weight, indices, axis=0)


@converter("index_select")
def index_select(g: Graph, self: Any, dim: Any, index: Any) -> Any:
    return g.call("take", self, index, axis=self.axis(dim))


@converter("gather")
def gather(g: Graph, self: Any, dim: Any, index: Any) -> Any:
    return g.call("gather_elements", self, g.as_type(index, torch.int64), axis=self.axis(dim))


def _positions(g: Graph, x: Tensor, indices: list[Any]) -> Any:
    """Axes that are indexed, and the tensors that index them."""
    pairs = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    for _, index in pairs:
        if index.dtype in (torch.bool, torch.uint8):
            raise UnsupportedError("indexing with a mask has a shape that depends on data")
    return pairs


def _joined(g: Graph, x: Tensor, pairs: list[Any], shape: Any) -> Any:
    """The index tensors, broadcast and side by side, counted from the start of their axes."""
    columns = []
    for axis, index in pairs:
        value = g.as_type(index, torch.int64)
        data = g.data_of(index)
        if data is None or bool((data < 0).any()):
            size = g.scalar(x.shape[axis], torch.int64)
            below = g.call("less", value, g.scalar(0, torch.int64))
            value = g.call("where", below, g.call("add", value, size), value)
        columns.append(g.call("broadcast_to", value, sizes_text(shape)))
    return g.call("stack", columns, axis=len(shape))


@converter("index.Tensor", "_unsafe_index.Tensor")
def index(g: Graph, self: Any, indices: Any) -> Any:
    pairs = _positions(g, self, indices)
    if not pairs:
        return self.value
    if len(pairs) == 1:
        axis, positions = pairs[0]
        return g.call("take", self, positions, axis=axis)
    axes = [axis for axis, _ in pairs]
    shape = torch.functional.broadcast_shapes(*[index.shape for _, index in pairs])  # type: ignore[no-untyped-call,unused-ignore]
    rest = [axis for axis in range(self.rank) if axis not in axes]
    result = g.call("gather_nd", g.permute(self, axes + rest), _joined(g, self, pairs, shape))
    # Neighbouring index tensors leave their dimensions in place, others put them in front.
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    if not adjacent or axes[0] == 0:
        return result
    count = len(shape)
    return g.permute(result, [*range(count, count + axes[0]), *range(count), *range(count + axes[0], count + len(rest))])


@converter("index_put", "_unsafe_index_put")
def index_put(g: Graph, self: Any, indices: Any, values: Any, accumulate: Any, unsafe: Any = False) -> Any:
    pairs = _positions(g, self, indices)
    if not pairs:
        raise UnsupportedError("index_put without an index")
    axes = [axis for axis, _ in pairs]
    rest = [axis for axis in range(self.rank) if axis not in axes]
    shape = torch.functional.broadcast_shapes(*[index.shape for _, index in pairs])  # type: ignore[no-untyped-call,unused-ignore]
    # Values have the shape that reading there gives: neighbouring index tensors leave their dimensions in place.
    lead = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    result = [*(self.shape[axis] for axis in rest[:lead]), *shape, *(self.shape[axis] for axis in rest[lead:])]
    updates = g.call("broadcast_to", g.as_type(values, self.dtype), sizes_text(result))
    count = len(shape)
    updates = g.permute(updates, [*range(lead, lead + count), *range(lead), *range(lead + count, len(result))])
    order = axes + rest
    written = g.call(
        "scatter_nd", g.permute(self, order), _joined(g, self, pairs, shape), updates,
        reduction="add" if accumulate else "update")
    return g.permute(written, [order.index(axis) for axis in range(self.rank)])


@converter("scatter.src", "scatter.value", "scatter_add", "scatter.reduce", "scatter.value_reduce")
def scatter(g: Graph, self: Any, dim: Any, index: Any, src: Any = None, value: Any = None, reduce: Any = None) -> Any:
    updates = src
    reduction = {None: "update", "add": "add", "multiply": "mul"}[reduce]
    if g.target.startswith("aten.scatter_add"):
        reduction = "add"
    if src is None:
        updates = g.call("broadcast_to", g.scalar(value, self.dtype), sizes_text(index.shape))
    elif [known(size) for size in src.shape] != [known(size) for size in index.shape]:
        updates = src.value
        for axis in range(src.rank):
            updates = g.slice(updates, axis, 0, index.shape[axis])
    return g.call(
        "scatter_elements", self, g.as_type(index, torch.int64), updates, axis=self.axis(dim), reduction=reduction)


@converter("topk")
def topk(g: Graph, self: Any, k: Any, dim: Any, largest: Any, sorted: Any) -> Any:
    result = g.call("topk", self, k=k, axis=self.axis(dim), largest=largest, sorted=sorted)
    return [result[0], result[1]]


@converter("sort", "sort.stable")
def sort(g: Graph, self: Any, dim: Any, descending: Any, stable: Any = None) -> Any:
    axis = self.axis(dim)
    order = g.call("argsort", self, axis=axis, descending=descending)
    return [g.call("gather_elements", self, order, axis=axis), order]


@converter("argsort", "argsort.stable")
def argsort(g: Graph, self: Any, dim: Any, descending: Any, stable: Any = None) -> Any:
    return g.call("argsort", self, axis=self.axis(dim), descending=descending)


@converter("unfold")
def unfold(g: Graph, self: Any, dimension: Any, size: Any, step: Any) -> Any:
    axis = self.axis(dimension)
    count = known(g.out.shape[axis])
    if count is None:
        raise UnsupportedError("unfold needs a known size")
    places = torch.arange(count)[:, None] * step + torch.arange(size)
    taken = g.call("take", self, g.constant(places), axis=axis)
    return g.permute(taken, [*range(axis + 1), *range(axis + 2, self.rank + 1), axis + 1])


def _windows(size: int, kernel: int, dilation: int, padding: int, stride: int) -> torch.Tensor:
    """Positions [kernel, windows] in a padded axis."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return torch.arange(kernel)[:, None] * dilation + torch.arange(count) * stride


@converter("im2col")
def im2col(g: Graph, self: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    if self.rank != 4:
        raise UnsupportedError(f"im2col of a tensor of {self.rank} dimensions, expected 4")
    rows, columns = (
        _windows(self.size(2 + i, "im2col"), kernel_size[i], dilation[i], padding[i], stride[i]) for i in (0, 1))
    value = self.value
    if any(padding):
        value = g.call("nn.pad", value, pad_width=[0, 0, 0, 0, padding[0], padding[0], padding[1], padding[1]])
    value = g.call("take", value, g.constant(rows), axis=2)
    value = g.call("take", value, g.constant(columns), axis=4)
    return g.reshape(g.permute(value, [0, 1, 2, 4, 3, 5]), g.out.shape)


@converter("col2im")
def col2im(g: Graph, self: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """A transposed convolution per channel, which puts each element of a window where it belongs."""
    if self.rank != 3:
        raise UnsupportedError(f"col2im of a tensor of {self.rank} dimensions, expected 3")
    area = kernel_size[0] * kernel_size[1]
    channels = self.size(1, "col2im") // area
    windows = [
        (output_size[i] + 2 * padding[i] - dilation[i] * (kernel_size[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    kernel = torch.eye(area, dtype=self.dtype).reshape(area, 1, *kernel_size).repeat(channels, 1, 1, 1)
    reached = [
        (windows[i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (kernel_size[i] - 1) + 1 for i in (0, 1)]
    return g.call(
        "nn.conv2d_transpose", g.reshape(self, [self.shape[0], channels * area, *windows]), g.constant(kernel),
        strides=list(stride), padding=[*padding, *padding], dilation=list(dilation), groups=channels,
        output_padding=[output_size[i] - reached[i] for i in (0, 1)])
