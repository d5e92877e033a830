"""Unary and binary arithmetic, and activations."""

import math

import numpy as np

from .base import FLOATS, INTS, case, f16, f32, f64, bf16, rand, wide

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 88.0, -88.0, 100.0, -105.0, 0.5, -0.5],
                   dtype=f32)
erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


#: name, reference, range of inputs, attributes
UNARY = [
    ("exp", np.exp, (-20, 20), {}), ("log", np.log, (1e-3, 50), {}), ("sqrt", np.sqrt, (0, 50), {}),
    ("rsqrt", lambda x: 1 / np.sqrt(x), (1e-2, 50), {}), ("erf", erf, (-5, 5), {}), ("sigmoid", sigmoid, (-20, 20), {}),
    ("tanh", np.tanh, (-6, 6), {}), ("reciprocal", lambda x: 1 / x, (0.1, 9), {}), ("log1p", np.log1p, (-0.5, 9), {}),
    ("sin", np.sin, (-9, 9), {}), ("cos", np.cos, (-9, 9), {}), ("tan", np.tan, (-1, 1), {}),
    ("asin", np.arcsin, (-1, 1), {}), ("acos", np.arccos, (-1, 1), {}), ("atan", np.arctan, (-9, 9), {}),
    ("sinh", np.sinh, (-5, 5), {}), ("cosh", np.cosh, (-5, 5), {}), ("asinh", np.arcsinh, (-9, 9), {}),
    ("acosh", np.arccosh, (1, 9), {}), ("atanh", np.arctanh, (-0.9, 0.9), {}),
    ("nn.relu", lambda x: np.maximum(x, 0), (-3, 3), {}), ("nn.relu6", lambda x: np.clip(x, 0, 6), (-3, 9), {}),
    ("negative", np.negative, (-3, 3), {}), ("abs", np.abs, (-3, 3), {}), ("sign", np.sign, (-3, 3), {}),
    ("square", np.square, (-3, 3), {}), ("floor", np.floor, (-3, 3), {}), ("ceil", np.ceil, (-3, 3), {}),
    ("round", np.rint, (-3, 3), {}), ("trunc", np.trunc, (-3, 3), {}),
    ("nn.gelu", lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))), (-5, 5), {}),
    ("nn.gelu_tanh", lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), (-5, 5), {}),
    ("nn.silu", lambda x: x * sigmoid(x), (-9, 9), {}), ("nn.mish", lambda x: x * np.tanh(softplus(x)), (-9, 9), {}),
    ("nn.softsign", lambda x: x / (1 + np.abs(x)), (-9, 9), {}),
    ("nn.hard_swish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1), (-5, 5), {}),
    ("nn.hard_sigmoid", lambda x: np.clip(0.3 * x + 0.4, 0, 1), (-5, 5), {"alpha": 0.3, "beta": 0.4}),
    ("nn.leakyrelu", lambda x: np.where(x < 0, 0.1 * x, x), (-5, 5), {"alpha": 0.1}),
    ("nn.elu", lambda x: elu(x, 0.7), (-5, 5), {"alpha": 0.7}),
    ("nn.selu", lambda x: 1.5 * elu(x, 2.0), (-5, 5), {"alpha": 2.0, "gamma": 1.5}),
    ("nn.celu", lambda x: np.maximum(x, 0) + np.minimum(2 * np.expm1(x / 2), 0), (-5, 5), {"alpha": 2.0}),
    ("nn.softplus", lambda x: np.where(2 * x > 10, x, softplus(2 * x) / 2), (-30, 30), {"beta": 2.0, "threshold": 10.0}),
    ("nn.thresholded_relu", lambda x: np.where(x > 1.5, x, 0), (-5, 5), {"alpha": 1.5}),
    ("nn.shrink", lambda x: np.where(x < -1, x + 0.25, np.where(x > 1, x - 0.25, 0)), (-5, 5),
     {"lambd": 1.0, "bias": 0.25}),
]
INTEGER_UNARY = {"nn.relu", "nn.relu6", "negative", "abs", "sign", "square", "floor", "ceil", "round", "trunc"}
#: Values at which NaN, infinities, overflow and signed zero must come out as in NumPy.
SPECIAL_UNARY = ["exp", "log", "sqrt", "erf", "sigmoid", "tanh", "nn.relu", "abs", "negative", "floor", "nn.silu", "nn.elu",
                 "nn.leakyrelu", "nn.softplus", "sign"]


