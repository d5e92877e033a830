"""What a model says about itself: read, set, kept by passes, saved, pickled; and what tenon.load takes."""

import dataclasses
import io
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
TEXT = "fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }"


@pytest.fixture
def proto():
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "the graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])], doc_string="of one node")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
    model.ir_version, model.producer_name, model.producer_version = 8, "somebody", "1.2"
    model.domain, model.model_version, model.doc_string = "org.example", 3, "a test"
    model.metadata_props.add(key="classes", value="cat,dog")
    model.metadata_props.add(key="tokens", value="é" * 3000)
    return model


def test_read(proto):
    info = tenon.load(proto).info
    assert (info.producer_name, info.producer_version, info.domain) == ("somebody", "1.2", "org.example")
    assert (info.description, info.graph_name, info.graph_description) == ("a test", "the graph", "of one node")
    assert (info.version, info.ir_version) == (3, 8)
    assert info.opsets == {"": 17, "com.microsoft": 1}
    assert info.metadata == {"classes": "cat,dog", "tokens": "é" * 3000}
    proto.ClearField("model_version")
    assert tenon.load(proto).info.version is None
    assert tenon.Module.parse(TEXT).info == tenon.ModelInfo()


def test_survives(proto, tmp_path):
    module = tenon.load(proto)
    module.metadata["added"] = "1"
    del module.metadata["tokens"]
    for made in (module, module.optimize(), module.copy(), pickle.loads(pickle.dumps(module))):
        made.save_onnx(tmp_path / "saved.onnx")
        saved = onnx.load(tmp_path / "saved.onnx")
        onnx.checker.check_model(saved)
        assert {entry.key: entry.value for entry in saved.metadata_props} == {"classes": "cat,dog", "added": "1"}
        assert (saved.producer_name, saved.domain, saved.model_version) == ("somebody", "org.example", 3)
        assert (saved.doc_string, saved.graph.name, saved.graph.doc_string) == ("a test", "the graph", "of one node")
    # It is no part of what modules compute.
    assert tenon.load(proto) == module
    assert dict(tenon.compile(module).module.metadata) == {"classes": "cat,dog", "added": "1"}


def test_set():
    module = tenon.Module.parse(TEXT)
    module.info = dataclasses.replace(module.info, version=9, metadata={"a": "b"})
    assert module.info.version == 9 and module.metadata["a"] == "b" and len(module.metadata) == 1
    with pytest.raises(KeyError):
        module.metadata["c"]
    with pytest.raises(tenon.InvalidTypeError, match="'a'"):
        module.metadata["a"] = 3
    assert onnx.load_from_string(tenon.Module.parse(TEXT).serialize_onnx()).producer_name == "tenon"


def test_what_load_takes(proto, tmp_path):
    data = proto.SerializeToString()
    path, text = tmp_path / "m.onnx", tmp_path / "m.tenon"
    path.write_bytes(data)
    (tmp_path / "model").write_bytes(data)
    text.write_text(TEXT)
    x = np.array([-1, 2], np.float32)
    with open(path, "rb") as binary, open(text) as lines:
        for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), binary,
                       proto, tmp_path / "model", text, lines):
            module = tenon.load(source)
            np.testing.assert_array_equal(tenon.compile(module)(x), [0, 2])
    assert tenon.load(data, dimensions={"n": 1}).info.producer_name == "somebody"


def test_what_load_does_not_take(proto, tmp_path):
    with pytest.raises(tenon.InvalidTypeError, match="a path, bytes, an open file or an onnx.ModelProto, found int"):
        tenon.load(3)
    with pytest.raises(tenon.InvalidTypeError, match="did you mean 'dimensions'"):
        tenon.load(proto, dimension={})
    with pytest.raises(tenon.InvalidArgumentError, match="tenon.Module.parse reads texts"):
        tenon.load(TEXT + "\n")
    with pytest.raises(tenon.InvalidTypeError, match="are for ONNX models"):
        tenon.load(io.StringIO(TEXT), dimensions={})
    with pytest.raises(OSError):
        tenon.load(tmp_path / "nothing")
    with pytest.raises(tenon.InvalidModelError):
        tenon.load(b"no model")


def test_import_error(tmp_path):
    """It says what to run."""
    for name, expected in (("/nowhere.so", "unset it"), (None, "`make wheel` writes a wheel that carries it")):
        environment = {"PATH": "/nowhere", "PYTHONPATH": str(pathlib.Path(tenon.__file__).parents[1])}
        if name:
            environment["TENON_LIBRARY"] = name
        shutil.copytree(pathlib.Path(tenon.__file__).parent, tmp_path / f"{len(expected)}/tenon", ignore=shutil.ignore_patterns("*.so*"))
        environment["PYTHONPATH"] = str(tmp_path / f"{len(expected)}")
        answer = subprocess.run(
            [sys.executable, "-c", "import tenon"], env=environment, capture_output=True, text=True, timeout=120)
        assert answer.returncode != 0 and "ImportError: libtenon could not be loaded" in answer.stderr
        assert expected in answer.stderr
