"""The inside of ONNX Runtime's package, as far as programs import from it."""

from tenon.onnxruntime.capi import (  # noqa: F401
    _pybind_state, onnxruntime_inference_collection, onnxruntime_pybind11_state, onnxruntime_validation,
)
