/* Passes, instruments and backends of a host for C++17, besides tenon_rules.hpp.
 *
 *     tenon::PassContext context;
 *     context.instruments.push_back({nullptr, [](const tenon::PassEvent &event) { log(event.name, event.nanoseconds); }});
 *     tenon::apply(module, {"FoldConstant", {"mine.tidy", [](tenon::Module &m) { return tidy(m); }}}, context);
 *
 *     tenon::Backends backends{std::make_shared<Mine>()};
 *     tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
 *     backends.offer(options);
 *     tenon::Executable executable(module, &options);
 */
#ifndef TENON_HOSTS_HPP
#define TENON_HOSTS_HPP

#if !defined(__cplusplus) || (__cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L))
#error "tenon_hosts.hpp needs C++17 (-std=c++17); tenon.h compiles as C99 and as C++11"
#else

#include "tenon_rules.hpp"

namespace tenon {

/* -------------------------------------------------------------------------------------------------- backends -- */

/* Runs the functions that carry `Codegen` with its name. What a member function throws fails the compilation or the run: an
 * Error of TENON_ERROR_BACKEND, with its text as the reason, comes out of the call, which may be on another thread. */
class Backend {
public:
    /* What became of one region; destroyed when no run will use it. */
    class Region {
    public:
        virtual ~Region() = default;

        /* Tensors are dense: inputs in the order of the function's parameters, outputs in that of its results. `workspace` has
         * `workspace_bytes` and is aligned to 64. Called on any thread, and on several at once. */
        virtual void run(
            const tenon_tensor *inputs, std::size_t input_count, const tenon_tensor *outputs, std::size_t output_count,
            void *workspace) = 0;

        std::uint64_t workspace_bytes = 0;
        std::uint64_t packed_weight_bytes = 0;
        /* What runs it, for reports; the backend's name when empty. */
        std::string implementation;
    };

    explicit Backend(std::string name) : name_(std::move(name)) {}
    Backend(const Backend &) = delete;
    Backend &operator=(const Backend &) = delete;
    virtual ~Backend() = default;

    const std::string &name() const noexcept { return name_; }

    /* Makes a region ready for runs with up to `threads` threads. Nothing, with `refusal` filled in, leaves the region to the
     * library's own kernels. The function is to be read here only; what its values point to stays until the region is destroyed.
     * Called on a thread of the executable; with symbolic sizes also during a run. */
    virtual std::unique_ptr<Region> compile(const Function &function, std::uint32_t threads, Verdict &refusal) = 0;

private:
    const std::string name_;
};

/* Backends as the library takes them. Must outlive the executables made with them. */
class Backends {
public:
    Backends() = default;
    Backends(std::initializer_list<std::shared_ptr<Backend>> backends)
        : Backends(std::vector<std::shared_ptr<Backend>>(backends))
    {
    }

    explicit Backends(std::vector<std::shared_ptr<Backend>> backends) : owners_(std::move(backends))
    {
        for (const std::shared_ptr<Backend> &backend : owners_) {
            tenon_backend given = TENON_BACKEND_INIT;
            given.name = backend->name().c_str();
            given.compile = compile;
            given.run = run;
            given.release = release;
            given.user_data = backend.get();
            given_.push_back(given);
        }
    }

    const tenon_backend *data() const noexcept { return given_.data(); }
    std::size_t size() const noexcept { return given_.size(); }

    /* Puts them into the options of an executable. */
    void offer(tenon_executable_options &options) const noexcept
    {
        options.backends = data();
        options.backend_count = size();
    }

private:
    static void explain(tenon_reply *reply) noexcept
    {
        try {
            throw;
        } catch (const std::exception &error) {
            (void)!tenon_reply_set_reason(reply, error.what(), nullptr);
        } catch (...) {
            (void)!tenon_reply_set_reason(reply, "an exception of unknown type", nullptr);
        }
    }

