import CDNNL
import CKernels
import TenonIR
import TenonRuntime

/// A function that our own kernel applies to a result, in place where it can: alone, or behind a primitive that would take
/// longer with it.
struct EltwiseTail {
    static let implementation = "eltwise:avx512"

    var function: EltwiseFunction
    var activation: tkernel_activation
    /// What is added behind the function: of the result's shape and layout.
    var addend: BoundOperand?
    /// What the step gives, and the tensor.
    var binding: String
}

extension CandidateMaker {
    /// Results below this stay with their primitive: starting one more step takes as long.
    private static let fewest = 16 << 10

    /// Ways to run a node without the function at the end of its chain, which our kernel then applies. An addition of a
    /// tensor of the same shape behind the function goes with it.
    func tailed(_ node: RegionNode) throws -> [Candidate] {
        let shape = graph[node.output].dims
        guard node.acceptsTail, context.onlyLayout == nil, graph[node.output].count >= Self.fewest else { return [] }
        var headless = node
        var addend: TensorID?
        if let last = headless.postOps.last, PostOpPlan.isResidual(last, context, shape),
            case .binary(_, let operand) = last.kind
        {
            addend = operand
            headless.postOps.removeLast()
        }
        guard let step = headless.postOps.popLast(), case .eltwise(let function) = step.kind,
            let activation = function.fastActivation
        else { return [] }
        return try primitives(headless).compactMap { candidate in
            guard candidate.descriptor?.isReference == false, staysZero(function, shape, candidate.output) else {
                return nil
            }
            var candidate = candidate
            let operand = try addend.map { tensor in
                BoundOperand(
                    argument: 0, tensor: tensor, place: .layout(candidate.output),
                    descriptor: try context.descriptor(shape, graph[node.output].dtype, candidate.output))
            }
            // With dimensions taken together there is no operand of the same shape.
            if operand != nil, graph[node.output].dims.count != candidate.outputDescriptor.dims?.count { return nil }
            candidate.tail = EltwiseTail(
                function: function, activation: activation, addend: operand, binding: node.binding)
            candidate.time += context.costs.kernel(
                function, count: graph[node.output].count, operands: operand == nil ? 1 : 2)
            return candidate
        }
    }

    /// A function that stands alone.
    func kernel(_ node: RegionNode, _ function: EltwiseFunction) throws -> [Candidate] {
        let shape = graph[node.output].dims
        guard node.postOps.isEmpty, let activation = function.fastActivation else { return [] }
        return try context.layouts(shape, graph[node.output].dtype).filter { staysZero(function, shape, $0) }.map {
            layout in
            let operand = try context.laidOut(node.inputs[0], layout, argument: TDNNL_ARG_SRC)
            return Candidate(
                implementation: EltwiseTail.implementation, operands: [operand], output: layout,
                outputDescriptor: try context.descriptor(shape, graph[node.output].dtype, layout),
                tail: EltwiseTail(function: function, activation: activation, binding: node.binding),
                time: context.costs.kernel(function, count: graph[node.output].count, operands: 1))
        }
    }

    /// Channels that only fill a block up have to stay zero.
    private func staysZero(_ function: EltwiseFunction, _ shape: [Int], _ layout: Layout) -> Bool {
        layout != .blocked || function.keepsZero || shape[1] % context.blockSize == 0
    }
}

extension RegionNode {
    /// Whether a function behind the primitive may be a step of its own.
    fileprivate var acceptsTail: Bool {
        switch operation {
        case .convolution, .product, .binary: true
        default: false
        }
    }
}

