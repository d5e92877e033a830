// SPDX-License-Identifier: Apache-2.0
//
// Products of small integers as 16-bit numbers, where the processor has no instructions for bytes. Part of integer.c.

#if defined(__x86_64__)
// Without instructions for bytes both sides are widened to 16 bits, where no sum of two products overflows:
// sums[r][c] = Σ rows[pair][r] · weights[pair][c], added to what is there with `adds`. `lines` cache lines from `next` on are fetched
// with every four pairs.
static inline __attribute__((always_inline, target("avx2"))) void tile_avx2(
    const int count, int64_t pairs, const int16_t *rows, const int16_t *weights, int32_t *sums, int adds,
    const int16_t *next, int64_t lines) {
    __m256i sum[WIDE_ROWS][2];
    UNROLL for (int r = 0; r < count; r++) UNROLL for (int n = 0; n < 2; n++)
        sum[r][n] = adds ? _mm256_loadu_si256((const __m256i *)(sums + r * COLUMNS + 8 * n)) : _mm256_setzero_si256();
    int64_t k = 0;
    for (; k < pairs; k += 4) {
        for (int64_t i = 0; i < lines; i++, next += 32) __builtin_prefetch(next, 0, 2);
        __builtin_prefetch(rows + 32 * count);
        if (count > 4) __builtin_prefetch(rows + 36 * count);
        UNROLL for (int i = 0; i < 4; i++) {
            if (i > 1 && k + i >= pairs) break;
            const __m256i left = _mm256_loadu_si256((const __m256i *)(weights + i * 2 * PANEL));
            const __m256i right = _mm256_loadu_si256((const __m256i *)(weights + i * 2 * PANEL + PANEL));
            UNROLL for (int r = 0; r < count; r++) {
                const __m256i a = _mm256_set1_epi32(four_bytes((const uint8_t *)(rows + 2 * (i * count + r))));
                sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(a, left));
                sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(a, right));
            }
        }
        rows += 8 * count;
        weights += 8 * PANEL;
    }
    UNROLL for (int r = 0; r < count; r++) UNROLL for (int n = 0; n < 2; n++)
        _mm256_storeu_si256((__m256i *)(sums + r * COLUMNS + 8 * n), sum[r][n]);
}

#define TILE2(count) \
    static __attribute__((noinline, target("avx2"))) void tile2_##count( \
        int64_t pairs, const int16_t *rows, const int16_t *weights, int32_t *sums, int adds, const int16_t *next, \
        int64_t lines) { \
        tile_avx2(count, pairs, rows, weights, sums, adds, next, lines); \
    }
TILE2(1) TILE2(2) TILE2(3) TILE2(4) TILE2(5) TILE2(6)

typedef void wide_function(
    int64_t, const int16_t *, const int16_t *, int32_t *, int, const int16_t *, int64_t);
static wide_function *const tiles_wide[WIDE_ROWS] = {tile2_1, tile2_2, tile2_3, tile2_4, tile2_5, tile2_6};

// Eight rows of eight 32-bit numbers become their columns.
static inline __attribute__((always_inline, target("avx2"))) void transpose_pairs(__m256i x[8]) {
    __m256i y[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) UNROLL for (int j = 0; j < 2; j++) {
        x[i + 2 * j] = _mm256_unpacklo_epi64(y[i + j], y[i + j + 2]);
        x[i + 2 * j + 1] = _mm256_unpackhi_epi64(y[i + j], y[i + j + 2]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        y[i] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x20);
        y[i + 4] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x31);
    }
    UNROLL for (int i = 0; i < 8; i++) x[i] = y[i];
}

// Whole vectors of a piece of a tile's rows as [pair][row]; up to 32 bytes more are written. Returns how far it came.
static __attribute__((noinline, target("avx2"))) int64_t widen_tile(
    int count, int64_t piece, int flip, const uint8_t *const *rows, int16_t *to) {
    const __m128i mask = _mm_set1_epi8(flip ? (char)0x80 : 0);
    int64_t k = 0;
    for (; k + 16 <= piece; k += 16) {
        __m256i x[8];
        for (int r = 0; r < count; r++)
            x[r] = _mm256_cvtepu8_epi16(_mm_xor_si128(_mm_loadu_si128((const __m128i *)(rows[r] + k)), mask));
        for (int r = count; r < 8; r++) x[r] = _mm256_setzero_si256();
        transpose_pairs(x);
        UNROLL for (int i = 0; i < 8; i++) _mm256_storeu_si256((__m256i *)(to + (k / 2 + i) * count * 2), x[i]);
    }
    return k;
}

