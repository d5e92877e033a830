"""The committed digit classifier on images that it never saw, against ONNX Runtime."""

import numpy as np
import pytest

import tenon


def read_idx(path):
    data = path.read_bytes()
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, -1, 4 + 4 * rank).reshape(shape)


@pytest.fixture
def digits(fixtures):
    folder = fixtures / "digits"
    images = read_idx(folder / "heldout-images-idx3-ubyte").astype(np.float32)[:, None, None] / 255
    return folder / "digits.onnx", images, read_idx(folder / "heldout-labels-idx1-ubyte")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
def test_accuracy(digits, threads, fused):
    path, images, labels = digits
    module = tenon.load(path)
    run = tenon.compile(module, threads=threads, optimize=fused)
    classes = np.array([run(image).argmax() for image in images])
    assert len(labels) == 360
    assert (classes == labels).mean() >= 0.97


def test_same_as_onnxruntime(digits):
    onnxruntime = pytest.importorskip("onnxruntime")
    path, images, _ = digits
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    run = tenon.compile(tenon.load(path).optimize())
    for image in images:
        expected = session.run(None, {"image": image})[0]
        found = run(image=image)
        assert found.argmax() == expected.argmax()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_fusion_makes_regions(digits):
    fused = tenon.load(digits[0]).optimize()
    assert any(function.attributes.get("Codegen") == "dnnl" for function in fused.functions.values())
