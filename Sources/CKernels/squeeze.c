// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#include <stddef.h>

// Vectors that a thread sums up at the same time.
enum { CHAINS = 8 };

static int64_t vectors_of(int64_t count) { return (count + LANES - 1) / LANES; }

int64_t tkernel_squeeze_weights(const tkernel_squeeze *s) {
    // Both matrices are padded on both sides, which keeps the sum simple.
    int64_t total;
    const int64_t channels = vectors_of(s->channels) * LANES, hidden = vectors_of(s->hidden) * LANES;
    if (__builtin_mul_overflow(channels, hidden, &total) || __builtin_mul_overflow(total, 2, &total)
        || __builtin_add_overflow(total, channels + hidden, &total))
        return 0;
    return total;
}

// What a thread leaves for the others: a part of the hidden sums of every image; then the means, and all of the hidden values.
static int64_t shared_of(const tkernel_squeeze *s) { return s->batch * vectors_of(s->hidden) * LANES; }

int64_t tkernel_squeeze_scratch(const tkernel_squeeze *s) {
    const int64_t own = vectors_of(s->channels) * LANES;
    const int64_t hidden = vectors_of(s->hidden) * LANES;
    return shared_of(s) + (own > hidden ? own : hidden);
}

void tkernel_squeeze_pack(
    const tkernel_squeeze *s, const float *squeeze, const float *squeeze_bias, const float *excite,
    const float *excite_bias, float *into) {
    const int64_t channels = vectors_of(s->channels) * LANES, hidden = vectors_of(s->hidden) * LANES;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t h = 0; h < hidden; h++)
            *into++ = c < s->channels && h < s->hidden ? squeeze[h * s->channels + c] : 0;
    for (int64_t h = 0; h < hidden; h++) *into++ = h < s->hidden && squeeze_bias ? squeeze_bias[h] : 0;
    for (int64_t block = 0; block < channels; block += LANES)
        for (int64_t h = 0; h < hidden; h++)
            for (int64_t c = block; c < block + LANES; c++)
                *into++ = c < s->channels && h < s->hidden ? excite[c * s->hidden + h] : 0;
    for (int64_t c = 0; c < channels; c++) *into++ = c < s->channels && excite_bias ? excite_bias[c] : 0;
}

#if defined(__x86_64__)

int tkernel_squeeze_is_supported(const tkernel_squeeze *s) {
    return tkernel_isa() >= TKERNEL_ISA_AVX512 && s->batch > 0 && s->channels > 0 && s->hidden > 0 && s->pixels > 0;
}

// What `pixels` pixels add to the means of the channels of `count` blocks side by side, each with chains of sums of its own.
INLINE void mean_of_blocks(
    const tkernel_squeeze *s, const int count, const int chains, const float *source, int64_t pixels, __mmask16 last,
    float *into) {
    __m512 sum[CHAINS];
    UNROLL for (int k = 0; k < count * chains; k++) sum[k] = _mm512_setzero_ps();
    const int64_t pixel = s->source.pixel, block = s->source.block;
    int64_t p = 0;
    for (; p + chains <= pixels; p += chains)
        UNROLL for (int c = 0; c < chains; c++)
            UNROLL for (int b = 0; b < count; b++) {
                const float *from = source + (p + c) * pixel + b * block;
                const __m512 x = b == count - 1 ? _mm512_maskz_loadu_ps(last, from) : _mm512_loadu_ps(from);
                sum[c * count + b] = _mm512_add_ps(sum[c * count + b], x);
            }
    for (; p < pixels; p++)
        UNROLL for (int b = 0; b < count; b++) {
            const float *from = source + p * pixel + b * block;
            const __m512 x = b == count - 1 ? _mm512_maskz_loadu_ps(last, from) : _mm512_loadu_ps(from);
            sum[b] = _mm512_add_ps(sum[b], x);
        }
    const __m512 factor = _mm512_set1_ps(1.0f / (float)s->pixels);
    UNROLL for (int b = 0; b < count; b++) {
        __m512 total = sum[b];
        UNROLL for (int c = 1; c < chains; c++) total = _mm512_add_ps(total, sum[c * count + b]);
        _mm512_storeu_ps(into + b * LANES, _mm512_mul_ps(total, factor));
    }
}

