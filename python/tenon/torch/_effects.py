"""What is known before any input, and which operators change their operand."""

from __future__ import annotations

from typing import Any, Iterable

import torch
from torch.fx import Graph, Node

from ._sizes import known

#: Operators that ask a tensor for its shape and type only.
METADATA_ONLY = {
    f"aten.{name}" for name in (
        "zeros_like.default", "ones_like.default", "full_like.default", "empty_like.default", "new_zeros.default",
        "new_ones.default", "new_full.default", "new_empty.default")
}

#: Operators that may give back their operand although their declaration does not say so.
_MAY_ALIAS = {"aten.dropout.default", "aten.feature_dropout.default", "aten.type_as.default", "aten.meshgrid.default",
              "aten.meshgrid.indexing", "aten.broadcast_tensors.default", "aten.pad.default", "aten.einsum.default"}


def name_of(target: Any) -> str:
    """aten.relu.default; other functions as Python calls them."""
    return str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", str(target))


def tensors_of(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_of(item)


class Effects:
    """Which nodes have known contents, and whether changes in place can be followed without knowing about views.

    A change can be followed when nobody else sees the changed memory: no view of it, no input.
    """

    def __init__(self, graph: Graph, constants: set[Node]):
        """``constants`` are the inputs whose contents are known."""
        self._known = set(constants)
        self._group: dict[Node, Node] = {}
        self._shared: set[Node] = set()
        changed: list[Node] = []
        #: Whether anything is changed in place.
        self.mutates = False
        for node in graph.nodes:
            if node.op == "placeholder":
                self._shared.add(node)
                continue
            if node.op != "call_function":
                continue
            if self._is_computable(node):
                self._known.add(node)
            if self.is_in_place(node):
                self.mutates = True
                self._join(node, node.args[0])
                if node not in self._known:
                    changed.append(node)
            elif _is_view(node):
                for operand in node.all_input_nodes:
                    self._join(node, operand)
                self._shared.add(self._root(node))
        #: Whether the graph must be made free of changes in place first.
        self.needs_functionalization = any(self._root(node) in self._shared for node in changed)

    def is_known(self, node: Node) -> bool:
        return node in self._known

    def is_in_place(self, node: Node) -> bool:
        target = node.target
        return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable

    def _is_computable(self, node: Node) -> bool:
        target = node.target
        if not isinstance(target, torch._ops.OpOverload):
            return getattr(target, "__name__", "") == "getitem" and node.args[0] in self._known
        if torch.Tag.nondeterministic_seeded in target.tags or target.namespace != "aten":
            return False
        metas = list(tensors_of(node.meta.get("val")))
        if not metas or any(known(size) is None for meta in metas for size in meta.shape):
            return False
        only_shape = str(target) in METADATA_ONLY
        for operand in node.all_input_nodes:
            if operand in self._known:
                continue
            value = operand.meta.get("val")
            if isinstance(value, torch.SymInt) and known(value) is not None:
                continue
            if not (only_shape and isinstance(value, torch.Tensor) and all(known(s) is not None for s in value.shape)):
                return False
        return True

    # Groups of nodes that may share memory, as a forest.

    def _root(self, node: Node) -> Node:
        while self._group.get(node, node) is not node:
            node = self._group[node]
        return node

    def _join(self, a: Node, b: Node) -> None:
        first, second = self._root(a), self._root(b)
        if first is not second:
            self._group[first] = second
            if first in self._shared:
                self._shared.add(second)


def _is_view(node: Node) -> bool:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        # Parts of a list of views.
        return getattr(target, "__name__", "") == "getitem"
    if str(target) in _MAY_ALIAS:
        return True
    return any(result.alias_info is not None for result in target._schema.returns)