extension EltwiseFunction {
    /// The function for our kernels, if they have it.
    var kernelActivation: tkernel_activation? {
        let kind: tkernel_function
        switch algorithm {
        case TDNNL_ELTWISE_RELU: kind = TKERNEL_RELU
        case TDNNL_ELTWISE_CLIP: kind = TKERNEL_CLIP
        case TDNNL_ELTWISE_SWISH: kind = TKERNEL_SWISH
        case TDNNL_ELTWISE_HARDSWISH: kind = TKERNEL_HARDSWISH
        case TDNNL_ELTWISE_HARDSIGMOID: kind = TKERNEL_HARDSIGMOID
        case TDNNL_ELTWISE_LOGISTIC: kind = TKERNEL_SIGMOID
        case TDNNL_ELTWISE_TANH: kind = TKERNEL_TANH
        case TDNNL_ELTWISE_GELU_ERF: kind = TKERNEL_GELU_ERF
        case TDNNL_ELTWISE_GELU_TANH: kind = TKERNEL_GELU_TANH
        case TDNNL_ELTWISE_EXP: kind = TKERNEL_EXP
        case TDNNL_ELTWISE_MISH: kind = TKERNEL_MISH
        default: return nil
        }
        return tkernel_activation(function: Int32(kind.rawValue), alpha: alpha, beta: beta)
    }

    /// The function for our kernel where that is faster than oneDNN's and this machine can run it.
    fileprivate var fastActivation: tkernel_activation? {
        guard isTranscendental, var activation = kernelActivation, tkernel_eltwise_is_supported(&activation) != 0 else {
            return nil
        }
        return activation
    }

    /// Whether zero is zero again.
    var keepsZero: Bool {
        switch algorithm {
        case TDNNL_ELTWISE_CLIP: alpha <= 0 && beta >= 0
        case TDNNL_ELTWISE_HARDSIGMOID, TDNNL_ELTWISE_LOGISTIC, TDNNL_ELTWISE_EXP: false
        default: true
        }
    }
}

extension CostModel {
    /// Nanoseconds that a function takes per element on one thread behind a primitive, and in our kernel.
    private func rates(_ function: EltwiseFunction) -> (primitive: Double, kernel: Double) {
        switch function.algorithm {
        case TDNNL_ELTWISE_SWISH: (0.54, 0.24)
        case TDNNL_ELTWISE_LOGISTIC: (0.44, 0.24)
        case TDNNL_ELTWISE_TANH: (0.42, 0.26)
        case TDNNL_ELTWISE_GELU_ERF: (0.55, 0.39)
        case TDNNL_ELTWISE_GELU_TANH: (0.68, 0.29)
        case TDNNL_ELTWISE_EXP: (0.32, 0.21)
        case TDNNL_ELTWISE_MISH: (0.44, 0.29)
        default: (0.4, 0.4)
        }
    }

    /// Exponentials behind a convolution cost more than many convolutions do.
    func transcendental(_ function: EltwiseFunction, count: Int) -> Double {
        function.isTranscendental ? Double(count) * rates(function).primitive / Double(threads) : 0
    }

    /// The same within a kernel of ours.
    func transcendentalInside(_ function: EltwiseFunction, count: Int) -> Double {
        function.isTranscendental ? Double(count) * rates(function).kernel / Double(threads) : 0
    }

    /// Our kernel as a step of its own, which reads its operands from the caches.
    func kernel(_ function: EltwiseFunction, count: Int, operands: Int) -> Double {
        start + transcendentalInside(function, count: count) + Double(count * 4 * operands) / (bandwidth * 1.5)
    }
}

extension EltwiseTail {
    /// The step on the threads of the run. The first input and the output may be the same memory.
    func kernel(count: Int) -> PreparedKernel {
        let given = activation
        let hasAddend = addend != nil
        // Whole cache lines for each thread.
        let lines = (count + 15) / 16
        return PreparedKernel { arguments in
            let source = arguments.inputs[0].assumingMemoryBound(to: Float.self)
            let addend = hasAddend ? arguments.inputs[1].assumingMemoryBound(to: Float.self) : nil
            let target = arguments.outputs[0].assumingMemoryBound(to: Float.self)
            arguments.parallel.forEach(lines, grain: 128) { range in
                var activation = given
                let begin = range.lowerBound * 16
                tkernel_eltwise_run(
                    &activation, Int64(min(range.upperBound * 16, count) - begin), source + begin,
                    addend.map { $0 + begin }, target + begin)
            }
        }
    }
}
