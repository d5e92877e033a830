"""tenon.onnxruntime beside ONNX Runtime itself: the same names, arguments, results and kinds of errors."""

import json
import threading

import numpy as np
import pytest

import tenon.onnxruntime as tort

ort = pytest.importorskip("onnxruntime")


@pytest.fixture
def path(fixtures):
    return str(fixtures / "digits/digits.onnx")


@pytest.fixture
def image(rng):
    return rng.random((1, 1, 8, 8), np.float32)


def both(path):
    return [module.InferenceSession(path, providers=["CPUExecutionProvider"]) for module in (ort, tort)]


def test_descriptions(path):
    theirs, ours = both(path)
    for get in ("get_inputs", "get_outputs", "get_overridable_initializers"):
        a, b = getattr(theirs, get)(), getattr(ours, get)()
        assert [(x.name, x.type, x.shape) for x in a] == [(x.name, x.type, x.shape) for x in b]
    assert theirs.get_providers() == ours.get_providers() == tort.get_available_providers()
    a, b = theirs.get_modelmeta(), ours.get_modelmeta()
    for field in ("producer_name", "graph_name", "domain", "description", "version", "custom_metadata_map"):
        assert getattr(a, field) == getattr(b, field), field


def test_runs(path, image):
    theirs, ours = both(path)
    for names in (None, [], ["probabilities"], ["probabilities", "probabilities"]):
        a, b = theirs.run(names, {"image": image}), ours.run(names, {"image": image})
        assert len(a) == len(b)
        for x, y in zip(a, b):
            np.testing.assert_allclose(x, y, atol=1e-5)
    a, b = theirs.run(None, {"image": image.tolist()}), ours.run(None, {"image": image.tolist()})
    np.testing.assert_allclose(a[0], b[0], atol=1e-5)
    with open(path, "rb") as file:
        from_bytes = tort.InferenceSession(file.read())
    np.testing.assert_allclose(from_bytes.run(None, {"image": image})[0], a[0], atol=1e-5)
    assert from_bytes.get_modelmeta().graph_name == theirs.get_modelmeta().graph_name


@pytest.mark.parametrize("feed", [
    {}, {"image": np.zeros((1, 1, 8, 9), np.float32)}, {"image": np.zeros((1, 8, 8), np.float32)},
    {"image": np.zeros((1, 1, 8, 8), np.float64)}, {"image": np.zeros((1, 1, 8, 8), np.float32), "more": np.zeros(1)},
])
def test_wrong_feeds(path, feed):
    theirs, ours = both(path)
    with pytest.raises(Exception) as a:
        theirs.run(None, feed)
    with pytest.raises(Exception) as b:
        ours.run(None, feed)
    expected = type(a.value).__name__
    # Their names are our names; wrong names are ValueErrors there, and InvalidArgument is one here.
    assert type(b.value).__name__ == expected or isinstance(b.value, ValueError)


