import TenonIR

/// Pooling over windows and over everything.
enum PoolingImporters {
    static let table: [String: OperatorImporter] = [
        "MaxPool": OperatorImporter { node in
            node.ignore("storage_order")
            guard !node.wants(1) else { throw node.unsupported("output 'Indices'") }
            return try pool(node, "max")
        },
        "AveragePool": OperatorImporter { node in
            try pool(node, "avg", ["count_include_pad": .bool(try node.bool("count_include_pad", false))])
        },
        "GlobalAveragePool": OperatorImporter { node in try global(node, "avg") },
        "GlobalMaxPool": OperatorImporter { node in try global(node, "max") },
    ]

    private static func pool(_ node: Node, _ kind: String, _ extra: Attributes = Attributes()) throws -> [ImportedValue]
    {
        try node.requireInputs(1...1)
        guard let kernel = try node.ints("kernel_shape") else {
            throw node.error(.invalidArgument, "attribute 'kernel_shape' is missing")
        }
        let data = try node.type(0)
        guard (1...3).contains(kernel.count) else {
            throw node.unsupported("a kernel of \(kernel.count) dimensions, expected 1 to 3")
        }
        if let rank = data.rank, rank != kernel.count + 2 {
            throw node.error(
                .invalidShape, "input has \(rank) dimensions, kernel_shape \(kernel) needs \(kernel.count + 2)")
        }
        let window = try WindowAttributes(node, kernel: kernel, input: data.shape.map { Array($0.dropFirst(2)) })
        var attributes = extra
        attributes["pool_size"] = .ints(kernel)
        attributes["strides"] = .ints(window.strides)
        attributes["padding"] = .ints(window.pads)
        attributes["dilation"] = .ints(window.dilations)
        attributes["ceil_mode"] = .bool(try node.bool("ceil_mode", false))
        return try node.result("nn.\(kind)_pool\(kernel.count)d", [try node.operand(0)], attributes)
    }

    private static func global(_ node: Node, _ kind: String) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let spatial = try node.rank(0) - 2
        guard (1...3).contains(spatial) else {
            throw node.unsupported("an input of \(spatial + 2) dimensions, expected 3 to 5")
        }
        return try node.result(
            "nn.adaptive_\(kind)_pool\(spatial)d", [try node.operand(0)],
            ["output_size": .ints([Int64](repeating: 1, count: spatial))])
    }
}
