"""The graph that converters of operators write to."""

from __future__ import annotations

import math
from typing import Any, Sequence

import torch

from .._dtypes import ElementType
from ..builder import Builder, Shape, Value
from ..errors import UnsupportedError
from ._constants import add_constant
from ._sizes import dtype_name, known, size_text, sizes_text


class Tensor:
    """A value together with what PyTorch knows about it: its shape, whose sizes may be symbols, and its type."""

    __slots__ = ("value", "meta")

    def __init__(self, value: Value, meta: torch.Tensor):
        self.value = value
        self.meta = meta

    @property
    def shape(self) -> torch.Size:
        return self.meta.shape

    @property
    def rank(self) -> int:
        return self.meta.dim()

    @property
    def dtype(self) -> torch.dtype:
        return self.meta.dtype

    def axis(self, dim: int) -> int:
        """A dimension counted from the front."""
        return dim + max(self.rank, 1) if dim < 0 else dim

    def axes(self, dims: Sequence[int] | int | None) -> list[int]:
        """Dimensions counted from the front; none given means all."""
        if dims is None or (not isinstance(dims, int) and len(dims) == 0):
            return list(range(self.rank))
        return [self.axis(dim) for dim in ([dims] if isinstance(dims, int) else dims)]

    def size(self, dim: int, why: str) -> int:
        """A size that must be a number."""
        size = known(self.shape[dim])
        if size is None:
            raise UnsupportedError(f"{why} needs a known size, found {self.shape[dim]}")
        return size


#: What converters take for a tensor of the graph.
Operand = Any


class Graph:
    """A builder, and what the converter at work has to know about its node."""

    def __init__(self, builder: Builder):
        self.builder = builder
        #: What PyTorch says about the result of the node at work: a fake tensor, or a list of such.
        self.out: Any = None
        #: The operator of that node: "aten.relu.default".
        self.target = ""
        #: Parameters and buffers by the values that stand for them.
        self.data: dict[int, torch.Tensor] = {}
        #: Matrices by the values of their transposes.
        self.transposed: dict[int, Value] = {}
        self._scalars: dict[tuple[float | int | bool | str, torch.dtype], Value] = {}

    # Operands

    def call(self, operator: str, *inputs: Operand, **attributes: Any) -> Value:
        """Adds the call of an operator. Inputs may be tensors of the graph, values, shapes (tuples) and lists."""
        return self.builder.call(operator, *[self.value(value) for value in inputs], **attributes)

    def value(self, operand: Operand) -> Any:
        if isinstance(operand, Tensor):
            return operand.value
        if isinstance(operand, list):
            return [self.value(item) for item in operand]
        if isinstance(operand, tuple):
            return Shape(operand)
        return operand

    def constant(self, tensor: torch.Tensor) -> Value:
        value = add_constant(self.builder, tensor)
        self.data[value._id] = tensor
        return value

    def data_of(self, operand: Operand) -> torch.Tensor | None:
        """The contents of a parameter, a buffer or another constant."""
        value = self.value(operand)
        return self.data.get(value._id) if isinstance(value, Value) else None

    def scalar(self, number: Any, dtype: torch.dtype) -> Value:
        """A number as a tensor without dimensions."""
        if isinstance(number, torch.SymInt):
            size = known(number)
            if size is None:
                shape = self.call("shape_to_tensor", self.builder.shape([size_text(number)]))
                return self.cast_value(self.call("reshape", shape, ()), torch.int64, dtype)
            number = size
        if not isinstance(number, (bool, int, float)):
            raise UnsupportedError(f"a number of {type(number).__name__} is not supported")
        # NaN differs from itself, and 0.0 from -0.0.
        key = (repr(number), dtype)
        if key not in self._scalars:
            self._scalars[key] = add_constant(self.builder, torch.tensor(number, dtype=dtype))
        return self._scalars[key]

    def as_type(self, operand: Operand, dtype: torch.dtype) -> Value:
        """A tensor or a number, converted where its type is another one."""
        if isinstance(operand, Tensor):
            return self.cast_value(operand.value, operand.dtype, dtype)
        return self.scalar(operand, dtype)

    def cast_value(self, value: Value, source: torch.dtype, dtype: torch.dtype) -> Value:
        if source == dtype:
            return value
        return self.builder.call("astype", value, dtype=element_type(dtype))

    # Common operations

    def reshape(self, operand: Operand, shape: Sequence[Any]) -> Value:
        return self.call("reshape", operand, sizes_text(shape))

    def reshape_to_out(self, operand: Tensor) -> Value:
        """The operand itself, where the shape stays."""
        if same_shape(operand.shape, self.out.shape):
            return operand.value
        return self.reshape(operand, self.out.shape)

    def broadcast(self, operand: Tensor, shape: Sequence[Any]) -> Value:
        if same_shape(operand.shape, shape):
            return operand.value
        return self.call("broadcast_to", operand, sizes_text(shape))

    def binary(self, operator: str, a: Operand, b: Operand, dtype: torch.dtype) -> Value:
        return self.call(operator, self.as_type(a, dtype), self.as_type(b, dtype))

    def scaled(self, value: Value, factor: Any, dtype: torch.dtype) -> Value:
        """The value times a number; itself for 1."""
        return value if factor == 1 else self.call("multiply", value, self.scalar(factor, dtype))

    def slice(self, operand: Operand, dim: int, begin: Any, end: Any, step: int = 1) -> Value:
        return self.call(
            "strided_slice", operand, (dim,), (size_text(begin),), (size_text(end),), (step,))

    def permute(self, operand: Operand, axes: Sequence[int]) -> Value:
        if list(axes) == list(range(len(axes))):
            same: Value = self.value(operand)
            return same
        return self.call("permute_dims", operand, axes=list(axes))

    def matmul(self, a: Operand, b: Operand) -> Value:
        """A product of matrices; with a transposed matrix on the right, a dense layer."""
        source = self.transposed.get(self.value(b)._id)
        return self.call("matmul", a, b) if source is None else self.call("nn.dense", a, source)


def element_type(dtype: torch.dtype) -> ElementType:
    return ElementType(dtype_name(dtype))


def same_shape(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether shapes are known to be equal; symbols are compared as expressions, which adds no guard."""
    return len(a) == len(b) and all(_same_size(x, y) for x, y in zip(a, b))


def _same_size(a: Any, b: Any) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return size_text(a) == size_text(b)


def finite(number: Any) -> bool:
    return number is not None and math.isfinite(number)
