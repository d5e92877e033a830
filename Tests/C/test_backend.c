/* A backend of a host: compiled, run, released, refused, failing. */
#include <math.h>
#include <pthread.h>

#include "support.h"

struct mine {
    int compiled;
    int running;
    int released;
    int32_t compile_verdict;
    int32_t run_verdict;
    uint64_t workspace;
    const char *reason;
    int weights_known;
};

/* What one region keeps. */
struct kernel {
    struct mine *mine;
    const float *scale;
    size_t count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* relu(x) * scale, where scale is a scalar that is known or an input. */
static int32_t compile(
    const tenon_function *function, uint32_t threads, tenon_region *region, tenon_reply *reply, void *user_data)
{
    struct mine *mine = user_data;
    mine->compiled++;
    assert_true(threads >= 1);
    assert_int_equal(region->struct_size, sizeof *region);
    const tenon_attributes *attributes = NULL;
    const char *codegen = NULL;
    assert_ok(tenon_function_get_attributes(function, &attributes));
    assert_ok(tenon_attributes_get_string(attributes, "Codegen", &codegen));
    assert_string_equal(codegen, "mine");
    if (mine->reason != NULL)
        assert_ok(tenon_reply_set_reason(reply, mine->reason, NULL));
    if (mine->compile_verdict != TENON_ACCEPT)
        return mine->compile_verdict;

    /* The call of the composite, the composite, its bindings. */
    const tenon_value *results = NULL, *bindings = NULL;
    size_t count = 0;
    tenon_value_info info = TENON_VALUE_INFO_INIT;
    const tenon_function *composite = NULL;
    assert_ok(tenon_function_get_results(function, &results, &count));
    assert_int_equal(count, 1);
    assert_ok(tenon_function_get_value(function, results[0], &info));
    assert_int_equal(info.kind, TENON_VALUE_LOCAL_CALL);
    assert_ok(tenon_function_get_callee(function, results[0], &composite));
    assert_ok(tenon_function_get_bindings(composite, &bindings, &count));
    assert_int_equal(count, 2);
    assert_ok(tenon_function_get_value(composite, bindings[0], &info));
    assert_string_equal(info.callee, "nn.relu");
    assert_ok(tenon_function_get_value(composite, bindings[1], &info));
    assert_string_equal(info.callee, "multiply");
    struct kernel *kernel = calloc(1, sizeof *kernel);
    kernel->mine = mine;
    kernel->count = 1;
    for (int32_t axis = 0; axis < info.rank; axis++) {
        assert_true(info.shape[axis] >= 0);
        kernel->count *= (size_t)info.shape[axis];
    }
    tenon_value scale = info.inputs[1];
    assert_ok(tenon_function_get_value(composite, scale, &info));
    if (info.kind == TENON_VALUE_CONSTANT) {
        mine->weights_known++;
        kernel->scale = info.data;
    }
    region->handle = kernel;
    region->workspace_bytes = mine->workspace;
    region->packed_weight_bytes = 12;
    region->implementation = "mine:relu_scale";
    return TENON_ACCEPT;
}

static int32_t run(
    void *handle, const tenon_tensor *inputs, size_t input_count, const tenon_tensor *outputs, size_t output_count,
    void *workspace, tenon_reply *reply, void *user_data)
{
    struct kernel *kernel = handle;
    pthread_mutex_lock(&lock);
    ((struct mine *)user_data)->running++;
    pthread_mutex_unlock(&lock);
    if (kernel->mine->run_verdict != TENON_ACCEPT) {
        if (kernel->mine->reason != NULL)
            tenon_reply_set_reason(reply, kernel->mine->reason, NULL);
        return kernel->mine->run_verdict;
    }
    if (input_count < 1 || output_count != 1 || inputs[0].byte_count != kernel->count * sizeof(float))
        return TENON_FAIL;
    const float *x = inputs[0].data;
    float *y = outputs[0].data;
    float scale = kernel->scale != NULL ? *kernel->scale : *(const float *)inputs[1].data;
    if (kernel->mine->workspace > 0) {
        float *copy = workspace;
        if ((uintptr_t)workspace % 64 != 0)
            return TENON_FAIL;
        memcpy(copy, x, kernel->count * sizeof(float));
        x = copy;
    }
    for (size_t i = 0; i < kernel->count; i++)
        y[i] = (x[i] > 0 ? x[i] : 0) * scale;
    return TENON_ACCEPT;
}

static void release(void *handle, void *user_data)
{
    pthread_mutex_lock(&lock);
    ((struct mine *)user_data)->released++;
    pthread_mutex_unlock(&lock);
    free(handle);
}

static tenon_backend backend(struct mine *mine)
{
    tenon_backend backend = TENON_BACKEND_INIT;
    backend.name = "mine";
    backend.compile = compile;
    backend.run = run;
    backend.release = release;
    backend.user_data = mine;
    return backend;
}

static tenon_module *partitioned(const char *text)
{
    tenon_module *module = support_parse(text);
    assert_ok(tenon_module_fuse(module, "mine.scaled = multiply(nn.relu(*), *)", TENON_FUSE_ANNOTATE, NULL));
    return module;
}

static const char *const known =
    "fn @main(%x: f32[2,3]) { dataflow { %t = tanh(%x) %r = nn.relu(%t) %y = multiply(%r, const f32[](3)) output %y }"
    " return %y }";

static void check_run(const tenon_executable *executable)
{
    const int64_t shape[] = {2, 3};
    float x[] = {-1, 0, 1, 2, -3, 0.5f}, y[6] = {9, 9, 9, 9, 9, 9};
    tenon_tensor in = TENON_TENSOR(TENON_F32, 2, shape, x, sizeof x);
    tenon_tensor out = TENON_TENSOR(TENON_F32, 2, shape, y, sizeof y);
    assert_ok(tenon_run(executable, &in, 1, &out, 1, NULL));
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(y[i] - (x[i] > 0 ? tanhf(x[i]) * 3 : 0)) < 1e-5f);
}

