import TenonIR

/// Rewrites a function for given arguments: symbols become numbers, every type is inferred again, and arguments that are
/// known while planning move into the body, so that a backend sees shapes and weights where they are used.
struct Specialiser {
    struct Argument: Hashable {
        var type: ValueType
        /// A literal or a constant; such a parameter disappears.
        var known: Operand?
    }

    let module: Module

    /// One function on its way.
    private struct State {
        var function: Function
        var symbols = SymbolTable()
        var known: [ValueID: Operand] = [:]
        var locals: [ValueID: Function] = [:]
        /// Bindings of the current block.
        var bindings: [Binding] = []

        func name(_ id: ValueID) -> String { function.info(id)?.name ?? "" }

        /// An operand with what is known put in its place.
        func resolved(_ operand: Operand) throws -> Operand {
            switch operand {
            case .value(let id): return known[id] ?? operand
            case .tuple(let fields): return .tuple(try fields.map { try resolved($0) })
            case .shape(let dims):
                guard let replaced = dims.substituting(symbols.replacements) else {
                    throw TenonError(.invalidShape, "a dimension of \(dims) overflows")
                }
                return .shape(replaced)
            default: return operand
            }
        }
    }

    /// The function itself when its types are known already and no argument is.
    func specialise(_ function: Function, _ arguments: [Argument], depth: Int) throws -> Function {
        guard depth < PlanBuilder.depthLimit else {
            throw TenonError(.invalidGraph, "calls nest more than \(PlanBuilder.depthLimit) deep")
        }
        guard arguments.count == function.parameters.count else {
            throw TenonError(
                .invalidArgument, "a call gives \(arguments.count) arguments, expected \(function.parameters.count)")
        }
        if arguments.allSatisfy({ $0.known == nil }), function.parameterTypes == arguments.map(\.type),
            Specialiser.isConcrete(function)
        {
            return function
        }
        var state = State(function: function)
        state.function.parameters = []
        for (id, argument) in zip(function.parameters, arguments) {
            let name = state.name(id)
            try state.symbols.bind(function.type(of: id), to: argument.type, name)
            try state.symbols.check(function.type(of: id), against: argument.type, name)
            guard state.function.values.indices.contains(id.int) else {
                throw TenonError(.invalidGraph, "value \(id.index) is not in the table of its function")
            }
            state.function.values[id.int].type = argument.type
            if let known = argument.known {
                state.known[id] = known
            } else {
                state.function.parameters.append(id)
            }
        }
        for block in function.body.blocks.indices {
            state.bindings = []
            for binding in function.body.blocks[block].bindings {
                guard state.function.values.indices.contains(binding.id.int) else {
                    throw TenonError(.invalidGraph, "value \(binding.id.index) is not in the table of its function")
                }
                do {
                    try add(binding, &state, depth: depth)
                } catch let error as TenonError {
                    throw error.located(at: state.name(binding.id))
                }
            }
            state.function.body.blocks[block].bindings = state.bindings
        }
        state.function.body.result = try state.resolved(function.body.result)
        return state.function
    }

    static func isConcrete(_ function: Function) -> Bool {
        guard function.values.allSatisfy({ $0.type.isConcrete }) else { return false }
        var isConcrete = true
        function.forEachBinding { binding in
            switch binding.expression {
            case .function(let local): if !Specialiser.isConcrete(local) { isConcrete = false }
            // A literal under a name moves to where it is used.
            case .operand(.value): break
            case .operand(let operand): if operand.constant == nil { isConcrete = false }
            case .call(let call):
                for case .shape(let dims) in call.arguments where !dims.allSatisfy(\.isFixed) { isConcrete = false }
            default: break
            }
        }
        return isConcrete
    }

    private func add(_ binding: Binding, _ state: inout State, depth: Int) throws {
        var binding = binding
        let type: ValueType
        switch binding.expression {
        case .call(var call):
            call.arguments = try call.arguments.map { try state.resolved($0) }
            type = try self.type(of: &call, binding, &state, depth: depth)
            binding.expression = .call(call)
            if case .shape(let dims?) = type, dims.allSatisfy(\.isFixed) { state.known[binding.id] = .shape(dims) }
        case .tuple(let fields):
            let resolved = try fields.map { try state.resolved($0) }
            binding.expression = .tuple(resolved)
            type = .tuple(resolved.map { state.function.type(of: $0) })
        case .tupleGetItem(let tuple, let index):
            let resolved = try state.resolved(tuple)
            guard case .tuple(let fields) = state.function.type(of: resolved), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "tuple item \(index) of something that has none")
            }
            if case .tuple(let operands) = resolved { state.known[binding.id] = operands[index] }
            type = fields[index]
        case .operand(let operand):
            let resolved = try state.resolved(operand)
            state.known[binding.id] = resolved
            type = state.function.type(of: resolved)
        case .matchCast(let operand, let declared):
            let resolved = try state.resolved(operand)
            type = state.function.type(of: resolved)
            try state.symbols.bind(declared, to: type, state.name(binding.id))
            try state.symbols.check(declared, against: type, state.name(binding.id))
            state.known[binding.id] = resolved
        case .function(let local):
            // Comes back with the types of the call that uses it.
            state.locals[binding.id] = local
            return
        case .conditional: throw TenonError(.unsupported, "a region with a conditional")
        }
        state.function.values[binding.id.int].type = type
        if state.known[binding.id] == nil { state.bindings.append(binding) }
    }

    private func type(
        of call: inout Call, _ binding: Binding, _ state: inout State, depth: Int
    ) throws -> ValueType {
        let types = call.arguments.map { state.function.type(of: $0) }
        let callee: Function
        var name = ""
        switch call.callee {
        case .op(let op):
            let inferred = try Inference.call(
                op, call.arguments, call.attributes, types: types, constants: call.arguments.map(\.constant))
            if inferred.type.isConcrete { return inferred.type }
            guard
                let declared = state.function.type(of: binding.id).substituting(state.symbols.replacements),
                declared.isConcrete
            else { throw DependsOnData(reason: "the type of \(op.name)") }
            return declared
        case .function(let global):
            guard let function = module[global] else { throw TenonError(.notFound, "unknown function '\(global)'") }
            (callee, name) = (function, global)
        case .local(let id):
            guard let function = state.locals[id] else {
                throw TenonError(.invalidGraph, "a call of something that is not a function")
            }
            (callee, name) = (function, state.name(id))
        case .external(let name): throw TenonError(.unsupported, "external function '\(name)' cannot be run")
        }
        let arguments = zip(call.arguments, types).map { operand, type in
            Argument(type: type, known: Specialiser.isKnown(operand) ? operand : nil)
        }
        let special = try specialise(callee, arguments, depth: depth + 1)
        call.arguments = zip(call.arguments, arguments).compactMap { $1.known == nil ? $0 : nil }
        // The module's function stays as it is; the region gets one of its own.
        let local = state.function.addValue(
            name, .function(parameters: special.parameterTypes, result: special.resultType))
        state.bindings.append(Binding(local, .function(special)))
        call.callee = .local(local)
        return special.resultType
    }

    /// Whether an operand says everything: a literal, a constant, or a tuple of nothing else.
    static func isKnown(_ operand: Operand) -> Bool {
        switch operand {
        case .constant, .shape, .int, .float, .string, .dtype: true
        case .tuple(let fields): !fields.isEmpty && fields.allSatisfy(isKnown)
        case .value, .global: false
        }
    }
}
