"""The sequence that PyTorch's exporter leaves behind, fused into one composite: conv2d, reshape of the bias, add, relu."""

import sys

import numpy as np
import pytest

if __name__ == "__main__":
    # As a program: pytest finds the library first, as for all tests.
    sys.exit(pytest.main([__file__, "-q"]))

import tenon

COMPOSITE = "dnnl.conv2d_reshape_add_relu"


def convolution(x, weight, bias, padding=0):
    """float64 convolution of stride 1, written out."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight.astype(np.float64)) + bias.reshape(1, -1, 1, 1)


def build(rng, bias_shape=(1, 4, 1, 1), bias_as_parameter=False, swapped=False, relu=True, leak=False):
    weight, bias = rng.standard_normal((4, 3, 3, 3), np.float32), rng.standard_normal(4, np.float32)
    b = tenon.Builder()
    x = b.parameter("x", (2, 3, 10, 10))
    given = b.parameter("bias", (4,)) if bias_as_parameter else b.constant(bias)
    y = b.call("nn.conv2d", x, b.constant(weight), padding=[1, 1, 1, 1])
    shaped = b.call("reshape", given, bias_shape)
    z = b.call("add", shaped, y) if swapped else b.call("add", y, shaped)
    if relu:
        z = b.call("nn.relu", z)
    return b.finish(*([z, y] if leak else [z])), weight, bias


def composites(module):
    """Names of composites in a module; those inside regions are local functions and show in the text."""
    return str(module).count(COMPOSITE)


@pytest.mark.parametrize("options", [
    {}, {"swapped": True}, {"bias_shape": (4, 1, 1)}, {"bias_as_parameter": True},
])
def test_fused(rng, options):
    module, weight, bias = build(rng, **options)
    fused = module.apply("FuseConv2dReshapeAddRelu")
    functions = [f for f in fused.functions.values() if f.attributes.get("Composite") == COMPOSITE]
    assert len(functions) == 1
    assert functions[0].attributes["Primitive"] in (True, 1)
    merged = fused.apply("MergeCompositeFunctions")
    regions = [f for f in merged.functions.values() if f.attributes.get("Codegen") == "dnnl"]
    assert len(regions) == 1 and regions[0].attributes["global_symbol"] == regions[0].name

    x = rng.standard_normal((2, 3, 10, 10), np.float32)
    inputs = {"x": x, "bias": bias} if options.get("bias_as_parameter") else {"x": x}
    expected = np.maximum(convolution(x, weight, bias, padding=1), 0)
    for stage in (module, fused, merged, module.optimize()):
        found = tenon.compile(stage, optimize=False)(**inputs)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert "conv" in tenon.compile(merged).report()


@pytest.mark.parametrize("options", [{"relu": False}, {"leak": True}])
def test_not_fused_and_right_all_the_same(rng, options):
    module, weight, bias = build(rng, **options)
    fused = module.apply("FuseConv2dReshapeAddRelu")
    assert composites(fused) == 0
    x = rng.standard_normal((2, 3, 10, 10), np.float32)
    expected = convolution(x, weight, bias, padding=1)
    if options.get("relu", True):
        expected = np.maximum(expected, 0)
    found = tenon.compile(fused)(x)
    found = found[0] if isinstance(found, tuple) else found
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_residual_is_no_bias(rng):
    weight = rng.standard_normal((3, 3, 3, 3), np.float32)
    b = tenon.Builder()
    x = b.parameter("x", (1, 3, 8, 8))
    other = b.parameter("other", (3 * 8 * 8,))
    y = b.call("nn.conv2d", x, b.constant(weight), padding=[1, 1, 1, 1])
    y = b.call("nn.relu", y + b.call("reshape", other, (1, 3, 8, 8)))
    module = b.finish(y)
    fused = module.apply("FuseConv2dReshapeAddRelu")
    assert composites(fused) == 0
    data, more = rng.standard_normal((1, 3, 8, 8), np.float32), rng.standard_normal(192, np.float32)
    expected = np.maximum(convolution(data, weight, np.zeros(3), padding=1) + more.reshape(1, 3, 8, 8), 0)
    found = tenon.compile(module.optimize())(data, more)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def grouped_convolution(x, weight, bias, groups):
    """As ``convolution``, group by group."""
    parts = zip(np.split(x, groups, 1), np.split(weight, groups, 0), np.split(bias, groups))
    return np.concatenate([convolution(*part, padding=1) for part in parts], axis=1)


@pytest.mark.parametrize("bias_as_parameter", [False, True], ids=["constant bias", "bias parameter"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("groups", [1, 2])
def test_one_primitive_does_the_whole(rng, groups, layout, bias_as_parameter):
    """The pass, MergeCompositeFunctions and RunCodegen, one after the other; what runs is one step, by the profile."""
    weight = rng.standard_normal((8, 4 // groups, 3, 3), np.float32)
    bias, x = rng.standard_normal(8, np.float32), rng.standard_normal((2, 4, 10, 10), np.float32)
    last = layout == "NHWC"
    b = tenon.Builder()
    data = b.parameter("x", (2, 10, 10, 4) if last else (2, 4, 10, 10))
    given = b.parameter("bias", (8,)) if bias_as_parameter else b.constant(bias)
    layouts = {"data_layout": "NHWC", "kernel_layout": "OHWI"} if last else {}
    kernel = b.constant(np.ascontiguousarray(weight.transpose(0, 2, 3, 1)) if last else weight)
    y = b.call("nn.conv2d", data, kernel, padding=[1, 1, 1, 1], groups=groups, **layouts)
    module = b.finish(b.call("nn.relu", y + b.call("reshape", given, (1, 1, 1, 8) if last else (1, 8, 1, 1))))
    for name in ("FuseConv2dReshapeAddRelu", "MergeCompositeFunctions", "RunCodegen"):
        module = module.apply(name)
    assert composites(module) == 1
    run = tenon.compile(module, threads=1)
    inputs = {"x": np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if last else x}
    if bias_as_parameter:
        inputs["bias"] = bias
    profile = run.profile(inputs)
    working = [step for step in profile if step.composite != "reorder"]
    assert [step.composite for step in working] == [COMPOSITE], list(profile)
    assert "reshape" not in working[0].implementation and working[0].flops > 0
    found = run(**inputs)
    expected = np.maximum(grouped_convolution(x, weight, bias, groups), 0)
    found = found.transpose(0, 3, 1, 2) if last else found
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
