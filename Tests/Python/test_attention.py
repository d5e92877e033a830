"""Attention: what exporters write is recognised, near misses are left alone, and results are ONNX Runtime's."""

import itertools
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import tenon
import tenon.onnxruntime

B, H, S, T, D = 2, 3, 5, 5, 8
rng = np.random.default_rng(0)


class Graph:
    """Nodes one after another, with constants as they come."""

    def __init__(self):
        self.nodes, self.initializers, self.count = [], [], 0

    def const(self, value, dtype=np.float32):
        self.count += 1
        name = f"c{self.count}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, op, *inputs, **attributes):
        self.count += 1
        name = f"v{self.count}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def model(self, inputs, outputs, opset=17):
        def info(name, dtype, shape):
            return helper.make_tensor_value_info(name, dtype, shape)
        graph = helper.make_graph(
            self.nodes, "g", [info(n, helper.np_dtype_to_tensor_dtype(np.dtype(t)), s) for n, t, s in inputs],
            [info(o, TensorProto.FLOAT, None) for o in outputs], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model)


def heads(g, x, axes=(0, 2, 1, 3), count=H, tokens=S):
    split = g("Reshape", x, g.const([0, -1, count, D], np.int64))
    return g("Transpose", split, perm=list(axes))


def joined(g, x, count=H):
    return g("Reshape", g("Transpose", x, perm=[0, 2, 1, 3]), g.const([0, -1, count * D], np.int64))


def plain(g, scale=True):
    scores = g("MatMul", heads(g, "q"), heads(g, "k", (0, 2, 3, 1)))
    return g("Mul", scores, g.const(1 / math.sqrt(D))) if scale else scores


def attend(g, scores, value=None):
    return joined(g, g("MatMul", g("Softmax", scores, axis=-1), value or heads(g, "v")))


def scaled_before(g):
    return attend(g, g("MatMul", g("Mul", heads(g, "q"), g.const(0.3)), heads(g, "k", (0, 2, 3, 1))))


def divided_behind(g):
    return attend(g, g("Div", plain(g, False), g.const(math.sqrt(D))))


def root_on_both_sides(g):
    root = g.const(D**-0.25)
    key = g("Transpose", heads(g, "k"), perm=[0, 1, 3, 2])
    return attend(g, g("MatMul", g("Mul", heads(g, "q"), root), g("Mul", key, root)))


def root_from_shapes(g):
    # As torch's TorchScript exporter writes it.
    q = heads(g, "q")
    last = g("Slice", g("Shape", q), g.const([-1], np.int64), g.const([2**62], np.int64))
    scale = g("Sqrt", g("Div", g.const([1.0]), g("Sqrt", g("Cast", last, to=TensorProto.FLOAT))))
    key = g("Transpose", heads(g, "k"), perm=[0, 1, 3, 2])
    return attend(g, g("MatMul", g("Mul", q, scale), g("Mul", key, scale)))


def mask_added(g):
    away = g("Mul", g("Sub", g.const(1.0), g("Cast", g("Unsqueeze", "mask", g.const([1, 2], np.int64)), to=1)), g.const(-10000.0))
    return attend(g, g("Add", plain(g), away))


def mask_added_in_front(g):
    return attend(g, g("Add", g.const(rng.normal(size=(H, S, T))), plain(g)))


def two_masks(g):
    return attend(g, g("Add", g("Add", plain(g), g.const(rng.normal(size=(H, S, T)))), g.const(np.triu(np.full((S, T), -np.inf), 1))))


def chosen(g):
    allowed = g.const(np.tril(np.ones((S, T), bool)), bool)
    return attend(g, g("Where", allowed, plain(g), g.const(-np.inf)))


def chosen_lowest(g):
    hidden = g.const(~np.tril(np.ones((S, T), bool)), bool)
    return attend(g, g("Where", hidden, g.const(np.finfo(np.float32).min), plain(g)))


