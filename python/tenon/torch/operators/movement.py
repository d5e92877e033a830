"""What moves elements without computing: views, joining, cutting, padding."""

from __future__ import annotations

import builtins
import itertools
from typing import Any, Sequence

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor, element_type
from .._sizes import known, size_text, sizes_text
from . import converter


@converter("view", "_unsafe_view", "reshape", "flatten.using_ints", "unflatten.int", "view_as", "reshape_as", "squeeze",
           "squeeze.dim", "squeeze.dims", "unsqueeze", "view_copy", "_reshape_alias", "squeeze_copy.dims", "unsqueeze_copy",
           "ravel", "atleast_1d", "atleast_2d", "atleast_3d", "_reshape_copy")
def reshape(
    g: Graph, self: Any, size: Any = None, shape: Any = None, start_dim: Any = None, end_dim: Any = None, dim: Any = None,
    sizes: Any = None, other: Any = None, stride: Any = None,
) -> Any:
    # PyTorch has worked out the shape, whatever was asked for.
    return g.reshape_to_out(self)


@converter("expand", "expand_as", "broadcast_to", "expand_copy")
def expand(g: Graph, self: Any, size: Any = None, other: Any = None) -> Any:
    return g.broadcast(self, g.out.shape)


@converter("permute", "permute_copy", "transpose.int", "swapaxes", "swapdims", "t", "numpy_T", "movedim.int",
           "movedim.intlist", "transpose_copy.int", "t_copy", "adjoint", "mT", "moveaxis.int")
def permute(
    g: Graph, self: Any, dims: Any = None, dim0: Any = None, dim1: Any = None, axis0: Any = None, axis1: Any = None,
    source: Any = None, destination: Any = None,
) -> Any:
    axes = list(range(self.rank))
    if dims is not None:
        axes = [self.axis(dim) for dim in dims]
    elif source is not None:
        axes = _moved(self, source, destination)
    elif g.target.startswith("aten.numpy_T"):
        axes.reverse()
    elif self.rank >= 2:
        first, second = (dim0, dim1) if dim0 is not None else (axis0, axis1)
        first, second = (-2, -1) if first is None else (first, second)
        first, second = self.axis(first), self.axis(second)
        axes[first], axes[second] = second, first
    result = g.permute(self, axes)
    if axes == [1, 0]:
        g.transposed[result._id] = self.value
    return result


def _moved(x: Tensor, source: Any, destination: Any) -> list[int]:
    source = [x.axis(axis) for axis in ([source] if isinstance(source, int) else source)]
    destination = [x.axis(axis) for axis in ([destination] if isinstance(destination, int) else destination)]
    places = dict(zip(destination, source))
    rest = iter(axis for axis in range(x.rank) if axis not in source)
    return [places[axis] if axis in places else next(rest) for axis in range(x.rank)]


@converter("cat", "concat", "concatenate")
def cat(g: Graph, tensors: Any, dim: Any) -> Any:
    # PyTorch lets vectors without elements join anything.
    real = [tensor for tensor in tensors if not (tensor.rank == 1 and known(tensor.shape[0]) == 0)]
    if not real:
        return g.as_type(tensors[0], g.out.dtype)
    return concatenated(g, [g.as_type(tensor, g.out.dtype) for tensor in real], real[0].axis(dim))


def concatenated(g: Graph, parts: list[Any], axis: int) -> Any:
    return parts[0] if len(parts) == 1 else g.call("concat", parts, axis=axis)


@converter("stack")
def stack(g: Graph, tensors: Any, dim: Any) -> Any:
    return g.call("stack", [g.as_type(tensor, g.out.dtype) for tensor in tensors], axis=dim % (tensors[0].rank + 1))


def _cut(g: Graph, x: Tensor, axis: int, sizes: Sequence[Any]) -> Any:
    """The parts of these sizes along an axis."""
    if len(sizes) == 1:
        return [x.value]
    numbers = [number for number in map(known, sizes) if number is not None]
    if len(numbers) == len(sizes):
        ends = list(itertools.accumulate(numbers[:-1]))
        pieces = g.call("split", x, indices=ends, axis=axis)
        return [pieces[index] for index in range(len(sizes))]
    parts: list[Any] = []
    begin: Any = 0
    for size in sizes:
        parts.append(g.slice(x, axis, begin, begin + size))
        begin = begin + size
    return parts


@converter("split.Tensor", "split_with_sizes", "chunk", "tensor_split.sections", "tensor_split.indices", "unsafe_chunk",
           "unsafe_split.Tensor", "split.sizes", "split_copy.Tensor", "split_with_sizes_copy", "unsafe_split_with_sizes")
def split(
    g: Graph, self: Any, dim: Any, split_size: Any = None, split_sizes: Any = None, chunks: Any = None,
    sections: Any = None, indices: Any = None,
) -> Any:
    axis = self.axis(dim)
    return _cut(g, self, axis, [part.shape[axis] for part in g.out])


