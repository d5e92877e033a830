// SPDX-License-Identifier: Apache-2.0
#include "vector.h"

#include <stddef.h>

// Weights of a block of 16 units: biases of four rows, peepholes of three, then those of inputs and of hidden states, a row of
// 16 units per gate for each of them.
enum { BIASES = 4, HEADER = (BIASES + 3) * LANES };

int64_t tkernel_recurrent_blocks(const tkernel_recurrent *r) { return (r->hidden + LANES - 1) / LANES; }

static int64_t weights_per_block(const tkernel_recurrent *r) {
    return HEADER + (r->inputs + r->hidden) * r->gates * LANES;
}

int64_t tkernel_recurrent_weights(const tkernel_recurrent *r) {
    int64_t rows, total;
    if (__builtin_add_overflow(r->inputs, r->hidden, &rows) || __builtin_mul_overflow(rows, r->gates * LANES, &rows)
        || __builtin_add_overflow(rows, HEADER, &rows) || __builtin_mul_overflow(tkernel_recurrent_blocks(r), rows, &total))
        return 0;
    return total;
}

int64_t tkernel_recurrent_gates(const tkernel_recurrent *r) { return tkernel_recurrent_blocks(r) * r->gates * LANES; }

void tkernel_recurrent_pack(
    const tkernel_recurrent *r, const float *weight, const float *recurrence, const float *bias, const float *peephole,
    float *into) {
    const int64_t rows = r->gates * r->hidden;
    for (int64_t block = 0; block < tkernel_recurrent_blocks(r); block++) {
        float *to = into + block * weights_per_block(r);
        for (int64_t lane = 0; lane < LANES; lane++) {
            const int64_t unit = block * LANES + lane;
            const int is_real = unit < r->hidden;
            for (int64_t row = 0; row < BIASES; row++) {
                // The hidden gate of GRU has the bias of its state apart, in the last row.
                const int is_apart = r->gates == 3 && row >= 2;
                float value = 0;
                if (is_real && row < r->gates) value = bias[row * r->hidden + unit];
                if (is_real && row < r->gates && !is_apart) value += bias[rows + row * r->hidden + unit];
                if (is_real && r->gates == 3 && row == 3) value = bias[rows + 2 * r->hidden + unit];
                to[row * LANES + lane] = value;
            }
            for (int64_t row = 0; row < 3; row++)
                to[(BIASES + row) * LANES + lane] = is_real && peephole ? peephole[row * r->hidden + unit] : 0;
        }
        to += HEADER;
        for (int part = 0; part < 2; part++) {
            const int64_t count = part ? r->hidden : r->inputs;
            const float *from = part ? recurrence : weight;
            for (int64_t gate = 0; gate < r->gates; gate++)
                for (int64_t lane = 0; lane < LANES; lane++) {
                    const int64_t unit = block * LANES + lane;
                    const float *row = from + (gate * r->hidden + unit) * count;
                    float *place = to + gate * LANES + lane;
                    for (int64_t i = 0; i < count; i++, place += r->gates * LANES) *place = unit < r->hidden ? row[i] : 0;
                }
            to += count * r->gates * LANES;
        }
    }
}

#if defined(__x86_64__)

int tkernel_recurrent_is_supported(const tkernel_recurrent *r) {
    return tkernel_isa() >= TKERNEL_ISA_AVX512 && (r->gates == 4 || r->gates == 3 || r->gates == 1) && r->inputs > 0
        && r->hidden > 0 && tkernel_recurrent_weights(r) > 0;
}

enum { MOST = 6 };

