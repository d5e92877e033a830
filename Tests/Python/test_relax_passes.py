"""Passes that TVM has under the same names: what they make, what they leave, and that no number changes."""

import random

import numpy as np
import pytest

import tenon
from tenon import transform

NHWC = {"nn.conv2d": ["NHWC", "OHWI"]}


def block(parameters, body, result="%r"):
    return tenon.Module.parse(f"fn @main({parameters}) {{ dataflow {{ {body} output %r }} return {result} }}")


def calls(module, op):
    return sum(e.kind == "call" and e.op == op for e in module["main"].graph.bindings)


def same(rng, before, after, **tolerance):
    """Both compute the same of random numbers."""
    after.verify()
    arrays = [
        np.abs(rng.standard_normal([int(n) for n in str(p.type)[4:-1].split(",")], np.float32)) + np.float32(0.1)
        for p in before["main"].graph.parameters]
    found = [tenon.compile(module, threads=1)(*arrays) for module in (before, after)]
    for a, b in zip(*[x if isinstance(x, (list, tuple)) else [x] for x in found]):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-4, "atol": 1e-4, **tolerance})


# ------------------------------------------------------------------------------------------------------ layouts

IMAGES = (
    "%x: f32[2,3,14,12], %w: f32[4,3,3,3], %v: f32[5,4,3,3], %z: f32[2,4,12,10], %b: f32[4,1,1], %g: f32[4], %l: f32[4,12]")

#: What stands between the convolution and the result, and how many permutations are left: of data, weights, others, result.
CONVERTED = [
    ("%r = nn.relu(%c)", 3),
    ("%q = nn.relu(%c) %r = nn.conv2d(%q, %v)", 4),
    ("%q = add(%c, %z) %r = nn.gelu(%q)", 4),
    ("%q = add(%b, %c) %r = nn.relu(%q)", 4),
    ("%q = add(%c, %c) %r = multiply(%q, %q)", 3),
    ("%q = nn.max_pool2d(%c) {pool_size=2, strides=2} %r = nn.conv2d(%q, %v)", 4),
    ("%q = nn.adaptive_avg_pool2d(%c) {output_size=[1,1]} %r = reshape(%q, shape[2,4])", 3),
    ('%r = image.resize2d(%c, shape[24,20]) {method="nearest_neighbor"}', 3),
    ("%n = nn.batch_norm(%c, %g, %g, %g, %g) %q = %n.0 %r = nn.relu(%q)", 3),
    ("%q = nn.group_norm(%c, %g, %g) {num_groups=2} %r = nn.relu(%q)", 3),
    ("%q = nn.instance_norm(%c, %g, %g) %r = nn.relu(%q)", 3),
    ("%q = nn.layer_norm(%c, %g, %g) {axes=[1]} %r = nn.relu(%q)", 3),
    # Scale and shift would have to be permuted too.
    ("%q = nn.layer_norm(%c, %l, %l) {axes=[1,2]} %r = nn.relu(%q)", 3),
    ("%q = nn.softmax(%c) {axis=1} %r = nn.relu(%q)", 3),
    ("%q = nn.pad(%c) {pad_width=[0,0,0,0,1,2,3,4]} %r = nn.conv2d(%q, %v)", 4),
    ("%q = strided_slice(%c, shape[1], shape[1], shape[3]) %r = nn.relu(%q)", 3),
    ("%s = split(%c) {indices=[1], axis=1} %p = %s.0 %q = %s.1 %r = concat((%q, %p)) {axis=1}", 3),
    ("%q = mean(%c) {axis=[2,3]} %r = nn.relu(%q)", 2),
    ("%q = permute_dims(%c) {axes=[0,2,3,1]} %r = nn.relu(%q)", 2),
]


