/* Passes and instruments that a host brings. */
#include "support.h"

static const char *const chain =
    "fn @main(%x: f32[4]) { dataflow { %a = nn.relu(%x) %b = nn.relu(%a) %z = tanh(%x) output %b } return %b }";

static int equal(const tenon_module *module, const char *expected)
{
    tenon_module *other = support_parse(expected);
    int32_t same = 0;
    assert_ok(tenon_module_equal(module, other, &same));
    tenon_module_release(other);
    return same;
}

static int32_t rewrite_relu(tenon_module *module, tenon_reply *reply, void *user_data)
{
    (void)reply;
    assert_ok(tenon_module_rewrite(
        module,
        "fn @before(%x: object) { %y = nn.relu(%x) return %y } fn @after(%x: object) { %y = abs(%x) return %y }", NULL));
    return *(int32_t *)user_data;
}

static tenon_pass pass(const char *name, tenon_pass_function run, void *user_data)
{
    tenon_pass pass = TENON_PASS_INIT;
    pass.name = name;
    pass.run = run;
    pass.user_data = user_data;
    return pass;
}

static void host_passes_run_among_others(void **state)
{
    (void)state;
    int32_t verdict = TENON_ACCEPT;
    tenon_pass passes[] = {pass("EliminateDeadCode", NULL, NULL), pass("mine.abs", rewrite_relu, &verdict)};
    tenon_module *module = support_parse(chain);
    assert_ok(tenon_module_apply_passes(module, passes, 2, NULL));
    assert_true(equal(
        module, "fn @main(%x: f32[4]) { dataflow { %a = abs(%x) %b = abs(%a) output %b } return %b }"));
    tenon_module_release(module);
}

static void failing_passes_change_nothing(void **state)
{
    (void)state;
    int32_t verdict = TENON_FAIL;
    tenon_pass passes[] = {pass("EliminateDeadCode", NULL, NULL), pass("mine.abs", rewrite_relu, &verdict)};
    tenon_module *module = support_parse(chain);
    assert_fails(
        tenon_module_apply_passes(module, passes, 2, NULL), TENON_ERROR_CALLBACK,
        "pass 'mine.abs' failed: no reason given");
    assert_true(equal(module, chain));
    verdict = 99;
    assert_fails(
        tenon_module_apply_passes(module, passes, 2, NULL), TENON_ERROR_CALLBACK, "pass 'mine.abs' returned 99");
    assert_true(equal(module, chain));
    passes[1].name = "NoSuchPass";
    passes[1].run = NULL;
    assert_fails(tenon_module_apply_passes(module, passes, 2, NULL), TENON_ERROR_NOT_FOUND, "NoSuchPass");
    passes[1].name = NULL;
    assert_fails(
        tenon_module_apply_passes(module, passes, 2, NULL), TENON_ERROR_INVALID_ARGUMENT, "pass 1: name is NULL");
    passes[1] = pass("x", rewrite_relu, &verdict);
    passes[1].optimization_level = 4;
    assert_fails(
        tenon_module_apply_passes(module, passes, 2, NULL), TENON_ERROR_INVALID_ARGUMENT, "optimization_level is 4");
    assert_fails(tenon_module_apply_passes(module, NULL, 2, NULL), TENON_ERROR_INVALID_ARGUMENT, "passes is NULL");
    assert_true(equal(module, chain));
    /* What a pass that refuses has changed does not count. */
    verdict = TENON_REFUSE;
    passes[1].optimization_level = 0;
    assert_ok(tenon_module_apply_passes(module, passes + 1, 1, NULL));
    assert_true(equal(module, chain));
    tenon_module_release(module);
}

static void options_say_which_passes_run(void **state)
{
    (void)state;
    int32_t verdict = TENON_ACCEPT;
    const char *name = "mine.abs";
    tenon_pass one = pass(name, rewrite_relu, &verdict);
    one.optimization_level = 3;
    tenon_module *module = support_parse(chain);
    assert_ok(tenon_module_apply_passes(module, &one, 1, NULL));
    assert_true(equal(module, chain));
    tenon_pass_options options = TENON_PASS_OPTIONS_INIT;
    options.optimization_level = 3;
    options.disabled_passes = &name;
    options.disabled_pass_count = 1;
    assert_ok(tenon_module_apply_passes(module, &one, 1, &options));
    assert_true(equal(module, chain));
    tenon_pass_options required = TENON_PASS_OPTIONS_INIT;
    required.required_passes = &name;
    required.required_pass_count = 1;
    assert_ok(tenon_module_apply_passes(module, &one, 1, &required));
    assert_false(equal(module, chain));
    tenon_module_release(module);
}

static size_t count(tenon_module *module, const char *part)
{
    char *text;
    size_t found = 0;
    assert_ok(tenon_module_print(module, NULL, &text));
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        found++;
    tenon_string_release(text);
    return found;
}

