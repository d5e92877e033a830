// SPDX-License-Identifier: Apache-2.0
//
// A neutral face of oneDNN's C API. It hides the differences between oneDNN 2.6 and 3.x (chosen when this target is
// compiled) and shows no type of oneDNN itself.
//
// - Every function that can fail returns a status with oneDNN's numbers; 0 is success. Nothing aborts.
// - Output parameters come first and are set to NULL on failure.
// - Whatever a `create`, `clone` or `query` function hands out is owned by the caller and given back with the
//   `destroy` function of its type, which accepts NULL.
// - Handles may be used from several threads, except that one `tdnnl_pd` or `tdnnl_memory` is changed by one thread
//   at a time.
#ifndef TENON_CDNNL_H
#define TENON_CDNNL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TDNNL_MAX_DIMS = 12, TDNNL_MAX_POST_OPS = 32 };

typedef enum tdnnl_status {
    TDNNL_OK = 0,
    TDNNL_OUT_OF_MEMORY = 1,
    TDNNL_INVALID_ARGUMENTS = 2,
    TDNNL_UNIMPLEMENTED = 3,
    TDNNL_LAST_IMPL = 4,
    TDNNL_RUNTIME_ERROR = 5,
    TDNNL_NOT_REQUIRED = 6
} tdnnl_status;

typedef enum tdnnl_dtype {
    TDNNL_UNDEF = 0,
    TDNNL_F16 = 1,
    TDNNL_BF16 = 2,
    TDNNL_F32 = 3,
    TDNNL_S32 = 4,
    TDNNL_S8 = 5,
    TDNNL_U8 = 6
} tdnnl_dtype;

// Layouts by name: the letters give the physical order of the dimensions, upper case marks a blocked one.
#define TDNNL_TAG_LIST(X) \
    X(a) X(ab) X(ba) X(abc) X(acb) X(bac) X(bca) X(cba) \
    X(abcd) X(abdc) X(acbd) X(acdb) X(adbc) X(bacd) X(bcda) X(cdba) \
    X(abcde) X(acbde) X(acdeb) X(bacde) X(bcdea) X(cdeba) X(decab) X(defcab) X(abcdef) \
    X(aBc4b) X(aBc8b) X(aBc16b) X(aBcd4b) X(aBcd8b) X(aBcd16b) X(aBcde4b) X(aBcde8b) X(aBcde16b) \
    X(ABc16b16a) X(ABcd16b16a) X(ABcde16b16a) X(ABc8b8a) X(ABcd8b8a) X(ABcde8b8a) \
    X(Acb16a) X(Acdb16a) X(Acdeb16a) X(Acb8a) X(Acdb8a) X(Acdeb8a) \
    X(aBCd16c16b) X(aBCde16c16b) X(aBCdef16c16b) X(aBCd8c8b) X(aBCde8c8b) X(aBCdef8c8b) \
    X(Abcd16a) X(Abcde16a) X(Abcdef16a) X(Abcd8a) X(Abcde8a)

#define TDNNL_TAG_ENUMERATOR(name) TDNNL_TAG_##name,
typedef enum tdnnl_tag {
    TDNNL_TAG_any = 0,
    TDNNL_TAG_LIST(TDNNL_TAG_ENUMERATOR)
    TDNNL_TAG_COUNT,
    // The same by the meaning of the dimensions.
    TDNNL_TAG_nchw = TDNNL_TAG_abcd,
    TDNNL_TAG_nhwc = TDNNL_TAG_acdb,
    TDNNL_TAG_nChw8c = TDNNL_TAG_aBcd8b,
    TDNNL_TAG_nChw16c = TDNNL_TAG_aBcd16b,
    TDNNL_TAG_oihw = TDNNL_TAG_abcd,
    TDNNL_TAG_hwio = TDNNL_TAG_cdba,
    TDNNL_TAG_goihw = TDNNL_TAG_abcde,
    TDNNL_TAG_hwigo = TDNNL_TAG_decab,
    TDNNL_TAG_OIhw16i16o = TDNNL_TAG_ABcd16b16a,
    TDNNL_TAG_Ohwi16o = TDNNL_TAG_Acdb16a,
    TDNNL_TAG_tnc = TDNNL_TAG_abc,
    TDNNL_TAG_ldnc = TDNNL_TAG_abcd,
    TDNNL_TAG_ldigo = TDNNL_TAG_abcde,
    TDNNL_TAG_ldgo = TDNNL_TAG_abcd
} tdnnl_tag;

