import CTenon
import TenonDNNL
import TenonIR
import TenonRewrite

func fusionPass(_ rules: [FusionPattern], _ flags: UInt32) throws -> FuseOpsByPattern {
    let known = TENON_FUSE_CONSTANTS_AS_PARAMETERS.rawValue | TENON_FUSE_ANNOTATE.rawValue
    guard flags & ~known == 0 else { throw invalid("flags is \(flags); expected a sum of tenon_fuse_flags") }
    return FuseOpsByPattern(
        rules, bindConstants: flags & TENON_FUSE_CONSTANTS_AS_PARAMETERS.rawValue == 0,
        annotateCodegen: flags & TENON_FUSE_ANNOTATE.rawValue != 0)
}

/// What the pass would do, as text that the caller releases.
func explanation(
    _ module: Module, _ pass: FuseOpsByPattern, _ format: UInt32, _ context: PassContext,
    with more: [Explanation.NearMiss] = []
) throws -> UnsafeMutablePointer<CChar> {
    guard format <= TENON_EXPLAIN_JSON.rawValue else {
        throw invalid("format is \(format); expected one of tenon_explain_format")
    }
    var explanation = try explain(module, pass, context)
    explanation.nearMisses += more
    return try transferred(format == TENON_EXPLAIN_JSON.rawValue ? explanation.json() : explanation.text())
}

@implementation @_cdecl("tenon_module_fuse")
public func tenon_module_fuse(
    _ module: OpaquePointer!, _ rules: UnsafePointer<CChar>!, _ flags: UInt32,
    _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let handle = try Handle.object(module, ModuleHandle.self)
        let rules = try FusionPattern.parseRules(try string(rules, "rules"))
        try apply(try fusionPass(rules, flags), to: handle, try context(options))
    }
}

@implementation @_cdecl("tenon_module_rewrite")
public func tenon_module_rewrite(
    _ module: OpaquePointer!, _ rule: UnsafePointer<CChar>!, _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let handle = try Handle.object(module, ModuleHandle.self)
        try apply(
            try TextRewriter(name: "rewrite", text: try string(rule, "rule")), to: handle, try context(options))
    }
}

@implementation @_cdecl("tenon_module_explain")
public func tenon_module_explain(
    _ module: OpaquePointer!, _ rules: UnsafePointer<CChar>!, _ format: UInt32,
    _ options: UnsafePointer<tenon_pass_options>!, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(text, "text")
        let handle = try Handle.object(module, ModuleHandle.self)
        let context = try context(options)
        var module = handle.module
        let pass: FuseOpsByPattern
        var misses: [Explanation.NearMiss] = []
        if rules == nil {
            module = try Library.simplified(module, context)
            misses = attentionMisses(module)
            pass = FuseOpsByPattern(try DNNLPatternTable.rules())
        } else {
            pass = FuseOpsByPattern(try FusionPattern.parseRules(try string(rules, "rules")))
        }
        result.pointee = try explanation(module, pass, format, context, with: misses)
    }
}

extension Library {
    /// What the default pipeline makes of a module before it fuses.
    fileprivate static func simplified(_ module: Module, _ context: PassContext) throws -> Module {
        let before = pipeline.passes.prefix { !($0 is FuseOpsForDNNL) }
        return try Sequential(Array(before)).apply(to: module, context)
    }
}
