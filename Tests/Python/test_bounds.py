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


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def outputs(count):
    lines = "".join(f"  %v{i}: f32[2] = exp(%x)\n" for i in range(count))
    names = ", ".join(f"%v{i}" for i in range(count))
    return tenon.Module.parse(f"fn @main(%x: f32[2]) {{\n dataflow {{\n{lines} %all = ({names})\n output %all\n }}\n return %all\n}}")


def test_explaining_is_linear_in_what_fuses():
    few, many = outputs(400), outputs(1600)
    for attempt in range(3):
        short, long = seconds(lambda: few.explain("a.b = exp(*);")), seconds(lambda: many.explain("a.b = exp(*);"))
        if long < 0.2 or long < 9 * short:
            return
    assert long < 9 * short


def test_a_sum_of_many_symbols():
    """Each partial sum holds all symbols before it: time and memory with the square of a file's size."""
    names = range(2000)
    parameters = ", ".join(f"%x{i}: f32[n{i}]" for i in names)
    fields = ", ".join(f"%x{i}" for i in names)
    with pytest.raises(tenon.TenonError, match="overflows"):
        tenon.Module.parse(f"fn @main({parameters}) {{ %y = concat(({fields})) {{axis=0}}  return %y }}")
    few = tenon.Module.parse("fn @main(%x: f32[n], %y: f32[m]) { %z = concat((%x, %y)) {axis=0}  return %z }")
    assert "f32[m + n]" in few.print() or "f32[n + m]" in few.print()


def test_drawing_a_wide_tuple():
    """The tuple's type stands beside every one of its items."""
    def drawn(count):
        items = "".join(f"  %v{i} = %t.{i}\n" for i in range(count))
        names = ", ".join(f"%v{i}" for i in range(count))
        module = tenon.Module.parse(
            f"fn @main(%x: f32[{count}]) {{\n  %t = split(%x) {{axis=0, indices_or_sections={count}}}\n{items}"
            f"  %all = ({names})\n  return %all\n}}")
        return len(module.draw().dot)
    assert drawn(800) < 6 * drawn(200)


def test_sizes_that_only_the_run_knows_are_named_in_linear_time():
    onnx = pytest.importorskip("onnx")
    from onnx import helper as h

    def load(count):
        nodes = [h.make_node("ConstantOfShape", ["s"], ["y"])]
        graph = h.make_graph(
            nodes, "g", [h.make_tensor_value_info("s", onnx.TensorProto.INT64, [count])],
            [h.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)])
        data = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
        return seconds(lambda: tenon.Module.load_onnx(data))

    for attempt in range(3):
        short, long = load(1000), load(4000)
        if long < 0.2 or long < 9 * short:
            return
    assert long < 9 * short
