"""The package is typed: strict mypy finds nothing in it, on the oldest Python that mypy still knows and on this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import heavy
import pytest

heavy.require("torch")
pytest.importorskip("mypy")

PACKAGE = Path(__file__).resolve().parents[2] / "python"

PROGRAM = '''
import numpy as np
import tenon
import tenon.onnxruntime as ort

def first(path: str) -> float:
    run = tenon.compile(tenon.load(path), threads=1)
    reveal_type(run)
    results = run.run([np.zeros(3, np.float32)])
    reveal_type(results)
    reveal_type(run(np.zeros(3, np.float32)))
    session = ort.InferenceSession(path, ort.SessionOptions())
    reveal_type(session)
    return float(results[0][0])
'''


def mypy(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", *arguments], cwd=PACKAGE, capture_output=True,
        text=True)
    return done.stdout + done.stderr


def test_strict_mypy_finds_nothing():
    assert mypy("-p", "tenon").startswith("Success: no issues found")


def test_what_users_call_has_types(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    revealed = [line.split('"')[1] for line in mypy(str(program)).splitlines() if "Revealed type" in line]
    assert len(revealed) == 4, revealed
    assert revealed[0] == "tenon.executable.Executable"
    assert "list[numpy.ndarray[" in revealed[1]
    assert "numpy.ndarray" in revealed[2] and revealed[2] != "Any"
    assert revealed[3] == "tenon.onnxruntime._session.InferenceSession"
