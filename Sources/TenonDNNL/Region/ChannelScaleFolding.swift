import CDNNL
import CKernels
import TenonIR

/// Takes a multiplication by one value per channel into the weights of the 1×1 convolution that alone reads the result. The
/// values are known only when the region runs, but where pictures are large there are far fewer weights than pixels.
struct ChannelScaleFolding {
    private let context: PlanContext
    private var nodes: [RegionNode?]
    private var uses: [Int]
    private var maker: [Int?]

    private var graph: RegionGraph { context.graph }

    static func fold(_ nodes: [RegionNode], _ context: PlanContext) -> [RegionNode] {
        guard context.blockSize == 16, tkernel_scale_is_supported() != 0 else { return nodes }
        var folding = ChannelScaleFolding(nodes, context)
        for index in nodes.indices { folding.join(index) }
        return folding.nodes.compactMap { $0 }
    }

    private init(_ nodes: [RegionNode], _ context: PlanContext) {
        self.context = context
        self.nodes = nodes
        uses = [Int](repeating: 0, count: context.graph.tensors.count)
        maker = [Int?](repeating: nil, count: context.graph.tensors.count)
        for (index, node) in nodes.enumerated() {
            for operand in node.operands { uses[operand.index] += 1 }
            for output in node.outputs { maker[output.index] = index }
        }
        for output in context.graph.outputs { uses[output.index] += 1 }
    }

    private mutating func join(_ index: Int) {
        guard var node = nodes[index], case .convolution(var convolution) = node.operation,
            convolution.isPlainPointwise(graph), convolution.hasConstantWeights(graph), let scaled = node.inputs.first,
            uses[scaled.index] == 1, let made = maker[scaled.index], let multiplication = nodes[made],
            case .binary(let algorithm) = multiplication.operation, algorithm == TDNNL_BINARY_MUL,
            multiplication.postOps.isEmpty, multiplication.inputs.count == 2
        else { return }
        let (source, scale) = (multiplication.inputs[0], multiplication.inputs[1])
        let dims = graph[scaled].dims
        guard dims.count == 4, dims[0] == 1, graph[source].dims == dims, graph[scale].dims == [1, dims[1], 1, 1],
            !graph[source].isConstant, !graph[scale].isConstant, source != scale,
            // The map from weights to channels is made of numbers that single precision has.
            dims[1] < 1 << 24, graph[convolution.weights].count <= graph[scaled].count / 2
        else { return }
        convolution.scale = scale
        node.operation = .convolution(convolution)
        node.inputs = [source]
        node.composite = "\(multiplication.composite) + \(node.composite)"
        nodes[index] = node
        nodes[made] = nil
    }
}
