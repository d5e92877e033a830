import CTenon
import TenonIR
import TenonRewrite
import TenonRuntime

@implementation @_cdecl("tenon_pass_count")
public func tenon_pass_count() -> Int { Library.passNames.count }

@implementation @_cdecl("tenon_pass_name")
public func tenon_pass_name(_ index: Int) -> UnsafePointer<CChar>! {
    withFloats {
        Library.passNames.indices.contains(index) ? Library.passNames[index].pointer : nil
    }
}

@implementation @_cdecl("tenon_pass_options_init")
public func tenon_pass_options_init(_ options: UnsafeMutablePointer<tenon_pass_options>!, _ struct_size: UInt32) {
    Sized.initialise(options, struct_size)
}

func passOptions(_ options: UnsafePointer<tenon_pass_options>?) throws -> tenon_pass_options {
    let given = try Sized.options(
        options, tenon_pass_options(), "tenon_pass_options",
        first: MemoryLayout<tenon_pass_options>.offset(of: \.flags))
    try requireToken(given.cancel)
    return given
}

/// A pass of the library by name; the one that runs code generators knows those of the host.
private func libraryPass(_ name: String, _ options: UnsafePointer<tenon_pass_options>?) throws -> any ModulePass {
    let given = try passOptions(options)
    let arguments =
        try given.arguments.map { try Handle.object($0, AttributesHandle.self).attributes } ?? Attributes()
    let found = try Library.passes.named(name, arguments: arguments)
    guard found is RunCodegen else { return found }
    return RunCodegen(backends: try HostBackend.all(given.backends, given.backend_count) + Library.backends)
}

/// What passes are told, from a caller's structure.
func context(_ options: UnsafePointer<tenon_pass_options>?) throws -> PassContext {
    let given = try passOptions(options)
    guard given.flags & ~UInt32(1) == 0 else { throw invalid("flags \(given.flags) has bits that mean nothing") }
    guard given.optimization_level <= 3 else {
        throw invalid("optimization_level is \(given.optimization_level); expected 0 to 3")
    }
    var context = PassContext(
        requiredPasses: Set(try strings(given.required_passes, given.required_pass_count, "required_passes")),
        disabledPasses: Set(try strings(given.disabled_passes, given.disabled_pass_count, "disabled_passes")),
        disabledRules: Set(try strings(given.disabled_rules, given.disabled_rule_count, "disabled_rules")),
        evaluate: Interpreter.evaluate)
    context.verifies = given.flags & 1 != 0
    context.entryFunctions = try strings(given.entry_functions, given.entry_function_count, "entry_functions")
    let instruments = try HostInstruments(given.instruments, given.instrument_count)
    if !instruments.isEmpty { context.instruments = [instruments] }
    if given.optimization_level > 0 { context.optimisationLevel = Int(given.optimization_level) }
    return context
}

/// Replaces the module of a handle by what a pass makes of it, if that is well formed.
func apply(_ pass: any ModulePass, to handle: ModuleHandle, _ context: PassContext) throws {
    try handle.change { try applied(pass, to: $0, context) }
}

/// What a pass makes of a module, if that is well formed.
func applied(_ pass: any ModulePass, to module: Module, _ context: PassContext) throws -> Module {
    let result = try pass.apply(to: module, context)
    do {
        try result.verify()
    } catch let error as TenonError {
        throw TenonError(.internal, "pass '\(pass.name)' made a module that is not well formed: \(error)")
    }
    return result
}

@implementation @_cdecl("tenon_module_apply")
public func tenon_module_apply(
    _ module: OpaquePointer!, _ pass: UnsafePointer<CChar>!, _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let handle = try Handle.object(module, ModuleHandle.self)
        let pass = try libraryPass(try string(pass, "pass"), options)
        try apply(pass, to: handle, try context(options))
    }
}

@implementation @_cdecl("tenon_module_optimize")
public func tenon_module_optimize(
    _ module: OpaquePointer!, _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        try apply(Library.pipeline, to: try Handle.object(module, ModuleHandle.self), try context(options))
    }
}

// MARK: - Passes of the host

@implementation @_cdecl("tenon_pass_init")
public func tenon_pass_init(_ pass: UnsafeMutablePointer<tenon_pass>!, _ struct_size: UInt32) {
    Sized.initialise(pass, struct_size)
}

/// A pass that the host brings.
private struct HostPass: ModulePass {
    let name: String
    let optimisationLevel: Int
    let host: HostCallback<tenon_pass_function>

    func run(on module: Module, _ context: PassContext) throws -> Module {
        let handle = ModuleHandle(module)
        let pointer = try Handle.make(handle)
        defer { Handle.release(pointer, ModuleHandle.self) }
        let (accepts, _) = try Verdict.ask("pass '\(name)'") { host.function(pointer, $0, host.userData) }
        return accepts ? handle.module : module
    }
}

private func pass(
    _ given: tenon_pass, _ index: Int, _ options: UnsafePointer<tenon_pass_options>?
) throws -> any ModulePass {
    guard let named = given.name, named.pointee != 0 else { throw invalid("pass \(index): name is NULL or empty") }
    let name = String(cString: named)
    guard let function = given.run else { return try libraryPass(name, options) }
    guard given.optimization_level <= 3 else {
        throw invalid("pass '\(name)': optimization_level is \(given.optimization_level); expected 0 to 3")
    }
    return HostPass(
        name: name, optimisationLevel: Int(given.optimization_level),
        host: HostCallback(function: function, userData: given.user_data))
}

@implementation @_cdecl("tenon_module_apply_passes")
public func tenon_module_apply_passes(
    _ module: OpaquePointer!, _ passes: UnsafePointer<tenon_pass>!, _ count: Int,
    _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let handle = try Handle.object(module, ModuleHandle.self)
        let given = try Sized.array(passes, count, tenon_pass(), "passes")
        let sequence = Sequential(try given.enumerated().map { try pass($1, $0, options) })
        let context = try context(options)
        // The sequence itself is no pass that instruments hear of.
        try handle.change { module in
            let result = try sequence.run(on: module, context)
            try result.verify()
            return result
        }
    }
}
