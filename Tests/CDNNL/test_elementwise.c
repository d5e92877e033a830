// SPDX-License-Identifier: Apache-2.0
//
// Element-wise functions alone and as post-ops, binary operations, PReLU and shuffle.
#include <stddef.h>
#include <stdint.h>
#include "support.h"

#include <math.h>
#include <string.h>

static double softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

static double eltwise(int kind, double x, double a, double b) {
    switch (kind) {
    case TDNNL_ELTWISE_RELU: return x > 0 ? x : a * x;
    case TDNNL_ELTWISE_TANH: return tanh(x);
    case TDNNL_ELTWISE_ELU: return x > 0 ? x : a * (exp(x) - 1);
    case TDNNL_ELTWISE_SQUARE: return x * x;
    case TDNNL_ELTWISE_ABS: return fabs(x);
    case TDNNL_ELTWISE_SQRT: return sqrt(x);
    case TDNNL_ELTWISE_LINEAR: return a * x + b;
    case TDNNL_ELTWISE_SOFT_RELU: return softplus(a * x) / a;
    case TDNNL_ELTWISE_HARDSIGMOID: return fmax(0, fmin(1, a * x + b));
    case TDNNL_ELTWISE_LOGISTIC: return 1 / (1 + exp(-x));
    case TDNNL_ELTWISE_EXP: return exp(x);
    case TDNNL_ELTWISE_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case TDNNL_ELTWISE_GELU_ERF: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case TDNNL_ELTWISE_SWISH: return x / (1 + exp(-a * x));
    case TDNNL_ELTWISE_LOG: return log(x);
    case TDNNL_ELTWISE_CLIP: return fmin(b, fmax(a, x));
    case TDNNL_ELTWISE_POW: return a * pow(x, b);
    case TDNNL_ELTWISE_ROUND: return nearbyint(x);
    case TDNNL_ELTWISE_LOGSIGMOID: return -softplus(-x);
    case TDNNL_ELTWISE_MISH: return x * tanh(softplus(x));
    case TDNNL_ELTWISE_HARDSWISH: return x * fmax(0, fmin(1, a * x + b));
    default: return NAN;
    }
}

