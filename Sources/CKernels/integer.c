// SPDX-License-Identifier: Apache-2.0
//
// Products of small integers with exact sums: four neighbouring bytes of a row at a time, times the same of 32 outputs.
#include "rounding.h"

enum { COLUMNS = TKERNEL_INTEGER_COLUMNS, MOST_ROWS = 14 };

// With 16-bit numbers: rows of a tile, outputs of a panel, and pairs of the depth whose weights stay in the first cache.
enum { WIDE_ROWS = 6, PANEL = 16, MOST_PAIRS = 384 };

// Whether weights are packed, and rows read, as 16-bit numbers.
static int is_wide(void) { return tkernel_cpu_level() < LEVEL_VNNI; }

static int64_t quads(const tkernel_integer *p) { return (p->inputs + 3) / 4; }

int64_t tkernel_integer_blocks(const tkernel_integer *p) { return (p->outputs + COLUMNS - 1) / COLUMNS; }

int64_t tkernel_integer_weights(const tkernel_integer *p) {
    int64_t bytes;
    if (p->inputs < 1 || p->taps < 1 || p->outputs < 1 || p->inputs > 1 << 24 || p->outputs > INT32_MAX) return 0;
    if (__builtin_mul_overflow(quads(p) * 4 * COLUMNS * (is_wide() ? 2 : 1), p->taps, &bytes)
        || __builtin_mul_overflow(bytes, tkernel_integer_blocks(p), &bytes) || bytes > INT64_MAX / 4)
        return 0;
    return bytes;
}

void tkernel_integer_pack(
    const tkernel_integer *p, const void *weights, int32_t is_unsigned, int64_t output_stride, int64_t input_stride,
    int64_t tap_stride, int8_t *into, int32_t *sums) {
    const uint8_t *bytes = weights, flip = is_unsigned ? 0x80 : 0;
    const int64_t deep = quads(p), blocks = tkernel_integer_blocks(p);
    const int wide = is_wide();
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t column = 0; column < COLUMNS; column++) {
            const int64_t output = block * COLUMNS + column;
            int32_t sum = 0;
            for (int64_t tap = 0; tap < p->taps; tap++)
                for (int64_t k = 0; k < deep * 4; k++) {
                    int8_t w = 0;
                    if (output < p->outputs && k < p->inputs)
                        w = (int8_t)(bytes[output * output_stride + k * input_stride + tap * tap_stride] ^ flip);
                    const int64_t quad = (block * p->taps + tap) * deep + k / 4;
                    if (wide) {
                        const int64_t panel = block * (COLUMNS / PANEL) + column / PANEL, pair = tap * deep * 2 + k / 2;
                        ((int16_t *)into)[((panel * p->taps * deep * 2 + pair) * PANEL + column % PANEL) * 2 + k % 2] = w;
                    } else
                        into[(quad * COLUMNS + column) * 4 + k % 4] = w;
                    sum += w;
                }
            sums[output] = sum;
        }
}

// Rows that are widened together: they stay in the second cache while all outputs are computed.
static int64_t wide_group(const tkernel_integer *p) {
    const int64_t rows = (128 << 10) / (p->taps * quads(p) * 4) / WIDE_ROWS * WIDE_ROWS;
    return rows < WIDE_ROWS ? WIDE_ROWS : rows < TKERNEL_INTEGER_ROWS ? rows : TKERNEL_INTEGER_ROWS;
}

// Rows of a group as 16-bit numbers, and what is written behind the last of them.
int64_t tkernel_integer_scratch(const tkernel_integer *p) {
    return is_wide() ? wide_group(p) * p->taps * quads(p) * 4 * (int64_t)sizeof(int16_t) + 64 : 0;
}

// MARK: - Sums

LOOP int32_t four_bytes(const uint8_t *p) {
    int32_t value;
    memcpy(&value, p, 4);
    return value;
}

#if defined(__x86_64__)
typedef void tile_function(
    int64_t taps, int64_t deep, const uint8_t *const *rows, int64_t stride, const int8_t *weights, int32_t *sums);

#include "bytes512.h"