@converter("unbind.int", "unbind_copy.int")
def unbind(g: Graph, self: Any, dim: Any) -> Any:
    axis = self.axis(dim)
    parts = _cut(g, self, axis, [1] * len(g.out))
    return [g.call("squeeze", part, axis=[axis]) for part in parts]


@converter("slice.Tensor", "slice_copy.Tensor")
def slice(g: Graph, self: Any, dim: Any, start: Any, end: Any, step: Any) -> Any:
    axis = self.axis(dim)
    start = 0 if start is None else start
    size = self.shape[axis]
    end = size if end is None or (isinstance(end, int) and end >= 2**31 - 1) else end
    if isinstance(start, int) and start == 0 and step == 1 and size_text(g.out.shape[axis]) == size_text(size):
        return self.value
    return g.slice(self, axis, start, end, step)


@converter("narrow")
def narrow(g: Graph, self: Any, dim: Any, start: Any, length: Any) -> Any:
    return g.slice(self, self.axis(dim), start, start + length)


@converter("select.int", "select_copy.int")
def select(g: Graph, self: Any, dim: Any, index: Any) -> Any:
    axis = self.axis(dim)
    if isinstance(index, int) and index < 0:
        end = self.shape[axis] if index == -1 else index + 1
    else:
        end = index + 1
    return g.call("squeeze", g.slice(self, axis, index, end), axis=[axis])


def _replaced(g: Graph, x: Tensor, part: Any, axis: int, start: Any, end: Any) -> Any:
    """x with the elements from start to end along an axis replaced."""
    pieces = [part]
    if size_text(start) != 0:
        pieces.insert(0, g.slice(x, axis, 0, start))
    if size_text(end) != size_text(x.shape[axis]):
        pieces.append(g.slice(x, axis, end, x.shape[axis]))
    return concatenated(g, pieces, axis)


@converter("slice_scatter")
def slice_scatter(g: Graph, self: Any, src: Any, dim: Any, start: Any, end: Any, step: Any) -> Any:
    axis, size = self.axis(dim), self.size(dim, "slice_scatter")
    first, last, step = builtins.slice(start, end, step).indices(size)
    if step != 1:
        raise UnsupportedError(f"slice_scatter with step {step}, expected 1")
    return _replaced(g, self, g.as_type(src, self.dtype), axis, first, max(first, last))


@converter("select_scatter")
def select_scatter(g: Graph, self: Any, src: Any, dim: Any, index: Any) -> Any:
    axis = self.axis(dim)
    index = index + self.shape[axis] if isinstance(index, int) and index < 0 else index
    part = g.call("expand_dims", g.as_type(src, self.dtype), axis=[axis])
    return _replaced(g, self, part, axis, index, index + 1)


@converter("roll")
def roll(g: Graph, self: Any, shifts: Any, dims: Any) -> Any:
    shifts = [shifts] if isinstance(shifts, int) else shifts
    value = self.value
    if not dims:
        value, shape = g.reshape(self, (_count(self.shape),)), (_count(self.shape),)
        return g.reshape(_rolled(g, value, 0, shape[0], shifts[0]), self.shape)
    for shift, dim in zip(shifts, dims):
        axis = self.axis(dim)
        value = _rolled(g, value, axis, self.shape[axis], shift)
    return value


def _count(shape: Sequence[Any]) -> Any:
    count = 1
    for size in shape:
        count = count * size
    return count


def _rolled(g: Graph, value: Any, axis: int, size: Any, shift: int) -> Any:
    number = known(size)
    if number is not None:
        shift = shift % number if number else 0
    if shift == 0:
        return value
    # Symbolic sizes: the last |shift| elements are counted from the end, whatever the size.
    cut = size - shift if shift > 0 else -shift
    return g.call("concat", [g.slice(value, axis, cut, size), g.slice(value, axis, 0, cut)], axis=axis)


@converter("flip")
def flip(g: Graph, self: Any, dims: Any) -> Any:
    value = self.value
    for axis in self.axes(dims) if dims else []:
        value = g.call("flip", value, axis=axis)
    return value


@converter("repeat", "tile")
def repeat(g: Graph, self: Any, repeats: Any = None, dims: Any = None) -> Any:
    asked = repeats if repeats is not None else dims
    counts = [count for count in map(known, asked) if count is not None]
    if len(counts) < len(asked):
        raise UnsupportedError("repeat needs known counts")
    rank = max(len(counts), self.rank)
    counts = [1] * (rank - len(counts)) + counts
    value = self.value if rank == self.rank else g.reshape(self, [*[1] * (rank - self.rank), *self.shape])
    return value if all(count == 1 for count in counts) else g.call("tile", value, repeats=counts)


@converter("repeat_interleave.self_int")
def repeat_interleave(g: Graph, self: Any, repeats: Any, dim: Any, output_size: Any = None) -> Any:
    if dim is None:
        return g.call("repeat", g.call("flatten", self), repeats=repeats, axis=0)
    return g.call("repeat", self, repeats=repeats, axis=self.axis(dim))


