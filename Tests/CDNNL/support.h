// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the oneDNN shim share: plain tensors, one-call execution, comparison.
#ifndef TENON_TEST_CDNNL_SUPPORT_H
#define TENON_TEST_CDNNL_SUPPORT_H

#include "CDNNL.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

typedef struct tensor {
    int32_t ndims;
    int64_t dims[6];
    float *data; // row-major
} tensor;

#define DIMS(...) (int64_t[]){__VA_ARGS__}
#define OK(call) assert_int_equal((call), TDNNL_OK)

extern tdnnl_engine *engine;
extern tdnnl_stream *stream;
int open_engine(void **state);
int close_engine(void **state);

int64_t count(const tensor *t);
tensor make(int32_t ndims, const int64_t *dims);                // zeros
tensor random_tensor(int32_t ndims, const int64_t *dims, uint32_t seed); // -1...1
void drop(tensor *t);
tdnnl_md *plain(const tensor *t);
tdnnl_md *any(const tensor *t);
tdnnl_md *tagged(const tensor *t, int32_t tag);

float *aligned(size_t bytes);
void reorder(const tdnnl_md *from, void *source, const tdnnl_md *to, void *target);

// One operand of a run. The tensor is reordered into the descriptor that the primitive asks for; `output` ones are
// reordered back. `md` NULL means row-major.
typedef struct operand {
    int32_t argument;
    tensor *value;
    tdnnl_md *md; // owned by the call
    int output;   // 1 written, 2 read and written
} operand;

void run(tdnnl_pd *pd, operand *operands, int32_t operand_count);
// Largest difference over the largest expected value is below `tolerance`.
void assert_close(const tensor *got, const tensor *expected, float tolerance);
void end(tdnnl_pd *pd, tdnnl_md **mds, int md_count, tensor **tensors, int tensor_count); // gives all back
tdnnl_md *queried(const tdnnl_pd *pd, int32_t query, int32_t index);

typedef struct geometry {
    int64_t groups, strides[2], dilations[2], begin[2], end[2];
} geometry;

// Weights [groups, out / groups, in / groups, kh, kw], or without the first dimension when groups is 1.
void naive_convolution(const tensor *x, const tensor *w, const tensor *bias, tensor *y, const geometry *g);
int64_t output_size(int64_t input, int64_t kernel, const geometry *g, int axis);

#endif
