import TenonIR

/// Quantised operators, in the arithmetic that defines them; a backend may put it back together.
enum QuantizationImporters {
    static let table: [String: OperatorImporter] = [
        "QuantizeLinear": OperatorImporter(since: 10, quantizeLinear),
        "DequantizeLinear": OperatorImporter(since: 10, dequantizeLinear),
        "DynamicQuantizeLinear": OperatorImporter(since: 11, dynamicQuantizeLinear),
        "MatMulInteger": OperatorImporter(since: 10) { node in
            try node.requireInputs(2...4)
            let a = try centred(node, 0, zeroPoint: 2, column: true)
            return try node.result("matmul", [a, try centred(node, 1, zeroPoint: 3, column: false)])
        },
        "QLinearMatMul": OperatorImporter(since: 10, quantizedMatMul),
    ]

    /// The range of the integer types that tensors are quantised to.
    private static func range(_ node: Node, _ dtype: DataType) throws -> (low: Double, high: Double) {
        switch dtype {
        case .uint8: (0, 255)
        case .int8: (-128, 127)
        case .uint16: (0, 65535)
        case .int16: (-32768, 32767)
        default: throw node.unsupported("quantisation to \(dtype.name)")
        }
    }

    /// A scale or zero point with one value per index of `axis`, in a shape that broadcasts with `rank` dimensions.
    private static func perAxis(_ node: Node, _ index: Int, axis: Int64, rank: Int) throws -> Operand {
        let operand = try node.operand(index)
        let shape = try node.shape(index)
        let block = try node.int("block_size", 0)
        if block > 0, shape.count == rank {
            let place = try node.axis(axis, rank: rank)
            let repeats: Attributes = ["repeats": .int(block), "axis": .int(Int64(place))]
            let whole = try node.call("repeat", [operand], repeats)
            // The last block may be cut.
            let size = try node.shape(0)[place]
            if try node.type(of: whole).shape?[place] == size { return whole }
            return try node.call(
                "strided_slice", [whole, .tuple([.int(Int64(place))]), .tuple([.int(0)]), .shape([size])])
        }
        guard shape.count == 1, shape[0].value != 1 else {
            guard shape.count <= 1 else { throw node.unsupported("blocks: input \(index) is \(try node.type(index))") }
            return try node.reshape(operand, [])
        }
        var target = [Dim](repeating: 1, count: rank)
        target[try node.axis(axis, rank: rank)] = shape[0]
        return try node.reshape(operand, target)
    }

    static func converted(_ node: Node, _ operand: Operand, _ dtype: DataType) throws -> Operand {
        if try node.type(of: operand).dtype == dtype { return operand }
        return try node.call("astype", [operand], ["dtype": .dtype(dtype)])
    }

    /// saturate(round(x) + zero point) as `dtype`, for x already divided by the scale.
    static func saturated(_ node: Node, _ x: Operand, zeroPoint: Operand?, _ dtype: DataType) throws -> Operand {
        let (low, high) = try range(node, dtype)
        var result = try node.call("round", [x])
        if let zeroPoint {
            let float = try node.type(of: result).dtype ?? .float32
            result = try node.call("add", [result, try converted(node, zeroPoint, float)])
        }
        result = try node.call("clip", [result, .float(low), .float(high)])
        return try node.call("astype", [result], ["dtype": .dtype(dtype)])
    }

    private static func quantizeLinear(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        node.ignore("saturate", "precision")
        let rank = try node.rank(0)
        let axis = try node.int("axis", 1)
        let given = try node.dtype("output_dtype")
        let dtype = try node.has(2) ? node.type(2).dtype : given ?? .uint8
        guard let dtype else { throw node.unsupported("an unknown element type") }
        let scale = try perAxis(node, 1, axis: axis, rank: rank)
        let float = try node.type(1).dtype ?? .float32
        let scaled = try node.call("divide", [try converted(node, try node.operand(0), float), scale])
        let zeroPoint = node.has(2) ? try perAxis(node, 2, axis: axis, rank: rank) : nil
        return [.operand(try saturated(node, scaled, zeroPoint: zeroPoint, dtype))]
    }

    private static func dequantizeLinear(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        let rank = try node.rank(0)
        let axis = try node.int("axis", 1)
        let float = try node.type(1).dtype ?? .float32
        var result = try converted(node, try node.operand(0), float)
        if node.has(2) {
            let zeroPoint = try perAxis(node, 2, axis: axis, rank: rank)
            result = try node.call("subtract", [result, try converted(node, zeroPoint, float)])
        }
        result = try node.call("multiply", [result, try perAxis(node, 1, axis: axis, rank: rank)])
        if let dtype = try node.dtype("output_dtype") { result = try converted(node, result, dtype) }
        return [.operand(result)]
    }

    /// The scale covers all values and 0; the zero point is where 0 falls.
    private static func dynamicQuantizeLinear(_ node: Node) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        let zero = try node.scalar(0, like: x)
        let low = try node.call("minimum", [try node.call("min", [x]), zero])
        let high = try node.call("maximum", [try node.call("max", [x]), zero])
        let scale = try node.call("divide", [try node.call("subtract", [high, low]), try node.scalar(255, like: x)])
        let origin = try node.call("divide", [try node.call("negative", [low]), scale])
        let zeroPoint = try saturated(node, origin, zeroPoint: nil, .uint8)
        let y = try saturated(node, try node.call("divide", [x, scale]), zeroPoint: zeroPoint, .uint8)
        return [.operand(y), .operand(scale), .operand(zeroPoint)]
    }

    /// Input `index` minus its zero point, as int32; the zero points of rows stand in a column.
    private static func centred(_ node: Node, _ index: Int, zeroPoint: Int, column: Bool) throws -> Operand {
        let x = try converted(node, try node.operand(index), .int32)
        guard node.has(zeroPoint) else { return x }
        var offset = try converted(node, try node.operand(zeroPoint), .int32)
        if column, let shape = try node.type(zeroPoint).shape, shape.count == 1, shape[0].value != 1 {
            offset = try node.reshape(offset, [shape[0], 1])
        }
        return try node.call("subtract", [x, offset])
    }

    private static func quantizedMatMul(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(8...8)
        guard let dtype = try node.type(7).dtype else { throw node.unsupported("an unknown element type") }
        let product = try node.call(
            "matmul",
            [try centred(node, 0, zeroPoint: 2, column: true), try centred(node, 3, zeroPoint: 5, column: false)])
        let float = try node.type(1).dtype ?? .float32
        var scaleA = try node.operand(1)
        if let shape = try node.type(1).shape, shape.count == 1, shape[0].value != 1 {
            scaleA = try node.reshape(scaleA, [shape[0], 1])
        }
        let scales = try node.call("multiply", [scaleA, try node.operand(4)])
        let ratio = try node.call("divide", [scales, try node.operand(6)])
        let scaled = try node.call("multiply", [try converted(node, product, float), ratio])
        return [.operand(try saturated(node, scaled, zeroPoint: try node.operand(7), dtype))]
    }
}
