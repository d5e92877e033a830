"""What the schema says of kinds of operators is true of every operator of the kind."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

NUMBERS = {"clip": (-0.5, 1.5)}
ATTRIBUTES = {
    "astype": {"dtype": "f64"}, "permute_dims": {"axes": [2, 0, 1, 3]}, "nn.depth_to_space": {"block_size": 2},
    "nn.space_to_depth": {"block_size": 2}, "expand_dims": {"axis": [1]}, "nn.softmax": {"axis": -1},
}


def having(trait: str) -> list[str]:
    names = []
    for name in tenon.operators():
        for line in tenon.describe(name).splitlines():
            if line.startswith("traits: ") and trait in line.removeprefix("traits: ").split(", "):
                names.append(name)
    assert names, trait
    return names


def run(name: str, *arrays: np.ndarray, **attributes) -> np.ndarray:
    b = tenon.Builder()
    values = [b.parameter(f"x{index}", array.shape, str(array.dtype)) for index, array in enumerate(arrays)]
    if name == "reshape":
        result = b.call(name, values[0], (6, 16))
    else:
        result = b.call(name, *values, *NUMBERS.get(name, ()), **{**ATTRIBUTES.get(name, {}), **attributes})
    return tenon.compile(b.finish(result), optimize=False)(*arrays)


def data(*shape: int) -> np.ndarray:
    # Where every function is defined.
    return np.random.default_rng(1).uniform(0.05, 0.95, shape).astype(np.float32)


@pytest.mark.parametrize("name", having("element-wise"))
def test_elementwise(name):
    """The elements in another order give the results in that order, bit by bit."""
    binary = name in having("binary")
    if name.startswith("logical"):
        arrays = [data(6, 7) > 0.5, data(7, 6).T > 0.4]
    elif name == "where":
        arrays = [data(6, 7) > 0.5, data(6, 7), data(7, 6).T.copy()]
    else:
        arrays = [data(6, 7) + (name == "acosh"), data(7, 6).T + 0.01][:2 if binary else 1]
    arrays = [np.ascontiguousarray(array) for array in arrays]
    order = np.random.default_rng(2).permutation(42)
    straight = run(name, *arrays)
    mixed = run(name, *[array.reshape(-1)[order] for array in arrays])
    np.testing.assert_array_equal(straight.reshape(-1)[order], mixed)


@pytest.mark.parametrize("name", having("clamps"))
def test_clamps(name):
    x = np.sort(np.concatenate([data(50) * 20 - 10, [-0.0, 0.0, np.inf, -np.inf]]).astype(np.float32))
    assert (np.diff(run(name, x)) >= 0)[np.isfinite(x[1:]) & np.isfinite(x[:-1])].all()
    np.testing.assert_array_equal(run(name, np.repeat(x, 9)), np.repeat(run(name, x), 9))


@pytest.mark.parametrize("name", having("non-negative"))
def test_non_negative(name):
    x = (data(6, 50) * 200 - 100).astype(np.float32)
    assert (run(name, x) >= 0).all()


@pytest.mark.parametrize("name", having("linear"))
def test_linear(name):
    spatial = int(name.split("conv")[1][0]) if "conv" in name else 0
    x, w = (data(2, 3, *[5] * spatial), data(3, 3, *[3] * spatial)) if spatial else (data(4, 6), data(6, 6))
    for twice in ([2 * x, w], [x, 2 * w]):
        np.testing.assert_array_equal(run(name, *twice), 2 * run(name, x, w))


@pytest.mark.parametrize("name", having("moves elements"))
def test_moved(name):
    x = data(1, 4, 6, 4)
    result = run(name, x)
    np.testing.assert_array_equal(np.sort(result, axis=None), np.sort(x, axis=None))
    if name in having("view"):
        np.testing.assert_array_equal(result.reshape(-1), x.reshape(-1))


@pytest.mark.parametrize("name", having("reduces"))
def test_reduced(name):
    x = data(4, 6, 5)
    assert run(name, x, axis=[1]).shape == (4, 5)
    assert run(name, x, axis=[0, 2], keepdims=True).shape == (1, 6, 1)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooled(kind):
    for name in having(f"{kind} pooling"):
        spatial = int(name[-2])
        x = data(1, 3, *[6] * spatial)
        reduce = np.max if kind == "max" else np.mean
        windows = x.reshape(1, 3, *[3, 2] * spatial)
        expected = reduce(windows, axis=tuple(range(3, 3 + 2 * spatial, 2)))
        result = run(name, x, pool_size=[2] * spatial, strides=[2] * spatial)
        np.testing.assert_allclose(result, expected, rtol=1e-6)
