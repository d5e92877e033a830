// SPDX-License-Identifier: Apache-2.0
//
// The oneDNN shim against naive loops: convolutions with post-op chains in every implementation, matrix products,
// pooling, layouts, implementation choice, and what it refuses.
//
// `scripts/test.sh PREFIX cdnnl` builds and runs it; TENON_DNNL_ROOT names another oneDNN.
#include <stddef.h>
#include <stdint.h>
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int run_family_tests(void);

// MARK: - Library and layouts

static void test_library(void **state) {
    (void)state;
    assert_int_equal(tdnnl_version() / 10000, tdnnl_compiled_major());
    assert_string_equal(tdnnl_status_name(TDNNL_UNIMPLEMENTED), "unimplemented");
    assert_string_equal(tdnnl_status_name(12345), "unknown_status");
    OK(tdnnl_set_threads(2));
    assert_int_equal(tdnnl_get_threads(), 2);
    assert_int_equal(tdnnl_set_threads(0), TDNNL_INVALID_ARGUMENTS);
}

static void expect_text(tdnnl_md *md, int32_t letters, const char *text) {
    char buffer[40];
    assert_int_equal(tdnnl_md_layout_text(md, letters, buffer, sizeof buffer), strlen(text));
    assert_string_equal(buffer, text);
    assert_int_equal(tdnnl_md_layout_text(md, letters, NULL, 0), strlen(text));
    tdnnl_md_destroy(md);
}

static void test_layout_text(void **state) {
    (void)state;
    tensor x = {.ndims = 4, .dims = {2, 32, 5, 7}};
    expect_text(plain(&x), TDNNL_LETTERS_DATA, "nchw");
    expect_text(tagged(&x, TDNNL_TAG_nhwc), TDNNL_LETTERS_DATA, "nhwc");
    expect_text(tagged(&x, TDNNL_TAG_nChw16c), TDNNL_LETTERS_DATA, "nChw16c");
    expect_text(tagged(&x, TDNNL_TAG_nChw16c), TDNNL_LETTERS_PLAIN, "aBcd16b");
    expect_text(tagged(&x, TDNNL_TAG_OIhw16i16o), TDNNL_LETTERS_WEIGHTS, "OIhw16i16o");
    expect_text(any(&x), TDNNL_LETTERS_DATA, "any");
    tensor one = {.ndims = 4, .dims = {1, 64, 1, 1}};
    expect_text(plain(&one), TDNNL_LETTERS_DATA, "nchw");
    char small[4];
    tdnnl_md *md = plain(&x);
    assert_int_equal(tdnnl_md_layout_text(md, TDNNL_LETTERS_DATA, small, sizeof small), 4);
    assert_string_equal(small, "nch");
    tdnnl_md_destroy(md);
}

