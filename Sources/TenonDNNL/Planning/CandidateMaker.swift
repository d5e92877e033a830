import CDNNL
import TenonIR

/// Finds the ways to run a node.
struct CandidateMaker {
    var context: PlanContext

    var graph: RegionGraph { context.graph }
    var engine: OpaquePointer { context.engine.handle }

    /// Every sensible way, reference implementations only where nothing else exists. Empty when oneDNN refuses the node.
    func candidates(_ node: RegionNode) throws -> [Candidate] {
        var found = try primitives(node)
        found += try tailed(node)
        if found.contains(where: { $0.descriptor?.isReference == false }) {
            found.removeAll { $0.descriptor?.isReference == true }
        }
        return found
    }

    /// Those that compute the node in one step.
    func primitives(_ node: RegionNode) throws -> [Candidate] {
        try Work.check()
        return try ForkBarrier.away { try descriptions(node) }
    }

    private func descriptions(_ node: RegionNode) throws -> [Candidate] {
        switch node.operation {
        case .convolution(let convolution): try self.convolution(node, convolution)
        case .depthwiseFusion(let fusion): try depthwiseFusion(node, fusion)
        case .squeezeExcitation(let block): try squeezeExcitation(node, block)
        case .product(let product): try self.product(node, product)
        case .pooling(let pooling): try self.pooling(node, pooling)
        case .normalization(let normalization): try self.normalization(node, normalization)
        case .softmax(let axis): try softmax(node, axis: axis)
        case .eltwise(let function): try eltwise(node, function)
        case .binary(let algorithm): try binary(node, algorithm)
        case .concat(let axis): try concat(node, axis: axis)
        case .reduction(let reduction): try self.reduction(node, reduction)
        case .resampling(let algorithm): try resampling(node, algorithm)
        case .prelu(let slope): try prelu(node, slope)
        case .shuffle(let shuffle): try self.shuffle(node, shuffle)
        case .implemented(let implementation, _): try implemented(node, implementation)
        case .view: [try standIn(node, "view", time: 0)]
        case .transposition(let toSecond): [try transposition(node, toSecond: toSecond)]
        case .kernel: [try standIn(node, "swift", time: Double(graph[node.output].count) * 2)]
        }
    }

    /// Whether one of the ways is more than oneDNN's reference loops.
    static func isFast(_ candidates: [Candidate]) -> Bool {
        candidates.contains { $0.descriptor?.isReference != true }
    }

    /// Channels last are the same memory as their dimensions in that order, row-major.
    private func transposition(_ node: RegionNode, toSecond: Bool) throws -> Candidate {
        let (source, target) = toSecond ? (Layout.plain, Layout.channelsLast) : (.channelsLast, .plain)
        return Candidate(
            descriptor: nil, implementation: "view",
            operands: [try context.laidOut(node.inputs[0], source, argument: TDNNL_ARG_SRC)], output: target,
            outputDescriptor: try context.descriptor(node.output, target), time: 0)
    }

    /// Reads and writes row-major memory.
    private func standIn(_ node: RegionNode, _ implementation: String, time: Double) throws -> Candidate {
        Candidate(
            descriptor: nil, implementation: implementation,
            operands: try node.inputs.map { try context.plain($0, argument: TDNNL_ARG_SRC) }, output: .plain,
            outputDescriptor: try context.descriptor(node.output, .plain), time: time)
    }

    typealias Create = (UnsafePointer<tdnnl_attributes>) -> (status: Int32, handle: OpaquePointer?)

    /// Walks the implementations of one description: up to `limit` that are not reference, else the reference.
    func implementations(
        limit: Int, _ postOps: PostOpList, _ what: String, _ create: Create,
        accept: (PrimitiveDescriptor) throws -> Void
    ) throws {
        let (status, handle) = postOps.withAttributes(create)
        guard let descriptor = try PrimitiveDescriptor.wrap(status, handle, what) else { return }
        // Whoever asks for one layout wants to know whether there is a way, not all of them; the first is the best.
        for count in 0..<(context.onlyLayout == nil ? limit : 1) {
            if descriptor.isReference && count > 0 { return }
            // Each candidate keeps a descriptor of its own.
            try accept(try descriptor.copy())
            guard !descriptor.isReference, descriptor.moveToNext() else { return }
        }
    }

    /// The usual single-input candidate, one per layout. With `resultDims` the primitive is told other dimensions of the
    /// result than it has, in row-major order.
    func perLayout(
        _ node: RegionNode, _ what: String, layouts: [Layout]? = nil, extra: [BoundOperand] = [],
        usesSum: Bool = false, resultDims: [Int]? = nil,
        _ create: (MemoryDescriptor, MemoryDescriptor, UnsafePointer<tdnnl_attributes>) -> (Int32, OpaquePointer?)
    ) throws -> [Candidate] {
        let shape = graph[node.output].dims
        var found: [Candidate] = []
        for layout in layouts ?? context.layouts(shape, graph[node.output].dtype) {
            guard context.layouts(graph[node.inputs[0]].dims, graph[node.inputs[0]].dtype).contains(layout),
                let postOps = try PostOpPlan(node, context, shape: shape, layout: layout, usesSum: usesSum)
            else { continue }
            let source = try context.laidOut(node.inputs[0], layout, argument: TDNNL_ARG_SRC)
            let target =
                try resultDims.map { try .strided($0, graph[node.output].dtype) }
                ?? context.descriptor(node.output, layout)
            try implementations(
                limit: 1, postOps.list, what, { create(source.descriptor, target, $0) },
                accept: { descriptor in
                    found.append(
                        Candidate(
                            descriptor: descriptor, implementation: descriptor.implementation,
                            operands: [source] + extra + postOps.bound(to: descriptor), output: layout,
                            outputDescriptor: target, accumulates: postOps.accumulates,
                            time: context.costs.streaming(
                                bytes: context.byteCount(node.inputs[0], layout)
                                    + context.byteCount(node.output, layout), isReference: descriptor.isReference)))
                })
        }
        return found
    }
}
