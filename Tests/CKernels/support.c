#define _GNU_SOURCE
#include "support.h"

#include <unistd.h>

int failures = 0;
int level = TKERNEL_ISA_AVX2;

// In place of the kernels' own, so that one process tests all.
int tkernel_isa(void) { return level; }

static uint64_t state = 0x9e3779b97f4a7c15;

uint32_t random_bits(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

float random_float(void) { return (float)(random_bits() & 0xffff) / 32768.0f - 1; }

int64_t random_size(int64_t least, int64_t most) { return least + random_bits() % (uint64_t)(most - least + 1); }

static size_t pages(int64_t count) {
    const size_t page = (size_t)getpagesize();
    return ((size_t)count * 4 + page - 1) / page * page + page;
}

float *guarded(int64_t count) {
    const size_t page = (size_t)getpagesize(), size = pages(count);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + size - page, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(2);
    }
    return (float *)(memory + size - page) - count;
}

float *guarded_random(int64_t count) {
    float *x = guarded(count);
    for (int64_t i = 0; i < count; i++) x[i] = random_float();
    return x;
}

void release(float *memory, int64_t count) {
    const size_t page = (size_t)getpagesize(), size = pages(count);
    munmap((char *)(memory + count) + page - size, size);
}

void expect_close(const char *what, int64_t index, double expected, double found, double tolerance) {
    if (isnan(expected) && isnan(found)) return;
    if (expected == found) return;
    const double scale = fmax(1, fabs(expected));
    if (fabs(expected - found) <= tolerance * scale) return;
    if (failures++ < 20)
        fprintf(stderr, "%s: element %lld expects %g, found %g\n", what, (long long)index, expected, found);
}

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double activation(const tkernel_activation *a, double x) {
    switch (a->function) {
    case TKERNEL_RELU: return x < 0 ? x * a->alpha : x;
    case TKERNEL_CLIP: return fmin(fmax(x, a->alpha), a->beta);
    case TKERNEL_SWISH: return x / (1 + exp(-a->alpha * x));
    case TKERNEL_HARDSWISH: return x * fmin(1, fmax(0, a->alpha * x + a->beta));
    case TKERNEL_HARDSIGMOID: return fmin(1, fmax(0, a->alpha * x + a->beta));
    case TKERNEL_SIGMOID: return 1 / (1 + exp(-x));
    case TKERNEL_TANH: return tanh(x);
    case TKERNEL_GELU_ERF: return x * (1 + erf(x / sqrt(2))) / 2;
    case TKERNEL_GELU_TANH: return x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
    case TKERNEL_EXP: return exp(x);
    case TKERNEL_MISH: return x * tanh(log1p(exp(x)));
    default: return x;
    }
}
