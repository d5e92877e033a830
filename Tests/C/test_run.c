/* Passes, compiling, running. */
#include "support.h"

#include <math.h>
#include <pthread.h>

enum { INPUT = 3 * 6 * 6, OUTPUT = 4 * 6 * 6 };

static const int64_t in_shape[] = {1, 3, 6, 6}, out_shape[] = {1, 4, 6, 6};

static void fill(float *values, int count, unsigned seed)
{
    for (int i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / (float)(1 << 24) - 0.5f;
    }
}

/* What support_conv_bias_relu means, written out. */
static void reference(const float *x, float *y)
{
    const float bias[4] = {0.5f, -0.5f, 0.25f, 0};
    for (int o = 0; o < 4; o++)
        for (int h = 0; h < 6; h++)
            for (int w = 0; w < 6; w++) {
                double sum = bias[o];
                for (int c = 0; c < 3; c++)
                    for (int i = 0; i < 3; i++)
                        for (int j = 0; j < 3; j++) {
                            int row = h + i - 1, column = w + j - 1;
                            if (row < 0 || row >= 6 || column < 0 || column >= 6)
                                continue;
                            int index = ((o * 3 + c) * 3 + i) * 3 + j;
                            float weight = (float)(index % 7) / 7 - 0.4f;
                            sum += (double)weight * x[(c * 6 + row) * 6 + column];
                        }
                y[(o * 6 + h) * 6 + w] = sum > 0 ? (float)sum : 0;
            }
}

static void expect_close(const float *a, const float *b, int count)
{
    for (int i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) < 1e-4f))
            fail_msg("element %d is %g, expected %g", i, (double)a[i], (double)b[i]);
}

static tenon_executable *compile(const tenon_module *module, uint32_t flags)
{
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 2;
    options.flags = flags;
    tenon_executable *executable = NULL;
    assert_ok(tenon_compile(module, &options, &executable));
    return executable;
}

static void run_and_compare(tenon_executable *executable, unsigned seed)
{
    float x[INPUT], y[OUTPUT], expected[OUTPUT];
    fill(x, INPUT, seed);
    memset(y, 0xff, sizeof y);
    reference(x, expected);
    tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
    tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
    assert_ok(tenon_run(executable, &in, 1, &out, 1, NULL));
    expect_close(y, expected, OUTPUT);
}

static void count_functions(const tenon_module *module, int *composites, int *regions)
{
    *composites = *regions = 0;
    for (size_t i = 0; i < tenon_module_function_count(module); i++) {
        tenon_attributes *attributes = NULL;
        assert_ok(tenon_module_get_attributes(module, tenon_module_function_name(module, i), &attributes));
        const char *text = NULL;
        if (tenon_attributes_kind(attributes, "Composite") == TENON_ATTRIBUTE_STRING) {
            assert_ok(tenon_attributes_get_string(attributes, "Composite", &text));
            assert_string_equal(text, "dnnl.conv2d_reshape_add_relu");
            ++*composites;
        }
        if (tenon_attributes_kind(attributes, "Codegen") == TENON_ATTRIBUTE_STRING) {
            assert_ok(tenon_attributes_get_string(attributes, "Codegen", &text));
            assert_string_equal(text, "dnnl");
            assert_int_equal(tenon_attributes_kind(attributes, "global_symbol"), TENON_ATTRIBUTE_STRING);
            ++*regions;
        }
        tenon_attributes_release(attributes);
    }
}

static void fuse_merge_run(void **state)
{
    (void)state;
    int composites, regions;
    tenon_module *module = support_conv_bias_relu();
    tenon_executable *plain = compile(module, TENON_COMPILE_UNOPTIMIZED);
    run_and_compare(plain, 1);

    assert_ok(tenon_module_apply(module, "FuseConv2dReshapeAddRelu", NULL));
    count_functions(module, &composites, &regions);
    assert_int_equal(composites, 1);
    assert_int_equal(regions, 0);
    assert_ok(tenon_module_apply(module, "MergeCompositeFunctions", NULL));
    count_functions(module, &composites, &regions);
    assert_int_equal(composites, 0);
    assert_int_equal(regions, 1);
    tenon_executable *fused = compile(module, 0);
    tenon_executable *yardstick = compile(module, TENON_COMPILE_REFERENCE | TENON_COMPILE_REPRODUCIBLE);
    tenon_module_release(module);
    run_and_compare(fused, 2);
    run_and_compare(fused, 3);
    run_and_compare(yardstick, 3);
    tenon_executable_release(plain);
    tenon_executable_release(fused);
    tenon_executable_release(yardstick);
}