@pytest.mark.parametrize("body, left", CONVERTED)
def test_layouts_reach_what_follows(rng, body, left):
    module = block(IMAGES, "%c = nn.conv2d(%x, %w) " + body)
    converted = transform.ConvertLayout(NHWC)(module)
    assert calls(converted, "permute_dims") == left, str(converted)
    assert str(converted).count('data_layout="NHWC"') == str(module).count("nn.conv2d(")
    same(rng, module, converted)
    assert converted["main"].graph.results[0].type == module["main"].graph.results[0].type
    # What has the layouts already stays.
    assert transform.ConvertLayout(NHWC)(converted) == converted


def test_layouts_may_be_taken_back(rng):
    module = block(IMAGES, "%c = nn.conv2d(%x, %w) {padding=1, strides=[2,1]} %q = nn.relu(%c) %r = nn.conv2d(%q, %v)")
    there = transform.ConvertLayout(NHWC)(module)
    back = transform.ConvertLayout({"relax.nn.conv2d": ("NCHW", "OIHW")})(there)
    assert back == module
    other = transform.ConvertLayout({"nn.conv2d": ["NHWC", "HWIO", "NCHW"]})(module)
    assert 'out_layout="NCHW"' in str(other)
    same(rng, module, other)


def test_layouts_of_transposed_convolutions_pools_and_constants(rng):
    module = block("%x: f32[1,4,6,7], %w: f32[4,2,3,3]", "%c = nn.conv2d_transpose(%x, %w) {strides=2} %r = nn.max_pool2d(%c) {pool_size=2}")
    converted = transform.ConvertLayout({"nn.conv2d_transpose": ["NHWC", "HWOI"]})(module)
    assert 'kernel_layout="HWOI"' in str(converted) and 'layout="NHWC", pool_size' in str(converted)
    same(rng, module, converted)
    pool = transform.ConvertLayout({"nn.max_pool2d": "NHWC"})(module)
    assert calls(pool, "permute_dims") == 2
    same(rng, module, pool)
    b = tenon.Builder()
    y = b.call("nn.conv1d", b.parameter("x", (2, 3, 9)), b.constant(rng.standard_normal((5, 3, 3), np.float32)))
    given = b.finish(y)
    folded = transform.ConvertLayout({"nn.conv1d": ["NWC", "OWI"]})(given).apply("FoldConstant")
    assert calls(folded, "permute_dims") == 2
    same(rng, given, folded)


def test_layouts_in_branches_and_local_functions(rng):
    module = tenon.Module.parse(
        "fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3,3]) { %f = fn(%p: f32[1,3,8,8], %q: f32[4,3,3,3]) { "
        "%c = nn.conv2d(%p, %q) return %c } %a = %f(%x, %w) %s = sum(%x) %t = greater(%s, const f32[](0)) "
        "%y = if %t { %c = nn.conv2d(%x, %w) %d = nn.relu(%c) yield %d } else { yield %a } return %y }")
    converted = transform.ConvertLayout(NHWC)(module)
    assert str(converted).count('data_layout="NHWC"') == 2
    same(rng, module, converted)


@pytest.mark.parametrize("layouts, message", [
    ({"nn.conv2d": ["NHWC"]}, "expected 2 or 3 layouts, found 1"),
    ({"nn.conv2d": ["NHWC", "OHWI", "NHWC", "NHWC"]}, "found 4"),
    ({"nn.conv2d": ["NCHW4c", "OIHW"]}, "order of the letters NCHW, found 'NCHW4c'"),
    ({"nn.conv2d": ["NHWC", "OHWO"]}, "order of the letters OIHW"),
    ({"nn.relu": ["NHWC"]}, "unknown attribute 'nn.relu'"),
    ({"nn.conv2d": [1, 2]}, "expects list of string"),
])
def test_layouts_that_are_none(layouts, message):
    module = block(IMAGES, "%r = nn.conv2d(%x, %w)")
    with pytest.raises(tenon.TenonError, match=message):
        transform.ConvertLayout(layouts)(module)


def test_nothing_asked_for_nothing_done():
    module = block(IMAGES, "%c = nn.conv2d(%x, %w) %r = permute_dims(%c) {axes=[0,2,3,1]}")
    assert transform.ConvertLayout({})(module) == module == module.apply("ConvertLayout")


