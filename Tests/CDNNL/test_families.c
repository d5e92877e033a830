// SPDX-License-Identifier: Apache-2.0
//
// The operator families other than convolution and matrix products, each against its formula.
#include <stddef.h>
#include <stdint.h>
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int run_elementwise_tests(void);

// MARK: - Pooling and resampling

static void test_pooling(void **state) {
    (void)state;
    for (int kind = TDNNL_POOLING_MAX; kind <= TDNNL_POOLING_AVG_EXCLUDE_PADDING; kind++)
        for (int64_t dilation = 1; dilation <= 2; dilation++) {
            tensor x = random_tensor(4, DIMS(2, 5, 9, 8), 7);
            int64_t oh = (9 + 1 + 1 - (3 - 1) * dilation - 1) / 2 + 1, ow = (8 + 1 - (2 - 1) * dilation - 1) / 1 + 1;
            tensor y = make(4, DIMS(2, 5, oh, ow)), expected = make(4, y.dims);
            for (int64_t i = 0; i < count(&y); i++) {
                int64_t q = i % ow, p = i / ow % oh, plane = i / ow / oh;
                double sum = 0, best = -INFINITY;
                int inside = 0;
                for (int64_t r = 0; r < 3; r++)
                    for (int64_t s = 0; s < 2; s++) {
                        int64_t h = p * 2 - 1 + r * dilation, w = q + s * dilation;
                        if (h < 0 || h >= 9 || w >= 8) continue;
                        double v = x.data[plane * 72 + h * 8 + w];
                        inside++;
                        sum += v;
                        if (v > best) best = v;
                    }
                expected.data[i] = (float)(kind == TDNNL_POOLING_MAX                   ? best
                                           : kind == TDNNL_POOLING_AVG_INCLUDE_PADDING ? sum / 6
                                                                                       : sum / inside);
            }
            tdnnl_md *mds[] = {plain(&x), any(&y)};
            tdnnl_pd *pd;
            OK(tdnnl_pooling_create(
                &pd, engine, kind, mds[0], mds[1], DIMS(2, 1), DIMS(3, 2), DIMS(dilation, dilation), DIMS(1, 0),
                DIMS(1, 1), NULL));
            do {
                operand operands[] = {
                    {TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_DST, &y, queried(pd, TDNNL_QUERY_DST, 0), 1}};
                run(pd, operands, 2);
                assert_close(&y, &expected, 1e-5f);
            } while (tdnnl_pd_next(pd) == TDNNL_OK);
            end(pd, mds, 2, (tensor *[]){&x, &y, &expected}, 3);
        }
}

