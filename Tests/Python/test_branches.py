"""Valid models with branches and bodies, against onnxruntime: plain and optimised, whatever becomes constant or is merged."""

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto as T, helper as h, numpy_helper as nh  # noqa: E402

N = h.make_node


def info(name, shape, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, initializers=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers))
    made = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def constant(name, value, dtype):
    return nh.from_array(np.array(value, dtype), name)


def check(data, *feeds):
    module = tenon.Module.load_onnx(data)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    for current in (module, module.optimize()):
        for threads in (1, 2):
            run = tenon.compile(current, threads=threads)
            for feed in feeds:
                got = run.run(list(feed.values()))
                for mine, theirs in zip(got, session.run(None, feed), strict=True):
                    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def branch(name, count, inner=None):
    """Convolutions, so that the branch has a region; `count` results."""
    nodes = [N("Conv", ["x", "w"], [name + "c"], pads=[1, 1]), N("Relu", [name + "c"], [name + "r"]),
             N("Conv", [name + "r", "w"], [name + "d"], pads=[1, 1]), N("Relu", [name + "d"], [name + "o"])]
    results = [info(name + "o", [1, 8, 32]), info(name + "r", [1, 8, 32])][:count]
    if inner:
        nodes.append(N("If", ["q"], [name + "i"], then_branch=branch(name + "t", 1), else_branch=branch(name + "e", 1)))
        nodes.append(N("Add", [name + "i", name + "o"], [name + "s"]))
        results[0] = info(name + "s", [1, 8, 32])
    return h.make_graph(nodes, name, [], results)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("nested", [False, True])
def test_branches_whose_operators_are_merged(rng, count, nested):
    shape = [1, 8, 32]
    outputs = ["y", "z"][:count]
    weights = nh.from_array((rng.standard_normal((8, 8, 3)) * 0.1).astype(np.float32), "w")
    choice = N("If", ["p"], outputs, then_branch=branch("a", count, nested), else_branch=branch("b", count, nested))
    inputs = [info("x", shape), info("p", [], T.BOOL)] + ([info("q", [], T.BOOL)] if nested else [])
    data = model([choice], inputs, [info(name, shape) for name in outputs], [weights])
    x = rng.standard_normal(shape).astype(np.float32)
    flags = [{"p": np.array(p)} | ({"q": np.array(q)} if nested else {}) for p in (True, False) for q in (True, False)]
    check(data, *[{"x": x} | flag for flag in flags])