# ----------------------------------------------------------------------------------------------------- products

SIDES = "%x: f32[3,8], %a: f32[8,4], %b: f32[8,6], %c: f32[4,8], %p: f32[4], %q: f32[6], %t: f32[3,6], %k: f32[2,8,4], %l: f32[2,8,5]"

COMBINED = [
    ("%y = matmul(%x, %a) %z = matmul(%x, %b) %r = (%y, %z)", 1, 0),
    ("%y = matmul(%x, %a) %z = matmul(%x, %b) %u = matmul(%x, %b) %r = (%y, %z, %u)", 1, 0),
    # What a weight is made of comes between.
    ("%y = matmul(%x, %a) %d = permute_dims(%c) %z = matmul(%x, %d) %r = (%y, %z)", 1, 0),
    ("%m = matmul(%x, %a) %y = add(%m, %p) %n = matmul(%x, %b) %z = add(%q, %n) %r = (%y, %z)", 1, 1),
    ("%m = matmul(%x, %a) %s = add(%m, %p) %y = nn.gelu(%s) %n = matmul(%x, %b) %u = add(%n, %q) %z = nn.gelu(%u) %r = (%y, %z)", 1, 1),
    # One has no bias, or one for each row: the products alone are combined.
    ("%m = matmul(%x, %a) %y = add(%m, %p) %z = matmul(%x, %b) %r = (%y, %z)", 1, 1),
    ("%m = matmul(%x, %a) %y = add(%m, %p) %n = matmul(%x, %b) %z = add(%n, %t) %r = (%y, %z)", 1, 2),
    # Two activations.
    ("%m = matmul(%x, %a) %s = add(%m, %p) %y = nn.relu(%s) %n = matmul(%x, %b) %u = add(%n, %q) %z = tanh(%u) %r = (%y, %z)", 1, 1),
    # A sum that is used beside its activation.
    ("%m = matmul(%x, %a) %s = add(%m, %p) %y = nn.relu(%s) %n = matmul(%x, %b) %u = add(%n, %q) %z = nn.relu(%u) %r = (%y, %z, %u)", 1, 1),
    ("%y = matmul(%x, %k) %z = matmul(%x, %l) %r = (%y, %z)", 1, 0),
    # Not of one rank, not of one operand, one weight that is made of a product.
    ("%y = matmul(%x, %a) %z = matmul(%x, %k) %r = (%y, %z)", 2, 0),
    ("%y = matmul(%x, %a) %z = matmul(%a, %x) %r = (%y, %t)", 2, 0),
    ("%y = matmul(%x, %a) %v = matmul(%y, %c) %d = permute_dims(%v) %z = matmul(%x, %d) %r = (%y, %z)", 3, 0),
    ("%y = matmul(%x, %a) %z = matmul(%c, %a) %r = (%y, %z)", 2, 0),
]


@pytest.mark.parametrize("body, products, sums", COMBINED)
def test_products_side_by_side(rng, body, products, sums):
    parameters = SIDES if "%z = matmul(%a, %x)" not in body else SIDES.replace("%a: f32[8,4]", "%a: f32[8,3]").replace("%p: f32[4]", "%p: f32[3]")
    module = block(parameters, body)
    combined = transform.CombineParallelMatmul()(module)
    assert calls(combined, "matmul") == products and calls(combined, "add") == sums, str(combined)
    same(rng, module, combined)
    assert transform.CombineParallelMatmul()(combined) == combined


def test_products_that_depend_on_each_other_crosswise(rng):
    module = block(
        "%x: f32[4,4], %y: f32[4,4], %w: f32[4,4]",
        "%a = matmul(%x, %w) %b = matmul(%y, %w) %c = nn.relu(%b) %d = matmul(%x, %c) %e = nn.relu(%a) %f = matmul(%y, %e) %r = (%d, %f)")
    # One of the two pairs can be: then the other's second weight is made of its first product.
    combined = transform.CombineParallelMatmul()(module)
    assert calls(combined, "matmul") == 3
    same(rng, module, combined)


