// The C++ face: build, fuse, run, errors.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <tenon.hpp>

static int failures = 0;

#define EXPECT(condition)                                                                                            \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                     \
            failures++;                                                                                              \
        }                                                                                                            \
    } while (0)

static void build_fuse_run()
{
    const std::vector<float> weights = {1, -1, 2, 0.5f}, bias = {0.25f, -1};
    tenon::Builder builder;
    const tenon_value x = builder.parameter("x", "f32[1,2,3,3]");
    const tenon_value w = builder.constant(tenon::tensor(weights, {2, 2, 1, 1}));
    const tenon_value b = builder.constant(tenon::tensor(bias, {2}));
    const tenon_value conv = builder.call("nn.conv2d", {x, w}, "strides=[1, 1]", "conv");
    const tenon_value sum = builder.call("add", {conv, builder.call("reshape", {b, builder.shape({1, 2, 1, 1})})});
    const tenon_value y = builder.call("nn.relu", {sum}, "", "y");
    EXPECT(builder.type(y) == "f32[1,2,3,3]");

    tenon::Module module;
    module.add_function("main", builder, {y});
    const tenon::Module copy = module.copy();
    EXPECT(copy == module);
    module.optimize();
    EXPECT(!(copy == module));
    EXPECT(module.functions().size() == 2);
    EXPECT(module.attributes(module.functions()[1]).get_string("Codegen") == "dnnl");
    tenon_print_options with_data = TENON_PRINT_OPTIONS_INIT;
    with_data.with_data = 1;
    EXPECT(tenon::Module::parse(module.text(&with_data)) == module);

    const tenon::Executable executable(module);
    EXPECT(executable.input_count() == 1 && executable.output_count() == 1);
    EXPECT(std::string(executable.input(0).type) == "f32[1,2,3,3]");
    std::vector<float> in(18), out(18, -1);
    for (int i = 0; i < 18; i++)
        in[static_cast<std::size_t>(i)] = static_cast<float>(i) - 9;
    executable.run({tenon::tensor(in, {1, 2, 3, 3})}, {tenon::tensor(out, {1, 2, 3, 3})});
    for (std::size_t o = 0; o < 2; o++)
        for (std::size_t i = 0; i < 9; i++) {
            const float sum_at = weights[o * 2] * in[i] + weights[o * 2 + 1] * in[9 + i] + bias[o];
            EXPECT(std::fabs(out[o * 9 + i] - (sum_at > 0 ? sum_at : 0)) < 1e-5f);
        }
}

static void errors()
{
    try {
        tenon::Module::parse("fn @f(");
        EXPECT(false);
    } catch (const tenon::Error &error) {
        EXPECT(error.status() == TENON_ERROR_PARSE);
        EXPECT(std::string(error.what()).find("line 1") != std::string::npos);
    }
    try {
        tenon::Builder builder;
        builder.call("nn.relu", {});
        EXPECT(false);
    } catch (const tenon::Error &error) {
        EXPECT(error.status() == TENON_ERROR_INVALID_ARGUMENT);
        EXPECT(error.operator_name() == "nn.relu" && error.expectation() == "1 inputs" && error.found() == "0");
        const tenon::Error copy = error;
        EXPECT(copy.found() == "0" && tenon::Error(TENON_ERROR_IO, "by hand").found().empty());
    }
    tenon::Attributes attributes("a=1");
    attributes.set("b", std::vector<std::int64_t>{1, 2});
    EXPECT(attributes.size() == 2 && attributes.contains("b") && !attributes.contains("c"));
    EXPECT(attributes.get_int("a") == 1);
}

static void saving()
{
    char path[] = "/tmp/tenon-cxx-XXXXXX";
    const int file = mkstemp(path);
    EXPECT(file >= 0);
    const tenon::Module module = tenon::Module::parse("fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x) return %y }");
    module.save_onnx(path);
    EXPECT(tenon::Module::load_onnx(path).text().find("nn.relu(%x)") != std::string::npos);
    try {
        module.save_onnx("/nonexistent/model.onnx");
        EXPECT(false);
    } catch (const tenon::Error &error) {
        EXPECT(error.status() == TENON_ERROR_IO);
    }
    close(file);
    unlink(path);
}

int main()
{
    build_fuse_run();
    errors();
    saving();
    if (failures == 0)
        std::puts("[  PASSED  ] C++");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
