"""ONNX Runtime's own operators (domain com.microsoft), against ONNX Runtime itself and, where its CPU provider has none, against
NumPy; forms that are not supported name what is missing."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import tenon

onnxruntime.set_default_logger_severity(4)
rng = np.random.default_rng(5)


def r(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def build(op, inputs, outputs, attributes=None, domain="com.microsoft", constants=(), opset=17):
    """`inputs`: name to value, or None for one left out. Sizes are symbols, unless the input is among `constants`."""
    names = ["" if v is None else k for k, v in inputs.items()]
    while names and not names[-1]:
        names.pop()
    node = h.make_node(op, names, outputs, domain=domain, **(attributes or {}))
    infos = [
        h.make_tensor_value_info(k, h.np_dtype_to_tensor_dtype(v.dtype), symbols(k, v.shape))
        for k, v in inputs.items() if v is not None and k not in constants
    ]
    graph = h.make_graph(
        [node], "g", infos, [h.make_tensor_value_info(o, T.INT32 if o == "lengths" else T.FLOAT, None) for o in outputs if o],
        [nh.from_array(inputs[k], k) for k in constants])
    return h.make_model(
        graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)], ir_version=9).SerializeToString()


def symbols(name, shape):
    """A batch of 2 is 'b', tokens are symbols by their number, all else is fixed."""
    dims = list(shape)
    if dims and dims[0] == 2 and (len(dims) > 1 or name in ("m", "len")):
        dims[0] = "b"
    for axis, ranks in ((1, (3, 5)), (2, (4,))):
        if len(dims) in ranks and dims[axis] > 1:
            dims[axis] = f"s{dims[axis]}"
    return dims


def fixed(data, inputs):
    """The same model with sizes as numbers."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for value in model.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, inputs[value.name].shape):
            dim.dim_value = size
    return model.SerializeToString()


def run_reference(data, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def check(op, inputs, outputs=("y",), attributes=None, want=None, tolerance=2e-5, symbolic=True, **more):
    data = build(op, inputs, list(outputs), attributes, **more)
    constants = more.get("constants", ())
    feeds = {k: v for k, v in inputs.items() if v is not None and k not in constants}
    variants = [fixed(data, inputs)] + ([data] if symbolic else [])
    for variant in variants:
        wanted = want if want is not None else run_reference(variant, feeds)
        for optimised in (False, True):
            module = tenon.Module.load_onnx(variant)
            executable = tenon.compile(module.optimize() if optimised else module)
            got = executable(*feeds.values())
            got = list(got) if isinstance(got, (list, tuple)) else [got]
            for a, b in zip(got, wanted, strict=True):
                assert a.shape == b.shape, (a.shape, b.shape)
                np.testing.assert_allclose(a, b, rtol=tolerance * 10, atol=tolerance)


def refuse(op, inputs, attributes=None, message="", outputs=("y",), **more):
    data = fixed(build(op, inputs, list(outputs), attributes, **more), inputs)
    with pytest.raises(tenon.TenonError) as error:
        tenon.Module.load_onnx(data)
    assert op in str(error.value) and message in str(error.value), error.value


# Activations


@pytest.mark.parametrize("op", ["Gelu", "QuickGelu", "FastGelu"])
def test_activation(op):
    check(op, {"x": r(2, 3, 8)})


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_activation_with_bias(op):
    check(op, {"x": r(2, 3, 8), "b": r(8)}, constants=["b"])
    refuse(op, {"x": r(2, 3, 8), "b": r(7)}, message="bias")


def test_quick_gelu_alpha():
    check("QuickGelu", {"x": r(2, 8)}, attributes={"alpha": 1.0})
    check("QuickGelu", {"x": r(2, 8)}, attributes={"alpha": 0.5})


def test_bias_split_gelu_and_bias_add():
    from math import erf

    x, b = r(2, 3, 8), r(8)
    both = x + b
    gate = both[..., 4:]
    want = both[..., :4] * (gate * 0.5 * (1 + np.vectorize(erf)(gate / np.sqrt(2))))
    check("BiasSplitGelu", {"x": x, "b": b}, want=[want.astype("f4")])
    skip = r(2, 3, 8)
    check("BiasAdd", {"x": x, "b": b, "s": skip}, want=[x + b + skip])


# Products


@pytest.mark.parametrize("attributes", [
    {}, {"alpha": 0.125}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1, "alpha": 2.0},
    {"transBatchA": 1}, {"transBatchB": 1}, {"transBatchA": 1, "transA": 1}, {"transBatchA": 1, "transBatchB": 1, "transB": 1},
])
def test_fused_matmul(attributes):
    def side(shape, transpose, batch):
        # What the operator turns back into [batch, rows, columns].
        axes = [0, 2, 1] if transpose else [0, 1, 2]
        shape = [shape[a] for a in axes]
        return r(*([shape[1], shape[0], shape[2]] if batch else shape))

    a = side((4, 2, 3), attributes.get("transA"), attributes.get("transBatchA"))
    b = side((4, 3, 5), attributes.get("transB"), attributes.get("transBatchB"))
    check("FusedMatMul", {"a": a, "b": b}, attributes=attributes)


