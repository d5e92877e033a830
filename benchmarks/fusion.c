/* conv2d → reshape(bias) → add → relu on the convolution shapes of ResNet-50, batch 1: every operator a oneDNN primitive of
 * its own against one fused primitive, alternating in one process.
 *
 * usage: fusion [threads]
 *
 * Prints medians, their ratio, and the fused run's rate, counting the multiplications and additions of a direct
 * convolution. Times are of whole runs: plain layouts in and out. Built against an installed library: `make bench-fusion`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tenon.h>

/* Channels in, out, kernel, stride, input height and width, and how often ResNet-50 has the layer. */
typedef struct {
    int64_t in, out, kernel, stride, size;
    int count;
} Layer;

static const Layer layers[] = {
    {3, 64, 7, 2, 224, 1},     {64, 64, 1, 1, 56, 1},     {64, 64, 3, 1, 56, 3},     {64, 256, 1, 1, 56, 4},
    {256, 64, 1, 1, 56, 2},    {256, 128, 1, 1, 56, 1},   {128, 128, 3, 2, 56, 1},   {256, 512, 1, 2, 56, 1},
    {128, 512, 1, 1, 28, 4},   {512, 128, 1, 1, 28, 3},   {128, 128, 3, 1, 28, 3},   {512, 256, 1, 1, 28, 1},
    {256, 256, 3, 2, 28, 1},   {512, 1024, 1, 2, 28, 1},  {256, 1024, 1, 1, 14, 6},  {1024, 256, 1, 1, 14, 5},
    {256, 256, 3, 1, 14, 5},   {1024, 512, 1, 1, 14, 1},  {512, 512, 3, 2, 14, 1},   {1024, 2048, 1, 2, 14, 1},
    {512, 2048, 1, 1, 7, 3},   {2048, 512, 1, 1, 7, 2},   {512, 512, 3, 1, 7, 2},
};

static void check(tenon_status status, const char *what) {
    if (status == TENON_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, tenon_status_name(status), tenon_last_error_message());
    exit(1);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static float *random_floats(size_t count, float scale) {
    static uint32_t state = 12345;
    float *values = malloc(count * sizeof *values);
    if (!values) exit(1);
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = ((float)(state >> 8) / 16777216.0f - 0.5f) * scale;
    }
    return values;
}

static tenon_module *build(const Layer *layer, const float *weights, const float *bias) {
    tenon_builder *builder;
    tenon_module *module;
    tenon_attributes *attributes;
    tenon_value x, w, b, shape, value;
    const int64_t pad = layer->kernel / 2;
    const int64_t x_shape[] = {1, layer->in, layer->size, layer->size};
    const int64_t w_shape[] = {layer->out, layer->in, layer->kernel, layer->kernel};
    const int64_t bias_shape[] = {1, layer->out, 1, 1};
    tenon_tensor w_tensor = TENON_TENSOR(TENON_F32, 4, w_shape, (void *)weights, 0);
    tenon_tensor b_tensor = TENON_TENSOR(TENON_F32, 1, &layer->out, (void *)bias, 0);
    check(tenon_builder_create(&builder), "builder");
    check(tenon_builder_add_parameter(builder, "x", TENON_F32, 4, x_shape, &x), "x");
    check(tenon_builder_add_constant(builder, &w_tensor, &w), "weights");
    check(tenon_builder_add_constant(builder, &b_tensor, &b), "bias");
    check(tenon_attributes_create(&attributes), "attributes");
    check(tenon_attributes_set_ints(attributes, "strides", (int64_t[]){layer->stride, layer->stride}, 2), "strides");
    check(tenon_attributes_set_ints(attributes, "padding", (int64_t[]){pad, pad, pad, pad}, 4), "padding");
    check(tenon_builder_add_call(builder, "nn.conv2d", (tenon_value[]){x, w}, 2, attributes, "conv", &value), "conv2d");
    check(tenon_builder_add_shape(builder, 4, bias_shape, &shape), "shape");
    check(tenon_builder_add_call(builder, "reshape", (tenon_value[]){b, shape}, 2, NULL, "b", &b), "reshape");
    check(tenon_builder_add_call(builder, "add", (tenon_value[]){value, b}, 2, NULL, "sum", &value), "add");
    check(tenon_builder_add_call(builder, "nn.relu", &value, 1, NULL, "relu", &value), "relu");
    check(tenon_module_create(&module), "module");
    check(tenon_module_add_function(module, "main", builder, &value, 1, NULL), "main");
    tenon_attributes_release(attributes);
    tenon_builder_release(builder);
    return module;
}

