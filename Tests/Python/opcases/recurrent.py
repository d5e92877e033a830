"""Recurrent layers, written out from ONNX's formulas."""

import itertools

import numpy as np

from .base import case, f32, f64, rand

FUNCTIONS = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


def steps(x, reverse):
    return reversed(range(len(x))) if reverse else range(len(x))


def lstm(x, w, r, b, h, c, p, functions, reverse, clip, input_forget):
    f, g, o_ = (FUNCTIONS[name] for name in functions)
    n = h.shape[1]
    cut = lambda v: np.clip(v, -clip, clip) if clip else v
    y = np.zeros((len(x), *h.shape))
    for t in steps(x, reverse):
        i, o, forget, new = np.split(x[t] @ w.T + h @ r.T + b[:4 * n] + b[4 * n:], 4, axis=1)
        i = f(cut(i + p[:n] * c))
        forget = 1 - i if input_forget else f(cut(forget + p[2 * n:] * c))
        c = forget * c + i * g(cut(new))
        h = f(cut(o + p[n:2 * n] * c)) * o_(c)
        y[t] = h
    return y, h, c


def gru(x, w, r, b, h, functions, reverse, clip, linear):
    f, g = (FUNCTIONS[name] for name in functions)
    n = h.shape[1]
    cut = lambda v: np.clip(v, -clip, clip) if clip else v
    y = np.zeros((len(x), *h.shape))
    wb, rb = b[:3 * n], b[3 * n:]
    for t in steps(x, reverse):
        gates = x[t] @ w.T + wb
        z = f(cut(gates[:, :n] + h @ r[:n].T + rb[:n]))
        reset = f(cut(gates[:, n:2 * n] + h @ r[n:2 * n].T + rb[n:2 * n]))
        if linear:
            state = reset * (h @ r[2 * n:].T + rb[2 * n:])
        else:
            state = (reset * h) @ r[2 * n:].T + rb[2 * n:]
        h = (1 - z) * g(cut(gates[:, 2 * n:] + state)) + z * h
        y[t] = h
    return y, h


def rnn(x, w, r, b, h, functions, reverse, clip):
    n = h.shape[1]
    y = np.zeros((len(x), *h.shape))
    for t in steps(x, reverse):
        v = x[t] @ w.T + h @ r.T + b[:n] + b[n:]
        h = FUNCTIONS[functions[0]](np.clip(v, -clip, clip) if clip else v)
        y[t] = h
    return y, h


def cases():
    found = []

    def add(name, op, gates, functions, direction="forward", sizes=(4, 2, 3, 5), dtype=f32, clip=None, **extra):
        count, batch, inputs, hidden = sizes
        d = 2 if direction == "bidirectional" else 1
        shapes = [(count, batch, inputs), (d, gates * hidden, inputs), (d, gates * hidden, hidden), (d, 2 * gates * hidden)]
        shapes += [(d, batch, hidden)] * (2 if gates == 4 else 1) + ([(d, 3 * hidden)] if gates == 4 else [])
        args = [rand(f"{name}{i}", shape, dtype, -0.8, 0.8) for i, shape in enumerate(shapes)]
        wide = [a.astype(np.float64) for a in args]
        per = len(functions) // d if len(functions) % d == 0 and len(functions) > {4: 3, 3: 2, 1: 1}[gates] else len(functions)
        results = []
        for k in range(d):
            names = functions[k * per:(k + 1) * per] or functions
            reverse = direction == "reverse" or k == 1
            own = [wide[0]] + [a[k] for a in wide[1:]]
            if gates == 4:
                results.append(lstm(*own, names, reverse, clip, extra.get("input_forget", False)))
            elif gates == 3:
                results.append(gru(*own, names, reverse, clip, extra.get("linear_before_reset", False)))
            else:
                results.append(rnn(*own, names, reverse, clip))
        y = np.stack([r[0] for r in results], axis=1).astype(dtype)
        states = [np.stack([r[i] for r in results]).astype(dtype) for i in range(1, len(results[0]))]
        attrs = {"direction": direction, "activations": list(functions), **extra}
        if clip:
            attrs["clip"] = float(clip)
        found.append(case(f"{op}-{name}", op, args, [y, *states], attrs, scale=4))

    usual = {"nn.lstm": (4, ["sigmoid", "tanh", "tanh"]), "nn.gru": (3, ["sigmoid", "tanh"]), "nn.rnn": (1, ["tanh"])}
    for (op, (gates, functions)), direction in itertools.product(usual.items(), ["forward", "reverse", "bidirectional"]):
        add(direction, op, gates, functions, direction)
        add(f"{direction}-f64", op, gates, functions, direction, dtype=f64)
    for op, (gates, functions) in usual.items():
        add("one", op, gates, functions, sizes=(1, 1, 1, 1))
        add("wide", op, gates, functions, sizes=(3, 2, 17, 33))
        add("clip", op, gates, functions, clip=0.4)
        add("relu", op, gates, ["relu"] * len(functions))
        add("empty", op, gates, functions, sizes=(3, 0, 2, 2))
        add("each", op, gates, ["relu"] + functions[1:] + functions, "bidirectional")
    add("input_forget", "nn.lstm", 4, usual["nn.lstm"][1], input_forget=True)
    for direction in ("forward", "bidirectional"):
        add(f"linear-{direction}", "nn.gru", 3, usual["nn.gru"][1], direction, linear_before_reset=True)
    return found
