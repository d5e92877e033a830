// SPDX-License-Identifier: Apache-2.0
//
// Walking implementations and asking primitive descriptors.
#include "internal.h"

#if !TDNNL_V3
// Version 2.6 computes a binary post-op with a full-size operand wrongly in its gemm convolution when the channels
// are not outermost (seen in 2.6.3 with nhwc). Such an implementation is passed over.
static int is_wrong(const tdnnl_pd *pd) {
    if (!pd->distrust_gemm || !strstr(tdnnl_pd_implementation(pd), "gemm")) return 0;
    tdnnl_md *dst = NULL;
    if (tdnnl_pd_query_md(&dst, pd, TDNNL_QUERY_DST, 0) != TDNNL_OK) return 1;
    int wrong = !tdnnl_md_is_row_major(dst);
    tdnnl_md_destroy(dst);
    return wrong;
}

static int step(tdnnl_pd *pd) {
    int status = tdnnl_guarded_primitive_desc_iterator_next(pd->iterator);
    if (status != TDNNL_OK) return status;
    dnnl_primitive_desc_t next = tdnnl_guarded_primitive_desc_iterator_fetch(pd->iterator);
    if (!next) return TDNNL_OUT_OF_MEMORY;
    dnnl_primitive_desc_destroy(pd->pd);
    pd->pd = next;
    return TDNNL_OK;
}

int tdnnl_pd_open(
    tdnnl_pd *pd, const void *operation, size_t size, dnnl_primitive_attr_t native, tdnnl_engine *engine) {
    pd->operation = malloc(size);
    if (!pd->operation) return TDNNL_OUT_OF_MEMORY;
    memcpy(pd->operation, operation, size);
    int status = tdnnl_guarded_primitive_desc_iterator_create(
        &pd->iterator, (const_dnnl_op_desc_t)pd->operation, native, tdnnl_native_engine(engine), NULL);
    if (status != TDNNL_OK) {
        pd->iterator = NULL;
        // With no implementation at all, oneDNN says here what creating the primitive would call unimplemented.
        return status == dnnl_iterator_ends ? TDNNL_UNIMPLEMENTED : status;
    }
    pd->pd = tdnnl_guarded_primitive_desc_iterator_fetch(pd->iterator);
    if (!pd->pd) return TDNNL_UNIMPLEMENTED;
    while (status == TDNNL_OK && is_wrong(pd)) status = step(pd);
    return status == TDNNL_LAST_IMPL ? TDNNL_UNIMPLEMENTED : status;
}
#endif

void tdnnl_pd_destroy(tdnnl_pd *pd) {
    if (!pd) return;
    if (pd->pd) dnnl_primitive_desc_destroy(pd->pd);
#if !TDNNL_V3
    if (pd->iterator) dnnl_primitive_desc_iterator_destroy(pd->iterator);
    free(pd->operation);
#endif
    free(pd);
}

int tdnnl_pd_clone(tdnnl_pd **out, const tdnnl_pd *other) {
    if (!out) return TDNNL_INVALID_ARGUMENTS;
    *out = NULL;
    if (!other) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_pd *copy = malloc(sizeof *copy);
    if (!copy) return TDNNL_OUT_OF_MEMORY;
    *copy = *other;
    copy->pd = NULL;
    copy->is_copy = 1;
#if !TDNNL_V3
    copy->iterator = NULL;
    copy->operation = NULL;
#endif
    int status = tdnnl_guarded_primitive_desc_clone(&copy->pd, other->pd);
    if (status != TDNNL_OK) {
        free(copy);
        return status;
    }
    *out = copy;
    return TDNNL_OK;
}

int tdnnl_pd_next(tdnnl_pd *pd) {
    if (!pd) return TDNNL_INVALID_ARGUMENTS;
    if (pd->is_copy) return TDNNL_LAST_IMPL;
#if TDNNL_V3
    int status = tdnnl_guarded_primitive_desc_next_impl(pd->pd);
    return status == dnnl_last_impl_reached ? TDNNL_LAST_IMPL : status;
#else
    if (!pd->iterator) return TDNNL_LAST_IMPL;
    // A wrong implementation is never the last one: the reference follows it.
    int status = step(pd);
    while (status == TDNNL_OK && is_wrong(pd)) status = step(pd);
    return status;
#endif
}

const char *tdnnl_pd_implementation(const tdnnl_pd *pd) {
    const char *name = NULL;
    if (!pd || dnnl_primitive_desc_query(pd->pd, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success || !name)
        return "";
    return name;
}

static tdnnl_native_md query(const tdnnl_pd *pd, int32_t what, int32_t index) {
    static const dnnl_query_t queries[] = {
        dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md, dnnl_query_workspace_md,
        dnnl_query_scratchpad_md};
    return dnnl_primitive_desc_query_md(pd->pd, queries[what], index);
}

int tdnnl_pd_query_md(tdnnl_md **md, const tdnnl_pd *pd, int32_t what, int32_t index) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    if (!pd || what < TDNNL_QUERY_SRC || what > TDNNL_QUERY_SCRATCHPAD || index < 0) return TDNNL_INVALID_ARGUMENTS;
    return tdnnl_md_copy_native(md, query(pd, what, index));
}

size_t tdnnl_pd_scratchpad_size(const tdnnl_pd *pd) {
    tdnnl_native_md md = pd ? query(pd, TDNNL_QUERY_SCRATCHPAD, 0) : NULL;
    return md ? dnnl_memory_desc_get_size(md) : 0;
}

int32_t tdnnl_pd_post_op_argument(const tdnnl_pd *pd, int32_t index, int32_t base) {
    if (!pd || index < 0 || index >= pd->post_op_count || base < 0) return -1;
    if (pd->post_op_kind[index] == TDNNL_POST_OP_DEPTHWISE) return DNNL_ARG_ATTR_POST_OP_DW | base;
    return DNNL_ARG_ATTR_MULTIPLE_POST_OP(pd->post_op_position[index]) | base;
}
