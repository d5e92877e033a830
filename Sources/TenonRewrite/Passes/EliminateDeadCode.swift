import TenonIR

/// Drops bindings whose results nothing uses, and private functions that nothing calls. Calls of what the library does not
/// know are kept: they may have effects.
public struct EliminateDeadCode: ModulePass {
    public init() {}

    public var name: String { "EliminateDeadCode" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        let effects = Effects(module)
        for (name, function) in module.functions {
            if let smaller = function.removingUnusedBindings(effects) { result[name] = smaller }
        }
        return result.removingUnreachable()
    }
}

extension Function {
    /// Without the bindings that nothing needs; nil when all are needed. Calls of functions that may have effects are needed.
    package func removingUnusedBindings(_ effects: Effects) -> Function? {
        var isNeeded = [Bool](repeating: false, count: values.count)
        var removed = 0
        // Backwards: users come after what they use.
        func sweep(_ body: Body) -> Body {
            var body = body
            body.result.forEachValue { isNeeded[$0.int] = true }
            for block in body.blocks.indices.reversed() {
                var kept: [Binding] = []
                for var binding in body.blocks[block].bindings.reversed() {
                    guard isNeeded[binding.id.int] || effects.mayHave(binding.expression, in: self) else {
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
}

/// Which functions of a module may do more than compute: those that call, however deep, something the library does not know.
package struct Effects {
    private var functions: Set<String> = []
    /// Nothing is known of the module: every call of one of its functions counts.
    private let isUnknown: Bool

    static let unknown = Effects()

    private init() { isUnknown = true }

    package init(_ module: Module) {
        isUnknown = false
        var callers: [String: [String]] = [:]
        var queue: [String] = []
        for (name, function) in module.functions {
            function.forEachCalledFunction { callers[$0, default: []].append(name) }
            if Self.callsExternal(function), functions.insert(name).inserted { queue.append(name) }
        }
        while let name = queue.popLast() {
            for caller in callers[name] ?? [] where functions.insert(caller).inserted { queue.append(caller) }
        }
    }

    private static func callsExternal(_ function: Function) -> Bool {
        var found = false
        function.forEachBinding { binding in
            switch binding.expression {
            case .call(let call): if case .external = call.callee { found = true }
            case .function(let local): if callsExternal(local) { found = true }
            default: break
            }
        }
        return found
    }

    func mayHave(_ expression: Expression, in function: Function) -> Bool {
        switch expression {
        case .call(let call):
            switch call.callee {
            case .op: return false
            case .external: return true
            case .function(let name): return isUnknown || functions.contains(name)
            case .local(let id): return isUnknown || isEffectful(id, in: function)
            }
        case .matchCast: return true
        case .conditional(_, let thenBody, let elseBody):
            return [thenBody, elseBody].contains { body in
                body.blocks.contains { $0.bindings.contains { mayHave($0.expression, in: function) } }
            }
        default: return false
        }
    }

    /// A local function captures nothing and is defined in the function that calls it.
    private func isEffectful(_ id: ValueID, in function: Function) -> Bool {
        var found = true
        function.forEachBinding { binding in
            guard binding.id == id, case .function(let local) = binding.expression else { return }
            found = Self.callsExternal(local)
            local.forEachCalledFunction { if functions.contains($0) { found = true } }
        }
        return found
    }
}
