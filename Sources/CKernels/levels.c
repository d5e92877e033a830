// SPDX-License-Identifier: Apache-2.0
#include "levels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static tkernel_level measured(void) {
#if defined(__x86_64__)
    tkernel_level level = LEVEL_BASE;
    if (tkernel_isa() >= TKERNEL_ISA_AVX2) level = LEVEL_AVX2;
    if (tkernel_isa() >= TKERNEL_ISA_AVX512) {
        // Who names AVX-512 as the most that may be used means that without instructions for bytes.
        const char *most = getenv("TENON_MAX_CPU_ISA");
        const int is_capped = most && (!strcasecmp(most, "avx512") || !strcasecmp(most, "avx512_core"));
        level = __builtin_cpu_supports("avx512vnni") && !is_capped ? LEVEL_VNNI : LEVEL_AVX512;
    }
    const char *cap = getenv("DNNL_MAX_CPU_ISA");
    if (!cap) cap = getenv("ONEDNN_MAX_CPU_ISA");
    if (cap) {
        tkernel_level most = level;
        if (!strncmp(cap, "SSE", 3) || !strcmp(cap, "AVX"))
            most = LEVEL_BASE;
        else if (!strncmp(cap, "AVX2", 4))
            most = LEVEL_AVX2;
        else if (!strcmp(cap, "AVX512_CORE") || !strncmp(cap, "AVX512_MIC", 10))
            most = LEVEL_AVX512;
        if (most < level) level = most;
    }
    return level;
#else
    return LEVEL_BASE;
#endif
}

tkernel_level tkernel_cpu_level(void) {
    static _Atomic int known; // level plus 1
    int value = atomic_load_explicit(&known, memory_order_relaxed);
    if (!value) {
        value = (int)measured() + 1;
        atomic_store_explicit(&known, value, memory_order_relaxed);
    }
    return (tkernel_level)(value - 1);
}
