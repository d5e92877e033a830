// SPDX-License-Identifier: Apache-2.0
//
// Convolutions of small integers: where the pieces of each row lie is written down for 56 pixels at a time.
#include "levels.h"

#include <string.h>

enum { ROWS = TKERNEL_INTEGER_ROWS, COLUMNS = TKERNEL_INTEGER_COLUMNS };

static int64_t product(const int64_t n[3]) { return n[0] * n[1] * n[2]; }
static int64_t padded(int64_t bytes) { return (bytes + 3) / 4 * 4; }

tkernel_integer tkernel_integer_of(const tkernel_integer_convolution *c) {
    return (tkernel_integer){c->inputs, product(c->kernel), c->outputs};
}

static int64_t row_groups(const tkernel_integer_convolution *c) {
    return (c->batch * product(c->target) + ROWS - 1) / ROWS;
}

int64_t tkernel_integer_convolution_pieces(const tkernel_integer_convolution *c) {
    const tkernel_integer p = tkernel_integer_of(c);
    return c->groups * row_groups(c) * tkernel_integer_blocks(&p);
}

// A multiple of 64, behind which the product's own begins.
static int64_t own_scratch(const tkernel_integer_convolution *c) {
    return (product(c->kernel) * ROWS * (int64_t)sizeof(uint8_t *) + 2 * padded(c->inputs) + 63) / 64 * 64;
}

// Addresses, a pixel of padding, and a copy of the last pixel, behind which nothing may be read.
int64_t tkernel_integer_convolution_scratch(const tkernel_integer_convolution *c) {
    const tkernel_integer p = tkernel_integer_of(c);
    return own_scratch(c) + tkernel_integer_scratch(&p);
}

static void find_rows(
    const tkernel_integer_convolution *c, int64_t group, int64_t begin, int64_t count, const uint8_t *source,
    const uint8_t **rows, const uint8_t *padding, uint8_t *last) {
    const int64_t channels = c->groups * c->inputs, pixels = c->batch * product(c->source);
    const uint8_t *final = source + (pixels - 1) * channels + group * c->inputs;
    const int is_cut = c->inputs % 4 != 0 && group == c->groups - 1;
    if (is_cut) memcpy(last, final, (size_t)c->inputs);
    int64_t at = begin, w = at % c->target[2];
    at /= c->target[2];
    int64_t h = at % c->target[1];
    at /= c->target[1];
    int64_t d = at % c->target[0], image = at / c->target[0];
    for (int64_t r = 0; r < count; r++) {
        const int64_t z0 = d * c->stride[0] - c->pad[0], y0 = h * c->stride[1] - c->pad[1];
        const int64_t x0 = w * c->stride[2] - c->pad[2];
        const uint8_t **to = rows + r;
        for (int64_t i = 0; i < c->kernel[0]; i++)
            for (int64_t j = 0; j < c->kernel[1]; j++) {
                const int64_t z = z0 + i * c->dilation[0], y = y0 + j * c->dilation[1];
                const int inside = z >= 0 && z < c->source[0] && y >= 0 && y < c->source[1];
                const uint8_t *line = source
                    + (((image * c->source[0] + z) * c->source[1] + y) * c->source[2]) * channels + group * c->inputs;
                for (int64_t k = 0; k < c->kernel[2]; k++, to += count) {
                    const int64_t x = x0 + k * c->dilation[2];
                    const uint8_t *p = inside && x >= 0 && x < c->source[2] ? line + x * channels : padding;
                    *to = is_cut && p == final ? last : p;
                }
            }
        if (++w < c->target[2]) continue;
        w = 0;
        if (++h < c->target[1]) continue;
        h = 0;
        if (++d < c->target[0]) continue;
        d = 0;
        image++;
    }
}

void tkernel_integer_convolution_run(
    const tkernel_integer_convolution *c, const tkernel_epilogue *epilogue, int64_t begin, int64_t end,
    const uint8_t *source, const int8_t *weights, const void *residual, void *target, uint8_t *scratch) {
    const tkernel_integer p = tkernel_integer_of(c);
    const int64_t blocks = tkernel_integer_blocks(&p), groups_of_rows = row_groups(c), stride = c->groups * c->outputs;
    const int64_t pixels = c->batch * product(c->target);
    const int64_t size = epilogue->kind == TKERNEL_S32 || epilogue->kind < 0 ? 4 : 1;
    const uint8_t **rows = (const uint8_t **)scratch;
    uint8_t *padding = scratch + product(c->kernel) * ROWS * (int64_t)sizeof(uint8_t *);
    uint8_t *last = padding + padded(c->inputs);
    memset(padding, c->zero, (size_t)padded(c->inputs));
    while (begin < end) {
        const int64_t block = begin % blocks, rest = begin / blocks;
        const int64_t row_group = rest % groups_of_rows, group = rest / groups_of_rows;
        const int64_t past = end - begin < blocks - block ? block + (end - begin) : blocks;
        const int64_t first = row_group * ROWS, count = pixels - first < ROWS ? pixels - first : ROWS;
        find_rows(c, group, first, count, source, rows, padding, last);
        tkernel_epilogue e = *epilogue;
        const int64_t column = group * blocks * COLUMNS, place = first * stride + group * c->outputs;
        e.offset += column;
        if (e.weight_zero) e.weight_zero += column;
        if (e.scale) e.scale += column;
        if (e.bias) e.bias += column;
        tkernel_integer_run(
            &p, &e, c->is_signed, rows, count, weights + group * tkernel_integer_weights(&p), block, past,
            residual ? (const uint8_t *)residual + place : NULL, (uint8_t *)target + place * size, stride,
            scratch + own_scratch(c));
        begin += past - block;
    }
}
