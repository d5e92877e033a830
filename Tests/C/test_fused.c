/* The kernel that stands alone: conv2d with bias and ReLU. */
#include "support.h"

#include <math.h>
#include <pthread.h>

typedef struct {
    int64_t batch, in, height, width, out, groups, top, left, bottom, right, kh, kw, sh, sw, dh, dw;
} Geometry;

static tenon_status run(
    const float *src, const float *weights, const float *bias, float *dst, const Geometry *g)
{
    return tenon_dnnl_fused_conv2d_bias_relu(
        src, weights, bias, dst, g->batch, g->in, g->height, g->width, g->out, g->groups, g->top, g->left, g->bottom,
        g->right, g->kh, g->kw, g->sh, g->sw, g->dh, g->dw);
}

static int64_t out_size(int64_t size, int64_t before, int64_t after, int64_t kernel, int64_t stride, int64_t dilation)
{
    return (size + before + after - (kernel - 1) * dilation - 1) / stride + 1;
}

static float *values(int64_t count, unsigned seed)
{
    float *result = malloc((size_t)count * sizeof *result);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        result[i] = (float)(seed >> 8) / (float)(1 << 24) - 0.5f;
    }
    return result;
}

/* The largest difference to the sum written out, or -1 when the kernel fails. */
static double difference(const Geometry *g, unsigned seed)
{
    const int64_t oh = out_size(g->height, g->top, g->bottom, g->kh, g->sh, g->dh);
    const int64_t ow = out_size(g->width, g->left, g->right, g->kw, g->sw, g->dw);
    const int64_t in_group = g->in / g->groups, out_group = g->out / g->groups;
    float *src = values(g->batch * g->in * g->height * g->width, seed);
    float *weights = values(g->out * in_group * g->kh * g->kw, seed + 1);
    float *bias = values(g->out, seed + 2), *dst = values(g->batch * g->out * oh * ow, 0);
    double largest = -1;
    if (run(src, weights, bias, dst, g) == TENON_OK) {
        largest = 0;
        for (int64_t n = 0; n < g->batch; n++)
            for (int64_t o = 0; o < g->out; o++)
                for (int64_t y = 0; y < oh; y++)
                    for (int64_t x = 0; x < ow; x++) {
                        double sum = bias[o];
                        for (int64_t c = 0; c < in_group; c++)
                            for (int64_t i = 0; i < g->kh; i++)
                                for (int64_t j = 0; j < g->kw; j++) {
                                    int64_t row = y * g->sh - g->top + i * g->dh;
                                    int64_t column = x * g->sw - g->left + j * g->dw;
                                    if (row < 0 || row >= g->height || column < 0 || column >= g->width)
                                        continue;
                                    int64_t channel = o / out_group * in_group + c;
                                    sum += (double)src[((n * g->in + channel) * g->height + row) * g->width + column]
                                        * weights[((o * in_group + c) * g->kh + i) * g->kw + j];
                                }
                        double found = dst[((n * g->out + o) * oh + y) * ow + x], expected = sum > 0 ? sum : 0;
                        if (!(fabs(found - expected) <= largest))
                            largest = fabs(found - expected);
                    }
    }
    free(src);
    free(weights);
    free(bias);
    free(dst);
    return largest;
}

static const Geometry geometries[] = {
    {1, 3, 8, 8, 4, 1, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1},   {2, 16, 9, 7, 32, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1},
    {1, 8, 11, 10, 8, 8, 1, 1, 1, 1, 3, 3, 2, 2, 1, 1}, {1, 6, 12, 12, 9, 3, 2, 0, 1, 3, 5, 2, 1, 2, 1, 1},
    {1, 4, 15, 15, 4, 1, 2, 2, 2, 2, 3, 3, 1, 1, 2, 2}, {3, 1, 5, 5, 1, 1, 0, 0, 0, 0, 5, 5, 1, 1, 1, 1},
};

static void agrees_with_the_sum(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof geometries / sizeof *geometries; i++) {
            double found = difference(&geometries[i], (unsigned)(i + 10));
            if (!(found >= 0 && found < 1e-4))
                fail_msg("geometry %zu differs by %g: %s", i, found, tenon_last_error_message());
        }
}

static void bad_geometry(void **state)
{
    (void)state;
    const Geometry good = {1, 4, 8, 8, 4, 1, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1};
    float src[4 * 8 * 8] = {0}, weights[4 * 4 * 9] = {0}, bias[4] = {0}, dst[4 * 8 * 8];
    assert_ok(run(src, weights, bias, dst, &good));
    assert_fails(run(NULL, weights, bias, dst, &good), TENON_ERROR_INVALID_ARGUMENT, "src");
    assert_fails(run(src, NULL, bias, dst, &good), TENON_ERROR_INVALID_ARGUMENT, "weights");
    assert_fails(run(src, weights, NULL, dst, &good), TENON_ERROR_INVALID_ARGUMENT, "bias");
    assert_fails(run(src, weights, bias, NULL, &good), TENON_ERROR_INVALID_ARGUMENT, "dst");
    const int64_t wrong[] = {0, -1, INT64_MAX, INT64_MIN};
    for (size_t field = 0; field < sizeof good / sizeof(int64_t); field++)
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            Geometry bad = good;
            int64_t *numbers = (int64_t *)&bad;
            /* No padding is fine, but then there is nothing wrong to find. */
            if (field >= 6 && field <= 9 && wrong[i] == 0)
                continue;
            /* A stride beyond the input gives one column; it is legal and small. */
            if ((field == 12 || field == 13) && wrong[i] > 0)
                continue;
            numbers[field] = wrong[i];
            assert_int_not_equal(run(src, weights, bias, dst, &bad), TENON_OK);
        }
    Geometry bad = good;
    bad.groups = 3;
    assert_int_equal(run(src, weights, bias, dst, &bad), TENON_ERROR_INVALID_ARGUMENT);
    assert_ok(run(src, weights, bias, dst, &good));
}

static void *run_all(void *wrong)
{
    for (int round = 0; round < 5; round++)
        for (size_t i = 0; i < sizeof geometries / sizeof *geometries; i++) {
            double found = difference(&geometries[i], (unsigned)(i + 100));
            *(int *)wrong += !(found >= 0 && found < 1e-4);
        }
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    int wrong[4] = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_all, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(wrong[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_sum),
        cmocka_unit_test(bad_geometry),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