static int has_region(tenon_executable *executable)
{
    tenon_profile *profile = NULL;
    int found = 0;
    assert_ok(tenon_executable_get_profile(executable, &profile));
    for (size_t i = 0; i < tenon_profile_count(profile); i++) {
        tenon_step step = TENON_STEP_INIT;
        assert_ok(tenon_profile_get(profile, i, &step));
        found |= step.region[0] != 0;
    }
    tenon_profile_release(profile);
    return found;
}

/* A module is optimised when nobody has fused anything in it, and the module itself stays as it was. */
static void optimises_unless_told_not_to(void **state)
{
    (void)state;
    tenon_module *module = support_conv_bias_relu(), *before = NULL;
    assert_ok(tenon_module_copy(module, &before));
    assert_int_equal(tenon_module_is_fused(module), 0);
    tenon_executable *fast = compile(module, 0), *plain = compile(module, TENON_COMPILE_UNOPTIMIZED);
    tenon_executable *reference = compile(module, TENON_COMPILE_REFERENCE);
    int32_t equal = 0;
    assert_ok(tenon_module_equal(module, before, &equal));
    assert_int_equal(equal, 1);
    assert_true(has_region(fast));
    assert_false(has_region(plain));
    assert_false(has_region(reference));
    run_and_compare(fast, 1);
    run_and_compare(plain, 1);
    /* Composites alone: somebody has decided what is fused, and made no region of it. */
    assert_ok(tenon_module_apply(module, "FuseConv2dReshapeAddRelu", NULL));
    assert_int_equal(tenon_module_is_fused(module), 1);
    tenon_executable *composite = compile(module, 0);
    assert_false(has_region(composite));
    run_and_compare(composite, 1);
    assert_int_equal(tenon_module_is_fused(NULL), 0);
    assert_int_equal(tenon_executable_threads(fast), 2);
    assert_int_equal(tenon_executable_threads(NULL), 0);
    tenon_module_release(module);
    tenon_module_release(before);
    tenon_executable_release(fast);
    tenon_executable_release(plain);
    tenon_executable_release(reference);
    tenon_executable_release(composite);
}

static void options_of_passes(void **state)
{
    (void)state;
    int composites, regions;
    const char *const rules[] = {"dnnl.conv2d_reshape_add_relu"};
    tenon_module *module = support_conv_bias_relu();
    tenon_pass_options options = TENON_PASS_OPTIONS_INIT;
    options.disabled_rules = rules;
    options.disabled_rule_count = 1;
    assert_ok(tenon_module_apply(module, "FuseConv2dReshapeAddRelu", &options));
    count_functions(module, &composites, &regions);
    assert_int_equal(composites, 0);
    assert_fails(tenon_module_apply(module, "Fuse", NULL), TENON_ERROR_NOT_FOUND, "unknown pass 'Fuse'");
    assert_fails(tenon_module_apply(module, NULL, NULL), TENON_ERROR_INVALID_ARGUMENT, "pass is NULL");
    options.disabled_rules = NULL;
    assert_fails(tenon_module_optimize(module, &options), TENON_ERROR_INVALID_ARGUMENT, "disabled_rules");
    options.disabled_rule_count = 0;
    options.optimization_level = 9;
    assert_fails(tenon_module_optimize(module, &options), TENON_ERROR_INVALID_ARGUMENT, "optimization_level is 9");
    assert_ok(tenon_module_optimize(module, NULL));
    count_functions(module, &composites, &regions);
    assert_int_equal(regions, 1);
    tenon_executable *executable = compile(module, 0);
    run_and_compare(executable, 4);
    tenon_executable_release(executable);
    tenon_module_release(module);
    /* Folding leaves a call that cannot be computed to the run. */
    module = support_parse("fn @main() { dataflow { %a = take(const f32[1](1), const i64[1](2)) {axis=0} output %a } return %a }");
    assert_ok(tenon_module_optimize(module, NULL));
    tenon_module_release(module);
    module = support_parse("fn @other() { return 1 }");
    tenon_executable *none = NULL;
    assert_fails(tenon_compile(module, NULL, &none), TENON_ERROR_NOT_FOUND, "main");
    assert_null(none);
    tenon_module_release(module);
}

