// SPDX-License-Identifier: Apache-2.0
#include "CKernels.h"

#include <stdlib.h>
#include <strings.h>

// What TENON_MAX_CPU_ISA allows. A value that nobody knows allows everything, as if it were not there.
static int allowed(void) {
    static const struct {
        const char *name;
        int level;
    } names[] = {
        {"sse41", TKERNEL_ISA_BASE},     {"base", TKERNEL_ISA_BASE},          {"avx", TKERNEL_ISA_BASE},
        {"avx2", TKERNEL_ISA_AVX2},      {"avx512", TKERNEL_ISA_AVX512},      {"avx512_core", TKERNEL_ISA_AVX512},
    };
    const char *text = getenv("TENON_MAX_CPU_ISA");
    for (unsigned i = 0; text && i < sizeof names / sizeof *names; i++)
        if (strcasecmp(text, names[i].name) == 0) return names[i].level;
    return TKERNEL_ISA_AVX512;
}

static int present(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return TKERNEL_ISA_AVX512;
    if (has_avx2) return TKERNEL_ISA_AVX2;
#endif
    return TKERNEL_ISA_BASE;
}

int tkernel_isa(void) {
    // Threads that come first together find the same answer.
    static _Atomic int known = -1;
    int level = known;
    if (level >= 0) return level;
    const int machine = present(), limit = allowed();
    level = machine < limit ? machine : limit;
    known = level;
    return level;
}
