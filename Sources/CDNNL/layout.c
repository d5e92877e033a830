// SPDX-License-Identifier: Apache-2.0
//
// Asking memory descriptors.
#include "internal.h"

// The answers of both versions in one shape.
typedef struct view {
    int ndims;
    int32_t dtype;
    int32_t kind;
    int64_t offset;
    int64_t dims[TDNNL_MAX_DIMS], padded[TDNNL_MAX_DIMS], strides[TDNNL_MAX_DIMS];
    int blocks;
    int64_t sizes[TDNNL_MAX_DIMS], axes[TDNNL_MAX_DIMS];
} view;

static void read_view(const tdnnl_md *md, view *v) {
    memset(v, 0, sizeof *v);
    if (!md) return;
#if TDNNL_V3
    const_dnnl_memory_desc_t d = md->desc;
    if (!d) return;
    int ndims = 0, blocks = 0;
    dnnl_data_type_t dtype = dnnl_data_type_undef;
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    const dnnl_dims_t *list = NULL;
    dnnl_memory_desc_query(d, dnnl_query_ndims_s32, &ndims);
    if (ndims < 1 || ndims > TDNNL_MAX_DIMS) return;
    dnnl_memory_desc_query(d, dnnl_query_data_type, &dtype);
    dnnl_memory_desc_query(d, dnnl_query_format_kind, &kind);
    dnnl_memory_desc_query(d, dnnl_query_submemory_offset_s64, &v->offset);
    v->ndims = ndims;
    v->dtype = (int32_t)dtype;
    size_t bytes = (size_t)ndims * sizeof(int64_t);
    if (dnnl_memory_desc_query(d, dnnl_query_dims, &list) == dnnl_success) memcpy(v->dims, *list, bytes);
    if (dnnl_memory_desc_query(d, dnnl_query_padded_dims, &list) == dnnl_success) memcpy(v->padded, *list, bytes);
    v->kind = kind == dnnl_format_kind_any     ? TDNNL_FORMAT_ANY
              : kind == dnnl_blocked           ? TDNNL_FORMAT_BLOCKED
              : kind == dnnl_format_kind_undef ? TDNNL_FORMAT_UNDEF
                                               : TDNNL_FORMAT_OPAQUE;
    if (v->kind != TDNNL_FORMAT_BLOCKED) return;
    if (dnnl_memory_desc_query(d, dnnl_query_strides, &list) == dnnl_success) memcpy(v->strides, *list, bytes);
    dnnl_memory_desc_query(d, dnnl_query_inner_nblks_s32, &blocks);
    if (blocks < 0 || blocks > TDNNL_MAX_DIMS) return;
    v->blocks = blocks;
    bytes = (size_t)blocks * sizeof(int64_t);
    if (dnnl_memory_desc_query(d, dnnl_query_inner_blks, &list) == dnnl_success) memcpy(v->sizes, *list, bytes);
    if (dnnl_memory_desc_query(d, dnnl_query_inner_idxs, &list) == dnnl_success) memcpy(v->axes, *list, bytes);
#else
    const dnnl_memory_desc_t *d = &md->desc;
    v->ndims = d->ndims;
    v->dtype = (int32_t)d->data_type;
    v->offset = d->offset0;
    memcpy(v->dims, d->dims, sizeof v->dims);
    memcpy(v->padded, d->padded_dims, sizeof v->padded);
    v->kind = d->format_kind == dnnl_format_kind_any     ? TDNNL_FORMAT_ANY
              : d->format_kind == dnnl_blocked           ? TDNNL_FORMAT_BLOCKED
              : d->format_kind == dnnl_format_kind_undef ? TDNNL_FORMAT_UNDEF
                                                         : TDNNL_FORMAT_OPAQUE;
    if (v->kind != TDNNL_FORMAT_BLOCKED) return;
    const dnnl_blocking_desc_t *b = &d->format_desc.blocking;
    memcpy(v->strides, b->strides, sizeof v->strides);
    v->blocks = b->inner_nblks;
    memcpy(v->sizes, b->inner_blks, sizeof v->sizes);
    memcpy(v->axes, b->inner_idxs, sizeof v->axes);
#endif
}

int32_t tdnnl_md_ndims(const tdnnl_md *md) {
    view v;
    read_view(md, &v);
    return v.ndims;
}

int32_t tdnnl_md_dtype(const tdnnl_md *md) {
    view v;
    read_view(md, &v);
    return v.dtype;
}

int32_t tdnnl_md_format_kind(const tdnnl_md *md) {
    view v;
    read_view(md, &v);
    return v.kind;
}

int64_t tdnnl_md_offset(const tdnnl_md *md) {
    view v;
    read_view(md, &v);
    return v.offset;
}

static int32_t copy_out(const int64_t *from, int count, int64_t *to, int32_t capacity) {
    for (int i = 0; to && i < count && i < capacity; i++) to[i] = from[i];
    return count;
}

int32_t tdnnl_md_dims(const tdnnl_md *md, int64_t *dims, int32_t capacity) {
    view v;
    read_view(md, &v);
    return copy_out(v.dims, v.ndims, dims, capacity);
}

int32_t tdnnl_md_padded_dims(const tdnnl_md *md, int64_t *dims, int32_t capacity) {
    view v;
    read_view(md, &v);
    return copy_out(v.padded, v.ndims, dims, capacity);
}

