import TenonIR

/// Heads of attention in the layouts of ONNX Runtime's own operators, and the call of `nn.attention`.
struct ContribHeads {
    let node: Node
    let count: Int64
    let keyCount: Int64
    private let scale: Double?

    init(_ node: Node, keys: String? = nil) throws {
        self.node = node
        count = try node.int("num_heads", 0)
        guard count > 0, count <= 1 << 20 else {
            throw node.error(.invalidArgument, "num_heads expects a number above 0, found \(count)")
        }
        keyCount = try keys.map { try node.int($0, 0) } ?? count
        guard keyCount > 0, count % keyCount == 0 else {
            throw node.error(.invalidArgument, "\(keys ?? "") expects a divisor of \(count), found \(keyCount)")
        }
        // Left out and 0 stand for one over the root of a head's size.
        scale = try node.optionalFloat("scale").flatMap { $0 == 0 ? nil : $0 }
    }

    /// Parts of the given widths along an axis.
    func split(_ x: Operand, _ widths: [Dim], axis: Int) throws -> [Operand] {
        var ends: [Int64] = []
        for width in widths.dropLast() {
            guard let size = width.value, size >= 0, size <= Int64(Int32.max) else {
                throw node.unsupported("heads of symbolic size")
            }
            ends.append((ends.last ?? 0) + size)
        }
        let parts = try node.call("split", [x], ["indices": .ints(ends), "axis": .int(Int64(axis))])
        return try widths.indices.map { try node.item($0, of: parts) }
    }

    /// [batch, tokens, heads × size] as [batch, tokens, heads, size].
    func separated(_ x: Operand, count: Int64? = nil) throws -> Operand {
        let count = count ?? self.count
        guard let shape = try node.type(of: x).shape, shape.count == 3 else {
            throw node.error(.invalidShape, "expected [batch, tokens, heads × size], found \(try node.type(of: x))")
        }
        if let width = shape[2].value, width % count != 0 {
            throw node.error(.invalidShape, "\(width) values do not divide into \(count) heads")
        }
        guard let size = Dim.floorDividing(shape[2], by: count) else {
            throw node.error(.invalidShape, "a size overflows")
        }
        return try node.call("reshape", [x, .shape([shape[0], shape[1], .fixed(count), size])])
    }

    /// [batch, tokens, heads, size] as [batch, heads, tokens, size].
    func byHead(_ x: Operand) throws -> Operand {
        try node.call("permute_dims", [x], ["axes": .ints([0, 2, 1, 3])])
    }

    /// [batch, tokens, heads, size] as [batch, tokens, heads × size].
    func joined(_ x: Operand) throws -> Operand {
        let shape = try AttentionImporter.dims(node, x)
        guard let width = Dim.multiplying(shape[2], shape[3]) else {
            throw node.error(.invalidShape, "a size overflows")
        }
        return try node.reshape(x, [shape[0], shape[1], width])
    }

    /// New tokens [batch, heads, tokens, size] in a buffer of that layout, from a place per sample on.
    func put(_ new: Operand, into buffer: Operand, at places: Operand) throws -> Operand {
        let shape = try AttentionImporter.dims(node, new)
        let steps = try node.call("arange", [.shape([0]), .shape([shape[2]]), .shape([1])])
        let starts = try node.reshape(places, [shape[0], 1])
        let rows = try node.reshape(try node.call("add", [starts, steps]), [shape[0], 1, shape[2], 1])
        let indices = try node.call("broadcast_to", [rows, .shape(shape)])
        return try node.call("scatter_elements", [buffer, indices, new], ["axis": 2])
    }

    /// The result is [batch, tokens, heads, size], as the query is.
    func attention(
        _ query: Operand, _ key: Operand, _ value: Operand, _ mask: Operand?, lengths: Operand? = nil,
        keyLayout: String, isCausal: Bool, window: Int64 = -1, softcap: Double = 0, queryLayout: String = "bthd"
    ) throws -> Operand {
        var attributes: Attributes = [
            "query_layout": .string(queryLayout), "out_layout": "bthd", "key_layout": .string(keyLayout),
            "value_layout": .string(keyLayout), "softcap": .float(softcap), "left_window": .int(window),
        ]
        if let scale { attributes["scale"] = .float(scale) }
        if isCausal { attributes["causal_mask"] = .string(lengths == nil ? "BottomRight" : "Lengths") }
        var arguments = [query, key, value]
        if let mask {
            arguments.append(mask)
        } else if lengths != nil {
            // Every key may be seen.
            arguments.append(.constant(try Constant.filled(.bool, [1, 1, 1, 1], 1)))
        }
        if let lengths { arguments.append(lengths) }
        return try node.call("nn.attention", arguments, attributes)
    }
}

