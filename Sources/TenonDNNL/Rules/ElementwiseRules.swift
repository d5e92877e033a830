import TenonIR
import TenonRewrite

/// Chains of element-wise operations that no convolution, product or pooling took: the first is the primitive, the rest its
/// post-operations.
enum ElementwiseRules {
    static func rules(_ longestChain: Int) throws -> [FusionPattern] {
        let names = ["add", "multiply", "subtract", "divide", "maximum", "minimum"]
        let (a, b, data) = (wildcard().named("a"), wildcard().named("b"), wildcard().named("data"))
        let binary = try operators(names).call([a, b], commutes: false).named("binary")
        let unary = try operators(PostOperations.unaryNames).call([data], variadic: true).named("unary")
        // Binary first: a binary operator never has the arity that the unary pattern asks for otherwise.
        let chain = (binary | unary).followed(by: try PostOperations.steps(), 0...longestChain)
        return [
            FusionPattern(
                "dnnl.eltwise_post_ops", chain,
                annotations: [("a", a), ("b", b), ("data", data), ("binary", binary), ("unary", unary)],
                check: { candidate in
                    if candidate[binary] != nil {
                        return binaryRefusal(candidate, binary, a, b)
                            ?? PostOperations.refusal(candidate, result: candidate.tensorType(binary))
                    }
                    return unaryRefusal(candidate, unary)
                        ?? PostOperations.refusal(candidate, result: candidate.tensorType(unary))
                }, allowsLeak: false)
        ]
    }

    private static func operators(_ names: [String]) throws -> Pattern {
        try names.dropFirst().reduce(try isOp(names[0])) { $0 | (try isOp($1)) }
    }

    private static func name(_ candidate: FusionCandidate, _ anchor: Pattern) -> String {
        guard let call = candidate.call(anchor), case .op(let op) = call.callee else { return "" }
        return op.name
    }

    /// One operand has the shape of the result; the other broadcasts to it in a way that the primitive knows.
    private static func binaryRefusal(
        _ candidate: FusionCandidate, _ anchor: Pattern, _ a: Pattern, _ b: Pattern
    ) -> Refusal? {
        guard let shape = candidate.tensorType(anchor)?.shape, (1...5).contains(shape.count),
            let left = candidate.tensorType(a), left.dtype == .float32, let x = left.shape,
            let right = candidate.tensorType(b), right.dtype == .float32, let y = right.shape
        else {
            return Refusal(
                .shape, found: "\(candidate.type(of: candidate.match.root))",
                expected: "f32 operands of 1 to 5 known dimensions")
        }
        let commutes = ["add", "multiply", "maximum", "minimum"].contains(name(candidate, anchor))
        if x == shape && PostOperations.isBroadcast(y, of: shape)
            || commutes && y == shape && PostOperations.isBroadcast(x, of: shape)
        {
            return nil
        }
        return Refusal(
            .shape, found: "\(left) with \(right)",
            expected: "one operand of the result's shape, the other a scalar, one value per channel or the same")
    }

    private static func unaryRefusal(_ candidate: FusionCandidate, _ anchor: Pattern) -> Refusal? {
        guard let rank = candidate.tensorType(anchor)?.rank, (1...5).contains(rank) else {
            return Refusal(
                .shape, found: "\(candidate.type(of: candidate.match.root))", expected: "f32 of 1 to 5 known dimensions"
            )
        }
        if let call = candidate.call(anchor), name(candidate, anchor) == "clip", PostOperations.Bounds(call) == nil {
            return Refusal(.constantValue, found: "clip with bounds that are not known", expected: "two numbers")
        }
        return nil
    }
}
