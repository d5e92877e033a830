import TenonIR
import TenonRewrite

/// What oneDNN can append to a primitive: element-wise functions and binary operations with a second tensor.
///
/// In a composite these are operator calls behind the anchor, in program order; each takes the result of the call before it
/// as one operand. The lowering turns them into post-operations, the first addition of one constant per channel into the
/// bias, and an addition of a tensor of the destination's own shape into a sum where that is allowed.
enum PostOperations {
    /// Longer chains are cut: oneDNN takes 32 post-operations.
    static let longest = 24

    static let unaryNames = [
        "nn.relu", "nn.relu6", "nn.leakyrelu", "nn.hard_sigmoid", "nn.hard_swish", "nn.mish",
        "nn.silu", "nn.gelu", "nn.gelu_tanh", "sigmoid", "tanh", "abs", "exp", "sqrt", "square", "round", "clip",
        "negative",
    ]

    /// Steps of a chain. The second operand of a binary operation is whatever the check accepts; it stays outside the
    /// composite.
    static func steps() throws -> [ChainStep] {
        let unary = try unaryNames.map { ChainStep(try Operators.require($0)) }
        let commuting = try ["add", "multiply", "maximum", "minimum"].map {
            ChainStep(try Operators.require($0), other: wildcard(), chainOperand: nil)
        }
        let ordered = try ["subtract", "divide"].map {
            ChainStep(try Operators.require($0), other: wildcard(), chainOperand: 0)
        }
        return unary + commuting + ordered
    }

    /// Why one of the steps cannot be appended to a primitive whose result has `type`; nil when all can. The channels of a
    /// product are its last axis.
    static func refusal(
        _ candidate: FusionCandidate, result type: TensorType?, isProduct: Bool = false
    ) -> Refusal? {
        guard let type, let shape = type.shape else {
            return Refusal(.shape, found: "a result of unknown shape", expected: "known dimensions")
        }
        guard type.dtype == .float32 else {
            return Refusal(.dtype, found: type.dtype?.name ?? "unknown", expected: "f32")
        }
        for step in candidate.match.chainSteps {
            guard let call = candidate.table.call(.bound(step.binding)) else { continue }
            let name = step.op.name
            guard let after = candidate.table.function.type(of: step.binding).asTensor, after == type else {
                return Refusal(
                    .shape, found: "\(name) gives \(candidate.table.function.type(of: step.binding))",
                    expected: "\(type), as before it")
            }
            if name == "clip" {
                guard let bounds = Bounds(call), bounds.low <= bounds.high else {
                    return Refusal(
                        .constantValue, found: "clip with bounds that are not known", expected: "two numbers")
                }
            }
            if call.arguments.count == 2 && name != "clip" {
                let other = candidate.type(of: candidate.table.unwrap(call.arguments[1 - step.chainOperand]))
                guard let operand = other.asTensor, operand.dtype == .float32, let found = operand.shape,
                    isBroadcast(found, of: shape) || isProduct && isRow(found, of: shape)
                else {
                    return Refusal(
                        .shape, found: "\(name) with \(other)",
                        expected: "a scalar, one value per channel, or \(type)")
                }
            }
        }
        return nil
    }

    /// Whether a second operand has one value, one per channel (axis 1; the last axis of a matrix), or one per element.
    static func isBroadcast(_ operand: [Dim], of shape: [Dim]) -> Bool {
        guard operand.count <= shape.count else { return false }
        let aligned = [Dim](repeating: 1, count: shape.count - operand.count) + operand
        if aligned == shape || aligned.allSatisfy({ $0 == 1 }) { return true }
        let channel = shape.count > 2 ? 1 : shape.count - 1
        for axis in aligned.indices where axis != channel && aligned[axis] != 1 { return false }
        return channel >= 0 && aligned[channel] == shape[channel]
    }

    /// Whether a second operand has one value per index of the last axis.
    static func isRow(_ operand: [Dim], of shape: [Dim]) -> Bool {
        guard operand.count <= shape.count, let last = operand.last, last == shape.last else { return false }
        return operand.dropLast().allSatisfy { $0 == 1 }
    }

    /// The bounds of a clip, when both are literals.
    struct Bounds {
        var low: Double
        var high: Double

        init?(_ call: Call) {
            guard call.arguments.count == 3, let low = Bounds.number(call.arguments[1]),
                let high = Bounds.number(call.arguments[2])
            else { return nil }
            self.low = low
            self.high = high
        }

        private static func number(_ operand: Operand) -> Double? {
            switch operand {
            case .int(let value): Double(value)
            case .float(let value): value
            case .constant(let constant): constant.count == 1 ? constant.double(at: 0) : nil
            default: nil
            }
        }
    }
}
