import CDNNL
import TenonIR

/// One value of all along some dimensions.
struct Reduction {
    var algorithm: tdnnl_algorithm
    /// The dimensions of the operand, 1 where they are reduced: oneDNN drops none.
    var kept: [Int]
}

enum ReductionLowering {
    static let rules: [(String, Lowering.Rule)] = algorithms.map { name, algorithm in
        (name, { op, graph in lower(op, graph, algorithm) })
    }

    /// Not largest and smallest: oneDNN begins those with a finite number, so that of nothing but infinities it makes that.
    static let algorithms: [(String, tdnnl_algorithm)] = [
        ("sum", TDNNL_REDUCTION_SUM), ("mean", TDNNL_REDUCTION_MEAN), ("prod", TDNNL_REDUCTION_MUL),
    ]

    private static func lower(
        _ op: RegionOp, _ graph: RegionGraph, _ algorithm: tdnnl_algorithm
    ) -> RegionNode.Operation? {
        let dims = graph[op.inputs[0]].dims
        guard (1...5).contains(dims.count) else { return nil }
        var kept = dims
        for axis in op.attributes.ints("axis") ?? Array(0..<Int64(dims.count)) {
            let resolved = axis < 0 ? axis + Int64(dims.count) : axis
            guard let position = Int(exactly: resolved), kept.indices.contains(position) else { return nil }
            kept[position] = 1
        }
        // Nothing to reduce is a copy, which oneDNN refuses.
        guard kept != dims, isInnermost(dims, kept, isWhole: graph[op.outputs[0]].dims == kept) else { return nil }
        return .reduction(Reduction(algorithm: algorithm, kept: kept))
    }

    /// Whether what is reduced lies side by side in one of the layouts: along other dimensions oneDNN has only reference
    /// loops, many times slower than the kernel. Channels lie side by side in channels-last memory, which a result that
    /// keeps its dimensions can have.
    private static func isInnermost(_ dims: [Int], _ kept: [Int], isWhole: Bool) -> Bool {
        func isTail(_ order: [Int]) -> Bool {
            let moving = order.filter { dims[$0] > 1 }
            let first = moving.firstIndex { kept[$0] == 1 } ?? 0
            return moving[first...].allSatisfy { kept[$0] == 1 }
        }
        let axes = Array(dims.indices)
        if isTail(axes) { return true }
        return isWhole && dims.count > 2 && isTail([0] + axes.dropFirst(2) + [1])
    }
}

extension CandidateMaker {
    func reduction(_ node: RegionNode, _ reduction: Reduction) throws -> [Candidate] {
        let create: (MemoryDescriptor, MemoryDescriptor, UnsafePointer<tdnnl_attributes>) -> (Int32, OpaquePointer?) = {
            source, target, attributes in
            var handle: OpaquePointer?
            let status = tdnnl_reduction_create(
                &handle, engine, Int32(reduction.algorithm.rawValue), source.handle, target.handle, 0, 0, attributes)
            return (status, handle)
        }
        // Without the reduced dimensions the result is row-major.
        let isWhole = graph[node.output].dims == reduction.kept
        return try perLayout(
            node, "reduction", layouts: isWhole ? nil : [.plain], resultDims: isWhole ? nil : reduction.kept, create)
    }
}
