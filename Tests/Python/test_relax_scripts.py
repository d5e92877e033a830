"""Programs that a user of Apache TVM brings: local functions, branches, rules in text with checks, and TVM beside in the same process."""

import numpy as np
import pytest

import tenon
from relax_scripts import both_readers
from tenon import dpl as d, op as R, transform as T

HEAD = '@I.ir_module\nclass Module:\n    @R.function\n    def main({}):\n'
SQUARE = 'R.Tensor((4, 4), "float32")'


def script(body, parameters=f"x: {SQUARE}, y: {SQUARE}"):
    return HEAD.format(parameters) + "\n".join("        " + line for line in body.strip("\n").split("\n"))


def run(module, *arrays):
    return tenon.compile(module, threads=1)(*arrays)


CAPTURING = f"""
@R.function
def g(u: {SQUARE}) -> {SQUARE}:
    v = R.add(u, y)
    return v
z = g(x)
k = g(z)
return k"""

DEEP = f"""
a = R.exp(y)
@R.function
def g(u: {SQUARE}) -> {SQUARE}:
    @R.function
    def h(w: {SQUARE}) -> {SQUARE}:
        r = R.multiply(w, a)
        return r
    v = h(u)
    return v
z = g(x)
return z"""


@pytest.mark.parametrize("body, expected", [
    (CAPTURING, lambda x, y: x + 2 * y), (DEEP, lambda x, y: x * np.exp(y)),
], ids=["once", "through two"])
def test_local_functions_that_use_values_around_them(rng, body, expected):
    x, y = (rng.standard_normal((4, 4), np.float32) for _ in range(2))
    for module in both_readers(script(body)):
        np.testing.assert_allclose(run(module, x, y), expected(x, y), rtol=1e-5, atol=1e-5)
        lifted = T.LambdaLift()(module)
        assert len(lifted.functions) > 1
        np.testing.assert_allclose(run(lifted, x, y), expected(x, y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("body", [CAPTURING, DEEP], ids=["once", "through two"])
def test_closures_of_tvm(rng, body):
    tvm = pytest.importorskip("tvm")
    x, y = (rng.standard_normal((4, 4), np.float32) for _ in range(2))
    there = tvm.relax.transform.LambdaLift()(tvm.script.from_source(script(body)))
    assert "make_closure" in there.script()
    expected = run(tenon.Module.parse(script(body)), x, y)
    for module in (tenon.from_tvm(there), tenon.Module.parse(there.script())):
        np.testing.assert_allclose(run(module, x, y), expected, rtol=1e-6, atol=1e-6)


def test_functions_around_are_not_seen_from_within():
    with pytest.raises(tenon.ParseError, match="around"):
        tenon.Module.parse(script(f"""
@R.function
def g(u: {SQUARE}) -> {SQUARE}:
    v = R.exp(u)
    return v
@R.function
def h(u: {SQUARE}) -> {SQUARE}:
    w = g(u)
    t = (w, g)
    return w
z = h(x)
return z"""))
    with pytest.raises(tenon.ParseError, match="can only be called"):
        tenon.Module.parse(script(CAPTURING.replace("return k", "return (k, g)")))
    with pytest.raises(tenon.ParseError, match="closure"):
        tenon.Module.parse(script("z = R.invoke_pure_closure(x, (y,))\nreturn z"))


def test_names_of_lifted_functions_begin_with_that_of_the_module():
    module = tenon.Module.parse(script(DEEP))
    assert sorted(T.LambdaLift()(module).functions) == ["main", "main_g", "main_h"]


def test_a_branch_gives_what_its_last_name_stands_for():
    module = tenon.Module.parse(script("""
if c:
    with R.dataflow():
        a = R.tanh(x)
        R.output(a)
    z = a
else:
    z = R.exp(x)
return z""", f"x: {SQUARE}, c: R.Tensor((), 'bool')"))
    assert "yield %a" in str(module)
    for flag, expected in ((True, np.tanh(1)), (False, np.exp(1))):
        np.testing.assert_allclose(run(module, np.ones((4, 4), np.float32), np.array(flag)), expected, rtol=1e-6)


def test_what_stands_for_nothing_may_have_a_name():
    module = tenon.Module.parse(script("n = R.null_value()\nz = R.memory.view(x, R.shape([16]), n, R.tuple())\nreturn z"))
    assert module == tenon.Module.parse(script("z = R.memory.view(x, R.shape([16]))\nreturn z"))
    with pytest.raises(tenon.InvalidArgumentError, match="input 'a' is missing"):
        tenon.Module.parse(script("n = R.null_value()\nz = R.add(n, x)\nreturn z"))
    with pytest.raises(tenon.ParseError, match="'n' is not defined"):
        tenon.Module.parse(script("n = R.null_value()\nreturn (x, n)"))


def test_remainders():
    module = tenon.Module.parse(script("z = x % y\nreturn z"))
    x, y = np.full((4, 4), -7, np.float32), np.full((4, 4), 4, np.float32)
    np.testing.assert_array_equal(run(module, x, y), np.fmod(x, y))


# ------------------------------------------------------------------------------------------ rules in text

TWO = "fn @main(%x: f32[4]) { dataflow { %a = tanh(%x) %b = nn.relu(%a) %c = negative(%a) output %b, %c } return (%b, %c) }"
ONE = "fn @main(%x: f32[4]) { dataflow { %a = tanh(%x) %b = nn.relu(%a) output %b } return %b }"


@pytest.mark.parametrize("text", ["a.r = nn.relu(%t: tanh(*));", "closed a.r = nn.relu(%t: tanh(*));"])
def test_rules_in_text_with_a_check(text):
    seen = []

    def check(context):
        seen.append((context.matched_expr.op, context.annotated_expr["t"].op))
        return answer

    for answer, fused in ((True, 1), (0, 0), (None, 0), ("yes", 1), (d.Refusal("a", "b"), 0)):
        assert len(tenon.Module.parse(ONE).fuse(text, check=check).functions) == 1 + fused
    assert seen == [("nn.relu", "tanh")] * 5
    # What leaks is not asked about where the rule is closed.
    del seen[:]
    answer = True
    assert len(tenon.Module.parse(TWO).fuse(text, check=check).functions) == 1 + (not text.startswith("closed"))
    with pytest.raises(ZeroDivisionError):
        tenon.Module.parse(ONE).fuse(text, check=lambda context: 1 // 0)
    with pytest.raises(tenon.ParseError):
        tenon.Module.parse(ONE).fuse("a.r = nn.relu(", check=check)


def test_rules_in_text_with_attributes():
    module = tenon.Module.parse(ONE).fuse(
        "a.none = exp(*); a.r = nn.relu(%t: tanh(*));", attrs_getter=lambda met: {"first": met["t"].op})
    assert [f.attributes["first"] for f in module.functions.values() if "first" in f.attributes] == ["tanh"]
    region = tenon.Module.parse(ONE).fuse("a.r = nn.relu(tanh(*));", check=lambda context: True, annotate_codegen=True)
    assert "Codegen" in str(region)


def test_flags_of_patterns():
    module = tenon.Module.parse("fn @main(%x: f32[4,4]) { dataflow { %a = sum(%x) {axis=[1], keepdims=true} output %a } return %a }")
    for flag, fused in ((True, 1), (False, 0), (np.True_, 1)):
        pattern = d.is_op("sum")(d.wildcard()).has_attr({"keepdims": flag})
        assert len(T.FuseOpsByPattern([("a.s", pattern)])(module).functions) == 1 + fused


def test_replacements_of_another_size_are_refused_as_such():
    module = tenon.Module.parse("fn @main(%x: f32[n,4]) { %a = permute_dims(%x) %z = matmul(%x, %a) return %z }")
    a, b = d.wildcard(), d.wildcard()
    with pytest.raises(tenon.InvalidTypeError, match=r"f32\[n,4\], not f32\[n,n\]"):
        d.rewrite_call(d.is_op("matmul")(a, b), lambda expr, met: R.add(met[a], met[a]), module)


def test_what_computes_weights_outlives_dead_code(rng):
    module = tenon.Module.parse(
        "fn @main(%x: f32[4,4], %w: f32[4,4]) {num_input=1} { dataflow { %t = permute_dims(%w) %z = matmul(%x, %t) output %z } return %z }")
    lifted = T.DeadCodeElimination()(T.LiftTransformParams()(module))
    assert lifted.functions["main_transform_params"].attributes["num_input"] == 0
    alone = lifted.copy()
    alone["main"] = lifted["main_transform_params"]
    x, w = (rng.standard_normal((4, 4), np.float32) for _ in range(2))
    np.testing.assert_allclose(run(lifted, x, run(alone, w)), x @ w.T, rtol=1e-5, atol=1e-5)


def test_attributes_that_relax_has_not_are_said():
    pytest.importorskip("tvm")
    module = tenon.Module.parse(
        "fn @main(%x: f32[1,4,2,8]) { %z = nn.attention(%x, %x, %x) {softcap=2.0} return %z }")
    with pytest.raises(tenon.UnsupportedError, match="softcap"):
        tenon.to_tvm(module)
    there = tenon.to_tvm(tenon.Module.parse(ONE))
    assert "R.dataflow()" in there.script()


def test_tuples_of_replacements_stand_where_they_are_used(rng):
    module = tenon.Module.parse(
        "fn @main(%x: f32[4,4], %w: f32[4,4], %v: f32[4,4]) { dataflow { %a = matmul(%x, %w) %b = matmul(%x, %v) "
        "%z = add(%a, %b) output %z } return %z }")
    with d.PatternContext() as context:
        i, p, q = d.wildcard(), d.wildcard(), d.wildcard()
        left, right = d.is_op("matmul")(i, p), d.is_op("matmul")(i, q)

    def joined(met, values):
        pieces = R.split(R.matmul(met[i], R.concat([met[p], met[q]], axis=1)), sections=2, axis=1)
        return {met[left]: pieces[0], met[right]: pieces[1]}

    rewritten = d.rewrite_bindings(context, joined, module)
    assert "concat((%w, %v))" in str(rewritten)
    arrays = [rng.standard_normal((4, 4), np.float32) for _ in range(3)]
    np.testing.assert_allclose(run(rewritten, *arrays), run(module, *arrays), rtol=1e-5, atol=1e-5)
    # And so the next pattern sees them.
    pattern = d.is_op("matmul")("*", d.is_op("concat")(d.is_tuple([d.wildcard(), d.wildcard()])))
    assert len(T.FuseOpsByPattern([("a.m", pattern)])(rewritten).functions) == 2
