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
            return try along(node, axes, "squeeze", rank: try node.rank(0) - axes.count)
        },
        "Unsqueeze": OperatorImporter { node in
            guard let axes = try axes(node) else { throw node.error(.invalidArgument, "axes are missing") }
            return try along(node, axes, "expand_dims", rank: try node.rank(0) + axes.count)
        },
        "CastLike": OperatorImporter(since: 15) { node in
            try node.requireInputs(2...2)
            node.ignore("saturate", "round_mode")
            guard let dtype = try node.type(1).dtype else { throw node.unsupported("an unknown element type") }
            let x = try node.operand(0)
            if try node.type(of: x).dtype == dtype { return [.operand(x)] }
            return try node.result("astype", [x], ["dtype": .dtype(dtype)])
        },
        "BitCast": OperatorImporter(since: 26) { node in
            guard let dtype = try node.dtype("to") else {
                throw node.error(.invalidArgument, "attribute 'to' is missing")
            }
            return try node.result("reinterpret", [try ArithmeticImporters.single(node)], ["dtype": .dtype(dtype)])
        },
        "Cast": OperatorImporter(since: 6) { node in
            node.ignore("saturate", "round_mode")
            guard let dtype = try node.dtype("to") else {
                throw node.error(.invalidArgument, "attribute 'to' is missing")
            }
            let x = try ArithmeticImporters.single(node)
            if try node.type(of: x).dtype == dtype { return [.operand(x)] }
            return try node.result("astype", [x], ["dtype": .dtype(dtype)])
        },
    ]

    /// Axes from the attribute, or from input 1 since opset 13.
    private static func axes(_ node: Node) throws -> Node.Integers? {
        try node.requireInputs(1...(node.opset < 13 ? 1 : 2))
        if node.opset < 13 { return try node.ints("axes").map { .known($0) } }
        return node.has(1) ? try node.integers(1) : nil
    }

    private static func along(
        _ node: Node, _ axes: Node.Integers, _ op: String, rank: Int
    ) throws -> [ImportedValue] {
        let x = try node.operand(0)
        switch axes {
        case .known(let axes): return try node.result(op, [x], ["axis": .ints(axes)])
        case .computed(let axes, _):
            guard rank >= 0, rank <= node.graph.options.limits.rank else {
                throw node.error(.invalidShape, "a result of \(rank) dimensions")
            }
            return [
                .operand(try node.freshlySized(try node.dynamic(op, [x], [axes]), try node.type(0).dtype, rank: rank))
            ]
        }
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
            let shape = try node.shape(0)
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
            let own = (try node.shape(0) + [Dim](repeating: 0, count: given.count)).prefix(given.count)
            let isZero = try node.call("equal", [target, try node.list([0])])
            target = try node.call("where", [isZero, try node.sizes(of: Array(own)), target])
        }
        let result = try node.call("reshape", [x, try node.call("tensor_to_shape", [target])])
        return [.operand(try node.freshlySized(result, try node.type(0).dtype, rank: given.count))]
    }

    /// Two dimensions: what stands before `axis` and what stands from it on.
    private static func flatten(_ node: Node) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        let shape = try node.shape(0)
        let axis = try node.int("axis", 1)
        guard axis >= -Int64(shape.count), axis <= Int64(shape.count) else {
            throw node.error(.invalidArgument, "axis \(axis) is out of range for rank \(shape.count)")
        }
        let place = Int(axis < 0 ? axis + Int64(shape.count) : axis)
        guard let rows = ReshapingFolding.product(Array(shape[..<place])),
            let columns = ReshapingFolding.product(Array(shape[place...]))
        else { throw node.error(.invalidShape, "the product of dimensions of \(try node.type(0)) does not fit") }
        return try node.result("reshape", [x, .shape([rows, columns])])
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
