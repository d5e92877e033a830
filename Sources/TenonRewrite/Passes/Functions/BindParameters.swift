import TenonIR

extension Module {
    /// The module with parameters of a function replaced by constants: weights become known. Symbols that their types name take
    /// the sizes met.
    public func bindingParameters(of name: String, to constants: [String: Constant]) throws -> Module {
        guard let function = self[name] else {
            throw TenonError(.notFound, "BindParams: the module has no function '\(name)'", node: name)
        }
        var values: [ValueID: Operand] = [:]
        var symbols: [String: Dim] = [:]
        for (parameter, constant) in constants.sorted(by: { $0.key < $1.key }) {
            let found = function.parameters.filter { function.info($0)?.name == parameter }
            guard let id = found.first, found.count == 1 else {
                let known = function.parameters.compactMap { function.info($0)?.name }.joined(separator: ", ")
                throw TenonError(
                    .notFound, "BindParams: @\(name) has no parameter '\(parameter)'; it has \(known)", node: parameter)
            }
            let (wanted, given) = (function.type(of: id), ValueType.tensor(constant.type))
            FunctionPattern.bind(wanted, to: given, &symbols)
            guard let expected = wanted.substituting(symbols), given.mayEqual(expected) else {
                throw TenonError(
                    .invalidType, "BindParams: '\(parameter)' expects \(wanted), found \(given)", node: parameter)
            }
            values[id] = .constant(constant)
        }
        guard !values.isEmpty else { return self }
        guard var bound = function.substituting(symbols) else {
            throw TenonError(.limitExceeded, "BindParams: sizes of @\(name) get too large")
        }
        bound.parameters.removeAll { values[$0] != nil }
        func replaced(_ operand: Operand) -> Operand { operand.mapValues { values[$0] ?? .value($0) } }
        bound.body = bound.body.mapExpressions { expression in
            if case .conditional(let condition, var then, var other) = expression {
                then.result = replaced(then.result)
                other.result = replaced(other.result)
                return .conditional(replaced(condition), then: then, else: other)
            }
            return expression.mapValues { values[$0] ?? .value($0) }
        }
        bound.body.result = replaced(bound.body.result)
        var result = self
        result[name] = try bound.compacted().withInferredTypes()
        return result
    }

    /// The module with symbols of a function, or of all, replaced by numbers.
    /// - Throws: `.notFound` for a symbol that none of them has, `.invalidShape` for a size that cannot be.
    public func bindingSymbols(_ sizes: [String: Int64], of name: String? = nil) throws -> Module {
        if let name, self[name] == nil {
            throw TenonError(.notFound, "BindSymbolicVars: the module has no function '\(name)'", node: name)
        }
        for (symbol, size) in sizes where size < 0 {
            throw TenonError(.invalidShape, "BindSymbolicVars: '\(symbol)' expects 0 or above, found \(size)")
        }
        var unknown = Set(sizes.keys)
        var result = self
        for (function, body) in functions where (name ?? function) == function {
            var symbols: [String] = []
            for info in body.values { info.type.collectSymbols(into: &symbols) }
            unknown.subtract(symbols)
            guard symbols.contains(where: { sizes[$0] != nil }) else { continue }
            guard let bound = body.substituting(sizes.mapValues { .fixed($0) }) else {
                throw TenonError(.limitExceeded, "BindSymbolicVars: sizes of @\(function) get too large")
            }
            result[function] = try bound.withInferredTypes()
        }
        if let symbol = unknown.sorted().first {
            throw TenonError(.notFound, "BindSymbolicVars: no function has the symbol '\(symbol)'")
        }
        return result
    }
}

extension Function {
    /// The function with calls of operators typed anew, where that says more than what stands there.
    func withInferredTypes() throws -> Function {
        var result = self
        var literals: [ValueID: Constant] = [:]
        try forEachBinding { binding in
            switch binding.expression {
            case .operand(let operand):
                if let constant = operand.constant { literals[binding.id] = constant }
                result.values[binding.id.int].type = Self.finer(
                    result.type(of: operand), result.values[binding.id.int].type)
            case .tuple(let fields):
                result.values[binding.id.int].type = .tuple(fields.map { result.type(of: $0) })
            case .tupleGetItem(let tuple, let index):
                guard case .tuple(let fields) = result.type(of: tuple), fields.indices.contains(index) else { return }
                result.values[binding.id.int].type = Self.finer(fields[index], result.values[binding.id.int].type)
            case .call(let call):
                guard case .op(let op) = call.callee else { return }
                let typed = try Inference.call(
                    op, call.arguments, call.attributes, types: call.arguments.map { result.type(of: $0) },
                    constants: call.arguments.map { operand in
                        operand.constant ?? operand.valueID.flatMap { literals[$0] }
                    })
                result.values[binding.id.int].type = Self.finer(typed.type, result.values[binding.id.int].type)
            default: return
            }
        }
        return result
    }

    /// The first type where it says at least what the second one says.
    private static func finer(_ new: ValueType, _ old: ValueType) -> ValueType { new.canReplace(old) ? new : old }
}