#define UNROLL _Pragma("clang loop unroll(full)")

static inline __attribute__((always_inline)) VNNI __m512i spread(const uint8_t *p, const int flip) {
    __m512i a = _mm512_set1_epi32(four_bytes(p));
    return flip ? _mm512_xor_si512(a, _mm512_set1_epi8((char)0x80)) : a;
}

// Few rows have two sets of sums, so that one's additions need not wait for another's.
static inline __attribute__((always_inline)) VNNI void tile_vnni(
    const int count, const int flip, int64_t taps, int64_t deep, const uint8_t *const *rows, int64_t stride,
    const int8_t *weights, int32_t *sums) {
    const int sets = count <= 6 ? 2 : 1;
    __m512i sum[MOST_ROWS][2];
    UNROLL for (int i = 0; i < count * sets; i++) sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    for (int64_t tap = 0; tap < taps; tap++) {
        const uint8_t *row[MOST_ROWS];
        UNROLL for (int r = 0; r < count; r++) row[r] = rows[tap * stride + r];
        int64_t k = 0;
        for (; k + sets <= deep; k += sets, weights += sets * COLUMNS * 4)
            UNROLL for (int s = 0; s < sets; s++) {
                const __m512i left = _mm512_loadu_si512(weights + s * COLUMNS * 4);
                const __m512i right = _mm512_loadu_si512(weights + s * COLUMNS * 4 + 64);
                UNROLL for (int r = 0; r < count; r++) {
                    const __m512i a = spread(row[r] + 4 * (k + s), flip);
                    sum[s * count + r][0] = _mm512_dpbusd_epi32(sum[s * count + r][0], a, left);
                    sum[s * count + r][1] = _mm512_dpbusd_epi32(sum[s * count + r][1], a, right);
                }
            }
        for (; k < deep; k++, weights += COLUMNS * 4) {
            const __m512i left = _mm512_loadu_si512(weights), right = _mm512_loadu_si512(weights + 64);
            UNROLL for (int r = 0; r < count; r++) {
                const __m512i a = spread(row[r] + 4 * k, flip);
                sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], a, left);
                sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], a, right);
            }
        }
    }
    UNROLL for (int r = 0; r < count; r++) UNROLL for (int half = 0; half < 2; half++) {
        __m512i all = sum[r][half];
        if (sets == 2) all = _mm512_add_epi32(all, sum[count + r][half]);
        _mm512_storeu_si512(sums + r * COLUMNS + 16 * half, all);
    }
}

#define TILE(count) \
    VNNI static __attribute__((noinline)) void tile_##count( \
        int64_t taps, int64_t deep, const uint8_t *const *rows, int64_t stride, const int8_t *weights, int32_t *sums) { \
        tile_vnni(count, 0, taps, deep, rows, stride, weights, sums); \
    } \
    VNNI static __attribute__((noinline)) void tile_flip_##count( \
        int64_t taps, int64_t deep, const uint8_t *const *rows, int64_t stride, const int8_t *weights, int32_t *sums) { \
        tile_vnni(count, 1, taps, deep, rows, stride, weights, sums); \
    }
TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) TILE(9) TILE(10) TILE(11) TILE(12) TILE(13) TILE(14)

