import TenonIR
import TenonRewrite

/// Operators that have a primitive of their own and take no post-operations here.
enum StandaloneRules {
    static func rules() throws -> [FusionPattern] {
        let reductions = try ReductionLowering.algorithms.map { try single($0.0, "dnnl.reduction_" + $0.0) }
        return try [
            softmax(), layerNorm(), localResponse(), concat(), prelu(),
            shuffle(),
        ] + reductions + (1...3).map { try resampling("image.resize\($0)d") }
    }

    /// With a slope for all, per channel or per element.
    private static func prelu() throws -> FusionPattern {
        let (data, slope) = (wildcard().named("data"), wildcard().named("slope"))
        let anchor = try isOp("nn.prelu")(data, slope).named("anchor")
        return FusionPattern(
            "dnnl.prelu", anchor, annotations: [("data", data), ("slope", slope), ("anchor", anchor)],
            check: { requireFloat($0, data) ?? requireFloat($0, slope) }, allowsLeak: false)
    }

    /// The target size is a literal.
    private static func resampling(_ name: String) throws -> FusionPattern {
        let (data, size) = (wildcard().named("data"), wildcard().named("size"))
        let anchor = try isOp(name)(data, size).named("anchor")
        return FusionPattern(
            "dnnl.resampling", anchor, annotations: [("data", data), ("anchor", anchor)],
            check: { requireFloat($0, data) ?? requireFloat($0, anchor) }, allowsLeak: false)
    }

    /// Groups and their members exchanged along the channels: reshape, permutation, reshape.
    private static func shuffle() throws -> FusionPattern {
        let data = wildcard().named("data")
        let split = try isOp("reshape")(data, wildcard()).named("split")
        let moved = try isOp("permute_dims")(split).named("moved")
        let anchor = try isOp("reshape")(moved, wildcard()).named("anchor")
        return FusionPattern(
            "dnnl.shuffle", anchor, annotations: [("data", data), ("anchor", anchor)],
            check: { candidate in
                if let refusal = requireFloat(candidate, data) { return refusal }
                guard let whole = candidate.tensorType(data)?.shape, let parts = candidate.tensorType(split)?.shape,
                    let rank = candidate.tensorType(data)?.rank, (3...5).contains(rank),
                    candidate.tensorType(anchor)?.shape == whole, parts.count == rank + 1, parts[0] == whole[0],
                    parts.dropFirst(3).elementsEqual(whole.dropFirst(2))
                else {
                    return Refusal(
                        .shape, found: candidate.tensorType(split).map { "\($0)" } ?? "unknown",
                        expected: "the channels cut in two dimensions")
                }
                let axes = candidate.call(moved)?.attributes.ints("axes") ?? []
                guard axes == [0, 2, 1] + (3..<Int64(parts.count)) else {
                    return Refusal(.attribute, found: "axes=\(axes)", expected: "axes 1 and 2 exchanged")
                }
                return nil
            }, allowsLeak: false)
    }

    /// Channels moved in front of, or behind, a layer on images: memory seen otherwise.
    static func transposition() throws -> FusionPattern {
        let data = wildcard().named("data")
        let anchor = try isOp("permute_dims")(data).named("anchor")
        return FusionPattern(
            "dnnl.transposition", anchor, annotations: [("data", data), ("anchor", anchor)],
            check: { candidate in
                if let refusal = requireFloat(candidate, data) { return refusal }
                guard let rank = candidate.tensorType(data)?.rank, let call = candidate.call(anchor),
                    MovementLowering.channelMove(call.attributes, rank: rank) != nil
                else { return Refusal(.attribute, found: "another permutation", expected: "channels moved") }
                if followsLayer(call.arguments.first, candidate.table) { return nil }
                for user in candidate.users(of: candidate.root) {
                    guard let next = candidate.table.call(.bound(user)), case .op(let op) = next.callee else {
                        continue
                    }
                    if isLayer(op) { return nil }
                }
                return Refusal(.checkRefused, found: "no layer beside it", expected: "a layer on images")
            }, allowsLeak: false)
    }

