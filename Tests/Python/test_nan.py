"""What becomes of NaN: what docs/fusion.md says."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

UNARY = {
    "nn.relu": {}, "nn.leakyrelu": {"alpha": 0.1}, "sigmoid": {}, "tanh": {}, "abs": {}, "sqrt": {}, "nn.silu": {}, "nn.gelu": {},
    "square": {}, "nn.hard_swish": {}, "exp": {}, "log": {}, "nn.relu6": {}, "nn.elu": {"alpha": 1.0}, "nn.mish": {},
}
#: Which oneDNN 2.6 does not hand on, as an operation of its own or behind another.
SWALLOWED = {"nn.relu", "nn.relu6", "exp"}


def module(operator: str, attributes: dict, convolution: bool) -> tenon.Module:
    b = tenon.Builder()
    x = b.parameter("x", (1, 16, 4, 4))
    value = x
    if convolution:
        value = b.call("nn.conv2d", x, b.constant(np.eye(16, dtype=np.float32).reshape(16, 16, 1, 1)))
    return b.finish(b.call(operator, value, **attributes))


def poisoned() -> np.ndarray:
    data = np.random.default_rng(0).uniform(0.1, 2, (1, 16, 4, 4)).astype(np.float32)
    data[0, :, 1, 2] = np.nan
    return data


@pytest.mark.parametrize("convolution", [False, True], ids=["alone", "behind a convolution"])
@pytest.mark.parametrize("operator", UNARY)
def test_kernels_hand_nan_on(operator, convolution):
    run = tenon.compile(module(operator, UNARY[operator], convolution), reference=True)
    assert np.isnan(run(poisoned())[0, :, 1, 2]).all()


@pytest.mark.parametrize("convolution", [False, True], ids=["alone", "behind a convolution"])
@pytest.mark.parametrize("operator", sorted(set(UNARY) - SWALLOWED))
def test_onednn_hands_nan_on(operator, convolution):
    run = tenon.compile(module(operator, UNARY[operator], convolution).optimize())
    result = run(poisoned())
    assert np.isnan(result[0, :, 1, 2]).all()
    assert not np.isnan(np.delete(result.reshape(16, 16), 6, axis=1)).any()


@pytest.mark.parametrize("operator", sorted(SWALLOWED))
def test_nan_survives_where_the_rules_are_off(operator):
    rules = ["dnnl.conv2d_post_ops", "dnnl.eltwise_post_ops"]
    run = tenon.compile(module(operator, UNARY[operator], True).optimize(disabled_rules=rules))
    assert np.isnan(run(poisoned())[0, :, 1, 2]).all()


def test_folded_constants_hold_no_denormals():
    b = tenon.Builder()
    x = b.parameter("x", (1, 4, 6, 6))
    weight = np.full((8, 4, 3, 3), 1e-20, np.float32)
    y = b.call("nn.conv2d", x, b.constant(weight))
    scale = np.full(8, 1e-20, np.float32)
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    y = b.call("nn.batch_norm", y, *(b.constant(v) for v in (scale, zeros, zeros, ones)), axis=1, epsilon=0.0)
    fused = b.finish(b.tuple_get_item(y, 0)).optimize()
    assert "batch_norm" not in str(fused)
    result = tenon.compile(fused)(np.ones((1, 4, 6, 6), np.float32))
    assert (result == 0).all()