def unary():
    found = []
    for op, reference, (low, high), attrs in UNARY:
        for dtype in FLOATS:
            name = f"{op}-{dtype.name}"
            x = rand(name, (3, 7), dtype, low, high)
            found.append(case(name, op, [x], reference(wide(x)).astype(dtype), attrs))
        for shape in [(), (1,), (0, 3), (1, 2, 1, 3, 1, 2)]:
            name = f"{op}-{'x'.join(map(str, shape)) or 'scalar'}"
            x = rand(name, shape, f32, low, high)
            found.append(case(name, op, [x], np.asarray(reference(wide(x))).astype(f32), attrs))
        if op in INTEGER_UNARY:
            for dtype in INTS:
                x = rand(op + dtype.name, (11,), dtype, -20, 20)
                with np.errstate(over="ignore"):
                    y = np.asarray(reference(x)).astype(dtype)
                found.append(case(f"{op}-{dtype.name}", op, [x], y, attrs))
        if op in SPECIAL_UNARY:
            with np.errstate(all="ignore"):
                y = reference(wide(SPECIAL))
                if op == "nn.silu":
                    y[np.isneginf(SPECIAL)] = np.nan
            found.append(case(f"{op}-special", op, [SPECIAL], y.astype(f32), attrs))
    # Long enough for several vectors and a rest.
    for op, reference, (low, high), attrs in UNARY[:9]:
        x = np.linspace(low, high, 133).astype(f32)
        found.append(case(f"{op}-long", op, [x], reference(wide(x)).astype(f32), attrs))
    for low, high in [(-1, 1), (0, 6), (-math.inf, 0.5), (2, 1)]:
        x = rand("clip", (5, 3))
        found.append(case(f"clip-{low}-{high}", "clip", [x, low, high], np.minimum(np.maximum(x, f32.type(low)), f32.type(high))))
    x = np.array([np.nan, -5, 5], dtype=f32)
    found.append(case("clip-nan", "clip", [x, -1.0, 1.0], np.array([np.nan, -1, 1], f32)))
    for dtype in [np.int8, np.uint8, np.int64]:
        x = rand("clip", (9,), dtype, -9, 9)
        found.append(case(f"clip-{np.dtype(dtype).name}", "clip", [x, 1, 4], np.clip(x, 1, 4)))
    return found


def c_divide(a, b):
    return np.trunc(a.astype(np.float64) / b.astype(np.float64)).astype(a.dtype)


