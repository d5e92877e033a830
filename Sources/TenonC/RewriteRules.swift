import CTenon
import TenonIR
import TenonRewrite

@implementation @_cdecl("tenon_rewrite_rule_init")
public func tenon_rewrite_rule_init(_ rule: UnsafeMutablePointer<tenon_rewrite_rule>!, _ struct_size: UInt32) {
    Sized.initialise(rule, struct_size)
}

/// A rule whose replacement the host builds.
private struct HostRewriter: ModulePass {
    enum Subject {
        case pattern(Pattern)
        case context(PatternContext)
    }

    let name: String
    let subject: Subject
    let check: HostCallback<tenon_check_function>?
    let rewrite: HostCallback<tenon_rewrite_function>
    let only: String?

    func run(on module: Module, _ context: PassContext) throws -> Module {
        if context.isDisabled(rule: name) { return module }
        var result = module
        var changed = false
        let effects = Effects(module)
        for (functionName, function) in module.functions
        where (only ?? functionName) == functionName && !function.isPrimitive && function.composite == nil
            && function.codegen == nil
        {
            do {
                let rewritten = try rewritten(function)
                if rewritten == function { continue }
                changed = true
                result[functionName] = rewritten.removingUnusedBindings(effects) ?? rewritten
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "rewrite: rule '\(name)' in @\(functionName): \(error)",
                    operatorName: error.operatorName, node: error.node)
            }
        }
        return changed ? result.removingUnreachable() : module
    }

    private func rewritten(_ function: Function) throws -> Function {
        switch subject {
        case .pattern(let pattern):
            return try rewriteCall(pattern, in: function) { match, builder in
                let replaced = try replacements(try MatchHandle(match), &builder)
                guard let root = match.root, let operand = replaced.first(where: { $0.value == root }) else {
                    guard replaced.isEmpty else { throw invalid("the rewriter replaces a value that is not the root") }
                    return nil
                }
                guard replaced.count == 1 else { throw invalid("the rewriter replaces values besides the root") }
                return operand.by
            }
        case .context(let context):
            return try rewriteBindings(context, in: function) { match, builder in
                var result: [ValueID: Operand] = [:]
                for (value, operand) in try replacements(try MatchHandle(match), &builder) {
                    guard case .value(let id) = value else { throw invalid("the rewriter replaces a literal") }
                    result[id] = operand
                }
                return result
            }
        }
    }

    /// Asks the host what to put in place of what.
    private func replacements(
        _ match: MatchHandle, _ builder: inout ReplacementBuilder
    ) throws -> [(value: Operand, by: Operand)] {
        let pointer = try Handle.make(match)
        defer { Handle.release(pointer, MatchHandle.self) }
        if let check {
            let answer = try Verdict.ask("the check") { check.function(pointer, $0, check.userData) }
            guard answer.accepts else { return [] }
        }
        return try withUnsafeMutablePointer(to: &builder) { builder in
            let building = try Handle.make(BuilderHandle(builder, match.view.numbers))
            defer { Handle.release(building, BuilderHandle.self) }
            let (accepts, reply) = try Verdict.ask("the rewriter", rewrites: true) {
                rewrite.function(pointer, building, $0, rewrite.userData)
            }
            guard accepts else { return [] }
            let numbers = match.view.numbers
            return try reply.replacements.map {
                (try numbers.operand($0.value, "a replaced value"), try numbers.operand($0.by, "a replacement"))
            }
        }
    }
}

extension MatchHandle {
    fileprivate convenience init(_ match: RuleMatch) throws {
        try self.init(
            FunctionHandle(match.table, name: ""), root: match.root, captures: match.match.captures,
            interior: Array(Set(match.match.interior)))
    }

    fileprivate convenience init(_ match: BlockMatch) throws {
        try self.init(
            FunctionHandle(match.table, name: ""), root: nil, captures: match.captures,
            interior: match.assigned.filter { match.table.definition($0) != nil })
    }
}

private func rewriter(_ rule: tenon_rewrite_rule, _ index: Int) throws -> any ModulePass {
    guard let named = rule.name, named.pointee != 0 else { throw invalid("rule \(index): name is NULL or empty") }
    let name = String(cString: named)
    guard rule.flags == 0 else { throw invalid("rule '\(name)': flags is \(rule.flags)") }
    let check = rule.check.map { HostCallback(function: $0, userData: rule.user_data) }
    let only = rule.function.map { String(cString: $0) }
    guard let function = rule.rewrite else {
        guard rule.pattern == nil, rule.context == nil else {
            throw invalid("rule '\(name)': a pattern or context needs rewrite")
        }
        var result = try TextRewriter(name: name, text: try string(rule.text, "text"))
        result.only = only
        if let check {
            result.check = { try ask(check, try MatchHandle($0)) }
            result.blockCheck = { try ask(check, try MatchHandle($0)) }
        }
        return result
    }
    let rewrite = HostCallback(function: function, userData: rule.user_data)
    let subject: HostRewriter.Subject
    if let context = rule.context {
        guard rule.text == nil, rule.pattern == nil else {
            throw invalid("rule '\(name)': expected one of text, pattern and context, found several")
        }
        subject = .context(try Handle.object(context, PatternContextHandle.self).context)
    } else {
        subject = .pattern(try pattern(rule.text, rule.pattern, "rule '\(name)'"))
    }
    return HostRewriter(name: name, subject: subject, check: check, rewrite: rewrite, only: only)
}

private func ask(_ check: HostCallback<tenon_check_function>, _ match: MatchHandle) throws -> Refusal? {
    let (accepts, reply) = try Verdict.ask("the check", match) { check.function($0, $1, check.userData) }
    return accepts ? nil : reply.refusal
}

@implementation @_cdecl("tenon_module_rewrite_rules")
public func tenon_module_rewrite_rules(
    _ module: OpaquePointer!, _ rules: UnsafePointer<tenon_rewrite_rule>!, _ count: Int,
    _ options: UnsafePointer<tenon_pass_options>!
) -> tenon_status {
    withStatus(limitedBy: options) {
        let handle = try Handle.object(module, ModuleHandle.self)
        let rules = try Sized.array(
            rules, count, tenon_rewrite_rule(), "rules", first: MemoryLayout<tenon_rewrite_rule>.offset(of: \.function))
        let passes = try rules.enumerated().map { try rewriter($1, $0) }
        try apply(Rewriting(passes: passes), to: handle, try context(options))
    }
}

/// All rules, whatever the context enables of passes.
private struct Rewriting: ModulePass {
    let passes: [any ModulePass]
    var name: String { "rewrite" }

    func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for pass in passes { result = try pass.run(on: result, context) }
        return result
    }
}
