"""Files that are damaged, or larger than memory should be: an error or a module, and no more memory than said."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ppocr(name):
    package = pytest.importorskip("rapidocr_onnxruntime")
    return (pathlib.Path(package.__file__).parent / "models" / name).read_bytes()


MODELS = ["ch_ppocr_mobile_v2.0_cls_infer.onnx", "ch_PP-OCRv4_det_infer.onnx"]


def try_model(data):
    """Whether the bytes can be loaded. What loads can be optimised and compiled, or says why not."""
    try:
        module = tenon.Module.load_onnx(data)
    except tenon.TenonError as error:
        assert str(error) and "\n" not in str(error)
        assert not isinstance(error, tenon.InternalError), error
        return False
    try:
        tenon.compile(module.optimize(), threads=1)
    except tenon.TenonError as error:
        assert not isinstance(error, tenon.InternalError), error
    return True


@pytest.mark.parametrize("name", MODELS)
def test_truncated_models(name, rng):
    data = ppocr(name)
    lengths = set(rng.integers(0, len(data), 150)) | set(range(len(data) - 20, len(data)))
    assert not [length for length in lengths if try_model(data[:length])]


def structure(data):
    """The places that are no weights."""
    model = onnx.load_from_string(data)
    inside = np.ones(len(data), bool)
    weights = [*model.graph.initializer, *(a.t for node in model.graph.node for a in node.attribute if a.HasField("t"))]
    for tensor in weights:
        if len(tensor.raw_data) >= 64:
            start = data.find(tensor.raw_data)
            inside[start:start + len(tensor.raw_data)] = False
    return np.flatnonzero(inside)


@pytest.mark.parametrize("name", MODELS)
def test_flipped_bits(name, rng):
    data = ppocr(name)
    places = structure(data)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.choice(places, rng.integers(1, 4)):
            damaged[place] ^= 1 << rng.integers(8)
        refused += not try_model(bytes(damaged))
    assert refused > 5


def external(tmp_path, offset, shape):
    tensor = TensorProto(name="w", dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in [("location", "weights"), ("offset", offset), ("length", int(np.prod(shape)) * 4)]:
        tensor.external_data.add(key=key, value=str(value))
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [shape[-1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "model.onnx"


def test_data_beyond_4_gigabytes(tmp_path):
    """A sparse file: what lies far behind is found, and nothing else is read."""
    path, offset = external(tmp_path, 5 << 30, [2, 2]), 5 << 30
    with open(tmp_path / "weights", "wb") as file:
        file.seek(offset)
        file.write(np.array([1, 2, 3, 4], np.float32).tobytes())
    run = tenon.compile(tenon.load(path))
    assert run(np.array([10, 20], np.float32)).tolist() == [[11, 22], [13, 24]]
    with pytest.raises(tenon.LimitExceededError, match="weights"):
        tenon.load(path, max_file_bytes=1 << 30)


def test_a_link_out_of_the_folder(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "model"
    outside.mkdir()
    inside.mkdir()
    (outside / "secret").write_bytes(np.zeros(4, np.float32).tobytes())
    (inside / "weights").symlink_to(outside / "secret")
    with pytest.raises(tenon.FileError, match="'w'.*'weights'.*symbolic links"):
        tenon.load(external(inside, 0, [2, 2]))


MEASURE = """
import sys, tenon
def peak():
    # Of this program alone; getrusage also counts what its parent had.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))
tenon.compile(tenon.Module.parse("fn @main(%x: f32[64,64]) { %y = matmul(%x, %x)  return %y }").optimize())
before = peak()
module = tenon.load(sys.argv[1])
loaded = peak()
run = tenon.compile(module.optimize())
print(loaded - before, peak() - before, run.memory.packed_weights)
"""


@pytest.mark.parametrize("is_external", [False, True])
def test_peak_memory(tmp_path, is_external):
    """Loading takes at most 1.3 times the file, and compiling the packed weights on top."""
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the address sanitizer needs memory of its own")
    path = tmp_path / "model.onnx"
    size, layers = 2048, 12
    nodes, weights = [], []
    for layer in range(layers):
        values = np.full((size, size), 1 / (layer + 1), np.float32)
        weights.append(onnx.numpy_helper.from_array(values, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"x{layer + 1}"]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [4, size])],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, [4, size])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path), save_as_external_data=is_external, location="weights" if is_external else None)
    file = sum((tmp_path / name).stat().st_size for name in os.listdir(tmp_path))
    assert file > 190 << 20
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "python"), TENON_LIBRARY=tenon._lib.lib._name)
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, env=environment, check=True)
    loaded, compiled, packed = map(int, result.stdout.split())
    # The weights are mapped, and read when they are packed.
    assert loaded <= 1.3 * file
    assert packed < compiled
    assert compiled <= 1.3 * file + packed
    print(f"file {file >> 20} MiB, peak after loading {loaded >> 20}, after compiling {compiled >> 20}, packed {packed >> 20}")
