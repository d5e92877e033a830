// SPDX-License-Identifier: Apache-2.0
//
// Primitives, memory and running.
#include "internal.h"

_Static_assert(
    TDNNL_ARG_SRC == DNNL_ARG_SRC && TDNNL_ARG_SRC_1 == DNNL_ARG_SRC_1 && TDNNL_ARG_SRC_2 == DNNL_ARG_SRC_2
        && TDNNL_ARG_DST == DNNL_ARG_DST && TDNNL_ARG_DST_1 == DNNL_ARG_DST_1 && TDNNL_ARG_DST_2 == DNNL_ARG_DST_2
        && TDNNL_ARG_WEIGHTS == DNNL_ARG_WEIGHTS && TDNNL_ARG_WEIGHTS_1 == DNNL_ARG_WEIGHTS_1
        && TDNNL_ARG_BIAS == DNNL_ARG_BIAS && TDNNL_ARG_MEAN == DNNL_ARG_MEAN
        && TDNNL_ARG_VARIANCE == DNNL_ARG_VARIANCE && TDNNL_ARG_SCALE == DNNL_ARG_SCALE
        && TDNNL_ARG_SHIFT == DNNL_ARG_SHIFT && TDNNL_ARG_WORKSPACE == DNNL_ARG_WORKSPACE
        && TDNNL_ARG_SCRATCHPAD == DNNL_ARG_SCRATCHPAD && TDNNL_ARG_MULTIPLE_SRC == DNNL_ARG_MULTIPLE_SRC,
    "arguments have oneDNN's numbers");

int tdnnl_primitive_create(tdnnl_primitive **primitive, const tdnnl_pd *pd) {
    if (!primitive) return TDNNL_INVALID_ARGUMENTS;
    *primitive = NULL;
    if (!pd) return TDNNL_INVALID_ARGUMENTS;
    dnnl_primitive_t native = NULL;
    int status = tdnnl_guarded_primitive_create(&native, pd->pd);
    if (status == TDNNL_OK) *primitive = (tdnnl_primitive *)native;
    return status;
}

void tdnnl_primitive_destroy(tdnnl_primitive *primitive) {
    if (primitive) dnnl_primitive_destroy((dnnl_primitive_t)primitive);
}

int tdnnl_memory_create(tdnnl_memory **memory, const tdnnl_md *md, tdnnl_engine *engine, void *handle) {
    if (!memory) return TDNNL_INVALID_ARGUMENTS;
    *memory = NULL;
    if (!md || !engine) return TDNNL_INVALID_ARGUMENTS;
    dnnl_memory_t native = NULL;
    int status =
        tdnnl_guarded_memory_create(&native, tdnnl_native(md), tdnnl_native_engine(engine), handle ? handle : DNNL_MEMORY_NONE);
    if (status == TDNNL_OK) *memory = (tdnnl_memory *)native;
    return status;
}

int tdnnl_memory_set_handle(tdnnl_memory *memory, void *handle) {
    if (!memory) return TDNNL_INVALID_ARGUMENTS;
    return dnnl_memory_set_data_handle((dnnl_memory_t)memory, handle);
}

void *tdnnl_memory_handle(const tdnnl_memory *memory) {
    void *handle = NULL;
    if (!memory || dnnl_memory_get_data_handle((const_dnnl_memory_t)memory, &handle) != dnnl_success) return NULL;
    return handle;
}

void tdnnl_memory_destroy(tdnnl_memory *memory) {
    if (memory) dnnl_memory_destroy((dnnl_memory_t)memory);
}

int tdnnl_arguments_create(
    tdnnl_arguments **list, const int32_t *arguments, tdnnl_memory *const *memories, int32_t count) {
    if (!list) return TDNNL_INVALID_ARGUMENTS;
    *list = NULL;
    if (count < 0 || count > 4096 || (count > 0 && (!arguments || !memories))) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_arguments *made = malloc(sizeof *made + (size_t)count * sizeof made->entries[0]);
    if (!made) return TDNNL_OUT_OF_MEMORY;
    made->count = count;
    for (int i = 0; i < count; i++) {
        if (!memories[i]) {
            free(made);
            return TDNNL_INVALID_ARGUMENTS;
        }
        made->entries[i].arg = arguments[i];
        made->entries[i].memory = (dnnl_memory_t)memories[i];
    }
    *list = made;
    return TDNNL_OK;
}

void tdnnl_arguments_destroy(tdnnl_arguments *list) { free(list); }

int tdnnl_execute(const tdnnl_primitive *primitive, tdnnl_stream *stream, const tdnnl_arguments *list) {
    if (!primitive || !stream || !list) return TDNNL_INVALID_ARGUMENTS;
    int status = tdnnl_guarded_primitive_execute(
        (const_dnnl_primitive_t)primitive, (dnnl_stream_t)stream, list->count, list->entries);
    // On the CPU with OpenMP the call has done the work when it returns; waiting costs nothing and keeps the promise
    // with other runtimes.
    return status == TDNNL_OK ? (int)dnnl_stream_wait((dnnl_stream_t)stream) : status;
}
