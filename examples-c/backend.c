/* A backend of one's own: the region add(x, y) -> relu -> multiply by a constant runs on a loop written here.
 *
 * A fusion rule names the backend ("mine.") and asks a check whether the loop can do what matched; the backend reads the region
 * that was made, compiles it, and runs it. The result is compared with the library's own kernels.
 *
 *     cc backend.c $(pkg-config --cflags --libs tenon) -lm && ./a.out */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tenon.h>

/* Ends the program with the library's message when a call fails. */
static void check(tenon_status status)
{
    if (status == TENON_OK)
        return;
    fprintf(stderr, "%s: %s\n", tenon_status_name(status), tenon_last_error_message());
    exit(1);
}

static tenon_value_info look(const tenon_function *function, tenon_value value)
{
    tenon_value_info info = TENON_VALUE_INFO_INIT;
    check(tenon_function_get_value(function, value, &info));
    return info;
}

/* The loop knows neither broadcasts nor other element types. */
static int32_t loop_can_do_it(const tenon_match *match, tenon_reply *reply, void *user_data)
{
    (void)user_data;
    tenon_value x, y, k;
    check(tenon_match_get(match, "x", &x));
    check(tenon_match_get(match, "y", &y));
    check(tenon_match_get(match, "k", &k));
    const tenon_function *function = tenon_match_function(match);
    const tenon_value_info a = look(function, x), b = look(function, y), c = look(function, k);
    if (a.dtype != TENON_F32 || c.byte_count != sizeof(float)) {
        tenon_reply_set_reason(reply, a.type, "f32, and one number to multiply with");
        return TENON_REFUSE;
    }
    if (strcmp(a.type, b.type) != 0) {
        tenon_reply_set_reason(reply, b.type, a.type);
        return TENON_REFUSE;
    }
    return TENON_ACCEPT;
}

/* ------------------------------------------------------------------------------------------------ the backend -- */

struct loop {
    size_t count;
    float factor;
};

static int32_t loop_compile(
    const tenon_function *region, uint32_t threads, tenon_region *made, tenon_reply *reply, void *user_data)
{
    (void)threads;
    (void)user_data;
    /* The region returns the call of a function that carries Composite; its last binding is the product. */
    const tenon_value *results, *bindings;
    size_t result_count, binding_count;
    const tenon_function *composite;
    if (tenon_function_get_results(region, &results, &result_count) != TENON_OK || result_count != 1 ||
        tenon_function_get_callee(region, results[0], &composite) != TENON_OK ||
        tenon_function_get_bindings(composite, &bindings, &binding_count) != TENON_OK || binding_count != 3) {
        tenon_reply_set_reason(reply, "a region of another form", "one composite of three operators");
        return TENON_REFUSE;
    }
    const tenon_value_info product = look(composite, bindings[2]);
    const tenon_value_info factor = look(composite, product.inputs[1]);
    struct loop *loop = malloc(sizeof *loop);
    if (loop == NULL)
        return TENON_FAIL;
    loop->count = 1;
    for (int32_t axis = 0; axis < product.rank; axis++)
        loop->count *= (size_t)product.shape[axis];
    memcpy(&loop->factor, factor.data, sizeof loop->factor);
    made->handle = loop;
    made->implementation = "mine:loop";
    return TENON_ACCEPT;
}

static int32_t loop_run(
    void *handle, const tenon_tensor *inputs, size_t input_count, const tenon_tensor *outputs, size_t output_count,
    void *workspace, tenon_reply *reply, void *user_data)
{
    (void)workspace;
    (void)user_data;
    if (input_count != 2 || output_count != 1) {
        tenon_reply_set_reason(reply, "other operands", "two inputs and one output");
        return TENON_FAIL;
    }
    const struct loop *loop = handle;
    const float *x = inputs[0].data, *y = inputs[1].data;
    float *out = outputs[0].data;
    for (size_t i = 0; i < loop->count; i++) {
        const float sum = x[i] + y[i];
        out[i] = sum > 0 ? sum * loop->factor : 0;
    }
    return TENON_ACCEPT;
}

static void loop_release(void *handle, void *user_data)
{
    (void)user_data;
    free(handle);
}

/* ------------------------------------------------------------------------------------------------ the program -- */

enum { ROWS = 64, COLUMNS = 256, ELEMENTS = ROWS * COLUMNS };

static float x[ELEMENTS], y[ELEMENTS], by_loop[ELEMENTS], by_reference[ELEMENTS];

static void run(const tenon_executable *executable, float *result)
{
    const int64_t shape[] = {ROWS, COLUMNS};
    const tenon_tensor in[] = {
        TENON_TENSOR(TENON_F32, 2, shape, x, sizeof x), TENON_TENSOR(TENON_F32, 2, shape, y, sizeof y)};
    const tenon_tensor out = TENON_TENSOR(TENON_F32, 2, shape, result, sizeof by_loop);
    check(tenon_run(executable, in, 2, &out, 1, NULL));
}

int main(void)
{
    static const char text[] =
        "fn @main(%x: f32[64,256], %y: f32[64,256]) {"
        "  dataflow {"
        "    %e = exp(%y)"
        "    %sum = add(%x, %e) %r = nn.relu(%sum) %scaled = multiply(%r, const f32[](0.5))"
        "    %z = tanh(%scaled)"
        "    output %z"
        "  }"
        "  return %z"
        "}";
    tenon_module *module = NULL;
    tenon_executable *reference = NULL, *executable = NULL;
    char *print = NULL;
    check(tenon_module_parse(text, sizeof text - 1, &module));
    tenon_executable_options yardstick = TENON_EXECUTABLE_OPTIONS_INIT;
    yardstick.flags = TENON_COMPILE_REFERENCE;
    check(tenon_compile(module, &yardstick, &reference));

    tenon_fusion_rule rule = TENON_FUSION_RULE_INIT;
    rule.name = "mine.add_relu_scale";
    rule.text = "multiply(nn.relu(add(%x, %y)), %k: const)";
    rule.flags = TENON_RULE_CLOSED;
    rule.check = loop_can_do_it;
    check(tenon_module_fuse_rules(module, &rule, 1, TENON_FUSE_ANNOTATE, NULL));
    check(tenon_module_print(module, NULL, &print));
    printf("%s\n", print);
    tenon_string_release(print);

    tenon_backend backend = TENON_BACKEND_INIT;
    backend.name = "mine";
    backend.compile = loop_compile;
    backend.run = loop_run;
    backend.release = loop_release;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.backends = &backend;
    options.backend_count = 1;
    check(tenon_compile(module, &options, &executable));
    tenon_module_release(module);

    for (int i = 0; i < ELEMENTS; i++) {
        x[i] = (float)(i % 17) - 8;
        y[i] = (float)(i % 13) / 13 - 0.5f;
    }
    run(reference, by_reference);
    run(executable, by_loop);
    float largest = 0;
    for (int i = 0; i < ELEMENTS; i++)
        largest = fmaxf(largest, fabsf(by_loop[i] - by_reference[i]));
    check(tenon_executable_report(executable, &print));
    printf("%s\ndifference %g\n", print, (double)largest);
    const int ran = strstr(print, "mine:loop") != NULL;
    tenon_string_release(print);
    tenon_executable_release(executable);
    tenon_executable_release(reference);
    return ran && largest < 1e-5f ? 0 : 1;
}