static void tensors_are_checked(void **state)
{
    (void)state;
    float x[INPUT] = {0}, y[OUTPUT];
    const int64_t other[] = {1, 3, 6, 7}, negative[] = {1, 3, 6, -6};
    tenon_module *module = support_conv_bias_relu();
    tenon_executable *executable = compile(module, 0);
    tenon_module_release(module);
    const tenon_tensor good_in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
    const tenon_tensor good_out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
    tenon_tensor in = good_in, out = good_out;

    assert_fails(tenon_run(executable, NULL, 0, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "expected 1 inputs, found 0");
    assert_fails(tenon_run(executable, &in, 1, NULL, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "NULL");
    assert_fails(tenon_run(executable, &in, SIZE_MAX, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "expected 1");
    in.shape = other;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_SHAPE, "'x'");
    in.shape = negative;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_SHAPE, "'x'");
    in.shape = NULL;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "shape is NULL");
    in = good_in;
    in.rank = 3;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_SHAPE, "'x'");
    in.rank = UINT32_MAX;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_SHAPE, "rank");
    in = good_in;
    in.dtype = TENON_F64;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_TYPE, "'x'");
    in.dtype = 4711;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_TYPE, "4711");
    in = good_in;
    in.data = NULL;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "'x'");
    in = good_in;
    in.byte_count = sizeof x - 1;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "'x'");
    in.byte_count = SIZE_MAX;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "byte_count");
    in = good_in;
    in.flags = 1;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "flags");
    in = good_in;
    in.struct_size = 8;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "struct_size 8");
    out.shape = other;
    assert_fails(tenon_run(executable, &good_in, 1, &out, 1, NULL), TENON_ERROR_INVALID_SHAPE, "'y'");
    out = good_out;
    const int64_t strides[] = {1, 1, 1, 1};
    out.strides = strides;
    assert_fails(tenon_run(executable, &good_in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "'y'");
    tenon_run_options options = TENON_RUN_OPTIONS_INIT;
    options.flags = 64;
    assert_fails(tenon_run(executable, &good_in, 1, &good_out, 1, &options), TENON_ERROR_INVALID_ARGUMENT, "flags 64");
    assert_fails(tenon_run(NULL, &good_in, 1, &good_out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "tenon_executable is NULL");
    run_and_compare(executable, 5);
    tenon_executable_release(executable);
}

static void strided_input(void **state)
{
    (void)state;
    float nhwc[INPUT], x[INPUT], y[OUTPUT], expected[OUTPUT];
    fill(nhwc, INPUT, 9);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 36; i++)
            x[c * 36 + i] = nhwc[i * 3 + c];
    reference(x, expected);
    tenon_module *module = support_conv_bias_relu();
    assert_ok(tenon_module_optimize(module, NULL));
    tenon_executable *executable = compile(module, 0);
    tenon_module_release(module);
    const int64_t strides[] = {INPUT, 1, 18, 3};
    tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, nhwc, sizeof nhwc);
    in.strides = strides;
    tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
    assert_ok(tenon_run(executable, &in, 1, &out, 1, NULL));
    expect_close(y, expected, OUTPUT);
    const int64_t far[] = {0, INT64_MAX / 2, 1, 1};
    in.strides = far;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "'x'");
    tenon_executable_release(executable);
}

