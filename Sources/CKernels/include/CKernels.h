// SPDX-License-Identifier: Apache-2.0
//
// Kernels for what oneDNN has no single primitive for, or a slow one: a 1×1 convolution and the depthwise convolution behind it, row
// by row, so that what lies between them never leaves the nearest cache; depthwise convolutions alone; element-wise functions;
// recurrent layers; 3×3 convolutions by Winograd's F(4×4, 3×3), all steps of a few tiles at a time.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

// Instruction sets that kernels are written for: AVX2 with FMA, and AVX-512 with BW, DQ and VL.
typedef enum tkernel_isa_level { TKERNEL_ISA_BASE, TKERNEL_ISA_AVX2, TKERNEL_ISA_AVX512 } tkernel_isa_level;

// The best that this machine has and that the environment variable TENON_MAX_CPU_ISA (`base`, `avx2`, `avx512`), read once, allows.
int tkernel_isa(void);
// Whether the processor has what the library and oneDNN need at least: x86-64-v2.
int tkernel_cpu_is_supported(void);

// Functions of one number; NaN stays NaN in all of them.
typedef enum tkernel_function {
    TKERNEL_IDENTITY,
    TKERNEL_RELU, // alpha · x below zero
    TKERNEL_CLIP, // between alpha and beta
    TKERNEL_SWISH, // x / (1 + exp(-alpha · x))
    TKERNEL_HARDSWISH, // x · clip(alpha · x + beta, 0, 1)
    TKERNEL_HARDSIGMOID, // clip(alpha · x + beta, 0, 1)
    TKERNEL_SIGMOID,
    TKERNEL_TANH,
    TKERNEL_GELU_ERF,
    TKERNEL_GELU_TANH,
    TKERNEL_EXP,
    TKERNEL_MISH
} tkernel_function;

typedef struct tkernel_activation {
    int32_t function;
    float alpha, beta;
} tkernel_activation;

// Where an activation's elements lie, in floats: channel c of a pixel is at c / 16 · block + c % 16.
typedef struct tkernel_layout {
    int64_t image, row, pixel, block;
} tkernel_layout;

// A 1×1 convolution from `inputs` to `channels` channels, then a depthwise one, square, without dilation. Padding is of zeros
// behind the first activation. Without `inputs` there is no first convolution and no first activation.
typedef struct tkernel_block {
    int64_t batch, inputs, channels;
    int64_t height, width, out_height, out_width;
    int64_t kernel, stride, pad_top, pad_left;
    tkernel_layout source, target;
    tkernel_activation middle, last;
} tkernel_block;

// Whether this machine has the instructions (AVX-512) and the kernels take this shape: strides of 1 and 2, kernels of 3 and 5.
int tkernel_block_is_supported(const tkernel_block *block);

// Floats of the packed weights, and of the scratch memory of each thread; 0 when sizes overflow.
int64_t tkernel_block_weights(const tkernel_block *block);
int64_t tkernel_block_scratch(const tkernel_block *block);

// Packs weights [channels, inputs] (NULL without a first convolution) and [channels, kernel · kernel], row-major, and one bias value
// per channel or NULL each.
void tkernel_block_pack(
    const tkernel_block *block, const float *_Nullable pointwise, const float *_Nullable pointwise_bias, const float *depthwise,
    const float *_Nullable depthwise_bias, float *into);

// How many pieces the work for `threads` threads falls into, which may run at the same time.
int64_t tkernel_block_pieces(const tkernel_block *block, int64_t threads);

// Computes pieces `begin` up to but not including `end` of `pieces`. `scratch` belongs to the calling thread meanwhile. All memory is
// aligned to 4 bytes at least.
void tkernel_block_run(
    const tkernel_block *block, int64_t pieces, int64_t begin, int64_t end, const float *source, const float *weights,
    float *target, float *scratch);

// A 3×3 convolution, stride 1, without dilation and groups, then the addition of a residual where one is given, then the
// activation.
typedef struct tkernel_winograd {
    int64_t batch, inputs, outputs;
    int64_t height, width, out_height, out_width;
    int64_t pad_top, pad_left;
    // A residual lies as the target does.
    tkernel_layout source, target;
    tkernel_activation activation;
} tkernel_winograd;

