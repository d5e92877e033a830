import TenonIR

/// Operators that pick or put elements by position.
enum SelectionImporters {
    static let table: [String: OperatorImporter] = [
        "Slice": OperatorImporter(slice),
        "Gather": OperatorImporter { node in
            try node.requireInputs(2...2)
            let given = try node.int("axis", 0)
            guard let rank = try node.type(0).rank else {
                return try node.result("take", [try node.operand(0), try node.operand(1)], ["axis": .int(given)])
            }
            let axis = try node.axis(given, rank: rank)
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
        guard let rank = try node.type(0).rank else { return try computedSlice(node, x, rank: nil) }
        if let ranges = try SliceRanges(node, rank: rank) {
            func numbers(_ value: (SliceRanges.Entry) -> Int64) -> Operand {
                .tuple(ranges.entries.map { .int(value($0)) })
            }
            // Exporters also write "to the end" as 10^9. Of a symbolic size, which is never so large, that is all.
            let shape = try node.type(0).shape
            let end = numbers { entry in
                let isAll = entry.step > 0 && entry.end >= 1_000_000_000 && shape?[entry.axis].value == nil
                return isAll ? Int64(Int32.max) : entry.end
            }
            var starts = numbers(\.start)
            if ranges.entries.contains(where: { $0.step < 0 && $0.start < 0 }) {
                guard let shape else { return try computedSlice(node, x, rank: rank) }
                starts = .shape(
                    try ranges.entries.map { try first(node, .fixed($0.start), of: shape[$0.axis], step: $0.step) })
            }
            return try node.result("strided_slice", [x, numbers { Int64($0.axis) }, starts, end, numbers(\.step)])
        }
        guard let starts = try node.host(1)?.dims, let ends = try node.host(2)?.dims,
            let axes = try node.has(3) ? node.host(3)?.ints : (0..<Int64(starts.count)).map({ $0 }),
            let steps = try node.has(4) ? node.host(4)?.ints : [Int64](repeating: 1, count: starts.count)
        else { return try computedSlice(node, x, rank: rank) }
        guard starts.count == ends.count, axes.count == starts.count, steps.count == starts.count else {
            throw node.error(.invalidArgument, "starts, ends, axes and steps expect one number of values")
        }
        guard let shape = try node.type(0).shape else { return try computedSlice(node, x, rank: rank) }
        let positions = try axes.map { try node.axis($0, rank: rank, what: "axes") }
        let firsts = try starts.indices.map { index in
            try first(node, starts[index], of: shape[positions[index]], step: steps[index])
        }
        return try node.result(
            "strided_slice",
            [
                x, .tuple(positions.map { .int(Int64($0)) }), .shape(firsts), .shape(ends),
                .tuple(steps.map { .int($0) }),
            ])
    }

    /// Where a slice starts. Backwards, ONNX has a start before the first element mean the first one, which for the operator
    /// (as for NumPy) means none.
    private static func first(_ node: Node, _ start: Dim, of size: Dim, step: Int64) throws -> Dim {
        if step > 0 || start.isNonNegative { return start }
        guard let moved = Dim.adding(start, size).flatMap({ Dim.maximum($0, 0) }),
            let isNegative = Dim.less(start, 0), let first = Dim.select(isNegative, moved, start)
        else { throw node.error(.invalidShape, "a start overflows") }
        return first
    }

    /// From positions that the run computes.
    private static func computedSlice(_ node: Node, _ x: Operand, rank: Int?) throws -> [ImportedValue] {
        guard node.opset >= 10 else { throw node.unsupported("an input whose rank is not known") }
        try node.requireInputs(3...5)
        let given = try [1, 2, 3, 4].map { node.has($0) ? try node.integers($0) : nil }
        let counts = Set(given.compactMap { $0?.count })
        guard counts.count <= 1 else {
            throw node.error(.invalidArgument, "starts, ends, axes and steps expect one number of values")
        }
        var starts = try node.vector(given[0] ?? .known([]))
        let ends = try node.vector(given[1] ?? .known([]))
        let axes: Operand
        let steps: Operand
        if let count = counts.first {
            axes = try node.vector(given[2] ?? .known((0..<Int64(count)).map { $0 }))
            steps = try node.vector(given[3] ?? .known([Int64](repeating: 1, count: count)))
        } else {
            // As many as there are starts.
            let count = try node.call("size", [starts])
            func number(_ value: Int64) throws -> Operand { .constant(try Constant.ints([], [value])) }
            axes =
                try given[2].map { try node.vector($0) }
                ?? node.call("arange", [try number(0), count, try number(1)])
            steps = try given[3].map { try node.vector($0) } ?? node.call("ones_like", [starts])
        }
        // As `first`, above.
        if case .known(let values)? = given[3] ?? .known([]), values.allSatisfy({ $0 > 0 }) {
        } else {
            let sizes = try node.sizes(0)
            let wrapped = try node.call("floor_mod", [axes, try node.call("size", [sizes])])
            let zero = try node.list([0])
            let moved = try node.call("add", [starts, try node.call("take", [sizes, wrapped], ["axis": 0])])
            let isNegative = try node.call("less", [starts, zero])
            starts = try node.call("where", [isNegative, try node.call("maximum", [moved, zero]), starts])
        }
        // Axes that are known leave the other ones as they are.
        let listed: [Int64]? =
            given[2].map { if case .known(let values) = $0 { values } else { nil } }
            ?? counts.first.map { (0..<Int64($0)).map { $0 } }
        var known = [Dim?](repeating: nil, count: rank ?? 0)
        if let rank, let listed, let shape = try node.type(0).shape {
            known = shape
            for axis in listed { known[try node.axis(axis, rank: rank, what: "axes")] = nil }
        }
        let result = try node.call("strided_slice", [x, axes, starts, ends, steps])
        guard let rank else { return [.operand(try node.unsized(result, try node.type(0).dtype))] }
        return [.operand(try node.freshlySized(result, try node.type(0).dtype, rank: rank, known: known))]
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
        let shape = try node.shape(0)
        let axis = try node.axis(try node.int("axis", -1), rank: shape.count)
        var attributes: Attributes = [
            "axis": .int(Int64(axis)), "largest": .bool(try node.bool("largest", true)),
            "sorted": .bool(try node.bool("sorted", true)),
        ]
        let x = try node.operand(0)
        if try node.opset >= 10 && node.constant(1) == nil {
            let both = try node.dynamic("topk", [x], [try node.operand(1)], attributes)
            var known = shape.map { Optional($0) }
            known[axis] = try node.host(1)?.dims?.first ?? node.freshSize("k")
            return try [node.type(0).dtype, .int64].enumerated().map { index, dtype in
                let item = try node.item(index, of: both)
                return .operand(try node.freshlySized(item, dtype, rank: shape.count, known: known))
            }
        }
        attributes["k"] = .int(node.opset < 10 ? try node.int("k", 0) : Int64(clamping: try node.constantScalar(1)))
        let both = try node.call("topk", [x], attributes)
        return [.operand(try node.item(0, of: both)), .operand(try node.item(1, of: both))]
    }

    /// Depth and values may be computed by the model.
    private static func oneHot(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...3)
        var indices = try node.operand(0)
        if try node.type(of: indices).dtype?.isInteger == false { indices = try node.cast(indices, .int64) }
        let known = try node.constant(1) == nil ? nil : Int64(clamping: try node.constantScalar(1))
        let depth = try known.map { try node.list([$0]) } ?? node.cast(try node.operand(1), .int64)
        // A negative index counts from the end, which the operator does not know.
        let bound =
            try known.map { try node.scalar(Double($0), like: indices) }
            ?? node.cast(try node.reshape(depth, []), try node.type(of: indices).dtype ?? .int64)
        let wrapped = try node.call("floor_mod", [indices, bound])
        let inside = try node.call(
            "logical_and",
            [
                try node.call("greater_equal", [indices, try node.call("negative", [bound])]),
                try node.call("less", [indices, bound]),
            ])
        let chosen = try node.call("where", [inside, wrapped, bound])
        let shape = try node.shape(0)
        let axis = try node.axis(try node.int("axis", -1), rank: shape.count + 1)
        let dtype = try node.type(2).dtype ?? .float32
        let parts = try node.call("split", [try node.operand(2)], ["sections": 2])
        let (off, on) = (try node.item(0, of: parts), try node.item(1, of: parts))
        var attributes: Attributes = ["axis": .int(Int64(axis)), "dtype": .dtype(dtype)]
        if let known {
            attributes["depth"] = .int(known)
            return try node.result("one_hot", [chosen, on, off], attributes)
        }
        let result = try node.dynamic("one_hot", [chosen, on, off], [depth], attributes)
        var sizes = shape.map { Optional($0) }
        sizes.insert(try node.host(1)?.dims?.first, at: axis)
        return [.operand(try node.freshlySized(result, dtype, rank: sizes.count, known: sizes))]
    }
}
