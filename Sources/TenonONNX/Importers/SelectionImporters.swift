import TenonIR

/// Operators that pick or put elements by position.
enum SelectionImporters {
    static let table: [String: OperatorImporter] = [
        "Slice": OperatorImporter(slice),
        "Gather": OperatorImporter { node in
            try node.requireInputs(2...2)
            let axis = try node.axis(try node.int("axis", 0), rank: try node.rank(0))
            return try node.result("take", [try node.operand(0), try node.operand(1)], ["axis": .int(Int64(axis))])
        },
        "GatherElements": OperatorImporter(since: 11) { node in
            try node.requireInputs(2...2)
            let axis = try node.axis(try node.int("axis", 0), rank: try node.rank(0))
            return try node.result(
                "gather_elements", [try node.operand(0), try node.operand(1)], ["axis": .int(Int64(axis))])
        },
        "GatherND": OperatorImporter(since: 11) { node in
            try node.requireInputs(2...2)
            return try node.result(
                "gather_nd", [try node.operand(0), try node.operand(1)],
                ["batch_dims": .int(try node.int("batch_dims", 0))])
        },
        "Scatter": scatterElements, "ScatterElements": scatterElements,
        "ScatterND": OperatorImporter(since: 11) { node in
            try node.requireInputs(3...3)
            return try node.result(
                "scatter_nd", try (0..<3).map { try node.operand($0) }, ["reduction": .string(try reduction(node))])
        },
        "TopK": OperatorImporter(topK),
        "OneHot": OperatorImporter(since: 9, oneHot),
        "ReverseSequence": OperatorImporter(since: 10) { node in
            try node.requireInputs(2...2)
            return try node.result(
                "reverse_sequence", [try node.operand(0), try node.operand(1)],
                ["seq_axis": .int(try node.int("time_axis", 0)), "batch_axis": .int(try node.int("batch_axis", 1))])
        },
    ]

    /// Positions that are known, or symbolic, as what `strided_slice` takes.
    private static func slice(_ node: Node) throws -> [ImportedValue] {
        let x = try node.operand(0)
        let rank = try node.rank(0)
        if let ranges = try SliceRanges(node, rank: rank) {
            func numbers(_ value: (SliceRanges.Entry) -> Int64) -> Operand {
                .tuple(ranges.entries.map { .int(value($0)) })
            }
            return try node.result(
                "strided_slice", [x, numbers { Int64($0.axis) }, numbers(\.start), numbers(\.end), numbers(\.step)])
        }
        let (starts, ends) = (try node.hostDims(1), try node.hostDims(2))
        let axes = node.has(3) ? try node.constantInts(3) : (0..<Int64(starts.count)).map { $0 }
        let steps = node.has(4) ? try node.constantInts(4) : [Int64](repeating: 1, count: starts.count)
        guard starts.count == ends.count, axes.count == starts.count, steps.count == starts.count else {
            throw node.error(.invalidArgument, "starts, ends, axes and steps expect one number of values")
        }
        let positions = try axes.map { Operand.int(Int64(try node.axis($0, rank: rank, what: "axes"))) }
        return try node.result(
            "strided_slice", [x, .tuple(positions), .shape(starts), .shape(ends), .tuple(steps.map { .int($0) })])
    }

    private static let scatterElements = OperatorImporter { node in
        try node.requireInputs(3...3)
        let axis = try node.axis(try node.int("axis", 0), rank: try node.rank(0))
        return try node.result(
            "scatter_elements", try (0..<3).map { try node.operand($0) },
            ["axis": .int(Int64(axis)), "reduction": .string(try reduction(node))])
    }

    private static func reduction(_ node: Node) throws -> String {
        let name = try node.string("reduction", "none")
        guard ["none", "add", "mul", "min", "max"].contains(name) else {
            throw node.unsupported("reduction \(quoted(name))")
        }
        return name == "none" ? "update" : name
    }

    /// k is an attribute before opset 10.
    private static func topK(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(node.opset < 10 ? 1...1 : 2...2)
        let k = node.opset < 10 ? try node.int("k", 0) : Int64(clamping: try node.constantScalar(1))
        let axis = try node.axis(try node.int("axis", -1), rank: try node.rank(0))
        let both = try node.call(
            "topk", [try node.operand(0)],
            [
                "k": .int(k), "axis": .int(Int64(axis)), "largest": .bool(try node.bool("largest", true)),
                "sorted": .bool(try node.bool("sorted", true)),
            ])
        return [.operand(try node.item(0, of: both)), .operand(try node.item(1, of: both))]
    }

    private static func oneHot(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...3)
        guard let values = try node.constant(2), values.count == 2, let off = values.double(at: 0),
            let on = values.double(at: 1)
        else { throw node.unsupported("values that are not two constant numbers") }
        var indices = try node.operand(0)
        if try node.type(of: indices).dtype?.isInteger == false {
            indices = try node.call("astype", [indices], ["dtype": .dtype(.int64)])
        }
        let depth = Int64(clamping: try node.constantScalar(1))
        // A negative index counts from the end, which the operator does not know.
        let wrapped = try node.call("floor_mod", [indices, try node.scalar(Double(depth), like: indices)])
        let inside = try node.call(
            "logical_and",
            [
                try node.call("greater_equal", [indices, try node.scalar(-Double(depth), like: indices)]),
                try node.call("less", [indices, try node.scalar(Double(depth), like: indices)]),
            ])
        let chosen = try node.call("where", [inside, wrapped, try node.scalar(Double(depth), like: indices)])
        let axis = try node.axis(try node.int("axis", -1), rank: try node.rank(0) + 1)
        return try node.result(
            "one_hot",
            [
                chosen, .constant(try Constant.scalar(values.dtype, on)),
                .constant(try Constant.scalar(values.dtype, off)),
            ],
            ["depth": .int(depth), "axis": .int(Int64(axis)), "dtype": .dtype(values.dtype)])
    }
}
