import TenonIR

/// Attention of language models: several query heads share one of keys and values, positions are turned into the values, and
/// keys and values of before come in, as they are or in a buffer with room for more.
enum GroupQueryAttention {
    static let table: [String: OperatorImporter] = [
        "com.microsoft.GroupQueryAttention": OperatorImporter(attention),
        "com.microsoft.RotaryEmbedding": OperatorImporter(rotary),
    ]

    private static func attention(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(7...16)
        for (index, name) in [
            (11, "head_sink"), (12, "k_scale"), (13, "v_scale"), (14, "q_norm_weight"), (15, "k_norm_weight"),
        ]
        where node.has(index) {
            throw node.unsupported("input \(name)")
        }
        if try node.bool("smooth_softmax", false) { throw node.unsupported("smooth_softmax") }
        if try node.int("kv_cache_bit_width", 0) != 0 { throw node.unsupported("kv_cache_bit_width") }
        if try node.int("qk_output", 0) != 0 || node.wants(3) { throw node.unsupported("output qk") }
        for name in ["k_quant_type", "v_quant_type"] where try node.string(name, "NONE") != "NONE" {
            throw node.unsupported(ErrorMessage("\(name)"))
        }
        let heads = try ContribHeads(node, keys: "kv_num_heads")
        let shape = try node.shape(0)
        guard shape.count == 3 else {
            throw node.error(.invalidShape, "query expects 3 dimensions, found \(try node.type(0))")
        }
        var parts: [Operand]
        if node.has(1) {
            guard node.has(2) else { throw node.error(.invalidGraph, "value is missing") }
            parts = [try node.operand(0), try node.operand(1), try node.operand(2)]
        } else {
            let total = heads.count + 2 * heads.keyCount
            guard let width = shape[2].value, width % total == 0 else {
                throw node.error(
                    .invalidShape, "a packed query expects a multiple of \(total) values, found \(shape[2])")
            }
            let size = width / total
            parts = try heads.split(
                try node.operand(0), [heads.count, heads.keyCount, heads.keyCount].map { .fixed($0 * size) }, axis: 2)
        }
        var query = try heads.separated(parts[0])
        var key = try heads.separated(parts[1], count: heads.keyCount)
        let value = try heads.byHead(try heads.separated(parts[2], count: heads.keyCount))
        // How many keys each sample has with the new ones, and where the new ones go. A first call may be padded at the end.
        guard try node.type(5).shape.map({ $0.count <= 2 }) ?? true else {
            throw node.error(.invalidShape, "seqlens_k expects 1 dimension, found \(try node.type(5))")
        }
        let last = try node.reshape(try node.cast(try node.operand(5), .int64), [shape[0]])
        let counted = try node.call("add", [last, try node.list([1])])
        let zero = try node.list([0])
        let starts = try node.call(
            "maximum", [try node.call("subtract", [counted, try node.sizes(of: [shape[1]])]), zero])
        if try node.bool("do_rotary", false) {
            guard node.has(7), node.has(8) else {
                throw node.error(.invalidGraph, "cos_cache and sin_cache are missing")
            }
            let positions: Operand
            if node.has(9) {
                positions = try node.cast(try node.operand(9), .int64)
            } else {
                let steps = try node.call("arange", [.shape([0]), .shape([shape[1]]), .shape([1])])
                positions = try node.call("add", [try node.reshape(starts, [shape[0], 1]), steps])
            }
            let turn = Rotation(
                node: node, cosine: try node.operand(7), sine: try node.operand(8), positions: positions,
                isInterleaved: try node.bool("rotary_interleaved", false))
            query = try turn.applied(to: query)
            key = try turn.applied(to: key)
        } else {
            node.ignore("rotary_interleaved")
        }
        key = try heads.byHead(key)
        let (keys, values) = try present(node, heads, key, value, starts: starts, new: shape[1])
        let end = try node.call("add", [starts, try node.sizes(of: [shape[1]])])
        var mask: Operand?
        if node.has(10) {
            guard let sizes = try node.type(10).shape, sizes.count == 4, let total = try node.type(of: keys).shape?[2]
            else {
                throw node.error(.invalidShape, "attention_bias expects 4 dimensions, found \(try node.type(10))")
            }
            // A buffer has room that the bias does not speak of; those keys are hidden by the lengths.
            mask = try widened(node, try node.operand(10), sizes, to: total)
        }
        let window = try node.int("local_window_size", -1)
        let result = try heads.attention(
            query, keys, values, mask, lengths: end, keyLayout: "bhtd", isCausal: true,
            window: window > 0 ? window - 1 : -1, softcap: try node.float("softcap", 0))
        return [.operand(try heads.joined(result)), .operand(keys), .operand(values)]
    }

