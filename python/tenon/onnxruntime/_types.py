"""Enumerations, devices and descriptions of memory of ONNX Runtime's interface, and names that stand for what is not there."""

from __future__ import annotations

import enum
from typing import Any

from ._errors import NotImplemented


class GraphOptimizationLevel(enum.IntEnum):
    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(enum.IntEnum):
    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


class ModelPackageWriteMode(enum.IntEnum):
    PRESERVE = 0
    DENSE = 1


class OrtAllocatorType(enum.IntEnum):
    INVALID = -1
    ORT_DEVICE_ALLOCATOR = 0
    ORT_ARENA_ALLOCATOR = 1


class OrtCompileApiFlags(enum.IntEnum):
    NONE = 0
    ERROR_IF_NO_NODES_COMPILED = 1
    ERROR_IF_OUTPUT_FILE_EXISTS = 2


class OrtDeviceMemoryType(enum.IntEnum):
    DEFAULT = 0
    HOST_ACCESSIBLE = 5


class OrtDeviceVendorId(enum.IntEnum):
    NONE = 0
    AMD = 4098
    NVIDIA = 4318
    ARM = 5045
    MICROSOFT = 5140
    HUAWEI = 6629
    QUALCOMM = 20803
    INTEL = 32902


class OrtExecutionProviderDevicePolicy(enum.IntEnum):
    DEFAULT = 0
    PREFER_CPU = 1
    PREFER_NPU = 2
    PREFER_GPU = 3
    MAX_PERFORMANCE = 4
    MAX_EFFICIENCY = 5
    MIN_OVERALL_POWER = 6


class OrtHardwareDeviceType(enum.IntEnum):
    CPU = 0
    GPU = 1
    NPU = 2


class OrtMemType(enum.IntEnum):
    CPU_INPUT = -2
    CPU_OUTPUT = -1
    CPU = -1
    DEFAULT = 0


class OrtMemoryInfoDeviceType(enum.IntEnum):
    CPU = 0
    GPU = 1
    FPGA = 2
    NPU = 3


class OrtSparseFormat(enum.IntEnum):
    ORT_SPARSE_UNDEFINED = 0
    ORT_SPARSE_COO = 1
    ORT_SPARSE_CSRC = 2
    ORT_SPARSE_BLOCK_SPARSE = 4


# Devices and memory


def require_cpu(device: str) -> None:
    """Only the CPU's memory is there; what other devices would need is said as ONNX Runtime's CPU package says it."""
    if device.lower() in ("cpu", "cuda_pinned"):
        return
    if device.lower() in ("cuda", "gpu", "dml", "cann", "webgpu", "npu"):
        raise RuntimeError(f"Can't allocate memory on the device '{device}': Tenon runs on the CPU; expected 'cpu'")
    raise RuntimeError(f"Unsupported device type: {device}; expected 'cpu'")


class OrtDevice:
    """The CPU."""

    def __init__(self, device_id: int = 0):
        self._device_id = device_id

    @staticmethod
    def make(ort_device_name: str, device_id: int, vendor_id: int = -1) -> OrtDevice:
        require_cpu(ort_device_name)
        return OrtDevice(device_id)

    @staticmethod
    def cpu() -> int:
        return 0

    @staticmethod
    def default_memory() -> int:
        return 0

    def device_id(self) -> int:
        return self._device_id

    def device_type(self) -> int:
        return 0

    def device_vendor_id(self) -> int:
        return 0

    def device_mem_type(self) -> int:
        return 0


class OrtMemoryInfo:
    """Where memory lies: with the CPU."""

    def __init__(
        self, name: str, allocator_type: OrtAllocatorType, device_id: int = 0, mem_type: OrtMemType = OrtMemType.DEFAULT
    ):
        require_cpu(name)
        self.name, self.allocator_type, self.device_id, self.mem_type = name, allocator_type, device_id, mem_type
        self.device_mem_type = OrtDeviceMemoryType.DEFAULT
        self.device_vendor_id = 0

    @staticmethod
    def create_v2(name: str, device_type: Any, *more: Any) -> OrtMemoryInfo:
        return OrtMemoryInfo(name, OrtAllocatorType.ORT_DEVICE_ALLOCATOR)


class OrtArenaCfg:
    """Kept; there is no arena that it would configure."""

    def __init__(self, *arguments: Any):
        given: dict[str, Any] = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], dict) else dict(zip(
            ("max_mem", "arena_extend_strategy", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk"), arguments))
        self.max_mem = given.get("max_mem", 0)
        self.arena_extend_strategy = given.get("arena_extend_strategy", -1)
        self.initial_chunk_size_bytes = given.get("initial_chunk_size_bytes", -1)
        self.max_dead_bytes_per_chunk = given.get("max_dead_bytes_per_chunk", -1)
        self.initial_growth_chunk_size_bytes = given.get("initial_growth_chunk_size_bytes", -1)
        self.max_power_of_two_extend_bytes = given.get("max_power_of_two_extend_bytes", -1)


class OrtHardwareDevice:
    """The processor."""

    type = OrtHardwareDeviceType.CPU
    vendor = ""
    vendor_id = 0
    device_id = 0
    metadata: dict[str, str] = {}


class OrtEpDevice:
    """The one provider on the one device."""

    ep_name = "CPUExecutionProvider"
    ep_vendor = "Tenon"
    ep_metadata: dict[str, str] = {}
    ep_options: dict[str, str] = {}
    device = OrtHardwareDevice()

    def memory_info(self, memory_type: OrtDeviceMemoryType = OrtDeviceMemoryType.DEFAULT) -> OrtMemoryInfo:
        return OrtMemoryInfo("Cpu", OrtAllocatorType.ORT_DEVICE_ALLOCATOR)

    def create_sync_stream(self) -> Any:
        raise NotImplemented("OrtEpDevice.create_sync_stream: a CPU has no streams")


# What is not there


class _Absent(type):
    """A class that is there to be named, and says why it cannot be used."""

    why = ""

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        raise NotImplemented(f"onnxruntime.{cls.__name__}: {cls.why}")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*arguments: Any, **named: Any) -> Any:
            raise NotImplemented(f"onnxruntime.{cls.__name__}.{name}: {cls.why}")

        return refuse


def _absent(name: str, why: str) -> Any:
    return _Absent(name, (), {"why": why, "__doc__": f"Not there: {why}.", "__module__": "tenon.onnxruntime"})


_PACKAGE = "packages of models are ONNX Runtime's own format; load the ONNX model that one contains"
_CONTEXT = "no provider of Tenon's writes EPContext nodes; optimized_model_filepath saves an optimised model"
_LORA = "adapters cannot be added to a compiled model; merge them into its weights before the export"

#: Names that are there to be imported; using one raises NotImplemented with the reason.
ABSENT = {
    "AdapterFormat": _LORA, "LoraAdapter": _LORA, "ModelCompiler": _CONTEXT, "ModelPackage": _PACKAGE,
    "ModelPackageComponentContext": _PACKAGE, "ModelPackageContext": _PACKAGE, "ModelPackageOptions": _PACKAGE,
    "OrtEpAssignedNode": "only ONNX Runtime makes it", "OrtEpAssignedSubgraph": "only ONNX Runtime makes it",
    "OrtEpContextData": _CONTEXT, "OrtEpContextDataBuffer": _CONTEXT,
    "OrtExternalInitializerInfo": "external data is read from the model's folder only",
    "OrtSyncStream": "a CPU has no streams", "SparseTensor": "tensors are dense; convert it with to_dense or toarray",
}

for _name, _why in ABSENT.items():
    globals()[_name] = _absent(_name, _why)
