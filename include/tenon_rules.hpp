/* Patterns, matches and fusion rules for C++17, besides tenon.hpp.
 *
 *     tenon::Pattern x, w = tenon::Pattern::constant().named("w");
 *     tenon::Rule rule{"mine.conv2d_relu", tenon::op("nn.relu")(tenon::op("nn.conv2d")(x, w))};
 *     rule.check = [](const tenon::Match &match) {
 *         return match.info("w").shape[2] <= 3 ? tenon::accept() : tenon::refuse("a big kernel", "3 rows at most");
 *     };
 *     tenon::fuse(module, {rule}, TENON_FUSE_ANNOTATE);
 *
 * What a check throws is thrown by the function that asked it, and the module stays as it was. */
#ifndef TENON_RULES_HPP
#define TENON_RULES_HPP

#if !defined(__cplusplus) || (__cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L))
#error "tenon_rules.hpp needs C++17 (-std=c++17); tenon.h compiles as C99 and as C++11"
#else

#include <exception>
#include <functional>
#include <optional>

#include "tenon.hpp"

namespace tenon {

/* A function to read: one of a module, or one that is lent to a callback. Lists and structures that it gives are borrowed from
 * it. */
class Function {
public:
    Function(const Module &module, const std::string &name)
    {
        tenon_function *handle = nullptr;
        check(tenon_module_get_function(module.handle(), name.c_str(), &handle));
        owner_.reset(handle);
        handle_ = handle;
    }

    /* Borrows a handle. */
    explicit Function(const tenon_function *handle) noexcept : handle_(handle) {}

    const tenon_function *handle() const noexcept { return handle_; }
    std::string name() const { return tenon_function_name(handle_); }
    std::vector<tenon_value> parameters() const { return list(tenon_function_get_parameters); }
    std::vector<tenon_value> bindings() const { return list(tenon_function_get_bindings); }
    std::vector<tenon_value> results() const { return list(tenon_function_get_results); }

    tenon_value_info info(tenon_value value) const
    {
        tenon_value_info info = TENON_VALUE_INFO_INIT;
        check(tenon_function_get_value(handle_, value, &info));
        return info;
    }

    std::vector<tenon_value> users(tenon_value value) const
    {
        const tenon_value *values = nullptr;
        std::size_t count = 0;
        check(tenon_function_get_users(handle_, value, &values, &count));
        return std::vector<tenon_value>(values, values + count);
    }

    /* The function that a value is, or that it calls; borrowed from this one. */
    Function callee(tenon_value value) const
    {
        const tenon_function *callee = nullptr;
        check(tenon_function_get_callee(handle_, value, &callee));
        return Function(callee);
    }

private:
    template <typename Get> std::vector<tenon_value> list(Get get) const
    {
        const tenon_value *values = nullptr;
        std::size_t count = 0;
        check(get(handle_, &values, &count));
        return std::vector<tenon_value>(values, values + count);
    }

    detail::Owner<tenon_function, tenon_function_release> owner_;
    const tenon_function *handle_ = nullptr;
};

/* What a pattern met. */
class Match {
public:
    /* Borrows a handle. */
    explicit Match(const tenon_match *handle) noexcept : handle_(handle) {}
    /* Takes over a handle. */
    explicit Match(tenon_match *handle) noexcept : owner_(handle), handle_(handle) {}

    const tenon_match *handle() const noexcept { return handle_; }
    Function function() const { return Function(tenon_match_function(handle_)); }
    tenon_value root() const noexcept { return tenon_match_root(handle_); }

    tenon_value operator[](const std::string &capture) const
    {
        tenon_value value = TENON_NO_VALUE;
        check(tenon_match_get(handle_, capture.c_str(), &value));
        return value;
    }

    tenon_value_info info(const std::string &capture) const { return function().info((*this)[capture]); }

    std::vector<std::string> captures() const
    {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < tenon_match_capture_count(handle_); i++)
            names.emplace_back(tenon_match_capture_name(handle_, i));
        return names;
    }

private:
    detail::Owner<tenon_match, tenon_match_release> owner_;
    const tenon_match *handle_;
};

