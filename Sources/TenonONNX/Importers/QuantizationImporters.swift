import TenonIR

/// Quantised operators: `dequantize`, the operator on real numbers, `quantize`. A backend computes the three in integers.
enum QuantizationImporters {
    static let table: [String: OperatorImporter] = [
        "QuantizeLinear": OperatorImporter(since: 10, quantizeLinear),
        "DequantizeLinear": OperatorImporter(since: 10, dequantizeLinear),
        "com.microsoft.QuantizeLinear": OperatorImporter(quantizeLinear),
        "com.microsoft.DequantizeLinear": OperatorImporter(dequantizeLinear),
        "DynamicQuantizeLinear": OperatorImporter(since: 11) { node in
            let x = try ArithmeticImporters.single(node)
            let all = try node.call("dynamic_quantize", [x])
            return try (0..<3).map { .operand(try node.item($0, of: all)) }
        },
        "MatMulInteger": OperatorImporter(since: 10) { node in
            try node.requireInputs(2...4)
            var operands = [try node.operand(0), try node.operand(1)]
            if node.has(2) || node.has(3) {
                operands.append(try node.has(2) ? node.operand(2) : zero(try node.type(0).dtype ?? .uint8))
            }
            if node.has(3) { operands.append(try node.operand(3)) }
            return try node.result("matmul_integer", operands)
        },
        "QLinearMatMul": OperatorImporter(since: 10, quantizedMatMul),
    ]

    /// A zero point of zero.
    static func zero(_ dtype: DataType) throws -> Operand { .constant(try Constant.scalar(dtype, 0)) }

    static func converted(_ node: Node, _ operand: Operand, _ dtype: DataType) throws -> Operand {
        if try node.type(of: operand).dtype == dtype { return operand }
        return try node.call("astype", [operand], ["dtype": .dtype(dtype)])
    }

    /// The axis and the block that the parameters in input `scale` speak of.
    private static func place(_ node: Node, scale: Int) throws -> Attributes {
        let axis = try node.int("axis", 1)
        let block = try node.int("block_size", 0)
        guard block >= 0 else { throw node.error(.invalidArgument, "block_size is \(block)") }
        let isOne = try node.type(scale).shape.map { $0.count <= 1 && $0.allSatisfy { $0.value == 1 } } ?? false
        if isOne { return Attributes() }
        return ["axis": .int(axis), "block": .int(block)]
    }

    /// An element type that an attribute gives; 0 is none.
    private static func given(_ node: Node, _ name: String) throws -> DataType? {
        try node.int(name, 0) == 0 ? nil : node.dtype(name)
    }

    private static func quantizeLinear(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        let given = try given(node, "output_dtype")
        let dtype = try node.has(2) ? node.type(2).dtype : given ?? .uint8
        guard let dtype else { throw node.unsupported("an unknown element type") }
        if let given, given != dtype {
            throw node.error(.invalidType, "output_dtype is \(given.name), the zero point has \(dtype.name)")
        }
        guard let scale = try node.type(1).dtype else { throw node.unsupported("an unknown element type") }
        // Since operator set 23 a scale can be an integer, which is divided by as a real number that holds it.
        let isInteger = scale == .int32 && node.opset >= 23
        let real: DataType = isInteger ? .float64 : scale.isFloatingPoint ? scale : .float32
        var x = try node.operand(0)
        if let type = try node.type(0).dtype, !type.isFloatingPoint { x = try converted(node, x, real) }
        var attributes = try place(node, scale: 1)
        attributes["out_dtype"] = .dtype(dtype)
        if try !node.bool("saturate", true), dtype.isStorageOnly { attributes["saturate"] = .bool(false) }
        // Since operator set 23 the scale's type says how the quotient is rounded; before, nothing did.
        let narrow = node.opset >= 23 && node.proto.domain.isEmpty && scale.isFloatingPoint && scale != .float32
        if let precision = try Self.given(node, "precision") ?? (narrow ? scale : nil) {
            attributes["precision"] = .dtype(precision)
        }
        let factor = try isInteger ? converted(node, node.operand(1), real) : node.operand(1)
        return try node.result(
            "quantize", [x, factor, try node.has(2) ? node.operand(2) : zero(dtype)], attributes)
    }

    private static func dequantizeLinear(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        guard let dtype = try node.type(0).dtype else { throw node.unsupported("an unknown element type") }
        var attributes = try place(node, scale: 1)
        attributes["out_dtype"] = .dtype(try given(node, "output_dtype") ?? node.type(1).dtype ?? .float32)
        return try node.result(
            "dequantize",
            [try node.operand(0), try node.operand(1), try node.has(2) ? node.operand(2) : zero(dtype)], attributes)
    }

    /// The real numbers that an input stands for; scales per index of `axis`, where there are several.
    static func real(
        _ node: Node, _ index: Int, scale: Int, zeroPoint: Int, axis: Int64 = 1
    ) throws -> Operand {
        guard let dtype = try node.type(index).dtype else { throw node.unsupported("an unknown element type") }
        return try node.call(
            "dequantize",
            [
                try node.operand(index), try node.operand(scale),
                try node.has(zeroPoint) ? node.operand(zeroPoint) : zero(dtype),
            ], ["axis": .int(axis), "out_dtype": .dtype(try node.type(scale).dtype ?? .float32)])
    }

    /// `x` in the scale and with the zero point of two inputs.
    static func quantized(_ node: Node, _ x: Operand, scale: Int, zeroPoint: Int, _ dtype: DataType?) throws -> Operand
    {
        let given = try node.has(zeroPoint) ? node.type(zeroPoint).dtype : dtype
        guard let type = given else { throw node.unsupported("an unknown element type") }
        return try node.call(
            "quantize",
            [x, try node.operand(scale), try node.has(zeroPoint) ? node.operand(zeroPoint) : zero(type)],
            ["out_dtype": .dtype(type)])
    }

    private static func quantizedMatMul(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(8...8)
        let a = try real(node, 0, scale: 1, zeroPoint: 2, axis: -2 + (try node.rank(0) == 1 ? 1 : 0))
        let b = try real(node, 3, scale: 4, zeroPoint: 5, axis: -1)
        let product = try node.call("matmul", [a, b])
        return [.operand(try quantized(node, product, scale: 6, zeroPoint: 7, nil))]
    }
}
