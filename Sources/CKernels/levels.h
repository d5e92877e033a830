// SPDX-License-Identifier: Apache-2.0
//
// One plain loop compiled for several instruction sets, and the choice between them.
#ifndef CKERNELS_LEVELS_H
#define CKERNELS_LEVELS_H

#include "CKernels.h"

// What may be used at most: what tkernel_isa says, with instructions for bytes or without, or less where DNNL_MAX_CPU_ISA or
// ONEDNN_MAX_CPU_ISA says so.
typedef enum tkernel_level { LEVEL_BASE, LEVEL_AVX2, LEVEL_AVX512, LEVEL_VNNI } tkernel_level;

tkernel_level tkernel_cpu_level(void);

#if defined(__x86_64__)
#ifdef TKERNEL_NARROW_HEADER
#define LEVEL3 __attribute__((target("avx2"), noinline))
#else
#define LEVEL3 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"), min_vector_width(512), noinline))
#endif
#define LEVEL2 __attribute__((target("avx2"), noinline))

// Defines `name`, whose body is that of the inline function `loop`, with the given parameters and arguments.
#define LEVELS(name, loop, parameters, arguments) \
    LEVEL3 static void name##_512 parameters { loop arguments; } \
    LEVEL2 static void name##_256 parameters { loop arguments; } \
    static __attribute__((noinline)) void name##_base parameters { loop arguments; } \
    static void name parameters { \
        const tkernel_level level = tkernel_cpu_level(); \
        if (level >= LEVEL_AVX512) \
            name##_512 arguments; \
        else if (level >= LEVEL_AVX2) \
            name##_256 arguments; \
        else \
            name##_base arguments; \
    }
#else
#define LEVELS(name, loop, parameters, arguments) \
    static void name parameters { loop arguments; }
#endif

#define LOOP static inline __attribute__((always_inline))

#endif