// Whether this machine has the instructions (AVX-512) and sizes make sense: padding of 0 to 2, results within reach.
int tkernel_winograd_is_supported(const tkernel_winograd *convolution);

// Floats of the packed weights, and of the scratch memory of each of `threads` threads; 0 when sizes overflow.
int64_t tkernel_winograd_weights(const tkernel_winograd *convolution);
int64_t tkernel_winograd_scratch(const tkernel_winograd *convolution, int64_t threads);

// How many blocks packing falls into, which may be packed at the same time.
int64_t tkernel_winograd_packs(const tkernel_winograd *convolution);

// Packs blocks `begin` up to but not including `end` of weights [outputs, inputs, 3, 3], row-major, and of one bias value per
// output or NULL. `into` is the memory of all blocks.
void tkernel_winograd_pack(
    const tkernel_winograd *convolution, const float *weights, const float *_Nullable bias, float *into, int64_t begin,
    int64_t end);

// Computes the share of thread `thread` of `threads`. `residual` is NULL or what is added before the activation, which may be the
// target itself. `scratch` belongs to the calling thread meanwhile. All memory is aligned to 4 bytes at least. A result does not
// depend on the number of threads. A number that is not finite spoils the tile of 4×4 results that it is read for.
void tkernel_winograd_run(
    const tkernel_winograd *convolution, int64_t threads, int64_t thread, const float *source, const float *weights,
    const float *_Nullable residual, float *target, float *scratch);

// Whether this machine has the instructions (AVX-512), and the kernel the function: all but the identity.
int tkernel_eltwise_is_supported(const tkernel_activation *activation);

// target[i] = f(source[i]), plus addend[i] if there is one. Each of the sources may be the target.
void tkernel_eltwise_run(
    const tkernel_activation *activation, int64_t count, const float *source, const float *_Nullable addend,
    float *target);

// One direction of a recurrent layer, weights and gates in the order of ONNX: LSTM has four (i, o, f, c), GRU three (z, r, h), a plain
// layer one. States are rows of `hidden` floats.
typedef struct tkernel_recurrent {
    int64_t gates, inputs, hidden;
    int32_t functions[3]; // TKERNEL_SIGMOID, TKERNEL_TANH or TKERNEL_RELU: f, g and h of ONNX
    int32_t input_forget, linear_before_reset, has_peephole;
    float clip; // of what goes into the gates; infinity for none
} tkernel_recurrent;

int tkernel_recurrent_is_supported(const tkernel_recurrent *layer);

// Blocks of units, which may be computed at the same time; floats of the packed weights (0 when sizes overflow); floats of the
// gates of one sample.
int64_t tkernel_recurrent_blocks(const tkernel_recurrent *layer);
int64_t tkernel_recurrent_weights(const tkernel_recurrent *layer);
int64_t tkernel_recurrent_gates(const tkernel_recurrent *layer);

// Packs weights [gates · hidden, inputs] and [gates · hidden, hidden], biases [2 · gates · hidden] and peepholes [3 · hidden].
void tkernel_recurrent_pack(
    const tkernel_recurrent *layer, const float *weight, const float *recurrence, const float *bias,
    const float *_Nullable peephole, float *into);

// What `samples` rows of inputs contribute to the gates of blocks `begin` up to but not including `end`.
void tkernel_recurrent_project(
    const tkernel_recurrent *layer, int64_t begin, int64_t end, int64_t samples, const float *source, const float *weights,
    float *gates);

// How many parts a step has, each to be done for all blocks before the next one begins.
int64_t tkernel_recurrent_parts(const tkernel_recurrent *layer);

// One step: states `before` and gates give states `after`, which is other memory; `cell` is changed in place. `reset` has room for
// the states where a step has two parts.
void tkernel_recurrent_step(
    const tkernel_recurrent *layer, int64_t part, int64_t begin, int64_t end, int64_t batch, const float *weights,
    float *gates, const float *before, float *_Nullable cell, float *after, float *_Nullable reset);

// Squeeze and excitation: the mean of each channel, a product with a matrix [hidden, channels], a function, a product with one
// [channels, hidden], a function.
typedef struct tkernel_squeeze {
    int64_t batch, channels, hidden, pixels;
    tkernel_layout source;
    // Floats from one image's gates to the next one's.
    int64_t target_image;
    tkernel_activation middle, last;
} tkernel_squeeze;

