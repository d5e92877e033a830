"""From a graph of ATen operators to calls in a builder."""

from __future__ import annotations

import operator
import re
from typing import Any, NamedTuple

import torch
from torch.fx import Node

from ..builder import Value
from ..errors import TenonError, UnsupportedError
from ._constants import check_readable
from ._effects import Effects, name_of, tensors_of
from ._graph import Graph, Tensor
from ._sizes import known
from .operators import CONVERTERS

#: What only checks, and holds already in the graph that the exporter made.
_CHECKS = {
    "aten._assert_tensor_metadata.default", "aten._assert_scalar.default", "aten._assert_async.msg",
    "aten.sym_constrain_range.default", "aten.sym_constrain_range_for_size.default", "aten._assert_async.default",
}


class Refused(NamedTuple):
    """An operator that was not converted, and why."""

    node: Node
    reason: str

    @property
    def operator(self) -> str:
        return name_of(self.node.target)

    @property
    def source(self) -> str:
        """The line of Python that called it, as far as PyTorch recorded it."""
        lines = (self.node.meta.get("stack_trace") or "").strip().splitlines()
        for index in range(len(lines) - 1, -1, -1):
            found = re.match(r'\s*File "(.*)", line (\d+), in ', lines[index])
            if found:
                code = lines[index + 1].strip() if index + 1 < len(lines) else ""
                return f"{found[1]}:{found[2]}{': ' if code else ''}{code}"
        return ""


def refusal(refused: list[Refused]) -> UnsupportedError:
    """One exception that lists all that was refused, each once per line of Python."""
    lines: dict[str, None] = {}
    for item in refused:
        source = item.source
        lines[f"{item.operator}: {item.reason}" + (f" ({source})" if source else "")] = None
    head = "1 operator is" if len(lines) == 1 else f"{len(lines)} operators are"
    return UnsupportedError("\n  ".join([f"{head} not supported:", *lines]), operator=refused[0].operator)


def _symbols(size: torch.SymInt) -> set[Any]:
    symbols: set[Any] = size.node.expr.free_symbols
    return symbols


class _Missing:
    """A value that could not be made."""


_MISSING = _Missing()


