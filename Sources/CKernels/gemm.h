// SPDX-License-Identifier: Apache-2.0
//
// Products with packed weights, for one instruction set: the including file defines W, MOST_ROWS and NAME.
#include "simd.h"
#include "tile.h"

// Depth of a block, so that a panel's part stays in the first cache; all have nearly the same size.
enum { MOST_DEPTH = W > 8 ? 256 : 384 };
TINLINE int64_t depth_block(int64_t depth) {
    if (depth <= MOST_DEPTH * 5 / 4) return depth > 0 ? depth : 1;
    const int64_t blocks = (depth + MOST_DEPTH - 1) / MOST_DEPTH;
    return (depth + blocks - 1) / blocks;
}

// Tiles of rows whose part of A stays in the second cache.
enum { A_BLOCK = 64 * 1024 };
TINLINE int64_t row_block(int64_t depth) {
    const int64_t tiles = A_BLOCK / (depth_block(depth) * MOST_ROWS);
    return tiles > 1 ? tiles : 1;
}

// Rows up to this many are read where they lie.
enum { FEW_ROWS = 4 };

// Rows are packed, so that a tile reads them in order, whatever their distance is.
static int64_t NAME(gemm_scratch)(const tkernel_gemm *g) {
    if (g->rows <= FEW_ROWS) return 0;
    int64_t rows = row_block(g->depth) * MOST_ROWS;
    if (rows > g->rows) rows = g->rows;
    return rows * depth_block(g->depth) + W;
}

// Up to MOST_ROWS rows as [depth][rows]; a vector more may be written behind them.
static void pack_rows(const float *a, int64_t lda, int64_t rows, int64_t depth, float *to) {
    int64_t k = 0;
    // The last rows first: what they write too much belongs to the first rows of the next element.
    for (; k + 8 <= depth; k += 8)
        for (int64_t m = (rows - 1) / 8 * 8; m >= 0; m -= 8)
            transpose_some(a + m * lda + k, lda, rows - m, to + k * rows + m, rows);
    for (; k < depth; k++)
        for (int64_t m = 0; m < rows; m++) to[k * rows + m] = a[m * lda + k];
}

static void NAME(gemm_pack)(
    int64_t columns, int64_t depth, const float *b, int64_t row, int64_t column, float *into, int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++) {
        float *to = into + p * depth * PANEL;
        const float *from = b + p * PANEL * column;
        int64_t width = columns - p * PANEL;
        if (width > PANEL) width = PANEL;
        for (int64_t k = 0; k < depth; k++, to += PANEL) {
            const float *place = from + k * row;
            if (row == 1 && width == PANEL && k + 8 <= depth) {
                for (int64_t n = 0; n < PANEL; n += 8) transpose8(place + n * column, column, to + n, PANEL);
                k += 7;
                to += 7 * PANEL;
            } else if (column == 1 && width == PANEL) {
                memcpy(to, place, PANEL * sizeof(float));
            } else {
                for (int64_t n = 0; n < width; n++) to[n] = place[n * column];
                for (int64_t n = width; n < PANEL; n++) to[n] = 0;
            }
        }
    }
}

// How threads share a result of `tiles` by `panels`: in `down` times `threads / down` parts. All weights are read once by few rows, so
// splitting columns is better where both are as even.
TINLINE int64_t parts_down(int64_t threads, int64_t tiles, int64_t panels) {
    int64_t best = 1, least = INT64_MAX;
    for (int64_t down = 1; down <= threads && down <= tiles; down++) {
        if (threads % down) continue;
        const int64_t across = threads / down;
        const int64_t work = ((tiles + down - 1) / down) * ((panels + across - 1) / across);
        if (work < least) least = work, best = down;
    }
    return best;
}