static void questions(void **state)
{
    (void)state;
    tenon_module *module = support_conv_bias_relu();
    assert_ok(tenon_module_optimize(module, NULL));
    tenon_executable *executable = compile(module, 0);
    tenon_module_release(module);
    assert_int_equal(tenon_executable_input_count(executable), 1);
    assert_int_equal(tenon_executable_output_count(executable), 1);
    assert_int_equal(tenon_executable_input_count(NULL), 0);
    tenon_port port = TENON_PORT_INIT;
    assert_ok(tenon_executable_get_input(executable, 0, &port));
    assert_string_equal(port.name, "x");
    assert_string_equal(port.type, "f32[1,3,6,6]");
    assert_int_equal(port.dtype, TENON_F32);
    assert_int_equal(port.rank, 4);
    assert_int_equal(port.shape[1], 3);
    assert_ok(tenon_executable_get_output(executable, 0, &port));
    assert_string_equal(port.type, "f32[1,4,6,6]");
    assert_fails(tenon_executable_get_output(executable, 1, &port), TENON_ERROR_INVALID_ARGUMENT, "index 1");
    assert_fails(tenon_executable_get_output(executable, SIZE_MAX, &port), TENON_ERROR_INVALID_ARGUMENT, "out of range");
    assert_fails(tenon_executable_get_input(executable, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "tenon_port is NULL");

    tenon_memory memory = TENON_MEMORY_INIT;
    assert_ok(tenon_executable_get_memory(executable, &memory));
    assert_true(memory.packed_weights + memory.constants + memory.arena > 0);
    run_and_compare(executable, 11);
    assert_ok(tenon_executable_trim(executable));
    run_and_compare(executable, 12);

    float x[INPUT] = {0}, y[OUTPUT];
    tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
    tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
    tenon_run_options options = TENON_RUN_OPTIONS_INIT;
    options.flags = TENON_RUN_PROFILE;
    assert_ok(tenon_run(executable, &in, 1, &out, 1, &options));
    char *text = NULL;
    assert_ok(tenon_executable_report(executable, &text));
    assert_non_null(strstr(text, "dnnl.conv2d"));
    assert_non_null(strstr(text, "total"));
    tenon_string_release(text);
    tenon_executable_release(executable);
}

static void ending_early(void **state)
{
    (void)state;
    float x[INPUT] = {0}, y[OUTPUT];
    tenon_module *module = support_conv_bias_relu();
    tenon_executable *executable = compile(module, 0);
    tenon_module_release(module);
    tenon_cancel_token *token = NULL;
    assert_ok(tenon_cancel_token_create(&token));
    tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
    tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
    tenon_run_options options = TENON_RUN_OPTIONS_INIT;
    options.cancel = token;
    options.timeout_nanoseconds = UINT64_MAX;
    assert_ok(tenon_run(executable, &in, 1, &out, 1, &options));
    tenon_cancel_token_cancel(token);
    assert_fails(tenon_run(executable, &in, 1, &out, 1, &options), TENON_ERROR_CANCELLED, "cancelled");
    tenon_cancel_token_reset(token);
    assert_ok(tenon_run(executable, &in, 1, &out, 1, &options));
    options.timeout_nanoseconds = 1;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, &options), TENON_ERROR_DEADLINE_EXCEEDED, "deadline");
    options.cancel = (tenon_cancel_token *)executable;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, &options), TENON_ERROR_INVALID_ARGUMENT, "another kind");
    tenon_cancel_token_release(token);
    tenon_executable_release(executable);
}

