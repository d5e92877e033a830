#include "support.h"

// Attention, normalisations and softmax against naive loops in double precision.

typedef struct problem {
    tkernel_attention a;
    float *q, *k, *v, *result, *added;
    uint8_t *allowed;
    int64_t *lengths;
    int64_t q_size, k_size, v_size, result_size, mask_size;
} problem;

// Places of [batch, heads, tokens, size] or [batch, tokens, heads, size], with a gap between tokens now and then.
static tkernel_places places(int64_t batch, int64_t heads, int64_t tokens, int64_t size, int64_t *total) {
    const int64_t own = size + (random_bits() % 4 == 0 ? random_size(1, 5) : 0);
    *total = batch * heads * tokens * own;
    if (random_bits() % 2) return (tkernel_places){heads * tokens * own, own, heads * own};
    return (tkernel_places){heads * tokens * own, tokens * own, own};
}

static problem make(int64_t queries, int64_t keys, int64_t size, int64_t value_size) {
    problem p = {0};
    tkernel_attention *a = &p.a;
    a->batch = random_size(1, 3);
    a->kv_heads = random_size(1, 3);
    a->heads = a->kv_heads * random_size(1, 3);
    a->queries = queries, a->keys = keys, a->size = size, a->value_size = value_size;
    a->query = places(a->batch, a->heads, queries, size, &p.q_size);
    a->key = places(a->batch, a->kv_heads, keys, size, &p.k_size);
    a->value = places(a->batch, a->kv_heads, keys, value_size, &p.v_size);
    a->result = places(a->batch, a->heads, queries, value_size, &p.result_size);
    a->scale = 1 / sqrtf((float)size);
    if (random_bits() % 3 == 0) a->softcap = 2;
    a->is_causal = random_bits() % 2;
    a->past = random_bits() % 2 ? 0 : random_size(0, keys);
    a->left = random_bits() % 4 == 0 ? random_size(0, keys) : -1;
    a->right = random_bits() % 4 == 0 ? random_size(0, keys) : -1;
    a->hidden_is_nan = random_bits() % 2;
    if (random_bits() % 3 == 0) {
        a->follows_lengths = random_bits() % 2;
        p.lengths = malloc((size_t)a->batch * sizeof *p.lengths);
        for (int64_t b = 0; b < a->batch; b++) p.lengths[b] = random_size(0, keys);
    }
    a->mask = (int32_t)random_size(0, 2);
    a->mask_value = random_bits() % 3 ? -INFINITY : -100;
    int64_t step = 1;
    if (random_bits() % 4) a->mask_key = 1, step = keys;
    if (random_bits() % 4) a->mask_query = step, step *= queries;
    if (random_bits() % 2) a->mask_head = step, step *= a->heads;
    if (random_bits() % 2) a->mask_batch = step, step *= a->batch;
    p.mask_size = step;
    p.added = guarded_random(step);
    p.allowed = (uint8_t *)(p.added + step) - step;
    if (a->mask == TKERNEL_MASK_ADDED)
        for (int64_t i = 0; i < step; i++) {
            const int kind = (int)(random_bits() % 4);
            if (kind == 0) p.added[i] = -INFINITY;
            if (kind == 1) p.added[i] = -3.4028235e38f;
        }
    if (a->mask == TKERNEL_MASK_ALLOWED)
        for (int64_t i = 0; i < step; i++) p.allowed[i] = random_bits() % 3 != 0;
    p.q = guarded_random(p.q_size);
    p.k = guarded_random(p.k_size);
    p.v = guarded_random(p.v_size);
    p.result = guarded(p.result_size);
    return p;
}

static void drop(problem *p) {
    release(p->q, p->q_size);
    release(p->k, p->k_size);
    release(p->v, p->v_size);
    release(p->result, p->result_size);
    release(p->added, p->mask_size);
    free(p->lengths);
}

