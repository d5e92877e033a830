/* Attributes, building graphs, text. */
#include "support.h"

static void attributes(void **state)
{
    (void)state;
    tenon_attributes *a = NULL;
    assert_ok(tenon_attributes_create(&a));
    assert_ok(tenon_attributes_set_int(a, "int", INT64_MIN));
    assert_ok(tenon_attributes_set_float(a, "float", 0.1));
    assert_ok(tenon_attributes_set_bool(a, "bool", 7));
    assert_ok(tenon_attributes_set_string(a, "string", "a \"b\"\n"));
    assert_ok(tenon_attributes_set_dtype(a, "dtype", TENON_I8));
    assert_ok(tenon_attributes_set_ints(a, "ints", (int64_t[]){1, -2}, 2));
    assert_ok(tenon_attributes_set_floats(a, "floats", NULL, 0));
    assert_ok(tenon_attributes_set_strings(a, "strings", (const char *const[]){"x", "", "\xff"}, 3));
    assert_int_equal(tenon_attributes_count(a), 8);
    assert_string_equal(tenon_attributes_name(a, 0), "bool");
    assert_null(tenon_attributes_name(a, 8));
    assert_int_equal(tenon_attributes_kind(a, "ints"), TENON_ATTRIBUTE_INTS);
    assert_int_equal(tenon_attributes_kind(a, "none"), TENON_ATTRIBUTE_NONE);
    assert_int_equal(tenon_attributes_kind(NULL, "none"), TENON_ATTRIBUTE_NONE);
    assert_int_equal(tenon_attributes_count(NULL), 0);

    int64_t number = 0;
    double real = 0;
    int32_t flag = 0;
    const char *string = NULL;
    tenon_dtype dtype = TENON_DTYPE_NONE;
    const int64_t *ints = NULL;
    const double *floats = NULL;
    const char *const *strings = NULL;
    size_t count = 99;
    assert_ok(tenon_attributes_get_int(a, "int", &number));
    assert_true(number == INT64_MIN);
    assert_ok(tenon_attributes_get_float(a, "float", &real));
    assert_true(real == 0.1);
    assert_ok(tenon_attributes_get_bool(a, "bool", &flag));
    assert_int_equal(flag, 1);
    assert_ok(tenon_attributes_get_string(a, "string", &string));
    assert_string_equal(string, "a \"b\"\n");
    assert_ok(tenon_attributes_get_dtype(a, "dtype", &dtype));
    assert_int_equal(dtype, TENON_I8);
    assert_ok(tenon_attributes_get_ints(a, "ints", &ints, &count));
    assert_int_equal(count, 2);
    assert_int_equal(ints[1], -2);
    assert_ok(tenon_attributes_get_floats(a, "floats", &floats, &count));
    assert_int_equal(count, 0);
    assert_ok(tenon_attributes_get_strings(a, "strings", &strings, &count));
    assert_int_equal(count, 3);
    assert_string_equal(strings[0], "x");
    assert_string_equal(strings[2], "\xef\xbf\xbd");

    assert_fails(tenon_attributes_get_int(a, "nothing", &number), TENON_ERROR_NOT_FOUND, "nothing");
    assert_int_equal(number, 0);
    assert_fails(tenon_attributes_get_int(a, "float", &number), TENON_ERROR_INVALID_TYPE, "float, not int");
    assert_fails(tenon_attributes_set_int(a, NULL, 1), TENON_ERROR_INVALID_ARGUMENT, "name is NULL");
    assert_fails(tenon_attributes_set_int(a, "", 1), TENON_ERROR_INVALID_ARGUMENT, "empty");
    assert_fails(tenon_attributes_set_ints(a, "ints", NULL, 3), TENON_ERROR_INVALID_ARGUMENT, "values is NULL");
    assert_fails(tenon_attributes_set_ints(a, "ints", &number, SIZE_MAX), TENON_ERROR_INVALID_ARGUMENT, "count");
    assert_fails(tenon_attributes_set_dtype(a, "dtype", (tenon_dtype)77), TENON_ERROR_INVALID_ARGUMENT, "77");
    assert_fails(
        tenon_attributes_set_strings(a, "strings", (const char *const[]){NULL}, 1), TENON_ERROR_INVALID_ARGUMENT, "NULL");
    /* The pointer of an earlier get stays valid after the attribute is replaced. */
    assert_ok(tenon_attributes_set_string(a, "string", "other"));
    assert_string_equal(string, "a \"b\"\n");
    tenon_attributes_release(a);

    assert_ok(tenon_attributes_parse("{strides=[2, 2], layout=\"NCHW\", eps=1e-5}", &a));
    assert_int_equal(tenon_attributes_count(a), 3);
    tenon_attributes_release(a);
    assert_fails(tenon_attributes_parse("strides=[2", &a), TENON_ERROR_PARSE, "line 1, column 11");
    assert_null(a);
    assert_ok(tenon_attributes_parse("", &a));
    assert_int_equal(tenon_attributes_count(a), 0);
    tenon_attributes_release(a);
}