def test_fused_matmul_of_matrices_and_constants():
    check("FusedMatMul", {"a": r(3, 2), "b": r(5, 3)}, attributes={"transA": 1, "transB": 1, "alpha": 0.5}, constants=["b"])
    check("FusedMatMul", {"a": r(2, 4, 3), "b": r(5, 3)}, attributes={"transB": 1})
    refuse("FusedMatMul", {"a": r(3, 2), "b": r(2, 3)}, {"transBatchA": 1}, "transBatchA")


@pytest.mark.parametrize("activation", [
    {"activation": "Relu"}, {"activation": "Tanh"}, {"activation": "Sigmoid"},
    {"activation": "LeakyRelu", "activation_alpha": 0.2},
    {"activation": "HardSigmoid", "activation_alpha": 0.3, "activation_beta": 0.4},
    {"activation": "Elu", "activation_alpha": 0.7}, {"activation": "Softplus"}, {"activation": "Softsign"},
])
def test_fused_gemm(activation):
    check(
        "FusedGemm", {"a": r(4, 3), "b": r(5, 3), "c": r(5)},
        attributes={"transB": 1, "alpha": 0.5, "beta": 2.0, **activation}, constants=["b", "c"])
    refuse("FusedGemm", {"a": r(4, 3), "b": r(3, 5)}, {"activation": "Cosine"}, "Cosine")


@pytest.mark.parametrize("activation", [
    {"activation": "Relu"}, {"activation": "Sigmoid"}, {"activation": "Tanh"},
    {"activation": "LeakyRelu", "activation_params": [0.3]}, {"activation": "Clip", "activation_params": [-0.5, 0.5]},
    {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]},
])
@pytest.mark.parametrize("residual", [False, True])
def test_fused_conv(activation, residual):
    check(
        "FusedConv", {"x": r(2, 3, 6, 7), "w": r(8, 3, 3, 3), "b": r(8), "z": r(2, 8, 6, 7) if residual else None},
        attributes={"pads": [1, 1, 1, 1], **activation}, constants=["w", "b"])


def test_inverse_and_determinant():
    x = r(2, 3, 3) + 2 * np.eye(3, dtype="f4")
    check("Inverse", {"x": x}, tolerance=1e-4)
    check("Inverse", {"x": (r(5, 5) + 3 * np.eye(5)).astype("f4")}, tolerance=1e-4)
    check("Det", {"x": x}, domain="", tolerance=1e-4)
    refuse("Inverse", {"x": r(2, 3)}, message="square")


# Normalisations


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [["y"], ["y", "", "", "s"]])
def test_skip_layer_normalization(beta, bias, outputs):
    inputs = {"x": r(2, 3, 8), "k": r(2, 3, 8), "g": r(8), "b": r(8) if beta else None, "c": r(8) if bias else None}
    check("SkipLayerNormalization", inputs, outputs, {"epsilon": 1e-5})
    inputs["k"] = r(3, 8)
    check("SkipLayerNormalization", inputs, outputs)