/* A pattern. Copies are the same node: used twice, it must meet the same value. */
class Pattern {
public:
    /* Anything. */
    Pattern() : Pattern(make(tenon_pattern_wildcard)) {}

    static Pattern parse(const std::string &text) { return make(tenon_pattern_parse, text.c_str()); }
    static Pattern constant() { return make(tenon_pattern_constant); }
    static Pattern constant(double value, double tolerance = 1e-5)
    {
        return make(tenon_pattern_constant_value, value, tolerance);
    }
    static Pattern variable() { return make(tenon_pattern_variable, nullptr); }
    static Pattern literal(const std::string &text) { return make(tenon_pattern_literal, text.c_str()); }
    static Pattern op(const std::string &name) { return make(tenon_pattern_operator, name.c_str()); }
    static Pattern tuple(const std::vector<Pattern> &fields)
    {
        const std::vector<const tenon_pattern *> handles = handles_of(fields);
        return make(tenon_pattern_tuple, handles.data(), handles.size(), 0);
    }

    const tenon_pattern *handle() const noexcept { return handle_.get(); }

    std::string text() const
    {
        char *text = nullptr;
        check(tenon_pattern_print(handle(), &text));
        return detail::text(text);
    }

    /* A call of this; `flags` are of tenon_call_flags. */
    Pattern call(const std::vector<Pattern> &arguments, std::uint32_t flags = 0) const
    {
        const std::vector<const tenon_pattern *> handles = handles_of(arguments);
        return make(tenon_pattern_call, handle(), handles.data(), handles.size(), flags);
    }

    template <typename... Patterns> Pattern operator()(const Patterns &...arguments) const
    {
        return call(std::vector<Pattern>{arguments...});
    }

    /* A tail, or this alone. */
    template <typename Tail> Pattern optional(Tail tail) const { return tail(*this) | *this; }

    Pattern named(const std::string &name) const { return make(tenon_pattern_named, handle(), name.c_str()); }
    Pattern item(std::int64_t index) const { return make(tenon_pattern_tuple_get_item, handle(), index); }
    Pattern has_attributes(const std::string &text) const
    {
        return make(tenon_pattern_has_attributes, handle(), Attributes(text).handle());
    }
    Pattern has_dtype(tenon_dtype dtype) const { return make(tenon_pattern_has_dtype, handle(), dtype); }
    Pattern has_type(const std::string &type) const { return make(tenon_pattern_has_type, handle(), type.c_str()); }
    Pattern has_shape(const std::vector<std::int64_t> &shape) const
    {
        return make(tenon_pattern_has_shape, handle(), static_cast<std::uint32_t>(shape.size()), shape.data());
    }
    Pattern duplicate() const { return make(tenon_pattern_duplicate, handle()); }

    friend Pattern operator|(const Pattern &a, const Pattern &b) { return make(tenon_pattern_or, a.handle(), b.handle()); }
    friend Pattern operator&(const Pattern &a, const Pattern &b) { return make(tenon_pattern_and, a.handle(), b.handle()); }
    friend Pattern operator!(const Pattern &a) { return make(tenon_pattern_not, a.handle()); }

    /* What it meets at a value of a function, if it does. */
    std::optional<Match> match(const Function &function, tenon_value value) const
    {
        tenon_match *match = nullptr;
        check(tenon_pattern_match(handle(), function.handle(), value, &match));
        if (match == nullptr)
            return std::nullopt;
        return std::optional<Match>(std::in_place, match);
    }

private:
    explicit Pattern(tenon_pattern *handle) : handle_(handle, tenon_pattern_release) {}

    template <typename Make, typename... Arguments> static Pattern make(Make function, Arguments... arguments)
    {
        tenon_pattern *handle = nullptr;
        check(function(arguments..., &handle));
        return Pattern(handle);
    }

