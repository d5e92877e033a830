import TenonIR

/// A function under construction, and what it takes from the function around it.
struct FunctionLevel {
    var builder = FunctionBuilder()
    /// Values of the function around, and the parameters that they are here.
    var captures: [(outer: Operand, inner: ValueID)] = []
    private var parameters: [ValueID: ValueID] = [:]

    /// A value of the function around as a parameter; literals are the same everywhere.
    ///
    /// - Parameter type: the parameter's type, which binds every symbol in it.
    mutating func capture(_ operand: Operand, _ name: String, _ type: () -> ValueType) -> Operand {
        guard case .value(let outer) = operand else { return operand }
        if let known = parameters[outer] { return .value(known) }
        let inner = builder.parameter(name, type())
        captures.append((operand, inner))
        parameters[outer] = inner
        return .value(inner)
    }
}

/// The branches of an If give different ranks, so that nothing that follows has a type to go by.
struct RankDifference: Error {
    let condition: Operand
    let then: ONNXGraphProto
    let other: ONNXGraphProto
}

/// Branches that a run chooses, and bodies that it repeats.
extension GraphImport {
    /// A value of an enclosing function where it is used.
    func captured(_ value: ImportedValue, from level: Int) -> ImportedValue {
        guard level < levels.count - 1 else { return value }
        if case .sequence(let items) = value {
            let inner = items.compactMap { item -> Operand? in
                guard case .operand(let operand) = captured(.operand(item), from: level) else { return nil }
                return operand
            }
            return inner.count == items.count ? .sequence(inner) : .unsupported
        }
        var operand: Operand
        switch value {
        case .operand(let given): operand = given
        case .host(let host):
            // Symbols of one function mean nothing in another: the numbers go in as data.
            if host.ints != nil || host.dims == nil { return value }
            guard let tensor = try? self.operand(host, name: "sizes", at: level) else { return .unsupported }
            operand = tensor
        case .unsupported, .sequence, .absent: return value
        case .slices(let slices):
            guard case .operand(let inner) = captured(.operand(slices.tensor), from: level), slices.count.isFixed else {
                return .unsupported
            }
            return .slices(
                SliceSequence(
                    tensor: inner, axis: slices.axis, size: slices.size, keepsAxis: slices.keepsAxis,
                    count: slices.count))
        }
        for inner in (level + 1)..<levels.count {
            let type = levels[inner - 1].builder.type(of: operand)
            operand = levels[inner].capture(operand, "captured") { bindable(type) }
        }
        return .operand(operand)
    }

    /// A type whose symbols stand alone, so that an argument binds them.
    func bindable(_ type: ValueType) -> ValueType {
        guard case .tensor(let tensor) = type, let shape = tensor.shape else { return type }
        return .tensor(
            TensorType(
                tensor.dtype,
                shape.map { dim in
                    dim.isFixed || dim == .symbol(dim.symbols.first ?? "") ? dim : freshSize("size")
                }))
    }

    // MARK: - Branches

    /// The outputs of the branch that a run chooses.
    func conditional(
        _ condition: Operand, _ then: ONNXGraphProto, _ other: ONNXGraphProto, name: String
    ) throws -> [ImportedValue] {
        guard then.output.count == other.output.count, !then.output.isEmpty else {
            throw TenonError(
                .invalidGraph, "the branches have \(then.output.count) and \(other.output.count) outputs")
        }
        let (before, known) = (freshSymbols.count, bodies)
        // Both are looked at, so that one error can say all that is missing.
        let first = try side { try expand(then) }
        let second = try side { try expand(other) }
        if case .possible(let a) = first, case .possible(let b) = second,
            zip(a.types, b.types).contains(where: { $0.asTensor?.rank != $1.asTensor?.rank })
        {
            bodies = known
            throw RankDifference(condition: condition, then: then, other: other)
        }
        return try choice(condition, first, second, since: before, name: name)
            ?? then.output.map { _ in .unsupported }
    }