typedef enum tdnnl_format_kind {
    TDNNL_FORMAT_UNDEF = 0,
    TDNNL_FORMAT_ANY = 1,
    TDNNL_FORMAT_BLOCKED = 2,
    TDNNL_FORMAT_OPAQUE = 3
} tdnnl_format_kind;

// Which letters `tdnnl_md_layout_text` uses.
typedef enum tdnnl_letters {
    TDNNL_LETTERS_PLAIN = 0,          // abcd
    TDNNL_LETTERS_DATA = 1,           // nc, ncw, nchw, ncdhw
    TDNNL_LETTERS_WEIGHTS = 2,        // oi, oiw, oihw, oidhw
    TDNNL_LETTERS_GROUPED_WEIGHTS = 3 // goiw, goihw, goidhw
} tdnnl_letters;

typedef enum tdnnl_algorithm {
    TDNNL_CONVOLUTION_DIRECT = 1,
    TDNNL_CONVOLUTION_WINOGRAD = 2,
    TDNNL_CONVOLUTION_AUTO = 3,
    TDNNL_POOLING_MAX = 10,
    TDNNL_POOLING_AVG_INCLUDE_PADDING = 11,
    TDNNL_POOLING_AVG_EXCLUDE_PADDING = 12,
    TDNNL_LRN_ACROSS_CHANNELS = 20,
    TDNNL_LRN_WITHIN_CHANNEL = 21,
    TDNNL_RESAMPLING_NEAREST = 30,
    TDNNL_RESAMPLING_LINEAR = 31,
    // a = alpha, b = beta
    TDNNL_ELTWISE_RELU = 100,        // x > 0 ? x : a x
    TDNNL_ELTWISE_TANH = 101,
    TDNNL_ELTWISE_ELU = 102,         // x > 0 ? x : a (exp x - 1)
    TDNNL_ELTWISE_SQUARE = 103,
    TDNNL_ELTWISE_ABS = 104,
    TDNNL_ELTWISE_SQRT = 105,
    TDNNL_ELTWISE_LINEAR = 106,      // a x + b
    TDNNL_ELTWISE_SOFT_RELU = 107,   // log(1 + exp(a x)) / a; a = 0 means 1
    TDNNL_ELTWISE_HARDSIGMOID = 108, // max(0, min(1, a x + b))
    TDNNL_ELTWISE_LOGISTIC = 109,    // 1 / (1 + exp(-x))
    TDNNL_ELTWISE_EXP = 110,
    TDNNL_ELTWISE_GELU_TANH = 111,
    TDNNL_ELTWISE_GELU_ERF = 112,
    TDNNL_ELTWISE_SWISH = 113,       // x / (1 + exp(-a x))
    TDNNL_ELTWISE_LOG = 114,
    TDNNL_ELTWISE_CLIP = 115,        // min(b, max(a, x))
    TDNNL_ELTWISE_POW = 116,         // a x^b
    TDNNL_ELTWISE_ROUND = 117,       // to nearest even
    TDNNL_ELTWISE_LOGSIGMOID = 118,  // -log(1 + exp(-x))
    TDNNL_ELTWISE_MISH = 119,        // x tanh(log(1 + exp x))
    TDNNL_ELTWISE_HARDSWISH = 120,   // x max(0, min(1, a x + b)); oneDNN 2.6 has only a = 1/6, b = 1/2
    TDNNL_BINARY_ADD = 200,
    TDNNL_BINARY_SUB = 201,
    TDNNL_BINARY_MUL = 202,
    TDNNL_BINARY_DIV = 203,
    TDNNL_BINARY_MAX = 204,
    TDNNL_BINARY_MIN = 205,
    TDNNL_BINARY_GE = 206,
    TDNNL_BINARY_GT = 207,
    TDNNL_BINARY_LE = 208,
    TDNNL_BINARY_LT = 209,
    TDNNL_BINARY_EQ = 210,
    TDNNL_BINARY_NE = 211,
    TDNNL_REDUCTION_MAX = 300,
    TDNNL_REDUCTION_MIN = 301,
    TDNNL_REDUCTION_SUM = 302,
    TDNNL_REDUCTION_MUL = 303,
    TDNNL_REDUCTION_MEAN = 304,
    TDNNL_REDUCTION_NORM_LP_MAX = 305,
    TDNNL_REDUCTION_NORM_LP_SUM = 306,
    TDNNL_REDUCTION_NORM_LP_POWER_P_MAX = 307,
    TDNNL_REDUCTION_NORM_LP_POWER_P_SUM = 308
} tdnnl_algorithm;

