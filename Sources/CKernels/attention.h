// SPDX-License-Identifier: Apache-2.0
//
// Attention by blocks of queries and keys, with a softmax that goes on from block to block, so that scores never leave the second cache.
// Included behind gemm.h.

enum { QUERIES = MOST_ROWS > 6 ? 56 : 48, KEYS = 256 };

// The scratch memory of a thread.
typedef struct attention_memory {
    float *keys; // one block, transposed, in panels
    float *scores; // [QUERIES][KEYS]
    float *sums; // [QUERIES][width]
    float *values; // the last panel of the values, where they do not fill it
    float *most, *total; // of each query
    int64_t width;
} attention_memory;

TINLINE int64_t value_width(const tkernel_attention *a) { return (a->value_size + PANEL - 1) / PANEL * PANEL; }

static int64_t NAME(attention_scratch)(const tkernel_attention *a) {
    return KEYS * a->size + QUERIES * KEYS + QUERIES * value_width(a) + KEYS * PANEL + 2 * QUERIES;
}

// The scores of one query and `count` keys from `first`, masked; returns the largest. Keys from `future` on score `mask_value`, those
// before `begin` and from `end` on nothing.
TINLINE float mask_scores(
    const tkernel_attention *a, float *scores, int64_t count, int64_t first, int64_t begin, int64_t end, int64_t future,
    const float *added, const uint8_t *allowed) {
    const float hidden = -__builtin_inff();
    if (a->softcap > 0) {
        const float inverse = 1 / a->softcap;
        for (int64_t j = 0; j < count; j += W)
            store(scores + j, hyperbolic_tangent(load(scores + j) * a->scale * inverse) * a->softcap);
    } else if (a->scale != 1) {
        for (int64_t j = 0; j < count; j += W) store(scores + j, load(scores + j) * a->scale);
    }
    if (added) {
        if (a->mask_key)
            for (int64_t j = 0; j < count; j += W)
                store(scores + j, load(scores + j) + load_some(added + first + j, count - j));
        else
            for (int64_t j = 0; j < count; j += W) store(scores + j, load(scores + j) + *added);
    }
    if (allowed)
        for (int64_t j = 0; j < count; j++)
            if (!allowed[(first + j) * a->mask_key]) scores[j] = a->mask_value;
    for (int64_t j = future - first > 0 ? future - first : 0; j < count; j++) scores[j] = a->mask_value;
    for (int64_t j = 0; j < count && first + j < begin; j++) scores[j] = hidden;
    for (int64_t j = end - first > 0 ? end - first : 0; j < count; j++) scores[j] = hidden;
    // Up to the next whole vector nothing is there.
    for (int64_t j = count; j % W; j++) scores[j] = hidden;
    vf most = all(hidden);
    for (int64_t j = 0; j < count; j += W) most = maximum(load(scores + j), most);
    return largest_of(most);
}

// Keys `first` to `first + count` of one head as panels.
static void pack_keys(const tkernel_attention *a, const float *keys, int64_t first, int64_t count, float *into) {
    NAME(gemm_pack)(count, a->size, keys + first * a->key.token, 1, a->key.token, into, 0, (count + PANEL - 1) / PANEL);
}

// scores[j] = Σ query · key j, for few queries.
static void score_directly(const tkernel_attention *a, const float *query, const float *keys, int64_t count, float *scores) {
    int64_t j = 0;
    const int64_t step = a->key.token, size = a->size;
    for (; j + 4 <= count; j += 4) {
        const float *k = keys + j * step;
        vf sum[4];
        TUNROLL for (int i = 0; i < 4; i++) sum[i] = all(0);
        int64_t d = 0;
        for (; d + W <= size; d += W) {
            const vf q = load(query + d);
            TUNROLL for (int i = 0; i < 4; i++) sum[i] = fma_(q, load(k + i * step + d), sum[i]);
        }
        if (d < size) {
            const vf q = load_some(query + d, size - d);
            TUNROLL for (int i = 0; i < 4; i++) sum[i] = fma_(q, load_some(k + i * step + d, size - d), sum[i]);
        }
        TUNROLL for (int i = 0; i < 4; i++) scores[j + i] = sum_of(sum[i]);
    }
    for (; j < count; j++) scores[j] = dot(query, keys + j * step, size);
}

// sums += scores × values for a block of keys.
static void weigh_values(
    const tkernel_attention *a, const attention_memory *s, int64_t rows, const float *values, int64_t count) {
    const int64_t tiles_of_rows = (rows + MOST_ROWS - 1) / MOST_ROWS;
    for (int64_t at = 0; at < a->value_size; at += PANEL) {
        const float *b = values + at;
        int64_t step = a->value.token;
        if (a->value_size - at < PANEL) {
            NAME(gemm_pack)(a->value_size - at, count, b, step, 1, s->values, 0, 1);
            b = s->values;
            step = PANEL;
        }
        for (int64_t t = 0; t < tiles_of_rows; t++) {
            const int64_t m0 = rows * t / tiles_of_rows, m1 = rows * (t + 1) / tiles_of_rows;
            tiles[m1 - m0](
                s->scores + m0 * KEYS, KEYS, b, step, 0, s->sums + m0 * s->width + at, s->width, count, 1, PANEL);
        }
    }
}

