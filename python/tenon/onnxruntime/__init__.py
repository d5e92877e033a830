"""ONNX Runtime's Python interface on Tenon: ``import tenon.onnxruntime as ort`` is the only change a program needs.

Names, arguments and exceptions are ONNX Runtime's. There is one provider, the CPU. Options that make no sense here (the
memory arena, execution mode) are kept and have no effect; what cannot be honoured (custom operator libraries, adapters) is
refused with the reason. For programs whose dependencies import ``onnxruntime`` themselves, before they are imported:

    import tenon.onnxruntime
    tenon.onnxruntime.install()
"""

from __future__ import annotations

import logging as _logging
import os as _os
import platform as _platform
from importlib.machinery import PathFinder as _PathFinder
from typing import Any as _Any, Sequence as _Sequence

from .._lib import lib as _lib
from ._errors import (
    DeviceReset as DeviceReset, EngineError as EngineError, EPFail as EPFail, Fail as Fail,
    InvalidArgument as InvalidArgument, InvalidGraph as InvalidGraph, InvalidProtobuf as InvalidProtobuf,
    ModelLoadCanceled as ModelLoadCanceled, ModelLoaded as ModelLoaded,
    ModelRequiresCompilation as ModelRequiresCompilation, NoModel as NoModel, NoSuchFile as NoSuchFile,
    NotFound as NotFound, NotImplemented as NotImplemented, OnnxRuntimeException as OnnxRuntimeException,
    RuntimeException as RuntimeException,
)
from ._install import (
    install as install, is_installed as is_installed,
)
from ._options import (
    PROVIDER as _PROVIDER, RunOptions as RunOptions, SessionOptions as SessionOptions,
)
from ._session import (
    InferenceSession as InferenceSession, ModelMetadata as ModelMetadata, NodeArg as NodeArg,
)
from ._types import (
    ABSENT as _ABSENT, ExecutionMode as ExecutionMode, ExecutionOrder as ExecutionOrder,
    GraphOptimizationLevel as GraphOptimizationLevel, ModelPackageWriteMode as ModelPackageWriteMode,
    OrtAllocatorType as OrtAllocatorType, OrtArenaCfg as OrtArenaCfg, OrtCompileApiFlags as OrtCompileApiFlags,
    OrtDevice as OrtDevice, OrtDeviceMemoryType as OrtDeviceMemoryType, OrtDeviceVendorId as OrtDeviceVendorId,
    OrtEpDevice as OrtEpDevice, OrtExecutionProviderDevicePolicy as OrtExecutionProviderDevicePolicy,
    OrtHardwareDevice as OrtHardwareDevice, OrtHardwareDeviceType as OrtHardwareDeviceType, OrtMemoryInfo as OrtMemoryInfo,
    OrtMemoryInfoDeviceType as OrtMemoryInfoDeviceType, OrtMemType as OrtMemType, OrtSparseFormat as OrtSparseFormat,
)
from ._values import (
    IOBinding as IOBinding, OrtValue as OrtValue, OrtValueVector as OrtValueVector, copy_tensors as copy_tensors,
)

#: The interface that this package follows, not a version of ONNX Runtime.
__version__ = "1.32.0"
__author__ = "Tenon"
version = __version__
package_name = "onnxruntime"
cuda_version = ""
import_capi_exception = None

#: What pybind11 calls IOBinding.
SessionIOBinding = IOBinding


def __getattr__(name: str) -> _Any:
    from . import _types

    if name in _ABSENT:
        return getattr(_types, name)
    if name == "capi":
        import importlib

        return importlib.import_module("tenon.onnxruntime.capi")
    raise AttributeError(f"module 'onnxruntime' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name not in ("annotations", "importlib")), *_ABSENT})


def get_available_providers() -> list[str]:
    return [_PROVIDER]


get_all_providers = get_available_providers


def get_ep_devices() -> list[OrtEpDevice]:
    return [OrtEpDevice()]


def get_device() -> str:
    return "CPU"


def get_version_string() -> str:
    return __version__


def get_build_info() -> str:
    return f"Tenon {_lib.tenon_version().decode()}"


def has_collective_ops() -> bool:
    return False


_LEVELS = (_logging.DEBUG, _logging.INFO, _logging.WARNING, _logging.ERROR, _logging.CRITICAL)


def set_default_logger_severity(severity: int) -> None:
    """The level of the logger ``tenon``: 0 for everything to 4 for what is fatal."""
    if not 0 <= severity < len(_LEVELS):
        raise RuntimeError(f"Invalid logging severity {severity}; expected 0 to {len(_LEVELS) - 1}")
    _logging.getLogger("tenon").setLevel(_LEVELS[severity])


def set_default_logger_verbosity(level: int) -> None:
    """There is one level of detail."""


def set_default_logger_callback(callback: _Any) -> None:
    raise NotImplemented("set_default_logger_callback: add a handler to logging.getLogger('tenon')")


def set_seed(seed: int) -> None:
    """Nothing is drawn at random."""


def set_global_thread_pool_sizes(intra_op_num_threads: int, inter_op_num_threads: int) -> None:
    """Sessions have threads of their own: SessionOptions.intra_op_num_threads."""


def create_and_register_allocator(memory_info: OrtMemoryInfo, arena_cfg: OrtArenaCfg | None = None) -> None:
    """Sessions share no allocator."""


def create_and_register_allocator_v2(
    provider_type: str, memory_info: OrtMemoryInfo, options: dict[str, str], arena_cfg: OrtArenaCfg | None = None
) -> None:
    """Sessions share no allocator."""


def register_execution_provider_library(registration_name: str, library_path: str | _os.PathLike[str]) -> None:
    raise NotImplemented(
        f"'{library_path}': libraries of providers are built for ONNX Runtime and cannot be loaded; tenon.Backend brings own code")


def unregister_execution_provider_library(registration_name: str) -> None:
    raise Fail(f"no library is registered as '{registration_name}'")


def disable_telemetry_events() -> None:
    """There is none."""


def enable_telemetry_events() -> None:
    """There is none."""


def preload_dlls(cuda: bool = True, cudnn: bool = True, msvc: bool = True, directory: str | None = None) -> None:
    """There is nothing to load: Tenon runs on the CPU."""


def print_debug_info() -> None:
    """What runs where."""
    print(f"{get_build_info()}, following the interface of onnxruntime {__version__}")
    print(f"Python {_platform.python_version()}, {_platform.platform()}, {_platform.machine()}")
    print(f"providers: {', '.join(get_available_providers())}")


def _real_folders() -> _Sequence[str]:
    """The folders of ONNX Runtime itself, where it is installed, for its tools that run on top of sessions."""
    spec = _PathFinder.find_spec("onnxruntime")
    own = _os.path.dirname(_os.path.abspath(__file__))
    return [folder for folder in (spec.submodule_search_locations or [] if spec else []) if _os.path.abspath(folder) != own]


# Submodules: this package's own; those of ONNX Runtime itself (quantization, transformers, tools, …), which import sessions
# from wherever `onnxruntime` is; and, where it is not installed, modules that say so.
__path__ = [*__path__, *_real_folders(), _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), "_absent")]
