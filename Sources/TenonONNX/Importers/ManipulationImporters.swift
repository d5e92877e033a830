import TenonIR

/// Operators that move or regroup elements.
enum ManipulationImporters {
    static let table: [String: OperatorImporter] = [
        "Reshape": OperatorImporter(reshape),
        "Flatten": OperatorImporter(flatten),
        "Transpose": OperatorImporter(transpose),
        "Concat": OperatorImporter(since: 4, concat),
        "Squeeze": OperatorImporter { node in
            guard let axes = try axes(node) else { return try node.result("squeeze", [try node.operand(0)]) }
            let rank = try node.type(0).rank.flatMap { rank in axes.count.map { rank - $0 } }
            return try along(node, axes, "squeeze", rank: rank)
        },
        "Unsqueeze": OperatorImporter { node in
            guard let axes = try axes(node) else { throw node.error(.invalidArgument, "axes are missing") }
            let rank = try node.type(0).rank.flatMap { rank in axes.count.map { rank + $0 } }
            return try along(node, axes, "expand_dims", rank: rank)
        },
        // Where the shape is known, the values are; this is for tensors whose rank only a run knows.
        "Shape": OperatorImporter { node in
            try node.requireInputs(1...1)
            let (start, end) = (try node.int("start", 0), try node.int("end"))
            let sizes = try node.sizes(0)
            guard start != 0 || end != nil else { return [.operand(sizes)] }
            return try node.result(
                "strided_slice",
                [sizes, .tuple([.int(0)]), .tuple([.int(start)]), .tuple([.int(end ?? Int64(Int32.max))])])
        },
        "Size": OperatorImporter { node in try node.result("size", [try ArithmeticImporters.single(node)]) },
        "CastLike": OperatorImporter(since: 15) { node in
            try node.requireInputs(2...2)
            guard let dtype = try node.type(1).dtype else { throw node.unsupported("an unknown element type") }
            return try cast(node, try node.operand(0), dtype)
        },
        "BitCast": OperatorImporter(since: 26) { node in
            guard let dtype = try node.dtype("to") else {
                throw node.error(.invalidArgument, "attribute 'to' is missing")
            }
            return try node.result("reinterpret", [try ArithmeticImporters.single(node)], ["dtype": .dtype(dtype)])
        },
        "Cast": OperatorImporter(since: 6) { node in
            guard let dtype = try node.dtype("to") else {
                throw node.error(.invalidArgument, "attribute 'to' is missing")
            }
            return try cast(node, try ArithmeticImporters.single(node), dtype)
        },
    ]

    /// A conversion; how it rounds and saturates matters for the types of 8 bits only.
    private static func cast(_ node: Node, _ x: Operand, _ dtype: DataType) throws -> [ImportedValue] {
        let saturates = try node.int("saturate", 1) != 0
        let rounding = try node.string("round_mode", "up")
        if try node.type(of: x).dtype == dtype { return [.operand(x)] }
        var attributes: Attributes = ["dtype": .dtype(dtype)]
        if dtype.isStorageOnly, !saturates { attributes["saturate"] = .bool(false) }
        if dtype == .float8e8m0, rounding != "up" {
            guard SmallTypes.Rounding(rawValue: rounding) != nil else {
                throw node.error(
                    .invalidArgument, "attribute 'round_mode' is \(quoted(rounding)); expected up, down or nearest")
            }
            attributes["round_mode"] = .string(rounding)
        }
        return try node.result("astype", [x], attributes)
    }

    /// Axes from the attribute, or from input 1 since opset 13.
    private static func axes(_ node: Node) throws -> Node.Integers? {
        try node.requireInputs(1...(node.opset < 13 ? 1 : 2))
        if node.opset < 13 { return try node.ints("axes").map { .known($0) } }
        return node.has(1) ? try node.integers(1) : nil
    }

    /// - Parameter rank: dimensions of the result; nil where that is not known.
    private static func along(
        _ node: Node, _ axes: Node.Integers, _ op: String, rank: Int?
    ) throws -> [ImportedValue] {
        let x = try node.operand(0)
        if case .known(let axes) = axes { return try node.result(op, [x], ["axis": .ints(axes)]) }
        if let rank, rank < 0 || rank > node.graph.options.limits.rank {
            throw node.error(.invalidShape, "a result of \(rank) dimensions")
        }
        let result = try node.dynamic(op, [x], [try node.vector(axes)])
        return [.operand(try node.unsized(result, try node.type(0).dtype, rank: rank))]
    }

