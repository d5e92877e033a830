"""Element types: NumPy's and the library's."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InvalidTypeError

#: Numbers of tenon_dtype by the short names of the text form.
BY_NAME = {
    "f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "str": 8, "bool": 9, "f16": 10, "f64": 11,
    "u32": 12, "u64": 13, "bf16": 16, "f8e4m3fn": 17, "f8e4m3fnuz": 18, "f8e5m2": 19, "f8e5m2fnuz": 20, "u4": 21, "i4": 22,
    "f4e2m1": 23, "f8e8m0": 24, "u2": 25, "i2": 26,
}
NAMES = {number: name for name, number in BY_NAME.items()}



class ElementType(str):
    """An element type by its short name, where a text would mean a text."""


_numpy = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64,
}
_dtypes = {number: np.dtype(kind) for number, kind in _numpy.items()}
_numbers = {dtype: number for number, dtype in _dtypes.items()}


#: Names in the package ml_dtypes, which brings NumPy the types that it lacks.
_ML_DTYPES = {
    16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4",
    22: "int4", 23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}
_ML_NUMBERS = {name: number for number, name in _ML_DTYPES.items()}


def to_numpy(number: int) -> np.dtype[Any]:
    """NumPy's type of an element type. bf16 and the types below 8 bits need the package ml_dtypes."""
    known = _dtypes.get(number)
    if known is not None:
        return known
    if number in _ML_DTYPES:
        try:
            import ml_dtypes
        except ImportError:
            raise InvalidTypeError(f"{NAMES[number]} arrays need the package ml_dtypes") from None
        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _ML_DTYPES[number]))
        return found
    raise InvalidTypeError(f"element type {NAMES.get(number, number)} has no NumPy type")


def from_numpy(dtype: np.dtype[Any]) -> int:
    """The number of a NumPy type in native byte order."""
    number = _numbers.get(dtype)
    if number is not None:
        return number
    if dtype.name in _ML_NUMBERS:
        return _ML_NUMBERS[dtype.name]
    raise InvalidTypeError(f"arrays of {dtype!r} are not supported" + (
        "; the byte order is not the machine's" if not dtype.isnative else ""))


def number(value: Any) -> int:
    """The number of an element type given by name (``f32``, ``float32``) or as NumPy knows it."""
    if isinstance(value, str) and value in BY_NAME:
        return BY_NAME[value]
    if isinstance(value, str) and value in _ML_NUMBERS:
        return _ML_NUMBERS[value]
    try:
        return from_numpy(np.dtype(value))
    except TypeError:
        raise InvalidTypeError(f"unknown element type {value!r}") from None
