// SPDX-License-Identifier: Apache-2.0
//
// What stands between products of small integers: tables of 256 values, sums and products of two tensors, pooling on channels
// that lie inside.
#include "rounding.h"

void tkernel_table(int64_t count, const uint8_t *table, const uint8_t *source, uint8_t *target) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (int k = 0; k < 8; k++) target[i + k] = table[source[i + k]];
    for (; i < count; i++) target[i] = table[source[i]];
}

// Signed bytes have their highest bit changed, which adds 128; the zero points allow for that.
LOOP void sum_loop(
    const tkernel_integer_pair *p, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *restrict y) {
    const uint8_t flip_a = p->is_signed[0] ? 0x80 : 0, flip_b = p->is_signed[1] ? 0x80 : 0;
    const int32_t zero_a = p->zero[0] + flip_a, zero_b = p->zero[1] + flip_b;
    const float scale_a = p->scale[0], scale_b = p->scale[1], low = p->low, high = p->high;
    for (int64_t i = 0; i < count; i++) {
        const float u = (float)((int32_t)(uint8_t)(a[i] ^ flip_a) - zero_a) * scale_a;
        const float v = (float)((int32_t)(uint8_t)(b[i] ^ flip_b) - zero_b) * scale_b;
        const float sum = u + v;
        y[i] = (uint8_t)(whole(bounded(sum, low, high)) + p->result_zero);
    }
}

LOOP void product_loop(
    const tkernel_integer_pair *p, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *restrict y) {
    const uint8_t flip_a = p->is_signed[0] ? 0x80 : 0, flip_b = p->is_signed[1] ? 0x80 : 0;
    const int32_t zero_a = p->zero[0] + flip_a, zero_b = p->zero[1] + flip_b;
    const float scale = p->scale[0], low = p->low, high = p->high;
    for (int64_t i = 0; i < count; i++) {
        const int32_t product =
            ((int32_t)(uint8_t)(a[i] ^ flip_a) - zero_a) * ((int32_t)(uint8_t)(b[i] ^ flip_b) - zero_b);
        y[i] = (uint8_t)(whole(bounded((float)product * scale, low, high)) + p->result_zero);
    }
}

LEVELS(sum, sum_loop,
       (const tkernel_integer_pair *p, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *restrict y),
       (p, count, a, b, y))
LEVELS(product, product_loop,
       (const tkernel_integer_pair *p, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *restrict y),
       (p, count, a, b, y))

void tkernel_integer_sum(
    const tkernel_integer_pair *p, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *target) {
    sum(p, count, a, b, target);
}

void tkernel_integer_multiply(
    const tkernel_integer_pair *p, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *target) {
    product(p, count, a, b, target);
}

// MARK: - Pooling

LOOP void max_loop(int64_t count, uint8_t flip, const uint8_t *x, uint8_t *restrict most) {
    for (int64_t i = 0; i < count; i++) {
        const uint8_t value = x[i] ^ flip;
        most[i] = value > most[i] ? value : most[i];
    }
}

LOOP void add_loop(int64_t count, uint8_t flip, const uint8_t *x, int32_t *restrict sum) {
    for (int64_t i = 0; i < count; i++) sum[i] += (uint8_t)(x[i] ^ flip);
}

LOOP void mean_loop(
    int64_t count, int32_t zero, float scale, float low, float high, int32_t result_zero, const int32_t *sum,
    uint8_t *restrict y) {
    for (int64_t i = 0; i < count; i++)
        y[i] = (uint8_t)(whole(bounded((float)(sum[i] - zero) * scale, low, high)) + result_zero);
}

LEVELS(most, max_loop, (int64_t count, uint8_t flip, const uint8_t *x, uint8_t *restrict m), (count, flip, x, m))
LEVELS(add, add_loop, (int64_t count, uint8_t flip, const uint8_t *x, int32_t *restrict s), (count, flip, x, s))
LEVELS(mean, mean_loop,
       (int64_t count, int32_t zero, float scale, float low, float high, int32_t result_zero, const int32_t *sum,
        uint8_t *restrict y),
       (count, zero, scale, low, high, result_zero, sum, y))

int64_t tkernel_integer_pool_scratch(const tkernel_integer_convolution *c) {
    return (c->groups * (int64_t)sizeof(int32_t) + 63) / 64 * 64;
}

void tkernel_integer_pool_run(
    const tkernel_integer_convolution *c, const tkernel_integer_pair *p, int32_t is_max, int32_t counts_padding,
    int64_t begin, int64_t end, const uint8_t *source, uint8_t *target, uint8_t *scratch) {
    const int64_t channels = c->groups;
    const uint8_t flip = c->is_signed ? 0x80 : 0;
    int32_t *sums = (int32_t *)scratch;
    for (int64_t pixel = begin; pixel < end; pixel++) {
        int64_t at = pixel, place[3];
        for (int i = 2; i >= 0; i--) {
            place[i] = at % c->target[i] * c->stride[i] - c->pad[i];
            at /= c->target[i];
        }
        uint8_t *y = target + pixel * channels;
        memset(scratch, 0, (size_t)(is_max ? channels : channels * (int64_t)sizeof(int32_t)));
        int32_t inside = 0;
        for (int64_t d = 0; d < c->kernel[0]; d++)
            for (int64_t h = 0; h < c->kernel[1]; h++)
                for (int64_t w = 0; w < c->kernel[2]; w++) {
                    const int64_t z = place[0] + d * c->dilation[0], v = place[1] + h * c->dilation[1];
                    const int64_t u = place[2] + w * c->dilation[2];
                    if (z < 0 || z >= c->source[0] || v < 0 || v >= c->source[1] || u < 0 || u >= c->source[2]) continue;
                    const uint8_t *x =
                        source + (((at * c->source[0] + z) * c->source[1] + v) * c->source[2] + u) * channels;
                    inside++;
                    if (is_max)
                        most(channels, flip, x, scratch);
                    else
                        add(channels, flip, x, sums);
                }
        if (is_max) {
            for (int64_t i = 0; i < channels; i++) y[i] = scratch[i] ^ flip;
            continue;
        }
        const int64_t size = counts_padding ? c->kernel[0] * c->kernel[1] * c->kernel[2] : inside;
        mean(
            channels, inside * (p->zero[0] + flip), p->scale[0] / (float)(size > 0 ? size : 1), p->low, p->high,
            p->result_zero, sums, y);
    }
}
