/* Tenon for C++17: owners of the handles of tenon.h, and exceptions in place of statuses. Header only.
 *
 *     tenon::Module module = tenon::Module::load_onnx("digits.onnx");
 *     tenon::Executable executable(module);
 *     std::vector<float> scores(10);
 *     executable.run({tenon::tensor(pixels, {1, 1, 8, 8})}, {tenon::tensor(scores, {1, 10})});
 *
 * Every class owns one handle, moves and does not copy. What tenon.h says of threads and ownership holds here too. A call
 * that fails throws tenon::Error.
 */
#ifndef TENON_HPP
#define TENON_HPP

#if !defined(__cplusplus) || (__cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L))
#error "tenon.hpp needs C++17 (-std=c++17); tenon.h compiles as C99 and as C++11"
#else

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon.h"

namespace tenon {

/* What a failing call of tenon.h says. Parts that its message does not name are "". */
class Error : public std::runtime_error {
public:
    Error(tenon_status status, const char *message) : std::runtime_error(message), status_(status) {}

    /* Of the last call that failed on this thread. */
    static Error last(tenon_status status)
    {
        Error error(status, tenon_last_error_message());
        error.parts_ = std::make_shared<const Parts>(Parts{
            tenon_last_error_operator(), tenon_last_error_node(), tenon_last_error_expectation(), tenon_last_error_found()});
        return error;
    }

    tenon_status status() const noexcept { return status_; }
    const std::string &operator_name() const noexcept { return parts().operator_name; }
    const std::string &node() const noexcept { return parts().node; }
    const std::string &expectation() const noexcept { return parts().expectation; }
    const std::string &found() const noexcept { return parts().found; }

private:
    struct Parts {
        std::string operator_name, node, expectation, found;
    };

    const Parts &parts() const noexcept
    {
        static const Parts none;
        return parts_ ? *parts_ : none;
    }

    tenon_status status_;
    /* Shared, because copying an exception must not throw. */
    std::shared_ptr<const Parts> parts_;
};

/* Throws unless `status` is TENON_OK. */
inline void check(tenon_status status)
{
    if (status != TENON_OK)
        throw Error::last(status);
}

namespace detail {

template <auto release> struct Release {
    template <typename T> void operator()(T *pointer) const noexcept { release(pointer); }
};

template <typename T, auto release> using Owner = std::unique_ptr<T, Release<release>>;

inline std::string text(char *transferred)
{
    Owner<char, tenon_string_release> owner(transferred);
    return owner ? std::string(owner.get()) : std::string();
}

template <typename T> constexpr tenon_dtype dtype()
{
    if constexpr (std::is_same_v<T, float>) return TENON_F32;
    else if constexpr (std::is_same_v<T, double>) return TENON_F64;
    else if constexpr (std::is_same_v<T, std::int8_t>) return TENON_I8;
    else if constexpr (std::is_same_v<T, std::int16_t>) return TENON_I16;
    else if constexpr (std::is_same_v<T, std::int32_t>) return TENON_I32;
    else if constexpr (std::is_same_v<T, std::int64_t>) return TENON_I64;
    else if constexpr (std::is_same_v<T, std::uint8_t>) return TENON_U8;
    else if constexpr (std::is_same_v<T, std::uint16_t>) return TENON_U16;
    else if constexpr (std::is_same_v<T, std::uint32_t>) return TENON_U32;
    else if constexpr (std::is_same_v<T, std::uint64_t>) return TENON_U64;
    else {
        static_assert(std::is_same_v<T, bool>, "no element type of Tenon has this type");
        return TENON_BOOL;
    }
}

} // namespace detail

/* A dense tensor in memory of the caller, with a shape of its own. */
class Tensor {
public:
    Tensor(tenon_dtype dtype, void *data, std::size_t byte_count, std::vector<std::int64_t> shape)
        : dtype_(dtype), data_(data), byte_count_(byte_count), shape_(std::move(shape))
    {
    }

    const std::vector<std::int64_t> &shape() const noexcept { return shape_; }

    /* Borrows the shape of this object. */
    tenon_tensor view() const noexcept
    {
        tenon_tensor tensor = TENON_TENSOR_INIT;
        tensor.dtype = static_cast<std::uint32_t>(dtype_);
        tensor.rank = static_cast<std::uint32_t>(shape_.size());
        tensor.shape = shape_.data();
        tensor.data = data_;
        tensor.byte_count = byte_count_;
        return tensor;
    }

private:
    tenon_dtype dtype_;
    void *data_;
    std::size_t byte_count_;
    std::vector<std::int64_t> shape_;
};

/* The elements at `data`, which is written to only as an output. */
template <typename T> Tensor tensor(T *data, std::size_t count, std::vector<std::int64_t> shape)
{
    using Element = std::remove_const_t<T>;
    return Tensor(detail::dtype<Element>(), const_cast<Element *>(data), count * sizeof(T), std::move(shape));
}

template <typename T> Tensor tensor(std::vector<T> &data, std::vector<std::int64_t> shape)
{
    return tensor(data.data(), data.size(), std::move(shape));
}

template <typename T> Tensor tensor(const std::vector<T> &data, std::vector<std::int64_t> shape)
{
    return tensor(data.data(), data.size(), std::move(shape));
}

class Attributes {
public:
    Attributes() : Attributes(std::string()) {}

