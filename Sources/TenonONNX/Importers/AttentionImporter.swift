import TenonIR

/// Attention (opset 23 on) as `nn.attention`, or, where the scores are asked for, as the matrix products, masks and softmax that
/// define it.
enum AttentionImporter {
    static let table: [String: OperatorImporter] = ["Attention": OperatorImporter(since: 23, attention)]

    private static func attention(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...7)
        let precision = try node.dtype("softmax_precision")
        let mode = try node.int("qk_matmul_output_mode", 0)
        let softcap = try node.float("softcap", 0)
        let rank = try node.rank(0)
        guard rank == 3 || rank == 4 else {
            throw node.error(.invalidShape, "Q expects 3 or 4 dimensions, found \(rank)")
        }
        let queryHeads = try node.int("q_num_heads")
        let keyHeads = try node.int("kv_num_heads")
        if let whole = try single(node, rank: rank, queryHeads, keyHeads, softcap: softcap, precision: precision) {
            return whole
        }
        let query = try heads(node, 0, rank: rank, count: queryHeads)
        var key = try heads(node, 1, rank: rank, count: keyHeads)
        var value = try heads(node, 2, rank: rank, count: keyHeads)
        guard node.has(4) == node.has(5) else { throw node.error(.invalidGraph, "past_key and past_value go together") }
        if node.has(4) {
            key = try node.call("concat", [.tuple([try node.operand(4), key])], ["axis": 2])
            value = try node.call("concat", [.tuple([try node.operand(5), value])], ["axis": 2])
        }
        let present = (key, value)
        let shape = try dims(node, query)
        let keyShape = try dims(node, key)
        (key, value) = try shared(node, key, value, heads: shape[1], keyShape[1])
        let products = try scores(node, query, key, size: shape[3])
        let capped = softcap > 0 ? try softcapped(node, products, softcap) : products
        let bias = try AttentionMask(node, query: shape[2], key: keyShape[2], dtype: try node.type(of: query).dtype)
            .bias
        let biased = try bias.map { try node.call("add", [capped, $0.operand]) } ?? capped
        let probabilities = try softmax(node, biased, bias, precision: precision)
        var result = try node.call("matmul", [probabilities, value])
        if rank == 3 {
            result = try node.call("permute_dims", [result], ["axes": .ints([0, 2, 1, 3])])
            let found = try dims(node, result)
            guard let hidden = Dim.multiplying(found[2], found[3]) else {
                throw node.error(.invalidShape, "a product of sizes does not fit")
            }
            result = try node.reshape(result, [found[0], found[1], hidden])
        }
        guard (0...3).contains(mode) else { throw node.error(.invalidArgument, "qk_matmul_output_mode is \(mode)") }
        let shown = [products, capped, biased, probabilities][Int(mode)]
        return [result, present.0, present.1, shown].map { .operand($0) }
    }

    /// Keys and values for each query head, where several share one.
    static func shared(
        _ node: Node, _ key: Operand, _ value: Operand, heads: Dim, _ keyHeads: Dim
    ) throws -> (Operand, Operand) {
        guard let own = heads.value, let shared = keyHeads.value, shared > 0, own != shared else { return (key, value) }
        guard own % shared == 0 else { throw node.error(.invalidShape, "\(own) query heads over \(shared) key heads") }
        let repeats: Attributes = ["repeats": .int(own / shared), "axis": 1]
        return (try node.call("repeat", [key], repeats), try node.call("repeat", [value], repeats))
    }

    static func dims(_ node: Node, _ operand: Operand) throws -> [Dim] {
        guard let shape = try node.type(of: operand).shape, shape.count == 4 else {
            throw node.unsupported("an operand whose shape is not known: \(try node.type(of: operand))")
        }
        return shape
    }

    /// [batch, heads, sequence, size] of input `index`, whose last dimension holds all heads when it has three.
    private static func heads(_ node: Node, _ index: Int, rank: Int, count: Int64?) throws -> Operand {
        let x = try node.operand(index)
        guard try node.rank(index) == rank else {
            throw node.error(.invalidShape, "Q, K and V expect \(rank) dimensions")
        }
        guard rank == 3 else { return x }
        guard let count, count > 0 else { throw node.error(.invalidArgument, "the numbers of heads are missing") }
        let shape = try node.shape(index)
        if let hidden = shape[2].value, hidden % count != 0 {
            throw node.error(.invalidShape, "\(hidden) values do not divide into \(count) heads")
        }
        guard let size = Dim.floorDividing(shape[2], by: count) else {
            throw node.error(.invalidShape, "a size does not fit")
        }
        let split = try node.call("reshape", [x, .shape([shape[0], shape[1], .fixed(count), size])])
        return try node.call("permute_dims", [split], ["axes": .ints([0, 2, 1, 3])])
    }

    /// Q Kᵀ × scale, with the root of the scale on both sides, so that 16-bit products stay in range.
    static func scores(_ node: Node, _ query: Operand, _ key: Operand, size: Dim) throws -> Operand {
        let scale: Double
        if let given = try node.optionalFloat("scale") {
            scale = given
        } else {
            guard let size = size.value, size > 0 else {
                throw node.unsupported("heads of symbolic size without a scale")
            }
            scale = 1 / Double(size).squareRoot()
        }
        guard scale >= 0 else { throw node.unsupported("scale \(scale)") }
        let factor = try node.scalar(scale.squareRoot(), like: query)
        let transposed = try node.call("permute_dims", [key], ["axes": .ints([0, 1, 3, 2])])
        return try node.call(
            "matmul", [try node.call("multiply", [query, factor]), try node.call("multiply", [transposed, factor])])
    }

    private static func softcapped(_ node: Node, _ x: Operand, _ cap: Double) throws -> Operand {
        let limit = try node.scalar(cap, like: x)
        return try node.call("multiply", [try node.call("tanh", [try node.call("divide", [x, limit])]), limit])
    }

    /// Softmax over keys; a query that may see no key at all gets zeros.
    private static func softmax(
        _ node: Node, _ x: Operand, _ bias: AttentionMask.Bias?, precision: DataType?
    ) throws -> Operand {
        let own = try node.type(of: x).dtype
        var input = x
        if let precision, precision != own { input = try node.call("astype", [x], ["dtype": .dtype(precision)]) }
        var result = try node.call("nn.softmax", [input], ["axis": -1])
        if let own, try node.type(of: result).dtype != own {
            result = try node.call("astype", [result], ["dtype": .dtype(own)])
        }
        guard let bias, bias.mayHideAll else { return result }
        let largest = try node.call("max", [bias.operand], ["axis": .ints([-1]), "keepdims": true])
        let hidden = try node.call("equal", [largest, try node.scalar(-.infinity, like: largest)])
        return try node.call("where", [hidden, try node.scalar(0, like: result), result])
    }
}

