"""Reductions."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from . import converter


def _reduced(g: Graph, operator: str, x: Tensor, dim: Any, keepdim: bool, dtype: torch.dtype) -> Any:
    value = g.as_type(x, dtype)
    if x.rank == 0:
        # Nothing to reduce; over one element all of these are the element itself.
        return value
    return g.call(operator, value, axis=x.axes(dim), keepdims=bool(keepdim))


def _register(operator: str, *names: str) -> None:
    @converter(*names)
    def convert(g: Graph, self: Any, dim: Any = None, keepdim: Any = False, dtype: Any = None) -> Any:
        return _reduced(g, operator, self, dim, keepdim, g.out.dtype)


_register("sum", "sum", "sum.dim_IntList")
_register("mean", "mean", "mean.dim")
_register("max", "amax", "max")
_register("min", "amin", "min")
_register("prod", "prod", "prod.dim_int")
_register("log_sum_exp", "logsumexp")
_register("all", "all", "all.dim", "all.dims")
_register("any", "any", "any.dim", "any.dims")


def _with_position(name: str, operator: str, position: str) -> None:
    @converter(name)
    def convert(g: Graph, self: Any, dim: Any, keepdim: Any) -> Any:
        axis = self.axis(dim)
        return [g.call(operator, self, axis=[axis], keepdims=keepdim),
                g.call(position, self, axis=axis, keepdims=keepdim)]


_with_position("max.dim", "max", "argmax")
_with_position("min.dim", "min", "argmin")


@converter("argmax", "argmin")
def argmax(g: Graph, self: Any, dim: Any, keepdim: Any) -> Any:
    operator = g.target.split(".")[1]
    if dim is None:
        result = g.call(operator, g.call("flatten", self), axis=0)
        return g.reshape(result, g.out.shape) if keepdim else result
    return g.call(operator, self, axis=self.axis(dim), keepdims=keepdim)


@converter("cumsum", "cumprod")
def cumulative(g: Graph, self: Any, dim: Any, dtype: Any = None) -> Any:
    value = g.as_type(self, g.out.dtype)
    return value if self.rank == 0 else g.call(g.target.split(".")[1], value, axis=self.axis(dim))


@converter("count_nonzero", "count_nonzero.dim_IntList")
def count_nonzero(g: Graph, self: Any, dim: Any = None) -> Any:
    other = g.cast_value(g.as_type(self, torch.bool), torch.bool, torch.int64)
    return g.call("sum", other, axis=self.axes(dim))


def _spread(g: Graph, x: Tensor, dim: Any, keepdim: bool, correction: Any, operator: str) -> Any:
    """Variance or standard deviation over count - correction elements."""
    dtype, axes = x.dtype, x.axes(dim)
    correction = 1 if correction is None else correction
    variance = g.call("variance", x, axis=axes, keepdims=keepdim)
    if correction != 0:
        count = 1
        for axis in axes:
            count = count * x.size(axis, operator)
        rest = max(count - correction, 0)
        factor = count / rest if rest else float("inf")
        variance = g.scaled(variance, factor, dtype)
    return variance if operator == "var" else g.call("sqrt", variance)


def _register_spread(operator: str) -> None:
    @converter(f"{operator}.correction")
    def with_correction(g: Graph, self: Any, dim: Any, correction: Any, keepdim: Any) -> Any:
        return _spread(g, self, dim, keepdim, correction, operator)

    @converter(f"{operator}.dim", operator)
    def unbiased_or_not(g: Graph, self: Any, unbiased: Any, dim: Any = None, keepdim: Any = False) -> Any:
        return _spread(g, self, dim, keepdim, 1 if unbiased else 0, operator)

    @converter(f"{operator}_mean.correction")
    def with_mean(g: Graph, self: Any, dim: Any, correction: Any, keepdim: Any) -> Any:
        mean = g.call("mean", self, axis=self.axes(dim), keepdims=keepdim)
        return [_spread(g, self, dim, keepdim, correction, operator), mean]

    @converter(f"{operator}_mean.dim", f"{operator}_mean")
    def unbiased_with_mean(g: Graph, self: Any, unbiased: Any, dim: Any = None, keepdim: Any = False) -> Any:
        mean = g.call("mean", self, axis=self.axes(dim), keepdims=keepdim)
        return [_spread(g, self, dim, keepdim, 1 if unbiased else 0, operator), mean]


_register_spread("var")
_register_spread("std")


@converter("nonzero", "masked_select", "unique_consecutive", "_unique2")
def data_dependent(g: Graph, self: Any) -> Any:
    raise UnsupportedError("the shape of the result depends on data")
