/* What all C tests share. */
#ifndef TENON_TEST_SUPPORT_H
#define TENON_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tenon.h>

/* The call succeeds; otherwise its message is shown. */
#define assert_ok(call) support_ok((call), #call, __FILE__, __LINE__)

/* The call fails with this status and a message that holds `part` and is one line. */
#define assert_fails(call, status, part) support_fails((call), (status), (part), #call, __FILE__, __LINE__)

static inline void support_ok(tenon_status status, const char *call, const char *file, int line)
{
    if (status != TENON_OK) {
        print_error("%s: %s: %s\n", call, tenon_status_name(status), tenon_last_error_message());
        _fail(file, line);
    }
}

static inline void support_fails(
    tenon_status status, tenon_status expected, const char *part, const char *call, const char *file, int line)
{
    const char *message = tenon_last_error_message();
    if (status != expected) {
        print_error("%s: %s, expected %s: %s\n", call, tenon_status_name(status), tenon_status_name(expected), message);
        _fail(file, line);
    }
    if (strstr(message, part) == NULL || strchr(message, '\n') != NULL) {
        print_error("%s: message '%s' has no '%s' or is more than a line\n", call, message, part);
        _fail(file, line);
    }
}

static inline tenon_module *support_parse(const char *text)
{
    tenon_module *module = NULL;
    assert_ok(tenon_module_parse(text, strlen(text), &module));
    assert_non_null(module);
    return module;
}

static inline char *support_print(const tenon_module *module)
{
    char *text = NULL;
    tenon_print_options options = TENON_PRINT_OPTIONS_INIT;
    options.with_data = 1;
    assert_ok(tenon_module_print(module, &options, &text));
    return text;
}

/* relu(conv2d(x, w) + reshape(b)): the graph that the library is named for, as "main". */
static inline tenon_module *support_conv_bias_relu(void)
{
    const int64_t x_shape[] = {1, 3, 6, 6}, w_shape[] = {4, 3, 3, 3}, b_shape[] = {4}, r_shape[] = {1, 4, 1, 1};
    float weights[4 * 3 * 3 * 3], bias[4] = {0.5f, -0.5f, 0.25f, 0};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        weights[i] = (float)(i % 7) / 7 - 0.4f;

    tenon_builder *builder = NULL;
    tenon_attributes *attributes = NULL;
    tenon_value x, w, b, shape, conv, reshaped, sum, y;
    tenon_tensor w_tensor = TENON_TENSOR(TENON_F32, 4, w_shape, weights, sizeof weights);
    tenon_tensor b_tensor = TENON_TENSOR(TENON_F32, 1, b_shape, bias, sizeof bias);
    assert_ok(tenon_builder_create(&builder));
    assert_ok(tenon_builder_add_parameter(builder, "x", TENON_F32, 4, x_shape, &x));
    assert_ok(tenon_builder_add_constant(builder, &w_tensor, &w));
    assert_ok(tenon_builder_add_constant(builder, &b_tensor, &b));
    assert_ok(tenon_builder_add_shape(builder, 4, r_shape, &shape));
    assert_ok(tenon_attributes_parse("padding=[1, 1, 1, 1]", &attributes));
    assert_ok(tenon_builder_add_call(builder, "nn.conv2d", (tenon_value[]){x, w}, 2, attributes, "conv", &conv));
    assert_ok(tenon_builder_add_call(builder, "reshape", (tenon_value[]){b, shape}, 2, NULL, NULL, &reshaped));
    assert_ok(tenon_builder_add_call(builder, "add", (tenon_value[]){conv, reshaped}, 2, NULL, NULL, &sum));
    assert_ok(tenon_builder_add_call(builder, "nn.relu", &sum, 1, NULL, "y", &y));

    tenon_module *module = NULL;
    assert_ok(tenon_module_create(&module));
    assert_ok(tenon_module_add_function(module, "main", builder, &y, 1, NULL));
    tenon_attributes_release(attributes);
    tenon_builder_release(builder);
    return module;
}

#endif
