"""Packages of hundreds of megabytes, which people in a hurry leave out."""

import importlib.util
import os

import pytest

#: Set to 1, the set-up does not install them, and tests that need them are skipped.
VARIABLE = "TENON_TEST_WITHOUT_HEAVY"


def require(*packages):
    """Skips the test module that calls it when they are left out or not installed."""
    if os.environ.get(VARIABLE, "0") not in ("", "0"):
        pytest.skip(f"{VARIABLE} leaves out {', '.join(packages)}", allow_module_level=True)
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed", allow_module_level=True)
