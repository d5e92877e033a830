import TenonIR

/// Branches and repetition. An If whose condition is known while importing leaves only the branch that runs.
enum ControlFlowImporters {
    static let table: [String: OperatorImporter] = [
        "If": OperatorImporter(branch),
        "Loop": OperatorImporter(loop),
        "Scan": OperatorImporter(since: 9, scan),
    ]

    private static func branch(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let branches = (try node.attribute("then_branch", .graph), try node.attribute("else_branch", .graph))
        guard let condition = try node.constant(0) else {
            guard let then = branches.0, let other = branches.1 else {
                throw node.error(.invalidArgument, "attribute 'then_branch' or 'else_branch' is missing")
            }
            return try node.graph.conditional(
                try flag(node, try node.operand(0)), then.g, other.g,
                name: node.graph.hint(node.proto.output.first ?? ""))
        }
        guard condition.count == 1, let value = condition.double(at: 0) else {
            throw node.error(.invalidShape, "the condition expects one value, found \(condition.type)")
        }
        guard let branch = value != 0 ? branches.0 : branches.1 else {
            throw node.error(.invalidArgument, "attribute '\(value != 0 ? "then" : "else")_branch' is missing")
        }
        return try node.graph.expand(branch.g)
    }

    /// One truth value without dimensions.
    private static func flag(_ node: Node, _ operand: Operand) throws -> Operand {
        guard try node.type(of: operand).dtype ?? .bool == .bool else {
            throw node.error(.invalidType, "a condition expects bool, found \(try node.type(of: operand))")
        }
        return try node.reshape(operand, [])
    }

    /// One int64 without dimensions.
    private static func number(_ node: Node, _ operand: Operand) throws -> Operand {
        try node.reshape(try node.cast(operand, .int64), [])
    }

    private static func bodyGraph(_ node: Node) throws -> ONNXGraphProto {
        guard let graph = try node.attribute("body", .graph)?.g else {
            throw node.error(.invalidArgument, "attribute 'body' is missing")
        }
        return graph
    }

    // MARK: - Loop

    private static func loop(_ node: Node) throws -> [ImportedValue] {
        guard node.inputCount >= 2 else { throw node.error(.invalidGraph, "expected at least 2 inputs") }
        let graph = try bodyGraph(node)
        let trips = node.has(0) ? try number(node, try node.operand(0)) : .constant(try Constant.ints([], [.max]))
        let condition = node.has(1) ? try flag(node, try node.operand(1)) : .constant(try Constant.filled(.bool, [], 1))
        let state = try (2..<max(node.inputCount, 2)).map { try node.operand($0) }
        guard graph.output.count > state.count else {
            throw node.error(.invalidGraph, "the body has \(graph.output.count) outputs for \(state.count) states")
        }
        let loop = try repeated(node, state) { types in
            try node.graph.body(
                of: graph, name: "loop_body", parameters: [TensorType(.int64, []), TensorType(.bool, [])] + types,
                inputs: { $0 }, results: { _, outputs in [try flag(node, outputs[0])] + outputs.dropFirst() })
        }
        guard let loop else { return node.proto.output.map { _ in .unsupported } }
        return try loop.call(node, trips: trips, condition: condition, state: state)
    }

    /// A body, and the types that its state keeps from one iteration to the next.
    private struct Loop {
        var body: GraphImport.LoopBody
        var state: [TensorType]

        /// The last state and the stacked scan values. Sizes that every iteration leaves as they are stay known.
        func call(
            _ node: Node, trips: Operand, condition: Operand, state given: [Operand], count: Dim? = nil
        ) throws -> [ImportedValue] {
            let scans = body.results.dropFirst(1 + state.count)
            let length = count ?? node.freshSize("trips")
            var types: [TensorType] = []
            for (kept, operand) in zip(state, given) {
                let before = try node.type(of: operand)
                types.append(kept.shape == before.shape ? before : outside(node, kept))
            }
            for scan in scans {
                var type = outside(node, scan)
                if let shape = type.shape { type = TensorType(type.dtype, [length] + shape) }
                types.append(type)
            }
            let call = Call(
                .op(try Operators.require("loop")),
                [.global(body.name), trips, condition, .tuple(given), .tuple(body.captures)])
            let unsized = types.map { ValueType.tensor(TensorType(dtype: $0.dtype, rank: $0.rank)) }
            let name = node.graph.hint(node.proto.output.first ?? "")
            let all = node.graph.builder.bind(.call(call), .tuple(unsized), name: name)
            return try types.enumerated().map { index, type in
                let item = try node.item(index, of: .value(all))
                return .operand(try node.sized(item, type))
            }
        }

        /// A type of the body where its symbols mean nothing.
        private func outside(_ node: Node, _ type: TensorType) -> TensorType {
            guard let shape = type.shape else { return TensorType(dtype: type.dtype, rank: nil) }
            return TensorType(type.dtype, shape.map { $0.isFixed ? $0 : node.freshSize("size") })
        }
    }

