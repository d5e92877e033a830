/* Version, status, last error, structures. */
#include "support.h"

#include <pthread.h>

static void version(void **state)
{
    (void)state;
    assert_string_equal(tenon_version(), TENON_VERSION_STRING);
    assert_int_equal(tenon_abi_version(), TENON_ABI_VERSION);
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", TENON_VERSION_MAJOR, TENON_VERSION_MINOR, TENON_VERSION_PATCH);
    assert_string_equal(text, TENON_VERSION_STRING);
}

static void status_names(void **state)
{
    (void)state;
    assert_string_equal(tenon_status_name(TENON_OK), "TENON_OK");
    assert_string_equal(tenon_status_name(TENON_ERROR_INTERNAL), "TENON_ERROR_INTERNAL");
    assert_string_equal(tenon_status_name((tenon_status)12345), "TENON_ERROR_UNKNOWN");
    const int known[] = {0, 10, 11, 12, 20, 21, 22, 30, 31, 40, 50, 51, 52, 53, 54, 60, 61, 90};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_not_equal(tenon_status_name((tenon_status)known[i]), "TENON_ERROR_UNKNOWN");
}

static void dtypes(void **state)
{
    (void)state;
    assert_string_equal(tenon_dtype_name(TENON_BF16), "bf16");
    assert_string_equal(tenon_dtype_name((tenon_dtype)99), "");
    assert_string_equal(tenon_dtype_name((tenon_dtype)-1), "");
    assert_int_equal(tenon_dtype_size(TENON_F64), 8);
    assert_int_equal(tenon_dtype_size(TENON_STRING), 0);
    assert_int_equal(tenon_dtype_size((tenon_dtype)1000), 0);
}

static void *fail_elsewhere(void *unused)
{
    (void)unused;
    if (strcmp(tenon_last_error_message(), "") != 0)
        return "an error of another thread is seen";
    tenon_module *module = NULL;
    if (tenon_module_parse("fn", 2, &module) != TENON_ERROR_PARSE)
        return "no parse error";
    return NULL;
}

static void last_error(void **state)
{
    (void)state;
    assert_string_equal(tenon_last_error_message(), "");
    assert_int_equal(tenon_last_error_copy(NULL, 0), 0);
    assert_fails(tenon_module_create(NULL), TENON_ERROR_INVALID_ARGUMENT, "module is NULL");
    /* A call that succeeds leaves the message. */
    tenon_module *module = NULL;
    assert_ok(tenon_module_create(&module));
    tenon_module_release(module);
    assert_string_equal(tenon_last_error_message(), "module is NULL");
    char small[7] = "xxxxxx";
    assert_int_equal(tenon_last_error_copy(small, sizeof small), strlen("module is NULL"));
    assert_string_equal(small, "module");

    pthread_t thread;
    void *problem = NULL;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, &problem);
    assert_null(problem);
    assert_string_equal(tenon_last_error_message(), "module is NULL");

    tenon_builder *builder = NULL;
    tenon_value value = 7;
    assert_ok(tenon_builder_create(&builder));
    assert_fails(
        tenon_builder_add_call(builder, "nn.relu", NULL, 0, NULL, NULL, &value), TENON_ERROR_INVALID_ARGUMENT, "nn.relu");
    assert_string_equal(tenon_last_error_operator(), "nn.relu");
    assert_string_equal(tenon_last_error_node(), "");
    assert_string_equal(tenon_last_error_expectation(), "1 inputs");
    assert_string_equal(tenon_last_error_found(), "0");
    assert_int_equal(value, TENON_NO_VALUE);
    tenon_builder_release(builder);
}

#define assert_init_equals_macro(type, init, macro)                                                                  \
    do {                                                                                                             \
        type by_macro = macro, by_function;                                                                          \
        memset(&by_function, 0xa5, sizeof by_function);                                                              \
        init(&by_function, sizeof by_function);                                                                      \
        assert_memory_equal(&by_macro, &by_function, sizeof(type));                                                  \
        assert_int_equal(by_macro.struct_size, sizeof(type));                                                        \
        init(NULL, sizeof(type));                                                                                    \
        init(&by_function, 0);                                                                                       \
    } while (0)

