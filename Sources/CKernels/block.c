// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#include <stddef.h>
#include <string.h>

enum { TILE = 14, PAIR = 2 };

// Bytes of expanded rows that are kept at a time, so that they stay in the first cache.
enum { NEAR_BYTES = 26 * 1024 };

static int64_t blocks_of(int64_t channels) { return (channels + LANES - 1) / LANES; }

// Columns of an expanded row, padding on both sides included.
static int64_t padded_width(const tkernel_block *b) {
    int64_t reach = (b->out_width - 1) * b->stride + b->kernel;
    return b->pad_left + b->width > reach ? b->pad_left + b->width : reach;
}

// Blocks of 16 channels that go together.
static int64_t group_of(const tkernel_block *b) {
    int64_t bytes = PAIR * b->kernel * padded_width(b) * LANES * (int64_t)sizeof(float);
    return blocks_of(b->channels) >= PAIR && bytes <= NEAR_BYTES ? PAIR : 1;
}

static int64_t weights_per_block(const tkernel_block *b) { return (b->inputs + b->kernel * b->kernel + 2) * LANES; }

int64_t tkernel_block_weights(const tkernel_block *b) {
    int64_t total;
    return __builtin_mul_overflow(blocks_of(b->channels), weights_per_block(b), &total) ? 0 : total;
}

int64_t tkernel_block_scratch(const tkernel_block *b) {
    // Expanded rows, a row of zeros, and the source in blocks where it is not.
    const int64_t staged = b->source.pixel == LANES ? 0 : blocks_of(b->inputs) * b->height * b->width * LANES;
    return (group_of(b) * b->kernel + 1) * padded_width(b) * LANES + staged;
}

void tkernel_block_pack(
    const tkernel_block *b, const float *pointwise, const float *pointwise_bias, const float *depthwise,
    const float *depthwise_bias, float *into) {
    const int64_t taps = b->kernel * b->kernel;
    for (int64_t block = 0; block < blocks_of(b->channels); block++)
        for (int64_t lane = 0; lane < LANES; lane++) {
            const int64_t channel = block * LANES + lane;
            const int is_real = channel < b->channels;
            float *to = into + block * weights_per_block(b) + lane;
            for (int64_t i = 0; i < b->inputs; i++, to += LANES) *to = is_real ? pointwise[channel * b->inputs + i] : 0;
            *to = is_real && pointwise_bias ? pointwise_bias[channel] : 0, to += LANES;
            for (int64_t i = 0; i < taps; i++, to += LANES) *to = is_real ? depthwise[channel * taps + i] : 0;
            *to = is_real && depthwise_bias ? depthwise_bias[channel] : 0;
        }
}

static int64_t groups_of(const tkernel_block *b) { return (blocks_of(b->channels) + group_of(b) - 1) / group_of(b); }

// Either channels are shared out, and some threads may have more of them, or rows, and those at the seams are computed twice.
static int64_t bands_of(const tkernel_block *b, int64_t threads) {
    const int64_t groups = b->batch * groups_of(b);
    if (threads <= 1 || threads > b->out_height) return 1;
    const double by_channels = (double)((groups + threads - 1) / threads * threads) / (double)groups;
    const int64_t rows = (b->out_height + threads - 1) / threads;
    const double by_rows = (double)(((rows - 1) * b->stride + b->kernel) * threads) / (double)b->height;
    return by_rows < by_channels ? threads : 1;
}

int64_t tkernel_block_pieces(const tkernel_block *b, int64_t threads) {
    return b->batch * groups_of(b) * bands_of(b, threads);
}

#if defined(__x86_64__)
int tkernel_block_is_supported(const tkernel_block *b) {
    return tkernel_isa() >= TKERNEL_ISA_AVX512 && (b->kernel == 3 || b->kernel == 5) && (b->stride == 1 || b->stride == 2)
        && b->pad_top >= 0 && b->pad_top < b->kernel && b->pad_left >= 0 && b->pad_left < b->kernel && b->inputs >= 0
        && b->channels > 0 && b->batch > 0 && b->width > 0 && b->height > 0 && b->out_width > 0 && b->out_height > 0;
}