static void shapes_on_demand(void **state)
{
    (void)state;
    tenon_module *module = support_parse(
        "fn @main(%x: f32[n,4], %y: f32[1,4]) {\n"
        "  dataflow { %s = add(%x, %y) %r = nn.relu(%s) output %r }\n"
        "  return %r\n"
        "}\n");
    tenon_executable *executable = compile(module, 0);
    tenon_module_release(module);
    tenon_port port = TENON_PORT_INIT;
    assert_ok(tenon_executable_get_output(executable, 0, &port));
    assert_string_equal(port.type, "f32[n,4]");
    assert_true(port.shape[0] == TENON_DIM_UNKNOWN);

    const int64_t five[] = {5, 4}, one[] = {1, 4};
    const int64_t *shapes[] = {five, one};
    const uint32_t ranks[] = {2, 2};
    assert_ok(tenon_executable_prepare(executable, shapes, ranks, 2));
    assert_fails(tenon_executable_prepare(executable, shapes, ranks, 1), TENON_ERROR_INVALID_ARGUMENT, "2 inputs");
    uint64_t bytes = 77;
    int32_t is_complete = -1;
    assert_ok(tenon_executable_get_run_bytes(executable, shapes, ranks, 2, &bytes, &is_complete));
    assert_true(bytes < 1 << 20 && is_complete == 1);
    assert_fails(
        tenon_executable_get_run_bytes(executable, shapes, ranks, 2, NULL, NULL), TENON_ERROR_INVALID_ARGUMENT, "bytes");
    for (int64_t n = 0; n < 6; n++) {
        float x[20], y[4] = {1, -1, 0, 2};
        fill(x, 20, 3);
        const int64_t shape[] = {n, 4};
        tenon_tensor in[] = {
            TENON_TENSOR(TENON_F32, 2, shape, x, 0), TENON_TENSOR(TENON_F32, 2, one, y, sizeof y)};
        tenon_results *results = NULL;
        assert_ok(tenon_run_new(executable, in, 2, NULL, &results));
        assert_int_equal(tenon_results_count(results), 1);
        tenon_tensor out = TENON_TENSOR_INIT;
        assert_ok(tenon_results_get(results, 0, &out));
        assert_int_equal(out.dtype, TENON_F32);
        assert_int_equal(out.rank, 2);
        assert_true(out.shape[0] == n && out.shape[1] == 4);
        for (int64_t i = 0; i < n * 4; i++) {
            float expected = x[i] + y[i % 4] > 0 ? x[i] + y[i % 4] : 0;
            assert_true(fabsf(((float *)out.data)[i] - expected) < 1e-6f);
        }
        assert_fails(tenon_results_get(results, 1, &out), TENON_ERROR_INVALID_ARGUMENT, "index 1");
        tenon_results_release(results);
    }
    tenon_executable_release(executable);
}

/* An addend of several values behind a convolution of one channel: some oneDNN convolutions read only its first. */
static void one_output_channel(void **state)
{
    (void)state;
    const char *const addends[] = {"f32[4,1](1, 2, 3, 4)", "f32[1,1,4,1](1, 2, 3, 4)", "f32[1,1,1,3](1, 2, 3)"};
    for (size_t i = 0; i < sizeof addends / sizeof *addends; i++)
        for (int64_t width = 1; width <= 3; width += 2) {
            char text[512];
            float x[2 * 4 * 3], y[2][4 * 3];
            const int64_t shape[] = {1, 2, 4, width}, result[] = {1, 1, 4, width};
            if (i == 2 && width == 1)
                continue;
            snprintf(text, sizeof text,
                "fn @main(%%x: f32[1,2,4,%d]) { dataflow { %%c = nn.conv2d(%%x, const f32[1,2,1,1](1, -1))"
                " %%y = add(%%c, const %s) output %%y } return %%y }", (int)width, addends[i]);
            fill(x, 2 * 4 * 3, (unsigned)i);
            tenon_module *module = support_parse(text);
            assert_ok(tenon_module_optimize(module, NULL));
            for (uint32_t k = 0; k < 2; k++) {
                tenon_executable *executable = compile(module, k == 0 ? 0 : TENON_COMPILE_REFERENCE);
                tenon_tensor in = TENON_TENSOR(TENON_F32, 4, shape, x, 0);
                tenon_tensor out = TENON_TENSOR(TENON_F32, 4, result, y[k], 0);
                assert_ok(tenon_run(executable, &in, 1, &out, 1, NULL));
                tenon_executable_release(executable);
            }
            tenon_module_release(module);
            expect_close(y[0], y[1], 4 * (int)width);
        }
}