// Whether this machine has the instructions (AVX-512).
int tkernel_squeeze_is_supported(const tkernel_squeeze *squeeze);

// Floats of the packed weights, 0 when sizes overflow, and of the scratch memory of each thread.
int64_t tkernel_squeeze_weights(const tkernel_squeeze *squeeze);
int64_t tkernel_squeeze_scratch(const tkernel_squeeze *squeeze);

// Packs both matrices, row-major, and one bias value per row or NULL each.
void tkernel_squeeze_pack(
    const tkernel_squeeze *squeeze, const float *squeeze_weights, const float *_Nullable squeeze_bias,
    const float *excite_weights, const float *_Nullable excite_bias, float *into);

// First every thread's share of the means and of the first product, and when all are done, its share of the gates. `scratch` is that of
// all threads.
void tkernel_squeeze_run(
    const tkernel_squeeze *squeeze, int64_t threads, int64_t thread, const float *source, const float *weights,
    float *scratch);
void tkernel_excite_run(
    const tkernel_squeeze *squeeze, int64_t threads, int64_t thread, const float *weights, float *scratch,
    float *target);

// Whether this machine has the instructions (AVX-512).
int tkernel_scale_is_supported(void);

// target[i] = source[i] · scale[channels[i / size]] in `groups` groups of `size`, which is 1 or 16.
void tkernel_scale_run(
    int64_t groups, int64_t size, const int32_t *channels, const float *source, const float *scale, float *target);

// What is done with the elements of a product, one step after another, while they are in the nearest cache.
typedef enum tkernel_step_kind {
    TKERNEL_STEP_ACTIVATION,
    TKERNEL_STEP_ADD,
    TKERNEL_STEP_SUBTRACT,
    TKERNEL_STEP_SUBTRACT_FROM, // the operand less the element
    TKERNEL_STEP_MULTIPLY,
    TKERNEL_STEP_DIVIDE,
    TKERNEL_STEP_DIVIDE_BY, // the operand divided by the element
    TKERNEL_STEP_MAXIMUM,
    TKERNEL_STEP_MINIMUM
} tkernel_step_kind;

// Where the other operand of a step lies: that of element (m, n) is at m / group % period · row + n · column floats. `group` and
// `period` are at least 1, `column` is 0 or 1.
typedef struct tkernel_step {
    int32_t kind;
    tkernel_activation activation;
    int64_t group, period, row, column;
} tkernel_step;

// C = A × B in single precision, B packed once; any number of rows. `lda` and `ldc` are floats from row to row.
typedef struct tkernel_gemm {
    int64_t rows, columns, depth;
    int64_t lda, ldc;
    int64_t step_count;
    const tkernel_step *_Nullable steps;
} tkernel_gemm;

// Columns of a panel of packed weights, which is [depth][panel]; 0 where this machine has none of the instruction sets.
int64_t tkernel_gemm_panel(void);

// Floats of the packed weights; 0 when sizes overflow.
int64_t tkernel_gemm_weights(int64_t columns, int64_t depth);

// Packs panels `begin` up to but not including `end` of B, whose element (k, n) is at k · row + n · column. `into` is the memory of all.
void tkernel_gemm_pack(
    int64_t columns, int64_t depth, const float *b, int64_t row, int64_t column, float *into, int64_t begin, int64_t end);

// Floats of the scratch memory of each thread.
int64_t tkernel_gemm_scratch(const tkernel_gemm *gemm);

// Computes the share of thread `thread` of `threads`. `operands` has one address per step, NULL for activations; an operand may be C
// itself. A row's result depends neither on the number of threads nor on that of rows. Returns 0, or 1 as soon as `cancel` (NULL:
// never) points to something else than 0.
int tkernel_gemm_run(
    const tkernel_gemm *gemm, int64_t threads, int64_t thread, const float *a, const float *weights, float *c,
    const float *_Nullable const *_Nullable operands, float *scratch, const volatile int32_t *_Nullable cancel);

// Many products of which both sides are data: product i is of A at `a + a_offsets[i]` and B at `b + b_offsets[i]`, whose element (k, n) is
// at k · b_row + n · b_column; one of these two is 1. Its rows follow those of product i - 1 in C, also for the steps.
typedef struct tkernel_products {
    int64_t count;
    tkernel_gemm gemm;
    int64_t b_row, b_column;
    const int64_t *a_offsets, *b_offsets;
} tkernel_products;

