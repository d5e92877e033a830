import CDNNL
import CKernels
import TenonIR
import TenonRuntime

/// What stands behind a convolution, as our Winograd kernel takes it: an addition of the result's size, then a function.
private struct Finish {
    var residual: TensorID?
    var function: EltwiseFunction?

    /// Nil when the kernel has no such steps.
    init?(_ node: RegionNode, _ context: PlanContext) {
        var steps = node.postOps[...]
        if let first = steps.first, case .binary(_, let operand) = first.kind,
            PostOpPlan.isResidual(first, context, context.graph[node.output].dims)
        {
            residual = operand
            steps = steps.dropFirst()
        }
        guard let last = steps.first else { return }
        guard steps.count == 1, case .eltwise(let function) = last.kind, function.blockActivation != nil else {
            return nil
        }
        self.function = function
    }
}

extension CandidateMaker {
    /// One per pair of layouts, with a residual added in place or from its own memory. None where our kernel does not take the
    /// convolution.
    func winograd(_ node: RegionNode, _ convolution: Convolution) throws -> [Candidate] {
        let (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        guard context.onlyLayout == nil, context.blockSize == 16, let finish = Finish(node, context),
            var shape = tkernel_winograd(convolution, x, y, graph)
        else { return [] }
        shape.activation = finish.function?.blockActivation ?? tkernel_activation()
        guard tkernel_winograd_is_supported(&shape) != 0 else { return [] }
        var found: [Candidate] = []
        for from in context.layouts(x, graph[node.output].dtype) where from != .plain {
            for to in context.layouts(y, graph[node.output].dtype) where to != .plain {
                shape.source = tkernel_layout(from, x)
                shape.target = tkernel_layout(to, y)
                let source = try context.laidOut(node.inputs[0], from, argument: TDNNL_ARG_SRC)
                let time = time(node, shape, finish.function, from, to)
                func add(_ operands: [BoundOperand], accumulates: TensorID?) throws {
                    found.append(
                        Candidate(
                            implementation: WinogradImplementation.name, operands: operands, output: to,
                            outputDescriptor: try context.descriptor(y, graph[node.output].dtype, to),
                            accumulates: accumulates,
                            kernel: WinogradImplementation(shape: shape, convolution: convolution),
                            time: time))
                }
                if let residual = finish.residual {
                    try add([source], accumulates: residual)
                    let operand = try context.laidOut(residual, to, argument: TDNNL_ARG_SRC_1)
                    try add([source, operand], accumulates: nil)
                } else {
                    try add([source], accumulates: nil)
                }
            }
        }
        return found
    }

    private func time(
        _ node: RegionNode, _ shape: tkernel_winograd, _ function: EltwiseFunction?, _ from: Layout, _ to: Layout
    ) -> Double {
        var time = context.costs.winograd(
            CostModel.WinogradShape(
                tiles: Double(shape.batch * ((shape.out_height + 3) / 4) * ((shape.out_width + 3) / 4)),
                inputs: Double(shape.inputs), outputs: Double((shape.outputs + 15) / 16 * 16)))
        if let function { time += context.costs.transcendentalInside(function, count: graph[node.output].count) }
        // Channels of a pixel that do not lie in blocks are read and written with masks.
        for (layout, tensor) in [(from, node.inputs[0]), (to, node.output)] where layout == .channelsLast {
            time += Double(graph[tensor].bytes) / context.costs.bandwidth
        }
        return time
    }
}

/// Our Winograd kernel.
struct WinogradImplementation: Implementation {
    static let name = "wino_4x3:avx512"

    var shape: tkernel_winograd
    var convolution: Convolution

    var name: String { Self.name }
    var version: Int { 1 }
    var parameters: [Int64] {
        [
            shape.batch, shape.inputs, shape.outputs, shape.height, shape.width, shape.out_height, shape.out_width,
            shape.pad_top, shape.pad_left,
        ] + shape.source.words + shape.target.words + shape.activation.words
    }
    var packedBytes: Int {
        var shape = shape
        return Int(tkernel_winograd_weights(&shape)).multipliedReportingOverflow(by: 4).partialValue
    }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? {
        try packer.pack(convolution, shape, graph)
    }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        shape.kernel(threads: threads, hasResidual: operands > 1, inPlace: inPlace)
    }
}

extension tkernel_winograd {
    /// Without layouts and activation; nil when the convolution is none for the kernel.
    fileprivate init?(_ convolution: Convolution, _ x: [Int], _ y: [Int], _ graph: RegionGraph) {
        // With fewer channels, most of a vector or of the time for transforms would be lost.
        guard x.count == 4, y.count == 4, min(x[1], y[1]) >= 8, !convolution.isTransposed, convolution.groups == 1,
            graph[convolution.weights].dims == [y[1], x[1], 3, 3], convolution.strides == [1, 1],
            convolution.dilations == [1, 1], convolution.padsBegin.count == 2, convolution.hasConstantWeights(graph),
            // The kernel's sums of sizes stay far from overflow, and so does its scratch memory.
            [x, y].allSatisfy({ $0.reduce(1, *) < 1 << 40 })
        else { return nil }
        self.init()
        batch = Int64(x[0])
        inputs = Int64(x[1])
        outputs = Int64(y[1])
        height = Int64(x[2])
        width = Int64(x[3])
        out_height = Int64(y[2])
        out_width = Int64(y[3])
        pad_top = convolution.padsBegin[0]
        pad_left = convolution.padsBegin[1]
    }

    /// The step on `threads` threads, each with scratch memory of its own. Reads source, weights and, `hasResidual`, the residual;
    /// `inPlace` the residual is what the result's memory holds before.
    func kernel(threads: Int, hasResidual: Bool, inPlace: Bool) -> PreparedKernel {
        var shape = self
        let threads = max(threads, 1)
        // In whole cache lines.
        let scratch = (Int(tkernel_winograd_scratch(&shape, Int64(threads))) + 15) / 16 * 16
        let given = shape
        return PreparedKernel(scratchBytes: scratch * threads * 4) { arguments in
            let source = arguments.inputs[0].assumingMemoryBound(to: Float.self)
            let weights = arguments.inputs[1].assumingMemoryBound(to: Float.self)
            let target = arguments.outputs[0].assumingMemoryBound(to: Float.self)
            let memory = arguments.scratch.assumingMemoryBound(to: Float.self)
            let residual =
                inPlace
                ? UnsafePointer(target) : hasResidual ? arguments.inputs[2].assumingMemoryBound(to: Float.self) : nil
            arguments.parallel.forEach(threads) { range in
                var shape = given
                for index in range {
                    tkernel_winograd_run(
                        &shape, Int64(threads), Int64(index), source, weights, residual, target,
                        memory + scratch * index)
                }
            }
        }
    }
}
