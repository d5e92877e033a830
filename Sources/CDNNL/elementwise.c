// SPDX-License-Identifier: Apache-2.0
//
// Element-wise functions, binary operations, PReLU and shuffle.
#include "internal.h"

int tdnnl_eltwise_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst, float alpha,
    float beta, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst) return TDNNL_INVALID_ARGUMENTS;
    if (algorithm < TDNNL_ELTWISE_RELU || algorithm > TDNNL_ELTWISE_HARDSWISH) return TDNNL_INVALID_ARGUMENTS;
    // The first step becomes the primitive, those that follow become its first post-ops.
    tdnnl_step steps[TDNNL_MAX_STEPS];
    int count = tdnnl_expand_eltwise(algorithm, alpha, beta, 1.0f, steps);
    if (count == 0 || steps[0].scale != 1.0f) return TDNNL_UNIMPLEMENTED;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, steps + 1, count - 1);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_eltwise_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, steps[0].algorithm, tdnnl_native(src),
        tdnnl_native(dst), steps[0].alpha, steps[0].beta, native);
#else
    dnnl_eltwise_desc_t operation;
    int same = tdnnl_md_format_kind(dst) == TDNNL_FORMAT_ANY || tdnnl_md_equal(src, dst);
    status = !same ? TDNNL_UNIMPLEMENTED
                   : (int)tdnnl_guarded_eltwise_forward_desc_init(
                       &operation, dnnl_forward_inference, steps[0].algorithm, tdnnl_native(src), steps[0].alpha,
                       steps[0].beta);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_binary_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src0, const tdnnl_md *src1,
    const tdnnl_md *dst, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src0 || !src1 || !dst) return TDNNL_INVALID_ARGUMENTS;
    if (algorithm < TDNNL_BINARY_ADD || algorithm > TDNNL_BINARY_NE) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    dnnl_alg_kind_t kind = tdnnl_native_algorithm(algorithm);
#if TDNNL_V3
    status = tdnnl_guarded_binary_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), kind, tdnnl_native(src0), tdnnl_native(src1), tdnnl_native(dst),
        native);
#else
    dnnl_binary_desc_t operation;
    status =
        tdnnl_guarded_binary_desc_init(&operation, kind, tdnnl_native(src0), tdnnl_native(src1), tdnnl_native(dst));
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_prelu_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *dst,
    const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !weights || !dst) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_prelu_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, tdnnl_native(src), tdnnl_native(weights),
        tdnnl_native(dst), native);
#else
    dnnl_prelu_desc_t operation;
    int same = tdnnl_md_format_kind(dst) == TDNNL_FORMAT_ANY || tdnnl_md_equal(src, dst);
    status = !same ? TDNNL_UNIMPLEMENTED
                   : (int)tdnnl_guarded_prelu_forward_desc_init(
                       &operation, dnnl_forward_inference, tdnnl_native(src), tdnnl_native(weights));
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_shuffle_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, int32_t axis, int64_t group_size,
    const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst || axis < 0 || axis >= tdnnl_md_ndims(src) || group_size < 1)
        return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_shuffle_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, tdnnl_native(src), tdnnl_native(dst), axis,
        group_size, native);
#else
    dnnl_shuffle_desc_t operation;
    int same = tdnnl_md_format_kind(dst) == TDNNL_FORMAT_ANY || tdnnl_md_equal(src, dst);
    status = !same ? TDNNL_UNIMPLEMENTED
                   : (int)tdnnl_guarded_shuffle_forward_desc_init(
                       &operation, dnnl_forward_inference, tdnnl_native(src), axis, group_size);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}
