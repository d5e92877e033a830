"""Checks, attribute getters and rewriters in Python; reading functions; matching on demand."""

import gc
import json

import numpy as np
import pytest

import tenon
from tenon import dpl, op as R, transform

CONV_RELU = """
fn @main(%data: f32[1,4,8,8], %w: f32[4,4,1,1]) {
  dataflow { %a = nn.conv2d(%data, %w) {padding=[1, 1, 1, 1]} %b = nn.relu(%a) output %b }
  return %b
}
"""
DOUBLING = """
fn @main(%x: f32[16,16]) { dataflow { %a = add(%x, %x) %b = add(%a, %a) output %b } return %b }
"""


def parse(source):
    return tenon.Module.parse(source)


def convolution():
    lhs, rhs = dpl.wildcard(), dpl.wildcard()
    root = dpl.is_op("relax.nn.conv2d")(lhs, rhs)
    return root, {"root": root, "lhs": lhs, "rhs": rhs}


def test_a_check_sees_the_match():
    """F-13: labels, values, attributes; what it refuses stays."""
    seen = []

    def check(context):
        seen.append(context)
        lhs, rhs, root = (context.annotated_expr[label] for label in ("lhs", "rhs", "root"))
        assert (lhs.name, rhs.name) == ("data", "w")
        assert lhs.kind == "parameter" and lhs.shape == (1, 4, 8, 8) and lhs.dtype == np.float32
        assert root == context.matched_expr
        assert root.op == "nn.conv2d" and root.args == [lhs, rhs]
        assert root.attrs["padding"] == [1, 1, 1, 1]
        assert list(context.matched_bindings) == [root]
        assert [user.op for user in context.var_usages[root]] == ["nn.relu"]
        return False

    module = parse(CONV_RELU)
    root, annotations = convolution()
    fuse = transform.FuseOpsByPattern([("dnnl.conv2d", root, annotations, check)])
    assert fuse(module) == module
    assert len(seen) == 1
    # What was lent to the callback is gone, and says so.
    with pytest.raises(tenon.InvalidStateError, match="has returned"):
        seen[0].annotated_expr["lhs"].name
    assert "returned" in repr(seen[0].annotated_expr["lhs"])


def test_a_check_is_asked_for_each_match():
    """F-13, second part: the check sees both roots, the users of each value, and labels on the path only."""
    a = dpl.is_op("add")(m := dpl.is_op("matmul")(l := dpl.wildcard(), r := dpl.wildcard()), s := dpl.wildcard())
    pattern = a | dpl.is_op("nn.relu")(a)
    labels = {"lhs": l, "rhs": r, "bias": s, "root": m, "foreign": dpl.wildcard()}
    calls = []

    def check(context):
        calls.append((
            context.matched_expr.op, {label: expr.name for label, expr in context.annotated_expr.items()},
            sorted(expr.name for expr in context.matched_bindings)))
        return False

    module = parse("""
        fn @main(%x: f32[4,4], %z: f32[4,4]) { dataflow {
          %a = matmul(%x, %z) %b = add(%a, %x) %c = nn.relu(%b) %d = tanh(%a) output %b, %c, %d } return (%b, %c, %d) }""")
    assert transform.FuseOpsByPattern([("x.y", pattern, labels, check)])(module) == module
    met = {"lhs": "x", "rhs": "z", "bias": "x", "root": "a"}
    assert calls == [("add", met, ["a", "b"]), ("nn.relu", met, ["a", "b", "c"])]


def test_a_refusal_is_explained():
    module = parse(CONV_RELU)
    fuse = transform.FuseOpsByPattern([
        ("dnnl.pair", "nn.relu(nn.conv2d(*, %w: *))", None, lambda context: dpl.Refusal("1 x 1", "3 x 3"))])
    assert fuse(module) == module
    assert fuse.explain(module) == "@main\n  missed  %b by dnnl.pair: check_refused: found 1 x 1, expected 3 x 3\n"
    miss = json.loads(fuse.explain(module, json=True))["near_misses"][0]
    assert miss["kind"] == "check_refused" and miss["found"] == "1 x 1"


