// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#include <stddef.h>

#if defined(__x86_64__)
#define PACKED WIDE
#else
#define PACKED
#endif

// Tiles of TILE×TILE results are computed from SIZE×SIZE numbers, by products in POINTS points.
enum { TILE = 4, SIZE = 6, POINTS = SIZE * SIZE, PAIR = 2, ROWS = 14 };

// Where polynomials are multiplied: 0, ±A, ±B and infinity. These lose the fewest digits.
#define A 0.625
#define B 1.5

// Transformed tiles kept at a time, so that they and the products stay in the second cache with room for weights.
enum { NEAR_FLOATS = 192 * 1024 };

static int64_t blocks_of(int64_t channels) { return (channels + LANES - 1) / LANES; }

static int64_t pairs_of(int64_t channels) { return (channels + PAIR * LANES - 1) / (PAIR * LANES); }

static int64_t quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t tiles_of(const tkernel_winograd *c) {
    return c->batch * quotient(c->out_height, TILE) * quotient(c->out_width, TILE);
}

// Of a block of 16 outputs, without bias.
static int64_t weights_per_block(const tkernel_winograd *c) { return POINTS * c->inputs * LANES; }

int64_t tkernel_winograd_weights(const tkernel_winograd *c) {
    int64_t total;
    const int overflows = __builtin_mul_overflow(POINTS * LANES, c->inputs, &total) || __builtin_add_overflow(total, LANES, &total)
        || __builtin_mul_overflow(total, blocks_of(c->outputs), &total);
    return overflows ? 0 : total;
}

int64_t tkernel_winograd_packs(const tkernel_winograd *c) { return pairs_of(c->outputs); }

// Rows of G: what three weights contribute to each point, for `lanes` outputs.
PACKED static void transform_weights(
    const double *g0, const double *g1, const double *g2, int64_t lanes, double *u, int64_t step) {
    const double a2 = A * A, b2 = B * B, near = 1 / (2 * a2 * (a2 - b2)), far = 1 / (2 * b2 * (b2 - a2));
    for (int64_t lane = 0; lane < lanes; lane++) {
        const double even = g0[lane] + a2 * g2[lane], odd = A * g1[lane];
        const double far_even = g0[lane] + b2 * g2[lane], far_odd = B * g1[lane];
        u[lane] = g0[lane] * (1 / (a2 * b2));
        u[step + lane] = (even + odd) * near;
        u[2 * step + lane] = (even - odd) * near;
        u[3 * step + lane] = (far_even + far_odd) * far;
        u[4 * step + lane] = (far_even - far_odd) * far;
        u[5 * step + lane] = g2[lane];
    }
}

// Blocks of 32 outputs, [POINTS, inputs, 32] each, the last of which may have 16; then the bias.
PACKED void tkernel_winograd_pack(
    const tkernel_winograd *c, const float *weights, const float *bias, float *into, int64_t begin, int64_t end) {
    enum { MOST = PAIR * LANES };
    const int64_t blocks = blocks_of(c->outputs);
    float *const biases = into + blocks * weights_per_block(c);
    double kernel[9][MOST], half[SIZE * 3][MOST], u[POINTS][MOST];
    for (int64_t pair = begin; pair < end; pair++) {
        const int64_t first = pair * MOST, lanes = blocks - pair * PAIR < PAIR ? LANES : MOST;
        float *to = into + pair * PAIR * weights_per_block(c);
        for (int64_t i = 0; i < c->inputs; i++) {
            for (int64_t lane = 0; lane < lanes; lane++) {
                const int is_real = first + lane < c->outputs;
                const float *from = weights + (is_real ? ((first + lane) * c->inputs + i) * 9 : 0);
                for (int tap = 0; tap < 9; tap++) kernel[tap][lane] = is_real ? from[tap] : 0;
            }
            for (int x = 0; x < 3; x++)
                transform_weights(kernel[x], kernel[3 + x], kernel[6 + x], lanes, half[x], 3 * MOST);
            for (int y = 0; y < SIZE; y++)
                transform_weights(half[3 * y], half[3 * y + 1], half[3 * y + 2], lanes, u[SIZE * y], MOST);
            for (int64_t p = 0; p < POINTS; p++)
                for (int64_t lane = 0; lane < lanes; lane++)
                    to[(p * c->inputs + i) * lanes + lane] = (float)u[p][lane];
        }
        for (int64_t lane = 0; lane < lanes; lane++)
            biases[first + lane] = bias && first + lane < c->outputs ? bias[first + lane] : 0;
    }
}

// How threads share the work: `bands` of tiles, each by `groups` of outputs.
typedef struct shares {
    int64_t bands, groups;
} shares;

