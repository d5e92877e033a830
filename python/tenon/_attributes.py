"""Attributes as dictionaries."""

from __future__ import annotations

import ctypes
from typing import Any, Mapping

import numpy as np

from . import _dtypes
from ._handle import integers, new, strings
from ._lib import lib
from .errors import InvalidTypeError, check


class Attributes:
    """A set of attributes of the library for the time of a ``with`` block."""

    def __init__(self, values: Mapping[str, Any] | None = None, address: int | None = None):
        self.address: int | None = new(lib.tenon_attributes_create) if address is None else address
        try:
            for name, value in (values or {}).items():
                self._set(name, value)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        lib.tenon_attributes_release(self.address)
        self.address = None

    def __enter__(self) -> Attributes:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _set(self, name: str, value: Any) -> None:
        key = name.encode()
        if isinstance(value, (bool, np.bool_)):
            check(lib.tenon_attributes_set_bool(self.address, key, bool(value)))
        elif isinstance(value, (int, np.integer)):
            check(lib.tenon_attributes_set_int(self.address, key, int(value)))
        elif isinstance(value, (float, np.floating)):
            check(lib.tenon_attributes_set_float(self.address, key, float(value)))
        elif isinstance(value, _dtypes.ElementType):
            check(lib.tenon_attributes_set_dtype(self.address, key, _dtypes.number(value)))
        elif isinstance(value, str):
            check(lib.tenon_attributes_set_string(self.address, key, value.encode()))
        elif isinstance(value, (np.dtype, type)):
            check(lib.tenon_attributes_set_dtype(self.address, key, _dtypes.number(value)))
        elif isinstance(value, (list, tuple, np.ndarray)):
            self._set_list(name, key, list(value))
        else:
            raise InvalidTypeError(f"attribute '{name}' has a value of {type(value).__name__}, which attributes cannot hold")

    def _set_list(self, name: str, key: bytes, values: list[Any]) -> None:
        if all(isinstance(value, (int, np.integer)) for value in values):
            check(lib.tenon_attributes_set_ints(self.address, key, integers([int(v) for v in values]), len(values)))
        elif all(isinstance(value, (int, float, np.integer, np.floating)) for value in values):
            floats = (ctypes.c_double * len(values))(*[float(value) for value in values])
            check(lib.tenon_attributes_set_floats(self.address, key, floats, len(values)))
        elif all(isinstance(value, str) for value in values):
            check(lib.tenon_attributes_set_strings(self.address, key, strings(values), len(values)))
        else:
            raise InvalidTypeError(f"attribute '{name}' has a list that is neither of numbers nor of texts")

    def read(self) -> dict[str, Any]:
        """All of them; element types as NumPy types."""
        result = {}
        for index in range(lib.tenon_attributes_count(self.address)):
            key = lib.tenon_attributes_name(self.address, index)
            result[key.decode()] = self._get(key)
        return result

    def _get(self, key: bytes) -> Any:
        kind = lib.tenon_attributes_kind(self.address, key)
        scalar: Any = {
            1: (ctypes.c_int64, lib.tenon_attributes_get_int),
            2: (ctypes.c_double, lib.tenon_attributes_get_float),
            3: (ctypes.c_int32, lib.tenon_attributes_get_bool),
            4: (ctypes.c_char_p, lib.tenon_attributes_get_string),
            5: (ctypes.c_int, lib.tenon_attributes_get_dtype),
        }.get(kind)
        if scalar:
            value = scalar[0]()
            check(scalar[1](self.address, key, ctypes.byref(value)))
            if kind == 3:
                return bool(value.value)
            if kind == 4:
                return (value.value or b"").decode(errors="replace")
            if kind == 5:
                return "str" if value.value == 8 else _dtypes.to_numpy(value.value)
            return value.value
        lists: dict[int, Any] = {
            6: (ctypes.c_int64, lib.tenon_attributes_get_ints),
            7: (ctypes.c_double, lib.tenon_attributes_get_floats),
            8: (ctypes.c_char_p, lib.tenon_attributes_get_strings),
        }
        element, get = lists[kind]
        values: Any = ctypes.POINTER(element)()
        count = ctypes.c_size_t()
        check(get(self.address, key, ctypes.byref(values), ctypes.byref(count)))
        items = [values[index] for index in range(count.value)]
        return [item.decode(errors="replace") for item in items] if kind == 8 else items
