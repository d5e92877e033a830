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
    // oneDNN's own variables hold for kernels of ours as well.
    static const char *const variables[] = {"TENON_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"};
    int level = TKERNEL_ISA_AVX512;
    for (unsigned v = 0; v < sizeof variables / sizeof *variables; v++) {
        const char *text = getenv(variables[v]);
        for (unsigned i = 0; text && i < sizeof names / sizeof *names; i++)
            if (strcasecmp(text, names[i].name) == 0 && names[i].level < level) level = names[i].level;
    }
    return level;
}

int tkernel_cpu_is_supported(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2")
        && __builtin_cpu_supports("popcnt");
#else
    return 1;
#endif
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