def _padded(g: Graph, x: Tensor, pad: Sequence[int], mode: str, value: float = 0.0) -> Any:
    widths = [0] * (2 * x.rank)
    for position in range(len(pad) // 2):
        # From the last dimension on.
        axis, (before, after) = x.rank - 1 - position, (known(size) for size in pad[2 * position:2 * position + 2])
        if before is None or after is None:
            return _padded_by_parts(g, x, pad, mode, value)
        widths[2 * axis], widths[2 * axis + 1] = before, after
    if not any(widths):
        return x.value
    return g.call("nn.pad", x, pad_width=widths, pad_mode=mode, pad_value=float(value))


def _padded_by_parts(g: Graph, x: Tensor, pad: Sequence[Any], mode: str, value: float) -> Any:
    """By numbers that are symbols: one tensor of the value in front and one behind."""
    if mode != "constant":
        raise UnsupportedError(f"pad mode '{mode}' needs known widths")
    result, shape = x.value, list(x.shape)
    for position in range(len(pad) // 2):
        axis = x.rank - 1 - position
        parts = [result]
        for index, width in enumerate(pad[2 * position:2 * position + 2]):
            if known(width) == 0:
                continue
            if (known(width) or 0) < 0:
                raise UnsupportedError("pad that cuts needs known widths")
            sizes = g.builder.shape(sizes_text([*shape[:axis], width, *shape[axis + 1:]]))
            parts.insert(len(parts) if index else 0, g.call(
                "full", sizes, g.scalar(value, x.dtype), dtype=element_type(x.dtype)))
            shape[axis] = shape[axis] + width
        if len(parts) > 1:
            result = g.call("concat", parts, axis=axis)
    return result


@converter("constant_pad_nd", "pad")
def pad(g: Graph, self: Any, pad: Any, mode: Any = "constant", value: Any = None) -> Any:
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
    if mode not in modes:
        raise UnsupportedError(f"pad mode '{mode}' is not supported")
    return _padded(g, self, pad, modes[mode], 0.0 if value is None else value)


@converter("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
def reflection_pad(g: Graph, self: Any, padding: Any) -> Any:
    return _padded(g, self, padding, "reflect")


@converter("replication_pad1d", "replication_pad2d", "replication_pad3d")
def replication_pad(g: Graph, self: Any, padding: Any) -> Any:
    return _padded(g, self, padding, "replicate")


@converter("pixel_shuffle")
def pixel_shuffle(g: Graph, self: Any, upscale_factor: Any) -> Any:
    if self.rank == 4:
        return g.call("nn.depth_to_space", self, block_size=upscale_factor, mode="CRD")
    return _shuffled(g, self, upscale_factor, up=True)


@converter("pixel_unshuffle")
def pixel_unshuffle(g: Graph, self: Any, downscale_factor: Any) -> Any:
    return _shuffled(g, self, downscale_factor, up=False)


def _shuffled(g: Graph, x: Tensor, r: int, up: bool) -> Any:
    *lead, c, h, w = x.shape
    n = len(lead)
    if up:
        value = g.reshape(x, [*lead, c // (r * r), r, r, h, w])
        value = g.permute(value, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    else:
        value = g.reshape(x, [*lead, c, h // r, r, w // r, r])
        value = g.permute(value, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return g.reshape(value, g.out.shape)


@converter("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(g: Graph, self: Any, groups: Any) -> Any:
    n, c, *rest = self.shape
    value = g.reshape(self, [n, groups, c // groups, *rest])
    return g.reshape(g.permute(value, [0, 2, 1, *range(3, self.rank + 1)]), self.shape)


@converter("tril", "triu")
def triangle(g: Graph, self: Any, diagonal: Any) -> Any:
    return g.call(g.target.split(".")[1], self, k=diagonal)


@converter("meshgrid", "meshgrid.indexing")
def meshgrid(g: Graph, tensors: Any, indexing: Any = "ij") -> Any:
    rank, results = len(tensors), []
    order = list(range(rank))
    if indexing == "xy" and rank >= 2:
        order[0], order[1] = 1, 0
    for index, (tensor, out) in enumerate(zip(tensors, g.out)):
        shape = [1] * rank
        shape[order[index]] = out.shape[order[index]]
        results.append(g.call("broadcast_to", g.reshape(tensor, shape), sizes_text(out.shape)))
    return results


@converter("broadcast_tensors")
def broadcast_tensors(g: Graph, tensors: Any) -> Any:
    return [g.broadcast(tensor, out.shape) for tensor, out in zip(tensors, g.out)]


@converter("diagonal")
def diagonal(g: Graph, self: Any, offset: Any, dim1: Any, dim2: Any) -> Any:
    first, second = self.axis(dim1), self.axis(dim2)
    rows, columns = self.size(first, "diagonal"), self.size(second, "diagonal")
    axes = [axis for axis in range(self.rank) if axis not in (first, second)] + [first, second]
    length: Any = known(g.out.shape[-1])
    flat = g.reshape(g.permute(self, axes), [*[self.shape[axis] for axis in axes[:-2]], rows * columns])
    start = offset if offset >= 0 else -offset * columns
    places = torch.arange(length) * (columns + 1) + start
    return g.call("take", flat, g.constant(places), axis=self.rank - 2)





