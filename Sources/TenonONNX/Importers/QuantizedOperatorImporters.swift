import TenonIR

/// ONNX Runtime's operators on quantised tensors: each is one of ONNX's between `dequantize` and `quantize`.
enum QuantizedOperatorImporters {
    static let table: [String: OperatorImporter] = [
        "com.microsoft.QLinearAdd": binary("add"),
        "com.microsoft.QLinearMul": binary("multiply"),
        "com.microsoft.QLinearConcat": OperatorImporter(concat),
        "com.microsoft.QLinearSigmoid": unary { node, x in try node.call("sigmoid", [x]) },
        "com.microsoft.QLinearLeakyRelu": unary { node, x in
            try node.call("nn.leakyrelu", [x], ["alpha": .float(try node.float("alpha", 0.01))])
        },
        "com.microsoft.QLinearSoftmax": unary(softmax),
        "com.microsoft.QLinearAveragePool": unary { node, x in
            try inside(node, x) { x, _ in
                try PoolingImporters.pool(
                    node, "avg", ["count_include_pad": .bool(try node.bool("count_include_pad", false))], of: x)
            }
        },
        "com.microsoft.QLinearGlobalAveragePool": unary { node, x in
            try inside(node, x) { x, shape in
                guard let rank = shape?.count, rank > 2 else {
                    throw node.error(.invalidShape, "input expects 3 dimensions at least")
                }
                return try node.call("mean", [x], ["axis": .ints((2..<Int64(rank)).map { $0 }), "keepdims": true])
            }
        },
        "com.microsoft.QGemm": OperatorImporter(gemm),
        "com.microsoft.MatMulIntegerToFloat": OperatorImporter { node in
            try node.requireInputs(4...7)
            return [
                .operand(
                    try product(
                        node, try node.operand(0), scale: try node.operand(2), zero: try point(node, 4, of: 0),
                        b: 1, scale: 3, zero: 5, bias: 6))
            ]
        },
        "com.microsoft.DynamicQuantizeMatMul": OperatorImporter { node in
            try node.requireInputs(3...5)
            let (q, scale, zero) = try dynamic(node, try node.operand(0))
            return [.operand(try product(node, q, scale: scale, zero: zero, b: 1, scale: 2, zero: 3, bias: 4))]
        },
    ]

    private static func unary(_ function: @escaping @Sendable (Node, Operand) throws -> Operand) -> OperatorImporter {
        OperatorImporter { node in
            try node.requireInputs(4...5)
            let x = try QuantizationImporters.real(node, 0, scale: 1, zeroPoint: 2)
            let y = try function(node, x)
            return [
                .operand(
                    try QuantizationImporters.quantized(node, y, scale: 3, zeroPoint: 4, try node.type(0).dtype))
            ]
        }
    }

    private static func binary(_ op: String) -> OperatorImporter {
        OperatorImporter { node in
            try node.requireInputs(7...8)
            let a = try QuantizationImporters.real(node, 0, scale: 1, zeroPoint: 2)
            let b = try QuantizationImporters.real(node, 3, scale: 4, zeroPoint: 5)
            let c = try node.call(op, [a, b])
            return [
                .operand(
                    try QuantizationImporters.quantized(node, c, scale: 6, zeroPoint: 7, try node.type(0).dtype))
            ]
        }
    }

    private static func concat(_ node: Node) throws -> [ImportedValue] {
        let count = node.inputCount
        guard count >= 5, (count - 2) % 3 == 0 else {
            throw node.error(.invalidArgument, "expects a scale, a zero point and triples, found \(count) inputs")
        }
        guard let axis = try node.int("axis") else { throw node.error(.invalidArgument, "attribute 'axis' is missing") }
        let fields = try stride(from: 2, to: count, by: 3).map {
            try QuantizationImporters.real(node, $0, scale: $0 + 1, zeroPoint: $0 + 2)
        }
        let whole = try node.call("concat", [.tuple(fields)], ["axis": .int(axis)])
        return [
            .operand(try QuantizationImporters.quantized(node, whole, scale: 0, zeroPoint: 1, try node.type(2).dtype))
        ]
    }