    private static func isLayer(_ op: OperatorID) -> Bool {
        op.has([.convolution, .transposedConvolution, .maxPooling, .averagePooling, .adaptivePooling])
    }

    private static let steps = Set(
        PostOperations.unaryNames + ["add", "multiply", "subtract", "divide", "maximum", "minimum"])

    /// Whether a layer on images computes the operand, with what is appended to it.
    private static func followsLayer(_ operand: Operand?, _ table: BindingTable) -> Bool {
        var current = operand
        for _ in 0..<PostOperations.longest {
            guard let operand = current, let call = table.call(table.unwrap(operand)), case .op(let op) = call.callee
            else {
                return false
            }
            if isLayer(op) { return true }
            guard steps.contains(op.name) else { return false }
            current = call.arguments.first
        }
        return false
    }

    private static func softmax() throws -> FusionPattern { try single("nn.softmax", "dnnl.softmax") }

    private static func localResponse() throws -> FusionPattern { try single("nn.lrn", "dnnl.lrn") }

    /// Over the last axis, with both parameters: what the primitive knows.
    private static func layerNorm() throws -> FusionPattern {
        let (data, gamma, beta) = (wildcard().named("data"), wildcard().named("gamma"), wildcard().named("beta"))
        let anchor = try isOp("nn.layer_norm")(data, gamma, beta).named("anchor")
        return FusionPattern(
            "dnnl.layer_norm", anchor,
            annotations: [("data", data), ("gamma", gamma), ("beta", beta), ("anchor", anchor)],
            check: { candidate in
                if let refusal = requireFloat(candidate, data) { return refusal }
                guard let rank = candidate.tensorType(data)?.rank, (2...5).contains(rank),
                    let axes = candidate.call(anchor)?.attributes.ints("axes"),
                    axes == [-1] || axes == [Int64(rank - 1)]
                else { return Refusal(.attribute, found: "other axes than the last", expected: "the last axis") }
                return nil
            }, allowsLeak: false)
    }

    /// Of tensors, along one axis. The tuple is written in place or has no other user.
    private static func concat() throws -> FusionPattern {
        let tuple = wildcard().named("tuple")
        let anchor = try isOp("concat")(tuple).named("anchor")
        return FusionPattern(
            "dnnl.concat", anchor, annotations: [("tuple", tuple), ("anchor", anchor)],
            check: { candidate in
                guard case .operand(.tuple(let fields))? = candidate[tuple], fields.count <= 64 else {
                    return Refusal(
                        .operatorMismatch, found: "a tuple by name", expected: "a tuple of at most 64 fields in place")
                }
                let dtype = candidate.tensorType(anchor)?.dtype
                guard dtype == .float32 || dtype == .uint8 || dtype == .int8,
                    let rank = candidate.tensorType(anchor)?.rank,
                    (2...5).contains(rank)
                else {
                    return Refusal(
                        .dtype, found: "\(candidate.type(of: candidate.match.root))",
                        expected: "f32, u8 or i8 of 2 to 5 dimensions")
                }
                return nil
            }, allowsLeak: false)
    }

    private static func single(_ name: String, _ composite: String) throws -> FusionPattern {
        let data = wildcard().named("data")
        let anchor = try isOp(name)(data).named("anchor")
        return FusionPattern(
            composite, anchor, annotations: [("data", data), ("anchor", anchor)],
            check: { requireFloat($0, data) }, allowsLeak: false)
    }

    private static func requireFloat(_ candidate: FusionCandidate, _ data: Pattern) -> Refusal? {
        guard let type = candidate.tensorType(data), type.dtype == .float32, type.shape != nil else {
            return Refusal(
                .dtype, found: candidate.tensorType(data).map { "\($0)" } ?? "unknown", expected: "f32 of known shape")
        }
        return nil
    }
}
