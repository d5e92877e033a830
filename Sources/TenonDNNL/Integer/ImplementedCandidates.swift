import CDNNL
import TenonIR

/// How an implementation of ours wants activations to lie.
enum LayoutNeed {
    /// Element by element, so that any order will do.
    case any
    case channelsInside
    case rowMajor
}

extension CandidateMaker {
    /// One per layout that the implementation takes.
    func implemented(_ node: RegionNode, _ implementation: any Implementation) throws -> [Candidate] {
        let output = graph[node.output]
        let possible = context.layouts(output.dims, output.dtype).filter { $0 != .blocked }
        let layouts: [Layout]
        switch implementation.need {
        case .any:
            layouts = possible.filter { layout in
                node.inputs.allSatisfy { context.layouts(graph[$0].dims, graph[$0].dtype).contains(layout) }
            }
        case .channelsInside: layouts = [.channelsLast]
        case .rowMajor: layouts = [.plain]
        }
        return try layouts.map { layout in
            let operands = try node.inputs.map { try context.laidOut($0, layout, argument: TDNNL_ARG_SRC) }
            let bytes = (node.inputs + [node.output]).reduce(implementation.packedBytes) {
                $0 &+ context.byteCount($1, layout)
            }
            return Candidate(
                descriptor: nil, implementation: implementation.name, operands: operands, output: layout,
                outputDescriptor: try context.descriptor(node.output, layout), kernel: implementation,
                time: max(
                    context.costs.streaming(bytes: bytes, isReference: false),
                    context.costs.start + implementation.operations / (context.costs.peak * IntegerKernels.speed)))
        }
    }
}
