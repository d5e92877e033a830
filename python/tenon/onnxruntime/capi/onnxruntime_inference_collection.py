"""Sessions and values, under the name of the module that ONNX Runtime keeps them in."""

from tenon.onnxruntime import (  # noqa: F401
    InferenceSession, IOBinding, OrtDevice, OrtDeviceVendorId, OrtValue, copy_tensors,
)
from tenon.onnxruntime._session import check_and_normalize_provider_args  # noqa: F401
from tenon.onnxruntime._types import AdapterFormat, ModelCompiler, SparseTensor  # type: ignore[attr-defined]  # noqa: F401
from tenon.onnxruntime.capi import _pybind_state as C  # noqa: F401

Session = InferenceSession


def get_ort_device_type(device_type: str) -> int:
    return OrtDevice.make(device_type, 0).device_type()
