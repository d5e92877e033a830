import TenonIR

/// Normalisations of ONNX Runtime's own operators, which take a residual, a bias, an embedding with them.
enum ContribNormalizations {
    static let table: [String: OperatorImporter] = [
        "com.microsoft.SkipLayerNormalization": OperatorImporter { node in
            try node.requireInputs(3...5)
            return try skip(node, bias: 4) { x, epsilon in
                let beta = node.has(3) ? try node.operand(3) : try zeros(like: try node.operand(2), node)
                return try node.call(
                    "nn.layer_norm", [x, try node.operand(2), beta], ["axes": .ints([-1]), "epsilon": epsilon])
            }
        },
        "com.microsoft.SkipSimplifiedLayerNormalization": OperatorImporter { node in
            try node.requireInputs(3...4)
            return try skip(node, bias: 3) { x, epsilon in
                try node.call("nn.rms_norm", [x, try node.operand(2)], ["axes": .ints([-1]), "epsilon": epsilon])
            }
        },
        // Written under ONNX's own domain, though it never was an operator of ONNX.
        "SimplifiedLayerNormalization": OperatorImporter(simplified),
        "com.microsoft.SimplifiedLayerNormalization": OperatorImporter(simplified),
        "com.microsoft.EmbedLayerNormalization": OperatorImporter { node in
            try node.requireInputs(7...9)
            return try embedding(
                node, positions: node.has(8) ? try node.operand(8) : nil, outputs: 3,
                row: { table, indices in
                    try node.call("take", [try node.operand(table), indices], ["axis": 0])
                }, gamma: try node.operand(5), beta: try node.operand(6))
        },
        "com.microsoft.GroupNorm": OperatorImporter { node in
            try node.requireInputs(3...3)
            return [.operand(try grouped(node, try node.operand(0)))]
        },
        "com.microsoft.SkipGroupNorm": OperatorImporter { node in
            try node.requireInputs(4...5)
            var x = try node.operand(0)
            var residual = try node.operand(3)
            // [batch, channels] stands for every position.
            if try node.rank(3) == 2 { residual = try node.call("expand_dims", [residual], ["axis": .ints([1, 2])]) }
            x = try node.call("add", [x, residual])
            if node.has(4) { x = try node.call("add", [x, try node.operand(4)]) }
            let sum = x
            return [.operand(try grouped(node, x)), .operand(sum)]
        },
    ]

    /// The number that a layer adds to the variance; ONNX Runtime's own default is much smaller than ONNX's.
    private static func epsilon(_ node: Node, _ fallback: Double = 1e-12) throws -> AttributeValue {
        .float(try node.float("epsilon", Double(Float(fallback))))
    }

    private static func zeros(like operand: Operand, _ node: Node) throws -> Operand {
        try node.call("zeros_like", [operand])
    }

    /// input + skip (+ bias), normalised; the sum is output 3.
    private static func skip(
        _ node: Node, bias: Int, _ normalised: (Operand, AttributeValue) throws -> Operand
    ) throws -> [ImportedValue] {
        let rank = try node.rank(0)
        guard rank == 2 || rank == 3 else {
            throw node.error(.invalidShape, "input expects 2 or 3 dimensions, found \(try node.type(0))")
        }
        try requireVectors(node, [2, bias], of: 0)
        if node.wants(1) || node.wants(2) { throw node.unsupported("outputs of training") }
        let (x, residual) = (try node.operand(0), try node.operand(1))
        // A residual may lack the batch, or have one of 1; it never makes the result larger.
        var sum = try node.call("add", [x, residual])
        if let before = try node.type(of: x).staticShape, let after = try node.type(of: sum).staticShape,
            before != after
        {
            throw node.error(.invalidShape, "skip (\(try node.type(1))) does not broadcast to \(try node.type(0))")
        }
        // What is not known is the input's, and checked by the run.
        let own = try node.type(of: x)
        if try node.type(of: sum).shape != own.shape { sum = try node.sized(sum, own) }
        if node.has(bias) { sum = try node.call("add", [sum, try node.operand(bias)]) }
        let result = try normalised(sum, try epsilon(node))
        return [.operand(result), .unsupported, .unsupported, .operand(sum)]
    }

    /// Inputs of one dimension, as long as the last one of input `data`.
    private static func requireVectors(_ node: Node, _ indices: [Int], of data: Int) throws {
        let size = try node.type(data).shape?.last?.value
        for index in indices where node.has(index) {
            let type = try node.type(index)
            if let rank = type.rank, rank != 1 {
                throw node.error(.invalidShape, "input \(index) expects 1 dimension, found \(type)")
            }
            if let size, let own = type.shape?[0].value, own != size {
                throw node.error(.invalidShape, "input \(index) expects \(size) values, found \(type)")
            }
        }
    }