static void test_eltwise(void **state) {
    (void)state;
    static const struct {
        int kind;
        float a, b;
        int positive;
    } cases[] = {
        {TDNNL_ELTWISE_RELU, 0, 0, 0},       {TDNNL_ELTWISE_RELU, 0.2f, 0, 0},  {TDNNL_ELTWISE_TANH, 0, 0, 0},
        {TDNNL_ELTWISE_ELU, 0.7f, 0, 0},     {TDNNL_ELTWISE_SQUARE, 0, 0, 0},   {TDNNL_ELTWISE_ABS, 0, 0, 0},
        {TDNNL_ELTWISE_SQRT, 0, 0, 1},       {TDNNL_ELTWISE_LINEAR, 2, -1, 0},  {TDNNL_ELTWISE_SOFT_RELU, 1, 0, 0},
        {TDNNL_ELTWISE_SOFT_RELU, -1, 0, 0}, {TDNNL_ELTWISE_SOFT_RELU, 2, 0, 0}, {TDNNL_ELTWISE_LOGISTIC, 0, 0, 0},
        {TDNNL_ELTWISE_HARDSIGMOID, 0.2f, 0.5f, 0}, {TDNNL_ELTWISE_EXP, 0, 0, 0}, {TDNNL_ELTWISE_GELU_TANH, 0, 0, 0},
        {TDNNL_ELTWISE_GELU_ERF, 0, 0, 0},   {TDNNL_ELTWISE_SWISH, 1.5f, 0, 0}, {TDNNL_ELTWISE_LOG, 0, 0, 1},
        {TDNNL_ELTWISE_CLIP, -0.5f, 2, 0},   {TDNNL_ELTWISE_POW, 2, 1.5f, 1},   {TDNNL_ELTWISE_ROUND, 0, 0, 0},
        {TDNNL_ELTWISE_LOGSIGMOID, 0, 0, 0}, {TDNNL_ELTWISE_MISH, 0, 0, 0},
        {TDNNL_ELTWISE_HARDSWISH, 1.0f / 6, 0.5f, 0}, {TDNNL_ELTWISE_HARDSWISH, 0.3f, 0.4f, 0}};
    int refused = 0;
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        int kind = cases[n].kind;
        float a = cases[n].a, b = cases[n].b;
        tensor x = random_tensor(2, DIMS(7, 33), 9), y = make(2, x.dims), expected = make(2, x.dims);
        for (int64_t i = 0; i < count(&x); i++) {
            x.data[i] *= 4;
            if (cases[n].positive) x.data[i] = fabsf(x.data[i]) + 0.01f;
            expected.data[i] = (float)eltwise(kind, x.data[i], a, b);
        }
        tdnnl_md *mds[] = {plain(&x)};
        tdnnl_pd *pd;
        int status = tdnnl_eltwise_create(&pd, engine, kind, mds[0], mds[0], a, b, NULL);
        if (status == TDNNL_OK) {
            operand operands[] = {{TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
            run(pd, operands, 2);
            assert_close(&y, &expected, 2e-5f);
        } else {
            // Only what the older generation cannot say in one primitive.
            assert_int_equal(status, TDNNL_UNIMPLEMENTED);
            assert_int_equal(tdnnl_compiled_major(), 2);
            assert_true(
                kind == TDNNL_ELTWISE_HARDSIGMOID || (kind == TDNNL_ELTWISE_HARDSWISH && a > 0.2f)
                || (kind == TDNNL_ELTWISE_SOFT_RELU && a == 2));
            refused++;
        }
        end(pd, mds, 1, (tensor *[]){&x, &y, &expected}, 3);

        // The same function behind a matrix product, scaled, and followed by another post-op.
        tensor e = random_tensor(2, DIMS(33, 33), 1), other = random_tensor(2, DIMS(1, 33), 2);
        memset(e.data, 0, (size_t)count(&e) * sizeof(float));
        for (int i = 0; i < 33; i++) e.data[i * 34] = 1;
        x = random_tensor(2, DIMS(7, 33), 9), y = make(2, x.dims), expected = make(2, x.dims);
        for (int64_t i = 0; i < count(&x); i++) {
            x.data[i] = cases[n].positive ? fabsf(x.data[i]) + 0.01f : 4 * x.data[i];
            expected.data[i] = 0.5f * (float)eltwise(kind, x.data[i], a, b) + other.data[i % 33];
        }
        tdnnl_md *all[] = {plain(&x), plain(&e), plain(&y), plain(&other)};
        tdnnl_post_op ops[2] = {
            {.kind = TDNNL_POST_OP_ELTWISE, .algorithm = kind, .alpha = a, .beta = b, .scale = 0.5f},
            {.kind = TDNNL_POST_OP_BINARY, .algorithm = TDNNL_BINARY_ADD, .src1 = all[3]}};
        tdnnl_attributes attributes = {.post_ops = ops, .post_op_count = 2};
        status = tdnnl_matmul_create(&pd, engine, all[0], all[1], NULL, all[2], &attributes);
        if (status == TDNNL_OK) {
            operand operands[] = {
                {TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_WEIGHTS, &e, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1},
                {tdnnl_pd_post_op_argument(pd, 1, TDNNL_ARG_SRC_1), &other, NULL, 0}};
            run(pd, operands, 4);
            assert_close(&y, &expected, 3e-5f);
        } else {
            assert_int_equal(status, TDNNL_UNIMPLEMENTED);
            assert_true(kind == TDNNL_ELTWISE_HARDSWISH && tdnnl_compiled_major() == 2);
        }
        end(pd, all, 4, (tensor *[]){&x, &y, &expected, &e, &other}, 5);
    }
    assert_true(refused <= 3);
}

// Two steps with one algorithm and different parameters: right, or refused by the generation that would mix them up.
static void test_one_function_twice(void **state) {
    (void)state;
    tensor x = random_tensor(4, DIMS(1, 16, 6, 6), 1), w = random_tensor(4, DIMS(16, 16, 1, 1), 2);
    tensor y = make(4, x.dims), expected = make(4, x.dims);
    geometry g = {1, {1, 1}, {1, 1}, {0, 0}, {0, 0}};
    naive_convolution(&x, &w, NULL, &expected, &g);
    for (int64_t i = 0; i < count(&y); i++) {
        float v = 2 * expected.data[i] + 1;
        expected.data[i] = 0.5f * (v > 0 ? v : 0) - 3;
    }
    tdnnl_md *mds[] = {tagged(&x, TDNNL_TAG_nhwc), any(&w), tagged(&y, TDNNL_TAG_nhwc)};
    tdnnl_post_op ops[3] = {
        {.kind = TDNNL_POST_OP_ELTWISE, .algorithm = TDNNL_ELTWISE_LINEAR, .alpha = 2, .beta = 1},
        {.kind = TDNNL_POST_OP_ELTWISE, .algorithm = TDNNL_ELTWISE_RELU},
        {.kind = TDNNL_POST_OP_ELTWISE, .algorithm = TDNNL_ELTWISE_LINEAR, .alpha = 0.5f, .beta = -3}};
    tdnnl_attributes attributes = {.post_ops = ops, .post_op_count = 3};
    tdnnl_pd *pd;
    int status = tdnnl_convolution_create(
        &pd, engine, TDNNL_CONVOLUTION_DIRECT, mds[0], mds[1], NULL, mds[2], g.strides, NULL, g.begin, g.end,
        &attributes);
    if (tdnnl_compiled_major() == 2) {
        assert_int_equal(status, TDNNL_UNIMPLEMENTED);
        assert_null(pd);
    } else {
        assert_int_equal(status, TDNNL_OK);
        operand operands[] = {
            {TDNNL_ARG_SRC, &x, queried(pd, TDNNL_QUERY_SRC, 0), 0},
            {TDNNL_ARG_WEIGHTS, &w, queried(pd, TDNNL_QUERY_WEIGHTS, 0), 0},
            {TDNNL_ARG_DST, &y, queried(pd, TDNNL_QUERY_DST, 0), 1}};
        run(pd, operands, 3);
        assert_close(&y, &expected, 1e-5f);
    }
    end(pd, mds, 3, (tensor *[]){&x, &w, &y, &expected}, 4);
}

static void test_binary(void **state) {
    (void)state;
    for (int kind = TDNNL_BINARY_ADD; kind <= TDNNL_BINARY_NE; kind++) {
        tensor a = random_tensor(4, DIMS(2, 3, 4, 5), 1), b = random_tensor(4, DIMS(1, 3, 1, 1), 2);
        tensor y = make(4, a.dims), expected = make(4, a.dims);
        a.data[20] = b.data[1];
        for (int64_t i = 0; i < count(&a); i++) {
            float u = a.data[i], v = b.data[i / 20 % 3];
            float results[] = {u + v, u - v, u * v, u / v, fmaxf(u, v), fminf(u, v), u >= v, u > v, u <= v, u < v,
                               u == v, u != v};
            expected.data[i] = results[kind - TDNNL_BINARY_ADD];
        }
        tdnnl_md *mds[] = {plain(&a), plain(&b), plain(&y)};
        tdnnl_pd *pd;
        OK(tdnnl_binary_create(&pd, engine, kind, mds[0], mds[1], mds[2], NULL));
        operand operands[] = {
            {TDNNL_ARG_SRC, &a, NULL, 0}, {TDNNL_ARG_SRC_1, &b, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
        run(pd, operands, 3);
        assert_close(&y, &expected, 1e-6f);
        end(pd, mds, 3, (tensor *[]){&a, &b, &y, &expected}, 4);
    }
}

static void test_prelu_and_shuffle(void **state) {
    (void)state;
    tensor x = random_tensor(4, DIMS(2, 6, 3, 3), 1), w = random_tensor(4, DIMS(1, 6, 1, 1), 2);
    tensor y = make(4, x.dims), expected = make(4, x.dims);
    for (int64_t i = 0; i < count(&x); i++)
        expected.data[i] = x.data[i] > 0 ? x.data[i] : x.data[i] * w.data[i / 9 % 6];
    tdnnl_md *mds[] = {plain(&x), plain(&w)};
    tdnnl_pd *pd;
    OK(tdnnl_prelu_create(&pd, engine, mds[0], mds[1], mds[0], NULL));
    operand operands[] = {
        {TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_WEIGHTS, &w, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
    run(pd, operands, 3);
    assert_close(&y, &expected, 1e-6f);
    tdnnl_pd_destroy(pd);

    // Groups of 3 channels side by side become 3 rows that are read by columns.
    for (int64_t i = 0; i < count(&x); i++) {
        int64_t c = i / 9 % 6;
        expected.data[i] = x.data[i / 54 * 54 + (c % 2 * 3 + c / 2) * 9 + i % 9];
    }
    OK(tdnnl_shuffle_create(&pd, engine, mds[0], mds[0], 1, 3, NULL));
    operand pair[] = {{TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
    run(pd, pair, 2);
    assert_close(&y, &expected, 0);
    end(pd, mds, 2, (tensor *[]){&x, &w, &y, &expected}, 4);
}

int run_elementwise_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eltwise),
        cmocka_unit_test(test_one_function_twice),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_prelu_and_shuffle),
    };
    return cmocka_run_group_tests_name("element by element", tests, open_engine, close_engine);
}