#define TILES(name) \
    {name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8, name##9, name##10, name##11, name##12, \
     name##13, name##14}
static tile_function *const tiles_vnni[2][MOST_ROWS] = {TILES(tile_), TILES(tile_flip_)};

#endif

#include "integer_wide.h"

int tkernel_integer_is_fast(void) { return tkernel_cpu_level() >= LEVEL_VNNI; }

// MARK: - Results

// One row of a tile: at most 32 results.
LOOP void finish_row(
    const tkernel_epilogue *e, const int columns, int32_t row_sum, const int has_residual, const int kind,
    const int32_t *restrict sums, int64_t first, const uint8_t *residual, uint8_t *restrict target) {
    const int32_t *offset = e->offset + first;
    float r[COLUMNS];
    int32_t s[COLUMNS];
    for (int c = 0; c < columns; c++) s[c] = (int32_t)((uint32_t)sums[c] + (uint32_t)offset[c]);
    if (e->weight_zero)
        for (int c = 0; c < columns; c++)
            s[c] = (int32_t)((uint32_t)s[c] - (uint32_t)e->weight_zero[first + c] * (uint32_t)row_sum);
    if (kind == TKERNEL_S32) {
        memcpy(target, s, sizeof(int32_t) * (size_t)columns);
        return;
    }
    for (int c = 0; c < columns; c++) r[c] = (float)s[c] * e->scale[first + c];
    if (e->bias)
        for (int c = 0; c < columns; c++) r[c] = r[c] + e->bias[first + c];
    if (has_residual) {
        const float scale = e->residual_scale;
        const int32_t zero = e->residual_zero;
        if (e->has_middle)
            for (int c = 0; c < columns; c++) {
                const int32_t middle = whole(bounded(r[c], e->middle_low, e->middle_high));
                r[c] = (float)middle * e->middle_scale;
            }
        if (e->residual_kind == TKERNEL_U8)
            for (int c = 0; c < columns; c++) r[c] = r[c] + (float)((int32_t)residual[c] - zero) * scale;
        else
            for (int c = 0; c < columns; c++) r[c] = r[c] + (float)((int32_t)(int8_t)residual[c] - zero) * scale;
    }
    const float low = e->low, high = e->high;
    if (kind < 0) {
        for (int c = 0; c < columns; c++) r[c] = bounded(r[c], low, high);
        memcpy(target, r, sizeof(float) * (size_t)columns);
        return;
    }
    const int32_t zero = e->zero;
    for (int c = 0; c < columns; c++) target[c] = (uint8_t)(whole(bounded(r[c], low, high)) + zero);
}

LOOP void finish_kind(
    const tkernel_epilogue *e, const int kind, const int has_residual, int count, int columns, const int32_t *row_sums,
    const int32_t *sums, int64_t first, const uint8_t *residual, uint8_t *target, int64_t stride) {
    const int64_t size = kind == TKERNEL_S32 || kind < 0 ? 4 : 1;
    for (int row = 0; row < count; row++) {
        const int32_t row_sum = row_sums ? row_sums[row] : 0;
        const uint8_t *from = has_residual ? residual + row * stride : residual;
        uint8_t *to = target + row * stride * size;
        if (columns == COLUMNS)
            finish_row(e, COLUMNS, row_sum, has_residual, kind, sums + row * COLUMNS, first, from, to);
        else
            finish_row(e, columns, row_sum, has_residual, kind, sums + row * COLUMNS, first, from, to);
    }
}

LOOP void finish_loop(
    const tkernel_epilogue *e, int count, int columns, const int32_t *row_sums, const int32_t *sums, int64_t first,
    const uint8_t *residual, uint8_t *target, int64_t stride) {
    if (e->kind == TKERNEL_S32)
        finish_kind(e, TKERNEL_S32, 0, count, columns, row_sums, sums, first, residual, target, stride);
    else if (e->kind < 0)
        finish_kind(e, -1, 0, count, columns, row_sums, sums, first, residual, target, stride);
    else if (e->residual_kind < 0)
        finish_kind(e, TKERNEL_U8, 0, count, columns, row_sums, sums, first, residual, target, stride);
    else
        finish_kind(e, TKERNEL_U8, 1, count, columns, row_sums, sums, first, residual, target, stride);
}

LEVELS(finish, finish_loop,
       (const tkernel_epilogue *e, int count, int columns, const int32_t *row_sums, const int32_t *sums, int64_t first,
        const uint8_t *residual, uint8_t *target, int64_t stride),
       (e, count, columns, row_sums, sums, first, residual, target, stride))

LOOP void row_sum_loop(int64_t count, int flip, const uint8_t *row, int32_t *sum) {
    int32_t total = *sum;
    for (int64_t i = 0; i < count; i++) total += row[i] ^ (flip ? 0x80 : 0);
    *sum = total;
}

LEVELS(row_sum, row_sum_loop, (int64_t count, int flip, const uint8_t *row, int32_t *sum), (count, flip, row, sum))

// Where the parts of a run are.
typedef struct run {
    const tkernel_integer *product;
    const tkernel_epilogue *epilogue;
    int flip;
    const uint8_t *const *rows;
    int64_t count;
    const int8_t *weights;
    const int32_t *row_sums;
    const uint8_t *residual;
    uint8_t *target;
    int64_t stride;
} run;

static void finish_tile(const run *a, int64_t block, int64_t from, int64_t count, const int32_t *sums) {
    const int64_t first = block * COLUMNS, place = from * a->stride + first;
    const int64_t size = a->epilogue->kind == TKERNEL_S32 || a->epilogue->kind < 0 ? 4 : 1;
    const int columns = (int)(a->product->outputs - first < COLUMNS ? a->product->outputs - first : COLUMNS);
    finish(
        a->epilogue, (int)count, columns, a->row_sums ? a->row_sums + from : NULL, sums, first,
        a->residual ? a->residual + place : NULL, a->target + place * size, a->stride);
}

// Tiles are as equal as possible: a last one of few rows would take as long as a full one.
#if defined(__x86_64__)
static void run_bytes(const run *a, int64_t begin, int64_t end) {
    const int64_t taps = a->product->taps, deep = quads(a->product), bytes = deep * taps * COLUMNS * 4;
    const int64_t tiles = (a->count + MOST_ROWS - 1) / MOST_ROWS;
    int32_t sums[MOST_ROWS * COLUMNS];
    for (int64_t block = begin; block < end; block++)
        for (int64_t t = 0; t < tiles; t++) {
            const int64_t from = a->count * t / tiles, count = a->count * (t + 1) / tiles - from;
            tiles_vnni[a->flip][count - 1](taps, deep, a->rows + from, a->count, a->weights + block * bytes, sums);
            finish_tile(a, block, from, count, sums);
        }
}
#endif

static void run_wide(const run *a, int64_t begin, int64_t end, int16_t *wide) {
    const int64_t pairs = a->product->taps * quads(a->product) * 2, most = wide_group(a->product);
    const int64_t groups = (a->count + most - 1) / most;
    int32_t sums[TKERNEL_INTEGER_ROWS * COLUMNS];
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = a->count * g / groups, count = a->count * (g + 1) / groups - first;
        const int64_t tiles = (count + WIDE_ROWS - 1) / WIDE_ROWS;
        for (int64_t t = 0; t < tiles; t++) {
            const int64_t from = count * t / tiles, size = count * (t + 1) / tiles - from;
            widen(a->product, a->flip, a->rows + first + from, a->count, (int)size, wide + from * pairs * 2);
        }
        for (int64_t block = begin; block < end; block++) {
            for (int64_t half = 0; half < COLUMNS / PANEL; half++) {
                if (block * COLUMNS + half * PANEL >= a->product->outputs) break;
                run_panel(
                    count, pairs, wide,
                    (const int16_t *)a->weights + (block * (COLUMNS / PANEL) + half) * pairs * 2 * PANEL, sums + half * PANEL);
            }
            finish_tile(a, block, first, count, sums);
        }
    }
}

void tkernel_integer_run(
    const tkernel_integer *p, const tkernel_epilogue *e, int32_t is_signed, const uint8_t *const *rows, int64_t count,
    const int8_t *weights, int64_t begin, int64_t end, const void *residual, void *target, int64_t stride,
    void *scratch) {
    if (count < 1 || count > TKERNEL_INTEGER_ROWS) return;
    int32_t row_sums[TKERNEL_INTEGER_ROWS];
    if (e->weight_zero)
        for (int64_t r = 0; r < count; r++) {
            row_sums[r] = 0;
            for (int64_t tap = 0; tap < p->taps; tap++)
                row_sum(p->inputs, is_signed != 0, rows[tap * count + r], row_sums + r);
        }
    const run a = {p, e, is_signed != 0, rows, count, weights, e->weight_zero ? row_sums : NULL, residual, target, stride};
#if defined(__x86_64__)
    if (!is_wide()) {
        run_bytes(&a, begin, end);
        return;
    }
#endif
    run_wide(&a, begin, end, scratch);
}
