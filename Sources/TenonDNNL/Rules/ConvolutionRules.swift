import TenonIR
import TenonRewrite

/// Convolutions and transposed convolutions of 1 to 3 dimensions, each with a chain of post-operations.
enum ConvolutionRules {
    static func rules(_ longestChain: Int) throws -> [FusionPattern] {
        let steps = try PostOperations.steps()
        return try [
            "nn.conv2d", "nn.conv1d", "nn.conv3d", "nn.conv2d_transpose", "nn.conv1d_transpose", "nn.conv3d_transpose",
        ]
        .map { name in
            let data = wildcard().named("data")
            let weight = wildcard().named("weight")
            let anchor = try isOp(name)(data, weight).named("anchor")
            return FusionPattern(
                "dnnl." + name.dropFirst(3) + "_post_ops",
                anchor.followed(by: steps, 0...longestChain),
                annotations: [("data", data), ("weight", weight), ("anchor", anchor)],
                check: { PostOperations.refusal($0, result: $0.tensorType(anchor)) }, allowsLeak: false)
        }
    }
}
