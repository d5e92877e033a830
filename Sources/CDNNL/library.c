// SPDX-License-Identifier: Apache-2.0
//
// Library, engine, stream and thread count.
#include "internal.h"

#include <strings.h>

int32_t tdnnl_version(void) {
    const dnnl_version_t *version = dnnl_version();
    return version ? version->major * 10000 + version->minor * 100 + version->patch : 0;
}

int32_t tdnnl_compiled_major(void) { return DNNL_VERSION_MAJOR; }

const char *tdnnl_status_name(int32_t status) {
    switch (status) {
    case TDNNL_OK: return "success";
    case TDNNL_OUT_OF_MEMORY: return "out_of_memory";
    case TDNNL_INVALID_ARGUMENTS: return "invalid_arguments";
    case TDNNL_UNIMPLEMENTED: return "unimplemented";
    case TDNNL_LAST_IMPL: return "last_impl_reached";
    case TDNNL_RUNTIME_ERROR: return "runtime_error";
    case TDNNL_NOT_REQUIRED: return "not_required";
    default: return "unknown_status";
    }
}

int32_t tdnnl_effective_isa(void) { return (int32_t)dnnl_get_effective_cpu_isa(); }

const char *tdnnl_effective_isa_name(void) {
    switch ((int)dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx2_vnni: return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
    default: return "other";
    }
}

int tdnnl_set_primitive_cache_capacity(int32_t capacity) {
    if (capacity < 0) return TDNNL_INVALID_ARGUMENTS;
    return dnnl_set_primitive_cache_capacity(capacity);
}

// Linked, not looked up by name: so they are those that oneDNN itself is bound to, whatever the file of the runtime is called
// and whichever other ones the process has loaded. No omp.h comes with clang.
extern void omp_set_num_threads(int count);
extern int omp_get_max_threads(void);

int32_t tdnnl_get_threads(void) { return omp_get_max_threads(); }

int tdnnl_set_threads(int32_t count) {
    if (count < 1 || count > 4096) return TDNNL_INVALID_ARGUMENTS;
    omp_set_num_threads(count);
    return TDNNL_OK;
}

// What TENON_MAX_CPU_ISA allows; too late when the host has used oneDNN before, which then does what it does for the host.
static void limit_isa(void) {
    const char *text = getenv("TENON_MAX_CPU_ISA");
    if (!text) return;
    if (!strcasecmp(text, "base") || !strcasecmp(text, "sse41"))
        (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
    else if (!strcasecmp(text, "avx"))
        (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx);
    else if (!strcasecmp(text, "avx2"))
        (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
}

int tdnnl_engine_create(tdnnl_engine **engine) {
    if (!engine) return TDNNL_INVALID_ARGUMENTS;
    limit_isa();
    dnnl_engine_t native = NULL;
    int status = tdnnl_guarded_engine_create(&native, dnnl_cpu, 0);
    *engine = status == TDNNL_OK ? (tdnnl_engine *)native : NULL;
    return status;
}

void tdnnl_engine_destroy(tdnnl_engine *engine) {
    if (engine) dnnl_engine_destroy((dnnl_engine_t)engine);
}

int tdnnl_stream_create(tdnnl_stream **stream, tdnnl_engine *engine) {
    if (!stream) return TDNNL_INVALID_ARGUMENTS;
    *stream = NULL;
    if (!engine) return TDNNL_INVALID_ARGUMENTS;
    dnnl_stream_t native = NULL;
    int status = tdnnl_guarded_stream_create(&native, tdnnl_native_engine(engine), dnnl_stream_default_flags);
    if (status == TDNNL_OK) *stream = (tdnnl_stream *)native;
    return status;
}

int tdnnl_stream_wait(tdnnl_stream *stream) {
    return stream ? (int)dnnl_stream_wait((dnnl_stream_t)stream) : TDNNL_INVALID_ARGUMENTS;
}

void tdnnl_stream_destroy(tdnnl_stream *stream) {
    if (stream) dnnl_stream_destroy((dnnl_stream_t)stream);
}
