"""Operators of Relax that are written in terms of others, against NumPy."""

import numpy as np
import pytest

import tenon


def run(op, *inputs, **attributes):
    """The operator on arrays: compiled as it is and optimised."""
    b = tenon.Builder()
    arrays, operands = [], []

    def operand(value):
        if isinstance(value, (np.ndarray, np.generic)):
            value = np.asarray(value)
            arrays.append(value)
            return b.parameter(f"p{len(arrays)}", value.shape, value.dtype)
        if isinstance(value, list):
            return b.tuple([operand(field) for field in value])
        return b.literal(value)

    for value in inputs:
        operands.append(operand(value))
    module = b.finish(b.call(op, *operands, **attributes))
    found = tenon.compile(module, threads=1)(*arrays)
    again = tenon.compile(module.optimize(), threads=1)(*arrays)
    for a, c in zip(found if isinstance(found, tuple) else [found], again if isinstance(again, tuple) else [again]):
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-6)
    return found


@pytest.mark.parametrize("subscripts, shapes", [
    ("ij,jk->ik", [(3, 4), (4, 5)]), ("ij,jk", [(3, 4), (4, 5)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("ii->i", [(4, 4)]), ("ii", [(4, 4)]), ("ij->ji", [(3, 4)]),
    ("i,j->ij", [(3,), (4,)]), ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 3)]), ("ij,kj,lk->il", [(3, 4), (5, 4), (6, 5)]),
    ("i,i->", [(4,), (4,)]), ("iij->ij", [(3, 3, 4)]), ("ab,cd->", [(2, 3), (4, 5)]), ("...i->...", [(2, 3, 4)]), ("bj,j->b", [(2, 3), (3,)]),
])
def test_einsum(rng, subscripts, shapes):
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    expected = np.einsum(subscripts, *(array.astype(np.float64) for array in arrays))
    np.testing.assert_allclose(run("einsum", arrays, subscripts=subscripts), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("subscripts", ["ij,jk->il", "ij->ik", "ij", "i..j,jk->ik", "ij,jk->ii", "i1,1k->ik", "ij,jk->ik->ik", "->"])
def test_einsums_that_are_none(subscripts):
    b = tenon.Builder()
    fields = b.tuple([b.parameter("a", (3, 4)), b.parameter("b", (4, 5))])
    with pytest.raises(tenon.TenonError):
        b.call("einsum", fields, subscripts=subscripts)


def test_simple_ones(rng):
    x, y = rng.standard_normal((3, 4), np.float32), rng.standard_normal((3, 4), np.float32)
    np.testing.assert_array_equal(run("nn.dropout", x, rate=0.3)[0], x)
    np.testing.assert_array_equal(run("nn.dropout", x)[1], np.ones_like(x))
    np.testing.assert_array_equal(run("nn.batch_flatten", x.reshape(3, 2, 2)), x)
    np.testing.assert_allclose(run("outer", x[0], y[1, :3]), np.outer(x[0], y[1, :3]), rtol=1e-6)
    np.testing.assert_allclose(run("ewise_fma", x, y, x), x * y + x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run("log_add_exp", x, y), np.logaddexp(x, y), rtol=1e-5, atol=1e-6)
    infinite = np.float32([np.inf, -np.inf, np.inf, 1])
    np.testing.assert_array_equal(
        run("log_add_exp", infinite, np.float32([np.inf, -np.inf, 1, -np.inf])), [np.inf, -np.inf, np.inf, 1])
    np.testing.assert_array_equal(run("full_like", x, np.float32(7)), np.full_like(x, 7))
    np.testing.assert_array_equal(run("eye_like", x, k=1), np.eye(3, 4, 1, np.float32))
    np.testing.assert_array_equal(run("masked_fill", x, x > 0, value=-2), np.where(x > 0, np.float32(-2), x))
    np.testing.assert_array_equal(run("hint_on_device", x), x)
    np.testing.assert_array_equal(run("wrap_param", x, dtype=np.float64), x.astype(np.float64))


def test_shuffles_grids_and_sums(rng):
    x = rng.standard_normal((2, 12, 3, 4), np.float32)
    expected = x.reshape(2, 3, 2, 2, 3, 4).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3, 6, 8)
    np.testing.assert_array_equal(run("nn.pixel_shuffle", x, upscale_factor=2), expected)
    np.testing.assert_array_equal(run("nn.pixel_shuffle", x[0], upscale_factor=2), expected[0])
    vectors = [np.arange(n, dtype=np.float32) for n in (2, 3, 4)]
    for indexing in ("ij", "xy"):
        for found, wanted in zip(run("meshgrid", vectors, indexing=indexing), np.meshgrid(*vectors, indexing=indexing)):
            np.testing.assert_array_equal(found, wanted)
    boundaries = np.float32([-1, 0, 0.5, 2])
    values = np.float32([[-2, -1, 0], [0.25, 2, 3]])
    np.testing.assert_array_equal(run("bucketize", values, boundaries), np.searchsorted(boundaries, values, "left"))
    right = run("bucketize", values, boundaries, right=True, out_int32=True)
    assert right.dtype == np.int32
    np.testing.assert_array_equal(right, np.searchsorted(boundaries, values, "right"))
    y = rng.standard_normal((2, 3, 4), np.float32)
    np.testing.assert_allclose(run("collapse_sum_to", y, "shape[3,1]"), y.sum((0, 2)).reshape(3, 1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run("collapse_sum_like", y, np.zeros(4, np.float32)), y.sum((0, 1)), rtol=1e-5, atol=1e-5)


def test_indexing(rng):
    x = rng.standard_normal((4, 5, 6), np.float32)
    i, j = np.array([[0], [3]]), np.array([1, 2, 4])
    np.testing.assert_array_equal(run("index_tensor", x, [i, j]), x[i, j])
    np.testing.assert_array_equal(run("index_tensor", x, [j[:2]]), x[j[:2]])
    values = rng.standard_normal((2, 3, 6), np.float32)
    expected = x.copy()
    expected[i, j] = values
    np.testing.assert_array_equal(run("index_put", x, [i, j], values), expected)
    expected = x.copy()
    np.add.at(expected, (np.array([1, 1]),), values[0, 0])
    found = run("index_put", x, [np.array([1, 1])], values[0, 0], accumulate=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    expected = x.copy()
    source = rng.standard_normal((4, 2, 6), np.float32)
    expected[:, 1:5:2] = source
    np.testing.assert_array_equal(run("slice_scatter", x, source, "1", "5", "2", axis=1), expected)


def test_losses_windows_and_grids(rng):
    scores, targets = rng.standard_normal((3, 4), np.float32), np.array([1, -100, 3])
    weights = np.float32([1, 2, 3, 4])
    picked = -scores[[0, 2], [1, 3]] * weights[[1, 3]]
    np.testing.assert_allclose(run("nn.nll_loss", scores, targets, weights), picked.sum() / 6, rtol=1e-5)
    np.testing.assert_allclose(run("nn.nll_loss", scores, targets, reduction="sum"), -scores[0, 1] - scores[2, 3], rtol=1e-5)
    np.testing.assert_allclose(run("nn.nll_loss", scores, targets, weights, reduction="none"), [picked[0], 0, picked[1]], rtol=1e-5)
    labels = rng.random((3, 4), np.float32)
    np.testing.assert_allclose(run("nn.cross_entropy_with_logits", scores, labels), -(scores * labels).sum() / 3, rtol=1e-5)
    b = tenon.Builder()
    window = b.call("hamming_window", *(b.literal(text) for text in ("10", "0", "0.54", "0.46")))
    np.testing.assert_allclose(tenon.compile(b.finish(window), threads=1)(), np.hamming(10), rtol=1e-5, atol=1e-6)
    theta = rng.standard_normal((2, 2, 3), np.float32)
    ys, xs = np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 4), indexing="ij")
    grid = np.stack([xs, ys, np.ones_like(xs)]).reshape(3, -1)
    np.testing.assert_allclose(run("image.affine_grid", theta, "shape[3,4]"), (theta @ grid).reshape(2, 2, 3, 4), rtol=1e-4, atol=1e-5)
    prob = np.float32([[0.2, 0.3, 0.5], [1, 0, 0]])
    found = run("multinomial_from_uniform", prob, np.float32([[0.1], [0.4], [0.6], [0.9]]), np.array([[0], [0], [0], [1]]))
    np.testing.assert_array_equal(found, [[0], [1], [2], [0]])


def test_split_takes_relax_names(rng):
    x = rng.standard_normal((6, 4), np.float32)
    for given, wanted in ((3, np.split(x, 3)), ([1, 4], np.split(x, [1, 4]))):
        for found, expected in zip(run("split", x, indices_or_sections=given), wanted):
            np.testing.assert_array_equal(found, expected)
