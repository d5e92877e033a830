// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolutions of small integers, 64 channels at a time. Four rows of a column are woven into groups of four bytes, which
// one instruction multiplies and adds; a column serves all results that it is part of. Without instructions for bytes, two taps at a
// time are woven as 16-bit numbers.
#include "rounding.h"

enum { CHANNELS = 64, RESULTS = 4 };

// What is packed for 64 channels, in front of their weights.
typedef struct block_header {
    int32_t offset[CHANNELS];
    float scale[CHANNELS];
} block_header;

static int is_woven(const tkernel_integer_convolution *c) {
    const int64_t kernel = c->kernel[2], stride = c->stride[2];
    return tkernel_cpu_level() >= LEVEL_VNNI && c->kernel[1] == kernel && (kernel == 3 || kernel == 5)
        && c->stride[1] == stride && (stride == 1 || stride == 2) && c->dilation[1] == 1 && c->dilation[2] == 1;
}

static int is_paired(const tkernel_integer_convolution *c) {
    return tkernel_cpu_level() >= LEVEL_AVX2 && !is_woven(c);
}

static int64_t blocks(const tkernel_integer_convolution *c) { return (c->groups + CHANNELS - 1) / CHANNELS; }

static int64_t block_bytes(const tkernel_integer_convolution *c) {
    const int64_t taps = is_woven(c) ? c->kernel[2] * ((c->kernel[1] + 3) / 4) * 4 : c->kernel[1] * c->kernel[2];
    const int64_t bytes = is_paired(c) ? (taps + 1) / 2 * 4 : taps;
    return (int64_t)sizeof(block_header) + bytes * CHANNELS;
}

int tkernel_integer_depthwise_is_supported(const tkernel_integer_convolution *c) {
    return c->inputs == 1 && c->outputs == 1 && c->kernel[0] == 1 && c->source[0] == 1 && c->target[0] == 1
        && c->pad[0] == 0 && c->kernel[1] >= 1 && c->kernel[2] >= 1 && c->kernel[1] * c->kernel[2] <= 1 << 12
        && c->groups >= 8 && c->groups <= 1 << 24;
}

int64_t tkernel_integer_depthwise_weights(const tkernel_integer_convolution *c) { return blocks(c) * block_bytes(c); }

// Where a channel of a block lies among its 64 values: weaving deals out channels by fours within each 16 bytes.
static int64_t woven_place(int64_t channel) {
    const int64_t lane = channel / 16, rest = channel % 16;
    return rest / 4 * 16 + lane * 4 + rest % 4;
}

// The same for two taps as 16-bit numbers: by fours within each eight.
static int64_t paired_place(int64_t channel) {
    return channel / 16 * 16 + channel % 8 / 4 * 8 + channel % 16 / 8 * 4 + channel % 4;
}

void tkernel_integer_depthwise_pack(
    const tkernel_integer_convolution *c, const void *weights, int32_t is_unsigned, const int32_t *offset,
    const float *scale, void *into) {
    const uint8_t *bytes = weights, flip = is_unsigned ? 0x80 : 0;
    const int woven = is_woven(c), paired = is_paired(c);
    const int64_t kh = c->kernel[1], kw = c->kernel[2], fours = (kh + 3) / 4;
    memset(into, 0, (size_t)tkernel_integer_depthwise_weights(c));
    for (int64_t channel = 0; channel < c->groups; channel++) {
        uint8_t *block = (uint8_t *)into + channel / CHANNELS * block_bytes(c);
        block_header *header = (block_header *)block;
        int8_t *w = (int8_t *)(block + sizeof(block_header));
        const int64_t at = channel % CHANNELS, place = woven ? woven_place(at) : paired ? paired_place(at) : at;
        header->offset[place] = offset[channel];
        header->scale[place] = scale[channel];
        for (int64_t y = 0; y < kh; y++)
            for (int64_t x = 0; x < kw; x++) {
                const int8_t value = (int8_t)(bytes[(channel * kh + y) * kw + x] ^ flip);
                if (woven)
                    w[((x * fours + y / 4) * CHANNELS + place) * 4 + y % 4] = value;
                else if (paired)
                    ((int16_t *)w)[((y * kw + x) / 2 * CHANNELS + place) * 2 + (y * kw + x) % 2] = value;
                else
                    w[(y * kw + x) * CHANNELS + place] = value;
            }
    }
}

