"""Element types: NumPy's and the library's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InvalidTypeError

#: Numbers of tenon_dtype by the short names of the text form.
BY_NAME = {
    "f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "str": 8, "bool": 9, "f16": 10, "f64": 11,
    "u32": 12, "u64": 13, "bf16": 16,
}
NAMES = {number: name for name, number in BY_NAME.items()}



class ElementType(str):
    """An element type by its short name, where a text would mean a text."""


_numpy = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64,
}
_numbers = {np.dtype(kind): number for number, kind in _numpy.items()}


def to_numpy(number: int) -> np.dtype[Any]:
    """NumPy's type of an element type. bf16 needs the package ml_dtypes."""
    kind = _numpy.get(number)
    if kind is not None:
        return np.dtype(kind)
    if number == 16:
        try:
            import ml_dtypes
        except ImportError:
            raise InvalidTypeError("bf16 arrays need the package ml_dtypes") from None
        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    raise InvalidTypeError(f"element type {NAMES.get(number, number)} has no NumPy type")


def from_numpy(dtype: np.dtype[Any]) -> int:
    """The number of a NumPy type in native byte order."""
    number = _numbers.get(dtype)
    if number is not None:
        return number
    if dtype.name == "bfloat16":
        return 16
    raise InvalidTypeError(f"arrays of {dtype!r} are not supported" + (
        "; the byte order is not the machine's" if not dtype.isnative else ""))


def number(value: Any) -> int:
    """The number of an element type given by name (``f32``, ``float32``) or as NumPy knows it."""
    if isinstance(value, str) and value in BY_NAME:
        return BY_NAME[value]
    if value == "bfloat16":
        return 16
    try:
        return from_numpy(np.dtype(value))
    except TypeError:
        raise InvalidTypeError(f"unknown element type {value!r}") from None