typedef enum tdnnl_direction {
    TDNNL_LEFT_TO_RIGHT = 0,
    TDNNL_RIGHT_TO_LEFT = 1,
    TDNNL_BIDIRECTIONAL_CONCAT = 2,
    TDNNL_BIDIRECTIONAL_SUM = 3
} tdnnl_direction;

typedef enum tdnnl_normalization_flags {
    TDNNL_USE_GLOBAL_STATS = 1, // mean and variance are inputs
    TDNNL_USE_SCALE = 2,
    TDNNL_USE_SHIFT = 4,
    TDNNL_FUSE_RELU = 8 // batch normalization only
} tdnnl_normalization_flags;

// Execution arguments. Those of post-ops depend on the primitive: `tdnnl_pd_post_op_argument`.
typedef enum tdnnl_argument {
    TDNNL_ARG_SRC = 1,
    TDNNL_ARG_SRC_1 = 2,
    TDNNL_ARG_SRC_2 = 3,
    TDNNL_ARG_DST = 17,
    TDNNL_ARG_DST_1 = 18,
    TDNNL_ARG_DST_2 = 19,
    TDNNL_ARG_WEIGHTS = 33,
    TDNNL_ARG_WEIGHTS_1 = 34,
    TDNNL_ARG_BIAS = 41,
    TDNNL_ARG_MEAN = 49,
    TDNNL_ARG_VARIANCE = 50,
    TDNNL_ARG_SCALE = 51,
    TDNNL_ARG_SHIFT = 52,
    TDNNL_ARG_WORKSPACE = 64,
    TDNNL_ARG_SCRATCHPAD = 80,
    TDNNL_ARG_MULTIPLE_SRC = 1024 // + index, for concat and sum
} tdnnl_argument;

// What `tdnnl_pd_query_md` can ask for.
typedef enum tdnnl_query {
    TDNNL_QUERY_SRC = 0,
    TDNNL_QUERY_WEIGHTS = 1, // index 1 is the bias
    TDNNL_QUERY_DST = 2,
    TDNNL_QUERY_WORKSPACE = 3,
    TDNNL_QUERY_SCRATCHPAD = 4
} tdnnl_query;

typedef struct tdnnl_engine tdnnl_engine;
typedef struct tdnnl_stream tdnnl_stream;
typedef struct tdnnl_md tdnnl_md;               // memory descriptor, immutable
typedef struct tdnnl_pd tdnnl_pd;               // primitive descriptor: one implementation of one operation
typedef struct tdnnl_primitive tdnnl_primitive; // compiled, immutable
typedef struct tdnnl_memory tdnnl_memory;       // a descriptor and an address
typedef struct tdnnl_arguments tdnnl_arguments; // prebuilt argument list of one execution

// MARK: - Library

// The library that is loaded, not the headers: major * 10000 + minor * 100 + patch.
int32_t tdnnl_version(void);
// DNNL_VERSION_MAJOR of the headers that this was compiled with; loading another major version is an error.
int32_t tdnnl_compiled_major(void);
// "success", "unimplemented", ...; static text, never NULL.
const char *tdnnl_status_name(int32_t status);
// oneDNN's code of the instruction set that it uses; only useful for comparing and as a key.
int32_t tdnnl_effective_isa(void);
/* The same as oneDNN calls it, "avx512_core_vnni"; "other" for what this list does not know. */
const char *tdnnl_effective_isa_name(void);
int tdnnl_set_primitive_cache_capacity(int32_t capacity);
// Number of OpenMP threads for parallel work started by the calling thread. 1 where there is no OpenMP runtime.
int32_t tdnnl_get_threads(void);
int tdnnl_set_threads(int32_t count);