class Importer:
    """Walks a graph once. Values are tensors of the graph, PyTorch's own tensors (known contents), sizes, or lists."""

    def __init__(self, graph: Graph, effects: Effects):
        self.graph = graph
        self.refused: list[Refused] = []
        self._effects = effects
        self._values: dict[Node, Any] = {}
        self._parameters: dict[tuple[Any, ...], Value] = {}
        #: Symbols that are sizes of inputs; None when the graph has no symbols at all.
        self._symbols: set[Any] | None = None

    # Inputs

    def bind_input(self, node: Node, name: str, type: str) -> None:
        meta = node.meta["val"]
        self._values[node] = Tensor(self.graph.builder.parameter(name, type), meta)
        for size in meta.shape:
            if isinstance(size, torch.SymInt):
                self._symbols = (self._symbols or set()) | _symbols(size)

    def bind_known(self, node: Node, value: Any) -> None:
        """A number, or a tensor that the model made itself: computed with while importing."""
        if isinstance(value, torch.Tensor) and self._effects.mutates:
            value = value.clone()
        if isinstance(value, torch.SymInt):
            self._symbols = self._symbols or set()
        self._values[node] = value

    def bind_parameter(self, node: Node, data: torch.Tensor, name: str) -> None:
        """A parameter or a buffer, added once however many names it has. Those that nothing uses are left out."""
        if not node.users:
            return
        check_readable(data, name)
        # The memory of an empty tensor tells nothing.
        key = (data.data_ptr(), data.dtype, tuple(data.shape), data.stride()) if data.numel() else (name,)
        if key not in self._parameters:
            self._parameters[key] = self.graph.constant(data)
        self._values[node] = Tensor(self._parameters[key], data)

    # Nodes

    def run(self, node: Node) -> None:
        """Converts one call, or notes why not."""
        self._values[node] = _MISSING
        if name_of(node.target) in _CHECKS:
            return
        # Texts and pictures call values what the exported program calls them.
        self.graph.builder._hint = node.name
        try:
            value = self._convert(node)
        except TenonError as error:
            self.refused.append(Refused(node, str(error).replace("\n", " ")))
            return
        except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
            # Arguments of a kind that the converter does not know, as sizes that depend on data.
            reason = str(error).splitlines()[0] if str(error) else ""
            self.refused.append(Refused(node, f"{type(error).__name__}: {reason}"))
            return
        self._values[node] = value
        if self._effects.is_in_place(node) and not self._effects.is_known(node):
            # Who reads the changed tensor from here on reads the result.
            changed: Any = node.args[0]
            self._values[changed] = value

    def result(self, node: Any) -> Value | None:
        """The value of a tensor that leaves the graph; None when its operator was refused."""
        value = self._values[node]
        if isinstance(value, torch.Tensor):
            value = self._wrapped(value)
        if value is None:
            self.refused.append(Refused(node, "this result is not computed"))
        return value.value if isinstance(value, Tensor) else None

    def _convert(self, node: Node) -> Any:
        target = node.target
        if target is operator.getitem:
            return self._item(node)
        if any(self._values[argument] is _MISSING for argument in node.all_input_nodes):
            # Its operand was refused; one reason is enough.
            return _MISSING
        if any(self._values[argument] is None for argument in node.all_input_nodes):
            raise UnsupportedError("it uses a result that is not computed")
        if not isinstance(target, torch._ops.OpOverload):
            return self._size(node)
        if self._effects.is_known(node):
            return self._evaluated(node)
        if isinstance(node.meta.get("val"), (torch.SymInt, torch.SymBool, torch.SymFloat, int, float, bool)):
            return node.meta["val"]
        name = name_of(target)
        if self._effects.is_in_place(node):
            name = re.sub(r"_(\.\w+)$", r"\1", name)
        convert = CONVERTERS.get(name)
        if convert is None:
            raise UnsupportedError("there is no operator to convert it to")
        if self._symbols is not None:
            self._check_sizes(node)
        graph = self.graph
        graph.out = node.meta["val"]
        graph.target = name
        args, kwargs = self._arguments(node, self._operand)
        return self._typed(convert(graph, target, args, kwargs), graph.out)

    def _check_sizes(self, node: Node) -> None:
        """A run learns sizes from its inputs only."""
        sizes = [self._values[argument] for argument in node.all_input_nodes]
        sizes += [size for meta in tensors_of(node.meta["val"]) for size in meta.shape]
        for size in sizes:
            if isinstance(size, torch.SymInt) and not _symbols(size) <= (self._symbols or set()):
                raise UnsupportedError(f"the size {size} is the size of no input")

    def _item(self, node: Node) -> Any:
        of: Any = node.args[0]
        container = self._values[of]
        return _MISSING if container is _MISSING else container[node.args[1]]

    def _size(self, node: Node) -> Any:
        value = node.meta.get("val")
        if isinstance(value, (int, float, bool, torch.SymInt, torch.SymBool, torch.SymFloat)):
            return value
        raise UnsupportedError("a call of Python, not of an operator")

    def _typed(self, value: Any, meta: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [None if item is None else Tensor(item, of) for item, of in zip(value, meta)]
        return Tensor(value, meta)

    # Arguments

    def _arguments(self, node: Node, convert: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(convert(argument) for argument in node.args), {
            name: convert(argument) for name, argument in node.kwargs.items()}

    def _operand(self, argument: Any) -> Any:
        if isinstance(argument, Node):
            value = self._values[argument]
            if isinstance(value, torch.Tensor):
                value = self._values[argument] = self._wrapped(value) if not self._effects.mutates else value
                return value if isinstance(value, Tensor) else self._wrapped(value.clone())
            return [self._wrapped(item) if isinstance(item, torch.Tensor) else item for item in value] if isinstance(
                value, list) else value
        if isinstance(argument, (list, tuple)):
            return [self._operand(item) for item in argument]
        return argument

    def _wrapped(self, tensor: torch.Tensor) -> Tensor:
        return Tensor(self.graph.constant(tensor), tensor)

    # Known contents

    def _evaluated(self, node: Node) -> Any:
        """The result as PyTorch computes it, for nodes of which everything is known."""
        args, kwargs = self._arguments(node, self._content)
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        function: Any = node.target
        with torch.no_grad():
            return function(*args, **kwargs)

    def _content(self, argument: Any) -> Any:
        if isinstance(argument, Node):
            value = self._values[argument]
            if isinstance(value, Tensor):
                data = self.graph.data.get(value.value._id)
                if data is not None:
                    return data
                # Only its shape and type are asked for.
                sizes: Any = [known(size) for size in value.shape]
                return torch.empty((), dtype=value.dtype).expand(*sizes)
            return known(value) if isinstance(value, torch.SymInt) else value
        if isinstance(argument, (list, tuple)):
            return [self._content(item) for item in argument]
        return argument
