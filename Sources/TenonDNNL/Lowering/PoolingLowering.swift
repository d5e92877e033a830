import CDNNL
import TenonIR

struct Pooling {
    var algorithm: tdnnl_algorithm
    var kernel: [Int64]
    var strides: [Int64]
    var dilations: [Int64]
    var padsBegin: [Int64]
    var padsEnd: [Int64]
}

enum PoolingLowering {
    static let rules: [(String, Lowering.Rule)] = (1...3).flatMap { spatial -> [(String, Lowering.Rule)] in
        [
            ("nn.max_pool\(spatial)d", { op, graph in window(op, graph, spatial, isMax: true) }),
            ("nn.avg_pool\(spatial)d", { op, graph in window(op, graph, spatial, isMax: false) }),
            (
                "nn.adaptive_avg_pool\(spatial)d",
                { op, graph in adaptive(op, graph, TDNNL_POOLING_AVG_EXCLUDE_PADDING) }
            ),
            ("nn.adaptive_max_pool\(spatial)d", { op, graph in adaptive(op, graph, TDNNL_POOLING_MAX) }),
        ]
    }

    private static func window(
        _ op: RegionOp, _ graph: RegionGraph, _ spatial: Int, isMax: Bool
    ) -> RegionNode.Operation? {
        guard let kernel = op.attributes.ints("pool_size"), kernel.count == spatial,
            let strides = op.attributes.ints("strides"), strides.count == spatial,
            let dilations = op.attributes.ints("dilation"), dilations.count == spatial,
            let padding = op.attributes.ints("padding"), padding.count == 2 * spatial
        else { return nil }
        let includesPadding = op.attributes.bool("count_include_pad") == true
        let (data, result) = (graph[op.inputs[0]].dims, graph[op.outputs[0]].dims)
        // With ceil_mode the last windows reach past the padding: what they need is said as padding at the end.
        var padsEnd = Array(padding.suffix(spatial))
        for axis in 0..<spatial {
            let extent = (kernel[axis] - 1) * dilations[axis] + 1
            let needed = Int64(result[axis + 2] - 1) * strides[axis] + extent - Int64(data[axis + 2]) - padding[axis]
            if needed > padsEnd[axis] {
                // Padding that the operator does not know must not be counted.
                if !isMax && includesPadding { return nil }
                padsEnd[axis] = needed
            }
        }
        let algorithm =
            isMax
            ? TDNNL_POOLING_MAX
            : includesPadding ? TDNNL_POOLING_AVG_INCLUDE_PADDING : TDNNL_POOLING_AVG_EXCLUDE_PADDING
        return .pooling(
            Pooling(
                algorithm: algorithm, kernel: kernel, strides: strides, dilations: dilations,
                padsBegin: Array(padding.prefix(spatial)), padsEnd: padsEnd))
    }

    /// Windows of one size only.
    private static func adaptive(
        _ op: RegionOp, _ graph: RegionGraph, _ algorithm: tdnnl_algorithm
    ) -> RegionNode.Operation? {
        let (data, result) = (graph[op.inputs[0]].dims.dropFirst(2), graph[op.outputs[0]].dims.dropFirst(2))
        var kernel: [Int64] = []
        for (size, parts) in zip(data, result) {
            guard size % parts == 0 else { return nil }
            kernel.append(Int64(size / parts))
        }
        let zeros = [Int64](repeating: 0, count: kernel.count)
        return .pooling(
            Pooling(
                algorithm: algorithm, kernel: kernel, strides: kernel,
                dilations: [Int64](repeating: 1, count: kernel.count), padsBegin: zeros, padsEnd: zeros))
    }
}