/* Scale and shift per channel of several images with one place each, as after a global pooling. */
static void one_place_per_channel(void **state)
{
    (void)state;
    const int64_t shape[] = {3, 4, 1, 1};
    float x[12], y[2][12];
    tenon_module *module = support_parse(
        "fn @main(%x: f32[3,4,1,1]) { dataflow {"
        " %a = multiply(%x, const f32[1,4,1,1](1, 2, 3, 4))"
        " %b = add(%a, const f32[1,4,1,1](-1, 1, -2, 2))"
        " output %b } return %b }");
    fill(x, 12, 5);
    assert_ok(tenon_module_optimize(module, NULL));
    for (uint32_t k = 0; k < 2; k++) {
        tenon_executable *executable = compile(module, k == 0 ? 0 : TENON_COMPILE_REFERENCE);
        tenon_tensor in = TENON_TENSOR(TENON_F32, 4, shape, x, sizeof x);
        tenon_tensor out = TENON_TENSOR(TENON_F32, 4, shape, y[k], sizeof y[k]);
        assert_ok(tenon_run(executable, &in, 1, &out, 1, NULL));
        tenon_executable_release(executable);
    }
    tenon_module_release(module);
    expect_close(y[0], y[1], 12);
}

struct job {
    tenon_executable *executable;
    unsigned seed;
    int wrong;
};

static void *run_often(void *argument)
{
    struct job *job = argument;
    for (unsigned i = 0; i < 20; i++) {
        float x[INPUT], y[OUTPUT], expected[OUTPUT];
        fill(x, INPUT, job->seed + i);
        reference(x, expected);
        tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
        tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
        if (tenon_run(job->executable, &in, 1, &out, 1, NULL) != TENON_OK)
            job->wrong++;
        for (int k = 0; k < OUTPUT; k++)
            job->wrong += !(fabsf(y[k] - expected[k]) < 1e-4f);
    }
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    tenon_module *module = support_conv_bias_relu();
    assert_ok(tenon_module_optimize(module, NULL));
    tenon_executable *executable = compile(module, 0);
    tenon_module_release(module);
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){executable, i * 100, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].wrong, 0);
    }
    tenon_executable_release(executable);
}

static void compile_options(void **state)
{
    (void)state;
    tenon_module *module = support_conv_bias_relu();
    tenon_executable *executable = NULL;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 5000;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_INVALID_ARGUMENT, "threads is 5000");
    options.threads = 1;
    options.flags = 32;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_INVALID_ARGUMENT, "flags 32");
    options.flags = 0;
    options.spin = 3;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_INVALID_ARGUMENT, "spin is 3");
    options.spin = 0;
    options.memory_limit = 16;
    tenon_status status = tenon_compile(module, &options, &executable);
    if (status == TENON_OK) {
        float x[INPUT] = {0}, y[OUTPUT];
        tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
        tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
        status = tenon_run(executable, &in, 1, &out, 1, NULL);
    }
    assert_int_equal(status, TENON_ERROR_LIMIT_EXCEEDED);
    tenon_executable_release(executable);
    executable = NULL;
    options.memory_limit = UINT64_MAX;
    options.cached_bytes = UINT64_MAX;
    options.concurrent_runs = UINT32_MAX;
    options.cached_shapes = UINT32_MAX;
    assert_ok(tenon_compile(module, &options, &executable));
    run_and_compare(executable, 20);
    tenon_executable_release(executable);
    assert_fails(tenon_compile(NULL, NULL, &executable), TENON_ERROR_INVALID_ARGUMENT, "tenon_module is NULL");
    assert_fails(tenon_compile(module, NULL, NULL), TENON_ERROR_INVALID_ARGUMENT, "executable is NULL");
    tenon_module_release(module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimises_unless_told_not_to),
        cmocka_unit_test(fuse_merge_run), cmocka_unit_test(options_of_passes),  cmocka_unit_test(tensors_are_checked),
        cmocka_unit_test(strided_input),  cmocka_unit_test(questions),          cmocka_unit_test(ending_early),
        cmocka_unit_test(shapes_on_demand), cmocka_unit_test(many_threads),     cmocka_unit_test(compile_options),
        cmocka_unit_test(one_output_channel),
        cmocka_unit_test(one_place_per_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