def test_wrong_outputs_and_models(path, image, tmp_path):
    ours = tort.InferenceSession(path)
    with pytest.raises(tort.InvalidArgument):
        ours.run(["nonsense"], {"image": image})
    with pytest.raises(tort.NoSuchFile):
        tort.InferenceSession(str(tmp_path / "absent.onnx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\xff" * 64)
    with pytest.raises(tort.OnnxRuntimeException):
        tort.InferenceSession(str(broken))


def test_options(path, image):
    options = tort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = tort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    plain = tort.InferenceSession(path, options, providers=[("CPUExecutionProvider", {"arena_extend_strategy": "x"})])
    assert plain.get_session_options() is options
    fused = tort.InferenceSession(path)
    np.testing.assert_allclose(
        plain.run(None, {"image": image})[0], fused.run(None, {"image": image})[0], atol=1e-5)
    # Every plain value that ONNX Runtime's options have is there.
    theirs = ort.SessionOptions()
    for name in dir(theirs):
        if not name.startswith("_") and not callable(getattr(theirs, name)) and not name.startswith("has_"):
            assert hasattr(options, name), name


def test_profile_file(path, image, tmp_path):
    found = []
    for module in (ort, tort):
        options = module.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(tmp_path / module.__name__)
        session = module.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for _ in range(3):
            session.run(None, {"image": image})
        with open(session.end_profiling()) as file:
            found.append(json.load(file))
    for events in found:
        runs = [event for event in events if event["name"] == "model_run"]
        nodes = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
        assert len(runs) == 3 and len(nodes) >= 3
        assert all(node["ph"] == "X" and node["dur"] >= 0 and node["args"]["op_name"] for node in nodes)
    assert tort.InferenceSession(path).end_profiling() == ""


def test_terminate(path, image):
    session, options = tort.InferenceSession(path), tort.RunOptions()
    options.terminate = True
    with pytest.raises(tort.Fail):
        session.run(None, {"image": image}, options)
    options.terminate = False
    session.run(None, {"image": image}, options)


def test_binding(path, image):
    theirs, ours = both(path)
    expected = theirs.run(None, {"image": image})[0]

    binding = ours.io_binding()
    binding.bind_cpu_input("image", image)
    binding.bind_output("probabilities")
    ours.run_with_iobinding(binding)
    np.testing.assert_allclose(binding.copy_outputs_to_cpu()[0], expected, atol=1e-5)

    target = np.zeros((1, 10), np.float32)
    binding = ours.io_binding()
    binding.bind_input("image", "cpu", 0, np.float32, image.shape, image.ctypes.data)
    binding.bind_output("probabilities", "cpu", 0, np.float32, target.shape, target.ctypes.data)
    ours.run_with_iobinding(binding)
    np.testing.assert_allclose(target, expected, atol=1e-5)
    with pytest.raises(tort.InvalidArgument):
        binding.bind_cpu_input("nonsense", image)
    # As a package without that device answers.
    with pytest.raises(RuntimeError, match="cuda"):
        binding.bind_output("probabilities", "cuda")


def test_values(path, image):
    value = tort.OrtValue.ortvalue_from_numpy(image)
    theirs = ort.OrtValue.ortvalue_from_numpy(image)
    for name in ("shape", "data_type", "element_type", "device_name", "is_tensor", "has_value"):
        assert getattr(value, name)() == getattr(theirs, name)(), name
    np.testing.assert_array_equal(value.numpy(), image)
    np.testing.assert_array_equal(np.from_dlpack(value), image)
    session = tort.InferenceSession(path)
    result = session.run_with_ort_values(["probabilities"], {"image": value})[0]
    assert result.shape() == [1, 10]
    value.update_inplace(np.zeros_like(image))
    assert not value.numpy().any()
    with pytest.raises(tort.InvalidArgument):
        value.update_inplace(np.zeros(3, np.float32))


def test_async(path, image):
    session, done, got = tort.InferenceSession(path), threading.Event(), []

    def callback(results, user_data, error):
        got.append((results, user_data, error))
        done.set()

    session.run_async(None, {"image": image}, callback, "mine")
    assert done.wait(60)
    assert got[0][0][0].shape == (1, 10) and got[0][1:] == ("mine", "")


def test_symbolic_sizes_have_names(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])])
    file = tmp_path / "dynamic.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    theirs, ours = both(str(file))
    assert ours.get_inputs()[0].shape == theirs.get_inputs()[0].shape == ["batch", 4]
    options = tort.SessionOptions()
    options.add_free_dimension_override_by_name("batch", 3)
    assert tort.InferenceSession(str(file), options).get_inputs()[0].shape == [3, 4]


def test_a_branch_that_contradicts_what_follows(tmp_path):
    from onnx import TensorProto, helper, save

    def branch(node):
        return helper.make_graph([node], "branch", [], [helper.make_empty_tensor_value_info(node.output[0])])

    nodes = [
        helper.make_node("Constant", [], ["axes"], value_ints=[0]),
        helper.make_node(
            "If", ["c"], ["m"], then_branch=branch(helper.make_node("Squeeze", ["x", "axes"], ["a"])),
            else_branch=branch(helper.make_node("Identity", ["x"], ["b"]))),
        helper.make_node("Gemm", ["m", "m"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g", [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3]),
        ], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])])
    file = tmp_path / "branches.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    ours = tort.InferenceSession(str(file))
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    np.testing.assert_allclose(ours.run(None, {"c": np.array(True), "x": x})[0], x[0] @ x[0].T)
    with pytest.raises(Exception, match="condition_must_hold"):
        ours.run(None, {"c": np.array(False), "x": x})
