// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#if defined(__x86_64__)

int tkernel_eltwise_is_supported(const tkernel_activation *a) {
    return tkernel_isa() >= TKERNEL_ISA_AVX512 && a->function > TKERNEL_IDENTITY && a->function <= TKERNEL_MISH;
}

// Four vectors at a time, so that one's multiplications fill the waiting of another's.
INLINE void run(
    const bound_activation *a, const int function, int64_t count, const float *source, const float *addend,
    float *target) {
    int64_t i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES) {
        __m512 y[4];
        UNROLL for (int k = 0; k < 4; k++) y[k] = apply(_mm512_loadu_ps(source + i + k * LANES), a, function);
        if (addend)
            UNROLL for (int k = 0; k < 4; k++) y[k] = _mm512_add_ps(y[k], _mm512_loadu_ps(addend + i + k * LANES));
        UNROLL for (int k = 0; k < 4; k++) _mm512_storeu_ps(target + i + k * LANES, y[k]);
    }
    for (; i < count; i += LANES) {
        const __mmask16 mask = (__mmask16)(count - i < LANES ? (1 << (count - i)) - 1 : 0xFFFF);
        __m512 y = apply(_mm512_maskz_loadu_ps(mask, source + i), a, function);
        if (addend) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, addend + i));
        _mm512_mask_storeu_ps(target + i, mask, y);
    }
}

#define FUNCTIONS(f) \
    f(TKERNEL_RELU) f(TKERNEL_CLIP) f(TKERNEL_SWISH) f(TKERNEL_HARDSWISH) f(TKERNEL_HARDSIGMOID) f(TKERNEL_SIGMOID) \
        f(TKERNEL_TANH) f(TKERNEL_GELU_ERF) f(TKERNEL_GELU_TANH) f(TKERNEL_EXP) f(TKERNEL_MISH)

#define DEFINE(function) \
    WIDE static __attribute__((noinline)) void run_##function( \
        const bound_activation *a, int64_t count, const float *source, const float *addend, float *target) { \
        run(a, function, count, source, addend, target); \
    }
FUNCTIONS(DEFINE)
#undef DEFINE

WIDE void tkernel_eltwise_run(
    const tkernel_activation *activation, int64_t count, const float *source, const float *addend, float *target) {
    const bound_activation a = bind(activation);
#define CASE(function) \
    case function: run_##function(&a, count, source, addend, target); break;
    switch (a.function) { FUNCTIONS(CASE) }
#undef CASE
}

int tkernel_scale_is_supported(void) { return tkernel_isa() >= TKERNEL_ISA_AVX512; }

WIDE void tkernel_scale_run(
    int64_t groups, int64_t size, const int32_t *channels, const float *source, const float *scale, float *target) {
    if (size == LANES)
        for (int64_t i = 0; i < groups; i++)
            _mm512_storeu_ps(
                target + i * LANES,
                _mm512_mul_ps(_mm512_loadu_ps(source + i * LANES), _mm512_set1_ps(scale[channels[i]])));
    else
        for (int64_t i = 0; i < groups; i++) target[i] = source[i] * scale[channels[i]];
}

#else

int tkernel_scale_is_supported(void) { return 0; }

void tkernel_scale_run(
    int64_t groups, int64_t size, const int32_t *channels, const float *source, const float *scale, float *target) {
    (void)groups, (void)size, (void)channels, (void)source, (void)scale, (void)target;
}

int tkernel_eltwise_is_supported(const tkernel_activation *a) {
    (void)a;
    return 0;
}

void tkernel_eltwise_run(
    const tkernel_activation *activation, int64_t count, const float *source, const float *addend, float *target) {
    (void)activation, (void)count, (void)source, (void)addend, (void)target;
}

#endif
