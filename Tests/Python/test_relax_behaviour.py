"""What users of Apache TVM's Relax rely on: patterns that negate, rewriting pairs, dataflow blocks, checks."""

import numpy as np
import pytest

import tenon
from tenon import dpl as d, instrument, op as R, transform as T

TWO = "fn @main(%x: f32[2]) { dataflow { %a = tanh(%x) %b = negative(%a) output %b } return %b }"


def parse(body, parameters="%x: f32[4]"):
    return tenon.Module.parse(f"fn @main({parameters}) {{ {body} }}")


def composites(module):
    return sorted(f.attributes["Composite"] for f in module.functions.values() if "Composite" in f.attributes)


# ------------------------------------------------------------------------------------------------- negation


@pytest.mark.parametrize("inner", ["nn.relu", "tanh"])
def test_a_negated_pattern_in_every_place(inner):
    module = tenon.Module.parse(TWO)
    nothing = ~d.is_op(inner)(d.wildcard())
    pattern = d.is_op("negative")(nothing)
    binding = module["main"].graph.bindings[1]
    matches = inner != "tanh"
    assert pattern.match(binding) == matches
    assert len(T.FuseOpsByPattern([("a.t", pattern)])(module).functions) == 1 + matches
    annotated = T.FuseOpsByPattern([("a.t", pattern, {"in": nothing}, lambda c: "in" in c.annotated_expr)])(module)
    assert len(annotated.functions) == 1 + matches
    rewritten = d.rewrite_call(pattern, lambda e, m: R.exp(m[nothing]), module)
    assert ("exp" in str(rewritten)) == matches
    with d.PatternContext() as context:
        d.is_op("negative")(nothing)
    assert (context.match(module["main"]) is not None) == matches


def test_a_negation_used_twice_meets_one_value():
    nothing = ~d.is_op("nn.relu")(d.wildcard())
    pattern = d.is_op("add")(nothing, nothing)
    module = parse("%a = tanh(%x) %b = add(%a, %a) %c = add(%a, %x) return (%b, %c)")
    found = [pattern.match(expr) for expr in module["main"].graph.bindings]
    assert found == [False, True, False]


def test_reject_is_negation_and_double_negation_is_none():
    module = parse("%a = tanh(%x) return %a")
    binding = module["main"].graph.bindings[0]
    assert not d.reject(d.is_op("tanh")("*")).match(binding)
    assert (~~d.is_op("tanh")("*")).match(binding)


# --------------------------------------------------------------------------------------- before and after

PAIR = """
fn @before(%a: f32[4,4], %b: f32[4,4], %r: f32[4,4]) { %p = matmul(%a, %r) %q = matmul(%b, %r) return (%p, %q) }
fn @after(%a: f32[4,4], %b: f32[4,4], %r: f32[4,4]) {
  %l = concat((%a, %b)) %m = matmul(%l, %r) %t = split(%m) {sections=2} %i = %t.0 %j = %t.1 return (%i, %j)
}"""
MATRICES = "%s: f32[4,4], %z: f32[4,4], %A: f32[4,4]"
DEPENDENT = "%p = matmul(%A, %s) %u = tanh(%p) %q = matmul(%u, %s) %o = add(%p, %q) "


def run(module, *arrays):
    found = tenon.compile(module, threads=1)(*arrays)
    return found if isinstance(found, tuple) else (found,)


def test_a_pair_that_depends_on_itself_stays(rng):
    module = parse(DEPENDENT + "return %o", MATRICES)
    assert d.PatternMatchingRewriter.from_text(PAIR)(module) == module
    both = parse(DEPENDENT + "%g = matmul(%A, %z) %h = matmul(%o, %z) %o2 = add(%g, %h) return %o2", MATRICES)
    rewritten = d.PatternMatchingRewriter.from_text(PAIR)(both)
    # %g and %h: %h needs %o, which needs neither.
    assert str(rewritten).count("matmul(") == 3
    arrays = [rng.standard_normal((4, 4), np.float32) for _ in range(3)]
    s, z, a = (array.astype(np.float64) for array in arrays)
    o = a @ s + np.tanh(a @ s) @ s
    for module in (both, rewritten):
        np.testing.assert_allclose(run(module, *arrays)[0], a @ z + o @ z, rtol=1e-4, atol=1e-4)


