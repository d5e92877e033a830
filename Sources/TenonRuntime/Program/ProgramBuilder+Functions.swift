import TenonIR

extension ProgramBuilder {
    /// The names of one function while it is lowered.
    struct Scope {
        let function: Function
        let composite: String
        let depth: Int
        /// The backend of the region that the function stands in.
        var codegen: String?
        var values: [Lowered?]
        /// The function's symbols in the program's.
        var symbols: [String: Dim] = [:]
        let isUsed: [Bool]

        init(_ function: Function, composite: String, depth: Int) {
            self.function = function
            self.composite = composite
            self.depth = depth
            values = [Lowered?](repeating: nil, count: function.values.count)
            isUsed = PlanBuilder.Scope.uses(of: function)
        }

        func name(_ id: ValueID) -> String { function.info(id)?.name ?? "" }
    }

    mutating func lower(
        _ function: Function, _ arguments: [Lowered], composite: String, depth: Int, codegen: String? = nil
    ) throws -> Lowered {
        guard depth < ProgramBuilder.depthLimit else {
            throw TenonError(.invalidGraph, "calls nest more than \(ProgramBuilder.depthLimit) deep")
        }
        guard arguments.count == function.parameters.count else {
            throw TenonError(
                .invalidArgument, "a call gives \(arguments.count) arguments, expected \(function.parameters.count)")
        }
        var scope = Scope(function, composite: composite, depth: depth)
        scope.codegen = codegen
        for (id, argument) in zip(function.parameters, arguments) {
            let name = function.info(id)?.name ?? "parameter"
            scope.values[id.int] = try meet(argument, function.type(of: id), name, &scope.symbols)
        }
        return try lower(function.body, &scope)
    }

    mutating func lower(_ body: Body, _ scope: inout Scope) throws -> Lowered {
        for block in body.blocks {
            for binding in block.bindings {
                guard scope.isUsed.indices.contains(binding.id.int) else {
                    throw TenonError(.invalidGraph, "value \(binding.id.index) is not in the table of its function")
                }
                guard scope.isUsed[binding.id.int] else { continue }
                loweredBindings += 1
                guard loweredBindings <= PlanBuilder.bindingLimit else {
                    throw TenonError(
                        .limitExceeded,
                        "main: more than \(PlanBuilder.bindingLimit) operators when calls are written out")
                }
                try TenonIR.Work.check()
                do {
                    let value = try lower(binding, &scope)
                    scope.values[binding.id.int] = value
                    // A declared type may name sizes that only here come to be known.
                    match(scope.function.type(of: binding.id), type(of: value), &scope.symbols)
                } catch let error as TenonError {
                    throw error.located(at: scope.name(binding.id))
                }
            }
        }
        return try resolve(body.result, scope)
    }

    mutating func lower(_ binding: Binding, _ scope: inout Scope) throws -> Lowered {
        switch binding.expression {
        case .call(let call): return try lower(call, binding.id, &scope)
        case .tuple(let fields): return .tuple(try fields.map { try resolve($0, scope) })
        case .tupleGetItem(let operand, let index):
            guard case .tuple(let fields) = try resolve(operand, scope), fields.indices.contains(index) else {
                throw TenonError(.invalidGraph, "tuple item \(index) of something that has none")
            }
            return fields[index]
        case .operand(let operand): return try resolve(operand, scope)
        case .matchCast(let operand, let declared):
            return try meet(try resolve(operand, scope), declared, scope.name(binding.id), &scope.symbols)
        case .function(let function): return .function(function)
        case .conditional(let condition, let then, let other):
            return try branch(try resolve(condition, scope), then, other, binding.id, &scope)
        }
    }

    private mutating func lower(_ call: Call, _ id: ValueID, _ scope: inout Scope) throws -> Lowered {
        let arguments = try call.arguments.map { try resolve($0, scope) }
        let callee: Function
        switch call.callee {
        case .op(let op): return try lower(op, call.attributes, arguments, id, &scope)
        case .function(let global):
            guard let function = module[global] else { throw TenonError(.notFound, "unknown function '\(global)'") }
            callee = function
            if let codegen = function.codegen, !options.usesReferenceKernels, !refused.contains(global) {
                if servesAllSizes, backends[codegen] == true {
                    return try lower(
                        function, arguments, composite: "", depth: scope.depth + 1, codegen: codegen)
                }
                if let region = try region(function, global, codegen, arguments, id, scope) { return region }
            }
        case .local(let local):
            guard scope.values.indices.contains(local.int), case .function(let function)? = scope.values[local.int]
            else { throw TenonError(.invalidGraph, "a call of something that is not a function") }
            callee = function
        case .external(let name): throw TenonError(.unsupported, "external function '\(name)' cannot be run")
        }
        if callee.composite != nil, !options.usesReferenceKernels,
            let chain = try composite(callee, arguments, id, scope)
        {
            return chain
        }
        return try lower(
            callee, arguments, composite: callee.composite ?? scope.composite, depth: scope.depth + 1)
    }

    // MARK: - Operands

