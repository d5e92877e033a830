// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>
#include <stdint.h>
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tdnnl_engine *engine;
tdnnl_stream *stream;

int open_engine(void **state) {
    (void)state;
    return tdnnl_engine_create(&engine) != TDNNL_OK || tdnnl_stream_create(&stream, engine) != TDNNL_OK;
}

int close_engine(void **state) {
    (void)state;
    tdnnl_stream_destroy(stream);
    tdnnl_engine_destroy(engine);
    return 0;
}

int64_t count(const tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->ndims; i++) n *= t->dims[i];
    return n;
}

float *aligned(size_t bytes) {
    void *p = NULL;
    size_t whole = (bytes + 127) / 64 * 64;
    if (posix_memalign(&p, 64, whole) != 0) fail_msg("out of memory");
    memset(p, 0, whole);
    return p;
}

tensor make(int32_t ndims, const int64_t *dims) {
    tensor t = {.ndims = ndims};
    memcpy(t.dims, dims, (size_t)ndims * sizeof *dims);
    t.data = aligned((size_t)count(&t) * sizeof(float));
    return t;
}

tensor random_tensor(int32_t ndims, const int64_t *dims, uint32_t seed) {
    tensor t = make(ndims, dims);
    for (int64_t i = 0, n = count(&t); i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        t.data[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    return t;
}

void drop(tensor *t) {
    free(t->data);
    t->data = NULL;
}

tdnnl_md *plain(const tensor *t) {
    tdnnl_md *md;
    OK(tdnnl_md_create_with_strides(&md, t->ndims, t->dims, TDNNL_F32, NULL));
    return md;
}

tdnnl_md *any(const tensor *t) { return tagged(t, TDNNL_TAG_any); }

tdnnl_md *tagged(const tensor *t, int32_t tag) {
    tdnnl_md *md;
    OK(tdnnl_md_create_with_tag(&md, t->ndims, t->dims, TDNNL_F32, tag));
    return md;
}

tdnnl_md *queried(const tdnnl_pd *pd, int32_t query, int32_t index) {
    tdnnl_md *md;
    OK(tdnnl_pd_query_md(&md, pd, query, index));
    return md;
}

void reorder(const tdnnl_md *from, void *source, const tdnnl_md *to, void *target) {
    tdnnl_pd *pd;
    OK(tdnnl_reorder_create(&pd, engine, from, to, NULL));
    tdnnl_primitive *primitive;
    OK(tdnnl_primitive_create(&primitive, pd));
    size_t scratch_size = tdnnl_pd_scratchpad_size(pd);
    float *scratch = aligned(scratch_size);
    tdnnl_md *scratch_md = queried(pd, TDNNL_QUERY_SCRATCHPAD, 0);
    tdnnl_memory *memories[3] = {0};
    OK(tdnnl_memory_create(&memories[0], from, engine, source));
    OK(tdnnl_memory_create(&memories[1], to, engine, target));
    if (scratch_md) OK(tdnnl_memory_create(&memories[2], scratch_md, engine, scratch));
    tdnnl_arguments *list;
    int32_t names[3] = {TDNNL_ARG_SRC, TDNNL_ARG_DST, TDNNL_ARG_SCRATCHPAD};
    OK(tdnnl_arguments_create(&list, names, memories, scratch_md ? 3 : 2));
    OK(tdnnl_execute(primitive, stream, list));
    tdnnl_arguments_destroy(list);
    for (int i = 0; i < 3; i++) tdnnl_memory_destroy(memories[i]);
    tdnnl_md_destroy(scratch_md);
    free(scratch);
    tdnnl_primitive_destroy(primitive);
    tdnnl_pd_destroy(pd);
}

void run(tdnnl_pd *pd, operand *operands, int32_t operand_count) {
    tdnnl_memory *memories[20] = {0};
    int32_t names[20];
    void *buffers[20] = {0};
    assert_true(operand_count < 20);
    for (int i = 0; i < operand_count; i++) {
        operand *o = &operands[i];
        tdnnl_md *row_major = plain(o->value);
        if (!o->md) OK(tdnnl_md_clone(&o->md, row_major));
        buffers[i] = aligned(tdnnl_md_size(o->md));
        if (o->output != 1) reorder(row_major, o->value->data, o->md, buffers[i]);
        OK(tdnnl_memory_create(&memories[i], o->md, engine, buffers[i]));
        names[i] = o->argument;
        tdnnl_md_destroy(row_major);
    }
    tdnnl_md *scratch = queried(pd, TDNNL_QUERY_SCRATCHPAD, 0);
    int32_t total = operand_count;
    if (scratch) {
        buffers[total] = aligned(tdnnl_md_size(scratch));
        OK(tdnnl_memory_create(&memories[total], scratch, engine, buffers[total]));
        names[total++] = TDNNL_ARG_SCRATCHPAD;
    }
    tdnnl_primitive *primitive;
    OK(tdnnl_primitive_create(&primitive, pd));
    tdnnl_arguments *list;
    OK(tdnnl_arguments_create(&list, names, memories, total));
    OK(tdnnl_execute(primitive, stream, list));
    for (int i = 0; i < operand_count; i++) {
        operand *o = &operands[i];
        if (o->output) {
            tdnnl_md *row_major = plain(o->value);
            reorder(o->md, buffers[i], row_major, o->value->data);
            tdnnl_md_destroy(row_major);
        }
        tdnnl_md_destroy(o->md);
        o->md = NULL;
    }
    tdnnl_arguments_destroy(list);
    tdnnl_primitive_destroy(primitive);
    for (int i = 0; i < total; i++) {
        tdnnl_memory_destroy(memories[i]);
        free(buffers[i]);
    }
    tdnnl_md_destroy(scratch);
}

void assert_close(const tensor *got, const tensor *expected, float tolerance) {
    float largest = 1e-6f, difference = 0;
    for (int64_t i = 0, n = count(expected); i < n; i++) {
        float d = fabsf(got->data[i] - expected->data[i]);
        if (!(d <= difference)) difference = d;
        if (fabsf(expected->data[i]) > largest) largest = fabsf(expected->data[i]);
    }
    if (!(difference <= tolerance * largest))
        fail_msg("difference %g of %g exceeds %g", difference, largest, tolerance);
}

int64_t output_size(int64_t input, int64_t kernel, const geometry *g, int axis) {
    return (input + g->begin[axis] + g->end[axis] - (kernel - 1) * g->dilations[axis] - 1) / g->strides[axis] + 1;
}

void naive_convolution(const tensor *x, const tensor *w, const tensor *bias, tensor *y, const geometry *g) {
    const int64_t *k = w->dims + (w->ndims - 2);
    int64_t in = x->dims[1] / g->groups, out = y->dims[1] / g->groups;
    for (int64_t n = 0; n < y->dims[0]; n++)
        for (int64_t o = 0; o < y->dims[1]; o++)
            for (int64_t p = 0; p < y->dims[2]; p++)
                for (int64_t q = 0; q < y->dims[3]; q++) {
                    double sum = bias ? bias->data[o] : 0;
                    for (int64_t c = 0; c < in; c++)
                        for (int64_t r = 0; r < k[0]; r++)
                            for (int64_t s = 0; s < k[1]; s++) {
                                int64_t h = p * g->strides[0] - g->begin[0] + r * g->dilations[0];
                                int64_t v = q * g->strides[1] - g->begin[1] + s * g->dilations[1];
                                if (h < 0 || v < 0 || h >= x->dims[2] || v >= x->dims[3]) continue;
                                int64_t channel = o / out * in + c;
                                sum += (double)x->data[((n * x->dims[1] + channel) * x->dims[2] + h) * x->dims[3] + v]
                                       * w->data[((o * in + c) * k[0] + r) * k[1] + s];
                            }
                    y->data[((n * y->dims[1] + o) * y->dims[2] + p) * y->dims[3] + q] = (float)sum;
                }
}

void end(tdnnl_pd *pd, tdnnl_md **mds, int md_count, tensor **tensors, int tensor_count) {
    tdnnl_pd_destroy(pd);
    for (int i = 0; i < md_count; i++) tdnnl_md_destroy(mds[i]);
    for (int i = 0; i < tensor_count; i++) drop(tensors[i]);
}