def test_an_exception_in_a_check_is_raised_as_itself():
    class Mine(Exception):
        pass

    def check(context):
        raise Mine("broken")

    module = parse(CONV_RELU)
    root, annotations = convolution()
    fuse = transform.FuseOpsByPattern([("dnnl.conv2d", root, annotations, check)])
    with pytest.raises(Mine, match="broken") as caught:
        fuse(module)
    assert isinstance(caught.value.__context__, tenon.CallbackError)
    assert "FuseOpsByPattern: pattern 'dnnl.conv2d' in @main: %a: the check failed: Mine: broken" in str(
        caught.value.__context__)
    assert module == parse(CONV_RELU)
    with pytest.raises(Mine):
        fuse.explain(module)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_ordinary_exception_passes_too(kind):
    def check(context):
        raise kind

    with pytest.raises(kind):
        transform.FuseOpsByPattern([("x.y", "nn.conv2d(*, *)", None, check)])(parse(CONV_RELU))


def test_a_bool_of_numpy_is_a_bool():
    fuse = transform.FuseOpsByPattern([("x.y", "nn.conv2d(*, *)", None, lambda context: np.bool_(True))])
    assert len(fuse(parse(CONV_RELU)).functions) == 2


def test_attributes():
    """F-31: what the attribute getter gives is on the function made."""
    fuse = transform.FuseOpsByPattern([
        transform.FusionPattern(
            "x.y", "nn.conv2d(*, %w)", attrs_getter=lambda context: {"filters": context.captures["w"].shape[0], "of": "me"})])
    attributes = fuse(parse(CONV_RELU)).functions["fused_relax_nn_conv2d"].attributes
    assert attributes["filters"] == 4 and attributes["of"] == "me" and attributes["Composite"] == "x.y"
    bad = transform.FuseOpsByPattern([("x.y", "nn.conv2d(*, *)", None, None, lambda context: {"of": object()})])
    with pytest.raises(tenon.InvalidTypeError, match="attribute 'of'"):
        bad(parse(CONV_RELU))


def test_constants_are_read():
    """F-06: the contents of a literal decide."""
    module = parse("""
        fn @main(%x: f32[4]) { dataflow { %a = add(%x, const f32[](2)) %b = add(%a, const f32[2,1](3, 4))
          output %b } return %b }""".replace("f32[4]", "f32[2,4]"))
    seen = []

    def check(context):
        data = context.captures["k"].data
        seen.append(data)
        return bool((data == 2).all())

    fused = transform.FuseOpsByPattern([("x.two", "add(*, %k: const)", None, check)])(module)
    assert [name for name in fused.functions] == ["fused_relax_add", "main"] or len(fused.functions) == 2
    assert seen[1].shape == (2, 1) and seen[1].dtype == np.float32 and seen[1].tolist() == [[3], [4]]


def test_wrong_rules():
    with pytest.raises(tenon.InvalidTypeError, match="takes tuples"):
        transform.FuseOpsByPattern([("x.y",)])
    with pytest.raises(tenon.InvalidTypeError, match="rule 'x.y': expected a pattern, found int"):
        transform.FuseOpsByPattern([("x.y", 3)])
    with pytest.raises(tenon.ParseError, match="rule 'x.y': line 1, column 4"):
        transform.FuseOpsByPattern([("x.y", "((*")])(parse(CONV_RELU))


# Rewriting


def test_rewriting_by_a_callback():
    """R-01: doubling."""
    x = dpl.wildcard()
    pattern = dpl.is_op("add")(x, x)
    seen = []

    def rewriter(expr, matchings):
        seen.append((expr.op, matchings[x].name, matchings[pattern] == expr))
        return R.multiply(matchings[x], R.const(np.float32(2)))

    module = parse(DOUBLING)
    rewritten = dpl.rewrite_call(pattern, rewriter, module)
    assert rewritten == parse(
        "fn @main(%x: f32[16,16]) { dataflow { %a = multiply(%x, const f32[](2)) %b = multiply(%a, const f32[](2))"
        " output %b } return %b }")
    assert seen == [("add", "x", True), ("add", "a", True)]
    assert module == parse(DOUBLING)
    again = dpl.PatternMatchingRewriter.from_pattern(pattern, rewriter)
    assert again(module) == rewritten


def test_a_rewriter_declines():
    """R-09: by None, by the expression itself, by a refusal."""
    for answer in (lambda expr: None, lambda expr: expr, lambda expr: dpl.Refusal("a", "b")):
        rewritten = dpl.rewrite_call("add(*, *)", lambda expr, matchings: answer(expr), parse(DOUBLING))
        assert rewritten == parse(DOUBLING)


