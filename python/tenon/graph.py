"""Functions to read: what callbacks see of a match, and what backends see of a region."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Iterator

import numpy as np

from . import _dtypes
from ._attributes import Attributes
from ._lib import VALUE_LEAVES_BLOCK, ValueInfo, lib
from .errors import InvalidStateError, check

KINDS = {
    1: "parameter", 2: "constant", 3: "literal", 4: "call", 5: "function_call", 6: "local_call", 7: "external_call",
    8: "tuple", 9: "tuple_get_item", 10: "alias", 11: "match_cast", 12: "function", 13: "conditional", 14: "variable",
}


class Graph:
    """A function to read, as long as the callback runs that it was handed to, or as long as its owner lives."""

    def __init__(self, address: int, owner: Any = None):
        self._address: int | None = address
        self._owner = owner
        self._infos: dict[int, ValueInfo] = {}
        self._inner: list[Graph] = []

    def _end(self) -> None:
        """What the library lent is no longer there."""
        self._address = None
        self._infos.clear()
        for graph in self._inner:
            graph._end()

    @property
    def _handle(self) -> int:
        if self._address is None:
            raise InvalidStateError("the callback that this belongs to has returned")
        return self._address

    def _list(self, function: Any, *arguments: Any) -> list[Expr]:
        values = ctypes.POINTER(ctypes.c_uint32)()
        count = ctypes.c_size_t()
        check(function(self._handle, *arguments, ctypes.byref(values), ctypes.byref(count)))
        return [Expr(self, values[index]) for index in range(count.value)]

    def _info(self, number: int) -> ValueInfo:
        self._handle
        info = self._infos.get(number)
        if info is None:
            info = ValueInfo(struct_size=ctypes.sizeof(ValueInfo))
            check(lib.tenon_function_get_value(self._handle, number, ctypes.byref(info)))
            self._infos[number] = info
        return info

    @property
    def name(self) -> str:
        """The function's name in its module; empty for one inside another function and in matches."""
        return str(lib.tenon_function_name(self._handle).decode())

    @property
    def attributes(self) -> dict[str, Any]:
        """``Composite``, ``Codegen`` and whatever else the function carries."""
        out = ctypes.c_void_p()
        check(lib.tenon_function_get_attributes(self._handle, ctypes.byref(out)))
        return _read(out.value)

    @property
    def parameters(self) -> list[Expr]:
        return self._list(lib.tenon_function_get_parameters)

    @property
    def bindings(self) -> list[Expr]:
        """Everything that is bound, in program order."""
        return self._list(lib.tenon_function_get_bindings)

    @property
    def results(self) -> list[Expr]:
        """What is returned; the fields of a tuple one by one."""
        return self._list(lib.tenon_function_get_results)

    def __iter__(self) -> Iterator[Expr]:
        return iter(self.bindings)

    def __repr__(self) -> str:
        return "<tenon.Graph>" if self._address is None else f"<tenon.Graph {self.name}>"


class OwnedGraph(Graph):
    """One that lives as long as Python needs it."""

    def __init__(self, address: int):
        super().__init__(address)
        weakref.finalize(self, lib.tenon_function_release, address)


def _read(address: int | None) -> dict[str, Any]:
    """Attributes that the library keeps."""
    if not address:
        return {}
    borrowed = Attributes.__new__(Attributes)
    borrowed.address = address
    return borrowed.read()