    /// Keys and values of before with the new ones put in: as long as the longer of what came in and what there is now.
    private static func present(
        _ node: Node, _ heads: ContribHeads, _ key: Operand, _ value: Operand, starts: Operand, new: Dim
    ) throws -> (Operand, Operand) {
        guard node.has(3) == node.has(4) else { throw node.error(.invalidGraph, "past_key and past_value go together") }
        guard node.has(3) else { return (key, value) }
        guard let past = try node.type(3).shape, past.count == 4, try node.rank(4) == 4 else {
            throw node.error(.invalidShape, "past_key expects 4 dimensions, found \(try node.type(3))")
        }
        let total: Dim
        if let known = try node.host(6)?.dims?.first {
            total = known
        } else {
            let vector = try node.reshape(try node.cast(try node.operand(6), .int64), [1])
            // The builder is read after it has been told of the shape.
            let shape = try node.shape(vector, count: 1)
            guard case .shape(let dims?) = node.graph.builder.type(of: shape) else {
                throw node.unsupported("total_sequence_length")
            }
            total = dims[0]
        }
        guard let length = Dim.maximum(past[2], total), let more = Dim.subtracting(length, past[2]) else {
            throw node.error(.invalidShape, "a size overflows")
        }
        func grown(_ index: Int, _ new: Operand) throws -> Operand {
            var buffer = try node.operand(index)
            let shape = try AttentionImporter.dims(node, new)
            if more != 0 {
                let dtype = try node.type(of: new).dtype ?? .float32
                let room = try node.call(
                    "zeros", [.shape([shape[0], shape[1], more, shape[3]])], ["dtype": .dtype(dtype)])
                buffer = try node.call("concat", [.tuple([buffer, room])], ["axis": 2])
            }
            return try heads.put(new, into: buffer, at: starts)
        }
        return (try grown(3, key), try grown(4, value))
    }

    private static func widened(_ node: Node, _ bias: Operand, _ sizes: [Dim], to total: Dim) throws -> Operand {
        guard sizes[3] != total, let more = Dim.subtracting(total, sizes[3]) else { return bias }
        let dtype = try node.type(of: bias).dtype ?? .float32
        let room = try node.call("zeros", [.shape([sizes[0], sizes[1], sizes[2], more])], ["dtype": .dtype(dtype)])
        return try node.call("concat", [.tuple([bias, room])], ["axis": 3])
    }

    // MARK: - RotaryEmbedding

