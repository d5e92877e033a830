import TenonIR

/// Operators that cut, repeat, pad and rearrange.
enum RegroupingImporters {
    static let table: [String: OperatorImporter] = [
        "Split": OperatorImporter(since: 2, split),
        "Expand": OperatorImporter(since: 8, expand),
        "Tile": OperatorImporter(since: 6) { node in
            try node.requireInputs(2...2)
            let x = try node.operand(0)
            let type = try node.type(0)
            let repeats = try type.rank.map { try node.integers(1, count: $0) } ?? node.integers(1)
            if case .known(let repeats) = repeats { return try node.result("tile", [x], ["repeats": .ints(repeats)]) }
            let result = try node.dynamic("tile", [x], [try node.vector(repeats)])
            guard let shape = type.shape, let times = repeats.dims else {
                return [.operand(try node.unsized(result, type.dtype, rank: type.rank ?? repeats.count))]
            }
            let known = zip(shape, times).map { Dim.multiplying($0, $1) }
            return [.operand(try node.freshlySized(result, type.dtype, rank: shape.count, known: known))]
        },
        "Pad": OperatorImporter(since: 2, pad),
        "DepthToSpace": OperatorImporter { node in
            let x = try ArithmeticImporters.single(node)
            return try node.result(
                "nn.depth_to_space", [x],
                ["block_size": .int(try node.int("blocksize", 0)), "mode": .string(try node.string("mode", "DCR"))])
        },
        "SpaceToDepth": OperatorImporter { node in
            let mode = try node.string("mode", "DCR")
            guard mode == "DCR" || mode == "CRD" else {
                throw node.error(.invalidArgument, "mode is \(quoted(mode))")
            }
            let (x, block) = (try ArithmeticImporters.single(node), try node.int("blocksize", 0))
            let moved = try node.call("nn.space_to_depth", [x], ["block_size": .int(block)])
            guard mode == "CRD", let shape = try node.type(of: moved).shape else {
                if mode == "CRD" { throw node.unsupported("an input whose shape is not known") }
                return [.operand(moved)]
            }
            // Blocks stand in front of channels, and shall stand behind them. The call above has checked that the area fits.
            let channels = try node.shape(0)[1]
            let apart = try node.reshape(moved, [shape[0], .fixed(block * block), channels, shape[2], shape[3]])
            return [
                .operand(
                    try node.reshape(try node.call("permute_dims", [apart], ["axes": .ints([0, 2, 1, 3, 4])]), shape))
            ]
        },
        "Trilu": OperatorImporter(since: 14) { node in
            try node.requireInputs(1...2)
            let op = try node.bool("upper", true) ? "triu" : "tril"
            let x = try node.operand(0)
            if try node.has(1) && node.constant(1) == nil {
                return [
                    .operand(try node.sized(try node.dynamic(op, [x], [try node.operand(1)]), try node.type(of: x)))
                ]
            }
            let k = node.has(1) ? Int64(clamping: try node.constantScalar(1)) : 0
            return try node.result(op, [x], ["k": .int(k)])
        },
    ]

