import CDNNL
import TenonIR

/// A matrix product: `nn.dense` with its weights transposed, or `matmul`.
struct MatrixProduct {
    /// Weights are [outputs, inputs] instead of [inputs, outputs].
    var isTransposed: Bool
    var weights: TensorID
    var bias: TensorID?
}

enum ProductLowering {
    static let rules: [(String, Lowering.Rule)] = [
        ("nn.dense", { op, graph in lower(op, graph, isTransposed: true) }),
        ("matmul", { op, graph in lower(op, graph, isTransposed: false) }),
    ]

    static func lower(_ op: RegionOp, _ graph: RegionGraph, isTransposed: Bool) -> RegionNode.Operation? {
        guard op.inputs.count == 2 else { return nil }
        let (a, b, y) = (graph[op.inputs[0]].dims, graph[op.inputs[1]].dims, graph[op.outputs[0]].dims)
        guard a.count >= 2, b.count >= 2, y.count >= 2 else { return nil }
        // oneDNN broadcasts the weights along leading dimensions, and the data where both have the same rank.
        guard a.count == y.count, b.count <= y.count else { return nil }
        return .product(MatrixProduct(isTransposed: isTransposed, weights: op.inputs[1], bias: nil))
    }
}
