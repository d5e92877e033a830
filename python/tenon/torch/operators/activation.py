"""Activations, softmax and what is the identity outside of training."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from .._sizes import sizes_text
from . import converter


def _plain(name: str, operator: str) -> None:
    @converter(name)
    def convert(g: Graph, self: Tensor) -> Any:
        return g.call(operator, self)


for _name, _operator in (("relu", "nn.relu"), ("relu6", "nn.relu6"), ("hardswish", "nn.hard_swish"), ("silu", "nn.silu"),
                         ("mish", "nn.mish"), ("selu", "nn.selu")):
    _plain(_name, _operator)


@converter("gelu")
def gelu(g: Graph, self: Any, approximate: Any) -> Any:
    return g.call("nn.gelu_tanh" if approximate == "tanh" else "nn.gelu", self)


@converter("hardsigmoid")
def hardsigmoid(g: Graph, self: Any) -> Any:
    return g.call("nn.hard_sigmoid", self, alpha=1 / 6, beta=0.5)


@converter("leaky_relu")
def leaky_relu(g: Graph, self: Any, negative_slope: Any) -> Any:
    return g.call("nn.leakyrelu", self, alpha=float(negative_slope))


@converter("elu")
def elu(g: Graph, self: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    if scale == 1 and input_scale == 1:
        return g.call("nn.elu", self, alpha=float(alpha))
    # max(0, x) scale + min(0, alpha (exp(x input_scale) - 1)) scale
    dtype, zero = self.dtype, g.scalar(0, self.dtype)
    grown = g.call("exp", g.scaled(self.value, input_scale, dtype))
    below = g.scaled(g.call("subtract", grown, g.scalar(1, dtype)), alpha, dtype)
    positive = g.call("greater", self, zero)
    return g.scaled(g.call("where", positive, self, below), scale, dtype)


@converter("celu")
def celu(g: Graph, self: Any, alpha: Any) -> Any:
    return g.call("nn.celu", self, alpha=float(alpha))


@converter("softplus")
def softplus(g: Graph, self: Any, beta: Any, threshold: Any) -> Any:
    return g.call("nn.softplus", self, beta=float(beta), threshold=float(threshold))


@converter("log_sigmoid")
def log_sigmoid(g: Graph, self: Any) -> Any:
    return g.call("negative", g.call("nn.softplus", g.call("negative", self), threshold=1e30))


@converter("log_sigmoid_forward")
def log_sigmoid_forward(g: Graph, self: Any) -> Any:
    return [log_sigmoid(g, self), None]


@converter("softsign")
def softsign(g: Graph, self: Any) -> Any:
    return g.call("nn.softsign", self)


@converter("softshrink", "hardshrink")
def shrink(g: Graph, self: Any, lambd: Any) -> Any:
    bias = float(lambd) if g.target.endswith("softshrink.default") else 0.0
    # PyTorch keeps NaN, ONNX's operator does not.
    inside = g.call("less_equal", g.call("abs", self), g.scalar(lambd, self.dtype))
    if not bias:
        return g.call("where", inside, g.scalar(0.0, self.dtype), self)
    shrunk = g.call("nn.shrink", self, lambd=float(lambd), bias=bias)
    return g.call("where", g.call("isnan", self), self, shrunk)


@converter("threshold")
def threshold(g: Graph, self: Any, threshold: Any, value: Any) -> Any:
    dtype = self.dtype
    kept = g.call("less_equal", self, g.scalar(threshold, dtype))
    return g.call("where", kept, g.scalar(value, dtype), self)


@converter("prelu", "_prelu_kernel")
def prelu(g: Graph, self: Any, weight: Any) -> Any:
    slope = weight.value
    if weight.rank == 1 and self.rank > 1:
        slope = g.reshape(slope, (1, weight.shape[0], *[1] * (self.rank - 2)))
    return g.call("nn.prelu", self, slope)


@converter("glu")
def glu(g: Graph, self: Any, dim: Any) -> Any:
    axis = self.axis(dim)
    half = self.shape[axis] // 2
    value, gate = g.slice(self, axis, 0, half), g.slice(self, axis, half, self.shape[axis])
    return g.call("multiply", value, g.call("sigmoid", gate))


def _softmax(g: Graph, operator: str, x: Tensor, dim: int) -> Any:
    if x.rank == 0:
        return g.reshape(g.call(operator, g.reshape(g.as_type(x, g.out.dtype), (1,)), axis=0), ())
    return g.call(operator, g.as_type(x, g.out.dtype), axis=x.axis(dim))


@converter("softmax.int", "_softmax", "_safe_softmax")
def softmax(g: Graph, self: Any, dim: Any, dtype: Any = None, half_to_float: Any = False) -> Any:
    return _softmax(g, "nn.softmax", self, dim)


@converter("log_softmax.int", "_log_softmax")
def log_softmax(g: Graph, self: Any, dim: Any, dtype: Any = None, half_to_float: Any = False) -> Any:
    return _softmax(g, "nn.log_softmax", self, dim)


def _untrained(train: bool, p: float) -> None:
    if train and p > 0:
        raise UnsupportedError("dropout in training mode draws random numbers; call eval() on the module first")


@converter("dropout", "feature_dropout", "alpha_dropout")
def dropout(g: Graph, p: Any, train: Any, input: Any = None, self: Any = None) -> Any:
    _untrained(train, p)
    # The form in place calls its operand differently.
    return (input if self is None else self).value


@converter("native_dropout")
def native_dropout(g: Graph, input: Any, p: Any, train: Any) -> Any:
    _untrained(train is not False, p)
    ones = g.call("broadcast_to", g.scalar(True, torch.bool), sizes_text(input.shape))
    return [input.value, ones]


@converter("rrelu")
def rrelu(g: Graph, self: Any, lower: Any, upper: Any, training: Any) -> Any:
    if training:
        raise UnsupportedError("rrelu in training mode draws random numbers; call eval() on the module first")
    return g.call("nn.leakyrelu", self, alpha=(lower + upper) / 2)
