"""The text-direction classifier of PP-OCR, from the wheel rapidocr-onnxruntime, against ONNX Runtime."""

import importlib.util
import pathlib

import numpy as np
import pytest

import tenon

onnxruntime = pytest.importorskip("onnxruntime")
_package = importlib.util.find_spec("rapidocr_onnxruntime")
pytestmark = pytest.mark.skipif(_package is None, reason="rapidocr-onnxruntime is not installed")


def model(name):
    return pathlib.Path(_package.origin).parent / "models" / name


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 48, 192), (6, 3, 48, 192)])
def test_direction_classifier(rng, shape, fused):
    path = model("ch_ppocr_mobile_v2.0_cls_infer.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    module = tenon.load(path)
    run = tenon.compile(module, optimize=fused)
    image = rng.random(shape, np.float32) * 2 - 1
    expected = session.run(None, {session.get_inputs()[0].name: image})[0]
    found = run(image)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
