import TenonIR

/// Attention as ONNX Runtime's optimiser writes it: `Attention` with the products of its inputs inside, `MultiHeadAttention`,
/// and the forms with packed tokens and for one token at a time.
enum ContribAttention {
    static let table: [String: OperatorImporter] = [
        "com.microsoft.Attention": OperatorImporter { node in
            try node.requireInputs(2...7)
            return try attention(node, mask: 3, past: 4, bias: 5) {
                let x = try node.call("matmul", [try node.operand(0), try node.operand(1)])
                return node.has(2) ? try node.call("add", [x, try node.operand(2)]) : x
            }
        },
        "com.microsoft.MultiHeadAttention": OperatorImporter(multiHead),
        "com.microsoft.DecoderMaskedMultiHeadAttention": OperatorImporter(decoderMasked),
        "com.microsoft.PackedAttention": OperatorImporter(packed),
        "com.microsoft.PackedMultiHeadAttention": OperatorImporter(packedMultiHead),
    ]

    // MARK: - Attention

    /// - Parameters:
    ///   - mask, past, bias: places of the inputs.
    ///   - product: of data and weights, with a bias.
    static func attention(
        _ node: Node, mask: Int, past pastPlace: Int, bias: Int, product: () throws -> Operand
    ) throws -> [ImportedValue] {
        if try node.bool("do_rotary", false) { throw node.unsupported("do_rotary") }
        node.ignore("rotary_embedding_dim")
        if try node.bool("past_present_share_buffer", false) { throw node.unsupported("past_present_share_buffer") }
        guard try node.rank(0) == 3, try node.rank(1) == 2 else {
            throw node.error(
                .invalidShape,
                "input and weights expect 3 and 2 dimensions, found \(try node.type(0)) and \(try node.type(1))")
        }
        let heads = try ContribHeads(node)
        let shape = try node.shape(0)
        let widths = try projected(node, heads, weights: 1)
        let parts = try heads.split(try product(), widths, axis: 2)
        let query = try heads.separated(parts[0])
        var (key, value) = (try heads.separated(parts[1]), try heads.separated(parts[2]))
        // With a past, keys and values stand by head, as they do there.
        var layout = "bthd"
        var present: ImportedValue = .unsupported
        var past: Dim = 0
        if node.has(pastPlace) || node.wants(1) {
            layout = "bhtd"
            (key, value) = (try heads.byHead(key), try heads.byHead(value))
            if node.has(pastPlace) {
                guard let sizes = try node.type(pastPlace).shape, sizes.count == 5 else {
                    throw node.error(.invalidShape, "past expects 5 dimensions, found \(try node.type(pastPlace))")
                }
                past = sizes[3]
                let both = try node.call("split", [try node.operand(pastPlace)], ["sections": 2, "axis": 0])
                func joined(_ index: Int, _ new: Operand) throws -> Operand {
                    let old = try node.call("squeeze", [try node.item(index, of: both)], ["axis": .ints([0])])
                    return try node.call("concat", [.tuple([old, new])], ["axis": 2])
                }
                (key, value) = (try joined(0, key), try joined(1, value))
            }
            present = .operand(try node.call("stack", [.tuple([key, value])], ["axis": 0]))
        }
        guard let keys = Dim.adding(past, shape[1]) else { throw node.error(.invalidShape, "a size overflows") }
        let added = try ContribMask(
            node, index: mask, bias: bias, batch: shape[0], queries: shape[1], keys: keys, past: past,
            dtype: node.type(of: query).dtype
        ).operand
        let result = try heads.attention(
            query, key, value, added, keyLayout: layout, isCausal: try node.bool("unidirectional", false))
        return [.operand(try heads.joined(result)), present]
    }

