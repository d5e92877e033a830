import TenonIR

/// Operators that cut, repeat, pad and rearrange.
enum RegroupingImporters {
    static let table: [String: OperatorImporter] = [
        "Split": OperatorImporter(since: 2, split),
        "Expand": OperatorImporter(since: 8, expand),
        "Tile": OperatorImporter(since: 6) { node in
            try node.requireInputs(2...2)
            return try node.result("tile", [try node.operand(0)], ["repeats": .ints(try node.constantInts(1))])
        },
        "Pad": OperatorImporter(since: 2, pad),
        "DepthToSpace": OperatorImporter { node in
            let x = try ArithmeticImporters.single(node)
            return try node.result(
                "nn.depth_to_space", [x],
                ["block_size": .int(try node.int("blocksize", 0)), "mode": .string(try node.string("mode", "DCR"))])
        },
        "SpaceToDepth": OperatorImporter { node in
            try node.result(
                "nn.space_to_depth", [try ArithmeticImporters.single(node)],
                ["block_size": .int(try node.int("blocksize", 0))])
        },
        "Trilu": OperatorImporter(since: 14) { node in
            try node.requireInputs(1...2)
            let k = node.has(1) ? Int64(clamping: try node.constantScalar(1)) : 0
            let isUpper = try node.bool("upper", true)
            return try node.result(isUpper ? "triu" : "tril", [try node.operand(0)], ["k": .int(k)])
        },
    ]

    private static func split(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(node.opset < 13 ? 1...1 : 1...2)
        let shape = try node.shape(0)
        let axis = try node.axis(try node.int("axis", 0), rank: shape.count)
        var attributes: Attributes = ["axis": .int(Int64(axis))]
        let count: Int
        if let total = shape[axis].value {
            guard let sizes = try SplitSizes.fixed(node, total: total) else {
                throw node.unsupported("sizes that are not constant")
            }
            var position: Int64 = 0
            // Sizes add up to the dimension, so the sums cannot overflow.
            attributes["indices"] = .ints(
                sizes.dropLast().map { size in
                    position += size
                    return position
                })
            count = sizes.count
        } else {
            guard !node.has(1), try node.ints("split") == nil else {
                throw node.unsupported("given sizes of a symbolic dimension")
            }
            count = node.proto.output.count
            attributes["sections"] = .int(try node.int("num_outputs", Int64(count)))
        }
        let parts = try node.call("split", [try node.operand(0)], attributes)
        return try (0..<count).map { index in
            node.wants(index) ? .operand(try node.item(index, of: parts)) : .unsupported
        }
    }

    /// Both shapes broadcast; only the input's elements move.
    private static func expand(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        let target = try node.hostDims(1)
        let shape = try node.shape(0)
        guard target.count <= node.graph.options.limits.rank, let common = Broadcast.shape(shape, target) else {
            throw node.error(.invalidShape, "\(try node.type(0)) does not broadcast with \(target)")
        }
        if common == shape { return [.operand(try node.operand(0))] }
        return try node.result("broadcast_to", [try node.operand(0), .shape(common)])
    }

    /// Widths and value are attributes before opset 11.
    private static func pad(_ node: Node) throws -> [ImportedValue] {
        let rank = try node.rank(0)
        var value = 0.0
        let pads: [Int64]
        var axes = [Int](0..<rank)
        if node.opset < 11 {
            try node.requireInputs(1...1)
            pads = try node.ints("pads") ?? []
            value = try node.float("value", 0)
        } else {
            try node.requireInputs(2...4)
            pads = try node.constantInts(1)
            if node.has(2) { value = try node.constantScalar(2) }
            if node.has(3) { axes = try node.constantInts(3).map { try node.axis($0, rank: rank, what: "axes") } }
        }
        guard pads.count == axes.count * 2, Set(axes).count == axes.count else {
            throw node.error(.invalidArgument, "pads expects \(axes.count * 2) numbers, found \(pads.count)")
        }
        var widths = [Int64](repeating: 0, count: rank * 2)
        for (index, axis) in axes.enumerated() {
            widths[axis * 2] = pads[index]
            widths[axis * 2 + 1] = pads[index + axes.count]
        }
        let modes = ["constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"]
        let name = try node.string("mode", "constant")
        guard let mode = modes[name] else { throw node.error(.invalidArgument, "mode is \(quoted(name))") }
        return try node.result(
            "nn.pad", [try node.operand(0)],
            ["pad_width": .ints(widths), "pad_mode": .string(mode), "pad_value": .float(value)])
    }
}
