/* Patterns built node by node: what they print, what they match, what they refuse. */
#include "support.h"

static tenon_pattern *made[512];
static size_t made_count;

/* Keeps a pattern for release at the end of the test. */
static tenon_pattern *keep(tenon_pattern *pattern)
{
    assert_non_null(pattern);
    assert_true(made_count < sizeof made / sizeof *made);
    return made[made_count++] = pattern;
}

static int release_all(void **state)
{
    (void)state;
    while (made_count > 0)
        tenon_pattern_release(made[--made_count]);
    return 0;
}

static tenon_pattern *any(void)
{
    tenon_pattern *pattern = NULL;
    assert_ok(tenon_pattern_wildcard(&pattern));
    return keep(pattern);
}

static tenon_pattern *call(const char *op, const tenon_pattern *a, const tenon_pattern *b, uint32_t flags)
{
    tenon_pattern *callee = NULL, *pattern = NULL;
    const tenon_pattern *arguments[] = {a, b};
    assert_ok(tenon_pattern_operator(op, &callee));
    keep(callee);
    assert_ok(tenon_pattern_call(callee, arguments, (a != NULL) + (b != NULL), flags, &pattern));
    return keep(pattern);
}

static tenon_pattern *named(const tenon_pattern *inner, const char *name)
{
    tenon_pattern *pattern = NULL;
    assert_ok(tenon_pattern_named(inner, name, &pattern));
    return keep(pattern);
}

/* The pattern prints as `text`, and what that reads as prints the same. */
static void prints(const tenon_pattern *pattern, const char *text)
{
    char *found = NULL, *again = NULL;
    tenon_pattern *parsed = NULL;
    assert_ok(tenon_pattern_print(pattern, &found));
    assert_string_equal(found, text);
    assert_ok(tenon_pattern_parse(found, &parsed));
    assert_ok(tenon_pattern_print(parsed, &again));
    assert_string_equal(found, again);
    tenon_string_release(found);
    tenon_string_release(again);
    tenon_pattern_release(parsed);
}

static tenon_function *function(const char *text)
{
    tenon_module *module = support_parse(text);
    tenon_function *main = NULL;
    assert_ok(tenon_module_get_function(module, "main", &main));
    tenon_module_release(module);
    return main;
}

static tenon_value binding(const tenon_function *function, size_t index)
{
    const tenon_value *values = NULL;
    size_t count = 0;
    assert_ok(tenon_function_get_bindings(function, &values, &count));
    assert_true(index < count);
    return values[index];
}

static int matches(const tenon_pattern *pattern, const tenon_function *function, tenon_value value)
{
    tenon_match *match = NULL;
    assert_ok(tenon_pattern_match(pattern, function, value, &match));
    tenon_match_release(match);
    return match != NULL;
}

/* M-01: leaves. */
static void leaves_print(void **state)
{
    (void)state;
    tenon_pattern *p = NULL;
    prints(any(), "*");
    assert_ok(tenon_pattern_variable(NULL, &p));
    prints(keep(p), "var");
    assert_ok(tenon_pattern_variable("x", &p));
    prints(keep(p), "var \"x\"");
    assert_ok(tenon_pattern_dataflow_variable("x", &p));
    prints(keep(p), "dfvar \"x\"");
    assert_ok(tenon_pattern_global_variable(NULL, &p));
    prints(keep(p), "gvar");
    assert_ok(tenon_pattern_constant(&p));
    prints(keep(p), "const");
    assert_ok(tenon_pattern_constant_value(0.5, 1e-5, &p));
    prints(keep(p), "const(0.5)");
    assert_ok(tenon_pattern_constant_value(0.5, 0.01, &p));
    prints(keep(p), "const(0.5, tolerance=0.01)");
    assert_ok(tenon_pattern_literal("shape[1,n]", &p));
    prints(keep(p), "shape[1,n]");
    assert_ok(tenon_pattern_literal("4", &p));
    prints(keep(p), "4");
    assert_ok(tenon_pattern_literal("f16", &p));
    prints(keep(p), "literal f16");
    assert_ok(tenon_pattern_literal("const f32[2](1, 2)", &p));
    prints(keep(p), "const f32[2](1.0, 2.0)");
}