static void check(const problem *p, const char *name) {
    const tkernel_attention *a = &p->a;
    double *score = malloc((size_t)a->keys * sizeof *score);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < a->queries; i++) {
                const int64_t g = h / (a->heads / a->kv_heads), length = p->lengths ? p->lengths[b] : a->keys;
                const int64_t own = i + (p->lengths && a->follows_lengths ? length - a->queries : a->past);
                const float *q = p->q + b * a->query.batch + h * a->query.head + i * a->query.token;
                double most = -INFINITY;
                for (int64_t j = 0; j < a->keys; j++) {
                    const float *k = p->k + b * a->key.batch + g * a->key.head + j * a->key.token;
                    double x = 0;
                    for (int64_t d = 0; d < a->size; d++) x += (double)q[d] * k[d];
                    x *= a->scale;
                    if (a->softcap > 0) x = a->softcap * tanh(x / a->softcap);
                    const int64_t m = b * a->mask_batch + h * a->mask_head + i * a->mask_query + j * a->mask_key;
                    if (a->mask == TKERNEL_MASK_ADDED) x = (float)(x + p->added[m]);
                    if (a->mask == TKERNEL_MASK_ALLOWED && !p->allowed[m]) x = a->mask_value;
                    if (a->is_causal && j > own) x = a->mask_value;
                    int hidden = j >= length;
                    hidden |= (a->left >= 0 && j < own - a->left) || (a->right >= 0 && j > own + a->right);
                    score[j] = hidden ? -INFINITY : x;
                    if (score[j] > most || isnan(score[j])) most = score[j];
                }
                double total = 0;
                for (int64_t j = 0; j < a->keys; j++) total += score[j] = most == -INFINITY ? 0 : exp(score[j] - most);
                for (int64_t d = 0; d < a->value_size; d++) {
                    double x = 0;
                    for (int64_t j = 0; j < a->keys; j++)
                        x += score[j] == 0 ? 0 : score[j] / total * p->v[b * a->value.batch + g * a->value.head + j * a->value.token + d];
                    if (most == -INFINITY) x = a->hidden_is_nan ? NAN : 0;
                    const int64_t place = b * a->result.batch + h * a->result.head + i * a->result.token + d;
                    expect_close(name, place, x, p->result[place], 3e-5);
                }
            }
    free(score);
}

static void one(int64_t queries, int64_t keys, int64_t size, int64_t value_size, int spoils) {
    problem p = make(queries, keys, size, value_size);
    if (spoils) {
        // A key that a mask of bytes hides may hold anything.
        p.a.mask = TKERNEL_MASK_ALLOWED;
        p.a.mask_batch = p.a.mask_head = p.a.mask_query = 0;
        p.a.mask_key = 1;
        release(p.added, p.mask_size);
        p.mask_size = keys;
        p.added = guarded_random(keys);
        p.allowed = (uint8_t *)(p.added + keys) - keys;
        for (int64_t j = 0; j < keys; j++) p.allowed[j] = random_bits() % 2;
        for (int64_t b = 0; b < p.a.batch; b++)
            for (int64_t h = 0; h < p.a.kv_heads; h++)
                for (int64_t j = 0; j < keys; j++)
                    if (!p.allowed[j]) p.k[b * p.a.key.batch + h * p.a.key.head + j * p.a.key.token] = NAN;
    }
    const int64_t need = tkernel_attention_scratch(&p.a), threads = random_size(1, 3);
    float *scratch = guarded(need);
    const void *mask = p.a.mask == TKERNEL_MASK_ADDED ? (const void *)p.added : p.allowed;
    for (int64_t t = 0; t < threads; t++)
        tkernel_attention_run(&p.a, threads, t, p.q, p.k, p.v, mask, p.lengths, p.result, scratch, NULL);
    char name[128];
    snprintf(
        name, sizeof name, "attention level %d %lldx%lldx%lldx%lld causal %d mask %d", level, (long long)queries,
        (long long)keys, (long long)size, (long long)value_size, p.a.is_causal, p.a.mask);
    check(&p, name);
    const int32_t stop = 1;
    p.a.mask = 0, p.a.is_causal = 0, p.a.left = p.a.right = -1;
    if (tkernel_attention_run(&p.a, 1, 0, p.q, p.k, p.v, NULL, NULL, p.result, scratch, &stop) != 1)
        expect_close("cancelled attention", 0, 1, 0, 0);
    release(scratch, need);
    drop(&p);
}

static void one_norm(int64_t rows, int64_t columns) {
    const int is_rms = random_bits() % 2, adds = random_bits() % 2;
    tkernel_norm n = {columns, random_size(1, rows), is_rms, 1e-5f};
    float *x = guarded_random(rows * columns), *r = guarded_random(n.period * columns), *g = guarded_random(columns);
    float *b = guarded_random(columns), *sum = guarded(rows * columns), *y = guarded(rows * columns);
    const int scales = random_bits() % 2, shifts = random_bits() % 2, writes = random_bits() % 2;
    tkernel_norm_run(&n, 0, rows, x, adds ? r : NULL, scales ? g : NULL, shifts ? b : NULL, writes && adds ? sum : NULL, y);
    for (int64_t m = 0; m < rows; m++) {
        double mean = 0, squares = 0;
#define VALUE(c) ((double)x[m * columns + c] + (adds ? r[m % n.period * columns + c] : 0))
        for (int64_t c = 0; c < columns; c++) mean += is_rms ? 0 : VALUE(c) / (double)columns;
        for (int64_t c = 0; c < columns; c++) squares += (VALUE(c) - mean) * (VALUE(c) - mean);
        for (int64_t c = 0; c < columns; c++) {
            double expected = (VALUE(c) - mean) / sqrt(squares / (double)columns + n.epsilon);
            if (scales) expected *= g[c];
            if (shifts) expected += b[c];
            expect_close("norm", m * columns + c, expected, y[m * columns + c], columns < 3 ? 1e-3 : 2e-5);
            if (writes && adds) expect_close("sum", m * columns + c, VALUE(c), sum[m * columns + c], 1e-6);
        }
    }
    release(x, rows * columns);
    release(r, n.period * columns);
    release(g, columns);
    release(b, columns);
    release(sum, rows * columns);
    release(y, rows * columns);
}

