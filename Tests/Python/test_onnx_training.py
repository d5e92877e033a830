"""Steps of training, against ONNX's reference."""

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx.reference import ReferenceEvaluator

from test_onnx_forms import check, info, r

DOMAIN = "ai.onnx.preview.training"


@pytest.mark.parametrize("shapes", [[(3,)], [(2, 3), (4,), ()]])
@pytest.mark.parametrize("count", [0, 1, 17])
@pytest.mark.parametrize("op, states, attributes", [
    ("Adagrad", 1, {}), ("Adagrad", 1, {"norm_coefficient": 0.1, "decay_factor": 0.2, "epsilon": 1e-3}), ("Adam", 2, {}),
    ("Adam", 2, {"norm_coefficient": 0.1, "norm_coefficient_post": 0.2, "alpha": 0.8, "beta": 0.7, "epsilon": 1e-3}),
    ("Momentum", 1, {"mode": "standard", "alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.0}),
    ("Momentum", 1, {"mode": "nesterov", "alpha": 0.9, "beta": 0.5, "norm_coefficient": 0.1})])
def test_step(op, states, attributes, count, shapes):
    groups = ["x", "g", *"vh"[:states]]
    feed = {"r": np.float32(0.1).reshape(()), "t": np.array(count)}
    for group in groups:
        for i, shape in enumerate(shapes):
            # Sums of squares are not negative.
            feed[f"{group}{i}"] = np.abs(r(*shape)) if group == groups[-1] else np.asarray(r(*shape))
    names = [f"{group}{i}" for group in [groups[0], *groups[2:]] for i in range(len(shapes))]
    node = h.make_node(op, list(feed), ["new_" + n for n in names], domain=DOMAIN, **attributes)
    graph = h.make_graph(
        [node], "g", [info(n, h.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in feed.items()],
        [info("new_" + n, T.FLOAT, None) for n in names])
    proto = h.make_model(graph, opset_imports=[h.make_opsetid(DOMAIN, 1), h.make_opsetid("", 20)], ir_version=9)

    def expected(feed):
        return [np.asarray(v, np.float32) for v in ReferenceEvaluator(proto).run(None, feed)]

    check(proto, [feed], expected, 1e-5)
