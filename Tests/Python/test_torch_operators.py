"""ATen operators one by one, as torch.export leaves them and as core ATen decomposes them, against PyTorch."""

import pytest

import heavy

heavy.require("torch")

import tenon  # noqa: E402
import tenon.torch  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


def r(*shape):
    return torch.randn(*shape)


def positive(*shape):
    return torch.rand(*shape) + 0.1


def ints(*shape, high=10, low=0):
    return torch.randint(low, high, shape)


IMAGE = (2, 4, 9, 7)
W = torch.manual_seed(1) and torch.randn(6, 4, 3, 3)

CASES = {
    # Element-wise
    **{name: (getattr(torch, name), lambda: (r(3, 5),)) for name in (
        "abs", "exp", "erf", "floor", "ceil", "round", "sign", "sin", "cos", "tan", "atan", "sinh", "cosh", "asinh", "trunc",
        "square", "sigmoid", "tanh", "neg", "expm1", "exp2", "frac", "isnan", "isinf", "isfinite", "logical_not", "erfc",
        "positive")},
    **{name: (getattr(torch, name), lambda: (positive(3, 5),)) for name in (
        "log", "sqrt", "rsqrt", "reciprocal", "log1p", "log2", "log10")},
    **{name: (getattr(torch, name), lambda: (torch.rand(3, 5) * 1.8 - 0.9,)) for name in ("asin", "acos", "atanh")},
    "acosh": (torch.acosh, lambda: (positive(3, 5) + 1,)),
    "abs of integers": (lambda x: torch.abs(x - 5), lambda: (ints(3, 4),)),
    "exp of integers": (torch.exp, lambda: (ints(3, 4),)),
    "bitwise": (lambda x, y: (~x, x & y, x | y, x ^ y, x << 2, x >> 1), lambda: (ints(3, 4), ints(3, 4))),
    "bool": (lambda x, y: (~(x > 0), (x > 0) & (y > 0), (x > 0) | (y > 0), torch.logical_xor(x > 0, y > 0)),
             lambda: (r(3, 4), r(4))),
    "add": (lambda x, y: (x + y, torch.add(x, y, alpha=2), x + 1, 1 - x, torch.rsub(x, y, alpha=3), x - y),
            lambda: (r(3, 4), r(4))),
    "types promote": (lambda x, n, h: (x + n, n / 2, n * 0.5, n + 1, h + x, n > 1.5, n // 2, x > n, h * 2),
                      lambda: (r(3), ints(3), r(3).half())),
    "divide": (lambda x, y: (x / y, x // y, torch.div(x, y, rounding_mode="trunc"), x % y, torch.fmod(x, y), x / 3),
               lambda: (r(3, 4), positive(3, 4))),
    "divide integers": (lambda x, y: (x / y, x // y, torch.div(x, y, rounding_mode="trunc"), x % y, torch.fmod(x, y)),
                        lambda: (ints(3, 4) - 5, ints(3, 4, low=1))),
    "power": (lambda x, y: (x**2, x**3, x**0.5, x**-1, x**y, 2**y, x**-0.5), lambda: (positive(3, 4), r(3, 4))),
    "compare": (lambda x, y: (x == y, x != y, x < y, x <= 0, x > 1, x >= y), lambda: (r(3, 4), r(3, 4))),
    "extremes": (lambda x, y: (torch.minimum(x, y), torch.maximum(x, y), torch.atan2(x, y)), lambda: (r(3, 4), r(3, 4))),
    "clamp": (lambda x: (x.clamp(-0.5, 0.5), x.clamp(min=0.1), x.clamp(max=0.1), x.clamp_min(0), x.clamp_max(0),
                         x.clamp(0, 6)), lambda: (r(3, 4) * 4,)),
    "clamp by tensors": (lambda x, y: x.clamp(min=y), lambda: (r(3, 4), r(4))),
    "clamp integers": (lambda x: x.clamp(2, 5), lambda: (ints(9),)),
    "where": (lambda x, y: (torch.where(x > 0, x, y), torch.where(x > 0, x, 0.0), x.masked_fill(x > 0, -1)),
              lambda: (r(3, 4), r(4))),
    "add products": (lambda x, y, z: (torch.addcmul(x, y, z, value=0.5), torch.addcdiv(x, y, z.abs() + 1)),
                     lambda: (r(3, 4), r(3, 4), r(4))),
    "lerp": (lambda x, y: (torch.lerp(x, y, 0.3), torch.lerp(x, y, y)), lambda: (r(3, 4), r(3, 4))),
    "convert": (lambda x: (x.to(torch.int32), x.double(), x.to(torch.bool), x.half(), x.int().float()),
                lambda: (r(3, 4) * 3,)),
    "logaddexp": (torch.logaddexp, lambda: (r(4), r(4))),
    # Activations
    **{name: (getattr(F, name), lambda: (r(3, 5) * 4,)) for name in (
        "relu", "relu6", "hardswish", "silu", "mish", "selu", "gelu", "hardsigmoid", "leaky_relu", "elu", "celu", "softplus",
        "logsigmoid", "softsign", "softshrink", "hardshrink", "hardtanh", "tanhshrink")},
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), lambda: (r(3, 5),)),
    "activations with parameters": (
        lambda x: (F.leaky_relu(x, 0.3), F.elu(x, 0.7), F.celu(x, 1.3), F.softplus(x, 2, 3), F.threshold(x, 0.1, 5),
                   F.hardtanh(x, -2, 3)), lambda: (r(3, 5) * 3,)),
    "prelu": (lambda x, w: (F.prelu(x, w), F.prelu(x, w[:1])), lambda: (r(*IMAGE), positive(4))),
    "glu": (lambda x: (F.glu(x), F.glu(x, 0)), lambda: (r(4, 6),)),
    "softmax": (lambda x: (x.softmax(-1), x.softmax(0), x.log_softmax(1), F.softmax(x, 1, dtype=torch.float64)),
                lambda: (r(3, 5),)),
    "dropout in evaluation": (lambda x: F.dropout(x, 0.5, training=False) + 1, lambda: (r(3),)),
    # Convolutions
    "conv2d": (lambda x: F.conv2d(x, W), lambda: (r(*IMAGE),)),
    "conv2d with all": (lambda x: F.conv2d(x, W[:, :2], torch.arange(6.0), stride=(2, 1), padding=(1, 2), dilation=2, groups=2),
                        lambda: (r(*IMAGE),)),
    "conv2d same": (lambda x: F.conv2d(x, W[:, :, :2, :], padding="same"), lambda: (r(*IMAGE),)),
    "conv2d valid": (lambda x: F.conv2d(x, W, padding="valid"), lambda: (r(*IMAGE),)),
    "conv2d of one image": (lambda x: F.conv2d(x, W, torch.arange(6.0)), lambda: (r(4, 9, 7),)),
    "conv1d": (lambda x: F.conv1d(x, W[..., 0], padding=1, stride=2), lambda: (r(2, 4, 9),)),
    "conv3d": (lambda x: F.conv3d(x, W[..., None], torch.arange(6.0), padding=1), lambda: (r(1, 4, 5, 5, 3),)),
    "conv_transpose2d": (lambda x: F.conv_transpose2d(x, W.transpose(0, 1)[:, :2], torch.arange(4.0), stride=2, padding=1,
                                                      output_padding=1, groups=2), lambda: (r(*IMAGE),)),
    "conv_transpose1d": (lambda x: F.conv_transpose1d(x, W[:4, :, :, 0], stride=2), lambda: (r(2, 4, 9),)),
    # Products
    "linear": (lambda x, w, b: (F.linear(x, w, b), F.linear(x, w), F.linear(x[0, 0], w)),
               lambda: (r(2, 3, 5), r(4, 5), r(4))),
    "matmul": (lambda x, y: (x @ y, x[0] @ y[0], x[0, 0] @ y[0], x @ y[0, :, 0], x[0, 0] @ y[0, :, 0]),
               lambda: (r(2, 3, 5), r(2, 5, 4))),
    "addmm": (lambda x, y, z: (torch.addmm(z, x, y), torch.addmm(z, x, y, beta=0.5, alpha=2), x.mm(y), x.mv(y[:, 0])),
              lambda: (r(3, 5), r(5, 4), r(4))),
    "baddbmm": (lambda x, y, z: (torch.baddbmm(z, x, y, beta=2), torch.bmm(x, y)), lambda: (r(2, 3, 5), r(2, 5, 4), r(2, 3, 4))),
    **{f"einsum {equation}": (lambda x, y, equation=equation: torch.einsum(equation, x, y), lambda shapes=shapes: tuple(
        r(*shape) for shape in shapes)) for equation, shapes in {
            "bhid,bhjd->bhij": ((2, 3, 4, 5), (2, 3, 6, 5)), "ij,jk": ((3, 4), (4, 5)), "bij,bjk->ik": ((2, 3, 4), (2, 4, 5)),
            "bn,nd->dbn": ((2, 3), (3, 4)), "i,j->ij": ((3,), (4,)), "bij,bij->b": ((2, 3, 4), (2, 3, 4)),
            "bkc,kcd->bkd": ((2, 3, 4), (3, 4, 5))}.items()},
    "einsum of one": (lambda x: (torch.einsum("ijk->kj", x), torch.einsum("ijk->j", x)), lambda: (r(2, 3, 4),)),
    "attention": (lambda q, k, v: (
        F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q, k, v, scale=0.3),
        F.scaled_dot_product_attention(q, q, q, is_causal=True)), lambda: (r(2, 3, 5, 8), r(2, 3, 7, 8), r(2, 3, 7, 8))),
    "attention with masks": (lambda q, k, v, m: (
        F.scaled_dot_product_attention(q, k, v, m), F.scaled_dot_product_attention(q, k, v, m > -1)),
        lambda: (r(2, 3, 5, 8), r(2, 3, 7, 8), r(2, 3, 7, 8), r(5, 7))),
    "grouped attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
                          lambda: (r(2, 4, 5, 8), r(2, 2, 7, 8), r(2, 2, 7, 8))),
    # Normalisation
    "batch_norm": (lambda x, m, v, w, b: (F.batch_norm(x, m, v, w, b), F.batch_norm(x, m, v, eps=0.1)),
                   lambda: (r(*IMAGE), r(4), positive(4), r(4), r(4))),
    "batch_norm of the batch": (lambda x, w: (F.batch_norm(x, None, None, training=True), F.batch_norm(
        x, None, None, w, w, training=True)), lambda: (r(*IMAGE), r(4))),
    "batch_norm of rows": (lambda x, m, v: F.batch_norm(x, m, v), lambda: (r(5, 4), r(4), positive(4))),
    "layer_norm": (lambda x, w, b: (F.layer_norm(x, (4, 5), w, b), F.layer_norm(x, (5,)), F.layer_norm(x, (5,), w[0])),
                   lambda: (r(3, 4, 5), r(4, 5), r(4, 5))),
    "group_norm": (lambda x, w, b: (F.group_norm(x, 2, w, b), F.group_norm(x, 4), F.group_norm(x[:, :, 0, 0], 2)),
                   lambda: (r(*IMAGE), r(4), r(4))),
    "instance_norm": (lambda x, w, b: (F.instance_norm(x), F.instance_norm(x, weight=w, bias=b)),
                      lambda: (r(*IMAGE), r(4), r(4))),
    "rms_norm": (lambda x, w: (F.rms_norm(x, (5,), w, 1e-6), F.rms_norm(x, (5,))), lambda: (r(3, 5), r(5))),
    "norms": (lambda x: (x.norm(), x.norm(dim=1), torch.linalg.vector_norm(x, 1, 0), torch.linalg.vector_norm(
        x, float("inf"), 1, True), torch.linalg.vector_norm(x, 3), F.normalize(x, dim=-1)), lambda: (r(3, 5),)),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3), lambda: (r(*IMAGE),)),
    "cosine_similarity": (lambda x, y: F.cosine_similarity(x, y, dim=1), lambda: (r(3, 5), r(3, 5))),
    # Pooling
    "max_pool": (lambda x: (F.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 2, ceil_mode=True), F.max_pool2d(x, 2, 1, dilation=2),
                            F.max_pool1d(x[0], 3), F.max_pool2d(x[0], 2)), lambda: (r(*IMAGE),)),
    "avg_pool": (lambda x: (F.avg_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), F.avg_pool2d(
        x, (3, 2), ceil_mode=True), F.avg_pool2d(x, 2, divisor_override=3), F.avg_pool1d(x[0], 2)), lambda: (r(*IMAGE),)),
    "avg_pool ceil with padding": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), lambda: (r(1, 2, 8, 8),)),
    "pool3d": (lambda x: (F.max_pool3d(x, 2), F.avg_pool3d(x, 2, 1), F.adaptive_avg_pool3d(x, (1, 2, 3))),
               lambda: (r(1, 2, 4, 5, 6),)),
    "adaptive": (lambda x: (F.adaptive_avg_pool2d(x, 1), F.adaptive_avg_pool2d(x, (3, 2)), F.adaptive_max_pool2d(x, 2),
                            F.adaptive_avg_pool1d(x[0], 4), F.adaptive_avg_pool2d(x, (None, 1))), lambda: (r(*IMAGE),)),
    # Movement
    "views": (lambda x: (x.view(6, -1), x.reshape(-1), x.flatten(1), x.unsqueeze(1), x[:1].squeeze(0), x.unflatten(1, (1, 3)),
                         x.expand(5, 2, 3, 4), x[:, :1].expand(-1, 6, -1)), lambda: (r(2, 3, 4),)),
    "transposes": (lambda x: (x.permute(2, 0, 1), x.transpose(-1, 0), x[0].t(), x[0].T, x.movedim(0, 2), x.mT,
                              x.movedim((0, 1), (1, 2)), x.swapaxes(0, 1)), lambda: (r(2, 3, 4),)),
    "join": (lambda x, y: (torch.cat([x, y]), torch.cat([x, x], -1), torch.stack([x, x], 1), torch.stack([x, x], -1),
                           torch.cat([torch.zeros(0), x[0]]), torch.hstack([x, x])), lambda: (r(2, 3), r(4, 3))),
    "cut": (lambda x: (*x.split(2), *x.split([1, 4], 0), *x.chunk(2, 1), *x.unbind(1), *torch.tensor_split(x, 3)),
            lambda: (r(5, 3),)),
    "slices": (lambda x: (x[1], x[-1], x[:, 1:3], x[..., -2:], x[::2], x[1:-1, None], x[:, -3:-1], x.narrow(0, 1, 2)),
               lambda: (r(4, 5),)),
    "roll": (lambda x: (x.roll(1, 0), x.roll((2, -1), (0, 1)), x.roll(3)), lambda: (r(4, 5),)),
    "flip and repeat": (lambda x: (x.flip(0), x.flip(0, 1), x.repeat(2, 1, 3), x.repeat_interleave(2, 1), x.tile(2),
                                   x.repeat_interleave(2)), lambda: (r(2, 3),)),
    "pad": (lambda x: (F.pad(x, (1, 2)), F.pad(x, (1, 0, 2, 1), value=3), F.pad(x, (1, 2, 2, 1), mode="reflect"),
                       F.pad(x, (1, 2, 0, 1), mode="replicate"), F.pad(x, (1, 1, 1, 1), mode="circular"),
                       F.pad(x, (-1, 0, 0, -2))), lambda: (r(2, 3, 5, 6),)),
    "shuffles": (lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2), F.channel_shuffle(x, 4), F.pixel_shuffle(x[0], 2)),
                 lambda: (r(2, 8, 4, 6),)),
    "triangles": (lambda x: (x.tril(), x.triu(1), x.tril(-1)), lambda: (r(4, 5),)),
    "diagonal": (lambda x: (x.diagonal(), x.diagonal(1), x.diagonal(-1, 0, 1)), lambda: (r(4, 5),)),
    "windows": (lambda x: (F.unfold(x, 3, padding=1), F.unfold(x, (2, 3), dilation=2, stride=2), x.unfold(2, 3, 2)),
                lambda: (r(2, 3, 8, 9),)),
    "fold": (lambda x: (F.fold(x, (5, 6), 3, padding=1), F.fold(x[:, :, :6], (4, 5), 3)), lambda: (r(2, 18, 30),)),
    # Indexing
    "index": (lambda x, i: (x[i], x[:, i], x[i, i], x[:, i, i], x[i, :, i], x[i[:, None], i], x[-i - 1]),
              lambda: (r(5, 5, 5), ints(4, high=5))),
    "embedding": (lambda x, i: (F.embedding(i, x), x.index_select(1, i[0]), x.take_along_dim(i[:, :1] * 0, 1)),
                  lambda: (r(7, 7), ints(7, 3, high=7))),
    "gather": (lambda x, i: x.gather(1, i), lambda: (r(3, 5), ints(3, 2, high=5))),
    "scatter": (lambda x, i, y: (x.scatter(1, i, y), x.scatter(1, i, 7.0), x.scatter_add(1, i, y)),
                lambda: (r(3, 5), torch.tensor([[0, 1], [3, 2], [4, 0]]), r(3, 2))),
    "write": (lambda x, y: (x.slice_scatter(y, 0, 1, 3), x.select_scatter(y[0], 0, -1), x.index_put((torch.tensor([0, 3]),), y),
                           torch.ops.aten.index_put(x, [None, torch.tensor([0, -1])], y[:1, :2]), x.index_put(
                               (torch.tensor([[0], [1]]), torch.tensor([0, 3])), y[:, :2], accumulate=True)),
              lambda: (r(4, 5), r(2, 5))),
    "order": (lambda x: (x.topk(2), x.sort(-1), x.argsort(0, descending=True), x.sort(0, descending=True)), lambda: (r(4, 6),)),
    # Reductions
    "reductions": (lambda x: (x.sum(), x.sum(1), x.mean((0, 2)), x.mean(-1, True), x.amax(1), x.amin((0, 1)), x.max(), x.min(),
                              x.prod(1), x.prod(), x.logsumexp(1)), lambda: (r(2, 3, 4),)),
    "positions": (lambda x: (x.max(1), x.min(-1, True), x.argmax(), x.argmax(1), x.argmin(0, True)), lambda: (r(2, 3, 4),)),
    "truth": (lambda x: ((x > 0).all(), (x > 0).any(1), (x > 5).any(), (x > 0).sum(1), x.bool().sum(), torch.count_nonzero(x > 0)),
              lambda: (r(3, 4),)),
    "sums of integers": (lambda x: (x.sum(), x.to(torch.int32).sum(1), x.cumsum(0)), lambda: (ints(3, 4),)),
    "spread": (lambda x: (x.var(), x.std(1), x.var((0, 1), correction=0, keepdim=True), *torch.var_mean(x, 1),
                          *torch.std_mean(x, (0, 2), correction=2), x.var(unbiased=False)), lambda: (r(3, 4, 5),)),
    "cumulative": (lambda x: (x.cumsum(1), x.cumsum(-1, dtype=torch.float64), x.cumprod(0)), lambda: (r(3, 4),)),
    "scalars": (lambda x: (x.sum(), x.sum().sum(0), x[0, 0].softmax(0), x[0, 0] + 1, x[0, 0].clamp(0, 1)), lambda: (r(3, 4),)),
    # Creation
    "creation": (lambda x: (torch.zeros_like(x) + x, x.new_ones(3), torch.full((2, 3), 7), torch.arange(5), torch.eye(3),
                            torch.linspace(0, 1, 5) + x[0, 0], torch.empty_like(x).fill_(2), torch.tensor([1.0, 2.0]) * x[0, 0],
                            *torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")), lambda: (r(3, 4),)),
    "grids of inputs": (lambda x, y: (*torch.meshgrid(x, y, indexing="ij"), *torch.meshgrid(x, y, indexing="xy"),
                                      *torch.broadcast_tensors(x[:, None], y)), lambda: (r(3), r(4))),
    # Images
    "resize": (lambda x: (
        F.interpolate(x, (18, 5)), F.interpolate(x, scale_factor=2), F.interpolate(x, scale_factor=1.7, mode="bilinear"),
        F.interpolate(x, (5, 11), mode="bilinear"), F.interpolate(x, (5, 11), mode="bilinear", align_corners=True),
        F.interpolate(x, (18, 15), mode="bicubic"), F.interpolate(x, (5, 5), mode="nearest-exact")), lambda: (r(*IMAGE),)),
    "resize by recomputed scales": (lambda x: F.interpolate(
        x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True), lambda: (r(*IMAGE),)),
    "resize with a filter": (lambda x: (F.interpolate(x, (5, 4), mode="bilinear", antialias=True), F.interpolate(
        x, (5, 4), mode="bicubic", antialias=True)), lambda: (r(*IMAGE),)),
    "resize other ranks": (lambda x: (F.interpolate(x, 11, mode="linear"), F.interpolate(x[:, :, :, None, None], (8, 3, 2)),
                                      F.interpolate(x[:, :, :, None, None], (8, 3, 2), mode="trilinear")), lambda: (r(2, 3, 5),)),
    "grid_sample": (lambda x, g: (F.grid_sample(x, g, align_corners=False), F.grid_sample(
        x, g, mode="nearest", padding_mode="border", align_corners=True)), lambda: (r(*IMAGE), torch.rand(2, 3, 5, 2) * 2 - 1)),
}

MODULES = {
    "lstm": (lambda: nn.LSTM(5, 6, num_layers=2, bidirectional=True, batch_first=True), lambda: (r(2, 7, 5),)),
    "lstm without bias": (lambda: nn.LSTM(5, 6, bias=False), lambda: (r(7, 2, 5),)),
    "gru": (lambda: nn.GRU(5, 6, num_layers=2, bidirectional=True), lambda: (r(7, 2, 5), r(4, 2, 6))),
    "rnn": (lambda: nn.RNN(5, 6, nonlinearity="relu"), lambda: (r(7, 2, 5),)),
    "multi-head attention": (lambda: nn.MultiheadAttention(8, 2, batch_first=True), lambda: (r(2, 5, 8),) * 3),
    "encoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(
        8, 2, 16, activation="gelu", batch_first=True, norm_first=True), 2, enable_nested_tensor=False), lambda: (r(2, 5, 8),)),
    "encoder, norm last": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
                           lambda: (r(2, 5, 8),)),
    "decoder": (lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 1),
                lambda: (r(2, 5, 8), r(2, 4, 8))),
}