    /// Imports a body for states of the given types; those that an iteration changes are taken as unknown, and the body is
    /// imported again.
    private static func repeated(
        _ node: Node, _ state: [Operand], _ importBody: ([TensorType]) throws -> GraphImport.LoopBody?
    ) throws -> Loop? {
        var types = try state.map { try node.type(of: $0) }
        // Sizes that are taken as unknown may be anything after an iteration.
        var unknown: Set<Dim> = []
        func merged(_ before: Dim, _ after: Dim) -> Dim {
            if before == after || unknown.contains(before) { return before }
            let size = node.freshSize("size")
            unknown.insert(size)
            return size
        }
        // Sizes, then ranks can turn out to change.
        for _ in 0..<4 {
            let (bodies, isClean) = (node.graph.bodies, node.graph.unsupported.isEmpty)
            guard let body = try importBody(types) else { return nil }
            var next = types
            for (index, (before, after)) in zip(types, body.results.dropFirst()).enumerated() {
                if let a = before.dtype, let b = after.dtype, a != b {
                    throw node.error(.invalidType, "state \(index) is \(before) before an iteration and \(after) after")
                }
                guard let x = before.shape else { continue }
                guard let y = after.shape, x.count == y.count else {
                    next[index] = TensorType(dtype: before.dtype, rank: nil)
                    continue
                }
                next[index] = TensorType(before.dtype, zip(x, y).map(merged))
            }
            let isStable = zip(types, next).allSatisfy { $0 == $1 }
            // What is not supported is not looked at again, so that it is reported once.
            if isStable || !(isClean && node.graph.unsupported.isEmpty) { return Loop(body: body, state: types) }
            node.graph.bodies = bodies
            types = next
        }
        throw node.unsupported("state whose type changes in each iteration")
    }

    // MARK: - Scan

    /// As a loop over positions: each iteration takes its slices out of the inputs.
    private static func scan(_ node: Node) throws -> [ImportedValue] {
        let graph = try bodyGraph(node)
        guard let given = try node.int("num_scan_inputs"), let count = Int(exactly: given), count >= 1,
            count <= node.inputCount
        else { throw node.error(.invalidArgument, "num_scan_inputs expects 1 to \(node.inputCount)") }
        let states = node.inputCount - count
        let outputs = graph.output.count - states
        guard outputs >= 0 else {
            throw node.error(.invalidGraph, "the body has \(graph.output.count) outputs for \(states) states")
        }
        func list(_ name: String, _ count: Int) throws -> [Int64] {
            let values = try node.ints(name) ?? [Int64](repeating: 0, count: count)
            guard values.count == count else {
                throw node.error(.invalidArgument, "\(name) expects \(count) numbers, found \(values.count)")
            }
            return values
        }
        let (axes, directions) = (
            try list("scan_input_axes", count), try list("scan_input_directions", count)
        )
        let (outputAxes, outputDirections) = (
            try list("scan_output_axes", outputs), try list("scan_output_directions", outputs)
        )
        var sequences: [(operand: Operand, axis: Int)] = []
        for index in 0..<count {
            let axis = try node.axis(axes[index], rank: try node.rank(states + index), what: "scan_input_axes")
            var x = try node.operand(states + index)
            if directions[index] != 0 { x = try node.call("flip", [x], ["axis": .int(Int64(axis))]) }
            sequences.append((x, axis))
        }
        let length = try node.shape(states)[sequences[0].axis]
        let state = try (0..<states).map { try node.operand($0) }
        let holds = Operand.constant(try Constant.filled(.bool, [], 1))
        let level = node.graph.levels.count - 1
        let loop = try repeated(node, state) { types in
            try node.graph.body(
                of: graph, name: "scan_body", parameters: [TensorType(.int64, []), TensorType(.bool, [])] + types,
                inputs: { given in
                    let slices = try sequences.map { sequence, axis in
                        guard case .operand(let inner) = node.graph.captured(.operand(sequence), from: level) else {
                            throw node.unsupported("a scan input")
                        }
                        return try node.call("take", [inner, given[0]], ["axis": .int(Int64(axis))])
                    }
                    return Array(given.dropFirst(2)) + slices
                }, results: { _, outputs in [holds] + outputs })
        }
        guard let loop else { return node.proto.output.map { _ in .unsupported } }
        let trips = try number(node, try node.reshape(try node.sizes(of: [length]), []))
        let values = try loop.call(node, trips: trips, condition: holds, state: state, count: length)
        return try values.enumerated().map { index, value in
            guard index >= states, case .operand(var y) = value else { return value }
            if outputDirections[index - states] != 0 { y = try node.call("flip", [y], ["axis": 0]) }
            let rank = try node.type(of: y).rank
            if outputAxes[index - states] != 0, let rank {
                let axis = try node.axis(outputAxes[index - states], rank: rank, what: "scan_output_axes")
                var order = (1..<Int64(max(rank, 1))).map { $0 }
                order.insert(0, at: axis)
                y = try node.call("permute_dims", [y], ["axes": .ints(order)])
            }
            return .operand(y)
        }
    }
}
