"""What becomes of NaN, infinities and other extreme values: what docs/fusion.md says."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

UNARY = {
    "nn.relu": {}, "nn.leakyrelu": {"alpha": 0.1}, "sigmoid": {}, "tanh": {}, "abs": {}, "sqrt": {}, "nn.silu": {}, "nn.gelu": {},
    "square": {}, "nn.hard_swish": {}, "exp": {}, "log": {}, "nn.relu6": {}, "nn.elu": {"alpha": 1.0}, "nn.mish": {},
    "nn.hard_sigmoid": {}, "nn.softplus": {}, "nn.gelu_tanh": {}, "round": {}, "negative": {}, "nn.softmax": {"axis": 1},
    "nn.log_softmax": {"axis": 1},
}
#: What one tensor of 16 channels of 4 × 4 holds beside ordinary numbers.
EXTREMES = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-30, -1e-30, 1e30, -1e30, 3.4e38, -3.4e38, 88.8, -88.8, 1e4], np.float32)


def eye(channels: int = 16) -> np.ndarray:
    return np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)


def module(operator: str, attributes: dict, convolution: bool) -> tenon.Module:
    b = tenon.Builder()
    x = b.parameter("x", (1, 16, 4, 4))
    value = x
    if convolution:
        value = b.call("nn.conv2d", x, b.constant(eye()))
    return b.finish(b.call(operator, value, **attributes))


def poisoned() -> np.ndarray:
    data = np.random.default_rng(0).uniform(0.1, 2, (1, 16, 4, 4)).astype(np.float32)
    data[0, :, 1, 2] = np.nan
    return data


def same(got: np.ndarray, expected: np.ndarray) -> None:
    """NaN where NaN is, infinities where they are, other values within 2e-6 of them."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-36, equal_nan=True)


@pytest.mark.parametrize("convolution", [False, True], ids=["alone", "behind a convolution"])
@pytest.mark.parametrize("operator", UNARY)
def test_kernels_hand_nan_on(operator, convolution):
    run = tenon.compile(module(operator, UNARY[operator], convolution), reference=True)
    assert np.isnan(run(poisoned())[0, :, 1, 2]).all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("convolution", [False, True], ids=["alone", "behind a convolution"])
@pytest.mark.parametrize("operator", UNARY)
def test_fused_networks_hand_nan_on(operator, convolution, threads):
    run = tenon.compile(module(operator, UNARY[operator], convolution).optimize(), threads=threads)
    result = run(poisoned())
    assert np.isnan(result[0, :, 1, 2]).all()
    assert not np.isnan(np.delete(result.reshape(16, 16), 6, axis=1)).any()
    # The next run has no NaN, and knows nothing of the one before.
    assert not np.isnan(run(np.ones((1, 16, 4, 4), np.float32))).any()


def test_fast_numerics_may_lose_nan():
    model = module("nn.relu", {}, True).optimize()
    assert not np.isnan(tenon.compile(model, numerics="fast")(poisoned())).any()
    assert np.isnan(tenon.compile(model, numerics="strict")(poisoned())).any()
    with pytest.raises(tenon.InvalidArgumentError, match="numerics"):
        tenon.compile(model, numerics="sloppy")


@pytest.mark.parametrize("value", EXTREMES, ids=str)
@pytest.mark.parametrize("operator", [name for name in UNARY if "softmax" not in name])
def test_extreme_values(operator, value):
    with np.errstate(all="ignore"):
        data = np.random.default_rng(1).uniform(0.1, 2, (1, 16, 4, 4)).astype(np.float32)
        data[0, :, 2, 1] = value
    plain = module(operator, UNARY[operator], False)
    expected = tenon.compile(plain, reference=True)(data)
    same(tenon.compile(plain.optimize())(data), expected)


def pool(kind: str, **attributes) -> tenon.Module:
    b = tenon.Builder()
    x = b.parameter("x", (1, 16, 6, 6))
    return b.finish(b.call(kind, x, **attributes))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.4e38], ids=str)