// MARK: - Any machine and shape

static void pixel_loop(
    const tkernel_epilogue *e, const block_header *header, int64_t taps, const uint8_t *const *sources, int64_t at,
    const int8_t *weights, int flip, int channels, uint8_t *restrict target) {
    int32_t sum[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) sum[c] = header->offset[c];
    for (int64_t t = 0; t < taps; t++) {
        const uint8_t *a = sources[t] + at;
        const int8_t *w = weights + t * CHANNELS;
        if (channels == CHANNELS)
            for (int c = 0; c < CHANNELS; c++) sum[c] += (a[c] ^ flip) * w[c];
        else
            for (int c = 0; c < channels; c++) sum[c] += (a[c] ^ flip) * w[c];
    }
    const float low = e->low, high = e->high;
    const int32_t zero = e->zero;
    if (channels == CHANNELS)
        for (int c = 0; c < CHANNELS; c++)
            target[c] = (uint8_t)(whole(bounded((float)sum[c] * header->scale[c], low, high)) + zero);
    else
        for (int c = 0; c < channels; c++)
            target[c] = (uint8_t)(whole(bounded((float)sum[c] * header->scale[c], low, high)) + zero);
}

#if defined(__x86_64__)
#include <immintrin.h>

// Up to 16 channels, and no byte behind them.
static inline __attribute__((always_inline, target("avx2"))) __m128i some_bytes(const uint8_t *p, const int count) {
    if (count >= 16) return _mm_loadu_si128((const __m128i *)p);
    if (count == 8) return _mm_loadl_epi64((const __m128i *)p);
    uint8_t bytes[16] = {0};
    memcpy(bytes, p, (size_t)count);
    return _mm_loadu_si128((const __m128i *)bytes);
}

// 16 channels of one result.
static inline __attribute__((always_inline, target("avx2"))) void paired_channels(
    const tkernel_epilogue *e, const block_header *header, int64_t taps, const uint8_t *const *sources, int64_t at,
    const int16_t *weights, __m128i flip, int64_t first, const int count, uint8_t *target) {
    __m256i left = _mm256_loadu_si256((const __m256i *)(header->offset + first));
    __m256i right = _mm256_loadu_si256((const __m256i *)(header->offset + first + 8));
    const int16_t *w = weights + 2 * first;
    for (int64_t t = 0; t < taps; t += 2, w += 2 * CHANNELS) {
        const __m256i a = _mm256_cvtepu8_epi16(_mm_xor_si128(some_bytes(sources[t] + at + first, count), flip));
        const __m256i b = t + 1 < taps
            ? _mm256_cvtepu8_epi16(_mm_xor_si128(some_bytes(sources[t + 1] + at + first, count), flip)) : _mm256_setzero_si256();
        left = _mm256_add_epi32(
            left, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), _mm256_loadu_si256((const __m256i *)w)));
        right = _mm256_add_epi32(
            right, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), _mm256_loadu_si256((const __m256i *)(w + 16))));
    }
    const __m256 low = _mm256_set1_ps(e->low), high = _mm256_set1_ps(e->high);
    const __m256i zero = _mm256_set1_epi32(e->zero);
    __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(left), _mm256_loadu_ps(header->scale + first));
    left = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_min_ps(high, _mm256_max_ps(low, f))), zero);
    f = _mm256_mul_ps(_mm256_cvtepi32_ps(right), _mm256_loadu_ps(header->scale + first + 8));
    right = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_min_ps(high, _mm256_max_ps(low, f))), zero);
    const __m256i both = _mm256_packs_epi32(left, right);
    const __m256i bytes = e->kind == TKERNEL_S8 ? _mm256_packs_epi16(both, both) : _mm256_packus_epi16(both, both);
    const __m128i result = _mm256_castsi256_si128(_mm256_permute4x64_epi64(bytes, 0x08));
    if (count >= 16) {
        _mm_storeu_si128((__m128i *)(target + first), result);
    } else {
        uint8_t some[16];
        _mm_storeu_si128((__m128i *)some, result);
        memcpy(target + first, some, (size_t)count);
    }
}

