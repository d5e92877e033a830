"""ONNX's own node tests: whatever imports must compute what ONNX says, fused or not."""

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

CASES = {case.name: case for case in collect_testcases(None)}
agreed = []


def same(found, expected, case):
    assert found.shape == expected.shape and found.dtype == expected.dtype
    rough = found.dtype == np.float16 or found.dtype.name == "bfloat16"
    np.testing.assert_allclose(
        found.astype(np.float64), expected.astype(np.float64), rtol=max(case.rtol, 2e-2 if rough else 1e-4),
        atol=max(case.atol, 2e-3 if rough else 1e-5))


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name):
    case = CASES[name]
    if case.model is None:
        pytest.skip("no model")
    try:
        module = tenon.Module.load_onnx(case.model.SerializeToString())
        stages = [tenon.compile(module), tenon.compile(module.optimize())]
    except tenon.UnsupportedError as error:
        pytest.skip(f"not supported: {error}")
    for inputs, expected in case.data_sets:
        if not all(isinstance(tensor, (np.ndarray, np.generic)) for tensor in [*inputs, *expected]):
            pytest.skip("not tensors")
        for run in stages:
            try:
                found = run.run([np.asarray(tensor) for tensor in inputs])
            except tenon.UnsupportedError as error:
                pytest.skip(f"not supported: {error}")
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                same(a, np.asarray(b), case)
    agreed.append(name)


def test_many_agree():
    # Runs last.
    assert len(agreed) > 400