static void *run_often(void *executable)
{
    for (int i = 0; i < 50; i++)
        check_run(executable);
    return NULL;
}

/* D-04: a region runs on the host's kernel, with the same numbers as without. */
static void regions_run_on_the_host(void **state)
{
    (void)state;
    struct mine mine = {0, 0, 0, TENON_ACCEPT, TENON_ACCEPT, 24, NULL, 0};
    tenon_backend one = backend(&mine);
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.backends = &one;
    options.backend_count = 1;
    options.concurrent_runs = 2;
    tenon_module *module = partitioned(known);
    tenon_executable *executable = NULL;
    assert_ok(tenon_compile(module, &options, &executable));
    tenon_module_release(module);
    assert_int_equal(mine.compiled, 1);
    assert_int_equal(mine.weights_known, 1);
    check_run(executable);
    assert_int_equal(mine.running, 1);
    char *report = NULL;
    assert_ok(tenon_executable_report(executable, &report));
    assert_non_null(strstr(report, "mine:relu_scale"));
    tenon_string_release(report);
    tenon_memory memory = TENON_MEMORY_INIT;
    assert_ok(tenon_executable_get_memory(executable, &memory));
    assert_true(memory.packed_weights >= 12);

    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, executable), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(mine.running, 201);
    assert_int_equal(mine.released, 0);
    tenon_executable_release(executable);
    assert_int_equal(mine.released, 1);
}

