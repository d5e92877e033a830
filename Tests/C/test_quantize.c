/* Quantising: a module of products, what it reports, and what is refused. */
#include "support.h"

#include <math.h>

static const char text[] =
    "fn @main(%x: f32[2,4]) -> f32[2,3] {\n"
    "  dataflow {\n"
    "    %a: f32[2,4] = matmul(%x, const f32[4,4](1, 0.5, -0.25, 2, 0.125, 1, 1.5, -1, 2, 0.75, -0.5, 1, 1, 2, 3, 4))\n"
    "    %b: f32[2,4] = nn.relu(%a)\n"
    "    %y: f32[2,3] = matmul(%b, const f32[4,3](1, 2, 3, -1, 0.5, 0.25, 2, 2, -2, 1, 1, 1))\n"
    "    output %y\n"
    "  }\n"
    "  return %y\n"
    "}\n";
static const int64_t in_shape[] = {2, 4}, out_shape[] = {2, 3};
static float samples[2][8] = {{1, 2, 3, 4, -1, -2, -3, -4}, {0.5f, -0.5f, 0.25f, 1, 2, 1, 0, -1}};

static tenon_module *products(void)
{
    tenon_module *module = NULL;
    assert_ok(tenon_module_parse(text, strlen(text), &module));
    return module;
}

static void run(const tenon_module *module, float *input, float *output)
{
    tenon_executable *executable = NULL;
    assert_ok(tenon_compile(module, NULL, &executable));
    tenon_tensor in = TENON_TENSOR(TENON_F32, 2, in_shape, input, 8 * sizeof(float));
    tenon_tensor out = TENON_TENSOR(TENON_F32, 2, out_shape, output, 6 * sizeof(float));
    assert_ok(tenon_run(executable, &in, 1, &out, 1, NULL));
    tenon_executable_release(executable);
}

static void tensors(tenon_tensor *list)
{
    for (int i = 0; i < 2; i++) {
        tenon_tensor tensor = TENON_TENSOR(TENON_F32, 2, in_shape, samples[i], sizeof samples[i]);
        list[i] = tensor;
    }
}

static int32_t count_calls(const char *stage, uint64_t done, uint64_t total, void *user_data)
{
    (void)stage;
    assert_true(done <= total);
    ++*(int *)user_data;
    return 0;
}

static int32_t stop(const char *stage, uint64_t done, uint64_t total, void *user_data)
{
    (void)done;
    (void)total;
    (void)user_data;
    return strcmp(stage, "compare") == 0;
}

static void quantised_with_a_report(void **state)
{
    (void)state;
    tenon_module *before = products(), *after = products();
    tenon_tensor list[2];
    tensors(list);
    tenon_quantize_options options = TENON_QUANTIZE_OPTIONS_INIT;
    int calls = 0;
    options.progress = count_calls;
    options.progress_data = &calls;
    options.calibration = TENON_CALIBRATE_MSE;
    options.activations = TENON_I8;
    options.flags = TENON_QUANTIZE_CORRECT_BIAS | TENON_QUANTIZE_EQUALIZE;
    options.threads = 1;
    tenon_quantization *report = NULL;
    assert_ok(tenon_module_quantize(after, list, 2, 1, &options, &report));
    assert_true(calls > 0);
    assert_int_equal(tenon_quantization_count(report), 2);
    tenon_quantized_layer layer = TENON_QUANTIZED_LAYER_INIT;
    assert_ok(tenon_quantization_get(report, 0, &layer));
    assert_string_equal(layer.name, "a");
    assert_string_equal(layer.op, "matmul");
    assert_string_equal(layer.reason, "");
    assert_int_equal(layer.is_quantized, 1);
    assert_true(layer.error >= 0 && layer.error < 0.1 && !isnan(layer.gained_nanoseconds));
    assert_fails(tenon_quantization_get(report, 2, &layer), TENON_ERROR_INVALID_ARGUMENT, "");
    tenon_quantization_total total = TENON_QUANTIZATION_TOTAL_INIT;
    assert_ok(tenon_quantization_get_total(report, &total));
    assert_true(total.error > 0 && total.error < 0.1 && total.nanoseconds_before > 0 && total.nanoseconds_after > 0);

    float expected[6], found[6], energy = 0, difference = 0;
    run(before, samples[0], expected);
    run(after, samples[0], found);
    for (int i = 0; i < 6; i++) {
        energy += expected[i] * expected[i];
        difference += (found[i] - expected[i]) * (found[i] - expected[i]);
    }
    assert_true(difference < 0.01f * energy);
    tenon_quantization_release(report);
    tenon_module_release(before);
    tenon_module_release(after);
}

