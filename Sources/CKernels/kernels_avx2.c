// SPDX-License-Identifier: Apache-2.0
#include "kernel_table.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)

#define W 8
#define MOST_ROWS 6
#define NAME(name) avx2_##name
#include "gemm.h"
#include "rows.h"
#include "attention.h"
#include "table.h"

const kernel_table *const tkernel_table_avx2 = &avx2_table;

#pragma clang attribute pop
#else

const kernel_table *const tkernel_table_avx2 = 0;

#endif