static void seed_graph(void **state)
{
    (void)state;
    tenon_module *module = support_conv_bias_relu();
    char *text = support_print(module);
    assert_non_null(strstr(text, "%conv: f32[1,4,6,6] = nn.conv2d(%x, const#0: f32[4,3,3,3]) {padding=[1, 1, 1, 1]}"));
    assert_non_null(strstr(text, "reshape(const f32[4](0.5, -0.5, 0.25, 0.0), shape[1,4,1,1])"));
    tenon_module *again = support_parse(text);
    int32_t equal = 0;
    assert_ok(tenon_module_equal(module, again, &equal));
    assert_int_equal(equal, 1);
    char *text_again = support_print(again);
    assert_string_equal(text, text_again);
    tenon_string_release(text_again);
    tenon_string_release(text);

    assert_ok(tenon_module_verify(module));
    assert_int_equal(tenon_module_function_count(module), 1);
    assert_string_equal(tenon_module_function_name(module, 0), "main");
    assert_null(tenon_module_function_name(module, 1));
    tenon_module_release(again);
    tenon_module_release(module);
}

static void calls_are_checked(void **state)
{
    (void)state;
    const int64_t x_shape[] = {1, 3, 6, 6}, w_shape[] = {4, 5, 3, 3};
    tenon_builder *builder = NULL, *other = NULL;
    tenon_value x = 0, w = 0, y = 0;
    tenon_attributes *wrong = NULL;
    assert_ok(tenon_builder_create(&builder));
    assert_ok(tenon_builder_create(&other));
    assert_ok(tenon_builder_add_parameter(builder, "x", TENON_F32, 4, x_shape, &x));
    assert_ok(tenon_builder_add_parameter(builder, "w", TENON_F32, 4, w_shape, &w));

    const tenon_value both[] = {x, w}, stale[] = {x, 1000};
    assert_fails(
        tenon_builder_add_call(builder, "nn.conv2d", both, 2, NULL, NULL, &y), TENON_ERROR_INVALID_SHAPE, "nn.conv2d");
    assert_int_equal(y, TENON_NO_VALUE);
    assert_fails(tenon_builder_add_call(builder, "nn.conv3", both, 2, NULL, NULL, &y), TENON_ERROR_NOT_FOUND, "nn.conv3");
    assert_fails(
        tenon_builder_add_call(builder, "add", stale, 2, NULL, NULL, &y), TENON_ERROR_INVALID_ARGUMENT,
        "input 1: 1000 is no value");
    assert_fails(
        tenon_builder_add_call(builder, "add", NULL, 2, NULL, NULL, &y), TENON_ERROR_INVALID_ARGUMENT, "input is NULL");
    assert_fails(
        tenon_builder_add_call(builder, "add", &x, SIZE_MAX / 2, NULL, NULL, &y), TENON_ERROR_INVALID_ARGUMENT, "count");
    assert_fails(
        tenon_builder_add_call(builder, "nn.relu", &x, 1, NULL, NULL, NULL), TENON_ERROR_INVALID_ARGUMENT,
        "value is NULL");
    assert_fails(
        tenon_builder_add_call(other, "nn.relu", &w, 1, NULL, NULL, &y), TENON_ERROR_INVALID_ARGUMENT, "is no value");
    assert_ok(tenon_attributes_parse("stride=[1, 1]", &wrong));
    assert_fails(
        tenon_builder_add_call(builder, "nn.conv2d", both, 2, wrong, NULL, &y), TENON_ERROR_INVALID_ARGUMENT, "'stride'");
    tenon_attributes_release(wrong);
    assert_ok(tenon_attributes_parse("strides=[0, 1]", &wrong));
    assert_fails(
        tenon_builder_add_call(builder, "nn.conv2d", both, 2, wrong, NULL, &y), TENON_ERROR_INVALID_ARGUMENT, "strides");
    tenon_attributes_release(wrong);

    /* Nothing of all that is in the graph. */
    assert_ok(tenon_builder_add_call(builder, "nn.relu", &x, 1, NULL, NULL, &y));
    char *type = NULL;
    assert_ok(tenon_builder_get_type(builder, y, &type));
    assert_string_equal(type, "f32[1,3,6,6]");
    tenon_string_release(type);
    tenon_module *module = NULL;
    assert_ok(tenon_module_create(&module));
    assert_fails(tenon_module_add_function(module, "", builder, &y, 1, NULL), TENON_ERROR_INVALID_GRAPH, "empty name");
    assert_int_equal(tenon_module_function_count(module), 0);
    assert_ok(tenon_module_add_function(module, "main", builder, &y, 1, NULL));
    char *text = support_print(module);
    assert_null(strstr(text, "conv2d"));
    tenon_string_release(text);
    tenon_module_release(module);
    tenon_builder_release(builder);
    tenon_builder_release(other);
}