// `pixels` pixels of `blocks` blocks of 16 channels, from source blocks whose pixels lie 16 apart.
INLINE void expand_tile(
    const int pixels, const int blocks, const int function, const float *source, int64_t source_block, int64_t inputs,
    const float *weights, int64_t weights_block, float *into, int64_t into_block, const bound_activation *a) {
    __m512 sum[TILE][PAIR];
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int o = 0; o < blocks; o++)
            sum[p][o] = _mm512_loadu_ps(weights + o * weights_block + inputs * LANES);
    for (int64_t first = 0; first < inputs; first += LANES, source += source_block) {
        const int64_t count = inputs - first < LANES ? inputs - first : LANES;
        const float *w = weights + first * LANES;
        for (int64_t i = 0; i < count; i++, w += LANES) {
            __m512 row[PAIR];
            UNROLL for (int o = 0; o < blocks; o++) row[o] = _mm512_loadu_ps(w + o * weights_block);
            UNROLL for (int p = 0; p < pixels; p++) {
                const __m512 x = _mm512_set1_ps(source[p * LANES + i]);
                UNROLL for (int o = 0; o < blocks; o++) sum[p][o] = _mm512_fmadd_ps(row[o], x, sum[p][o]);
            }
        }
    }
    UNROLL for (int p = 0; p < pixels; p++)
        UNROLL for (int o = 0; o < blocks; o++)
            _mm512_storeu_ps(into + o * into_block + p * LANES, apply(sum[p][o], a, function));
}

INLINE void expand_columns(
    const int blocks, const int function, const tkernel_block *b, const float *source, int64_t source_block,
    const float *weights, float *into, int64_t into_block, const bound_activation *a) {
    const int64_t weights_block = weights_per_block(b);
    int64_t x = 0;
#define TILES(n) \
    for (; x + n <= b->width; x += n) \
        expand_tile( \
            n, blocks, function, source + x * LANES, source_block, b->inputs, weights, weights_block, into + x * LANES, \
            into_block, a);
    TILES(14)
    TILES(7)
    TILES(4)
    TILES(1)
#undef TILES
}

WIDE static __attribute__((noinline)) void expand_row(
    int blocks, const tkernel_block *b, const float *source, int64_t source_block, const float *weights, float *into,
    int64_t into_block, const bound_activation *a) {
#define CASE(function) \
    case function: \
        if (blocks == 2) \
            expand_columns(2, function, b, source, source_block, weights, into, into_block, a); \
        else \
            expand_columns(1, function, b, source, source_block, weights, into, into_block, a); \
        break;
    switch (a->function) {
        CASE(TKERNEL_RELU)
        CASE(TKERNEL_CLIP)
        CASE(TKERNEL_SWISH)
        CASE(TKERNEL_HARDSWISH)
        CASE(TKERNEL_IDENTITY)
    }
#undef CASE
}

// A row of the source as it is, where there is no first convolution.
WIDE static void copy_row(
    const tkernel_block *b, int64_t first, int count, const float *source, float *into, int64_t into_block) {
    for (int o = 0; o < count; o++, into += into_block) {
        const float *from = source + (first + o) * b->source.block;
        if (b->source.pixel == LANES) {
            memcpy(into, from, (size_t)b->width * LANES * sizeof *into);
            continue;
        }
        const int64_t left = b->channels - (first + o) * LANES;
        const __mmask16 mask = (__mmask16)(left < LANES ? (1 << left) - 1 : 0xFFFF);
        for (int64_t x = 0; x < b->width; x++, from += b->source.pixel)
            _mm512_storeu_ps(into + x * LANES, _mm512_maskz_loadu_ps(mask, from));
    }
}