    /* From the text form: "strides=[2, 2]". */
    explicit Attributes(const std::string &text)
    {
        tenon_attributes *handle = nullptr;
        check(tenon_attributes_parse(text.c_str(), &handle));
        handle_.reset(handle);
    }

    /* Takes over a handle. */
    explicit Attributes(tenon_attributes *handle) : handle_(handle) {}

    tenon_attributes *handle() const noexcept { return handle_.get(); }

    std::size_t size() const noexcept { return tenon_attributes_count(handle()); }
    bool contains(const std::string &name) const noexcept
    {
        return tenon_attributes_kind(handle(), name.c_str()) != TENON_ATTRIBUTE_NONE;
    }

    void set(const std::string &name, std::int64_t value) { check(tenon_attributes_set_int(handle(), name.c_str(), value)); }
    void set(const std::string &name, double value) { check(tenon_attributes_set_float(handle(), name.c_str(), value)); }
    void set(const std::string &name, const std::string &value)
    {
        check(tenon_attributes_set_string(handle(), name.c_str(), value.c_str()));
    }
    void set(const std::string &name, const std::vector<std::int64_t> &values)
    {
        check(tenon_attributes_set_ints(handle(), name.c_str(), values.data(), values.size()));
    }

    std::int64_t get_int(const std::string &name) const
    {
        std::int64_t value = 0;
        check(tenon_attributes_get_int(handle(), name.c_str(), &value));
        return value;
    }
    std::string get_string(const std::string &name) const
    {
        const char *value = nullptr;
        check(tenon_attributes_get_string(handle(), name.c_str(), &value));
        return value;
    }

private:
    detail::Owner<tenon_attributes, tenon_attributes_release> handle_;
};

class Builder;

class Module {
public:
    Module()
    {
        tenon_module *handle = nullptr;
        check(tenon_module_create(&handle));
        handle_.reset(handle);
    }

    /* Takes over a handle. */
    explicit Module(tenon_module *handle) : handle_(handle) {}

    static Module parse(std::string_view text)
    {
        tenon_module *handle = nullptr;
        check(tenon_module_parse(text.data(), text.size(), &handle));
        return Module(handle);
    }

    static Module load_onnx(const std::string &path, const tenon_onnx_options *options = nullptr)
    {
        tenon_module *handle = nullptr;
        check(tenon_module_load_onnx(path.c_str(), options, &handle));
        return Module(handle);
    }

    static Module parse_onnx(const void *data, std::size_t size, const tenon_onnx_options *options = nullptr)
    {
        tenon_module *handle = nullptr;
        check(tenon_module_parse_onnx(data, size, options, &handle));
        return Module(handle);
    }

    void save_onnx(const std::string &path, const tenon_onnx_save_options *options = nullptr) const
    {
        check(tenon_module_save_onnx(handle(), path.c_str(), options));
    }

    tenon_module *handle() const noexcept { return handle_.get(); }

    /* Gives up the handle, which the caller must release. */
    tenon_module *release() noexcept { return handle_.release(); }

    Module copy() const
    {
        tenon_module *handle = nullptr;
        check(tenon_module_copy(handle_.get(), &handle));
        return Module(handle);
    }

    std::string text(const tenon_print_options *options = nullptr) const
    {
        char *text = nullptr;
        check(tenon_module_print(handle(), options, &text));
        return detail::text(text);
    }

    void verify() const { check(tenon_module_verify(handle())); }

    /* The value of one key of the model's metadata; nothing when there is none. */
    std::optional<std::string> metadata(const std::string &key) const
    {
        const char *value = tenon_module_metadata(handle(), key.c_str());
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
    }

    /* What the model says about itself. Pointers in it are valid as long as the module. */
    tenon_model_info info() const
    {
        tenon_model_info info = TENON_MODEL_INFO_INIT;
        check(tenon_module_get_info(handle(), &info));
        return info;
    }
    void set_info(const tenon_model_info &info) { check(tenon_module_set_info(handle(), &info)); }

    void apply(const std::string &pass, const tenon_pass_options *options = nullptr)
    {
        check(tenon_module_apply(handle(), pass.c_str(), options));
    }

    void optimize(const tenon_pass_options *options = nullptr) { check(tenon_module_optimize(handle(), options)); }

