"""Random graphs with symbolic sizes, control flow and data-dependent stages against ONNX's reference evaluator."""

import os

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import tenon
from random_programs import graph

# `make soak` raises it.
COUNT = int(os.environ.get("TENON_RANDOM_PROGRAMS", "200"))
GROUP = 20


def check(seed):
    model, sizes, make = graph(seed)
    oracle = ReferenceEvaluator(model)
    module = tenon.Module.load_onnx(model.SerializeToString())
    runs = {
        "plain": tenon.compile(module, threads=1),
        "optimised": tenon.compile(module.optimize(), threads=2),
        "reference": tenon.compile(module, threads=1, reference=True),
    }
    # The first size again at the end: what larger sizes left behind must not show.
    for n in [*sizes, sizes[0]]:
        x = make(n)
        try:
            (expected,) = oracle.run(None, {"x": x})
        except ValueError:  # No rows left, and -1 in a shape stands for anything.
            continue
        for name, run in runs.items():
            found = np.asarray(run(x))
            assert found.shape == expected.shape, f"seed {seed}, {n} rows, {name}"
            assert np.array_equal(found, expected), f"seed {seed}, {n} rows, {name}"


@pytest.mark.parametrize("first", range(0, COUNT, GROUP))
def test_random_graphs_agree_with_the_reference_evaluator(first):
    for seed in range(first, min(first + GROUP, COUNT)):
        check(seed)
