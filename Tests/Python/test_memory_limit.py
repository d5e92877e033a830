"""The memory limit covers what is planned, what is interpreted, and what kernels make for themselves; the peak is what was held."""

import subprocess
import sys

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx import TensorProto as T, helper as h  # noqa: E402

N = h.make_node


def info(name, shape, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, shape)


def load(nodes, inputs, outputs):
    graph = h.make_graph(nodes, "g", inputs, outputs)
    return tenon.Module.load_onnx(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString())


def doubling():
    """A loop whose state is twice as large after each iteration."""
    body = h.make_graph(
        [N("Identity", ["ci"], ["co"]), N("Concat", ["s", "s"], ["t"], axis=0)], "b",
        [info("i", [], T.INT64), info("ci", [], T.BOOL), info("s", [None])], [info("co", [], T.BOOL), info("t", [None])])
    return load([N("Loop", ["m", "", "x"], ["y"], body=body)], [info("x", [None]), info("m", [], T.INT64)], [info("y", [None])])


def test_states_of_a_loop():
    run = tenon.compile(doubling(), threads=1, memory_limit=32 << 20)
    x = np.ones(1024, np.float32)
    assert len(run.run([x, np.array(8)])[0]) == 256 << 10
    with pytest.raises(tenon.LimitExceededError, match="memory limit"):
        run.run([x, np.array(40)])
    # And after that there is as much as before.
    assert len(run.run([x, np.array(8)])[0]) == 256 << 10


@pytest.mark.parametrize("text", [
    "nn.pad(%x) {pad_width=[0, 2000000000]}",
    "nn.pad(%x) {pad_width=[2000000000, 0], pad_mode=\"replicate\"}",
])
def test_what_a_kernel_makes_for_itself(text):
    module = tenon.Module.parse(f"fn @main(%x: u8[4]) -> u8[2000000004] {{ %y: u8[2000000004] = {text}  return %y }}")
    with pytest.raises(tenon.LimitExceededError):
        tenon.compile(module.optimize(), threads=1, memory_limit=256 << 20)


def test_a_limit_below_the_need_of_the_model():
    module = tenon.Module.parse(
        "fn @main(%x: f32[1024,1024]) -> f32[1024,1024] { %y: f32[1024,1024] = exp(%x)  %z: f32[1024,1024] = sin(%y)"
        "  %a: f32[1024,1024] = add(%z, %y) return %a }")
    with pytest.raises(tenon.LimitExceededError, match="limit"):
        tenon.compile(module, threads=1, memory_limit=1 << 20)


def test_the_peak_is_what_the_system_saw():
    """In a process of its own: how much more memory was resident than before."""
    code = """
import numpy as np, tenon
def resident():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) << 10
small = tenon.Module.parse("fn @main(%x: f32[4]) -> f32[4] { %y: f32[4] = exp(%x)  return %y }")
tenon.compile(small, threads=1)(np.zeros(4, np.float32))
n = 4 << 20
body = "".join(f"%v{i + 1}: f32[{n}] = exp(%v{i})  " for i in range(4))
module = tenon.Module.parse(f"fn @main(%v0: f32[{n}]) -> f32[{n}] {{ {body} %y: f32[{n}] = add(%v4, %v1) return %y }}")
x, y = np.zeros(n, np.float32), np.ones(n, np.float32)
x += 1
before = resident()
run = tenon.compile(module, threads=1)
run.run([x], [y])
print(run.memory.peak, resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    peak, seen = map(int, done.stdout.split())
    assert peak > 30 << 20
    assert 0.7 * peak <= seen <= 1.2 * peak + (24 << 20), (peak, seen)