/* M-02 to M-10: everything that holds other patterns. */
static void compositions_print(void **state)
{
    (void)state;
    tenon_pattern *p = NULL, *q = NULL;
    prints(call("nn.relu", any(), NULL, 0), "nn.relu(*)");
    prints(call("reshape", any(), NULL, TENON_CALL_VARIADIC), "reshape(*, ...)");
    prints(call("reshape", NULL, NULL, TENON_CALL_VARIADIC), "reshape(...)");
    prints(call("maximum", any(), any(), TENON_CALL_COMMUTATIVE), "commutative maximum(*, *)");
    prints(call("add", any(), any(), TENON_CALL_ORDERED), "ordered add(*, *)");
    assert_ok(tenon_pattern_external("f", &p));
    keep(p);
    const tenon_pattern *two[] = {any(), any()};
    assert_ok(tenon_pattern_call(p, two, 2, 0, &q));
    prints(keep(q), "extern \"f\"(*, *)");
    assert_ok(tenon_pattern_tuple(two, 2, 0, &p));
    prints(keep(p), "tuple(*, *)");
    assert_ok(tenon_pattern_tuple_get_item(p, 1, &q));
    prints(keep(q), "tuple(*, *).1");
    assert_fails(tenon_pattern_tuple_get_item(p, 2, &q), TENON_ERROR_INVALID_ARGUMENT, "2 fields");
    assert_null(q);
    assert_ok(tenon_pattern_tuple_get_item(two[0], -1, &q));
    prints(keep(q), "*.?");
    assert_ok(tenon_pattern_tuple(two, 2, 1, &p));
    prints(keep(p), "unordered(*, *)");
    assert_ok(tenon_pattern_or(call("nn.relu", any(), NULL, 0), call("tanh", any(), NULL, 0), &p));
    prints(keep(p), "nn.relu(*) | tanh(*)");
    assert_ok(tenon_pattern_constant(&p));
    keep(p);
    assert_ok(tenon_pattern_not(p, &q));
    keep(q);
    assert_ok(tenon_pattern_and(any(), q, &p));
    prints(keep(p), "* & !const");
    tenon_attributes *attributes = NULL;
    assert_ok(tenon_attributes_parse("strides=[2, 2]", &attributes));
    assert_ok(tenon_pattern_has_attributes(call("nn.conv2d", any(), any(), 0), attributes, &p));
    tenon_attributes_release(attributes);
    prints(keep(p), "nn.conv2d(*, *) @attr{strides=[2, 2]}");
    assert_ok(tenon_pattern_has_dtype(any(), TENON_F16, &p));
    prints(keep(p), "* @dtype f16");
    const int64_t shape[] = {2, 3};
    assert_ok(tenon_pattern_has_shape(any(), 2, shape, &p));
    prints(keep(p), "* @shape[2,3]");
    assert_ok(tenon_pattern_has_type(any(), "?[m,n]", &p));
    prints(keep(p), "* @type ?[m,n]");
    const tenon_pattern *parameters[] = {named(any(), "p")};
    assert_ok(tenon_pattern_function(parameters, 1, call("nn.relu", parameters[0], NULL, 0), &p));
    prints(keep(p), "fn(%p) -> nn.relu(%p)");
    tenon_pattern_step steps[] = {TENON_PATTERN_STEP_INIT, TENON_PATTERN_STEP_INIT};
    steps[0].op = "nn.relu";
    steps[1].op = "add";
    steps[1].commutative = 1;
    steps[1].other = any();
    assert_ok(tenon_pattern_chain(call("nn.conv2d", any(), any(), 0), steps, 2, 0, 4, &p));
    prints(keep(p), "chain(nn.conv2d(*, *), 0...4, nn.relu(^), commutative add(^, *))");
    assert_ok(tenon_pattern_chain(any(), steps, 1, 1, SIZE_MAX, &p));
    prints(keep(p), "chain(*, 1..., nn.relu(^))");
}

