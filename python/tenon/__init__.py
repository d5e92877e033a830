"""Tenon: finds operator sequences in neural networks, fuses them, and runs the fused regions on oneDNN.

    import tenon

    module = tenon.load("digits.onnx")
    fused = module.optimize()
    print(fused)                                  # the graph, readable
    run = tenon.compile(fused, threads=2)
    probabilities = run(image)                    # NumPy in, NumPy out
"""

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
from .log import set_log
from .module import Function, Module, describe, load, operators, passes
from .profile import Profile, Step
from ._tvm import from_tvm, to_tvm

__version__ = _lib.lib.tenon_version().decode()

__all__ = [
    "Backend", "BackendError", "Builder", "CallbackError", "CancelToken", "CancelledError", "Comparison",
    "DeadlineExceededError", "Difference", "Drawing", "Executable", "FileError", "Function", "InternalError",
    "InvalidArgumentError", "InvalidGraphError", "InvalidModelError", "InvalidShapeError", "InvalidStateError",
    "InvalidTypeError", "LimitExceededError", "MemoryUse", "Module", "NotFoundError", "OutOfMemoryError",
    "ParseError", "Port", "Profile", "Shape", "Step", "TenonError", "UnsupportedError", "Value", "compile",
    "describe", "from_tvm", "load", "operators", "passes", "set_log", "to_tvm",
]


def __getattr__(name: str):
    # PyTorch is imported by those who ask for it.
    if name == "torch":
        import importlib

        return importlib.import_module("tenon.torch")
    raise AttributeError(f"module 'tenon' has no attribute '{name}'")
