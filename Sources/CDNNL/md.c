// SPDX-License-Identifier: Apache-2.0
//
// Making memory descriptors.
#include "internal.h"

#define TAG_ENTRY(name) [TDNNL_TAG_##name] = dnnl_##name,
static const dnnl_format_tag_t native_tags[TDNNL_TAG_COUNT] = {
    [TDNNL_TAG_any] = dnnl_format_tag_any, TDNNL_TAG_LIST(TAG_ENTRY)};

size_t tdnnl_dtype_size(int32_t dtype) {
    switch (dtype) {
    case TDNNL_F32:
    case TDNNL_S32: return 4;
    case TDNNL_F16:
    case TDNNL_BF16: return 2;
    case TDNNL_S8:
    case TDNNL_U8: return 1;
    default: return 0;
    }
}

_Static_assert(
    (int)TDNNL_F16 == (int)dnnl_f16 && (int)TDNNL_BF16 == (int)dnnl_bf16 && (int)TDNNL_F32 == (int)dnnl_f32
        && (int)TDNNL_S32 == (int)dnnl_s32 && (int)TDNNL_S8 == (int)dnnl_s8 && (int)TDNNL_U8 == (int)dnnl_u8,
    "data types have oneDNN's numbers");

// oneDNN keeps sizes in 32-bit integers inside many kernels, and pads blocked dimensions; both are bounded here.
static int check_dims(int32_t ndims, const int64_t *dims, int32_t dtype) {
    int64_t bytes = (int64_t)tdnnl_dtype_size(dtype), elements = 1;
    if (ndims < 1 || ndims > TDNNL_MAX_DIMS || !dims || bytes == 0) return TDNNL_INVALID_ARGUMENTS;
    for (int i = 0; i < ndims; i++) {
        if (dims[i] < 0 || dims[i] > INT32_MAX) return TDNNL_INVALID_ARGUMENTS;
        if (__builtin_mul_overflow(bytes, dims[i] > 0 ? dims[i] : 1, &bytes)) return TDNNL_INVALID_ARGUMENTS;
        elements *= dims[i] > 0 ? dims[i] : 1;
    }
    if (bytes > INT64_MAX >> 16) return TDNNL_INVALID_ARGUMENTS;
    // Products of sizes are 32-bit integers inside as well.
    return elements <= INT32_MAX ? TDNNL_OK : TDNNL_UNIMPLEMENTED;
}

static int check_strides(int32_t ndims, const int64_t *dims, const int64_t *strides) {
    int64_t last = 0;
    for (int i = 0; i < ndims; i++) {
        int64_t reach;
        if (strides[i] < 0 || __builtin_mul_overflow(dims[i] > 0 ? dims[i] - 1 : 0, strides[i], &reach)
            || __builtin_add_overflow(last, reach, &last))
            return TDNNL_INVALID_ARGUMENTS;
    }
    return last <= INT64_MAX >> 16 ? TDNNL_OK : TDNNL_INVALID_ARGUMENTS;
}

static tdnnl_md *allocate(void) { return calloc(1, sizeof(tdnnl_md)); }

static int finish(tdnnl_md **out, tdnnl_md *md, int status) {
    if (status == TDNNL_OK)
        *out = md;
    else
        free(md);
    return status;
}

int tdnnl_md_create_with_tag(tdnnl_md **md, int32_t ndims, const int64_t *dims, int32_t dtype, int32_t tag) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    int status = check_dims(ndims, dims, dtype);
    if (status != TDNNL_OK) return status;
    if (tag < 0 || tag >= TDNNL_TAG_COUNT) return TDNNL_INVALID_ARGUMENTS;
    tdnnl_md *made = allocate();
    if (!made) return TDNNL_OUT_OF_MEMORY;
#if TDNNL_V3
    status = tdnnl_guarded_memory_desc_create_with_tag(&made->desc, ndims, dims, (dnnl_data_type_t)dtype, native_tags[tag]);
#else
    status = tdnnl_guarded_memory_desc_init_by_tag(&made->desc, ndims, dims, (dnnl_data_type_t)dtype, native_tags[tag]);
