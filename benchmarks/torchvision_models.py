"""The networks of the benchmark: torchvision's, with a fixed seed and statistics of batch normalisation that are not trivial."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

try:
    import torchvision
except RuntimeError:  # Its extension belongs to another build of PyTorch; two operators that no network here uses.
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    _operators = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

NETWORKS = ["resnet18", "resnet50", "vgg16", "googlenet", "squeezenet1_1", "densenet121", "mobilenet_v2",
            "efficientnet_b0", "mnasnet1_0", "regnet_y_400mf"]


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    options = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    return model


def export(name: str, folder: Path, batch: int = 1) -> Path:
    """The network as ONNX of opset 17, once per folder."""
    path = folder / f"{name}.onnx" if batch == 1 else folder / f"batch{batch}" / f"{name}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        torch.onnx.export(build(name), (torch.randn(batch, 3, 224, 224),), str(draft), opset_version=17, dynamo=False)
        draft.rename(path)
    return path