/* A symbolic size: one compilation per shape, with numbers. */
static void shapes_are_numbers(void **state)
{
    (void)state;
    struct mine mine = {0, 0, 0, TENON_ACCEPT, TENON_ACCEPT, 0, NULL, 0};
    tenon_backend one = backend(&mine);
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.backends = &one;
    options.backend_count = 1;
    tenon_module *module = partitioned(
        "fn @main(%x: f32[n,3], %k: f32[]) { dataflow { %r = nn.relu(%x) %y = multiply(%r, %k) output %y } return %y }");
    tenon_executable *executable = NULL;
    assert_ok(tenon_compile(module, &options, &executable));
    tenon_module_release(module);
    float x[12], y[12], k = 2;
    for (int i = 0; i < 12; i++)
        x[i] = (float)i - 5;
    for (int64_t n = 1; n <= 4; n++) {
        const int64_t shape[] = {n, 3};
        const size_t size = (size_t)n * 3 * sizeof(float);
        tenon_tensor in[] = {
            TENON_TENSOR(TENON_F32, 2, shape, x, size), TENON_TENSOR(TENON_F32, 0, NULL, &k, sizeof k)};
        tenon_tensor out = TENON_TENSOR(TENON_F32, 2, shape, y, size);
        assert_ok(tenon_run(executable, in, 2, &out, 1, NULL));
        for (int64_t i = 0; i < n * 3; i++)
            assert_true(y[i] == (x[i] > 0 ? x[i] * 2 : 0));
    }
    assert_int_equal(mine.compiled, 4);
    assert_int_equal(mine.weights_known, 0);
    tenon_executable_release(executable);
    assert_int_equal(mine.released, 4);
}

/* What the backend refuses runs on the library's kernels. */
static void refused_regions_run_anyway(void **state)
{
    (void)state;
    struct mine mine = {0, 0, 0, TENON_REFUSE, TENON_ACCEPT, 0, "too small", 0};
    tenon_backend one = backend(&mine);
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.backends = &one;
    options.backend_count = 1;
    tenon_module *module = partitioned(known);
    tenon_executable *executable = NULL;
    assert_ok(tenon_compile(module, &options, &executable));
    tenon_module_release(module);
    assert_int_equal(mine.compiled, 1);
    check_run(executable);
    assert_int_equal(mine.running, 0);
    /* The report and the steps say why. */
    char *report = NULL;
    assert_ok(tenon_executable_report(executable, &report));
    assert_non_null(strstr(report, "backend 'mine' refuses it: too small"));
    tenon_string_release(report);
    tenon_profile *profile = NULL;
    assert_ok(tenon_executable_get_profile(executable, &profile));
    tenon_step step = TENON_STEP_INIT;
    assert_ok(tenon_profile_get(profile, 1, &step));
    assert_non_null(strstr(step.note, "too small"));
    assert_non_null(strstr(step.region, "fused_"));
    /* A caller built before there were notes gets what it knows. */
    tenon_step old = TENON_STEP_INIT;
    old.struct_size = (uint32_t)offsetof(tenon_step, note);
    old.note = "untouched";
    assert_ok(tenon_profile_get(profile, 0, &old));
    assert_string_equal(old.note, "untouched");
    tenon_profile_release(profile);
    tenon_executable_release(executable);
    assert_int_equal(mine.released, 0);
}