// sums[m][g] += Σ from[m · stride + k] · rows[k · step + g · 16]. Few sums are split in parts, so that one multiplication need
// not wait for the one before.
INLINE void multiply(
    const int samples, const int gates, __m512 sums[MOST][4], const float *from, int64_t stride, const float *rows,
    const int step, int64_t count) {
    const int parts = samples * gates >= 8 ? 1 : samples * gates >= 3 ? 2 : 4;
    __m512 more[3][MOST][4];
    UNROLL for (int p = 0; p < parts - 1; p++)
        UNROLL for (int m = 0; m < samples; m++)
            UNROLL for (int g = 0; g < gates; g++) more[p][m][g] = _mm512_setzero_ps();
    int64_t k = 0;
    for (; k + parts <= count; k += parts)
        UNROLL for (int p = 0; p < parts; p++) {
            __m512 row[4];
            UNROLL for (int g = 0; g < gates; g++) row[g] = _mm512_loadu_ps(rows + (k + p) * step + g * LANES);
            UNROLL for (int m = 0; m < samples; m++) {
                const __m512 value = _mm512_set1_ps(from[m * stride + k + p]);
                UNROLL for (int g = 0; g < gates; g++) {
                    __m512 *sum = p == 0 ? &sums[m][g] : &more[p - 1][m][g];
                    *sum = _mm512_fmadd_ps(value, row[g], *sum);
                }
            }
        }
    for (; k < count; k++)
        UNROLL for (int m = 0; m < samples; m++)
            UNROLL for (int g = 0; g < gates; g++)
                sums[m][g] = _mm512_fmadd_ps(
                    _mm512_set1_ps(from[m * stride + k]), _mm512_loadu_ps(rows + k * step + g * LANES), sums[m][g]);
    UNROLL for (int p = 0; p < parts - 1; p++)
        UNROLL for (int m = 0; m < samples; m++)
            UNROLL for (int g = 0; g < gates; g++) sums[m][g] = _mm512_add_ps(sums[m][g], more[p][m][g]);
}

// MARK: the gates' inputs

INLINE void project_tile(
    const tkernel_recurrent *r, const int samples, const int gates, const float *from, const float *weights, float *to) {
    __m512 sums[MOST][4];
    UNROLL for (int m = 0; m < samples; m++)
        UNROLL for (int g = 0; g < gates; g++) sums[m][g] = _mm512_loadu_ps(weights + g * LANES);
    multiply(samples, gates, sums, from, r->inputs, weights + HEADER, gates * LANES, r->inputs);
    const int64_t stride = tkernel_recurrent_gates(r);
    UNROLL for (int m = 0; m < samples; m++)
        UNROLL for (int g = 0; g < gates; g++) _mm512_storeu_ps(to + m * stride + g * LANES, sums[m][g]);
}

// Calls `tile(…, n, …)` for as many samples as registers allow, with n known when this is compiled.
#define TILES(count, tile)                                                                                             \
    for (int64_t first = 0; first < (count);) {                                                                        \
        const int64_t rest = (count) - first;                                                                          \
        switch (rest) {                                                                                                \
        case 1: tile(1); first += 1; break;                                                                            \
        case 2: tile(2); first += 2; break;                                                                            \
        case 3: tile(3); first += 3; break;                                                                            \
        case 4: tile(4); first += 4; break;                                                                            \
        case 5: tile(5); first += 5; break;                                                                            \
        default: tile(6); first += 6; break;                                                                           \
        }                                                                                                              \
    }

WIDE void tkernel_recurrent_project(
    const tkernel_recurrent *r, int64_t begin, int64_t end, int64_t samples, const float *source, const float *weights,
    float *gates) {
    for (int64_t block = begin; block < end; block++) {
        const float *rows = weights + block * weights_per_block(r);
        float *to = gates + block * r->gates * LANES;
        const int64_t stride = tkernel_recurrent_gates(r);
#define TILE4(n) project_tile(r, n, 4, source + first * r->inputs, rows, to + first * stride)
#define TILE3(n) project_tile(r, n, 3, source + first * r->inputs, rows, to + first * stride)
#define TILE1(n) project_tile(r, n, 1, source + first * r->inputs, rows, to + first * stride)
        if (r->gates == 4) TILES(samples, TILE4)
        else if (r->gates == 3) TILES(samples, TILE3)
        else TILES(samples, TILE1)
#undef TILE4
#undef TILE3
#undef TILE1
    }
}

// MARK: steps

// What belongs to one block of units in one step. Rows of states are `hidden` apart.
typedef struct place {
    const tkernel_recurrent *r;
    const float *weights;
    float *gates;
    const float *before;
    float *cell, *after, *reset;
    int64_t unit;
    __mmask16 lanes;
} place;

INLINE __m512 activate(const tkernel_recurrent *r, int index, __m512 x) {
    const bound_activation rectifier = {TKERNEL_RELU, _mm512_setzero_ps(), _mm512_setzero_ps()};
    switch (r->functions[index]) {
    case TKERNEL_SIGMOID: return apply(x, &rectifier, TKERNEL_SIGMOID);
    case TKERNEL_TANH: return apply(x, &rectifier, TKERNEL_TANH);
    default: return apply(x, &rectifier, TKERNEL_RELU);
    }
}

