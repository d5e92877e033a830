// SPDX-License-Identifier: Apache-2.0
#include "kernel_table.h"

#if defined(__x86_64__)
// Tests of the code for wide vectors run it on narrow ones where a machine has no others.
#ifndef TKERNEL_WIDE_TARGET
#define TKERNEL_WIDE_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
#endif
#pragma clang attribute push(__attribute__((target(TKERNEL_WIDE_TARGET))), apply_to = function)

#define W 16
#define MOST_ROWS 14
#define NAME(name) avx512_##name
#include "gemm.h"
#include "rows.h"
#include "attention.h"
#include "table.h"

const kernel_table *const tkernel_table_avx512 = &avx512_table;

#pragma clang attribute pop
#else

const kernel_table *const tkernel_table_avx512 = 0;

#endif
