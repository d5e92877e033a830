"""Finds the package and the library of this checkout, unless TENON_LIBRARY names another one."""

import os
import pathlib
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
if "TENON_LIBRARY" not in os.environ:
    built = [ROOT / ".build" / kind / "libtenon.so" for kind in ("release", "debug")]
    newest = max((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime, default=None)
    if newest is not None:
        os.environ["TENON_LIBRARY"] = str(newest)


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)


@pytest.fixture
def fixtures():
    return ROOT / "Tests/Fixtures"