// What goes into a gate is clipped; the state that comes out of the cell is not.
INLINE __m512 gate_of(const tkernel_recurrent *r, int index, __m512 x) {
    return activate(r, index, clamp(x, -r->clip, r->clip));
}

INLINE __m512 blend(__m512 z, __m512 fresh, __m512 before) {
    return _mm512_fmadd_ps(z, before, _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(1.0f), z), fresh));
}

// What follows the products stands in functions of its own, once for all numbers of samples.
#define APART static __attribute__((noinline)) WIDE

APART void finish_lstm(const place *p, int samples, int64_t first, __m512 (*sums)[4]) {
    const tkernel_recurrent *r = p->r;
    const float *peephole = p->weights + BIASES * LANES;
    for (int m = 0; m < samples; m++) {
        const int64_t at = (first + m) * r->hidden + p->unit;
        const __m512 before = _mm512_maskz_loadu_ps(p->lanes, p->cell + at);
        __m512 i = sums[m][0], o = sums[m][1], f = sums[m][2];
        if (r->has_peephole) {
            i = _mm512_fmadd_ps(_mm512_loadu_ps(peephole), before, i);
            f = _mm512_fmadd_ps(_mm512_loadu_ps(peephole + 2 * LANES), before, f);
        }
        i = gate_of(r, 0, i);
        f = r->input_forget ? _mm512_sub_ps(_mm512_set1_ps(1.0f), i) : gate_of(r, 0, f);
        const __m512 after = _mm512_fmadd_ps(f, before, _mm512_mul_ps(i, gate_of(r, 1, sums[m][3])));
        _mm512_mask_storeu_ps(p->cell + at, p->lanes, after);
        if (r->has_peephole) o = _mm512_fmadd_ps(_mm512_loadu_ps(peephole + LANES), after, o);
        const __m512 next = _mm512_mul_ps(gate_of(r, 0, o), activate(r, 2, after));
        _mm512_mask_storeu_ps(p->after + at, p->lanes, next);
    }
}

APART void finish_gru(const place *p, int samples, int64_t first, __m512 (*sums)[4]) {
    const tkernel_recurrent *r = p->r;
    const float *ahead = p->gates + first * tkernel_recurrent_gates(r);
    for (int m = 0; m < samples; m++) {
        const int64_t at = (first + m) * r->hidden + p->unit;
        const __m512 before = _mm512_maskz_loadu_ps(p->lanes, p->before + at);
        const __m512 z = gate_of(r, 0, sums[m][0]), reset = gate_of(r, 0, sums[m][1]);
        const __m512 input = _mm512_loadu_ps(ahead + m * tkernel_recurrent_gates(r) + 2 * LANES);
        const __m512 fresh = gate_of(r, 1, _mm512_fmadd_ps(reset, sums[m][2], input));
        _mm512_mask_storeu_ps(p->after + at, p->lanes, blend(z, fresh, before));
    }
}

// The first part of a GRU whose reset gate stands in front of the product: update gates, and the states that go through.
APART void finish_reset(const place *p, int samples, int64_t first, __m512 (*sums)[4]) {
    const tkernel_recurrent *r = p->r;
    float *ahead = p->gates + first * tkernel_recurrent_gates(r);
    for (int m = 0; m < samples; m++) {
        const int64_t at = (first + m) * r->hidden + p->unit;
        const __m512 before = _mm512_maskz_loadu_ps(p->lanes, p->before + at);
        _mm512_storeu_ps(ahead + m * tkernel_recurrent_gates(r), gate_of(r, 0, sums[m][0]));
        _mm512_mask_storeu_ps(p->reset + at, p->lanes, _mm512_mul_ps(gate_of(r, 0, sums[m][1]), before));
    }
}

APART void finish_hidden(const place *p, int samples, int64_t first, __m512 (*sums)[4]) {
    const tkernel_recurrent *r = p->r;
    const float *ahead = p->gates + first * tkernel_recurrent_gates(r);
    for (int m = 0; m < samples; m++) {
        const int64_t at = (first + m) * r->hidden + p->unit;
        const __m512 before = _mm512_maskz_loadu_ps(p->lanes, p->before + at);
        const __m512 z = _mm512_loadu_ps(ahead + m * tkernel_recurrent_gates(r));
        _mm512_mask_storeu_ps(p->after + at, p->lanes, blend(z, gate_of(r, 1, sums[m][0]), before));
    }
}