static __attribute__((noinline, target("avx2"))) void pixel_paired(
    const tkernel_epilogue *e, const block_header *header, int64_t taps, const uint8_t *const *sources, int64_t at,
    const int8_t *weights, int flip, int channels, uint8_t *target) {
    const __m128i flips = _mm_set1_epi8((char)flip);
    const int16_t *w = (const int16_t *)weights;
    int64_t c = 0;
    for (; c + 16 <= channels; c += 16) paired_channels(e, header, taps, sources, at, w, flips, c, 16, target);
    if (channels - c == 8)
        paired_channels(e, header, taps, sources, at, w, flips, c, 8, target);
    else if (c < channels)
        paired_channels(e, header, taps, sources, at, w, flips, c, channels - (int)c, target);
}
#endif

static void pixel(
    const tkernel_epilogue *e, const block_header *header, int64_t taps, const uint8_t *const *sources, int64_t at,
    const int8_t *weights, int flip, int channels, int paired, uint8_t *target) {
#if defined(__x86_64__)
    if (paired) {
        pixel_paired(e, header, taps, sources, at, weights, flip, channels, target);
        return;
    }
#endif
    pixel_loop(e, header, taps, sources, at, weights, flip, channels, target);
}

static void plain_row(
    const tkernel_integer_convolution *c, const tkernel_epilogue *e, const uint8_t *image, int64_t y, const uint8_t *weights,
    uint8_t *target, const uint8_t *padding, const uint8_t **sources) {
    const int64_t channels = c->groups, kh = c->kernel[1], kw = c->kernel[2], width = c->source[2];
    const int64_t reach = (kw - 1) * c->dilation[2], bytes = block_bytes(c);
    const int paired = is_paired(c), flip = c->is_signed ? 0x80 : 0;
    int was_inside = 0;
    for (int64_t x = 0; x < c->target[2]; x++) {
        const int64_t x0 = x * c->stride[2] - c->pad[2];
        const int is_inside = x0 >= 0 && x0 + reach < width;
        for (int64_t i = 0; i < kh; i++) {
            const int64_t sy = y * c->stride[1] - c->pad[1] + i * c->dilation[1];
            const int has_row = sy >= 0 && sy < c->source[1];
            const uint8_t **to = sources + i * kw;
            if (is_inside && was_inside) {
                const int64_t step = has_row ? c->stride[2] * channels : 0;
                for (int64_t j = 0; j < kw; j++) to[j] += step;
                continue;
            }
            for (int64_t j = 0; j < kw; j++) {
                const int64_t sx = x0 + j * c->dilation[2];
                to[j] = has_row && sx >= 0 && sx < width ? image + (sy * width + sx) * channels : padding;
            }
        }
        was_inside = is_inside;
        const uint8_t *packed = weights;
        for (int64_t first = 0; first < channels; first += CHANNELS, packed += bytes)
            pixel(
                e, (const block_header *)packed, kh * kw, sources, first, (const int8_t *)packed + sizeof(block_header), flip,
                (int)(channels - first < CHANNELS ? channels - first : CHANNELS), paired, target + x * channels + first);
    }
}

// MARK: - Woven

#if defined(__x86_64__)
#include "bytes512.h"

