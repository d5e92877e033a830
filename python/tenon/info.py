"""What a model says about itself besides its graph."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Iterator, Mapping, MutableMapping

from ._handle import integers, strings
from ._lib import ModelInfo as _ModelInfo, lib
from .errors import InvalidTypeError, check

if TYPE_CHECKING:
    from .module import Module

#: How C says that a model states no version.
_NO_VERSION = 2**63 - 1


@dataclass(frozen=True)
class ModelInfo:
    """Texts are empty where a model says nothing."""

    producer_name: str = ""
    producer_version: str = ""
    domain: str = ""
    description: str = ""
    graph_name: str = ""
    graph_description: str = ""
    #: The model's own; None when it states none.
    version: int | None = None
    #: Of the file that was read; saving writes its own.
    ir_version: int = 0
    #: Versions of operator sets by domain, "" for ONNX's own, of the file that was read; saving writes its own.
    opsets: Mapping[str, int] = field(default_factory=dict)
    #: ``metadata_props``, in order.
    metadata: Mapping[str, str] = field(default_factory=dict)


class Metadata(MutableMapping[str, str]):
    """The metadata of a module by key; changing it changes the module."""

    def __init__(self, module: Module):
        self._module = module

    def __getitem__(self, key: str) -> str:
        return self._module.info.metadata[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._module.info.metadata)

    def __len__(self) -> int:
        return len(self._module.info.metadata)

    def _change(self, entries: Mapping[str, str]) -> None:
        self._module.info = replace(self._module.info, metadata=entries)

    def __setitem__(self, key: str, value: str) -> None:
        self._change({**self._module.info.metadata, key: value})

    def __delitem__(self, key: str) -> None:
        entries = dict(self._module.info.metadata)
        del entries[key]
        self._change(entries)

    def __repr__(self) -> str:
        return repr(dict(self))


def _decoded(text: bytes | None) -> str:
    return (text or b"").decode(errors="replace")


def read_info(module: int) -> ModelInfo:
    """What the module at an address says."""
    info = _ModelInfo(struct_size=ctypes.sizeof(_ModelInfo))
    check(lib.tenon_module_get_info(module, ctypes.byref(info)))
    texts = {name: _decoded(getattr(info, name)) for name in _TEXTS}
    return ModelInfo(
        **texts, version=None if info.version == _NO_VERSION else info.version, ir_version=info.ir_version,
        opsets={_decoded(info.opset_domains[index]): info.opset_versions[index] for index in range(info.opset_count)},
        metadata={
            _decoded(info.metadata_keys[index]): _decoded(info.metadata_values[index])
            for index in range(info.metadata_count)})


_TEXTS = ("producer_name", "producer_version", "domain", "description", "graph_name", "graph_description")


def write_info(module: int, value: ModelInfo) -> None:
    """Sets what the module at an address says."""
    for name, entry in [*((name, getattr(value, name)) for name in _TEXTS), *value.metadata.items()]:
        if not isinstance(name, str) or not isinstance(entry, str):
            raise InvalidTypeError.mismatch(f"'{name}'", "a text", type(entry).__name__, node=str(name))
    opsets, metadata = dict(value.opsets), dict(value.metadata)
    info = _ModelInfo(
        struct_size=ctypes.sizeof(_ModelInfo), **{name: getattr(value, name).encode() for name in _TEXTS},
        version=_NO_VERSION if value.version is None else value.version, ir_version=value.ir_version,
        opset_domains=strings(list(opsets)), opset_versions=integers(list(opsets.values())) if opsets else None,
        opset_count=len(opsets), metadata_keys=strings(list(metadata)), metadata_values=strings(list(metadata.values())),
        metadata_count=len(metadata))
    check(lib.tenon_module_set_info(module, ctypes.byref(info)))
