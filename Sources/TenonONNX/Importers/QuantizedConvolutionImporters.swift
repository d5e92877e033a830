import TenonIR

/// Convolutions of quantised numbers, and of integers in int32 as ONNX defines them; padding stands for the zero point.
enum QuantizedConvolutionImporters {
    static let table: [String: OperatorImporter] = [
        "ConvInteger": OperatorImporter(since: 10) { node in
            try node.requireInputs(2...4)
            return [.operand(try sums(node))]
        },
        "QLinearConv": OperatorImporter(since: 10, quantized),
        "com.microsoft.QLinearConv": OperatorImporter(quantized),
    ]

    /// The convolution of the numbers that inputs and weights stand for; the bias counts in x_scale · w_scale.
    private static func quantized(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(8...9)
        let isLast = try node.int("channels_last", 0) == 1
        let rank = try node.rank(3)
        var x = try QuantizationImporters.real(node, 0, scale: 1, zeroPoint: 2)
        var shape = try node.type(0).shape
        if isLast {
            guard rank >= 3 else { throw node.unsupported("a weight of \(rank) dimensions, expected 3 to 5") }
            x = try node.call(
                "permute_dims", [x], ["axes": .ints([0, Int64(rank - 1)] + (1..<Int64(rank - 1)).map { $0 })])
            shape = shape.map { [$0[0], $0[$0.count - 1]] + $0.dropFirst().dropLast() }
        }
        let w = try QuantizationImporters.real(node, 3, scale: 4, zeroPoint: 5, axis: 0)
        var result = try convolution(node, x, shape, w, weight: 3)
        if node.has(8) {
            let scales = try node.call("multiply", [try one(node, 1), try node.operand(4)])
            let bias = try node.call(
                "dequantize", [try node.operand(8), scales, try QuantizationImporters.zero(.int32)],
                ["axis": 0, "out_dtype": .dtype(try node.type(1).dtype ?? .float32)])
            result = try node.call("add", [result, try node.reshape(bias, try column(node, 8, rank: rank, from: 1))])
        }
        if isLast {
            result = try node.call(
                "permute_dims", [result], ["axes": .ints([0] + (2..<Int64(rank)).map { $0 } + [1])])
        }
        return [.operand(try QuantizationImporters.quantized(node, result, scale: 6, zeroPoint: 7, nil))]
    }

    /// An input of one value without dimensions.
    private static func one(_ node: Node, _ index: Int) throws -> Operand {
        try node.reshape(try node.operand(index), [])
    }

    /// Sums in i32 of both inputs less their zero points.
    private static func sums(_ node: Node) throws -> Operand {
        var zeros: [Operand] = []
        if node.has(2) || node.has(3) {
            zeros.append(
                try node.has(2)
                    ? node.reshape(node.operand(2), []) : QuantizationImporters.zero(node.type(0).dtype ?? .uint8))
        }
        if node.has(3) {
            let shape = try node.shape(3)
            guard shape.count <= 1 else {
                throw node.error(
                    .invalidShape, "input 3 expects one value or one per channel, found \(try node.type(3))")
            }
            zeros.append(try node.operand(3))
        }
        return try convolution(
            node, try node.operand(0), try node.type(0).shape, try node.operand(1), weight: 1, form: "_integer", zeros)
    }

    private static func convolution(
        _ node: Node, _ x: Operand, _ data: [Dim]?, _ w: Operand, weight: Int, form: String = "",
        _ others: [Operand] = []
    ) throws -> Operand {
        let shape = try node.shape(weight)
        let spatial = shape.count - 2
        guard (1...3).contains(spatial) else {
            throw node.unsupported("a weight of \(shape.count) dimensions, expected 3 to 5")
        }
        if let data, data.count != shape.count {
            throw node.error(.invalidShape, "input has \(data.count) dimensions, the weight \(shape.count)")
        }
        let kernel = try ConvolutionImporters.kernelSize(node, shape)
        let window = try WindowAttributes(node, kernel: kernel, input: data.map { Array($0.dropFirst(2)) })
        return try node.call(
            "nn.conv\(spatial)d" + form, [try window.padded(node, x, filling: others.first), w] + others,
            [
                "strides": .ints(window.strides), "padding": .ints(window.pads), "dilation": .ints(window.dilations),
                "groups": .int(try node.int("group", 1)),
            ])
    }

    /// The shape in which one value, or one per output channel, meets `rank` dimensions with channels at `from`.
    private static func column(_ node: Node, _ index: Int, rank: Int, from place: Int) throws -> [Dim] {
        let shape = try node.shape(index)
        guard shape.count <= 1 else {
            throw node.error(
                .invalidShape, "input \(index) expects one value or one per channel, found \(try node.type(index))")
        }
        guard let channels = shape.first, channels.value != 1 else { return [] }
        var target = [Dim](repeating: 1, count: rank)
        target[place] = channels
        return target
    }
}
