// The C++ face of passes, instruments and backends of a host.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tenon_hosts.hpp>

static int failures = 0;

#define EXPECT(condition)                                                                                            \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                     \
            failures++;                                                                                              \
        }                                                                                                            \
    } while (0)

static const char *const text =
    "fn @main(%x: f32[2,3]) { dataflow { %t = tanh(%x) %r = nn.relu(%t) %y = multiply(%r, const f32[](3)) output %y }"
    " return %y }";

template <typename Call> static std::string thrown(Call call)
{
    try {
        call();
    } catch (const std::exception &error) {
        return error.what();
    }
    return "";
}

static tenon::Pass to_abs(bool verdict)
{
    return {"mine.abs", [verdict](tenon::Module &module) {
                tenon::check(tenon_module_rewrite(
                    module.handle(),
                    "fn @before(%x: object) { %y = nn.relu(%x) return %y }"
                    "fn @after(%x: object) { %y = abs(%x) return %y }",
                    nullptr));
                return verdict;
            }};
}

static void passes()
{
    tenon::Module module = tenon::Module::parse(text);
    const tenon::Module before = module.copy();
    tenon::apply(module, {to_abs(false)});
    EXPECT(module == before);
    tenon::Pass raising("mine.raising", [](tenon::Module &) -> bool { throw std::runtime_error("lost"); });
    EXPECT(thrown([&] { tenon::apply(module, {to_abs(true), raising}); }) == "lost");
    EXPECT(module == before);
    EXPECT(thrown([&] { tenon::apply(module, {"NoSuchPass"}); }).find("NoSuchPass") != std::string::npos);
    EXPECT(module == before);

    tenon::PassContext context;
    context.disabled_passes = {"mine.abs"};
    tenon::apply(module, {"EliminateDeadCode", to_abs(true)}, context);
    EXPECT(module == before);
    tenon::apply(module, {"EliminateDeadCode", to_abs(true)});
    EXPECT(module.text().find("abs(") != std::string::npos);
}

static void instruments()
{
    tenon::Module module = tenon::Module::parse(text);
    const tenon::Module before = module.copy();
    std::vector<std::string> heard;
    tenon::PassContext context;
    context.verify = true;
    context.instruments.push_back(
        {[&](const tenon::PassEvent &event) {
             heard.push_back("<" + event.name);
             EXPECT(event.nanoseconds == 0 && event.module.functions().size() == 1);
             return event.name != "mine.abs";
         },
         [&](const tenon::PassEvent &event) {
             heard.push_back(">" + event.name);
             EXPECT(event.nanoseconds > 0 && event.depth == 0 && event.module == before);
         }});
    tenon::apply(module, {"EliminateDeadCode", to_abs(true)}, context);
    EXPECT((heard == std::vector<std::string>{"<EliminateDeadCode", ">EliminateDeadCode", "<mine.abs"}));
    EXPECT(module == before);

    context.instruments = {{[](const tenon::PassEvent &) -> bool { throw std::logic_error("deaf"); }}};
    EXPECT(thrown([&] { tenon::optimize(module, context); }) == "deaf");
    EXPECT(module == before);
    tenon::optimize(module, {});
    EXPECT(!(module == before));
}

/* multiply(relu(x), k). */
class Mine : public tenon::Backend {
public:
    Mine() : Backend("mine") {}

    std::unique_ptr<Region> compile(const tenon::Function &function, std::uint32_t threads, tenon::Verdict &refusal) override
    {
        EXPECT(threads >= 1);
        if (mode == "refuse") {
            refusal = tenon::refuse("a region", "none");
            return nullptr;
        }
        if (mode == "throw")
            throw std::runtime_error("no kernel today");
        auto region = std::make_unique<Loop>(*this);
        const tenon::Function composite = function.callee(function.results()[0]);
        const tenon_value_info product = composite.info(composite.results()[0]);
        const tenon_value_info factor = composite.info(product.inputs[1]);
        region->count = 1;
        for (std::int32_t axis = 0; axis < product.rank; axis++)
            region->count *= static_cast<std::size_t>(product.shape[axis]);
        std::memcpy(&region->factor, factor.data, sizeof region->factor);
        region->workspace_bytes = region->count * sizeof(float);
        region->implementation = "mine:loop";
        return region;
    }