def test_products_outside_of_blocks_and_of_unknown_width_stay():
    outside = tenon.Module.parse("fn @main(%x: f32[3,8], %a: f32[8,4]) { %y = matmul(%x, %a) %z = matmul(%x, %a) return (%y, %z) }")
    assert transform.CombineParallelMatmul()(outside) == outside
    unknown = block("%x: f32[3,8], %a: f32[8,n], %b: f32[8,n]", "%y = matmul(%x, %a) %z = matmul(%x, %b) %r = (%y, %z)")
    assert transform.CombineParallelMatmul()(unknown) == unknown


# ------------------------------------------------------------------------------------------------ normalisation

NORMS = {
    "nn.batch_norm": "%n = nn.batch_norm(%x, %g, %b, %m, %v) {epsilon=0.01} %y = %n.0 %z = %n.1 %r = (%y, %z, %n)",
    "nn.layer_norm": "%r = nn.layer_norm(%x, %s, %s) {axes=[-2,-1]}",
    "nn.rms_norm": "%r = nn.rms_norm(%x, %s) {axes=[2,3]}",
    "nn.instance_norm": "%r = nn.instance_norm(%x, %g, %b) {center=false}",
    "nn.group_norm": "%r = nn.group_norm(%x, %g, %b) {num_groups=3}",
}
NORMALISED = "%x: f32[2,6,5,4], %g: f32[6], %b: f32[6], %m: f32[6], %v: f32[6], %s: f32[5,4]"


@pytest.mark.parametrize("op", NORMS)
def test_normalisation_as_arithmetic(rng, op):
    module = block(NORMALISED, NORMS[op])
    made = transform.DecomposeOpsForInference(ops=[op])(module)
    assert calls(made, op) == 0 and calls(made, "divide") == 1
    same(rng, module, made)
    others = transform.DecomposeOpsForInference(ops=[name for name in NORMS if name != op])(module)
    assert others == module


def test_only_batch_normalisation_unless_asked(rng):
    module = block(NORMALISED, "%n = nn.batch_norm(%x, %g, %b, %m, %v) {scale=false, axis=-3} %y = %n.0 %r = nn.layer_norm(%y, %s, %s) {axes=[2,3]}")
    made = transform.DecomposeOpsForInference()(module)
    assert calls(made, "nn.batch_norm") == 0 and calls(made, "nn.layer_norm") == 1 and calls(made, "multiply") == 0
    same(rng, module, made)
    assert transform.DecomposeOpsForInference("main")(module) == made
    with pytest.raises(tenon.NotFoundError, match="no function 'other'"):
        transform.DecomposeOpsForInference("other")(module)
    with pytest.raises(tenon.InvalidArgumentError, match="found 'nn.relu'"):
        transform.DecomposeOpsForInference(ops=["nn.relu"])(module)
    training = block(NORMALISED, "%n = nn.batch_norm(%x, %g, %b, %m, %v) {training=true} %r = %n.0")
    plain = block(NORMALISED, "%n = nn.batch_norm(%x, %g, %b, %m, %v) %r = %n.0")
    assert transform.DecomposeOpsForInference()(training) == transform.DecomposeOpsForInference()(plain) != plain


# ------------------------------------------------------------------------------------------------------- blocks

def two_blocks():
    return tenon.Module.parse(
        "fn @main(%x: f32[n,4], %w: f32[4,4]) { dataflow { %a = matmul(%x, %w) %b = nn.relu(%a) output %a, %b } "
        "block { %c = tanh(%b) } dataflow { %d = add(%a, %c) %e = nn.relu(%d) output %e } return %e }")


