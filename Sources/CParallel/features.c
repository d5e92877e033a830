#include "CParallel.h"

#include <stddef.h>

#if defined(__x86_64__)
static const char *const names[] = {"sse4.1", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512dq",
    "avx512vnni", "avxvnni", "avx512bf16", "amx-int8"};

static int has(size_t index)
{
    /* The name must be a literal. */
    switch (index) {
    case 0: return __builtin_cpu_supports("sse4.1");
    case 1: return __builtin_cpu_supports("avx");
    case 2: return __builtin_cpu_supports("f16c");
    case 3: return __builtin_cpu_supports("fma");
    case 4: return __builtin_cpu_supports("avx2");
    case 5: return __builtin_cpu_supports("avx512f");
    case 6: return __builtin_cpu_supports("avx512bw");
    case 7: return __builtin_cpu_supports("avx512vl");
    case 8: return __builtin_cpu_supports("avx512dq");
    case 9: return __builtin_cpu_supports("avx512vnni");
    case 10: return __builtin_cpu_supports("avxvnni");
    case 11: return __builtin_cpu_supports("avx512bf16");
    case 12: return __builtin_cpu_supports("amx-int8");
    default: return 0;
    }
}

const char *tenon_parallel_cpu_feature(int32_t index)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (has(i) && index-- == 0)
            return names[i];
    return NULL;
}
#else
const char *tenon_parallel_cpu_feature(int32_t index)
{
    (void)index;
    return NULL;
}
#endif
