// SPDX-License-Identifier: Apache-2.0
//
// The heart of all products: a tile of MR rows and NV vectors, and the steps behind it. Included behind simd.h.

// A tile into memory.
TINLINE void put(
    const int mr, const int nv, vf (*sums)[8], float *c, int64_t ldc, const int adds, int64_t columns) {
    if (columns >= nv * W) {
        TUNROLL for (int m = 0; m < mr; m++)
            TUNROLL for (int n = 0; n < nv; n++) {
                float *to = c + m * ldc + n * W;
                store(to, adds ? load(to) + sums[m][n] : sums[m][n]);
            }
    } else {
        TUNROLL for (int m = 0; m < mr; m++)
            TUNROLL for (int n = 0; n < nv; n++) {
                const int64_t rest = columns - n * W;
                float *to = c + m * ldc + n * W;
                if (rest > 0) store_some(to, adds ? load_some(to, rest) + sums[m][n] : sums[m][n], rest);
            }
    }
}

// c[m][n] = Σ a[m · lda + k] · b[n / 2 · stride + k · step + n % 2 · W], added to what is there with `adds`. `columns` is how many are
// written.
TINLINE void tile(
    const int mr, const int nv, const float *a, int64_t lda, const float *b, int64_t step, int64_t stride, float *c,
    int64_t ldc, int64_t depth, const int adds, int64_t columns) {
    vf sums[MOST_ROWS][8];
    TUNROLL for (int m = 0; m < mr; m++)
        TUNROLL for (int n = 0; n < nv; n++) sums[m][n] = all(0);
    for (int64_t k = 0; k < depth; k++) {
        vf row[8];
        TUNROLL for (int n = 0; n < nv; n++) row[n] = load(b + n / 2 * stride + n % 2 * W);
        // Few rows are as fast as memory is.
        if (nv > 2)
            TUNROLL for (int n = 0; n < nv; n += 16 / W)
                __builtin_prefetch((const char *)(b + n / 2 * stride + n % 2 * W) + 1024);
        TUNROLL for (int m = 0; m < mr; m++) {
            const vf value = all(a[m * lda + k]);
            TUNROLL for (int n = 0; n < nv; n++) sums[m][n] = fma_(value, row[n], sums[m][n]);
        }
        b += step;
    }
    put(mr, nv, sums, c, ldc, adds, columns);
}

// Elements of depth in a step of the loop below.
enum { AT_ONCE = 4 };

// As above for a panel and rows that are packed: a[k · mr + m], b[k · 2W + n]. `lines` cache lines from `next` on are fetched at each
// step: weights that come from memory for the first time are here when their panel's turn comes.
TINLINE void packed_tile(
    const int mr, const float *a, const float *b, float *c, int64_t ldc, int64_t depth, const int adds, int64_t columns,
    const float *next, int64_t lines) {
    vf sums[MOST_ROWS][8];
    TUNROLL for (int m = 0; m < mr; m++) {
        __builtin_prefetch(c + m * ldc, 1);
        sums[m][0] = sums[m][1] = all(0);
    }
    for (; depth >= AT_ONCE; depth -= AT_ONCE) {
        // What the next rows have here.
        TUNROLL for (int i = 0; i < AT_ONCE * mr; i += 16) __builtin_prefetch(a + 16 * mr + i);
        for (int64_t i = 0; i < lines; i++, next += 16) __builtin_prefetch(next, 0, 2);
        TUNROLL for (int i = 0; i < AT_ONCE; i++) {
            const vf left = load(b + i * 2 * W), right = load(b + i * 2 * W + W);
            TUNROLL for (int m = 0; m < mr; m++) {
                const vf value = all(a[i * mr + m]);
                sums[m][0] = fma_(value, left, sums[m][0]);
                sums[m][1] = fma_(value, right, sums[m][1]);
            }
        }
        a += AT_ONCE * mr;
        b += AT_ONCE * 2 * W;
    }
    for (; depth > 0; depth--) {
        const vf left = load(b), right = load(b + W);
        TUNROLL for (int m = 0; m < mr; m++) {
            const vf value = all(a[m]);
            sums[m][0] = fma_(value, left, sums[m][0]);
            sums[m][1] = fma_(value, right, sums[m][1]);
        }
        a += mr;
        b += 2 * W;
    }
    put(mr, 2, sums, c, ldc, adds, columns);
}

typedef void tile_function(
    const float *a, int64_t lda, const float *b, int64_t step, int64_t stride, float *c, int64_t ldc, int64_t depth,
    int adds, int64_t columns);

#define TILE(mr, nv)                                                                                                   \
    static void tile_##mr##_##nv(                                                                                      \
        const float *a, int64_t lda, const float *b, int64_t step, int64_t stride, float *c, int64_t ldc,              \
        int64_t depth, int adds, int64_t columns) {                                                                    \
        if (adds)                                                                                                      \
            tile(mr, nv, a, lda, b, step, stride, c, ldc, depth, 1, columns);                                          \
        else                                                                                                           \
            tile(mr, nv, a, lda, b, step, stride, c, ldc, depth, 0, columns);                                          \
    }

TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2)
TILE(1, 8) TILE(2, 4) TILE(3, 4)
#if MOST_ROWS > 6
TILE(7, 2) TILE(8, 2) TILE(9, 2) TILE(10, 2) TILE(11, 2) TILE(12, 2) TILE(13, 2) TILE(14, 2)
#endif

