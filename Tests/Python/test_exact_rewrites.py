"""Constants in a row, alone and behind layers: the optimiser must not change a result beyond rounding, whatever the values are."""

from __future__ import annotations

import numpy as np
import pytest

import tenon

F = np.float32
#: What a rounding trick, a saturation or an ordinary network has.
TERMS = [12582912.0, 6291456.0, 8388608.0, 1.5, 0.1, 3.0, 200.0, 1e30, 1e-30, 0.0, 12288.0, 98304.0]
FACTORS = [3e38, 1e-38, 1e25, 1e-25, 0.25, 1 / 3, 3.0, 1.0, 127.0, 1 / 127, 1e4, 2.0**-20]
VALUES = np.array(
    [0.4, 1.5, 2.5, -0.6, 7.49, -3.5, 1e-30, -1e-30, 1e30, 3e38, -2e38, 1e-38, 0.0, 123.456, -1e5, 5e-3], F)


def chain(rng: np.random.Generator) -> list[tuple[str, np.float32]]:
    steps = []
    for _ in range(rng.integers(2, 5)):
        if rng.random() < 0.5:
            term = F(rng.choice(TERMS) * rng.choice([-1, 1]))
            steps.append((rng.choice(["add", "subtract"]), term))
            if rng.random() < 0.5:
                # Taken away again, as rounding does.
                steps.append((str(rng.choice(["add", "subtract"])), term))
        else:
            steps.append((rng.choice(["multiply", "divide"]), F(rng.choice(FACTORS))))
    return [(str(name), number) for name, number in steps]


def as_written(steps, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The result in single precision step by step, and by how much another order of small constants may change it."""
    functions = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}
    error = np.zeros(x.shape)
    with np.errstate(all="ignore"):
        for name, number in steps:
            x = functions[name](x, number, dtype=F)
            if name in ("add", "subtract"):
                error += 2.0**-22 * min(abs(float(number)), 256.0)
            else:
                error = error * abs(float(number)) if name == "multiply" else error / abs(float(number))
            error += 2.0**-23 * np.abs(x.astype(np.float64)) * (np.abs(x) < 1e3)
    return x, error


@pytest.mark.parametrize("place", ["alone", "behind a convolution", "behind a product", "by channels"])
@pytest.mark.parametrize("seed", range(30))
def test_constants_in_a_row(place, seed):
    rng = np.random.default_rng(seed)
    steps = chain(rng)
    b = tenon.Builder()
    shape = (1, 16, 1, 16) if "product" not in place else (16, 16)
    x = b.parameter("x", shape)
    value = x
    if place == "behind a convolution" or place == "by channels":
        value = b.call("nn.conv2d", x, b.constant(np.eye(16, dtype=F).reshape(16, 16, 1, 1)))
    elif place == "behind a product":
        value = b.call("matmul", x, b.constant(np.eye(16, dtype=F)))
    for name, number in steps:
        value = b.call(name, value, b.constant(np.full((16, 1, 1) if place == "by channels" else (), number)))
    # A layer's weights take factors up to 2³², so sums that near to the largest number may saturate in one form alone.
    values = VALUES if place == "alone" else np.clip(VALUES, -1e28, 1e28).astype(F)
    data = np.zeros(shape, F)
    if len(shape) == 4:
        data[0, :, 0, :] = np.diag(values)
    else:
        data[:] = np.diag(values)
    expected, error = as_written(steps, data)
    module = b.finish(value)
    for threads in (1, 2):
        result = tenon.compile(module.optimize(), threads=threads)(data)
        np.testing.assert_array_equal(np.isnan(result), np.isnan(expected), err_msg=str(steps))
        np.testing.assert_array_equal(np.isinf(result), np.isinf(expected), err_msg=str(steps))
        finite = np.isfinite(expected)
        with np.errstate(all="ignore"):
            wrong = finite & (np.abs(result.astype(float) - expected) > 2e-6 * np.abs(expected) + error + 1e-44)
        assert not wrong.any(), (steps, data[wrong], result[wrong], expected[wrong])


def test_rounding_survives_in_every_place():
    """(x · i + M) - M, times s: fake quantisation, behind a layer that has a bias and batch normalisation."""
    rng = np.random.default_rng(0)
    b = tenon.Builder()
    x = b.parameter("x", (1, 16, 8, 8))
    weight, bias = rng.standard_normal((32, 16, 3, 3)).astype(F), rng.standard_normal(32).astype(F)
    y = b.call("nn.conv2d", x, b.constant(weight), padding=[1, 1, 1, 1])
    y = b.call("add", y, b.constant(bias.reshape(32, 1, 1)))
    y = b.call("multiply", y, b.constant(F(8)))
    y = b.call("subtract", b.call("add", y, b.constant(F(12582912))), b.constant(F(12582912)))
    y = b.call("multiply", y, b.constant(F(0.125)))
    module = b.finish(y)
    data = rng.standard_normal((1, 16, 8, 8)).astype(F)
    result = tenon.compile(module.optimize())(data)
    assert (result * 8 == np.rint(result * 8)).all()
    plain = tenon.compile(module, reference=True)(data)
    # Sums in another order may round to the other side where they are halves.
    assert (np.abs(result - plain) <= 0.125).all() and (result == plain).mean() > 0.99


@pytest.mark.parametrize("written_out", [False, True], ids=["operator", "log of softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_logarithm_of_a_certain_class_is_0(written_out, axis, threads):
    """A probability is at most 1, so its logarithm is not above 0; and small losses are not noise."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((8, 24, 40)).astype(F)
    np.moveaxis(x, axis, 0)[3] = 40
    b = tenon.Builder()
    data = b.parameter("x", x.shape)
    if written_out:
        result = b.call("log", b.call("nn.softmax", data, axis=axis))
    else:
        result = b.call("nn.log_softmax", data, axis=axis)
    given = tenon.compile(b.finish(result), threads=threads)(x)
    wide = x.astype(np.float64)
    expected = wide - np.log(np.sum(np.exp(wide), axis=axis, keepdims=True))
    assert given.max() <= 0
    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1.5e-7)