/* M-13: a handle used twice is one node; a copy is another. */
static void nodes_have_identity(void **state)
{
    (void)state;
    tenon_pattern *x = named(any(), "x"), *copy = NULL, *found = NULL;
    tenon_pattern *twice = call("add", x, x, 0);
    prints(twice, "add(%x, %x)");
    prints(call("add", any(), any(), 0), "add(*, *)");
    tenon_function *main = function(
        "fn @main(%x: f32[4], %y: f32[4]) { dataflow { %a = add(%x, %x) %b = add(%x, %y) output %a, %b } return (%a, %b) }");
    assert_true(matches(twice, main, binding(main, 0)));
    assert_false(matches(twice, main, binding(main, 1)));
    assert_ok(tenon_pattern_duplicate(x, &copy));
    assert_true(matches(call("add", x, keep(copy), 0), main, binding(main, 1)));
    assert_ok(tenon_pattern_find(twice, "x", &found));
    assert_false(matches(call("add", x, keep(found), 0), main, binding(main, 1)));
    assert_fails(tenon_pattern_find(twice, "y", &found), TENON_ERROR_NOT_FOUND, "no node 'y'");
    tenon_function_release(main);
}

/* Patterns outlive the handles they were made of, and their order of release does not matter. */
static void patterns_keep_what_they_hold(void **state)
{
    (void)state;
    tenon_pattern *leaf = NULL, *callee = NULL, *whole = NULL;
    assert_ok(tenon_pattern_wildcard(&leaf));
    assert_ok(tenon_pattern_operator("nn.relu", &callee));
    const tenon_pattern *arguments[] = {leaf};
    assert_ok(tenon_pattern_call(callee, arguments, 1, 0, &whole));
    tenon_pattern_release(leaf);
    tenon_pattern_release(callee);
    prints(whole, "nn.relu(*)");
    tenon_pattern_release(whole);
}

/* M-12: what the nodes met can be asked for. */
static void matches_are_extracted(void **state)
{
    (void)state;
    tenon_function *main = function(
        "fn @main(%data: f32[1,4,8,8], %w: f32[4,4,1,1]) { dataflow {"
        "  %a = nn.conv2d(%data, %w) %b = nn.relu(%a) output %b } return %b }");
    tenon_pattern *conv = named(call("nn.conv2d", named(any(), "x"), any(), 0), "conv");
    tenon_pattern *relu = call("nn.relu", conv, NULL, 0);
    tenon_match *match = NULL;
    assert_ok(tenon_pattern_match(relu, main, binding(main, 1), &match));
    assert_non_null(match);
    tenon_value value = 0;
    assert_ok(tenon_match_get(match, "conv", &value));
    assert_int_equal(value, binding(main, 0));
    assert_int_equal(tenon_match_root(match), binding(main, 1));
    const tenon_value *values = NULL;
    size_t count = 0;
    assert_ok(tenon_match_get_bindings(match, &values, &count));
    assert_int_equal(count, 2);
    assert_ok(tenon_match_get(match, "x", &value));
    tenon_value_info info = TENON_VALUE_INFO_INIT;
    assert_ok(tenon_function_get_value(tenon_match_function(match), value, &info));
    assert_string_equal(info.name, "data");
    tenon_match_release(match);
    tenon_match_release(NULL);
    assert_ok(tenon_pattern_match(relu, main, binding(main, 0), &match));
    assert_null(match);
    assert_fails(tenon_pattern_match(relu, main, 999, &match), TENON_ERROR_INVALID_ARGUMENT, "999 is no value");
    assert_fails(tenon_pattern_match(NULL, main, 0, &match), TENON_ERROR_INVALID_ARGUMENT, "tenon_pattern is NULL");
    assert_fails(tenon_pattern_match(relu, NULL, 0, &match), TENON_ERROR_INVALID_ARGUMENT, "tenon_function is NULL");
    tenon_function_release(main);
}

