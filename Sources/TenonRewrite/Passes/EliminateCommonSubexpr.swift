import TenonIR

/// Computes what several bindings compute alike only once. Calls of operators, tuples and projections count; calls of
/// functions and of what the library does not know are left alone, for they may have effects.
public struct EliminateCommonSubexpr: ModulePass {
    public init() {}

    public var name: String { "EliminateCommonSubexpr" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions {
            if let smaller = function.eliminatingCommonSubexpressions() { result[name] = smaller }
        }
        return result
    }
}

extension Function {
    /// Nil when nothing occurs twice.
    func eliminatingCommonSubexpressions() -> Function? {
        var walk = CommonSubexpressions(self)
        let body = walk.rewrite(self.body)
        guard walk.changed else { return nil }
        var result = walk.function
        result.body = body
        return result.compacted()
    }
}

private struct CommonSubexpressions {
    var function: Function
    var changed = false
    private var replacement: [ValueID?]
    /// Expressions that are available here.
    private var known: [Expression: ValueID] = [:]

    init(_ function: Function) {
        self.function = function
        replacement = [ValueID?](repeating: nil, count: function.values.count)
    }

    private func current(_ id: ValueID) -> ValueID { replacement[id.int] ?? id }

    mutating func rewrite(_ body: Body) -> Body {
        var body = body
        // What a body binds is not seen after it, and what is local to a block not after that.
        var inBody: [Expression] = []
        for block in body.blocks.indices {
            var local: [Expression] = []
            var kept: [Binding] = []
            for binding in body.blocks[block].bindings {
                let expression = rewrite(binding.expression)
                if isShareable(expression) {
                    if let earlier = known[expression],
                        function.values[earlier.int].type == function.values[binding.id.int].type
                    {
                        if !function.values[binding.id.int].isDataflow {
                            function.values[earlier.int].isDataflow = false
                        }
                        replacement[binding.id.int] = earlier
                        changed = true
                        continue
                    }
                    if known.updateValue(binding.id, forKey: expression) == nil { local.append(expression) }
                }
                kept.append(Binding(binding.id, expression))
            }
            for expression in local {
                guard let id = known[expression] else { continue }
                if function.values[id.int].isDataflow {
                    known[expression] = nil
                } else {
                    inBody.append(expression)
                }
            }
            body.blocks[block].bindings = kept
        }
        for expression in inBody { known[expression] = nil }
        body.blocks.removeAll { $0.bindings.isEmpty }
        body.result = body.result.mapValues { .value(current($0)) }
        return body
    }

    private mutating func rewrite(_ expression: Expression) -> Expression {
        switch expression {
        case .conditional(let condition, let thenBody, let elseBody):
            let (first, second) = (rewrite(thenBody), rewrite(elseBody))
            return .conditional(condition.mapValues { .value(current($0)) }, then: first, else: second)
        case .function(let local):
            guard let smaller = local.eliminatingCommonSubexpressions() else { return expression }
            changed = true
            return .function(smaller)
        default: return expression.mapValues { .value(current($0)) }
        }
    }

    private func isShareable(_ expression: Expression) -> Bool {
        switch expression {
        case .call(let call):
            guard case .op = call.callee else { return false }
            // -0.0 equals 0.0 and yet computes something else.
            return !call.arguments.contains { Self.holdsNegativeZero($0) }
                && !call.attributes.entries.contains { Self.holdsNegativeZero($0.value) }
        case .tuple(let fields): return !fields.contains { Self.holdsNegativeZero($0) }
        case .tupleGetItem: return true
        case .operand, .matchCast, .function, .conditional: return false
        }
    }

    private static func isNegativeZero(_ number: Double) -> Bool { number == 0 && number.sign == .minus }

    private static func holdsNegativeZero(_ value: AttributeValue) -> Bool {
        switch value {
        case .float(let number): isNegativeZero(number)
        case .floats(let numbers): numbers.contains { isNegativeZero($0) }
        default: false
        }
    }

    private static func holdsNegativeZero(_ operand: Operand) -> Bool {
        switch operand {
        case .float(let number): isNegativeZero(number)
        case .tuple(let fields): fields.contains { holdsNegativeZero($0) }
        default: false
        }
    }
}