@pytest.mark.parametrize("limit", [0.0, 100.0])
def test_a_condition_that_weights_decide(rng, limit):
    then = h.make_graph([N("Mul", ["x", "two"], ["t"])], "t", [], [info("t", [2, 3])])
    other = h.make_graph([N("Neg", ["x"], ["e"])], "e", [], [info("e", [2, 3])])
    data = model(
        [N("ReduceSum", ["two"], ["s"], keepdims=0), N("Greater", ["s", "z"], ["c"]),
         N("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        [info("x", [2, 3])], [info("y", [2, 3])], [constant("z", limit, np.float32), constant("two", 2, np.float32)])
    check(data, {"x": rng.standard_normal((2, 3)).astype(np.float32)})


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("condition", ["true", "false"])
def test_a_condition_that_is_written_down(optimized, condition):
    module = tenon.Module.parse(f"""
        fn @main(%x: f32[2]) -> f32[2] {{
          %y: f32[2] = if const bool[]({condition}) {{
            %a: f32[2] = nn.relu(%x)
            yield %a
          }} else {{
            %b: f32[2] = exp(%x)
            yield %b
          }}
          return %y
        }}""")
    x = np.array([-1, 2], np.float32)
    got = tenon.compile(module.optimize() if optimized else module, threads=1)(x)
    np.testing.assert_allclose(got, np.maximum(x, 0) if condition == "true" else np.exp(x), rtol=1e-6)


def test_a_loop_that_only_collects():
    body = h.make_graph(
        [N("Identity", ["ci"], ["co"]), N("Cast", ["i"], ["f"], to=1), N("Add", ["f", "x"], ["o"])], "b",
        [info("i", [], T.INT64), info("ci", [], T.BOOL)], [info("co", [], T.BOOL), info("o", [3])])
    data = model([N("Loop", ["m", ""], ["y"], body=body)], [info("x", [3]), info("m", [], T.INT64)], [info("y", [None, 3])])
    check(data, *[{"x": np.ones(3, np.float32), "m": np.array(m, np.int64)} for m in (0, 1, 4)])


def test_a_loop_without_results_of_iterations():
    body = h.make_graph(
        [N("Identity", ["ci"], ["co"]), N("Add", ["s", "x"], ["t"])], "b",
        [info("i", [], T.INT64), info("ci", [], T.BOOL), info("s", [3])], [info("co", [], T.BOOL), info("t", [3])])
    data = model([N("Loop", ["m", "", "x"], ["y"], body=body)], [info("x", [3]), info("m", [], T.INT64)], [info("y", [3])])
    check(data, *[{"x": np.ones(3, np.float32), "m": np.array(m, np.int64)} for m in (0, 1, 4)])


def test_a_scan_without_state(rng):
    body = h.make_graph([N("Exp", ["xi"], ["yo"])], "b", [info("xi", [2])], [info("yo", [2])])
    data = model([N("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)], [info("x", [4, 2])], [info("y", [4, 2])])
    check(data, {"x": rng.standard_normal((4, 2)).astype(np.float32)})


def growing(nested):
    """h' = tanh(h W), and a state that gets one row more in every iteration; nested: an inner loop that grows from nothing."""
    steps = [N("MatMul", ["h", "W"], ["m"]), N("Tanh", ["m"], ["ho"]), N("Concat", ["s", "ho"], ["so"], axis=0),
             N("Identity", ["go"], ["again"])]
    states = [info("it", []), info("go", [], T.BOOL), info("h", None), info("s", None)]
    states[0].type.tensor_type.elem_type = T.INT64
    body = h.make_graph(steps, "b", states, [info("again", [], T.BOOL), info("ho", None), info("so", None)])
    loop = [N("Loop", ["n", "yes", "h0", "none"], ["hn", "rows"], body=body)]
    weights = nh.from_array(np.random.default_rng(1).standard_normal((8, 8)).astype("f4") * 0.4, "W")
    inputs = [info("h0", ["b", 8]), info("n", [], T.INT64)]
    common = [weights, constant("yes", True, bool), nh.from_array(np.zeros((0, 8), "f4"), "none")]
    if not nested:
        return model(loop, inputs, [info("hn", ["b", 8]), info("rows", ["rows", 8])], common)
    outer = h.make_graph(
        [N("Add", ["turn", "one"], ["n"]), *loop, N("ReduceSum", ["rows"], ["total"], keepdims=0), N("Identity", ["go2"], ["again2"])],
        "o", [h.make_tensor_value_info("turn", T.INT64, []), info("go2", [], T.BOOL)],
        [info("again2", [], T.BOOL), info("total", [])])
    return model([N("Loop", ["turns", "yes"], ["totals"], body=outer)], [inputs[0], info("turns", [], T.INT64)],
                 [info("totals", ["turns"])], [*common, constant("one", 1, np.int64)])


@pytest.mark.parametrize("nested", [False, True])
def test_states_that_grow(nested):
    rng = np.random.default_rng(2)
    count = "turns" if nested else "n"
    # Longer, shorter and longer again, and another size that the loop does not decide.
    feeds = [{"h0": rng.standard_normal((b, 8)).astype("f4"), count: np.array(n)}
             for b, n in [(1, 3), (1, 40), (3, 7), (1, 1), (2, 90), (1, 0), (2, 33)]]
    check(growing(nested), *feeds)


def test_a_state_that_outgrows_the_limit():
    module = tenon.Module.load_onnx(growing(False)).optimize()
    run = tenon.compile(module, threads=1, memory_limit=1 << 20)
    start = np.ones((1, 8), np.float32)
    with pytest.raises(tenon.LimitExceededError):
        run.run([start, np.array(100_000)])
    assert run.run([start, np.array(500)])[1].shape == (500, 8)


BEHIND = [
    ("permute_dims(%x) {axes=[1, 2, 0]}", "exp(%a)", "permute_dims(%a) {axes=[1, 2, 0]}"),
    ("nn.relu(%x)", "broadcast_to(%a, shape[5,2,3,4])", "multiply(%b, %b)"),
    ("permute_dims(%x) {axes=[1, 2, 0]}", "permute_dims(%a) {axes=[1, 2, 0]}", "permute_dims(%b) {axes=[1, 2, 0]}"),
]


@pytest.mark.parametrize("first,second,inner", BEHIND)
def test_a_branch_that_comes_to_use_what_its_operand_is_made_of(first, second, inner, rng):
    """A pass that looks behind the operand of a branch uses a value that was local to the block in front."""
    text = f"""
        fn @main(%x: f32[2,3,4], %c: bool[]) {{
          dataflow {{
            %a = {first}
            %b = {second}
            output {"%a, %b" if "%a" in inner else "%b"}
          }}
          %r: f32[...] = if %c {{
            dataflow {{
              %t = {inner}
              output %t
            }}
            yield %t
          }} else {{
            dataflow {{
              %e = exp(%b)
              output %e
            }}
            yield %e
          }}
          return %r
        }}"""
    module = tenon.Module.parse(text)
    optimised = module.optimize()
    optimised.verify()
    x = rng.standard_normal((2, 3, 4)).astype(np.float32)
    plain, fused = (tenon.compile(m, optimize=False) for m in (module, optimised))
    for condition in (True, False):
        want, got = (run(x, np.array(condition)) for run in (plain, fused))
        np.testing.assert_allclose(got, want, rtol=1e-6)
