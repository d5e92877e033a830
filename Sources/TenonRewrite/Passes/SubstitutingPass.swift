import TenonIR

/// A pass that walks each function in order and lets earlier values stand for later ones. The frame of passes that add no
/// values: uses are redirected, bindings dropped, local functions and both sides of a conditional walked too.
protocol SubstitutingPass: ModulePass {
    associatedtype Walk: SubstitutingWalk
}

extension SubstitutingPass {
    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions {
            if let simpler = Walk.rewritten(function) { result[name] = simpler }
        }
        return result
    }
}

/// What one walk over one function knows.
protocol SubstitutingWalk {
    init(_ substitution: Substitution)
    var substitution: Substitution { get set }

    /// What a binding is bound to from now on, its operands already redirected; nil when it goes, for which another value
    /// must stand. Conditionals and local functions are not shown.
    mutating func visit(_ binding: Binding) -> Expression?

    /// Bodies nest; what is bound in one, or is local to one of its blocks, is not seen behind it.
    mutating func beginBody()
    mutating func endBlock()
    mutating func endBody()
}

/// The function under way, and which values stand for others.
struct Substitution {
    var function: Function
    var changed = false
    /// By value: what stands for it.
    private var replacement: [ValueID?]

    init(_ function: Function) {
        self.function = function
        replacement = [ValueID?](repeating: nil, count: function.values.count)
    }

    func current(_ id: ValueID) -> ValueID { replacement[id.int] ?? id }

    func redirected(_ operand: Operand) -> Operand { operand.mapValues { .value(current($0)) } }

    func redirected(_ expression: Expression) -> Expression { expression.mapValues { .value(current($0)) } }

    /// Lets `source` stand for `id` unless the types say different things. What leaves its block goes on doing so.
    mutating func replace(_ id: ValueID, by source: ValueID, passingName: Bool) -> Bool {
        let info = function.values[id.int]
        guard function.values[source.int].type == info.type else { return false }
        if !info.isDataflow, function.values[source.int].isDataflow {
            function.values[source.int].isDataflow = false
            if passingName, !info.name.isEmpty { function.values[source.int].name = info.name }
        }
        replacement[id.int] = source
        changed = true
        return true
    }
}

extension SubstitutingWalk {
    mutating func beginBody() {}
    mutating func endBlock() {}
    mutating func endBody() {}

    /// Nil when there is nothing to change.
    static func rewritten(_ function: Function) -> Function? {
        var walk = Self(Substitution(function))
        let body = walk.rewrite(function.body)
        guard walk.substitution.changed else { return nil }
        var result = walk.substitution.function
        result.body = body
        return result.compacted()
    }

    private mutating func rewrite(_ body: Body) -> Body {
        var body = body
        beginBody()
        for block in body.blocks.indices {
            var kept: [Binding] = []
            kept.reserveCapacity(body.blocks[block].bindings.count)
            for binding in body.blocks[block].bindings {
                if let expression = rewrite(binding) { kept.append(Binding(binding.id, expression)) }
            }
            body.blocks[block].bindings = kept
            endBlock()
        }
        endBody()
        body.blocks.removeAll { $0.bindings.isEmpty }
        body.result = substitution.redirected(body.result)
        return body
    }

    private mutating func rewrite(_ binding: Binding) -> Expression? {
        switch binding.expression {
        case .conditional(let condition, let thenBody, let elseBody):
            let (first, second) = (rewrite(thenBody), rewrite(elseBody))
            return .conditional(substitution.redirected(condition), then: first, else: second)
        case .function(let local):
            guard let simpler = Self.rewritten(local) else { return binding.expression }
            substitution.changed = true
            return .function(simpler)
        default:
            return visit(Binding(binding.id, substitution.redirected(binding.expression)))
        }
    }
}
