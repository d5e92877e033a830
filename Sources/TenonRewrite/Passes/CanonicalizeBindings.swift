import TenonIR

/// Removes bindings that only give a value another name, and resolves projections of tuples whose fields are known. A tuple
/// made of all projections of another one, in order, is that one.
public struct CanonicalizeBindings: ModulePass {
    public init() {}

    public var name: String { "CanonicalizeBindings" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions {
            if let simpler = function.canonicalizingBindings() { result[name] = simpler }
        }
        return result
    }
}

extension Function {
    /// Nil when there is nothing to remove.
    func canonicalizingBindings() -> Function? {
        var walk = Canonicalization(self)
        let body = walk.rewrite(self.body)
        guard walk.changed else { return nil }
        var result = walk.function
        result.body = body
        return result.compacted()
    }
}

private struct Canonicalization {
    var function: Function
    var changed = false
    /// By value: what stands for it.
    private var replacement: [ValueID?]
    /// Fields of values that are known tuples.
    private var fields: [ValueID: [Operand]] = [:]
    /// What projections take.
    private var projections: [ValueID: (tuple: ValueID, index: Int)] = [:]

    init(_ function: Function) {
        self.function = function
        replacement = [ValueID?](repeating: nil, count: function.values.count)
    }

    private func current(_ id: ValueID) -> ValueID { replacement[id.int] ?? id }

    mutating func rewrite(_ body: Body) -> Body {
        var body = body
        for block in body.blocks.indices {
            var kept: [Binding] = []
            kept.reserveCapacity(body.blocks[block].bindings.count)
            for binding in body.blocks[block].bindings {
                if let expression = rewrite(binding) { kept.append(Binding(binding.id, expression)) }
            }
            body.blocks[block].bindings = kept
        }
        body.blocks.removeAll { $0.bindings.isEmpty }
        body.result = body.result.mapValues { .value(current($0)) }
        return body
    }

    /// Nil when the binding goes.
    private mutating func rewrite(_ binding: Binding) -> Expression? {
        var expression = binding.expression
        switch expression {
        case .conditional(let condition, let thenBody, let elseBody):
            let (first, second) = (rewrite(thenBody), rewrite(elseBody))
            return .conditional(condition.mapValues { .value(current($0)) }, then: first, else: second)
        case .function(let local):
            guard let simpler = local.canonicalizingBindings() else { return expression }
            changed = true
            return .function(simpler)
        default: expression = expression.mapValues { .value(current($0)) }
        }
        switch expression {
        case .operand(.value(let source)): return isAlias(binding.id, of: source) ? nil : expression
        case .tuple(let known):
            if let source = whole(known), isAlias(binding.id, of: source) { return nil }
            fields[binding.id] = known
        case .tupleGetItem(let tuple, let index):
            var known: [Operand]?
            switch tuple {
            case .tuple(let inline): known = inline
            case .value(let id):
                known = fields[id]
                projections[binding.id] = (id, index)
            default: break
            }
            guard let known, known.indices.contains(index) else { return expression }
            if case .value(let source) = known[index] {
                if isAlias(binding.id, of: source) { return nil }
            } else {
                changed = true
                return .operand(known[index])
            }
        default: break
        }
        return expression
    }

    /// Lets `source` stand for `id` unless more is said of one than of the other. What leaves its block goes on doing so.
    private mutating func isAlias(_ id: ValueID, of source: ValueID) -> Bool {
        let info = function.values[id.int]
        guard function.values[source.int].type == info.type else { return false }
        if !info.isDataflow, function.values[source.int].isDataflow {
            function.values[source.int].isDataflow = false
            if !info.name.isEmpty { function.values[source.int].name = info.name }
        }
        replacement[id.int] = source
        changed = true
        return true
    }

    /// The tuple of which these are all the fields in order.
    private func whole(_ fields: [Operand]) -> ValueID? {
        guard case .value(let first)? = fields.first, let tuple = projections[first]?.tuple,
            case .tuple(let types) = function.type(of: tuple), types.count == fields.count
        else { return nil }
        for (index, field) in fields.enumerated() {
            guard case .value(let id) = field, let projection = projections[id], projection == (tuple, index) else {
                return nil
            }
        }
        return tuple
    }
}
