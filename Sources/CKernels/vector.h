// SPDX-License-Identifier: Apache-2.0
//
// Functions on vectors of 16 numbers, shared by the kernels. NaN stays NaN.
#ifndef CKERNELS_VECTOR_H
#define CKERNELS_VECTOR_H

#include "CKernels.h"

enum { LANES = 16 };

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,fma")))
#define INLINE static inline __attribute__((always_inline)) WIDE
#define UNROLL _Pragma("clang loop unroll(full)")

// Constants of the activation, ready in registers or close by.
typedef struct bound_activation {
    int function;
    __m512 alpha, beta;
} bound_activation;

// The powers of swish and sigmoid are counted in sixteenths of a binary digit.
INLINE bound_activation bind(const tkernel_activation *a) {
    float alpha = a->alpha;
    if (a->function == TKERNEL_SWISH) alpha *= -16 * 1.44269504088896341f;
    return (bound_activation){a->function, _mm512_set1_ps(alpha), _mm512_set1_ps(a->beta)};
}

// The second operand is what max and min give when one is NaN.
INLINE __m512 clamp(__m512 x, float low, float high) {
    return _mm512_max_ps(_mm512_set1_ps(low), _mm512_min_ps(_mm512_set1_ps(high), x));
}

// 2^(x/16) for x within 2000 of zero: a table of the roots of 2, and a parabola around each, with a relative error of 4e-7. What it
// gives for NaN is anything.
INLINE __m512 power_of_two(__m512 x) {
    const __m512 roots = _mm512_setr_ps(
        1.0f, 1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f, 1.29683955f, 1.35425555f, 1.41421356f,
        1.47682615f, 1.54221083f, 1.61049033f, 1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f);
    // Added to a number it leaves the nearest integer in the lowest bits.
    const __m512 rounder = _mm512_set1_ps(12582912.0f);
    const __m512 shifted = _mm512_add_ps(x, rounder);
    const __m512 f = _mm512_sub_ps(x, _mm512_sub_ps(shifted, rounder));
    const __m512i bits = _mm512_castps_si512(shifted);
    const __m512 root = _mm512_permutexvar_ps(bits, roots);
    const __m512 slope = _mm512_fmadd_ps(f, _mm512_set1_ps(9.38447993e-4f), _mm512_set1_ps(4.33224961e-2f));
    const __m512 power = _mm512_fmadd_ps(_mm512_mul_ps(root, f), slope, root);
    const __m512i whole = _mm512_slli_epi32(_mm512_andnot_epi32(_mm512_set1_epi32(15), bits), 19);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(power), whole));
}

INLINE __m512 reciprocal(__m512 x) {
    const __m512 r = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(2.0f)));
}

// 1 / (1 + 2^(power/16)), but anything for NaN. Beyond 126 digits the result is zero, and the reciprocal would leave the normal
// numbers.
INLINE __m512 gate(__m512 power) {
    const __mmask16 is_more = _mm512_cmp_ps_mask(power, _mm512_set1_ps(126 * 16), _CMP_LT_OQ);
    const __m512 below = _mm512_add_ps(_mm512_set1_ps(1.0f), power_of_two(clamp(power, -64 * 16, 126 * 16)));
    const __m512 r = _mm512_rcp14_ps(below);
    return _mm512_maskz_mul_ps(is_more, r, _mm512_fnmadd_ps(below, r, _mm512_set1_ps(2.0f)));
}

INLINE __m512 polynomial(__m512 x, const float *coefficients, const int count) {
    __m512 sum = _mm512_set1_ps(coefficients[count - 1]);
    UNROLL for (int i = count - 2; i >= 0; i--) sum = _mm512_fmadd_ps(sum, x, _mm512_set1_ps(coefficients[i]));
    return sum;
}

// Quotients of polynomials in x², so that small numbers keep all their digits.
INLINE __m512 hyperbolic_tangent(__m512 x) {
    static const float above[] = {9.999999797e-01f, 1.338105101e-01f, 3.495617326e-03f, 2.060952696e-05f, 1.335520612e-08f};
    static const float below[] = {1.0f, 4.671436668e-01f, 2.587709562e-02f, 3.285681035e-04f, 7.776796628e-07f};
    x = clamp(x, -9.0f, 9.0f);
    const __m512 square = _mm512_mul_ps(x, x);
    const __m512 ratio = _mm512_mul_ps(polynomial(square, above, 5), reciprocal(polynomial(square, below, 5)));
    return _mm512_mul_ps(x, ratio);
}

