// The C++ face of patterns, matches and rules.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <tenon_rules.hpp>

static int failures = 0;

#define EXPECT(condition)                                                                                            \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                     \
            failures++;                                                                                              \
        }                                                                                                            \
    } while (0)

static const char *const text =
    "fn @main(%x: f32[1,4,8,8]) { dataflow {"
    "  %a = nn.conv2d(%x, const f32[4,4,1,1](1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16)) %b = nn.relu(%a) output %b }"
    "  return %b }";

// M-12, M-13: patterns, what they print and what they meet.
static void patterns()
{
    tenon::Pattern x;
    EXPECT(tenon::op("add")(x, x.duplicate()).text() == "add(*, *)");
    EXPECT(tenon::op("add")(x, x).text() == "add(%0, %0)");
    const tenon::Pattern conv =
        tenon::op("nn.conv2d")(x.named("in"), tenon::Pattern::constant()).has_attributes("strides=[1, 1]").named("conv");
    const tenon::Pattern whole = conv.optional([](const tenon::Pattern &p) { return tenon::op("nn.relu")(p); });
    EXPECT(tenon::Pattern::parse(whole.text()).text() == whole.text());
    EXPECT((tenon::Pattern::constant(2) & !x).text() == "const(2.0) & !*");
    EXPECT(tenon::Pattern::tuple({x, tenon::Pattern::literal("4")}).item(1).text() == "tuple(*, 4).1");
    EXPECT(x.has_dtype(TENON_F16).has_shape({2, 3}).has_type("?[m,n]").text() == "* @dtype f16 @shape[2,3] @type ?[m,n]");

    const tenon::Module module = tenon::Module::parse(text);
    const tenon::Function main(module, "main");
    EXPECT(main.name() == "main" && main.parameters().size() == 1 && main.results() == std::vector{main.bindings()[1]});
    const auto match = whole.match(main, main.bindings()[1]);
    EXPECT(match.has_value());
    if (match) {
        EXPECT((*match)["conv"] == main.bindings()[0]);
        EXPECT(std::string(match->info("in").name) == "x");
        EXPECT(match->root() == main.bindings()[1]);
        EXPECT(match->captures().size() == 2);
        EXPECT(match->function().users((*match)["conv"]).size() == 1);
    }
    EXPECT(!tenon::op("tanh")(x).match(main, main.bindings()[1]));
    try {
        tenon::op("no.such");
        EXPECT(false);
    } catch (const tenon::Error &error) {
        EXPECT(error.status() == TENON_ERROR_NOT_FOUND);
    }
}

// F-13: a check accepts, refuses with a reason, throws.
static void checks()
{
    tenon::Module module = tenon::Module::parse(text);
    const tenon::Module before = module.copy();
    const tenon::Pattern w = tenon::Pattern::constant().named("w");
    tenon::Rule rule{"mine.pair", tenon::op("nn.relu")(tenon::op("nn.conv2d")(tenon::Pattern(), w))};
    rule.check = [](const tenon::Match &match) {
        return match.info("w").shape[0] > 8 ? tenon::accept() : tenon::refuse("4 filters", "more than 8");
    };
    tenon::fuse(module, {rule});
    EXPECT(module == before);
    EXPECT(
        tenon::explain(module, {rule}) ==
        "@main\n  missed  %b by mine.pair: check_refused: found 4 filters, expected more than 8\n");
    EXPECT(tenon::explain(module).find("fused   %b by dnnl.conv2d_post_ops") != std::string::npos);
    rule.check = [](const tenon::Match &) -> tenon::Verdict { throw std::runtime_error("lost"); };
    try {
        tenon::fuse(module, {rule});
        EXPECT(false);
    } catch (const std::runtime_error &error) {
        EXPECT(std::string(error.what()) == "lost");
    }
    EXPECT(module == before);
    rule.check = [](const tenon::Match &) { return tenon::accept(); };
    rule.closed = true;
    tenon::fuse(module, {rule});
    EXPECT(module.functions().size() == 2);
}

int main()
{
    patterns();
    checks();
    std::printf("%s\n", failures == 0 ? "ok" : "failed");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
