import CDNNL
import TenonIR
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
        case softmax(axis: Int, isLog: Bool)
        case eltwise(EltwiseFunction)
        case binary(tdnnl_algorithm)
        case concat(axis: Int)
        case reduction(Reduction)
        case resampling(tdnnl_algorithm)
        case prelu(slope: TensorID)
        case shuffle(Shuffle)
        /// The same elements under other dimensions.
        case view
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

    /// Two linear functions are one. It saves a step, and oneDNN 2.6 cannot have two in one chain.
    func joined(with next: PostOp) -> PostOp? {
        guard case .eltwise(let a) = kind, case .eltwise(let b) = next.kind, a.algorithm == TDNNL_ELTWISE_LINEAR,
            b.algorithm == TDNNL_ELTWISE_LINEAR
        else { return nil }
        let function = EltwiseFunction(
            algorithm: TDNNL_ELTWISE_LINEAR, alpha: a.alpha * b.alpha, beta: b.alpha * a.beta + b.beta)
        return PostOp(kind: .eltwise(function), binding: next.binding)
    }
}
