import doctest

import numpy as np
import pytest

import tenon
from tenon import dpl, transform
from test_builder import conv_bias_relu

FUSE = "FuseConv2dReshapeAddRelu"


@pytest.fixture
def module(rng):
    b = tenon.Builder()
    x = b.parameter("x", (1, 3, 8, 8))
    return b.finish(conv_bias_relu(b, x, rng.random((4, 3, 3, 3), np.float32), rng.random(4, np.float32)))


def composites(module):
    return [f.attributes["Composite"] for f in module.functions.values() if "Composite" in f.attributes]


def test_sequential(module):
    before = str(module)
    fuse, merge = transform.FuseConv2dReshapeAddRelu(), transform.MergeCompositeFunctions()
    assert composites(fuse(module)) == ["dnnl.conv2d_reshape_add_relu"]
    merged = transform.Sequential([fuse, merge])(module)
    assert any(f.attributes.get("Codegen") == "dnnl" for f in merged.functions.values())
    assert str(module) == before
    assert merged == merge(fuse(module))


def test_context(module):
    pipeline = transform.Sequential([transform.FuseConv2dReshapeAddRelu()])
    with transform.PassContext(disabled_pass=[FUSE]) as context:
        assert transform.PassContext.current() is context
        assert not composites(pipeline(module))
        with transform.PassContext():
            assert composites(pipeline(module))
    assert transform.PassContext.current().disabled_pass == []


def test_module_pass(module):
    seen = []

    @transform.module_pass(opt_level=3)
    def look(mod, ctx):
        seen.append(ctx.opt_level)
        return mod

    @transform.module_pass(opt_level=0)
    class Rename:
        def __init__(self, name):
            self.name = name

        def transform_module(self, mod, ctx):
            changed = mod.copy()
            changed.set_attributes({"name": self.name})
            return changed

    pipeline = transform.Sequential([look, Rename("joint")])
    assert pipeline(module).attributes == {"name": "joint"} and seen == []
    with transform.PassContext(opt_level=3):
        pipeline(module)
    with transform.PassContext(required_pass=["look"]):
        pipeline(module)
    assert seen == [3, 2]
    assert look.info.name == "look" and Rename("x").info.name == "Rename"

    @transform.module_pass(opt_level=0)
    def wrong(mod, ctx):
        return 3

    with pytest.raises(TypeError, match="returned int"):
        wrong(module)


def fused(module, pattern, name="dnnl.test", **options):
    return composites(transform.FuseOpsByPattern([(name, pattern)], **options)(module))


def test_patterns(module):
    x, w, bias = dpl.wildcard(), dpl.is_const(), dpl.wildcard()
    conv = dpl.is_op("relax.nn.conv2d")(x, w)
    whole = dpl.make_fused_bias_activation_pattern(
        "relax.nn.conv2d", with_bias=True, activation="relax.nn.relu", allow_reshape=True)
    assert fused(module, whole) == ["dnnl.test"]
    assert fused(module, dpl.is_op("nn.relu")(dpl.is_op("reshape")(bias, dpl.wildcard()) + conv)) == ["dnnl.test"]
    assert not fused(module, dpl.is_op("nn.relu")(conv))
    assert fused(module, conv.has_attr({"strides": [1, 1]})) and not fused(module, conv.has_attr({"strides": [2, 2]}))
    assert fused(module, conv.has_dtype("float32")) and not fused(module, conv.has_dtype("float16"))
    assert fused(module, conv.has_shape([1, 4, 6, 6])) and not fused(module, conv.has_shape([1, 4, 6, 7]))
    assert fused(module, dpl.is_op("nn.conv2d")(dpl.is_var("x"), dpl.wildcard()))
    assert not fused(module, dpl.is_op("nn.conv2d")(dpl.is_const(), dpl.wildcard()))
    assert not fused(module, dpl.is_op("nn.conv2d")(~dpl.is_var("x"), dpl.wildcard()))
    assert fused(module, dpl.is_op("nn.relu")(dpl.wildcard()) | dpl.is_op("tanh")(dpl.wildcard()))
    either = dpl.is_op("nn.gelu") | dpl.is_op("nn.relu")
    assert fused(module, either(dpl.wildcard().optional(lambda p: dpl.is_op("tanh")(p))))
    with pytest.raises(tenon.ParseError):
        fused(module, "nn.relu(")
    with pytest.raises(TypeError, match="annotations are patterns by label"):
        transform.FuseOpsByPattern([("dnnl.test", whole, lambda context: True)])
    with pytest.raises(TypeError):
        dpl.is_op("nn.relu")(3)


def test_one_object_is_one_value():
    b = tenon.Builder()
    x, y = b.parameter("x", (2,)), b.parameter("y", (2,))
    swish = b.finish(b.call("multiply", x, b.call("sigmoid", x)))
    b = tenon.Builder()
    x, y = b.parameter("x", (2,)), b.parameter("y", (2,))
    other = b.finish(b.call("multiply", x, b.call("sigmoid", y)))
    p = dpl.wildcard()
    same = dpl.is_op("multiply")(p, dpl.is_op("sigmoid")(p))
    free = dpl.is_op("multiply")(p, dpl.is_op("sigmoid")(p.dup()))
    assert fused(swish, same) and not fused(other, same) and fused(other, free)


def test_fused_by_pattern_runs(module, rng):
    pattern = dpl.make_fused_bias_activation_pattern("nn.conv2d", True, "nn.relu", allow_reshape=True)
    pipeline = transform.Sequential([
        transform.FuseOpsByPattern([("dnnl.conv2d_reshape_add_relu", pattern)]), transform.MergeCompositeFunctions()])
    x = rng.random((1, 3, 8, 8), np.float32)
    np.testing.assert_allclose(tenon.compile(pipeline(module))(x), tenon.compile(module, optimize=False)(x), rtol=1e-5)


def test_misuse(module):
    with pytest.raises(AttributeError, match="no pass 'FuseEverything'"):
        transform.FuseEverything
    with pytest.raises(TypeError):
        transform.MergeCompositeFunctions()(3)
    with pytest.raises(TypeError):
        transform.Sequential([3])
    with pytest.raises(ValueError):
        transform.PassContext(opt_level=9)
    assert FUSE in dir(transform)


@pytest.mark.parametrize("part", [dpl, tenon.builder, transform])
def test_examples(part):
    result = doctest.testmod(part)
    assert result.attempted and not result.failed
