"""What is installed."""

from __future__ import annotations

import tenon.onnxruntime as _package


def get_package_name_and_version_info() -> tuple[str, str, str]:
    return _package.package_name, _package.__version__, ""


def check_distro_info() -> None:
    """The wheel of Tenon says where it runs."""