#define UNROLL _Pragma("clang loop unroll(full)")

typedef struct line {
    const uint8_t *start; // of the first channel of the block
    int64_t step;
} line;

// Up to four results of one row.
static inline __attribute__((always_inline)) VNNI void woven_results(
    const int kernel, const int stride, const int results, const tkernel_epilogue *e, const block_header *header,
    const line *lines, const uint8_t *padding, int64_t x0, int64_t width, const int8_t *weights, __m512i flip,
    __mmask64 mask, const int is_signed_result, uint8_t *target, int64_t pixel) {
    const int fours = (kernel + 3) / 4;
    __m512i sum[RESULTS][4];
    UNROLL for (int r = 0; r < results; r++)
        UNROLL for (int i = 0; i < 4; i++) sum[r][i] = _mm512_loadu_si512(header->offset + 16 * i);
    UNROLL for (int column = 0; column < (results - 1) * stride + kernel; column++) {
        const int64_t x = x0 + column;
        const int inside = x >= 0 && x < width;
        UNROLL for (int four = 0; four < fours; four++) {
            __m512i row[4];
            UNROLL for (int i = 0; i < 4; i++) {
                if (four * 4 + i < kernel) {
                    const line *l = lines + four * 4 + i;
                    const uint8_t *p = inside ? l->start + x * l->step : padding;
                    row[i] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, p), flip);
                } else {
                    row[i] = _mm512_setzero_si512();
                }
            }
            const __m512i low01 = _mm512_unpacklo_epi8(row[0], row[1]), high01 = _mm512_unpackhi_epi8(row[0], row[1]);
            const __m512i low23 = _mm512_unpacklo_epi8(row[2], row[3]), high23 = _mm512_unpackhi_epi8(row[2], row[3]);
            const __m512i woven[4] = {
                _mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
                _mm512_unpacklo_epi16(high01, high23), _mm512_unpackhi_epi16(high01, high23)};
            UNROLL for (int r = 0; r < results; r++) {
                const int tap = column - r * stride;
                if (tap < 0 || tap >= kernel) continue;
                const int8_t *w = weights + (int64_t)(tap * fours + four) * CHANNELS * 4;
                UNROLL for (int i = 0; i < 4; i++)
                    sum[r][i] = _mm512_dpbusd_epi32(sum[r][i], woven[i], _mm512_loadu_si512(w + 64 * i));
            }
        }
    }
    const __m512 low = _mm512_set1_ps(e->low), high = _mm512_set1_ps(e->high);
    const __m512i zero = _mm512_set1_epi32(e->zero);
    UNROLL for (int r = 0; r < results; r++) {
        __m512i q[4];
        UNROLL for (int i = 0; i < 4; i++) {
            __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][i]), _mm512_loadu_ps(header->scale + 16 * i));
            f = _mm512_min_ps(high, _mm512_max_ps(low, f));
            q[i] = _mm512_add_epi32(
                _mm512_cvt_roundps_epi32(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), zero);
        }
        const __m512i left = _mm512_packs_epi32(q[0], q[1]), right = _mm512_packs_epi32(q[2], q[3]);
        const __m512i all =
            is_signed_result ? _mm512_packs_epi16(left, right) : _mm512_packus_epi16(left, right);
        _mm512_mask_storeu_epi8(target + r * pixel, mask, all);
    }
}

#define WOVEN(kernel, stride, results) \
    VNNI static __attribute__((noinline)) void woven_##kernel##_##stride##_##results( \
        const tkernel_epilogue *e, const block_header *header, const line *lines, const uint8_t *padding, int64_t x0, \
        int64_t width, const int8_t *weights, int flip, uint64_t mask, uint8_t *target, int64_t pixel) { \
        const __m512i flips = _mm512_set1_epi8((char)flip); \
        if (e->kind == TKERNEL_S8) \
            woven_results( \
                kernel, stride, results, e, header, lines, padding, x0, width, weights, flips, mask, 1, target, pixel); \
        else \
            woven_results( \
                kernel, stride, results, e, header, lines, padding, x0, width, weights, flips, mask, 0, target, pixel); \
    }