static void test_layout_queries(void **state) {
    (void)state;
    tensor x = {.ndims = 4, .dims = {2, 30, 5, 7}};
    tdnnl_md *blocked = tagged(&x, TDNNL_TAG_nChw16c), *row = plain(&x), *clone;
    int64_t list[12], axes[12];
    assert_int_equal(tdnnl_md_ndims(blocked), 4);
    assert_int_equal(tdnnl_md_dtype(blocked), TDNNL_F32);
    assert_int_equal(tdnnl_md_format_kind(blocked), TDNNL_FORMAT_BLOCKED);
    assert_int_equal(tdnnl_md_size(blocked), 2 * 32 * 5 * 7 * 4);
    assert_int_equal(tdnnl_md_padded_dims(blocked, list, 12), 4);
    assert_int_equal(list[1], 32);
    assert_int_equal(tdnnl_md_inner_blocks(blocked, list, axes, 12), 1);
    assert_int_equal(list[0], 16);
    assert_int_equal(axes[0], 1);
    assert_int_equal(tdnnl_md_strides(row, list, 12), 4);
    assert_int_equal(list[1], 35);
    assert_false(tdnnl_md_is_plain(blocked));
    assert_true(tdnnl_md_is_row_major(row));
    OK(tdnnl_md_clone(&clone, blocked));
    assert_true(tdnnl_md_equal(blocked, clone));
    assert_int_equal(tdnnl_md_hash(blocked), tdnnl_md_hash(clone));
    assert_false(tdnnl_md_equal(blocked, row));
    assert_true(tdnnl_md_hash(blocked) != tdnnl_md_hash(row));

    tdnnl_md *other;
    OK(tdnnl_md_with_layout_of(&other, blocked, 4, DIMS(1, 16, 2, 2), TDNNL_F32));
    expect_text(other, TDNNL_LETTERS_DATA, "nChw16c");
    tdnnl_md *last = tagged(&x, TDNNL_TAG_nhwc);
    OK(tdnnl_md_with_layout_of(&other, last, 4, DIMS(1, 16, 2, 3), TDNNL_F32));
    expect_text(other, TDNNL_LETTERS_DATA, "nhwc");
    tdnnl_md_destroy(last);

    OK(tdnnl_md_submemory(&other, row, DIMS(2, 10, 5, 7), DIMS(0, 20, 0, 0)));
    assert_int_equal(tdnnl_md_offset(other), 20 * 35);
    assert_false(tdnnl_md_is_row_major(other));
    tdnnl_md_destroy(other);
    assert_int_equal(tdnnl_md_submemory(&other, row, DIMS(2, 10, 5, 7), DIMS(0, 21, 0, 0)), TDNNL_INVALID_ARGUMENTS);
    assert_null(other);
    OK(tdnnl_md_reshape(&other, row, 2, DIMS(2, 1050)));
    assert_int_equal(tdnnl_md_ndims(other), 2);
    tdnnl_md_destroy(other);
    OK(tdnnl_md_permute(&other, row, (int32_t[]){0, 3, 1, 2}));
    assert_int_equal(tdnnl_md_dims(other, list, 12), 4);
    assert_int_equal(list[3], 30);
    assert_int_equal(tdnnl_md_permute(&last, row, (int32_t[]){0, 3, 3, 2}), TDNNL_INVALID_ARGUMENTS);
    tdnnl_md_destroy(other);
    tdnnl_md_destroy(clone);
    tdnnl_md_destroy(row);
    tdnnl_md_destroy(blocked);
}

