import TenonIR

/// Reductions, positions of extremes, and running sums.
enum ReductionImporters {
    static let table: [String: OperatorImporter] = [
        "ReduceSum": reduction("sum", axesInputSince: 13),
        "ReduceMean": reduction("mean"), "ReduceMax": reduction("max"), "ReduceMin": reduction("min"),
        "ReduceProd": reduction("prod"), "ReduceL1": reduction("l1_norm"), "ReduceL2": reduction("l2_norm"),
        "ReduceSumSquare": reduction("sum_square"), "ReduceLogSum": reduction("log_sum"),
        "ReduceLogSumExp": reduction("log_sum_exp"),
        "ArgMax": position("argmax"), "ArgMin": position("argmin"),
        "CumSum": cumulative("cumsum", since: 11), "CumProd": cumulative("cumprod", since: 26),
        "Hardmax": OperatorImporter(hardmax),
    ]

    private static func cumulative(_ op: String, since: Int64) -> OperatorImporter {
        OperatorImporter(since: since) { node in
            try node.requireInputs(2...2)
            let x = try node.operand(0)
            var attributes: Attributes = [
                "exclusive": .bool(try node.bool("exclusive", false)),
                "reverse": .bool(try node.bool("reverse", false)),
            ]
            guard try node.constant(1) != nil else {
                let result = try node.dynamic(op, [x], [try node.operand(1)], attributes)
                return [.operand(try node.sized(result, try node.type(of: x)))]
            }
            attributes["axis"] = .int(
                Int64(try node.axis(Int64(clamping: try node.constantScalar(1)), rank: try node.rank(0))))
            return try node.result(op, [x], attributes)
        }
    }

    /// 1 at the first largest value along the axis, else 0; before opset 13 over all dimensions from the axis on.
    private static func hardmax(_ node: Node) throws -> [ImportedValue] {
        try SoftmaxAxis.apply(node) { x, axis in
            let type = try node.type(of: x)
            guard let dtype = type.dtype else { throw node.unsupported("an unknown element type") }
            guard let depth = type.shape?[axis].value else {
                // Along a size that only the run knows: the largest values counted, of which the first is the one.
                let largest = try node.call("max", [x], ["axis": .ints([Int64(axis)]), "keepdims": .bool(true)])
                let isLargest = try node.cast(try node.call("equal", [x, largest]), .int64)
                let number = try node.call("cumsum", [isLargest], ["axis": .int(Int64(axis))])
                let isFirst = try node.call("equal", [number, try node.scalar(1, like: number)])
                return try node.multiply(try node.cast(isFirst, dtype), try node.cast(isLargest, dtype))
            }
            let largest = try node.call("argmax", [x], ["axis": .int(Int64(axis))])
            return try node.call(
                "one_hot",
                [largest, .constant(try Constant.scalar(dtype, 1)), .constant(try Constant.scalar(dtype, 0))],
                ["depth": .int(depth), "axis": .int(Int64(axis)), "dtype": .dtype(dtype)])
        }
    }

    /// Axes are an attribute, and an input from some version on.
    private static func reduction(_ op: String, axesInputSince: Int64 = 18) -> OperatorImporter {
        OperatorImporter { node in
            let takesInput = node.opset >= axesInputSince
            try node.requireInputs(1...(takesInput ? 2 : 1))
            let keepsDims = try node.bool("keepdims", true)
            // Among truth values the largest is "any" and the smallest "all".
            let truth = try node.type(0).dtype == .bool ? ["max": "any", "min": "all"][op] : nil
            var axes = takesInput ? nil : try node.ints("axes")
            if takesInput {
                let skipsEmpty = try node.bool("noop_with_empty_axes", false)
                if node.has(1) {
                    let given = try node.integers(1)
                    guard case .known(let values) = given else {
                        let result = try node.dynamic(
                            truth ?? op, [try node.operand(0)], [try node.vector(given)], ["keepdims": .bool(keepsDims)]
                        )
                        let own = try node.type(0)
                        let rank = own.rank.flatMap { rank in
                            keepsDims ? rank : given.count.map { max(rank - $0, 0) }
                        }
                        return [.operand(try node.unsized(result, own.dtype, rank: rank))]
                    }
                    axes = values
                }
                if axes?.isEmpty ?? true {
                    // No axes: all of them, or, when the node says so, none: then only what is done per element is left.
                    if skipsEmpty { return try elementwise(node, op) }
                    axes = nil
                }
            }
            var attributes: Attributes = ["keepdims": .bool(keepsDims)]
            if let axes { attributes["axis"] = .ints(axes) }
            return try node.result(truth ?? op, [try node.operand(0)], attributes)
        }
    }

    private static func elementwise(_ node: Node, _ op: String) throws -> [ImportedValue] {
        let x = try node.operand(0)
        switch op {
        case "l1_norm", "l2_norm": return try node.result("abs", [x])
        case "sum_square": return try node.result("square", [x])
        case "log_sum": return try node.result("log", [x])
        default: return [.operand(x)]
        }
    }

    private static func position(_ op: String) -> OperatorImporter {
        OperatorImporter { node in
            let axis = try node.axis(try node.int("axis", 0), rank: try node.rank(0))
            return try node.result(
                op, [try ArithmeticImporters.single(node)],
                [
                    "axis": .int(Int64(axis)), "keepdims": .bool(try node.bool("keepdims", true)),
                    "select_last_index": .bool(try node.bool("select_last_index", false)),
                ])
        }
    }
}
