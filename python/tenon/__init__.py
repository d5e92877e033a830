"""Tenon: finds operator sequences in neural networks, fuses them, and runs the fused regions on oneDNN.

    import tenon

    module = tenon.load("digits.onnx")
    run = tenon.compile(module, threads=2)        # fused, and offloaded to oneDNN
    probabilities = run(image)                    # NumPy in, NumPy out
    print(run.module)                             # the graph as it runs, readable
"""

from __future__ import annotations

from typing import Any

from . import _lib
from .backend import Backend
from .builder import Builder, Shape, Value
from .comparison import Comparison, Difference
from .drawing import Drawing
from .errors import (
    BackendError, CallbackError, CancelledError, DeadlineExceededError, FileError, InternalError, InvalidArgumentError,
    InvalidGraphError, InvalidModelError, InvalidShapeError, InvalidStateError, InvalidTypeError, LimitExceededError,
    NotFoundError, OutOfMemoryError, ParseError, TenonError, UnsupportedError,
)
from .executable import CancelToken, Executable, MemoryUse, Port, compile
from .info import Metadata, ModelInfo
from .log import set_log
from .machine import Machine, machine
from .module import Function, Module, describe, load, operators, passes
from .profile import Profile, Step
from .quantization import Quantization, QuantizedLayer
from ._options import CompileOptions
from ._to_tvm import to_tvm
from ._tvm import from_tvm

__version__: str = _lib.lib.tenon_version().decode()

__all__ = [
    "Backend", "BackendError", "Builder", "CallbackError", "CancelToken", "CancelledError", "Comparison", "CompileOptions",
    "DeadlineExceededError", "Difference", "Drawing", "Executable", "FileError", "Function", "InternalError",
    "InvalidArgumentError", "InvalidGraphError", "InvalidModelError", "InvalidShapeError", "InvalidStateError",
    "InvalidTypeError", "LimitExceededError", "Machine", "MemoryUse", "Metadata", "ModelInfo", "Module", "NotFoundError", "OutOfMemoryError",
    "ParseError", "Port", "Profile", "Quantization", "QuantizedLayer", "Shape", "Step", "TenonError", "UnsupportedError", "Value", "compile",
    "describe", "from_tvm", "load", "machine", "operators", "passes", "set_log", "to_tvm",
]


#: Modules that are imported when they are asked for, and those of them that need packages of others.
_MODULES = ("dpl", "instrument", "onnxruntime", "op", "transform")
_OPTIONAL = ("ray", "torch")


def __getattr__(name: str) -> Any:
    if name in _MODULES or name in _OPTIONAL:
        import importlib

        return importlib.import_module(f"tenon.{name}")
    raise AttributeError(f"module 'tenon' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
