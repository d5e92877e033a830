import CDNNL
import CKernels
import TenonIR
import TenonRuntime

extension CandidateMaker {
    /// One per pair of layouts; reading pixel by pixel costs a copy.
    func depthwiseFusion(_ node: RegionNode, _ fusion: DepthwiseFusion) throws -> [Candidate] {
        let (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        guard let shape = fusion.block(x, graph[fusion.expanded].dims, y, graph) else { return [] }
        var found: [Candidate] = []
        for from in context.layouts(x, graph[node.output].dtype) where from != .plain {
            for to in context.layouts(y, graph[node.output].dtype) where to != .plain {
                var block = shape
                block.source = tkernel_layout(from, x)
                block.target = tkernel_layout(to, y)
                found.append(
                    Candidate(
                        implementation: BlockImplementation.fusedName,
                        operands: [try context.laidOut(node.inputs[0], from, argument: TDNNL_ARG_SRC)], output: to,
                        outputDescriptor: try context.descriptor(y, graph[node.output].dtype, to),
                        kernel: BlockImplementation(
                            block: block, pointwise: fusion.pointwise, depthwise: fusion.depthwise),
                        time: time(fusion, x, y, from, to)))
            }
        }
        return found
    }

    private func time(_ fusion: DepthwiseFusion, _ x: [Int], _ y: [Int], _ from: Layout, _ to: Layout) -> Double {
        let bytes =
            context.byteCount(x, graph[fusion.expanded].dtype, from)
            + context.byteCount(y, graph[fusion.expanded].dtype, to)
        var time = context.costs.compute(
            flops: fusion.flops(x, y, graph), bytes: bytes, efficiency: from == .blocked ? 0.88 : 0.85)
        if from == .channelsLast {
            time += Double(context.byteCount(x, graph[fusion.expanded].dtype, from)) / context.costs.bandwidth
        }
        for (function, count) in [(fusion.middle, graph[fusion.expanded].count), (fusion.last, y.reduce(1, *))] {
            if let function { time += context.costs.transcendentalInside(function, count: count) }
        }
        return time
    }

    /// A depthwise convolution alone, with at most one function behind it.
    func depthwise(_ node: RegionNode, _ convolution: Convolution) throws -> [Candidate] {
        let (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        guard context.blockSize == 16, context.onlyLayout == nil, convolution.isDepthwise(graph),
            convolution.hasConstantWeights(graph), node.postOps.count <= 1
        else { return [] }
        var function: EltwiseFunction?
        if let step = node.postOps.first {
            guard case .eltwise(let last) = step.kind, last.blockActivation != nil else { return [] }
            function = last
        }
        guard var shape = tkernel_block(convolution, x, y, graph) else { return [] }
        shape.last = function?.blockActivation ?? tkernel_activation()
        guard tkernel_block_is_supported(&shape) != 0 else { return [] }
        return try context.layouts(x, graph[node.output].dtype).filter { $0 != .plain }.map { layout in
            var block = shape
            block.source = tkernel_layout(layout, x)
            block.target = tkernel_layout(layout, y)
            let compute = context.costs.compute(
                flops: convolution.flops(x, y, graph),
                bytes: context.byteCount(x, graph[node.output].dtype, layout)
                    + context.byteCount(y, graph[node.output].dtype, layout),
                efficiency: shape.kernel == 3 ? 0.42 : 0.5)
            let last = function.map { context.costs.transcendentalInside($0, count: graph[node.output].count) }
            return Candidate(
                implementation: BlockImplementation.aloneName,
                operands: [try context.laidOut(node.inputs[0], layout, argument: TDNNL_ARG_SRC)], output: layout,
                outputDescriptor: try context.descriptor(y, graph[node.output].dtype, layout),
                kernel: BlockImplementation(block: block, pointwise: nil, depthwise: convolution),
                time: compute + (last ?? 0))
        }
    }
}

/// Our kernel of depthwise convolutions, with or without a 1×1 convolution in front.
struct BlockImplementation: Implementation {
    static let fusedName = "1x1_dw:avx512"
    static let aloneName = "dw:avx512"

    var block: tkernel_block
    var pointwise: Convolution?
    var depthwise: Convolution

    var name: String { pointwise == nil ? Self.aloneName : Self.fusedName }
    var version: Int { 1 }
    var parameters: [Int64] {
        [
            block.batch, block.inputs, block.channels, block.height, block.width, block.out_height, block.out_width,
            block.kernel, block.stride, block.pad_top, block.pad_left,
        ] + block.source.words + block.target.words + block.middle.words + block.last.words
    }
    var packedBytes: Int {
        var block = block
        return Int(tkernel_block_weights(&block)).multipliedReportingOverflow(by: 4).partialValue
    }

    func pack(_ packer: WeightPacker, _ graph: RegionGraph) throws -> WeightMemory? {
        try packer.pack(pointwise, depthwise, block, graph)
    }

    func kernel(threads: Int, operands: Int, inPlace: Bool) throws -> PreparedKernel { block.kernel(threads: threads) }
}

extension tkernel_layout {
    /// For records.
    var words: [Int64] { [image, row, pixel, block] }
}

extension tkernel_activation {
    /// For records.
    var words: [Int64] { [Int64(function), Int64(alpha.bitPattern), Int64(beta.bitPattern)] }
}

extension tkernel_layout {
    /// Of an activation with three to five dimensions.
    init(_ layout: Layout, _ dims: [Int]) {
        let (channels, width) = (Int64(dims[1]), Int64(dims[dims.count - 1]))
        let pixels = Int64(dims.dropFirst(2).reduce(1, *))
        if layout == .blocked {
            self.init(image: (channels + 15) / 16 * 16 * pixels, row: width * 16, pixel: 16, block: pixels * 16)
        } else {
            self.init(image: channels * pixels, row: width * channels, pixel: channels, block: 16)
        }
    }
}

extension tkernel_block {
    /// The step that runs a block on the threads of the run, each with scratch memory of its own.
    func kernel(threads: Int) -> PreparedKernel {
        var block = self
        let threads = max(threads, 1)
        let pieces = Int(tkernel_block_pieces(&block, Int64(threads)))
        // In whole cache lines.
        let scratch = (Int(tkernel_block_scratch(&block)) + 15) / 16 * 16
        let given = block
        return PreparedKernel(scratchBytes: scratch * threads * 4) { arguments in
            let source = arguments.inputs[0].assumingMemoryBound(to: Float.self)
            let weights = arguments.inputs[1].assumingMemoryBound(to: Float.self)
            let target = arguments.outputs[0].assumingMemoryBound(to: Float.self)
            let memory = arguments.scratch.assumingMemoryBound(to: Float.self)
            arguments.parallel.forEach(threads) { range in
                var block = given
                for index in range {
                    tkernel_block_run(
                        &block, Int64(pieces), Int64(pieces * index / threads), Int64(pieces * (index + 1) / threads),
                        source, weights, target, memory + scratch * index)
                }
            }
        }
    }
}
