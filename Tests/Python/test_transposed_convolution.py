"""Transposed convolutions whose windows do not overlap become a 1×1 convolution and depth_to_space."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

RNG = np.random.default_rng(5)


def build(kernel=2, channels=6, outputs=5, groups=1, constant=True, tail=True, second=False, **attributes):
    b = tenon.Builder()
    x = b.parameter("x", (2, channels, 7, 9))
    weight = RNG.standard_normal((channels, outputs // groups, kernel, kernel)).astype(np.float32)
    w = b.constant(weight) if constant else b.parameter("w", weight.shape)
    attributes.setdefault("strides", [kernel, kernel])
    y = b.call("nn.conv2d_transpose", x, w, groups=groups, **attributes)
    first = y
    if tail:
        y = b.call("add", y, b.constant(RNG.standard_normal((1, outputs, 1, 1)).astype(np.float32)))
        y = b.call("nn.batch_norm", y, *(b.constant(RNG.uniform(0.5, 1.5, outputs).astype(np.float32)) for _ in range(4)), axis=1)
        y = b.call("nn.relu", b.tuple_get_item(y, 0))
        y = b.call("multiply", y, b.constant(np.float32(0.5)))
    return b.finish(y, first) if second else b.finish(y)


def both(module):
    optimized = module.optimize()
    run, reference = tenon.compile(optimized), tenon.compile(module, reference=True)
    inputs = [RNG.standard_normal(port.shape).astype(np.float32) for port in run.inputs]
    for got, expected in zip(run.run(inputs), reference.run(inputs)):
        np.testing.assert_allclose(got, expected, atol=1e-4, rtol=1e-4)
    return str(optimized)


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("tail", [False, True])
def test_becomes_a_product(kernel, tail):
    text = both(build(kernel, tail=tail))
    assert "nn.conv2d_transpose" not in text and "nn.depth_to_space" in text
    if tail:
        # Bias and activation meet the convolution: nothing is left to do behind.
        main = text[:text.index("\n}\n")]
        assert main.index("@fused") < main.index("nn.depth_to_space(") and main.count("@fused") == 1


def test_with_a_second_user_the_rest_stays_behind():
    text = both(build(second=True))
    assert "nn.conv2d_transpose" not in text


@pytest.mark.parametrize(
    "change",
    [{"strides": [1, 1]}, {"strides": [3, 3]}, {"padding": [1, 1, 1, 1]}, {"output_padding": [1, 1]}, {"groups": 2, "outputs": 4},
     {"constant": False}, {"dilation": [2, 2]}, {"strides": [2, 1]}, {"kernel": 1}],
    ids=str)
def test_stays(change):
    text = both(build(**change))
    assert "nn.conv2d_transpose" in text and "nn.depth_to_space" not in text