#define WOVENS(kernel, stride) \
    WOVEN(kernel, stride, 1) WOVEN(kernel, stride, 2) WOVEN(kernel, stride, 3) WOVEN(kernel, stride, 4)
WOVENS(3, 1) WOVENS(3, 2) WOVENS(5, 1) WOVENS(5, 2)

typedef void woven_function(
    const tkernel_epilogue *, const block_header *, const line *, const uint8_t *, int64_t, int64_t, const int8_t *, int,
    uint64_t, uint8_t *, int64_t);
#define TABLE(kernel, stride) \
    {woven_##kernel##_##stride##_1, woven_##kernel##_##stride##_2, woven_##kernel##_##stride##_3, \
     woven_##kernel##_##stride##_4}
static woven_function *const woven[2][2][RESULTS] = {{TABLE(3, 1), TABLE(3, 2)}, {TABLE(5, 1), TABLE(5, 2)}};

static void woven_row(
    const tkernel_integer_convolution *c, const tkernel_epilogue *e, const uint8_t *image, int64_t y, const uint8_t *weights,
    uint8_t *target, const uint8_t *padding) {
    const int64_t channels = c->groups, kernel = c->kernel[2], stride = c->stride[2];
    woven_function *const *functions = woven[kernel == 5][stride == 2];
    for (int64_t block = 0; block < blocks(c); block++) {
        const int64_t first = block * CHANNELS, rest = channels - first;
        const uint64_t mask = rest >= CHANNELS ? ~(uint64_t)0 : ((uint64_t)1 << rest) - 1;
        const uint8_t *packed = weights + block * block_bytes(c);
        line lines[8];
        for (int64_t i = 0; i < kernel; i++) {
            const int64_t sy = y * stride - c->pad[1] + i;
            const int inside = sy >= 0 && sy < c->source[1];
            lines[i] = inside ? (line){image + sy * c->source[2] * channels + first, channels} : (line){padding, 0};
        }
        for (int64_t x = 0; x < c->target[2];) {
            const int64_t left = c->target[2] - x, count = left < RESULTS ? left : RESULTS;
            functions[count - 1](
                e, (const block_header *)packed, lines, padding, x * stride - c->pad[2], c->source[2],
                (const int8_t *)packed + sizeof(block_header), c->is_signed ? 0x80 : 0, mask,
                target + x * channels + first, channels);
            x += count;
        }
    }
}
#endif

int64_t tkernel_integer_depthwise_scratch(const tkernel_integer_convolution *c) {
    return c->kernel[1] * c->kernel[2] * (int64_t)sizeof(uint8_t *) + c->groups;
}

void tkernel_integer_depthwise_run(
    const tkernel_integer_convolution *c, const tkernel_epilogue *e, int64_t begin, int64_t end, const uint8_t *source,
    const void *weights, uint8_t *target, uint8_t *scratch) {
    const int64_t channels = c->groups;
    // Behind the addresses of the plain form: one value for all channels.
    uint8_t *padding = scratch + c->kernel[1] * c->kernel[2] * (int64_t)sizeof(uint8_t *);
    memset(padding, c->zero, (size_t)channels);
    for (int64_t row = begin; row < end; row++) {
        const int64_t image = row / c->target[1], y = row % c->target[1];
        const uint8_t *from = source + image * c->source[1] * c->source[2] * channels;
        uint8_t *to = target + row * c->target[2] * channels;
#if defined(__x86_64__)
        if (is_woven(c)) {
            woven_row(c, e, from, y, weights, to, padding);
            continue;
        }
#endif
        plain_row(c, e, from, y, weights, to, padding, (const uint8_t **)scratch);
    }
}
