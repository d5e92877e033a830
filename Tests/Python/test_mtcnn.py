"""The face detector MTCNN of facenet-pytorch with its three trained networks exported to ONNX: the same faces on Tenon as on
ONNX Runtime and on PyTorch itself."""

import importlib.util
import io
import pathlib
import sys
import warnings

import numpy as np
import pytest

import programs
import tenon.onnxruntime

torch = pytest.importorskip("torch")
for needed in ("torchvision", "facenet_pytorch", "requests", "matplotlib", "onnx"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)
onnxruntime = pytest.importorskip("onnxruntime")
Image = pytest.importorskip("PIL.Image")

SIZES = {"pnet": (12, 12), "rnet": (24, 24), "onet": (48, 48)}


@pytest.fixture(scope="module")
def facenet():
    """The package. Where torchvision's own library does not fit this PyTorch, its one operator that is used is written here."""
    try:
        import torchvision  # noqa: F401

        torch.ops.torchvision.nms
        return importlib.import_module("facenet_pytorch")
    except (AttributeError, RuntimeError):
        pass
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "facenet_pytorch")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

    def nms(boxes, scores, threshold):
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        order, kept = scores.argsort(descending=True), []
        while len(order):
            first, rest = order[0], order[1:]
            kept.append(first)
            low = torch.maximum(boxes[first, :2], boxes[rest, :2])
            high = torch.minimum(boxes[first, 2:], boxes[rest, 2:])
            common = (high - low).clamp(min=0).prod(1)
            order = rest[common / (areas[first] + areas[rest] - common) <= threshold]
        return torch.stack(kept) if kept else order

    library.impl("nms", nms, "CPU")
    package = importlib.import_module("facenet_pytorch")
    package._library = library
    importlib.import_module("torchvision.ops.boxes")._assert_has_ops = lambda: None
    return package


@pytest.fixture(scope="module")
def models(facenet):
    """The networks as ONNX files in memory, for any number of pictures, PNet for any size."""
    detector, models = facenet.MTCNN(device="cpu"), {}
    for name, size in SIZES.items():
        axes = {0: "batch"} | ({2: "height", 3: "width"} if name == "pnet" else {})
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                getattr(detector, name).eval(), (torch.zeros(2, 3, *size),), file, dynamo=False, opset_version=17,
                input_names=["x"], dynamic_axes={"x": axes})
        models[name] = file.getvalue()
    return models


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


def detect(facenet, models, runtime, picture):
    detector = facenet.MTCNN(device="cpu", keep_all=True)
    recording = programs.Recording(runtime) if runtime else None
    if runtime:
        for name, model in models.items():
            setattr(detector, name, Exported(recording.module, model))
    # The detector makes arrays of objects.
    found = [np.asarray(result, np.float64) for result in detector.detect(picture, landmarks=True)]
    return found, recording


def test_same_faces(facenet, models, picture):
    eager, _ = detect(facenet, models, None, picture)
    (boxes, scores, points), expected = detect(facenet, models, onnxruntime, picture)
    found, found_calls = detect(facenet, models, tenon.onnxruntime, picture)
    for wanted in (eager, (boxes, scores, points)):
        assert found[0].shape == wanted[0].shape
        np.testing.assert_allclose(found[0], wanted[0], atol=0.5)
        np.testing.assert_allclose(found[1], wanted[1], atol=1e-3)
        np.testing.assert_allclose(found[2], wanted[2], atol=0.5)
    # One person looks out of this picture.
    assert scores.max() > 0.99
    programs.assert_same_answers(found_calls, expected)
