"""Products with weights that are packed once: any number of rows, one copy of the weights, remainders of every tile."""

import numpy as np
import pytest

import tenon


def layer(weight, op="nn.dense", rows="n"):
    b = tenon.Builder()
    depth = weight.shape[1 if op == "nn.dense" else 0]
    x = b.parameter("x", (rows, depth))
    return tenon.compile(b.finish(b.call(op, x, b.constant(weight))))


@pytest.mark.parametrize("columns, depth", [(1, 1), (7, 33), (16, 320), (33, 700), (130, 64)])
def test_any_number_of_rows(rng, columns, depth):
    weight = rng.normal(size=(columns, depth)).astype(np.float32)
    dense, matmul = layer(weight), layer(np.ascontiguousarray(weight.T), "matmul")
    for rows in [1, 2, 3, 5, 6, 7, 13, 14, 29]:
        x = rng.normal(size=(rows, depth)).astype(np.float32)
        expected = x.astype(np.float64) @ weight.T.astype(np.float64)
        for run in dense, matmul:
            np.testing.assert_allclose(run(x), expected, rtol=1e-4, atol=1e-4)


def test_a_row_does_not_depend_on_its_neighbours(rng):
    weight = rng.normal(size=(50, 700)).astype(np.float32)
    run = layer(weight)
    x = rng.normal(size=(17, 700)).astype(np.float32)
    together = run(x)
    for row in 0, 3, 16:
        np.testing.assert_array_equal(run(x[row : row + 1])[0], together[row])


def test_not_a_number_stays_in_its_row(rng):
    run = layer(rng.normal(size=(20, 40)).astype(np.float32))
    x = rng.normal(size=(9, 40)).astype(np.float32)
    x[4, 7] = np.nan
    y = run(x)
    assert np.isnan(y[4]).all() and np.isfinite(np.delete(y, 4, 0)).all()


@pytest.mark.parametrize("left, right", [((3, 2, 5, 20), (3, 2, 20, 9)), ((4, 1, 20), (4, 20, 33)), ((2, 7, 300), (300, 5)),
                                         ((2, 1, 3, 4), (5, 4, 17)), ((6, 4), (3, 4, 2))])
def test_both_sides_are_data(rng, left, right):
    b = tenon.Builder()
    x, y = b.parameter("x", left), b.parameter("y", right)
    run = tenon.compile(b.finish(b.call("matmul", x, y)))
    p, q = (rng.normal(size=shape).astype(np.float32) for shape in (left, right))
    np.testing.assert_allclose(run(p, q), p.astype(np.float64) @ q.astype(np.float64), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("isa, packs", [("base", False), ("avx2", True)])
def test_instruction_sets_can_be_bounded(isa, packs):
    import os
    import subprocess
    import sys

    if packs and "avx2" not in open("/proc/cpuinfo").read():
        pytest.skip("this machine has no AVX2")
    program = (
        "import numpy as np, tenon\n"
        "b = tenon.Builder()\n"
        "x, w = b.parameter('x', ('n', 33)), np.arange(330, dtype=np.float32).reshape(10, 33) / 100\n"
        "run = tenon.compile(b.finish(b.call('nn.dense', x, b.constant(w))))\n"
        "a = np.linspace(-1, 1, 66, dtype=np.float32).reshape(2, 33)\n"
        "np.testing.assert_allclose(run(a), a @ w.T, rtol=1e-5, atol=1e-5)\n"
        "print(run.memory.packed_weights > 0)\n")
    found = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"TENON_MAX_CPU_ISA": isa}, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(packs)]
