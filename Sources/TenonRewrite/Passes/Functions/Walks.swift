import TenonIR

extension Body {
    /// The body with every expression replaced by what `change` makes of it, branches first.
    func mapExpressions(_ change: (Expression) throws -> Expression) rethrows -> Body {
        var mapped = self
        for block in mapped.blocks.indices {
            for index in mapped.blocks[block].bindings.indices {
                var expression = mapped.blocks[block].bindings[index].expression
                if case .conditional(let condition, let then, let other) = expression {
                    expression = .conditional(
                        condition, then: try then.mapExpressions(change), else: try other.mapExpressions(change))
                }
                mapped.blocks[block].bindings[index].expression = try change(expression)
            }
        }
        return mapped
    }
}

extension Function {
    /// The function with its expressions replaced by what `change` makes of them, those of local functions included.
    func mapExpressions(_ change: (Expression) throws -> Expression) rethrows -> Function {
        var mapped = self
        mapped.body = try body.mapExpressions { expression in
            guard case .function(let local) = expression else { return try change(expression) }
            return .function(try local.mapExpressions(change))
        }
        return mapped
    }

    /// The function with symbols replaced in types and in shape literals; nil when an expression gets too large.
    func substituting(_ symbols: [String: Dim]) -> Function? {
        guard !symbols.isEmpty else { return self }
        var result = self
        for index in values.indices {
            guard let type = values[index].type.substituting(symbols) else { return nil }
            result.values[index].type = type
        }
        var isWhole = true
        func replaced(_ operand: Operand) -> Operand {
            switch operand {
            case .shape(let dims):
                guard let dims = dims.substituting(symbols) else {
                    isWhole = false
                    return operand
                }
                return .shape(dims)
            case .tuple(let fields): return .tuple(fields.map(replaced))
            default: return operand
            }
        }
        result.body = body.mapExpressions { expression in
            switch expression {
            case .call(var call):
                call.arguments = call.arguments.map(replaced)
                return .call(call)
            case .tuple(let fields): return .tuple(fields.map(replaced))
            case .tupleGetItem(let operand, let index): return .tupleGetItem(replaced(operand), index)
            case .operand(let operand): return .operand(replaced(operand))
            case .matchCast(let operand, let type):
                guard let type = type.substituting(symbols) else {
                    isWhole = false
                    return expression
                }
                return .matchCast(replaced(operand), type)
            case .function(let local):
                guard let inner = local.substituting(symbols) else {
                    isWhole = false
                    return expression
                }
                return .function(inner)
            case .conditional(let condition, let then, let other):
                var (then, other) = (then, other)
                then.result = replaced(then.result)
                other.result = replaced(other.result)
                return .conditional(replaced(condition), then: then, else: other)
            }
        }
        result.body.result = replaced(body.result)
        return isWhole ? result : nil
    }

    /// Symbols that the type of a parameter names plainly: those whose value a caller tells.
    static func plainSymbols(of type: ValueType) -> Set<String> {
        var names: Set<String> = []
        func collect(_ type: ValueType) {
            switch type {
            case .tensor(let tensor): for dim in tensor.shape ?? [] { dim.plainSymbol.map { _ = names.insert($0) } }
            case .shape(let dims): for dim in dims ?? [] { dim.plainSymbol.map { _ = names.insert($0) } }
            case .tuple(let fields): fields.forEach(collect)
            default: break
            }
        }
        collect(type)
        return names
    }

    /// Made for use inside the module, and by nobody's wish a unit: may be changed together with those that call it.
    func isInternal(named name: String) -> Bool {
        name != "main" && globalSymbol == nil && !isPrimitive && composite == nil && codegen == nil
    }
}

extension Module {
    /// Of the internal functions those that are called and never mentioned otherwise, local functions looked into.
    func onlyCalled() -> Set<String> {
        var called: Set<String> = []
        var mentioned: Set<String> = []
        func visit(_ operand: Operand) {
            switch operand {
            case .global(let name): mentioned.insert(name)
            case .tuple(let fields): fields.forEach(visit)
            default: break
            }
        }
        func visit(_ function: Function) {
            function.forEachBinding { binding in
                switch binding.expression {
                case .call(let call):
                    if case .function(let name) = call.callee { called.insert(name) }
                    call.arguments.forEach(visit)
                case .tuple(let fields): fields.forEach(visit)
                case .tupleGetItem(let operand, _), .operand(let operand), .matchCast(let operand, _): visit(operand)
                case .function(let local): visit(local)
                case .conditional(let condition, let then, let other):
                    visit(condition)
                    visit(then.result)
                    visit(other.result)
                }
            }
            visit(function.body.result)
        }
        for (_, function) in functions { visit(function) }
        return called.subtracting(mentioned).filter { self[$0]?.isInternal(named: $0) == true }
    }
}
