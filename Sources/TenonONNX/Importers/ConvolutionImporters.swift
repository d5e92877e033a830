import TenonIR

/// Conv. A bias becomes reshape and add, so that every frontend gives the same sequence to match.
enum ConvolutionImporters {
    static let table: [String: OperatorImporter] = [
        "Conv": OperatorImporter { node in
            try node.requireInputs(2...3)
            return [.operand(try convolution(node))]
        },
        "ConvTranspose": OperatorImporter(convTranspose),
    ]

    /// Of inputs 0 to 2, without anything fused to it.
    static func convolution(_ node: Node) throws -> Operand {
        let weight = try node.shape(1)
        let spatial = weight.count - 2
        guard (1...3).contains(spatial) else {
            throw node.unsupported("a weight of \(weight.count) dimensions, expected 3 to 5")
        }
        let data = try node.type(0)
        if let rank = data.rank, rank != weight.count {
            throw node.error(.invalidShape, "input has \(rank) dimensions, the weight \(weight.count)")
        }
        let kernel = try kernelSize(node, weight)
        let window = try WindowAttributes(node, kernel: kernel, input: data.shape.map { Array($0.dropFirst(2)) })
        let result = try node.call(
            "nn.conv\(spatial)d", [try window.padded(node, try node.operand(0)), try node.operand(1)],
            [
                "strides": .ints(window.strides), "padding": .ints(window.pads), "dilation": .ints(window.dilations),
                "groups": .int(try node.int("group", 1)),
            ])
        return try addBias(node, to: result, channels: weight[0], spatial: spatial)
    }

    /// Weight [channels, outputs / groups, kernel…].
    private static func convTranspose(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        let weight = try node.shape(1)
        let spatial = weight.count - 2
        guard (1...3).contains(spatial) else {
            throw node.unsupported("a weight of \(weight.count) dimensions, expected 3 to 5")
        }
        let kernel = try kernelSize(node, weight)
        let groups = try node.int("group", 1)
        let zeros = [Int64](repeating: 0, count: spatial)
        let extra = try node.ints("output_padding") ?? zeros
        guard extra.count == spatial, extra.allSatisfy({ $0 >= 0 && $0 <= Int64(Int32.max) }) else {
            throw node.error(.invalidArgument, "output_padding expects \(spatial) numbers from 0, found \(extra)")
        }
        let window = try WindowAttributes(
            transposed: node, kernel: kernel, extra: extra, input: try node.type(0).shape.map { Array($0.dropFirst(2)) }
        )
        let result = try node.call(
            "nn.conv\(spatial)d_transpose", [try node.operand(0), try node.operand(1)],
            [
                "strides": .ints(window.strides), "padding": .ints(window.pads), "dilation": .ints(window.dilations),
                "output_padding": .ints(zip(extra, window.excess).map { $0 + $1 }), "groups": .int(groups),
            ])
        guard let channels = Dim.multiplying(weight[1], .fixed(groups)) else {
            throw node.error(.invalidShape, "the number of output channels does not fit")
        }
        return [.operand(try addBias(node, to: result, channels: channels, spatial: spatial))]
    }

    /// The weight's spatial size, which `kernel_shape` may repeat.
    static func kernelSize(_ node: Node, _ weight: [Dim]) throws -> [Int64] {
        let kernel = weight.dropFirst(2).compactMap(\.value)
        guard kernel.count == weight.count - 2 else { throw node.unsupported("a kernel of symbolic size") }
        if let declared = try node.ints("kernel_shape"), declared != kernel {
            throw node.error(.invalidShape, "kernel_shape is \(declared), the weight has \(kernel)")
        }
        return kernel
    }

    /// result + reshape(bias, [1, channels, 1, …]) when input 2 is given.
    static func addBias(_ node: Node, to result: Operand, channels: Dim, spatial: Int) throws -> Operand {
        guard node.has(2) else { return result }
        if let shape = try node.type(2).shape {
            guard shape.count == 1, shape[0] == channels || !shape[0].isFixed || !channels.isFixed else {
                throw node.error(.invalidShape, "bias expects \(channels) values, found \(try node.type(2))")
            }
        }
        let shape: [Dim] = [1, channels] + [Dim](repeating: 1, count: spatial)
        let bias = try node.call("reshape", [try node.operand(2), .shape(shape)])
        return try node.call("add", [result, bias])
    }
}
