"""The face detector MTCNN of facenet-pytorch with its three trained networks exported to ONNX: the same faces on Tenon as on
ONNX Runtime and on PyTorch itself."""

import importlib.util
import pathlib

import numpy as np
import pytest

import facenet
import programs
import tenon.onnxruntime

torch = pytest.importorskip("torch")
for needed in ("torchvision", "facenet_pytorch", "requests", "matplotlib", "onnx"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)
onnxruntime = pytest.importorskip("onnxruntime")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def package():
    return facenet.load()


@pytest.fixture(scope="module")
def models(package):
    return {name: facenet.export(package, name) for name in facenet.NETWORKS}


class Exported(torch.nn.Module):
    """A network that a runtime runs."""

    def __init__(self, runtime, model):
        super().__init__()
        # The detector asks for the type of a parameter.
        self.type_of = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        self.session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def forward(self, x):
        return tuple(torch.from_numpy(result) for result in self.session.run(None, {"x": x.numpy()}))


@pytest.fixture(scope="module")
def picture():
    folder = pathlib.Path(importlib.util.find_spec("matplotlib").submodule_search_locations[0])
    return Image.open(folder / "mpl-data/sample_data/grace_hopper.jpg").convert("RGB")


def detect(package, models, runtime, picture):
    detector = package.MTCNN(device="cpu", keep_all=True)
    recording = programs.Recording(runtime) if runtime else None
    if runtime:
        for name, model in models.items():
            setattr(detector, name, Exported(recording.module, model))
    # The detector makes arrays of objects.
    found = [np.asarray(result, np.float64) for result in detector.detect(picture, landmarks=True)]
    return found, recording


def test_same_faces(package, models, picture):
    eager, _ = detect(package, models, None, picture)
    (boxes, scores, points), expected = detect(package, models, onnxruntime, picture)
    found, found_calls = detect(package, models, tenon.onnxruntime, picture)
    for wanted in (eager, (boxes, scores, points)):
        assert found[0].shape == wanted[0].shape
        np.testing.assert_allclose(found[0], wanted[0], atol=0.5)
        np.testing.assert_allclose(found[1], wanted[1], atol=1e-3)
        np.testing.assert_allclose(found[2], wanted[2], atol=0.5)
    # One person looks out of this picture.
    assert scores.max() > 0.99
    programs.assert_same_answers(found_calls, expected)
