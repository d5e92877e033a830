// SPDX-License-Identifier: Apache-2.0
//
// Batch and layer normalization, softmax, local response normalization.
//
// Version 2 describes most of these with one descriptor for source and destination; a destination in another layout
// is then unimplemented, and version 3 may find one.
#include "internal.h"

#if !TDNNL_V3
static int same_layout(const tdnnl_md *src, const tdnnl_md *dst) {
    return tdnnl_md_format_kind(dst) == TDNNL_FORMAT_ANY || tdnnl_md_equal(src, dst);
}
#endif

static unsigned native_flags(uint32_t flags) {
    unsigned native = 0;
    if (flags & TDNNL_USE_GLOBAL_STATS) native |= dnnl_use_global_stats;
    if (flags & TDNNL_USE_SCALE) native |= dnnl_use_scale;
    if (flags & TDNNL_USE_SHIFT) native |= dnnl_use_shift;
    if (flags & TDNNL_FUSE_RELU) native |= dnnl_fuse_norm_relu;
    return native;
}

int tdnnl_batch_normalization_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, float epsilon, uint32_t flags,
    const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_batch_normalization_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, tdnnl_native(src), tdnnl_native(dst), epsilon,
        native_flags(flags), native);
#else
    dnnl_batch_normalization_desc_t operation;
    status = !same_layout(src, dst) ? TDNNL_UNIMPLEMENTED
                                    : (int)tdnnl_guarded_batch_normalization_forward_desc_init(
                                        &operation, dnnl_forward_inference, tdnnl_native(src), epsilon,
                                        native_flags(flags));
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_layer_normalization_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, const tdnnl_md *stat,
    float epsilon, uint32_t flags, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst || flags & TDNNL_FUSE_RELU) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
#if TDNNL_V3
    status = tdnnl_guarded_layer_normalization_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, tdnnl_native(src), tdnnl_native(dst),
        tdnnl_native(stat), epsilon, native_flags(flags), native);
#else
    dnnl_layer_normalization_desc_t operation;
    status = !same_layout(src, dst) ? TDNNL_UNIMPLEMENTED
                                    : (int)tdnnl_guarded_layer_normalization_forward_desc_init(
                                        &operation, dnnl_forward_inference, tdnnl_native(src), tdnnl_native(stat),
                                        epsilon, native_flags(flags));
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_softmax_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, int32_t axis,
    const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst || axis < 0 || axis >= tdnnl_md_ndims(src)) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    const dnnl_alg_kind_t kind = dnnl_softmax_accurate;
#if TDNNL_V3
    status = tdnnl_guarded_softmax_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(dst),
        axis, native);
#else
    dnnl_softmax_v2_desc_t operation;
    status = tdnnl_guarded_softmax_v2_forward_desc_init(
        &operation, dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(dst), axis);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_lrn_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst,
    int64_t local_size, float alpha, float beta, float k, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst || local_size < 1 || local_size > INT32_MAX) return TDNNL_INVALID_ARGUMENTS;
    if (algorithm != TDNNL_LRN_ACROSS_CHANNELS && algorithm != TDNNL_LRN_WITHIN_CHANNEL)
        return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    dnnl_alg_kind_t kind = tdnnl_native_algorithm(algorithm);
#if TDNNL_V3
    status = tdnnl_guarded_lrn_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(dst),
        local_size, alpha, beta, k, native);
#else
    dnnl_lrn_desc_t operation;
    status = !same_layout(src, dst)
                 ? TDNNL_UNIMPLEMENTED
                 : (int)tdnnl_guarded_lrn_forward_desc_init(
                     &operation, dnnl_forward_inference, kind, tdnnl_native(src), local_size, alpha, beta, k);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}
