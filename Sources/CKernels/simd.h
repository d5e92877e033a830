// SPDX-License-Identifier: Apache-2.0
//
// Vectors of W floats for kernels that are written once and compiled once per instruction set: W and TARGET are defined by the file
// that includes them. NaN stays NaN in every function.
#include "CKernels.h"

#include <stdint.h>
#include <string.h>

#define TINLINE static inline __attribute__((always_inline))
#define TUNROLL _Pragma("clang loop unroll(full)")

typedef float vf __attribute__((ext_vector_type(W)));
typedef int32_t vi __attribute__((ext_vector_type(W)));
typedef vf vf_unaligned __attribute__((aligned(4), may_alias));

TINLINE vf load(const float *from) { return *(const vf_unaligned *)from; }
TINLINE void store(float *to, vf x) { *(vf_unaligned *)to = x; }

// The first `count` elements, and zeros.
TINLINE vf load_some(const float *from, int64_t count) {
    if (count >= W) return load(from);
    vf x = 0;
    for (int64_t i = 0; i < count; i++) x[i] = from[i];
    return x;
}

TINLINE void store_some(float *to, vf x, int64_t count) {
    if (count >= W) {
        store(to, x);
        return;
    }
    float all[W];
    memcpy(all, &x, sizeof all);
    for (int64_t i = 0; i < count; i++) to[i] = all[i];
}

