// SPDX-License-Identifier: Apache-2.0
//
// Real numbers to small integers and back. The division is a division, and halves go to even, on every machine.
#include "levels.h"

#pragma STDC FP_CONTRACT OFF

#include <string.h>

// Within its bounds a number plus this is the nearest integer, in the lowest bits.
static const float rounder = 12582912.0f;

LOOP int32_t nearest(float f, float low, float high) {
    f = f != f ? 0.0f : f;
    f = f < low ? low : f;
    f = f > high ? high : f;
    f += rounder;
    int32_t bits;
    memcpy(&bits, &f, 4);
    return bits - 0x4B400000;
}

#define QUANTIZE(type, least, most) \
    LOOP void quantize_one_##type##_loop( \
        int64_t count, const float *x, float scale, int32_t zero, type *restrict y) { \
        const float low = (float)(least - zero), high = (float)(most - zero); \
        for (int64_t i = 0; i < count; i++) y[i] = (type)(nearest(x[i] / scale, low, high) + zero); \
    } \
    LOOP void quantize_each_##type##_loop( \
        int64_t count, const float *x, const float *scale, const int32_t *zero, type *restrict y) { \
        for (int64_t i = 0; i < count; i++) { \
            const float low = (float)(least - zero[i]), high = (float)(most - zero[i]); \
            y[i] = (type)(nearest(x[i] / scale[i], low, high) + zero[i]); \
        } \
    } \
    LEVELS(quantize_one_##type, quantize_one_##type##_loop, \
           (int64_t count, const float *x, float scale, int32_t zero, type *restrict y), (count, x, scale, zero, y)) \
    LEVELS(quantize_each_##type, quantize_each_##type##_loop, \
           (int64_t count, const float *x, const float *scale, const int32_t *zero, type *restrict y), \
           (count, x, scale, zero, y))

QUANTIZE(uint8_t, 0, 255)
QUANTIZE(int8_t, -128, 127)
QUANTIZE(uint16_t, 0, 65535)
QUANTIZE(int16_t, -32768, 32767)

#define DEQUANTIZE(type) \
    LOOP void dequantize_one_##type##_loop( \
        int64_t count, const type *x, float scale, int32_t zero, float *restrict y) { \
        for (int64_t i = 0; i < count; i++) y[i] = (float)(int32_t)((uint32_t)(int32_t)x[i] - (uint32_t)zero) * scale; \
    } \
    LOOP void dequantize_each_##type##_loop( \
        int64_t count, const type *x, const float *scale, const int32_t *zero, float *restrict y) { \
        for (int64_t i = 0; i < count; i++) \
            y[i] = (float)(int32_t)((uint32_t)(int32_t)x[i] - (uint32_t)zero[i]) * scale[i]; \
    } \
    LEVELS(dequantize_one_##type, dequantize_one_##type##_loop, \
           (int64_t count, const type *x, float scale, int32_t zero, float *restrict y), (count, x, scale, zero, y)) \
    LEVELS(dequantize_each_##type, dequantize_each_##type##_loop, \
           (int64_t count, const type *x, const float *scale, const int32_t *zero, float *restrict y), \
           (count, x, scale, zero, y))

DEQUANTIZE(uint8_t)
DEQUANTIZE(int8_t)
DEQUANTIZE(uint16_t)
DEQUANTIZE(int16_t)
DEQUANTIZE(int32_t)

#define QUANTIZE_CASE(kind, type) \
    case kind: \
        if (step) \
            quantize_each_##type(count, source, scale, zero, (type *)target); \
        else \
            quantize_one_##type(count, source, *scale, *zero, (type *)target); \
        break;
#define DEQUANTIZE_CASE(kind, type) \
    case kind: \
        if (step) \
            dequantize_each_##type(count, (const type *)source, scale, zero, target); \
        else \
            dequantize_one_##type(count, (const type *)source, *scale, *zero, target); \
        break;

void tkernel_quantize(
    int32_t kind, int64_t count, const float *source, const float *scale, const int32_t *zero, int64_t step,
    void *target) {
    switch (kind) {
        QUANTIZE_CASE(TKERNEL_U8, uint8_t)
        QUANTIZE_CASE(TKERNEL_S8, int8_t)
        QUANTIZE_CASE(TKERNEL_U16, uint16_t)
        QUANTIZE_CASE(TKERNEL_S16, int16_t)
    default: break;
    }
}

void tkernel_dequantize(
    int32_t kind, int64_t count, const void *source, const float *scale, const int32_t *zero, int64_t step,
    float *target) {
    switch (kind) {
        DEQUANTIZE_CASE(TKERNEL_U8, uint8_t)
        DEQUANTIZE_CASE(TKERNEL_S8, int8_t)
        DEQUANTIZE_CASE(TKERNEL_U16, uint16_t)
        DEQUANTIZE_CASE(TKERNEL_S16, int16_t)
        DEQUANTIZE_CASE(TKERNEL_S32, int32_t)
    default: break;
    }
}

LOOP void range_loop(int64_t count, const float *x, float *low, float *high) {
    // Lanes of their own, so that the order of the comparisons is the compiler's choice. NaN is neither.
    float least[64], most[64];
    for (int k = 0; k < 64; k++) least[k] = *low, most[k] = *high;
    int64_t i = 0;
    for (; i + 64 <= count; i += 64)
        for (int k = 0; k < 64; k++) {
            least[k] = x[i + k] < least[k] ? x[i + k] : least[k];
            most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
        }
    for (; i < count; i++) {
        least[0] = x[i] < least[0] ? x[i] : least[0];
        most[0] = x[i] > most[0] ? x[i] : most[0];
    }
    for (int k = 0; k < 64; k++) {
        *low = least[k] < *low ? least[k] : *low;
        *high = most[k] > *high ? most[k] : *high;
    }
}

LEVELS(range, range_loop, (int64_t count, const float *x, float *low, float *high), (count, x, low, high))

void tkernel_range(int64_t count, const float *source, float *low, float *high) { range(count, source, low, high); }

void tkernel_dynamic_parameters(float low, float high, float *scale, int32_t *zero) {
    const float width = high - low;
    *scale = width > 0 ? width / 255.0f : 1.0f;
    // A width that has no 255th part in the normal numbers.
    if (!(*scale > 0)) *scale = 1.0f;
    *zero = nearest(-low / *scale, 0.0f, 255.0f);
}