def test_blocks_one_at_a_time(rng):
    seen = []

    @transform.dataflowblock_pass(opt_level=0, name="look")
    def look(block, mod, ctx):
        assert mod.functions[block.name].attributes["DataflowBlock"] and isinstance(ctx, transform.PassContext)
        seen.append(([p.name for p in block.graph.parameters], [e.name for e in block.graph.results]))

    module = two_blocks()
    assert look(module) == module and look.name == "look"
    assert seen == [(["x", "w"], ["a", "b"]), (["a", "c"], ["e"])]


def test_blocks_are_replaced(rng):
    @transform.dataflowblock_pass(opt_level=1)
    class Replace:
        def __init__(self, to):
            self.rule = f"fn @before(%x: object) {{ %y = nn.relu(%x) return %y }} fn @after(%x: object) {{ %y = {to}(%x) return %y }}"

        def transform_dataflowblock(self, block, mod, ctx):
            return mod.rewrite(self.rule).functions[block.name]

    module = two_blocks()
    replaced = Replace("negative")(module)
    assert str(replaced).count("negative") == 2 and "relu" not in str(replaced)
    assert list(replaced.functions) == ["main"] and str(replaced).count("dataflow {") == 2
    x, w = rng.standard_normal((3, 4), np.float32), rng.standard_normal((4, 4), np.float32)
    a = x.astype(np.float64) @ w
    np.testing.assert_allclose(tenon.compile(replaced, threads=1)(x, w), -(a + np.tanh(-a)), rtol=1e-5, atol=1e-5)
    with transform.PassContext(disabled_pass=["Replace"]):
        assert transform.Sequential([Replace("negative")])(module) == module


def test_blocks_that_do_not_fit():
    @transform.dataflowblock_pass(opt_level=0)
    def wrong(block, mod, ctx):
        return tenon.Module.parse("fn @main(%x: f32[4]) { dataflow { %y = nn.relu(%x) output %y } return %y }")["main"]

    with pytest.raises(tenon.InvalidTypeError, match="1 parameters and 1 results in the place of 2 and 2"):
        wrong(two_blocks())

    @transform.dataflowblock_pass(opt_level=0)
    def other_types(block, mod, ctx):
        return tenon.Module.parse(
            "fn @main(%x: f32[4], %z: f32[4]) { dataflow { %y = nn.relu(%x) output %y } return (%y, %z) }")["main"]

    with pytest.raises(tenon.TenonError):
        other_types(two_blocks())

    @transform.dataflowblock_pass(opt_level=0)
    def nothing(block, mod, ctx):
        return 3

    with pytest.raises(tenon.InvalidTypeError, match="returned int instead"):
        nothing(two_blocks())
    with pytest.raises(tenon.InvalidArgumentError, match="needs an opt_level"):
        transform.dataflowblock_pass(lambda block, mod, ctx: None)


def test_equal_blocks_are_one_and_branches_have_blocks(rng):
    module = tenon.Module.parse(
        "fn @main(%x: f32[4], %c: bool[]) { %y = if %c { dataflow { %a = nn.relu(%x) output %a } yield %a } "
        "else { dataflow { %b = nn.relu(%x) output %b } yield %b } return %y }")
    count = []
    look = transform.dataflowblock_pass(lambda block, mod, ctx: count.append(block.name), opt_level=0, name="look")
    assert look(module) == module and len(count) == 1


# ------------------------------------------------------------------------------------------------ random blocks

def random_products(seed):
    source = random.Random(seed)
    values, body = ["x", "y"], []

    def add(text):
        values.append(f"v{len(values)}")
        body.append(f"%{values[-1]} = {text}")

    def pick(last=6):
        return "%" + source.choice(values[-last:] if source.random() < 0.5 else values)

    for _ in range(source.randint(4, 24)):
        kind = source.random()
        if kind < 0.5:
            add(f"matmul({source.choice(['%x', '%y', pick(3)])}, {source.choice(['%w', '%u', pick(), pick()])})")
        elif kind < 0.7:
            add(f"add({pick(2)}, {source.choice(['%b', '%c', pick()])})")
        elif kind < 0.85:
            add(f"{source.choice(['nn.relu', 'tanh'])}({pick(2)})")
        else:
            add(f"permute_dims({source.choice(['%w', '%u', pick()])})")
    shown = source.sample(values[2:], min(3, len(values) - 2))
    outputs = ", ".join("%" + name for name in shown)
    return tenon.Module.parse(
        "fn @main(%x: f32[4,4], %y: f32[4,4], %w: f32[4,4], %u: f32[4,4], %b: f32[4], %c: f32[1,4]) { dataflow { "
        + " ".join(body) + f" output {outputs} }} return ({outputs}) }}")


