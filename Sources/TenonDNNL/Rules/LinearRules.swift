import TenonIR
import TenonRewrite

/// Matrix products and dense layers, each with a chain of post-operations.
enum LinearRules {
    static func rules(_ longestChain: Int) throws -> [FusionPattern] {
        let steps = try PostOperations.steps()
        return try ["nn.dense", "matmul"].map { name in
            let data = wildcard().named("data")
            let weight = wildcard().named("weight")
            let anchor = try isOp(name)(data, weight).named("anchor")
            return FusionPattern(
                name == "matmul" ? "dnnl.matmul_post_ops" : "dnnl.dense_post_ops",
                anchor.followed(by: steps, 0...longestChain),
                annotations: [("data", data), ("weight", weight), ("anchor", anchor)],
                check: { candidate in
                    if let refusal = shapeRefusal(candidate, anchor, data, weight) { return refusal }
                    return PostOperations.refusal(candidate, result: candidate.tensorType(anchor))
                }, allowsLeak: false)
        }
    }

    /// oneDNN multiplies matrices and batches of them; vectors as operands are left to the kernels.
    private static func shapeRefusal(
        _ candidate: FusionCandidate, _ anchor: Pattern, _ data: Pattern, _ weight: Pattern
    ) -> Refusal? {
        for node in [data, weight] {
            guard let type = candidate.tensorType(node), let rank = type.rank, (2...6).contains(rank),
                type.dtype == .float32
            else {
                return Refusal(
                    .shape, found: candidate.tensorType(node).map { "\($0)" } ?? "an unknown operand",
                    expected: "f32 of 2 to 6 dimensions")
            }
        }
        return nil
    }
}