int64_t tkernel_products_scratch(const tkernel_products *products);

int tkernel_products_run(
    const tkernel_products *products, int64_t threads, int64_t thread, const float *a, const float *b, float *c,
    const float *_Nullable const *_Nullable operands, float *scratch, const volatile int32_t *_Nullable cancel);

// The steps alone, over `rows` rows of `columns` elements; both addresses may be the same.
void tkernel_steps_run(
    int64_t step_count, const tkernel_step *steps, int64_t begin, int64_t end, int64_t columns, const float *source,
    float *target, const float *_Nullable const *_Nullable operands);

// Normalisation of rows: (x - mean) / sqrt(variance + epsilon), or x / sqrt(mean square + epsilon) with `is_rms`, times gamma plus beta,
// of which each may be NULL, where x is the source plus the residual, if there is one. The residual of row m is row m % period of
// `residual`. The sums are written where `sum` is not NULL, which may be the source or the residual.
typedef struct tkernel_norm {
    int64_t columns, period;
    int32_t is_rms;
    float epsilon;
} tkernel_norm;

void tkernel_norm_run(
    const tkernel_norm *norm, int64_t begin, int64_t end, const float *source, const float *_Nullable residual,
    const float *_Nullable gamma, const float *_Nullable beta, float *_Nullable sum, float *target);

// Softmax, or its logarithm, of rows.
void tkernel_softmax_run(
    int32_t is_log, int64_t begin, int64_t end, int64_t columns, const float *source, float *target);

// Floats from one sample, head and token to the next one; the elements of a head are neighbours.
typedef struct tkernel_places {
    int64_t batch, head, token;
} tkernel_places;

typedef enum tkernel_mask { TKERNEL_MASK_NONE, TKERNEL_MASK_ADDED, TKERNEL_MASK_ALLOWED } tkernel_mask;

// softmax(scale · Q Kᵀ + mask) V for every head. With a soft cap the scaled products are cap · tanh(x / cap) before the mask.
typedef struct tkernel_attention {
    int64_t batch, heads, kv_heads, queries, keys, size, value_size;
    tkernel_places query, key, value, result;
    float scale, softcap;
    // Query i sees keys up to i + past, or, where `follows_lengths` is set, up to i + length of its sample - queries. Later ones score
    // `mask_value`.
    int32_t is_causal, follows_lengths;
    int64_t past;
    // Keys further than this before or behind the query's own position (i + past) are hidden; negative for no bound.
    int64_t left, right;
    // What a query gives that sees no key: 0, or NaN with this set.
    int32_t hidden_is_nan;
    // Floats to add, or bytes of which 0 gives a key the score `mask_value`. Steps in elements; 0 repeats. `mask_key` is 0 or 1.
    int32_t mask;
    float mask_value;
    int64_t mask_batch, mask_head, mask_query, mask_key;
} tkernel_attention;

// Floats of the scratch memory of each thread.
int64_t tkernel_attention_scratch(const tkernel_attention *attention);

// Computes the share of thread `thread` of `threads`. `lengths` has the number of keys per sample, or is NULL for all; what lies behind
// is not read. Returns 0, or 1 as soon as `cancel` points to something else than 0.
int tkernel_attention_run(
    const tkernel_attention *attention, int64_t threads, int64_t thread, const float *query, const float *key,
    const float *value, const void *_Nullable mask, const int64_t *_Nullable lengths, float *result, float *scratch,
    const volatile int32_t *_Nullable cancel);
// Ensembles of decision trees. A node sends a number up to its threshold to `left`, others, NaN among them, `step` nodes
// further; with `nan_left` NaN goes left. A leaf's left is itself, and its step is 0.
typedef struct tkernel_tree_node_f32 {
    float threshold;
    int32_t feature, left, step;
} tkernel_tree_node_f32;

typedef struct tkernel_tree_node_f64 {
    double threshold;
    int32_t feature, left, step, unused;
} tkernel_tree_node_f64;

enum { TKERNEL_TREES_SUM, TKERNEL_TREES_MIN, TKERNEL_TREES_MAX };

