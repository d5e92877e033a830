/* Profiles, drawings, comparisons. */
#include "support.h"

#include <math.h>

static const int64_t in_shape[] = {1, 3, 6, 6}, out_shape[] = {1, 4, 6, 6};
static float x[3 * 6 * 6], y[4 * 6 * 6];

static tenon_module *fused(void)
{
    tenon_module *module = support_conv_bias_relu();
    assert_ok(tenon_module_optimize(module, NULL));
    return module;
}

static tenon_executable *compiled(const tenon_module *module)
{
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 1;
    tenon_executable *executable = NULL;
    assert_ok(tenon_compile(module, &options, &executable));
    return executable;
}

static void run(const tenon_executable *executable, uint32_t flags)
{
    tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
    tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
    tenon_run_options options = TENON_RUN_OPTIONS_INIT;
    options.flags = flags;
    assert_ok(tenon_run(executable, &in, 1, &out, 1, &options));
}

static void steps_have_names_and_times(void **state)
{
    (void)state;
    tenon_module *module = fused();
    tenon_executable *executable = compiled(module);
    tenon_profile *before = NULL, *after = NULL;
    run(executable, 0);
    assert_ok(tenon_executable_get_profile(executable, &before));
    assert_true(tenon_profile_count(before) >= 1);
    assert_int_equal(tenon_profile_total(before), 0);
    run(executable, TENON_RUN_PROFILE);
    assert_ok(tenon_executable_get_profile(executable, &after));
    /* They stay when what they came from is gone. */
    tenon_executable_release(executable);
    tenon_module_release(module);

    uint64_t sum = 0, flops = 0;
    for (size_t i = 0; i < tenon_profile_count(after); i++) {
        tenon_step step = TENON_STEP_INIT;
        assert_ok(tenon_profile_get(after, i, &step));
        assert_true(step.binding[0] && step.composite[0] && step.implementation[0]);
        sum += step.nanoseconds;
        flops += step.flops;
        assert_ok(tenon_profile_get(before, i, &step));
        assert_int_equal(step.nanoseconds, 0);
    }
    assert_true(sum > 0 && sum <= tenon_profile_total(after));
    /* 4 x 6 x 6 outputs of 3 x 3 x 3 products each, a product and a sum. */
    assert_int_equal(flops, 2 * 4 * 6 * 6 * 27);

    tenon_step step = TENON_STEP_INIT;
    assert_int_equal(tenon_profile_get(after, tenon_profile_count(after), &step), TENON_ERROR_INVALID_ARGUMENT);
    step.struct_size = 8;
    assert_int_equal(tenon_profile_get(after, 0, &step), TENON_ERROR_INVALID_ARGUMENT);
    tenon_profile_release(before);
    tenon_profile_release(after);
}

static void texts(void **state)
{
    (void)state;
    tenon_module *module = fused();
    tenon_executable *executable = compiled(module);
    run(executable, TENON_RUN_PROFILE);
    tenon_profile *profile = NULL;
    assert_ok(tenon_executable_get_profile(executable, &profile));
    char *table = NULL, *report = NULL, *trace = NULL, *plain = NULL, *timed = NULL, *json = NULL;
    assert_ok(tenon_profile_print(profile, TENON_PROFILE_TABLE, &table));
    assert_ok(tenon_executable_report(executable, &report));
    assert_string_equal(table, report);
    assert_ok(tenon_profile_print(profile, TENON_PROFILE_TRACE, &trace));
    assert_non_null(strstr(trace, "traceEvents"));
    assert_ok(tenon_module_draw(module, NULL, TENON_DRAW_DOT, &plain));
    assert_ok(tenon_module_draw(module, profile, TENON_DRAW_DOT, &timed));
    assert_ok(tenon_module_draw(module, profile, TENON_DRAW_JSON, &json));
    assert_non_null(strstr(plain, "cluster_"));
    assert_null(strstr(plain, "\xc2\xb5s"));
    assert_non_null(strstr(timed, "\xc2\xb5s"));
    char *texts[] = {table, report, trace, plain, timed, json};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        tenon_string_release(texts[i]);

    char *text = (char *)"";
    assert_int_equal(tenon_profile_print(profile, 2, &text), TENON_ERROR_INVALID_ARGUMENT);
    assert_null(text);
    assert_int_equal(tenon_profile_print(NULL, 0, &text), TENON_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tenon_module_draw(module, NULL, 2, &text), TENON_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tenon_module_draw(module, (const tenon_profile *)executable, 0, &text), TENON_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tenon_module_draw(module, profile, 0, NULL), TENON_ERROR_INVALID_ARGUMENT);
    tenon_module *empty = NULL;
    assert_ok(tenon_module_create(&empty));
    assert_int_equal(tenon_module_draw(empty, NULL, 0, &text), TENON_ERROR_NOT_FOUND);
    tenon_module_release(empty);
    tenon_profile_release(profile);
    tenon_profile_release(NULL);
    assert_int_equal(tenon_profile_count(NULL), 0);
    assert_int_equal(tenon_profile_total(NULL), 0);
    tenon_executable_release(executable);
    tenon_module_release(module);
}

static void comparisons(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)(i % 11) / 11 - 0.4f;
    tenon_module *module = fused();
    tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
    tenon_comparison *comparison = NULL;
    assert_ok(tenon_module_compare(module, NULL, &in, 1, 0, 0, &comparison));
    assert_int_equal(tenon_comparison_count(comparison), 1);
    tenon_difference difference = TENON_DIFFERENCE_INIT;
    assert_ok(tenon_comparison_get(comparison, 0, &difference));
    assert_int_equal(difference.is_within_tolerance, 1);
    assert_string_equal(difference.type, "f32[1,4,6,6]");
    assert_true(difference.name[0] && difference.absolute < 1e-4);
    assert_int_equal(tenon_comparison_get(comparison, 1, &difference), TENON_ERROR_INVALID_ARGUMENT);
    tenon_comparison_release(comparison);

    assert_int_equal(tenon_module_compare(module, NULL, &in, 1, -1, 0, &comparison), TENON_ERROR_INVALID_ARGUMENT);
    assert_null(comparison);
    assert_int_equal(tenon_module_compare(module, NULL, &in, 1, 0, (double)NAN, &comparison), TENON_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tenon_module_compare(module, NULL, NULL, 1, 0, 0, &comparison), TENON_ERROR_INVALID_ARGUMENT);
    assert_int_equal(tenon_module_compare(module, NULL, NULL, 0, 0, 0, &comparison), TENON_ERROR_INVALID_ARGUMENT);
    in.shape = out_shape;
    in.byte_count = 0;
    assert_int_equal(tenon_module_compare(module, NULL, &in, 1, 0, 0, NULL), TENON_ERROR_INVALID_ARGUMENT);
    tenon_comparison_release(NULL);
    assert_int_equal(tenon_comparison_count(NULL), 0);
    tenon_module_release(module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_have_names_and_times), cmocka_unit_test(texts), cmocka_unit_test(comparisons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