static void parameters_and_literals(void **state)
{
    (void)state;
    const int64_t negative[] = {2, -3}, huge[] = {INT64_MAX, INT64_MAX}, two[] = {2, 3};
    int64_t deep[64];
    for (int i = 0; i < 64; i++)
        deep[i] = 1;
    float data[6] = {0};
    tenon_builder *builder = NULL;
    tenon_value v = 0;
    assert_ok(tenon_builder_create(&builder));
    assert_fails(
        tenon_builder_add_parameter(builder, "x", TENON_F32, 2, negative, &v), TENON_ERROR_INVALID_SHAPE, "dimension 1 is -3");
    assert_fails(
        tenon_builder_add_parameter(builder, "x", TENON_F32, 2, huge, &v), TENON_ERROR_INVALID_SHAPE, "does not fit");
    assert_fails(
        tenon_builder_add_parameter(builder, "x", TENON_F32, 64, deep, &v), TENON_ERROR_INVALID_SHAPE, "rank 64");
    assert_fails(
        tenon_builder_add_parameter(builder, "x", TENON_F32, UINT32_MAX, deep, &v), TENON_ERROR_INVALID_SHAPE, "rank");
    assert_fails(
        tenon_builder_add_parameter(builder, "x", TENON_F32, 2, NULL, &v), TENON_ERROR_INVALID_ARGUMENT, "shape is NULL");
    assert_fails(
        tenon_builder_add_parameter(builder, "x", (tenon_dtype)50, 2, two, &v), TENON_ERROR_INVALID_ARGUMENT, "50");
    assert_ok(tenon_builder_add_parameter(builder, NULL, TENON_F32, 0, NULL, &v));
    assert_fails(tenon_builder_add_typed_parameter(builder, "t", "f32[n", &v), TENON_ERROR_PARSE, "column 6");
    assert_int_equal(v, TENON_NO_VALUE);
    assert_ok(tenon_builder_add_typed_parameter(builder, "t", "(f32[n,2], i64[])", &v));
    tenon_value item = 0;
    assert_ok(tenon_builder_add_tuple_get_item(builder, v, 1, NULL, &item));
    assert_fails(tenon_builder_add_tuple_get_item(builder, v, 2, NULL, &item), TENON_ERROR_INVALID_ARGUMENT, "item 2");
    assert_fails(
        tenon_builder_add_tuple_get_item(builder, v, SIZE_MAX, NULL, &item), TENON_ERROR_INVALID_ARGUMENT, "item");

    tenon_tensor tensor = TENON_TENSOR(TENON_F32, 2, two, data, sizeof data);
    assert_ok(tenon_builder_add_constant(builder, &tensor, &v));
    tensor.byte_count = 23;
    assert_fails(tenon_builder_add_constant(builder, &tensor, &v), TENON_ERROR_INVALID_ARGUMENT, "24 bytes needed");
    tensor.byte_count = 0;
    tensor.data = NULL;
    assert_fails(tenon_builder_add_constant(builder, &tensor, &v), TENON_ERROR_INVALID_ARGUMENT, "data is NULL");
    tensor.data = data;
    tensor.shape = huge;
    assert_fails(tenon_builder_add_constant(builder, &tensor, &v), TENON_ERROR_INVALID_SHAPE, "does not fit");
    tensor.shape = negative;
    assert_fails(tenon_builder_add_constant(builder, &tensor, &v), TENON_ERROR_INVALID_SHAPE, "dimension 1 is -3");
    tensor.dtype = TENON_STRING;
    assert_fails(tenon_builder_add_constant(builder, &tensor, &v), TENON_ERROR_INVALID_TYPE, "element type");
    assert_fails(tenon_builder_add_constant(builder, NULL, &v), TENON_ERROR_INVALID_ARGUMENT, "tensor is NULL");
    assert_ok(tenon_builder_add_literal(builder, "const i64[2](1, 2)", &v));
    assert_ok(tenon_builder_add_literal(builder, "shape[n, 4]", &v));
    assert_fails(tenon_builder_add_literal(builder, "%x", &v), TENON_ERROR_PARSE, "not defined");
    tenon_builder_release(builder);
}