// Quads from `k` on, one at a time.
static __attribute__((noinline, target("avx2"))) void widen_quads(
    int count, int64_t k, int64_t piece, int flip, const uint8_t *const *rows, int16_t *to) {
    const __m128i mask = _mm_set1_epi8(flip ? (char)0x80 : 0);
    for (; k < piece; k += 4)
        for (int r = 0; r < count; r++) {
            const __m128i x = _mm_cvtepu8_epi16(_mm_xor_si128(_mm_cvtsi32_si128(four_bytes(rows[r] + k)), mask));
            const int32_t left = _mm_cvtsi128_si32(x), right = _mm_extract_epi32(x, 1);
            memcpy(to + (k / 2 * count + r) * 2, &left, 4);
            memcpy(to + ((k / 2 + 1) * count + r) * 2, &right, 4);
        }
}
#endif

static void tile_plain(
    int count, int64_t pairs, const int16_t *rows, const int16_t *weights, int32_t *sums, int adds) {
    for (int r = 0; r < count; r++)
        for (int c = 0; c < PANEL; c++) {
            int32_t sum = adds ? sums[r * COLUMNS + c] : 0;
            for (int64_t k = 0; k < pairs; k++)
                for (int i = 0; i < 2; i++) sum += rows[(k * count + r) * 2 + i] * weights[(k * PANEL + c) * 2 + i];
            sums[r * COLUMNS + c] = sum;
        }
}

static void tile_wide(
    int count, int64_t pairs, const int16_t *rows, const int16_t *weights, int32_t *sums, int adds,
    const int16_t *next, int64_t lines) {
#if defined(__x86_64__)
    if (tkernel_cpu_level() >= LEVEL_AVX2) {
        tiles_wide[count - 1](pairs, rows, weights, sums, adds, next, lines);
        return;
    }
#endif
    (void)next, (void)lines;
    tile_plain(count, pairs, rows, weights, sums, adds);
}

// A tile's rows, each in pieces of whole quads, as [pair][row].
static void widen(const tkernel_integer *p, int flip, const uint8_t *const *rows, int64_t stride, int count, int16_t *to) {
    const int64_t piece = quads(p) * 4;
    const uint8_t mask = flip ? 0x80 : 0;
#if defined(__x86_64__)
    const int is_quick = tkernel_cpu_level() >= LEVEL_AVX2;
#endif
    for (int64_t tap = 0; tap < p->taps; tap++, rows += stride, to += piece * count) {
#if defined(__x86_64__)
        if (is_quick) {
            const int64_t done = piece >= 16 ? widen_tile(count, piece, flip, rows, to) : 0;
            if (done < piece) widen_quads(count, done, piece, flip, rows, to);
            continue;
        }
#endif
        for (int64_t k = 0; k < piece; k += 4)
            for (int r = 0; r < count; r++)
                for (int i = 0; i < 4; i++)
                    to[((k + i) / 2 * count + r) * 2 + i % 2] = (int16_t)(uint8_t)(rows[r][k + i] ^ mask);
    }
}

// A panel of one group of rows: the depth in parts, so that its weights are in the first cache for all tiles.
static void run_panel(int64_t count, int64_t pairs, const int16_t *wide, const int16_t *weights, int32_t *sums) {
    const int64_t tiles = (count + WIDE_ROWS - 1) / WIDE_ROWS, parts = (pairs + MOST_PAIRS - 1) / MOST_PAIRS;
    int64_t k = 0;
    for (int64_t i = 0; i < parts; i++) {
        // Pairs come in twos, as quads do.
        const int64_t end = pairs * (i + 1) / parts / 2 * 2, part = end - k, steps = (part + 3) / 4;
        const int64_t lines = (part + tiles * steps - 1) / (tiles * steps);
        const int16_t *next = weights + end * 2 * PANEL;
        for (int64_t t = 0; t < tiles; t++, next += steps * lines * 2 * PANEL) {
            const int64_t from = count * t / tiles, size = count * (t + 1) / tiles - from;
            tile_wide(
                (int)size, part, wide + (from * pairs + k * size) * 2, weights + k * 2 * PANEL, sums + from * COLUMNS, i > 0,
                next, lines);
        }
        k = end;
    }
}
