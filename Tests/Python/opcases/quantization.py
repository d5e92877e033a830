"""Small integers that stand for real numbers."""

import ml_dtypes
import numpy as np

from .base import bf16, case, f16, f32, f64, rand

RANGE = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def spread(p, shape, axis, block):
    p = np.asarray(p)
    if p.size == 1:
        return p.reshape(())
    if block:
        return np.take(np.repeat(p, block, axis), range(shape[axis]), axis)
    return p.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])


def parameters(name, shape, axis, block, dtype):
    if axis is None:
        form = ()
    elif block:
        form = tuple(-(-d // block) if i == axis % len(shape) else d for i, d in enumerate(shape))
    else:
        form = (shape[axis],)
    low, high = RANGE[np.dtype(dtype).name]
    return rand(name + "s", form, f32, 0.1, 2), rand(name + "z", form, dtype, low // 3, high // 3)


def quantized(x, scale, zero, dtype):
    low, high = RANGE[np.dtype(dtype).name]
    q = np.rint((x.astype(f32) / scale.astype(f32)).astype(f32)).astype(f64) + zero
    return np.clip(q, low, high).astype(dtype)


SMALL = {
    "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3), "float8_e4m3fn": 448, "float8_e4m3fnuz": 240,
    "float8_e5m2": 57344, "float8_e5m2fnuz": 57344, "float4_e2m1fn": 6}


def small_cases():
    """Types of less than 8 bits and floats of 8 bits: ml_dtypes' conversions, which do not saturate save where nothing else is there."""
    for kind, bounds in SMALL.items():
        dtype = np.dtype(getattr(ml_dtypes, kind))
        for axis, block in [(None, 0), (1, 0), (-1, 4)]:
            name = f"quantize_{kind}_{axis}_{block}"
            x = rand(name, (3, 4, 9), f32, -20, 20)
            form = () if axis is None else (4,) if not block else (3, 4, 3)
            scale = rand(name + "s", form, f32, 0.1, 2)
            attrs = {"axis": -1 if axis is None else axis, "block": block}
            s = spread(scale, x.shape, axis or 0, block)
            if isinstance(bounds, tuple):
                low, high = bounds
                zero = rand(name + "z", form, np.int32, low, high)
                z = spread(zero, x.shape, axis or 0, block)
                q = np.clip(np.rint(x / s) + z, low, high).astype(dtype)
                y = (q.astype(np.int32) - z).astype(f32) * s
                zero = zero.astype(dtype)
                saturating = [(q, {})]
            else:
                x.flat[:6] = [np.inf, -np.inf, -0.0, np.nan, 1e9, 1e-6]
                zero = np.zeros(form, dtype)
                exact = (x / s).astype(dtype)
                q = np.where(np.isnan(x), x, np.clip(x / s, -bounds, bounds)).astype(dtype)
                y = exact.astype(f32) * s
                saturating = [(q, {}), (exact, {"saturate": False})]
                q = exact
            for expected, more in saturating:
                found = attrs | more | {"out_dtype": dtype}
                yield case(name + ("_open" if more else ""), "quantize", [x, scale, zero], expected, found)
            yield case("de" + name, "dequantize", [q, scale, zero], y, attrs)
            if axis is None:
                half = (y.astype(f64)).astype(f16)
                yield case(f"de{name}_f16", "dequantize", [q, scale, zero], half, attrs | {"out_dtype": f16})
    # Scales that are powers of two, one for each block.
    x, scale = rand("mx", (3, 8), f32, -9, 9), np.array([[0.5, 2], [1, 0.25], [4, 8]], ml_dtypes.float8_e8m0fnu)
    zero = np.zeros((3, 2), ml_dtypes.float4_e2m1fn)
    wide = np.repeat(scale.astype(f32), 4, 1)
    q = (x / wide).astype(ml_dtypes.float4_e2m1fn)
    attrs = {"axis": 1, "block": 4}
    yield case("quantize_mx", "quantize", [x, scale, zero], q, attrs | {"out_dtype": q.dtype})
    yield case("dequantize_mx", "dequantize", [q, scale, zero], q.astype(f32) * wide, attrs)
    # The quotient is rounded to the precision before it is rounded to an integer.
    for real in [f16, bf16, f64]:
        x, scale = rand("precision", (400,), f32, -120, 120), np.float32(1.07)
        if real == f64:
            quotient = x.astype(f64) / f64.type(scale)
        else:
            quotient = (x.astype(real).astype(f32) / scale.astype(real).astype(f32)).astype(real).astype(f32)
        q = np.clip(np.rint(quotient), -128, 127).astype(np.int8)
        attrs = {"out_dtype": np.dtype(np.int8), "precision": real}
        yield case(f"quantize_precision_{real.name}", "quantize", [x, scale, np.int8(0)], q, attrs)


def cases():
    found = list(small_cases())
    places = [(None, 0), (0, 0), (1, 0), (-1, 0), (1, 2), (-1, 4)]
    for dtype in [np.uint8, np.int8, np.uint16, np.int16]:
        kind = np.dtype(dtype).name
        for axis, block in places:
            for real in [f32, f16, bf16, f64] if axis is None else [f32]:
                name = f"quantize_{kind}_{axis}_{block}_{np.dtype(real).name}"
                x = rand(name, (3, 4, 9), real, -60, 60)
                scale, zero = parameters(name, x.shape, axis, block, dtype)
                scale = scale.astype(f32)
                attrs = {"axis": -1 if axis is None else axis, "block": block}
                s, z = (spread(p, x.shape, axis or 0, block) for p in (scale, zero))
                q = quantized(x, s, z, dtype)
                found.append(case(name, "quantize", [x, scale, zero], q, attrs | {"out_dtype": np.dtype(dtype)}))
                if real == f32:
                    y = (q.astype(np.int64) - z.astype(np.int64)).astype(f32) * s
                    found.append(case("de" + name, "dequantize", [q, scale, zero], y, attrs))
    x = np.array([2**31 - 1, -(2**31), 17, -5], np.int32)
    found.append(case("dequantize_i32", "dequantize", [x, np.float32(0.5), np.int32(0)], x.astype(f32) * np.float32(0.5)))
    for a_type in (np.uint8, np.int8):
        for b_type in (np.uint8, np.int8):
            for index, (p, q) in enumerate([((5, 7), (7, 33)), ((2, 3, 16), (16, 8)), ((2, 4, 9), (2, 9, 5)), ((9,), (9, 4)), ((3, 9), (9,))]):
                name = f"matmul_integer_{np.dtype(a_type).name}_{np.dtype(b_type).name}_{index}"
                a, b = rand(name + "a", p, a_type, -200, 255), rand(name + "b", q, b_type, -200, 255)
                za, zb = rand(name + "za", (), a_type, -50, 60), rand(name + "zb", (), b_type, -50, 60)
                left, right = a.astype(np.int64) - int(za), b.astype(np.int64) - int(zb)
                found.append(case(name, "matmul_integer", [a, b, za, zb], (left @ right).astype(np.int32)))
                found.append(case(name + "_plain", "matmul_integer", [a, b], (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)))
                if len(q) == 2:
                    scale, bias = rand(name + "s", q[-1:], f32, 0.01, 0.1), rand(name + "c", q[-1:], f32)
                    y = (left @ right).astype(f32) * (np.float32(0.25) * scale) + bias
                    found.append(case(name + "_real", "quantized_matmul", [a, np.float32(0.25), za, b, scale, zb, bias], y, tol=(1e-6, 1e-5)))
    x = rand("dynamic_quantize", (4, 50), f32, -3, 9)
    scale = (x.max() - x.min()) / np.float32(255)
    zero = np.clip(np.rint(-x.min() / scale), 0, 255)
    found.append(case("dynamic_quantize", "dynamic_quantize", [x], [quantized(x, scale, zero, np.uint8), np.float32(scale), np.uint8(zero)], tol=(0, 0)))
    zeros = np.zeros((2, 3), f32)
    found.append(case("dynamic_quantize_zeros", "dynamic_quantize", [zeros], [np.zeros((2, 3), np.uint8), np.float32(1), np.uint8(0)]))
    return found