// A few rows: each panel is read once, in order, several side by side.
static int few_rows(
    const tkernel_gemm *g, int64_t first, int64_t rows, int64_t begin, int64_t end, const float *a, const float *weights,
    float *c, const float *const *operands, const volatile int32_t *cancel) {
    const int64_t K = g->depth, stride = K * PANEL, block = depth_block(K);
    const int64_t together = rows == 1 ? 4 : rows <= 3 ? 2 : 1;
    for (int64_t p = begin; p < end;) {
        if (cancel && *cancel) return 1;
        int64_t count = together;
        if (p + count > end || (p + count) * PANEL > g->columns) count = 1;
        tile_function *f = count == 1 ? tiles[rows] : rows == 1 ? tile_1_8 : rows == 2 ? tile_2_4 : tile_3_4;
        const int64_t at = p * PANEL, rest = g->columns - at, columns = rest < count * PANEL ? rest : count * PANEL;
        int64_t k = 0;
        do {
            const int64_t depth = K - k < block ? K - k : block;
            f(a + k, g->lda, weights + p * stride + k * PANEL, PANEL, stride, c + at, g->ldc, depth, k > 0, columns);
            k += block;
        } while (k < K);
        run_steps(g, operands, first, rows, at, columns, c + at);
        p += count;
    }
    return 0;
}

static int NAME(gemm_run)(
    const tkernel_gemm *g, int64_t threads, int64_t thread, const float *a, const float *weights, float *c,
    const float *const *operands, float *scratch, const volatile int32_t *cancel) {
    if (g->rows <= 0 || g->columns <= 0) return 0;
    const int64_t K = g->depth, panels = (g->columns + PANEL - 1) / PANEL, count = (g->rows + MOST_ROWS - 1) / MOST_ROWS;
    const int64_t down = parts_down(threads, count, panels), across = threads / down;
    if (thread >= down * across) return 0;
    const int64_t x = thread % across, y = thread / across;
    const int64_t p0 = panels * x / across, p1 = panels * (x + 1) / across;
    const int64_t t0 = count * y / down, t1 = count * (y + 1) / down;
    if (p0 == p1 || t0 == t1) return 0;
    if (g->rows <= FEW_ROWS) return few_rows(g, 0, g->rows, p0, p1, a, weights, c, operands, cancel);
    const int64_t depth = depth_block(K), most = row_block(K);
    for (int64_t begin = t0; begin < t1; begin += most) {
        const int64_t end = t1 - begin < most ? t1 : begin + most;
        const int64_t r0 = g->rows * begin / count;
        int64_t k = 0;
        do {
            const int64_t part = K - k < depth ? K - k : depth;
            for (int64_t t = begin; t < end; t++) {
                const int64_t m0 = g->rows * t / count, m1 = g->rows * (t + 1) / count;
                pack_rows(a + m0 * g->lda + k, g->lda, m1 - m0, part, scratch + (m0 - r0) * part);
            }
            const int is_last = k + part >= K;
            for (int64_t p = p0; p < p1; p++) {
                if (cancel && *cancel) return 1;
                const float *b = weights + p * K * PANEL + k * PANEL;
                // The panel behind this one is fetched in equal pieces by this one's tiles.
                const float *next = b + K * PANEL;
                const int64_t steps = (end - begin) * (part / AT_ONCE), pieces = p + 1 < p1 ? part * PANEL / 16 : 0;
                const int64_t lines = steps ? (pieces + steps - 1) / steps : 0;
                const int64_t at = p * PANEL, rest = g->columns - at, columns = rest < PANEL ? rest : PANEL;
                for (int64_t t = begin; t < end; t++) {
                    const int64_t m0 = g->rows * t / count, m1 = g->rows * (t + 1) / count;
                    float *to = c + m0 * g->ldc + at;
                    const int64_t left = next < b + (K + part) * PANEL ? lines : 0;
                    packed_tiles[m1 - m0](
                        scratch + (m0 - r0) * part, b, to, g->ldc, part, k > 0, columns, next, left);
                    next += left * (part / AT_ONCE) * 16;
                    if (is_last) run_steps(g, operands, m0, m1 - m0, at, columns, to);
                }
            }
            k += depth;
        } while (k < K);
    }
    return 0;
}

