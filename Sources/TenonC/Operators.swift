import CTenon
import TenonIR
import TenonRewrite

@implementation @_cdecl("tenon_operator_count")
public func tenon_operator_count() -> Int { Library.operatorNames.count }

@implementation @_cdecl("tenon_operator_name")
public func tenon_operator_name(_ index: Int) -> UnsafePointer<CChar>! {
    Library.operatorNames.indices.contains(index) ? Library.operatorNames[index].pointer : nil
}

@implementation @_cdecl("tenon_operator_describe")
public func tenon_operator_describe(
    _ name: UnsafePointer<CChar>!, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus {
        let result = try output(text, "text")
        result.pointee = try transferred(try Operators.require(try string(name, "name")).schema.text)
    }
}

// MARK: - Passes

@implementation @_cdecl("tenon_pass_count")
public func tenon_pass_count() -> Int { Library.passNames.count }

@implementation @_cdecl("tenon_pass_name")
public func tenon_pass_name(_ index: Int) -> UnsafePointer<CChar>! {
    Library.passNames.indices.contains(index) ? Library.passNames[index].pointer : nil
}

@implementation @_cdecl("tenon_pass_options_init")
public func tenon_pass_options_init(_ options: UnsafeMutablePointer<tenon_pass_options>!, _ struct_size: UInt32) {
    Sized.initialise(options, struct_size)
}

/// What passes are told, from a caller's structure.
func context(_ options: UnsafePointer<tenon_pass_options>?) throws -> PassContext {
    let given = try Sized.options(options, tenon_pass_options(), "tenon_pass_options")
    guard given.optimization_level <= 3 else {
        throw invalid("optimization_level is \(given.optimization_level); expected 0 to 3")
    }
    var context = PassContext(
        requiredPasses: Set(try strings(given.required_passes, given.required_pass_count, "required_passes")),
        disabledPasses: Set(try strings(given.disabled_passes, given.disabled_pass_count, "disabled_passes")),
        disabledRules: Set(try strings(given.disabled_rules, given.disabled_rule_count, "disabled_rules")),
        evaluate: Library.evaluate)
    if given.optimization_level > 0 { context.optimisationLevel = Int(given.optimization_level) }
    return context
}

/// Replaces the module of a handle by what a pass makes of it, if that is well formed.
func apply(_ pass: any ModulePass, to handle: ModuleHandle, _ context: PassContext) throws {
    try handle.change { module in
        let result = try pass.apply(to: module, context)
        do {
            try result.verify()
        } catch let error as TenonError {
            throw TenonError(.internal, "pass '\(pass.name)' made a module that is not well formed: \(error.message)")
        }
        return result
    }
}

@implementation @_cdecl("tenon_module_apply")
public func tenon_module_apply(
    _ module: OpaquePointer!, _ pass: UnsafePointer<CChar>!, _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus {
        let handle = try Handle.object(module, ModuleHandle.self)
        try apply(try Library.passes.named(try string(pass, "pass")), to: handle, try context(options))
    }
}

@implementation @_cdecl("tenon_module_optimize")
public func tenon_module_optimize(
    _ module: OpaquePointer!, _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus {
        try apply(Library.pipeline, to: try Handle.object(module, ModuleHandle.self), try context(options))
    }
}
