import TenonIR

extension AttentionImporter {
    /// `nn.attention`; nil where it does not say what the node does.
    static func single(
        _ node: Node, rank: Int, _ queryHeads: Int64?, _ keyHeads: Int64?, softcap: Double, precision: DataType?
    ) throws -> [ImportedValue]? {
        guard !node.wants(3), try node.type(0).dtype == .float32, precision == nil || precision == .float32,
            try node.rank(1) == rank, try node.rank(2) == rank
        else { return nil }
        let (isCausal, hasPast, hasLengths) = (try node.bool("is_causal", false), node.has(4), node.has(6))
        guard hasPast == node.has(5) else {
            throw node.error(.invalidGraph, "past_key and past_value go together")
        }
        let scale = try node.optionalFloat("scale")
        let (left, right) = (try node.int("left_window_size", -1), try node.int("right_window_size", -1))
        // Windows are counted from the query's own place, which the operator knows only with causality.
        guard softcap >= 0, left < 0 && right < 0, !(hasPast && hasLengths) else { return nil }
        let query = try tokens(node, 0, rank, queryHeads)
        var key = try tokens(node, 1, rank, keyHeads)
        var value = try tokens(node, 2, rank, keyHeads)
        var layout = rank == 3 ? "bthd" : "bhtd"
        let needsHeads = hasPast || node.wants(1) || node.wants(2)
        if rank == 3, needsHeads {
            key = try node.call("permute_dims", [key], ["axes": .ints([0, 2, 1, 3])])
            value = try node.call("permute_dims", [value], ["axes": .ints([0, 2, 1, 3])])
            layout = "bhtd"
        }
        if hasPast {
            key = try node.call("concat", [.tuple([try node.operand(4), key])], ["axis": 2])
            value = try node.call("concat", [.tuple([try node.operand(5), value])], ["axis": 2])
        }
        guard let mask = try mask(node, key: key, layout, hasLengths: hasLengths) else { return nil }
        var attributes: Attributes = [
            "softcap": .float(softcap), "query_layout": .string(rank == 3 ? "bthd" : "bhtd"),
            "key_layout": .string(layout), "value_layout": .string(layout),
            "out_layout": .string(rank == 3 ? "bthd" : "bhtd"),
        ]
        if let scale { attributes["scale"] = .float(scale) }
        if isCausal {
            attributes["causal_mask"] = .string(hasLengths ? "Lengths" : hasPast ? "BottomRight" : "TopLeft")
        }
        var operands = [query, key, value] + mask
        if hasLengths { operands.append(try node.operand(6)) }
        var result = try node.call("nn.attention", operands, attributes)
        if rank == 3 {
            let found = try dims(node, result)
            guard let hidden = Dim.multiplying(found[2], found[3]) else {
                throw node.error(.invalidShape, "a product of sizes does not fit")
            }
            result = try node.reshape(result, [found[0], found[1], hidden])
        }
        return [result, key, value].map { .operand($0) }
    }

    /// [batch, token, head, size] of an input of three dimensions; one of four as it is.
    private static func tokens(_ node: Node, _ index: Int, _ rank: Int, _ count: Int64?) throws -> Operand {
        let x = try node.operand(index)
        guard rank == 3 else { return x }
        guard let count, count > 0 else { throw node.error(.invalidArgument, "the numbers of heads are missing") }
        let shape = try node.shape(index)
        if let hidden = shape[2].value, hidden % count != 0 {
            throw node.error(.invalidShape, "\(hidden) values do not divide into \(count) heads")
        }
        guard let size = Dim.floorDividing(shape[2], by: count) else {
            throw node.error(.invalidShape, "a size does not fit")
        }
        return try node.call("reshape", [x, .shape([shape[0], shape[1], .fixed(count), size])])
    }

    /// The mask as an operand, none, or one that hides nothing where lengths stand behind it; nil where it must be spelled out.
    private static func mask(
        _ node: Node, key: Operand, _ layout: String, hasLengths: Bool
    ) throws -> [Operand]? {
        guard node.has(3) else {
            guard hasLengths else { return [] }
            return [.constant(try Constant.filled(.bool, [1], 1))]
        }
        let type = try node.type(3)
        let keys = try dims(node, key)[layout == "bthd" ? 1 : 2]
        // A mask that does not reach all keys hides the others.
        guard let last = type.shape?.last, last == keys, let rank = type.rank, rank <= 4,
            type.dtype == .bool || type.dtype == .float32
        else { return nil }
        return [try node.operand(3)]
    }
}
