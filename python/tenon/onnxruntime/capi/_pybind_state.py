"""What ONNX Runtime imports from its module in C++."""

from __future__ import annotations

from tenon.onnxruntime.capi.onnxruntime_pybind11_state import *  # noqa: F403
from tenon.onnxruntime.capi.onnxruntime_pybind11_state import __getattr__ as __getattr__, __version__ as __version__