typedef struct tkernel_forest {
    int32_t is_double, aggregate, trees, target_count;
    int64_t features;
    // tkernel_tree_node_f32 or _f64.
    const void *nodes;
    const uint8_t *nan_left;
    // Of each tree its root and how many steps its deepest leaf is away.
    const int32_t *roots, *depths;
    // One weight per node for sums of one target; NULL where leaves have lists: those of node i from offsets[i] on.
    const double *_Nullable values;
    const int32_t *_Nullable offsets, *_Nullable targets;
    const double *_Nullable weights;
} tkernel_forest;

// Adds to sums[(row - begin) · target_count + target], or takes the least or largest, what all trees give for rows of `source`.
void tkernel_forest_run_rows(
    const tkernel_forest *forest, int64_t begin, int64_t end, const void *source, double *sums);

// The same with some trees and one row.
void tkernel_forest_run_trees(
    const tkernel_forest *forest, int32_t begin, int32_t end, const void *row, double *sums);

// Element types of integers.
typedef enum tkernel_kind {
    TKERNEL_U8,
    TKERNEL_S8,
    TKERNEL_U16,
    TKERNEL_S16,
    TKERNEL_U32,
    TKERNEL_S32,
    TKERNEL_U64,
    TKERNEL_S64
} tkernel_kind;

// target[i] = saturate(round(source[i] / scale) + zero), halves to even, NaN as zero; u8, s8, u16 and s16. With a `step` of 1 scale
// and zero have one value per element, with 0 one for all.
void tkernel_quantize(
    int32_t kind, int64_t count, const float *source, const float *scale, const int32_t *zero, int64_t step,
    void *target);

// target[i] = (source[i] - zero) · scale; also from s32.
void tkernel_dequantize(
    int32_t kind, int64_t count, const void *source, const float *scale, const int32_t *zero, int64_t step,
    float *target);

// Widens `low` to `high` to what the numbers need; NaN needs nothing.
void tkernel_range(int64_t count, const float *source, float *low, float *high);

// A positive scale and the zero point of u8 for a range that holds 0.
void tkernel_dynamic_parameters(float low, float high, float *scale, int32_t *zero);

// Towards zero, the bounds for what is beyond them, zero for NaN; and back to the nearest number.
void tkernel_float_to_integer(int32_t kind, int64_t count, const float *source, void *target);
void tkernel_double_to_integer(int32_t kind, int64_t count, const double *source, void *target);
void tkernel_integer_to_float(int32_t kind, int64_t count, const void *source, float *target);
void tkernel_integer_to_double(int32_t kind, int64_t count, const void *source, double *target);

// A product of rows of u8 or s8 with weights of s8 that are packed once. A row is `taps` pieces of `inputs` bytes each, which lie
// anywhere; so a convolution is one, too. Sums are exact on every machine.
typedef struct tkernel_integer {
    int64_t inputs, taps, outputs;
} tkernel_integer;

// Rows that are worked on together.
enum { TKERNEL_INTEGER_ROWS = 56, TKERNEL_INTEGER_COLUMNS = 32 };

// Blocks of 32 outputs; bytes of the packed weights, 0 when sizes overflow.
int64_t tkernel_integer_blocks(const tkernel_integer *product);
int64_t tkernel_integer_weights(const tkernel_integer *product);

// Bytes of the scratch memory of each thread.
int64_t tkernel_integer_scratch(const tkernel_integer *product);

// Packs weights that lie with the given strides, u8 less 128 where `is_unsigned`. `sums` gets the sum of each output's packed
// weights, for whole blocks.
void tkernel_integer_pack(
    const tkernel_integer *product, const void *weights, int32_t is_unsigned, int64_t output_stride, int64_t input_stride,
    int64_t tap_stride, int8_t *into, int32_t *sums);

// What becomes of a sum: r = (sum + offset - weight_zero · (sum of the row)) · scale + bias; then, with a residual, r is rounded to
// what `middle` says first, and the residual is added; then r goes between low and high, and is rounded to the nearest integer plus
// `zero`. Arrays have one value per output, for whole blocks.
typedef struct tkernel_epilogue {
    int32_t kind; // TKERNEL_U8 or TKERNEL_S8, TKERNEL_S32 for sums alone, -1 for floats that are not rounded
    int32_t zero;
    float low, high;
    const int32_t *_Nullable offset; // always there
    const int32_t *_Nullable weight_zero;
    const float *_Nullable scale;
    const float *_Nullable bias;
    int32_t residual_kind; // -1 for none
    int32_t residual_zero;
    float residual_scale;
    int32_t has_middle;
    float middle_low, middle_high, middle_scale;
} tkernel_epilogue;

