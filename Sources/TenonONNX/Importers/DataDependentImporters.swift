import TenonIR

/// Operators whose number of results depends on the data. Each unknown size gets a symbol of its own, which the run
/// binds, so that what follows has shapes to go by.
enum DataDependentImporters {
    static let table: [String: OperatorImporter] = [
        "NonZero": OperatorImporter(since: 9) { node in
            try node.requireInputs(1...1)
            let result = try node.call("nonzero", [try node.operand(0)])
            // A scalar counts as a vector.
            let rows = Int64(max(try node.rank(0), 1))
            return [.operand(try node.sized(result, TensorType(.int64, [.fixed(rows), node.freshSize("found")])))]
        },
        "Compress": OperatorImporter(since: 9) { node in
            try node.requireInputs(2...2)
            var attributes = Attributes()
            var shape: [Dim] = [node.freshSize("kept")]
            if let given = try node.int("axis") {
                let axis = try node.axis(given, rank: try node.rank(0))
                attributes["axis"] = .int(Int64(axis))
                shape = try node.shape(0)
                shape[axis] = node.freshSize("kept")
            }
            let result = try node.call("compress", [try node.operand(0), try node.operand(1)], attributes)
            return [.operand(try node.sized(result, TensorType(try node.type(0).dtype, shape)))]
        },
        "Unique": OperatorImporter(since: 11, unique),
        "NonMaxSuppression": OperatorImporter(since: 10, suppression),
        // Known ones are folded.
        "Range": OperatorImporter(since: 11) { node in
            try node.requireInputs(3...3)
            let sizes = try (0..<3).compactMap { try node.host($0)?.dims?.first }
            if sizes.count == 3, let dtype = try node.type(0).dtype {
                return try node.result("arange", sizes.map { .shape([$0]) }, ["dtype": .dtype(dtype)])
            }
            let numbers = try (0..<3).map { try node.reshape(try node.operand($0), []) }
            let result = try node.call("arange", numbers)
            return [.operand(try node.freshlySized(result, try node.type(0).dtype, rank: 1))]
        },
    ]

    private static func unique(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...1)
        let x = try node.shape(0)
        let dtype = try node.type(0).dtype
        var attributes: Attributes = ["sorted": .bool(try node.bool("sorted", true))]
        let count = node.freshSize("unique")
        var shape = [count]
        var length: Dim? = x.reduce(1 as Dim?) { product, dim in product.flatMap { Dim.multiplying($0, dim) } }
        if let given = try node.int("axis") {
            let axis = try node.axis(given, rank: x.count)
            attributes["axis"] = .int(Int64(axis))
            shape = x
            shape[axis] = count
            length = x[axis]
        }
        guard let length else { throw node.error(.invalidShape, "the number of elements overflows") }
        let all = try node.call("unique", [try node.operand(0)], attributes)
        let types = [
            TensorType(dtype, shape), TensorType(.int64, [count]), TensorType(.int64, [length]),
            TensorType(.int64, [count]),
        ]
        return try types.enumerated().map { index, type in
            .operand(try node.sized(try node.item(index, of: all), type))
        }
    }

    private static func suppression(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...5)
        var attributes: Attributes = ["center_point_box": .bool(try node.bool("center_point_box", false))]
        let inputs = [try node.operand(0), try node.operand(1)]
        let isKnown = try (2...4).allSatisfy { try !node.has($0) || node.constant($0) != nil }
        if !isKnown {
            func number(_ index: Int, _ fallback: Constant) throws -> Operand {
                node.has(index) ? try node.reshape(try node.operand(index), []) : .constant(fallback)
            }
            let result = try node.dynamic(
                "vision.all_class_non_max_suppression", inputs,
                [
                    try number(2, try Constant.ints([], [0])), try number(3, try Constant.floats([], [0])),
                    try number(4, try Constant.floats([], [-.infinity])),
                ], attributes)
            return [.operand(try node.freshlySized(result, .int64, rank: 2, known: [nil, 3]))]
        }
        if node.has(2) { attributes["max_output_boxes_per_class"] = .int(Int64(clamping: try node.constantScalar(2))) }
        if node.has(3) { attributes["iou_threshold"] = .float(try node.constantScalar(3)) }
        if node.has(4) { attributes["score_threshold"] = .float(try node.constantScalar(4)) }
        let result = try node.call("vision.all_class_non_max_suppression", inputs, attributes)
        return [.operand(try node.freshlySized(result, .int64, rank: 2, known: [node.freshSize("boxes"), 3]))]
    }
}
