"""Putting this package in the place of ``onnxruntime``."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib import metadata
from typing import Any, Iterable

_NAME = "onnxruntime"
_OWN = ("", ".capi", ".capi._pybind_state", ".capi.onnxruntime_pybind11_state", ".capi.onnxruntime_inference_collection",
        ".capi.onnxruntime_validation")


class _Distribution(metadata.Distribution):
    """What packages ask for that check which version is installed."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        package = importlib.import_module("tenon.onnxruntime")
        return f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: {package.__version__}\n"

    def locate_file(self, path: Any) -> Any:
        return path


class _Distributions(metadata.DistributionFinder):
    """Answers for ``onnxruntime`` where it is not installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        return None

    def find_distributions(self, context: Any = None) -> Iterable[metadata.Distribution]:
        name = getattr(context, "name", None)
        return [_Distribution()] if name == _NAME else []


def install() -> None:
    """From here on, ``import onnxruntime`` gives this package, in this process.

    Modules that have imported ONNX Runtime before keep it; they are named in a warning. Calling it again does nothing.
    """
    if is_installed():
        return
    before = sys.modules.get(_NAME)
    if before is not None:
        users = sorted(
            name for name, module in list(sys.modules.items())
            if not name.startswith(_NAME) and any(value is before for value in list(getattr(module, "__dict__", {}).values())))
        warnings.warn(
            "onnxruntime was imported before tenon.onnxruntime.install()"
            + (f"; {', '.join(users[:5])} keep it" if users else ""), stacklevel=2)
        for name in [name for name in sys.modules if name == _NAME or name.startswith(_NAME + ".")]:
            del sys.modules[name]
    for suffix in _OWN:
        sys.modules[_NAME + suffix] = importlib.import_module("tenon.onnxruntime" + suffix)
    try:
        metadata.version(_NAME)
    except metadata.PackageNotFoundError:
        # Behind the others, which know what is really installed.
        sys.meta_path.append(_Distributions())


def is_installed() -> bool:
    """Whether ``import onnxruntime`` gives this package."""
    module = sys.modules.get(_NAME)
    return module is not None and module is sys.modules.get("tenon.onnxruntime")
