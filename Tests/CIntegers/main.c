// Convolutions and products of small integers against naive loops, with every set of instructions.
#include "levels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tkernel_level level;
tkernel_level tkernel_cpu_level(void) { return level; }

static int failures;

typedef struct shape {
    int batch, groups, inputs, outputs, height, width, kernel, stride, pad, dilation;
    int is_signed, is_unsigned_weight, is_depthwise;
} shape;

static void *filled(size_t count) {
    uint8_t *bytes = malloc(count + 64);
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)rand();
    return bytes;
}

static void test(shape s) {
    tkernel_integer_convolution c = {
        .batch = s.batch, .groups = s.groups, .inputs = s.inputs, .outputs = s.outputs, .source = {1, s.height, s.width},
        .kernel = {1, s.kernel, s.kernel}, .stride = {1, s.stride, s.stride}, .dilation = {1, s.dilation, s.dilation},
        .pad = {0, s.pad, s.pad}, .is_signed = s.is_signed, .zero = s.is_signed ? -7 : 13};
    const int oh = (s.height + 2 * s.pad - (s.kernel - 1) * s.dilation - 1) / s.stride + 1;
    const int ow = (s.width + 2 * s.pad - (s.kernel - 1) * s.dilation - 1) / s.stride + 1;
    c.target[0] = 1, c.target[1] = oh, c.target[2] = ow;
    const int taps = s.kernel * s.kernel, deep = s.inputs * taps, channels = s.groups * s.outputs;
    const size_t pixels = (size_t)s.batch * s.height * s.width, results = (size_t)s.batch * oh * ow * channels;
    uint8_t *source = filled(pixels * s.groups * s.inputs), *residual = filled(results), *target = filled(results);
    int8_t *weights = filled((size_t)channels * deep);
    const tkernel_integer p = tkernel_integer_of(&c);
    const int64_t columns = tkernel_integer_blocks(&p) * TKERNEL_INTEGER_COLUMNS, bytes = tkernel_integer_weights(&p);
    int8_t *packed = malloc((size_t)(bytes * s.groups + 64));
    int32_t *sums = calloc((size_t)(columns * s.groups), 4), *offset = calloc((size_t)(columns * s.groups), 4);
    int32_t *zeros = calloc((size_t)(columns * s.groups), 4);
    float *scale = calloc((size_t)(columns * s.groups), 4);
    const int zero = s.is_signed ? -7 : 13, shifted = s.is_signed ? zero + 128 : zero, weight_zero = s.is_unsigned_weight ? 5 : 0;
    for (int g = 0; g < s.groups; g++) {
        tkernel_integer_pack(
            &p, weights + (size_t)g * s.outputs * deep, s.is_unsigned_weight, deep, taps, 1, packed + g * bytes,
            sums + g * columns);
        for (int o = 0; o < s.outputs; o++) {
            const int64_t i = g * columns + o;
            offset[i] = o * 3 - shifted * sums[i] + deep * shifted * weight_zero;
            zeros[i] = weight_zero;
            scale[i] = 0.0007f + (float)o * 1e-6f;
        }
    }
    tkernel_epilogue e = {
        .kind = TKERNEL_U8, .zero = 100, .low = -100, .high = 155, .offset = offset,
        .weight_zero = s.is_unsigned_weight ? zeros : NULL, .scale = scale, .residual_kind = s.is_depthwise ? -1 : TKERNEL_S8,
        .residual_zero = 4, .residual_scale = 0.3f, .has_middle = !s.is_depthwise, .middle_low = -120, .middle_high = 90,
        .middle_scale = 0.7f};
    if (s.is_depthwise) {
        void *woven = malloc((size_t)tkernel_integer_depthwise_weights(&c));
        for (int g = 0; g < s.groups; g++) {
            int sum = 0;
            for (int t = 0; t < taps; t++) sum += weights[g * taps + t];
            offset[g] = g * 3 - shifted * sum;
            scale[g] = 0.005f + (float)g * 1e-6f;
        }
        tkernel_integer_depthwise_pack(&c, weights, 0, offset, scale, woven);
        uint8_t *scratch = malloc((size_t)tkernel_integer_depthwise_scratch(&c));
        tkernel_integer_depthwise_run(&c, &e, 0, s.batch * oh, source, woven, target, scratch);
        free(scratch);
        free(woven);
    } else {
        uint8_t *scratch = malloc((size_t)tkernel_integer_convolution_scratch(&c));
        const int64_t pieces = tkernel_integer_convolution_pieces(&c);
        // In two uneven parts, as two threads would.
        tkernel_integer_convolution_run(&c, &e, 0, pieces / 3, source, packed, residual, target, scratch);
        tkernel_integer_convolution_run(&c, &e, pieces / 3, pieces, source, packed, residual, target, scratch);
        free(scratch);
    }
    long wrong = 0;
    for (size_t at = 0; at < results; at++) {
        const int o = (int)(at % (size_t)channels), group = o / s.outputs;
        const size_t pixel = at / (size_t)channels;
        const int x = (int)(pixel % ow), y = (int)(pixel / ow % oh), image = (int)(pixel / ow / oh);
        int32_t sum = 0;
        for (int i = 0; i < s.inputs; i++)
            for (int t = 0; t < taps; t++) {
                const int sy = y * s.stride - s.pad + t / s.kernel * s.dilation;
                const int sx = x * s.stride - s.pad + t % s.kernel * s.dilation;
                if (sy < 0 || sy >= s.height || sx < 0 || sx >= s.width) continue;
                const uint8_t q = source[((size_t)(image * s.height + sy) * s.width + sx) * s.groups * s.inputs
                                         + (size_t)group * s.inputs + i];
                const int8_t w = weights[((size_t)o * s.inputs + i) * taps + t];
                sum += ((s.is_signed ? (int8_t)q : q) - zero)
                    * (s.is_unsigned_weight ? (int)(uint8_t)w - 128 - weight_zero : (int)w);
            }
        volatile float r;
        if (s.is_depthwise) {
            r = (float)(sum + o * 3) * (0.005f + (float)o * 1e-6f);
        } else {
            const int column = o % s.outputs;
            r = (float)(sum + column * 3) * (0.0007f + (float)column * 1e-6f);
            r = rintf(fminf(fmaxf(r, -120), 90)) * 0.7f;
            volatile float other = (float)((int8_t)residual[at] - 4) * 0.3f;
            r = r + other;
        }
        if ((int)rintf(fminf(fmaxf(r, -100), 155)) + 100 != target[at]) wrong++;
    }
    if (wrong) {
        fprintf(
            stderr, "level %d, %d groups, %d to %d, %dx%d, kernel %d: %ld of %zu results are wrong\n", (int)level, s.groups,
            s.inputs, s.outputs, s.height, s.width, s.kernel, wrong, results);
        failures++;
    }
    free(source), free(residual), free(target), free(weights), free(packed), free(sums), free(offset), free(zeros), free(scale);
}

