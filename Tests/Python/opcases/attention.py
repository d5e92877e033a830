"""Attention, from its formula."""

import itertools

import numpy as np

from .base import case, f16, f32, f64, bf16, rand, wide


def attention(q, k, v, mask=None, lengths=None, *, scale=None, causal=None, softcap=0.0, left=-1, right=-1, mask_value=-np.inf,
              hidden="zero"):
    """Of [batch, head, token, size]."""
    group, (b, h, s, d), t = q.shape[1] // k.shape[1], q.shape, k.shape[2]
    k, v = np.repeat(wide(k), group, 1), np.repeat(wide(v), group, 1)
    x = np.einsum("bhsd,bhtd->bhst", wide(q), k) * (1 / np.sqrt(d) if scale is None else scale)
    if softcap:
        x = softcap * np.tanh(x / softcap)
    if mask is not None:
        x = np.where(mask, x, mask_value) if mask.dtype == bool else x + wide(mask)
    lengths = np.full(b, t) if lengths is None else lengths
    j = np.arange(t)[None, None, None]
    past = {None: 0, "TopLeft": 0, "BottomRight": t - s, "Lengths": (lengths - s)[:, None, None, None]}[causal]
    own = np.arange(s)[None, None, :, None] + past
    seen = j < lengths[:, None, None, None]
    if causal:
        x = np.where(j <= own, x, mask_value)
    if left >= 0:
        seen = seen & (j >= own - left)
    if right >= 0:
        seen = seen & (j <= own + right)
    x = np.where(seen, x, -np.inf)
    most = x.max(-1, keepdims=True)
    none = most == -np.inf
    e = np.exp(x - np.where(none, 0, most))
    total = e.sum(-1, keepdims=True)
    p = np.where(none, 0 if hidden == "zero" else np.nan, e / np.where(none, 1, total))
    # What no query weighs counts for nothing.
    return np.einsum("bhst,bhtd->bhsd", p, v)


def linear_attention(q, k, v, state, decay=None, beta=None, *, heads, scale=None):
    """Token after token, of [batch, token, head * size]."""
    (b, t, _), (_, g, d, e) = q.shape, state.shape
    group = heads // g
    q, k, v = wide(q).reshape(b, t, heads, d), wide(k).reshape(b, t, g, d), wide(v).reshape(b, t, g, e)
    state, result = wide(state).copy(), np.zeros((b, t, heads, e))
    for i in range(t):
        written = v[:, i]
        if decay is not None:
            state = state * np.exp(wide(decay)[:, i].reshape(b, g, -1))[..., None]
        if beta is not None:
            written = wide(beta)[:, i].reshape(b, -1, 1) * (written - np.einsum("bgde,bgd->bge", state, k[:, i]))
        state = state + k[:, i, :, :, None] * written[:, :, None]
        result[:, i] = np.einsum("bhde,bhd->bhe", np.repeat(state, group, 1), q[:, i]) * (1 / np.sqrt(d) if scale is None else scale)
    return result.reshape(b, t, heads * e), state


def linear_cases():
    for label, dtype, (b, t, heads, g, d, e), decays, betas, scale in [
        ("plain", f32, (2, 5, 2, 2, 4, 3), None, None, None), ("scaled", f32, (1, 3, 2, 1, 4, 4), None, None, 0.3),
        ("decay", f32, (2, 5, 4, 2, 4, 6), "heads", None, None), ("decay-wide", f32, (2, 5, 4, 2, 4, 6), "keys", None, None),
        ("delta", f32, (2, 6, 4, 2, 5, 7), "keys", "heads", None), ("delta-one", f32, (1, 6, 3, 3, 8, 8), "heads", "one", 2.0),
        ("token", f32, (3, 1, 2, 1, 4, 4), "heads", "heads", None), ("none", f32, (2, 0, 2, 1, 4, 4), "heads", "one", None),
        ("long", f32, (2, 70, 4, 4, 32, 48), "keys", "heads", None), ("f64", f64, (2, 5, 4, 2, 4, 6), "keys", "heads", None),
        ("f16", f16, (2, 5, 4, 2, 4, 6), "keys", "heads", None), ("bf16", bf16, (2, 5, 4, 2, 4, 6), "heads", "one", None),
    ]:
        name = "linear-" + label
        kept = f64 if dtype == f64 else f32
        args = [rand(name + n, (b, t, width), dtype, -1, 1) for n, width in [("q", heads * d), ("k", g * d), ("v", g * e)]]
        args.append(rand(name + "s", (b, g, d, e), kept, -1, 1))
        if decays:
            args.append(rand(name + "d", (b, t, g if decays == "heads" else g * d), dtype, -1, 0))
        if betas:
            args.append(rand(name + "b", (b, t, g if betas == "heads" else 1), dtype, 0, 0.5))
        result, state = linear_attention(*args, heads=heads, scale=scale)
        attrs = {"query_heads": heads} | ({"scale": scale} if scale else {})
        yield case("attention-" + name, "nn.linear_attention", args, [result.astype(dtype), state.astype(kept)], attrs, scale=4)