def guarded(g):
    # What torch's exporters write since 2025: rows without any key give 0.
    allowed = np.tril(np.ones((S, T), bool))
    allowed[2] = False
    p = g("Softmax", g("Where", g.const(allowed, bool), plain(g), g.const(-np.inf)), axis=-1)
    kept = g("Where", g("IsNaN", p), g.const(0.0), p)
    return joined(g, g("MatMul", kept, heads(g, "v")))


def unguarded(g):
    allowed = np.tril(np.ones((S, T), bool))
    allowed[2] = False
    return attend(g, g("Where", g.const(allowed, bool), plain(g), g.const(-np.inf)))


def capped(g):
    cap = g.const(1.5)
    return attend(g, g("Mul", g("Tanh", g("Div", plain(g), cap)), cap))


def grouped(g):
    def shared(x, axes):
        y = g("Unsqueeze", heads(g, x, count=1), g.const([2], np.int64))
        y = g("Expand", y, g.const([B, 1, H, S, D], np.int64))
        y = g("Reshape", y, g.const([B, H, S, D], np.int64))
        return g("Transpose", y, perm=list(axes)) if axes else y
    scores = g("MatMul", heads(g, "q"), shared("k1", (0, 1, 3, 2)))
    return attend(g, g("Mul", scores, g.const(0.3)), shared("v1", None))


def one_head_per_sample(g):
    def flat(x):
        return g("Reshape", heads(g, x), g.const([B * H, -1, D], np.int64))
    scores = g("MatMul", g("Mul", flat("q"), g.const(0.3)), g("Transpose", flat("k"), perm=[0, 2, 1]))
    return g("MatMul", g("Softmax", scores, axis=-1), flat("v"))


def keys_transposed_in_three(g):
    # PyTorch's dynamo exporter transposes keys with batch and heads in one dimension.
    flat = g("Reshape", heads(g, "k"), g.const([-1, T, D], np.int64))
    keys = g("Reshape", g("Transpose", flat, perm=[0, 2, 1]), g.const([B, H, D, T], np.int64))
    return attend(g, g("Mul", g("MatMul", heads(g, "q"), keys), g.const(0.3)))


def tokens_first(g):
    # nn.MultiheadAttention: B tokens of a batch of S, with batch and heads in one dimension.
    def side(x, axes, shape):
        flat = g("Reshape", x, g.const([B, S * H, D], np.int64))
        return g("Reshape", g("Transpose", flat, perm=axes), g.const(shape, np.int64))
    q, v = side("q", [1, 0, 2], [S, H, B, D]), side("v", [1, 0, 2], [S, H, B, D])
    scores = g("Mul", g("MatMul", q, side("k", [1, 2, 0], [S, H, D, B])), g.const(0.3))
    result = g("MatMul", g("Softmax", scores, axis=-1), v)
    return g("Reshape", g("Transpose", result, perm=[2, 0, 1, 3]), g.const([B * S, H * D], np.int64))