#endif
    return finish(md, made, status);
}

int tdnnl_md_create_with_strides(
    tdnnl_md **md, int32_t ndims, const int64_t *dims, int32_t dtype, const int64_t *strides) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    int status = check_dims(ndims, dims, dtype);
    if (status != TDNNL_OK) return status;
    int64_t dense[TDNNL_MAX_DIMS];
    if (!strides) {
        int64_t step = 1;
        for (int i = ndims - 1; i >= 0; i--) {
            dense[i] = step;
            step *= dims[i] > 0 ? dims[i] : 1;
        }
        strides = dense;
    }
    status = check_strides(ndims, dims, strides);
    if (status != TDNNL_OK) return status;
    tdnnl_md *made = allocate();
    if (!made) return TDNNL_OUT_OF_MEMORY;
#if TDNNL_V3
    status = tdnnl_guarded_memory_desc_create_with_strides(&made->desc, ndims, dims, (dnnl_data_type_t)dtype, strides);
#else
    status = tdnnl_guarded_memory_desc_init_by_strides(&made->desc, ndims, dims, (dnnl_data_type_t)dtype, strides);
#endif
    return finish(md, made, status);
}

int tdnnl_md_create_any(tdnnl_md **md, int32_t ndims, const int64_t *dims, int32_t dtype) {
    return tdnnl_md_create_with_tag(md, ndims, dims, dtype, TDNNL_TAG_any);
}

int tdnnl_md_copy_native(tdnnl_md **md, tdnnl_native_md native) {
    *md = NULL;
    if (!native) return TDNNL_OK;
    tdnnl_md *made = allocate();
    if (!made) return TDNNL_OUT_OF_MEMORY;
#if TDNNL_V3
    int status = tdnnl_guarded_memory_desc_clone(&made->desc, native);
#else
    made->desc = *native;
    int status = TDNNL_OK;
#endif
    status = finish(md, made, status);
    // oneDNN says "no such memory" with a descriptor of zero dimensions.
    if (status == TDNNL_OK && tdnnl_md_ndims(*md) == 0) {
        tdnnl_md_destroy(*md);
        *md = NULL;
    }
    return status;
}

int tdnnl_md_clone(tdnnl_md **md, const tdnnl_md *other) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    if (!other) return TDNNL_INVALID_ARGUMENTS;
    return tdnnl_md_copy_native(md, tdnnl_native(other));
}

int tdnnl_md_with_layout_of(tdnnl_md **md, const tdnnl_md *layout, int32_t ndims, const int64_t *dims, int32_t dtype) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    if (!layout || tdnnl_md_ndims(layout) != ndims) return TDNNL_INVALID_ARGUMENTS;
    int status = check_dims(ndims, dims, dtype);
    if (status != TDNNL_OK) return status;
    int32_t kind = tdnnl_md_format_kind(layout);
    if (kind == TDNNL_FORMAT_ANY) return tdnnl_md_create_any(md, ndims, dims, dtype);
    if (kind != TDNNL_FORMAT_BLOCKED) return TDNNL_UNIMPLEMENTED;

    int64_t sizes[TDNNL_MAX_DIMS], axes[TDNNL_MAX_DIMS];
    int32_t blocks = tdnnl_md_inner_blocks(layout, sizes, axes, TDNNL_MAX_DIMS);
    if (blocks == 1 && axes[0] == 1 && ndims >= 3 && ndims <= 5) {
        static const int32_t tags[3][3] = {
            {TDNNL_TAG_aBc4b, TDNNL_TAG_aBc8b, TDNNL_TAG_aBc16b},
            {TDNNL_TAG_aBcd4b, TDNNL_TAG_aBcd8b, TDNNL_TAG_aBcd16b},
            {TDNNL_TAG_aBcde4b, TDNNL_TAG_aBcde8b, TDNNL_TAG_aBcde16b}};
        int column = sizes[0] == 4 ? 0 : sizes[0] == 8 ? 1 : sizes[0] == 16 ? 2 : -1;
        if (column < 0) return TDNNL_UNIMPLEMENTED;
        return tdnnl_md_create_with_tag(md, ndims, dims, dtype, tags[ndims - 3][column]);
    }
    if (blocks != 0) return TDNNL_UNIMPLEMENTED;

    // Dimensions from the fastest to the slowest; among equal strides a size-1 dimension goes inside.
    int64_t old[TDNNL_MAX_DIMS], old_dims[TDNNL_MAX_DIMS], strides[TDNNL_MAX_DIMS];
    int order[TDNNL_MAX_DIMS];
    tdnnl_md_strides(layout, old, TDNNL_MAX_DIMS);
    tdnnl_md_dims(layout, old_dims, TDNNL_MAX_DIMS);
    for (int i = 0; i < ndims; i++) {
        int axis = ndims - 1 - i, at = i;
        while (at > 0
               && (old[order[at - 1]] > old[axis]
                   || (old[order[at - 1]] == old[axis] && old_dims[order[at - 1]] > 1 && old_dims[axis] == 1))) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = axis;
    }
    int64_t step = 1;
    for (int i = 0; i < ndims; i++) {
        strides[order[i]] = step;
        step *= dims[order[i]] > 0 ? dims[order[i]] : 1;
    }
    return tdnnl_md_create_with_strides(md, ndims, dims, dtype, strides);
}

