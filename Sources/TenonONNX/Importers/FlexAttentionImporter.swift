import TenonIR

/// Attention whose scores and probabilities pass through graphs of the node.
enum FlexAttentionImporter {
    static let table: [String: OperatorImporter] = ["ai.onnx.preview.FlexAttention": OperatorImporter(attention)]

    private static func attention(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...3)
        let (query, key, value) = (try node.operand(0), try node.operand(1), try node.operand(2))
        let (shape, keyShape) = (try AttentionImporter.dims(node, query), try AttentionImporter.dims(node, key))
        let own = try node.type(0).dtype ?? .float32
        let precision = try node.dtype("softmax_precision") ?? (own == .float64 ? .float64 : .float32)
        let (keys, values) = try AttentionImporter.shared(node, key, value, heads: shape[1], keyShape[1])
        var scores = try AttentionImporter.scores(node, query, keys, size: shape[3])
        scores = try node.cast(scores, precision)
        scores = try modified(node, scores, by: "score_mod")
        var probabilities = try node.call("nn.softmax", [scores], ["axis": -1])
        probabilities = try modified(node, probabilities, by: "prob_mod")
        let result = try node.call("matmul", [probabilities, try node.cast(values, precision)])
        return [.operand(try node.cast(result, own))]
    }

    /// What the graph under an attribute makes of `x`; `x` itself without one.
    private static func modified(_ node: Node, _ x: Operand, by name: String) throws -> Operand {
        guard let graph = try node.attribute(name, .graph)?.g else { return x }
        let outputs = try node.graph.expand(graph, inputs: [.operand(x)])
        guard outputs.count == 1, case .operand(let result) = outputs[0] else {
            throw node.unsupported("what \(name) gives")
        }
        return try node.cast(result, try node.type(of: x).dtype ?? .float32)
    }
}