    private static func simplified(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        node.ignore("stash_type")
        let rank = try node.rank(0)
        let axis = try node.axis(try node.int("axis", -1), rank: rank)
        let axes = AttributeValue.ints((Int64(axis)..<Int64(rank)).map { $0 })
        let (x, epsilon) = (try node.operand(0), try node.float("epsilon", Double(Float(1e-5))))
        let result = try node.call(
            "nn.rms_norm", [x, try node.operand(1)], ["axes": axes, "epsilon": .float(epsilon)])
        guard node.wants(1) else { return [.operand(result)] }
        let squares = try node.call("mean", [try node.call("square", [x])], ["axis": axes, "keepdims": true])
        let shifted = try node.call("add", [squares, try node.scalar(epsilon, like: squares)])
        return [.operand(result), .operand(try node.call("rsqrt", [shifted]))]
    }

    /// The sum of word, position and segment embeddings, normalised; and how many tokens the mask counts per sample.
    ///
    /// - Parameters:
    ///   - positions: of the tokens; nil where they are counted.
    ///   - outputs: how many the operator has; the third is the sum.
    ///   - row: real numbers of rows of the table that is input 2, 3 or 4.
    static func embedding(
        _ node: Node, positions: Operand?, outputs: Int, row: (Int, Operand) throws -> Operand, gamma: Operand,
        beta: Operand
    ) throws -> [ImportedValue] {
        let type = try node.type(0)
        if let rank = type.rank, rank != 2 {
            throw node.error(.invalidShape, "input_ids expects 2 dimensions, found \(type)")
        }
        guard let shape = type.shape else { throw node.unsupported("input_ids of unknown shape") }
        func rows(_ table: Int, _ indices: Operand) throws -> Operand {
            if let rank = try node.type(table).rank, rank != 2 {
                throw node.error(.invalidShape, "input \(table) expects 2 dimensions, found \(try node.type(table))")
            }
            return try row(table, indices)
        }
        var sum = try rows(2, try node.operand(0))
        if let positions {
            sum = try node.call("add", [sum, try rows(3, positions)])
        } else {
            let positions = try node.call("arange", [.shape([0]), .shape([shape[1]]), .shape([1])])
            sum = try node.call("add", [sum, try rows(3, positions)])
        }
        if node.has(1), node.has(4) { sum = try node.call("add", [sum, try rows(4, try node.operand(1))]) }
        let result = try node.call(
            "nn.layer_norm", [sum, gamma, beta], ["axes": .ints([-1]), "epsilon": try epsilon(node)])
        let kind = try node.int("mask_index_type", 0)
        func all(_ lengths: ImportedValue) -> [ImportedValue] {
            Array([.operand(result), lengths, .operand(sum)].prefix(outputs))
        }
        guard node.wants(1) else { return all(.unsupported) }
        guard kind == 0 else { throw node.unsupported("mask_index_type \(kind)") }
        let lengths: Operand
        if node.has(7) {
            lengths = try node.call("sum", [try node.cast(try node.operand(7), .int32)], ["axis": .ints([1])])
        } else {
            lengths = try node.call("zeros", [.shape([shape[0]])], ["dtype": .dtype(.int32)])
        }
        return all(.operand(lengths))
    }

    /// As Stable Diffusion's exporters write it: channels last unless an attribute says otherwise, and x·sigmoid(x) behind it.
    private static func grouped(_ node: Node, _ x: Operand) throws -> Operand {
        let groups = try node.int("groups", 0)
        guard groups > 0 else { throw node.error(.invalidArgument, "groups expects a number above 0, found \(groups)") }
        guard try node.rank(0) == 4 else {
            throw node.error(.invalidShape, "X expects 4 dimensions, found \(try node.type(0))")
        }
        let isLast = try node.bool("channels_last", true)
        var x = x
        if isLast { x = try node.call("permute_dims", [x], ["axes": .ints([0, 3, 1, 2])]) }
        x = try node.call(
            "nn.group_norm", [x, try node.operand(1), try node.operand(2)],
            ["num_groups": .int(groups), "axes": .ints([2, 3]), "epsilon": try epsilon(node, 1e-5)])
        switch try node.int("activation", 0) {
        case 0: break
        case 1: x = try node.call("nn.silu", [x])
        case let other: throw node.error(.invalidArgument, "activation expects 0 or 1, found \(other)")
        }
        return isLast ? try node.call("permute_dims", [x], ["axes": .ints([0, 2, 3, 1])]) : x
    }
}