int main(void) {
    static const shape shapes[] = {
        {1, 1, 3, 64, 17, 19, 7, 2, 3, 1, 0, 0, 0},   {2, 1, 64, 40, 9, 9, 3, 1, 1, 1, 0, 0, 0},
        {1, 1, 65, 33, 8, 8, 3, 1, 1, 2, 1, 0, 0},    {1, 1, 30, 64, 8, 8, 1, 1, 0, 1, 0, 1, 0},
        {1, 1, 30, 64, 8, 8, 3, 2, 1, 1, 1, 1, 0},    {1, 3, 6, 5, 7, 7, 3, 1, 1, 1, 1, 1, 0},
        {1, 2, 16, 40, 7, 7, 3, 1, 1, 1, 0, 0, 0},    {1, 96, 1, 1, 13, 11, 3, 1, 1, 1, 0, 0, 1},
        {1, 70, 1, 1, 13, 11, 3, 2, 1, 1, 1, 0, 1},   {2, 144, 1, 1, 7, 9, 5, 1, 2, 1, 0, 0, 1},
        {1, 40, 1, 1, 7, 9, 5, 2, 2, 1, 1, 0, 1},     {1, 40, 1, 1, 12, 9, 3, 1, 2, 2, 1, 0, 1},
        {1, 40, 1, 1, 12, 9, 4, 3, 2, 1, 0, 0, 1},    {1, 1, 200, 40, 6, 5, 3, 1, 1, 1, 1, 0, 0},
        // Deep ones, whose rows fit the caches in parts only.
        {1, 1, 900, 20, 5, 7, 3, 1, 1, 1, 0, 1, 0},   {1, 1, 2000, 70, 3, 9, 1, 1, 0, 1, 1, 0, 0}};
    int most = LEVEL_BASE;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) most = LEVEL_AVX2;
#ifdef TKERNEL_NARROW_HEADER
    most = LEVEL_VNNI;
#else
    if (__builtin_cpu_supports("avx512vnni")) most = LEVEL_VNNI;
#endif
#endif
    for (int l = LEVEL_BASE; l <= most; l++) {
        level = (tkernel_level)l;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) test(shapes[i]);
    }
    if (failures) fprintf(stderr, "integers: %d failures\n", failures);
    return failures != 0;
}