int tdnnl_engine_create(tdnnl_engine **engine);
void tdnnl_engine_destroy(tdnnl_engine *engine);
int tdnnl_stream_create(tdnnl_stream **stream, tdnnl_engine *engine);
int tdnnl_stream_wait(tdnnl_stream *stream);
void tdnnl_stream_destroy(tdnnl_stream *stream);

// MARK: - Memory descriptors
// `dims` and `strides` have `ndims` entries, 1 to 12; sizes 0 to 2^31-1, strides in elements.

int tdnnl_md_create_with_tag(tdnnl_md **md, int32_t ndims, const int64_t *dims, int32_t dtype, int32_t tag);
// `strides` NULL means row-major.
int tdnnl_md_create_with_strides(
    tdnnl_md **md, int32_t ndims, const int64_t *dims, int32_t dtype, const int64_t *strides);
int tdnnl_md_create_any(tdnnl_md **md, int32_t ndims, const int64_t *dims, int32_t dtype);
int tdnnl_md_clone(tdnnl_md **md, const tdnnl_md *other);
// The same layout with other dimensions or another data type; for `any` and plain or singly blocked layouts.
int tdnnl_md_with_layout_of(tdnnl_md **md, const tdnnl_md *layout, int32_t ndims, const int64_t *dims, int32_t dtype);
int tdnnl_md_submemory(tdnnl_md **md, const tdnnl_md *parent, const int64_t *dims, const int64_t *offsets);
int tdnnl_md_reshape(tdnnl_md **md, const tdnnl_md *other, int32_t ndims, const int64_t *dims);
// Dimension i of `other` becomes dimension permutation[i] of the result.
int tdnnl_md_permute(tdnnl_md **md, const tdnnl_md *other, const int32_t *permutation);
void tdnnl_md_destroy(tdnnl_md *md);

int32_t tdnnl_md_ndims(const tdnnl_md *md);
int32_t tdnnl_md_dtype(const tdnnl_md *md);
int32_t tdnnl_md_format_kind(const tdnnl_md *md);
// These copy at most `capacity` entries and return how many there are; strides only for blocked formats (else 0).
int32_t tdnnl_md_dims(const tdnnl_md *md, int64_t *dims, int32_t capacity);
int32_t tdnnl_md_padded_dims(const tdnnl_md *md, int64_t *dims, int32_t capacity);
int32_t tdnnl_md_strides(const tdnnl_md *md, int64_t *strides, int32_t capacity);
int32_t tdnnl_md_inner_blocks(const tdnnl_md *md, int64_t *sizes, int64_t *axes, int32_t capacity);
// Offset in elements of the first element of a submemory.
int64_t tdnnl_md_offset(const tdnnl_md *md);
size_t tdnnl_md_size(const tdnnl_md *md);
size_t tdnnl_dtype_size(int32_t dtype);
int tdnnl_md_equal(const tdnnl_md *left, const tdnnl_md *right); // 1 equal, 0 not
// 1 when no dimension is blocked: the strides alone tell where an element is.
int tdnnl_md_is_plain(const tdnnl_md *md);
// 1 when plain, without gaps and row-major.
int tdnnl_md_is_row_major(const tdnnl_md *md);
// Equal descriptors have equal hashes.
uint64_t tdnnl_md_hash(const tdnnl_md *md);
// Short text such as "nchw", "nhwc", "nChw16c", "OIhw16i16o", "any", "opaque"; cut to `capacity`, always
// terminated. Returns the full length.
size_t tdnnl_md_layout_text(const tdnnl_md *md, int32_t letters, char *text, size_t capacity);

// MARK: - Weights for Winograd
// How many independent pieces packing row-major weights [outputs, inputs, 3, 3] as `packed` has; 0 when it takes a reorder.
int64_t tdnnl_winograd_pieces(const tdnnl_md *packed);
// `weights` need not be aligned. Writes pieces `begin` up to but not including `end` of the packed weights.
void tdnnl_winograd_pack(const tdnnl_md *packed, const void *weights, float *into, int64_t begin, int64_t end);

// MARK: - Attributes of a primitive

