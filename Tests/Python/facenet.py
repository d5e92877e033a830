"""facenet-pytorch and the networks of its face detector as ONNX files."""

import importlib
import io
import sys
import warnings

#: Networks of the detector, the size that each sees, and the dimensions that may change.
NETWORKS = {
    "pnet": (12, {0: "batch", 2: "height", 3: "width"}), "rnet": (24, {0: "batch"}), "onet": (48, {0: "batch"}),
}


def load():
    """The package. Where torchvision's own library does not fit this PyTorch, its one operator that is used is written here."""
    import torch

    try:
        import torchvision

        torchvision.ops.boxes._assert_has_ops()
        return importlib.import_module("facenet_pytorch")
    except RuntimeError:
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
    # Goes when the package goes.
    package._library = library
    importlib.import_module("torchvision.ops.boxes")._assert_has_ops = lambda: None
    return package


def export(package, name):
    """A network with its trained weights, as ONNX for any number of pictures; PNet for pictures of any size."""
    import torch

    size, axes = NETWORKS[name]
    network, file = getattr(package.MTCNN(device="cpu"), name).eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(2, 3, size, size),), file, dynamo=False, opset_version=17, input_names=["x"],
            dynamic_axes={"x": axes})
    return file.getvalue()