static void test_refusals(void **state) {
    (void)state;
    tdnnl_md *md = (tdnnl_md *)&state;
    assert_int_equal(tdnnl_md_create_any(&md, 0, DIMS(1), TDNNL_F32), TDNNL_INVALID_ARGUMENTS);
    assert_null(md);
    assert_int_equal(tdnnl_md_create_any(&md, 13, DIMS(1), TDNNL_F32), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(tdnnl_md_create_any(&md, 2, DIMS(1, -1), TDNNL_F32), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(tdnnl_md_create_any(&md, 2, DIMS(1, INT64_MIN), TDNNL_F32), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(
        tdnnl_md_create_any(&md, 3, DIMS(INT32_MAX, INT32_MAX, INT32_MAX), TDNNL_F32), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(tdnnl_md_create_any(&md, 1, DIMS(4), 99), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(tdnnl_md_create_with_tag(&md, 1, DIMS(4), TDNNL_F32, 10000), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(tdnnl_md_create_with_tag(&md, 2, DIMS(4, 4), TDNNL_F32, TDNNL_TAG_nhwc), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(
        tdnnl_md_create_with_strides(&md, 2, DIMS(4, 4), TDNNL_F32, DIMS(-4, 1)), TDNNL_INVALID_ARGUMENTS);
    tensor x = {.ndims = 4, .dims = {1, 3, 8, 8}};
    tdnnl_md *src = plain(&x);
    tdnnl_pd *pd = (tdnnl_pd *)&state;
    assert_int_equal(
        tdnnl_convolution_create(
            &pd, engine, TDNNL_CONVOLUTION_DIRECT, src, NULL, NULL, src, DIMS(1, 1), NULL, DIMS(0, 0), DIMS(0, 0),
            NULL),
        TDNNL_INVALID_ARGUMENTS);
    assert_null(pd);
    assert_int_equal(
        tdnnl_convolution_create(
            &pd, engine, TDNNL_CONVOLUTION_DIRECT, src, src, NULL, src, DIMS(0, 1), NULL, DIMS(0, 0), DIMS(0, 0),
            NULL),
        TDNNL_INVALID_ARGUMENTS);
    tdnnl_post_op many[33] = {{0}};
    tdnnl_attributes attributes = {.post_ops = many, .post_op_count = 33};
    assert_int_equal(
        tdnnl_eltwise_create(&pd, engine, TDNNL_ELTWISE_RELU, src, src, 0, 0, &attributes), TDNNL_INVALID_ARGUMENTS);
    assert_int_equal(tdnnl_execute(NULL, stream, NULL), TDNNL_INVALID_ARGUMENTS);
    tdnnl_md_destroy(src);
    tdnnl_md_destroy(NULL);
    tdnnl_pd_destroy(NULL);
    tdnnl_primitive_destroy(NULL);
    tdnnl_memory_destroy(NULL);
    tdnnl_arguments_destroy(NULL);
}

// MARK: - Convolution

typedef struct convolution_case {
    int64_t n, c, h, w, o, kh, kw;
    geometry g;
} convolution_case;

static const convolution_case convolution_cases[] = {
    {1, 3, 17, 19, 16, 7, 7, {1, {2, 2}, {1, 1}, {3, 3}, {3, 3}}},
    {2, 16, 12, 12, 32, 3, 3, {1, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
    {1, 32, 9, 11, 48, 1, 1, {1, {1, 1}, {1, 1}, {0, 0}, {0, 0}}},
    {1, 32, 13, 13, 32, 3, 3, {32, {2, 2}, {1, 1}, {0, 1}, {1, 0}}},
    {1, 20, 10, 9, 12, 3, 2, {4, {1, 2}, {2, 1}, {2, 0}, {1, 1}}},
    {1, 5, 1, 6, 7, 1, 3, {1, {1, 1}, {1, 1}, {0, 1}, {0, 1}}},
};

// Post-op chains, by the name of what they do.
enum { PLAIN, RELU, SUM_RELU, SWISH_ADD, SCALE_CLIP_CHANNEL, CHAINS };

static void apply_chain(int chain, tensor *y, const tensor *residual, const tensor *channel) {
    int64_t area = y->dims[2] * y->dims[3];
    for (int64_t i = 0, n = count(y); i < n; i++) {
        float v = y->data[i], r = residual->data[i];
        if (chain == RELU) v = v > 0 ? v : 0;
        if (chain == SUM_RELU) v = v + r > 0 ? v + r : 0;
        if (chain == SWISH_ADD) v = v / (1 + expf(-v)) + r;
        if (chain == SCALE_CLIP_CHANNEL) v = 0.5f * fminf(0.75f, fmaxf(-0.25f, v)) * channel->data[i / area % y->dims[1]];
        y->data[i] = v;
    }
}

static int chain_ops(int chain, tdnnl_post_op *ops, const tdnnl_md *residual, const tdnnl_md *channel) {
    memset(ops, 0, 2 * sizeof *ops);
    ops[0].kind = ops[1].kind = TDNNL_POST_OP_ELTWISE;
    ops[0].algorithm = ops[1].algorithm = TDNNL_ELTWISE_RELU;
    switch (chain) {
    case RELU: return 1;
    case SUM_RELU: ops[0].kind = TDNNL_POST_OP_SUM; return 2;
    case SWISH_ADD:
        ops[0].algorithm = TDNNL_ELTWISE_SWISH;
        ops[0].alpha = 1;
        ops[1] = (tdnnl_post_op){.kind = TDNNL_POST_OP_BINARY, .algorithm = TDNNL_BINARY_ADD, .src1 = residual};
        return 2;
    case SCALE_CLIP_CHANNEL:
        ops[0] = (tdnnl_post_op){
            .kind = TDNNL_POST_OP_ELTWISE, .algorithm = TDNNL_ELTWISE_CLIP, .alpha = -0.25f, .beta = 0.75f,
            .scale = 0.5f};
        ops[1] = (tdnnl_post_op){.kind = TDNNL_POST_OP_BINARY, .algorithm = TDNNL_BINARY_MUL, .src1 = channel};
        return 2;
    default: return 0;
    }
}

// Runs a case in the given implementations, all of them when `only` is NULL; returns how many ran.
static int check_convolution(const convolution_case *c, int chain, int32_t algorithm, int32_t tag, const char *only) {
    const geometry *g = &c->g;
    int64_t oh = output_size(c->h, c->kh, g, 0), ow = output_size(c->w, c->kw, g, 1);
    tensor x = random_tensor(4, DIMS(c->n, c->c, c->h, c->w), 1), bias = random_tensor(1, DIMS(c->o), 3);
    tensor w = g->groups == 1
                   ? random_tensor(4, DIMS(c->o, c->c, c->kh, c->kw), 2)
                   : random_tensor(5, DIMS(g->groups, c->o / g->groups, c->c / g->groups, c->kh, c->kw), 2);
    tensor residual = random_tensor(4, DIMS(c->n, c->o, oh, ow), 4), channel = random_tensor(4, DIMS(1, c->o, 1, 1), 5);
    tensor expected = make(4, residual.dims), y = make(4, residual.dims);
    naive_convolution(&x, &w, &bias, &expected, g);
    apply_chain(chain, &expected, &residual, &channel);

    tdnnl_md *x_md = tagged(&x, tag), *w_md = any(&w), *b_md = any(&bias), *y_md = tagged(&y, tag);
    // The residual has the layout that the destination will have.
    tdnnl_md *r_md = tag == TDNNL_TAG_any ? plain(&residual) : tagged(&residual, tag), *c_md = plain(&channel);
    tdnnl_post_op ops[2];
    tdnnl_attributes attributes = {.post_ops = ops, .post_op_count = chain_ops(chain, ops, r_md, c_md)};
    tdnnl_pd *pd;
    int status = tdnnl_convolution_create(
        &pd, engine, algorithm, x_md, w_md, b_md, y_md, g->strides, g->dilations, g->begin, g->end, &attributes);
    int ran = 0;
    while (status == TDNNL_OK) {
        const char *name = tdnnl_pd_implementation(pd);
        assert_true(strlen(name) > 0);
        if (!only || strstr(name, only)) {
            operand operands[6] = {
                {TDNNL_ARG_SRC, &x, queried(pd, TDNNL_QUERY_SRC, 0), 0},
                {TDNNL_ARG_WEIGHTS, &w, queried(pd, TDNNL_QUERY_WEIGHTS, 0), 0},
                {TDNNL_ARG_BIAS, &bias, queried(pd, TDNNL_QUERY_WEIGHTS, 1), 0},
                {TDNNL_ARG_DST, &y, queried(pd, TDNNL_QUERY_DST, 0), 1}};
            int total = 4;
            if (chain == SUM_RELU) {
                memcpy(y.data, residual.data, (size_t)count(&y) * sizeof(float));
                operands[3].output = 2;
            }
            if (chain == SWISH_ADD || chain == SCALE_CLIP_CHANNEL) {
                tdnnl_md *md;
                OK(tdnnl_md_clone(&md, chain == SWISH_ADD ? r_md : c_md));
                operands[total++] = (operand){
                    tdnnl_pd_post_op_argument(pd, 1, TDNNL_ARG_SRC_1), chain == SWISH_ADD ? &residual : &channel, md, 0};
            }
            tdnnl_pd *copy;
            OK(tdnnl_pd_clone(&copy, pd));
            assert_string_equal(tdnnl_pd_implementation(copy), name);
            assert_int_equal(tdnnl_pd_next(copy), TDNNL_LAST_IMPL);
            run(copy, operands, total);
            tdnnl_pd_destroy(copy);
            assert_close(&y, &expected, strstr(name, "wino") ? 1e-4f : 1e-5f);
            ran++;
        }
        status = tdnnl_pd_next(pd);
        if (status != TDNNL_OK) assert_int_equal(status, TDNNL_LAST_IMPL);
    }
    tdnnl_pd_destroy(pd);
    tdnnl_md *mds[] = {x_md, w_md, b_md, y_md, r_md, c_md};
    for (int i = 0; i < 6; i++) tdnnl_md_destroy(mds[i]);
    tensor *tensors[] = {&x, &w, &bias, &residual, &channel, &expected, &y};
    for (int i = 0; i < 7; i++) drop(tensors[i]);
    return ran;
}

static void test_convolution_every_implementation(void **state) {
    (void)state;
    int cases = sizeof convolution_cases / sizeof convolution_cases[0];
    for (int i = 0; i < cases; i++)
        for (int chain = 0; chain < CHAINS; chain++) {
            assert_true(check_convolution(&convolution_cases[i], chain, TDNNL_CONVOLUTION_DIRECT, TDNNL_TAG_nchw, NULL) >= 1);
            assert_true(check_convolution(&convolution_cases[i], chain, TDNNL_CONVOLUTION_DIRECT, TDNNL_TAG_nhwc, NULL) >= 1);
            if (convolution_cases[i].c % 16 == 0 && convolution_cases[i].o % 16 == 0)
                assert_true(check_convolution(&convolution_cases[i], chain, TDNNL_CONVOLUTION_DIRECT, TDNNL_TAG_nChw16c, NULL) >= 1);
        }
}

static void test_convolution_any(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++)
        for (int chain = PLAIN; chain <= RELU; chain++)
            assert_true(check_convolution(&convolution_cases[i], chain, TDNNL_CONVOLUTION_AUTO, TDNNL_TAG_any, NULL) >= 1);
}

static void test_convolution_winograd(void **state) {
    (void)state;
    // Absent on machines without AVX-512; where it exists it must be right.
    convolution_case c = {1, 64, 14, 14, 64, 3, 3, {1, {1, 1}, {1, 1}, {1, 1}, {1, 1}}};
    for (int chain = 0; chain <= SUM_RELU; chain++)
        check_convolution(&c, chain, TDNNL_CONVOLUTION_WINOGRAD, TDNNL_TAG_nChw16c, "wino");
}

// Weights packed here and by oneDNN's reorder are the same, in every layout that its kernels choose over these shapes.
// Sizes at which oneDNN divides by zero, loops over every position, or makes code that grows with the padding.
static void test_sizes_that_only_an_attacker_writes(void **state) {
    (void)state;
    static const struct {
        int64_t width, kernel, dilation, begin, stride;
    } cases[] = {
        {1 << 30, 3, 1, 1, 1}, {8, 3, 1, 1 << 20, 1}, {8, 3, 1 << 28, 1, 1}, {1 << 26, 3, 1, 0, 1 << 20}, {8, 1 << 20, 1, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tdnnl_md *src = NULL, *weights = NULL, *dst = NULL;
        tdnnl_pd *pd = NULL;
        assert_int_equal(tdnnl_md_create_any(&src, 4, DIMS(1, 1, 1, cases[i].width), TDNNL_F32), TDNNL_OK);
        assert_int_equal(tdnnl_md_create_any(&weights, 4, DIMS(1, 1, 1, cases[i].kernel), TDNNL_F32), TDNNL_OK);
        assert_int_equal(tdnnl_md_create_any(&dst, 4, DIMS(1, 1, 1, 8), TDNNL_F32), TDNNL_OK);
        assert_int_equal(
            tdnnl_convolution_create(
                &pd, engine, TDNNL_CONVOLUTION_DIRECT, src, weights, NULL, dst, DIMS(1, cases[i].stride),
                DIMS(1, cases[i].dilation), DIMS(0, cases[i].begin), DIMS(0, 0), NULL),
            TDNNL_UNIMPLEMENTED);
        assert_null(pd);
        assert_int_equal(
            tdnnl_pooling_create(
                &pd, engine, TDNNL_POOLING_MAX, src, dst, DIMS(1, cases[i].stride), DIMS(1, cases[i].kernel),
                DIMS(1, cases[i].dilation), DIMS(0, cases[i].begin), DIMS(0, 0), NULL),
            TDNNL_UNIMPLEMENTED);
        tdnnl_md_destroy(src);
        tdnnl_md_destroy(weights);
        tdnnl_md_destroy(dst);
    }
    tdnnl_md *md = NULL;
    assert_int_equal(tdnnl_md_create_any(&md, 2, DIMS(1 << 20, 1 << 20), TDNNL_F32), TDNNL_UNIMPLEMENTED);
}

static void test_winograd_weights(void **state) {
    (void)state;
    const int64_t shapes[][3] = {{64, 64, 56}, {128, 64, 28}, {512, 512, 7}, {256, 256, 14}, {48, 16, 28}, {32, 128, 14},
                                 {224, 112, 14}, {64, 192, 56}, {20, 16, 13}, {64, 24, 30}, {320, 160, 14}};
    const geometry g = {1, {1, 1}, {1, 1}, {1, 1}, {1, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t o = shapes[i][0], c = shapes[i][1], size = shapes[i][2];
        tensor x = make(4, DIMS(1, c, size, size)), y = make(4, DIMS(1, o, size, size));
        tensor w = random_tensor(4, DIMS(o, c, 3, 3), 7);
        tdnnl_md *mds[] = {tagged(&x, TDNNL_TAG_nChw16c), any(&w), tagged(&y, TDNNL_TAG_nChw16c), plain(&w)};
        assert_int_equal(tdnnl_winograd_pieces(mds[3]), 0);
        tdnnl_pd *pd = NULL;
        int status = tdnnl_convolution_create(
            &pd, engine, TDNNL_CONVOLUTION_WINOGRAD, mds[0], mds[1], NULL, mds[2], g.strides, g.dilations, g.begin, g.end, NULL);
        for (; status == TDNNL_OK; status = tdnnl_pd_next(pd)) {
            tdnnl_md *packed = queried(pd, TDNNL_QUERY_WEIGHTS, 0);
            const int64_t pieces = tdnnl_winograd_pieces(packed);
            if (pieces) {
                const size_t bytes = tdnnl_md_size(packed);
                tensor expected = make(1, DIMS((int64_t)(bytes / sizeof(float)))), got = make(1, expected.dims);
                float *theirs = aligned(bytes), *ours = aligned(bytes);
                memset(ours, 0, bytes);
                memset(theirs, 0, bytes);
                reorder(mds[3], w.data, packed, theirs);
                tdnnl_winograd_pack(packed, w.data, ours, pieces / 3, pieces);
                tdnnl_winograd_pack(packed, w.data, ours, 0, pieces / 3);
                memcpy(expected.data, theirs, bytes);
                memcpy(got.data, ours, bytes);
                assert_close(&got, &expected, 1e-6f);
                free(theirs), free(ours), drop(&expected), drop(&got);
            }
            tdnnl_md_destroy(packed);
        }
        if (pd) tdnnl_pd_destroy(pd);
        tensor *tensors[] = {&x, &y, &w};
        for (int k = 0; k < 3; k++) drop(tensors[k]);
        for (int k = 0; k < 4; k++) tdnnl_md_destroy(mds[k]);
    }
}

// MARK: - Matrix products

static void test_matmul(void **state) {
    (void)state;
    tensor a = random_tensor(3, DIMS(3, 5, 17), 1), b = random_tensor(3, DIMS(1, 17, 9), 2);
    tensor bias = random_tensor(3, DIMS(1, 1, 9), 3), y = make(3, DIMS(3, 5, 9)), expected = make(3, y.dims);
    for (int64_t i = 0; i < 15; i++)
        for (int64_t j = 0; j < 9; j++) {
            double sum = bias.data[j];
            for (int64_t k = 0; k < 17; k++) sum += (double)a.data[i * 17 + k] * b.data[k * 9 + j];
            expected.data[i * 9 + j] = sum > 0 ? (float)sum : 0.1f * (float)sum;
        }
    // The right operand once as it is and once stored transposed.
    for (int transposed = 0; transposed < 2; transposed++) {
        tdnnl_md *a_md = plain(&a), *b_md = transposed ? tagged(&b, TDNNL_TAG_acb) : plain(&b), *bias_md = plain(&bias),
                 *y_md = plain(&y);
        tdnnl_post_op relu = {.kind = TDNNL_POST_OP_ELTWISE, .algorithm = TDNNL_ELTWISE_RELU, .alpha = 0.1f};
        tdnnl_attributes attributes = {.post_ops = &relu, .post_op_count = 1};
        tdnnl_pd *pd;
        OK(tdnnl_matmul_create(&pd, engine, a_md, b_md, bias_md, y_md, &attributes));
        do {
            tdnnl_md *stored;
            OK(tdnnl_md_clone(&stored, b_md));
            operand operands[] = {
                {TDNNL_ARG_SRC, &a, NULL, 0}, {TDNNL_ARG_WEIGHTS, &b, stored, 0}, {TDNNL_ARG_BIAS, &bias, NULL, 0},
                {TDNNL_ARG_DST, &y, NULL, 1}};
            run(pd, operands, 4);
            assert_close(&y, &expected, 1e-5f);
        } while (tdnnl_pd_next(pd) == TDNNL_OK);
        tdnnl_pd_destroy(pd);
        tdnnl_md_destroy(a_md);
        tdnnl_md_destroy(b_md);
        tdnnl_md_destroy(bias_md);
        tdnnl_md_destroy(y_md);
    }
    drop(&a), drop(&b), drop(&bias), drop(&y), drop(&expected);
}

static void test_inner_product(void **state) {
    (void)state;
    tensor x = random_tensor(2, DIMS(3, 50), 1), w = random_tensor(2, DIMS(21, 50), 2);
    tensor bias = random_tensor(1, DIMS(21), 3), y = make(2, DIMS(3, 21)), expected = make(2, y.dims);
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 21; j++) {
            double sum = bias.data[j];
            for (int64_t k = 0; k < 50; k++) sum += (double)x.data[i * 50 + k] * w.data[j * 50 + k];
            expected.data[i * 21 + j] = tanhf((float)sum);
        }
    tdnnl_md *x_md = any(&x), *w_md = any(&w), *b_md = any(&bias), *y_md = any(&y);
    tdnnl_post_op op = {.kind = TDNNL_POST_OP_ELTWISE, .algorithm = TDNNL_ELTWISE_TANH};
    tdnnl_attributes attributes = {.post_ops = &op, .post_op_count = 1};
    tdnnl_pd *pd;
    OK(tdnnl_inner_product_create(&pd, engine, x_md, w_md, b_md, y_md, &attributes));
    do {
        operand operands[] = {
            {TDNNL_ARG_SRC, &x, queried(pd, TDNNL_QUERY_SRC, 0), 0},
            {TDNNL_ARG_WEIGHTS, &w, queried(pd, TDNNL_QUERY_WEIGHTS, 0), 0},
            {TDNNL_ARG_BIAS, &bias, queried(pd, TDNNL_QUERY_WEIGHTS, 1), 0},
            {TDNNL_ARG_DST, &y, queried(pd, TDNNL_QUERY_DST, 0), 1}};
        run(pd, operands, 4);
        assert_close(&y, &expected, 1e-4f);
    } while (tdnnl_pd_next(pd) == TDNNL_OK);
    tdnnl_pd_destroy(pd);
    tdnnl_md *mds[] = {x_md, w_md, b_md, y_md};
    for (int i = 0; i < 4; i++) tdnnl_md_destroy(mds[i]);
    drop(&x), drop(&w), drop(&bias), drop(&y), drop(&expected);
}

// MARK: - Changing the address of a prebuilt run

static void test_handles_between_runs(void **state) {
    (void)state;
    tensor x = random_tensor(2, DIMS(4, 9), 1), z = random_tensor(2, DIMS(4, 9), 2), y = make(2, DIMS(4, 9));
    tdnnl_md *md = plain(&x);
    tdnnl_pd *pd;
    OK(tdnnl_eltwise_create(&pd, engine, TDNNL_ELTWISE_ABS, md, md, 0, 0, NULL));
    tdnnl_primitive *primitive;
    OK(tdnnl_primitive_create(&primitive, pd));
    tdnnl_memory *memories[2];
    OK(tdnnl_memory_create(&memories[0], md, engine, NULL));
    OK(tdnnl_memory_create(&memories[1], md, engine, y.data));
    tdnnl_arguments *list;
    OK(tdnnl_arguments_create(&list, (int32_t[]){TDNNL_ARG_SRC, TDNNL_ARG_DST}, memories, 2));
    tensor *inputs[] = {&x, &z};
    for (int i = 0; i < 2; i++) {
        OK(tdnnl_memory_set_handle(memories[0], inputs[i]->data));
        assert_ptr_equal(tdnnl_memory_handle(memories[0]), inputs[i]->data);
        OK(tdnnl_execute(primitive, stream, list));
        for (int k = 0; k < 36; k++) assert_true(y.data[k] == fabsf(inputs[i]->data[k]));
    }
    tdnnl_arguments_destroy(list);
    tdnnl_memory_destroy(memories[0]);
    tdnnl_memory_destroy(memories[1]);
    tdnnl_primitive_destroy(primitive);
    tdnnl_pd_destroy(pd);
    tdnnl_md_destroy(md);
    drop(&x), drop(&z), drop(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library),
        cmocka_unit_test(test_layout_text),
        cmocka_unit_test(test_layout_queries),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sizes_that_only_an_attacker_writes),
        cmocka_unit_test(test_convolution_every_implementation),
        cmocka_unit_test(test_convolution_any),
        cmocka_unit_test(test_convolution_winograd),
        cmocka_unit_test(test_winograd_weights),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_inner_product),
        cmocka_unit_test(test_handles_between_runs),
    };
    int failed = cmocka_run_group_tests_name("shim", tests, open_engine, close_engine);
    return failed + run_family_tests() == 0 ? 0 : 1;
}
