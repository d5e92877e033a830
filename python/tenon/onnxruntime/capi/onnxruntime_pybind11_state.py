"""What ONNX Runtime's module in C++ offers to Python."""

from __future__ import annotations

from typing import Any

import tenon.onnxruntime as _package
from tenon.onnxruntime import *  # noqa: F403
from tenon.onnxruntime import (  # noqa: F401
    DeviceReset, EngineError, EPFail, Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, ModelLoadCanceled, ModelLoaded,
    ModelRequiresCompilation, NoModel, NoSuchFile, NotFound, NotImplemented, OrtValueVector, RuntimeException,
    SessionIOBinding,
)

__version__ = _package.__version__


def get_default_session_options() -> Any:
    return _package.SessionOptions()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        return getattr(_package, name)
    except AttributeError:
        raise AttributeError(
            f"onnxruntime's '{name}' belongs to its own C++ module, in whose place Tenon is") from None
