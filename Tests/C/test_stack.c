/* How much stack calls need at most: 64 KiB for a run, 1 MiB for all others. */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>

static char path[4096];
static tenon_module *module;
static tenon_executable *executable;

static void on_stack(size_t bytes, void *(*body)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *failure = NULL;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, bytes), 0);
    assert_int_equal(pthread_create(&thread, &attributes, body, NULL), 0);
    pthread_join(thread, &failure);
    pthread_attr_destroy(&attributes);
    if (failure)
        print_error("%s\n", (const char *)failure);
    assert_null(failure);
}

static void *make(void *none)
{
    (void)none;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 1;
    char *text = NULL;
    if (tenon_module_load_onnx(path, NULL, &module) != TENON_OK || tenon_module_optimize(module, NULL) != TENON_OK
        || tenon_module_print(module, NULL, &text) != TENON_OK || tenon_compile(module, &options, &executable) != TENON_OK)
        return (void *)tenon_last_error_message();
    tenon_string_release(text);
    return NULL;
}

static void *run(void *none)
{
    static float pixels[28 * 28];
    (void)none;
    tenon_port port = TENON_PORT_INIT;
    tenon_results *results = NULL;
    int64_t shape[8];
    if (tenon_executable_get_input(executable, 0, &port) != TENON_OK)
        return "no input";
    for (int32_t i = 0; i < port.rank && i < 8; i++)
        shape[i] = port.shape[i] < 0 ? 1 : port.shape[i];
    tenon_tensor in = TENON_TENSOR(TENON_F32, (uint32_t)port.rank, shape, pixels, sizeof pixels);
    tenon_status status = tenon_run_new(executable, &in, 1, NULL, &results);
    tenon_results_release(results);
    return status == TENON_OK ? NULL : (void *)tenon_last_error_message();
}

/* As deep as a text may nest. */
static void *nested(void *none)
{
    static char text[1 << 16];
    size_t length = 0;
    tenon_module *parsed = NULL;
    tenon_executable *made = NULL;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 1;
    (void)none;
    length += (size_t)sprintf(text + length, "fn @f0(%%x: f32[2]) -> f32[2] { %%y: f32[2] = nn.relu(%%x) return %%y }\n");
    for (int i = 1; i < 60; i++)
        length += (size_t)sprintf(
            text + length, "fn @f%d(%%x: f32[2]) -> f32[2] { %%y: f32[2] = @f%d(%%x) return %%y }\n", i, i - 1);
    length += (size_t)sprintf(text + length, "fn @main(%%x: f32[2]) -> f32[2] { %%y: f32[2] = @f59(%%x) return %%y }\n");
    if (tenon_module_parse(text, length, &parsed) != TENON_OK || tenon_module_optimize(parsed, NULL) != TENON_OK
        || tenon_compile(parsed, &options, &made) != TENON_OK)
        return (void *)tenon_last_error_message();
    tenon_executable_release(made);
    tenon_module_release(parsed);
    return NULL;
}

static void one_mebibyte_makes_an_executable(void **state)
{
    (void)state;
    on_stack(1 << 20, make);
    on_stack(1 << 20, nested);
}

static void sixty_four_kibibytes_run_it(void **state)
{
    (void)state;
    on_stack(64 << 10, run);
    tenon_executable_release(executable);
    tenon_module_release(module);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_mebibyte_makes_an_executable), cmocka_unit_test(sixty_four_kibibytes_run_it),
    };
    snprintf(path, sizeof path, "%s/digits/digits.onnx", count > 1 ? arguments[1] : "Tests/Fixtures");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
