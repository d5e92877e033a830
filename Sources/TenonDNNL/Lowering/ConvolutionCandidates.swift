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
        // What can be cut goes before what cannot where both are long.
        if found.contains(where: { $0.pieces != nil }) {
            found.removeAll { $0.pieces == nil && $0.time > LongSteps.limit }
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
            for algorithm in algorithms(convolution, from, to, x, y) {
                found += try self.convolution(node, convolution, from, to, algorithm, postOps)
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
        _ node: RegionNode, _ given: Convolution, _ from: Layout, _ to: Layout, _ algorithm: tdnnl_algorithm,
        _ postOps: PostOpPlan
    ) throws -> [Candidate] {
        let y = graph[node.output].dims
        let form = try ConvolutionForm(self, node, given, from, to, algorithm)
        var found: [Candidate] = []
        // The lists go from the newest instruction set to the oldest, or from small to large Winograd tiles: two entries
        // show what there is to choose.
        try implementations(limit: 2, postOps.list, "convolution", form.create(engine)) { descriptor in
            let name = descriptor.implementation
            if algorithm == TDNNL_CONVOLUTION_WINOGRAD, !name.contains("wino") { return }
            if name.contains("gemm"), misreadsOperands(node, y) { return }
            guard var packed = try form.packed(descriptor) else { return }
            packed[0].scale = given.scale
            var candidate = Candidate(
                descriptor: descriptor, implementation: name,
                operands: [form.source] + packed + postOps.bound(to: descriptor),
                output: to, outputDescriptor: form.target, accumulates: postOps.accumulates,
                time: time(node, given, from, to, name, packed[0].descriptor.byteCount))
            candidate.pieces = try pieces(of: candidate, node, given, algorithm, from)
            found.append(candidate)
        }
        return found
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

extension Convolution {
    /// Multiplications and additions.
    func flops(_ x: [Int], _ y: [Int], _ graph: RegionGraph) -> Double {
        let kernel = graph[weights].dims.dropFirst(2).reduce(1.0) { $0 * Double($1) }
        let places = (isTransposed ? x : y).reduce(1.0) { $0 * Double($1) }
        return 2 * places * kernel * Double(isTransposed ? y[1] : x[1]) / Double(groups)
    }
}
