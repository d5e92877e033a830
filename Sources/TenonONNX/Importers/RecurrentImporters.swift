import TenonIR

/// LSTM, GRU and RNN. Biases and states that a node leaves out become zeros.
enum RecurrentImporters {
    static let table: [String: OperatorImporter] = [
        "LSTM": OperatorImporter(since: 7) { node in
            try node.requireInputs(3...8)
            return try lstm(node, weights: (try node.operand(1), try node.operand(2)))
        },
        "GRU": OperatorImporter(since: 7) { node in
            try node.requireInputs(3...6)
            let weights = (try node.operand(1), try node.operand(2))
            return try layer(node, "nn.gru", weights, gates: 3, functions: 2, states: 1) { attributes in
                attributes["linear_before_reset"] = .bool(try node.bool("linear_before_reset", false))
            }
        },
        "RNN": OperatorImporter(since: 7) { node in
            try node.requireInputs(3...6)
            let weights = (try node.operand(1), try node.operand(2))
            return try layer(node, "nn.rnn", weights, gates: 1, functions: 1, states: 1) { _ in }
        },
    ]

    /// With weights [directions, 4 × hidden, inputs] and [directions, 4 × hidden, hidden].
    static func lstm(_ node: Node, weights: (Operand, Operand)) throws -> [ImportedValue] {
        try layer(node, "nn.lstm", weights, gates: 4, functions: 3, states: 2) { attributes in
            attributes["input_forget"] = .bool(try node.bool("input_forget", false))
        }
    }

    private static func layer(
        _ node: Node, _ op: String, _ weights: (Operand, Operand), gates: Int64, functions: Int, states: Int,
        extra: (inout Attributes) throws -> Void
    ) throws -> [ImportedValue] {
        node.ignore("output_sequence")
        guard let recurrence = try node.type(of: weights.1).shape else {
            throw node.unsupported("an R whose shape is not known")
        }
        guard recurrence.count == 3, let hidden = recurrence[2].value, let directions = recurrence[0].value,
            (1...2).contains(directions), hidden > 0, hidden <= Int64(Int32.max)
        else {
            throw node.error(.invalidShape, "R expects [directions, \(gates) × hidden, hidden], found \(recurrence)")
        }
        if let declared = try node.int("hidden_size"), declared != hidden {
            throw node.error(.invalidArgument, "hidden_size is \(declared), R has \(hidden)")
        }
        let direction = try node.string("direction", "forward")
        guard ["forward", "reverse", "bidirectional"].contains(direction),
            (direction == "bidirectional") == (directions == 2)
        else { throw node.error(.invalidArgument, "direction \(quoted(direction)) with \(directions) directions") }
        if let rank = try node.type(0).rank, rank != 3 {
            throw node.error(.invalidShape, "X expects 3 dimensions, found \(try node.type(0))")
        }
        let batchFirst = try node.int("layout", 0) == 1
        var x = try node.operand(0)
        if batchFirst { x = try node.call("permute_dims", [x], ["axes": .ints([1, 0, 2])]) }
        guard let shape = try node.type(of: x).shape, shape.count == 3 else {
            throw node.unsupported("an input whose shape is not known: \(try node.type(0))")
        }
        let dtype = try node.type(of: x).dtype ?? .float32
        func zeros(_ dims: [Dim]) throws -> Operand {
            if let fixed = TensorType(dtype, dims).staticShape, let count = checkedElementCount(fixed), count <= 1 << 20
            {
                return .constant(try Constant.filled(dtype, fixed, 0))
            }
            return try node.call("zeros", [.shape(dims)], ["dtype": .dtype(dtype)])
        }
        func given(_ index: Int, _ dims: [Dim], isState: Bool) throws -> Operand {
            guard node.has(index) else { return try zeros(dims) }
            let operand = try node.operand(index)
            return isState && batchFirst
                ? try node.call("permute_dims", [operand], ["axes": .ints([1, 0, 2])]) : operand
        }
        let state: [Dim] = [.fixed(directions), shape[1], .fixed(hidden)]
        var arguments = [x, weights.0, weights.1]
        arguments.append(try given(3, [.fixed(directions), .fixed(2 * gates * hidden)], isState: false))
        for index in 0..<states { arguments.append(try given(5 + index, state, isState: true)) }
        if gates == 4 { arguments.append(try given(7, [.fixed(directions), .fixed(3 * hidden)], isState: false)) }
        var attributes: Attributes = ["direction": .string(direction)]
        try addActivations(node, functions: functions, directions: Int(directions), to: &attributes)
        if let lengths = try lengths(node, steps: shape[0]) { arguments.append(lengths) }
        if let clip = try node.optionalFloat("clip") { attributes["clip"] = .float(clip) }
        try extra(&attributes)
        let all = try node.call(op, arguments, attributes)
        return try results(node, all, states: states, batchFirst: batchFirst)
    }