@pytest.mark.parametrize("bias", [False, True])
def test_skip_simplified_layer_normalization(bias):
    check(
        "SkipSimplifiedLayerNormalization", {"x": r(2, 3, 8), "k": r(2, 3, 8), "g": r(8), "c": r(8) if bias else None},
        ["y", "", "", "s"], {"epsilon": 1e-5})
    refuse("SkipSimplifiedLayerNormalization", {"x": r(2, 3, 8), "k": r(2, 3, 8), "g": r(7)}, message="input 2")


def test_simplified_layer_normalization():
    check("SimplifiedLayerNormalization", {"x": r(2, 3, 8), "g": r(8)}, ["y", "i"], {"axis": -1, "epsilon": 1e-4}, domain="")
    check("LayerNormalization", {"x": r(2, 3, 8), "g": r(8), "b": r(8)}, domain="", opset=11)


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("positions", [False, True])
def test_embed_layer_normalization(segments, mask, positions):
    ids = rng.integers(0, 20, (2, 5)).astype("i4")
    check(
        "EmbedLayerNormalization",
        {
            "ids": ids, "seg": rng.integers(0, 2, (2, 5)).astype("i4") if segments else None, "w": r(20, 8), "p": r(9, 8),
            "s": r(2, 8) if segments else None, "g": r(8), "b": r(8),
            "m": np.array([[1, 1, 1, 0, 0], [1] * 5], "i4") if mask else None,
            "pos": rng.integers(0, 9, (2, 5)).astype("i4") if positions else None,
        }, ["y", "lengths", "e"], {"epsilon": 1e-5}, constants=["w", "p", "g", "b"] + (["s"] if segments else []))


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("activation", [0, 1])
def test_group_norm(last, activation):
    x, g, b = r(2, 4, 4, 8), r(8 if last else 4), r(8 if last else 4)
    nchw = x.transpose(0, 3, 1, 2) if last else x
    parts = nchw.reshape(2, 2, -1)
    normal = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 1e-5)
    want = normal.reshape(nchw.shape) * g[:, None, None] + b[:, None, None]
    want = want / (1 + np.exp(-want)) if activation else want
    want = want.transpose(0, 2, 3, 1) if last else want
    attributes = {"groups": 2, "channels_last": last, "activation": activation, "epsilon": 1e-5}
    check("GroupNorm", {"x": x, "g": g, "b": b}, attributes=attributes, want=[want], tolerance=1e-4)
    if last:
        skip = r(2, 4, 4, 8)
        check(
            "SkipGroupNorm", {"x": x - skip, "g": g, "b": b, "s": skip}, ["y", "t"], attributes, want=[want, x],
            tolerance=1e-4, symbolic=False)


# Attention


def masks(batch, keys, queries, past=0):
    raw = np.ones((batch, keys), "i4")
    raw[0, -2:] = 0
    return {
        "none": None, "lengths": np.array([keys - 1, keys - 2][:batch], "i4"), "raw": raw,
        "3d": np.tril(np.ones((batch, queries, keys), "i4"), past + 1),
    }


@pytest.mark.parametrize("mask", ["none", "lengths", "ends", "raw", "3d"])
@pytest.mark.parametrize("causal", [0, 1])
def test_attention(mask, causal):
    given = masks(2, 5, 5) | {"ends": np.array([5, 3, 1, 0], "i4")}
    inputs = {"x": r(2, 5, 8), "w": r(8, 24, scale=0.3), "b": r(24), "m": given[mask]}
    check("Attention", inputs, attributes={"num_heads": 2, "unidirectional": causal}, constants=["w", "b"], symbolic=mask != "ends")