static int released;

static void count_release(void *user_data)
{
    released += *(int *)user_data;
}

static void borrowed_memory_is_given_back(void **state)
{
    (void)state;
    float data[20];
    int step = 1;
    const int64_t shape[] = {20}, short_shape[] = {-1};
    for (int i = 0; i < 20; i++)
        data[i] = (float)i;
    released = 0;
    tenon_builder *builder = NULL;
    tenon_module *module = NULL, *copy = NULL;
    tenon_value c, y;
    tenon_tensor tensor = TENON_TENSOR(TENON_F32, 1, shape, data, sizeof data);
    assert_ok(tenon_builder_create(&builder));
    assert_ok(tenon_builder_add_borrowed_constant(builder, &tensor, count_release, &step, &c));
    tensor.shape = short_shape;
    assert_fails(
        tenon_builder_add_borrowed_constant(builder, &tensor, count_release, &step, &y), TENON_ERROR_INVALID_SHAPE, "-1");
    assert_int_equal(released, 0);
    assert_ok(tenon_builder_add_call(builder, "nn.relu", &c, 1, NULL, NULL, &y));
    assert_ok(tenon_module_create(&module));
    assert_ok(tenon_module_add_function(module, "main", builder, &y, 1, NULL));
    assert_ok(tenon_module_copy(module, &copy));
    tenon_builder_release(builder);
    tenon_module_release(module);
    assert_int_equal(released, 0);
    tenon_module_release(copy);
    assert_int_equal(released, 1);
}