static void initialisers(void **state)
{
    (void)state;
    assert_init_equals_macro(tenon_tensor, tenon_tensor_init, TENON_TENSOR_INIT);
    assert_init_equals_macro(tenon_print_options, tenon_print_options_init, TENON_PRINT_OPTIONS_INIT);
    assert_init_equals_macro(tenon_onnx_options, tenon_onnx_options_init, TENON_ONNX_OPTIONS_INIT);
    assert_init_equals_macro(tenon_onnx_save_options, tenon_onnx_save_options_init, TENON_ONNX_SAVE_OPTIONS_INIT);
    assert_init_equals_macro(tenon_pass_options, tenon_pass_options_init, TENON_PASS_OPTIONS_INIT);
    assert_init_equals_macro(
        tenon_executable_options, tenon_executable_options_init, TENON_EXECUTABLE_OPTIONS_INIT);
    assert_init_equals_macro(tenon_model_info, tenon_model_info_init, TENON_MODEL_INFO_INIT);
    assert_init_equals_macro(tenon_machine, tenon_machine_init, TENON_MACHINE_INIT);
    assert_init_equals_macro(tenon_port, tenon_port_init, TENON_PORT_INIT);
    assert_init_equals_macro(tenon_memory, tenon_memory_init, TENON_MEMORY_INIT);
    assert_init_equals_macro(tenon_run_options, tenon_run_options_init, TENON_RUN_OPTIONS_INIT);
}

static void sizes_of_structures(void **state)
{
    (void)state;
    tenon_module *module = support_parse("fn @f() { return 1 }");
    char *text = NULL;
    tenon_print_options options = TENON_PRINT_OPTIONS_INIT;
    options.struct_size = 0;
    assert_fails(tenon_module_print(module, &options, &text), TENON_ERROR_INVALID_ARGUMENT, "struct_size 0");
    options.struct_size = 1u << 30;
    assert_fails(tenon_module_print(module, &options, &text), TENON_ERROR_INVALID_ARGUMENT, "struct_size 1073741824");

    /* A caller of a later version, which knows more fields: fine as long as they are zero. */
    struct {
        tenon_print_options known;
        uint64_t later;
    } newer = {TENON_PRINT_OPTIONS_INIT, 0};
    newer.known.struct_size = sizeof newer;
    assert_ok(tenon_module_print(module, &newer.known, &text));
    tenon_string_release(text);
    newer.later = 1;
    assert_fails(tenon_module_print(module, &newer.known, &text), TENON_ERROR_UNSUPPORTED, "does not know");
    assert_null(text);
    tenon_module_release(module);
}

static void handles_are_told_apart(void **state)
{
    (void)state;
    tenon_module *module = NULL;
    tenon_builder *builder = NULL;
    size_t count = 0;
    assert_ok(tenon_module_create(&module));
    assert_ok(tenon_builder_create(&builder));
    assert_fails(
        tenon_module_verify((tenon_module *)builder), TENON_ERROR_INVALID_ARGUMENT, "handle of another kind");
    assert_fails(tenon_module_verify(NULL), TENON_ERROR_INVALID_ARGUMENT, "tenon_module is NULL");
    count = tenon_module_function_count((tenon_module *)builder);
    assert_int_equal(count, 0);
    /* Released as what it is not: nothing happens. */
    tenon_module_release((tenon_module *)builder);
    assert_fails(tenon_builder_get_type(builder, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "type is NULL");
    tenon_module_release(module);
    tenon_builder_release(builder);
    tenon_module_release(NULL);
    tenon_builder_release(NULL);
    tenon_attributes_release(NULL);
    tenon_executable_release(NULL);
    tenon_results_release(NULL);
    tenon_cancel_token_release(NULL);
    tenon_string_release(NULL);
    tenon_cancel_token_cancel(NULL);
    tenon_cancel_token_reset(NULL);
}

static void registries(void **state)
{
    (void)state;
    int found = 0;
    assert_true(tenon_operator_count() > 20);
    for (size_t i = 0; i < tenon_operator_count(); i++) {
        char *text = NULL;
        assert_ok(tenon_operator_describe(tenon_operator_name(i), &text));
        assert_true(strncmp(text, tenon_operator_name(i), strlen(tenon_operator_name(i))) == 0);
        if (strcmp(tenon_operator_name(i), "nn.conv2d") == 0) {
            found = 1;
            assert_non_null(strstr(text, "attribute strides: list of int = [1, 1]"));
        }
        tenon_string_release(text);
    }
    assert_true(found);
    assert_null(tenon_operator_name(tenon_operator_count()));
    assert_null(tenon_operator_name(SIZE_MAX));
    char *text = (char *)1;
    assert_fails(tenon_operator_describe("nn.nothing", &text), TENON_ERROR_NOT_FOUND, "nn.nothing");
    assert_null(text);

    found = 0;
    for (size_t i = 0; i < tenon_pass_count(); i++)
        found += strcmp(tenon_pass_name(i), "FuseConv2dReshapeAddRelu") == 0
            || strcmp(tenon_pass_name(i), "MergeCompositeFunctions") == 0;
    assert_int_equal(found, 2);
    assert_null(tenon_pass_name(tenon_pass_count()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_error),           cmocka_unit_test(version),      cmocka_unit_test(status_names),
        cmocka_unit_test(dtypes),               cmocka_unit_test(initialisers), cmocka_unit_test(sizes_of_structures),
        cmocka_unit_test(handles_are_told_apart), cmocka_unit_test(registries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
