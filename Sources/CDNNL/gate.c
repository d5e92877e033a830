// SPDX-License-Identifier: Apache-2.0
//
// What is beyond these bounds only an attacker writes. Inside oneDNN such sizes overflow 32-bit integers, divide by zero, make
// code that grows with the padding, or loop over every position before there is a descriptor. Whoever is refused here has
// another kernel.
#include "internal.h"

enum {
    LARGEST_EXTENT = 1 << 24, // of an axis over which a window moves
    LARGEST_WINDOW = 1 << 16, // holes of a dilation included
};

static int extents_are_sane(const tdnnl_md *md) {
    int64_t dims[TDNNL_MAX_DIMS];
    int32_t ndims = tdnnl_md_dims(md, dims, TDNNL_MAX_DIMS);
    for (int32_t i = 2; i < ndims; i++)
        if (dims[i] > LARGEST_EXTENT) return 0;
    return 1;
}

int tdnnl_gate_window(
    const tdnnl_md *src, const tdnnl_md *dst, int32_t count, const int64_t *kernel, const int64_t *strides,
    const int64_t *dilations, const int64_t *pads_begin, const int64_t *pads_end) {
    if (!extents_are_sane(src) || !extents_are_sane(dst)) return TDNNL_UNIMPLEMENTED;
    for (int32_t i = 0; i < count; i++) {
        int64_t dilation = dilations ? dilations[i] : 1, reach;
        if (kernel[i] < 1 || __builtin_mul_overflow(kernel[i] - 1, dilation, &reach) || reach >= LARGEST_WINDOW
            || strides[i] > LARGEST_WINDOW)
            return TDNNL_UNIMPLEMENTED;
        // A window that lies in the padding alone computes nothing.
        if (pads_begin[i] > reach + 1 || pads_end[i] > reach + strides[i] || pads_begin[i] < -LARGEST_EXTENT
            || pads_end[i] < -LARGEST_EXTENT)
            return TDNNL_UNIMPLEMENTED;
    }
    return TDNNL_OK;
}

int tdnnl_gate_weights(
    const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *dst, const int64_t *strides, const int64_t *dilations,
    const int64_t *pads_begin, const int64_t *pads_end) {
    int64_t dims[TDNNL_MAX_DIMS];
    int32_t ndims = tdnnl_md_ndims(src), count = tdnnl_md_dims(weights, dims, TDNNL_MAX_DIMS);
    if (ndims < 3 || count < ndims) return TDNNL_INVALID_ARGUMENTS;
    return tdnnl_gate_window(
        src, dst, ndims - 2, dims + count - (ndims - 2), strides, dilations, pads_begin, pads_end);
}