    private static func reshape(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(node.opset < 5 ? 1...1 : 2...2)
        let x = try node.operand(0)
        let wanted: [Dim]
        if node.opset < 5 {
            wanted = (try node.ints("shape") ?? []).map { .fixed($0) }
        } else {
            guard let known = try node.host(1)?.dims else { return try computedReshape(node, x) }
            wanted = known
        }
        let copiesZero = try !node.bool("allowzero", false)
        guard wanted.count <= node.graph.options.limits.rank else {
            throw TenonError.onnxLimit("a reshape to \(wanted.count) dimensions")
        }
        var target = wanted
        for (index, dim) in wanted.enumerated() where dim.value == 0 && copiesZero {
            guard let shape = try node.type(0).shape else { return try computedReshape(node, x) }
            guard index < shape.count else {
                throw node.error(.invalidShape, "shape \(wanted) copies dimension \(index) of \(try node.type(0))")
            }
            target[index] = shape[index]
        }
        return try node.result("reshape", [x, .shape(target)])
    }

    /// To a shape that the run computes; where it says 0, the size of the input comes in.
    private static func computedReshape(_ node: Node, _ x: Operand) throws -> [ImportedValue] {
        let given = try node.integers(1)
        var target = try node.vector(given)
        if try !node.bool("allowzero", false) {
            // As many of the input's own sizes as the target has entries.
            var own = try node.sizes(0)
            if let count = given.count, let shape = try node.type(0).shape {
                own = try node.sizes(
                    of: Array((shape + [Dim](repeating: 0, count: count)).prefix(count)))
            } else {
                let padding = try node.list([Int64](repeating: 0, count: node.graph.options.limits.rank))
                let padded = try node.call("concat", [.tuple([own, padding])], ["axis": 0])
                let count = try node.reshape(try node.call("size", [target]), [1])
                own = try node.call("strided_slice", [padded, try node.list([0]), try node.list([0]), count])
            }
            let isZero = try node.call("equal", [target, try node.list([0])])
            target = try node.call("where", [isZero, own, target])
        }
        let result = try node.call("reshape", [x, try node.unknownShape(target)])
        return [.operand(try node.unsized(result, try node.type(0).dtype, rank: given.count))]
    }

    /// Two dimensions: what stands before `axis` and what stands from it on.
    private static func flatten(_ node: Node) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        let axis = try node.int("axis", 1)
        guard let shape = try node.type(0).shape else { return try computedFlatten(node, x, axis) }
        guard axis >= -Int64(shape.count), axis <= Int64(shape.count) else {
            throw node.error(.invalidArgument, "axis \(axis) is out of range for rank \(shape.count)")
        }
        let place = Int(axis < 0 ? axis + Int64(shape.count) : axis)
        guard let rows = ReshapingFolding.product(Array(shape[..<place])),
            let columns = ReshapingFolding.product(Array(shape[place...]))
        else { throw node.error(.invalidShape, "the product of dimensions of \(try node.type(0)) does not fit") }
        return try node.result("reshape", [x, .shape([rows, columns])])
    }

    /// Of a tensor whose sizes only a run knows.
    private static func computedFlatten(_ node: Node, _ x: Operand, _ axis: Int64) throws -> [ImportedValue] {
        let sizes = try node.sizes(0)
        let front = try node.call("strided_slice", [sizes, .tuple([.int(0)]), .tuple([.int(0)]), .tuple([.int(axis)])])
        let back = try node.call(
            "strided_slice", [sizes, .tuple([.int(0)]), .tuple([.int(axis)]), .tuple([.int(Int64(Int32.max))])])
        let products = try [front, back].map { try node.call("prod", [$0], ["keepdims": true]) }
        let target = try node.call("concat", [.tuple(products)], ["axis": 0])
        let result = try node.call("reshape", [x, try node.unknownShape(target)])
        return [.operand(try node.unsized(result, try node.type(0).dtype, rank: 2))]
    }

    private static func transpose(_ node: Node) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        guard let order = try node.ints("perm") else { return try node.result("permute_dims", [x]) }
        return try node.result("permute_dims", [x], ["axes": .ints(order)])
    }

    private static func concat(_ node: Node) throws -> [ImportedValue] {
        guard let axis = try node.int("axis") else { throw node.error(.invalidArgument, "attribute 'axis' is missing") }
        let tensors = try (0..<node.inputCount).map { try node.operand($0) }
        if tensors.count == 1 {
            _ = try node.axis(axis, rank: try node.rank(0))
            return [.operand(tensors[0])]
        }
        return try node.result("concat", [.tuple(tensors)], ["axis": .int(axis)])
    }
}
