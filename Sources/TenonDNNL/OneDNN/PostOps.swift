import CDNNL
import TenonIR

/// What oneDNN appends to an operation, in its order.
struct PostOpList {
    private(set) var entries: [tdnnl_post_op] = []
    /// Keeps the descriptors that entries point to.
    private var descriptors: [MemoryDescriptor] = []

    var count: Int { entries.count }

    mutating func sum() {
        var op = tdnnl_post_op()
        op.kind = Int32(TDNNL_POST_OP_SUM.rawValue)
        op.scale = 1
        entries.append(op)
    }

    mutating func eltwise(_ function: EltwiseFunction) {
        var op = tdnnl_post_op()
        op.kind = Int32(TDNNL_POST_OP_ELTWISE.rawValue)
        op.algorithm = Int32(function.algorithm.rawValue)
        op.alpha = function.alpha
        op.beta = function.beta
        op.scale = 1
        entries.append(op)
    }

    mutating func binary(_ algorithm: tdnnl_algorithm, _ descriptor: MemoryDescriptor) {
        var op = tdnnl_post_op()
        op.kind = Int32(TDNNL_POST_OP_BINARY.rawValue)
        op.algorithm = Int32(algorithm.rawValue)
        op.src1 = descriptor.handle
        descriptors.append(descriptor)
        entries.append(op)
    }

    /// Calls `body` with the attributes that say these post-ops.
    func withAttributes<R>(_ body: (UnsafePointer<tdnnl_attributes>) -> R) -> R {
        withExtendedLifetime(descriptors) {
            entries.withUnsafeBufferPointer { list in
                var attributes = tdnnl_attributes()
                attributes.post_ops = list.baseAddress
                attributes.post_op_count = Int32(truncatingIfNeeded: list.count)
                return withUnsafePointer(to: &attributes, body)
            }
        }
    }
}

/// One of oneDNN's element-wise functions with its parameters.
struct EltwiseFunction: Hashable, Sendable {
    var algorithm: tdnnl_algorithm
    var alpha: Float = 0
    var beta: Float = 0

    /// Made of exponentials or logarithms.
    var isTranscendental: Bool {
        switch algorithm {
        case TDNNL_ELTWISE_TANH, TDNNL_ELTWISE_ELU, TDNNL_ELTWISE_SOFT_RELU, TDNNL_ELTWISE_LOGISTIC, TDNNL_ELTWISE_EXP,
            TDNNL_ELTWISE_GELU_TANH, TDNNL_ELTWISE_GELU_ERF, TDNNL_ELTWISE_SWISH, TDNNL_ELTWISE_LOG, TDNNL_ELTWISE_POW,
            TDNNL_ELTWISE_LOGSIGMOID, TDNNL_ELTWISE_MISH:
            true
        default: false
        }
    }

    static func == (a: EltwiseFunction, b: EltwiseFunction) -> Bool {
        a.algorithm.rawValue == b.algorithm.rawValue && a.alpha == b.alpha && a.beta == b.beta
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(algorithm.rawValue)
        hasher.combine(alpha)
        hasher.combine(beta)
    }
}
