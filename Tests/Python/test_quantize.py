"""Quantising modules here: accuracy, ONNX files, reports, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tenon

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

CALIBRATIONS = ["minmax", "percentile", "entropy", "mse"]


def read_idx(path):
    data = path.read_bytes()
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, -1, 4 + 4 * rank).reshape(shape)


@pytest.fixture(scope="module")
def digits(request):
    folder = request.config.rootpath / "Tests/Fixtures/digits"
    images = read_idx(folder / "heldout-images-idx3-ubyte").astype(np.float32)[:, None, None] / 255
    return tenon.load(folder / "digits.onnx"), images, read_idx(folder / "heldout-labels-idx1-ubyte")


def accuracy(module, images, labels):
    run = tenon.compile(module, threads=1)
    return np.mean([run(image).argmax() == label for image, label in zip(images, labels)])


def graph(nodes, inputs, outputs, constants, opset=17):
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    made = helper.make_graph(
        nodes, "g", info, [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()


def exact_session(path, **fields):
    """Without VNNI ONNX Runtime's products of u8 and i8 saturate, unless it is told to be exact."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    for name, value in fields.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def relative(found, expected):
    return math.sqrt(((found - expected) ** 2).sum() / (expected**2).sum())


def convolutions(rng, activation="Relu", scales=None):
    """Pointwise, depthwise and pointwise again, with a residual addition, a pooling and a product behind."""
    scales = np.ones(8) if scales is None else scales
    weights = {
        "w1": rng.normal(size=(8, 3, 1, 1)) * scales[:, None, None, None], "b1": rng.normal(size=8) * 0.1 * scales,
        "w2": rng.normal(size=(8, 1, 3, 3)) / scales[:, None, None, None], "b2": rng.normal(size=8) * 0.1,
        "w3": rng.normal(size=(8, 8, 1, 1)) * 0.3, "b3": rng.normal(size=8) * 0.1, "w4": rng.normal(size=(8, 5)), "b4": rng.normal(size=5),
        "six": np.float32(6), "zero": np.float32(0),
    }
    bound = (lambda x, y: helper.make_node("Clip", [x, "zero", "six"], [y])) if activation == "Clip" else (
        lambda x, y: helper.make_node(activation, [x], [y]))
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"]), bound("c1", "r1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], group=8), bound("c2", "r2"),
        helper.make_node("Conv", ["r2", "w3", "b3"], ["c3"]), helper.make_node("Add", ["c3", "r2"], ["s"]),
        helper.make_node("Relu", ["s"], ["t"]), helper.make_node("AveragePool", ["t"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["m"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Gemm", ["f", "w4", "b4"], ["y"]),
    ]
    constants = {name: np.asarray(array, np.float32) for name, array in weights.items()}
    return graph(nodes, {"x": [1, 3, 6, 6]}, ["y"], constants)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_digits_keep_their_accuracy(digits, calibration):
    module, images, labels = digits
    before = accuracy(module, images, labels)
    result = module.quantize(images[:48], calibration=calibration, times=False, threads=1, measured_samples=4)
    assert all(layer.quantized for layer in result)
    assert before - accuracy(result.module, images, labels) <= 0.003
    assert 0 < result.error < 0.05
    # The module is what it was.
    assert "quantize" not in str(module)


@pytest.mark.parametrize("options", [
    {"activations": "i8"}, {"per_channel": False}, {"equalize": True}, {"correct_bias": True},
    {"equalize": True, "correct_bias": True, "activations": "i8", "calibration": "mse"}])
def test_digits_with_other_options(digits, options):
    module, images, labels = digits
    result = module.quantize(images[:32], times=False, threads=1, measured_samples=2, **options)
    assert accuracy(module, images, labels) - accuracy(result.module, images, labels) <= 0.003


def test_layers_run_on_integer_kernels(digits):
    module, images, _ = digits
    result = module.quantize(images[:8], times=False, threads=1)
    run = tenon.compile(result.module, threads=1)
    run(images[0])
    names = [step.implementation for step in run.profile()]
    assert sum("int8" in name for name in names) >= 4, names
    # The image, both sides of the pooling, and both sides of the reshape.
    text = str(result.module)
    assert text.count("= quantize(") == 5
    assert "i8[16,1,3,3]" in text


def test_text_is_an_ordinary_module(digits):
    module, images, _ = digits
    result = module.quantize(images[:8], times=False, threads=1).module
    again = tenon.Module.parse(result.print(with_data=True))
    assert again == result
    np.testing.assert_array_equal(tenon.compile(again)(images[0]), tenon.compile(result)(images[0]))


@pytest.mark.parametrize("activations", ["u8", "i8"])
@pytest.mark.parametrize("network", ["digits", "convolutions"])
def test_onnx_file_gives_the_same_numbers_in_onnxruntime(digits, network, activations, tmp_path, rng):
    if network == "digits":
        module, samples, _ = digits
        samples = list(samples[:24])
    else:
        module = tenon.load(convolutions(rng))
        samples = [rng.normal(size=(1, 3, 6, 6)).astype(np.float32) for _ in range(12)]
    result = module.quantize(samples, activations=activations, times=False, threads=1, measured_samples=2)
    path = tmp_path / "quantized.onnx"
    result.module.save_onnx(path)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    optimized = tmp_path / "optimized.onnx"
    session = exact_session(path, optimized_model_filepath=str(optimized))
    # It finds quantised layers in the file, bias and all.
    kinds = [node.op_type for node in onnx.load(optimized).graph.node]
    if activations == "u8":
        assert "Conv" not in kinds and kinds.count("QLinearConv") == (2 if network == "digits" else 3), kinds
    name = session.get_inputs()[0].name
    run, plain = tenon.compile(result.module, threads=1), tenon.compile(module, threads=1)
    same = 0
    for sample in samples:
        expected, found = session.run(None, {name: sample})[0], run(sample)
        difference, scale = np.abs(found - expected).max(), np.abs(expected).max()
        same += difference <= 1e-5 * scale
        # A tie that is rounded the other way is a quantum of one tensor; quantising is many.
        assert difference <= max(np.abs(plain(sample) - expected).max(), 0.01 * scale)
    assert same >= len(samples) / 2


def test_report(digits):
    module, images, _ = digits
    stages = []
    result = module.quantize(images[:4], threads=1, measured_samples=2, progress=lambda *stage: stages.append(stage))
    assert [layer.op for layer in result] == ["nn.conv2d", "nn.max_pool2d", "nn.conv2d", "nn.dense"]
    assert all(layer.quantized and not layer.reason and layer.error >= 0 and not math.isnan(layer.gain) for layer in result)
    assert result.times[0] > 0 and result.times[1] > 0
    assert "microseconds gained" in repr(result)
    assert stages[0] == ("calibrate", 0, 4) and ("calibrate", 4, 4) in stages and stages[-1] == ("compare", 4, 4)


def test_error_is_what_it_says(digits):
    module, images, _ = digits
    result = module.quantize(images[:6], times=False, threads=1, measured_samples=6)
    before, after = tenon.compile(module), tenon.compile(result.module)
    expected = np.array([before(image) for image in images[:6]], np.float64)
    found = np.array([after(image) for image in images[:6]], np.float64)
    assert result.error == pytest.approx(relative(found, expected), rel=1e-3)
    alone = module.quantize(
        images[:6], times=False, threads=1, measured_samples=6, exclude=[layer.name for layer in result[1:]])
    assert alone.error == pytest.approx(result[0].error, rel=1e-6)
    assert [layer.quantized for layer in alone] == [True, False, False, False]
    assert alone[1].reason == "excluded"


def test_tolerance_leaves_layers_out(rng):
    # Weights of very different sizes under one scale: the second layer costs most.
    small = {"w1": rng.normal(size=(6, 6)), "w2": np.diag([1, 1, 1, 1, 1, 1e-3]), "w3": np.diag([1, 1, 1, 1, 1, 1e3])}
    data = graph(
        [helper.make_node("MatMul", ["x", "w1"], ["a"]), helper.make_node("MatMul", ["a", "w2"], ["b"]),
         helper.make_node("MatMul", ["b", "w3"], ["y"])], {"x": [4, 6]}, ["y"],
        {name: np.asarray(array, np.float32) for name, array in small.items()})
    module = tenon.load(data)
    samples = [rng.normal(size=(4, 6)).astype(np.float32) for _ in range(4)]
    options = {"per_channel": False, "times": False, "threads": 1}
    whole = module.quantize(samples, **options)
    worst = max(whole, key=lambda layer: layer.error)
    part = module.quantize(samples, tolerance=whole.error / 3, **options)
    left = [layer for layer in part if not layer.quantized]
    assert worst.name in [layer.name for layer in left] and 1 <= len(left) < 3
    assert all(layer.reason == "costs more than the tolerance" for layer in left)
    assert part.error <= whole.error / 3
    none = module.quantize(samples, tolerance=1e-9, **options)
    assert not any(layer.quantized for layer in none) and none.error == 0
    np.testing.assert_allclose(tenon.compile(none.module)(samples[0]), tenon.compile(module)(samples[0]), rtol=1e-5)


def test_residual_network_is_integer_throughout(rng):
    module = tenon.load(convolutions(rng))
    samples = [rng.normal(size=(1, 3, 6, 6)).astype(np.float32) for _ in range(8)]
    result = module.quantize(samples, times=False, threads=1)
    assert [layer.op for layer in result] == [
        "nn.conv2d", "nn.conv2d", "nn.conv2d", "add", "nn.avg_pool2d", "nn.adaptive_avg_pool2d", result[6].op]
    assert all(layer.quantized for layer in result)
    run = tenon.compile(result.module, threads=1)
    run(samples[0])
    names = [step.implementation for step in run.profile()]
    assert sum("int8" in name for name in names) >= 7, names
    assert result.error < 0.05


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_equalising_helps_a_depthwise_network(activation, rng):
    scales = np.array([1, 0.01, 0.3, 0.02, 0.5, 0.01, 0.1, 0.05])
    module = tenon.load(convolutions(rng, activation, scales))
    samples = [rng.normal(size=(1, 3, 6, 6)).astype(np.float32) for _ in range(8)]
    options = {"per_channel": False, "times": False, "threads": 1}
    without = module.quantize(samples, **options)
    equal = module.quantize(samples, equalize=True, **options)
    assert equal.error < 0.5 * without.error
    # The weights alone are another spelling of the same function.
    none = module.quantize(samples, equalize=True, exclude=[layer.name for layer in equal], times=False, threads=1)
    np.testing.assert_allclose(
        tenon.compile(none.module)(samples[0]), tenon.compile(module)(samples[0]), rtol=1e-4, atol=1e-5)


def test_bias_correction_takes_the_mean_out(rng):
    # Weights whose rounding errors are all to one side.
    w = (np.floor(rng.uniform(-100, 100, size=(32, 8))) + 0.4).astype(np.float32)
    w[0] = 127
    data = graph([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [16, 32]}, ["y"], {"w": w})
    module = tenon.load(data)
    samples = [rng.uniform(0.5, 1, size=(16, 32)).astype(np.float32) for _ in range(8)]
    options = {"times": False, "threads": 1}
    plain, corrected = module.quantize(samples, **options), module.quantize(samples, correct_bias=True, **options)
    expected = np.concatenate([sample @ w for sample in samples])

    def mean(result):
        run = tenon.compile(result.module)
        return np.abs((np.concatenate([run(sample) for sample in samples]) - expected).mean(axis=0)).max()

    assert mean(corrected) < 0.2 * mean(plain)
    assert corrected.error < plain.error


@pytest.mark.parametrize("samples", [True, False])
def test_dynamic(samples, rng, tmp_path):
    w1, w2 = rng.normal(size=(16, 24)).astype(np.float32), rng.normal(size=(24, 4)).astype(np.float32)
    b1 = rng.normal(size=24).astype(np.float32)
    data = graph(
        [helper.make_node("MatMul", ["x", "w1"], ["a"]), helper.make_node("Add", ["a", "b1"], ["b"]),
         helper.make_node("Relu", ["b"], ["c"]), helper.make_node("Gemm", ["c", "w2"], ["y"])],
        {"x": ["n", 16]}, ["y"], {"w1": w1, "b1": b1, "w2": w2})
    module = tenon.load(data)
    inputs = [rng.normal(size=(rows, 16)).astype(np.float32) for rows in (3, 7)]
    result = module.quantize(inputs if samples else None, mode="dynamic", times=False, threads=1)
    assert [layer.quantized for layer in result] == [True, True]
    assert str(result.module).count("dynamic_quantize(") == 2
    assert math.isnan(result.error) != samples
    path = tmp_path / "dynamic.onnx"
    result.module.save_onnx(path)
    assert {"DynamicQuantizeLinear", "MatMulInteger"} <= {node.op_type for node in onnx.load(path).graph.node}
    session = exact_session(path)
    run = tenon.compile(result.module)
    assert "quantized_matmul" in str(run.module)
    for x in inputs:
        exact = np.maximum(x @ w1 + b1, 0) @ w2
        assert relative(run(x), exact) < 0.03
        np.testing.assert_allclose(run(x), session.run(None, {"x": x})[0], atol=0.02 * np.abs(exact).max())


@pytest.mark.parametrize("per_channel", [True, False])
def test_dynamic_convolutions(per_channel, rng, tmp_path):
    module = tenon.load(convolutions(rng))
    sample = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
    result = module.quantize([sample], mode="dynamic", per_channel=per_channel, times=False, threads=1)
    assert [layer.op for layer in result] == ["nn.conv2d"] * 3 + [result[3].op] and all(layer.quantized for layer in result)
    run = tenon.compile(result.module)
    assert str(run.module).count("nn.quantized_conv2d(") == 3
    assert relative(run(sample), tenon.compile(module)(sample)) < 0.05
    path = tmp_path / "dynamic.onnx"
    result.module.save_onnx(path)
    session = exact_session(path)
    name = session.get_inputs()[0].name
    np.testing.assert_allclose(run(sample), session.run(None, {name: sample})[0], rtol=1e-3, atol=1e-3)


def test_samples_by_name_and_in_lists(rng):
    w = rng.normal(size=(4, 4)).astype(np.float32)
    data = graph([helper.make_node("Add", ["x", "y"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["z"])],
                 {"x": [2, 4], "y": [2, 4]}, ["z"], {"w": w})
    module = tenon.load(data)
    x, y = rng.normal(size=(2, 2, 4)).astype(np.float32)
    by_name = module.quantize([{"y": y, "x": x}], times=False)
    in_list = module.quantize(([a, b] for a, b in [(x, y)]), times=False)
    assert by_name.module == in_list.module and by_name.error == in_list.error


def test_other_users_of_a_tensor_see_what_it_was(rng):
    # The residual of a transformer: what is added is not quantised for the product's sake.
    w = rng.normal(size=(4, 4)).astype(np.float32)
    data = graph([helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "x"], ["y"])],
                 {"x": [2, 4]}, ["y"], {"w": w})
    result = tenon.load(data).quantize([rng.normal(size=(2, 4)).astype(np.float32)], times=False)
    assert len(result) == 1
    assert "add(%a, %x)" in str(result.module)


# What is refused


def refused(module, error, text, *args, **options):
    before = str(module)
    with pytest.raises(error) as info:
        module.quantize(*args, **options)
    assert text in str(info.value)
    assert str(module) == before
    return info.value


@pytest.mark.parametrize("options, error, text", [
    ({"mode": "half"}, tenon.InvalidArgumentError, "mode"),
    ({"calibration": "best"}, tenon.InvalidArgumentError, "calibration"),
    ({"activations": "u4"}, tenon.InvalidArgumentError, "activations"),
    ({"percentile": 40}, tenon.InvalidArgumentError, "percentile"),
    ({"percentile": float("nan")}, tenon.InvalidArgumentError, "percentile"),
    ({"tolerance": -1}, tenon.InvalidArgumentError, "tolerance"),
    ({"tolerance": float("nan")}, tenon.InvalidArgumentError, "tolerance"),
    ({"threads": -1}, tenon.InvalidArgumentError, "threads"),
    ({"threads": 5000}, tenon.InvalidArgumentError, "threads"),
    ({"measured_samples": 1.5}, tenon.InvalidTypeError, "measured_samples"),
    ({"exclude": "conv1"}, tenon.InvalidTypeError, "exclude"),
    ({"exclude": ["nothing"]}, tenon.NotFoundError, "nothing"),
    ({"mode": "dynamic", "activations": "i8"}, tenon.InvalidArgumentError, "activations"),
    ({"mode": "dynamic", "equalize": True}, tenon.InvalidArgumentError, "equalize"),
    ({"mode": "dynamic", "correct_bias": True}, tenon.InvalidArgumentError, "correct_bias"),
])
def test_options_out_of_range(digits, options, error, text):
    module, images, _ = digits
    refused(module, error, text, images[:1], **options)


def test_samples_that_are_none(digits):
    module, images, _ = digits
    good = images[0]
    bad = good.copy()
    bad[0, 0, 3, 3] = np.nan
    error = refused(module, tenon.InvalidArgumentError, "sample 1: input 'image'", [good, bad])
    assert error.node == "image" and "finite" in error.expectation
    bad[0, 0, 3, 3] = np.inf
    refused(module, tenon.InvalidArgumentError, "finite", [bad])
    refused(module, tenon.InvalidArgumentError, "samples expects one at least", [])
    refused(module, tenon.InvalidArgumentError, "samples expects one at least", None)
    refused(module, tenon.InvalidArgumentError, "tolerance expects samples", None, mode="dynamic", tolerance=0.1)
    error = refused(module, tenon.InvalidShapeError, "sample 0: ", [good[0]])
    assert "image" in str(error)
    refused(module, tenon.InvalidTypeError, "sample 1: ", [good, good.astype(np.float64)])
    refused(module, tenon.InvalidArgumentError, "sample 0", [[good, good]])
    refused(module, tenon.InvalidArgumentError, "sample 0", [{"picture": good}])


def test_modules_that_cannot_be_quantised(digits):
    module, images, _ = digits
    refused(module.optimize(), tenon.InvalidStateError, "fused", images[:1])
    empty = tenon.Module.parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }")
    refused(empty, tenon.UnsupportedError, "known weights", [np.zeros(2, np.float32)])
    refused(empty, tenon.UnsupportedError, "known weights", mode="dynamic")
    with pytest.raises(tenon.NotFoundError):
        tenon.Module().quantize([np.zeros(2, np.float32)])


def test_weights_and_values_that_are_not_finite_stay(rng):
    w = rng.normal(size=(4, 4)).astype(np.float32)
    broken = w.copy()
    broken[1, 1] = np.inf
    data = graph(
        [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["x", "broken"], ["b"]),
         helper.make_node("Log", ["a"], ["c"]), helper.make_node("MatMul", ["c", "w"], ["d"])],
        {"x": [2, 4]}, ["b", "d"], {"w": w, "broken": broken})
    result = tenon.load(data).quantize([-np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)], times=False)
    reasons = {layer.name: layer.reason for layer in result}
    assert reasons["a"] == "" and "weight" in reasons["b"] and "not finite" in reasons["d"]


def test_cancel_deadline_and_progress_end_it(digits):
    module, images, _ = digits
    token = tenon.CancelToken()
    token.cancel()
    refused(module, tenon.CancelledError, "", images[:2], cancel=token)
    refused(module, tenon.DeadlineExceededError, "", images[:200], timeout=0.02)

    class Enough(Exception):
        pass

    def stop(stage, done, total):
        if (stage, done) == ("compare", 1):
            raise Enough

    refused(module, Enough, "", images[:2], progress=stop)