BINARY = [
    ("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply), ("divide", np.divide),
    ("minimum", np.minimum), ("maximum", np.maximum), ("floor_divide", np.floor_divide), ("mod", np.fmod),
    ("floor_mod", np.mod), ("power", np.power), ("atan2", np.arctan2),
]
SHAPES = [((), ()), ((3, 5), ()), ((), (3, 5)), ((3, 5), (5,)), ((3, 5), (3, 1)), ((3, 1), (1, 5)), ((1, 5), (3, 1)),
          ((5,), (2, 3, 5)), ((2, 3, 4, 5), (3, 1, 1)), ((3, 1, 1), (2, 3, 4, 5)), ((0, 3), (3,)), ((1,), (0,)),
          ((2, 1, 3, 1, 2), (4, 1, 2, 2)), ((1, 1, 1), (1,)), ((17, 3), (17, 3)), ((2, 1, 2, 1, 2, 1), (1, 3, 1, 3, 1, 3))]


def binary():
    found = []
    for op, reference in BINARY:
        for p, q in SHAPES:
            name = f"{op}-{p}-{q}".replace(" ", "")
            a, b = rand(name + "a", p), rand(name + "b", q)
            if op == "power":
                a = np.abs(a) + f32.type(0.1)
            if op in ("floor_divide", "mod", "floor_mod"):
                b = np.sign(b) * (np.abs(b) + f32.type(0.5))
            y = np.asarray(reference(a, b) if op in ("floor_divide", "mod", "floor_mod")
                           else reference(wide(a), wide(b)), dtype=f32)
            found.append(case(name, op, [a, b], y, scale=4))
        for dtype in FLOATS[1:]:
            a, b = rand(op + "a", (4, 3), dtype, 0.5, 4), rand(op + "b", (4, 3), dtype, 0.5, 4)
            if op in ("floor_divide", "mod", "floor_mod"):
                b = np.full_like(b, 0.75)
            found.append(case(f"{op}-{dtype.name}", op, [a, b], reference(wide(a), wide(b)).astype(dtype), scale=2))
        if op == "atan2":
            continue
        for dtype in INTS:
            a, b = rand(op + "ia", (13,), dtype, -9, 9), rand(op + "ib", (13,), dtype, 1, 3)
            if op in ("divide", "mod", "floor_divide", "floor_mod") and dtype.kind == "i":
                b[::2] *= -1
            with np.errstate(over="ignore"):
                y = c_divide(a, b) if op == "divide" else reference(a, b)
            found.append(case(f"{op}-{dtype.name}", op, [a, b], y.astype(dtype)))
    with np.errstate(over="ignore"):
        a = np.array([127, -128, -128], np.int8)
        b = np.array([1, 1, -1], np.int8)
        found.append(case("add-wraps", "add", [a, b], a + b))
        found.append(case("multiply-wraps", "multiply", [a, b], a * b))
    found.append(case("divide-least-by-minus-one", "divide", [np.array([-128], np.int8), np.array([-1], np.int8)],
                      np.array([-128], np.int8)))
    found.append(case("divide-by-zero", "divide", [np.array([1, -1, 0], f32), np.array([0, 0, 0], f32)],
                      np.array([np.inf, -np.inf, np.nan], f32)))
    nan = np.array([np.nan, 1, np.nan], f32)
    other = np.array([1, np.nan, np.nan], f32)
    found.append(case("maximum-nan", "maximum", [nan, other], np.full(3, np.nan, f32)))
    found.append(case("minimum-nan", "minimum", [nan, other], np.full(3, np.nan, f32)))
    a = rand("power-mixed", (5,), f32, 0.5, 2)
    found.append(case("power-f32-i64", "power", [a, np.array([2], np.int64)], a * a))
    found.append(case("power-i32-f32", "power", [np.array([2, 3, 4], np.int32), np.array([2, 1, 0.5], f32)],
                      np.array([4, 3, 2], np.int32)))
    return found


def prelu():
    found = []
    for shape, slope in [((2, 3, 4), (3, 1)), ((2, 3), (1,)), ((2, 3), (2, 3)), ((2, 3), ())]:
        x, s = rand("prelu", shape), rand("slope", slope, f32, 0, 1)
        found.append(case(f"prelu-{shape}-{slope}".replace(" ", ""), "nn.prelu", [x, s], np.where(x < 0, x * s, x).astype(f32)))
    return found


def cast():
    found = []
    dtypes = FLOATS + INTS + [np.dtype(bool)]
    for source in dtypes:
        for target in dtypes:
            if source == np.bool_:
                x = np.array([True, False, True])
            elif source.kind == "u":
                x = np.array([0, 1, 7, 100, 200], source)
            elif source.kind == "i":
                x = np.array([0, 1, -1, 100, -128], source)
            else:
                x = np.array([0.0, 0.75, 1.5, 100.25, 2.75] + ([-0.75, -1.5] if target.kind != "u" else []), source)
            found.append(case(f"astype-{source.name}-{target.name}", "astype", [x], x.astype(target), {"dtype": target},
                              tol=(0, 0)))
    found.append(case("astype-saturates", "astype", [np.array([1e20, -1e20, np.nan], f32)],
                      np.array([2**31 - 1, -2**31, 0], np.int32), {"dtype": np.dtype(np.int32)}))
    halves = np.array([65504, 65520, 1e-8, 6e-8, 6.1e-5, -1 / 3, np.inf, np.nan], f32)
    with np.errstate(over="ignore"):
        found.append(case("astype-half-range", "astype", [halves], halves.astype(f16), {"dtype": f16}, tol=(0, 0)))
        found.append(case("astype-bfloat16-range", "astype", [halves], halves.astype(bf16), {"dtype": bf16}, tol=(0, 0)))
    return found


def cases():
    return unary() + binary() + prelu() + cast()
