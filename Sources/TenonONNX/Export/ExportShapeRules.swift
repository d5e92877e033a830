import TenonIR

/// The ONNX forms of operators that move elements or change shapes.
enum ExportShapeRules {
    static let table: [String: ExportRules.Rule] = [
        "reshape": reshape,
        "flatten": { call in try call.result("Reshape", [try call.input(0), try call.list([-1])]) },
        "squeeze": { call in
            guard let axes = call.attributes.ints("axis") else {
                return try call.result("Squeeze", [try call.input(0)])
            }
            return try call.result("Squeeze", [try call.input(0), try call.list(axes)])
        },
        "expand_dims": { call in
            try call.result("Unsqueeze", [try call.input(0), try call.list(try call.ints("axis"))])
        },
        "permute_dims": { call in
            let axes = call.attributes.ints("axes")
            let rank = Int64(try call.rank(0))
            let order = axes?.map { $0 < 0 ? $0 + rank : $0 }
            return try call.result("Transpose", [try call.input(0)], order.map { ["perm": .ints($0)] } ?? Attributes())
        },
        "concat": { call in
            try call.result("Concat", try call.tensors(0).map(\.name), ["axis": .int(try call.int("axis"))])
        },
        "stack": { call in
            let axis = try call.int("axis")
            let axes = try call.list([axis])
            let parts = try call.tensors(0).map { call.step("Unsqueeze", [$0.name, axes]) }
            return try call.result("Concat", parts, ["axis": .int(axis)])
        },
        "split": split,
        "broadcast_to": { call in try call.result("Expand", [try call.input(0), try call.vector(1)]) },
        "strided_slice": { call in
            // Axes, begins, ends and steps; ONNX has the axes behind.
            var inputs = [try call.input(0), try call.vector(2), try call.vector(3), try call.vector(1)]
            if call.arguments.count > 4 { inputs.append(try call.vector(4)) }
            return try call.result("Slice", inputs)
        },
        "take": { call in
            guard call.attributes.string("mode") ?? "fast" == "fast" else { throw call.unsupported("another mode") }
            var x = try call.input(0)
            if call.attributes.int("axis") == nil, try call.rank(0) != 1 {
                x = call.step("Reshape", [x, try call.list([-1])])
            }
            return try call.result("Gather", [x, try call.input(1)], ["axis": .int(call.attributes.int("axis") ?? 0)])
        },
        "tile": { call in
            let repeats = try call.ints("repeats")
            guard try call.rank(0) == repeats.count else { throw call.unsupported("repeats of other dimensions") }
            return try call.result("Tile", [try call.input(0), try call.list(repeats)])
        },
        "nn.pad": pad,
        "nn.depth_to_space": { call in
            try call.result(
                "DepthToSpace", [try call.input(0)],
                [
                    "blocksize": .int(try call.int("block_size")),
                    "mode": .string(call.attributes.string("mode") ?? "DCR"),
                ])
        },
        "nn.space_to_depth": { call in
            try call.result("SpaceToDepth", [try call.input(0)], ["blocksize": .int(try call.int("block_size"))])
        },
    ]

    /// A symbolic size is that of the input in the same place (0), or the only one that is left (-1); else a node computes it.
    @Sendable private static func reshape(_ call: ExportCall) throws -> GraphExport.Value {
        let x = try call.tensor(0)
        guard case .literal(.shape(let wanted))? = call.arguments.dropFirst().first else {
            return try call.result("Reshape", [x.name, try call.vector(1)], ["allowzero": 1])
        }
        var target: [Int64] = []
        for (index, dim) in wanted.enumerated() {
            if let size = dim.value {
                target.append(size)
            } else if let shape = x.type.shape, shape.indices.contains(index), shape[index] == dim {
                target.append(0)
            } else {
                target.append(-1)
            }
        }
        // A size of 0 would be read as "as the input", and a second unknown one not at all.
        guard !wanted.contains(.fixed(0)), target.count(where: { $0 == -1 }) <= 1 else {
            return try call.result("Reshape", [x.name, try call.vector(1)], ["allowzero": 1])
        }
        return try call.result("Reshape", [x.name, try call.list(target)])
    }

    @Sendable private static func split(_ call: ExportCall) throws -> GraphExport.Value {
        let axis = try call.int("axis")
        guard case .tuple(let fields) = call.type, let rank = try? call.rank(0) else {
            throw call.unsupported("a result of type \(call.type)")
        }
        let place = Int(axis < 0 ? axis + Int64(rank) : axis)
        let sizes = try fields.map { field -> Dim in
            guard let shape = field.asTensor?.shape, shape.indices.contains(place) else {
                throw call.unsupported("parts of unknown size")
            }
            return shape[place]
        }
        return try call.results("Split", [try call.input(0), try call.graph.vector(of: sizes)], ["axis": .int(axis)])
    }

    @Sendable private static func pad(_ call: ExportCall) throws -> GraphExport.Value {
        let widths = try call.ints("pad_width")
        let modes = ["constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"]
        guard let mode = modes[call.attributes.string("pad_mode") ?? "constant"] else {
            throw call.unsupported("its mode")
        }
        let pads =
            stride(from: 0, to: widths.count, by: 2).map { widths[$0] }
            + stride(from: 1, to: widths.count, by: 2).map { widths[$0] }
        let x = try call.tensor(0)
        let value = try call.scalar(call.attributes.float("pad_value") ?? 0, x.type.dtype ?? .float32)
        return try call.result("Pad", [x.name, try call.list(pads), value], ["mode": .string(mode)])
    }
}
