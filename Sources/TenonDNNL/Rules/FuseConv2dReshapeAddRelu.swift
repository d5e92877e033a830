import TenonIR
import TenonRewrite

/// `relu(conv2d(x, w) + reshape(b))` → one oneDNN convolution with bias and a ReLU post-operation.
///
/// The reshape must give one value per output channel, in the channel's place: `[1, C, 1, 1]` or a shape that broadcasts
/// the same. The operands of `add` may stand in either order. The bias is a constant or a parameter. No intermediate value
/// is used elsewhere or returned.
public struct FuseConv2dReshapeAddRelu: ModulePass {
    public static let compositeName = "dnnl.conv2d_reshape_add_relu"

    public init() {}

    public var name: String { "FuseConv2dReshapeAddRelu" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        try FuseOpsByPattern([try Self.rule()]).run(on: module, context)
    }

    /// The rule alone, for pattern lists.
    public static func rule() throws -> FusionPattern {
        let data = wildcard().named("data")
        let weight = wildcard().named("weight")
        let bias = wildcard().named("bias")
        let convolution = try isOp("nn.conv2d")(data, weight)
        let reshaped = try isOp("reshape").call([bias], variadic: true)
        let sum = try isOp("add")(convolution, reshaped)
        let root = try isOp("nn.relu")(sum)
        return FusionPattern(
            compositeName, root,
            annotations: [
                ("data", data), ("weight", weight), ("bias", bias), ("conv2d", convolution), ("reshape", reshaped),
                ("add", sum), ("root", root),
            ],
            check: { candidate in
                ConvolutionBias.refusal(candidate, convolution: convolution, bias: bias, reshaped: reshaped)
            }, allowsLeak: false)
    }

    /// The same where the reshape of a constant bias has been folded. What more a primitive can do behind the ReLU is left to
    /// the rule that takes all of it.
    static func foldedRule() throws -> FusionPattern {
        let data = wildcard().named("data")
        let weight = wildcard().named("weight")
        let bias = isConst().named("bias")
        let convolution = try isOp("nn.conv2d")(data, weight)
        let sum = try isOp("add")(convolution, bias)
        let root = try isOp("nn.relu")(sum)
        let further = Set(try PostOperations.steps().map(\.op))
        return FusionPattern(
            compositeName, root,
            annotations: [
                ("data", data), ("weight", weight), ("bias", bias), ("conv2d", convolution), ("add", sum),
                ("root", root),
            ],
            check: { candidate in
                let users = candidate.users(of: candidate.root)
                if users.count == 1, case .call(let call)? = candidate.table.definition(users[0]),
                    case .op(let op) = call.callee, further.contains(op)
                {
                    return Refusal(
                        .checkRefused, found: "\(op.name) behind it", expected: "the last operator of the primitive")
                }
                return ConvolutionBias.refusal(candidate, convolution: convolution, bias: bias, reshaped: bias)
            }, allowsLeak: false)
    }
}

/// What makes an addend a bias.
enum ConvolutionBias {
    /// Why `reshaped`, made of `bias`, is not the bias of `convolution`; nil when it is.
    static func refusal(
        _ candidate: FusionCandidate, convolution: Pattern, bias: Pattern, reshaped: Pattern
    ) -> Refusal? {
        guard let output = candidate.tensorType(convolution), let shape = output.shape, shape.count == 4 else {
            return Refusal(.shape, found: "a convolution of unknown shape", expected: "4 known dimensions")
        }
        // [n, c, h, w], or where the layout says that channels are.
        let attributes = candidate.call(convolution)?.attributes
        let order = attributes?.string("out_layout") ?? attributes?.string("data_layout") ?? "NCHW"
        guard let channel = Array(order).firstIndex(of: "C"), shape.indices.contains(channel) else {
            return Refusal(.attribute, found: "layout \(order)", expected: "an order of NCHW")
        }
        var expected = [Dim](repeating: 1, count: 4)
        expected[channel] = shape[channel]
        guard output.dtype == .float32 else {
            return Refusal(.dtype, found: output.dtype?.name ?? "unknown", expected: "f32")
        }
        guard let addend = candidate.tensorType(reshaped) else {
            return Refusal(.shape, found: "a bias of unknown shape", expected: Self.text(expected))
        }
        guard isPerChannel(addend, expected) else {
            return Refusal(.shape, found: "\(addend)", expected: "\(Self.text(expected)) or what broadcasts the same")
        }
        switch candidate[bias] {
        case .operand(.constant)?, .operand(.value)?: return nil
        default:
            return Refusal(
                .checkRefused, found: "a bias that is computed", expected: "a constant or a parameter as bias")
        }
    }

    private static func text(_ shape: [Dim]) -> String {
        "[\(shape.map(\.description).joined(separator: ","))]"
    }

    /// Whether a tensor, added to four dimensions, adds one value per channel: `shape` is 1 elsewhere.
    private static func isPerChannel(_ type: TensorType, _ expected: [Dim]) -> Bool {
        guard type.dtype == .float32, let shape = type.shape, shape.count <= 4 else { return false }
        return [Dim](repeating: 1, count: 4 - shape.count) + shape == expected
    }
}