    static std::int32_t compile(
        const tenon_function *function, std::uint32_t threads, tenon_region *region, tenon_reply *reply, void *user_data)
    {
        try {
            Verdict refusal{false, "", ""};
            std::unique_ptr<Backend::Region> made =
                static_cast<Backend *>(user_data)->compile(Function(function), threads, refusal);
            if (!made) {
                const char *expected = refusal.expected.empty() ? nullptr : refusal.expected.c_str();
                if (!refusal.found.empty())
                    check(tenon_reply_set_reason(reply, refusal.found.c_str(), expected));
                return TENON_REFUSE;
            }
            region->workspace_bytes = made->workspace_bytes;
            region->packed_weight_bytes = made->packed_weight_bytes;
            region->implementation = made->implementation.empty() ? nullptr : made->implementation.c_str();
            region->handle = made.release();
            return TENON_ACCEPT;
        } catch (...) {
            explain(reply);
            return TENON_FAIL;
        }
    }

    static std::int32_t run(
        void *handle, const tenon_tensor *inputs, std::size_t input_count, const tenon_tensor *outputs,
        std::size_t output_count, void *workspace, tenon_reply *reply, void *)
    {
        try {
            static_cast<Backend::Region *>(handle)->run(inputs, input_count, outputs, output_count, workspace);
            return TENON_ACCEPT;
        } catch (...) {
            explain(reply);
            return TENON_FAIL;
        }
    }

    static void release(void *handle, void *) { delete static_cast<Backend::Region *>(handle); }

    std::vector<std::shared_ptr<Backend>> owners_;
    std::vector<tenon_backend> given_;
};

/* ---------------------------------------------------------------------------------------- passes and instruments -- */

/* A pass of the library, by its name alone, or one of the host. */
struct Pass {
    Pass(const char *name) : name(name) {}
    Pass(std::string name) : name(std::move(name)) {}
    Pass(std::string name, std::function<bool(Module &)> run, std::uint32_t optimization_level = 0)
        : name(std::move(name)), run(std::move(run)), optimization_level(optimization_level)
    {
    }

    std::string name;
    /* Changes the module; after `false` it is what it was. */
    std::function<bool(Module &)> run;
    /* From which level on it runs, 0 to 3. */
    std::uint32_t optimization_level = 0;
};

/* What an instrument hears of. */
struct PassEvent {
    std::string name;
    /* As it is before the pass, or after it; to be read, until the instrument returns. */
    const Module &module;
    /* How many other passes it runs inside of. */
    std::uint32_t depth;
    /* How long the pass took; 0 before it. */
    std::uint64_t nanoseconds;
};

/* Hears of every pass that runs. */
struct Instrument {
    /* `false` leaves the pass out. */
    std::function<bool(const PassEvent &)> before = nullptr;
    std::function<void(const PassEvent &)> after = nullptr;
};

/* What passes run under: tenon_pass_options. */
struct PassContext {
    /* 1 to 3; 0 means 2. */
    std::uint32_t optimization_level = 0;
    std::vector<std::string> required_passes = {}, disabled_passes = {}, disabled_rules = {};
    std::vector<Instrument> instruments = {};
    /* For the pass "RunCodegen". */
    std::shared_ptr<const Backends> backends = nullptr;
    /* The module is checked after each pass. */
    bool verify = false;
};

namespace detail {

/* A module that is lent for the length of a callback. */
class Lent {
public:
    explicit Lent(tenon_module *handle) : module(handle) {}
    Lent(const Lent &) = delete;
    Lent &operator=(const Lent &) = delete;
    ~Lent() { (void)module.release(); }

    Module module;
};

/* A context as the library takes it, and passes, for one call. */
class Applying {
public:
    explicit Applying(const PassContext &context)
        : required_(pointers(context.required_passes)), disabled_(pointers(context.disabled_passes)),
          rules_(pointers(context.disabled_rules))
    {
        options_.optimization_level = context.optimization_level;
        options_.required_passes = required_.data();
        options_.required_pass_count = required_.size();
        options_.disabled_passes = disabled_.data();
        options_.disabled_pass_count = disabled_.size();
        options_.disabled_rules = rules_.data();
        options_.disabled_rule_count = rules_.size();
        options_.flags = context.verify ? TENON_PASS_VERIFY : 0;
        heard_.reserve(context.instruments.size());
        for (const Instrument &instrument : context.instruments) {
            heard_.push_back({&instrument, this});
            tenon_instrument given = TENON_INSTRUMENT_INIT;
            given.before = instrument.before ? before : nullptr;
            given.after = instrument.after ? after : nullptr;
            given.user_data = &heard_.back();
            instruments_.push_back(given);
        }
        options_.instruments = instruments_.data();
        options_.instrument_count = instruments_.size();
        if (context.backends) {
            options_.backends = context.backends->data();
            options_.backend_count = context.backends->size();
        }
    }

