/// Attention without a softmax: a matrix per head that every token writes to and reads from.
enum LinearAttentionOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "nn.linear_attention",
            """
            Per token and head: state = exp(decay) * state, state += key ⊗ value, result = scale * state' query. With beta the value is \
            replaced by beta * (value - state' key) first. Query, key and value are [batch, token, head * size], state is [batch, head, \
            key size, value size]; decay has one number per head, or one per head and place of the key; beta one per head, or one. \
            Several query heads may share a head of keys and values. The results are a tuple: the tokens' results and the last state. \
            scale is one over the root of the key's size where nothing else is said.
            """,
            inputs: [
                .init("query"), .init("key"), .init("value"), .init("state"), .init("decay", optional: true),
                .init("beta", optional: true),
            ],
            attributes: [.required("query_heads", .int), .optional("scale", .float)], infer: infer)
    ]

    /// What states are computed in.
    private static func stateType(_ dtype: DataType) -> DataType { dtype == .float64 ? .float64 : .float32 }

    private static func infer(_ site: CallSite) throws -> ValueType {
        let (q, k, v) = (try site.tensor(0, rank: 3), try site.tensor(1, rank: 3), try site.tensor(2, rank: 3))
        var dtype = q.dtype
        for index in [1, 2, 4, 5] where site.has(index) { dtype = try site.sameDType(0, index) ?? dtype }
        if let dtype, !dtype.isFloatingPoint {
            throw site.inputError(0, .invalidType, expects: "a floating-point type")
        }
        if let scale = site.attributes.float("scale"), !scale.isFinite {
            throw site.attributeError("scale", expects: "a finite number")
        }
        let queryHeads = try site.int("query_heads")
        guard queryHeads > 0 else { throw site.attributeError("query_heads", expects: "a number above 0") }
        let state = try site.tensor(3, rank: 4)
        if let own = state.dtype, let dtype, own != stateType(dtype) {
            throw site.inputError(3, .invalidType, expects: stateType(dtype).name)
        }
        if let heads = state.shape?[1].value, heads <= 0 || queryHeads % heads != 0 {
            throw site.inputError(3, expects: "a number of heads that divides query_heads (\(queryHeads))")
        }
        let stateResult = TensorType(dtype: dtype.map(stateType), rank: 4)
        guard let (batch, tokens) = q.shape.map({ ($0[0], $0[1]) }), let shape = state.shape else {
            return .tuple([.tensor(TensorType(dtype: dtype, rank: 3)), .tensor(stateResult)])
        }
        func times(_ a: Dim, _ b: Dim) throws -> Dim { try site.dim(Dim.multiplying(a, b)) }
        let heads = shape[1]
        try check(site, 0, q, [batch, tokens, try times(.fixed(queryHeads), shape[2])])
        try check(site, 1, k, [batch, tokens, try times(heads, shape[2])])
        try check(site, 2, v, [batch, tokens, try times(heads, shape[3])])
        try check(site, 3, state, [batch, heads, shape[2], shape[3]])
        if site.has(4) {
            let decay = try site.tensor(4, rank: 3)
            let isWide = decay.shape.map { differ($0[2], heads) } ?? false
            try check(site, 4, decay, [batch, tokens, isWide ? try times(heads, shape[2]) : heads])
        }
        if site.has(5) {
            let beta = try site.tensor(5, rank: 3)
            let isOne = beta.shape?[2].value == 1
            try check(site, 5, beta, [batch, tokens, isOne ? 1 : heads])
        }
        let result = TensorType(dtype, [batch, tokens, try times(.fixed(queryHeads), shape[3])])
        return .tuple([.tensor(result), .tensor(dtype.map(stateType), shape)])
    }

    private static func differ(_ a: Dim, _ b: Dim) -> Bool {
        if let x = a.value, let y = b.value { return x != y }
        return false
    }

    private static func check(_ site: CallSite, _ index: Int, _ type: TensorType, _ expected: [Dim]) throws {
        guard let shape = type.shape else { return }
        guard zip(shape, expected).allSatisfy({ !differ($0, $1) }) else {
            throw site.inputError(index, expects: "shape \(TensorType(type.dtype, expected))")
        }
    }
}