static tenon_executable *compile(const tenon_module *module, const char *pass, uint32_t threads) {
    tenon_module *copy;
    tenon_executable *executable;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = threads;
    check(tenon_module_copy(module, &copy), "copy");
    check(tenon_module_apply(copy, pass, NULL), pass);
    check(tenon_module_apply(copy, "MergeCompositeFunctions", NULL), "MergeCompositeFunctions");
    check(tenon_compile(copy, &options, &executable), "compile");
    tenon_module_release(copy);
    return executable;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { ROUNDS = 31 };

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv) {
    const uint32_t threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    double unfused_sum = 0, fused_sum = 0;
    printf("%-34s %6s %12s %12s %8s %9s\n", "layer", "count", "unfused us", "fused us", "ratio", "GFLOP/s");
    for (size_t l = 0; l < sizeof layers / sizeof *layers; l++) {
        const Layer *layer = &layers[l];
        const int64_t out = (layer->size + 2 * (layer->kernel / 2) - layer->kernel) / layer->stride + 1;
        const int64_t x_shape[] = {1, layer->in, layer->size, layer->size}, y_shape[] = {1, layer->out, out, out};
        const size_t x_count = (size_t)(layer->in * layer->size * layer->size);
        const size_t y_count = (size_t)(layer->out * out * out);
        const size_t w_count = (size_t)(layer->out * layer->in * layer->kernel * layer->kernel);
        float *x = random_floats(x_count, 2), *weights = random_floats(w_count, 0.2f);
        float *bias = random_floats((size_t)layer->out, 1);
        float *first = random_floats(y_count, 0), *second = random_floats(y_count, 0);
        tenon_module *module = build(layer, weights, bias);
        tenon_executable *unfused = compile(module, "OffloadOpsToDNNL", threads);
        tenon_executable *fused = compile(module, "FuseConv2dReshapeAddRelu", threads);
        tenon_tensor in = TENON_TENSOR(TENON_F32, 4, x_shape, x, 0);
        tenon_tensor out_first = TENON_TENSOR(TENON_F32, 4, y_shape, first, 0);
        tenon_tensor out_second = TENON_TENSOR(TENON_F32, 4, y_shape, second, 0);
        double unfused_times[ROUNDS], fused_times[ROUNDS];
        for (int round = -5; round < ROUNDS; round++) {
            const double start = now_ms();
            check(tenon_run(unfused, &in, 1, &out_first, 1, NULL), "unfused");
            const double middle = now_ms();
            check(tenon_run(fused, &in, 1, &out_second, 1, NULL), "fused");
            const double end = now_ms();
            if (round >= 0) {
                unfused_times[round] = middle - start;
                fused_times[round] = end - middle;
            }
        }
        for (size_t i = 0; i < y_count; i++) {
            const float difference = first[i] > second[i] ? first[i] - second[i] : second[i] - first[i];
            if (!(difference <= 1e-3f)) {
                fprintf(stderr, "layer %zu: fused and unfused differ by %g\n", l, (double)difference);
                return 1;
            }
        }
        const double u = median(unfused_times), f = median(fused_times);
        const double flops = 2.0 * (double)(y_count) * (double)(layer->in * layer->kernel * layer->kernel);
        char name[64];
        snprintf(
            name, sizeof name, "%" PRId64 "x%" PRId64 "x%" PRId64 " -> %" PRId64 ", %" PRId64 "x%" PRId64 "/%" PRId64,
            layer->in, layer->size, layer->size, layer->out, layer->kernel, layer->kernel, layer->stride);
        printf("%-34s %6d %12.1f %12.1f %8.2f %9.0f\n", name, layer->count, u * 1e3, f * 1e3, u / f, flops / f / 1e6);
        unfused_sum += u * layer->count;
        fused_sum += f * layer->count;
        tenon_executable_release(unfused);
        tenon_executable_release(fused);
        tenon_module_release(module);
        free(x), free(weights), free(bias), free(first), free(second);
    }
    printf("%-34s %6s %12.1f %12.1f %8.2f\n", "all layers by count", "", unfused_sum * 1e3, fused_sum * 1e3, unfused_sum / fused_sum);
    return 0;
}
