import TenonIR

/// Sequences of tensors whose lengths and positions are known while importing.
enum SequenceImporters {
    static let table: [String: OperatorImporter] = [
        "SequenceEmpty": OperatorImporter(since: 11) { node in
            try node.requireInputs(0...0)
            node.ignore("dtype")
            return [.sequence([])]
        },
        "SequenceConstruct": OperatorImporter(since: 11) { node in
            guard node.inputCount > 0 else { throw node.error(.invalidGraph, "expected at least 1 input") }
            return [.sequence(try (0..<node.inputCount).map { try node.operand($0) })]
        },
        "SequenceInsert": OperatorImporter(since: 11) { node in
            try node.requireInputs(2...3)
            var items = try node.sequence(0)
            items.insert(
                try node.operand(1), at: try position(node, 2, count: items.count, most: items.count, items.count))
            return [.sequence(items)]
        },
        "SequenceErase": OperatorImporter(since: 11) { node in
            try node.requireInputs(1...2)
            var items = try node.sequence(0)
            items.remove(at: try position(node, 1, count: items.count, most: items.count - 1, items.count - 1))
            return [.sequence(items)]
        },
        "SequenceAt": OperatorImporter(since: 11) { node in
            try node.requireInputs(2...2)
            if let slices = try node.slices(0) { return try element(node, of: slices) }
            let items = try node.sequence(0)
            return [.operand(items[try position(node, 1, count: items.count, most: items.count - 1, 0)])]
        },
        "SequenceLength": OperatorImporter(since: 11) { node in
            try node.requireInputs(1...1)
            let count = try node.slices(0)?.count ?? .fixed(Int64(try node.sequence(0).count))
            return [.host(try HostTensor(.int64, [], .dims([count])))]
        },
        "ConcatFromSequence": OperatorImporter(since: 11) { node in
            try node.requireInputs(1...1)
            if let slices = try node.slices(0) { return try joined(node, slices) }
            let items = try node.sequence(0)
            guard let axis = try node.int("axis"), !items.isEmpty else {
                throw node.error(.invalidArgument, "expected an axis and a sequence that is not empty")
            }
            let op = try node.bool("new_axis", false) ? "stack" : "concat"
            return try node.result(op, [.tuple(items)], ["axis": .int(axis)])
        },
        "SplitToSequence": OperatorImporter(since: 11, split),
        "Optional": OperatorImporter(since: 15) { node in
            node.ignore("type")
            return [node.has(0) ? try node.imported(0) : .absent]
        },
        "OptionalGetElement": OperatorImporter(since: 15) { node in
            try node.requireInputs(1...1)
            if case .absent = try node.imported(0) {
                throw node.error(.invalidArgument, "the element of an optional that holds nothing")
            }
            return [try node.imported(0)]
        },
        "OptionalHasElement": OperatorImporter(since: 15) { node in
            var holds = node.has(0)
            if holds, case .absent = try node.imported(0) { holds = false }
            return [.host(try HostTensor(.bool, [], .dims([holds ? 1 : 0])))]
        },
    ]

    /// Where input `index` points: from -count to `most`, negative ones from the end.
    ///
    /// - Parameter fallback: without that input.
    private static func position(_ node: Node, _ index: Int, count: Int, most: Int, _ fallback: Int) throws -> Int {
        let given: Int64
        if node.has(index) {
            guard let first = try node.constantInts(index).first else {
                throw node.error(.invalidShape, "a position expects one number")
            }
            given = first
        } else {
            given = Int64(fallback)
        }
        guard given >= -Int64(count), given <= Int64(most), most >= 0, fallback >= 0 else {
            throw node.error(.invalidArgument, "position \(given) in a sequence of \(count)")
        }
        return Int(given < 0 ? given + Int64(count) : given)
    }

    /// Of an axis whose size only a run knows.
    private static func cut(_ node: Node, _ shape: [Dim], axis: Int) throws -> [ImportedValue] {
        let keepsAxis = try node.bool("keepdims", true) || node.has(1)
        if node.has(1), try node.rank(1) > 0 { throw node.unsupported("given parts of a size that is not known") }
        let size = try node.has(1) ? node.constantInts(1).first ?? 0 : 1
        guard size > 0, size <= Int64(Int32.max),
            let count = Dim.adding(shape[axis], .fixed(size - 1)).flatMap({ Dim.floorDividing($0, by: size) })
        else { throw node.error(.invalidArgument, "parts of size \(size)") }
        return [
            .slices(
                SliceSequence(
                    tensor: try node.operand(0), axis: axis, size: size, keepsAxis: keepsAxis, count: count))
        ]
    }

