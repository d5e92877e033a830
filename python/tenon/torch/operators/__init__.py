"""Converters of ATen operators, one file per family.

A converter takes the graph and the arguments of the operator that it names, and returns the value of the result, or a list
of values for several results; None stands for a result that nothing here computes.
"""

from __future__ import annotations

from typing import Any, Callable

from ...errors import UnsupportedError

#: Converters by the name of the overload: "aten.relu.default".
CONVERTERS: dict[str, Callable[..., Any]] = {}

#: Arguments that say where and how memory is laid out, or what only training needs.
_WITHOUT_MEANING = {
    "layout", "device", "pin_memory", "memory_format", "non_blocking", "copy", "generator", "cudnn_enabled", "momentum",
    "implicit", "cudnn_enable", "padding_idx", "scale_grad_by_freq", "sparse", "sparse_grad",
}


def converter(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function for overloads; ``aten.`` in front and ``.default`` behind are left out."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        code = function.__code__
        parameters = code.co_varnames[1:code.co_argcount]
        for name in names:
            full = f"aten.{name}" if "." in name else f"aten.{name}.default"
            CONVERTERS[full] = _bound(function, parameters)
        return function

    return register


def _bound(function: Callable[..., Any], parameters: tuple[str, ...]) -> Callable[..., Any]:
    """The converter, called with the arguments that its parameters name."""

    def convert(graph: Any, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = {}
        for position, argument in enumerate(target._schema.arguments):
            name = argument.name
            if position < len(args):
                value = args[position]
            elif name in kwargs:
                value = kwargs[name]
            elif name in parameters:
                value = argument.default_value
            else:
                continue
            if name in parameters:
                given[name] = value
            elif name not in _WITHOUT_MEANING and value != argument.default_value:
                raise UnsupportedError(f"argument '{name}' = {value!r} is not supported")
        return function(graph, **given)

    return convert


from . import (  # noqa: E402  (they register themselves)
    activation, arithmetic, attention, convolution, creation, image, indexing, linear, movement, normalization, pooling,
    recurrent, reduction,
)

__all__ = ["CONVERTERS", "converter"]
del (activation, arithmetic, attention, convolution, creation, image, indexing, linear, movement, normalization, pooling,
     recurrent, reduction)
