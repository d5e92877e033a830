import CDNNL
import TenonIR

extension CandidateMaker {
    func convolution(_ node: RegionNode, _ convolution: Convolution) throws -> [Candidate] {
        let (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        var found: [Candidate] = []
        for (from, to) in layoutPairs(x, y, graph[node.output].dtype) {
            found += try self.convolution(node, convolution, from, to)
        }
        if found.allSatisfy({ $0.descriptor?.isReference == true }) {
            found += try self.convolution(node, convolution, .plain, .plain)
        }
        return try found + depthwise(node, convolution) + winograd(node, convolution)
    }

    /// Layouts of data and result worth asking for. An image of few channels is read as it comes.
    private func layoutPairs(_ x: [Int], _ y: [Int], _ dtype: DataType) -> [(Layout, Layout)] {
        let (sources, targets) = (context.layouts(x, dtype), context.layouts(y, dtype))
        var pairs: [(Layout, Layout)] = []
        if sources.contains(.channelsLast), targets.contains(.channelsLast) {
            pairs.append((.channelsLast, .channelsLast))
        }
        if targets.contains(.blocked) {
            if sources.contains(.blocked) { pairs.append((.blocked, .blocked)) }
            if x[1] <= 4 { pairs.append((.plain, .blocked)) }
        }
        return pairs
    }

    private func convolution(
        _ node: RegionNode, _ convolution: Convolution, _ from: Layout, _ to: Layout
    ) throws -> [Candidate] {
        let (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        let isResidual = node.postOps.first.map { PostOpPlan.isResidual($0, context, y) } ?? false
        var found: [Candidate] = []
        for usesSum in isResidual ? [true, false] : [false] {
            guard let postOps = try PostOpPlan(node, context, shape: y, layout: to, usesSum: usesSum) else { continue }
            let parts = LongSteps.parts(convolution.flops(x, y, graph), batch: y[0], context)
            // Operands that differ from sample to sample stay with the whole batch.
            if parts > 1,
                postOps.operands.contains(where: { Broadcasting.aligned(graph[$0.operand.tensor].dims, to: y)?[0] != 1 }
                )
            {
                continue
            }
            for algorithm in algorithms(convolution, from, to, x, y) {
                found += try self.convolution(node, convolution, from, to, algorithm, postOps, parts)
            }
        }
        return found
    }

    private func algorithms(
        _ convolution: Convolution, _ from: Layout, _ to: Layout, _ x: [Int], _ y: [Int]
    ) -> [tdnnl_algorithm] {
        let kernel = graph[convolution.weights].dims.dropFirst(2)
        let isWinograd =
            context.onlyLayout == nil && !convolution.isTransposed && convolution.groups == 1 && from == .blocked
            && to == .blocked
            && kernel.elementsEqual([3, 3]) && convolution.strides == [1, 1] && convolution.dilations == [1, 1]
            && x[1] >= 16 && y[1] >= 16
        return isWinograd ? [TDNNL_CONVOLUTION_DIRECT, TDNNL_CONVOLUTION_WINOGRAD] : [TDNNL_CONVOLUTION_DIRECT]
    }

    private func convolution(
        _ node: RegionNode, _ convolution: Convolution, _ from: Layout, _ to: Layout, _ algorithm: tdnnl_algorithm,
        _ postOps: PostOpPlan, _ parts: Int
    ) throws -> [Candidate] {
        let y = graph[node.output].dims
        var source = try context.laidOut(node.inputs[0], from, argument: TDNNL_ARG_SRC)
        var target = try context.descriptor(y, graph[node.output].dtype, to)
        var (convolution, view) = (convolution, ConvolutionLowering.weightsView(convolution, graph))
        let isColumn = isColumn(node, convolution)
        if isColumn {
            source.descriptor = try context.descriptor(
                graph[node.inputs[0]].dims.turned, graph[node.output].dtype, from)
            target = try context.descriptor(y.turned, graph[node.output].dtype, to)
            view = (view.dims.turned, view.strides?.turned)
            convolution.turn()
        }
        var batch: BatchParts?
        if parts > 1 {
            func part(_ dims: [Int], _ layout: Layout) throws -> MemoryDescriptor {
                let dims = [dims[0] / parts] + dims.dropFirst()
                return try context.descriptor(
                    isColumn ? dims.turned : dims, graph[node.output].dtype, layout)
            }
            batch = BatchParts(
                count: parts, source: try part(graph[node.inputs[0]].dims, from), target: try part(y, to))
        }
        let (data, result) = (batch?.source ?? source.descriptor, batch?.target ?? target)
        let weights = try MemoryDescriptor.any(view.dims, graph[convolution.weights].dtype)
        let bias = try convolution.bias.map { try MemoryDescriptor.any([y[1]], graph[$0].dtype) }
        var found: [Candidate] = []
        let create: Create = { attributes in
            var handle: OpaquePointer?
            let make = convolution.isTransposed ? tdnnl_deconvolution_create : tdnnl_convolution_create
            let status = make(
                &handle, engine, Int32(algorithm.rawValue), data.handle, weights.handle, bias?.handle,
                result.handle, convolution.strides, convolution.dilations, convolution.padsBegin, convolution.padsEnd,
                attributes)
            return (status, handle)
        }
        // The lists go from the newest instruction set to the oldest, or from small to large Winograd tiles: two entries
        // show what there is to choose.
        try implementations(limit: 2, postOps.list, "convolution", create) { descriptor in
            let name = descriptor.implementation
            if algorithm == TDNNL_CONVOLUTION_WINOGRAD, !name.contains("wino") { return }
            if name.contains("gemm"), misreadsOperands(node, y) { return }
            guard
                var packed = try descriptor.packed(
                    weights: convolution.weights, dims: view.dims, strides: view.strides, bias: convolution.bias,
                    outputs: y[1])
            else { return }
            packed[0].scale = convolution.scale
            let operands = [source] + packed + postOps.bound(to: descriptor)
            found.append(
                Candidate(
                    descriptor: descriptor, implementation: name, operands: operands, output: to,
                    outputDescriptor: target, accumulates: postOps.accumulates, parts: batch,
                    time: time(node, convolution, from, to, name, packed[0].descriptor.byteCount)))
        }
        return found
    }

    /// Whether a picture is one element wide, as sequences that were exported as pictures are. Kernels cut rows into blocks, but
    /// not columns: lying it is computed twice as fast and more, and it is the same memory in every layout.
    private func isColumn(_ node: RegionNode, _ convolution: Convolution) -> Bool {
        let (x, y, kernel) = (graph[node.inputs[0]].dims, graph[node.output].dims, graph[convolution.weights].dims)
        guard x.count == 4, y.count == 4, kernel.count == 4, x[2] > 1, x[3] == 1, y[3] == 1, kernel[3] == 1,
            convolution.padsBegin[1] == 0, convolution.padsEnd[1] == 0
        else { return false }
        return node.postOps.allSatisfy { op in
            // Operands of the picture's size would have to be turned too.
            guard case .binary(_, let operand) = op.kind else { return true }
            return graph[operand].dims.suffix(2).allSatisfy { $0 == 1 }
        }
    }

    /// With one output channel, the convolutions by matrix product take an operand of any size for one number per channel.
    private func misreadsOperands(_ node: RegionNode, _ y: [Int]) -> Bool {
        y[1] == 1
            && node.postOps.contains { op in
                guard case .binary(_, let operand) = op.kind else { return false }
                return graph[operand].count > 1
            }
    }

    private func time(
        _ node: RegionNode, _ convolution: Convolution, _ from: Layout, _ to: Layout, _ name: String, _ weights: Int
    ) -> Double {
        let (x, y) = (graph[node.inputs[0]].dims, graph[node.output].dims)
        var bytes =
            context.byteCount(x, graph[node.output].dtype, from) + context.byteCount(y, graph[node.output].dtype, to)
            + weights
        for op in node.postOps {
            if case .binary(_, let operand) = op.kind { bytes += graph[operand].bytes }
        }
        let base = context.costs.convolution(
            name,
            CostModel.ConvolutionShape(
                flops: convolution.flops(x, y, graph), bytes: bytes, weightBytes: weights,
                elements: Double(x[1] + y[1]) * Double(y.reduce(1, *) / max(y[1], 1)),
                output: Array(y.dropFirst(2)), isDepthwise: convolution.isDepthwise(graph), layout: to))
        return base + functions(node)
    }

    /// What functions made of exponentials take behind a primitive.
    func functions(_ node: RegionNode) -> Double {
        node.postOps.reduce(0) { sum, step in
            guard case .eltwise(let function) = step.kind else { return sum }
            return sum + context.costs.transcendental(function, count: graph[node.output].count)
        }
    }
}

extension Array where Element == Int {
    /// With height and width exchanged.
    fileprivate var turned: [Int] { dropLast(2) + [self[count - 1], self[count - 2]] }
}

extension Convolution {
    /// Exchanges height and width; the weights stay as they are.
    fileprivate mutating func turn() {
        strides.swapAt(0, 1)
        dilations.swapAt(0, 1)
        padsBegin.swapAt(0, 1)
        padsEnd.swapAt(0, 1)
    }

    /// Multiplications and additions.
    func flops(_ x: [Int], _ y: [Int], _ graph: RegionGraph) -> Double {
        let kernel = graph[weights].dims.dropFirst(2).reduce(1.0) { $0 * Double($1) }
        let places = (isTransposed ? x : y).reduce(1.0) { $0 * Double($1) }
        return 2 * places * kernel * Double(isTransposed ? y[1] : x[1]) / Double(groups)
    }
}