INLINE void depthwise_tile(
    const int pixels, const int kernel, const int stride, const int function, const float *const *rows,
    const float *weights, float *into, int64_t pixel, __mmask16 mask, const bound_activation *a) {
    __m512 sum[TILE];
    UNROLL for (int p = 0; p < pixels; p++) sum[p] = _mm512_loadu_ps(weights + kernel * kernel * LANES);
    UNROLL for (int y = 0; y < kernel; y++) {
        const float *row = rows[y];
        UNROLL for (int x = 0; x < kernel; x++) {
            const __m512 w = _mm512_loadu_ps(weights + (y * kernel + x) * LANES);
            UNROLL for (int p = 0; p < pixels; p++)
                sum[p] = _mm512_fmadd_ps(_mm512_loadu_ps(row + (p * stride + x) * LANES), w, sum[p]);
        }
    }
    UNROLL for (int p = 0; p < pixels; p++)
        _mm512_mask_storeu_ps(into + p * pixel, mask, apply(sum[p], a, function));
}

INLINE void depthwise_columns(
    const int kernel, const int stride, const int function, const tkernel_block *b, const float *const *rows,
    const float *weights, float *into, __mmask16 mask, const bound_activation *a) {
    const float *at[5];
    int64_t x = 0;
#define TILES(n) \
    for (; x + n <= b->out_width; x += n) { \
        UNROLL for (int y = 0; y < kernel; y++) at[y] = rows[y] + x * stride * LANES; \
        depthwise_tile(n, kernel, stride, function, at, weights, into + x * b->target.pixel, b->target.pixel, mask, a); \
    }
    TILES(14)
    TILES(7)
    TILES(4)
    TILES(1)
#undef TILES
}

#define DEPTHWISE(kernel, stride) \
    WIDE static __attribute__((noinline)) void depthwise_##kernel##_##stride( \
        const tkernel_block *b, const float *const *rows, const float *weights, float *into, __mmask16 mask, \
        const bound_activation *a) { \
        switch (a->function) { \
        case TKERNEL_RELU: depthwise_columns(kernel, stride, TKERNEL_RELU, b, rows, weights, into, mask, a); break; \
        case TKERNEL_CLIP: depthwise_columns(kernel, stride, TKERNEL_CLIP, b, rows, weights, into, mask, a); break; \
        case TKERNEL_SWISH: depthwise_columns(kernel, stride, TKERNEL_SWISH, b, rows, weights, into, mask, a); break; \
        case TKERNEL_HARDSWISH: \
            depthwise_columns(kernel, stride, TKERNEL_HARDSWISH, b, rows, weights, into, mask, a); \
            break; \
        default: depthwise_columns(kernel, stride, TKERNEL_IDENTITY, b, rows, weights, into, mask, a); \
        } \
    }
DEPTHWISE(3, 1)
DEPTHWISE(3, 2)
DEPTHWISE(5, 1)
DEPTHWISE(5, 2)

typedef void depthwise_row(
    const tkernel_block *, const float *const *, const float *, float *, __mmask16, const bound_activation *);

// Rows of a picture that are there in blocks.
typedef struct source_rows {
    const float *data;
    int64_t row, block;
} source_rows;

// Rows `begin` to `end` of a picture, copied where pixels do not lie in blocks: the kernel wants to know their distance.
WIDE static source_rows stage(const tkernel_block *b, const float *source, int64_t begin, int64_t end, float *into) {
    if (b->source.pixel == LANES || b->inputs == 0) return (source_rows){source, b->source.row, b->source.block};
    const int64_t block = (end - begin) * b->width * LANES;
    for (int64_t y = begin; y < end; y++)
        for (int64_t x = 0; x < b->width; x++) {
            const float *from = source + y * b->source.row + x * b->source.pixel;
            float *to = into + ((y - begin) * b->width + x) * LANES;
            for (int64_t left = b->inputs; left > 0; left -= LANES, from += b->source.block, to += block) {
                const __mmask16 mask = (__mmask16)(left < LANES ? (1 << left) - 1 : 0xFFFF);
                _mm512_storeu_ps(to, _mm512_maskz_loadu_ps(mask, from));
            }
        }
    return (source_rows){into - begin * b->width * LANES, b->width * LANES, block};
}