static void functions_and_their_attributes(void **state)
{
    (void)state;
    const int64_t shape[] = {TENON_DIM_UNKNOWN, 4}, fixed[] = {8, 4};
    tenon_module *module = NULL;
    tenon_builder *inner = NULL, *outer = NULL;
    tenon_value p, q, x, y;
    tenon_attributes *attributes = NULL;
    assert_ok(tenon_module_create(&module));
    assert_ok(tenon_builder_create(&inner));
    assert_ok(tenon_builder_add_parameter(inner, "p", TENON_F32, 2, shape, &p));
    assert_ok(tenon_builder_add_call(inner, "nn.relu", &p, 1, NULL, NULL, &q));
    assert_ok(tenon_attributes_parse("Composite=\"mine.relu\", Primitive=true", &attributes));
    assert_ok(tenon_module_add_function(module, "composite", inner, &q, 1, attributes));

    assert_ok(tenon_builder_create(&outer));
    assert_ok(tenon_builder_add_parameter(outer, "x", TENON_F32, 2, fixed, &x));
    assert_ok(tenon_builder_add_function_call(outer, module, "composite", &x, 1, "y", &y));
    char *type = NULL;
    assert_ok(tenon_builder_get_type(outer, y, &type));
    assert_string_equal(type, "f32[8,4]");
    tenon_string_release(type);
    assert_fails(
        tenon_builder_add_function_call(outer, module, "nothing", &x, 1, NULL, &y), TENON_ERROR_NOT_FOUND, "'nothing'");
    assert_fails(
        tenon_builder_add_function_call(outer, module, "composite", NULL, 0, NULL, &y), TENON_ERROR_INVALID_ARGUMENT,
        "expects 1 arguments, found 0");
    assert_ok(tenon_builder_add_function_call(outer, module, "composite", &x, 1, "y", &y));
    tenon_value tuple;
    assert_ok(tenon_builder_add_tuple(outer, (tenon_value[]){x, y}, 2, NULL, &tuple));
    assert_ok(tenon_module_add_function(module, "main", outer, (tenon_value[]){y, tuple}, 2, NULL));
    /* main calls composite: it cannot go, nor can composite call main. */
    assert_fails(tenon_module_remove_function(module, "composite"), TENON_ERROR_NOT_FOUND, "composite");
    assert_int_equal(tenon_module_function_count(module), 2);
    tenon_builder *circle = NULL;
    assert_ok(tenon_builder_create(&circle));
    assert_ok(tenon_builder_add_parameter(circle, "x", TENON_F32, 2, fixed, &x));
    assert_ok(tenon_builder_add_function_call(circle, module, "main", &x, 1, NULL, &y));
    assert_fails(tenon_module_add_function(module, "main", circle, &y, 1, NULL), TENON_ERROR_INVALID_GRAPH, "calls itself");
    tenon_builder_release(circle);
    char *text = NULL;
    assert_ok(tenon_module_print_function(module, "composite", NULL, &text));
    assert_non_null(strstr(text, "{Composite=\"mine.relu\", Primitive=true}"));
    tenon_string_release(text);
    assert_fails(tenon_module_print_function(module, "none", NULL, &text), TENON_ERROR_NOT_FOUND, "none");

    tenon_attributes *found = NULL;
    int32_t primitive = 0;
    assert_ok(tenon_module_get_attributes(module, "composite", &found));
    assert_ok(tenon_attributes_get_bool(found, "Primitive", &primitive));
    assert_int_equal(primitive, 1);
    assert_ok(tenon_attributes_set_int(found, "Composite", 3));
    assert_fails(tenon_module_set_attributes(module, "composite", found), TENON_ERROR_INVALID_GRAPH, "Composite");
    tenon_attributes_release(found);
    assert_ok(tenon_module_set_attributes(module, NULL, attributes));
    assert_ok(tenon_module_get_attributes(module, NULL, &found));
    assert_int_equal(tenon_attributes_count(found), 2);
    assert_ok(tenon_module_remove_function(module, "main"));
    assert_ok(tenon_module_remove_function(module, "composite"));
    assert_int_equal(tenon_module_function_count(module), 0);
    tenon_attributes_release(found);
    tenon_attributes_release(attributes);
    tenon_builder_release(inner);
    tenon_builder_release(outer);
    tenon_module_release(module);
}

