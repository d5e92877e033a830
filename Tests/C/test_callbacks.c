/* Rules that ask the host: checks, attribute getters, rewriters; reading functions. */
#include "support.h"

static const char *const conv_relu =
    "fn @main(%data: f32[1,4,8,8], %w: f32[4,4,1,1]) {"
    "  dataflow { %a = nn.conv2d(%data, %w) {padding=[1, 1, 1, 1]} %b = nn.relu(%a) output %b }"
    "  return %b"
    "}";

static int equal(const tenon_module *module, const char *expected)
{
    tenon_module *other = support_parse(expected);
    int32_t same = 0;
    assert_ok(tenon_module_equal(module, other, &same));
    tenon_module_release(other);
    return same;
}

static tenon_fusion_rule rule(const char *name, const char *text, tenon_check_function check, void *user_data)
{
    tenon_fusion_rule rule = TENON_FUSION_RULE_INIT;
    rule.name = name;
    rule.text = text;
    rule.check = check;
    rule.user_data = user_data;
    return rule;
}

struct seen {
    int calls;
    int32_t verdict;
    const char *found;
    const char *expected;
};

static tenon_value_info look(const tenon_match *match, tenon_value value)
{
    tenon_value_info info = TENON_VALUE_INFO_INIT;
    assert_ok(tenon_function_get_value(tenon_match_function(match), value, &info));
    return info;
}

static int32_t refuse_convolution(const tenon_match *match, tenon_reply *reply, void *user_data)
{
    struct seen *seen = user_data;
    seen->calls++;
    tenon_value value = 0;
    assert_int_equal(tenon_match_capture_count(match), 3);
    assert_string_equal(tenon_match_capture_name(match, 0), "root");
    assert_null(tenon_match_capture_name(match, 3));
    assert_ok(tenon_match_get(match, "lhs", &value));
    tenon_value_info info = look(match, value);
    assert_int_equal(info.kind, TENON_VALUE_PARAMETER);
    assert_string_equal(info.name, "data");
    assert_string_equal(info.type, "f32[1,4,8,8]");
    assert_int_equal(info.dtype, TENON_F32);
    assert_int_equal(info.rank, 4);
    assert_int_equal(info.shape[1], 4);
    assert_null(info.data);
    assert_ok(tenon_match_get(match, "rhs", &value));
    assert_string_equal(look(match, value).name, "w");
    assert_ok(tenon_match_get(match, "root", &value));
    assert_int_equal(value, tenon_match_root(match));
    info = look(match, value);
    assert_int_equal(info.kind, TENON_VALUE_CALL);
    assert_string_equal(info.callee, "nn.conv2d");
    assert_string_equal(info.name, "a");
    assert_int_equal(info.input_count, 2);
    const int64_t *padding = NULL;
    size_t count = 0;
    assert_ok(tenon_attributes_get_ints(info.attributes, "padding", &padding, &count));
    assert_int_equal(count, 4);
    assert_int_equal(padding[0], 1);
    const char *op = NULL;
    assert_ok(tenon_match_get_operator(match, "root", &op));
    assert_string_equal(op, "nn.conv2d");
    const tenon_value *values = NULL;
    assert_ok(tenon_match_get_bindings(match, &values, &count));
    assert_int_equal(count, 1);
    assert_int_equal(values[0], value);
    assert_ok(tenon_function_get_users(tenon_match_function(match), value, &values, &count));
    assert_int_equal(count, 1);
    assert_string_equal(look(match, values[0]).callee, "nn.relu");

    /* What is asked wrongly is told, and does no harm. */
    assert_fails(tenon_match_get(match, "other", &value), TENON_ERROR_NOT_FOUND, "captures: root, lhs, rhs");
    assert_int_equal(value, TENON_NO_VALUE);
    assert_fails(tenon_match_get_operator(match, "lhs", &op), TENON_ERROR_NOT_FOUND, "'lhs' met no operator");
    assert_fails(
        tenon_function_get_value(tenon_match_function(match), 1000, &info), TENON_ERROR_INVALID_ARGUMENT, "1000 is no value");
    assert_fails(tenon_reply_replace(reply, 0, 1), TENON_ERROR_INVALID_STATE, "only a rewriter");

    if (seen->found != NULL || seen->expected != NULL)
        assert_ok(tenon_reply_set_reason(reply, seen->found, seen->expected));
    return seen->verdict;
}