def test_pairs_are_rewritten_around_those_that_cannot(rng):
    # Three products with %s; the second needs the first, the third neither.
    module = parse(
        "dataflow { %p = matmul(%A, %s) %u = tanh(%p) %q = matmul(%u, %s) %w = matmul(%z, %s) output %p, %q, %w } "
        "return (%p, %q, %w)", MATRICES)
    rewritten = d.PatternMatchingRewriter.from_text(PAIR)(module)
    assert str(rewritten).count("matmul(") == 2
    arrays = [rng.standard_normal((4, 4), np.float32) for _ in range(3)]
    for a, b in zip(run(module, *arrays), run(rewritten, *arrays)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_chain_of_dependent_pairs_ends_soon():
    steps = ["%p0 = matmul(%A, %s)"]
    for index in range(60):
        steps.append(f"%u{index} = tanh(%p{index}) %p{index + 1} = matmul(%u{index}, %s)")
    module = parse(" ".join(steps) + " return %p60", MATRICES)
    assert d.PatternMatchingRewriter.from_text(PAIR)(module) == module


def test_types_that_after_does_not_take_are_left_alone():
    rule = PAIR.replace("f32[4,4]", "?[...]")
    module = parse(
        "%p = matmul(%a, %r) %q = matmul(%b, %r) return (%p, %q)", "%a: f32[4,4], %b: f32[2,3,4], %r: f32[4,4]")
    assert module.rewrite(rule) == module


@pytest.mark.parametrize("before, after", [
    ("f32[32]", "f32[16]"), ("f32[32]", "f16[32]"), ("f32[32]", "f32[32,1]"), ("f32[32]", "object"), ("f32[n]", "f32[m]"),
])
def test_unequal_signatures_are_refused(before, after):
    with pytest.raises(tenon.TenonError, match="same signature"):
        d.PatternMatchingRewriter.from_text(
            f"fn @before(%a: {before}) {{ %b = nn.relu(%a) return %b }} fn @after(%a: {after}) {{ %b = nn.gelu(%a) return %b }}")


def test_results_of_other_types_are_refused():
    with pytest.raises(tenon.TenonError, match="result 0"):
        d.PatternMatchingRewriter.from_text(
            "fn @before(%a: f32[4]) { %b = nn.relu(%a) return %b } fn @after(%a: f32[4]) { %b = sum(%a) return %b }")


def test_items_and_bound_tuples_as_results():
    rule = """
    fn @before(%x: f32[4,6]) { %t = split(%x) {sections=2, axis=1} %a = %t.0 %b = %t.1 %r = (%b, %a) return %r }
    fn @after(%x: f32[4,6]) {
      %a = strided_slice(%x, shape[1], shape[0], shape[3]) %b = strided_slice(%x, shape[1], shape[3], shape[6])
      return (%b, %a)
    }"""
    module = parse("%t = split(%x) {sections=2, axis=1} %a = %t.0 %b = %t.1 %c = subtract(%a, %b) return %c", "%x: f32[4,6]")
    rewritten = module.rewrite(rule)
    assert "split" not in str(rewritten) and str(rewritten).count("strided_slice") == 2
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_array_equal(run(rewritten, x)[0], x[:, :3] - x[:, 3:])
    one = """
    fn @before(%x: f32[4,6]) { %t = split(%x) {sections=2, axis=1} %b = %t.1 return %b }
    fn @after(%x: f32[4,6]) { %b = strided_slice(%x, shape[1], shape[3], shape[6]) return %b }"""
    assert str(module.rewrite(one)).count("strided_slice") == 1


def test_after_may_call_helpers():
    rule = """
    fn @before(%x: f32[4]) { %a = tanh(%x) %b = nn.relu(%a) return %b }
    fn @twice(%x: f32[4]) { %a = add(%x, %x) return %a }
    fn @after(%x: f32[4]) { %a: f32[4] = @twice(%x) return %a }"""
    rewriter = d.PatternMatchingRewriter.from_text(rule)
    module = rewriter(parse("%a = tanh(%x) %b = nn.relu(%a) return %b"))
    assert set(module.functions) == {"main", "twice"}
    np.testing.assert_array_equal(run(module, np.float32([1, 2, 3, 4]))[0], [2, 4, 6, 8])
    # A name that is taken, and a module in which nothing matches.
    taken = tenon.Module.parse(
        "fn @twice(%x: f32[4]) { %y = negative(%x) return %y } "
        "fn @main(%x: f32[4]) { %a = tanh(%x) %b = nn.relu(%a) %c: f32[4] = @twice(%b) return %c }")
    named = rewriter(taken)
    assert len(named.functions) == 3
    np.testing.assert_array_equal(run(named, np.float32([1, 2, 3, 4]))[0], [-2, -4, -6, -8])
    untouched = parse("%a = exp(%x) return %a")
    assert rewriter(untouched) == untouched


def test_private_functions_that_nothing_calls_any_more_go():
    module = tenon.Module.parse(
        'fn @f(%x: f32[4]) {Composite="a.b", Primitive=true} { %y = tanh(%x) return %y } '
        "fn @main(%x: f32[4]) { dataflow { %a: f32[4] = @f(%x) %b = nn.relu(%a) output %b } return %b }")
    rewritten = d.rewrite_call(d.is_op("nn.relu")(d.is_gv("f")(x := d.wildcard())), lambda e, m: R.exp(m[x]), module)
    assert list(rewritten.functions) == ["main"]


def test_from_module_and_composition():
    # W-08 A rule is a pass
    rule = tenon.Module.parse(
        "fn @pattern(%A: f32[4]) { %B = add(%A, %A) return %B } "
        "fn @replacement(%A: f32[4]) { %B = multiply(%A, const f32[](2)) return %B }")
    first = d.PatternMatchingRewriter.from_module(rule)
    y = d.wildcard()
    second = d.PatternMatchingRewriter.from_pattern(d.is_op("tanh")(y), lambda e, m: R.add(m[y], m[y]))
    module = parse("%a = tanh(%x) return %a")
    expected = parse("%a = multiply(%x, const f32[](2)) return %a")
    assert (first | second)(module) == expected
    assert T.Sequential([second, first])(module) == expected
    assert d.rewrite_call(d.is_op("tanh")(y), lambda e, m: m[y], module["main"]).name == "main"


# ------------------------------------------------------------------------------------------- rewriting calls


def test_matchings_hold_the_choice_and_the_operator():
    seen = []
    either = d.is_op("relax.negative") | d.is_op("relax.tanh")
    call = either(x := d.wildcard())
    both = call | d.is_op("exp")(x)
    module = parse("%a = tanh(%x) return %a")
    d.rewrite_call(both, lambda e, m: seen.append((m[both].op, m[call].op, m[either].op, m[either] == "relax.tanh", m[x].name)), module)
    assert seen == [("tanh", "tanh", "tanh", True, "x")]
    assert both in both.extract_matched_expr(module["main"].graph.bindings[0])


def test_items_of_tuple_patterns():
    pair = d.is_tuple([d.wildcard(), d.wildcard()])
    assert pair[-1].index == 1 and len(pair) == 2
    for index in (2, -3):
        with pytest.raises(IndexError):
            pair[index]
        with pytest.raises(tenon.InvalidArgumentError):
            d.is_tuple_get_item(pair, index)
    assert d.is_shape([1, "n"])[1] == "n"


# --------------------------------------------------------------------------------------------- dataflow blocks

CONV = "%c = nn.conv2d(%x, %w) %r = reshape(%b, shape[1,4,1,1]) %a = add(%c, %r) "
IMAGE = "%x: f32[1,3,8,8], %w: f32[4,3,3,3], %b: f32[4]"


@pytest.mark.parametrize("body", [
    CONV + "%y = nn.relu(%a)",
    "dataflow { " + CONV + "output %a } dataflow { %y = nn.relu(%a) output %y }",
    "dataflow { " + CONV + "output %a } %y = nn.relu(%a)",
    "%c = nn.conv2d(%x, %w) dataflow { %r = reshape(%b, shape[1,4,1,1]) %a = add(%c, %r) output %a } block { %y = nn.relu(%a) }",
    "dataflow { " + CONV + "%y = nn.relu(%a) output %c, %y }",
    "dataflow { " + CONV.replace("add(%c", "add(%d").replace("%r =", "%d = match_cast(%c, f32[1,4,6,6]) %r =") + "%y = nn.relu(%a) output %y }",
], ids=["no block", "touching blocks", "block and no block", "pieces", "unused output", "trivial cast"])
def test_one_composite_however_the_blocks_are_cut(body):
    module = parse(body + " return %y", IMAGE)
    assert str(module.optimize()).count('Composite="dnnl.') == 1
    prepared = module.apply("ConvertToDataflow", "CanonicalizeBindings", "FuseConv2dReshapeAddRelu")
    assert composites(prepared) == ["dnnl.conv2d_reshape_add_relu"]


def test_convert_to_dataflow_keeps_effects_and_branches_between():
    module = tenon.Module.parse("""
    fn @main(%x: f32[4], %c: bool[]) {
      %a = tanh(%x) %b = negative(%a)
      %e: f32[4] = extern "print"(%b)
      %d = exp(%e) %f = nn.relu(%d)
      %g: f32[4] = if %c { %h = tanh(%f) %i = exp(%h) yield %i } else { %j = exp(%f) yield %j }
      return %g
    }""")
    text = str(T.ConvertToDataflow()(module))
    assert text.count("dataflow {") == 3 and "%i" in text.split("dataflow {")[-1].split("}")[0]
    assert str(T.ConvertToDataflow(min_size=1)(module)).count("dataflow {") == 4
    assert T.ToNonDataflow()(T.ConvertToDataflow()(module)) == module
    with pytest.raises(tenon.TenonError):
        T.ConvertToDataflow(min_size="two")(module)


def test_explain_says_what_stands_outside():
    module = parse(CONV + "%y = nn.relu(%a) return %y", IMAGE)
    assert "dnnl.conv2d_reshape_add_relu" in module.explain()
    rule = "x.y = nn.relu(*);"
    assert "1 call stands in no dataflow block" in module.explain(rule) and "ConvertToDataflow" in module.explain(rule)
    inside = parse("dataflow { " + CONV + "%y = nn.relu(%a) output %y } return %y", IMAGE)
    assert "ConvertToDataflow" not in inside.explain(rule)


def test_canonicalize_leaves_needed_outputs():
    module = parse("dataflow { %a = tanh(%x) %b = exp(%a) output %a, %b } %c = add(%a, %b) return %c")
    assert module.apply("CanonicalizeBindings") == module
    cast = parse("%a = match_cast(%x, f32[4]) %b = match_cast(%x, f32[n]) return (%a, %b)", "%x: f32[...]")
    assert str(cast.apply("CanonicalizeBindings")).count("match_cast") == 2


# ------------------------------------------------------------------------------------- attributes and checks


@pytest.mark.parametrize("pattern", [
    lambda: d.is_op("nn.conv2d")(d.wildcard(), d.wildcard()).has_attr({"stride": [1, 1]}),
    lambda: (d.is_op("nn.conv2d") | d.is_op("nn.conv1d"))("*", "*").has_attr({"axis": 1}),
    lambda: d.has_attr({"nothing": 1}, d.is_op("nn.softmax")("*")),
    lambda: d.TextPattern("nn.softmax(*) @attr{axes=1}"),
])
def test_unknown_attributes_are_refused_when_the_pattern_is_made(pattern):
    with pytest.raises(tenon.InvalidArgumentError, match="unknown attribute"):
        pattern()


def test_attributes_of_what_is_not_known_are_fine():
    d.wildcard().has_attr({"anything": 1})
    d.is_call_packed("f").has_attr({"anything": 1})
    (d.is_op("nn.softmax")("*") | d.is_op("split")("*")).has_attr({"axis": 0})


LEAK = "dataflow { %a = tanh(%x) %b = nn.relu(%a) output %a, %b } return (%a, %b)"


def test_closed_and_a_check():
    module = parse(LEAK)
    for rule in (("a.b", "nn.relu(tanh(*))", None, lambda c: True, None, True),
                 T.FusionPattern("a.b", "nn.relu(tanh(*))", closed=True),
                 T.FusionPattern("a.b", "nn.relu(tanh(*))", check=lambda c: not T.has_leaking_intermediate_variables(c))):
        assert list(T.FuseOpsByPattern([rule])(module).functions) == ["main"]
    assert len(T.FuseOpsByPattern([("a.b", "nn.relu(tanh(*))")])(module).functions) == 2
    graph = module["main"].graph
    assert [expr.leaves_block for expr in graph.bindings] == [True, True]
    assert [expr.leaves_block for expr in tenon.Module.parse(TWO)["main"].graph.bindings] == [False, True]


@pytest.mark.parametrize("answer, fused", [
    (True, True), (1, True), ("yes", True), (np.True_, True), (False, False), (0, False), (None, False), ("", False), ([], False),
    (d.Refusal("no"), False),
])
def test_checks_may_return_anything(answer, fused):
    module = parse("dataflow { %a = nn.relu(%x) output %a } return %a")
    found = T.FuseOpsByPattern([("a.r", d.is_op("nn.relu")(d.wildcard()), {}, lambda c: answer)])(module)
    assert (len(found.functions) == 2) == fused


def test_attribute_getters_receive_annotated_expressions():
    module = parse("dataflow { %a = nn.relu(%x) output %a } return %a")
    relu = d.is_op("nn.relu")(x := d.wildcard())

    def getter(annotated):
        assert annotated.annotated_expr == dict(annotated) and annotated.matched_expr == annotated["root"]
        return {"kind": annotated["root"].op, "of": annotated["in"].name}

    found = T.FuseOpsByPattern([("a.r", relu, {"root": relu, "in": x}, None, getter)])(module)
    made = [f.attributes for f in found.functions.values() if "Composite" in f.attributes]
    assert made[0]["kind"] == "nn.relu" and made[0]["of"] == "x"


def test_entry_functions():
    module = tenon.Module.parse(
        "fn @f(%x: f32[4]) { dataflow { %a = tanh(%x) output %a } return %a } "
        "fn @main(%x: f32[4]) { dataflow { %a = tanh(%x) output %a } return %a }")
    fused = T.FuseOpsByPattern([("a.t", "tanh(*)")], entry_functions=["f"])(module)
    assert "= tanh(" in str(fused["main"]) and "= tanh(" not in str(fused["f"])
    with pytest.raises(tenon.NotFoundError):
        T.FuseOpsByPattern([("a.t", "tanh(*)")], entry_functions=["g"])(module)


# ---------------------------------------------------------------------------------------- names of patterns


def test_classes_and_fields_of_patterns():
    x, w = d.wildcard(), d.is_const()
    call = d.is_op("relax.nn.conv2d")(x, w)
    assert isinstance(call, d.CallPattern) and call.args == (x, w) and call.op.expr == "relax.nn.conv2d"
    assert isinstance(call | x, d.OrPattern) and (call | x).left is call
    assert isinstance(call & x, d.AndPattern) and (call & x).right is x
    assert (~call).reject is call
    assert isinstance(x, d.WildcardPattern) and isinstance(w, d.ConstantPattern)
    assert call.has_dtype("float32").dtype == "f32" and call.has_shape([1, 2]).shape == (1, 2)
    assert call.has_attr({"groups": 1}).attrs == {"groups": 1} and call.has_ty("f32[2]").ty == "f32[2]"
    assert d.is_var("x").name == "x" and isinstance(d.is_dfv("y"), d.DataflowVarPattern)
    assert d.is_tuple([x, w]).fields == (x, w) and isinstance(d.is_tuple([x], unordered=True), d.UnorderedTuplePattern)
    assert d.is_tuple_get_item(x, 1).tuple is x and d.FunctionPattern([x], call).body is call
    assert d.ExternFuncPattern("f").global_symbol == "f" and d.is_shape([1]).fields == (1,)


def test_calls_of_functions_and_of_the_unknown():
    module = tenon.Module.parse(
        "fn @f(%x: f32[4]) { %y = tanh(%x) return %y } fn @main(%x: f32[4]) { %a: f32[4] = @f(%x) "
        '%b: f32[4] = extern "g"(%a) %c = add(%b, const f32[](2)) return %c }')
    a, b, c = module["main"].graph.bindings
    assert d.is_gv("f")(d.wildcard()).match(a) and not d.is_gv("g")("*").match(a) and d.is_gv()("*").match(a)
    assert d.is_call_packed("g").match(b) and d.is_call_packed("g", [d.is_gv("f")("*")]).match(b)
    assert not d.is_call_packed("h").match(b) and d.is_call_dps_packed("g").match(b)
    assert d.is_call_tir("f").match(a) and d.is_call_tir("g").match(b) and not d.is_call_tir("h").match(b)
    assert d.is_op("add")("*", d.is_expr(np.float32(2))).match(c) and not d.is_op("add")("*", d.is_expr(np.float32(3))).match(c)
    assert d.is_op("add")(d.wildcard(), d.is_expr(c.args[1])).match(c)
    assert d.wildcard().has_ty("f32[4]").match(c) and not d.wildcard().has_ty("f32[5]").match(c)
    assert d.is_op("add")(d.is_call_packed("g"), "*").match(c)
    assert not d.is_op("add")(d.is_call_packed("g"), "*").match(c, {})
    assert d.is_op("add")("*", "*").match(c, {}) and d.is_op("add")("*", "*").match(c, {b: b})


def test_text_and_objects_mix():
    module = parse("%a = sigmoid(%x) %b = multiply(%a, %x) %c = nn.relu(%b) return %c")
    pattern = d.is_op("nn.relu")("multiply(sigmoid(%in), %in)")
    c = module["main"].graph.bindings[2]
    assert pattern.extract_matched_expr(c)["in"].name == "x"
    y = d.wildcard()
    assert (d.is_op("multiply")("sigmoid(*)", y)).match(c.args[0])
    rewritten = d.rewrite_call(pattern, lambda e, m: R.nn.silu(m["in"]), module)
    assert "nn.silu" in str(rewritten) and "sigmoid" not in str(rewritten)


def test_sequences_and_incremental_contexts():
    module = parse(
        "dataflow { %a = nn.relu(%x) %b = sigmoid(%a) %c = negative(%b) %d = nn.relu(%x) %e = sigmoid(%d) %f = add(%c, %e) "
        "output %f } return %f")
    relu, sigmoid, negative = (d.CallPattern(d.is_op(name), None) for name in ("nn.relu", "sigmoid", "negative"))
    with d.PatternContext() as outer:
        sequence = relu >> sigmoid
        assert sequence[0] is relu and len(sequence) == 2
        with d.PatternContext(incremental=True) as inner:
            sigmoid >> negative
        with d.PatternContext() as fresh:
            d.PatternSeq([negative, d.CallPattern(d.is_op("exp"), None)], only_use=True)
    assert outer.match(module["main"])[sigmoid].name in ("b", "e")
    assert inner.match(module["main"])[sigmoid].name == "b"
    assert fresh.match(module["main"]) is None
    with d.PatternContext() as twice:
        x = d.is_var("x")
        first = relu >> sigmoid
        second = first.dup()
        x.fork_to(first, second)
    met = twice.match(module["main"])
    assert {met[first[0]].name, met[second[0]].name} == {"a", "d"}
    with pytest.raises(tenon.InvalidStateError):
        d.PatternContext(incremental=True)


# ---------------------------------------------------------------------------------------------------- passes


def test_pass_context_and_instruments(tmp_path, capsys):
    @T.module_pass(opt_level=0, name="Reads")
    def reads(mod, ctx):
        assert ctx.config["tenon.test"] == 3
        return mod

    @instrument.pass_instrument
    class Counter:
        def __init__(self):
            self.names = []

        def run_after_pass(self, mod, info):
            self.names.append(info.name)

    counter, dump = Counter(), instrument.DumpIR(str(tmp_path / "ir"))
    module = parse("%a = tanh(%x) return %a")
    with T.PassContext(config={"tenon.test": 3}, instruments=[counter, dump]):
        T.Sequential([reads, T.DeadCodeElimination(), T.FoldBatchnormToConv2D()])(module)
    assert counter.names == ["Reads", "EliminateDeadCode", "FoldBatchNorm"]
    files = sorted(path.name for path in (tmp_path / "ir").iterdir())
    assert len(files) == 3 and files[1].endswith("EliminateDeadCode.txt")
    assert tenon.Module.parse((tmp_path / "ir" / files[0]).read_text()) == module


def test_bind_params_and_symbols(rng):
    module = parse("%y = matmul(%x, %w) %z = nn.relu(%y) return %z", "%x: f32[n,4], %w: f32[4,m]")
    weight, x = rng.standard_normal((4, 3), np.float32), rng.standard_normal((2, 4), np.float32)
    bound = T.BindParams("main", {"w": weight})(module)
    assert [p.name for p in bound["main"].graph.parameters] == ["x"] and "[n,3]" in str(bound)
    np.testing.assert_allclose(run(bound, x)[0], np.maximum(x @ weight, 0), rtol=1e-5, atol=1e-6)
    fixed = T.BindSymbolicVars({"n": 2})(bound)
    assert "n" not in fixed["main"].graph.parameters[0].type and "f32[2,3]" in str(fixed)
    for wrong in ({"v": weight}, {"w": weight.astype(np.float64)}, {"w": weight[0]}):
        with pytest.raises(tenon.TenonError):
            T.BindParams("main", wrong)(module)
    for wrong in ({"k": 2}, {"n": -1}):
        with pytest.raises(tenon.TenonError):
            T.BindSymbolicVars(wrong)(module)


FUNCTIONS = """
fn @inner(%a: f32[4], %unused: f32[9], %b: f32[4]) { %s = add(%a, %b) %t = subtract(%a, %b) %u = multiply(%a, %b) return (%s, %t, %u) }
fn @main(%x: f32[4], %y: f32[4], %z: f32[9]) {
  dataflow { %r: (f32[4], f32[4], f32[4]) = @inner(%x, %z, %y) %p = %r.0 %q = %r.2 %o = divide(%p, %q) output %o }
  return %o
}"""


def test_functions_are_inlined_trimmed_and_lifted(rng):
    module = tenon.Module.parse(FUNCTIONS)
    arrays = [rng.standard_normal(4, np.float32), rng.standard_normal(4, np.float32) + 3, np.zeros(9, np.float32)]
    expected = (arrays[0] + arrays[1]) / (arrays[0] * arrays[1])
    inlined = T.InlinePrivateFunctions()(module)
    assert list(inlined.functions) == ["main"] and str(inlined).count("dataflow {") == 1
    fewer = T.RemoveUnusedParameters()(module)
    assert [p.name for p in fewer["inner"].graph.parameters] == ["a", "b"]
    outputs = T.RemoveUnusedOutputs()(fewer)
    assert len(outputs["inner"].graph.results) == 2 and "subtract" not in str(outputs)
    for changed in (module, inlined, fewer, outputs, T.Normalize()(module), T.ToNonDataflow()(module)):
        changed.verify()
        np.testing.assert_allclose(run(changed, *arrays)[0], expected, rtol=1e-5)
    local = tenon.Module.parse(
        "fn @main(%x: f32[4]) { %f = fn(%a: f32[4]) { %b = tanh(%a) return %b } %y: f32[4] = %f(%x) return %y }")
    lifted = T.LambdaLift()(local)
    assert len(lifted.functions) == 2 and T.InlinePrivateFunctions()(lifted) == parse("%y = tanh(%x) return %y")


def test_lift_transform_params(rng):
    module = tenon.Module.parse("""
    fn @main(%x: f32[2,4], %w1: f32[3,4], %w2: f32[3]) {num_input=1} {
      dataflow { %t = permute_dims(%w1) %y = matmul(%x, %t) %z = add(%y, %w2) %s = multiply(%w2, %w2) %o = add(%z, %s) output %o }
      return %o
    }""")
    lifted = T.LiftTransformParams()(module)
    x, w1, w2 = (rng.standard_normal(shape, np.float32) for shape in ((2, 4), (3, 4), 3))
    transform = tenon.Module.parse(str(lifted))
    transform["main"] = transform["main_transform_params"]
    given = tenon.compile(transform, threads=1)(w1, w2)
    found = run(lifted, x, *given)[0]
    np.testing.assert_allclose(found, x @ w1.T + w2 + w2 * w2, rtol=1e-4, atol=1e-5)
    assert "permute_dims" not in str(lifted["main"]) and "multiply" not in str(lifted["main"])