    /// Before opset 13 softmax runs over all dimensions from `axis` on.
    private static func softmax(_ node: Node, _ x: Operand) throws -> Operand {
        let opset = try node.int("opset", 13)
        let axis = try node.int("axis", opset < 13 ? 1 : -1)
        let rank = try node.rank(0)
        let place = try node.axis(axis, rank: rank)
        if opset >= 13 || place == rank - 1 { return try node.call("nn.softmax", [x], ["axis": .int(Int64(place))]) }
        let shape = try node.shape(0)
        guard
            let inner = shape[place...].reduce(
                1 as Dim?, { product, dim in product.flatMap { Dim.multiplying($0, dim) } })
        else {
            throw node.error(.invalidShape, "its size overflows")
        }
        let flat = try node.reshape(x, Array(shape[..<place]) + [inner])
        return try node.reshape(try node.call("nn.softmax", [flat], ["axis": -1]), shape)
    }

    /// With `channels_last` the operator runs on a permuted tensor.
    private static func inside(
        _ node: Node, _ x: Operand, _ body: (Operand, [Dim]?) throws -> Operand
    ) throws -> Operand {
        let shape = try node.type(0).shape
        guard try node.int("channels_last", 0) == 1 else { return try body(x, shape) }
        let rank = Int64(try node.rank(0))
        guard rank > 2 else { throw node.error(.invalidShape, "input expects 3 dimensions at least, found \(rank)") }
        let moved = try node.call("permute_dims", [x], ["axes": .ints([0, rank - 1] + (1..<rank - 1).map { $0 })])
        let y = try body(moved, shape.map { [$0[0], $0[$0.count - 1]] + $0.dropFirst().dropLast() })
        return try node.call("permute_dims", [y], ["axes": .ints([0] + (2..<rank).map { $0 } + [1])])
    }

    private static func gemm(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(6...9)
        var a = try QuantizationImporters.real(node, 0, scale: 1, zeroPoint: 2)
        // Scales per column of B as it multiplies.
        let isTransposed = try node.int("transB", 0) != 0
        var b = try QuantizationImporters.real(node, 3, scale: 4, zeroPoint: 5, axis: isTransposed ? 0 : 1)
        if try node.int("transA", 0) != 0 { a = try node.call("permute_dims", [a], ["axes": .ints([1, 0])]) }
        if isTransposed { b = try node.call("permute_dims", [b], ["axes": .ints([1, 0])]) }
        var y = try node.call("matmul", [a, b])
        let alpha = try node.float("alpha", 1)
        if node.has(6) {
            // The bias is in a_scale · b_scale, and alpha multiplies both.
            let scales = try node.call("multiply", [try node.reshape(try node.operand(1), []), try node.operand(4)])
            let bias = try node.call(
                "dequantize", [try node.operand(6), scales, try QuantizationImporters.zero(.int32)], ["axis": -1])
            y = try node.call("add", [y, bias])
        }
        if alpha != 1 { y = try node.call("multiply", [y, try node.scalar(alpha, like: y)]) }
        guard node.has(7) else { return [.operand(y)] }
        return [.operand(try QuantizationImporters.quantized(node, y, scale: 7, zeroPoint: 8, try node.type(0).dtype))]
    }

    // MARK: - Products that are quantised as they run

    static func dynamic(_ node: Node, _ x: Operand) throws -> (q: Operand, scale: Operand, zero: Operand) {
        let all = try node.call("dynamic_quantize", [x])
        return (try node.item(0, of: all), try node.item(1, of: all), try node.item(2, of: all))
    }

    static func point(_ node: Node, _ index: Int, of tensor: Int) throws -> Operand {
        guard !node.has(index) else { return try node.operand(index) }
        guard let dtype = try node.type(tensor).dtype else { throw node.unsupported("an unknown element type") }
        return try QuantizationImporters.zero(dtype)
    }

    static func product(
        _ node: Node, _ q: Operand, scale: Operand, zero: Operand, b: Int, scale bScale: Int, zero bZero: Int, bias: Int
    ) throws -> Operand {
        var operands = [
            q, scale, zero, try node.operand(b), try node.operand(bScale), try point(node, bZero, of: b),
        ]
        if node.has(bias) { operands.append(try node.operand(bias)) }
        return try node.call("quantized_matmul", operands)
    }
}