/* F-02: patterns that were built fuse as those in text do. */
static void built_patterns_fuse(void **state)
{
    (void)state;
    const char *text = "fn @main(%data: f32[1,4,8,8], %w: f32[4,4,1,1]) { dataflow {"
                       "  %a = nn.conv2d(%data, %w) %b = nn.relu(%a) output %b } return %b }";
    tenon_module *by_handle = support_parse(text), *by_text = support_parse(text);
    tenon_fusion_rule rules[] = {TENON_FUSION_RULE_INIT, TENON_FUSION_RULE_INIT};
    rules[0].name = rules[1].name = "x.pair";
    rules[0].pattern = call("nn.relu", call("nn.conv2d", any(), any(), 0), NULL, 0);
    rules[1].text = "nn.relu(nn.conv2d(*, *))";
    assert_ok(tenon_module_fuse_rules(by_handle, rules, 1, 0, NULL));
    assert_ok(tenon_module_fuse_rules(by_text, rules + 1, 1, 0, NULL));
    int32_t equal = 0;
    assert_ok(tenon_module_equal(by_handle, by_text, &equal));
    assert_true(equal);
    assert_int_equal(tenon_module_function_count(by_handle), 2);
    tenon_module_release(by_handle);
    tenon_module_release(by_text);
}

/* M-16, M-17: a diamond, and one that asks too much; M-28: one shape. */
static void contexts_match_blocks(void **state)
{
    (void)state;
    tenon_function *main = function(
        "fn @main(%x: f32[4,4], %w: f32[4,4]) { dataflow { %a = matmul(%x, %w) %b = nn.relu(%a) %c = sigmoid(%a)"
        "  %d = add(%b, %c) output %d } return %d }");
    for (int only = 0; only <= 1; only++) {
        tenon_pattern *m = named(call("matmul", NULL, NULL, TENON_CALL_VARIADIC), "m");
        tenon_pattern *r = call("nn.relu", NULL, NULL, TENON_CALL_VARIADIC);
        tenon_pattern *s = named(call("sigmoid", NULL, NULL, TENON_CALL_VARIADIC), "s");
        tenon_pattern *t = call("add", NULL, NULL, TENON_CALL_VARIADIC);
        tenon_pattern_context *context = NULL;
        assert_ok(tenon_pattern_context_create(&context));
        assert_ok(tenon_pattern_context_used_by(context, m, r, -1, only));
        assert_ok(tenon_pattern_context_used_by(context, m, s, 0, only));
        assert_ok(tenon_pattern_context_used_by(context, r, t, 0, 0));
        assert_ok(tenon_pattern_context_used_by(context, s, t, 1, 1));
        assert_fails(
            tenon_pattern_context_used_by(context, s, t, 1, 1), TENON_ERROR_INVALID_ARGUMENT, "stated twice");
        assert_fails(tenon_pattern_context_used_by(context, s, t, -2, 1), TENON_ERROR_INVALID_ARGUMENT, "operand is -2");
        tenon_match *match = NULL;
        assert_ok(tenon_pattern_context_match(context, main, &match));
        if (only) {
            assert_null(match);
        } else {
            tenon_value value = 0;
            assert_non_null(match);
            assert_int_equal(tenon_match_capture_count(match), 2);
            assert_ok(tenon_match_get(match, "s", &value));
            assert_int_equal(value, binding(main, 2));
        }
        tenon_match_release(match);
        const tenon_pattern *same[] = {r, s};
        assert_fails(tenon_pattern_context_same_shape(context, same, 1), TENON_ERROR_INVALID_ARGUMENT, "2 or more");
        assert_ok(tenon_pattern_context_same_shape(context, same, 2));
        assert_ok(tenon_pattern_context_add(context, call("nn.relu", m, NULL, 0)));
        char *text = NULL;
        assert_ok(tenon_pattern_context_print(context, &text));
        assert_non_null(strstr(text, "same_shape("));
        tenon_pattern_context *parsed = NULL;
        assert_ok(tenon_pattern_context_parse(text, &parsed));
        tenon_string_release(text);
        tenon_pattern_context_release(parsed);
        tenon_pattern_context_release(context);
    }
    tenon_function_release(main);
}