def test_max_pooling(value):
    data = np.random.default_rng(2).uniform(-1, 1, (1, 16, 6, 6)).astype(np.float32)
    data[0, 3, :2, 2:4] = value
    data[0, 5] = value
    expected = data.reshape(1, 16, 3, 2, 3, 2).max((3, 5))
    run = tenon.compile(pool("nn.max_pool2d", pool_size=[2, 2], strides=[2, 2]).optimize())
    same(run(data), expected)
    whole = tenon.compile(pool("nn.adaptive_max_pool2d", output_size=[1, 1]).optimize())
    same(whole(data), data.max((2, 3), keepdims=True))


@pytest.mark.parametrize("operator", ["maximum", "minimum"])
@pytest.mark.parametrize("bound", [0.0, 1.0, np.inf, -np.inf, np.nan], ids=str)
@pytest.mark.parametrize("shape", [(), (16, 1, 1), (1, 16, 4, 4)], ids=str)
def test_maximum_and_minimum(operator, bound, shape):
    b = tenon.Builder()
    x = b.parameter("x", (1, 16, 4, 4))
    value = b.call("nn.conv2d", x, b.constant(eye()))
    model = b.finish(b.call(operator, value, b.constant(np.full(shape, bound, np.float32)))).optimize()
    expected = (np.maximum if operator == "maximum" else np.minimum)(poisoned(), np.float32(bound))
    same(tenon.compile(model)(poisoned()), expected)


@pytest.mark.parametrize("channels", [5, 16, 19])
def test_infinities_do_not_spread_by_way_of_padding(channels):
    """Blocks of 16 channels are filled up with zeros, and infinity times zero is NaN."""
    b = tenon.Builder()
    x = b.parameter("x", (1, 16, 4, 4))
    weight = np.ones((channels, 16, 1, 1), np.float32)
    y = b.call("nn.relu", b.call("nn.conv2d", x, b.constant(weight)))
    y = b.call("nn.relu", b.call("nn.conv2d", y, b.constant(np.ones((16, channels, 1, 1), np.float32))))
    data = np.ones((1, 16, 4, 4), np.float32)
    data[0, 0, 1, 1] = np.inf
    result = tenon.compile(b.finish(y).optimize())(data)
    assert np.isposinf(result[0, :, 1, 1]).all() and np.isfinite(np.delete(result.reshape(16, 16), 5, axis=1)).all()


@pytest.mark.parametrize("operator", ["nn.relu", "exp"])
def test_nan_survives_where_the_rules_are_off(operator):
    rules = ["dnnl.conv2d_post_ops", "dnnl.eltwise_post_ops"]
    run = tenon.compile(module(operator, UNARY[operator], True).optimize(disabled_rules=rules))
    assert np.isnan(run(poisoned())[0, :, 1, 2]).all()


def normalised(scale: float, weight: float) -> tenon.Module:
    b = tenon.Builder()
    x = b.parameter("x", (1, 4, 6, 6))
    y = b.call("nn.conv2d", x, b.constant(np.full((8, 4, 3, 3), weight, np.float32)))
    scales = np.full(8, scale, np.float32)
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    y = b.call("nn.batch_norm", y, *(b.constant(v) for v in (scales, zeros, zeros, ones)), axis=1, epsilon=0.0)
    return b.finish(b.tuple_get_item(y, 0)).optimize()


def test_channels_that_are_switched_off_hold_no_denormals():
    fused = normalised(1e-35, 1e-20)
    assert "batch_norm" not in str(fused)
    assert (tenon.compile(fused)(np.ones((1, 4, 6, 6), np.float32)) == 0).all()


def test_small_factors_lose_nothing():
    result = tenon.compile(normalised(1e-20, 1e-20))(np.full((1, 4, 6, 6), 1e30, np.float32))
    np.testing.assert_allclose(result, 36e-10, rtol=1e-5)