// Threads that have different outputs transform the same tiles, threads that have different tiles read the same weights.
static shares shares_of(const tkernel_winograd *c, int64_t threads) {
    const int64_t tiles = tiles_of(c), pairs = pairs_of(c->outputs), inputs = blocks_of(c->inputs) * LANES;
    shares best = {threads, 1};
    double lowest = 0;
    for (int64_t groups = 1; groups <= threads; groups++) {
        if (threads % groups) continue;
        const double mine = (double)quotient(tiles, threads / groups), outputs = (double)quotient(pairs, groups) * PAIR * LANES;
        // In multiply-additions of sixteen numbers; weights come from afar.
        const double cost = POINTS * mine * (double)inputs * outputs / LANES + mine * (double)(inputs * 10) + mine * outputs * 8
            + POINTS * (double)inputs * outputs / 2;
        if (lowest != 0 && cost >= lowest) continue;
        lowest = cost;
        best = (shares){threads / groups, groups};
    }
    return best;
}

// Tiles that are transformed at a time when there are `tiles`.
static int64_t batch_of(const tkernel_winograd *c, int64_t tiles) {
    const int64_t room = NEAR_FLOATS / (POINTS * blocks_of(c->inputs) * LANES) / ROWS * ROWS;
    const int64_t most = room < ROWS ? ROWS : room > 4 * ROWS ? 4 * ROWS : room;
    return quotient(tiles, quotient(tiles, most));
}

// Distances between points, a cache line off: multiples of the page size would all fall into the same lines.
static int64_t source_point(const tkernel_winograd *c, int64_t tiles) { return (blocks_of(c->inputs) * tiles + 1) * LANES; }
static int64_t product_point(int64_t tiles) { return (PAIR * tiles + 1) * LANES; }

int64_t tkernel_winograd_scratch(const tkernel_winograd *c, int64_t threads) {
    const int64_t mine = quotient(tiles_of(c), shares_of(c, threads).bands), most = batch_of(c, mine > 0 ? mine : 1);
    // A share may have one tile less, and with it batches of another size.
    const int64_t other = mine > 1 ? batch_of(c, mine - 1) : most, tiles = most > other ? most : other;
    return POINTS * (source_point(c, tiles) + product_point(tiles));
}

#if defined(__x86_64__)

int tkernel_winograd_is_supported(const tkernel_winograd *c) {
    return tkernel_isa() >= TKERNEL_ISA_AVX512 && c->batch > 0 && c->inputs > 0 && c->outputs > 0 && c->height > 0 && c->width > 0
        && c->out_height > 0 && c->out_width > 0 && c->pad_top >= 0 && c->pad_top <= 2 && c->pad_left >= 0
        && c->pad_left <= 2 && c->out_height <= c->height + c->pad_top && c->out_width <= c->width + c->pad_left;
}

// Where a tile's numbers are read.
typedef struct window {
    const float *rows[SIZE];
    int64_t pixel;
    // Nothing where it lies outside of the picture.
    __mmask16 row_masks[SIZE], column_masks[SIZE];
} window;

INLINE __m512 number(const int is_inside, const window *w, int64_t offset, __mmask16 mask, int y, int x) {
    if (is_inside) return _mm512_loadu_ps(w->rows[y] + offset + x * LANES);
    return _mm512_maskz_loadu_ps(w->row_masks[y] & w->column_masks[x] & mask, w->rows[y] + offset + x * w->pixel);
}

// Three of the six rows of the transposed B for one column: those for 0 and ±A, or for infinity and ±B. d1 and d3 are odd.
INLINE void source_near(__m512 d0, __m512 d1, __m512 d2, __m512 d3, __m512 d4, __m512 *u0, __m512 *u1, __m512 *u2) {
    const __m512 even = _mm512_fnmadd_ps(d2, _mm512_set1_ps((float)(B * B)), d4);
    const __m512 odd = _mm512_fnmadd_ps(d1, _mm512_set1_ps((float)(B * B)), d3);
    *u0 = _mm512_fmadd_ps(
        d0, _mm512_set1_ps((float)(A * A * B * B)), _mm512_fnmadd_ps(d2, _mm512_set1_ps((float)(A * A + B * B)), d4));
    *u1 = _mm512_fmadd_ps(odd, _mm512_set1_ps((float)A), even);
    *u2 = _mm512_fnmadd_ps(odd, _mm512_set1_ps((float)A), even);
}

