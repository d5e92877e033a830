"""The options of ONNX Runtime's interface."""

from __future__ import annotations

import os
from typing import Any, Sequence

from .._names import did_you_mean
from ..executable import CancelToken
from ._errors import NotImplemented
from ._types import ExecutionMode, ExecutionOrder, GraphOptimizationLevel

PROVIDER = "CPUExecutionProvider"


class _Closed:
    """As there, only attributes that exist can be set."""

    _names: frozenset[str]

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in self._names:
            raise AttributeError(
                f"'onnxruntime.{type(self).__name__}' object has no attribute '{name}'; {did_you_mean(name, self._names)}")
        # Numbers, flags and enumerations, or texts, by what stands there.
        before = self.__dict__.get(name)
        wanted = "a number" if hasattr(before, "__index__") and not hasattr(value, "__index__") else (
            "a text" if isinstance(before, str) and not isinstance(value, (str, os.PathLike)) else None)
        if wanted and name in self._names:
            raise TypeError(f"{type(self).__name__}.{name} is {wanted}, found {type(value).__name__}")
        object.__setattr__(self, name, value)


class _Entries(_Closed):
    _kind = ""

    def _add(self, entries: dict[str, str], key: str, value: str) -> None:
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{self._kind} entries are texts, found {type(key).__name__} and {type(value).__name__}")
        entries[key] = value

    def _get(self, entries: dict[str, str], key: str) -> str:
        if key not in entries:
            raise RuntimeError(f"{self._kind} does not have configuration with key: {key}")
        return entries[key]


class SessionOptions(_Entries):
    """How a session is made. ``graph_optimization_level`` 0 turns fusion off; ``intra_op_num_threads`` is Tenon's threads,
    0 for the CPUs that the process may use; the entry ``session.intra_op.allow_spinning`` is Tenon's ``spin``."""

    _kind = "SessionOptions"
    _names = frozenset((
        "intra_op_num_threads", "inter_op_num_threads", "graph_optimization_level", "execution_mode", "execution_order",
        "enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse", "enable_profiling", "log_severity_level",
        "log_verbosity_level", "logid", "optimized_model_filepath", "profile_file_prefix", "use_deterministic_compute",
        "use_per_session_threads"))

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level: Any = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.execution_order = ExecutionOrder.DEFAULT
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.enable_profiling = False
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.optimized_model_filepath = ""
        self.profile_file_prefix = "onnxruntime_profile_"
        self.use_deterministic_compute = False
        self.use_per_session_threads = True
        self._entries: dict[str, str] = {}
        self._dimensions: dict[str, int] = {}
        self._has_providers = False
        self._is_cancelled = False

    @property
    def _spin(self) -> str:
        return {"1": "long", "0": "short"}.get(self._entries.get("session.intra_op.allow_spinning", ""), "adaptive")

    def add_session_config_entry(self, key: str, value: str) -> None:
        self._add(self._entries, key, value)

    def get_session_config_entry(self, key: str) -> str:
        return self._get(self._entries, key)

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        self._dimensions[name] = size

    def add_free_dimension_override_by_denotation(self, denotation: str, size: int) -> None:
        raise NotImplemented("denotations are not read; add_free_dimension_override_by_name overrides by name")

    def add_initializer(self, name: str, value: Any) -> None:
        raise NotImplemented(f"initialiser '{name}' cannot be replaced; write it into the model")

    def add_external_initializers(self, names: Sequence[str], values: Sequence[Any]) -> None:
        if names:
            raise NotImplemented(f"initialisers {', '.join(names)} cannot be given; they are read from the model's folder")

    def add_external_initializers_from_files_in_memory(
        self, names: Sequence[str], files: Sequence[bytes], sizes: Sequence[int]
    ) -> None:
        self.add_external_initializers(names, files)

    def register_custom_ops_library(self, path: str) -> None:
        raise NotImplemented(f"'{path}': libraries of custom operators are built for ONNX Runtime and cannot be loaded")

    def add_provider(self, name: str, options: dict[str, str]) -> None:
        if name != PROVIDER:
            raise RuntimeError(f"Unknown provider name '{name}'. Currently supported: {PROVIDER}")
        self._has_providers = True

    def add_provider_for_devices(self, devices: Sequence[Any], options: dict[str, str]) -> None:
        self._has_providers = True

    def has_providers(self) -> bool:
        return self._has_providers

    def set_provider_selection_policy(self, policy: Any) -> None:
        """There is one provider to select from."""

    def set_provider_selection_policy_delegate(self, delegate: Any) -> None:
        """There is one provider to select from."""

    def set_load_cancellation_flag(self, value: bool) -> None:
        self._is_cancelled = bool(value)

    def set_ep_context_data_read_func(self, function: Any) -> None:
        raise NotImplemented("models with EPContext nodes are for the provider that wrote them")

    def clear_ep_context_data_read_func(self) -> None:
        """None was set."""


class RunOptions(_Entries):
    """How one run behaves. Setting ``terminate`` from another thread ends the run."""

    _kind = "RunOptions"
    _names = frozenset((
        "log_severity_level", "log_verbosity_level", "logid", "only_execute_path_to_fetches", "terminate", "training_mode"))

    def __init__(self) -> None:
        self._token = CancelToken()
        self._terminate = False
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.only_execute_path_to_fetches = False
        self._entries: dict[str, str] = {}

    @property
    def terminate(self) -> bool:
        return self._terminate

    @terminate.setter
    def terminate(self, value: bool) -> None:
        self._terminate = bool(value)
        if value:
            self._token.cancel()
        else:
            self._token.reset()

    @property
    def training_mode(self) -> bool:
        return False

    @training_mode.setter
    def training_mode(self, value: bool) -> None:
        if value:
            raise NotImplemented("training_mode: Tenon runs models and does not train them")

    def add_run_config_entry(self, key: str, value: str) -> None:
        self._add(self._entries, key, value)

    def get_run_config_entry(self, key: str) -> str:
        return self._get(self._entries, key)

    def add_active_adapter(self, adapter: Any) -> None:
        raise NotImplemented("adapters cannot be added to a compiled model; merge them into its weights before the export")
