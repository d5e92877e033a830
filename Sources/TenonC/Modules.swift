import CTenon
import TenonIR

/// A module as a host holds it; always well formed.
final class ModuleHandle: HandleObject {
    static let tag: UInt64 = 0x7465_6e6f_6e6d_6f64
    static let name: StaticString = "tenon_module"

    var module: Module
    let pool = Pool()
    /// What `tenon_module_get_info` gave last.
    var cachedInfo: (source: ModelInfo, made: tenon_model_info)?

    /// A pass is at work on it, and a callback of the host runs.
    private var isBusy = false

    init(_ module: Module) { self.module = module }

    /// Callbacks must not change the module that a pass is changing.
    func requireIdle() throws {
        guard !isBusy else { throw TenonError(.invalidState, "a pass is changing this module; callbacks must not") }
    }

    /// Changes the module to what `body` makes of it; stays as it was when `body` throws.
    func change(_ body: (Module) throws -> Module) throws {
        try requireIdle()
        isBusy = true
        defer { isBusy = false }
        module = try body(module)
    }

    /// A new handle for a module that comes from outside.
    static func make(verifying module: Module) throws -> OpaquePointer {
        try module.verify()
        return try Handle.make(ModuleHandle(module))
    }

    func function(_ name: String) throws -> Function {
        guard let function = module[name] else {
            throw TenonError(.notFound, "the module has no function '\(name)'", node: name)
        }
        return function
    }
}

@implementation @_cdecl("tenon_module_create")
public func tenon_module_create(_ module: UnsafeMutablePointer<OpaquePointer?>!) -> tenon_status {
    withStatus {
        let result = try output(module, "module")
        result.pointee = try Handle.make(ModuleHandle(Module()))
    }
}

@implementation @_cdecl("tenon_module_copy")
public func tenon_module_copy(
    _ module: OpaquePointer!, _ copy: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(copy, "copy")
        result.pointee = try Handle.make(ModuleHandle(try Handle.object(module, ModuleHandle.self).module))
    }
}

@implementation @_cdecl("tenon_module_release")
public func tenon_module_release(_ module: OpaquePointer!) { Handle.release(module, ModuleHandle.self) }

// MARK: - Text

@implementation @_cdecl("tenon_module_parse")
public func tenon_module_parse(
    _ text: UnsafePointer<CChar>!, _ size: Int, _ module: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(module, "module")
        let text = try array(text, size, "text")
        let parsed = try text.withMemoryRebound(to: UInt8.self) { try Module(utf8: $0) }
        result.pointee = try ModuleHandle.make(verifying: parsed)
    }
}

@implementation @_cdecl("tenon_print_options_init")
public func tenon_print_options_init(_ options: UnsafeMutablePointer<tenon_print_options>!, _ struct_size: UInt32) {
    Sized.initialise(options, struct_size)
}

func givenPrintOptions(_ options: UnsafePointer<tenon_print_options>?) throws -> tenon_print_options {
    // The first version ended with `with_data`.
    let given = try Sized.options(options, tenon_print_options(), "tenon_print_options", first: 12)
    try requireToken(given.cancel)
    return given
}

private func printOptions(_ options: UnsafePointer<tenon_print_options>?) throws -> PrintOptions {
    let given = try givenPrintOptions(options)
    var result = PrintOptions(constants: given.with_data != 0 ? .data : .references)
    if given.inline_elements > 0 { result.inlineElements = Int(given.inline_elements) }
    return result
}

@implementation @_cdecl("tenon_module_print")
public func tenon_module_print(
    _ module: OpaquePointer!, _ options: UnsafePointer<tenon_print_options>!,
    _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(text, "text")
        let handle = try Handle.object(module, ModuleHandle.self)
        let text = handle.module.text(try printOptions(options))
        // Printing leaves out the rest when its time is over.
        try Work.limits?.checkCut()
        result.pointee = try transferred(text)
    }
}

