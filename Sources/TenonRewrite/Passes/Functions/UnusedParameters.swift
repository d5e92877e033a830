import TenonIR

/// Drops parameters of internal functions that they do not use, at every call.
public struct RemoveUnusedParameters: ModulePass {
    public init() {}

    public var name: String { "RemoveUnusedParameters" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        // By function: the parameters that stay.
        var kept: [String: [Int]] = [:]
        for name in module.onlyCalled() {
            guard let function = module[name] else { continue }
            let indices = Self.usedParameters(of: function)
            guard indices.count < function.parameters.count else { continue }
            kept[name] = indices
            var smaller = function
            smaller.parameters = indices.map { function.parameters[$0] }
            result[name] = smaller.compacted()
        }
        guard !kept.isEmpty else { return module }
        for (name, function) in result.functions {
            result[name] = function.mapExpressions { expression in
                guard case .call(var call) = expression, case .function(let callee) = call.callee,
                    let indices = kept[callee]
                else { return expression }
                call.arguments = indices.compactMap { call.arguments.indices.contains($0) ? call.arguments[$0] : nil }
                return .call(call)
            }
        }
        return result
    }

    /// What the body mentions, and what tells the value of a symbol that nothing else that stays tells.
    private static func usedParameters(of function: Function) -> [Int] {
        var isUsed = [Bool](repeating: false, count: function.values.count)
        function.body.forEachValue { isUsed[$0.int] = true }
        var symbols: [String] = []
        for (index, info) in function.values.enumerated()
        where isUsed[index] || !function.parameters.contains(ValueID(index)) {
            info.type.collectSymbols(into: &symbols)
        }
        _ = function.mapExpressions { expression in
            expression.forEachOperand {
                if case .shape(let dims) = $0 { ValueType.shape(dims).collectSymbols(into: &symbols) }
            }
            return expression
        }
        var missing = Set(symbols)
        for id in function.parameters where isUsed[id.int] {
            missing.subtract(Function.plainSymbols(of: function.type(of: id)))
        }
        return function.parameters.indices.filter { index in
            let id = function.parameters[index]
            if isUsed[id.int] { return true }
            let told = Function.plainSymbols(of: function.type(of: id))
            guard !told.isDisjoint(with: missing) else { return false }
            missing.subtract(told)
            return true
        }
    }
}

/// Drops results of internal functions that no caller takes.
public struct RemoveUnusedOutputs: ModulePass {
    public init() {}

    public var name: String { "RemoveUnusedOutputs" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var candidates: [String: Set<Int>] = [:]
        for name in module.onlyCalled() {
            guard let function = module[name], case .tuple(let fields) = function.resultType, !fields.isEmpty,
                FunctionPattern.resultOperands(function).count == fields.count
            else { continue }
            candidates[name] = []
        }
        for (_, function) in module.functions { Self.note(function, &candidates) }
        var kept: [String: [Int]] = [:]
        var result = module
        for (name, used) in candidates {
            guard let function = module[name] else { continue }
            let fields = FunctionPattern.resultOperands(function)
            // Something must be returned.
            let indices = used.isEmpty ? [0] : used.sorted()
            guard indices.count < fields.count else { continue }
            kept[name] = indices
            var smaller = function
            smaller.body.result = indices.count == 1 ? fields[indices[0]] : .tuple(indices.map { fields[$0] })
            result[name] = smaller.withScopedValues(showing: true) ?? smaller
        }
        guard !kept.isEmpty else { return module }
        for (name, function) in result.functions { result[name] = Self.adapted(function, kept) }
        let effects = Effects(result)
        for name in kept.keys {
            if let smaller = result[name]?.removingUnusedBindings(effects) { result[name] = smaller }
        }
        return result
    }

    /// Notes which results a function takes of others; one that it takes whole keeps all of them.
    private static func note(_ function: Function, _ used: inout [String: Set<Int>]) {
        var callee: [ValueID: String] = [:]
        func all(_ name: String) { used[name] = nil }
        function.forEachBinding { binding in
            switch binding.expression {
            case .call(let call):
                if case .function(let name) = call.callee, used[name] != nil { callee[binding.id] = name }
                call.arguments.forEach { $0.forEachValue { if let name = callee[$0] { all(name) } } }
            case .tupleGetItem(.value(let id), let index): if let name = callee[id] { used[name]?.insert(index) }
            case .function(let local): note(local, &used)
            default: binding.expression.forEachValue { if let name = callee[$0] { all(name) } }
            }
        }
        function.body.result.forEachValue { if let name = callee[$0] { all(name) } }
    }

    /// Lets projections take what is still there.
    private static func adapted(_ function: Function, _ kept: [String: [Int]]) -> Function {
        var indices: [ValueID: [Int]] = [:]
        var result = function
        result.body = function.body.mapExpressions { expression in
            if case .function(let local) = expression { return .function(adapted(local, kept)) }
            return expression
        }
        function.forEachBinding { binding in
            guard case .call(let call) = binding.expression, case .function(let name) = call.callee,
                let left = kept[name], case .tuple(let fields) = function.type(of: binding.id),
                left.allSatisfy(fields.indices.contains)
            else { return }
            indices[binding.id] = left
            result.values[binding.id.int].type = left.count == 1 ? fields[left[0]] : .tuple(left.map { fields[$0] })
        }
        guard !indices.isEmpty else { return result }
        result.body = result.body.mapExpressions { expression in
            guard case .tupleGetItem(.value(let id), let index) = expression, let left = indices[id],
                let place = left.firstIndex(of: index)
            else { return expression }
            return left.count == 1 ? .operand(.value(id)) : .tupleGetItem(.value(id), place)
        }
        return (Canonicalization.rewritten(result) ?? result).compacted()
    }
}

extension Expression {
    /// Calls `body` for each operand, fields of tuples one by one; branches' own bindings are not looked into.
    func forEachOperand(_ body: (Operand) -> Void) {
        func visit(_ operand: Operand) {
            if case .tuple(let fields) = operand { fields.forEach(visit) } else { body(operand) }
        }
        switch self {
        case .call(let call): call.arguments.forEach(visit)
        case .tuple(let fields): fields.forEach(visit)
        case .tupleGetItem(let operand, _), .operand(let operand), .matchCast(let operand, _): visit(operand)
        case .function: break
        case .conditional(let condition, let then, let other):
            visit(condition)
            visit(then.result)
            visit(other.result)
        }
    }
}
