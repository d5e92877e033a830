// SPDX-License-Identifier: Apache-2.0
//
// Convolution, deconvolution, inner product and matrix multiplication.
#include "internal.h"

typedef struct window {
    int count;
    dnnl_dims_t strides, dilations, pads_begin, pads_end;
} window;

static int read_window(
    window *w, int32_t ndims, const int64_t *strides, const int64_t *dilations, const int64_t *pads_begin,
    const int64_t *pads_end) {
    memset(w, 0, sizeof *w);
    if (ndims < 3 || ndims > 5 || !strides || !pads_begin || !pads_end) return TDNNL_INVALID_ARGUMENTS;
    w->count = ndims - 2;
    for (int i = 0; i < w->count; i++) {
        int64_t dilation = dilations ? dilations[i] : 1;
        if (strides[i] < 1 || strides[i] > INT32_MAX || dilation < 1 || dilation > INT32_MAX
            || pads_begin[i] < -INT32_MAX || pads_begin[i] > INT32_MAX || pads_end[i] < -INT32_MAX
            || pads_end[i] > INT32_MAX)
            return TDNNL_INVALID_ARGUMENTS;
        w->strides[i] = strides[i];
        w->dilations[i] = dilation - 1; // oneDNN counts the holes
        w->pads_begin[i] = pads_begin[i];
        w->pads_end[i] = pads_end[i];
    }
    return TDNNL_OK;
}

#if !TDNNL_V3
static int has_full_binary(const tdnnl_attributes *attributes) {
    for (int i = 0; attributes && i < attributes->post_op_count; i++) {
        const tdnnl_post_op *op = &attributes->post_ops[i];
        if (op->kind != TDNNL_POST_OP_BINARY) continue;
        int64_t dims[TDNNL_MAX_DIMS];
        int32_t ndims = tdnnl_md_dims(op->src1, dims, TDNNL_MAX_DIMS);
        for (int axis = 2; axis < ndims; axis++)
            if (dims[axis] != 1) return 1;
    }
    return 0;
}
#endif

int tdnnl_convolution_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *weights,
    const tdnnl_md *bias, const tdnnl_md *dst, const int64_t *strides, const int64_t *dilations,
    const int64_t *pads_begin, const int64_t *pads_end, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !weights || !dst) return TDNNL_INVALID_ARGUMENTS;
    if (algorithm < TDNNL_CONVOLUTION_DIRECT || algorithm > TDNNL_CONVOLUTION_AUTO) return TDNNL_INVALID_ARGUMENTS;
    window w;
    int status = read_window(&w, tdnnl_md_ndims(src), strides, dilations, pads_begin, pads_end);
    if (status == TDNNL_OK)
        status = tdnnl_gate_weights(src, weights, dst, strides, dilations, pads_begin, pads_end);
    if (status != TDNNL_OK) return status;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    dnnl_alg_kind_t kind = tdnnl_native_algorithm(algorithm);
#if TDNNL_V3
    status = tdnnl_guarded_convolution_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(weights),
        tdnnl_native(bias), tdnnl_native(dst), w.strides, w.dilations, w.pads_begin, w.pads_end, native);
#else
    pd->distrust_gemm = has_full_binary(attributes);
    dnnl_convolution_desc_t operation;
    status = tdnnl_guarded_dilated_convolution_forward_desc_init(
        &operation, dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(weights), tdnnl_native(bias),
        tdnnl_native(dst), w.strides, w.dilations, w.pads_begin, w.pads_end);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_deconvolution_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *weights,
    const tdnnl_md *bias, const tdnnl_md *dst, const int64_t *strides, const int64_t *dilations,
    const int64_t *pads_begin, const int64_t *pads_end, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !weights || !dst) return TDNNL_INVALID_ARGUMENTS;
    window w;
    int status = read_window(&w, tdnnl_md_ndims(src), strides, dilations, pads_begin, pads_end);
    if (status == TDNNL_OK)
        status = tdnnl_gate_weights(src, weights, dst, strides, dilations, pads_begin, pads_end);
    if (status != TDNNL_OK) return status;
    dnnl_alg_kind_t kind = algorithm == TDNNL_CONVOLUTION_WINOGRAD ? dnnl_deconvolution_winograd
                                                                   : dnnl_deconvolution_direct;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_deconvolution_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(weights),
        tdnnl_native(bias), tdnnl_native(dst), w.strides, w.dilations, w.pads_begin, w.pads_end, native);
#else
    dnnl_deconvolution_desc_t operation;
    status = tdnnl_guarded_dilated_deconvolution_forward_desc_init(
        &operation, dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(weights), tdnnl_native(bias),
        tdnnl_native(dst), w.strides, w.dilations, w.pads_begin, w.pads_end);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_inner_product_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *bias,
    const tdnnl_md *dst, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !weights || !dst) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_inner_product_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, tdnnl_native(src), tdnnl_native(weights),
        tdnnl_native(bias), tdnnl_native(dst), native);
#else
    dnnl_inner_product_desc_t operation;
    status = tdnnl_guarded_inner_product_forward_desc_init(
        &operation, dnnl_forward_inference, tdnnl_native(src), tdnnl_native(weights), tdnnl_native(bias),
        tdnnl_native(dst));
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_matmul_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *bias,
    const tdnnl_md *dst, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !weights || !dst) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_matmul_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), tdnnl_native(src), tdnnl_native(weights), tdnnl_native(bias),
        tdnnl_native(dst), native);
#else
    dnnl_matmul_desc_t operation;
    status = tdnnl_guarded_matmul_desc_init(
        &operation, tdnnl_native(src), tdnnl_native(weights), tdnnl_native(bias), tdnnl_native(dst));
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}