static void test_resampling(void **state) {
    (void)state;
    tensor x = random_tensor(4, DIMS(1, 3, 4, 5), 7), y = make(4, DIMS(1, 3, 8, 10)), expected = make(4, y.dims);
    for (int kind = TDNNL_RESAMPLING_NEAREST; kind <= TDNNL_RESAMPLING_LINEAR; kind++) {
        for (int64_t i = 0; i < count(&y); i++) {
            int64_t q = i % 10, p = i / 10 % 8, plane = i / 80;
            const float *from = x.data + plane * 20;
            if (kind == TDNNL_RESAMPLING_NEAREST) {
                expected.data[i] = from[p / 2 * 5 + q / 2];
                continue;
            }
            double h = fmin(3, fmax(0, (p + 0.5) / 2 - 0.5)), w = fmin(4, fmax(0, (q + 0.5) / 2 - 0.5));
            int64_t h0 = (int64_t)h, w0 = (int64_t)w, h1 = h0 < 3 ? h0 + 1 : 3, w1 = w0 < 4 ? w0 + 1 : 4;
            double a = h - (double)h0, b = w - (double)w0;
            expected.data[i] = (float)((1 - a) * ((1 - b) * from[h0 * 5 + w0] + b * from[h0 * 5 + w1])
                                       + a * ((1 - b) * from[h1 * 5 + w0] + b * from[h1 * 5 + w1]));
        }
        tdnnl_md *mds[] = {plain(&x), plain(&y)};
        tdnnl_pd *pd;
        OK(tdnnl_resampling_create(&pd, engine, kind, mds[0], mds[1], NULL, NULL));
        operand operands[] = {{TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
        run(pd, operands, 2);
        assert_close(&y, &expected, 1e-5f);
        end(pd, mds, 2, NULL, 0);
    }
    drop(&x), drop(&y), drop(&expected);
}

static void test_reduction(void **state) {
    (void)state;
    tensor x = random_tensor(3, DIMS(2, 7, 3), 7), y = make(3, DIMS(2, 1, 3)), expected = make(3, y.dims);
    for (int kind = TDNNL_REDUCTION_MAX; kind <= TDNNL_REDUCTION_MEAN; kind++) {
        for (int64_t i = 0; i < 6; i++) {
            double v = x.data[i / 3 * 21 + i % 3];
            for (int64_t k = 1; k < 7; k++) {
                double u = x.data[i / 3 * 21 + k * 3 + i % 3];
                v = kind == TDNNL_REDUCTION_MAX ? fmax(v, u) : kind == TDNNL_REDUCTION_MIN ? fmin(v, u)
                    : kind == TDNNL_REDUCTION_MUL ? v * u : v + u;
            }
            expected.data[i] = (float)(kind == TDNNL_REDUCTION_MEAN ? v / 7 : v);
        }
        tdnnl_md *mds[] = {plain(&x), plain(&y)};
        tdnnl_pd *pd;
        OK(tdnnl_reduction_create(&pd, engine, kind, mds[0], mds[1], 0, 0, NULL));
        operand operands[] = {{TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
        run(pd, operands, 2);
        assert_close(&y, &expected, 1e-5f);
        end(pd, mds, 2, NULL, 0);
    }
    drop(&x), drop(&y), drop(&expected);
}

// MARK: - Normalization

static void test_batch_normalization(void **state) {
    (void)state;
    for (int relu = 0; relu < 2; relu++) {
        tensor x = random_tensor(4, DIMS(2, 6, 3, 5), 1), y = make(4, x.dims), expected = make(4, x.dims);
        tensor mean = random_tensor(1, DIMS(6), 2), variance = random_tensor(1, DIMS(6), 3);
        tensor scale = random_tensor(1, DIMS(6), 4), shift = random_tensor(1, DIMS(6), 5);
        for (int c = 0; c < 6; c++) variance.data[c] = fabsf(variance.data[c]) + 0.1f;
        for (int64_t i = 0; i < count(&x); i++) {
            int64_t c = i / 15 % 6;
            double v = (x.data[i] - mean.data[c]) / sqrt(variance.data[c] + 1e-3) * scale.data[c] + shift.data[c];
            expected.data[i] = relu && v < 0 ? 0 : (float)v;
        }
        tdnnl_md *mds[] = {plain(&x)};
        uint32_t flags = TDNNL_USE_GLOBAL_STATS | TDNNL_USE_SCALE | TDNNL_USE_SHIFT | (relu ? TDNNL_FUSE_RELU : 0);
        tdnnl_pd *pd;
        OK(tdnnl_batch_normalization_create(&pd, engine, mds[0], mds[0], 1e-3f, flags, NULL));
        operand operands[] = {
            {TDNNL_ARG_SRC, &x, NULL, 0},     {TDNNL_ARG_MEAN, &mean, NULL, 0},   {TDNNL_ARG_VARIANCE, &variance, NULL, 0},
            {TDNNL_ARG_SCALE, &scale, NULL, 0}, {TDNNL_ARG_SHIFT, &shift, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
        run(pd, operands, 6);
        assert_close(&y, &expected, 1e-5f);
        end(pd, mds, 1, (tensor *[]){&x, &y, &expected, &mean, &variance, &scale, &shift}, 7);
    }
}

static void test_layer_normalization(void **state) {
    (void)state;
    tensor x = random_tensor(3, DIMS(2, 3, 20), 1), y = make(3, x.dims), expected = make(3, x.dims);
    tensor scale = random_tensor(1, DIMS(20), 4), shift = random_tensor(1, DIMS(20), 5);
    for (int row = 0; row < 6; row++) {
        double mean = 0, variance = 0;
        for (int k = 0; k < 20; k++) mean += x.data[row * 20 + k] / 20;
        for (int k = 0; k < 20; k++) variance += (x.data[row * 20 + k] - mean) * (x.data[row * 20 + k] - mean) / 20;
        for (int k = 0; k < 20; k++)
            expected.data[row * 20 + k] =
                (float)((x.data[row * 20 + k] - mean) / sqrt(variance + 1e-5) * scale.data[k] + shift.data[k]);
    }
    tdnnl_md *mds[] = {plain(&x)};
    tdnnl_pd *pd;
    OK(tdnnl_layer_normalization_create(
        &pd, engine, mds[0], mds[0], NULL, 1e-5f, TDNNL_USE_SCALE | TDNNL_USE_SHIFT, NULL));
    operand operands[] = {
        {TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_SCALE, &scale, NULL, 0}, {TDNNL_ARG_SHIFT, &shift, NULL, 0},
        {TDNNL_ARG_DST, &y, NULL, 1}};
    run(pd, operands, 4);
    assert_close(&y, &expected, 1e-5f);
    end(pd, mds, 1, (tensor *[]){&x, &y, &expected, &scale, &shift}, 5);
}

static void test_softmax(void **state) {
    (void)state;
    for (int axis = 1; axis < 3; axis++) {
        tensor x = random_tensor(3, DIMS(2, 5, 4), 1), y = make(3, x.dims), expected = make(3, x.dims);
        int64_t step = axis == 1 ? 4 : 1, length = axis == 1 ? 5 : 4;
        for (int64_t i = 0; i < count(&x); i++) {
            int64_t base = i - i / step % length * step;
            double sum = 0;
            for (int64_t k = 0; k < length; k++) sum += exp(x.data[base + k * step]);
            expected.data[i] = (float)(exp(x.data[i]) / sum);
        }
        tdnnl_md *mds[] = {plain(&x), plain(&y)};
        tdnnl_pd *pd;
        OK(tdnnl_softmax_create(&pd, engine, mds[0], mds[1], axis, NULL));
        operand operands[] = {{TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
        run(pd, operands, 2);
        assert_close(&y, &expected, 1e-5f);
        end(pd, mds, 2, (tensor *[]){&x, &y, &expected}, 3);
    }
}

static void test_lrn(void **state) {
    (void)state;
    tensor x = random_tensor(4, DIMS(1, 16, 4, 4), 1), y = make(4, x.dims), expected = make(4, x.dims);
    for (int64_t i = 0; i < count(&x); i++) {
        int64_t c = i / 16, place = i % 16;
        double sum = 0;
        for (int64_t k = c - 2; k <= c + 2; k++)
            if (k >= 0 && k < 16) sum += (double)x.data[k * 16 + place] * x.data[k * 16 + place];
        expected.data[i] = (float)(x.data[i] / pow(2.0 + 0.1 / 5 * sum, 0.75));
    }
    tdnnl_md *mds[] = {plain(&x)};
    tdnnl_pd *pd;
    OK(tdnnl_lrn_create(&pd, engine, TDNNL_LRN_ACROSS_CHANNELS, mds[0], mds[0], 5, 0.1f, 0.75f, 2.0f, NULL));
    operand operands[] = {{TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
    run(pd, operands, 2);
    assert_close(&y, &expected, 1e-4f);
    end(pd, mds, 1, (tensor *[]){&x, &y, &expected}, 3);
}

// MARK: - Joining

static void test_concat_and_sum(void **state) {
    (void)state;
    tensor a = random_tensor(3, DIMS(2, 3, 4), 1), b = random_tensor(3, DIMS(2, 5, 4), 2), y = make(3, DIMS(2, 8, 4));
    tensor expected = make(3, y.dims);
    for (int n = 0; n < 2; n++) {
        memcpy(expected.data + n * 32, a.data + n * 12, 12 * sizeof(float));
        memcpy(expected.data + n * 32 + 12, b.data + n * 20, 20 * sizeof(float));
    }
    tdnnl_md *mds[] = {plain(&a), plain(&b), plain(&y)};
    tdnnl_pd *pd;
    OK(tdnnl_concat_create(&pd, engine, mds[2], 1, (const tdnnl_md *const *)mds, 2, NULL));
    operand operands[] = {
        {TDNNL_ARG_MULTIPLE_SRC, &a, NULL, 0}, {TDNNL_ARG_MULTIPLE_SRC + 1, &b, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1}};
    run(pd, operands, 3);
    assert_close(&y, &expected, 0);
    tdnnl_pd_destroy(pd);
    assert_int_equal(
        tdnnl_concat_create(&pd, engine, NULL, 3, (const tdnnl_md *const *)mds, 2, NULL), TDNNL_INVALID_ARGUMENTS);

    tensor c = random_tensor(3, a.dims, 3), sum = make(3, a.dims), total = make(3, a.dims);
    for (int i = 0; i < 24; i++) total.data[i] = 2 * a.data[i] - c.data[i];
    const tdnnl_md *same[] = {mds[0], mds[0]};
    OK(tdnnl_sum_create(&pd, engine, mds[0], (float[]){2, -1}, same, 2, NULL));
    operand addends[] = {
        {TDNNL_ARG_MULTIPLE_SRC, &a, NULL, 0}, {TDNNL_ARG_MULTIPLE_SRC + 1, &c, NULL, 0}, {TDNNL_ARG_DST, &sum, NULL, 1}};
    run(pd, addends, 3);
    assert_close(&sum, &total, 1e-6f);
    end(pd, mds, 3, (tensor *[]){&a, &b, &y, &expected, &c, &sum, &total}, 7);
}

static void test_output_scale(void **state) {
    (void)state;
    // One scale for everything, with a post-op whose argument must still be found.
    tensor x = random_tensor(2, DIMS(4, 6), 1), w = random_tensor(2, DIMS(6, 5), 2), v = random_tensor(2, DIMS(1, 5), 3);
    tensor y = make(2, DIMS(4, 5)), expected = make(2, y.dims);
    for (int i = 0; i < 20; i++) {
        double sum = 0;
        for (int k = 0; k < 6; k++) sum += (double)x.data[i / 5 * 6 + k] * w.data[k * 5 + i % 5];
        expected.data[i] = (float)(0.25 * sum + v.data[i % 5]);
    }
    tdnnl_md *mds[] = {plain(&x), plain(&w), plain(&y), plain(&v)};
    float scale = 0.25f;
    tdnnl_post_op op = {.kind = TDNNL_POST_OP_BINARY, .algorithm = TDNNL_BINARY_ADD, .src1 = mds[3]};
    tdnnl_attributes attributes = {
        .post_ops = &op, .post_op_count = 1, .output_scale_count = 1, .output_scales = &scale};
    tdnnl_pd *pd;
    OK(tdnnl_matmul_create(&pd, engine, mds[0], mds[1], NULL, mds[2], &attributes));
    operand operands[] = {
        {TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_WEIGHTS, &w, NULL, 0}, {TDNNL_ARG_DST, &y, NULL, 1},
        {tdnnl_pd_post_op_argument(pd, 0, TDNNL_ARG_SRC_1), &v, NULL, 0}};
    run(pd, operands, 4);
    assert_close(&y, &expected, 1e-5f);
    assert_int_equal(tdnnl_pd_post_op_argument(pd, 1, TDNNL_ARG_SRC_1), -1);
    end(pd, mds, 4, (tensor *[]){&x, &w, &v, &y, &expected}, 5);
}

// MARK: - Deconvolution, recurrent

static void test_deconvolution(void **state) {
    (void)state;
    // Weights [out, in, kh, kw]; output = (in - 1) * stride - pads + kernel.
    tensor x = random_tensor(4, DIMS(1, 4, 5, 5), 1), w = random_tensor(4, DIMS(6, 4, 3, 3), 2);
    tensor y = make(4, DIMS(1, 6, 9, 9)), expected = make(4, y.dims);
    for (int i = 0; i < 4; i++)
        for (int o = 0; o < 6; o++)
            for (int h = 0; h < 25; h++)
                for (int k = 0; k < 9; k++) {
                    int p = h / 5 * 2 - 1 + k / 3, q = h % 5 * 2 - 1 + k % 3;
                    if (p < 0 || q < 0 || p >= 9 || q >= 9) continue;
                    expected.data[(o * 9 + p) * 9 + q] += x.data[i * 25 + h] * w.data[(o * 4 + i) * 9 + k];
                }
    tdnnl_md *mds[] = {plain(&x), any(&w), plain(&y)};
    tdnnl_pd *pd;
    OK(tdnnl_deconvolution_create(
        &pd, engine, TDNNL_CONVOLUTION_DIRECT, mds[0], mds[1], NULL, mds[2], DIMS(2, 2), NULL, DIMS(1, 1), DIMS(1, 1),
        NULL));
    operand operands[] = {
        {TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_WEIGHTS, &w, queried(pd, TDNNL_QUERY_WEIGHTS, 0), 0},
        {TDNNL_ARG_DST, &y, NULL, 1}};
    run(pd, operands, 3);
    assert_close(&y, &expected, 1e-5f);
    end(pd, mds, 3, (tensor *[]){&x, &w, &y, &expected}, 4);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void test_recurrent(void **state) {
    (void)state;
    enum { T = 3, N = 2, C = 4, H = 5 };
    for (int gru = 0; gru < 2; gru++) {
        int G = gru ? 3 : 4;
        tensor x = random_tensor(3, DIMS(T, N, C), 1), y = make(3, DIMS(T, N, H)), expected = make(3, y.dims);
        tensor wl = random_tensor(5, DIMS(1, 1, C, G, H), 2), wi = random_tensor(5, DIMS(1, 1, H, G, H), 3);
        tensor bias = random_tensor(4, DIMS(1, 1, G, H), 4);
        double h[N][H] = {{0}}, c[N][H] = {{0}};
        for (int t = 0; t < T; t++)
            for (int n = 0; n < N; n++) {
                double gate[4][H], next[H];
                for (int pass = 0; pass < 2; pass++)
                    for (int g = 0; g < G; g++)
                        for (int j = 0; j < H; j++) {
                            // The last gate of a GRU sees the state through the reset gate.
                            if (pass == 1 && !(gru && g == 2)) continue;
                            double sum = bias.data[g * H + j];
                            for (int k = 0; k < C; k++)
                                sum += (double)x.data[(t * N + n) * C + k] * wl.data[(k * G + g) * H + j];
                            for (int k = 0; k < H; k++)
                                sum += h[n][k] * (gru && g == 2 ? gate[1][k] : 1) * wi.data[(k * G + g) * H + j];
                            gate[g][j] = g == 2 ? tanh(sum) : sigmoid(sum);
                            if (pass == 0 && gru && g == 2) gate[g][j] = 0;
                        }
                for (int j = 0; j < H; j++) {
                    if (gru) {
                        next[j] = gate[0][j] * h[n][j] + (1 - gate[0][j]) * gate[2][j];
                    } else {
                        c[n][j] = gate[1][j] * c[n][j] + gate[0][j] * gate[2][j];
                        next[j] = gate[3][j] * tanh(c[n][j]);
                    }
                }
                for (int j = 0; j < H; j++) expected.data[(t * N + n) * H + j] = (float)(h[n][j] = next[j]);
            }
        tdnnl_md *mds[] = {plain(&x), any(&wl), any(&wi), plain(&bias), plain(&y)};
        tdnnl_pd *pd;
        if (gru)
            OK(tdnnl_gru_create(
                &pd, engine, 0, TDNNL_LEFT_TO_RIGHT, mds[0], NULL, mds[1], mds[2], mds[3], mds[4], NULL, NULL));
        else
            OK(tdnnl_lstm_create(
                &pd, engine, TDNNL_LEFT_TO_RIGHT, mds[0], NULL, NULL, mds[1], mds[2], mds[3], mds[4], NULL, NULL, NULL));
        operand operands[] = {
            {TDNNL_ARG_SRC, &x, NULL, 0}, {TDNNL_ARG_WEIGHTS, &wl, queried(pd, TDNNL_QUERY_WEIGHTS, 0), 0},
            {TDNNL_ARG_WEIGHTS_1, &wi, queried(pd, TDNNL_QUERY_WEIGHTS, 1), 0}, {TDNNL_ARG_BIAS, &bias, NULL, 0},
            {TDNNL_ARG_DST, &y, NULL, 1}};
        run(pd, operands, 5);
        assert_close(&y, &expected, 1e-5f);
        end(pd, mds, 5, (tensor *[]){&x, &y, &expected, &wl, &wi, &bias}, 6);
    }
}

int run_family_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_resampling),
        cmocka_unit_test(test_reduction),
        cmocka_unit_test(test_batch_normalization),
        cmocka_unit_test(test_layer_normalization),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_lrn),
        cmocka_unit_test(test_concat_and_sum),
        cmocka_unit_test(test_output_scale),
        cmocka_unit_test(test_deconvolution),
        cmocka_unit_test(test_recurrent),
    };
    return cmocka_run_group_tests_name("families", tests, open_engine, close_engine) + run_elementwise_tests();
}
