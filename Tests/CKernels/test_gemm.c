#include "support.h"

// A product with steps of all kinds, against naive sums in double precision.

enum { MOST_STEPS = 3 };

typedef struct steps {
    int64_t count;
    tkernel_step step[MOST_STEPS];
    float *operand[MOST_STEPS];
    int64_t size[MOST_STEPS];
} steps;

static steps random_steps(int64_t rows, int64_t columns) {
    steps s = {.count = random_size(0, MOST_STEPS)};
    for (int64_t i = 0; i < s.count; i++) {
        tkernel_step *step = &s.step[i];
        *step = (tkernel_step){.kind = (int32_t)random_size(0, TKERNEL_STEP_MINIMUM), .group = 1, .period = INT64_MAX};
        // What a quotient makes of a rounding error must not grow further.
        if (step->kind == TKERNEL_STEP_DIVIDE_BY && s.count > 1) step->kind = TKERNEL_STEP_ADD;
        if (step->kind == TKERNEL_STEP_ACTIVATION) {
            step->activation = (tkernel_activation){(int32_t)random_size(1, TKERNEL_MISH), 0.25f, 0.5f};
            continue;
        }
        step->column = random_bits() % 2;
        int64_t lines = rows;
        switch (random_bits() % 4) {
        case 0: step->row = step->column ? columns : 1; break;
        case 1: step->row = 0, lines = 1; break;
        case 2: // the same lines again and again
            step->period = lines = random_size(1, rows);
            step->row = step->column ? columns : 1;
            break;
        default: // one line for several rows
            step->group = random_size(1, rows);
            lines = (rows + step->group - 1) / step->group;
            step->row = step->column ? columns : 1;
        }
        s.size[i] = (lines - 1) * step->row + (step->column ? columns : 1);
        s.operand[i] = guarded_random(s.size[i]);
        // Nothing near zero below a division.
        for (int64_t j = 0; j < s.size[i]; j++) s.operand[i][j] += s.operand[i][j] < 0 ? -0.5f : 0.5f;
    }
    return s;
}

static double apply_steps(const steps *s, int64_t m, int64_t n, double x) {
    for (int64_t i = 0; i < s->count; i++) {
        const tkernel_step *step = &s->step[i];
        const double y =
            s->operand[i] ? s->operand[i][m / step->group % step->period * step->row + n * step->column] : 0;
        switch (step->kind) {
        case TKERNEL_STEP_ADD: x += y; break;
        case TKERNEL_STEP_SUBTRACT: x -= y; break;
        case TKERNEL_STEP_SUBTRACT_FROM: x = y - x; break;
        case TKERNEL_STEP_MULTIPLY: x *= y; break;
        case TKERNEL_STEP_DIVIDE: x /= y; break;
        case TKERNEL_STEP_DIVIDE_BY: x = y / x; break;
        case TKERNEL_STEP_MAXIMUM: x = fmax(x, y); break;
        case TKERNEL_STEP_MINIMUM: x = fmin(x, y); break;
        default: x = activation(&step->activation, x);
        }
    }
    return x;
}

// What a division by a small number may make of a rounding error.
static int is_steep(const steps *s) {
    for (int64_t i = 0; i < s->count; i++)
        if (s->step[i].kind == TKERNEL_STEP_DIVIDE_BY) return 1;
    return 0;
}

static void release_steps(steps *s) {
    for (int64_t i = 0; i < s->count; i++)
        if (s->operand[i]) release(s->operand[i], s->size[i]);
}

