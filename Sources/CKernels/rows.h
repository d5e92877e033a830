// SPDX-License-Identifier: Apache-2.0
//
// Normalisations and softmax of rows. Included behind simd.h.

static void NAME(norm_run)(
    const tkernel_norm *norm, int64_t begin, int64_t end, const float *source, const float *residual, const float *gamma,
    const float *beta, float *sum, float *target) {
    const int64_t columns = norm->columns;
    for (int64_t m = begin; m < end; m++) {
        const float *x = source + m * columns, *more = residual ? residual + m % norm->period * columns : 0;
        float *y = target + m * columns;
        vf total = all(0);
        if (more) {
            // The sums wait where they are wanted, or where the result will be.
            float *to = sum ? sum + m * columns : y;
            for (int64_t n = 0; n < columns; n += W) {
                const int64_t rest = columns - n;
                const vf value = load_some(x + n, rest) + load_some(more + n, rest);
                store_some(to + n, value, rest);
                total += value;
            }
            x = to;
        } else if (!norm->is_rms) {
            for (int64_t n = 0; n < columns; n += W) total += load_some(x + n, columns - n);
        }
        const float mean = norm->is_rms ? 0 : sum_of(total) / (float)columns;
        vf even = all(0), odd = all(0);
        int64_t n = 0;
        for (; n + 2 * W <= columns; n += 2 * W) {
            const vf a = load(x + n) - mean, b = load(x + n + W) - mean;
            even = fma_(a, a, even);
            odd = fma_(b, b, odd);
        }
        for (; n < columns; n += W) {
            const int64_t rest = columns - n;
            vf a = load_some(x + n, rest) - mean;
            if (rest < W)
                for (int64_t i = rest; i < W; i++) a[i] = 0;
            even = fma_(a, a, even);
        }
        const float factor = 1 / __builtin_sqrtf(sum_of(even + odd) / (float)columns + norm->epsilon);
        for (n = 0; n < columns; n += W) {
            const int64_t rest = columns - n;
            vf value = (load_some(x + n, rest) - mean) * factor;
            if (gamma) value *= load_some(gamma + n, rest);
            if (beta) value += load_some(beta + n, rest);
            store_some(y + n, value, rest);
        }
    }
}

static void NAME(softmax_run)(
    int32_t is_log, int64_t begin, int64_t end, int64_t columns, const float *source, float *target) {
    for (int64_t m = begin; m < end; m++) {
        const float *x = source + m * columns;
        float *y = target + m * columns;
        vf most = all(-__builtin_inff());
        int64_t n = 0;
        for (; n + W <= columns; n += W) most = maximum(load(x + n), most);
        float largest = largest_of(most);
        for (; n < columns; n++) largest = x[n] > largest || x[n] != x[n] ? x[n] : largest;
        vf total = all(0);
        for (n = 0; n < columns; n += W) {
            const int64_t rest = columns - n;
            const vf distance = load_some(x + n, rest) - largest;
            vf power = exponential(distance);
            if (rest < W)
                for (int64_t i = rest; i < W; i++) power[i] = 0;
            total += power;
            store_some(y + n, is_log ? distance : power, rest);
        }
        const float whole = sum_of(total);
        if (is_log) {
            const float logarithm = __builtin_logf(whole);
            for (n = 0; n < columns; n += W) store_some(y + n, load_some(y + n, columns - n) - logarithm, columns - n);
        } else {
            const float factor = 1 / whole;
            for (n = 0; n < columns; n += W) store_some(y + n, load_some(y + n, columns - n) * factor, columns - n);
        }
    }
}
