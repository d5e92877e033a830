import TenonIR

/// RotaryEmbedding: pairs of values turned by an angle that their position gives.
enum RotaryImporter {
    static let table: [String: OperatorImporter] = ["RotaryEmbedding": OperatorImporter(since: 23, rotary)]

    private static func rotary(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...4)
        let rank = try node.rank(0)
        guard rank == 3 || rank == 4 else {
            throw node.error(.invalidShape, "X expects 3 or 4 dimensions, found \(rank)")
        }
        let declared = try node.shape(0)
        let count = try node.int("num_heads", 0)
        // [batch, sequence, heads, size], where the caches broadcast along heads.
        var x = try node.operand(0)
        if rank == 4 {
            x = try node.call("permute_dims", [x], ["axes": .ints([0, 2, 1, 3])])
        } else {
            guard count > 0, let size = Dim.floorDividing(declared[2], by: count) else {
                throw node.error(.invalidArgument, "num_heads expects a number above 0, found \(count)")
            }
            x = try node.call("reshape", [x, .shape([declared[0], declared[1], .fixed(count), size])])
        }
        guard let size = try node.type(of: x).shape?[3].value else { throw node.unsupported("heads of symbolic size") }
        let asked = try node.int("rotary_embedding_dim", 0)
        let turned = asked == 0 ? size : asked
        guard turned > 0, turned <= size, turned % 2 == 0 else {
            throw node.error(.invalidArgument, "rotary_embedding_dim \(turned) expects an even number up to \(size)")
        }
        let isInterleaved = try node.bool("interleaved", false)
        func part(_ begin: Int64, _ end: Int64, _ step: Int64 = 1) throws -> Operand {
            try node.call(
                "strided_slice",
                [x, .tuple([.int(3)]), .tuple([.int(begin)]), .tuple([.int(end)]), .tuple([.int(step)])])
        }
        let first = try isInterleaved ? part(0, turned, 2) : part(0, turned / 2)
        let second = try isInterleaved ? part(1, turned, 2) : part(turned / 2, turned)
        let (cosine, sine) = (try cache(node, 1), try cache(node, 2))
        func times(_ a: Operand, _ b: Operand) throws -> Operand { try node.call("multiply", [a, b]) }
        let real = try node.call("subtract", [try times(first, cosine), try times(second, sine)])
        let imaginary = try node.call("add", [try times(first, sine), try times(second, cosine)])
        var result: Operand
        if isInterleaved {
            let pairs = try node.call("stack", [.tuple([real, imaginary])], ["axis": 4])
            guard let shape = try node.type(of: x).shape else { throw node.unsupported("an unknown shape") }
            result = try node.reshape(pairs, [shape[0], shape[1], shape[2], .fixed(turned)])
        } else {
            result = try node.call("concat", [.tuple([real, imaginary])], ["axis": 3])
        }
        if turned < size {
            result = try node.call("concat", [.tuple([result, try part(turned, size)])], ["axis": 3])
        }
        return rank == 4
            ? try node.result("permute_dims", [result], ["axes": .ints([0, 2, 1, 3])])
            : [.operand(try node.reshape(result, declared))]
    }

    /// A cache [positions, size] picked by position_ids, or [batch, sequence, size], with a dimension for heads.
    private static func cache(_ node: Node, _ index: Int) throws -> Operand {
        var values = try node.operand(index)
        if node.has(3) { values = try node.call("take", [values, try node.operand(3)], ["axis": 0]) }
        guard try node.type(of: values).rank == 3 else {
            throw node.error(.invalidShape, "a cache of \(try node.type(index)) does not fit")
        }
        return try node.call("expand_dims", [values], ["axis": .ints([2])])
    }
}