static void one_product(int64_t rows, int64_t columns, int64_t depth, int64_t gap, int is_transposed) {
    steps s = random_steps(rows, columns);
    const int64_t lda = depth + gap, ldc = columns + gap;
    tkernel_gemm g = {rows, columns, depth, lda, ldc, s.count, s.step};
    const int64_t size_a = (rows - 1) * lda + depth, size_c = (rows - 1) * ldc + columns;
    float *a = guarded_random(size_a), *b = guarded_random(columns * depth), *c = guarded_random(size_c);
    const int64_t size = tkernel_gemm_weights(columns, depth), panel = tkernel_gemm_panel();
    float *weights = guarded(size);
    const int64_t panels = (columns + panel - 1) / panel, middle = panels / 2;
    for (int part = 0; part < 2; part++)
        tkernel_gemm_pack(
            columns, depth, b, is_transposed ? 1 : columns, is_transposed ? depth : 1, weights, part ? middle : 0,
            part ? panels : middle);
    const int64_t threads = random_size(1, 4), need = tkernel_gemm_scratch(&g);
    float *scratch = guarded(need + 1);
    const int32_t go = 0;
    for (int64_t t = 0; t < threads; t++)
        if (tkernel_gemm_run(&g, threads, t, a, weights, c, (const float *const *)s.operand, scratch, &go) != 0)
            expect_close("uncancelled", 0, 0, 1, 0);
    char name[96];
    snprintf(
        name, sizeof name, "gemm level %d %lldx%lldx%lld", level, (long long)rows, (long long)columns, (long long)depth);
    const int steep = is_steep(&s);
    for (int64_t m = 0; m < rows; m++)
        for (int64_t n = 0; n < columns; n++) {
            double sum = 0;
            for (int64_t k = 0; k < depth; k++)
                sum += (double)a[m * lda + k] * b[is_transposed ? n * depth + k : k * columns + n];
            if (steep && fabs(sum) < 0.3) continue;
            expect_close(name, m * columns + n, apply_steps(&s, m, n, sum), c[m * ldc + n], steep ? 3e-3 : 3e-5);
        }
    // A row alone gives the same bits as among others.
    if (rows > 1 && s.count == 0) {
        const int64_t row = random_size(0, rows - 1);
        g.rows = 1;
        float *single = guarded(columns);
        tkernel_gemm_run(&g, 1, 0, a + row * lda, weights, single, NULL, scratch, NULL);
        for (int64_t n = 0; n < columns; n++) expect_close("row alone", n, c[row * ldc + n], single[n], 0);
        release(single, columns);
    }
    const int32_t stop = 1;
    if (tkernel_gemm_run(&g, 1, 0, a, weights, c, (const float *const *)s.operand, scratch, &stop) != 1)
        expect_close("cancelled", 0, 1, 0, 0);
    release(a, size_a);
    release(b, columns * depth);
    release(c, size_c);
    release(weights, size);
    release(scratch, need + 1);
    release_steps(&s);
}

static void many_products(int64_t rows, int64_t columns, int64_t depth, int is_transposed) {
    const int64_t count = random_size(1, 5);
    steps s = random_steps(count * rows, columns);
    int64_t a_offsets[5], b_offsets[5];
    for (int64_t i = 0; i < count; i++) {
        // The second one has the first one's right side.
        a_offsets[i] = (count - 1 - i) * rows * depth;
        b_offsets[i] = i == 1 ? 0 : i * columns * depth;
    }
    tkernel_products p = {
        .count = count, .gemm = {rows, columns, depth, depth, columns, s.count, s.step},
        .b_row = is_transposed ? 1 : columns, .b_column = is_transposed ? depth : 1, .a_offsets = a_offsets,
        .b_offsets = b_offsets};
    const int64_t need = tkernel_products_scratch(&p);
    float *a = guarded_random(count * rows * depth), *b = guarded_random(count * columns * depth);
    float *c = guarded_random(count * rows * columns), *scratch = guarded(need);
    const int64_t threads = random_size(1, 3);
    for (int64_t t = 0; t < threads; t++)
        tkernel_products_run(&p, threads, t, a, b, c, (const float *const *)s.operand, scratch, NULL);
    char name[96];
    snprintf(
        name, sizeof name, "products level %d %lldx%lldx%lld%s", level, (long long)rows, (long long)columns,
        (long long)depth, is_transposed ? " transposed" : "");
    const int steep = is_steep(&s);
    for (int64_t i = 0; i < count; i++)
        for (int64_t m = 0; m < rows; m++)
            for (int64_t n = 0; n < columns; n++) {
                double sum = 0;
                for (int64_t k = 0; k < depth; k++)
                    sum += (double)a[a_offsets[i] + m * depth + k]
                           * b[b_offsets[i] + (is_transposed ? n * depth + k : k * columns + n)];
                if (steep && fabs(sum) < 0.3) continue;
                const int64_t row = i * rows + m;
                expect_close(
                    name, row * columns + n, apply_steps(&s, row, n, sum), c[row * columns + n], steep ? 3e-3 : 3e-5);
            }
    release(a, count * rows * depth);
    release(b, count * columns * depth);
    release(c, count * rows * columns);
    release(scratch, need);
    release_steps(&s);
}

static void steps_alone(int64_t rows, int64_t columns) {
    steps s = random_steps(rows, columns);
    if (s.count == 0) return;
    float *x = guarded_random(rows * columns), *y = guarded(rows * columns);
    tkernel_steps_run(s.count, s.step, 0, rows, columns, x, y, (const float *const *)s.operand);
    const int steep = is_steep(&s);
    for (int64_t i = 0; i < rows * columns; i++)
        if (!steep || fabs(x[i]) > 0.3)
            expect_close("steps", i, apply_steps(&s, i / columns, i % columns, x[i]), y[i], steep ? 3e-3 : 3e-5);
    release(x, rows * columns);
    release(y, rows * columns);
    release_steps(&s);
}