static void bad_patterns_are_refused(void **state)
{
    (void)state;
    tenon_pattern *p = NULL;
    const tenon_pattern *holes[] = {NULL};
    tenon_pattern *relu = NULL;
    assert_ok(tenon_pattern_operator("nn.relu", &relu));
    keep(relu);
    assert_fails(tenon_pattern_operator("nn.rleu", &p), TENON_ERROR_NOT_FOUND, "nn.rleu");
    assert_null(p);
    assert_fails(tenon_pattern_call(relu, holes, 1, 0, &p), TENON_ERROR_INVALID_ARGUMENT, "arguments 0 is NULL");
    assert_fails(tenon_pattern_call(NULL, NULL, 0, 0, &p), TENON_ERROR_INVALID_ARGUMENT, "tenon_pattern is NULL");
    assert_fails(tenon_pattern_call(relu, NULL, 0, 6, &p), TENON_ERROR_INVALID_ARGUMENT, "flags is 6");
    assert_fails(tenon_pattern_call(relu, NULL, 0, 8, &p), TENON_ERROR_INVALID_ARGUMENT, "flags is 8");
    assert_fails(tenon_pattern_wildcard(NULL), TENON_ERROR_INVALID_ARGUMENT, "pattern is NULL");
    assert_fails(tenon_pattern_literal("shape[", &p), TENON_ERROR_PARSE, "line 1");
    assert_fails(tenon_pattern_constant_value(1.0, -1.0, &p), TENON_ERROR_INVALID_ARGUMENT, "tolerance");
    assert_fails(tenon_pattern_has_type(any(), "f32[", &p), TENON_ERROR_PARSE, "line 1");
    assert_fails(tenon_pattern_has_dtype(any(), (tenon_dtype)99, &p), TENON_ERROR_INVALID_ARGUMENT, "99");
    const int64_t negative[] = {-1};
    assert_fails(tenon_pattern_has_shape(any(), 1, negative, &p), TENON_ERROR_INVALID_SHAPE, "-1");
    assert_fails(tenon_pattern_has_shape(any(), 33, negative, &p), TENON_ERROR_INVALID_SHAPE, "33");
    assert_fails(tenon_pattern_tuple_get_item(any(), -2, &p), TENON_ERROR_INVALID_ARGUMENT, "index is -2");
    assert_fails(tenon_pattern_named(any(), "", &p), TENON_ERROR_INVALID_ARGUMENT, "empty");
    tenon_pattern_step step = TENON_PATTERN_STEP_INIT;
    assert_fails(tenon_pattern_chain(any(), &step, 1, 0, 1, &p), TENON_ERROR_INVALID_ARGUMENT, "op is NULL");
    step.op = "nn.relu";
    assert_fails(tenon_pattern_chain(any(), &step, 1, 2, 1, &p), TENON_ERROR_INVALID_ARGUMENT, "minimum");
    assert_fails(tenon_pattern_chain(any(), NULL, 0, 0, 1, &p), TENON_ERROR_INVALID_ARGUMENT, "at least one kind");
    step.chain_operand = 256;
    assert_fails(tenon_pattern_chain(any(), &step, 1, 0, 1, &p), TENON_ERROR_INVALID_ARGUMENT, "chain_operand is 256");
    /* A handle of another kind. */
    tenon_attributes *attributes = NULL;
    assert_ok(tenon_attributes_create(&attributes));
    assert_fails(
        tenon_pattern_not((const tenon_pattern *)(const void *)attributes, &p), TENON_ERROR_INVALID_ARGUMENT,
        "another kind");
    tenon_attributes_release(attributes);

    /* Nesting has a limit, and what is at the limit still prints and matches. */
    tenon_pattern *deep = any();
    for (int level = 1; level < 256; level++) {
        assert_ok(tenon_pattern_not(deep, &p));
        deep = keep(p);
    }
    assert_fails(tenon_pattern_not(deep, &p), TENON_ERROR_LIMIT_EXCEEDED, "nested 257 levels");
    char *text = NULL;
    assert_ok(tenon_pattern_print(deep, &text));
    tenon_string_release(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(leaves_print, release_all),
        cmocka_unit_test_teardown(compositions_print, release_all),
        cmocka_unit_test_teardown(nodes_have_identity, release_all),
        cmocka_unit_test_teardown(patterns_keep_what_they_hold, release_all),
        cmocka_unit_test_teardown(matches_are_extracted, release_all),
        cmocka_unit_test_teardown(built_patterns_fuse, release_all),
        cmocka_unit_test_teardown(contexts_match_blocks, release_all),
        cmocka_unit_test_teardown(bad_patterns_are_refused, release_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