    private static func split(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(node.opset < 13 ? 1...1 : 1...2)
        if try node.type(0).shape == nil, !node.has(1), try node.opset >= 13 || node.ints("split") == nil {
            // Parts of one size need not know the rank.
            let count = node.proto.output.count
            let sections = try node.int("num_outputs", Int64(count))
            guard sections == Int64(count) else {
                throw node.error(.invalidArgument, "num_outputs is \(sections), the node has \(count) outputs")
            }
            let parts = try node.call(
                "split", [try node.operand(0)],
                ["axis": .int(try node.int("axis", 0)), "sections": .int(sections)])
            return try node.proto.output.indices.map { index in
                node.wants(index) ? .operand(try node.item(index, of: parts)) : .unsupported
            }
        }
        let shape = try node.shape(0)
        let axis = try node.axis(try node.int("axis", 0), rank: shape.count)
        var attributes: Attributes = ["axis": .int(Int64(axis))]
        let count: Int
        if try node.opset >= 13 && node.has(1) && node.host(1)?.ints == nil {
            return try computedSplit(node, shape, axis: axis)
        }
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
            let listed = try node.opset < 13 ? node.ints("split") : node.has(1) ? node.host(1)?.ints : nil
            if let listed { return try split(node, shape, axis: axis, sizes: listed) }
            count = node.proto.output.count
            attributes["sections"] = .int(try node.int("num_outputs", Int64(count)))
        }
        let parts = try node.call("split", [try node.operand(0)], attributes)
        return try (0..<count).map { index in
            node.wants(index) ? .operand(try node.item(index, of: parts)) : .unsupported
        }
    }

    /// Into parts of known sizes, of an axis whose size only a run knows: it must be their sum.
    private static func split(_ node: Node, _ shape: [Dim], axis: Int, sizes: [Int64]) throws -> [ImportedValue] {
        var ends: [Int64] = []
        for size in sizes {
            let (end, overflow) = (ends.last ?? 0).addingReportingOverflow(size)
            guard size >= 0, !overflow else { throw node.error(.invalidArgument, "the parts are \(sizes)") }
            ends.append(end)
        }
        guard let total = ends.last else { throw node.error(.invalidArgument, "expected at least one part") }
        var whole = shape
        whole[axis] = .fixed(total)
        let x = try node.sized(try node.operand(0), TensorType(try node.type(0).dtype, whole))
        let parts = try node.call(
            "split", [x], ["axis": .int(Int64(axis)), "indices": .ints(Array(ends.dropLast()))])
        return try sizes.indices.map { index in
            node.wants(index) ? .operand(try node.item(index, of: parts)) : .unsupported
        }
    }

    /// Into parts whose sizes the run computes, and which fill the axis.
    private static func computedSplit(_ node: Node, _ shape: [Dim], axis: Int) throws -> [ImportedValue] {
        let given = try node.integers(1, count: node.proto.output.count)
        let count = given.count ?? 0
        let sizes = try node.vector(given)
        let ends = try node.call("cumsum", [sizes])
        let last = Int64(count) - 1
        guard last >= 0 else { throw node.error(.invalidArgument, "expected at least one part") }
        let bounds = try node.call(
            "strided_slice", [ends, .tuple([.int(0)]), .tuple([.int(0)]), .tuple([.int(last)])])
        let parts = try node.dynamic("split", [try node.operand(0)], [bounds], ["axis": .int(Int64(axis))])
        // The run fails when the last part is not what is left.
        let lengths = try given.dims.map { Operand.shape($0) } ?? node.shape(sizes, count: count)
        guard case .shape(let dims?) = node.graph.builder.type(of: lengths) else { return [] }
        return try (0..<count).map { index in
            guard node.wants(index) else { return .unsupported }
            var part = shape
            part[axis] = dims[index]
            return .operand(try node.sized(try node.item(index, of: parts), TensorType(try node.type(0).dtype, part)))
        }
    }

    /// Both shapes broadcast; only the input's elements move.
    private static func expand(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        guard let shape = try node.type(0).shape, let target = try node.host(1)?.dims else {
            return try computedExpand(node)
        }
        guard target.count <= node.graph.options.limits.rank, let common = Broadcast.shape(shape, target) else {
            throw node.error(.invalidShape, "\(try node.type(0)) does not broadcast with \(target)")
        }
        if common == shape { return [.operand(try node.operand(0))] }
        return try node.result("broadcast_to", [try node.operand(0), .shape(common)])
    }

    /// To a shape that the run computes.
    private static func computedExpand(_ node: Node) throws -> [ImportedValue] {
        let given = try node.integers(1)
        let type = try node.type(0)
        guard let shape = type.shape, let count = given.count else {
            // A condition of that shape that always holds makes the rank the larger one.
            let yes = Operand.constant(try Constant.filled(.bool, [], 1))
            let all = try node.call("full", [try node.unknownShape(try node.vector(given)), yes])
            let x = try node.operand(0)
            return [.operand(try node.unsized(try node.call("where", [all, x, x]), type.dtype))]
        }
        let rank = max(shape.count, count)
        func filled(_ vector: Operand, _ count: Int) throws -> Operand {
            if count == rank { return vector }
            let ones = try node.list([Int64](repeating: 1, count: rank - count))
            return try node.call("concat", [.tuple([ones, vector])], ["axis": 0])
        }
        let own = try filled(try node.sizes(of: shape), shape.count)
        let target = try filled(try node.vector(given), count)
        let isOne = try node.call("equal", [target, try node.list([1])])
        let common = try node.call("where", [isOne, own, target])
        return try node.result("broadcast_to", [try node.operand(0), try node.shape(common, count: rank)])
    }

    /// Widths and value are attributes before opset 11.
    private static func pad(_ node: Node) throws -> [ImportedValue] {
        let rank = try node.rank(0)
        let modes = ["constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"]
        let name = try node.string("mode", "constant")
        guard let mode = modes[name] else { throw node.error(.invalidArgument, "mode is \(quoted(name))") }
        var value = 0.0
        let pads: [Int64]
        var axes = [Int](0..<rank)
        if node.opset < 11 {
            try node.requireInputs(1...1)
            pads = try node.ints("pads") ?? []
            value = try node.float("value", 0)
        } else {
            try node.requireInputs(2...4)
            guard let known = try node.host(1)?.ints, try !node.has(2) || node.constant(2) != nil,
                try !node.has(3) || node.host(3)?.ints != nil
            else { return try computedPad(node, rank: rank, mode: mode) }
            pads = known
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
        return try node.result(
            "nn.pad", [try node.operand(0)],
            ["pad_width": .ints(widths), "pad_mode": .string(mode), "pad_value": .float(value)])
    }

    /// By widths, of a value or along axes that the run computes.
    private static func computedPad(_ node: Node, rank: Int, mode: String) throws -> [ImportedValue] {
        let axes = try node.has(3) ? node.integers(3) : .known((0..<Int64(rank)).map { $0 })
        let given = try node.integers(1)
        let pads = try axes.count.map { try node.integers(1, count: $0 * 2) } ?? given
        // All widths before, then all after; the operator takes them axis by axis.
        let rows = try node.reshape(try node.vector(pads), [2, -1])
        var widths = try node.call("permute_dims", [rows])
        if node.has(3) {
            let wrapped = try node.call("floor_mod", [try node.vector(axes), try node.list([Int64(rank)])])
            let zeros = Operand.constant(try Constant.filled(.int64, [Int64(rank), 2], 0))
            let places = try node.reshape(wrapped, [-1, 1])
            widths = try node.call("scatter_nd", [zeros, places, widths])
        }
        let value = node.has(2) ? try node.reshape(try node.operand(2), []) : .constant(try Constant.floats([], [0]))
        let result = try node.dynamic(
            "nn.pad", [try node.operand(0)], [try node.reshape(widths, [.fixed(Int64(rank) * 2)]), value],
            ["pad_mode": .string(mode)])
        let type = try node.type(0)
        var known = [Dim?](repeating: nil, count: rank)
        if let shape = type.shape, let sizes = pads.dims, case .known(let listed) = axes {
            known = shape
            for (index, axis) in listed.enumerated() {
                let place = try node.axis(axis, rank: rank, what: "axes")
                known[place] = Dim.adding(sizes[index], sizes[index + listed.count]).flatMap {
                    Dim.adding(shape[place], $0)
                }
            }
        }
        return [.operand(try node.freshlySized(result, type.dtype, rank: rank, known: known))]
    }
}