    /// Its inputs stand in another order than those of ONNX's operator: input, position_ids, cos_cache, sin_cache.
    private static func rotary(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(4...4)
        if try node.bool("is_packed_batching", false) { throw node.unsupported("is_packed_batching") }
        let scale = try node.float("scale", 1)
        if scale != 1 { throw node.unsupported("scale \(scale)") }
        let shape = try node.shape(0)
        let count = try node.int("num_heads", 0)
        let turned = try node.int("rotary_embedding_dim", 0)
        var x = try node.operand(0)
        switch shape.count {
        case 4: x = try node.call("permute_dims", [x], ["axes": .ints([0, 2, 1, 3])])
        case 3:
            var size: Dim?
            if count > 0 {
                size = Dim.floorDividing(shape[2], by: count)
            } else if turned == 0, let half = try node.type(2).shape?.last {
                // The caches tell the size of a head.
                size = Dim.multiplying(half, 2)
            }
            guard let size, let heads = Dim.floorDividing(shape[2], by: size) else {
                throw node.error(.invalidArgument, "num_heads expects a number above 0, found \(count)")
            }
            x = try node.call("reshape", [x, .shape([shape[0], shape[1], heads, size])])
        default: throw node.error(.invalidShape, "input expects 3 or 4 dimensions, found \(try node.type(0))")
        }
        guard let sizes = try node.type(of: x).shape, let positionsShape = try node.type(1).shape else {
            throw node.unsupported("an input whose shape is not known")
        }
        var positions = try node.cast(try node.operand(1), .int64)
        if positionsShape.count <= 1 {
            // Where the first token stands.
            let steps = try node.call("arange", [.shape([0]), .shape([sizes[1]]), .shape([1])])
            positions = try node.reshape(
                try node.call("add", [try node.reshape(positions, [1]), steps]), [1, sizes[1]])
        }
        let turn = Rotation(
            node: node, cosine: try node.operand(2), sine: try node.operand(3), positions: positions,
            isInterleaved: try node.bool("interleaved", false))
        let result = try turn.applied(to: x)
        return shape.count == 4
            ? try node.result("permute_dims", [result], ["axes": .ints([0, 2, 1, 3])])
            : [.operand(try node.reshape(result, shape))]
    }
}

/// Pairs of values turned by the angle of their token's position.
struct Rotation {
    let node: Node
    /// [positions, pairs].
    let cosine: Operand
    let sine: Operand
    /// [batch or 1, tokens].
    let positions: Operand
    let isInterleaved: Bool

    /// Of [batch, tokens, heads, size]; as many values of each head as the caches have pairs for.
    func applied(to x: Operand) throws -> Operand {
        let shape = try AttentionImporter.dims(node, x)
        guard let pairs = try node.type(of: cosine).shape?.last?.value, pairs > 0, pairs <= Int64(Int32.max),
            try node.type(of: cosine).rank == 2, try node.type(of: sine).rank == 2
        else {
            throw node.error(
                .invalidShape,
                "cos_cache and sin_cache expect [positions, size / 2], found \(try node.type(of: cosine))")
        }
        let turned = 2 * pairs
        if let size = shape[3].value, turned > size {
            throw node.error(.invalidShape, "caches of \(pairs) pairs for heads of \(size) values")
        }
        func part(_ begin: Int64, _ end: Dim, _ step: Int64 = 1) throws -> Operand {
            try node.call(
                "strided_slice",
                [x, .tuple([.int(3)]), .shape([.fixed(begin)]), .shape([end]), .tuple([.int(step)])])
        }
        func cache(_ values: Operand) throws -> Operand {
            try node.call(
                "expand_dims", [try node.call("take", [values, positions], ["axis": 0])], ["axis": .ints([2])])
        }
        let first = try isInterleaved ? part(0, .fixed(turned), 2) : part(0, .fixed(pairs))
        let second = try isInterleaved ? part(1, .fixed(turned), 2) : part(pairs, .fixed(turned))
        let (cosine, sine) = (try cache(cosine), try cache(sine))
        func times(_ a: Operand, _ b: Operand) throws -> Operand { try node.call("multiply", [a, b]) }
        let real = try node.call("subtract", [try times(first, cosine), try times(second, sine)])
        let imaginary = try node.call("add", [try times(first, sine), try times(second, cosine)])
        var result: Operand
        if isInterleaved {
            let stacked = try node.call("stack", [.tuple([real, imaginary])], ["axis": 4])
            result = try node.reshape(stacked, [shape[0], shape[1], shape[2], .fixed(turned)])
        } else {
            result = try node.call("concat", [.tuple([real, imaginary])], ["axis": 3])
        }
        if shape[3].value != turned {
            result = try node.call("concat", [.tuple([result, try part(turned, shape[3])])], ["axis": 3])
        }
        return result
    }
}
