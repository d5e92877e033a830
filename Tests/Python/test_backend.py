"""Backends in Python."""

import gc
import threading
import weakref

import numpy as np
import pytest

import tenon
from tenon import dpl, transform

SOURCE = """
fn @main(%x: f32[2,3]) { dataflow {
  %t = tanh(%x) %r = nn.relu(%t) %y = multiply(%r, const f32[](3)) output %y } return %y }
"""
RULE = "mine.scaled = multiply(nn.relu(*), *)"


class Mine(tenon.Backend):
    name = "mine"

    def __init__(self, compiling=None, running=None):
        self.compiling = compiling
        self.running = running
        self.seen = []
        self.runs = 0

    def compile(self, region, threads):
        assert region.attributes["Codegen"] == "mine" and threads >= 1
        (result,) = region.results
        relu, product = result.callee.bindings
        assert result.callee.attributes["Composite"] == "mine.scaled"
        assert (relu.op, product.op) == ("nn.relu", "multiply")
        self.seen.append(product.shape)
        if self.compiling is not None:
            return self.compiling(region)
        scale = product.args[1].data

        def run(inputs, outputs):
            self.runs += 1
            if self.running is not None:
                self.running(inputs, outputs)
            factor = inputs[1] if scale is None else scale
            np.multiply(np.maximum(inputs[0], 0), factor, out=outputs[0])

        return run


@pytest.fixture
def module():
    return tenon.Module.parse(SOURCE).fuse(RULE, annotate_codegen=True)


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3)).astype(np.float32)


def expected(x):
    return np.maximum(np.tanh(x), 0) * 3


def test_a_region_runs_in_python(module, x):
    """D-04: a region runs on the host's code, with the same numbers."""
    mine = Mine()
    with tenon.compile(module, backends=[mine]) as run:
        np.testing.assert_allclose(run(x), expected(x), rtol=1e-5)
        assert mine.runs == 1 and mine.seen == [(2, 3)]
        assert "mine" in run.report()


def test_from_many_threads(module, x):
    mine = Mine()
    run = tenon.compile(module, backends=[mine], concurrent_runs=2)
    results = []

    def work():
        for _ in range(20):
            results.append(np.allclose(run(x), expected(x), rtol=1e-5))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(results) and len(results) == 80


def test_symbolic_sizes(x):
    mine = Mine()
    module = tenon.Module.parse(
        "fn @main(%x: f32[n,3], %k: f32[]) { dataflow { %r = nn.relu(%x) %y = multiply(%r, %k) output %y } return %y }").fuse(
            RULE, annotate_codegen=True)
    run = tenon.compile(module, backends=[mine])
    for n in (1, 2, 5):
        data = np.resize(x, (n, 3))
        np.testing.assert_allclose(run(data, np.float32(2)), np.maximum(data, 0) * 2)
    assert mine.seen == [(1, 3), (2, 3), (5, 3)]


def test_refused_regions_run_anyway(module, x):
    for answer in (None, dpl.Refusal("too small", "more")):
        mine = Mine(compiling=lambda region: answer)
        np.testing.assert_allclose(tenon.compile(module, backends=[mine])(x), expected(x), rtol=1e-5)
        assert mine.seen and not mine.runs


def test_a_compilation_that_fails(module):
    with pytest.raises(tenon.BackendError, match="region 'fused_.*backend 'mine': compile failed: KeyError: 'w'") as caught:
        tenon.compile(module, backends=[Mine(compiling=lambda region: {}["w"])])
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(tenon.BackendError, match="compile of backend 'mine' returned int"):
        tenon.compile(module, backends=[Mine(compiling=lambda region: 3)])


def test_a_run_that_fails(module, x):
    def fail(inputs, outputs):
        raise ZeroDivisionError("lost\npower")

    mine = Mine(running=fail)
    run = tenon.compile(module, backends=[mine])
    with pytest.raises(tenon.BackendError, match="backend 'mine': run failed: ZeroDivisionError: lost power") as caught:
        run(x)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    mine.running = None
    np.testing.assert_allclose(run(x), expected(x), rtol=1e-5)


def test_inputs_are_not_written_to(module, x):
    def write(inputs, outputs):
        inputs[0][...] = 0

    with pytest.raises(tenon.BackendError, match="read-only"):
        tenon.compile(module, backends=[Mine(running=write)])(x)


def test_no_such_backend(module):
    with pytest.raises(tenon.NotFoundError, match="no backend 'mine'"):
        tenon.compile(module)
    with pytest.raises(tenon.InvalidArgumentError, match="two backends"):
        tenon.compile(module, backends=[Mine(), Mine()])
    with pytest.raises((TypeError, AttributeError)):
        tenon.compile(module, backends=[3])


def test_what_was_compiled_is_let_go(module, x):
    mine = Mine()
    run = tenon.compile(module, backends=[mine])
    run(x)
    hosts = weakref.ref(run._hosts)
    assert len(hosts()._runners) == 1
    run.close()
    assert not hosts()._runners
    del run
    gc.collect()
    assert hosts() is None


def test_run_codegen(module, x):
    """Regions are offered beforehand; what is refused loses Codegen."""
    mine = Mine()
    assert transform.RunCodegen([mine])(module) == module
    assert mine.seen
    refused = transform.RunCodegen([Mine(compiling=lambda region: None)])(module)
    assert not any("Codegen" in function.attributes for function in refused.functions.values())
    np.testing.assert_allclose(tenon.compile(refused)(x), expected(x), rtol=1e-5)
    with pytest.raises(tenon.NotFoundError, match="RunCodegen: @fused_"):
        transform.RunCodegen()(module)
    with pytest.raises(tenon.BackendError) as caught:
        transform.RunCodegen([Mine(compiling=lambda region: 1 / 0)])(module)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
