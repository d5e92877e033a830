import CKernels
import TenonIR

/// One step of a chain: a function of the value that the chain has so far, or of that and another operand.
public struct ChainStep: Sendable {
    public var op: OperatorID
    public var attributes: Attributes
    /// Arguments of the call that are plain numbers stand here (`clip`); the chain's value is among them as anything.
    public var arguments: [Operand]
    /// The other operand of a binary step: an index into the chain's `operands`. Nil for a unary step.
    public var operand: Int?
    /// The chain's value is the left operand.
    public var isLeft: Bool

    public init(
        op: OperatorID, attributes: Attributes = Attributes(), arguments: [Operand] = [], operand: Int? = nil,
        isLeft: Bool = true
    ) {
        self.op = op
        self.attributes = attributes
        self.arguments = arguments
        self.operand = operand
        self.isLeft = isLeft
    }
}

/// An operator and what follows it element by element.
public struct ChainCall: Sendable {
    public var anchor: KernelCall
    public var steps: [ChainStep]
    /// The other operands of binary steps.
    public var operands: [TensorSpec]
    /// Contents of `operands` that are known, by the same index; may be empty.
    public var constants: [Constant?]
    public var output: TensorSpec

    public init(
        anchor: KernelCall, steps: [ChainStep], operands: [TensorSpec], constants: [Constant?] = [], output: TensorSpec
    ) {
        self.anchor = anchor
        self.steps = steps
        self.operands = operands
        self.constants = constants
        self.output = output
    }
}

extension Kernels {
    /// One kernel for the whole chain, whose inputs are the anchor's and then the steps' operands; nil where there is none. To
    /// prepare another number of rows takes microseconds: weights are packed once.
    public static func prepareChain(_ call: ChainCall) throws -> PreparedKernel? {
        guard call.anchor.outputs.count == 1, call.anchor.outputs[0] == call.output, call.output.dtype == .float32,
            tkernel_gemm_panel() > 0, let shape = rows(of: call), let steps = steps(call, shape)
        else { return nil }
        if let fused = try MatMulKernels.prepareChain(call.anchor, steps) { return fused }
        guard isAvailable(call.anchor.op) else { return nil }
        return try followed(prepare(call.anchor), steps, shape, inputs: call.anchor.inputs.count)
    }

    /// The result as rows and columns for the steps. A product with a vector has one column.
    private static func rows(of call: ChainCall) -> [Int]? {
        let shape = call.output.shape
        if MatMulKernels.isProduct(call.anchor.op), call.anchor.inputs.count > 1, call.anchor.inputs[1].shape.count == 1
        {
            return shape + [1]
        }
        return shape.isEmpty ? [1] : shape
    }

    private static func steps(_ call: ChainCall, _ shape: [Int]) -> KernelSteps? {
        var steps: [tkernel_step] = []
        var operands: [Int?] = []
        for step in call.steps {
            guard let index = step.operand else {
                guard let activation = KernelSteps.activation(step.op, step.attributes, step.arguments) else {
                    return nil
                }
                steps.append(KernelSteps.step(activation))
                operands.append(nil)
                continue
            }
            guard call.operands.indices.contains(index), call.operands[index].dtype == .float32,
                let kind = KernelSteps.binary(step.op, isLeft: step.isLeft),
                // A column of its own stands behind the shape of a product with a vector.
                var made = KernelSteps.place(
                    call.operands[index].shape
                        + (shape.count > call.output.shape.count && !call.output.shape.isEmpty ? [1] : []),
                    in: shape)
            else { return nil }
            made.kind = Int32(kind.rawValue)
            steps.append(made)
            operands.append(call.anchor.inputs.count + index)
        }
        return KernelSteps(steps, operands: operands)
    }

    /// A kernel, and the steps in one pass over its result.
    private static func followed(
        _ kernel: PreparedKernel, _ steps: KernelSteps, _ shape: [Int], inputs: Int
    ) -> PreparedKernel {
        guard !steps.isEmpty, let columns = shape.last, columns > 0 else { return kernel }
        let rows = shape.dropLast().reduce(1, *)
        var result = kernel
        result.run = { arguments in
            try kernel.run(arguments)
            let target = arguments.output(0, Float.self)
            steps.withOperands(arguments) { operands in
                arguments.parallel.forEach(rows, grain: max(1, 8192 / columns)) { range in
                    tkernel_steps_run(
                        Int64(steps.count), steps.base, Int64(range.lowerBound), Int64(range.upperBound),
                        Int64(columns), target, target, operands)
                }
            }
        }
        if let time = kernel.expectedNanoseconds {
            result.expectedNanoseconds = time + Double(rows * columns * steps.count) / 4
        }
        return result
    }
}
