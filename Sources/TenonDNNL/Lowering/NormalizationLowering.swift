import CDNNL
import TenonIR

/// Batch, layer or local response normalisation in inference.
struct Normalization {
    enum Kind {
        /// Parameters: gamma, beta, mean, variance.
        case batch
        /// Parameters: gamma, beta. Over the last dimension.
        case layer
        case localResponse(size: Int64, alpha: Float, beta: Float, bias: Float)
    }

    var kind: Kind
    var epsilon: Float
    var usesScale: Bool
    var usesShift: Bool
    var parameters: [TensorID]
}

enum NormalizationLowering {
    static let rules: [(String, Lowering.Rule)] = [
        ("nn.batch_norm", { op, graph in batch(op, graph) }),
        ("nn.layer_norm", { op, graph in layer(op, graph) }),
        ("nn.lrn", { op, graph in localResponse(op, graph) }),
        ("nn.softmax", { op, graph in softmax(op, graph) }),
    ]

    private static func batch(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        let rank = graph[op.inputs[0]].dims.count
        guard op.inputs.count == 5, op.attributes.bool("training") != true, rank >= 2, rank <= 5,
            op.axis(rank: rank) == 1
        else { return nil }
        return .normalization(
            Normalization(
                kind: .batch, epsilon: op.float("epsilon"), usesScale: op.attributes.bool("scale") ?? true,
                usesShift: op.attributes.bool("center") ?? true, parameters: Array(op.inputs.dropFirst())))
    }

    private static func layer(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        let dims = graph[op.inputs[0]].dims
        guard op.inputs.count == 3, dims.count >= 2, dims.count <= 5, let axes = op.attributes.ints("axes"),
            axes.count == 1, axes[0] == -1 || axes[0] == Int64(dims.count - 1),
            op.inputs.dropFirst().allSatisfy({ graph[$0].count == dims[dims.count - 1] })
        else { return nil }
        return .normalization(
            Normalization(
                kind: .layer, epsilon: op.float("epsilon"), usesScale: op.attributes.bool("scale") ?? true,
                usesShift: op.attributes.bool("center") ?? true, parameters: Array(op.inputs.dropFirst())))
    }

    private static func localResponse(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        let rank = graph[op.inputs[0]].dims.count
        // oneDNN's window is symmetric.
        guard rank == 4, op.axis(rank: rank) == 1, let size = op.attributes.int("size"), size % 2 == 1 else {
            return nil
        }
        return .normalization(
            Normalization(
                kind: .localResponse(
                    size: size, alpha: op.float("alpha"), beta: op.float("beta"), bias: op.float("bias")),
                epsilon: 0, usesScale: false, usesShift: false, parameters: []))
    }

    /// Its logarithm is not taken to oneDNN: that of a certain class comes out up to 1.5e-6 above 0.
    private static func softmax(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        let rank = graph[op.inputs[0]].dims.count
        guard rank >= 1, let axis = op.axis(rank: rank) else { return nil }
        return .softmax(axis: axis)
    }
}
