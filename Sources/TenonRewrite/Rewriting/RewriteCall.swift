import TenonIR

/// A match of a rewrite rule as its callback sees it: values, never names.
public struct RuleMatch: Sendable {
    public let match: Match
    public let table: BindingTable
    /// The binding whose value matched; nil when the result of a body did.
    public let binding: ValueID?

    public subscript(node: Pattern) -> Subject? { match[node] }
    public subscript(name: String) -> Subject? { match[name] }

    /// What a node met, as an operand of a replacement.
    public func operand(_ node: Pattern) -> Operand? { match[node]?.asOperand }

    public func operand(_ name: String) -> Operand? { match[name]?.asOperand }

    public func type(_ node: Pattern) -> ValueType? { match[node].map { table.type(of: $0) } }

    public func tensorType(_ node: Pattern) -> TensorType? { type(node)?.asTensor }

    public func call(_ node: Pattern) -> Call? { match[node].flatMap { table.call($0) } }

    /// The operator that a callee node met.
    public func op(_ node: Pattern) -> OperatorID? {
        if case .callee(.op(let id))? = match[node] { return id }
        return nil
    }

    /// The tensor literal that a node met.
    public func constant(_ node: Pattern) -> Constant? { match[node]?.constant }

    /// The expression that matched, as an operand: returning it declines.
    public var root: Operand? { match.root.asOperand }
}

/// Replaces the value of every binding that matches `pattern` by what `callback` returns, round after round until nothing
/// changes. Returns the function as it was when nothing ever does.
///
/// The callback declines by returning nil or the matched root itself, or by throwing a `Refusal`. A choice at the top of
/// the pattern is two rules: the right one gets what the left one did not rewrite.
/// - Throws: what the callback throws; `.invalidGraph` or `.invalidType` for a replacement that cannot stand there;
///   `.limitExceeded` when rounds go on without end.
public func rewriteCall(
    _ pattern: Pattern, in function: Function, roundLimit: Int = 1000,
    _ callback: (RuleMatch, inout ReplacementBuilder) throws -> Operand?
) throws -> Function {
    let rules = try RewriteRule.split(pattern)
    return try FunctionRewriter.rewrite(
        function, roundLimit: roundLimit,
        onUnit: { unit, builder in
            for rule in rules { try rule.apply(to: &unit, &builder, callback) }
        },
        onResult: { result, builder in
            guard case .tuple = result else { return nil }
            for rule in rules {
                if let operand = try rule.apply(to: result, &builder, callback) { return operand }
            }
            return nil
        }) ?? function
}

/// One alternative of a rule.
struct RewriteRule {
    let compiled: CompiledPattern
    /// The choices above it.
    let choices: [Pattern]

    /// Alternatives at the top, leftmost first.
    static func split(_ pattern: Pattern) throws -> [RewriteRule] {
        var rules: [RewriteRule] = []
        var stack: [(Pattern, [Pattern])] = [(pattern, [])]
        while let (node, choices) = stack.popLast() {
            if case .or(let a, let b) = node.kind {
                guard stack.count < 10_000, choices.count < 1_000 else {
                    throw TenonError(.limitExceeded, "pattern: more than 1000 alternatives at the top")
                }
                stack.append((b, choices + [node]))
                stack.append((a, choices + [node]))
            } else {
                rules.append(RewriteRule(compiled: try CompiledPattern(node), choices: choices))
            }
        }
        return rules
    }

    private func canStart(_ expression: Expression) -> Bool {
        switch expression {
        case .function, .conditional, .operand(.value): return false
        case .call(let call):
            guard let roots = compiled.roots else { return true }
            if case .op(let op) = call.callee { return roots.contains(op) }
            return false
        default: return compiled.rootOperators == nil
        }
    }

    /// Tries every binding of a unit that was not replaced yet. Replaced ones are not seen through.
    func apply(
        to unit: inout FunctionRewriter.Unit, _ builder: inout ReplacementBuilder,
        _ callback: (RuleMatch, inout ReplacementBuilder) throws -> Operand?
    ) throws {
        var matcher = Matcher(compiled, BindingTable(opaque: builder.function))
        for (position, binding) in unit.bindings.enumerated() where unit.replaced[position] == nil {
            matcher.table.show(binding.id, binding.expression)
            try Work.check()
            guard canStart(binding.expression), var match = matcher.match(.value(binding.id)) else {
                guard !matcher.isExhausted else {
                    throw TenonError(.limitExceeded, "matching one binding takes too many attempts")
                }
                continue
            }
            match.choices = choices
            let start = builder.pending.count
            let found = RuleMatch(match: match, table: matcher.table, binding: binding.id)
            do {
                guard let operand = try decide(found, &builder, callback) else {
                    builder.discard(to: start)
                    continue
                }
                try check(operand, for: binding.id, &builder)
                unit.replaced[position] = builder.expression(for: operand, takingPendingFrom: start)
                unit.added[position] = Array(builder.pending[start...])
                builder.pending.removeSubrange(start...)
                matcher.table.hide(binding.id)
            } catch let error as TenonError {
                throw error.located(at: "%\(builder.function.values[binding.id.int].name)")
            }
        }
    }

    /// Tries the result of a body.
    func apply(
        to result: Operand, _ builder: inout ReplacementBuilder,
        _ callback: (RuleMatch, inout ReplacementBuilder) throws -> Operand?
    ) throws -> Operand? {
        guard compiled.rootOperators == nil else { return nil }
        let table = BindingTable(opaque: builder.function)
        var matcher = Matcher(compiled, table)
        guard var match = matcher.match(result) else { return nil }
        match.choices = choices
        let start = builder.pending.count
        let operand = try decide(RuleMatch(match: match, table: table, binding: nil), &builder, callback)
        if operand == nil { builder.discard(to: start) }
        return operand
    }

    private func decide(
        _ found: RuleMatch, _ builder: inout ReplacementBuilder,
        _ callback: (RuleMatch, inout ReplacementBuilder) throws -> Operand?
    ) throws -> Operand? {
        do {
            let operand = try callback(found, &builder)
            return operand == found.root ? nil : operand
        } catch is Refusal { return nil }
    }

    private func check(_ operand: Operand, for id: ValueID, _ builder: inout ReplacementBuilder) throws {
        try builder.check(operand)
        try builder.adopt(operand, for: id)
    }
}

extension ReplacementBuilder {
    /// The replacement of a value must be of its type; where nothing was known of it, more is known now.
    mutating func adopt(_ operand: Operand, for id: ValueID) throws {
        let (new, old) = (function.type(of: operand), function.values[id.int].type)
        guard new.canReplace(old), old.isConsistent(with: new) else {
            throw TenonError(.invalidType, "the replacement has type \(new), not \(old)")
        }
        if case .object = old { function.values[id.int].type = new }
    }
}