    private static func element(_ node: Node, of slices: SliceSequence) throws -> [ImportedValue] {
        let axis = Int64(slices.axis)
        let position = try node.reshape(try node.cast(try node.operand(1), .int64), [])
        if slices.size == 1 {
            let element = try node.call("take", [slices.tensor, position], ["axis": .int(axis)])
            return [
                .operand(slices.keepsAxis ? try node.call("expand_dims", [element], ["axis": .ints([axis])]) : element)
            ]
        }
        guard var shape = try node.type(of: slices.tensor).shape else { throw node.unsupported("an unknown shape") }
        // Negative positions count from the end.
        let wrapped = try node.call("floor_mod", [position, try node.reshape(try node.sizes(of: [slices.count]), [])])
        let begin = try node.reshape(
            try node.call("multiply", [wrapped, .constant(try Constant.ints([], [slices.size]))]), [1])
        let end = try node.call("add", [begin, try node.list([slices.size])])
        let part = try node.call(
            "strided_slice", [slices.tensor, try node.list([axis]), begin, end, try node.list([1])])
        shape[slices.axis] = node.freshSize("part")
        return [.operand(try node.sized(part, TensorType(try node.type(of: slices.tensor).dtype, shape)))]
    }

    /// Along the axis that they were cut along they are the tensor again.
    private static func joined(_ node: Node, _ slices: SliceSequence) throws -> [ImportedValue] {
        guard let shape = try node.type(of: slices.tensor).shape, let given = try node.int("axis") else {
            throw node.error(.invalidArgument, "expected an axis")
        }
        let isNew = try node.bool("new_axis", false)
        let rank = slices.keepsAxis ? shape.count : shape.count - 1
        let axis = try node.axis(given, rank: isNew ? rank + 1 : rank)
        if slices.keepsAxis, !isNew, axis == slices.axis { return [.operand(slices.tensor)] }
        guard !slices.keepsAxis, isNew else { throw node.unsupported("a sequence whose length only a run knows") }
        var order = (0..<shape.count).filter { $0 != slices.axis }.map { Int64($0) }
        order.insert(Int64(slices.axis), at: axis)
        return try node.result("permute_dims", [slices.tensor], ["axes": .ints(order)])
    }

    /// Into parts of one size, the last of which may be smaller, of given sizes, or into slices.
    private static func split(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...2)
        let shape = try node.shape(0)
        let axis = try node.axis(try node.int("axis", 0), rank: shape.count)
        guard let total = shape[axis].value else { return try cut(node, shape, axis: axis) }
        let keepsAxis = try node.bool("keepdims", true) || node.has(1)
        var ends: [Int64] = []
        if node.has(1), try node.rank(1) > 0 {
            var end: Int64 = 0
            for size in try node.constantInts(1) {
                guard size >= 0, size <= total - end else {
                    throw node.error(.invalidArgument, "parts that do not fill a size of \(total)")
                }
                end += size
                ends.append(end)
            }
            guard end == total else { throw node.error(.invalidArgument, "parts that do not fill a size of \(total)") }
        } else {
            let size = try node.has(1) ? node.constantInts(1).first ?? 0 : 1
            guard size > 0 else { throw node.error(.invalidArgument, "parts of size \(size)") }
            guard total / size < HostTensor.maximumCount else {
                throw TenonError.onnxLimit("a sequence of over \(total / size)")
            }
            var end: Int64 = 0
            while end < total {
                end = size < total - end ? end + size : total
                ends.append(end)
            }
        }
        guard let last = ends.last else { return [.sequence([])] }
        let x = try node.operand(0)
        if ends.count == 1, last == total, keepsAxis { return [.sequence([x])] }
        let parts = try node.call(
            "split", [x], ["axis": .int(Int64(axis)), "indices": .ints(Array(ends.dropLast()))])
        return [
            .sequence(
                try ends.indices.map { index in
                    let part = try node.item(index, of: parts)
                    return keepsAxis ? part : try node.call("squeeze", [part], ["axis": .ints([Int64(axis)])])
                })
        ]
    }
}