int32_t tdnnl_md_strides(const tdnnl_md *md, int64_t *strides, int32_t capacity) {
    view v;
    read_view(md, &v);
    return copy_out(v.strides, v.kind == TDNNL_FORMAT_BLOCKED ? v.ndims : 0, strides, capacity);
}

int32_t tdnnl_md_inner_blocks(const tdnnl_md *md, int64_t *sizes, int64_t *axes, int32_t capacity) {
    view v;
    read_view(md, &v);
    copy_out(v.axes, v.blocks, axes, capacity);
    return copy_out(v.sizes, v.blocks, sizes, capacity);
}

size_t tdnnl_md_size(const tdnnl_md *md) { return md ? dnnl_memory_desc_get_size(tdnnl_native(md)) : 0; }

int tdnnl_md_equal(const tdnnl_md *left, const tdnnl_md *right) {
    if (!left || !right) return left == right;
    return dnnl_memory_desc_equal(tdnnl_native(left), tdnnl_native(right)) ? 1 : 0;
}

int tdnnl_md_is_plain(const tdnnl_md *md) {
    view v;
    read_view(md, &v);
    return v.kind == TDNNL_FORMAT_BLOCKED && v.blocks == 0;
}

int tdnnl_md_is_row_major(const tdnnl_md *md) {
    view v;
    read_view(md, &v);
    if (v.kind != TDNNL_FORMAT_BLOCKED || v.blocks != 0 || v.offset != 0) return 0;
    int64_t step = 1;
    for (int i = v.ndims - 1; i >= 0; i--) {
        if (v.padded[i] != v.dims[i]) return 0;
        if (v.dims[i] > 1 && v.strides[i] != step) return 0;
        step *= v.dims[i] > 0 ? v.dims[i] : 1;
    }
    return 1;
}

static uint64_t mix(uint64_t hash, int64_t value) {
    hash ^= (uint64_t)value;
    hash *= 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

uint64_t tdnnl_md_hash(const tdnnl_md *md) {
    view v;
    read_view(md, &v);
    uint64_t hash = mix(mix(mix(0x51ED270B0B1B4C1Du, v.ndims), v.dtype), v.kind);
    for (int i = 0; i < v.ndims; i++) {
        hash = mix(mix(hash, v.dims[i]), v.padded[i]);
        // Descriptors are equal whatever the stride of a dimension of one entry.
        if (v.kind == TDNNL_FORMAT_BLOCKED && v.padded[i] > 1) hash = mix(hash, v.strides[i]);
    }
    for (int i = 0; i < v.blocks; i++) hash = mix(mix(hash, v.sizes[i]), v.axes[i]);
    return hash;
}

// MARK: - Text

typedef struct writer {
    char *text;
    size_t capacity, length;
} writer;

static void put(writer *w, char c) {
    if (w->length + 1 < w->capacity) w->text[w->length] = c;
    w->length++;
}

static void put_text(writer *w, const char *s) {
    while (*s) put(w, *s++);
}

static void put_number(writer *w, int64_t value) {
    if (value >= 10) put_number(w, value / 10);
    put(w, (char)('0' + value % 10));
}

static const char *letters_for(int32_t kind, int ndims) {
    static const char *const data[] = {"nc", "ncw", "nchw", "ncdhw"};
    static const char *const weights[] = {"oi", "oiw", "oihw", "oidhw"};
    static const char *const grouped[] = {"goiw", "goihw", "goidhw"};
    if (kind == TDNNL_LETTERS_DATA && ndims >= 2 && ndims <= 5) return data[ndims - 2];
    if (kind == TDNNL_LETTERS_WEIGHTS && ndims >= 2 && ndims <= 5) return weights[ndims - 2];
    if (kind == TDNNL_LETTERS_GROUPED_WEIGHTS && ndims >= 4 && ndims <= 6) return grouped[ndims - 4];
    return "abcdefghijkl";
}

size_t tdnnl_md_layout_text(const tdnnl_md *md, int32_t letters, char *text, size_t capacity) {
    view v;
    read_view(md, &v);
    writer w = {text, text ? capacity : 0, 0};
    if (v.kind == TDNNL_FORMAT_ANY) {
        put_text(&w, "any");
    } else if (v.kind != TDNNL_FORMAT_BLOCKED) {
        put_text(&w, v.kind == TDNNL_FORMAT_OPAQUE ? "opaque" : "none");
    } else {
        const char *names = letters_for(letters, v.ndims);
        uint32_t blocked = 0;
        for (int i = 0; i < v.blocks; i++) blocked |= 1u << (v.axes[i] & 31);
        // Slowest first. A dimension of one entry has no place of its own: it stays where row-major has it.
        int order[TDNNL_MAX_DIMS];
        for (int i = 0; i < v.ndims; i++) {
            int at = i;
            while (at > 0 && v.padded[i] > 1 && v.strides[order[at - 1]] < v.strides[i]) {
                order[at] = order[at - 1];
                at--;
            }
            order[at] = i;
        }
        for (int i = 0; i < v.ndims; i++) {
            char c = names[order[i]];
            put(&w, blocked >> order[i] & 1 ? (char)(c - 'a' + 'A') : c);
        }
        for (int i = 0; i < v.blocks; i++) {
            put_number(&w, v.sizes[i]);
            if (v.axes[i] >= 0 && v.axes[i] < v.ndims) put(&w, names[v.axes[i]]);
        }
    }
    if (w.capacity > 0) w.text[w.length < w.capacity ? w.length : w.capacity - 1] = 0;
    return w.length;
}