static void dynamic_without_samples_or_report(void **state)
{
    (void)state;
    tenon_module *module = products();
    tenon_quantize_options options = TENON_QUANTIZE_OPTIONS_INIT;
    options.mode = TENON_QUANTIZE_DYNAMIC;
    assert_ok(tenon_module_quantize(module, NULL, 0, 0, &options, NULL));
    char *printed = NULL;
    assert_ok(tenon_module_print(module, NULL, &printed));
    assert_non_null(strstr(printed, "dynamic_quantize"));
    tenon_string_release(printed);
    tenon_module_release(module);
}

static void refused(tenon_status status, const tenon_quantize_options *options, const tenon_tensor *list, size_t count, size_t inputs)
{
    tenon_module *module = products(), *copy = products();
    tenon_quantization *report = (tenon_quantization *)&status;
    assert_fails(tenon_module_quantize(module, list, count, inputs, options, &report), status, "");
    assert_null(report);
    assert_true(tenon_last_error_message()[0] != 0);
    int32_t equal = 0;
    assert_ok(tenon_module_equal(module, copy, &equal));
    assert_int_equal(equal, 1);
    tenon_module_release(module);
    tenon_module_release(copy);
}

static void what_is_refused_changes_nothing(void **state)
{
    (void)state;
    tenon_tensor list[2];
    tensors(list);
    const tenon_quantize_options none = TENON_QUANTIZE_OPTIONS_INIT;
    tenon_quantize_options options = none;
    refused(TENON_ERROR_INVALID_ARGUMENT, NULL, NULL, 0, 1);
    refused(TENON_ERROR_INVALID_ARGUMENT, NULL, NULL, 2, 1);
    refused(TENON_ERROR_INVALID_ARGUMENT, NULL, list, 2, 0);
    refused(TENON_ERROR_INVALID_ARGUMENT, NULL, list, SIZE_MAX / 2, SIZE_MAX / 2);
    refused(TENON_ERROR_INVALID_ARGUMENT, NULL, list, 1, 2);
    options.mode = 2;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    options.calibration = 4;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    options.activations = TENON_F32;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    options.flags = 16;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    options.reserved = 1;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    options.percentile = 101;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    options.tolerance = NAN;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    options.threads = 5000;
    refused(TENON_ERROR_INVALID_ARGUMENT, &options, list, 2, 1);
    options = none;
    const char *const unknown[] = {"z"};
    options.excluded = unknown;
    options.excluded_count = 1;
    refused(TENON_ERROR_NOT_FOUND, &options, list, 2, 1);
    options = none;
    options.progress = stop;
    refused(TENON_ERROR_CANCELLED, &options, list, 2, 1);
    options = none;
    options.timeout_nanoseconds = 1;
    refused(TENON_ERROR_DEADLINE_EXCEEDED, &options, list, 2, 1);

    float broken[8] = {0, 0, NAN};
    tenon_tensor bad = TENON_TENSOR(TENON_F32, 2, in_shape, broken, sizeof broken);
    refused(TENON_ERROR_INVALID_ARGUMENT, NULL, &bad, 1, 1);
    assert_non_null(strstr(tenon_last_error_message(), "sample 0: input 'x' expects finite numbers"));
    const int64_t other_shape[] = {4, 2};
    tenon_tensor other = TENON_TENSOR(TENON_F32, 2, other_shape, samples[0], sizeof samples[0]);
    refused(TENON_ERROR_INVALID_SHAPE, NULL, &other, 1, 1);
    other.dtype = TENON_I32;
    other.shape = in_shape;
    refused(TENON_ERROR_INVALID_TYPE, NULL, &other, 1, 1);
    assert_fails(tenon_module_quantize(NULL, list, 2, 1, NULL, NULL), TENON_ERROR_INVALID_ARGUMENT, "");
    assert_int_equal(tenon_quantization_count(NULL), 0);
    tenon_quantization_release(NULL);
}

static void initialisers_are_alike(void **state)
{
    (void)state;
    tenon_quantize_options options, expected = TENON_QUANTIZE_OPTIONS_INIT;
    memset(&options, 0xff, sizeof options);
    tenon_quantize_options_init(&options, sizeof options);
    assert_memory_equal(&options, &expected, sizeof options);
    tenon_quantized_layer layer, expected_layer = TENON_QUANTIZED_LAYER_INIT;
    memset(&layer, 0xff, sizeof layer);
    tenon_quantized_layer_init(&layer, sizeof layer);
    assert_memory_equal(&layer, &expected_layer, sizeof layer);
    tenon_quantization_total total, expected_total = TENON_QUANTIZATION_TOTAL_INIT;
    memset(&total, 0xff, sizeof total);
    tenon_quantization_total_init(&total, sizeof total);
    assert_memory_equal(&total, &expected_total, sizeof total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantised_with_a_report), cmocka_unit_test(dynamic_without_samples_or_report),
        cmocka_unit_test(what_is_refused_changes_nothing), cmocka_unit_test(initialisers_are_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
