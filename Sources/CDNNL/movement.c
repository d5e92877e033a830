// SPDX-License-Identifier: Apache-2.0
//
// Reorder, concat and sum: primitives without an operation descriptor in either version.
#include "internal.h"

int tdnnl_reorder_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst,
    const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !src || !dst) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status != TDNNL_OK) return status;
    dnnl_engine_t on = tdnnl_native_engine(engine);
    status = tdnnl_guarded_reorder_primitive_desc_create(&pd->pd, tdnnl_native(src), on, tdnnl_native(dst), on, native);
    return tdnnl_pd_end(out, pd, native, status);
}

// An array of native descriptors: of structs in version 2, of pointers in version 3.
static dnnl_memory_desc_t *gather(const tdnnl_md *const *srcs, int32_t count) {
    if (!srcs || count < 1 || count > 1024) return NULL;
    dnnl_memory_desc_t *list = calloc((size_t)count, sizeof *list);
    for (int i = 0; list && i < count; i++) {
        if (!srcs[i]) {
            free(list);
            return NULL;
        }
        list[i] = srcs[i]->desc;
    }
    return list;
}

int tdnnl_concat_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *dst, int32_t axis, const tdnnl_md *const *srcs,
    int32_t count, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || axis < 0) return TDNNL_INVALID_ARGUMENTS;
    dnnl_memory_desc_t *list = gather(srcs, count);
    if (!list) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = axis < tdnnl_md_ndims(srcs[0]) ? tdnnl_pd_begin(&pd, &native, attributes, NULL, 0)
                                                : TDNNL_INVALID_ARGUMENTS;
    if (status == TDNNL_OK) {
        dnnl_engine_t on = tdnnl_native_engine(engine);
#if TDNNL_V3
        status = tdnnl_guarded_concat_primitive_desc_create(
            &pd->pd, on, tdnnl_native(dst), count, axis, (const_dnnl_memory_desc_t const *)list, native);
#else
        status = tdnnl_guarded_concat_primitive_desc_create(&pd->pd, tdnnl_native(dst), count, axis, list, native, on);
#endif
        status = tdnnl_pd_end(out, pd, native, status);
    }
    free(list);
    return status;
}

int tdnnl_sum_create(
    tdnnl_pd **out, tdnnl_engine *engine, const tdnnl_md *dst, const float *scales, const tdnnl_md *const *srcs,
    int32_t count, const tdnnl_attributes *attributes) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!engine || !scales) return TDNNL_INVALID_ARGUMENTS;
    dnnl_memory_desc_t *list = gather(srcs, count);
    if (!list) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *pd;
    dnnl_primitive_attr_t native;
    int status = tdnnl_pd_begin(&pd, &native, attributes, NULL, 0);
    if (status == TDNNL_OK) {
        dnnl_engine_t on = tdnnl_native_engine(engine);
#if TDNNL_V3
        status = tdnnl_guarded_sum_primitive_desc_create(
            &pd->pd, on, tdnnl_native(dst), count, scales, (const_dnnl_memory_desc_t const *)list, native);
#else
        status = tdnnl_guarded_sum_primitive_desc_create(&pd->pd, tdnnl_native(dst), count, scales, list, native, on);
#endif
        status = tdnnl_pd_end(out, pd, native, status);
    }
    free(list);
    return status;
}