def made(name, sizes, dtype=f32, layouts=("bhtd",) * 4, mask=None, lengths=None, **options):
    b, h, g, s, t, d, e = sizes
    q, k, v = (rand(name + n, shape, dtype, -1, 1) for n, shape in
               [("q", (b, h, s, d)), ("k", (b, g, t, d)), ("v", (b, g, t, e))])
    out = attention(q, k, v, mask, lengths, **options).astype(dtype)
    turned = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)) if layout == "bthd" else x
              for x, layout in zip([q, k, v, out], layouts)]
    attrs = dict(zip(["query_layout", "key_layout", "value_layout", "out_layout"], layouts))
    for key, name_ in [("scale", "scale"), ("causal", "causal_mask"), ("softcap", "softcap"), ("left", "left_window"),
                       ("right", "right_window"), ("mask_value", "mask_value"), ("hidden", "hidden_value")]:
        if options.get(key) is not None:
            attrs[name_] = options[key]
    args = turned[:3]
    if mask is not None:
        args.append(mask)
    if lengths is not None:
        args = args + ([np.ones(1, bool)] if mask is None else []) + [lengths]
    return case(f"attention-{name}", "nn.attention", args, turned[3], attrs, scale=2)


def cases():
    found = [made(f"sizes-{n}", sizes) for n, sizes in enumerate([
        (1, 1, 1, 1, 1, 1, 1), (2, 3, 3, 5, 7, 4, 6), (1, 4, 2, 1, 9, 16, 16), (2, 6, 1, 70, 300, 20, 33), (1, 2, 2, 3, 1, 8, 8),
        (1, 2, 2, 60, 257, 64, 64), (0, 2, 2, 3, 4, 8, 8), (1, 2, 2, 0, 4, 8, 8)])]
    small = (2, 4, 2, 5, 7, 8, 8)
    b, h, g, s, t, d, e = small
    for layouts in itertools.product(["bhtd", "bthd"], repeat=4):
        found.append(made("layout-" + "-".join(layouts), small, layouts=layouts))
    for causal, softcap in itertools.product([None, "TopLeft", "BottomRight"], [0.0, 0.5]):
        found.append(made(f"{causal}-{softcap}", small, causal=causal, softcap=softcap, scale=0.7))
    found.append(made("hidden-zero", (1, 2, 2, 7, 3, 8, 8), causal="BottomRight"))
    found.append(made("hidden-nan", (1, 2, 2, 7, 3, 8, 8), causal="BottomRight", hidden="nan"))
    for shape in [(), (1,), (t,), (s, 1), (s, t), (h, s, t), (1, s, t), (b, 1, s, t), (b, h, s, t), (b, 1, 1, t), (1, h, 1, 1)]:
        label = "x".join(map(str, shape)) or "scalar"
        added = rand(f"mask{label}", shape, f32, -2, 2)
        found.append(made(f"added-{label}", small, mask=added))
        if shape:
            holes = np.where(rand(f"holes{label}", shape, np.bool_), added, -np.inf).astype(f32)
            found.append(made(f"infinite-{label}", small, mask=holes))
            lowest = np.where(rand(f"holes{label}", shape, np.bool_), added, np.finfo(f32).min).astype(f32)
            found.append(made(f"finite-{label}", small, mask=lowest))
        allowed = rand(f"allowed{label}", shape, np.bool_)
        found.append(made(f"allowed-{label}", small, mask=allowed, hidden="nan"))
        found.append(made(f"valued-{label}", small, mask=allowed, mask_value=-3.0))
    for lengths in [[7, 3], [0, 1], [5, 7]]:
        n = np.array(lengths, np.int64)
        found.append(made(f"lengths-{lengths}".replace(" ", ""), small, lengths=n))
        found.append(made(f"lengths-causal-{lengths}".replace(" ", ""), small, lengths=n, causal="Lengths"))
        found.append(made(f"lengths-mask-{lengths}".replace(" ", ""), small, lengths=n, mask=rand("m", (s, t), f32)))
    for left, right in [(0, -1), (2, -1), (-1, 1), (1, 1)]:
        found.append(made(f"window-{left}-{right}", small, left=left, right=right))
        found.append(made(f"window-causal-{left}-{right}", small, left=left, right=right, causal="BottomRight"))
    found.append(made("causal-value", small, causal="TopLeft", mask_value=-2.0))
    found.append(made("causal-value-past", (1, 2, 2, 60, 300, 8, 8), causal="BottomRight", mask_value=-2.0))
    for dtype in [f64, f16, bf16]:
        found.append(made(f"type-{dtype.name}", small, dtype, causal="TopLeft"))
        found.append(made(f"type-mask-{dtype.name}", small, dtype, mask=rand("m", (s, t), dtype), softcap=2.0))
    return found + list(linear_cases())