/* F-13: the check sees labels, values, attributes, users; what it refuses stays, and explain says why. */
static void checks_see_the_match(void **state)
{
    (void)state;
    struct seen seen = {0, TENON_REFUSE, "a convolution", "anything else"};
    tenon_fusion_rule one =
        rule("dnnl.conv2d", "%root: nn.conv2d(%lhs: *, %rhs: *)", refuse_convolution, &seen);
    tenon_module *module = support_parse(conv_relu);
    assert_ok(tenon_module_fuse_rules(module, &one, 1, 0, NULL));
    assert_int_equal(seen.calls, 1);
    assert_true(equal(module, conv_relu));

    tenon_fusion_rule pair = rule("dnnl.pair", "nn.relu(%root: nn.conv2d(%lhs, %rhs))", NULL, NULL);
    tenon_fusion_rule rules[] = {one, pair};
    char *text = NULL;
    assert_ok(tenon_module_explain_rules(module, rules, 2, TENON_EXPLAIN_TEXT, NULL, &text));
    assert_non_null(strstr(text, "fused   %b by dnnl.pair"));
    tenon_string_release(text);
    tenon_module_release(module);
}

static int32_t refuse_relu(const tenon_match *match, tenon_reply *reply, void *user_data)
{
    (void)match;
    struct seen *seen = user_data;
    seen->calls++;
    if (seen->found != NULL || seen->expected != NULL)
        assert_ok(tenon_reply_set_reason(reply, seen->found, seen->expected));
    return seen->verdict;
}

/* A refusal of a match of two operators is a near miss with the host's reason. */
static void refusals_are_explained(void **state)
{
    (void)state;
    struct seen seen = {0, TENON_REFUSE, "batch 1", "batch 8"};
    tenon_fusion_rule pair = rule("dnnl.pair", "nn.relu(nn.conv2d(*, *))", refuse_relu, &seen);
    tenon_module *module = support_parse(conv_relu);
    char *text = NULL;
    assert_ok(tenon_module_explain_rules(module, &pair, 1, TENON_EXPLAIN_TEXT, NULL, &text));
    assert_string_equal(text, "@main\n  missed  %b by dnnl.pair: check_refused: found batch 1, expected batch 8\n");
    tenon_string_release(text);
    assert_ok(tenon_module_explain_rules(module, &pair, 1, TENON_EXPLAIN_JSON, NULL, &text));
    assert_non_null(strstr(text, "\"kind\": \"check_refused\", \"found\": \"batch 1\""));
    tenon_string_release(text);
    seen.verdict = TENON_ACCEPT;
    assert_ok(tenon_module_explain_rules(module, &pair, 1, TENON_EXPLAIN_TEXT, NULL, &text));
    assert_string_equal(text, "@main\n  fused   %b by dnnl.pair: %a nn.conv2d, %b nn.relu\n");
    tenon_string_release(text);
    tenon_module_release(module);
}

/* A check that fails or answers nonsense stops the pass, which names pass, rule and binding, and changes nothing. */
static void failing_checks_change_nothing(void **state)
{
    (void)state;
    struct seen seen = {0, TENON_FAIL, "no connection", NULL};
    tenon_fusion_rule rules[] = {
        rule("x.relu", "nn.relu(*)", NULL, NULL), rule("x.conv", "nn.conv2d(*, *)", refuse_relu, &seen)};
    tenon_module *module = support_parse(conv_relu);
    assert_fails(
        tenon_module_fuse_rules(module, rules, 2, 0, NULL), TENON_ERROR_CALLBACK,
        "FuseOpsByPattern: pattern 'x.conv' in @main: %a: the check failed: no connection");
    assert_true(equal(module, conv_relu));
    seen.verdict = 77;
    assert_fails(
        tenon_module_fuse_rules(module, rules, 2, 0, NULL), TENON_ERROR_CALLBACK, "%a: the check returned 77");
    seen.verdict = INT32_MIN;
    assert_fails(
        tenon_module_fuse_rules(module, rules, 2, 0, NULL), TENON_ERROR_CALLBACK, "the check returned -2147483648");
    char *text = NULL;
    assert_fails(
        tenon_module_explain_rules(module, rules, 2, 0, NULL, &text), TENON_ERROR_CALLBACK, "the check returned");
    assert_null(text);
    assert_true(equal(module, conv_relu));
    seen.verdict = TENON_ACCEPT;
    assert_ok(tenon_module_fuse_rules(module, rules, 2, 0, NULL));
    assert_false(equal(module, conv_relu));
    tenon_module_release(module);
}