// One row's softmax over a block, continuing what is there.
TINLINE void soften(const attention_memory *s, int64_t row, int64_t count, float largest) {
    const float before = s->most[row];
    const float most = largest > before || largest != largest ? largest : before;
    float *scores = s->scores + row * KEYS;
    // While nothing is seen there is nothing to move.
    const float shift = most == -__builtin_inff() ? 0 : most;
    vf total = all(0);
    for (int64_t j = 0; j < count; j += W) {
        const vf power = exponential_below_zero(load(scores + j) - shift);
        store(scores + j, power);
        total += power;
    }
    if (most != before && s->total[row] != 0) {
        const float factor = exponential_below_zero(all(before - shift))[0];
        s->total[row] *= factor;
        float *sums = s->sums + row * s->width;
        for (int64_t d = 0; d < s->width; d += W) store(sums + d, load(sums + d) * factor);
    }
    s->total[row] += sum_of(total);
    s->most[row] = most;
}

static int NAME(attention_run)(
    const tkernel_attention *a, int64_t threads, int64_t thread, const float *query, const float *key, const float *value,
    const void *mask, const int64_t *lengths, float *result, float *scratch, const volatile int32_t *cancel) {
    attention_memory s = {.width = value_width(a)};
    s.keys = scratch;
    s.scores = s.keys + KEYS * a->size;
    s.sums = s.scores + QUERIES * KEYS;
    s.values = s.sums + QUERIES * s.width;
    s.most = s.values + KEYS * PANEL;
    s.total = s.most + QUERIES;
    const int64_t group = a->heads / a->kv_heads, blocks = (a->queries + QUERIES - 1) / QUERIES;
    const int64_t units = a->batch * a->heads * blocks;
    const float *packed = 0; // whose keys lie packed
    for (int64_t u = units * thread / threads; u < units * (thread + 1) / threads; u++) {
        const int64_t b = u / blocks / a->heads, h = u / blocks % a->heads, block = u % blocks;
        const int64_t i0 = a->queries * block / blocks, i1 = a->queries * (block + 1) / blocks, rows = i1 - i0;
        const float *q = query + b * a->query.batch + h * a->query.head + i0 * a->query.token;
        const float *k = key + b * a->key.batch + h / group * a->key.head;
        const float *v = value + b * a->value.batch + h / group * a->value.head;
        const int64_t length = lengths ? lengths[b] : a->keys;
        const int64_t past = lengths && a->follows_lengths ? length - a->queries : a->past;
        int64_t begin = 0, end = length < a->keys ? length : a->keys;
        if (a->left >= 0 && i0 + past - a->left > begin) begin = i0 + past - a->left;
        // Keys that have a finite score count even where they are hidden.
        const int is_bounded = a->is_causal && a->mask_value == -__builtin_inff();
        if (is_bounded && i1 + past < end) end = i1 + past;
        if (a->right >= 0 && i1 + past + a->right < end) end = i1 + past + a->right;
        for (int64_t i = 0; i < rows; i++) s.most[i] = -__builtin_inff(), s.total[i] = 0;
        memset(s.sums, 0, (size_t)(rows * s.width) * sizeof(float));
        const int64_t offset = b * a->mask_batch + h * a->mask_head;
        for (int64_t first = begin; first < end; first += KEYS) {
            if (cancel && *cancel) return 1;
            const int64_t count = end - first < KEYS ? end - first : KEYS;
            if (rows <= 2) {
                for (int64_t i = 0; i < rows; i++)
                    score_directly(a, q + i * a->query.token, k + first * a->key.token, count, s.scores + i * KEYS);
            } else {
                // Blocks of queries of one head find the keys where the one before left them.
                const int is_all = begin == 0 && end == a->keys && count == a->keys;
                if (!is_all || packed != k) pack_keys(a, k, first, count, s.keys);
                packed = is_all ? k : 0;
                const int64_t height = (rows + MOST_ROWS - 1) / MOST_ROWS;
                for (int64_t p = 0; p * PANEL < count; p++)
                    for (int64_t t = 0; t < height; t++) {
                        const int64_t m0 = rows * t / height, m1 = rows * (t + 1) / height;
                        tiles[m1 - m0](
                            q + m0 * a->query.token, a->query.token, s.keys + p * a->size * PANEL, PANEL, 0,
                            s.scores + m0 * KEYS + p * PANEL, KEYS, a->size, 0, PANEL);
                    }
            }
            for (int64_t i = 0; i < rows; i++) {
                const int64_t own = i0 + i + past;
                int64_t from = begin, to = end;
                if (a->left >= 0 && own - a->left > from) from = own - a->left;
                const int64_t future = a->is_causal ? own + 1 : INT64_MAX;
                if (a->right >= 0 && own + a->right + 1 < to) to = own + a->right + 1;
                const int64_t place = offset + (i0 + i) * a->mask_query;
                const float *added = a->mask == TKERNEL_MASK_ADDED ? (const float *)mask + place : 0;
                const uint8_t *allowed = a->mask == TKERNEL_MASK_ALLOWED ? (const uint8_t *)mask + place : 0;
                soften(
                    &s, i, count, mask_scores(a, s.scores + i * KEYS, count, first, from, to, future, added, allowed));
            }
            weigh_values(a, &s, rows, v + first * a->value.token, count);
        }
        for (int64_t i = 0; i < rows; i++) {
            float *to = result + b * a->result.batch + h * a->result.head + (i0 + i) * a->result.token;
            const float *sums = s.sums + i * s.width;
            const int is_hidden = s.most[i] == -__builtin_inff();
            const float factor = is_hidden ? (a->hidden_is_nan ? __builtin_nanf("") : 0) : 1 / s.total[i];
            for (int64_t d = 0; d < a->value_size; d += W) {
                const int64_t rest = a->value_size - d;
                store_some(to + d, is_hidden ? all(factor) : load(sums + d) * factor, rest);
            }
        }
    }
    return 0;
}
