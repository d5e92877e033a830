"""ONNX's own tests: every case computes what ONNX says, fused or not, or stands in onnx_expected_failures.txt with a reason."""

import glob
import os
import pathlib

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx.backend.test.case.node import collect_testcases  # noqa: E402
from onnx.backend.test.loader import load_model_tests  # noqa: E402

NODES = {case.name: case for case in collect_testcases(None)}
MODELS = {
    f"{kind}/{case.name}": case
    for kind in ("simple", "pytorch-converted", "pytorch-operator")
    for case in load_model_tests(kind=kind)
}


def read_expected_failures():
    """Name -> reason. A line that ends with a colon is the reason of the indented names below it."""
    expected, reason = {}, None
    for line in (pathlib.Path(__file__).parent / "onnx_expected_failures.txt").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith(" "):
            expected[line.strip()] = reason
        else:
            assert line.endswith(":"), line
            reason = line[:-1]
    return expected


EXPECTED = read_expected_failures()
agreed = []


def array(value):
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise tenon.UnsupportedError("a value that is no tensor")
    return np.asarray(value)


def read(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(pathlib.Path(path).read_bytes())
    return tensor


def data_sets(case):
    """Pairs of inputs and expected outputs."""
    if case.data_sets is not None:
        yield from case.data_sets
        return

    def tensors(folder, what):
        paths = glob.glob(os.path.join(folder, what + "_*.pb"))
        return [read(path) for path in sorted(paths, key=lambda path: int(path.rsplit("_", 1)[1][:-3]))]

    for folder in sorted(glob.glob(os.path.join(case.model_dir, "test_data_set_*"))):
        yield tensors(folder, "input"), tensors(folder, "output")


def same(found, expected, case):
    assert found.shape == expected.shape and found.dtype == expected.dtype
    if expected.dtype.kind in "OSU":
        assert found.tolist() == expected.tolist()
        return
    rough = found.dtype == np.float16 or found.dtype.name == "bfloat16"
    np.testing.assert_allclose(
        found.astype(np.float64), expected.astype(np.float64), rtol=max(case.rtol, 2e-2 if rough else 1e-4),
        atol=max(case.atol, 2e-3 if rough else 1e-5))


def check(case):
    """Raises UnsupportedError where Tenon says that it cannot, AssertionError where it is wrong."""
    if case.model_dir is None:
        module = tenon.Module.load_onnx(case.model.SerializeToString())
    else:
        module = tenon.Module.load_onnx(os.path.join(case.model_dir, "model.onnx"))
    stages = [tenon.compile(module, optimize=False), tenon.compile(module)]
    for inputs, expected in data_sets(case):
        inputs, expected = [array(value) for value in inputs], [array(value) for value in expected]
        for run in stages:
            found = run.run(inputs)
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                same(a, b, case)


@pytest.mark.parametrize("name", sorted(NODES) + sorted(MODELS))
def test_case(name):
    case = NODES.get(name) or MODELS[name]
    try:
        check(case)
    except tenon.UnsupportedError as error:
        assert name in EXPECTED, f"not supported, and not in the list of expected failures: {error}"
        pytest.skip(EXPECTED[name])
    assert name not in EXPECTED, "agrees, so it does not belong into the list of expected failures"
    agreed.append(name)


def test_the_list_names_cases():
    assert not [name for name in EXPECTED if name not in NODES and name not in MODELS]


def test_many_agree(request):
    # Runs last, and says nothing about a part of the cases.
    if len(request.session.items) < len(NODES) + len(MODELS):
        pytest.skip("not all cases were run")
    assert len([name for name in agreed if name in NODES]) >= 1780
    assert not [name for name in EXPECTED if name.startswith("pytorch-")]