// MARK: both sides data

static int64_t NAME(products_scratch)(const tkernel_products *p) {
    return depth_block(p->gemm.depth) * PANEL;
}

// Σ x[k] · y[k] in the order of no panel.
TINLINE float dot(const float *x, const float *y, int64_t count) {
    vf even = all(0), odd = all(0);
    int64_t k = 0;
    for (; k + 2 * W <= count; k += 2 * W) {
        even = fma_(load(x + k), load(y + k), even);
        odd = fma_(load(x + k + W), load(y + k + W), odd);
    }
    for (; k < count; k += W) even = fma_(load_some(x + k, count - k), load_some(y + k, count - k), even);
    return sum_of(even + odd);
}

static int NAME(products_run)(
    const tkernel_products *q, int64_t threads, int64_t thread, const float *a, const float *b, float *c,
    const float *const *operands, float *scratch, const volatile int32_t *cancel) {
    const tkernel_gemm *g = &q->gemm;
    if (g->rows <= 0 || g->columns <= 0) return 0;
    const int64_t K = g->depth, panels = (g->columns + PANEL - 1) / PANEL, units = q->count * panels;
    const int64_t u0 = units * thread / threads, u1 = units * (thread + 1) / threads;
    const int64_t count = (g->rows + MOST_ROWS - 1) / MOST_ROWS, depth = depth_block(K);
    // Few rows are done before their panel would be packed.
    const int is_short = g->rows <= 2;
    for (int64_t u = u0; u < u1; u++) {
        if (cancel && *cancel) return 1;
        const int64_t i = u / panels, at = u % panels * PANEL;
        const int64_t rest = g->columns - at, columns = rest < PANEL ? rest : PANEL;
        const float *x = a + q->a_offsets[i], *y = b + q->b_offsets[i] + at * q->b_column;
        float *to = c + i * g->rows * g->ldc + at;
        if (is_short && q->b_row == 1 && q->b_column != 1) {
            for (int64_t m = 0; m < g->rows; m++)
                for (int64_t n = 0; n < columns; n++) to[m * g->ldc + n] = dot(x + m * g->lda, y + n * q->b_column, K);
            run_steps(g, operands, i * g->rows, g->rows, at, columns, to);
            continue;
        }
        int64_t k = 0;
        do {
            const int64_t part = K - k < depth ? K - k : depth;
            const float *panel = y + k * q->b_row;
            int64_t step = q->b_row;
            if (!is_short || columns < PANEL || q->b_column != 1) {
                // As the only panel of a product of its own.
                NAME(gemm_pack)(columns, part, panel, q->b_row, q->b_column, scratch, 0, 1);
                panel = scratch;
                step = PANEL;
            }
            const int is_last = k + part >= K;
            for (int64_t t = 0; t < count; t++) {
                const int64_t m0 = g->rows * t / count, m1 = g->rows * (t + 1) / count;
                float *place = to + m0 * g->ldc;
                tiles[m1 - m0](x + m0 * g->lda + k, g->lda, panel, step, 0, place, g->ldc, part, k > 0, columns);
                if (is_last) run_steps(g, operands, i * g->rows + m0, m1 - m0, at, columns, place);
            }
            k += depth;
        } while (k < K);
    }
    return 0;
}

static void NAME(steps_run)(
    int64_t step_count, const tkernel_step *steps, int64_t begin, int64_t end, int64_t columns, const float *source,
    float *target, const float *const *operands) {
    // A few thousand elements at a time, so that all steps find them in the nearest cache.
    const int64_t most = columns > 4096 ? 1 : 4096 / (columns > 0 ? columns : 1);
    for (int64_t m = begin; m < end; m += most) {
        const int64_t rows = end - m < most ? end - m : most;
        for (int64_t i = 0; i < step_count; i++)
            run_step(
                steps + i, operands ? operands[i] : 0, m, rows, 0, columns, (i ? target : source) + m * columns, columns,
                target + m * columns, columns);
    }
}
