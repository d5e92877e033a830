import CKernels
import TenonIR

/// What follows a kernel element by element, as the C kernels take it.
final class KernelSteps: @unchecked Sendable {
    let base: UnsafeMutablePointer<tkernel_step>
    let count: Int
    /// Input that each step reads, by index among the kernel's; nil for functions of one number.
    let operands: [Int?]

    static let none = KernelSteps([], operands: [])

    init(_ steps: [tkernel_step], operands: [Int?]) {
        count = steps.count
        base = .allocate(capacity: max(steps.count, 1))
        base.initialize(from: steps, count: steps.count)
        self.operands = operands
    }

    deinit { base.deallocate() }

    var isEmpty: Bool { count == 0 }

    /// Calls `body` with the operands' addresses.
    @inline(__always) func withOperands(
        _ arguments: borrowing KernelArguments, _ body: (UnsafePointer<UnsafePointer<Float>?>) -> Void
    ) {
        let inputs = arguments.inputs
        withUnsafeTemporaryAllocation(of: UnsafePointer<Float>?.self, capacity: max(count, 1)) { table in
            guard let base = table.baseAddress else { return }
            for index in 0..<count {
                (base + index).initialize(to: operands[index].map { inputs[$0].assumingMemoryBound(to: Float.self) })
            }
            body(UnsafePointer(base))
        }
    }

    /// The function of one number that an operator is; nil where the C kernels have none.
    static func activation(_ op: OperatorID, _ attributes: Attributes, _ arguments: [Operand]) -> tkernel_activation? {
        func make(_ function: tkernel_function, _ alpha: Double = 0, _ beta: Double = 0) -> tkernel_activation {
            tkernel_activation(function: Int32(function.rawValue), alpha: Float(alpha), beta: Float(beta))
        }
        switch op.name {
        case "nn.relu": return make(TKERNEL_RELU)
        case "nn.leakyrelu": return attributes.float("alpha").map { make(TKERNEL_RELU, $0) }
        case "nn.relu6": return make(TKERNEL_CLIP, 0, 6)
        case "clip":
            guard arguments.count == 3, let low = number(arguments[1]), let high = number(arguments[2]), low <= high
            else { return nil }
            return make(TKERNEL_CLIP, low, high)
        case "nn.silu": return make(TKERNEL_SWISH, 1)
        case "nn.hard_swish": return make(TKERNEL_HARDSWISH, 1.0 / 6, 0.5)
        case "nn.hard_sigmoid":
            guard let alpha = attributes.float("alpha"), let beta = attributes.float("beta") else { return nil }
            return make(TKERNEL_HARDSIGMOID, alpha, beta)
        case "sigmoid": return make(TKERNEL_SIGMOID)
        case "tanh": return make(TKERNEL_TANH)
        case "nn.gelu": return make(TKERNEL_GELU_ERF)
        case "nn.gelu_tanh": return make(TKERNEL_GELU_TANH)
        case "nn.mish": return make(TKERNEL_MISH)
        case "exp": return make(TKERNEL_EXP)
        default: return nil
        }
    }

    private static func number(_ operand: Operand) -> Double? {
        switch operand {
        case .int(let value): Double(value)
        case .float(let value): value
        case .constant(let constant): constant.isScalar ? constant.double(at: 0) : nil
        default: nil
        }
    }

    static func step(_ activation: tkernel_activation) -> tkernel_step {
        var step = tkernel_step()
        step.kind = Int32(TKERNEL_STEP_ACTIVATION.rawValue)
        step.activation = activation
        (step.group, step.period) = (1, 1)
        return step
    }

    /// The step that a binary operator is, with the running value on its left or right.
    static func binary(_ op: OperatorID, isLeft: Bool) -> tkernel_step_kind? {
        switch op.name {
        case "add": TKERNEL_STEP_ADD
        case "multiply": TKERNEL_STEP_MULTIPLY
        case "subtract": isLeft ? TKERNEL_STEP_SUBTRACT : TKERNEL_STEP_SUBTRACT_FROM
        case "divide": isLeft ? TKERNEL_STEP_DIVIDE : TKERNEL_STEP_DIVIDE_BY
        case "maximum": TKERNEL_STEP_MAXIMUM
        case "minimum": TKERNEL_STEP_MINIMUM
        default: nil
        }
    }

    /// Where the elements of an operand of shape `operand` lie beside those of `result`, whose last dimension are columns; nil when
    /// that is no step of rows that repeat.
    static func place(_ operand: [Int], in result: [Int]) -> tkernel_step? {
        guard let columns = result.last, operand.count <= result.count else { return nil }
        let padded = [Int](repeating: 1, count: result.count - operand.count) + operand
        for (own, size) in zip(padded, result) where own != size && own != 1 { return nil }
        let isWhole = padded[padded.count - 1] == columns && columns > 1
        var step = tkernel_step()
        step.column = isWhole ? 1 : 0
        (step.group, step.period, step.row) = (1, Int64.max, 0)
        // Leading dimensions: some that repeat, some that count, some that repeat.
        var state = 0
        var (group, period) = (1, 1)
        for axis in (0..<result.count - 1).reversed() where result[axis] != 1 {
            let counts = padded[axis] != 1
            switch (state, counts) {
            case (0, false): group *= result[axis]
            case (0, true), (1, true):
                state = 1
                period *= result[axis]
            case (1, false): state = 2
            case (2, true): return nil
            default: break
            }
        }
        if state > 0 {
            step.group = Int64(group)
            step.period = Int64(period)
            step.row = isWhole ? Int64(columns) : 1
        }
        return step
    }
}
