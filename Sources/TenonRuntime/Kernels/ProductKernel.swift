import CKernels
import TenonIR

/// A product with constant weights as a backend's plan asks for it.
public struct ProductCall: Sendable {
    /// What is done with the result element by element.
    public enum Step: Sendable {
        case activation(tkernel_activation)
        /// With an operand of this shape, which broadcasts to the result; the result so far is on the left.
        case binary(tkernel_step_kind, shape: [Int])
    }

    /// The last dimension of the result are columns, the others rows.
    public var result: [Int]
    public var depth: Int
    public var weights: Constant
    /// Weights lie as [columns, depth] instead of [depth, columns].
    public var isTransposed: Bool
    public var steps: [Step]

    public init(result: [Int], depth: Int, weights: Constant, isTransposed: Bool, steps: [Step]) {
        self.result = result
        self.depth = depth
        self.weights = weights
        self.isTransposed = isTransposed
        self.steps = steps
    }
}

extension Kernels {
    /// A kernel whose inputs are the rows, then the operands of the steps in their order; nil where there is none.
    public static func prepareProduct(_ call: ProductCall) throws -> PreparedKernel? {
        guard tkernel_gemm_panel() > 0, let columns = call.result.last, columns > 0, call.depth > 0,
            call.weights.dtype == .float32
        else { return nil }
        let count = columns.multipliedReportingOverflow(by: call.depth)
        guard !count.overflow, call.weights.count == count.partialValue else { return nil }
        var steps: [tkernel_step] = []
        var operands: [Int?] = []
        for step in call.steps {
            switch step {
            case .activation(let activation):
                steps.append(KernelSteps.step(activation))
                operands.append(nil)
            case .binary(let kind, let shape):
                guard var made = KernelSteps.place(shape, in: call.result) else { return nil }
                made.kind = Int32(kind.rawValue)
                steps.append(made)
                operands.append(1 + operands.count { $0 != nil })
            }
        }
        let geometry = MatMulKernels.Geometry(
            rows: call.result.dropLast().reduce(1, *), columns: columns, depth: call.depth,
            isTransposed: call.isTransposed, offsets: [(0, 0)])
        return try GemmKernels.packed(geometry, call.weights, KernelSteps(steps, operands: operands))
    }
}
