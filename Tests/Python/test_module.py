import copy
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import tenon
from test_builder import conv_bias_relu


@pytest.fixture
def module(rng):
    b = tenon.Builder()
    x = b.parameter("x", (1, 3, 8, 8))
    y = conv_bias_relu(b, x, rng.random((4, 3, 3, 3), np.float32), rng.random(4, np.float32), padding=[1, 1, 1, 1])
    return b.finish(y)


def test_text_round_trip(module):
    again = tenon.Module.parse(module.print(with_data=True))
    assert again == module
    assert "nn.conv2d" in str(module)
    assert repr(module) == "<tenon.Module with functions main>"


def test_passes_give_new_modules(module):
    before = str(module)
    fused = module.apply("FuseConv2dReshapeAddRelu")
    assert str(module) == before
    composites = [f.attributes.get("Composite") for f in fused.functions.values()]
    assert "dnnl.conv2d_reshape_add_relu" in composites
    assert fused != module
    assert module.optimize() != module
    with pytest.raises(tenon.NotFoundError):
        module.apply("FuseEverything")
    assert "FuseConv2dReshapeAddRelu" in tenon.passes()


def test_attributes(module):
    module.set_attributes({"global_symbol": "entry", "sizes": [1, 2], "flag": True, "rate": 0.5}, "main")
    assert module["main"].attributes == {"global_symbol": "entry", "sizes": [1, 2], "flag": True, "rate": 0.5}
    module.set_attributes({"texts": ["a", "b"], "floats": [0.5, 1.5], "kind": np.dtype(np.float32)})
    assert module.attributes == {"texts": ["a", "b"], "floats": [0.5, 1.5], "kind": np.dtype(np.float32)}
    with pytest.raises(tenon.NotFoundError):
        module.set_attributes({}, "absent")
    with pytest.raises(LookupError):
        module["absent"]


def test_copies(module):
    assert copy.deepcopy(module) == module
    assert pickle.loads(pickle.dumps(module)) == module
    assert {module.copy() == module, module == 3} == {True, False}


def test_close(module):
    with module:
        pass
    assert module.closed and repr(module) == "<tenon.Module closed>"
    module.close()
    for use in (module.print, module.copy, module.optimize, lambda: tenon.compile(module), lambda: list(module.functions)):
        with pytest.raises(tenon.InvalidStateError, match="the Module is closed"):
            use()


@pytest.mark.parametrize("text", ["", "nonsense", "def", "\x00", "@main(" * 1000, "💥"])
def test_bad_texts(text):
    with pytest.raises(tenon.TenonError) as caught:
        tenon.compile(tenon.Module.parse(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff" * 100, b"\x08\x08", bytes(range(256))])
def test_bad_models(data):
    with pytest.raises(tenon.TenonError):
        tenon.Module.load_onnx(data)


def test_damaged_models(fixtures):
    whole = (fixtures / "digits/digits.onnx").read_bytes()
    for size in range(0, len(whole), len(whole) // 60):
        with pytest.raises(tenon.TenonError):
            tenon.compile(tenon.Module.load_onnx(whole[:size]))


def test_missing_file():
    with pytest.raises(OSError) as caught:
        tenon.load("/nowhere/model.onnx")
    assert isinstance(caught.value, tenon.TenonError)


def test_operators():
    assert "nn.conv2d" in tenon.operators()
    assert "strides" in tenon.describe("nn.conv2d")
    with pytest.raises(tenon.NotFoundError):
        tenon.describe("nn.conv9d")
    for name in tenon.operators():
        assert name in tenon.describe(name)


def test_modules_of_the_package_need_no_import_of_their_own():
    code = "\n".join([
        "import sys, tenon", "before = set(sys.modules)",
        "assert tenon.transform.Sequential and tenon.dpl.is_op and tenon.op and tenon.instrument and tenon.onnxruntime",
        "assert 'torch' not in sys.modules and 'ray' not in sys.modules",
        "assert {'dpl', 'transform', 'compile'} <= set(dir(tenon)) and not hasattr(tenon, 'nonsense')"])
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(tenon.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
