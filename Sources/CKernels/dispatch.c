// SPDX-License-Identifier: Apache-2.0
#include "kernel_table.h"

#include <stddef.h>

static const kernel_table *table(void) {
    switch (tkernel_isa()) {
    case TKERNEL_ISA_AVX512: return tkernel_table_avx512;
    case TKERNEL_ISA_AVX2: return tkernel_table_avx2;
    default: return NULL;
    }
}

int64_t tkernel_gemm_panel(void) {
    const kernel_table *t = table();
    return t ? t->panel : 0;
}

int64_t tkernel_gemm_weights(int64_t columns, int64_t depth) {
    const int64_t panel = tkernel_gemm_panel();
    int64_t padded, total;
    if (columns < 0 || depth < 0 || panel == 0 || __builtin_add_overflow(columns, panel - 1, &padded)
        || __builtin_mul_overflow(padded / panel * panel, depth, &total) || total > INT64_MAX / 8)
        return 0;
    return total;
}

void tkernel_gemm_pack(
    int64_t columns, int64_t depth, const float *b, int64_t row, int64_t column, float *into, int64_t begin, int64_t end) {
    const kernel_table *t = table();
    if (t) t->gemm_pack(columns, depth, b, row, column, into, begin, end);
}

int64_t tkernel_gemm_scratch(const tkernel_gemm *gemm) {
    const kernel_table *t = table();
    return t ? t->gemm_scratch(gemm) : 0;
}

int tkernel_gemm_run(
    const tkernel_gemm *gemm, int64_t threads, int64_t thread, const float *a, const float *weights, float *c,
    const float *const *operands, float *scratch, const volatile int32_t *cancel) {
    const kernel_table *t = table();
    return t ? t->gemm_run(gemm, threads, thread, a, weights, c, operands, scratch, cancel) : 0;
}

int64_t tkernel_products_scratch(const tkernel_products *products) {
    const kernel_table *t = table();
    return t ? t->products_scratch(products) : 0;
}

int tkernel_products_run(
    const tkernel_products *products, int64_t threads, int64_t thread, const float *a, const float *b, float *c,
    const float *const *operands, float *scratch, const volatile int32_t *cancel) {
    const kernel_table *t = table();
    return t ? t->products_run(products, threads, thread, a, b, c, operands, scratch, cancel) : 0;
}

void tkernel_steps_run(
    int64_t step_count, const tkernel_step *steps, int64_t begin, int64_t end, int64_t columns, const float *source,
    float *target, const float *const *operands) {
    const kernel_table *t = table();
    if (t) t->steps_run(step_count, steps, begin, end, columns, source, target, operands);
}

void tkernel_norm_run(
    const tkernel_norm *norm, int64_t begin, int64_t end, const float *source, const float *residual, const float *gamma,
    const float *beta, float *sum, float *target) {
    const kernel_table *t = table();
    if (t) t->norm_run(norm, begin, end, source, residual, gamma, beta, sum, target);
}

void tkernel_softmax_run(
    int32_t is_log, int64_t begin, int64_t end, int64_t columns, const float *source, float *target) {
    const kernel_table *t = table();
    if (t) t->softmax_run(is_log, begin, end, columns, source, target);
}

int64_t tkernel_attention_scratch(const tkernel_attention *attention) {
    const kernel_table *t = table();
    return t ? t->attention_scratch(attention) : 0;
}

int tkernel_attention_run(
    const tkernel_attention *attention, int64_t threads, int64_t thread, const float *query, const float *key,
    const float *value, const void *mask, const int64_t *lengths, float *result, float *scratch,
    const volatile int32_t *cancel) {
    const kernel_table *t = table();
    if (!t) return 0;
    return t->attention_run(attention, threads, thread, query, key, value, mask, lengths, result, scratch, cancel);
}