    /// What a run that takes one of two sides gives; nil when something in them is not supported, which has been reported.
    private func choice(
        _ condition: Operand, _ then: Side, _ other: Side, since before: Int, name: String
    ) throws -> [ImportedValue]? {
        switch (then, other) {
        case (.possible(let first), .possible(let second)):
            return try conditional(condition, first, second, since: before, name: name)
        case (.possible(let first), .contradictory): return try always(first, condition, 1)
        case (.contradictory, .possible(let second)): return try always(second, condition, 0)
        case (.contradictory(let error), .contradictory): throw error
        case (.unsupported, _), (_, .unsupported): return nil
        }
    }

    /// The side that is left where the other one contradicts itself, so that no run could have finished there: a run whose
    /// condition chooses the other one fails.
    private func always(_ side: Branch, _ condition: Operand, _ value: Int64) throws -> [ImportedValue] {
        let (name, dims) = (value == 1 ? "condition_must_hold" : "condition_must_not_hold", [Dim.fixed(value)])
        let number = try builder.call("astype", [condition], ["dtype": .dtype(.int64)], name: name)
        let vector = try builder.call("reshape", [.value(number), .shape([1])], name: name)
        let shape = try builder.call("tensor_to_shape", [.value(vector)], name: name)
        _ = builder.bind(.matchCast(.value(shape), .shape(dims)), .shape(dims), name: name)
        builder.inline(side.body)
        return side.values
    }

    private func conditional(
        _ condition: Operand, _ first: Branch, _ second: Branch, since before: Int, name: String
    ) throws -> [ImportedValue] {
        let inside = Set(freshSymbols[before...])
        let types = zip(first.types, second.types).map { common($0, $1, inside: inside) }
        let isOne = types.count == 1
        let id = try builder.conditional(
            condition, then: first.body, else: second.body, isOne ? types[0] : .tuple(types), name: name)
        return try types.enumerated().map { index, type in
            let item: Operand = .value(isOne ? id : try builder.tupleGetItem(.value(id), index, name: name))
            return .operand(.value(builder.bind(.matchCast(item, type), type, name: name)))
        }
    }

    /// Puts the nodes that follow an If into both branches: there every value has a rank.
    func addInBranches(
        _ difference: RankDifference, _ proto: ONNXNodeProto, _ nodes: [ONNXNodeProto], _ rest: ArraySlice<Int>,
        for outputs: [String]
    ) throws {
        let before = freshSymbols.count
        let names = outputs.filter { scope.values[$0] == nil }
        func copy(_ graph: ONNXGraphProto) throws -> Side {
            let around = scope
            defer { scope = around }
            return try side {
                // Copies multiply, so they count as nesting.
                scope.depth += 1
                guard scope.depth <= options.limits.nesting else {
                    throw TenonError.onnxLimit("branches are nested deeper than \(options.limits.nesting)")
                }
                for (name, value) in zip(proto.output, try expand(graph)) where !name.isEmpty {
                    try define(name, value)
                }
                try addNodes(nodes, rest, for: outputs)
                return try names.map { try result($0) }
            }
        }
        let (first, second) = (try copy(difference.then), try copy(difference.other))
        guard !names.isEmpty else { return }
        let values = try choice(
            difference.condition, first, second, since: before, name: hint(names.first ?? ""))
        for (index, name) in names.enumerated() { try define(name, values?[index] ?? .unsupported) }
    }

    /// The bindings of a branch, and what it gives.
    private struct Branch {
        var body: Body
        var values: [ImportedValue]
        var types: [ValueType]
    }

    /// One side of an If.
    private enum Side {
        case possible(Branch)
        /// Its shapes or types rule it out: what an exporter writes for a case that its model never meets.
        case contradictory(TenonError)
        /// It was reported.
        case unsupported
    }

    private func side(_ add: () throws -> [ImportedValue]) throws -> Side {
        let (known, reported) = (bodies, unsupported)
        do {
            return try branch(add).map { .possible($0) } ?? .unsupported
        } catch let error as TenonError where [.invalidShape, .invalidType].contains(error.status) {
            (bodies, unsupported) = (known, reported)
            return .contradictory(error)
        }
    }

