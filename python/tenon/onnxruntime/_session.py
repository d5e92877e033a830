"""Sessions of ONNX Runtime's interface."""

from __future__ import annotations

import collections.abc
import logging
import os
import threading
import time
import warnings
from typing import Any, Mapping, Sequence

import numpy as np

from .. import _dtypes, errors
from ..executable import Executable, Port
from ..info import ModelInfo
from ..module import Module
from ._errors import Fail, InvalidArgument, ModelLoadCanceled, NotImplemented, translate as _translate
from ._labels import Labels
from ._options import PROVIDER, RunOptions, SessionOptions
from ._profile import Recorder
from ._types import GraphOptimizationLevel, OrtAllocatorType, OrtEpDevice, OrtMemoryInfo
from ._values import TYPE_NAMES, IOBinding, OrtValue

_logger = logging.getLogger("tenon")

_Array = np.ndarray[Any, Any]

#: What is reported for models that state no version.
_NO_VERSION = 2**63 - 1


class NodeArg:
    """An input or an output: ``name``, ``type`` (``tensor(float)``) and ``shape`` (numbers, or names where symbolic)."""

    def __init__(self, port: Port):
        self.name = port.name
        number = _dtypes.from_numpy(port.dtype) if port.dtype is not None else 1
        self.type = f"tensor({TYPE_NAMES[number]})"
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

    def __init__(self, info: ModelInfo):
        self.producer_name = info.producer_name
        self.graph_name = info.graph_name
        self.domain = info.domain
        self.description = info.description
        self.graph_description = info.graph_description
        self.version = _NO_VERSION if info.version is None else info.version
        self.custom_metadata_map: dict[str, str] = dict(info.metadata)


def check_and_normalize_provider_args(
    providers: Sequence[Any] | None, provider_options: Sequence[Mapping[str, Any]] | None,
    available_provider_names: Sequence[str],
) -> tuple[list[str], list[dict[str, str]]]:
    """Names and options of providers; warns of those that are not there, as ONNX Runtime does."""
    if providers is None:
        return [], []
    if not isinstance(providers, collections.abc.Sequence):
        raise ValueError("'providers' should be a sequence.")
    pairs: list[tuple[str, Mapping[str, Any]]] = []
    if provider_options is not None:
        if not isinstance(provider_options, collections.abc.Sequence):
            raise ValueError("'provider_options' should be a sequence.")
        if len(providers) != len(provider_options):
            raise ValueError("'providers' and 'provider_options' should be the same length if both are given.")
        if not all(isinstance(provider, str) for provider in providers):
            raise ValueError("Only string values for 'providers' are supported if 'provider_options' is given.")
        if not all(isinstance(options, dict) for options in provider_options):
            raise ValueError("'provider_options' values must be dicts.")
        pairs = list(zip(providers, provider_options))
    else:
        for provider in providers:
            if isinstance(provider, str):
                pairs.append((provider, {}))
            elif (isinstance(provider, tuple) and len(provider) == 2 and isinstance(provider[0], str)
                  and isinstance(provider[1], dict)):
                pairs.append(provider)
            else:
                raise ValueError("'providers' values must be either strings or (string, dict) tuples.")
    found: dict[str, dict[str, str]] = {}
    for name, options in pairs:
        if name not in available_provider_names:
            warnings.warn(
                f"Specified provider '{name}' is not in available provider names.Available providers: "
                f"'{', '.join(available_provider_names)}'", stacklevel=4)
        if name in found:
            warnings.warn(f"Duplicate provider '{name}' encountered, ignoring.", stacklevel=4)
            continue
        found[name] = {str(key): str(value) for key, value in options.items()}
    return list(found), list(found.values())