def agree(run, expected, *inputs):
    found = torch.utils._pytree.tree_leaves(run(*inputs))
    expected = torch.utils._pytree.tree_leaves(expected)
    assert [tensor.dtype for tensor in found] == [tensor.dtype for tensor in expected]
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        half = b.dtype in (torch.float16, torch.bfloat16)
        torch.testing.assert_close(
            a, b, rtol=1e-2 if half else 1e-4, atol=1e-2 if half else 2e-5, equal_nan=True,
            msg=lambda text, index=index: f"result {index}: {text}")


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


@pytest.mark.parametrize("lowered", [False, True], ids=["exported", "core"])
@pytest.mark.parametrize("name", [*CASES, *MODULES])
@torch.no_grad()
def test_agrees(name, lowered):
    torch.manual_seed(20261122)
    if name in CASES:
        function, inputs = CASES[name]
        module = Function(function)
    else:
        make, inputs = MODULES[name]
        module = make().eval()
    inputs = inputs()
    program = torch.export.export(module, inputs)
    expected = module(*[value.clone() for value in inputs])
    if lowered:
        program = program.run_decompositions()
    agree(tenon.torch.compile(program), expected, *inputs)
    # Nothing of the fusion is in the values.
    agree(tenon.torch.compile(program, optimize=False), expected, *inputs)
