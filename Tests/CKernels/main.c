// The kernels alone, against naive loops. usage: test-kernels [bench]
#include "support.h"

int main(int count, char **arguments) {
    const int benches = count > 1 && strcmp(arguments[1], "bench") == 0;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        puts("kernels: this machine has no AVX2");
        return 0;
    }
    for (level = TKERNEL_ISA_AVX2; level <= TKERNEL_ISA_AVX512; level++) {
#ifndef TKERNEL_WIDE_TARGET
        if (level == TKERNEL_ISA_AVX512 && !__builtin_cpu_supports("avx512bw")) break;
#endif
        if (benches) {
            bench_gemm();
            bench_attention();
        } else {
            test_gemm();
            test_attention();
        }
    }
    if (failures) fprintf(stderr, "kernels: %d failures\n", failures);
    return failures != 0;
}
