"""Texts and graphs of few bytes that would be work or memory without end, and large ones that must not be."""

import time

import pytest

import tenon


def calls(levels):
    text = "fn @f0(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }\n"
    for level in range(1, levels):
        text += (f"fn @f{level}(%x: f32[2]) -> f32[2] {{ %z: f32[2] = @f{level - 1}(%x)  %y: f32[2] = @f{level - 1}(%z)"
                 "  return %y }\n")
    return tenon.Module.parse(text + f"fn @main(%x: f32[2]) -> f32[2] {{ %y: f32[2] = @f{levels - 1}(%x)  return %y }}")


def test_functions_that_call_others_twice():
    with pytest.raises((tenon.LimitExceededError, tenon.DeadlineExceededError)):
        tenon.compile(calls(30), threads=1, timeout=60)
    with pytest.raises(tenon.LimitExceededError):
        calls(30).serialize_onnx()


GROWING = """
fn @before(%x: f32[2]) -> f32[2] {
  %y: f32[2] = nn.relu(%x)
  return %y
}
fn @after(%x: f32[2]) -> f32[2] {
  %y: f32[2] = nn.relu(%x)
  %z: f32[2] = nn.relu(%y)
  return %z
}"""


def test_a_rule_that_grows():
    module = tenon.Module.parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }")
    with pytest.raises(tenon.LimitExceededError):
        module.rewrite(GROWING)


@pytest.mark.parametrize("fields,levels", [(2, 40), (1, 100_000), (1000, 3)])
def test_tuples_of_tuples(fields, levels):
    builder = tenon.Builder()
    value = builder.parameter("x", "f32[2]")
    with pytest.raises(tenon.LimitExceededError):
        for _ in range(levels):
            value = builder.tuple([value] * fields)


def test_tuples_of_tuples_in_a_text():
    lines = "".join(f"%t{i + 1} = (%t{i}, %t{i})\n" for i in range(40))
    with pytest.raises(tenon.LimitExceededError):
        tenon.Module.parse(f"fn @main(%t0: f32[2]) {{ {lines} return %t40 }}")


def chain(length):
    lines = "".join(f"  %v{i + 1}: f32[2] = add(%v{i}, %v{i})\n" for i in range(length))
    return f"fn @main(%v0: f32[2]) -> f32[2] {{\n dataflow {{\n{lines} output %v{length}\n }}\n return %v{length}\n}}"


def stages(length):
    """Seconds of each stage that a chain of operators goes through."""
    times = {}

    def timed(name, work):
        start = time.perf_counter()
        result = work()
        times[name] = time.perf_counter() - start
        return result

    text = chain(length)
    module = timed("parse", lambda: tenon.Module.parse(text))
    timed("print", module.print)
    data = timed("save", module.serialize_onnx)
    timed("load", lambda: tenon.Module.load_onnx(data))
    timed("optimize", module.optimize)
    run = timed("compile", lambda: tenon.compile(module, threads=1))
    import numpy as np
    timed("run", lambda: run(np.zeros(2, np.float32)))
    return times


def test_every_stage_is_linear():
    """Four times the operators take about four times as long; what is quadratic takes sixteen times."""
    for attempt in range(3):
        few, many = stages(1500), stages(6000)
        late = {name: many[name] / few[name] for name in few if many[name] > 0.2 and many[name] > 9 * few[name]}
        if not late:
            return
    assert not late
