"""Convolutions. The bias is added as PyTorch's exporters leave it: conv2d, reshape(bias), add."""

from __future__ import annotations

from typing import Any, Sequence

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from . import converter


def _pair(value: Any, rank: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def _convolution(
    g: Graph, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int,
    transposed: bool = False, output_padding: Any = 0,
) -> Any:
    rank = weight.rank - 2
    if rank not in (1, 2, 3):
        raise UnsupportedError(f"a convolution whose weight has {weight.rank} dimensions, expected 3 to 5")
    stride, dilation = _pair(stride, rank), _pair(dilation, rank)
    if isinstance(padding, str):
        before, after = _named_padding(padding, weight, dilation)
    else:
        before = after = _pair(padding, rank)
    unbatched = x.rank == weight.rank - 1
    data = g.call("expand_dims", x, axis=[0]) if unbatched else x.value
    attributes: dict[str, Any] = {
        "strides": stride, "padding": [*before, *after], "dilation": dilation, "groups": groups}
    if transposed:
        attributes["output_padding"] = _pair(output_padding, rank)
    result = g.call(f"nn.conv{rank}d{'_transpose' if transposed else ''}", data, weight, **attributes)
    if bias is not None:
        result = g.call("add", result, g.reshape(bias, (1, bias.shape[0], *[1] * rank)))
    return g.call("squeeze", result, axis=[0]) if unbatched else result


def _named_padding(name: str, weight: Tensor, dilation: Sequence[int]) -> tuple[list[int], list[int]]:
    if name == "valid":
        return [0] * len(dilation), [0] * len(dilation)
    if name != "same":
        raise UnsupportedError(f"padding '{name}' is not supported")
    totals = [step * (weight.size(axis + 2, "padding 'same'") - 1) for axis, step in enumerate(dilation)]
    before = [total // 2 for total in totals]
    return before, [total - half for total, half in zip(totals, before)]


@converter("conv1d", "conv2d", "conv3d", "conv1d.padding", "conv2d.padding", "conv3d.padding")
def conv(g: Graph, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    return _convolution(g, input, weight, bias, stride, padding, dilation, groups)


@converter("conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input")
def conv_transpose(
    g: Graph, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: Any,
    dilation: Any,
) -> Any:
    return _convolution(g, input, weight, bias, stride, padding, dilation, groups, True, output_padding)


@converter("convolution")
def convolution(
    g: Graph, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: Any,
    output_padding: Any, groups: Any,
) -> Any:
    return _convolution(g, input, weight, bias, stride, padding, dilation, groups, transposed, output_padding)