// NaN and infinities go through every function as they do in C.
static void special_values(void) {
    const float x[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 100.0f, -100.0f, 1e-30f, 5.0f, -5.0f, 0.3f, -0.3f, 20, -20, 1, -1, 2};
    enum { COUNT = sizeof x / sizeof *x };
    float y[COUNT];
    for (int32_t f = 1; f <= TKERNEL_MISH; f++) {
        const tkernel_step step = {
            .kind = TKERNEL_STEP_ACTIVATION,
            .activation = {f, f == TKERNEL_RELU ? 0.0f : f == TKERNEL_SWISH ? 1.0f : f == TKERNEL_CLIP ? -2.0f : 0.25f, 0.5f},
            .group = 1, .period = 1};
        tkernel_steps_run(1, &step, 0, 1, COUNT, x, y, NULL);
        for (int i = 0; i < COUNT; i++) {
            double expected = activation(&step.activation, x[i]);
            if (f == TKERNEL_RELU) expected = x[i] < 0 ? 0 : x[i];
            if (f == TKERNEL_CLIP) expected = isnan(x[i]) ? NAN : expected;
            // Where a factor vanishes and the other is infinite, both answers are in use.
            if (isinf(x[i]) && isnan(expected)) continue;
            if (isinf(x[i]) && isnan(y[i]) && expected == 0) continue;
            if (isnan(x[i]) ? !isnan(y[i]) : 0) expect_close("NaN kept", f, 0, 1, 0);
            char name[64];
            snprintf(name, sizeof name, "function %d at %g", f, x[i]);
            if (!isnan(x[i])) expect_close(name, i, (float)expected, y[i], 1e-6);
        }
    }
}

void test_gemm(void) {
    // All remainders of a tile's rows and columns.
    for (int64_t rows = 1; rows <= 30; rows++) one_product(rows, random_size(1, 70), random_size(1, 40), 0, random_bits() % 2);
    for (int64_t columns = 1; columns <= 66; columns++) one_product(random_size(1, 15), columns, random_size(1, 20), random_size(0, 3), random_bits() % 2);
    for (int i = 0; i < 60; i++)
        one_product(random_size(1, 50), random_size(1, 150), random_size(1, 700), random_size(0, 5), random_bits() % 2);
    // Rows that share places of the cache, and more of them than a block has.
    one_product(33, 40, 1024, 0, 0);
    one_product(700, 33, 512, 0, 1);
    one_product(5, 7, 0, 0, 0);
    for (int i = 0; i < 80; i++)
        many_products(random_size(1, 20), random_size(1, 80), random_size(1, i % 8 ? 90 : 600), random_bits() % 2);
    for (int i = 0; i < 60; i++) steps_alone(random_size(1, 40), random_size(1, 300));
    special_values();
}

static void measure(int64_t rows, int64_t columns, int64_t depth) {
    float *a = guarded_random(rows * depth), *b = guarded_random(columns * depth), *c = guarded_random(rows * columns);
    const int64_t size = tkernel_gemm_weights(columns, depth), panel = tkernel_gemm_panel();
    float *weights = guarded(size), *bias = guarded_random(columns);
    double start = now();
    tkernel_gemm_pack(columns, depth, b, 1, depth, weights, 0, (columns + panel - 1) / panel);
    const double pack = now() - start;
    const tkernel_step step = {.kind = TKERNEL_STEP_ADD, .group = 1, .period = 1, .column = 1};
    tkernel_gemm g = {rows, columns, depth, depth, columns, 1, &step};
    float *scratch = guarded(tkernel_gemm_scratch(&g) + 1);
    const float *operands[] = {bias};
    double best = 1e9, work = 2.0 * (double)rows * (double)columns * (double)depth;
    for (int i = 0; i < (work > 1e9 ? 8 : 40); i++) {
        start = now();
        tkernel_gemm_run(&g, 1, 0, a, weights, c, operands, scratch, NULL);
        const double time = now() - start;
        if (time < best) best = time;
    }
    printf(
        "level %d M %4lld N %4lld K %4lld: %8.1f us %6.1f GF/s %5.1f GB/s of weights; pack %.1f us\n", level, (long long)rows,
        (long long)columns, (long long)depth, best * 1e6, work / best * 1e-9, (double)size * 4 / best * 1e-9, pack * 1e6);
}

void bench_gemm(void) {
    const int64_t sizes[][2] = {{384, 384}, {1536, 384}, {384, 1536}, {3072, 768}, {768, 3072}, {4096, 4096}};
    const int64_t rows[] = {1, 2, 4, 8, 16, 64, 128, 256};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 8; j++) measure(rows[j], sizes[i][0], sizes[i][1]);
}