static void one_softmax(int64_t rows, int64_t columns, int is_log) {
    float *x = guarded_random(rows * columns), *y = guarded(rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) x[i] *= 20;
    if (columns > 2) x[1] = -INFINITY;
    if (rows > 2) x[2 * columns] = NAN;
    tkernel_softmax_run(is_log, 0, rows, columns, x, y);
    for (int64_t m = 0; m < rows; m++) {
        double most = -INFINITY, total = 0;
        int has_nan = 0;
        for (int64_t c = 0; c < columns; c++) has_nan |= isnan(x[m * columns + c]), most = fmax(most, x[m * columns + c]);
        for (int64_t c = 0; c < columns; c++) total += exp(x[m * columns + c] - most);
        for (int64_t c = 0; c < columns; c++) {
            const double d = x[m * columns + c] - most;
            expect_close(
                "softmax", m * columns + c, has_nan ? NAN : is_log ? d - log(total) : exp(d) / total, y[m * columns + c],
                1e-6);
        }
    }
    release(x, rows * columns);
    release(y, rows * columns);
}

void test_attention(void) {
    for (int i = 0; i < 150; i++)
        one(random_size(1, i % 3 ? 12 : 130), random_size(1, i % 4 ? 40 : 600), random_size(1, 70), random_size(1, 70), 0);
    for (int i = 0; i < 20; i++) one(random_size(1, 70), random_size(1, 300), 64, 64, i % 2);
    one(1, 1, 1, 1, 0);
    for (int i = 0; i < 40; i++) one_norm(random_size(1, 9), random_size(1, i % 2 ? 70 : 800));
    for (int i = 0; i < 40; i++) one_softmax(random_size(1, 9), random_size(1, 200), i % 2);
}

static void measure(int64_t batch, int64_t heads, int64_t queries, int64_t keys, int64_t size) {
    tkernel_attention a = {
        .batch = batch, .heads = heads, .kv_heads = heads, .queries = queries, .keys = keys, .size = size, .value_size = size,
        .query = {queries * heads * size, size, heads * size}, .key = {keys * heads * size, size, heads * size},
        .value = {keys * heads * size, size, heads * size}, .result = {queries * heads * size, size, heads * size},
        .scale = 0.125f, .left = -1, .right = -1};
    const int64_t n = batch * heads * queries * size, m = batch * heads * keys * size;
    float *q = guarded_random(n), *k = guarded_random(m), *v = guarded_random(m), *r = guarded(n);
    float *scratch = guarded(tkernel_attention_scratch(&a));
    double best = 1e9, work = 4.0 * (double)(batch * heads * queries * keys * size);
    for (int i = 0; i < 20; i++) {
        const double start = now();
        tkernel_attention_run(&a, 1, 0, q, k, v, NULL, NULL, r, scratch, NULL);
        const double time = now() - start;
        if (time < best) best = time;
    }
    printf(
        "level %d attention %lldx%lld %lld by %lld of %lld: %.1f us %.1f GF/s\n", level, (long long)batch, (long long)heads,
        (long long)queries, (long long)keys, (long long)size, best * 1e6, work / best * 1e-9);
}

void bench_attention(void) {
    measure(1, 12, 64, 64, 32);
    measure(1, 12, 128, 128, 64);
    measure(1, 12, 512, 512, 64);
    measure(1, 12, 1, 1000, 64);
    const int64_t rows = 128, columns = 768;
    float *x = guarded_random(rows * columns), *y = guarded(rows * columns), *g = guarded_random(columns);
    const tkernel_norm norm = {columns, rows, 0, 1e-5f};
    double best[3] = {1e9, 1e9, 1e9};
    for (int i = 0; i < 100; i++) {
        double start = now();
        tkernel_norm_run(&norm, 0, rows, x, x, g, g, NULL, y);
        best[0] = fmin(best[0], now() - start);
        start = now();
        tkernel_softmax_run(0, 0, rows, columns, x, y);
        best[1] = fmin(best[1], now() - start);
        const tkernel_step step = {
            .kind = TKERNEL_STEP_ACTIVATION, .activation = {TKERNEL_GELU_ERF, 0, 0}, .group = 1, .period = 1};
        start = now();
        tkernel_steps_run(1, &step, 0, rows, columns, x, y, NULL);
        best[2] = fmin(best[2], now() - start);
    }
    for (int i = 0; i < 3; i++)
        printf("level %d %s: %.3f ns per element\n", level, i == 0 ? "norm" : i == 1 ? "softmax" : "gelu", best[i] * 1e9 / (double)(rows * columns));
}