def test_a_rewriter_gives_what_it_met():
    """R-05: a reshape to the same shape is its input."""
    module = parse("""
        fn @main(%x: f32[2,3]) { dataflow { %a = reshape(%x, shape[2,3]) %b = reshape(%a, shape[3,2]) output %b }
          return %b }""")
    a = dpl.wildcard()
    pattern = dpl.is_op("reshape")(a, dpl.wildcard())
    rewritten = dpl.rewrite_call(
        pattern, lambda expr, matchings: matchings[a] if expr.shape == matchings[a].shape else expr, module)
    assert rewritten == parse(
        "fn @main(%x: f32[2,3]) { dataflow { %b = reshape(%x, shape[3,2]) output %b } return %b }")


def test_operators_of_python_build_too():
    rewritten = dpl.rewrite_call(
        "nn.silu(%x)", lambda expr, matchings: matchings["x"] * R.sigmoid(matchings["x"]),
        parse("fn @main(%x: f32[4]) { dataflow { %y = nn.silu(%x) output %y } return %y }"))
    assert rewritten == parse(
        "fn @main(%x: f32[4]) { dataflow { %s = sigmoid(%x) %y = multiply(%x, %s) output %y } return %y }")


def test_a_rewriter_that_fails():
    module = parse(DOUBLING)
    with pytest.raises(ZeroDivisionError) as caught:
        dpl.rewrite_call("add(*, *)", lambda expr, matchings: 1 / 0, module)
    assert "rewrite: rule 'rewrite_call' in @main: %a: the rewriter failed: ZeroDivisionError" in str(
        caught.value.__context__)
    with pytest.raises(tenon.InvalidTypeError, match="an operand expects a Value, an array, a number or a shape, found dict"):
        dpl.rewrite_call("add(*, *)", lambda expr, matchings: {}, module)
    with pytest.raises(tenon.InvalidTypeError, match=r"has type f32\[\], not f32\[16,16\]"):
        dpl.rewrite_call("add(*, *)", lambda expr, matchings: R.const(np.float32(2)), module)
    with pytest.raises(tenon.NotFoundError):
        dpl.rewrite_call("add(*, *)", lambda expr, matchings: tenon.op.current().call("no.such", expr), module)
    with pytest.raises(AttributeError, match="no operator 'no_such'"):
        R.no_such
    with pytest.raises(tenon.InvalidStateError, match="only while a rewriter runs"):
        R.add(1, 2)
    assert module == parse(DOUBLING)


def test_a_value_of_another_rewriter():
    kept = []

    def rewriter(expr, matchings):
        if kept:
            return kept[0]
        kept.append(R.abs(matchings["x"]))
        return None

    with pytest.raises(tenon.TenonError):
        dpl.rewrite_call("add(%x, *)", rewriter, parse(DOUBLING))


def test_rewriting_related_values():
    """R-11: two products of one input become one."""
    with dpl.PatternContext() as context:
        x, w0, w1 = dpl.wildcard(), dpl.wildcard(), dpl.wildcard()
        m0 = dpl.is_op("matmul")(x, w0)
        m1 = dpl.is_op("matmul")(x, w1)

    def rewriter(matchings, bindings):
        assert {expr.op for expr in bindings} == {"matmul"}
        product = R.matmul(matchings[x], R.concat((matchings[w0], matchings[w1]), axis=1))
        parts = R.split(product, axis=1, sections=2)
        return {matchings[m0]: parts[0], matchings[m1]: parts[1]}

    module = parse("""
        fn @main(%x: f32[2,8], %a: f32[8,8], %b: f32[8,8]) { dataflow {
          %p = matmul(%x, %a) %q = matmul(%x, %b) %r = add(%p, %q) output %r } return %r }""")
    rewritten = dpl.rewrite_bindings(context, rewriter, module)
    text = str(rewritten)
    assert text.count("matmul(") == 1 and "concat(" in text and "split(" in text
    data = [np.random.default_rng(1).random(shape, np.float32) for shape in ((2, 8), (8, 8), (8, 8))]
    np.testing.assert_allclose(tenon.compile(rewritten)(*data), tenon.compile(module)(*data), rtol=1e-5)
    assert dpl.rewrite_bindings(context, lambda matchings, bindings: None, module) == module