/// The masks of Attention and MultiHeadAttention as something that is added to the products of queries and keys.
struct ContribMask {
    private(set) var operand: Operand?
    private let node: Node

    /// - Parameters:
    ///   - index: the input that tells which keys count: how many per sample, or a mask of 0 and 1.
    ///   - bias: the input that is added as it is.
    ///   - dtype: the element type of the scores, where it is not that of the first input.
    init(
        _ node: Node, index: Int, bias: Int, batch: Dim, queries: Dim, keys: Dim, past: Dim, dtype: DataType? = nil
    ) throws {
        self.node = node
        let filter = try node.float("mask_filter_value", -10000)
        if node.has(bias) {
            let type = try node.type(bias)
            guard type.rank == 4 else {
                throw node.error(.invalidShape, "attention_bias expects 4 dimensions, found \(type)")
            }
            operand = try node.operand(bias)
        }
        guard node.has(index) else { return }
        guard let keep = try kept(index, batch: batch, queries: queries, keys: keys, past: past) else { return }
        let dtype = try dtype ?? node.type(0).dtype ?? .float32
        let added = try node.call(
            "where",
            [keep, .constant(try Constant.scalar(dtype, 0)), .constant(try Constant.scalar(dtype, filter))])
        operand = try operand.map { try node.call("add", [$0, added]) } ?? added
    }

    /// Whether a key counts, in a shape that broadcasts to [batch, heads, queries, keys].
    private func kept(_ index: Int, batch: Dim, queries: Dim, keys: Dim, past: Dim) throws -> Operand? {
        let mask = try node.operand(index)
        guard let shape = try node.type(index).shape else { throw node.unsupported("a mask of unknown shape") }
        func isOn(_ x: Operand) throws -> Operand {
            try node.call("not_equal", [x, try node.scalar(0, like: x)])
        }
        switch shape.count {
        case 1:
            let places = try node.call("arange", [.shape([0]), .shape([keys]), .shape([1])])
            let numbers = try node.cast(mask, .int64)
            func column(_ x: Operand) throws -> Operand { try node.reshape(x, [batch, 1, 1, 1]) }
            let double = Dim.multiplying(batch, 2)
            guard shape[0] == double, shape[0] != batch else {
                if let own = shape[0].value, let samples = batch.value, own != samples {
                    throw node.unsupported("a mask of \(own) numbers for a batch of \(samples)")
                }
                return try node.call("less", [places, try column(numbers)])
            }
            // Where the keys of each sample end, then where they begin.
            let parts = try node.call("split", [numbers], ["sections": 2, "axis": 0])
            let ends = try node.call("less", [places, try column(try node.item(0, of: parts))])
            let begins = try node.call("greater_equal", [places, try column(try node.item(1, of: parts))])
            return try node.call("logical_and", [ends, begins])
        case 2:
            return try isOn(try node.reshape(mask, [shape[0], 1, 1, shape[1]]))
        case 3:
            return try isOn(try node.reshape(mask, [shape[0], 1, shape[1], shape[2]]))
        case 4:
            // Of the longest sequence there may be: the rows of these queries, the columns of these keys.
            guard let end = Dim.adding(past, queries) else { throw node.error(.invalidShape, "a size overflows") }
            let cut = try node.call(
                "strided_slice",
                [
                    mask, .tuple([.int(2), .int(3)]), .shape([past, 0]), .shape([end, keys]),
                    .tuple([.int(1), .int(1)]),
                ])
            return try isOn(cut)
        default: throw node.error(.invalidShape, "a mask expects 1 to 4 dimensions, found \(try node.type(index))")
        }
    }
}