    /// What `add` adds, as a branch; nil when something in it is not supported, which has been reported.
    private func branch(_ add: () throws -> [ImportedValue]) throws -> Branch? {
        let level = levels.count
        builder.beginBranch()
        do {
            let values = try add()
            guard let outputs = try operands(values, []) else {
                builder.abandonBranch()
                return nil
            }
            let types = outputs.map { builder.type(of: $0) }
            let body = try builder.endBranch(outputs.count == 1 ? outputs[0] : .tuple(outputs))
            return Branch(body: body, values: values, types: types)
        } catch {
            levels.removeLast(levels.count - level)
            builder.abandonBranch()
            throw error
        }
    }

    /// Values as operands; nil when one was not imported.
    private func operands(_ values: [ImportedValue], _ names: [String]) throws -> [Operand]? {
        var operands: [Operand] = []
        for (index, value) in values.enumerated() {
            switch value {
            case .operand(let operand): operands.append(operand)
            case .host(let host):
                operands.append(try operand(host, name: hint(names.indices.contains(index) ? names[index] : "")))
            case .sequence, .slices: throw TenonError(.unsupported, "a branch or body that gives a sequence")
            case .absent: throw TenonError(.unsupported, "a branch or body that gives an optional")
            case .unsupported: return nil
            }
        }
        return operands
    }

    /// What is the same in both types; a size that differs, or that only a branch knows, gets a symbol.
    private func common(_ a: ValueType, _ b: ValueType, inside: Set<String>) -> ValueType {
        guard case .tensor(let first) = a, case .tensor(let second) = b else { return .object }
        let dtype = first.dtype == second.dtype ? first.dtype : nil
        guard let x = first.shape, let y = second.shape, x.count == y.count else {
            return .tensor(TensorType(dtype: dtype, rank: first.rank == second.rank ? first.rank : nil))
        }
        return .tensor(
            TensorType(
                dtype,
                zip(x, y).map { p, q in
                    p == q && inside.isDisjoint(with: p.symbols) ? p : freshSize("size")
                }))
    }

    // MARK: - Bodies

    /// A graph as a function of the module.
    struct LoopBody {
        var name: String
        /// Values of this function that the body takes after its own parameters.
        var captures: [Operand]
        var results: [TensorType]
    }

    /// Imports `graph` as a function of `parameters` and of what it captures.
    ///
    /// - Parameters:
    ///   - inputs: what the graph's inputs stand for, from the function's parameters.
    ///   - results: the function's results, from the graph's outputs.
    /// - Returns: nil when something in it is not supported, which has been reported.
    func body(
        of graph: ONNXGraphProto, name: String, parameters: [TensorType], inputs: ([Operand]) throws -> [Operand],
        results: ([Operand], [Operand]) throws -> [Operand]
    ) throws -> LoopBody? {
        let inner = Scope(outer: namesAround, versions: scope.versions, depth: scope.depth + 1)
        let level = levels.count
        levels.append(FunctionLevel())
        defer { levels.removeLast(levels.count - level) }
        return try within(inner) {
            try addInitializers(graph)
            let given = parameters.enumerated().map { index, type in
                let given = index < graph.input.count ? hint(graph.input[index].name) : ""
                return Operand.value(
                    builder.parameter(given.isEmpty ? "input\(index)" : given, bindable(.tensor(type))))
            }
            let values = try inputs(given)
            guard values.count == graph.input.count else {
                throw TenonError(
                    .invalidGraph, "the body has \(graph.input.count) inputs, the node gives \(values.count)")
            }
            for (input, value) in zip(graph.input, values) { try define(input.name, .operand(value)) }
            try addNodes(graph.node, for: graph.output.map(\.name))
            guard let outputs = try operands(try graph.output.map { try result($0.name) }, graph.output.map(\.name))
            else { return nil }
            let fields = try results(given, outputs)
            let types = try fields.map { field -> TensorType in
                guard let type = builder.type(of: field).asTensor else {
                    throw TenonError(.invalidType, "an output of the body is no tensor")
                }
                return type
            }
            let function = try builder.finish(.tuple(fields))
            var unique = name
            var number = 1
            while bodies[unique] != nil || unique == "main" {
                unique = "\(name)_\(number)"
                number += 1
            }
            bodies[unique] = function
            return LoopBody(name: unique, captures: levels[levels.count - 1].captures.map(\.outer), results: types)
        }
    }
}