// `count` rows, at most TKERNEL_INTEGER_ROWS; piece t of row r is at rows[t · count + r], and up to three bytes behind its last are
// read. Signed rows count as u8 plus 128: `offset` has to allow for that. Results and residual lie `stride` elements apart.
void tkernel_integer_run(
    const tkernel_integer *product, const tkernel_epilogue *epilogue, int32_t is_signed,
    const uint8_t *const _Nonnull *_Nonnull rows, int64_t count, const int8_t *weights, int64_t begin, int64_t end,
    const void *_Nullable residual, void *target, int64_t stride, void *scratch);

// Whether the machine multiplies bytes fast enough for this to be worth while beside f32.
int tkernel_integer_is_fast(void);

// A convolution of 1 to 3 dimensions on channels that lie inside; missing leading dimensions are 1. Padding has the value `zero`.
typedef struct tkernel_integer_convolution {
    int64_t batch, groups, inputs, outputs; // channels of one group
    int64_t source[3], target[3], kernel[3], stride[3], dilation[3], pad[3];
    int32_t is_signed, zero;
} tkernel_integer_convolution;

tkernel_integer tkernel_integer_of(const tkernel_integer_convolution *convolution);
// Pieces of work, and bytes of scratch memory of each thread. Packed weights and arrays of groups lie behind one another.
int64_t tkernel_integer_convolution_pieces(const tkernel_integer_convolution *convolution);
int64_t tkernel_integer_convolution_scratch(const tkernel_integer_convolution *convolution);
void tkernel_integer_convolution_run(
    const tkernel_integer_convolution *convolution, const tkernel_epilogue *epilogue, int64_t begin, int64_t end,
    const uint8_t *source, const int8_t *weights, const void *_Nullable residual, void *target, uint8_t *scratch);

// The same with one channel per group, of two dimensions, and results of 8 bits without residual. Weights are packed with the
// epilogue's arrays in the order of the kernel; pieces are rows of the result.
int tkernel_integer_depthwise_is_supported(const tkernel_integer_convolution *convolution);
// Bytes of the packed weights, and of the scratch memory of each thread.
int64_t tkernel_integer_depthwise_weights(const tkernel_integer_convolution *convolution);
int64_t tkernel_integer_depthwise_scratch(const tkernel_integer_convolution *convolution);
void tkernel_integer_depthwise_pack(
    const tkernel_integer_convolution *convolution, const void *weights, int32_t is_unsigned, const int32_t *offset,
    const float *scale, void *into);
void tkernel_integer_depthwise_run(
    const tkernel_integer_convolution *convolution, const tkernel_epilogue *epilogue, int64_t begin, int64_t end,
    const uint8_t *source, const void *weights, uint8_t *target, uint8_t *scratch);

// target[i] = table[source[i]].
void tkernel_table(int64_t count, const uint8_t *table, const uint8_t *source, uint8_t *target);

// Two quantised tensors, each (q - zero) · scale, in units of the result, which lies between low and high before `result_zero` is
// added. For a product scale[0] is that of both.
typedef struct tkernel_integer_pair {
    int32_t is_signed[2], zero[2];
    float scale[2], low, high;
    int32_t result_zero;
} tkernel_integer_pair;

void tkernel_integer_sum(
    const tkernel_integer_pair *pair, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *target);
void tkernel_integer_multiply(
    const tkernel_integer_pair *pair, int64_t count, const uint8_t *a, const uint8_t *b, uint8_t *target);

// Pooling with the geometry of a convolution of `groups` channels; for means the first half of a pair says the scale. Pieces are
// pixels of the result.
int64_t tkernel_integer_pool_scratch(const tkernel_integer_convolution *geometry);
void tkernel_integer_pool_run(
    const tkernel_integer_convolution *geometry, const tkernel_integer_pair *pair, int32_t is_max, int32_t counts_padding,
    int64_t begin, int64_t end, const uint8_t *source, uint8_t *target, uint8_t *scratch);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