// By the number of rows, from 1.
static tile_function *const tiles[MOST_ROWS + 1] = {
    0,        tile_1_2, tile_2_2, tile_3_2,  tile_4_2,  tile_5_2,  tile_6_2,
#if MOST_ROWS > 6
    tile_7_2, tile_8_2, tile_9_2, tile_10_2, tile_11_2, tile_12_2, tile_13_2, tile_14_2,
#endif
};

typedef void packed_tile_function(
    const float *a, const float *b, float *c, int64_t ldc, int64_t depth, int adds, int64_t columns, const float *next,
    int64_t lines);

#define PACKED_TILE(mr)                                                                                                \
    static void packed_tile_##mr(                                                                                      \
        const float *a, const float *b, float *c, int64_t ldc, int64_t depth, int adds, int64_t columns,               \
        const float *next, int64_t lines) {                                                                            \
        if (adds)                                                                                                      \
            packed_tile(mr, a, b, c, ldc, depth, 1, columns, next, lines);                                             \
        else                                                                                                           \
            packed_tile(mr, a, b, c, ldc, depth, 0, columns, next, lines);                                             \
    }

PACKED_TILE(1) PACKED_TILE(2) PACKED_TILE(3) PACKED_TILE(4) PACKED_TILE(5) PACKED_TILE(6)
#if MOST_ROWS > 6
PACKED_TILE(7) PACKED_TILE(8) PACKED_TILE(9) PACKED_TILE(10) PACKED_TILE(11) PACKED_TILE(12) PACKED_TILE(13)
PACKED_TILE(14)
#endif

// By the number of rows, from 1.
static packed_tile_function *const packed_tiles[MOST_ROWS + 1] = {
    0,             packed_tile_1,  packed_tile_2,  packed_tile_3,  packed_tile_4,  packed_tile_5, packed_tile_6,
#if MOST_ROWS > 6
    packed_tile_7, packed_tile_8,  packed_tile_9,  packed_tile_10, packed_tile_11, packed_tile_12, packed_tile_13,
    packed_tile_14,
#endif
};

enum { PANEL = 2 * W };

// MARK: steps

// value = f(element, operand) over a block; `at` is where its first element is in the whole result.
#define EACH_ELEMENT(expression)                                                                                       \
    for (int64_t m = 0; m < rows; m++) {                                                                               \
        const float *from = operand ? operand + (first + m) / s->group % s->period * s->row + at * s->column : 0;      \
        const float *x = source + m * source_step;                                                                     \
        float *to = target + m * target_step;                                                                          \
        (void)from;                                                                                                    \
        int64_t n = 0;                                                                                                 \
        for (; n + W <= columns; n += W) {                                                                             \
            const vf element = load(x + n);                                                                            \
            const vf other = !from ? all(0) : s->column ? load(from + n) : all(*from);                                 \
            (void)other;                                                                                               \
            store(to + n, expression);                                                                                 \
        }                                                                                                              \
        if (n < columns) {                                                                                             \
            const vf element = load_some(x + n, columns - n);                                                          \
            const vf other = !from ? all(0) : s->column ? load_some(from + n, columns - n) : all(*from);               \
            (void)other;                                                                                               \
            store_some(to + n, expression, columns - n);                                                               \
        }                                                                                                              \
    }                                                                                                                  \
    break;

#define ACTIVATION(function)                                                                                           \
    case function: EACH_ELEMENT(activate(element, function, alpha, beta))

// One step over a block whose first element is (first, at).
static void run_step(
    const tkernel_step *s, const float *operand, int64_t first, int64_t rows, int64_t at, int64_t columns,
    const float *source, int64_t source_step, float *target, int64_t target_step) {
    const float alpha = s->activation.alpha, beta = s->activation.beta;
    switch (s->kind) {
    case TKERNEL_STEP_ADD: EACH_ELEMENT(element + other)
    case TKERNEL_STEP_SUBTRACT: EACH_ELEMENT(element - other)
    case TKERNEL_STEP_SUBTRACT_FROM: EACH_ELEMENT(other - element)
    case TKERNEL_STEP_MULTIPLY: EACH_ELEMENT(element * other)
    case TKERNEL_STEP_DIVIDE: EACH_ELEMENT(element / other)
    case TKERNEL_STEP_DIVIDE_BY: EACH_ELEMENT(other / element)
    case TKERNEL_STEP_MAXIMUM: EACH_ELEMENT(maximum(element, other))
    case TKERNEL_STEP_MINIMUM: EACH_ELEMENT(minimum(element, other))
    default:
        switch (s->activation.function) {
            ACTIVATION(TKERNEL_RELU)
            ACTIVATION(TKERNEL_CLIP)
            ACTIVATION(TKERNEL_SWISH)
            ACTIVATION(TKERNEL_HARDSWISH)
            ACTIVATION(TKERNEL_HARDSIGMOID)
            ACTIVATION(TKERNEL_SIGMOID)
            ACTIVATION(TKERNEL_TANH)
            ACTIVATION(TKERNEL_GELU_ERF)
            ACTIVATION(TKERNEL_GELU_TANH)
            ACTIVATION(TKERNEL_EXP)
            ACTIVATION(TKERNEL_MISH)
        default: EACH_ELEMENT(element)
        }
    }
}

TINLINE void run_steps(
    const tkernel_gemm *g, const float *const *operands, int64_t first, int64_t rows, int64_t at, int64_t columns,
    float *c) {
    for (int64_t i = 0; i < g->step_count; i++)
        run_step(g->steps + i, operands ? operands[i] : 0, first, rows, at, columns, c, g->ldc, c, g->ldc);
}
