// SPDX-License-Identifier: Apache-2.0
//
// The functions of one instruction set.
#ifndef CKERNELS_KERNEL_TABLE_H
#define CKERNELS_KERNEL_TABLE_H

#include "CKernels.h"

typedef struct kernel_table {
    int64_t panel;
    int64_t (*gemm_scratch)(const tkernel_gemm *);
    void (*gemm_pack)(int64_t, int64_t, const float *, int64_t, int64_t, float *, int64_t, int64_t);
    int (*gemm_run)(
        const tkernel_gemm *, int64_t, int64_t, const float *, const float *, float *, const float *const *, float *,
        const volatile int32_t *);
    int64_t (*products_scratch)(const tkernel_products *);
    int (*products_run)(
        const tkernel_products *, int64_t, int64_t, const float *, const float *, float *, const float *const *, float *,
        const volatile int32_t *);
    void (*steps_run)(
        int64_t, const tkernel_step *, int64_t, int64_t, int64_t, const float *, float *, const float *const *);
    void (*norm_run)(
        const tkernel_norm *, int64_t, int64_t, const float *, const float *, const float *, const float *, float *, float *);
    void (*softmax_run)(int32_t, int64_t, int64_t, int64_t, const float *, float *);
    int64_t (*attention_scratch)(const tkernel_attention *);
    int (*attention_run)(
        const tkernel_attention *, int64_t, int64_t, const float *, const float *, const float *, const void *,
        const int64_t *, float *, float *, const volatile int32_t *);
} kernel_table;

extern const kernel_table *const tkernel_table_avx2, *const tkernel_table_avx512;

#endif
