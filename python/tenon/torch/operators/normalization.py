"""Normalisation."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from .._sizes import sizes_text
from . import converter


def _weights(g: Graph, weight: Any, bias: Any, shape: Any, dtype: torch.dtype) -> Any:
    """Scale and offset, with neutral ones where there are none, and the attributes that say so."""
    gamma = g.constant(torch.ones(shape, dtype=dtype)) if weight is None else g.as_type(weight, dtype)
    beta = g.constant(torch.zeros(shape, dtype=dtype)) if bias is None else g.as_type(bias, dtype)
    return gamma, beta, {"scale": weight is not None, "center": bias is not None}


def _batch_norm(g: Graph, x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, eps: float) -> Any:
    if mean is None and variance is None:
        return _batch_norm_of_batch(g, x, weight, bias, eps)
    if training or mean is None or variance is None:
        raise UnsupportedError("batch_norm in training mode changes its statistics; call eval() on the module first")
    channels = x.size(1, "batch_norm")
    gamma, beta, given = _weights(g, weight, bias, (channels,), mean.dtype)
    # Statistics in single precision beside data of a half type are computed with in single precision.
    data = g.as_type(x, mean.dtype)
    result = g.call("nn.batch_norm", data, gamma, beta, mean, variance, axis=1, epsilon=eps, **given)[0]
    return g.cast_value(result, mean.dtype, x.dtype)


@converter("batch_norm")
def batch_norm(g: Graph, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: Any, eps: Any) -> Any:
    return _batch_norm(g, input, weight, bias, running_mean, running_var, training, eps)


@converter("_native_batch_norm_legit_no_training", "native_batch_norm", "_batch_norm_no_update")
def native_batch_norm(
    g: Graph, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, eps: Any, training: Any = False,
) -> Any:
    return [_batch_norm(g, input, weight, bias, running_mean, running_var, training, eps), None, None]


@converter("_native_batch_norm_legit.no_stats")
def batch_norm_without_statistics(g: Graph, input: Any, weight: Any, bias: Any, training: Any, eps: Any) -> Any:
    return [_batch_norm_of_batch(g, input, weight, bias, eps), None, None]


def _batch_norm_of_batch(g: Graph, x: Tensor, weight: Any, bias: Any, eps: float) -> Any:
    """With the statistics of the batch, which leave no trace: standardised weights, what instance_norm is decomposed to."""
    channels = x.size(1, "batch_norm")
    gamma, beta, given = _weights(g, weight, bias, (channels,), x.dtype)
    mean, variance = (g.constant(torch.full((channels,), value, dtype=x.dtype)) for value in (0, 1))
    return g.call("nn.batch_norm", x, gamma, beta, mean, variance, axis=1, epsilon=eps, training=True, **given)[0]


def _layer_norm(g: Graph, x: Tensor, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    sizes = [x.size(axis, "layer_norm") for axis in range(x.rank - len(shape), x.rank)]
    gamma, beta, given = _weights(g, weight, bias, sizes, x.dtype)
    return g.call("nn.layer_norm", x, gamma, beta, axes=list(range(-len(sizes), 0)), epsilon=eps, **given)


@converter("layer_norm")
def layer_norm(g: Graph, input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: Any) -> Any:
    return _layer_norm(g, input, normalized_shape, weight, bias, eps)


@converter("native_layer_norm")
def native_layer_norm(g: Graph, input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: Any) -> Any:
    return [_layer_norm(g, input, normalized_shape, weight, bias, eps), None, None]


def _group_norm(g: Graph, x: Tensor, groups: int, weight: Any, bias: Any, eps: float) -> Any:
    channels = x.size(1, "group_norm")
    gamma, beta, given = _weights(g, weight, bias, (channels,), x.dtype)
    data = x.value if x.rank > 2 else g.call("expand_dims", x, axis=[2])
    result = g.call(
        "nn.group_norm", data, gamma, beta, num_groups=groups, channel_axis=1, axes=list(range(2, max(x.rank, 3))),
        epsilon=eps, **given)
    return result if x.rank > 2 else g.call("squeeze", result, axis=[2])


@converter("group_norm")
def group_norm(g: Graph, input: Any, num_groups: Any, weight: Any, bias: Any, eps: Any) -> Any:
    return _group_norm(g, input, num_groups, weight, bias, eps)


@converter("native_group_norm")
def native_group_norm(g: Graph, input: Any, weight: Any, bias: Any, group: Any, eps: Any, N: Any, C: Any, HxW: Any) -> Any:
    return [_group_norm(g, input, group, weight, bias, eps), None, None]


@converter("instance_norm")
def instance_norm(
    g: Graph, input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, use_input_stats: Any, eps: Any,
) -> Any:
    if not use_input_stats:
        return _batch_norm(g, input, weight, bias, running_mean, running_var, False, eps)
    channels = input.size(1, "instance_norm")
    gamma, beta, given = _weights(g, weight, bias, (channels,), input.dtype)
    return g.call(
        "nn.instance_norm", input, gamma, beta, channel_axis=1, axes=list(range(2, input.rank)), epsilon=eps, **given)


def _rms_norm(g: Graph, x: Tensor, shape: Any, weight: Any, eps: Any) -> Any:
    sizes = [x.size(axis, "rms_norm") for axis in range(x.rank - len(shape), x.rank)]
    gamma = g.constant(torch.ones(sizes, dtype=x.dtype)) if weight is None else g.as_type(weight, x.dtype)
    return g.call(
        "nn.rms_norm", x, gamma, axes=list(range(-len(sizes), 0)),
        epsilon=torch.finfo(x.dtype).eps if eps is None else eps)


@converter("rms_norm")
def rms_norm(g: Graph, input: Any, normalized_shape: Any, weight: Any, eps: Any) -> Any:
    return _rms_norm(g, input, normalized_shape, weight, eps)


@converter("_fused_rms_norm")
def fused_rms_norm(g: Graph, input: Any, normalized_shape: Any, weight: Any, eps: Any) -> Any:
    return [_rms_norm(g, input, normalized_shape, weight, eps), None]


@converter("linalg_vector_norm", "norm.ScalarOpt_dim", "norm.Scalar", "norm.ScalarOpt_dim_dtype")
def vector_norm(
    g: Graph, self: Any, ord: Any = None, p: Any = None, dim: Any = None, keepdim: Any = False, dtype: Any = None,
) -> Any:
    order = ord if ord is not None else p
    order = 2 if order is None else order
    x, axes = g.as_type(self, g.out.dtype), self.axes(dim)
    if not axes:
        return g.call("abs", x)
    names = {1: "l1_norm", 2: "l2_norm"}
    if order in names:
        return g.call(names[order], x, axis=axes, keepdims=keepdim)
    magnitude = g.call("abs", x)
    if math.isinf(order):
        return g.call("max" if order > 0 else "min", magnitude, axis=axes, keepdims=keepdim)
    if order == 0:
        other = g.call("not_equal", x, g.scalar(0, g.out.dtype))
        return g.call("sum", g.cast_value(other, torch.bool, g.out.dtype), axis=axes, keepdims=keepdim)
    total = g.call("sum", g.call("power", magnitude, g.scalar(order, g.out.dtype)), axis=axes, keepdims=keepdim)
    return g.call("power", total, g.scalar(1 / order, g.out.dtype))


@converter("cosine_similarity")
def cosine_similarity(g: Graph, x1: Any, x2: Any, dim: Any, eps: Any) -> Any:
    dtype = g.out.dtype
    shape = torch.functional.broadcast_shapes(x1.shape, x2.shape)  # type: ignore[no-untyped-call,unused-ignore]
    a, b = (g.call("broadcast_to", g.as_type(x, dtype), sizes_text(shape)) for x in (x1, x2))
    axis = [dim + len(shape) if dim < 0 else dim]
    norms = [g.call("maximum", g.call("l2_norm", x, axis=axis, keepdims=True), g.scalar(eps, dtype)) for x in (a, b)]
    product = g.call("multiply", g.call("divide", a, norms[0]), g.call("divide", b, norms[1]))
    return g.call("sum", product, axis=axis)