def test_a_rule_of_two_functions_with_a_check():
    rule = "fn @before(%x: object) { %y = nn.relu(%x) return %y } fn @after(%x: object) { %y = abs(%x) return %y }"
    module = parse("""
        fn @main(%x: f32[4]) { dataflow { %a = nn.relu(%x) %b = tanh(%a) %c = nn.relu(%b) output %c } return %c }""")
    only_parameters = dpl.PatternMatchingRewriter.from_text(rule, lambda met: met["x"].kind == "parameter")
    assert only_parameters(module) == parse("""
        fn @main(%x: f32[4]) { dataflow { %a = abs(%x) %b = tanh(%a) %c = nn.relu(%b) output %c } return %c }""")


# Reading and matching


def test_reading_a_function():
    graph = parse("""
        fn @f(%x: f32[n,4]) { %y = nn.relu(%x) return %y }
        fn @main(%x: f32[n,4]) {note="hello"} { dataflow {
          %a = reshape(%x, shape[n,2,2]) %z: f32[n,4] = @f(%x) output %a, %z } return (%a, %z) }""").functions["main"].graph
    gc.collect()
    assert graph.name == "main" and graph.attributes == {"note": "hello"}
    (x,) = graph.parameters
    assert x.type == "f32[n,4]" and x.shape == (None, 4)
    a, z = graph.bindings
    assert graph.results == [a, z] and list(graph) == [a, z]
    assert a.args[0] == x and a.args[1].kind == "literal" and a.args[1].text == "shape[n,2,2]"
    assert a.args[1].data is None and a.args[1].shape is None
    assert x.users == [a, z]
    assert z.kind == "function_call" and z.callee.name == "f" and z.callee.bindings[0].op == "nn.relu"
    with pytest.raises(tenon.NotFoundError, match="calls no function"):
        a.callee
    with pytest.raises(TypeError):
        iter(a)


def test_matching_an_expression():
    """M-12, M-13: a match sees through names; a node used twice meets one value."""
    graph = parse(DOUBLING).functions["main"].graph
    x = dpl.wildcard()
    twice = dpl.is_op("add")(x, x)
    a, b = graph.bindings
    assert twice.match(a) and twice.match(b)
    assert twice.extract_matched_expr(b) == {twice: b, x: a}
    assert dpl.is_op("add")(twice, dpl.wildcard()).extract_matched_expr(b)[twice] == a
    assert dpl.is_op("multiply")(x, x).extract_matched_expr(a) is None
    assert not dpl.is_const().match(a)


def test_matching_a_block():
    """M-16, M-17: a diamond, and one that asks too much."""
    graph = parse("""
        fn @main(%x: f32[4,4], %w: f32[4,4]) { dataflow {
          %a = matmul(%x, %w) %b = nn.relu(%a) %c = sigmoid(%a) %d = add(%b, %c) output %d } return %d }""").functions[
              "main"].graph
    a, b, c, d = graph.bindings

    def diamond(only):
        with dpl.PatternContext() as context:
            # Calls without listed arguments state no uses.
            m, r, s, t = (dpl.is_op(name)(varg_default_wildcard=True) for name in ("matmul", "nn.relu", "sigmoid", "add"))
            for middle in (r, s):
                if only:
                    m >> middle
                else:
                    m ^ middle
                middle >> t
        return context, (m, r, s, t)

    context, nodes = diamond(False)
    met = context.match(graph)
    assert [met[node] for node in nodes] == [a, b, c, d]
    assert diamond(True)[0].match(graph) is None
    with pytest.raises(tenon.InvalidStateError, match="PatternContext"):
        dpl.wildcard() ^ dpl.wildcard()


def test_the_same_shape():
    """M-28: two values of one shape."""
    graph = parse("""
        fn @main(%a: f32[4,4], %b: f32[4,1]) { dataflow {
          %c = add(%a, %b) %d = add(%c, %a) output %d } return %d }""").functions["main"].graph
    with dpl.PatternContext() as context:
        l, r = dpl.wildcard(), dpl.wildcard()
        total = dpl.is_op("add")(l, r)
        l.same_shape_as(r)
    met = context.match(graph.bindings[0]._graph)
    assert met[total] == graph.bindings[1]
