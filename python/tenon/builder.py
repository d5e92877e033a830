"""Building graphs call by call."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any, Mapping, Sequence

import numpy as np

from . import _dtypes
from ._attributes import Attributes
from ._handle import Handle, integers, new, text
from ._lib import ReleaseFunction, Tensor, lib
from ._tensors import fill
from ._names import did_you_mean
from .errors import InvalidArgumentError, InvalidTypeError, NotFoundError, check
from .module import Module, operators


class Value:
    """A parameter, a constant or the result of a call, in the builder that made it."""

    __slots__ = ("_builder", "_id")

    def __init__(self, builder: Builder, id: int):
        self._builder = builder
        self._id = id

    @property
    def type(self) -> str:
        """The type in the text form: ``f32[n,3,224,224]``."""
        return text(lib.tenon_builder_get_type, self._builder._handle, self._id)

    def __getitem__(self, index: int) -> Value:
        """Item ``index`` of a tuple."""
        return self._builder.tuple_get_item(self, index)

    def __iter__(self) -> Any:
        # Without this Python would try indices until one fails.
        raise TypeError("a Value is not iterable")

    def _beside(self, other: Any) -> Any:
        """A number as a constant of this value's element type."""
        if not isinstance(other, (int, float)):
            return other
        return self._builder.constant(np.array(other), self.type.partition("[")[0])

    def __add__(self, other: Any) -> Value:
        return self._builder.call("add", self, self._beside(other))

    def __sub__(self, other: Any) -> Value:
        return self._builder.call("subtract", self, self._beside(other))

    def __mul__(self, other: Any) -> Value:
        return self._builder.call("multiply", self, self._beside(other))

    def __truediv__(self, other: Any) -> Value:
        return self._builder.call("divide", self, self._beside(other))

    def __matmul__(self, other: Any) -> Value:
        return self._builder.call("matmul", self, other)

    def __repr__(self) -> str:
        return f"<tenon.Value {self.type}>"


class Shape(tuple[Any, ...]):
    """A shape literal, as ``reshape`` takes one; entries may be texts for symbolic sizes (``"n"``)."""


# Arrays (or other owners of memory) that modules borrow, until the library says that nobody needs them any more.
_borrowed: dict[int, Any] = {}
_tickets = itertools.count(1)


def _drop(ticket: int) -> None:
    _borrowed.pop(ticket, None)


_give_back = ReleaseFunction(_drop)


def borrow(builder: Builder, tensor: Tensor, owner: Any) -> Value:
    """Adds a dense tensor as a constant without a copy, and keeps ``owner``, whose memory it is, for as long."""
    ticket = next(_tickets)
    _borrowed[ticket] = owner
    try:
        return builder._new(
            lib.tenon_builder_add_borrowed_constant, ctypes.byref(tensor), _give_back, ctypes.c_void_p(ticket))
    except BaseException:
        _borrowed.pop(ticket, None)
        raise


#: Constants from so many bytes on stay in the caller's memory.
_BORROWED_BYTES = 1 << 16


