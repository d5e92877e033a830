// SPDX-License-Identifier: Apache-2.0
//
// Pooling, resampling and reduction.
#include "internal.h"

static int in_range(int64_t value, int64_t low) { return value >= low && value <= INT32_MAX; }

int tdnnl_pooling_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst,
    const int64_t *strides, const int64_t *kernel, const int64_t *dilations, const int64_t *pads_begin,
    const int64_t *pads_end, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst || !strides || !kernel || !pads_begin || !pads_end) return TDNNL_INVALID_ARGUMENTS;
    if (algorithm < TDNNL_POOLING_MAX || algorithm > TDNNL_POOLING_AVG_EXCLUDE_PADDING)
        return TDNNL_INVALID_ARGUMENTS;
    int ndims = tdnnl_md_ndims(src);
    if (ndims < 3 || ndims > 5) return TDNNL_INVALID_ARGUMENTS;
    dnnl_dims_t holes = {0};
    int dilated = 0;
    for (int i = 0; i < ndims - 2; i++) {
        int64_t dilation = dilations ? dilations[i] : 1;
        if (!in_range(strides[i], 1) || !in_range(kernel[i], 1) || !in_range(dilation, 1)
            || !in_range(pads_begin[i], 0) || !in_range(pads_end[i], -INT32_MAX))
            return TDNNL_INVALID_ARGUMENTS;
        holes[i] = dilation - 1;
        dilated |= dilation != 1;
    }
    int sane = tdnnl_gate_window(src, dst, ndims - 2, kernel, strides, dilations, pads_begin, pads_end);
    if (sane != TDNNL_OK) return sane;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    dnnl_alg_kind_t kind = tdnnl_native_algorithm(algorithm);
#if TDNNL_V3
    (void)dilated;
    status = tdnnl_guarded_pooling_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(dst),
        strides, kernel, holes, pads_begin, pads_end, native);
#else
    if (dilated) {
        dnnl_pooling_v2_desc_t operation;
        status = tdnnl_guarded_pooling_v2_forward_desc_init(
            &operation, dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(dst), strides, kernel, holes,
            pads_begin, pads_end);
        if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
    } else {
        dnnl_pooling_desc_t operation;
        status = tdnnl_guarded_pooling_forward_desc_init(
            &operation, dnnl_forward_inference, kind, tdnnl_native(src), tdnnl_native(dst), strides, kernel,
            pads_begin, pads_end);
        if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
    }
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_resampling_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst,
    const float *factors, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst) return TDNNL_INVALID_ARGUMENTS;
    if (algorithm != TDNNL_RESAMPLING_NEAREST && algorithm != TDNNL_RESAMPLING_LINEAR) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    dnnl_alg_kind_t kind = tdnnl_native_algorithm(algorithm);
#if TDNNL_V3
    status = tdnnl_guarded_resampling_forward_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), dnnl_forward_inference, kind, factors, tdnnl_native(src),
        tdnnl_native(dst), native);
#else
    dnnl_resampling_desc_t operation;
    status = tdnnl_guarded_resampling_forward_desc_init(
        &operation, dnnl_forward_inference, kind, factors, tdnnl_native(src), tdnnl_native(dst));
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}

int tdnnl_reduction_create(
    tdnnl_pd **out, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst, float p,
    float epsilon, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst) return TDNNL_INVALID_ARGUMENTS;
    if (algorithm < TDNNL_REDUCTION_MAX || algorithm > TDNNL_REDUCTION_NORM_LP_POWER_P_SUM)
        return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    dnnl_alg_kind_t kind = tdnnl_native_algorithm(algorithm);
#if TDNNL_V3
    status = tdnnl_guarded_reduction_primitive_desc_create(
        &pd->pd, tdnnl_native_engine(engine), kind, tdnnl_native(src), tdnnl_native(dst), p, epsilon, native);
#else
    dnnl_reduction_desc_t operation;
    status = tdnnl_guarded_reduction_desc_init(&operation, kind, tdnnl_native(src), tdnnl_native(dst), p, epsilon);
    if (status == TDNNL_OK) status = tdnnl_pd_open(pd, &operation, sizeof operation, native, engine);
#endif
    return tdnnl_pd_end(out, pd, native, status);
}
