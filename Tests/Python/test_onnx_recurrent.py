"""LSTM, GRU and RNN in all their forms against ONNX Runtime: lengths per sample (known, and only by the run), every activation
with its numbers, peepholes, clipping, directions, layouts."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import tenon

onnxruntime.set_default_logger_severity(4)
rng = np.random.default_rng(3)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, INPUTS, HIDDEN = 6, 3, 4, 5


def r(*shape):
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


def make(op, attributes=None, lengths=None, known=True, states=False, peephole=False, weights_known=True):
    """The model, its inputs and the names of its outputs."""
    directions = 2 if (attributes or {}).get("direction") == "bidirectional" else 1
    g = GATES[op]
    values = {
        "x": r(STEPS, BATCH, INPUTS), "w": r(directions, g * HIDDEN, INPUTS), "r": r(directions, g * HIDDEN, HIDDEN),
        "b": r(directions, 2 * g * HIDDEN), "lens": None if lengths is None else np.array(lengths, "i4"),
        "h0": r(directions, BATCH, HIDDEN) if states else None,
    }
    if op == "LSTM":
        values["c0"] = r(directions, BATCH, HIDDEN) if states else None
        values["p"] = r(directions, 3 * HIDDEN) if peephole else None
    names = [k if v is not None else "" for k, v in values.items()]
    while not names[-1]:
        names.pop()
    outputs = ["y", "yh"] + (["yc"] if op == "LSTM" else [])
    constants = (["w", "r", "b", "p"] if weights_known else []) + (["lens"] if known else [])
    given = {k: v for k, v in values.items() if v is not None}
    node = h.make_node(op, names, outputs, hidden_size=HIDDEN, **(attributes or {}))
    infos = [
        h.make_tensor_value_info(k, T.INT32 if k == "lens" else T.FLOAT, ["t", "n", INPUTS] if k == "x" else v.shape)
        for k, v in given.items() if k not in constants
    ]
    graph = h.make_graph(
        [node], "g", infos, [h.make_tensor_value_info(o, T.FLOAT, None) for o in outputs],
        [nh.from_array(v, k) for k, v in given.items() if k in constants])
    data = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9).SerializeToString()
    return data, {k: v for k, v in given.items() if k not in constants}


def reference(data, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def check(data, feeds, want=None):
    want = want or reference(data, feeds)
    for module in (tenon.Module.load_onnx(data), tenon.Module.load_onnx(data).optimize()):
        executable = tenon.compile(module)
        for a, b in zip(executable(*feeds.values()), want, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("lengths", [[6, 2, 4], [6, 6, 6], [1, 0, 1]])
def test_lengths_per_sample(op, direction, known, lengths):
    for states in (False, True):
        check(*make(op, {"direction": direction}, lengths, known, states, peephole=states))


@pytest.mark.parametrize("op", GATES)
def test_lengths_without_known_weights(op):
    check(*make(op, {"direction": "bidirectional"}, [3, 6, 1], False, True, weights_known=False))


def test_gru_linear_before_reset_with_lengths():
    check(*make("GRU", {"linear_before_reset": 1, "direction": "bidirectional"}, [6, 2, 4]))


ACTIVATIONS = {
    "Relu": ([], []), "Affine": ([0.5], [0.2]), "LeakyRelu": ([0.2], []), "ThresholdedRelu": ([0.3], []),
    "ScaledTanh": ([0.7], [0.9]), "HardSigmoid": ([0.3], [0.4]), "Elu": ([0.6], []), "Softsign": ([], []),
    "Softplus": ([], []), "Sigmoid": ([], []), "Tanh": ([], []),
}


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("lengths", [None, [6, 2, 4]])
def test_activations(op, name, lengths):
    alphas, betas = ACTIVATIONS[name]
    others = {"LSTM": ["Sigmoid", "Tanh"], "GRU": ["Sigmoid"], "RNN": []}[op]
    attributes = {"activations": others + [name]}
    if alphas:
        attributes["activation_alpha"] = alphas
    if betas:
        attributes["activation_beta"] = betas
    check(*make(op, attributes, lengths))


def test_activations_with_numbers_for_some():
    attributes = {
        "direction": "bidirectional", "activations": ["HardSigmoid", "Tanh", "LeakyRelu", "Sigmoid", "ScaledTanh", "Elu"],
        "activation_alpha": [0.3, 0.2, 0.8, 0.5], "activation_beta": [0.4, 0.9],
    }
    check(*make("LSTM", attributes, states=True, peephole=True))


@pytest.mark.parametrize("op", GATES)
def test_clip_and_forget(op):
    attributes = {"clip": 0.3} | ({"input_forget": 1} if op == "LSTM" else {})
    check(*make(op, attributes, [6, 2, 4]))


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_batch_first(op, direction):
    """Layout 1, which ONNX Runtime's processor kernels lack: the same numbers turned round."""
    data, feeds = make(op, {"direction": direction}, [6, 2, 4], False, True)
    want = reference(data, feeds)
    import onnx

    model = onnx.ModelProto.FromString(data)
    model.graph.node[0].attribute.append(h.make_attribute("layout", 1))
    turned = {}
    for value in model.graph.input:
        v = feeds[value.name]
        turned[value.name] = np.ascontiguousarray(v.swapaxes(0, 1)) if v.ndim == 3 else v
        value.CopyFrom(h.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, turned[value.name].shape))
    want = [want[0].transpose(2, 0, 1, 3)] + [v.swapaxes(0, 1) for v in want[1:]]
    check(model.SerializeToString(), turned, want)


def test_writing_lengths_and_activations_to_onnx(tmp_path):
    attributes = {"activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.3, 0.2], "activation_beta": [0.4]}
    data, feeds = make("GRU", attributes, [6, 2, 4], False)
    module = tenon.Module.load_onnx(data)
    module.save_onnx(tmp_path / "out.onnx")
    again = (tmp_path / "out.onnx").read_bytes()
    for a, b in zip(reference(again, dict(zip(feeds, feeds.values()))), reference(data, feeds)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_wrong_lengths():
    data, feeds = make("LSTM", {}, [6, 2, 4], False)
    executable = tenon.compile(tenon.Module.load_onnx(data))
    for bad in ([7, 1, 1], [-1, 2, 3]):
        with pytest.raises(tenon.TenonError, match="nn.lstm: sequence_lens expects 0 to 6"):
            executable(feeds["x"], np.array(bad, "i4"))
    data, feeds = make("RNN", {"activations": ["Cosine"]})
    with pytest.raises(tenon.TenonError, match="RNN.*[Cc]osine"):
        tenon.Module.load_onnx(data)
