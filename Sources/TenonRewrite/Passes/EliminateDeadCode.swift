import TenonIR

/// Drops bindings whose results nothing uses, and private functions that nothing calls. Calls of what the library does not
/// know are kept: they may have effects.
public struct EliminateDeadCode: ModulePass {
    public init() {}

    public var name: String { "EliminateDeadCode" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions {
            if let smaller = function.removingUnusedBindings() { result[name] = smaller }
        }
        return result.removingUnreachable()
    }
}

extension Function {
    /// Without the bindings that nothing needs; nil when all are needed.
    func removingUnusedBindings() -> Function? {
        var isNeeded = [Bool](repeating: false, count: values.count)
        var removed = 0
        // Backwards: users come after what they use.
        func sweep(_ body: Body) -> Body {
            var body = body
            body.result.forEachValue { isNeeded[$0.int] = true }
            for block in body.blocks.indices.reversed() {
                var kept: [Binding] = []
                for var binding in body.blocks[block].bindings.reversed() {
                    guard isNeeded[binding.id.int] || Self.mayHaveEffects(binding.expression) else {
                        removed += 1
                        continue
                    }
                    if case .conditional(let condition, let thenBody, let elseBody) = binding.expression {
                        let (first, second) = (sweep(thenBody), sweep(elseBody))
                        binding.expression = .conditional(condition, then: first, else: second)
                        condition.forEachValue { isNeeded[$0.int] = true }
                    } else {
                        binding.expression.forEachValue { isNeeded[$0.int] = true }
                    }
                    kept.append(binding)
                }
                body.blocks[block].bindings = kept.reversed()
            }
            body.blocks.removeAll { $0.bindings.isEmpty }
            return body
        }
        var smaller = self
        smaller.body = sweep(body)
        return removed == 0 ? nil : smaller.compacted()
    }

    private static func mayHaveEffects(_ expression: Expression) -> Bool {
        switch expression {
        case .call(let call):
            if case .external = call.callee { return true }
            return false
        case .matchCast: return true
        case .conditional(_, let thenBody, let elseBody):
            return [thenBody, elseBody].contains { body in
                body.blocks.contains { $0.bindings.contains { mayHaveEffects($0.expression) } }
            }
        default: return false
        }
    }
}