// One group of channels of one picture, rows `begin` to `end` of the result.
WIDE static void run_piece(
    const tkernel_block *b, int64_t group, int64_t begin, int64_t end, source_rows source, const float *weights,
    float *target, float *ring) {
    const int64_t blocks = blocks_of(b->channels), size = group_of(b), first = group * size;
    const int count = (int)(first + size <= blocks ? size : blocks - first);
    const int64_t row_floats = padded_width(b) * LANES, ring_block = b->kernel * row_floats;
    const float *zeros = ring + size * ring_block;
    const bound_activation middle = bind(&b->middle), last = bind(&b->last);
    depthwise_row *depthwise = b->kernel == 3 ? (b->stride == 1 ? depthwise_3_1 : depthwise_3_2)
                                              : (b->stride == 1 ? depthwise_5_1 : depthwise_5_2);
    weights += first * weights_per_block(b);
    int64_t next = begin * b->stride - b->pad_top;
    for (int64_t y = begin; y < end; y++) {
        const int64_t top = y * b->stride - b->pad_top;
        for (next = next < top ? top : next; next < top + b->kernel; next++) {
            if (next < 0 || next >= b->height) continue;
            const float *from = source.data + next * source.row;
            float *into = ring + next % b->kernel * row_floats + b->pad_left * LANES;
            if (b->inputs == 0)
                copy_row(b, first, count, from, into, ring_block);
            else
                expand_row(count, b, from, source.block, weights, into, ring_block, &middle);
        }
        for (int64_t o = 0; o < count; o++) {
            const float *rows[5];
            for (int64_t k = 0; k < b->kernel; k++) {
                const int64_t r = top + k;
                rows[k] = r < 0 || r >= b->height ? zeros : ring + o * ring_block + r % b->kernel * row_floats;
            }
            const int64_t left = b->channels - (first + o) * LANES;
            // Memory in blocks has room for whole ones, whose rest is zero.
            const int is_whole = left >= LANES || b->target.pixel == LANES;
            depthwise(
                b, rows, weights + o * weights_per_block(b) + (b->inputs + 1) * LANES,
                target + y * b->target.row + (first + o) * b->target.block,
                (__mmask16)(is_whole ? 0xFFFF : (1 << left) - 1), &last);
        }
    }
}

WIDE void tkernel_block_run(
    const tkernel_block *b, int64_t pieces, int64_t begin, int64_t end, const float *source, const float *weights,
    float *target, float *scratch) {
    const int64_t groups = groups_of(b), per_band = groups * b->batch, bands = pieces / per_band;
    const int64_t ring_floats = (group_of(b) * b->kernel + 1) * padded_width(b) * LANES;
    // Only padding is read before it is written.
    memset(scratch, 0, (size_t)ring_floats * sizeof *scratch);
    source_rows rows = {0};
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t band = piece / per_band, image = piece % per_band / groups, group = piece % groups;
        const int64_t top = band * b->out_height / bands, bottom = (band + 1) * b->out_height / bands;
        if (piece == begin || group == 0) {
            const int64_t low = top * b->stride - b->pad_top, high = (bottom - 1) * b->stride - b->pad_top + b->kernel;
            rows = stage(
                b, source + image * b->source.image, low < 0 ? 0 : low, high < b->height ? high : b->height,
                scratch + ring_floats);
        }
        run_piece(b, group, top, bottom, rows, weights, target + image * b->target.image, scratch);
    }
}

#else

int tkernel_block_is_supported(const tkernel_block *b) {
    (void)b;
    return 0;
}

void tkernel_block_run(
    const tkernel_block *b, int64_t pieces, int64_t begin, int64_t end, const float *source, const float *weights,
    float *target, float *scratch) {
    (void)b, (void)pieces, (void)begin, (void)end, (void)source, (void)weights, (void)target, (void)scratch;
}

#endif