int tdnnl_md_submemory(tdnnl_md **md, const tdnnl_md *parent, const int64_t *dims, const int64_t *offsets) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    if (!parent || !dims || !offsets) return TDNNL_INVALID_ARGUMENTS;
    int64_t limits[TDNNL_MAX_DIMS];
    int32_t ndims = tdnnl_md_dims(parent, limits, TDNNL_MAX_DIMS);
    for (int i = 0; i < ndims; i++) {
        if (dims[i] < 0 || offsets[i] < 0 || dims[i] > limits[i] || offsets[i] > limits[i] - dims[i])
            return TDNNL_INVALID_ARGUMENTS;
    }
    tdnnl_md *made = allocate();
    if (!made) return TDNNL_OUT_OF_MEMORY;
#if TDNNL_V3
    int status = tdnnl_guarded_memory_desc_create_submemory(&made->desc, parent->desc, dims, offsets);
#else
    int status = tdnnl_guarded_memory_desc_init_submemory(&made->desc, &parent->desc, dims, offsets);
#endif
    return finish(md, made, status);
}

int tdnnl_md_reshape(tdnnl_md **md, const tdnnl_md *other, int32_t ndims, const int64_t *dims) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    if (!other) return TDNNL_INVALID_ARGUMENTS;
    int status = check_dims(ndims, dims, tdnnl_md_dtype(other));
    if (status != TDNNL_OK) return status;
    tdnnl_md *made = allocate();
    if (!made) return TDNNL_OUT_OF_MEMORY;
    status = tdnnl_guarded_memory_desc_reshape(&made->desc, tdnnl_native(other), ndims, dims);
    return finish(md, made, status);
}

int tdnnl_md_permute(tdnnl_md **md, const tdnnl_md *other, const int32_t *permutation) {
    if (!md) return TDNNL_INVALID_ARGUMENTS;
    *md = NULL;
    if (!other || !permutation) return TDNNL_INVALID_ARGUMENTS;
    int native[TDNNL_MAX_DIMS];
    uint32_t seen = 0;
    int32_t ndims = tdnnl_md_ndims(other);
    for (int i = 0; i < ndims; i++) {
        if (permutation[i] < 0 || permutation[i] >= ndims || seen >> permutation[i] & 1)
            return TDNNL_INVALID_ARGUMENTS;
        seen |= 1u << permutation[i];
        native[i] = permutation[i];
    }
    tdnnl_md *made = allocate();
    if (!made) return TDNNL_OUT_OF_MEMORY;
    int status = tdnnl_guarded_memory_desc_permute_axes(&made->desc, tdnnl_native(other), native);
    return finish(md, made, status);
}

void tdnnl_md_destroy(tdnnl_md *md) {
    if (!md) return;
#if TDNNL_V3
    if (md->desc) dnnl_memory_desc_destroy(md->desc);
#endif
    free(md);
}