def windows(g):
    # Shifted windows: q, k and v computed together, a position bias, and a mask for each window of an image.
    n = S
    shape = g.const([B, n, 3, H, D], np.int64)
    qkv = g("Reshape", g("Concat", "q", "k", "v", axis=2), shape)
    moved = g("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = [g("Gather", moved, g.const(i, np.int64), axis=0) for i in range(3)]
    scores = g("MatMul", g("Mul", q, g.const(0.3)), g("Transpose", k, perm=[0, 1, 3, 2]))
    scores = g("Add", scores, g.const(rng.normal(size=(1, H, n, n))))
    apart = g("Reshape", scores, g.const([1, B, H, n, n], np.int64))
    mask = g.const(np.where(rng.random((1, B, 1, n, n)) < 0.3, -100, 0))
    return attend(g, g("Reshape", g("Add", apart, mask), g.const([-1, H, n, n], np.int64)), v)


def causal_rows_of_a_triangle(g):
    # Rows of a triangle that is made, behind which a cache may stand: a number far below instead of infinity.
    ones = g("ConstantOfShape", g.const([T, T], np.int64), value=numpy_helper.from_array(np.array([True])))
    rows = g("Slice", g("Trilu", ones, upper=0), g.const([T - S], np.int64), g.const([T], np.int64), g.const([0], np.int64))
    return attend(g, g("Where", g("Not", rows), g.const(-10000.0), plain(g)))


def causal_constant(g):
    return attend(g, g("Add", plain(g), g.const(np.triu(np.full((1, 1, S, T), -np.inf), 1))))


RECOGNISED = [causal_rows_of_a_triangle, causal_constant, scaled_before, divided_behind, root_on_both_sides, root_from_shapes, mask_added, mask_added_in_front, two_masks, chosen,
              chosen_lowest, guarded, unguarded, capped, grouped, one_head_per_sample, keys_transposed_in_three, tokens_first, windows]


def scores_elsewhere(g):
    p = g("Softmax", plain(g), axis=-1)
    return joined(g, g("MatMul", p, heads(g, "v"))), g("Identity", p)


def another_axis(g):
    return joined(g, g("MatMul", g("Softmax", plain(g), axis=2), heads(g, "v")))


def scaled_mask(g):
    return attend(g, g("Mul", g("Add", plain(g, False), g.const(rng.normal(size=(S, T)))), g.const(0.5)))


def weights_multiplied(g):
    p = g("Mul", g("Softmax", plain(g), axis=-1), g.const(rng.uniform(size=(H, 1, 1))))
    return joined(g, g("MatMul", p, heads(g, "v")))


def number_then_mask(g):
    # Behind the choice of a finite number something is added to it.
    x = g("Where", g.const(np.tril(np.ones((S, T), bool)), bool), plain(g), g.const(-100.0))
    return attend(g, g("Add", x, g.const(rng.normal(size=(S, T)))))


REASONS = {scores_elsewhere: "2 users", another_axis: "axis 2", scaled_mask: "inside of a factor", weights_multiplied: "multiply between",
           number_then_mask: "added to afterwards"}
NEAR_MISSES = list(REASONS)


def build(spelling):
    g = Graph()
    result = spelling(g)
    results = list(result) if isinstance(result, tuple) else [result]
    used = {name for node in g.nodes for name in node.input}
    inputs = [(n, t, s) for n, t, s in [
        ("q", np.float32, [B, S, H * D]), ("k", np.float32, [B, T, H * D]), ("v", np.float32, [B, T, H * D]),
        ("k1", np.float32, [B, T, D]), ("v1", np.float32, [B, T, D]), ("mask", np.int64, [B, T])] if n in used]
    feed = {n: rng.normal(size=s).astype(t) if t == np.float32 else (rng.random(s) < 0.7).astype(t) for n, t, s in inputs}
    return g.model(inputs, results), feed


def optimised(model):
    return str(tenon.Module.load_onnx(model.SerializeToString()).optimize())


def check(model, feed):
    expected = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)
    found = tenon.onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    for a, b in zip(expected, found):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("spelling", RECOGNISED, ids=lambda f: f.__name__)
def test_spellings_are_recognised(spelling):
    model, feed = build(spelling)
    text = optimised(model)
    assert text.count("nn.attention(") == 1, text
    assert "nn.softmax" not in text and "matmul" not in text
    assert ("causal_mask" in text) == spelling.__name__.startswith(("causal", "chosen", "two_masks"))
    # Nothing is moved around it, where heads are split from rows.
    if spelling is not one_head_per_sample:
        assert "permute_dims" not in text
    check(model, feed)


@pytest.mark.parametrize("spelling", NEAR_MISSES, ids=lambda f: f.__name__)
def test_near_misses_stay(spelling):
    model, feed = build(spelling)
    assert "nn.attention" not in optimised(model)
    missed = [line for line in tenon.Module.load_onnx(model.SerializeToString()).explain().splitlines() if "RecomposeAttention" in line]
    assert len(missed) == 1 and REASONS[spelling] in missed[0], missed
    check(model, feed)


def call(shapes, dtypes=(), **attributes):
    b = tenon.Builder()
    dtypes = [*dtypes, *[np.float32] * (len(shapes) - len(dtypes))]
    return b.call("nn.attention", *[b.parameter(f"x{i}", s, np.dtype(t)) for i, (s, t) in enumerate(zip(shapes, dtypes))], **attributes)


