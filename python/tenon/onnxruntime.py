"""ONNX Runtime's Python interface on Tenon: ``import tenon.onnxruntime as ort`` is the only change a program needs.

Names, arguments and exceptions are ONNX Runtime's. There is one provider, the CPU. Options that make no sense here (the
memory arena, execution mode, log levels) are kept and have no effect; what cannot be honoured (custom operator libraries)
is refused. For programs whose dependencies import ``onnxruntime`` themselves:

    import sys, tenon.onnxruntime
    sys.modules["onnxruntime"] = tenon.onnxruntime
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Mapping, Sequence

import numpy as np

from . import _dtypes, errors
from ._onnxfile import metadata
from ._ort_errors import (  # noqa: F401 - part of the interface
    EngineError, EPFail, Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, ModelLoaded, NoModel, NoSuchFile,
    NotImplemented, OnnxRuntimeException, RuntimeException, translate as _translate,
)
from ._ort_options import ExecutionMode, ExecutionOrder, GraphOptimizationLevel, RunOptions, SessionOptions
from ._ort_profile import Recorder
from .executable import Executable, Port
from .module import Module

#: The interface that this module follows, not a version of ONNX Runtime.
__version__ = "1.20.0"

_PROVIDER = "CPUExecutionProvider"


# Descriptions

_TYPE_NAMES = {
    1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "double", 12: "uint32", 13: "uint64", 16: "bfloat16",
}


class NodeArg:
    """An input or an output: ``name``, ``type`` (``tensor(float)``) and ``shape`` (numbers, or names where symbolic)."""

    def __init__(self, port: Port):
        self.name = port.name
        number = _dtypes.from_numpy(port.dtype) if port.dtype is not None else 1
        self.type = f"tensor({_TYPE_NAMES[number]})"
        self.shape: list[int | str | None] = _shape(port)

    def __repr__(self) -> str:
        return f"NodeArg(name='{self.name}', type='{self.type}', shape={self.shape})"

    __str__ = __repr__


def _shape(port: Port) -> list[int | str | None]:
    if port.shape is None:
        return []
    # The names of symbolic sizes are in the type's text: f32[n,3,h,w].
    inside = port.type[port.type.find("[") + 1:port.type.rfind("]")]
    names, depth, start = [], 0, 0
    for at, letter in enumerate(inside + ","):
        if letter == "," and depth == 0:
            names.append(inside[start:at].strip())
            start = at + 1
        depth += (letter == "(") - (letter == ")")
    return [size if size is not None else (names[axis] if axis < len(names) else None)
            for axis, size in enumerate(port.shape)]


class ModelMetadata:
    """What a model file says about itself."""

    def __init__(self, fields: Mapping[str, Any]):
        self.producer_name = fields["producer_name"]
        self.graph_name = fields["graph_name"]
        self.domain = fields["domain"]
        self.description = fields["description"]
        self.graph_description = fields["graph_description"]
        self.version = fields["version"]
        self.custom_metadata_map: dict[str, str] = fields["custom"]


# Values


class OrtValue:
    """A tensor on the CPU."""

    def __init__(self, array: np.ndarray):
        self._array = array

    @staticmethod
    def ortvalue_from_numpy(numpy_obj: np.ndarray, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        _require_cpu(device_type)
        return OrtValue(np.array(numpy_obj, order="C"))

    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0
    ) -> OrtValue:
        _require_cpu(device_type)
        return OrtValue(np.empty(shape, _element(element_type)))

    @staticmethod
    def from_dlpack(data: Any, is_bool_tensor: bool = False) -> OrtValue:
        array = np.from_dlpack(data)
        return OrtValue(array.view(np.bool_) if is_bool_tensor else array)

    def __dlpack__(self, **arguments: Any) -> Any:
        return self._array.__dlpack__(**arguments)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def numpy(self) -> np.ndarray:
        return self._array.copy()

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def data_type(self) -> str:
        return f"tensor({_TYPE_NAMES[_dtypes.from_numpy(self._array.dtype)]})"

    def element_type(self) -> int:
        return _dtypes.from_numpy(self._array.dtype)

    def device_name(self) -> str:
        return "cpu"

    def data_ptr(self) -> int:
        return self._array.ctypes.data

    def has_value(self) -> bool:
        return True

    def is_tensor(self) -> bool:
        return True

    def is_sparse_tensor(self) -> bool:
        return False

    def is_tensor_sequence(self) -> bool:
        return False

    def update_inplace(self, array: np.ndarray) -> None:
        if array.shape != self._array.shape or array.dtype != self._array.dtype:
            raise InvalidArgument(
                f"expected {self._array.dtype}{self._array.shape}, found {array.dtype}{array.shape}")
        self._array[...] = array


def _require_cpu(device: str) -> None:
    if device.lower() not in ("cpu", "cuda_pinned"):
        raise InvalidArgument(f"no device '{device}'; expected 'cpu'")


def _element(element_type: Any) -> np.dtype:
    """NumPy's type of a type as ONNX Runtime's functions take it: NumPy's own, or ONNX's number."""
    if isinstance(element_type, int):
        return _dtypes.to_numpy(element_type)
    return np.dtype(element_type)


class IOBinding:
    """Inputs and outputs of a session tied to memory before it runs."""

    def __init__(self, session: InferenceSession):
        self._session = session
        self._inputs: dict[str, np.ndarray] = {}
        self._outputs: dict[str, np.ndarray | None] = {}
        self._results: dict[str, np.ndarray] = {}

    def bind_cpu_input(self, name: str, arr_on_cpu: np.ndarray) -> None:
        self._inputs[self._session._known(name, "input")] = arr_on_cpu

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        _require_cpu(device_type)
        self._inputs[self._session._known(name, "input")] = _memory(element_type, shape, buffer_ptr)

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self._inputs[self._session._known(name, "input")] = ortvalue._array

    def bind_output(
        self, name: str, device_type: str = "cpu", device_id: int = 0, element_type: Any = None,
        shape: Sequence[int] | None = None, buffer_ptr: int | None = None,
    ) -> None:
        _require_cpu(device_type)
        target = None if buffer_ptr is None else _memory(element_type, shape or (), buffer_ptr)
        self._outputs[self._session._known(name, "output")] = target

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self._outputs[self._session._known(name, "output")] = ortvalue._array

    def synchronize_inputs(self) -> None:
        """There is nothing to wait for on a CPU."""

    synchronize_outputs = synchronize_inputs

    def get_outputs(self) -> list[OrtValue]:
        return [OrtValue(self._results[name]) for name in self._outputs]

    get_outputs_as_ortvaluevector = get_outputs

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        return [self._results[name].copy() for name in self._outputs]

    def clear_binding_inputs(self) -> None:
        self._inputs.clear()

    def clear_binding_outputs(self) -> None:
        self._outputs.clear()
        self._results.clear()


def _memory(element_type: Any, shape: Sequence[int], address: int) -> np.ndarray:
    import ctypes

    dtype = _element(element_type)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), dtype).reshape(shape)


# Sessions


class InferenceSession:
    """A model, fused and compiled. Any number of threads may run it at once."""

    def __init__(
        self, path_or_bytes: str | os.PathLike | bytes, sess_options: SessionOptions | None = None,
        providers: Sequence[Any] | None = None, provider_options: Sequence[Mapping] | None = None, **kwargs: Any,
    ):
        if provider_options is not None and (providers is None or len(providers) != len(provider_options)):
            raise ValueError("'providers' and 'provider_options' should be the same length if both are given.")
        self._options = SessionOptions() if sess_options is None else sess_options
        self._check_providers(providers)
        self._path = path_or_bytes
        start = time.perf_counter_ns()
        try:
            module = Module.load_onnx(path_or_bytes, dimensions=self._options._dimensions or None)
            if self._options.graph_optimization_level > GraphOptimizationLevel.ORT_DISABLE_ALL:
                optimized = module.optimize()
                module.close()
                module = optimized
            self._executable: Executable = Executable(
                module, threads=max(0, self._options.intra_op_num_threads),
                reproducible=self._options.use_deterministic_compute)
            module.close()
        except errors.TenonError as error:
            raise _translate(error) from error
        self._start = start
        self._recorder = (
            Recorder(self._options.profile_file_prefix, start) if self._options.enable_profiling else None)
        self._inputs = [NodeArg(port) for port in self._executable.inputs]
        self._outputs = [NodeArg(port) for port in self._executable.outputs]
        self._input_names = [port.name for port in self._inputs]
        self._output_names = [port.name for port in self._outputs]
        self._metadata: ModelMetadata | None = None
        self._lock = threading.Lock()

    @staticmethod
    def _check_providers(providers: Sequence[Any] | None) -> None:
        for provider in providers or ():
            name = provider[0] if isinstance(provider, (tuple, list)) else provider
            if not isinstance(name, str):
                raise ValueError("each provider is a name, or a name and its options")

    def _known(self, name: str, what: str) -> str:
        names = self._input_names if what == "input" else self._output_names
        if name not in names:
            raise InvalidArgument(
                f"[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid {what.capitalize()} Name: {name}; "
                f"expected {', '.join(names)}")
        return name

    # Descriptions

    def get_inputs(self) -> list[NodeArg]:
        return self._inputs

    def get_outputs(self) -> list[NodeArg]:
        return self._outputs

    def get_overridable_initializers(self) -> list[NodeArg]:
        return []

    def get_modelmeta(self) -> ModelMetadata:
        with self._lock:
            if self._metadata is None:
                if isinstance(self._path, (bytes, bytearray, memoryview)):
                    data: Any = bytes(self._path)
                else:
                    with open(self._path, "rb") as file:
                        data = file.read()
                self._metadata = ModelMetadata(metadata(data))
            return self._metadata

    def get_providers(self) -> list[str]:
        return [_PROVIDER]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {_PROVIDER: {}}

    def set_providers(
        self, providers: Sequence[Any] | None = None, provider_options: Sequence[Mapping] | None = None
    ) -> None:
        self._check_providers(providers)

    def get_session_options(self) -> SessionOptions:
        return self._options

    def disable_fallback(self) -> None:
        """There is one provider, so nothing falls back."""

    enable_fallback = disable_fallback

    def get_profiling_start_time_ns(self) -> int:
        return self._start

    def end_profiling(self) -> str:
        """Writes the times of all runs so far and returns the name of the file; "" without ``enable_profiling``."""
        if self._recorder is None:
            return ""
        recorder, self._recorder = self._recorder, None
        return recorder.write()

    # Running

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: RunOptions | None = None
    ) -> list[np.ndarray]:
        """The outputs of these names, all when there are none, for arrays by name."""
        results = self._run(input_feed, None, run_options)
        if not output_names:
            return results
        return [results[self._output_names.index(self._known(name, "output"))] for name in output_names]

    def _run(
        self, feed: Mapping[str, Any], outputs: list[np.ndarray] | None, run_options: RunOptions | None
    ) -> list[np.ndarray]:
        missing = [name for name in self._input_names if name not in feed]
        if missing:
            raise ValueError(
                f"Required inputs ({missing}) are missing from input feed ({list(feed)}).")
        for name in feed:
            self._known(name, "input")
        arrays = [self._array(feed[name], index) for index, name in enumerate(self._input_names)]
        cancel, recorder = None if run_options is None else run_options._token, self._recorder
        try:
            if recorder is not None:
                return recorder.run(self._executable, arrays, outputs, cancel)
            return self._executable.run(arrays, outputs, cancel=cancel)
        except errors.TenonError as error:
            raise _translate(error) from error

    def _array(self, value: Any, index: int) -> Any:
        if isinstance(value, OrtValue):
            return value._array
        # Lists and numbers become what the input wants, as with ONNX Runtime; arrays are never converted.
        if isinstance(value, (list, tuple, int, float)):
            return np.asarray(value, self._executable.inputs[index].dtype)
        return value

    def run_with_ort_values(
        self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue],
        run_options: RunOptions | None = None,
    ) -> list[OrtValue]:
        return [OrtValue(array) for array in self.run(output_names, input_dict_ort_values, run_options)]

    def run_async(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], callback: Any, user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Runs on a thread of its own and calls ``callback(results, user_data, error_text)``."""

        def work() -> None:
            try:
                results, error = self.run(output_names, input_feed, run_options), ""
            except Exception as exception:
                results, error = [], str(exception)
            callback(results, user_data, error)

        threading.Thread(target=work, daemon=True).start()

    def io_binding(self) -> IOBinding:
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        bound = [iobinding._outputs.get(name) for name in self._output_names]
        if all(target is not None for target in bound):
            results = self._run(iobinding._inputs, bound, run_options)
        else:
            results = self._run(iobinding._inputs, None, run_options)
            for target, result in zip(bound, results):
                if target is not None:
                    if target.shape != result.shape or target.dtype != result.dtype:
                        raise InvalidArgument(f"an output is {result.dtype}{result.shape}, its memory {target.dtype}{target.shape}")
                    target[...] = result
        iobinding._results = dict(zip(self._output_names, results))


# The module's own functions


def get_available_providers() -> list[str]:
    return [_PROVIDER]


get_all_providers = get_available_providers


def get_device() -> str:
    return "CPU"


def get_version_string() -> str:
    return __version__


def get_build_info() -> str:
    from ._lib import lib

    return f"Tenon {lib.tenon_version().decode()}"


def set_default_logger_severity(level: int) -> None:
    """Nothing is logged."""


set_default_logger_verbosity = set_default_logger_severity
set_seed = set_default_logger_severity


def disable_telemetry_events() -> None:
    """There is none."""


enable_telemetry_events = disable_telemetry_events
preload_dlls = disable_telemetry_events
