"""What ONNX Runtime's module in C++ offers to Python."""

from __future__ import annotations

import functools
import os
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
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


@functools.cache
def _real() -> ModuleType | None:
    """ONNX Runtime's own module, where it is installed."""
    for folder in _package.__path__:
        for suffix in EXTENSION_SUFFIXES:
            path = os.path.join(folder, "capi", "onnxruntime_pybind11_state" + suffix)
            if os.path.exists(path):
                name = "onnxruntime_pybind11_state"
                spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
                if spec is not None and spec.loader is not None:
                    module = module_from_spec(spec)
                    spec.loader.exec_module(module)
                    return module
    return None


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if hasattr(_package, name):
        return getattr(_package, name)
    # What quantisers of ONNX Runtime's own pack weights with; it knows no sessions.
    if name.startswith(("quantize_", "pack_")):
        real = _real()
        if real is not None and hasattr(real, name):
            return getattr(real, name)
    raise AttributeError(f"onnxruntime's '{name}' belongs to its own C++ module, in whose place Tenon is")
