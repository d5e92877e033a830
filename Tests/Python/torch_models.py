"""Models of torchvision and timm with random weights, and how far Tenon's outputs lie from PyTorch's."""

import collections
import re
import sys
import typing

import torch
from torch import nn

#: One per family: what the normal test run takes.
REPRESENTATIVE = [
    "torchvision/alexnet", "torchvision/mobilenet_v2", "torchvision/mobilenet_v3_small", "torchvision/resnet18",
    "torchvision/shufflenet_v2_x0_5", "torchvision/squeezenet1_1", "torchvision/swin_t",
    "torchvision/lraspp_mobilenet_v3_large", "timm/convnext_atto", "timm/edgenext_xx_small", "timm/mixer_s32_224",
    "timm/levit_128s", "timm/vit_tiny_patch16_224", "timm/ghostnet_100", "timm/xcit_nano_12_p16_224",
]

TIMM = [
    # Convolutions
    "resnet50d", "seresnet50", "ecaresnet26t", "efficientnet_b0", "tf_efficientnetv2_b0", "mobilenetv4_conv_small",
    "ghostnet_100", "regnety_002", "convnext_atto", "convnextv2_atto", "dla34", "hrnet_w18_small", "res2net50_26w_4s",
    "nfnet_l0", "inception_v4", "xception41", "repvgg_a0", "fastvit_t8",
    # Mixers
    "mixer_s32_224", "resmlp_12_224", "gmlp_s16_224", "poolformer_s12", "sequencer2d_s",
    # Transformers, and convolutions with attention
    "vit_tiny_patch16_224", "deit3_small_patch16_224", "swinv2_tiny_window8_256", "beit_base_patch16_224",
    "eva02_tiny_patch14_224", "cait_xxs24_224", "levit_128s", "coat_tiny", "crossvit_tiny_240", "twins_pcpvt_small",
    "xcit_nano_12_p16_224", "maxvit_tiny_tf_224", "mobilevit_xxs", "edgenext_xx_small", "volo_d1_224", "convit_tiny",
    "davit_tiny", "focalnet_tiny_srf", "visformer_tiny", "tiny_vit_5m_224", "pit_ti_224", "efficientformer_l1",
]


def torchvision():
    """The package, also beside a PyTorch that its compiled part was not built for; classification needs none of it."""
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        torchvision._tenon_keeps = library
    return torchvision


def all_models():
    models = torchvision().models
    names = [f"torchvision/{name}" for name in models.list_models(module=models)]
    names += [f"torchvision/{name}" for name in models.list_models(module=models.segmentation)]
    return names + [f"timm/{name}" for name in TIMM]


def make(name):
    """The model in evaluation mode and an input, the same every time."""
    torch.manual_seed(20261122)
    package, _, model_name = name.partition("/")
    size = 224
    if package == "timm":
        torchvision()
        import timm

        model = timm.create_model(model_name)
        size = model.default_cfg["input_size"][-1] if hasattr(model, "default_cfg") else size
    else:
        options = {"weights": None}
        if model_name in ("googlenet", "inception_v3"):
            options["init_weights"] = False
        if re.match("fcn|deeplab|lraspp", model_name):
            options["weights_backbone"] = None
        model = torchvision().models.get_model(model_name, **options)
        size = 299 if model_name == "inception_v3" else size
    randomise(model, size)
    return model.eval(), torch.randn(1, 3, size, size)


@torch.no_grad()
def randomise(model, size):
    """Weights that say nothing (all one, all zero, all tiny) become random; statistics fit the model, but not quite.

    Variances get a part of the squared mean: where channels hardly vary, normalisation would enlarge rounding errors until
    even PyTorch's own result is far from that in double precision, and there would be nothing to compare.
    """
    for parameter in model.parameters():
        if parameter.numel() > 1 and parameter.min() == parameter.max():
            if parameter.min() == 0:
                parameter.normal_(0, 0.02)
            else:
                parameter.uniform_(0.25, 0.75).mul_(max(float(parameter.max()), 0.1) if parameter.max() < 1 else 1)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    model(torch.randn(2, 3, size, size))
    for norm in norms:
        norm.eval()
        norm.running_mean.add_(norm.running_var.sqrt() * torch.randn_like(norm.running_mean) * 0.1)
        spread = torch.empty_like(norm.running_var).uniform_(0.8, 1.25)
        norm.running_var.mul_(spread).add_(norm.running_mean.square() / 4)


class Comparison(typing.NamedTuple):
    """How a model ran."""

    name: str
    #: Largest difference over the largest magnitude of PyTorch's output.
    error: float
    #: Operators in the imported graph.
    operators: int
    #: Operators in regions of oneDNN after optimization, in how many regions, and what stayed outside.
    offloaded: int
    regions: int
    left: dict


def tensors_of(value):
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [tensor for item in items for tensor in tensors_of(item)]


def error_of(found, expected):
    found, expected = tensors_of(found), tensors_of(expected)
    assert [tensor.shape for tensor in found] == [tensor.shape for tensor in expected]
    assert all(tensor.isfinite().all() for tensor in expected)
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) for a, b in zip(found, expected))


def operators_of(module):
    """Operators of the functions outside of regions, and of those in them; how many regions there are."""
    outside, inside, regions = collections.Counter(), collections.Counter(), 0
    for function in module.functions.values():
        is_region = "Codegen" in function.attributes
        regions += is_region
        calls = re.findall(r"^ *%\S+: .*? = (?!fn\b)([a-z][\w.]*)\(", str(function), re.MULTILINE)
        (inside if is_region else outside).update(calls)
    return outside, inside, regions


def compare(name, **options):
    import tenon
    import tenon.torch

    model, x = make(name)
    with torch.no_grad():
        expected = model(x)
        program = torch.export.export(model, (x,))
    operators = sum(operators_of(tenon.torch.from_exported_program(program))[0].values())
    run = tenon.compile(program, **options)
    outside, inside, regions = operators_of(run.executable._module)
    found = run(x)
    return Comparison(name, error_of(found, expected), operators, sum(inside.values()), regions, dict(outside))
