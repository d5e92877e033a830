/* The graph that the library is named for, built by hand: conv2d → reshape(bias) → add → relu.
 *
 * Prints the module as it was built, after fusion, and after regions are collected; then runs it with one oneDNN primitive
 * per operator and with one for all four, alternating, and prints the largest difference and both median times.
 *
 *     cc conv_bias_relu.c $(pkg-config --cflags --libs tenon) -lm && ./a.out [threads] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tenon.h>

enum { CHANNELS = 64, SIZE = 56, KERNEL = 3, ELEMENTS = CHANNELS * SIZE * SIZE, RUNS = 50 };

static const int64_t image_shape[] = {1, CHANNELS, SIZE, SIZE};
static float weights[CHANNELS * CHANNELS * KERNEL * KERNEL], bias[CHANNELS];
static float image[ELEMENTS], unfused_result[ELEMENTS], fused_result[ELEMENTS];

/* Ends the program with the library's message when a call fails. */
static void check(tenon_status status)
{
    if (status == TENON_OK)
        return;
    fprintf(stderr, "%s: %s\n", tenon_status_name(status), tenon_last_error_message());
    exit(1);
}

static void fill(float *values, size_t count, float scale)
{
    static unsigned state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = scale * ((float)(state >> 8) / (float)(1 << 24) - 0.5f);
    }
}

static tenon_module *build(void)
{
    const int64_t weight_shape[] = {CHANNELS, CHANNELS, KERNEL, KERNEL}, bias_shape[] = {CHANNELS};
    const int64_t per_channel[] = {1, CHANNELS, 1, 1};
    const tenon_tensor weight_tensor = TENON_TENSOR(TENON_F32, 4, weight_shape, weights, sizeof weights);
    const tenon_tensor bias_tensor = TENON_TENSOR(TENON_F32, 1, bias_shape, bias, sizeof bias);
    tenon_builder *builder = NULL;
    tenon_attributes *attributes = NULL;
    tenon_module *module = NULL;
    tenon_value x, w, b, shape, conv, reshaped, sum, y;

    check(tenon_builder_create(&builder));
    check(tenon_builder_add_parameter(builder, "x", TENON_F32, 4, image_shape, &x));
    check(tenon_builder_add_constant(builder, &weight_tensor, &w));
    check(tenon_builder_add_constant(builder, &bias_tensor, &b));
    check(tenon_builder_add_shape(builder, 4, per_channel, &shape));

    check(tenon_attributes_create(&attributes));
    check(tenon_attributes_set_ints(attributes, "padding", (int64_t[]){1, 1, 1, 1}, 4));
    check(tenon_builder_add_call(builder, "nn.conv2d", (tenon_value[]){x, w}, 2, attributes, "conv", &conv));
    check(tenon_builder_add_call(builder, "reshape", (tenon_value[]){b, shape}, 2, NULL, "bias", &reshaped));
    check(tenon_builder_add_call(builder, "add", (tenon_value[]){conv, reshaped}, 2, NULL, "sum", &sum));
    check(tenon_builder_add_call(builder, "nn.relu", &sum, 1, NULL, "y", &y));

    check(tenon_module_create(&module));
    check(tenon_module_add_function(module, "main", builder, &y, 1, NULL));
    tenon_attributes_release(attributes);
    tenon_builder_release(builder);
    return module;
}

static void show(const char *title, const tenon_module *module)
{
    char *text = NULL;
    check(tenon_module_print(module, NULL, &text));
    printf("---- %s\n%s\n", title, text);
    tenon_string_release(text);
}

static tenon_executable *compile(const tenon_module *module, uint32_t threads)
{
    tenon_executable *executable = NULL;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = threads;
    check(tenon_compile(module, &options, &executable));
    return executable;
}

/* Microseconds of one run. */
static double run(tenon_executable *executable, float *result)
{
    struct timespec start, end;
    const tenon_tensor in = TENON_TENSOR(TENON_F32, 4, image_shape, image, sizeof image);
    const tenon_tensor out = TENON_TENSOR(TENON_F32, 4, image_shape, result, sizeof image);
    clock_gettime(CLOCK_MONOTONIC, &start);
    check(tenon_run(executable, &in, 1, &out, 1, NULL));
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    uint32_t threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    double unfused_times[RUNS], fused_times[RUNS];
    fill(weights, sizeof weights / sizeof *weights, 0.1f);
    fill(bias, CHANNELS, 1);
    fill(image, ELEMENTS, 2);

    tenon_module *fused = build(), *unfused = NULL;
    check(tenon_module_copy(fused, &unfused));
    show("as built", fused);
    check(tenon_module_apply(fused, "FuseConv2dReshapeAddRelu", NULL));
    show("after FuseConv2dReshapeAddRelu", fused);
    check(tenon_module_apply(fused, "MergeCompositeFunctions", NULL));
    show("after MergeCompositeFunctions", fused);
    check(tenon_module_apply(unfused, "OffloadOpsToDNNL", NULL));
    check(tenon_module_apply(unfused, "MergeCompositeFunctions", NULL));

    tenon_executable *one_by_one = compile(unfused, threads), *as_one = compile(fused, threads);
    tenon_module_release(unfused);
    tenon_module_release(fused);
    for (int i = -5; i < RUNS; i++) {
        double a = run(one_by_one, unfused_result), b = run(as_one, fused_result);
        if (i >= 0) {
            unfused_times[i] = a;
            fused_times[i] = b;
        }
    }
    tenon_executable_release(one_by_one);
    tenon_executable_release(as_one);

    float difference = 0, largest = 0;
    for (int i = 0; i < ELEMENTS; i++) {
        difference = fmaxf(difference, fabsf(fused_result[i] - unfused_result[i]));
        largest = fmaxf(largest, fabsf(unfused_result[i]));
    }
    qsort(unfused_times, RUNS, sizeof *unfused_times, ascending);
    qsort(fused_times, RUNS, sizeof *fused_times, ascending);
    printf("largest difference  %.3g (largest value %.3g)\n", (double)difference, (double)largest);
    printf("unfused             %8.1f microseconds, one primitive per operator\n", unfused_times[RUNS / 2]);
    printf("fused               %8.1f microseconds, one primitive\n", fused_times[RUNS / 2]);
    printf("ratio               %8.2f\n", unfused_times[RUNS / 2] / fused_times[RUNS / 2]);
    return difference <= 1e-4f * largest ? 0 : 1;
}