    static std::vector<const tenon_pattern *> handles_of(const std::vector<Pattern> &patterns)
    {
        std::vector<const tenon_pattern *> handles;
        for (const Pattern &pattern : patterns)
            handles.push_back(pattern.handle());
        return handles;
    }

    std::shared_ptr<tenon_pattern> handle_;
};

inline Pattern op(const std::string &name) { return Pattern::op(name); }

/* What a check answers. */
struct Verdict {
    bool accepts;
    std::string found, expected;
};

inline Verdict accept() { return {true, "", ""}; }
inline Verdict refuse(std::string found, std::string expected = "")
{
    return {false, std::move(found), std::move(expected)};
}

/* A rule of tenon_module_fuse_rules. */
struct Rule {
    std::string name;
    Pattern pattern;
    std::function<Verdict(const Match &)> check = nullptr;
    /* Not applied where a value inside the match is used outside of it. */
    bool closed = false;
};

namespace detail {

/* Rules as the library takes them, for one call. */
class Rules {
public:
    explicit Rules(const std::vector<Rule> &rules)
    {
        entries_.reserve(rules.size());
        for (const Rule &rule : rules) {
            entries_.push_back({&rule, this});
            tenon_fusion_rule given = TENON_FUSION_RULE_INIT;
            given.name = rule.name.c_str();
            given.pattern = rule.pattern.handle();
            given.flags = rule.closed ? TENON_RULE_CLOSED : 0;
            given.check = rule.check ? call : nullptr;
            given.user_data = &entries_.back();
            given_.push_back(given);
        }
    }

    const tenon_fusion_rule *data() const noexcept { return given_.data(); }
    std::size_t size() const noexcept { return given_.size(); }

    /* Throws what a check threw; else what the status stands for. */
    void finish(tenon_status status) const
    {
        if (thrown_)
            std::rethrow_exception(thrown_);
        tenon::check(status);
    }

private:
    struct Entry {
        const Rule *rule;
        Rules *owner;
    };

    static std::int32_t call(const tenon_match *match, tenon_reply *reply, void *user_data)
    {
        const Entry &entry = *static_cast<const Entry *>(user_data);
        try {
            const Verdict verdict = entry.rule->check(Match(match));
            if (verdict.accepts)
                return TENON_ACCEPT;
            const char *expected = verdict.expected.empty() ? nullptr : verdict.expected.c_str();
            tenon::check(tenon_reply_set_reason(reply, verdict.found.c_str(), expected));
            return TENON_REFUSE;
        } catch (...) {
            entry.owner->thrown_ = std::current_exception();
            return TENON_FAIL;
        }
    }

    std::vector<Entry> entries_;
    std::vector<tenon_fusion_rule> given_;
    std::exception_ptr thrown_;
};

} // namespace detail

/* Moves every match into a function that carries `Composite`. `flags` are of tenon_fuse_flags. */
inline void fuse(
    Module &module, const std::vector<Rule> &rules, std::uint32_t flags = 0, const tenon_pass_options *options = nullptr)
{
    const detail::Rules given(rules);
    given.finish(tenon_module_fuse_rules(module.handle(), given.data(), given.size(), flags, options));
}

/* What the rules would fuse, and what they nearly would. */
inline std::string explain(
    const Module &module, const std::vector<Rule> &rules, tenon_explain_format format = TENON_EXPLAIN_TEXT,
    const tenon_pass_options *options = nullptr)
{
    const detail::Rules given(rules);
    char *text = nullptr;
    given.finish(tenon_module_explain_rules(module.handle(), given.data(), given.size(), format, options, &text));
    return detail::text(text);
}

/* The same of the library's own rules. */
inline std::string explain(
    const Module &module, tenon_explain_format format = TENON_EXPLAIN_TEXT, const tenon_pass_options *options = nullptr)
{
    char *text = nullptr;
    check(tenon_module_explain(module.handle(), nullptr, format, options, &text));
    return detail::text(text);
}

} // namespace tenon

#endif /* C++17 */

#endif /* TENON_RULES_HPP */