    std::string mode;
    std::atomic<int> alive{0};

private:
    struct Loop : Region {
        explicit Loop(Mine &mine) : mine(mine) { mine.alive++; }
        ~Loop() override { mine.alive--; }

        void run(
            const tenon_tensor *inputs, std::size_t input_count, const tenon_tensor *outputs, std::size_t output_count,
            void *workspace) override
        {
            if (mine.mode == "throw in a run")
                throw std::runtime_error("no power");
            EXPECT(input_count == 1 && output_count == 1);
            float *work = static_cast<float *>(workspace);
            std::memcpy(work, inputs[0].data, count * sizeof(float));
            for (std::size_t i = 0; i < count; i++)
                static_cast<float *>(outputs[0].data)[i] = work[i] > 0 ? work[i] * factor : 0;
        }

        Mine &mine;
        std::size_t count = 0;
        float factor = 0;
    };
};

static void backends()
{
    const auto mine = std::make_shared<Mine>();
    const tenon::Backends backends{mine};
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    backends.offer(options);
    tenon::Module module = tenon::Module::parse(text);
    const std::vector<float> x = {-1, 2, -3, 4, 0, 6};
    std::vector<float> expected(6), found(6);
    // On the kernels that run what no backend takes: another tanh rounds otherwise.
    tenon_executable_options plain = TENON_EXECUTABLE_OPTIONS_INIT;
    plain.flags = TENON_COMPILE_UNOPTIMIZED;
    tenon::Executable(module, &plain).run({tenon::tensor(x, {2, 3})}, {tenon::tensor(expected, {2, 3})});
    const tenon::Pattern any;
    tenon::fuse(
        module, {{"mine.scaled", tenon::op("multiply")(tenon::op("nn.relu")(any), tenon::Pattern::constant())}},
        TENON_FUSE_ANNOTATE);
    {
        const tenon::Executable executable(module, &options);
        executable.run({tenon::tensor(x, {2, 3})}, {tenon::tensor(found, {2, 3})});
        EXPECT(found == expected);
        EXPECT(executable.report().find("mine:loop") != std::string::npos);
        EXPECT(mine->alive == 1);
        mine->mode = "throw in a run";
        try {
            executable.run({tenon::tensor(x, {2, 3})}, {tenon::tensor(found, {2, 3})});
            EXPECT(false);
        } catch (const tenon::Error &error) {
            EXPECT(error.status() == TENON_ERROR_BACKEND);
            EXPECT(std::string(error.what()).find("no power") != std::string::npos);
        }
    }
    EXPECT(mine->alive == 0);
    mine->mode = "refuse";
    found.assign(6, 0);
    tenon::Executable(module, &options).run({tenon::tensor(x, {2, 3})}, {tenon::tensor(found, {2, 3})});
    EXPECT(found == expected);
    mine->mode = "throw";
    EXPECT(
        thrown([&] { tenon::Executable executable(module, &options); }).find("no kernel today") != std::string::npos);
    EXPECT(mine->alive == 0);

    /* RunCodegen asks them too. */
    mine->mode = "refuse";
    tenon::PassContext context;
    context.backends = std::make_shared<const tenon::Backends>(std::vector<std::shared_ptr<tenon::Backend>>{mine});
    tenon::apply(module, {"RunCodegen"}, context);
    EXPECT(module.text().find("Codegen") == std::string::npos);
}

int main()
{
    passes();
    instruments();
    backends();
    std::printf("%s\n", failures == 0 ? "ok" : "failed");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
