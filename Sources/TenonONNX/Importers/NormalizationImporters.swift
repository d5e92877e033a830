import TenonIR

/// Normalisation and softmax.
enum NormalizationImporters {
    static let table: [String: OperatorImporter] = [
        "BatchNormalization": OperatorImporter(since: 7, batchNormalization),
        "Softmax": OperatorImporter { node in try softmax(node, "nn.softmax") },
        "LogSoftmax": OperatorImporter { node in try softmax(node, "nn.log_softmax") },
    ]

    private static func batchNormalization(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(5...5)
        node.ignore("momentum")
        guard try node.int("training_mode", 0) == 0 else { throw node.unsupported("training_mode 1") }
        guard try node.int("spatial", 1) == 1 else { throw node.unsupported("spatial 0") }
        guard !(1..<5).contains(where: node.wants) else { throw node.unsupported("outputs of training") }
        let all = try node.call(
            "nn.batch_norm", try (0..<5).map { try node.operand($0) },
            ["axis": 1, "epsilon": .float(try node.float("epsilon", Double(Float(1e-5))))])
        return [.operand(try node.item(0, of: all))]
    }

    /// Along one axis since opset 13; before, over all dimensions from `axis` on taken as one.
    private static func softmax(_ node: Node, _ op: String) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        let rank = try node.rank(0)
        if node.opset >= 13 {
            // A scalar has one value whichever axis is meant.
            let axis = try node.int("axis", -1)
            return try node.result(op, [x], ["axis": .int(rank == 0 ? axis : Int64(try node.axis(axis, rank: rank)))])
        }
        let axis = try node.axis(try node.int("axis", 1), rank: rank)
        let shape = try node.type(0).shape
        if axis == rank - 1 || shape?.dropFirst(axis + 1).allSatisfy({ $0.value == 1 }) == true {
            return try node.result(op, [x], ["axis": .int(Int64(axis))])
        }
        guard let shape, let rows = ReshapingFolding.product(Array(shape[..<axis])),
            let columns = ReshapingFolding.product(Array(shape[axis...]))
        else { throw node.unsupported("axis \(axis) of an input whose shape is not known") }
        let flat = try node.call("reshape", [x, .shape([rows, columns])])
        return try node.result("reshape", [try node.call(op, [flat], ["axis": 1]), .shape(shape)])
    }
}
