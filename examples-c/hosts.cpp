// A pass, an instrument and a backend of one's own in C++17.
//
// The pass turns a product by two into a sum, a rule gives relu of a sum to the backend "mine", the instrument prints how long
// each pass took, and the result is compared with the library's own kernels.
//
//     c++ -std=c++17 hosts.cpp $(pkg-config --cflags --libs tenon) && ./a.out
#include <algorithm>
#include <cmath>
#include <iostream>

#include <tenon_hosts.hpp>

namespace {

const char *const text = R"(
fn @main(%x: f32[64,256]) {
  dataflow {
    %t = tanh(%x)
    %twice = multiply(%t, const f32[](2))
    %y = nn.relu(%twice)
    output %y
  }
  return %y
}
)";

// relu(x + x).
class Mine : public tenon::Backend {
public:
    Mine() : Backend("mine") {}

    std::unique_ptr<Region> compile(const tenon::Function &region, std::uint32_t, tenon::Verdict &refusal) override
    {
        const std::vector<tenon_value> parameters = region.parameters();
        if (parameters.size() != 1) {
            refusal = tenon::refuse("other operands", "one input");
            return nullptr;
        }
        const tenon_value_info x = region.info(parameters[0]);
        auto loop = std::make_unique<Loop>();
        loop->count = 1;
        for (std::int32_t axis = 0; axis < x.rank; axis++)
            loop->count *= static_cast<std::size_t>(x.shape[axis]);
        loop->implementation = "mine:loop";
        return loop;
    }

private:
    struct Loop : Region {
        void run(const tenon_tensor *inputs, std::size_t, const tenon_tensor *outputs, std::size_t, void *) override
        {
            const float *x = static_cast<const float *>(inputs[0].data);
            std::transform(
                x, x + count, static_cast<float *>(outputs[0].data), [](float v) { return std::max(v + v, 0.0f); });
        }

        std::size_t count = 0;
    };
};

bool products_by_two(tenon::Module &module)
{
    tenon::check(tenon_module_rewrite(
        module.handle(),
        "fn @before(%x: object) { %y = multiply(%x, const f32[](2)) return %y }"
        "fn @after(%x: object) { %y = add(%x, %x) return %y }",
        nullptr));
    return true;
}

} // namespace

int main()
try {
    tenon::Module module = tenon::Module::parse(text);
    const tenon::Executable reference(module);

    tenon::PassContext context;
    context.instruments.push_back({nullptr, [](const tenon::PassEvent &event) {
                                       std::cout << event.name << ": " << event.nanoseconds / 1000 << " us\n";
                                   }});
    tenon::apply(module, {{"mine.products_by_two", products_by_two}, "EliminateDeadCode"}, context);

    const tenon::Pattern x;
    tenon::fuse(module, {{"mine.relu_twice", tenon::op("nn.relu")(tenon::op("add")(x, x))}}, TENON_FUSE_ANNOTATE);
    std::cout << module.text() << "\n";

    const tenon::Backends backends{std::make_shared<Mine>()};
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    backends.offer(options);
    const tenon::Executable executable(module, &options);

    std::vector<float> input(64 * 256), expected(input.size()), found(input.size());
    for (std::size_t i = 0; i < input.size(); i++)
        input[i] = static_cast<float>(i % 17) / 8 - 1;
    reference.run({tenon::tensor(input, {64, 256})}, {tenon::tensor(expected, {64, 256})});
    executable.run({tenon::tensor(input, {64, 256})}, {tenon::tensor(found, {64, 256})});
    float largest = 0;
    for (std::size_t i = 0; i < found.size(); i++)
        largest = std::max(largest, std::abs(found[i] - expected[i]));
    const std::string report = executable.report();
    std::cout << report << "\ndifference " << largest << "\n";
    return report.find("mine:loop") != std::string::npos && largest < 1e-5f ? 0 : 1;
} catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
}