/// What is added to the scores: the mask, causality, windows and padding of keys.
struct AttentionMask {
    struct Bias {
        var operand: Operand
        /// A row may be -inf everywhere.
        var mayHideAll: Bool
    }

    private(set) var bias: Bias?

    init(_ node: Node, query: Dim, key: Dim, dtype: DataType?) throws {
        let isCausal = try node.bool("is_causal", false)
        let left = try node.int("left_window_size", -1)
        let right = try node.int("right_window_size", -1)
        let dtype = dtype ?? .float32
        if node.has(3) { bias = Bias(operand: try AttentionMask.mask(node, key: key, dtype), mayHideAll: true) }
        if isCausal || left >= 0 || right >= 0 {
            try add(
                node, try AttentionMask.band(node, query, key, isCausal, left, right, dtype),
                hides: left >= 0 || node.has(6))
        }
        if node.has(6) {
            let lengths = try node.reshape(try node.operand(6), [try node.shape(6).first ?? 1, 1, 1, 1])
            let inside = try node.call("less", [try AttentionMask.positions(node, key, [1, 1, 1, key]), lengths])
            try add(node, try AttentionMask.bias(node, inside, dtype), hides: true)
        }
    }

    private mutating func add(_ node: Node, _ operand: Operand, hides: Bool) throws {
        guard let known = bias else {
            bias = Bias(operand: operand, mayHideAll: hides)
            return
        }
        bias = Bias(operand: try node.call("add", [known.operand, operand]), mayHideAll: true)
    }