static void bad_text(void **state)
{
    (void)state;
    const struct {
        const char *text;
        tenon_status status;
        const char *part;
    } cases[] = {
        {"fn", TENON_ERROR_PARSE, "line 1, column 3: expected the function's name"},
        {"fn @f() {\n  %a = nn.rely(1)\n}", TENON_ERROR_PARSE, "line 2, column 8: unknown operator 'nn.rely'"},
        {"fn @f(%x: f32[2]) { %y: f32[3] = nn.relu(%x) return %y }", TENON_ERROR_INVALID_TYPE, "'%y'"},
        {"fn @f() { return const#0: f32[100] }", TENON_ERROR_PARSE, "constant #0"},
        {"fn @f() { return \"\xff\" }", TENON_ERROR_PARSE, "UTF-8"},
        {"fn @f(%x: f32[2]) { %y: object = @f(%x) return %y }", TENON_ERROR_INVALID_GRAPH, "calls itself"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tenon_module *module = (tenon_module *)1;
        tenon_status status = tenon_module_parse(cases[i].text, strlen(cases[i].text), &module);
        if (status != cases[i].status)
            print_error("%s: %s\n", cases[i].text, tenon_last_error_message());
        assert_int_equal(status, cases[i].status);
        assert_non_null(strstr(tenon_last_error_message(), cases[i].part));
        assert_null(module);
    }
    tenon_module *module = NULL;
    assert_fails(tenon_module_parse(NULL, 5, &module), TENON_ERROR_INVALID_ARGUMENT, "text is NULL");
    assert_fails(tenon_module_parse("", SIZE_MAX, &module), TENON_ERROR_INVALID_ARGUMENT, "text");
    assert_ok(tenon_module_parse(NULL, 0, &module));
    assert_int_equal(tenon_module_function_count(module), 0);
    tenon_module_release(module);
}

/* Apache TVM's spelling of the same, there and back; also damaged. */
static void tvmscript(void **state)
{
    (void)state;
    const char *script =
        "@R.function\n"
        "def main(x: R.Tensor((\"n\", 4), dtype=\"float32\")) -> R.Tensor((\"n\", 4), dtype=\"float32\"):\n"
        "    with R.dataflow():\n"
        "        a = R.nn.relu(x + R.const(1.5, \"float32\"))\n"
        "        R.output(a)\n"
        "    return a\n";
    tenon_module *module = NULL, *again = NULL;
    assert_ok(tenon_module_parse(script, strlen(script), &module));
    char *text = NULL;
    assert_ok(tenon_module_print_tvmscript(module, NULL, &text));
    assert_non_null(strstr(text, "a: R.Tensor((n, 4), dtype=\"float32\") = R.nn.relu("));
    assert_ok(tenon_module_parse(text, strlen(text), &again));
    int32_t equal = 0;
    assert_ok(tenon_module_equal(module, again, &equal));
    assert_int_equal(equal, 1);
    tenon_module_release(again);
    tenon_module_release(module);
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (tenon_module_parse(text, i, &again) == TENON_OK) tenon_module_release(again);
        char kept = text[i];
        for (const char *c = "\"({0\n-\xc3"; *c; c++) {
            text[i] = *c;
            if (tenon_module_parse(text, length, &again) == TENON_OK) tenon_module_release(again);
        }
        text[i] = kept;
    }
    tenon_string_release(text);
    assert_fails(tenon_module_print_tvmscript(NULL, NULL, &text), TENON_ERROR_INVALID_ARGUMENT, "module");
}

/* Every prefix, and every single changed byte, is either read or refused. */
static void damaged_text(void **state)
{
    (void)state;
    tenon_module *module = support_conv_bias_relu();
    tenon_print_options options = TENON_PRINT_OPTIONS_INIT;
    options.inline_elements = 4;
    char *text = NULL;
    assert_ok(tenon_module_print(module, &options, &text));
    tenon_module_release(module);
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        tenon_module *read = NULL;
        if (tenon_module_parse(text, i, &read) == TENON_OK)
            tenon_module_release(read);
        else
            assert_null(read);
        char kept = text[i];
        for (const char *c = "\"{0%-\xc3"; *c; c++) {
            text[i] = *c;
            if (tenon_module_parse(text, length, &read) == TENON_OK)
                tenon_module_release(read);
        }
        text[i] = kept;
    }
    tenon_string_release(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes),
        cmocka_unit_test(seed_graph),
        cmocka_unit_test(calls_are_checked),
        cmocka_unit_test(parameters_and_literals),
        cmocka_unit_test(borrowed_memory_is_given_back),
        cmocka_unit_test(functions_and_their_attributes),
        cmocka_unit_test(bad_text),
        cmocka_unit_test(tvmscript),
        cmocka_unit_test(damaged_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