// Sums of rows of a matrix with LANES · vectors columns, each row times a number: `vectors` accumulators, on top of `into`.
INLINE void add_rows(
    const int vectors, int64_t rows, const float *matrix, int64_t stride, const float *numbers, float *into) {
    __m512 even[CHAINS / 2], odd[CHAINS / 2];
    UNROLL for (int v = 0; v < vectors; v++) {
        even[v] = _mm512_loadu_ps(into + v * LANES);
        odd[v] = _mm512_setzero_ps();
    }
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2, matrix += 2 * stride) {
        const __m512 a = _mm512_set1_ps(numbers[r]), b = _mm512_set1_ps(numbers[r + 1]);
        UNROLL for (int v = 0; v < vectors; v++) {
            even[v] = _mm512_fmadd_ps(a, _mm512_loadu_ps(matrix + v * LANES), even[v]);
            odd[v] = _mm512_fmadd_ps(b, _mm512_loadu_ps(matrix + stride + v * LANES), odd[v]);
        }
    }
    if (r < rows) {
        const __m512 a = _mm512_set1_ps(numbers[r]);
        UNROLL for (int v = 0; v < vectors; v++)
            even[v] = _mm512_fmadd_ps(a, _mm512_loadu_ps(matrix + v * LANES), even[v]);
    }
    UNROLL for (int v = 0; v < vectors; v++) _mm512_storeu_ps(into + v * LANES, _mm512_add_ps(even[v], odd[v]));
}

WIDE void tkernel_squeeze_run(
    const tkernel_squeeze *s, int64_t threads, int64_t thread, const float *source, const float *weights,
    float *scratch) {
    const int64_t blocks = vectors_of(s->channels), vectors = vectors_of(s->hidden), hidden = vectors * LANES;
    const int is_blocked = s->source.pixel == LANES;
    // Whoever computed pixels side by side had them one after the other: rows are still near the thread that has the same share
    // of them. The products are linear, so that every thread may take its part of the sums through the first one.
    const int by_pixels = !is_blocked && s->pixels >= 4 * s->hidden;
    const int64_t begin = by_pixels ? 0 : blocks * thread / threads;
    const int64_t end = by_pixels ? blocks : blocks * (thread + 1) / threads;
    const int64_t first = by_pixels ? s->pixels * thread / threads : 0;
    const int64_t pixels = (by_pixels ? s->pixels * (thread + 1) / threads : s->pixels) - first;
    float *shared = scratch + thread * tkernel_squeeze_scratch(s), *means = shared + shared_of(s);
    for (int64_t image = 0; image < s->batch; image++, source += s->source.image, shared += hidden) {
        for (int64_t v = 0; v < vectors; v++) _mm512_storeu_ps(shared + v * LANES, _mm512_setzero_ps());
        for (int64_t b = begin; b < end;) {
            const float *from = source + first * s->source.pixel + b * s->source.block;
            const int64_t left = s->channels - b * LANES;
            float *into = means + (b - begin) * LANES;
            if (is_blocked || end - b < 4) {
                const __mmask16 mask = (__mmask16)(left >= LANES || is_blocked ? 0xFFFF : (1 << left) - 1);
                mean_of_blocks(s, 1, 8, from, pixels, mask, into), b++;
            } else {
                const __mmask16 mask = (__mmask16)(left >= 4 * LANES ? 0xFFFF : (1 << (left - 3 * LANES)) - 1);
                mean_of_blocks(s, 4, 2, from, pixels, mask, into), b += 4;
            }
        }
        // Padding of a block is zero in the weights; what it holds may be anything but that.
        const int64_t count = (end * LANES < s->channels ? end * LANES : s->channels) - begin * LANES;
        const float *matrix = weights + begin * LANES * hidden;
        int64_t v = 0;
        for (; v + 4 <= vectors; v += 4) add_rows(4, count, matrix + v * LANES, hidden, means, shared + v * LANES);
        for (; v + 2 <= vectors; v += 2) add_rows(2, count, matrix + v * LANES, hidden, means, shared + v * LANES);
        for (; v < vectors; v++) add_rows(1, count, matrix + v * LANES, hidden, means, shared + v * LANES);
    }
}

