/// Attention as one operator.
enum AttentionOperators {
    static let layouts = AttentionLayout.allCases.map(\.rawValue)

    static let schemas: [OperatorSchema] = [
        RelaxForms.window(
            OperatorSchema(
                "nn.attention",
                """
                softmax(scale * query * transposed key + mask) * value per head, each given as [batch, token, head, size] (layout \
                'bthd'), [batch, head, token, size] ('bhtd') or [token, batch, head, size] ('tbhd'); several query heads may share a head of keys and values. With softcap c \
                the scaled products are c * tanh(x / c). The mask, which broadcasts to [batch, head, query, key], is added, or, as bool, \
                says which keys count; so do lengths, one int64 per sample. Query i sees key j with causal_mask 'TopLeft' if j <= i, with \
                'BottomRight' if j <= i + keys - queries, with 'Lengths' if j <= i + length - queries, and with windows if it is no \
                further away than that. What the mask or causality hides scores mask_value (default: minus infinity), the rest \
                nothing. A query that sees no key gives hidden_value: zero, or NaN.
                """,
                inputs: [
                    .init("query"), .init("key"), .init("value"), .init("mask", optional: true),
                    .init("lengths", optional: true),
                ],
                attributes: [
                    .optional("scale", .float),
                    .optional("causal_mask", .string, allowed: ["TopLeft", "BottomRight", "Lengths"]),
                    .optional("mask_value", .float), .defaulted("softcap", 0.0), .defaulted("left_window", -1),
                    .defaulted("right_window", -1),
                    .defaulted("hidden_value", "zero", allowed: ["zero", "nan"]),
                    .defaulted("query_layout", "bthd", allowed: layouts),
                    .defaulted("key_layout", "bthd", allowed: layouts),
                    .defaulted("value_layout", "bthd", allowed: layouts),
                    .defaulted("out_layout", "bthd", allowed: layouts),
                ], infer: infer))
    ]

    /// [batch, head, token, size] of an operand.
    private static func sizes(_ site: CallSite, _ index: Int, _ layout: String) throws -> [Dim]? {
        guard let shape = try site.tensor(index, rank: 4).shape else { return nil }
        return AttentionLayout(site.attributes.string(layout)).byHead(shape)
    }

    /// Whether two dimensions can be equal.
    private static func differ(_ a: Dim, _ b: Dim) -> Bool {
        if let x = a.value, let y = b.value { return x != y }
        return false
    }

    static func infer(_ site: CallSite) throws -> ValueType {
        let q = try sizes(site, 0, "query_layout")
        let k = try sizes(site, 1, "key_layout")
        let v = try sizes(site, 2, "value_layout")
        let dtype = try site.sameDType(0, 1)
        _ = try site.sameDType(0, 2)
        if let dtype, !dtype.isFloatingPoint {
            throw site.inputError(0, .invalidType, expects: "a floating-point type")
        }
        if let scale = site.attributes.float("scale"), !scale.isFinite {
            throw site.attributeError("scale", expects: "a finite number")
        }
        guard let cap = site.attributes.float("softcap"), cap >= 0, cap.isFinite else {
            throw site.attributeError("softcap", expects: "0 or a finite number above")
        }
        if let q, let k {
            if differ(q[0], k[0]) { throw site.inputError(1, expects: "a batch of \(q[0]), as query has") }
            if differ(q[3], k[3]) { throw site.inputError(1, expects: "heads of \(q[3]) values, as query has") }
            if let heads = q[1].value, let own = k[1].value, own <= 0 ? heads != own : heads % own != 0 {
                throw site.inputError(1, expects: "a number of heads that divides query's \(heads)")
            }
        }
        if let k, let v {
            for (axis, name) in [(0, "batch"), (1, "heads"), (2, "tokens")] where differ(k[axis], v[axis]) {
                throw site.inputError(2, expects: "\(k[axis]) \(name), as key has")
            }
        }
        try checkMask(site, dtype, q, k)
        guard let q, let v else { return .tensor(TensorType(dtype: dtype, rank: 4)) }
        let shape = [q[0], q[1], q[2], v[3]]
        return .tensor(TensorType(dtype, AttentionLayout(site.attributes.string("out_layout")).placed(shape)))
    }

    private static func checkMask(_ site: CallSite, _ dtype: DataType?, _ q: [Dim]?, _ k: [Dim]?) throws {
        if site.attributes.string("causal_mask") == "Lengths", !site.has(4) {
            throw site.attributeError("causal_mask", expects: "no 'Lengths' without input 'lengths'")
        }
        if site.has(3) {
            let mask = try site.tensor(3)
            if let own = mask.dtype, let dtype, own != .bool, own != dtype {
                throw site.inputError(3, .invalidType, expects: "bool or \(dtype.name)")
            }
            if let rank = mask.rank, rank > 4 { throw site.inputError(3, expects: "at most 4 dimensions") }
            if let shape = mask.shape, let q, let k {
                let whole = [q[0], q[1], q[2], k[2]]
                for (own, size) in zip(shape.reversed(), whole.reversed()) where own.value != 1 && differ(own, size) {
                    throw site.inputError(3, expects: "a shape that broadcasts to \(whole)")
                }
            }
        }
        if site.has(4) {
            let lengths = try site.tensor(4, rank: 1)
            if let own = lengths.dtype, own != .int64 { throw site.inputError(4, .invalidType, expects: "int64") }
            if let count = lengths.shape?[0], let q, differ(count, q[0]) {
                throw site.inputError(4, expects: "one number per sample of \(q[0])")
            }
        }
    }
}

/// The order in which an operand of attention has its batch, heads, tokens and the values of a head.
public enum AttentionLayout: String, CaseIterable, Sendable {
    case bthd, bhtd, tbhd

    /// Of an attribute, whose default is by token.
    public init(_ name: String?) { self = name.flatMap(AttentionLayout.init(rawValue:)) ?? .bthd }

    /// The layout whose batch, heads, tokens and values are at these axes.
    public init?(axes: [Int64]) {
        guard let found = Self.allCases.first(where: { $0.axes.map(Int64.init) == axes }) else { return nil }
        self = found
    }

    /// Where the batch, the heads, the tokens and the values of a head are.
    public var axes: [Int] {
        switch self {
        case .bthd: [0, 2, 1, 3]
        case .bhtd: [0, 1, 2, 3]
        case .tbhd: [1, 2, 0, 3]
        }
    }

    /// Four sizes of this layout as [batch, head, token, size].
    public func byHead<Size>(_ shape: [Size]) -> [Size] { axes.map { shape[$0] } }

    /// [batch, head, token, size] in this layout.
    public func placed<Size>(_ sizes: [Size]) -> [Size] { inverse.map { sizes[$0] } }

    /// What is at each axis: 0 for the batch, 1 for heads, 2 for tokens, 3 for values.
    public var inverse: [Int] { (0..<4).map { axis in axes.firstIndex(of: axis) ?? axis } }
}
