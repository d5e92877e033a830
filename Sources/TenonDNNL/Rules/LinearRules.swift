import TenonIR
import TenonRewrite

/// Matrix products and dense layers, each with a chain of post-operations.
enum LinearRules {
    static func rules(_ longestChain: Int) throws -> [FusionPattern] {
        let steps = try PostOperations.steps()
        let forms = [("nn.dense", "dnnl.dense_post_ops"), ("matmul", "dnnl.matmul_post_ops")]
        return try [transposedProduct(steps, longestChain)]
            + forms.map { name, composite in
                let data = wildcard().named("data")
                let weight = wildcard().named("weight")
                let anchor = try isOp(name)(data, weight).named("anchor")
                return FusionPattern(
                    composite, anchor.followed(by: steps, 0...longestChain),
                    annotations: [("data", data), ("weight", weight), ("anchor", anchor)],
                    check: { candidate in
                        if let refusal = shapeRefusal(candidate, anchor, data, weight) { return refusal }
                        return PostOperations.refusal(candidate, result: candidate.tensorType(anchor), isProduct: true)
                    }, allowsLeak: false)
            }
    }

    /// A batched product whose second operand is transposed: it is read in the other order.
    private static func transposedProduct(_ steps: [ChainStep], _ longestChain: Int) throws -> FusionPattern {
        let (data, weight) = (wildcard().named("data"), wildcard().named("weight"))
        let moved = try isOp("permute_dims")(weight).named("moved")
        let anchor = try isOp("matmul")(data, moved).named("anchor")
        return FusionPattern(
            "dnnl.matmul_transposed_post_ops", anchor.followed(by: steps, 0...longestChain),
            annotations: [("data", data), ("weight", weight), ("anchor", anchor)],
            check: { candidate in
                if let refusal = shapeRefusal(candidate, anchor, data, weight) { return refusal }
                guard let rank = candidate.tensorType(weight)?.rank,
                    candidate.tensorType(data)?.rank == candidate.tensorType(anchor)?.rank,
                    let axes = candidate.call(moved)?.attributes.ints("axes")
                else { return Refusal(.attribute, found: "no axes", expected: "the last two axes exchanged") }
                var swapped = (0..<Int64(rank)).map { $0 }
                swapped.swapAt(rank - 1, rank - 2)
                guard axes.map({ $0 < 0 ? $0 + Int64(rank) : $0 }) == swapped else {
                    return Refusal(.attribute, found: "axes=\(axes)", expected: "the last two axes exchanged")
                }
                return PostOperations.refusal(candidate, result: candidate.tensorType(anchor), isProduct: true)
            }, allowsLeak: false)
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