class InferenceSession:
    """A model, fused and compiled. Any number of threads may run it at once."""

    def __init__(
        self, path_or_bytes: str | os.PathLike[str] | bytes, sess_options: SessionOptions | None = None,
        providers: Sequence[Any] | None = None, provider_options: Sequence[Mapping[str, Any]] | None = None, **kwargs: Any,
    ):
        if not isinstance(path_or_bytes, (str, os.PathLike, bytes)):
            raise TypeError(f"Unable to load from type '{type(path_or_bytes)}'")
        is_path = not isinstance(path_or_bytes, bytes)
        self._model_path = os.fspath(path_or_bytes) if is_path else None
        self._model_bytes = None if is_path else path_or_bytes
        self._options = SessionOptions() if sess_options is None else sess_options
        if providers is not None and not isinstance(providers, collections.abc.Sequence):
            raise TypeError(f"'providers' should be a sequence, found {type(providers).__name__}")
        try:
            check_and_normalize_provider_args(providers, provider_options, [PROVIDER])
        except ValueError as error:
            # As there: what cannot be understood falls back to the CPU, and says so.
            _logger.warning("%s; falling back to %s", error, [PROVIDER])
        options = self._options
        if options._is_cancelled:
            raise ModelLoadCanceled("[ONNXRuntimeError] : 14 : MODEL_LOAD_CANCELED : loading was cancelled")
        start = time.perf_counter_ns()
        try:
            module = Module.load_onnx(path_or_bytes, dimensions=options._dimensions or None)
            self._metadata = ModelMetadata(module.info)
            if int(options.graph_optimization_level) > GraphOptimizationLevel.ORT_DISABLE_ALL:
                module = module.optimize()
            if options.optimized_model_filepath:
                module.save_onnx(options.optimized_model_filepath)
            self._labels = Labels(module)
            self._executable: Executable = Executable(
                module, threads=max(0, options.intra_op_num_threads), optimize=False,
                reproducible=options.use_deterministic_compute, spin=options._spin)
            module.close()
        except errors.TenonError as error:
            raise _translate(error) from error
        self._start = start
        self._recorder = Recorder(options.profile_file_prefix, start) if options.enable_profiling else None
        self._inputs_meta = [NodeArg(port) for port in self._executable.inputs]
        self._outputs_meta = [NodeArg(port) for port in self._executable.outputs]
        self._labels.describe(self._outputs_meta)
        self._input_names = [port.name for port in self._inputs_meta]
        self._output_names = [port.name for port in self._outputs_meta]
        self._providers = [PROVIDER]
        self._enable_fallback = True

    @property
    def _sess(self) -> InferenceSession:
        """What programs that reach inside take for the session itself."""
        return self

    @property
    def _model_meta(self) -> ModelMetadata:
        return self._metadata

    def _known(self, name: str, what: str) -> str:
        names = self._input_names if what == "input" else self._output_names
        if name not in names:
            raise InvalidArgument(
                f"[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid {what.capitalize()} Name: {name}; "
                f"expected {', '.join(names)}")
        return name

    # Descriptions

    def get_inputs(self) -> list[NodeArg]:
        return self._inputs_meta

    def get_outputs(self) -> list[NodeArg]:
        return self._outputs_meta

    def get_overridable_initializers(self) -> list[NodeArg]:
        return []

    def get_modelmeta(self) -> ModelMetadata:
        return self._metadata

    def get_providers(self) -> list[str]:
        return list(self._providers)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {PROVIDER: {}}

    def set_providers(
        self, providers: Sequence[Any] | None = None, provider_options: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        check_and_normalize_provider_args(providers, provider_options, [PROVIDER])

    def get_session_options(self) -> SessionOptions:
        return self._options

    def disable_fallback(self) -> None:
        self._enable_fallback = False

    def enable_fallback(self) -> None:
        self._enable_fallback = True

    def get_input_memory_infos(self) -> list[OrtMemoryInfo]:
        return [OrtMemoryInfo("Cpu", OrtAllocatorType.ORT_DEVICE_ALLOCATOR) for _ in self._inputs_meta]

    def get_output_memory_infos(self) -> list[OrtMemoryInfo]:
        return [OrtMemoryInfo("Cpu", OrtAllocatorType.ORT_DEVICE_ALLOCATOR) for _ in self._outputs_meta]

    def get_input_epdevices(self) -> list[OrtEpDevice]:
        return [OrtEpDevice() for _ in self._inputs_meta]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        raise Fail("get_provider_graph_assignment_info: there is one provider; Executable.report() of tenon lists what runs")

    def get_tuning_results(self) -> list[Any]:
        return []

    def set_tuning_results(self, results: Sequence[Any], *, error_on_invalid: bool = False) -> None:
        """No provider here takes any."""
        if results and error_on_invalid:
            raise Fail("set_tuning_results: no provider takes any")

    def set_ep_dynamic_options(self, options: Mapping[str, str]) -> None:
        if options:
            raise NotImplemented(f"options {', '.join(options)}: {PROVIDER} has no options that change")

    def release_captured_graph(self, graph_annotation_id: int = 0) -> None:
        """None is captured."""

    def create_ortvalue_from_shape_and_type(self, shape: Sequence[int], element_type: Any, *more: Any) -> OrtValue:
        return OrtValue.ortvalue_from_shape_and_type(shape, element_type)

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
    ) -> list[_Array]:
        """The outputs of these names, all when there are none, for arrays by name."""
        if isinstance(output_names, str):
            raise TypeError(f"run(): output_names is a list of names, found '{output_names}'")
        results = self._labels.applied(self._run(input_feed, None, run_options))
        if not output_names:
            return results
        return [results[self._output_names.index(self._known(name, "output"))] for name in output_names]

    def _run(
        self, feed: Mapping[str, Any], outputs: list[_Array] | None, run_options: RunOptions | None
    ) -> list[_Array]:
        if type(feed) is not dict and not isinstance(feed, collections.abc.Mapping):
            raise TypeError(f"run(): input_feed is a mapping of arrays by name, found {type(feed).__name__}")
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

    def run_with_ortvaluevector(
        self, run_options: RunOptions | None, feed_names: Sequence[str], feeds: Sequence[OrtValue],
        fetch_names: Sequence[str], fetches: list[OrtValue], fetch_devices: Sequence[Any],
    ) -> None:
        """Appends the outputs of these names to ``fetches``."""
        fetches.extend(self.run_with_ort_values(fetch_names, dict(zip(feed_names, feeds)), run_options))

    def io_binding(self) -> IOBinding:
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        bound = [iobinding._outputs.get(name) for name in self._output_names]
        given = [target for target in bound if target is not None]
        if len(given) == len(bound):
            results = self._run(iobinding._inputs, given, run_options)
        else:
            results = self._run(iobinding._inputs, None, run_options)
            for target, result in zip(bound, results):
                if target is not None:
                    if target.shape != result.shape or target.dtype != result.dtype:
                        raise InvalidArgument(f"an output is {result.dtype}{result.shape}, its memory {target.dtype}{target.shape}")
                    target[...] = result
        iobinding._results = dict(zip(self._output_names, results))