WIDE static __m512 activated(__m512 x, const bound_activation *a) {
#define CASE(function) \
    case function: return apply(x, a, function);
    switch (a->function) {
        CASE(TKERNEL_RELU)
        CASE(TKERNEL_CLIP)
        CASE(TKERNEL_SWISH)
        CASE(TKERNEL_HARDSWISH)
        CASE(TKERNEL_HARDSIGMOID)
        CASE(TKERNEL_SIGMOID)
        CASE(TKERNEL_TANH)
        CASE(TKERNEL_GELU_ERF)
        CASE(TKERNEL_GELU_TANH)
    default: return x;
    }
#undef CASE
}

WIDE void tkernel_excite_run(
    const tkernel_squeeze *s, int64_t threads, int64_t thread, const float *weights, float *scratch, float *target) {
    const int64_t blocks = vectors_of(s->channels), vectors = vectors_of(s->hidden), hidden = vectors * LANES;
    const int64_t begin = blocks * thread / threads, end = blocks * (thread + 1) / threads;
    const int64_t size = tkernel_squeeze_scratch(s);
    const float *bias = weights + blocks * LANES * hidden, *matrix = bias + hidden;
    const float *last_bias = matrix + blocks * LANES * hidden;
    float *values = scratch + thread * size + shared_of(s);
    const bound_activation middle = bind(&s->middle), last = bind(&s->last);
    for (int64_t image = 0; image < s->batch; image++, target += s->target_image) {
        for (int64_t v = 0; v < vectors; v++) {
            __m512 sum = _mm512_loadu_ps(bias + v * LANES);
            for (int64_t t = 0; t < threads; t++)
                sum = _mm512_add_ps(sum, _mm512_loadu_ps(scratch + t * size + image * hidden + v * LANES));
            _mm512_storeu_ps(values + v * LANES, activated(sum, &middle));
        }
        for (int64_t b = begin; b < end; b++) {
            const float *rows = matrix + b * hidden * LANES;
            __m512 sum[4] = {_mm512_loadu_ps(last_bias + b * LANES)};
            UNROLL for (int k = 1; k < 4; k++) sum[k] = _mm512_setzero_ps();
            int64_t h = 0;
            for (; h + 4 <= s->hidden; h += 4)
                UNROLL for (int k = 0; k < 4; k++)
                    sum[k] = _mm512_fmadd_ps(
                        _mm512_set1_ps(values[h + k]), _mm512_loadu_ps(rows + (h + k) * LANES), sum[k]);
            for (; h < s->hidden; h++)
                sum[0] = _mm512_fmadd_ps(_mm512_set1_ps(values[h]), _mm512_loadu_ps(rows + h * LANES), sum[0]);
            const __m512 total = _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3]));
            const int64_t left = s->channels - b * LANES;
            const __mmask16 mask = (__mmask16)(left >= LANES ? 0xFFFF : (1 << left) - 1);
            _mm512_mask_storeu_ps(target + b * LANES, mask, activated(total, &last));
        }
    }
}

#else

int tkernel_squeeze_is_supported(const tkernel_squeeze *s) {
    (void)s;
    return 0;
}

void tkernel_squeeze_run(
    const tkernel_squeeze *s, int64_t threads, int64_t thread, const float *source, const float *weights,
    float *scratch) {
    (void)s, (void)threads, (void)thread, (void)source, (void)weights, (void)scratch;
}

void tkernel_excite_run(
    const tkernel_squeeze *s, int64_t threads, int64_t thread, const float *weights, float *scratch, float *target) {
    (void)s, (void)threads, (void)thread, (void)weights, (void)scratch, (void)target;
}

#endif