static void failures_name_the_region(void **state)
{
    (void)state;
    struct mine mine = {0, 0, 0, TENON_FAIL, TENON_ACCEPT, 0, "no device", 0};
    tenon_backend one = backend(&mine);
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.backends = &one;
    options.backend_count = 1;
    tenon_module *module = partitioned(known);
    tenon_executable *executable = NULL;
    assert_fails(
        tenon_compile(module, &options, &executable), TENON_ERROR_BACKEND, "backend 'mine': compile failed: no device");
    assert_non_null(strstr(tenon_last_error_message(), "region 'fused_"));
    assert_null(executable);
    mine.compile_verdict = 42;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_BACKEND, "compile returned 42");
    mine.compile_verdict = TENON_ACCEPT;
    mine.reason = NULL;
    mine.workspace = UINT64_MAX;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_BACKEND, "asks for 18446744073709551615");
    assert_int_equal(mine.released, 1);
    mine.workspace = 0;
    assert_ok(tenon_compile(module, &options, &executable));

    const int64_t shape[] = {2, 3};
    float x[6] = {0}, y[6];
    tenon_tensor in = TENON_TENSOR(TENON_F32, 2, shape, x, sizeof x);
    tenon_tensor out = TENON_TENSOR(TENON_F32, 2, shape, y, sizeof y);
    mine.run_verdict = TENON_FAIL;
    mine.reason = "lost power";
    assert_fails(
        tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_BACKEND, "backend 'mine': run failed: lost power");
    assert_non_null(strstr(tenon_last_error_node(), "fused_"));
    mine.reason = NULL;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_BACKEND, "run failed: no reason given");
    mine.run_verdict = -7;
    assert_fails(tenon_run(executable, &in, 1, &out, 1, NULL), TENON_ERROR_BACKEND, "run returned -7");
    mine.run_verdict = TENON_ACCEPT;
    check_run(executable);
    tenon_executable_release(executable);
    assert_int_equal(mine.released, 2);

    one.name = "other";
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_NOT_FOUND, "no backend 'mine'; known:");
    one.name = NULL;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_INVALID_ARGUMENT, "backend 0: name is NULL");
    one = backend(&mine);
    one.run = NULL;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_INVALID_ARGUMENT, "compile or run is NULL");
    tenon_backend two[] = {backend(&mine), backend(&mine)};
    options.backends = two;
    options.backend_count = 2;
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_INVALID_ARGUMENT, "two backends are called");
    /* Options of an older header know no backends. */
    options.struct_size = (uint32_t)offsetof(tenon_executable_options, progress);
    assert_fails(tenon_compile(module, &options, &executable), TENON_ERROR_NOT_FOUND, "no backend 'mine'");
    tenon_module_release(module);
}

/* The pass RunCodegen offers regions beforehand: what is refused loses Codegen. */
static void run_codegen_offers_regions(void **state)
{
    (void)state;
    struct mine mine = {0, 0, 0, TENON_ACCEPT, TENON_ACCEPT, 0, NULL, 0};
    tenon_backend one = backend(&mine);
    tenon_pass_options options = TENON_PASS_OPTIONS_INIT;
    tenon_module *module = partitioned(known), *copy = NULL;
    assert_ok(tenon_module_copy(module, &copy));
    assert_fails(
        tenon_module_apply(module, "RunCodegen", &options), TENON_ERROR_NOT_FOUND, "RunCodegen: @fused_");
    options.backends = &one;
    options.backend_count = 1;
    int32_t equal = 0;
    assert_ok(tenon_module_apply(module, "RunCodegen", &options));
    assert_ok(tenon_module_equal(module, copy, &equal));
    assert_true(equal);
    assert_int_equal(mine.compiled, 1);
    assert_int_equal(mine.released, 1);
    mine.compile_verdict = TENON_FAIL;
    assert_fails(
        tenon_module_apply(module, "RunCodegen", &options), TENON_ERROR_BACKEND, "RunCodegen: ");
    assert_ok(tenon_module_equal(module, copy, &equal));
    assert_true(equal);
    mine.compile_verdict = TENON_REFUSE;
    mine.reason = "too small";
    assert_ok(tenon_module_apply(module, "RunCodegen", &options));
    char *explanation = NULL;
    assert_ok(tenon_module_explain(module, NULL, TENON_EXPLAIN_TEXT, NULL, &explanation));
    assert_non_null(strstr(explanation, "refused"));
    assert_non_null(strstr(explanation, "backend 'mine' refuses it: too small"));
    tenon_string_release(explanation);
    assert_ok(tenon_module_equal(module, copy, &equal));
    assert_false(equal);
    tenon_executable *executable = NULL;
    assert_ok(tenon_compile(module, NULL, &executable));
    check_run(executable);
    tenon_executable_release(executable);
    tenon_module_release(module);
    tenon_module_release(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_run_on_the_host),    cmocka_unit_test(shapes_are_numbers),
        cmocka_unit_test(refused_regions_run_anyway), cmocka_unit_test(failures_name_the_region),
        cmocka_unit_test(run_codegen_offers_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
