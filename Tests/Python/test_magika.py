"""Magika, as others wrote it, on Tenon instead of ONNX Runtime: the same kinds of the same files."""

import importlib
import pathlib

import pytest

import programs
import tenon.onnxruntime

for needed in ("magika", "click"):
    pytest.importorskip(needed)
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = {
    "include/tenon.h": "c", "Package.swift": "swift", "Makefile": "makefile", "README.md": "markdown",
    "python/tenon/module.py": "python", "python/pyproject.toml": "toml", "scripts/test.sh": "shell",
    "Sources/CDNNL/library.c": "c", "Tests/Fixtures/digits/digits.onnx": "onnx",
}


def identify(runtime, paths):
    with programs.on(runtime, "magika") as recording:
        results = importlib.import_module("magika").Magika().identify_paths(paths)
    return [(str(result.output.label), result.score) for result in results], recording


def test_same_kinds():
    paths = [ROOT / name for name in FILES]
    expected, expected_calls = identify(onnxruntime, paths)
    found, found_calls = identify(tenon.onnxruntime, paths)
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (_, score), (_, expected_score) in zip(found, expected):
        assert abs(score - expected_score) < 1e-3
    # Not only the same, but right.
    assert [kind for kind, _ in found] == list(FILES.values())
    programs.assert_same_answers(found_calls, expected_calls)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_other_batches(count):
    """Each number of files is another shape of the model."""
    paths = [ROOT / name for name in list(FILES)[:count]]
    expected, expected_calls = identify(onnxruntime, paths)
    found, found_calls = identify(tenon.onnxruntime, paths)
    assert [kind for kind, _ in found] == [kind for kind, _ in expected] == list(FILES.values())[:count]
    programs.assert_same_answers(found_calls, expected_calls)