typedef enum tdnnl_post_op_kind {
    TDNNL_POST_OP_SUM = 1,      // dst = scale * old dst + dst
    TDNNL_POST_OP_ELTWISE = 2,  // dst = scale * f(dst)
    TDNNL_POST_OP_BINARY = 3,   // dst = f(dst, src1), src1 broadcast by dimensions of size 1
    TDNNL_POST_OP_PRELU = 4,    // mask: bit i set when the weights vary along dimension i
    TDNNL_POST_OP_DEPTHWISE = 5 // a square depthwise convolution behind a 1x1 convolution
} tdnnl_post_op_kind;

typedef struct tdnnl_post_op {
    int32_t kind;
    int32_t algorithm;    // ELTWISE, BINARY
    float alpha, beta;    // ELTWISE
    float scale;          // SUM, ELTWISE; 0 counts as 1
    int32_t mask;         // PRELU
    const tdnnl_md *src1; // BINARY; borrowed for the call
    int64_t kernel, stride, padding; // DEPTHWISE
    int32_t has_bias;                // DEPTHWISE
} tdnnl_post_op;

// Borrowed for the call; NULL or all zero means nothing special. The scratchpad is always the caller's.
typedef struct tdnnl_attributes {
    const tdnnl_post_op *post_ops;
    int32_t post_op_count;
    int32_t allow_bf16;         // f32 work may be rounded to bfloat16 inside
    int32_t output_scale_count; // 0 none, 1 one for all, else one per entry of the dimensions in the mask (2.6 only)
    int32_t output_scale_mask;
    const float *output_scales;
} tdnnl_attributes;

// MARK: - Primitive descriptors
// All are for forward inference. `strides`, `dilations` (1 is dense), `kernel` and pads have one entry per spatial
// dimension; `dilations` NULL means 1. Optional descriptors may be NULL. Descriptors may be `any` where oneDNN allows.

int tdnnl_convolution_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *weights,
    const tdnnl_md *bias, const tdnnl_md *dst, const int64_t *strides, const int64_t *dilations,
    const int64_t *pads_begin, const int64_t *pads_end, const tdnnl_attributes *attributes);
int tdnnl_deconvolution_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *weights,
    const tdnnl_md *bias, const tdnnl_md *dst, const int64_t *strides, const int64_t *dilations,
    const int64_t *pads_begin, const int64_t *pads_end, const tdnnl_attributes *attributes);
int tdnnl_inner_product_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *bias,
    const tdnnl_md *dst, const tdnnl_attributes *attributes);
int tdnnl_matmul_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *bias,
    const tdnnl_md *dst, const tdnnl_attributes *attributes);
int tdnnl_pooling_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst,
    const int64_t *strides, const int64_t *kernel, const int64_t *dilations, const int64_t *pads_begin,
    const int64_t *pads_end, const tdnnl_attributes *attributes);
int tdnnl_batch_normalization_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, float epsilon, uint32_t flags,
    const tdnnl_attributes *attributes);
// Normalises over the last dimension. `stat` (all dimensions but the last) may be NULL.
int tdnnl_layer_normalization_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, const tdnnl_md *stat,
    float epsilon, uint32_t flags, const tdnnl_attributes *attributes);
int tdnnl_softmax_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, int32_t axis,
    const tdnnl_attributes *attributes);
int tdnnl_lrn_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst,
    int64_t local_size, float alpha, float beta, float k, const tdnnl_attributes *attributes);
// `factors` (destination / source, one per spatial dimension) may be NULL: then the sizes tell.
int tdnnl_resampling_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst,
    const float *factors, const tdnnl_attributes *attributes);
int tdnnl_reduction_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst, float p,
    float epsilon, const tdnnl_attributes *attributes);
int tdnnl_eltwise_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src, const tdnnl_md *dst, float alpha,
    float beta, const tdnnl_attributes *attributes);
int tdnnl_binary_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t algorithm, const tdnnl_md *src0, const tdnnl_md *src1,
    const tdnnl_md *dst, const tdnnl_attributes *attributes);
int tdnnl_prelu_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *weights, const tdnnl_md *dst,
    const tdnnl_attributes *attributes);
int tdnnl_shuffle_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst, int32_t axis, int64_t group_size,
    const tdnnl_attributes *attributes);
