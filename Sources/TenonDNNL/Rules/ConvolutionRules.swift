import TenonIR
import TenonRewrite

/// Convolutions and transposed convolutions of 1 to 3 dimensions, each with a chain of post-operations.
enum ConvolutionRules {
    static func rules(_ longestChain: Int) throws -> [FusionPattern] {
        let steps = try PostOperations.steps()
        return try Operators.all(with: [.convolution, .transposedConvolution]).map { op in
            let data = wildcard().named("data")
            let weight = wildcard().named("weight")
            let anchor = try isOp(op.name)(data, weight).named("anchor")
            return FusionPattern(
                "dnnl." + op.name.dropFirst(3) + "_post_ops",
                anchor.followed(by: steps, 0...longestChain),
                annotations: [("data", data), ("weight", weight), ("anchor", anchor)],
                check: { PostOperations.refusal($0, result: $0.tensorType(anchor)) }, allowsLeak: false)
        }
    }
}
