"""Writes a small decoder with random weights, decoder.onnx, and what ONNX Runtime makes of it, tokens.txt: the prompt's tokens and those
that follow when the most probable one is taken each time.

Needs numpy, onnx and onnxruntime. The same seed gives the same files.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
LAYERS, WIDTH, HEADS, WORDS, PLACES = 2, 32, 4, 64, 64
PROMPT, STEPS = [3, 14, 15, 9, 26], 40


def model():
    rng = np.random.default_rng(7)
    nodes, weights = [], []

    def tensor(*shape, scale=1.0):
        name = f"w{len(weights)}"
        weights.append(numpy_helper.from_array((rng.normal(size=shape) * scale).astype(np.float32), name))
        return name

    def call(op, *inputs, outputs=1, **attributes):
        names = [f"v{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def linear(x, columns, rows=WIDTH):
        return call("Add", call("MatMul", x, tensor(rows, columns, scale=rows**-0.5)), tensor(columns, scale=0.1))

    def norm(x):
        weights.append(numpy_helper.from_array(np.ones(WIDTH, np.float32), f"w{len(weights)}"))
        return call("LayerNormalization", x, weights[-1].name, tensor(WIDTH, scale=0.1), axis=-1)

    f32, i64 = TensorProto.FLOAT, TensorProto.INT64
    size = WIDTH // HEADS
    inputs = [helper.make_tensor_value_info(n, i64, [1, "tokens"]) for n in ("ids", "positions")]
    outputs = [helper.make_tensor_value_info("logits", f32, [1, "tokens", WORDS])]
    x = call("Add", call("Gather", tensor(WORDS, WIDTH), "ids"), call("Gather", tensor(PLACES, WIDTH), "positions"))
    for layer in range(LAYERS):
        y = norm(x)
        q, k, v = (linear(y, WIDTH) for _ in range(3))
        past = [f"past_key_{layer}", f"past_value_{layer}"]
        present = [f"present_key_{layer}", f"present_value_{layer}"]
        a = f"attention_{layer}"
        nodes.append(helper.make_node(
            "Attention", [q, k, v, "", *past], [a, *present], is_causal=1, q_num_heads=HEADS, kv_num_heads=HEADS))
        inputs += [helper.make_tensor_value_info(n, f32, [1, HEADS, "past", size]) for n in past]
        outputs += [helper.make_tensor_value_info(n, f32, [1, HEADS, "total", size]) for n in present]
        x = call("Add", x, linear(a, WIDTH))
        x = call("Add", x, linear(call("Gelu", linear(norm(x), 4 * WIDTH)), WIDTH, 4 * WIDTH))
    nodes.append(helper.make_node("MatMul", [norm(x), tensor(WIDTH, WORDS)], ["logits"]))
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    onnx.checker.check_model(made)
    return made


def main():
    import onnxruntime

    made = model()
    (HERE / "decoder.onnx").write_bytes(made.SerializeToString())
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    size = WIDTH // HEADS
    caches = {i.name: np.zeros((1, HEADS, 0, size), np.float32) for i in session.get_inputs()[2:]}
    tokens, given, first = list(PROMPT), PROMPT, 0
    for _ in range(STEPS):
        feed = {"ids": np.array([given], np.int64), "positions": np.arange(first, len(tokens), dtype=np.int64)[None]}
        logits, *present = session.run(None, feed | caches)
        caches = dict(zip(caches, present))
        first = len(tokens)
        given = [int(logits[0, -1].argmax())]
        tokens += given
    (HERE / "tokens.txt").write_text(f"{len(PROMPT)} " + " ".join(map(str, tokens)) + "\n")


if __name__ == "__main__":
    main()
