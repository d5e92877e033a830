// SPDX-License-Identifier: Apache-2.0
//
// oneDNN is written in C++ and reports a size that its containers cannot hold, or memory that is not there, by an exception
// that leaves its C functions. Here it becomes a status: in C code an exception would end the process.
#include "guarded.h"

#include <new>

namespace {

template <auto function> struct Guarded;

template <typename... Arguments, dnnl_status_t (*function)(Arguments...)> struct Guarded<function> {
    static dnnl_status_t call(Arguments... arguments) noexcept {
        try {
            return function(arguments...);
        } catch (const std::bad_alloc &) {
            return dnnl_out_of_memory;
        } catch (...) {
            return dnnl_runtime_error;
        }
    }
};

template <typename... Arguments, dnnl_primitive_desc_t (*function)(Arguments...)> struct Guarded<function> {
    static dnnl_primitive_desc_t call(Arguments... arguments) noexcept {
        try {
            return function(arguments...);
        } catch (...) {
            return nullptr;
        }
    }
};

} // namespace

#define DEFINE(name) \
    extern "C" decltype(&dnnl_##name) const tdnnl_guarded_##name = Guarded<&dnnl_##name>::call;
TDNNL_GUARDED(DEFINE)