    Applying(const Applying &) = delete;
    Applying &operator=(const Applying &) = delete;

    const tenon_pass_options *options() const noexcept { return &options_; }

    std::vector<tenon_pass> passes(const std::vector<Pass> &passes)
    {
        std::vector<tenon_pass> given;
        run_.reserve(passes.size());
        for (const Pass &pass : passes) {
            run_.push_back({&pass, this});
            tenon_pass entry = TENON_PASS_INIT;
            entry.name = pass.name.c_str();
            entry.optimization_level = pass.optimization_level;
            entry.run = pass.run ? run : nullptr;
            entry.user_data = &run_.back();
            given.push_back(entry);
        }
        return given;
    }

    /* Throws what a callback threw; else what the status stands for. */
    void finish(tenon_status status) const
    {
        if (thrown_)
            std::rethrow_exception(thrown_);
        tenon::check(status);
    }

private:
    template <typename Given> struct Entry {
        const Given *given;
        Applying *owner;
    };

    static std::vector<const char *> pointers(const std::vector<std::string> &names)
    {
        std::vector<const char *> pointers;
        for (const std::string &name : names)
            pointers.push_back(name.c_str());
        return pointers;
    }

    template <typename Body> std::int32_t guarded(Body body) noexcept
    {
        try {
            return body() ? TENON_ACCEPT : TENON_REFUSE;
        } catch (...) {
            thrown_ = std::current_exception();
            return TENON_FAIL;
        }
    }

    static std::int32_t run(tenon_module *module, tenon_reply *, void *user_data)
    {
        const auto &entry = *static_cast<const Entry<Pass> *>(user_data);
        return entry.owner->guarded([&] {
            Lent lent(module);
            return entry.given->run(lent.module);
        });
    }

    template <typename Body> static std::int32_t hear(const tenon_pass_event *event, void *user_data, Body body)
    {
        const auto &entry = *static_cast<const Entry<Instrument> *>(user_data);
        return entry.owner->guarded([&] {
            /* Only to be read: what the instrument gets is constant. */
            const Lent lent(const_cast<tenon_module *>(event->module));
            return body(*entry.given, PassEvent{event->name, lent.module, event->depth, event->nanoseconds});
        });
    }

    static std::int32_t before(const tenon_pass_event *event, tenon_reply *, void *user_data)
    {
        return hear(event, user_data, [](const Instrument &heard, const PassEvent &event) { return heard.before(event); });
    }

    static std::int32_t after(const tenon_pass_event *event, tenon_reply *, void *user_data)
    {
        return hear(event, user_data, [](const Instrument &heard, const PassEvent &event) {
            heard.after(event);
            return true;
        });
    }

    std::vector<const char *> required_, disabled_, rules_;
    std::vector<Entry<Instrument>> heard_;
    std::vector<Entry<Pass>> run_;
    std::vector<tenon_instrument> instruments_;
    tenon_pass_options options_ = TENON_PASS_OPTIONS_INIT;
    std::exception_ptr thrown_;
};

} // namespace detail

/* Applies those of the passes that the context enables, one after the other: when one fails, none has been applied. What a pass or
 * an instrument throws is thrown from here. */
inline void apply(Module &module, const std::vector<Pass> &passes, const PassContext &context = {})
{
    detail::Applying applying(context);
    const std::vector<tenon_pass> given = applying.passes(passes);
    applying.finish(tenon_module_apply_passes(module.handle(), given.data(), given.size(), applying.options()));
}

/* Applies the default pipeline in a context. */
inline void optimize(Module &module, const PassContext &context)
{
    const detail::Applying applying(context);
    applying.finish(tenon_module_optimize(module.handle(), applying.options()));
}

} // namespace tenon

#endif /* C++17 */

#endif /* TENON_HOSTS_HPP */
