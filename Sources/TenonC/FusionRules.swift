import CTenon
import TenonIR
import TenonRewrite

@implementation @_cdecl("tenon_fusion_rule_init")
public func tenon_fusion_rule_init(_ rule: UnsafeMutablePointer<tenon_fusion_rule>!, _ struct_size: UInt32) {
    Sized.initialise(rule, struct_size)
}

/// A pattern given as text or as a handle.
func pattern(_ text: UnsafePointer<CChar>?, _ handle: OpaquePointer?, _ what: String) throws -> Pattern {
    switch (text, handle) {
    case (let text?, nil):
        do {
            return try Pattern.parse(String(cString: text))
        } catch let error as TenonError { throw TenonError(error.status, "\(what): \(error)") }
    case (nil, let handle?): return try Handle.object(handle, PatternHandle.self).pattern
    default: throw invalid("\(what): expected either text or pattern, found \(text == nil ? "neither" : "both")")
    }
}

/// One rule, or those of a list in text.
private func fusionPatterns(_ rule: tenon_fusion_rule, _ index: Int) throws -> [FusionPattern] {
    let name = rule.name.map { String(cString: $0) } ?? ""
    guard rule.flags & ~UInt32(1) == 0 else { throw invalid("rule '\(name)': flags is \(rule.flags)") }
    guard name.isEmpty else {
        let only = FusionPattern(
            name, try pattern(rule.text, rule.pattern, "rule '\(name)'"), allowsLeak: rule.flags & 1 == 0)
        return [asking(rule, only)]
    }
    guard rule.name == nil, rule.pattern == nil, let text = rule.text else {
        throw invalid(
            "rule \(index): name is \(rule.name == nil ? "NULL" : "empty"), which only a list of rules in text may have"
        )
    }
    return try FusionPattern.parseRules(String(cString: text)).map { parsed in
        var pattern = parsed
        if rule.flags & 1 != 0 { pattern.allowsLeak = false }
        return asking(rule, pattern)
    }
}

/// The pattern with the host's check and attributes.
private func asking(_ rule: tenon_fusion_rule, _ pattern: FusionPattern) -> FusionPattern {
    var result = pattern
    let name = pattern.name
    if let function = rule.check {
        let host = HostCallback(function: function, userData: rule.user_data)
        result.check = { candidate in
            let (accepts, reply) = try Verdict.ask("\(candidate.rootName): the check", try MatchHandle(candidate)) {
                host.function($0, $1, host.userData)
            }
            return accepts ? nil : reply.refusal
        }
    }
    if let function = rule.attributes {
        let host = HostCallback(function: function, userData: rule.user_data)
        result.attributes = { candidate in
            let attributes = AttributesHandle(Attributes())
            let pointer = try Handle.make(attributes)
            defer { Handle.release(pointer, AttributesHandle.self) }
            let (accepts, _) = try Verdict.ask(
                "FuseOpsByPattern: pattern '\(name)': \(candidate.rootName): the attribute getter",
                try MatchHandle(candidate)
            ) { host.function($0, pointer, $1, host.userData) }
            return accepts ? attributes.attributes : Attributes()
        }
    }
    return result
}

extension FusionCandidate {
    fileprivate var rootName: String { "%\(table.function.info(root)?.name ?? "")" }
}

extension MatchHandle {
    fileprivate convenience init(_ candidate: FusionCandidate) throws {
        try self.init(
            FunctionHandle(candidate.table, name: "", users: { candidate.users(of: $0) }), root: .value(candidate.root),
            captures: candidate.match.captures, interior: candidate.interior)
    }
}

func fusionRules(_ rules: UnsafePointer<tenon_fusion_rule>?, _ count: Int) throws -> [FusionPattern] {
    try Sized.array(rules, count, tenon_fusion_rule(), "rules").enumerated().flatMap { try fusionPatterns($1, $0) }
}

@implementation @_cdecl("tenon_module_fuse_rules")
public func tenon_module_fuse_rules(
    _ module: OpaquePointer!, _ rules: UnsafePointer<tenon_fusion_rule>!, _ count: Int, _ flags: UInt32,
    _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let handle = try Handle.object(module, ModuleHandle.self)
        try apply(try fusionPass(try fusionRules(rules, count), flags), to: handle, try context(options))
    }
}

@implementation @_cdecl("tenon_module_explain_rules")
public func tenon_module_explain_rules(
    _ module: OpaquePointer!, _ rules: UnsafePointer<tenon_fusion_rule>!, _ count: Int, _ format: UInt32,
    _ options: UnsafePointer<tenon_pass_options>!, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let result = try output(text, "text")
        let handle = try Handle.object(module, ModuleHandle.self)
        let pass = FuseOpsByPattern(try fusionRules(rules, count))
        result.pointee = try explanation(handle.module, pass, format, try context(options))
    }
}