/* A rule without a name is a list of rules in text, each with the check. */
static void lists_of_rules_take_a_check(void **state)
{
    (void)state;
    struct seen seen = {0, TENON_REFUSE, "a convolution", "anything else"};
    tenon_fusion_rule list = rule(
        NULL, "dnnl.conv2d = %root: nn.conv2d(%lhs: *, %rhs: *); closed x.none = exp(*);", refuse_convolution, &seen);
    tenon_module *module = support_parse(conv_relu);
    assert_ok(tenon_module_fuse_rules(module, &list, 1, 0, NULL));
    assert_int_equal(seen.calls, 1);
    assert_true(equal(module, conv_relu));
    seen.verdict = TENON_ACCEPT;
    assert_ok(tenon_module_fuse_rules(module, &list, 1, 0, NULL));
    assert_false(equal(module, conv_relu));
    list.text = "dnnl.conv2d = ";
    assert_int_equal(tenon_module_fuse_rules(module, &list, 1, 0, NULL), TENON_ERROR_PARSE);
    list.text = NULL;
    assert_fails(tenon_module_fuse_rules(module, &list, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "name is NULL");
    list.name = "";
    assert_fails(tenon_module_fuse_rules(module, &list, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "name is empty");
    tenon_module_release(module);
}

static int32_t change_the_module(const tenon_match *match, tenon_reply *reply, void *user_data)
{
    (void)match;
    (void)reply;
    tenon_module *module = user_data;
    assert_fails(tenon_module_optimize(module, NULL), TENON_ERROR_INVALID_STATE, "a pass is changing this module");
    assert_fails(
        tenon_module_set_attributes(module, "main", NULL), TENON_ERROR_INVALID_STATE, "a pass is changing this module");
    assert_fails(tenon_module_remove_function(module, "main"), TENON_ERROR_INVALID_STATE, "callbacks must not");
    /* Reading it, and changing others, is fine. */
    tenon_module *copy = NULL;
    assert_ok(tenon_module_copy(module, &copy));
    assert_ok(tenon_module_optimize(copy, NULL));
    tenon_module_release(copy);
    return TENON_ACCEPT;
}

static void callbacks_leave_the_module_at_hand_alone(void **state)
{
    (void)state;
    tenon_module *module = support_parse(conv_relu);
    tenon_fusion_rule one = rule("x.conv", "nn.conv2d(*, *)", change_the_module, module);
    assert_ok(tenon_module_fuse_rules(module, &one, 1, 0, NULL));
    assert_int_equal(tenon_module_function_count(module), 2);
    tenon_module_release(module);
}

static int32_t add_attributes(
    const tenon_match *match, tenon_attributes *attributes, tenon_reply *reply, void *user_data)
{
    (void)reply;
    tenon_value_info info = look(match, tenon_match_root(match));
    assert_ok(tenon_attributes_set_string(attributes, "root", info.name));
    return *(int32_t *)user_data;
}

/* F-31: what the attribute getter gives is on the function made. */
static void attribute_getters_add_attributes(void **state)
{
    (void)state;
    int32_t verdict = TENON_ACCEPT;
    tenon_fusion_rule one = rule("x.conv", "nn.conv2d(*, *)", NULL, &verdict);
    one.attributes = add_attributes;
    tenon_module *module = support_parse(conv_relu);
    assert_ok(tenon_module_fuse_rules(module, &one, 1, 0, NULL));
    tenon_attributes *attributes = NULL;
    const char *value = NULL;
    assert_ok(tenon_module_get_attributes(module, "fused_relax_nn_conv2d", &attributes));
    assert_ok(tenon_attributes_get_string(attributes, "root", &value));
    assert_string_equal(value, "a");
    tenon_attributes_release(attributes);
    tenon_module_release(module);

    module = support_parse(conv_relu);
    verdict = TENON_FAIL;
    assert_fails(
        tenon_module_fuse_rules(module, &one, 1, 0, NULL), TENON_ERROR_CALLBACK,
        "pattern 'x.conv': %a: the attribute getter failed: no reason given");
    verdict = TENON_REFUSE;
    assert_ok(tenon_module_fuse_rules(module, &one, 1, 0, NULL));
    assert_ok(tenon_module_get_attributes(module, "fused_relax_nn_conv2d", &attributes));
    assert_int_equal(tenon_attributes_kind(attributes, "root"), TENON_ATTRIBUTE_NONE);
    tenon_attributes_release(attributes);
    tenon_module_release(module);
}

static int32_t constant_is_two(const tenon_match *match, tenon_reply *reply, void *user_data)
{
    (void)user_data;
    tenon_value value = 0;
    assert_ok(tenon_match_get(match, "k", &value));
    tenon_value_info info = look(match, value);
    assert_int_equal(info.kind, TENON_VALUE_CONSTANT);
    assert_int_equal(info.byte_count, sizeof(float));
    assert_int_equal(info.rank, 0);
    if (*(const float *)info.data == 2.0f)
        return TENON_ACCEPT;
    assert_ok(tenon_reply_set_reason(reply, "another constant", "2"));
    return TENON_REFUSE;
}

/* F-06: a check reads the contents of a constant. */
static void checks_read_constants(void **state)
{
    (void)state;
    tenon_module *module = support_parse(
        "fn @main(%x: f32[4]) { dataflow {"
        "  %a = add(%x, const f32[](2)) %b = add(%a, const f32[](3)) output %b } return %b }");
    tenon_fusion_rule one = rule("x.two", "add(*, %k: const)", constant_is_two, NULL);
    assert_ok(tenon_module_fuse_rules(module, &one, 1, 0, NULL));
    assert_true(equal(
        module, "fn @fused_relax_add(%x: f32[4]) {Composite=\"x.two\", Primitive=true} {"
                "  dataflow { %y = add(%x, const f32[](2)) output %y } return %y }"
                "fn @main(%x: f32[4]) { dataflow {"
                "  %a = @fused_relax_add(%x) %b = add(%a, const f32[](3)) output %b } return %b }"));
    tenon_module_release(module);
}

static void rules_are_checked(void **state)
{
    (void)state;
    tenon_module *module = support_parse(conv_relu);
    tenon_pattern *pattern = NULL;
    assert_ok(tenon_pattern_parse("nn.conv2d(*, *)", &pattern));
    tenon_fusion_rule bad = rule(NULL, "*", NULL, NULL);
    assert_fails(tenon_module_fuse_rules(module, &bad, 1, 0, NULL), TENON_ERROR_PARSE, "expected a rule");
    bad = rule("", "*", NULL, NULL);
    assert_fails(tenon_module_fuse_rules(module, &bad, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "rule 0: name is empty");
    bad = rule("x.y", NULL, NULL, NULL);
    assert_fails(tenon_module_fuse_rules(module, &bad, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "'x.y': expected either");
    bad = rule("x.y", "nn.relu(*)", NULL, NULL);
    bad.pattern = pattern;
    assert_fails(tenon_module_fuse_rules(module, &bad, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "found both");
    bad = rule("x.y", "nn.relu(", NULL, NULL);
    assert_fails(
        tenon_module_fuse_rules(module, &bad, 1, 0, NULL), TENON_ERROR_PARSE, "rule 'x.y': line 1, column 9");
    bad = rule("x.y", "nn.relu(*)", NULL, NULL);
    bad.flags = 2;
    assert_fails(tenon_module_fuse_rules(module, &bad, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "flags is 2");
    bad.struct_size = 8;
    assert_fails(tenon_module_fuse_rules(module, &bad, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "struct_size 8");
    assert_fails(tenon_module_fuse_rules(module, NULL, 1, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "rules is NULL");
    assert_ok(tenon_module_fuse_rules(module, NULL, 0, 0, NULL));
    tenon_fusion_rule good = rule("x.y", NULL, NULL, NULL);
    good.pattern = pattern;
    assert_ok(tenon_module_fuse_rules(module, &good, 1, 0, NULL));
    assert_int_equal(tenon_module_function_count(module), 2);
    tenon_pattern_release(pattern);
    tenon_pattern_release(NULL);
    tenon_module_release(module);
}

/* F-04: a closed rule, as a structure. */
static void closed_rules_do_not_leak(void **state)
{
    (void)state;
    const char *text = "fn @main(%x: f32[4]) { dataflow {"
                       "  %a = nn.relu(%x) %b = nn.gelu(%a) %c = tanh(%a) output %b, %c } return (%b, %c) }";
    tenon_module *module = support_parse(text);
    tenon_fusion_rule one = rule("x.pair", "nn.gelu(nn.relu(*))", NULL, NULL);
    one.flags = TENON_RULE_CLOSED;
    assert_ok(tenon_module_fuse_rules(module, &one, 1, 0, NULL));
    assert_true(equal(module, text));
    one.flags = 0;
    assert_ok(tenon_module_fuse_rules(module, &one, 1, 0, NULL));
    assert_false(equal(module, text));
    tenon_module_release(module);
}

/* -------------------------------------------------------------------------------------------------- rewriting -- */

struct rewriting {
    int32_t verdict;
    /* What to do besides the right thing. */
    int mistake;
    int calls;
};

static int32_t add_to_multiply(
    const tenon_match *match, tenon_builder *builder, tenon_reply *reply, void *user_data)
{
    struct rewriting *rewriting = user_data;
    rewriting->calls++;
    tenon_value input = 0, two = 0, product = 0;
    const float value = 2;
    tenon_tensor scalar = TENON_TENSOR(TENON_F32, 0, NULL, (void *)&value, sizeof value);
    assert_ok(tenon_match_get(match, "n", &input));
    assert_ok(tenon_builder_add_constant(builder, &scalar, &two));
    assert_ok(tenon_builder_add_call(builder, "multiply", (tenon_value[]){input, two}, 2, NULL, "double", &product));
    char *type = NULL;
    assert_ok(tenon_builder_get_type(builder, product, &type));
    assert_string_equal(type, "f32[16,16]");
    tenon_string_release(type);
    tenon_value refused = 0;
    assert_fails(
        tenon_builder_add_typed_parameter(builder, "p", "f32[1]", &refused), TENON_ERROR_INVALID_STATE, "no parameters");
    assert_int_equal(refused, TENON_NO_VALUE);
    assert_fails(
        tenon_builder_add_call(builder, "nn.conv2d", &input, 1, NULL, NULL, &refused), TENON_ERROR_INVALID_ARGUMENT, "nn.conv2d");
    if (rewriting->mistake == 1)
        product = input + 1000;
    if (rewriting->mistake == 2)
        product = two;
    if (rewriting->mistake == 3) {
        assert_ok(tenon_reply_replace(reply, input, product));
        return TENON_ACCEPT;
    }
    if (rewriting->mistake == 4)
        return TENON_ACCEPT;
    if (rewriting->verdict == TENON_FAIL)
        assert_ok(tenon_reply_set_reason(reply, "thought of nothing", NULL));
    assert_ok(tenon_reply_replace(reply, tenon_match_root(match), product));
    return rewriting->verdict;
}

static const char *const doubling =
    "fn @main(%x: f32[16,16]) { dataflow { %a = add(%x, %x) %b = add(%a, %a) output %b } return %b }";

static tenon_rewrite_rule doubling_rule(struct rewriting *rewriting)
{
    tenon_rewrite_rule rule = TENON_REWRITE_RULE_INIT;
    rule.name = "doubling";
    rule.text = "add(%n: *, %n)";
    rule.rewrite = add_to_multiply;
    rule.user_data = rewriting;
    return rule;
}

/* doubling, by a callback. */
static void rewriters_replace_the_root(void **state)
{
    (void)state;
    struct rewriting rewriting = {TENON_ACCEPT, 0, 0};
    tenon_rewrite_rule one = doubling_rule(&rewriting);
    tenon_module *module = support_parse(doubling);
    assert_ok(tenon_module_rewrite_rules(module, &one, 1, NULL));
    assert_true(equal(
        module, "fn @main(%x: f32[16,16]) { dataflow { %a = multiply(%x, const f32[](2))"
                " %b = multiply(%a, const f32[](2)) output %b } return %b }"));
    assert_int_equal(rewriting.calls, 2);
    tenon_module_release(module);
}

/* what declines leaves everything as it was. */
static void rewriters_may_decline(void **state)
{
    (void)state;
    struct rewriting rewriting = {TENON_REFUSE, 0, 0};
    tenon_rewrite_rule one = doubling_rule(&rewriting);
    tenon_module *module = support_parse(doubling);
    assert_ok(tenon_module_rewrite_rules(module, &one, 1, NULL));
    assert_true(equal(module, doubling));
    rewriting = (struct rewriting){TENON_ACCEPT, 4, 0};
    assert_ok(tenon_module_rewrite_rules(module, &one, 1, NULL));
    assert_true(equal(module, doubling));
    const char *off = "doubling";
    tenon_pass_options options = TENON_PASS_OPTIONS_INIT;
    options.disabled_rules = &off;
    options.disabled_rule_count = 1;
    rewriting = (struct rewriting){TENON_ACCEPT, 0, 0};
    assert_ok(tenon_module_rewrite_rules(module, &one, 1, &options));
    assert_int_equal(rewriting.calls, 0);
    tenon_module_release(module);
}

static void failing_rewriters_change_nothing(void **state)
{
    (void)state;
    struct rewriting rewriting = {TENON_FAIL, 0, 0};
    tenon_rewrite_rule one = doubling_rule(&rewriting);
    tenon_module *module = support_parse(doubling);
    assert_fails(
        tenon_module_rewrite_rules(module, &one, 1, NULL), TENON_ERROR_CALLBACK,
        "rewrite: rule 'doubling' in @main: %a: the rewriter failed: thought of nothing");
    rewriting.verdict = -5;
    assert_fails(tenon_module_rewrite_rules(module, &one, 1, NULL), TENON_ERROR_CALLBACK, "the rewriter returned -5");
    rewriting = (struct rewriting){TENON_ACCEPT, 1, 0};
    assert_fails(tenon_module_rewrite_rules(module, &one, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "is no value");
    rewriting = (struct rewriting){TENON_ACCEPT, 2, 0};
    assert_fails(
        tenon_module_rewrite_rules(module, &one, 1, NULL), TENON_ERROR_INVALID_TYPE, "has type f32[], not f32[16,16]");
    rewriting = (struct rewriting){TENON_ACCEPT, 3, 0};
    assert_fails(
        tenon_module_rewrite_rules(module, &one, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "%a: the rewriter replaces a value");
    assert_true(equal(module, doubling));
    one.rewrite = NULL;
    assert_fails(tenon_module_rewrite_rules(module, &one, 1, NULL), TENON_ERROR_PARSE, "line 1");
    one.text = NULL;
    assert_fails(tenon_module_rewrite_rules(module, &one, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "text is NULL");
    assert_true(equal(module, doubling));
    tenon_module_release(module);
}

/* related nodes of a block, replaced together: two products of one input become one. */
static int32_t join_products(const tenon_match *match, tenon_builder *builder, tenon_reply *reply, void *user_data)
{
    (void)user_data;
    tenon_value x = 0, w0 = 0, w1 = 0, m0 = 0, m1 = 0, pair = 0, weights = 0, product = 0, parts = 0, part = 0;
    assert_int_equal(tenon_match_root(match), TENON_NO_VALUE);
    assert_ok(tenon_match_get(match, "x", &x));
    assert_ok(tenon_match_get(match, "w0", &w0));
    assert_ok(tenon_match_get(match, "w1", &w1));
    assert_ok(tenon_match_get(match, "m0", &m0));
    assert_ok(tenon_match_get(match, "m1", &m1));
    tenon_attributes *axis = NULL;
    assert_ok(tenon_attributes_parse("axis=1", &axis));
    assert_ok(tenon_builder_add_tuple(builder, (tenon_value[]){w0, w1}, 2, NULL, &pair));
    assert_ok(tenon_builder_add_call(builder, "concat", &pair, 1, axis, "w", &weights));
    assert_ok(tenon_builder_add_call(builder, "matmul", (tenon_value[]){x, weights}, 2, NULL, "m", &product));
    tenon_attributes_release(axis);
    assert_ok(tenon_attributes_parse("axis=1, sections=2", &axis));
    assert_ok(tenon_builder_add_call(builder, "split", &product, 1, axis, "parts", &parts));
    tenon_attributes_release(axis);
    assert_ok(tenon_builder_add_tuple_get_item(builder, parts, 0, NULL, &part));
    assert_ok(tenon_reply_replace(reply, m0, part));
    assert_ok(tenon_builder_add_tuple_get_item(builder, parts, 1, NULL, &part));
    assert_ok(tenon_reply_replace(reply, m1, part));
    return TENON_ACCEPT;
}

static void rewriters_replace_several_values(void **state)
{
    (void)state;
    tenon_pattern_context *context = NULL;
    assert_ok(tenon_pattern_context_parse("%m0: matmul(%x, %w0); %m1: matmul(%x, %w1);", &context));
    char *text = NULL;
    assert_ok(tenon_pattern_context_print(context, &text));
    assert_non_null(strstr(text, "%m0: matmul(%x, %w0)"));
    tenon_string_release(text);
    tenon_rewrite_rule rule = TENON_REWRITE_RULE_INIT;
    rule.name = "join";
    rule.context = context;
    rule.rewrite = join_products;
    tenon_module *module = support_parse(
        "fn @main(%x: f32[2,8], %a: f32[8,8], %b: f32[8,8]) { dataflow {"
        "  %p = matmul(%x, %a) %q = matmul(%x, %b) %r = add(%p, %q) output %r } return %r }");
    assert_ok(tenon_module_rewrite_rules(module, &rule, 1, NULL));
    char *print = support_print(module);
    assert_non_null(strstr(print, "concat("));
    assert_non_null(strstr(print, "split("));
    assert_null(strstr(print, "matmul(%x, %a)"));
    tenon_string_release(print);
    rule.text = "*";
    assert_fails(tenon_module_rewrite_rules(module, &rule, 1, NULL), TENON_ERROR_INVALID_ARGUMENT, "found several");
    tenon_pattern_context_release(context);
    tenon_pattern_context_release(NULL);
    tenon_module_release(module);
}

static int32_t only_relu_of_parameters(const tenon_match *match, tenon_reply *reply, void *user_data)
{
    int *calls = user_data;
    ++*calls;
    tenon_value x = 0;
    assert_ok(tenon_match_get(match, "x", &x));
    if (look(match, x).kind == TENON_VALUE_PARAMETER)
        return TENON_ACCEPT;
    assert_ok(tenon_reply_set_reason(reply, "an intermediate value", "a parameter"));
    return TENON_REFUSE;
}

/* a rule of two functions, with a check. */
static void rules_of_two_functions_take_a_check(void **state)
{
    (void)state;
    int calls = 0;
    tenon_rewrite_rule rule = TENON_REWRITE_RULE_INIT;
    rule.name = "clip";
    rule.text = "fn @before(%x: object) { %y = nn.relu(%x) return %y } fn @after(%x: object) { %y = abs(%x) return %y }";
    rule.check = only_relu_of_parameters;
    rule.user_data = &calls;
    tenon_module *module = support_parse(
        "fn @main(%x: f32[4]) { dataflow { %a = nn.relu(%x) %b = tanh(%a) %c = nn.relu(%b) output %c } return %c }");
    assert_ok(tenon_module_rewrite_rules(module, &rule, 1, NULL));
    assert_true(equal(
        module, "fn @main(%x: f32[4]) { dataflow { %a = abs(%x) %b = tanh(%a) %c = nn.relu(%b) output %c } return %c }"));
    assert_true(calls >= 2);
    tenon_module_release(module);
}

/* ---------------------------------------------------------------------------------------------------- reading -- */

static void functions_are_read(void **state)
{
    (void)state;
    tenon_module *module = support_parse(
        "fn @f(%x: f32[n,4]) { %y = nn.relu(%x) return %y }"
        "fn @main(%x: f32[n,4], %y: f32[n,4]) {note=\"hello\"} { dataflow {"
        "  %a = reshape(%x, shape[n,2,2]) %t = (%a, %y) %i = %t.1 %z: f32[n,4] = @f(%i) output %a, %z }"
        "  %g = fn(%p: f32[4]) {Composite=\"x.y\"} { %q = tanh(%p) return %q }"
        "  %l: f32[4] = %g(const f32[4](1, 2, 3, 4))"
        "  return (%a, %z, %l) }");
    tenon_function *main = NULL;
    assert_fails(tenon_module_get_function(module, "none", &main), TENON_ERROR_NOT_FOUND, "'none'");
    assert_ok(tenon_module_get_function(module, "main", &main));
    tenon_module_release(module);
    assert_string_equal(tenon_function_name(main), "main");
    assert_string_equal(tenon_function_name(NULL), "");
    const tenon_attributes *attributes = NULL;
    const char *note = NULL;
    assert_ok(tenon_function_get_attributes(main, &attributes));
    assert_ok(tenon_attributes_get_string(attributes, "note", &note));
    assert_string_equal(note, "hello");
    const tenon_value *values = NULL, *bindings = NULL, *results = NULL;
    size_t count = 0;
    assert_ok(tenon_function_get_parameters(main, &values, &count));
    assert_int_equal(count, 2);
    tenon_value_info info = TENON_VALUE_INFO_INIT;
    assert_ok(tenon_function_get_value(main, values[0], &info));
    assert_int_equal(info.kind, TENON_VALUE_PARAMETER);
    assert_int_equal(info.shape[0], TENON_DIM_UNKNOWN);
    assert_int_equal(info.shape[1], 4);
    assert_ok(tenon_function_get_bindings(main, &bindings, &count));
    assert_int_equal(count, 6);
    static const uint32_t kinds[] = {
        TENON_VALUE_CALL, TENON_VALUE_TUPLE, TENON_VALUE_TUPLE_GET_ITEM, TENON_VALUE_FUNCTION_CALL, TENON_VALUE_FUNCTION,
        TENON_VALUE_LOCAL_CALL};
    for (size_t i = 0; i < count; i++) {
        assert_ok(tenon_function_get_value(main, bindings[i], &info));
        assert_int_equal(info.kind, kinds[i]);
    }
    assert_ok(tenon_function_get_value(main, bindings[0], &info));
    tenon_value shape = info.inputs[1];
    assert_ok(tenon_function_get_value(main, shape, &info));
    assert_int_equal(info.kind, TENON_VALUE_LITERAL);
    assert_string_equal(info.text, "shape[n,2,2]");
    assert_int_equal(info.rank, -1);
    assert_ok(tenon_function_get_value(main, bindings[2], &info));
    assert_int_equal(info.index, 1);
    assert_int_equal(info.inputs[0], bindings[1]);
    assert_ok(tenon_function_get_value(main, bindings[5], &info));
    tenon_value constant = info.inputs[0];
    assert_ok(tenon_function_get_value(main, constant, &info));
    assert_int_equal(info.byte_count, 4 * sizeof(float));
    assert_true(((const float *)info.data)[3] == 4);
    assert_ok(tenon_function_get_users(main, bindings[1], &values, &count));
    assert_int_equal(count, 1);
    assert_int_equal(values[0], bindings[2]);
    assert_ok(tenon_function_get_users(main, constant, &values, &count));
    assert_int_equal(count, 0);
    assert_ok(tenon_function_get_results(main, &results, &count));
    assert_int_equal(count, 3);
    assert_int_equal(results[0], bindings[0]);
    assert_int_equal(results[2], bindings[5]);

    const tenon_function *callee = NULL;
    assert_ok(tenon_function_get_callee(main, bindings[3], &callee));
    assert_string_equal(tenon_function_name(callee), "f");
    assert_ok(tenon_function_get_callee(main, bindings[5], &callee));
    assert_ok(tenon_function_get_attributes(callee, &attributes));
    assert_int_equal(tenon_attributes_kind(attributes, "Composite"), TENON_ATTRIBUTE_STRING);
    assert_fails(tenon_function_get_callee(main, bindings[0], &callee), TENON_ERROR_NOT_FOUND, "calls no function");
    assert_fails(tenon_function_get_callee(main, bindings[1], &callee), TENON_ERROR_NOT_FOUND, "is no function");
    assert_fails(tenon_function_get_callee(main, 12345, &callee), TENON_ERROR_INVALID_ARGUMENT, "no value");
    assert_null(callee);
    assert_fails(tenon_function_get_value(main, bindings[0], NULL), TENON_ERROR_INVALID_ARGUMENT, "NULL");
    assert_fails(tenon_function_get_bindings(NULL, &values, &count), TENON_ERROR_INVALID_ARGUMENT, "tenon_function");
    assert_null(values);
    tenon_function_release(main);
    tenon_function_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_see_the_match),
        cmocka_unit_test(refusals_are_explained),
        cmocka_unit_test(failing_checks_change_nothing),
        cmocka_unit_test(callbacks_leave_the_module_at_hand_alone),
        cmocka_unit_test(attribute_getters_add_attributes),
        cmocka_unit_test(checks_read_constants),
        cmocka_unit_test(rules_are_checked),
        cmocka_unit_test(closed_rules_do_not_leak),
        cmocka_unit_test(rewriters_replace_the_root),
        cmocka_unit_test(rewriters_may_decline),
        cmocka_unit_test(failing_rewriters_change_nothing),
        cmocka_unit_test(rewriters_replace_several_values),
        cmocka_unit_test(rules_of_two_functions_take_a_check),
        cmocka_unit_test(functions_are_read),
        cmocka_unit_test(lists_of_rules_take_a_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