class Builder(Handle):
    """Builds one function; each call is checked and typed when it is added.

    >>> import numpy as np, tenon
    >>> b = tenon.Builder()
    >>> x = b.parameter("x", (1, 3, 8, 8))
    >>> w = b.constant(np.zeros((4, 3, 3, 3), np.float32))
    >>> y = b.call("nn.conv2d", x, w, padding=[1, 1, 1, 1])
    >>> y.type
    'f32[1,4,8,8]'
    >>> module = b.finish(b.call("nn.relu", y))
    >>> list(module.functions)
    ['main']
    """

    _release = "tenon_builder_release"
    #: What results are called that are given no name.
    _hint: str | None = None

    def __init__(self) -> None:
        super().__init__(new(lib.tenon_builder_create))

    def _new(self, function: Any, *arguments: Any) -> Value:
        out = ctypes.c_uint32()
        check(function(self._handle, *arguments, ctypes.byref(out)))
        return Value(self, out.value)

    def parameter(self, name: str, shape: Sequence[int | str] | str, dtype: Any = "f32") -> Value:
        """Adds a tensor parameter.

        Args:
            shape: sizes; texts are symbolic (``("n", 3)``). Or a whole type in the text form (``"(f32[2], i64[])"``).
            dtype: an element type by name, or as NumPy knows it; unused when ``shape`` is a type.
        """
        if not isinstance(shape, str):
            element = _dtypes.NAMES[_dtypes.number(dtype)]
            shape = f"{element}[{','.join(str(size) for size in shape)}]"
        return self._new(lib.tenon_builder_add_typed_parameter, name.encode(), shape.encode())

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """Adds a tensor of known contents. Large arrays are borrowed, not copied: they must not change afterwards."""
        if hasattr(array, "__dlpack__") and not isinstance(array, np.ndarray):
            array = np.from_dlpack(array)
        if dtype is not None:
            dtype = _dtypes.to_numpy(_dtypes.number(dtype))
        array = np.ascontiguousarray(array, dtype).reshape(np.shape(array))
        tensor = Tensor(struct_size=ctypes.sizeof(Tensor))
        keep = fill(tensor, array)
        if array.nbytes < _BORROWED_BYTES:
            return self._new(lib.tenon_builder_add_constant, ctypes.byref(tensor))
        value = borrow(self, tensor, array)
        del keep
        return value

    def shape(self, sizes: Sequence[int | str]) -> Value:
        """Adds a shape literal; entries may be -1 where the operator says so, or texts for symbolic sizes."""
        sizes = list(sizes)
        if any(isinstance(size, str) for size in sizes):
            return self.literal(f"shape[{','.join(str(size) for size in sizes)}]")
        return self._new(lib.tenon_builder_add_shape, len(sizes), integers([int(size) for size in sizes]))

    def literal(self, source: str) -> Value:
        """Adds a literal in the text form: ``shape[n,64]``, ``4``, ``0.5``, ``f16``."""
        return self._new(lib.tenon_builder_add_literal, source.encode())

    def _operand(self, operand: Any) -> Value:
        if isinstance(operand, Value):
            if operand._builder is not self:
                raise InvalidArgumentError("a value of another builder")
            return operand
        if isinstance(operand, Shape):
            return self.shape(operand)
        if isinstance(operand, (tuple, list)) and all(isinstance(field, Value) for field in operand):
            return self.tuple(operand)
        if isinstance(operand, (tuple, list)) and all(isinstance(field, (int, str, np.integer)) for field in operand):
            return self.shape(operand)
        if isinstance(operand, (np.ndarray, np.generic)) or hasattr(operand, "__dlpack__"):
            return self.constant(operand)
        if isinstance(operand, (int, float)) and not isinstance(operand, bool):
            return self.literal(repr(operand))
        raise InvalidTypeError.mismatch("an operand", "a Value, an array, a number or a shape", type(operand).__name__)

    def _operands(self, operands: Sequence[Any]) -> Any:
        ids = [self._operand(operand)._id for operand in operands]
        return (ctypes.c_uint32 * max(len(ids), 1))(*ids), len(ids)

    def call(self, operator: str, *inputs: Any, name: str | None = None, **attributes: Any) -> Value:
        """Adds the call of an operator.

        Args:
            inputs: values; arrays become constants, tuples of values tuples, tuples of numbers shapes, numbers the plain numbers that
                some operators take (``clip``).
            name: what the result is called in the text form.
            attributes: by name; what is left out takes its default. An element type is given as NumPy's.
        """
        ids, count = self._operands(inputs)
        name = self._hint if name is None else name
        with Attributes(attributes) as given:
            try:
                return self._new(
                    lib.tenon_builder_add_call, operator.encode(), ids, count, given.address,
                    None if name is None else name.encode())
            except NotFoundError as error:
                if operator in (known := operators()):
                    raise
                raise NotFoundError(f"{error}; {did_you_mean(operator, known)}", operator=operator) from None

    def call_function(self, module: Module, function: str, *inputs: Any, name: str | None = None) -> Value:
        """Adds the call of a function of ``module``, into which this one must go."""
        ids, count = self._operands(inputs)
        return self._new(
            lib.tenon_builder_add_function_call, module._handle, function.encode(), ids, count,
            None if name is None else name.encode())

    def tuple(self, fields: Sequence[Any], name: str | None = None) -> Value:
        ids, count = self._operands(fields)
        return self._new(lib.tenon_builder_add_tuple, ids, count, None if name is None else name.encode())

    def tuple_get_item(self, value: Value, index: int, name: str | None = None) -> Value:
        if index < 0:
            raise IndexError("tuple items are counted from 0")
        return self._new(
            lib.tenon_builder_add_tuple_get_item, self._operand(value)._id, index, None if name is None else name.encode())

    def finish(
        self, *outputs: Value, name: str = "main", module: Module | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Module:
        """Puts the function into ``module``, or into a new one, and returns it. Several outputs form a tuple."""
        ids, count = self._operands(outputs)
        target = Module() if module is None else module
        with Attributes(attributes) as given:
            check(lib.tenon_module_add_function(target._handle, name.encode(), self._handle, ids, count, given.address))
        return target