def test_attention_forms():
    x, w, b = r(2, 5, 8), r(8, 24, scale=0.3), r(24)
    check("Attention", {"x": x, "w": w, "b": b, "m": None, "p": None, "a": r(1, 2, 5, 5)}, attributes={"num_heads": 2, "scale": 0.3})
    check(
        "Attention", {"x": x, "w": r(8, 20, scale=0.3), "b": r(20)},
        attributes={"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}, constants=["w", "b"])
    check(
        "Attention", {"x": x, "w": w, "b": b, "m": None, "p": r(2, 2, 2, 3, 4)}, ["y", "q"],
        {"num_heads": 2, "unidirectional": 1}, constants=["w", "b"])
    refuse("Attention", {"x": x, "w": w, "b": b}, {"num_heads": 5}, "5")
    refuse("Attention", {"x": x, "w": w, "b": b}, {"num_heads": 2, "do_rotary": 1}, "do_rotary")
    refuse("Attention", {"x": x, "w": r(8, 23)}, {"num_heads": 2}, "weights")


@pytest.mark.parametrize("mask", ["none", "lengths", "raw", "3d"])
@pytest.mark.parametrize("bias", [False, True])
def test_multi_head_attention(mask, bias):
    inputs = {
        "q": r(2, 3, 8), "k": r(2, 5, 8), "v": r(2, 5, 12), "b": r(28) if bias else None, "m": masks(2, 5, 3)[mask],
        "a": r(2, 2, 3, 5) if mask == "raw" else None,
    }
    check("MultiHeadAttention", inputs, attributes={"num_heads": 2}, constants=["b"] if bias else [])


def test_multi_head_attention_forms():
    heads = {"num_heads": 2}
    packed = r(2, 4, 2, 3, 4)
    parts = {"q": packed[:, :, :, 0].reshape(2, 4, 8), "k": packed[:, :, :, 1].reshape(2, 4, 8), "v": packed[:, :, :, 2].reshape(2, 4, 8)}
    want = run_reference(build("MultiHeadAttention", parts, ["y"], heads), parts)
    check("MultiHeadAttention", {"q": packed}, attributes=heads, want=want)
    check("MultiHeadAttention", {"q": parts["q"], "k": np.ascontiguousarray(packed[:, :, :, 1:])}, attributes=heads, want=want)
    check("MultiHeadAttention", {"q": r(2, 3, 8), "k": r(2, 2, 5, 4), "v": r(2, 2, 5, 4)}, attributes=heads)
    check("MultiHeadAttention", {"q": r(2, 4, 8), "k": r(2, 4, 8), "v": r(2, 4, 8)}, attributes=heads | {"unidirectional": 1, "scale": 0.4})
    past = {"q": r(2, 3, 8), "k": r(2, 3, 8), "v": r(2, 3, 8), "b": None, "m": None, "a": None, "pk": r(2, 2, 4, 4), "pv": r(2, 2, 4, 4)}
    check("MultiHeadAttention", past, ["y", "nk", "nv"], heads)
    check("MultiHeadAttention", past, ["y", "nk", "nv"], heads | {"unidirectional": 1})
    refuse("MultiHeadAttention", {"q": r(2, 3), "k": r(2, 3, 8), "v": r(2, 3, 8)}, heads, "query")
    refuse("MultiHeadAttention", {"q": r(2, 3, 8), "k": r(2, 3, 8), "v": r(2, 3, 8)}, {"num_heads": 0}, "num_heads")


def caches(positions, size):
    angles = np.outer(np.arange(positions), 1 / 10000 ** (np.arange(0, size, 2) / size))
    return np.cos(angles).astype("f4"), np.sin(angles).astype("f4")


@pytest.mark.parametrize("rotary", [0, 1])
@pytest.mark.parametrize("case", ["prompt", "one", "shared", "padded"])
@pytest.mark.parametrize("packed", [False, True])
def test_group_query_attention(rotary, case, packed):
    heads, shared, size = 4, 2, 16
    tokens = {"prompt": 4, "one": 1, "shared": 1, "padded": 4}[case]
    past = {"prompt": 0, "one": 5, "shared": 12, "padded": 0}[case]
    totals = {"prompt": [4, 4], "one": [6, 6], "shared": [7, 4], "padded": [4, 3]}[case]
    cos, sin = caches(32, size)
    if packed:
        q = {"q": r(2, tokens, (heads + 2 * shared) * size), "k": None, "v": None}
    else:
        q = {"q": r(2, tokens, heads * size), "k": r(2, tokens, shared * size), "v": r(2, tokens, shared * size)}
    inputs = q | {
        "pk": r(2, shared, past, size), "pv": r(2, shared, past, size), "len": np.array(totals, "i4") - 1,
        "total": np.array(max(totals), "i4"), "cos": cos if rotary else None, "sin": sin if rotary else None,
    }
    attributes = {"num_heads": heads, "kv_num_heads": shared, "do_rotary": rotary}
    constants = ["cos", "sin"] if rotary else []
    data = build("GroupQueryAttention", inputs, ["y", "nk", "nv"], attributes, constants=constants)
    feeds = {k: v for k, v in inputs.items() if v is not None and k not in constants}
    for variant in (data, fixed(data, inputs)):
        want = run_reference(variant, feeds)
        for module in (tenon.Module.load_onnx(variant), tenon.Module.load_onnx(variant).optimize()):
            got = tenon.compile(module)(*feeds.values())
            # What stands behind a sample's own length means nothing.
            ends = totals if case != "shared" else totals
            for sample, end in enumerate(ends):
                used = min(tokens, end)
                np.testing.assert_allclose(got[0][sample, :used], want[0][sample, :used], rtol=1e-4, atol=2e-5)
                for a, b in zip(got[1:], want[1:]):
                    assert a.shape == b.shape
                    np.testing.assert_allclose(a[sample, :, :end], b[sample, :, :end], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attributes", [{"softcap": 5.0}, {"local_window_size": 3}, {"scale": 0.2}, {"rotary_interleaved": 1}])
def test_group_query_attention_attributes(attributes):
    cos, sin = caches(32, 16)
    inputs = {
        "q": r(1, 6, 64), "k": r(1, 6, 32), "v": r(1, 6, 32), "pk": None, "pv": None, "len": np.array([5], "i4"),
        "total": np.array(6, "i4"), "cos": cos, "sin": sin,
    }
    check(
        "GroupQueryAttention", inputs, ["y", "nk", "nv"], {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, **attributes},
        constants=["cos", "sin"])


def test_group_query_attention_refusals():
    base = {
        "q": r(1, 6, 64), "k": r(1, 6, 32), "v": r(1, 6, 32), "pk": None, "pv": None, "len": np.array([5], "i4"),
        "total": np.array(6, "i4"),
    }
    heads = {"num_heads": 4, "kv_num_heads": 2}
    refuse("GroupQueryAttention", base, heads | {"kv_num_heads": 3}, "kv_num_heads")
    refuse("GroupQueryAttention", base, heads | {"do_rotary": 1}, "cos_cache")
    refuse("GroupQueryAttention", base, heads | {"smooth_softmax": 1}, "smooth_softmax")


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("form", ["offset", "ids", "4d", "partial"])
def test_rotary_embedding(interleaved, form):
    cos, sin = caches(16, 4 if form == "partial" else 8)
    x = r(2, 3, 5, 8) if form == "4d" else r(2, 5, 24)
    positions = np.array([3]) if form == "offset" else rng.integers(0, 16, (2, 5))
    attributes = {"interleaved": interleaved}
    if form == "partial":
        attributes |= {"num_heads": 3, "rotary_embedding_dim": 4}
    check("RotaryEmbedding", {"x": x, "p": positions.astype("i8"), "c": cos, "s": sin}, attributes=attributes, constants=["c", "s"])


def test_packed_attention():
    tokens, weights, bias = r(5, 8), r(8, 24, scale=0.3), r(24)
    ends = np.array([0, 2, 5], "i4")
    want = np.zeros((5, 8), "f4")
    for a, b in zip(ends, ends[1:]):
        part = run_reference(
            build("Attention", {"x": tokens[None, a:b], "w": weights, "b": bias}, ["y"], {"num_heads": 2}),
            {"x": tokens[None, a:b], "w": weights, "b": bias})[0]
        want[a:b] = part[0]
    offsets = np.array([[0, 1, 5], [2, 3, 4]], "i4")
    check(
        "PackedAttention", {"x": tokens, "w": weights, "b": bias, "o": offsets, "e": ends}, attributes={"num_heads": 2},
        want=[want], constants=["w", "b"])


@pytest.mark.parametrize("shared", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_decoder_masked_multi_head_attention(shared, bias):
    past = 8 if shared else 4
    inputs = {
        "q": r(2, 1, 16), "k": r(2, 1, 16), "v": r(2, 1, 16), "m": None, "a": None, "pk": r(2, 2, past, 8),
        "pv": r(2, 2, past, 8), "n": np.array([4], "i4") if shared else None, "w": None, "i": None,
        "b": r(48) if bias else None,
    }
    attributes = {"num_heads": 2, "past_present_share_buffer": shared}
    q, k, v = (inputs[n] + (inputs["b"][i * 16:i * 16 + 16] if bias else 0) for i, n in enumerate("qkv"))
    by_head = lambda x: x.reshape(2, 1, 2, 8).transpose(0, 2, 1, 3)
    keys = np.concatenate([inputs["pk"][:, :, :4], by_head(k)], 2)
    values = np.concatenate([inputs["pv"][:, :, :4], by_head(v)], 2)
    scores = by_head(q) @ keys.transpose(0, 1, 3, 2) / np.sqrt(8)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = (weights / weights.sum(-1, keepdims=True)) @ values
    if shared:
        keys = np.concatenate([keys, inputs["pk"][:, :, 5:]], 2)
        values = np.concatenate([values, inputs["pv"][:, :, 5:]], 2)
    check(
        "DecoderMaskedMultiHeadAttention", inputs, ["y", "nk", "nv"], attributes, symbolic=False,
        want=[y.transpose(0, 2, 1, 3).reshape(2, 1, 16).astype("f4"), keys, values])


# Images


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [[3, 4], [1, 5]])
def test_crop_and_resize(mode, size):
    rois = np.array([[0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1], [-0.2, 0.3, 1.3, 0.4]], "f4")
    inputs = {"x": r(2, 3, 7, 6), "r": rois, "i": np.array([1, 0, 1], "i4"), "s": np.array(size, "i4")}
    check(
        "CropAndResize", inputs, attributes={"mode": mode, "extrapolation_value": 2.5}, constants=["s"],
        tolerance=1e-4)


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED", "ALL"])
def test_files_that_onnxruntime_saved(level, tmp_path):
    """Convolutions (of few, many, grouped channels), pools, products, normalisation: saved at every level, loaded here."""
    def conv(x, w, y, **a):
        return h.make_node("Conv", [x, w, w + "b"], [y], **a)

    constants = {"w1": r(24, 3, 3, 3, scale=0.3), "w2": r(24, 1, 3, 3), "w3": r(40, 24, 1, 1, scale=0.3), "w4": r(40, 40, 3, 3, scale=0.1)}
    constants |= {k + "b": r(v.shape[0]) for k, v in constants.items()}
    constants |= {"fc": r(40, 16), "fb": r(16), "g": r(16), "be": r(16)}
    nodes = [
        conv("x", "w1", "a", pads=[1, 1, 1, 1], strides=[2, 2]), h.make_node("Relu", ["a"], ["b"]),
        conv("b", "w2", "c", pads=[1, 1, 1, 1], group=24), h.make_node("Relu", ["c"], ["d"]),
        conv("d", "w3", "e"), conv("e", "w4", "f", pads=[1, 1, 1, 1]), h.make_node("Add", ["e", "f"], ["i"]),
        h.make_node("Relu", ["i"], ["j"]), h.make_node("MaxPool", ["j"], ["k"], kernel_shape=[2, 2], strides=[2, 2]),
        h.make_node("GlobalAveragePool", ["k"], ["l"]), h.make_node("Flatten", ["l"], ["m"]),
        h.make_node("Gemm", ["m", "fc", "fb"], ["n"]), h.make_node("Relu", ["n"], ["o"]),
        h.make_node("LayerNormalization", ["o", "g", "be"], ["y"]),
    ]
    graph = h.make_graph(
        nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, ["n", 3, 16, 16])],
        [h.make_tensor_value_info("y", T.FLOAT, ["n", 16])], [nh.from_array(v, k) for k, v in constants.items()])
    data = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, "ORT_ENABLE_" + level)
    options.optimized_model_filepath = str(tmp_path / "saved.onnx")
    options.log_severity_level = 4
    x = r(2, 3, 16, 16)
    want = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    module = tenon.load(tmp_path / "saved.onnx")
    for each in (module, module.optimize()):
        np.testing.assert_allclose(tenon.compile(each)(x), want, rtol=1e-3, atol=1e-4)
