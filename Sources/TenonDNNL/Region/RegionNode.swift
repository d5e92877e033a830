import CDNNL
import TenonIR
import TenonRewrite
import TenonRuntime

/// One primitive to be, or something that stands in for one.
struct RegionNode {
    enum Operation {
        case convolution(Convolution)
        case depthwiseFusion(DepthwiseFusion)
        case squeezeExcitation(SqueezeExcitation)
        case product(MatrixProduct)
        case pooling(Pooling)
        case normalization(Normalization)
        case softmax(axis: Int)
        case eltwise(EltwiseFunction)
        case binary(tdnnl_algorithm)
        case concat(axis: Int)
        case reduction(Reduction)
        case resampling(tdnnl_algorithm)
        case prelu(slope: TensorID)
        case shuffle(Shuffle)
        /// What a kernel of ours alone computes; constants are packed.
        case implemented(any Implementation, constants: [TensorID])
        /// The same elements under other dimensions.
        case view
        /// The same memory, the channels of its dimensions last or second: [n, h, w, c] seen as [n, c, h, w], or the other way.
        case transposition(toSecond: Bool)
        /// No primitive: the Swift kernel.
        case kernel(RegionOp)
    }

    var operation: Operation
    /// Data operands, weights included.
    var inputs: [TensorID]
    var postOps: [PostOp] = []
    /// More than one only for kernels.
    var outputs: [TensorID]
    var binding: String
    var composite: String

    var output: TensorID { outputs[0] }

    var isLinear: Bool {
        if case .eltwise(let function) = operation { return function.algorithm == TDNNL_ELTWISE_LINEAR }
        return false
    }
}

/// One step behind an operation, on its result.
struct PostOp {
    enum Kind {
        case eltwise(EltwiseFunction)
        /// The result is the first operand. `operand` broadcasts to the result.
        case binary(tdnnl_algorithm, operand: TensorID)
    }

    var kind: Kind
    /// What the step gives, when it stands alone.
    var binding: String

    var isLinear: Bool {
        if case .eltwise(let function) = kind { return function.algorithm == TDNNL_ELTWISE_LINEAR }
        return false
    }

    /// Two linear functions are one where that loses nothing. It saves a step, and oneDNN 2.6 cannot have two in one chain.
    func joined(with next: PostOp) -> PostOp? {
        guard case .eltwise(let a) = kind, case .eltwise(let b) = next.kind, a.algorithm == TDNNL_ELTWISE_LINEAR,
            b.algorithm == TDNNL_ELTWISE_LINEAR
        else { return nil }
        // A product and a sum in one rounding are not what a constant that rounds on purpose needs.
        let limit = Float(JoinedConstants.largestTerm)
        guard let alpha = JoinedConstants.product(Double(a.alpha), Double(b.alpha)),
            let beta = JoinedConstants.sum(Double(b.alpha * a.beta), Double(b.beta)),
            alpha == 1 || abs(a.beta) <= limit && abs(b.beta) <= limit,
            a.beta == 0 || b.alpha == 1 || JoinedConstants.isFactor(Double(b.alpha))
        else { return nil }
        let function = EltwiseFunction(algorithm: TDNNL_ELTWISE_LINEAR, alpha: Float(alpha), beta: Float(beta))
        return PostOp(kind: .eltwise(function), binding: next.binding)
    }
}