@implementation @_cdecl("tenon_module_print_function")
public func tenon_module_print_function(
    _ module: OpaquePointer!, _ function: UnsafePointer<CChar>!, _ options: UnsafePointer<tenon_print_options>!,
    _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(text, "text")
        let handle = try Handle.object(module, ModuleHandle.self)
        let name = try string(function, "function")
        let text = try handle.function(name).text(named: name, try printOptions(options))
        try Work.limits?.checkCut()
        result.pointee = try transferred(text)
    }
}

@implementation @_cdecl("tenon_module_print_tvmscript")
public func tenon_module_print_tvmscript(
    _ module: OpaquePointer!, _ options: UnsafePointer<tenon_print_options>!,
    _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(text, "text")
        let script = try Handle.object(module, ModuleHandle.self).module.script(try printOptions(options))
        try Work.limits?.checkCut()
        result.pointee = try transferred(script)
    }
}

@implementation @_cdecl("tenon_module_verify")
public func tenon_module_verify(_ module: OpaquePointer!) -> tenon_status {
    withStatus { try Handle.object(module, ModuleHandle.self).module.verify() }
}

@implementation @_cdecl("tenon_module_equal")
public func tenon_module_equal(
    _ a: OpaquePointer!, _ b: OpaquePointer!, _ equal: UnsafeMutablePointer<Int32>!
) -> tenon_status {
    withStatus {
        let result = try output(equal, 0, "equal")
        let (x, y) = (try Handle.object(a, ModuleHandle.self), try Handle.object(b, ModuleHandle.self))
        result.pointee = x.module.isStructurallyEqual(to: y.module) ? 1 : 0
    }
}

// MARK: - Functions

@implementation @_cdecl("tenon_module_function_count")
public func tenon_module_function_count(_ module: OpaquePointer!) -> Int {
    Handle.optional(module, ModuleHandle.self)?.module.functions.count ?? 0
}

@implementation @_cdecl("tenon_module_function_name")
public func tenon_module_function_name(_ module: OpaquePointer!, _ index: Int) -> UnsafePointer<CChar>! {
    withFloats {
        guard let handle = Handle.optional(module, ModuleHandle.self), index >= 0, index < handle.module.functions.count
        else { return nil }
        return try? handle.pool.text(handle.module.functions.keys[index])
    }
}

@implementation @_cdecl("tenon_module_get_attributes")
public func tenon_module_get_attributes(
    _ module: OpaquePointer!, _ function: UnsafePointer<CChar>!, _ attributes: UnsafeMutablePointer<OpaquePointer?>!
) -> tenon_status {
    withStatus {
        let result = try output(attributes, "attributes")
        let handle = try Handle.object(module, ModuleHandle.self)
        let found =
            function == nil
            ? handle.module.attributes : try handle.function(try string(function, "function")).attributes
        result.pointee = try Handle.make(AttributesHandle(found))
    }
}

@implementation @_cdecl("tenon_module_set_attributes")
public func tenon_module_set_attributes(
    _ module: OpaquePointer!, _ function: UnsafePointer<CChar>!, _ attributes: OpaquePointer!
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        try handle.requireIdle()
        let given = try Handle.object(attributes, AttributesHandle.self).attributes
        var changed = handle.module
        if function == nil {
            changed.attributes = given
        } else {
            let name = try string(function, "function")
            var target = try handle.function(name)
            target.attributes = given
            changed[name] = target
        }
        try changed.verify()
        handle.module = changed
    }
}

@implementation @_cdecl("tenon_module_remove_function")
public func tenon_module_remove_function(_ module: OpaquePointer!, _ function: UnsafePointer<CChar>!) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        try handle.requireIdle()
        let name = try string(function, "function")
        _ = try handle.function(name)
        var changed = handle.module
        changed[name] = nil
        try changed.verify()
        handle.module = changed
    }
}
