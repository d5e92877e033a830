/* Rules in text: fusing, rewriting, explaining. */
#include "support.h"

static const char *const pair =
    "fn @main(%data: f32[1,4,8,8], %w: f32[4,4,1,1]) {"
    "  dataflow { %a = nn.conv2d(%data, %w) %b = nn.relu(%a) %c = nn.gelu(%b) output %c }"
    "  return %c"
    "}";

static void assert_equal(const tenon_module *found, const char *expected)
{
    tenon_module *module = support_parse(expected);
    int equal = 0;
    assert_ok(tenon_module_equal(found, module, &equal));
    assert_true(equal);
    tenon_module_release(module);
}

/* F-07: a rule in text makes the region that the scenario describes. */
static void fuses_by_rules_in_text(void **state)
{
    (void)state;
    tenon_module *module = support_parse(pair);
    assert_ok(tenon_module_fuse(module, "dnnl.conv2d_relu = nn.relu(nn.conv2d(*, *));", TENON_FUSE_ANNOTATE, NULL));
    assert_equal(
        module,
        "fn @fused_relax_nn_conv2d_relax_nn_relu_dnnl(%p: f32[1,4,8,8], %q: f32[4,4,1,1])"
        "{Codegen=\"dnnl\", global_symbol=\"fused_relax_nn_conv2d_relax_nn_relu_dnnl\"} {"
        "  %f = fn(%p2: f32[1,4,8,8], %q2: f32[4,4,1,1]) {Composite=\"dnnl.conv2d_relu\"} {"
        "    dataflow { %a = nn.conv2d(%p2, %q2) %b = nn.relu(%a) output %b } return %b }"
        "  %r = %f(%p, %q)"
        "  return %r"
        "}"
        "fn @main(%data: f32[1,4,8,8], %w: f32[4,4,1,1]) {"
        "  dataflow { %b = @fused_relax_nn_conv2d_relax_nn_relu_dnnl(%data, %w) %c = nn.gelu(%b) output %c }"
        "  return %c"
        "}");
    tenon_module_release(module);
}

/* F-06: literals inside, or passed at the call. */
static void binds_constants_or_not(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= TENON_FUSE_CONSTANTS_AS_PARAMETERS; ++flags) {
        tenon_module *module = support_parse(
            "fn @main(%x: f32[4]) { dataflow { %y = add(%x, const f32[](2)) output %y } return %y }");
        assert_ok(tenon_module_fuse(module, "x.add = add(*, const)", flags, NULL));
        assert_equal(
            module, flags == 0 ? "fn @fused_relax_add(%x: f32[4]) {Composite=\"x.add\", Primitive=true} {"
                                 "  dataflow { %y = add(%x, const f32[](2)) output %y } return %y }"
                                 "fn @main(%x: f32[4]) { dataflow { %y = @fused_relax_add(%x) output %y } return %y }"
                               : "fn @fused_relax_add(%x: f32[4], %k: f32[]) {Composite=\"x.add\", Primitive=true} {"
                                 "  dataflow { %y = add(%x, %k) output %y } return %y }"
                                 "fn @main(%x: f32[4]) {"
                                 "  dataflow { %y = @fused_relax_add(%x, const f32[](2)) output %y } return %y }");
        tenon_module_release(module);
    }
}

/* F-05: a failed fusion changes nothing and says which rule it was. */
static void refuses_and_keeps_the_module(void **state)
{
    (void)state;
    const char *text =
        "fn @main(%x: f32[4]) {"
        "  dataflow { %a = nn.relu(%x) %g = nn.gelu(%a) %d = add(%a, %g) output %d } return %d }";
    tenon_module *module = support_parse(text);
    assert_fails(
        tenon_module_fuse(module, "x.sum = add(nn.relu(*), *)", 0, NULL), TENON_ERROR_INVALID_GRAPH, "'x.sum' in @main");
    assert_equal(module, text);
    assert_fails(tenon_module_fuse(module, "x.sum = add(", 0, NULL), TENON_ERROR_PARSE, "line 1, column 13");
    assert_fails(tenon_module_fuse(module, NULL, 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "rules is NULL");
    assert_fails(tenon_module_fuse(module, "", 4, NULL), TENON_ERROR_INVALID_ARGUMENT, "flags is 4");
    assert_fails(tenon_module_fuse(NULL, "", 0, NULL), TENON_ERROR_INVALID_ARGUMENT, "module");
    assert_ok(tenon_module_fuse(module, "", 0, NULL));
    assert_equal(module, text);
    tenon_module_release(module);
}

static void rewrites_by_a_rule_in_text(void **state)
{
    (void)state;
    tenon_module *module = support_parse(
        "fn @main(%x: f32[4]) { dataflow { %s = sigmoid(%x) %y = multiply(%x, %s) output %y } return %y }");
    const char *rule =
        "fn @before(%x: object) { %s = sigmoid(%x) %y = multiply(%x, %s) return %y }"
        "fn @after(%x: object) { %y = nn.silu(%x) return %y }";
    assert_ok(tenon_module_rewrite(module, rule, NULL));
    assert_equal(module, "fn @main(%x: f32[4]) { dataflow { %y = nn.silu(%x) output %y } return %y }");
    assert_fails(tenon_module_rewrite(module, "fn @before() { return 1 }", NULL), TENON_ERROR_INVALID_ARGUMENT, "'after'");
    assert_fails(tenon_module_rewrite(module, "fn", NULL), TENON_ERROR_PARSE, "line 1, column 3");
    tenon_module_release(module);
}

static void explains(void **state)
{
    (void)state;
    tenon_module *module = support_parse(pair);
    const char *rules = "x.long = nn.gelu(nn.relu(add(*, *))); x.pair = nn.relu(nn.conv2d(*, *))";
    char *text = NULL;
    assert_ok(tenon_module_explain(module, rules, TENON_EXPLAIN_TEXT, NULL, &text));
    assert_string_equal(
        text, "@main\n"
              "  fused   %b by x.pair: %a nn.conv2d, %b nn.relu\n"
              "  missed  %c by x.long at %a: operator: found nn.conv2d, expected add\n");
    tenon_string_release(text);
    assert_ok(tenon_module_explain(module, rules, TENON_EXPLAIN_JSON, NULL, &text));
    assert_non_null(strstr(text, "\"kind\": \"operator\", \"found\": \"nn.conv2d\", \"expected\": \"add\""));
    tenon_string_release(text);
    assert_ok(tenon_module_explain(module, NULL, TENON_EXPLAIN_TEXT, NULL, &text));
    assert_non_null(strstr(text, "fused "));
    tenon_string_release(text);
    assert_fails(
        tenon_module_explain(module, rules, 2, NULL, &text), TENON_ERROR_INVALID_ARGUMENT, "format is 2");
    assert_null(text);
    assert_equal(module, pair);
    tenon_module_release(module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fuses_by_rules_in_text),   cmocka_unit_test(binds_constants_or_not),
        cmocka_unit_test(refuses_and_keeps_the_module), cmocka_unit_test(rewrites_by_a_rule_in_text),
        cmocka_unit_test(explains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