class Expr:
    """A value of a function: a parameter, a literal, or what is bound to a name."""

    __slots__ = ("_graph", "_id")

    def __init__(self, graph: Graph, number: int):
        self._graph = graph
        self._id = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and self._graph is other._graph and self._id == other._id

    def __hash__(self) -> int:
        return hash((id(self._graph), self._id))

    @property
    def _seen(self) -> ValueInfo:
        return self._graph._info(self._id)

    @property
    def kind(self) -> str:
        """``call``, ``parameter``, ``constant``, ``literal``, ``tuple``, ``tuple_get_item`` and so on."""
        return KINDS.get(self._seen.kind, "unknown")

    @property
    def name(self) -> str:
        """As the text form suggests it; empty for literals."""
        return str(self._seen.name.decode())

    @property
    def op(self) -> str:
        """The operator or the function that is called (``nn.conv2d``); empty for what calls none."""
        return str(self._seen.callee.decode())

    @property
    def args(self) -> list[Expr]:
        """Arguments of a call, fields of a tuple, what an item is of."""
        info = self._seen
        return [Expr(self._graph, info.inputs[index]) for index in range(info.input_count)]

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of a call, defaults filled in."""
        return _read(self._seen.attributes)

    @property
    def type(self) -> str:
        """The type in the text form: ``f32[n,3,224,224]``."""
        return str(self._seen.type.decode())

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Sizes, None where symbolic; None when the rank is not known."""
        info = self._seen
        if info.rank < 0:
            return None
        return tuple(size if size >= 0 else None for size in info.shape[: info.rank])

    @property
    def dtype(self) -> Any:
        """The element type as NumPy knows it, ``"str"`` for texts; None when not known."""
        number = self._seen.dtype
        return None if number == 0 else "str" if number == 8 else _dtypes.to_numpy(number)

    @property
    def leaves_block(self) -> bool:
        """Whether what is bound is visible outside the dataflow block that binds it."""
        return bool(self._seen.flags & VALUE_LEAVES_BLOCK)

    @property
    def index(self) -> int:
        """Which item of a tuple."""
        return int(self._seen.index)

    @property
    def text(self) -> str:
        """A literal in the text form; empty for others."""
        return str(self._seen.text.decode())

    @property
    def data(self) -> np.ndarray | None:
        """The elements of a constant, a copy; None for others."""
        info = self._seen
        if info.kind != 2:
            return None
        dtype = self.dtype
        if dtype == "str":
            return None
        raw = ctypes.string_at(info.data, info.byte_count) if info.byte_count else b""
        return np.frombuffer(raw, dtype).reshape(info.shape[: info.rank]).copy()

    @property
    def users(self) -> list[Expr]:
        """Values whose bindings mention this one; in a match those of the block that is looked at."""
        return self._graph._list(lib.tenon_function_get_users, self._id)

    @property
    def callee(self) -> Graph:
        """The function that this is, or that it calls.

        Raises:
            NotFoundError: it is none and calls none, or the function is not known here.
        """
        out = ctypes.c_void_p()
        check(lib.tenon_function_get_callee(self._graph._handle, self._id, ctypes.byref(out)))
        graph = Graph(out.value or 0, self._graph)
        self._graph._inner.append(graph)
        return graph

    def __getitem__(self, index: int) -> Any:
        from . import op

        source: Any = self
        return op.current("an item of a value").tuple_get_item(source, index)

    def __iter__(self) -> Any:
        # Without this Python would try indices until one fails.
        raise TypeError("an Expr is not iterable")

    def _binary(self, operator: str, a: Any, b: Any) -> Any:
        from . import op

        return op.current(operator).call(operator, a, b)

    def __add__(self, other: Any) -> Any:
        return self._binary("add", self, other)

    def __sub__(self, other: Any) -> Any:
        return self._binary("subtract", self, other)

    def __mul__(self, other: Any) -> Any:
        return self._binary("multiply", self, other)

    def __truediv__(self, other: Any) -> Any:
        return self._binary("divide", self, other)

    def __matmul__(self, other: Any) -> Any:
        return self._binary("matmul", self, other)

    def __repr__(self) -> str:
        if self._graph._address is None:
            return "<tenon.Expr of a callback that has returned>"
        info = self._seen
        shown = self.op or self.text or self.kind
        return f"<tenon.Expr %{self.name} {shown}: {self.type}>" if info.name else f"<tenon.Expr {shown}: {self.type}>"