static void passes_take_arguments(void **state)
{
    (void)state;
    static const char text[] =
        "fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3,3], %v: f32[5,4,3,3]) { dataflow { "
        "%a = nn.conv2d(%x, %w) %b = nn.relu(%a) %c = nn.conv2d(%b, %v) output %c } return %c }";
    const char *layouts[] = {"NHWC", "OHWI"}, *wrong[] = {"NHWC", "OHWX"};
    tenon_module *module = support_parse(text);
    tenon_attributes *arguments;
    tenon_pass_options options = TENON_PASS_OPTIONS_INIT;
    assert_ok(tenon_attributes_create(&arguments));
    options.arguments = arguments;
    assert_ok(tenon_attributes_set_strings(arguments, "nn.conv2d", wrong, 2));
    assert_fails(
        tenon_module_apply(module, "ConvertLayout", &options), TENON_ERROR_INVALID_ARGUMENT,
        "expected an order of the letters OIHW, found 'OHWX'");
    assert_true(equal(module, text));
    assert_ok(tenon_attributes_set_strings(arguments, "nn.conv2d", layouts, 2));
    assert_ok(tenon_module_apply(module, "ConvertLayout", &options));
    assert_int_equal(count(module, "data_layout=\"NHWC\""), 2);
    assert_int_equal(count(module, "= permute_dims("), 4);
    assert_fails(
        tenon_module_apply(module, "CombineParallelMatmul", &options), TENON_ERROR_INVALID_ARGUMENT,
        "'CombineParallelMatmul' takes no arguments");
    tenon_attributes_release(arguments);
    tenon_module_release(module);
}

/* A pass that looks at one dataflow block at a time, in C: blocks as functions, and back. */
static void blocks_are_functions_for_a_while(void **state)
{
    (void)state;
    tenon_module *module = support_parse(chain);
    assert_ok(tenon_module_apply(module, "OutlineDataflowBlocks", NULL));
    assert_int_equal(count(module, "DataflowBlock=true"), 1);
    assert_int_equal(tenon_module_function_count(module), 2);
    assert_ok(tenon_module_apply(module, "InlineDataflowBlocks", NULL));
    assert_true(equal(module, chain));
    tenon_module_release(module);
}

/* ------------------------------------------------------------------------------------------------ instruments -- */

struct heard {
    char text[4096];
    const char *skip;
    int32_t before;
    int32_t after;
    size_t functions;
    uint64_t nanoseconds;
};

static int32_t hear_before(const tenon_pass_event *event, tenon_reply *reply, void *user_data)
{
    struct heard *heard = user_data;
    char line[256];
    snprintf(line, sizeof line, "%*s<%s\n", (int)event->depth, "", event->name);
    strncat(heard->text, line, sizeof heard->text - strlen(heard->text) - 1);
    assert_int_equal(event->struct_size, sizeof *event);
    assert_int_equal(event->nanoseconds, 0);
    heard->functions = tenon_module_function_count(event->module);
    if (heard->skip != NULL && strcmp(heard->skip, event->name) == 0)
        return TENON_REFUSE;
    if (heard->before == TENON_FAIL)
        assert_ok(tenon_reply_set_reason(reply, "no", NULL));
    return heard->before;
}

static int32_t hear_after(const tenon_pass_event *event, tenon_reply *reply, void *user_data)
{
    (void)reply;
    struct heard *heard = user_data;
    char line[256];
    snprintf(line, sizeof line, "%*s>%s\n", (int)event->depth, "", event->name);
    strncat(heard->text, line, sizeof heard->text - strlen(heard->text) - 1);
    assert_true(event->nanoseconds > 0);
    heard->nanoseconds += event->nanoseconds;
    char *text = support_print(event->module);
    assert_non_null(strstr(text, "@main"));
    tenon_string_release(text);
    return heard->after;
}

static tenon_pass_options listening(tenon_instrument *instrument, struct heard *heard)
{
    *instrument = (tenon_instrument)TENON_INSTRUMENT_INIT;
    instrument->before = hear_before;
    instrument->after = hear_after;
    instrument->user_data = heard;
    tenon_pass_options options = TENON_PASS_OPTIONS_INIT;
    options.instruments = instrument;
    options.instrument_count = 1;
    options.flags = TENON_PASS_VERIFY;
    return options;
}

static void instruments_hear_of_passes(void **state)
{
    (void)state;
    struct heard heard = {"", NULL, TENON_ACCEPT, TENON_ACCEPT, 0, 0};
    tenon_instrument instrument;
    tenon_pass_options options = listening(&instrument, &heard);
    int32_t verdict = TENON_ACCEPT;
    tenon_pass passes[] = {pass("EliminateDeadCode", NULL, NULL), pass("mine.abs", rewrite_relu, &verdict)};
    tenon_module *module = support_parse(chain);
    assert_ok(tenon_module_apply_passes(module, passes, 2, &options));
    assert_string_equal(heard.text, "<EliminateDeadCode\n>EliminateDeadCode\n<mine.abs\n>mine.abs\n");
    assert_true(heard.nanoseconds > 0);
    assert_int_equal(heard.functions, 1);

    /* Passes inside of passes are deeper. */
    heard.text[0] = 0;
    assert_ok(tenon_module_optimize(module, &options));
    assert_non_null(strstr(heard.text, "\n <FoldConstant\n >FoldConstant\n"));
    assert_int_equal(heard.text[0], '<');
    tenon_module_release(module);
}