    /// How many steps each sample has; nil where all have all of them.
    private static func lengths(_ node: Node, steps: Dim) throws -> Operand? {
        guard node.has(4) else { return nil }
        if let lengths = try node.host(4)?.dims, lengths.allSatisfy({ $0 == steps }) { return nil }
        if let rank = try node.type(4).rank, rank != 1 {
            throw node.error(.invalidShape, "sequence_lens expects 1 dimension, found \(try node.type(4))")
        }
        return try node.operand(4)
    }

    /// Numbers of functions that have some, as ONNX gives them where a node does not.
    private static let parameters: [String: (alpha: Double?, beta: Double?)] = [
        "affine": (1, 0), "leakyrelu": (Double(Float(0.01)), nil), "thresholdedrelu": (1, nil), "scaledtanh": (1, 1),
        "hardsigmoid": (Double(Float(0.2)), 0.5), "elu": (1, nil),
    ]

    private static func addActivations(
        _ node: Node, functions: Int, directions: Int, to attributes: inout Attributes
    ) throws {
        let usual = Array((functions == 1 ? ["tanh"] : ["sigmoid", "tanh", "tanh"]).prefix(functions))
        var (alphas, betas) = (try node.floats("activation_alpha") ?? [], try node.floats("activation_beta") ?? [])
        guard let attribute = try node.attribute("activations", .strings), !attribute.strings.isEmpty else {
            attributes["activations"] = .strings(usual)
            return
        }
        let names = attribute.strings.map { String(decoding: $0, as: UTF8.self).lowercased() }
        guard names.count == functions * directions else {
            throw node.error(.invalidArgument, "expected \(functions * directions) activations, found \(names.count)")
        }
        let known = ["sigmoid", "tanh", "relu", "softsign", "softplus"] + parameters.keys
        if let other = names.first(where: { !known.contains($0) }) {
            throw node.unsupported("activation \(quoted(other))")
        }
        attributes["activations"] = .strings(names)
        if names.allSatisfy({ parameters[$0] == nil }) { return }
        // The node lists numbers only for those that have some.
        func taken(_ fallback: Double?, _ values: inout [Double]) -> Double {
            guard let fallback else { return 0 }
            return values.isEmpty ? fallback : values.removeFirst()
        }
        attributes["activation_alpha"] = .floats(names.map { taken(parameters[$0]?.alpha, &alphas) })
        attributes["activation_beta"] = .floats(names.map { taken(parameters[$0]?.beta, &betas) })
    }

    private static func results(
        _ node: Node, _ all: Operand, states: Int, batchFirst: Bool
    ) throws -> [ImportedValue] {
        var results: [ImportedValue] = []
        for index in 0...states {
            guard node.wants(index) else {
                results.append(.unsupported)
                continue
            }
            var item = try node.item(index, of: all)
            if batchFirst {
                item = try node.call(
                    "permute_dims", [item], ["axes": .ints(index == 0 ? [2, 0, 1, 3] : [1, 0, 2])])
            }
            results.append(.operand(item))
        }
        return results
    }
}
