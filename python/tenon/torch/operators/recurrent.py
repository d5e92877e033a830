"""Recurrent layers whose weights are parameters."""

from __future__ import annotations

from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from .._sizes import sizes_text
from . import converter

#: Where the gates of the library stand among PyTorch's: lstm i, o, f, c of i, f, g, o; gru z, r, n of r, z, n.
_GATES = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}


def _ordered(weights: torch.Tensor, kind: str) -> torch.Tensor:
    parts = weights.chunk(len(_GATES[kind]))
    return torch.cat([parts[gate] for gate in _GATES[kind]])


def _weights(g: Graph, kind: str, params: list[Tensor], biased: bool) -> Any:
    data = [_ordered(tensor.detach(), kind) for tensor in map(g.data_of, params) if tensor is not None]
    if len(data) < len(params):
        raise UnsupportedError(f"{kind} expects parameters as weights")
    hidden = data[1].shape[1]
    zeros = torch.zeros(len(data[0]), dtype=data[0].dtype)
    biases = torch.cat(data[2:4] if biased else [zeros, zeros])
    return data[0], data[1], biases, hidden


def _layers(g: Graph, kind: str, x: Tensor, states: list[Tensor], params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
            bidirectional: Any, batch_first: Any, **attributes: Any) -> Any:
    """Layer after layer on [seq, batch, features]; the last states in the order of PyTorch."""
    if x.rank != 3:
        raise UnsupportedError(f"{kind} of a tensor of {x.rank} dimensions, expected 3")
    if train and dropout > 0 and num_layers > 1:
        raise UnsupportedError("dropout in training mode draws random numbers; call eval() on the module first")
    directions, per_cell = 2 if bidirectional else 1, 4 if has_biases else 2
    if len(params) != per_cell * directions * num_layers:
        raise UnsupportedError(f"{kind} with a projection")
    value = g.permute(x, [1, 0, 2]) if batch_first else x.value
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
    last: list[list[Any]] = [[] for _ in states]
    for layer in range(num_layers):
        cells = [_weights(g, kind, params[start:start + per_cell], has_biases) for start in (
            (layer * directions + direction) * per_cell for direction in range(directions))]
        weight, recurrence, bias = (g.constant(torch.stack([cell[part] for cell in cells])) for part in range(3))
        hidden = cells[0][3]
        initial = [g.slice(state, 0, layer * directions, (layer + 1) * directions) for state in states]
        more = []
        if kind == "lstm":
            more = [g.constant(torch.zeros(directions, 3 * hidden, dtype=x.dtype))]
        result = g.call(
            f"nn.{kind}", value, weight, recurrence, bias, *initial, *more,
            direction="bidirectional" if bidirectional else "forward", **attributes)
        for index, states_of_layers in enumerate(last):
            states_of_layers.append(result[index + 1])
        # [seq, directions, batch, hidden] becomes [seq, batch, directions * hidden].
        value = g.call(
            "reshape", g.permute(result[0], [0, 2, 1, 3]), sizes_text([steps, batch, directions * hidden]))
    if batch_first:
        value = g.permute(value, [1, 0, 2])
    return [value, *[layers[0] if num_layers == 1 else g.call("concat", layers, axis=0) for layers in last]]


@converter("lstm.input")
def lstm(
    g: Graph, input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
    bidirectional: Any, batch_first: Any,
) -> Any:
    both = ["sigmoid", "tanh", "tanh"] * (2 if bidirectional else 1)
    return _layers(
        g, "lstm", input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, activations=both)


@converter("gru.input")
def gru(
    g: Graph, input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
    bidirectional: Any, batch_first: Any,
) -> Any:
    both = ["sigmoid", "tanh"] * (2 if bidirectional else 1)
    return _layers(
        g, "gru", input, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
        activations=both, linear_before_reset=True)


@converter("rnn_tanh.input", "rnn_relu.input")
def rnn(
    g: Graph, input: Any, hx: Any, params: Any, has_biases: Any, num_layers: Any, dropout: Any, train: Any,
    bidirectional: Any, batch_first: Any,
) -> Any:
    name = "relu" if "relu" in g.target else "tanh"
    return _layers(
        g, "rnn", input, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
        activations=[name] * (2 if bidirectional else 1))