static void instruments_leave_passes_out(void **state)
{
    (void)state;
    struct heard heard = {"", "mine.abs", TENON_ACCEPT, TENON_ACCEPT, 0, 0};
    tenon_instrument instrument;
    tenon_pass_options options = listening(&instrument, &heard);
    int32_t verdict = TENON_ACCEPT;
    tenon_pass one = pass("mine.abs", rewrite_relu, &verdict);
    tenon_module *module = support_parse(chain);
    assert_ok(tenon_module_apply_passes(module, &one, 1, &options));
    assert_string_equal(heard.text, "<mine.abs\n");
    assert_true(equal(module, chain));
    tenon_module_release(module);
}

static void failing_instruments_change_nothing(void **state)
{
    (void)state;
    struct heard heard = {"", NULL, TENON_FAIL, TENON_ACCEPT, 0, 0};
    tenon_instrument instrument;
    tenon_pass_options options = listening(&instrument, &heard);
    tenon_module *module = support_parse(chain);
    assert_fails(
        tenon_module_apply(module, "EliminateDeadCode", &options), TENON_ERROR_CALLBACK,
        "pass 'EliminateDeadCode': the instrument before it failed: no");
    assert_true(equal(module, chain));
    heard.before = TENON_ACCEPT;
    heard.after = 5;
    assert_fails(
        tenon_module_apply(module, "EliminateDeadCode", &options), TENON_ERROR_CALLBACK,
        "the instrument after it returned 5");
    assert_true(equal(module, chain));
    heard.after = TENON_REFUSE;
    instrument.flags = 1;
    assert_fails(
        tenon_module_apply(module, "EliminateDeadCode", &options), TENON_ERROR_INVALID_ARGUMENT, "instrument 0: flags is 1");
    instrument.flags = 0;
    options.flags = 2;
    assert_fails(
        tenon_module_apply(module, "EliminateDeadCode", &options), TENON_ERROR_INVALID_ARGUMENT, "flags 2");
    options.flags = 0;
    assert_ok(tenon_module_apply(module, "EliminateDeadCode", &options));
    assert_false(equal(module, chain));
    tenon_module_release(module);
}

/* A program built before instruments were there passes a shorter structure. */
static void shorter_options_still_work(void **state)
{
    (void)state;
    tenon_pass_options options = TENON_PASS_OPTIONS_INIT;
    options.struct_size = (uint32_t)offsetof(tenon_pass_options, flags);
    options.flags = 0xffffffff;
    tenon_module *module = support_parse(chain);
    assert_ok(tenon_module_apply(module, "EliminateDeadCode", &options));
    options.struct_size -= 8;
    assert_fails(
        tenon_module_apply(module, "EliminateDeadCode", &options), TENON_ERROR_INVALID_ARGUMENT, "struct_size");
    tenon_module_release(module);
}

/* Functions move from one module to another. */
static void functions_are_put_into_modules(void **state)
{
    (void)state;
    tenon_module *from = support_parse("fn @f(%x: f32[4]) { dataflow { %y = abs(%x) output %y } return %y }");
    tenon_module *to = support_parse(chain);
    tenon_function *function = NULL;
    assert_ok(tenon_module_get_function(from, "f", &function));
    tenon_module_release(from);
    assert_ok(tenon_module_set_function(to, "main", function));
    assert_true(equal(to, "fn @main(%x: f32[4]) { dataflow { %y = abs(%x) output %y } return %y }"));
    assert_fails(tenon_module_set_function(to, "", function), TENON_ERROR_INVALID_ARGUMENT, "name is empty");
    assert_fails(tenon_module_set_function(to, "g", NULL), TENON_ERROR_INVALID_ARGUMENT, "tenon_function");
    tenon_function_release(function);
    from = support_parse(
        "fn @g(%x: f32[4]) { %y = abs(%x) return %y } fn @f(%x: f32[4]) { %y: f32[4] = @g(%x) return %y }");
    assert_ok(tenon_module_get_function(from, "f", &function));
    assert_fails(tenon_module_set_function(to, "main", function), TENON_ERROR_NOT_FOUND, "g");
    assert_true(equal(to, "fn @main(%x: f32[4]) { dataflow { %y = abs(%x) output %y } return %y }"));
    tenon_function_release(function);
    tenon_module_release(from);
    tenon_module_release(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_passes_run_among_others),    cmocka_unit_test(failing_passes_change_nothing),
        cmocka_unit_test(options_say_which_passes_run),    cmocka_unit_test(passes_take_arguments),
        cmocka_unit_test(blocks_are_functions_for_a_while), cmocka_unit_test(instruments_hear_of_passes),
        cmocka_unit_test(instruments_leave_passes_out),    cmocka_unit_test(failing_instruments_change_nothing),
        cmocka_unit_test(shorter_options_still_work),      cmocka_unit_test(functions_are_put_into_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