def test_random_products(rng):
    combined = 0
    for seed in range(24):
        module = random_products(seed)
        made = transform.CombineParallelMatmul()(module)
        combined += made != module
        arrays = [rng.standard_normal(shape, np.float32) * np.float32(0.3) for shape in [(4, 4)] * 4 + [(4,), (1, 4)]]
        for a, b in zip(tenon.compile(module, threads=1, optimize=False)(*arrays), tenon.compile(made, threads=1, optimize=False)(*arrays)):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * max(1, np.abs(a).max()), err_msg=f"seed {seed}")
    assert combined > 8


def random_images(seed):
    """Convolutions of one size, in the two layouts, with what may stand around them."""
    source = random.Random(seed)
    values, body = [("x", "NCHW")], []

    def add(text, layout):
        values.append((f"v{len(values)}", layout))
        body.append(f"%{values[-1][0]} = {text}")

    def pick(layout=None):
        found = [name for name, order in values if (order == layout if layout else order)]
        return source.choice(found[-3:]) if found else "x"

    def order(name):
        return dict(values)[name]

    for _ in range(source.randint(3, 14)):
        name = pick()
        here, last = order(name), order(name) == "NHWC"
        kind = source.random()
        if kind < 0.3:
            layouts = ' {padding=1, data_layout="NHWC"}' if last else " {padding=1}"
            add(f"nn.conv2d(%{name}, %w){layouts}", here)
        elif kind < 0.45:
            axes, other = ("[0,3,1,2]", "NCHW") if last else ("[0,2,3,1]", "NHWC")
            add(f"permute_dims(%{name}) {{axes={axes}}}", other)
        elif kind < 0.6:
            add(f"{source.choice(['add', 'maximum'])}(%{name}, %{pick(here)})", here)
        elif kind < 0.7:
            add(f"{source.choice(['nn.relu', 'tanh', 'sigmoid'])}(%{name})", here)
        elif kind < 0.8:
            add(f'nn.max_pool2d(%{name}) {{pool_size=3, padding=1, strides=1, layout="{here}"}}', here)
        elif kind < 0.9:
            add(f"nn.softmax(%{name}) {{axis={source.randint(-4, 3)}}}", here)
        else:
            axis = source.randint(0, 3)
            add(f"sum(%{name}) {{axis=[{axis}], keepdims=true}}", None)
            add(f"multiply(%{name}, %{values[-1][0]})", here)
    name = values[-1][0]
    return tenon.Module.parse(
        f"fn @main(%x: f32[2,4,6,5], %w: f32[4,4,3,3]) {{ dataflow {{ {' '.join(body)} output %{name} }} return %{name} }}")


def test_random_images(rng):
    for seed in range(24):
        module = random_images(seed)
        layouts = [{"nn.conv2d": ["NHWC", "OHWI"]}, {"nn.conv2d": ["NCHW", "HWIO"]}, {"nn.conv2d": ["NHWC", "OIHW", "NCHW"]}][seed % 3]
        made = transform.ConvertLayout(layouts)(module)
        arrays = [rng.standard_normal((2, 4, 6, 5), np.float32), rng.standard_normal((4, 4, 3, 3), np.float32) * np.float32(0.2)]
        a, b = (tenon.compile(stage, threads=1, optimize=False)(*arrays) for stage in (module, made))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * max(1, np.abs(a).max()), err_msg=f"seed {seed}")
