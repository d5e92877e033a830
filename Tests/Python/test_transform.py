import doctest

import numpy as np
import pytest

import tenon
from tenon import transform
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


@pytest.mark.parametrize("part", [tenon.builder, transform])
def test_examples(part):
    result = doctest.testmod(part)
    assert result.attempted and not result.failed
