// SPDX-License-Identifier: Apache-2.0
//
// Shared by the sources of this target: the two generations of oneDNN brought to one shape.
#ifndef TENON_CDNNL_INTERNAL_H
#define TENON_CDNNL_INTERNAL_H

#include "CDNNL.h"
#include "guarded.h"

#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
#define TDNNL_V3 1
typedef const_dnnl_memory_desc_t tdnnl_native_md;
#else
#define TDNNL_V3 0
typedef const dnnl_memory_desc_t *tdnnl_native_md;
#endif

// In version 2 dnnl_memory_desc_t is a struct of some hundred bytes, in version 3 a pointer.
struct tdnnl_md {
    dnnl_memory_desc_t desc;
};

struct tdnnl_pd {
    dnnl_primitive_desc_t pd;
    int is_copy;
#if !TDNNL_V3
    dnnl_primitive_desc_iterator_t iterator; // NULL for reorder, concat, sum and copies
    void *operation;                         // the iterator reads it at every step
    int distrust_gemm;
#endif
    int post_op_count;
    // Where each of the caller's post-ops stands in the list given to oneDNN.
    int16_t post_op_position[TDNNL_MAX_POST_OPS];
    int8_t post_op_kind[TDNNL_MAX_POST_OPS];
};

struct tdnnl_arguments {
    int count;
    dnnl_exec_arg_t entries[];
};

static inline tdnnl_native_md tdnnl_native(const tdnnl_md *md) {
#if TDNNL_V3
    return md ? md->desc : NULL;
#else
    return md ? &md->desc : NULL;
#endif
}

static inline dnnl_engine_t tdnnl_native_engine(tdnnl_engine *engine) { return (dnnl_engine_t)engine; }

// Takes a copy of a descriptor that oneDNN owns.
int tdnnl_md_copy_native(tdnnl_md **md, tdnnl_native_md native);

// Whether sizes of a window, and of the tensors that it moves over, are such as a model has; TDNNL_UNIMPLEMENTED if not.
int tdnnl_gate_window(
    const tdnnl_md *src, const tdnnl_md *dst, int32_t count, const int64_t *kernel, const int64_t *strides,
    const int64_t *dilations, const int64_t *pads_begin, const int64_t *pads_end);
// As above, the window being the last dimensions of `weights`.
int tdnnl_gate_weights(
    const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *dst, const int64_t *strides, const int64_t *dilations,
    const int64_t *pads_begin, const int64_t *pads_end);

// One of oneDNN's own element-wise steps.
typedef struct tdnnl_step {
    dnnl_alg_kind_t algorithm;
    float alpha, beta, scale;
} tdnnl_step;

enum { TDNNL_MAX_STEPS = 4 };

// Says an element-wise function in the terms of the compiled version; returns the number of steps, 0 if it cannot.
// Version 3 has no scale, so there all scales are 1 and a scale costs one step.
int tdnnl_expand_eltwise(int32_t algorithm, float alpha, float beta, float scale, tdnnl_step steps[TDNNL_MAX_STEPS]);

dnnl_alg_kind_t tdnnl_native_algorithm(int32_t algorithm); // dnnl_alg_kind_undef if it is none

// A new empty `pd` and the native attributes for it. `prefix` are steps that come before the caller's post-ops.
int tdnnl_pd_begin(
    tdnnl_pd **pd, dnnl_primitive_attr_t *native, const tdnnl_attributes *attributes, const tdnnl_step *prefix,
    int prefix_count);
// Destroys the attributes, and on failure the pd; hands the pd out on success. Returns `status`.
int tdnnl_pd_end(tdnnl_pd **out, tdnnl_pd *pd, dnnl_primitive_attr_t native, int status);
#if !TDNNL_V3
// Version 2: from an operation descriptor to its first implementation.
int tdnnl_pd_open(
    tdnnl_pd *pd, const void *operation, size_t size, dnnl_primitive_attr_t native, tdnnl_engine *engine);
#endif

#endif
