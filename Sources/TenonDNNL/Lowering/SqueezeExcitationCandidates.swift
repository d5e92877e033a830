import CDNNL
import CKernels
import TenonIR
import TenonRuntime

extension CandidateMaker {
    /// One per layout of what is pooled.
    func squeezeExcitation(_ node: RegionNode, _ block: SqueezeExcitation) throws -> [Candidate] {
        let (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        guard let shape = block.kernel(x) else { return [] }
        let weights = block.constants.reduce(0) { $0 + graph[$1].bytes }
        return try context.layouts(x, graph[node.output].dtype).filter { $0 != .plain }.map { layout in
            var kernel = shape
            kernel.source = tkernel_layout(layout, x)
            return Candidate(
                implementation: SqueezeImplementation.name,
                operands: [try context.laidOut(node.inputs[0], layout, argument: TDNNL_ARG_SRC)], output: .plain,
                outputDescriptor: try context.descriptor(y, graph[node.output].dtype, .plain),
                kernel: SqueezeImplementation(squeeze: kernel, block: block),
                time: context.costs.streaming(
                    bytes: context.byteCount(x, graph[node.output].dtype, layout) + 2 * weights, isReference: false))
        }
    }
}

/// Our kernel of squeeze and excitation.
struct SqueezeImplementation: Implementation {
    static let name = "squeeze_excitation:avx512"

    var squeeze: tkernel_squeeze
    var block: SqueezeExcitation

    var name: String { Self.name }
    var version: Int { 1 }
    var parameters: [Int64] {
        [squeeze.batch, squeeze.channels, squeeze.hidden, squeeze.pixels, squeeze.target_image] + squeeze.source.words
            + squeeze.middle.words + squeeze.last.words
    }
    var packedBytes: Int {
        var squeeze = squeeze
        return Int(tkernel_squeeze_weights(&squeeze)) * 4
    }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? {
        try packer.pack(block, squeeze, graph)
    }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel {
        squeeze.kernel(threads: threads)
    }
}

extension tkernel_squeeze {
    /// The step on the threads of the run: all meet once, when the sums of the first product are there.
    func kernel(threads: Int) -> PreparedKernel {
        var kernel = self
        let given = kernel
        let threads = max(threads, 1)
        let scratch = Int(tkernel_squeeze_scratch(&kernel)) * threads
        return PreparedKernel(scratchBytes: scratch * 4) { arguments in
            let source = arguments.inputs[0].assumingMemoryBound(to: Float.self)
            let weights = arguments.inputs[1].assumingMemoryBound(to: Float.self)
            let target = arguments.outputs[0].assumingMemoryBound(to: Float.self)
            let memory = arguments.scratch.assumingMemoryBound(to: Float.self)
            let shares = Int64(threads)
            arguments.parallel.forEach(threads) { range in
                var kernel = given
                for index in range { tkernel_squeeze_run(&kernel, shares, Int64(index), source, weights, memory) }
            }
            arguments.parallel.forEach(threads) { range in
                var kernel = given
                for index in range { tkernel_excite_run(&kernel, shares, Int64(index), weights, memory, target) }
            }
        }
    }
}