    std::vector<std::string> functions() const
    {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < tenon_module_function_count(handle()); i++)
            names.emplace_back(tenon_module_function_name(handle(), i));
        return names;
    }

    Attributes attributes(const std::string &function) const
    {
        tenon_attributes *attributes = nullptr;
        check(tenon_module_get_attributes(handle(), function.c_str(), &attributes));
        return Attributes(attributes);
    }

    inline void add_function(const std::string &name, const Builder &builder, const std::vector<tenon_value> &outputs);

    friend bool operator==(const Module &a, const Module &b)
    {
        std::int32_t equal = 0;
        check(tenon_module_equal(a.handle(), b.handle(), &equal));
        return equal != 0;
    }

private:
    detail::Owner<tenon_module, tenon_module_release> handle_;
};

class Builder {
public:
    Builder()
    {
        tenon_builder *handle = nullptr;
        check(tenon_builder_create(&handle));
        handle_.reset(handle);
    }

    tenon_builder *handle() const noexcept { return handle_.get(); }

    /* With the type in the text form: "f32[n,3,224,224]". */
    tenon_value parameter(const std::string &name, const std::string &type)
    {
        tenon_value value = TENON_NO_VALUE;
        check(tenon_builder_add_typed_parameter(handle(), name.c_str(), type.c_str(), &value));
        return value;
    }

    /* A copy of the elements. */
    tenon_value constant(const Tensor &tensor)
    {
        tenon_value value = TENON_NO_VALUE;
        const tenon_tensor view = tensor.view();
        check(tenon_builder_add_constant(handle(), &view, &value));
        return value;
    }

    tenon_value shape(const std::vector<std::int64_t> &sizes)
    {
        tenon_value value = TENON_NO_VALUE;
        check(tenon_builder_add_shape(handle(), static_cast<std::uint32_t>(sizes.size()), sizes.data(), &value));
        return value;
    }

    tenon_value call(
        const std::string &op, const std::vector<tenon_value> &inputs, const std::string &attributes = "",
        const std::string &name = "")
    {
        tenon_value value = TENON_NO_VALUE;
        const Attributes parsed(attributes);
        check(tenon_builder_add_call(
            handle(), op.c_str(), inputs.data(), inputs.size(), parsed.handle(), name.c_str(), &value));
        return value;
    }

    std::string type(tenon_value value) const
    {
        char *text = nullptr;
        check(tenon_builder_get_type(handle(), value, &text));
        return detail::text(text);
    }

private:
    detail::Owner<tenon_builder, tenon_builder_release> handle_;
};

inline void Module::add_function(
    const std::string &name, const Builder &builder, const std::vector<tenon_value> &outputs)
{
    check(tenon_module_add_function(handle(), name.c_str(), builder.handle(), outputs.data(), outputs.size(), nullptr));
}

class Executable {
public:
    explicit Executable(const Module &module, const tenon_executable_options *options = nullptr)
    {
        tenon_executable *handle = nullptr;
        check(tenon_compile(module.handle(), options, &handle));
        handle_.reset(handle);
    }

    tenon_executable *handle() const noexcept { return handle_.get(); }

    /* Of one run. */
    std::uint32_t threads() const noexcept { return tenon_executable_threads(handle()); }

    std::size_t input_count() const noexcept { return tenon_executable_input_count(handle()); }
    std::size_t output_count() const noexcept { return tenon_executable_output_count(handle()); }

    /* Pointers in it are valid as long as the executable. */
    tenon_port input(std::size_t index) const
    {
        tenon_port port = TENON_PORT_INIT;
        check(tenon_executable_get_input(handle(), index, &port));
        return port;
    }
    tenon_port output(std::size_t index) const
    {
        tenon_port port = TENON_PORT_INIT;
        check(tenon_executable_get_output(handle(), index, &port));
        return port;
    }

    /* From any number of threads at once. */
    void run(
        const std::vector<Tensor> &inputs, const std::vector<Tensor> &outputs,
        const tenon_run_options *options = nullptr) const
    {
        const std::vector<tenon_tensor> in = views(inputs), out = views(outputs);
        check(tenon_run(handle(), in.data(), in.size(), out.data(), out.size(), options));
    }

    std::string report() const
    {
        char *text = nullptr;
        check(tenon_executable_report(handle(), &text));
        return detail::text(text);
    }

private:
    static std::vector<tenon_tensor> views(const std::vector<Tensor> &tensors)
    {
        std::vector<tenon_tensor> views;
        views.reserve(tensors.size());
        for (const Tensor &tensor : tensors)
            views.push_back(tensor.view());
        return views;
    }

    detail::Owner<tenon_executable, tenon_executable_release> handle_;
};

} // namespace tenon

#endif /* C++17 */

#endif /* TENON_HPP */
