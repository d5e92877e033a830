// What the tests of the kernels share: random numbers, memory that ends at a page nobody may touch, comparison.
#ifndef SUPPORT_H
#define SUPPORT_H

#include <CKernels.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

extern int failures;
extern int level; // what tkernel_isa() answers

uint32_t random_bits(void);
float random_float(void); // -1 to 1
int64_t random_size(int64_t least, int64_t most);

// `count` floats, the last of which is the last of its page; the next page may not be touched.
float *guarded(int64_t count);
float *guarded_random(int64_t count);
void release(float *memory, int64_t count);

// Counts a failure and says where, when the two are further apart than `tolerance` of the larger one or of 1. NaN equals NaN.
void expect_close(const char *what, int64_t index, double expected, double found, double tolerance);

double now(void);

double activation(const tkernel_activation *a, double x);

void test_gemm(void);
void bench_gemm(void);
void test_attention(void);
void bench_attention(void);

#endif