TINLINE vf all(float x) { return (vf)x; }
TINLINE vf fma_(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
TINLINE vi bits(vf x) { return (vi)x; }
TINLINE vf floats(vi x) { return (vf)x; }
TINLINE vf choose(vi mask, vf yes, vf no) { return floats((mask & bits(yes)) | (~mask & bits(no))); }
// The second operand where one is NaN, as the instructions have it.
TINLINE vf larger(vf a, vf b) { return choose(a > b, a, b); }
TINLINE vf smaller(vf a, vf b) { return choose(a < b, a, b); }
TINLINE vf clamp(vf x, float low, float high) { return larger(all(low), smaller(all(high), x)); }
// NaN if either is.
TINLINE vf maximum(vf a, vf b) { return choose(a != a, a, larger(a, b)); }
TINLINE vf minimum(vf a, vf b) { return choose(a != a, a, smaller(a, b)); }
TINLINE vf magnitude(vf x) { return floats(bits(x) & 0x7fffffff); }

TINLINE float sum_of(vf x) {
    float part[W];
    memcpy(part, &x, sizeof part);
    for (int n = W / 2; n; n /= 2)
        for (int i = 0; i < n; i++) part[i] += part[i + n];
    return part[0];
}

// NaN if there is one.
TINLINE float largest_of(vf x) {
    float part[W];
    memcpy(part, &x, sizeof part);
    float most = part[0];
    for (int i = 1; i < W; i++) most = part[i] > most || part[i] != part[i] ? part[i] : most;
    return most;
}

// e^x: 0 below -104, infinite above 89.
TINLINE vf exponential(vf x) {
    x = clamp(x, -104.0f, 89.0f);
    // Added to a number it leaves the nearest integer in the lowest bits.
    const vf rounder = all(12582912.0f);
    const vf shifted = fma_(x, all(1.44269504088896341f), rounder);
    const vf whole = shifted - rounder;
    // ln 2 in two parts, of which the first has few digits.
    vf f = fma_(whole, all(-0.693145752f), x);
    f = fma_(whole, all(-1.42860677e-6f), f);
    vf p = all(1.9875691e-4f);
    p = fma_(p, f, all(1.3981999e-3f));
    p = fma_(p, f, all(8.3334519e-3f));
    p = fma_(p, f, all(4.1665795e-2f));
    p = fma_(p, f, all(1.6666665e-1f));
    p = fma_(p, f, all(0.5f));
    p = fma_(p * f, f, f) + 1.0f;
    // 2^n in two factors, neither of which leaves the range of normal numbers.
    const vi n = bits(shifted) - 0x4b400000, half = n >> 1;
    return p * floats((half + 127) << 23) * floats((n - half + 127) << 23);
}

// e^x for x up to 0, and 0 where that is not a normal number.
TINLINE vf exponential_below_zero(vf x) {
    const vf rounder = all(12582912.0f), t = larger(all(-87.0f), x);
    const vf shifted = fma_(t, all(1.44269504088896341f), rounder);
    const vf whole = shifted - rounder;
    vf f = fma_(whole, all(-0.693145752f), t);
    f = fma_(whole, all(-1.42860677e-6f), f);
    vf p = all(1.3981999e-3f);
    p = fma_(p, f, all(8.3334519e-3f));
    p = fma_(p, f, all(4.1665795e-2f));
    p = fma_(p, f, all(1.6666665e-1f));
    p = fma_(p, f, all(0.5f));
    p = fma_(p * f, f, f) + 1.0f;
    p *= floats((bits(shifted) - 0x4b400000 + 127) << 23);
    return choose(x < -87.0f, all(0.0f), p);
}

TINLINE vf logistic(vf x) { return 1.0f / (1.0f + exponential(-x)); }

// Quotients of polynomials in x², so that small numbers keep all their digits.
TINLINE vf hyperbolic_tangent(vf x) {
    x = clamp(x, -9.0f, 9.0f);
    const vf s = x * x;
    vf above = fma_(s, all(1.335520612e-08f), all(2.060952696e-05f));
    above = fma_(above, s, all(3.495617326e-03f));
    above = fma_(above, s, all(1.338105101e-01f));
    above = fma_(above, s, all(9.999999797e-01f));
    vf below = fma_(s, all(7.776796628e-07f), all(3.285681035e-04f));
    below = fma_(below, s, all(2.587709562e-02f));
    below = fma_(below, s, all(4.671436668e-01f));
    below = fma_(below, s, all(1.0f));
    return x * (above / below);
}

TINLINE vf error_function(vf x) {
    const vf t = clamp(x, -4.0f, 4.0f), s = t * t;
    vf above = fma_(s, all(1.911136965e-08f), all(-1.942081201e-06f));
    above = fma_(above, s, all(1.472348230e-04f));
    above = fma_(above, s, all(3.988509660e-03f));
    above = fma_(above, s, all(5.151839947e-02f));
    above = fma_(above, s, all(2.070776719e-01f));
    above = fma_(above, s, all(1.128379095e+00f));
    vf below = fma_(s, all(1.020606019e-03f), all(1.495390538e-02f));
    below = fma_(below, s, all(1.179509127e-01f));
    below = fma_(below, s, all(5.168490662e-01f));
    below = fma_(below, s, all(1.0f));
    const vf inner = t * (above / below);
    // Exactly 1 from where single precision knows no more, so that what is multiplied by 1 - erf vanishes.
    return choose(x >= 4.0f, all(1.0f), choose(x <= -4.0f, all(-1.0f), inner));
}

TINLINE vf gelu_erf(vf x) {
    const vf half = x * 0.5f;
    return fma_(half, error_function(x * 0.707106781186547524f), half);
}

TINLINE vf gelu_tanh(vf x) {
    // The hyperbolic tangent of half a power is twice its logistic function less 1.
    const float scale = 2 * 0.797884560802865f;
    return x * logistic(x * fma_(x * x, all(scale * 0.044715f), all(scale)));
}

// x · n / (n + 2) with n = e(e + 2) and e = exp(x), which is x · tanh(log(1 + e)).
TINLINE vf mish(vf x) {
    const vf e = exponential(smaller(all(30.0f), x)), n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
}

TINLINE vf activate(vf x, const int function, float alpha, float beta) {
    switch (function) {
    // An infinite number times a slope of zero would be NaN.
    case TKERNEL_RELU: return choose(x < 0.0f, alpha == 0 ? all(0.0f) : x * alpha, x);
    case TKERNEL_CLIP: return clamp(x, alpha, beta);
    case TKERNEL_SWISH: return x * logistic(x * alpha);
    case TKERNEL_HARDSWISH: return x * clamp(fma_(x, all(alpha), all(beta)), 0.0f, 1.0f);
    case TKERNEL_HARDSIGMOID: return clamp(fma_(x, all(alpha), all(beta)), 0.0f, 1.0f);
    case TKERNEL_SIGMOID: return logistic(x);
    case TKERNEL_TANH: return hyperbolic_tangent(x);
    case TKERNEL_GELU_ERF: return gelu_erf(x);
    case TKERNEL_GELU_TANH: return gelu_tanh(x);
    case TKERNEL_EXP: return exponential(x);
    case TKERNEL_MISH: return mish(x);
    default: return x;
    }
}

typedef float v8 __attribute__((ext_vector_type(8)));
typedef v8 v8_unaligned __attribute__((aligned(4), may_alias));

// to[j · to_step + i] = from[i · from_step + j] for i and j below 8.
TINLINE void transpose_into(v8 *r, float *to, int64_t to_step) {
    v8 t[8];
    TUNROLL for (int i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    TUNROLL for (int i = 0; i < 8; i += 4) {
        r[i] = __builtin_shufflevector(t[i], t[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        r[i + 1] = __builtin_shufflevector(t[i], t[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        r[i + 2] = __builtin_shufflevector(t[i + 1], t[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        r[i + 3] = __builtin_shufflevector(t[i + 1], t[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    // In this order, because rows may overlap.
    TUNROLL for (int i = 0; i < 4; i++)
        *(v8_unaligned *)(to + i * to_step) = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    TUNROLL for (int i = 0; i < 4; i++)
        *(v8_unaligned *)(to + (i + 4) * to_step) = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
}

TINLINE void transpose8(const float *from, int64_t from_step, float *to, int64_t to_step) {
    v8 r[8];
    TUNROLL for (int i = 0; i < 8; i++) r[i] = *(const v8_unaligned *)(from + i * from_step);
    transpose_into(r, to, to_step);
}

// Fewer rows of 8; what stands for the others is written over by what comes next.
TINLINE void transpose_some(const float *from, int64_t from_step, int64_t rows, float *to, int64_t to_step) {
    v8 r[8];
    TUNROLL for (int i = 0; i < 8; i++) r[i] = i < rows ? *(const v8_unaligned *)(from + i * from_step) : (v8)0;
    transpose_into(r, to, to_step);
}
