import TenonIR

/// Convolutions of integers, in int32 as ONNX defines them; padding stands for the zero point.
enum QuantizedConvolutionImporters {
    static let table: [String: OperatorImporter] = [
        "ConvInteger": OperatorImporter(since: 10) { node in
            try node.requireInputs(2...4)
            return [.operand(try product(node, data: 0, zeroPoint: 2, weight: 1, weightZeroPoint: 3))]
        },
        "QLinearConv": OperatorImporter(since: 10, quantized),
    ]

    /// saturate(round((x * w + bias) × x_scale × w_scale / y_scale) + y_zero_point).
    private static func quantized(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(8...9)
        guard let dtype = try node.type(7).dtype else { throw node.unsupported("an unknown element type") }
        var sum = try product(node, data: 0, zeroPoint: 2, weight: 3, weightZeroPoint: 5)
        let rank = try node.rank(3)
        if node.has(8) {
            let bias = try QuantizationImporters.converted(node, try node.operand(8), .int32)
            sum = try node.call("add", [sum, try node.reshape(bias, try column(node, 8, rank: rank, from: 1))])
        }
        let float = try node.type(1).dtype ?? .float32
        func scale(_ index: Int) throws -> Operand {
            try QuantizationImporters.converted(node, try node.reshape(try node.operand(index), []), float)
        }
        // A scale of the weight per output channel stands in the result's channels.
        let weightScale = try node.reshape(
            try QuantizationImporters.converted(node, try node.operand(4), float),
            try column(node, 4, rank: rank, from: 1))
        let scales = try node.call("multiply", [weightScale, try scale(1)])
        let ratio = try node.call("divide", [scales, try scale(6)])
        let scaled = try node.call("multiply", [try QuantizationImporters.converted(node, sum, float), ratio])
        let zeroPoint = try node.reshape(try node.operand(7), [])
        return [.operand(try QuantizationImporters.saturated(node, scaled, zeroPoint: zeroPoint, dtype))]
    }

    /// The convolution of both inputs less their zero points.
    private static func product(
        _ node: Node, data: Int, zeroPoint: Int, weight: Int, weightZeroPoint: Int
    ) throws -> Operand {
        let shape = try node.shape(weight)
        let spatial = shape.count - 2
        guard (1...3).contains(spatial) else {
            throw node.unsupported("a weight of \(shape.count) dimensions, expected 3 to 5")
        }
        let type = try node.type(data)
        if let rank = type.rank, rank != shape.count {
            throw node.error(.invalidShape, "input has \(rank) dimensions, the weight \(shape.count)")
        }
        let kernel = try ConvolutionImporters.kernelSize(node, shape)
        let window = try WindowAttributes(node, kernel: kernel, input: type.shape.map { Array($0.dropFirst(2)) })
        var x = try QuantizationImporters.converted(node, try node.operand(data), .int32)
        if node.has(zeroPoint) {
            let offset = try node.reshape(try node.operand(zeroPoint), [])
            x = try node.call("subtract", [x, try QuantizationImporters.converted(node, offset, .int32)])
        }
        var w = try QuantizationImporters.converted(node, try node.operand(weight), .int32)
        if node.has(weightZeroPoint) {
            let offset = try node.reshape(
                try node.operand(weightZeroPoint), try column(node, weightZeroPoint, rank: shape.count, from: 0))
            w = try node.call("subtract", [w, try QuantizationImporters.converted(node, offset, .int32)])
        }
        return try node.call(
            "nn.conv\(spatial)d", [try window.padded(node, x), w],
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