    /// 0 where `allowed` holds, else -inf.
    private static func bias(_ node: Node, _ allowed: Operand, _ dtype: DataType) throws -> Operand {
        try node.call(
            "where",
            [
                allowed, .constant(try Constant.scalar(dtype, 0)), .constant(try Constant.scalar(dtype, -.infinity)),
            ])
    }

    /// Input attn_mask as something to add, with keys that it does not reach hidden.
    private static func mask(_ node: Node, key: Dim, _ dtype: DataType) throws -> Operand {
        var mask = try node.operand(3)
        let type = try node.type(3)
        if type.dtype == .bool { mask = try bias(node, mask, dtype) }
        guard let last = type.shape?.last, let rank = type.rank else {
            throw node.unsupported("a mask of unknown shape")
        }
        if last == key || last.value == 1 && key.value != 1 && type.dtype != .bool { return mask }
        guard let size = last.value, let keys = key.value, size < keys else { return mask }
        let widths = [Int64](repeating: 0, count: rank * 2 - 1) + [keys - size]
        return try node.call(
            "nn.pad", [mask], ["pad_width": .ints(widths), "pad_value": .float(-.infinity)])
    }

    /// 0, 1, 2, … as int64 under `shape`.
    private static func positions(_ node: Node, _ count: Dim, _ shape: [Dim]) throws -> Operand {
        guard let size = count.value, size <= 1 << 24 else { throw node.unsupported("a mask over symbolic sizes") }
        let numbers = try Constant.ints(shape.compactMap(\.value), (0..<size).map { $0 })
        return .constant(numbers)
    }

    /// Keys up to the query's own position (causal) and within the windows around it.
    private static func band(
        _ node: Node, _ query: Dim, _ key: Dim, _ isCausal: Bool, _ left: Int64, _ right: Int64, _ dtype: DataType
    ) throws -> Operand {
        let past = node.has(4) ? try node.shape(4)[2] : 0
        if !node.has(6), left < 0, right < 0, let offset = past.value, offset < 1 << 40 {
            // -inf above the diagonal that the past moves; also for sizes that are not known yet.
            let hidden = Operand.constant(try Constant.scalar(dtype, -.infinity))
            let all = try node.call("full", [.shape([query, key]), hidden])
            return try node.call("triu", [all], ["k": .int(offset + 1)])
        }
        let rows = try positions(node, query, [query, 1])
        let columns = try positions(node, key, [1, key])
        var offset: Operand
        if node.has(6) {
            guard let size = query.value else { throw node.unsupported("a mask over symbolic sizes") }
            let lengths = try node.reshape(try node.operand(6), [try node.shape(6).first ?? 1, 1, 1, 1])
            offset = try node.call("subtract", [lengths, .constant(try Constant.scalar(.int64, Double(size)))])
        } else {
            guard let size = past.value else { throw node.unsupported("a mask over symbolic sizes") }
            offset = .constant(try Constant.ints([], [size]))
        }
        offset = try node.call("add", [rows, offset])
        // How far the key lies before the query.
        let distance = try node.call("subtract", [offset, columns])
        var allowed: Operand?
        func require(_ test: String, _ bound: Int64) throws {
            let holds = try node.call(test, [distance, .constant(try Constant.ints([], [bound]))])
            allowed = try allowed.map { try node.call("logical_and", [$0, holds]) } ?? holds
        }
        if isCausal { try require("greater_equal", 0) }
        if left >= 0 { try require("less_equal", left) }
        if right >= 0 { try require("greater_equal", -right) }
        return try bias(node, allowed ?? distance, dtype)
    }
}
