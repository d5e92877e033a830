"""ONNX's own node tests: whatever imports must compute what ONNX says."""

import pathlib

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
import onnx.backend.test  # noqa: E402
from onnx import numpy_helper  # noqa: E402

DATA = pathlib.Path(onnx.backend.test.__file__).parent / "data/node"
CASES = sorted(path.name for path in DATA.iterdir()) if DATA.exists() else []
supported = []


def tensors(folder, kind):
    paths = sorted(folder.glob(f"{kind}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
    result = []
    for path in paths:
        tensor = onnx.TensorProto()
        tensor.ParseFromString(path.read_bytes())
        result.append(numpy_helper.to_array(tensor))
    return result


@pytest.mark.parametrize("case", CASES)
def test_case(case):
    path = DATA / case / "model.onnx"
    try:
        module = tenon.load(path)
    except tenon.UnsupportedError as error:
        pytest.skip(f"not supported: {error}")
    for folder in sorted((DATA / case).glob("test_data_set_*")):
        try:
            inputs, expected = tensors(folder, "input"), tensors(folder, "output")
        except Exception as error:
            pytest.skip(f"not tensors: {error}")
        for stage in (module, module.optimize()):
            try:
                found = tenon.compile(stage).run(inputs)
            except tenon.UnsupportedError as error:
                pytest.skip(f"not supported: {error}")
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                assert a.shape == b.shape and a.dtype == b.dtype
                tolerance = 2e-3 if a.dtype == np.float16 else 1e-5
                np.testing.assert_allclose(
                    a.astype(np.float64), b.astype(np.float64), rtol=tolerance * 10, atol=tolerance)
    supported.append(case)


def test_many_are_supported():
    # Runs last: the number only grows.
    assert not CASES or len(supported) >= 100
