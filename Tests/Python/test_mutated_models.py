"""Mutated models end in a result or an error; the long form is `make soak`."""

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("onnx")


def test_mutated_models(tmp_path):
    script = pathlib.Path(__file__).resolve().parents[1] / "Fuzz" / "mutate.py"
    done = subprocess.run(
        [sys.executable, str(script), "15", "--small", "--seed", "1", "--batch", "40", "--keep", str(tmp_path)],
        capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings" in done.stdout