INLINE __m512 error_function(__m512 x) {
    static const float above[] = {1.128379095e+00f, 2.070776719e-01f,  5.151839947e-02f, 3.988509660e-03f,
                                  1.472348230e-04f, -1.942081201e-06f, 1.911136965e-08f};
    static const float below[] = {1.0f, 5.168490662e-01f, 1.179509127e-01f, 1.495390538e-02f, 1.020606019e-03f};
    const __m512 bounded = clamp(x, -4.0f, 4.0f), square = _mm512_mul_ps(bounded, bounded);
    const __m512 ratio = _mm512_mul_ps(polynomial(square, above, 7), reciprocal(polynomial(square, below, 5)));
    const __m512 inner = _mm512_mul_ps(bounded, ratio);
    // Exactly 1 from where single precision knows no more, so that what is multiplied by 1 - erf vanishes.
    const __mmask16 is_below = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-4.0f), _CMP_LE_OQ);
    const __mmask16 is_above = _mm512_cmp_ps_mask(x, _mm512_set1_ps(4.0f), _CMP_GE_OQ);
    return _mm512_mask_mov_ps(
        _mm512_mask_mov_ps(inner, is_below, _mm512_set1_ps(-1.0f)), is_above, _mm512_set1_ps(1.0f));
}

INLINE __m512 exponential(__m512 x) {
    static const float taylor[] = {1.0f,           1.0f,           0.5f,           1.66666667e-1f,
                                   4.16666667e-2f, 8.33333333e-3f, 1.38888889e-3f, 1.98412698e-4f};
    x = clamp(x, -200.0f, 200.0f);
    const __m512 whole = _mm512_roundscale_ps(
        _mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    // ln 2 in two parts, of which the first has few digits.
    __m512 f = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693145752f), x);
    f = _mm512_fnmadd_ps(whole, _mm512_set1_ps(1.42860677e-6f), f);
    return _mm512_scalef_ps(polynomial(f, taylor, 8), whole);
}

// x · n / (n + 2) with n = e(e + 2) and e = exp(x), which is x · tanh(log(1 + e)).
INLINE __m512 mish(__m512 x) {
    const __m512 power = _mm512_mul_ps(x, _mm512_set1_ps(16 * 1.44269504088896341f));
    const __mmask16 is_more = _mm512_cmp_ps_mask(power, _mm512_set1_ps(-126 * 16), _CMP_GT_OQ);
    const __m512 two = _mm512_set1_ps(2.0f), e = power_of_two(clamp(power, -126 * 16, 30 * 16));
    const __m512 n = _mm512_mul_ps(e, _mm512_add_ps(e, two));
    return _mm512_mul_ps(x, _mm512_maskz_mul_ps(is_more, n, reciprocal(_mm512_add_ps(n, two))));
}

INLINE __m512 gelu_tanh(__m512 x) {
    // The hyperbolic tangent of half a power is twice its gate less 1.
    const float scale = -16 * 1.44269504088896341f * 2 * 0.797884560802865f;
    const __m512 cubic = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(scale * 0.044715f), _mm512_set1_ps(scale));
    return _mm512_mul_ps(x, gate(_mm512_mul_ps(x, cubic)));
}

INLINE __m512 gelu_erf(__m512 x) {
    const __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
    return _mm512_fmadd_ps(half, error_function(_mm512_mul_ps(x, _mm512_set1_ps(0.707106781186547524f))), half);
}

INLINE __m512 apply(__m512 x, const bound_activation *a, int function) {
    const __m512 zero = _mm512_setzero_ps();
    switch (function) {
    case TKERNEL_RELU: return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, zero, _CMP_LT_OQ), x, a->alpha);
    case TKERNEL_CLIP: return _mm512_min_ps(a->beta, _mm512_max_ps(a->alpha, x));
    case TKERNEL_SWISH: return _mm512_mul_ps(x, gate(_mm512_mul_ps(x, a->alpha)));
    case TKERNEL_HARDSWISH:
    case TKERNEL_HARDSIGMOID: {
        __m512 gate = _mm512_max_ps(zero, _mm512_fmadd_ps(x, a->alpha, a->beta));
        gate = _mm512_min_ps(_mm512_set1_ps(1.0f), gate);
        return function == TKERNEL_HARDSIGMOID ? gate : _mm512_mul_ps(x, gate);
    }
    case TKERNEL_SIGMOID: {
        const __m512 y = gate(_mm512_mul_ps(x, _mm512_set1_ps(-16 * 1.44269504088896341f)));
        return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
    }
    case TKERNEL_TANH: return hyperbolic_tangent(x);
    case TKERNEL_GELU_ERF: return gelu_erf(x);
    case TKERNEL_GELU_TANH: return gelu_tanh(x);
    case TKERNEL_EXP: return exponential(x);
    case TKERNEL_MISH: return mish(x);
    default: return x;
    }
}

#endif

#endif
