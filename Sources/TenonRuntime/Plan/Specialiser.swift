import TenonIR

/// Rewrites a function for given parameter types: symbols become numbers, and every type is inferred again.
struct Specialiser {
    let module: Module

    /// The function itself when its types are known already.
    func specialise(_ function: Function, _ types: [ValueType], depth: Int) throws -> Function {
        guard depth < PlanBuilder.depthLimit else {
            throw TenonError(.invalidGraph, "calls nest more than \(PlanBuilder.depthLimit) deep")
        }
        guard types.count == function.parameters.count else {
            throw TenonError(
                .invalidArgument, "a call gives \(types.count) arguments, expected \(function.parameters.count)")
        }
        if function.parameterTypes == types, Specialiser.isConcrete(function) { return function }
        var symbols = SymbolTable()
        var locals: [ValueID: Function] = [:]
        var result = function
        for (id, type) in zip(function.parameters, types) {
            let name = function.info(id)?.name ?? "parameter"
            try symbols.bind(function.type(of: id), to: type, name)
            try symbols.check(function.type(of: id), against: type, name)
            result.values[id.int].type = type
        }
        for block in result.body.blocks.indices {
            var bindings: [Binding] = []
            for var binding in result.body.blocks[block].bindings {
                guard result.values.indices.contains(binding.id.int) else {
                    throw TenonError(.invalidGraph, "value \(binding.id.index) is not in the table of its function")
                }
                do {
                    let type = try retype(&binding, &result, &symbols, &locals, before: &bindings, depth: depth)
                    result.values[binding.id.int].type = type
                } catch let error as TenonError {
                    throw error.located(at: result.info(binding.id)?.name ?? "")
                }
                // A local function comes back with the types of the call that uses it.
                if case .function(let local) = binding.expression {
                    locals[binding.id] = local
                } else {
                    bindings.append(binding)
                }
            }
            result.body.blocks[block].bindings = bindings
        }
        return result
    }

    static func isConcrete(_ function: Function) -> Bool {
        guard function.values.allSatisfy({ $0.type.isConcrete }) else { return false }
        var isConcrete = true
        function.forEachBinding { binding in
            if case .function(let local) = binding.expression, !Specialiser.isConcrete(local) { isConcrete = false }
            if case .call(let call) = binding.expression {
                for case .shape(let dims) in call.arguments where !dims.allSatisfy(\.isFixed) { isConcrete = false }
            }
        }
        return isConcrete
    }

    private func retype(
        _ binding: inout Binding, _ function: inout Function, _ symbols: inout SymbolTable,
        _ locals: inout [ValueID: Function], before bindings: inout [Binding], depth: Int
    ) throws -> ValueType {
        switch binding.expression {
        case .call(var call):
            call.arguments = try call.arguments.map { try substitute($0, symbols) }
            defer { binding.expression = .call(call) }
            let types = call.arguments.map { function.type(of: $0) }
            switch call.callee {
            case .op(let op):
                let inferred = try Inference.call(
                    op, call.arguments, call.attributes, types: types, constants: call.arguments.map(\.constant))
                if inferred.type.isConcrete { return inferred.type }
                guard let declared = function.type(of: binding.id).substituting(symbols.replacements),
                    declared.isConcrete
                else { throw DependsOnData(reason: "the type of \(op.name)") }
                return declared
            case .function(let name):
                guard let callee = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
                if callee.parameterTypes == types, Specialiser.isConcrete(callee) { return callee.resultType }
                let special = try specialise(callee, types, depth: depth + 1)
                // The module's function stays as it is; the region gets one of its own.
                let local = function.addValue(name, .function(parameters: types, result: special.resultType))
                bindings.append(Binding(local, .function(special)))
                call.callee = .local(local)
                return special.resultType
            case .local(let id):
                guard let source = locals[id] else {
                    throw TenonError(.invalidGraph, "a call of something that is not a function")
                }
                let special = try specialise(source, types, depth: depth + 1)
                let local = function.addValue(
                    function.info(id)?.name ?? "local", .function(parameters: types, result: special.resultType))
                bindings.append(Binding(local, .function(special)))
                call.callee = .local(local)
                return special.resultType
            case .external(let name): throw TenonError(.unsupported, "external function '\(name)' cannot be run")
            }
        case .tuple(let fields):
            let replaced = try fields.map { try substitute($0, symbols) }
            binding.expression = .tuple(replaced)
            return .tuple(replaced.map { function.type(of: $0) })
        case .tupleGetItem(let operand, let index):
            guard case .tuple(let fields) = function.type(of: operand), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "tuple item \(index) of something that has none")
            }
            return fields[index]
        case .operand(let operand):
            let replaced = try substitute(operand, symbols)
            binding.expression = .operand(replaced)
            return function.type(of: replaced)
        case .matchCast(let operand, let declared):
            let actual = function.type(of: operand)
            try symbols.bind(declared, to: actual, function.info(binding.id)?.name ?? "")
            try symbols.check(declared, against: actual, function.info(binding.id)?.name ?? "")
            binding.expression = .operand(operand)
            return actual
        case .function: return function.type(of: binding.id)
        case .conditional: throw TenonError(.unsupported, "a region with a conditional")
        }
    }

    private func substitute(_ operand: Operand, _ symbols: SymbolTable) throws -> Operand {
        guard case .shape(let dims) = operand else { return operand }
        guard let replaced = dims.substituting(symbols.replacements) else {
            throw TenonError(.invalidShape, "a dimension of \(dims) overflows")
        }
        return .shape(replaced)
    }
}
