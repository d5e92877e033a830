"""Scaled dot-product attention, as products and a softmax."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...errors import UnsupportedError
from .._graph import Graph, Tensor
from .._sizes import known
from . import converter


def attention(
    g: Graph, query: Tensor, key: Tensor, value: Tensor, mask: Any, p: float, causal: bool, scale: Any,
    grouped: Any = False,
) -> Any:
    """softmax(query keyᵀ scale + mask) value over the last two dimensions."""
    if p > 0:
        raise UnsupportedError("attention with dropout draws random numbers; call eval() on the module first")
    dtype, rank = query.dtype, query.rank
    if rank == 4 == key.rank == value.rank and dtype == torch.float32:
        return _single(g, query, key, value, mask, causal, scale)
    keys, values = key.value, value.value
    if grouped and rank >= 3:
        keys, values = _repeated(g, query, key), _repeated(g, query, value)
    axes = [*range(rank - 2), rank - 1, rank - 2]
    scores = g.call("matmul", query, g.call("permute_dims", keys, axes=axes))
    if scale is None:
        scale = 1 / math.sqrt(query.size(-1, "the scale of attention"))
    scores = g.scaled(scores, scale, dtype)
    if causal:
        rows, columns = query.size(-2, "a causal mask"), key.size(-2, "a causal mask")
        masked = torch.full((rows, columns), -math.inf, dtype=dtype).triu(1)
        scores = g.call("add", scores, g.constant(masked))
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = g.call("where", mask, scores, g.scalar(-math.inf, dtype))
        else:
            scores = g.call("add", scores, g.as_type(mask, dtype))
    result = g.call("matmul", g.call("nn.softmax", scores, axis=-1), values)
    if mask is None:
        return result
    # A query that may look at no key gets zeros.
    if mask.dtype == torch.bool:
        looks = g.call("any", mask, axis=[-1], keepdims=True)
    else:
        most = g.call("max", mask, axis=[-1], keepdims=True)
        looks = g.call("not_equal", most, g.scalar(-math.inf, mask.dtype))
    return g.call("where", looks, result, g.scalar(0.0, dtype))


def _single(g: Graph, query: Tensor, key: Tensor, value: Tensor, mask: Any, causal: bool, scale: Any) -> Any:
    """One operator, whose rows without any key give 0, as PyTorch's do."""
    layout: dict[str, Any] = dict.fromkeys(["query_layout", "key_layout", "value_layout", "out_layout"], "bhtd")
    if scale is not None:
        layout["scale"] = float(scale)
    if causal:
        layout["causal_mask"] = "TopLeft"
    masks = [] if mask is None else [mask if mask.dtype == torch.bool else g.as_type(mask, query.dtype)]
    return g.call("nn.attention", query, key, value, *masks, **layout)


def _repeated(g: Graph, query: Tensor, operand: Tensor) -> Any:
    """Heads of keys and values, each as often as query heads share it."""
    heads, own = known(query.shape[-3]), known(operand.shape[-3])
    if heads is None or own is None:
        raise UnsupportedError("grouped attention needs known numbers of heads")
    if heads == own:
        return operand.value
    return g.call("repeat", operand, repeats=heads // own, axis=operand.rank - 3)


@converter("scaled_dot_product_attention")
def scaled_dot_product_attention(
    g: Graph, query: Any, key: Any, value: Any, attn_mask: Any, dropout_p: Any, is_causal: Any, scale: Any, enable_gqa: Any,
) -> Any:
    return attention(g, query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)


@converter("_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(
    g: Graph, query: Any, key: Any, value: Any, dropout_p: Any, is_causal: Any, attn_mask: Any, scale: Any,
) -> Any:
    return [attention(g, query, key, value, attn_mask, dropout_p, is_causal, scale), None]