@pytest.mark.parametrize("layouts", list(itertools.product(["bthd", "bhtd", "tbhd"], repeat=4)))
def test_layouts_are_the_same_attention(layouts):
    places = {"bthd": (0, 2, 1, 3), "bhtd": (0, 1, 2, 3), "tbhd": (2, 0, 1, 3)}
    operands = [rng.normal(size=(2, heads, tokens, 8)).astype(np.float32) for heads, tokens in [(4, 5), (2, 7), (2, 7)]]
    b = tenon.Builder()
    given = [np.ascontiguousarray(x.transpose(places[layout])) for x, layout in zip(operands, layouts)]
    names = ["query_layout", "key_layout", "value_layout", "out_layout"]
    parameters = [b.parameter(f"x{i}", x.shape, x.dtype) for i, x in enumerate(given)]
    module = b.finish(b.call("nn.attention", *parameters, **dict(zip(names, layouts))))
    q, k, v = operands[0], operands[1].repeat(2, 1), operands[2].repeat(2, 1)
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(8)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = (weights / weights.sum(-1, keepdims=True)) @ v
    found = tenon.compile(module)(*given)
    np.testing.assert_allclose(found, expected.transpose(places[layouts[3]]), rtol=1e-4, atol=1e-5)
    saved = onnxruntime.InferenceSession(module.serialize_onnx(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(
        saved.run(None, {f"x{i}": x for i, x in enumerate(given)})[0], found, rtol=1e-4, atol=1e-5)


Q, K = (2, 5, 4, 8), (2, 7, 2, 8)


@pytest.mark.parametrize("shapes, dtypes, attributes, says", [
    ([Q, (2, 7, 3, 8), (2, 7, 3, 8)], (), {}, "'key'.*divides"),
    ([Q, (2, 7, 2, 9), K], (), {}, "'key'.*8"),
    ([Q, K, (2, 6, 2, 8)], (), {}, "'value'.*tokens"),
    ([Q, K, (3, 7, 2, 8)], (), {}, "'value'.*batch"),
    ([Q[1:], K, K], (), {}, "'query'.*4 dimensions"),
    ([Q, K, K, (5, 6)], (), {}, "'mask'.*broadcasts"),
    ([Q, K, K, (1, 1, 1, 1, 7)], (), {}, "'mask'.*4 dimensions"),
    ([Q, K, K, (5, 7)], [np.float32] * 3 + [np.int64], {}, "'mask'.*bool or f32"),
    ([Q, K, K, (1,), (3,)], [np.float32] * 3 + [np.bool_, np.int64], {}, "'lengths'"),
    ([Q, K, K], (), {"causal_mask": "Lengths"}, "causal_mask.*lengths"),
    ([Q, K, K], (), {"softcap": -1.0}, "softcap"),
    ([Q, K, K], [np.int32] * 3, {}, "floating"),
])
def test_errors_name_the_argument(shapes, dtypes, attributes, says):
    with pytest.raises(tenon.TenonError, match=f"nn.attention.*{says}"):
        call(shapes, dtypes, **attributes)


@pytest.mark.parametrize("lengths", [[8, 1], [-1, 2]])
def test_lengths_beyond_the_keys_are_refused(lengths):
    b = tenon.Builder()
    q, k, v = (b.parameter(n, s) for n, s in [("q", Q), ("k", K), ("v", K)])
    n = b.parameter("n", (2,), np.dtype(np.int64))
    run = tenon.compile(b.finish(b.call("nn.attention", q, k, v, b.constant(np.ones(1, bool)), n)))
    arrays = [rng.normal(size=s).astype(np.float32) for s in (Q, K, K)]
    with pytest.raises(tenon.TenonError, match="nn.attention.*lengths.*0 to 7"):
        run(*arrays, np.array(lengths))
    assert np.isfinite(run(*arrays, np.array([7, 3]))).all()