    /// How wide query, key and value are of a product with weights that stand side by side.
    private static func projected(_ node: Node, _ heads: ContribHeads, weights: Int) throws -> [Dim] {
        let width = try node.shape(weights)[1]
        if let listed = try node.ints("qkv_hidden_sizes"), !listed.isEmpty {
            guard listed.count == 3, listed.allSatisfy({ $0 > 0 && $0 % heads.count == 0 }), listed[0] == listed[1]
            else {
                throw node.error(
                    .invalidArgument,
                    "qkv_hidden_sizes expects 3 multiples of \(heads.count), the first two equal, found \(listed)")
            }
            return listed.map { .fixed($0) }
        }
        guard let total = width.value, total % 3 == 0, total / 3 % heads.count == 0 else {
            throw node.error(.invalidShape, "weights expect 3 × a multiple of \(heads.count) columns, found \(width)")
        }
        return [Dim](repeating: .fixed(total / 3), count: 3)
    }

    // MARK: - MultiHeadAttention

    private static func multiHead(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...10)
        if node.has(8) || node.has(9) { throw node.unsupported("past_sequence_length and cache_indirection") }
        if node.wants(3) { throw node.unsupported("output qk") }
        let heads = try ContribHeads(node)
        let shape = try node.shape(0)
        var query: Operand
        var (key, value): (Operand, Operand)
        var layout = "bthd"
        if shape.count == 5 {
            // Query, key and value side by side per head.
            guard shape[3] == 3, !node.has(1), !node.has(2), !node.has(3) else {
                throw node.error(
                    .invalidShape, "a packed query expects [batch, tokens, heads, 3, size] and no key or value")
            }
            let parts = try unpacked(node, 0, 3)
            (query, key, value) = (parts[0], parts[1], parts[2])
        } else {
            guard shape.count == 3 else {
                throw node.error(.invalidShape, "query expects 3 or 5 dimensions, found \(try node.type(0))")
            }
            guard node.has(1) else { throw node.error(.invalidGraph, "key is missing") }
            query = try node.operand(0)
            let bias = node.has(3) ? try biases(node, query: shape[2]) : nil
            if let bias { query = try node.call("add", [query, bias[0]]) }
            query = try heads.separated(query)
            switch try node.rank(1) {
            case 5:
                guard try node.shape(1)[3] == 2, !node.has(2) else {
                    throw node.error(.invalidShape, "a packed key expects [batch, tokens, heads, 2, size] and no value")
                }
                let parts = try unpacked(node, 1, 2)
                (key, value) = (parts[0], parts[1])
            case 4:
                // Of an encoder: projected once, by head.
                guard node.has(2) else { throw node.error(.invalidGraph, "value is missing") }
                (key, value) = (try node.operand(1), try node.operand(2))
                layout = "bhtd"
            default:
                guard node.has(2) else { throw node.error(.invalidGraph, "value is missing") }
                (key, value) = (try node.operand(1), try node.operand(2))
                if let bias {
                    (key, value) = (try node.call("add", [key, bias[1]]), try node.call("add", [value, bias[2]]))
                }
                (key, value) = (try heads.separated(key), try heads.separated(value))
            }
        }
        var past: Dim = 0
        if node.has(6) || node.has(7) || node.wants(1) || node.wants(2) {
            guard node.has(6) == node.has(7) else {
                throw node.error(.invalidGraph, "past_key and past_value go together")
            }
            if layout == "bthd" { (key, value) = (try heads.byHead(key), try heads.byHead(value)) }
            layout = "bhtd"
            if node.has(6) {
                guard let sizes = try node.type(6).shape, sizes.count == 4, try node.rank(7) == 4 else {
                    throw node.error(.invalidShape, "past_key expects 4 dimensions, found \(try node.type(6))")
                }
                past = sizes[2]
                key = try node.call("concat", [.tuple([try node.operand(6), key])], ["axis": 2])
                value = try node.call("concat", [.tuple([try node.operand(7), value])], ["axis": 2])
            }
        }
        let present = layout == "bhtd" ? (key, value) : nil
        let keyShape = try AttentionImporter.dims(node, key)
        let mask = try ContribMask(
            node, index: 4, bias: 5, batch: shape[0], queries: shape[1], keys: keyShape[layout == "bhtd" ? 2 : 1],
            past: past
        ).operand
        let result = try heads.attention(
            query, key, value, mask, keyLayout: layout, isCausal: try node.bool("unidirectional", false))
        return [
            .operand(try heads.joined(result)), present.map { .operand($0.0) } ?? .unsupported,
            present.map { .operand($0.1) } ?? .unsupported,
        ]
    }

    /// The parts of [batch, tokens, heads, count, size], each [batch, tokens, heads, size].
    private static func unpacked(_ node: Node, _ index: Int, _ count: Int) throws -> [Operand] {
        let all = try node.call("split", [try node.operand(index)], ["sections": .int(Int64(count)), "axis": 3])
        return try (0..<count).map { part in
            try node.call("squeeze", [try node.item(part, of: all)], ["axis": .ints([3])])
        }
    }

    /// The biases of query, key and value, which stand one after the other in input 3.
    private static func biases(_ node: Node, query: Dim) throws -> [Operand] {
        guard let width = query.value, let total = try node.type(3).elementCount.map(Int64.init), total >= 2 * width
        else {
            throw node.error(
                .invalidShape, "bias expects the widths of query, key and value, found \(try node.type(3))")
        }
        let parts = try node.call(
            "split", [try node.operand(3)], ["indices": .ints([width, 2 * width]), "axis": 0])
        return try (0..<3).map { try node.item($0, of: parts) }
    }

    // MARK: - One token

    /// One new token per sample, whose past may lie in a buffer that is longer.
    private static func decoderMasked(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(1...11)
        if node.has(9) { throw node.unsupported("cache_indirection") }
        if node.wants(3) { throw node.unsupported("output qk") }
        node.ignore("output_qk")
        let heads = try ContribHeads(node)
        var inputs = [try node.operand(0)]
        guard try node.rank(0) == 3, node.has(1), node.has(2) else {
            throw node.unsupported("a query of \(try node.type(0)) without key and value")
        }
        inputs += [try node.operand(1), try node.operand(2)]
        if node.has(10) {
            guard let width = try node.shape(0)[2].value else { throw node.unsupported("a symbolic width") }
            let parts = try node.call(
                "split", [try node.operand(10)], ["indices": .ints([width, 2 * width]), "axis": 0])
            // A key that an encoder has projected has its bias.
            for index in 0..<(try node.rank(1) == 4 ? 1 : 3) {
                inputs[index] = try node.call("add", [inputs[index], try node.item(index, of: parts)])
            }
        }
        let shape = try node.shape(0)
        let query = try heads.separated(inputs[0])
        if try node.rank(1) == 4 {
            let keys = try node.shape(1)[2]
            let mask = try ContribMask(
                node, index: 3, bias: 4, batch: shape[0], queries: shape[1], keys: keys, past: 0
            ).operand
            let result = try heads.attention(query, inputs[1], inputs[2], mask, keyLayout: "bhtd", isCausal: false)
            return [.operand(try heads.joined(result)), .operand(inputs[1]), .operand(inputs[2])]
        }
        var key = try heads.byHead(try heads.separated(inputs[1]))
        var value = try heads.byHead(try heads.separated(inputs[2]))
        let isShared = try node.bool("past_present_share_buffer", false)
        var past: Dim = 0
        var lengths: Operand?
        if node.has(5) {
            guard node.has(6), let sizes = try node.type(5).shape, sizes.count == 4 else {
                throw node.error(
                    .invalidShape, "past_key and past_value expect 4 dimensions, found \(try node.type(5))")
            }
            past = sizes[2]
            if isShared {
                guard node.has(7) else { throw node.error(.invalidGraph, "past_sequence_length is missing") }
                let before = try node.reshape(try node.cast(try node.operand(7), .int64), [1])
                let place = try node.call("broadcast_to", [before, .shape([shape[0]])])
                key = try heads.put(key, into: try node.operand(5), at: place)
                value = try heads.put(value, into: try node.operand(6), at: place)
                let steps = try node.sizes(of: [shape[1]])
                lengths = try node.call("add", [place, steps])
            } else {
                key = try node.call("concat", [.tuple([try node.operand(5), key])], ["axis": 2])
                value = try node.call("concat", [.tuple([try node.operand(6), value])], ["axis": 2])
            }
        }
        let keys = try AttentionImporter.dims(node, key)[2]
        let mask = try ContribMask(
            node, index: 3, bias: 4, batch: shape[0], queries: shape[1], keys: keys, past: past
        ).operand
        let result = try heads.attention(
            query, key, value, mask, lengths: lengths, keyLayout: "bhtd", isCausal: false)
        return [.operand(try heads.joined(result)), .operand(key), .operand(value)]
    }

    // MARK: - Packed tokens

    /// Tokens of all samples one after the other; each sees those of its own sample.
    private static func packed(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(5...6)
        let heads = try ContribHeads(node)
        let widths = try projected(node, heads, weights: 1)
        var x = try node.call("matmul", [try node.operand(0), try node.operand(1)])
        if node.has(2) { x = try node.call("add", [x, try node.operand(2)]) }
        if node.has(5) { throw node.unsupported("attention_bias") }
        return [.operand(try together(node, heads, try heads.split(x, widths, axis: 1), offsets: 4))]
    }

    private static func packedMultiHead(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(6...7)
        if node.has(6) { throw node.unsupported("attention_bias") }
        let heads = try ContribHeads(node)
        if try node.rank(0) == 4 {
            guard !node.has(1), !node.has(2), !node.has(3), try node.shape(0)[2] == 3 else {
                throw node.error(
                    .invalidShape, "a packed query expects [tokens, heads, 3, size], found \(try node.type(0))")
            }
            let all = try node.call("split", [try node.operand(0)], ["sections": 3, "axis": 2])
            let width = Dim.product([try node.shape(0)[1], try node.shape(0)[3]])
            let parts = try (0..<3).map { index in
                try node.reshape(try node.item(index, of: all), [try node.shape(0)[0], width ?? -1])
            }
            return [.operand(try together(node, heads, parts, offsets: 5))]
        }
        guard node.has(1), node.has(2) else { throw node.error(.invalidGraph, "key or value is missing") }
        var parts = [try node.operand(0), try node.operand(1), try node.operand(2)]
        if node.has(3) {
            let bias = try biases(node, query: try node.shape(0)[1])
            parts = try zip(parts, bias).map { try node.call("add", [$0, $1]) }
        }
        return [.operand(try together(node, heads, parts, offsets: 5))]
    }

    /// - Parameter offsets: the input that says where each sample's tokens begin, and at last how many there are.
    private static func together(
        _ node: Node, _ heads: ContribHeads, _ parts: [Operand], offsets: Int
    ) throws -> Operand {
        guard let tokens = try node.type(of: parts[0]).shape?[0] else { throw node.unsupported("an unknown shape") }
        let one = try parts.map { try heads.separated(try node.call("expand_dims", [$0], ["axis": .ints([0])])) }
        // The number of the sample that a token belongs to: how many samples begin at or before it.
        let places = try node.call("arange", [.shape([0]), .shape([tokens]), .shape([1])])
        let starts = try node.cast(try node.operand(offsets), .int64)
        let begins = try node.call(
            "greater_equal", [try node.reshape(places, [tokens, 1]), try node.reshape(starts, [1, -1])])
        let sample = try node.call("sum", [try node.cast(begins, .int64)], ["axis": .ints([1])])
        let same = try node.call(
            "equal", [try node.reshape(sample, [tokens, 1]), try node.reshape(sample, [1, tokens])])
        let mask = try node.reshape(same, [1, 1, tokens, tokens])
        let result = try heads.attention(one[0], one[1], one[2], mask, keyLayout: "bthd", isCausal: false)
        return try node.call("squeeze", [try heads.joined(result)], ["axis": .ints([0])])
    }
}
