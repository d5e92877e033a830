"""Primitives that would take long are computed in pieces, so that runs can end between them. Results against PyTorch."""

import time

import numpy as np
import pytest

import tenon

torch = pytest.importorskip("torch")


def standard(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def convolution(x, w, *, stride=1, padding=1, groups=1, transposed=False, bias=False, scale=False, residual=False):
    """The module, its inputs and what PyTorch computes for them; a residual comes in as a second input."""
    spatial = len(x) - 2
    data, weights = standard(1, *x), standard(2, *w) / np.float32(np.sqrt(np.prod(w[1:])))
    call = getattr(torch.nn.functional, f"conv_transpose{spatial}d" if transposed else f"conv{spatial}d")
    tensor = torch.from_numpy
    want = call(tensor(data), tensor(weights), stride=stride, padding=padding, groups=groups)
    channels = want.shape[1]
    column = [1, channels] + [1] * spatial
    builder = tenon.Builder()
    value = builder.call(
        f"nn.conv{spatial}d_transpose" if transposed else f"nn.conv{spatial}d", builder.parameter("x", list(x)),
        builder.constant(weights), strides=[stride] * spatial, padding=[padding] * 2 * spatial, groups=groups)
    inputs = [data]
    for seed, (is_there, name) in enumerate([(bias, "add"), (scale, "multiply")], 3):
        if is_there:
            numbers = standard(seed, *column)
            value = builder.call(name, value, builder.constant(numbers))
            want = want + tensor(numbers) if name == "add" else want * tensor(numbers)
    if residual:
        value = builder.call("add", value, builder.parameter("r", list(want.shape)))
        inputs.append(standard(5, *want.shape))
        want = want + tensor(inputs[1])
    return builder.finish(builder.call("nn.relu", value)), inputs, torch.relu(want).numpy()


CONVOLUTIONS = {
    "batch": (dict(x=(16, 64, 64, 64), w=(64, 64, 3, 3)), 2),
    "batch with a bias, a scale and a residual": (
        dict(x=(9, 64, 64, 64), w=(64, 64, 3, 3), bias=True, scale=True, residual=True), 2),
    "channels": (dict(x=(1, 128, 128, 128), w=(128, 128, 3, 3)), 2),
    "channels with a bias, a scale and a residual": (
        dict(x=(1, 128, 128, 128), w=(128, 128, 3, 3), bias=True, scale=True, residual=True), 2),
    "samples and channels": (dict(x=(2, 256, 96, 96), w=(256, 256, 3, 3), bias=True, residual=True), 4),
    "strides": (dict(x=(1, 256, 128, 128), w=(512, 256, 3, 3), stride=2, bias=True, residual=True), 2),
    "one element": (dict(x=(1, 512, 128, 128), w=(512, 512, 1, 1), padding=0, bias=True, residual=True), 2),
    "groups": (dict(x=(1, 256, 128, 128), w=(256, 64, 3, 3), groups=4, bias=True, residual=True), 2),
    "groups of two samples": (dict(x=(2, 256, 128, 128), w=(256, 64, 3, 3), groups=4, bias=True, residual=True), 4),
    "transposed": (dict(x=(1, 128, 64, 64), w=(128, 128, 4, 4), stride=2, transposed=True, bias=True), 2),
    "lines": (dict(x=(2, 256, 8192), w=(256, 256, 3), bias=True, scale=True, residual=True), 2),
    "volumes": (dict(x=(1, 64, 16, 32, 32), w=(128, 64, 3, 3, 3), bias=True, residual=True), 2),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("cancellable", [False, True])
def test_pieces_of_a_convolution_give_the_whole(kind, cancellable):
    options, least = CONVOLUTIONS[kind]
    module, inputs, want = convolution(**options)
    run = tenon.compile(module, threads=1, cancellable=cancellable)
    np.testing.assert_allclose(run.run(inputs)[0], want, rtol=1e-3, atol=1e-3)
    primitives = [step for step in run.profile(*inputs) if step.flops > 0]
    assert len(primitives) >= least, [step.implementation for step in primitives]
    assert len({step.implementation for step in primitives}) == 1


def test_weights_that_a_run_computes_stay_in_one_piece(rng):
    builder = tenon.Builder()
    x, w = builder.parameter("x", [1, 128, 96, 96]), builder.parameter("w", [128, 128, 3, 3])
    module = builder.finish(builder.call("nn.conv2d", x, w, padding=[1, 1, 1, 1]))
    data, weights = standard(1, 1, 128, 96, 96), standard(2, 128, 128, 3, 3) / np.float32(34)
    want = torch.conv2d(torch.from_numpy(data), torch.from_numpy(weights), padding=1)
    run = tenon.compile(module, threads=1)
    np.testing.assert_allclose(run.run([data, weights])[0], want, rtol=1e-3, atol=1e-3)


def test_a_short_convolution_stays_whole():
    module, inputs, want = convolution((8, 32, 32, 32), (32, 32, 3, 3), bias=True)
    run = tenon.compile(module, threads=1)
    np.testing.assert_allclose(run.run(inputs)[0], want, rtol=1e-3, atol=1e-3)
    assert len([step for step in run.profile(*inputs) if step.flops > 0]) == 1


@pytest.mark.parametrize("rows", [[700], [1021], [4, 300], [1, 900]])
@pytest.mark.parametrize("cancellable", [False, True])
def test_products_of_many_rows(rows, cancellable):
    builder = tenon.Builder()
    depth, columns = 1024, 2048
    weights, bias = standard(1, depth, columns) / np.float32(32), standard(2, columns)
    x, r = builder.parameter("x", [*rows, depth]), builder.parameter("r", [*rows, columns])
    value = builder.call("add", builder.call("matmul", x, builder.constant(weights)), builder.constant(bias))
    module = builder.finish(builder.call("nn.relu", builder.call("add", value, r)))
    data, residual = standard(3, *rows, depth), standard(4, *rows, columns)
    run = tenon.compile(module, threads=1, cancellable=cancellable)
    want = np.maximum(data @ weights + bias + residual, 0)
    np.testing.assert_allclose(run.run([data, residual])[0], want, rtol=1e-3, atol=1e-3)


def test_many_products_are_cut_between_them():
    builder = tenon.Builder()
    a, b = builder.parameter("a", [24, 300, 256]), builder.parameter("b", [24, 256, 512])
    module = builder.finish(builder.call("matmul", a, b))
    left, right = standard(1, 24, 300, 256), standard(2, 24, 256, 512)
    run = tenon.compile(module, threads=1)
    np.testing.assert_allclose(run.run([left, right])[0], left @ right, rtol=1e-3, atol=1e-3)


def test_a_deadline_ends_a_run_between_the_pieces():
    # Some seconds on one thread; the pieces that are left to the end are a fifth of one on an idle machine.
    module, inputs, _ = convolution((1, 256, 256, 256), (256, 256, 3, 3))
    run = tenon.compile(module, threads=1)
    started = time.monotonic()
    with pytest.raises(tenon.DeadlineExceededError):
        run.run(inputs, timeout=0.1)
    partly = time.monotonic() - started
    started = time.monotonic()
    run.run(inputs)
    assert partly < 0.6 * (time.monotonic() - started)
