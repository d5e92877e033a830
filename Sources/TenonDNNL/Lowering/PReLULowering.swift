import CDNNL
import TenonIR

enum PReLULowering {
    static let rules: [(String, Lowering.Rule)] = [
        (
            "nn.prelu",
            { op, graph in
                let shape = graph[op.outputs[0]].dims
                guard op.inputs.count == 2, (2...5).contains(shape.count), graph[op.inputs[0]].dims == shape,
                    op.inputs[0] != op.inputs[1], Broadcasting.aligned(graph[op.inputs[1]].dims, to: shape) != nil
                else { return nil }
                return .prelu(slope: op.inputs[1])
            }
        )
    ]
}

extension CandidateMaker {
    func prelu(_ node: RegionNode, _ slope: TensorID) throws -> [Candidate] {
        let shape = graph[node.output].dims
        var found: [Candidate] = []
        for layout in context.layouts(shape, graph[node.output].dtype) {
            let weights: BoundOperand?
            if graph[slope].dims == shape {
                weights = try context.laidOut(slope, layout, argument: TDNNL_ARG_WEIGHTS)
            } else {
                weights = try context.broadcast(
                    slope, to: shape, argument: Int32(TDNNL_ARG_WEIGHTS.rawValue), beside: layout)
            }
            guard let weights else { continue }
            found += try perLayout(node, "parametric ReLU", layouts: [layout], extra: [weights]) {
                source, target, attributes in
                var handle: OpaquePointer?
                let status = tdnnl_prelu_create(
                    &handle, engine, source.handle, weights.descriptor.handle, target.handle, attributes)
                return (status, handle)
            }
        }
        return found
    }
}
