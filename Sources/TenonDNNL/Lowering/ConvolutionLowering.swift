import CDNNL
import TenonIR

/// A convolution or its transpose, with the weights it reads.
struct Convolution {
    var isTransposed: Bool
    var strides: [Int64]
    var dilations: [Int64]
    var padsBegin: [Int64]
    var padsEnd: [Int64]
    var groups: Int
    var weights: TensorID
    var bias: TensorID?
    /// One value per input channel, computed, that the weights are multiplied by in each run.
    var scale: TensorID?

    var spatial: Int { strides.count }

    /// One channel per group, in and out.
    func isDepthwise(_ graph: RegionGraph) -> Bool { groups > 1 && graph[weights].dims[1] == 1 && !isTransposed }

    func isPointwise(_ graph: RegionGraph) -> Bool { graph[weights].dims.dropFirst(2).allSatisfy { $0 == 1 } }
}

enum ConvolutionLowering {
    static let rules: [(String, Lowering.Rule)] = (1...3).flatMap { spatial -> [(String, Lowering.Rule)] in
        [
            ("nn.conv\(spatial)d", { op, graph in lower(op, graph, spatial: spatial, isTransposed: false) }),
            ("nn.conv\(spatial)d_transpose", { op, graph in lower(op, graph, spatial: spatial, isTransposed: true) }),
        ]
    }

    private static func lower(
        _ op: RegionOp, _ graph: RegionGraph, spatial: Int, isTransposed: Bool
    ) -> RegionNode.Operation? {
        guard op.inputs.count == 2, let strides = op.attributes.ints("strides"), strides.count == spatial,
            let dilations = op.attributes.ints("dilation"), dilations.count == spatial,
            let padding = op.attributes.ints("padding"), padding.count == 2 * spatial,
            let groups = op.attributes.int("groups"), groups > 0, groups <= Int64(Int32.max)
        else { return nil }
        var padsEnd = Array(padding.suffix(spatial))
        if isTransposed {
            // The size of the result, output padding included, tells how much is cut at the end.
            let (data, result, weights) = (graph[op.inputs[0]], graph[op.outputs[0]], graph[op.inputs[1]])
            for axis in 0..<spatial {
                let reach = Int64(data.dims[axis + 2] - 1) * strides[axis]
                let extent = Int64(weights.dims[axis + 2] - 1) * dilations[axis] + 1
                padsEnd[axis] = reach + extent - padding[axis] - Int64(result.dims[axis + 2])
            }
        }
        return .convolution(
            Convolution(
                isTransposed: isTransposed, strides: strides, dilations: dilations,
                padsBegin: Array(padding.prefix(spatial)), padsEnd: padsEnd, groups: Int(groups),
                weights: op.inputs[1], bias: nil))
    }

    /// Dimensions and strides of the weights as oneDNN names them: [groups,] outputs, inputs, kernel.
    static func weightsView(_ convolution: Convolution, _ graph: RegionGraph) -> (dims: [Int], strides: [Int]?) {
        let tensor = graph[convolution.weights]
        let (dims, groups) = (tensor.dims, convolution.groups)
        if !convolution.isTransposed {
            guard groups > 1 else { return (dims, tensor.constant?.strides) }
            var split = tensor.constant?.strides
            if let strides = split { split = [strides[0] * (dims[0] / groups)] + strides }
            return ([groups, dims[0] / groups] + dims.dropFirst(), split)
        }
        // Stored with the inputs first.
        let strides = tensor.constant?.strides ?? rowMajorStrides(dims)
        let perGroup = dims[0] / groups
        if groups == 1 {
            return ([dims[1], dims[0]] + dims.dropFirst(2), [strides[1], strides[0]] + strides.dropFirst(2))
        }
        return (
            [groups, dims[1], perGroup] + dims.dropFirst(2),
            [strides[0] * perGroup, strides[1], strides[0]] + strides.dropFirst(2)
        )
    }
}
