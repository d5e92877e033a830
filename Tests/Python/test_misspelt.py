"""What is spelt wrong is refused with what was probably meant; inputs are taken in every form everywhere."""

import io

import numpy as np
import pytest

import tenon

TEXT = "fn @main(%image: f32[2,3], %scale: f32[3]) { %p = multiply(%image, %scale) %y = nn.relu(%p) return %y }"


@pytest.fixture
def module():
    return tenon.Module.parse(TEXT)


@pytest.fixture
def run(module):
    return tenon.compile(module, threads=1)


@pytest.mark.parametrize("use, name, meant", [
    ("tenon.compile(module, thread=1)", "thread", "threads"), ("tenon.compile(module, optimise=False)", "optimise", "optimize"),
    ("module.optimize(disabled_rule=['x'])", "disabled_rule", "disabled_rules"),
    ("module.apply('FoldConstant', levle=1)", "levle", "level"), ("module.explain(jsn=True)", "jsn", "json"),
    ("module.save_onnx('x.onnx', externaldata=True)", "externaldata", "external_data"),
    ("module.print(withdata=True)", "withdata", "with_data"),
    ("module.fuse('a = add(*, *);', bind_constant=True)", "bind_constant", "bind_constants"),
    ("module.quantize([], calibraton='mse')", "calibraton", "calibration"),
    ("module.load_onnx(b'', dimension={})", "dimension", "dimensions"),
    ("tenon.load(b'', shape={})", "shape", "shapes"),
])
def test_options(module, use, name, meant):
    with pytest.raises(TypeError, match=f"no option '{name}'; did you mean '{meant}'") as raised:
        eval(use)
    assert isinstance(raised.value, tenon.TenonError)


def test_options_that_resemble_nothing_are_told_all(module):
    with pytest.raises(tenon.InvalidTypeError, match="expected one of .*threads, timeout, tuning"):
        tenon.compile(module, zzz=1)


@pytest.mark.parametrize("use, match", [
    ("module.optimize(disabled=['FoldConst'])", "unknown pass 'FoldConst'; did you mean 'FoldConstant'"),
    ("module.optimize(required=['FoldConst'])", "required: unknown pass"),
    ("tenon.describe('nn.conv2')", r"unknown operator 'nn.conv2'; did you mean 'nn.conv\dd'"),
    ("tenon.Builder().call('nn.rellu', np.zeros(2, np.float32))", "unknown operator 'nn.rellu'; did you mean 'nn.relu'"),
])
def test_names(module, use, match):
    with pytest.raises(tenon.NotFoundError, match=match):
        eval(use)


def test_a_text_is_no_list_of_names(module):
    with pytest.raises(tenon.InvalidTypeError, match="disabled expects a list of names, found the text 'FoldConstant'"):
        module.optimize(disabled="FoldConstant")


def test_misspelt_inputs_and_options_of_runs(run):
    with pytest.raises(tenon.InvalidArgumentError, match="no input 'imag'; expected 'image', 'scale'"):
        run.run(imag=np.zeros((2, 3), np.float32), scale=np.zeros(3, np.float32))
    with pytest.raises(tenon.InvalidArgumentError, match="no input 'timeuot'; did you mean 'timeout'"):
        run.run([np.zeros((2, 3), np.float32), np.zeros(3, np.float32)], timeuot=1)


def test_every_form_everywhere(run, rng):
    image, scale = rng.random((2, 3), np.float32), rng.random(3, np.float32)
    expected = image * scale
    forms = [((image, scale), {}), (({"image": image, "scale": scale},), {}), ((), {"scale": scale, "image": image}),
             ((image,), {"scale": scale})]
    for args, kwargs in forms:
        np.testing.assert_array_equal(run(*args, **kwargs), expected)
        assert len(run.profile(*args, **kwargs)) > 0 and run.verify(*args, **kwargs) is not None
        # Its second argument is where results go.
        given = ([*args],) if len(args) == 2 else args
        np.testing.assert_array_equal(run.run(*given, **kwargs)[0], expected)
    out = np.empty((2, 3), np.float32)
    assert run.run(image=image, scale=scale, outputs=[out], timeout=10)[0] is out


@pytest.mark.parametrize("given, kind, match", [
    (lambda path: open(path, encoding="utf-8"), tenon.InvalidTypeError, 'open it with mode "rb"'),
    (lambda path: pytest.importorskip("onnx").load(path).graph, tenon.InvalidTypeError, "onnx.ModelProto, found GraphProto"),
    (lambda path: path.parent, tenon.FileError, "Is a directory"),
    (lambda path: path.with_name("absent.txt"), tenon.FileError, "absent.txt: No such file"),
    (lambda path: path.with_name("absent.onnx"), tenon.FileError, "absent.onnx: No such file"),
    (lambda path: None, tenon.InvalidTypeError, "found NoneType"),
])
def test_what_cannot_be_loaded(fixtures, given, kind, match):
    with pytest.raises(kind, match=match):
        tenon.load(given(fixtures / "digits/digits.onnx"))


def test_a_file_that_is_neither(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(tenon.InvalidModelError, match="neither an ONNX model nor a text"):
        tenon.load(tmp_path / "model.pt")


def test_what_can_be_loaded(fixtures):
    onnx = pytest.importorskip("onnx")
    path = fixtures / "digits/digits.onnx"
    data = path.read_bytes()
    for given in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), path.open("rb"), onnx.load(path),
                  io.StringIO(TEXT)):
        assert "main" in tenon.load(given).functions