INLINE void source_far(__m512 d1, __m512 d2, __m512 d3, __m512 d4, __m512 d5, __m512 *u3, __m512 *u4, __m512 *u5) {
    const __m512 even = _mm512_fnmadd_ps(d2, _mm512_set1_ps((float)(A * A)), d4);
    const __m512 odd = _mm512_fnmadd_ps(d1, _mm512_set1_ps((float)(A * A)), d3);
    *u3 = _mm512_fmadd_ps(odd, _mm512_set1_ps((float)B), even);
    *u4 = _mm512_fnmadd_ps(odd, _mm512_set1_ps((float)B), even);
    *u5 = _mm512_fmadd_ps(
        d1, _mm512_set1_ps((float)(A * A * B * B)), _mm512_fnmadd_ps(d3, _mm512_set1_ps((float)(A * A + B * B)), d5));
}

INLINE void store_source_row(const __m512 d[SIZE], float *into, int64_t point) {
    __m512 u[SIZE];
    source_near(d[0], d[1], d[2], d[3], d[4], &u[0], &u[1], &u[2]);
    source_far(d[1], d[2], d[3], d[4], d[5], &u[3], &u[4], &u[5]);
    UNROLL for (int x = 0; x < SIZE; x++) _mm512_storeu_ps(into + x * point, u[x]);
}

// 16 channels of a tile. In two halves, as all 36 numbers would not fit into registers.
INLINE void transform_source(
    const int is_inside, const window *w, int64_t offset, __mmask16 mask, float *into, int64_t point) {
    __m512 u[3][SIZE];
    UNROLL for (int x = 0; x < SIZE; x++)
        source_near(
            number(is_inside, w, offset, mask, 0, x), number(is_inside, w, offset, mask, 1, x),
            number(is_inside, w, offset, mask, 2, x), number(is_inside, w, offset, mask, 3, x),
            number(is_inside, w, offset, mask, 4, x), &u[0][x], &u[1][x], &u[2][x]);
    UNROLL for (int y = 0; y < 3; y++) store_source_row(u[y], into + y * SIZE * point, point);
    UNROLL for (int x = 0; x < SIZE; x++)
        source_far(
            number(is_inside, w, offset, mask, 1, x), number(is_inside, w, offset, mask, 2, x),
            number(is_inside, w, offset, mask, 3, x), number(is_inside, w, offset, mask, 4, x),
            number(is_inside, w, offset, mask, 5, x), &u[0][x], &u[1][x], &u[2][x]);
    UNROLL for (int y = 0; y < 3; y++) store_source_row(u[y], into + (3 + y) * SIZE * point, point);
}

// A tile's place.
typedef struct place {
    int64_t image, top, left;
} place;

static place place_of(const tkernel_winograd *c, int64_t tile) {
    const int64_t across = quotient(c->out_width, TILE), per_image = across * quotient(c->out_height, TILE);
    return (place){tile / per_image, tile % per_image / across * TILE, tile % across * TILE};
}

// Tiles `begin` up to `begin + tiles`, all channels.
WIDE static __attribute__((noinline)) void transform_sources(
    const tkernel_winograd *c, const float *source, int64_t begin, int64_t tiles, float *into) {
    const int64_t point = source_point(c, tiles);
    for (int64_t t = 0; t < tiles; t++) {
        const place at = place_of(c, begin + t);
        const int64_t top = at.top - c->pad_top, left = at.left - c->pad_left;
        window w = {.pixel = c->source.pixel};
        int is_inside = c->source.pixel == LANES && top >= 0 && left >= 0 && top + SIZE <= c->height && left + SIZE <= c->width;
        for (int64_t i = 0; i < SIZE; i++) {
            const int64_t y = top + i < 0 ? 0 : top + i < c->height ? top + i : c->height - 1;
            w.rows[i] = source + at.image * c->source.image + y * c->source.row + left * c->source.pixel;
            w.row_masks[i] = y == top + i ? 0xFFFF : 0;
            w.column_masks[i] = left + i >= 0 && left + i < c->width ? 0xFFFF : 0;
        }
        float *to = into + t * LANES;
        int64_t offset = 0;
        for (int64_t rest = c->inputs; rest > 0; rest -= LANES, to += tiles * LANES, offset += c->source.block) {
            if (is_inside)
                transform_source(1, &w, offset, 0xFFFF, to, point);
            else
                transform_source(0, &w, offset, (__mmask16)(rest < LANES ? (1 << rest) - 1 : 0xFFFF), to, point);
        }
    }
}

