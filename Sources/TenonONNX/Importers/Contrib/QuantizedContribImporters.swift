import TenonIR

/// Layers of ONNX Runtime whose weights are small integers.
enum QuantizedContribImporters {
    static let table: [String: OperatorImporter] = [
        "com.microsoft.QAttention": OperatorImporter { node in
            try node.requireInputs(5...9)
            return try ContribAttention.attention(node, mask: 5, past: 8, bias: 9) {
                try QuantizedOperatorImporters.product(
                    node, try node.operand(0), scale: try node.operand(3),
                    zero: try QuantizedOperatorImporters.point(node, 6, of: 0), b: 1, scale: 4, zero: 7, bias: 2)
            }
        },
        "com.microsoft.QEmbedLayerNormalization": OperatorImporter(embedding),
        "com.microsoft.DynamicQuantizeLSTM": OperatorImporter(recurrent),
    ]

    /// As EmbedLayerNormalization, with tables of small integers: rows are taken before they become real numbers.
    private static func embedding(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(14...18)
        func real(_ index: Int, _ x: Operand, scale: Int) throws -> Operand {
            guard let dtype = try node.type(index).dtype else { throw node.unsupported("an unknown element type") }
            // Zero points stand in the order of the scales.
            let zero = scale + 5
            return try node.call(
                "dequantize",
                [
                    x, try node.reshape(try node.operand(scale), []),
                    try node.has(zero)
                        ? node.reshape(node.operand(zero), []) : QuantizationImporters.zero(dtype),
                ])
        }
        return try ContribNormalizations.embedding(
            node, positions: nil, outputs: 2,
            row: { table, indices in
                try real(
                    table, try node.call("take", [try node.operand(table), indices], ["axis": 0]), scale: table + 6)
            }, gamma: try real(5, try node.operand(5), scale: 11), beta: try real(6, try node.operand(6), scale: 12))
    }

    /// Weights [directions, inputs, 4 × hidden] are what they stand for. Data and states, which ONNX Runtime rounds to 256 steps at
    /// each step, stay as they are.
    private static func recurrent(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(12...12)
        return try RecurrentImporters.lstm(
            node, weights: (try weights(node, 1, scale: 8, zero: 9), try weights(node, 2, scale: 10, zero: 11)))
    }

    private static func weights(_ node: Node, _ index: Int, scale: Int, zero: Int) throws -> Operand {
        let (shape, scales) = (try node.shape(index), try node.shape(scale))
        guard shape.count == 3, let directions = shape[0].value, (1...2).contains(directions) else {
            throw node.error(
                .invalidShape, "input \(index) expects [directions, inputs, 4 × hidden], found \(try node.type(index))")
        }
        guard scales.first == shape[0], scales.count == 1 || scales.count == 2 && scales[1] == shape[2],
            try node.shape(zero) == scales
        else {
            throw node.error(
                .invalidShape,
                "inputs \(scale) and \(zero) expect one value per direction, or one per direction and column, found \(try node.type(scale)) and \(try node.type(zero))"
            )
        }
        /// One direction, or all where one axis tells their scales.
        func real(_ w: Operand, _ s: Operand, _ z: Operand, axis: Int64) throws -> Operand {
            try node.call("dequantize", [w, s, z], ["axis": .int(axis)])
        }
        let given = [try node.operand(index), try node.operand(scale), try node.operand(zero)]
        let whole: Operand
        if scales.count == 1 {
            whole = try real(given[0], given[1], given[2], axis: 0)
        } else {
            let parts = try given.map { try node.call("split", [$0], ["sections": .int(directions), "axis": 0]) }
            let fields = try [0, 1].prefix(Int(directions)).map { direction in
                try real(
                    try node.item(direction, of: parts[0]),
                    try node.reshape(try node.item(direction, of: parts[1]), [shape[2]]),
                    try node.reshape(try node.item(direction, of: parts[2]), [shape[2]]), axis: 2)
            }
            whole = try node.call("concat", [.tuple(fields)], ["axis": 0])
        }
        return try node.call("permute_dims", [whole], ["axes": .ints([0, 2, 1])])
    }
}