int tdnnl_reorder_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *src, const tdnnl_md *dst,
    const tdnnl_attributes *attributes);
// `dst` NULL lets the library choose.
int tdnnl_concat_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *dst, int32_t axis, const tdnnl_md *const *srcs,
    int32_t count, const tdnnl_attributes *attributes);
int tdnnl_sum_create(
    tdnnl_pd **pd, tdnnl_engine *engine, const tdnnl_md *dst, const float *scales, const tdnnl_md *const *srcs,
    int32_t count, const tdnnl_attributes *attributes);
// src_layer and dst_layer tnc, src_iter... ldnc, weights ldigo, bias ldgo; gates in oneDNN's order (LSTM i f c o,
// GRU u r o).
int tdnnl_lstm_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t direction, const tdnnl_md *src_layer, const tdnnl_md *src_iter,
    const tdnnl_md *src_iter_c, const tdnnl_md *weights_layer, const tdnnl_md *weights_iter, const tdnnl_md *bias,
    const tdnnl_md *dst_layer, const tdnnl_md *dst_iter, const tdnnl_md *dst_iter_c,
    const tdnnl_attributes *attributes);
// `linear_before_reset` not 0: the reset gate is applied after the recurrent product, and the bias has 4 gates.
int tdnnl_gru_create(
    tdnnl_pd **pd, tdnnl_engine *engine, int32_t linear_before_reset, int32_t direction, const tdnnl_md *src_layer,
    const tdnnl_md *src_iter, const tdnnl_md *weights_layer, const tdnnl_md *weights_iter, const tdnnl_md *bias,
    const tdnnl_md *dst_layer, const tdnnl_md *dst_iter, const tdnnl_attributes *attributes);

void tdnnl_pd_destroy(tdnnl_pd *pd);
// The implementation that `pd` stands at, alone: the copy has no next one.
int tdnnl_pd_clone(tdnnl_pd **pd, const tdnnl_pd *other);
// Moves on to the next implementation, best first. TDNNL_LAST_IMPL when there is none; `pd` is then unchanged.
int tdnnl_pd_next(tdnnl_pd *pd);
// Implementation name, e.g. "jit:avx512_core"; borrowed until `pd` moves on or is destroyed.
const char *tdnnl_pd_implementation(const tdnnl_pd *pd);
// Sets *md to NULL, with success, when the primitive has no such memory.
int tdnnl_pd_query_md(tdnnl_md **md, const tdnnl_pd *pd, int32_t query, int32_t index);
size_t tdnnl_pd_scratchpad_size(const tdnnl_pd *pd);
// Execution argument of operand `base` (SRC_1 of a binary, WEIGHTS of a PReLU, WEIGHTS or BIAS of a depthwise) of
// entry `index` of the post-ops given at creation; -1 when there is no such entry.
int32_t tdnnl_pd_post_op_argument(const tdnnl_pd *pd, int32_t index, int32_t base);

// MARK: - Execution

int tdnnl_primitive_create(tdnnl_primitive **primitive, const tdnnl_pd *pd);
void tdnnl_primitive_destroy(tdnnl_primitive *primitive);

// `handle` is borrowed; NULL leaves the address unset.
int tdnnl_memory_create(tdnnl_memory **memory, const tdnnl_md *md, tdnnl_engine *engine, void *handle);
// Cheap for layouts without padded dimensions; for padded ones 2.6 also writes zeros into the padding.
int tdnnl_memory_set_handle(tdnnl_memory *memory, void *handle);
void *tdnnl_memory_handle(const tdnnl_memory *memory);
void tdnnl_memory_destroy(tdnnl_memory *memory);

// `memories` are borrowed as long as the list lives. Their handles may change between executions.
int tdnnl_arguments_create(
    tdnnl_arguments **list, const int32_t *arguments, tdnnl_memory *const *memories, int32_t count);
void tdnnl_arguments_destroy(tdnnl_arguments *list);

// Returns when the work is done. Allocates nothing of its own.
int tdnnl_execute(const tdnnl_primitive *primitive, tdnnl_stream *stream, const tdnnl_arguments *list);

#ifdef __cplusplus
}
#endif

#endif