    mutating func resolve(_ operand: Operand, _ scope: Scope) throws -> Lowered {
        switch operand {
        case .value(let id):
            guard scope.values.indices.contains(id.int), let value = scope.values[id.int] else {
                throw TenonError(.invalidGraph, "value '\(scope.name(id))' is used before it is bound")
            }
            return value
        case .constant(let constant): return .tensor(try add(constant))
        case .shape(let dims):
            guard case .shape(let replaced?)? = known(.shape(dims), scope.symbols) else {
                throw TenonError(.invalidShape, "a dimension of \(dims) overflows or has a symbol that nothing binds")
            }
            return .literal(.shape(replaced))
        case .tuple(let fields):
            var lowered: [Lowered] = []
            for field in fields { lowered.append(try resolve(field, scope)) }
            return .tuple(lowered)
        case .int, .float, .string, .dtype: return .literal(operand)
        case .global(let name):
            guard let function = module[name] else { throw TenonError(.notFound, "unknown function '\(name)'") }
            return .function(function)
        }
    }

    // MARK: - Declared types

    /// A value under the type that a parameter or a cast declares: symbols that are new are bound, the others checked.
    mutating func meet(
        _ value: Lowered, _ declared: ValueType, _ name: String, _ symbols: inout [String: Dim]
    ) throws -> Lowered {
        switch (value, declared) {
        case (.tuple(let values), .tuple(let fields)):
            guard values.count == fields.count else { throw mismatch(name, declared, type(of: value)) }
            var met: [Lowered] = []
            for (value, field) in zip(values, fields) { met.append(try meet(value, field, name, &symbols)) }
            return .tuple(met)
        case (.tensor(let tensor), .tensor(let type)): return .tensor(try meet(tensor, type, name, &symbols))
        case (.literal(.shape(let found)), .shape(let dims?)):
            guard found.count == dims.count else { throw mismatch(name, declared, type(of: value)) }
            try meet(found, dims, name, "\(declared)", &symbols)
            return value
        case (.shapeTensor(let tensor), .shape(let dims?)):
            if let known = type(of: tensor).shape?.first?.value, known != Int64(dims.count) {
                throw mismatch(name, declared, type(of: value))
            }
            let (found, bound) = try self.found(dims, &symbols)
            endStage(.sizes(tensor: tensor, dims: found, name: name))
            return .literal(.shape(bound))
        default: return value
        }
    }

    private mutating func meet(
        _ tensor: Int, _ declared: TensorType, _ name: String, _ symbols: inout [String: Dim]
    ) throws -> Int {
        let actual = type(of: tensor)
        if let dtype = declared.dtype, let found = actual.dtype, dtype != found {
            throw mismatch(name, .tensor(declared), .tensor(actual))
        }
        if let rank = declared.rank, let found = actual.rank, rank != found {
            throw mismatch(name, .tensor(declared), .tensor(actual))
        }
        if let dims = declared.shape, let found = actual.shape {
            try meet(found, dims, name, "\(declared)", &symbols)
            return tensor
        }
        guard !program.tensors[tensor].isPlanned, declared.rank != nil else { return tensor }
        let root = program.tensors[tensor].root
        let (output, found) = try declare(declared, root: root, name: name, binding: &symbols)
        endStage(.cast(tensor: tensor, output: Program.LateOutput(tensor: output, dims: found), name: name))
        return output
    }

    private mutating func meet(
        _ found: [Dim], _ declared: [Dim], _ name: String, _ text: String, _ symbols: inout [String: Dim]
    ) throws {
        // What stands alone binds before what is computed from it.
        for (dim, actual) in zip(declared, found) {
            if let symbol = dim.symbols.first, dim == .symbol(symbol), symbols[symbol] == nil {
                symbols[symbol] = actual
            }
        }
        for (dim, actual) in zip(declared, found) {
            guard let expected = known(dim, symbols), expected != actual else { continue }
            guard try program.sizes.require(expected, equals: actual, "'\(name)' expects \(text)") else {
                throw TenonError(
                    .invalidShape, "'\(name)' expects \(text), found \(actual) for \(dim)", node: name)
            }
        }
    }

    /// How dimensions that a run finds meet declared ones.
    mutating func found(
        _ declared: [Dim], _ symbols: inout [String: Dim]
    ) throws -> (found: [Program.Found], dims: [Dim]) {
        var found = [Program.Found?](repeating: nil, count: declared.count)
        var dims = declared
        for (axis, dim) in declared.enumerated() {
            guard let symbol = dim.symbols.first, dim == .symbol(symbol), symbols[symbol] == nil else { continue }
            let (fresh, slot) = bindable(symbol)
            symbols[symbol] = fresh
            (found[axis], dims[axis]) = (.bind(slot), fresh)
        }
        for (axis, dim) in declared.enumerated() where found[axis] == nil {
            if let known = known(dim, symbols) {
                (found[axis], dims[axis]) = (.check(try program.sizes.size(known)), known)
            } else {
                let (fresh, slot) = bindable("size")
                (found[axis], dims[axis]) = (.bind(slot), fresh)
            }
        }
        return (found.compactMap { $0 }, dims)
    }

    private func mismatch(_ name: String, _ declared: ValueType, _ found: ValueType) -> TenonError {
        TenonError(.invalidShape, "'\(name)' expects \(declared), found \(found)", node: name)
    }
}