APART void finish_plain(const place *p, int samples, int64_t first, __m512 (*sums)[4]) {
    for (int m = 0; m < samples; m++) {
        const int64_t at = (first + m) * p->r->hidden + p->unit;
        _mm512_mask_storeu_ps(p->after + at, p->lanes, gate_of(p->r, 0, sums[m][0]));
    }
}

// The first `products` of `gates` gates of a step, from the states before it.
INLINE void step_tile(const place *p, const int samples, const int gates, const int products, int64_t first) {
    const tkernel_recurrent *r = p->r;
    const int64_t stride = tkernel_recurrent_gates(r);
    const float *ahead = p->gates + first * stride;
    __m512 sums[MOST][4];
    UNROLL for (int m = 0; m < samples; m++) UNROLL for (int g = 0; g < products; g++) {
        const float *from = gates == 3 && g == 2 ? p->weights + 3 * LANES : ahead + m * stride + g * LANES;
        sums[m][g] = _mm512_loadu_ps(from);
    }
    multiply(
        samples, products, sums, p->before + first * r->hidden, r->hidden,
        p->weights + HEADER + r->inputs * gates * LANES, gates * LANES, r->hidden);
    if (gates == 4) finish_lstm(p, samples, first, sums);
    else if (gates == 1) finish_plain(p, samples, first, sums);
    else if (products == 3) finish_gru(p, samples, first, sums);
    else finish_reset(p, samples, first, sums);
}

// The hidden gate of GRU over the states that the reset gates let through.
INLINE void second_tile(const place *p, const int samples, int64_t first) {
    const tkernel_recurrent *r = p->r;
    const int64_t stride = tkernel_recurrent_gates(r);
    const float *ahead = p->gates + first * stride;
    __m512 sums[MOST][4];
    UNROLL for (int m = 0; m < samples; m++)
        sums[m][0] = _mm512_add_ps(
            _mm512_loadu_ps(ahead + m * stride + 2 * LANES), _mm512_loadu_ps(p->weights + 3 * LANES));
    multiply(
        samples, 1, sums, p->reset + first * r->hidden, r->hidden,
        p->weights + HEADER + (r->inputs * 3 + 2) * LANES, 3 * LANES, r->hidden);
    finish_hidden(p, samples, first, sums);
}

int64_t tkernel_recurrent_parts(const tkernel_recurrent *r) { return r->gates == 3 && !r->linear_before_reset ? 2 : 1; }

WIDE void tkernel_recurrent_step(
    const tkernel_recurrent *r, int64_t part, int64_t begin, int64_t end, int64_t batch, const float *weights, float *gates,
    const float *before, float *cell, float *after, float *reset) {
    const int has_parts = tkernel_recurrent_parts(r) == 2;
    for (int64_t block = begin; block < end; block++) {
        const int64_t unit = block * LANES, rest = r->hidden - unit;
        const place p = {
            r,
            weights + block * weights_per_block(r),
            gates + block * r->gates * LANES,
            before,
            cell,
            after,
            reset,
            unit,
            (__mmask16)(rest < LANES ? (1u << rest) - 1 : 0xFFFF),
        };
#define TILE4(n) step_tile(&p, n, 4, 4, first)
#define TILE3(n) step_tile(&p, n, 3, 3, first)
#define FIRST(n) step_tile(&p, n, 3, 2, first)
#define SECOND(n) second_tile(&p, n, first)
#define TILE1(n) step_tile(&p, n, 1, 1, first)
        if (r->gates == 4) TILES(batch, TILE4)
        else if (r->gates == 1) TILES(batch, TILE1)
        else if (!has_parts) TILES(batch, TILE3)
        else if (part == 0) TILES(batch, FIRST)
        else TILES(batch, SECOND)
#undef TILE4
#undef TILE3
#undef FIRST
#undef SECOND
#undef TILE1
    }
}

#else

int tkernel_recurrent_is_supported(const tkernel_recurrent *r) { return 0; }
void tkernel_recurrent_project(
    const tkernel_recurrent *r, int64_t begin, int64_t end, int64_t samples, const float *source, const float *weights,
    float *gates) {}
int64_t tkernel_recurrent_parts(const tkernel_recurrent *r) { return 1; }
void tkernel_recurrent_step(
    const tkernel_recurrent *r, int64_t part, int64_t begin, int64_t end, int64_t batch, const float *weights, float *gates,
    const float *before, float *cell, float *after, float *reset) {}

#endif