// In one point: `rows` tiles by 16 · `blocks` outputs. Tiles' channels lie in blocks of 16. On the way `share` floats per channel
// are fetched from `next`, the weights of the next point.
INLINE void multiply(
    const int rows, const int blocks, const float *source, int64_t source_block, int64_t inputs, const float *weights,
    const float *next, int64_t share, float *into) {
    __m512 sum[ROWS][PAIR];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int o = 0; o < blocks; o++) sum[r][o] = _mm512_setzero_ps();
    for (int64_t first = 0; first < inputs; first += LANES, source += source_block) {
        const int64_t count = inputs - first < LANES ? inputs - first : LANES;
        for (int64_t i = 0; i < count; i++, weights += blocks * LANES, next += share) {
            __m512 w[PAIR];
            UNROLL for (int o = 0; o < blocks; o++) w[o] = _mm512_loadu_ps(weights + o * LANES);
            _mm_prefetch(next, _MM_HINT_T0);
            _mm_prefetch(next + LANES, _MM_HINT_T0);
            UNROLL for (int r = 0; r < rows; r++) {
                const __m512 x = _mm512_set1_ps(source[r * LANES + i]);
                UNROLL for (int o = 0; o < blocks; o++) sum[r][o] = _mm512_fmadd_ps(w[o], x, sum[r][o]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int o = 0; o < blocks; o++) _mm512_storeu_ps(into + (r * blocks + o) * LANES, sum[r][o]);
}

#define MULTIPLY(rows) \
    WIDE static void multiply_##rows( \
        int blocks, const float *source, int64_t source_block, int64_t inputs, const float *weights, const float *next, \
        int64_t share, float *into) { \
        if (blocks == 2) \
            multiply(rows, 2, source, source_block, inputs, weights, next, share, into); \
        else \
            multiply(rows, 1, source, source_block, inputs, weights, next, share, into); \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
MULTIPLY(7)
MULTIPLY(8)
MULTIPLY(9)
MULTIPLY(10)
MULTIPLY(11)
MULTIPLY(12)
MULTIPLY(13)
MULTIPLY(14)
#undef MULTIPLY

typedef void multiply_rows(int, const float *, int64_t, int64_t, const float *, const float *, int64_t, float *);
static multiply_rows *const multiply_table[ROWS] = {
    multiply_1, multiply_2, multiply_3,  multiply_4,  multiply_5,  multiply_6,  multiply_7,
    multiply_8, multiply_9, multiply_10, multiply_11, multiply_12, multiply_13, multiply_14,
};

// In all points, the tiles in parts of nearly one size.
static void multiply_all(
    const tkernel_winograd *c, int blocks, int64_t tiles, const float *source, const float *weights, float *into) {
    const int64_t parts = quotient(tiles, ROWS), point = source_point(c, tiles);
    // Weights may come from far away: each part fetches its share of the next ones, so that they flow evenly.
    const int64_t size = c->inputs * blocks * LANES, share = quotient(blocks * LANES, parts);
    for (int64_t p = 0; p < POINTS; p++) {
        for (int64_t part = 0; part < parts; part++) {
            const int64_t begin = part * tiles / parts, end = (part + 1) * tiles / parts;
            multiply_table[end - begin - 1](
                blocks, source + p * point + begin * LANES, tiles * LANES, c->inputs, weights,
                weights + size + part * share * c->inputs, share, into + p * product_point(tiles) + begin * blocks * LANES);
        }
        weights += size;
    }
}

// The transposed A on six numbers.
INLINE void target_line(const __m512 m[SIZE], __m512 y[TILE]) {
    const __m512 near_even = _mm512_add_ps(m[1], m[2]), near_odd = _mm512_sub_ps(m[1], m[2]);
    const __m512 far_even = _mm512_add_ps(m[3], m[4]), far_odd = _mm512_sub_ps(m[3], m[4]);
    y[0] = _mm512_add_ps(m[0], _mm512_add_ps(near_even, far_even));
    y[1] = _mm512_fmadd_ps(
        near_odd, _mm512_set1_ps((float)A), _mm512_mul_ps(far_odd, _mm512_set1_ps((float)B)));
    y[2] = _mm512_fmadd_ps(
        near_even, _mm512_set1_ps((float)(A * A)), _mm512_mul_ps(far_even, _mm512_set1_ps((float)(B * B))));
    y[3] = _mm512_fmadd_ps(
        near_odd, _mm512_set1_ps((float)(A * A * A)), _mm512_fmadd_ps(far_odd, _mm512_set1_ps((float)(B * B * B)), m[5]));
}

// Results that a tile has, of 16 channels.
typedef struct results {
    int64_t rows, columns, row, pixel;
    __mmask16 mask;
} results;

INLINE void finish_tile(
    const int function, const float *products, int64_t point, __m512 bias, const results *r, const float *residual,
    float *target, const bound_activation *a) {
    __m512 half[TILE][SIZE];
    UNROLL for (int x = 0; x < SIZE; x++) {
        __m512 column[SIZE], y[TILE];
        UNROLL for (int i = 0; i < SIZE; i++) column[i] = _mm512_loadu_ps(products + (i * SIZE + x) * point);
        target_line(column, y);
        UNROLL for (int i = 0; i < TILE; i++) half[i][x] = y[i];
    }
    UNROLL for (int i = 0; i < TILE; i++) {
        if (i >= r->rows) return;
        __m512 y[TILE];
        target_line(half[i], y);
        UNROLL for (int x = 0; x < TILE; x++) {
            if (x >= r->columns) break;
            __m512 sum = _mm512_add_ps(y[x], bias);
            const int64_t at = i * r->row + x * r->pixel;
            if (residual) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(r->mask, residual + at));
            _mm512_mask_storeu_ps(target + at, r->mask, apply(sum, a, function));
        }
    }
}

// `blocks` blocks of channels from channel `first` on, of tiles `begin` up to `begin + tiles`.
INLINE void finish(
    const int function, const tkernel_winograd *c, int blocks, int64_t first, int64_t begin, int64_t tiles,
    const float *products, const float *biases, const float *residual, float *target, const bound_activation *a) {
    for (int64_t t = 0; t < tiles; t++) {
        const place at = place_of(c, begin + t);
        results r = {c->out_height - at.top, c->out_width - at.left, c->target.row, c->target.pixel, 0xFFFF};
        for (int64_t o = 0; o < blocks; o++) {
            const int64_t channel = first + o * LANES, rest = c->outputs - channel;
            const int64_t offset = at.image * c->target.image + at.top * c->target.row + at.left * c->target.pixel
                + channel / LANES * c->target.block;
            // Memory in blocks has room for whole ones, whose rest is zero.
            r.mask = (__mmask16)(rest >= LANES || c->target.pixel == LANES ? 0xFFFF : (1 << rest) - 1);
            finish_tile(
                function, products + (t * blocks + o) * LANES, product_point(tiles), _mm512_loadu_ps(biases + channel), &r,
                residual ? residual + offset : NULL, target + offset, a);
        }
    }
}

WIDE static __attribute__((noinline)) void finish_all(
    const tkernel_winograd *c, int blocks, int64_t first, int64_t begin, int64_t tiles, const float *products,
    const float *biases, const float *residual, float *target, const bound_activation *a) {
#define CASE(function) \
    case function: finish(function, c, blocks, first, begin, tiles, products, biases, residual, target, a); break;
    switch (a->function) {
        CASE(TKERNEL_RELU)
        CASE(TKERNEL_CLIP)
        CASE(TKERNEL_SWISH)
        CASE(TKERNEL_HARDSWISH)
        CASE(TKERNEL_IDENTITY)
    }
#undef CASE
}

WIDE void tkernel_winograd_run(
    const tkernel_winograd *c, int64_t threads, int64_t thread, const float *source, const float *weights,
    const float *residual, float *target, float *scratch) {
    const shares share = shares_of(c, threads);
    const int64_t band = thread / share.groups, group = thread % share.groups;
    const int64_t tiles = tiles_of(c), pairs = pairs_of(c->outputs), blocks = blocks_of(c->outputs);
    const int64_t begin = band * tiles / share.bands, end = (band + 1) * tiles / share.bands;
    const int64_t low = group * pairs / share.groups, high = (group + 1) * pairs / share.groups;
    if (begin == end || low == high) return;
    const bound_activation activation = bind(&c->activation);
    const float *biases = weights + blocks * weights_per_block(c);
    const int64_t step = batch_of(c, end - begin);
    float *const products = scratch + POINTS * source_point(c, step);
    for (int64_t first = begin; first < end; first += step) {
        const int64_t count = end - first < step ? end - first : step;
        transform_sources(c, source, first, count, scratch);
        for (int64_t pair = low; pair < high; pair++) {
            const int wide = (int)(blocks - pair * PAIR < PAIR ? 1 : PAIR);
            multiply_all(c, wide, count, scratch, weights + pair * PAIR * weights_per_block(c), products);
            finish_all(c, wide, pair * PAIR * LANES, first, count, products, biases, residual, target, &activation);
        }
    }
}

#else

int tkernel_winograd_is_supported(const tkernel_winograd *c) {
    (void)c;
    return 0;
}

void tkernel_winograd_run(
    const tkernel_winograd *c, int64_t threads, int64_t thread, const float *source, const float *weights,
    const float *residual, float *target, float *scratch) {
    (void)c, (void)threads, (void)thread, (void)source, (void)weights, (void)residual, (void)target, (void)scratch;
}

#endif
