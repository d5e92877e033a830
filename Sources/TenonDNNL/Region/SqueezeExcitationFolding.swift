import CDNNL
import CKernels
import TenonIR

/// The gate of a squeeze-and-excitation block: means of the channels, two products with known weights, each with a bias and
/// a function.
struct SqueezeExcitation {
    struct Layer {
        /// [outputs, inputs], in order.
        var weights: TensorID
        var bias: TensorID?
        var function: EltwiseFunction?
    }

    var squeeze: Layer
    var excite: Layer
    /// How many values lie between the products.
    var hidden: Int

    var constants: [TensorID] {
        [squeeze, excite].flatMap { layer in [layer.weights] + (layer.bias.map { [$0] } ?? []) }
    }
}

/// Makes one node of global average pooling and the two small products behind it, which give one value per channel again: what the
/// channels are multiplied by. Each is so small that starting it takes as long as computing it.
struct SqueezeExcitationFolding {
    private let context: PlanContext
    private var nodes: [RegionNode?]
    private var uses: [Int]
    /// A node that reads each tensor.
    private var reader: [Int?]

    private var graph: RegionGraph { context.graph }

    static func fold(_ nodes: [RegionNode], _ context: PlanContext) -> [RegionNode] {
        guard context.blockSize == 16 else { return nodes }
        var folding = SqueezeExcitationFolding(nodes, context)
        for index in nodes.indices { folding.join(index) }
        return folding.nodes.compactMap { $0 }
    }

    private init(_ nodes: [RegionNode], _ context: PlanContext) {
        self.context = context
        self.nodes = nodes
        uses = [Int](repeating: 0, count: context.graph.tensors.count)
        reader = [Int?](repeating: nil, count: context.graph.tensors.count)
        for (index, node) in nodes.enumerated() {
            for operand in node.operands {
                uses[operand.index] += 1
                reader[operand.index] = index
            }
        }
        for output in context.graph.outputs { uses[output.index] += 1 }
    }

    private mutating func join(_ index: Int) {
        guard let pooling = nodes[index], isGlobalAverage(pooling) else { return }
        let pooled = pooling.inputs[0]
        let channels = graph[pooled].dims[1]
        var members = [index]
        guard let squeeze = layer(behind: pooling.output, &members), squeeze.inputs == channels,
            let excite = layer(behind: squeeze.output, &members), excite.inputs == squeeze.outputs,
            excite.outputs == channels
        else { return }
        let block = SqueezeExcitation(squeeze: squeeze.layer, excite: excite.layer, hidden: squeeze.outputs)
        guard var kernel = block.kernel(graph[pooled].dims), tkernel_squeeze_is_supported(&kernel) != 0,
            let last = members.last, let end = nodes[last]
        else { return }
        let composites = members.compactMap { member -> String? in
            guard let node = nodes[member] else { return nil }
            if case .view = node.operation { return nil }
            return node.composite
        }
        for member in members { nodes[member] = nil }
        nodes[last] = RegionNode(
            operation: .squeezeExcitation(block), inputs: [pooled], outputs: [excite.output], binding: end.binding,
            composite: composites.joined(separator: " + "))
    }

    private func isGlobalAverage(_ node: RegionNode) -> Bool {
        guard node.postOps.isEmpty, let input = node.inputs.first else { return false }
        let dims = graph[input].dims
        guard (3...5).contains(dims.count) else { return false }
        switch node.operation {
        case .pooling(let pooling):
            return pooling.algorithm != TDNNL_POOLING_MAX && pooling.kernel.map { Int($0) } == Array(dims.dropFirst(2))
                && (pooling.padsBegin + pooling.padsEnd).allSatisfy { $0 == 0 }
                && graph[node.output].dims.dropFirst(2).allSatisfy { $0 == 1 }
        case .reduction(let reduction):
            return reduction.algorithm == TDNNL_REDUCTION_MEAN
                && reduction.kept == dims.prefix(2) + [Int](repeating: 1, count: dims.count - 2)
        default: return false
        }
    }

    /// The only reader of a tensor, behind views that nothing else reads either, with the tensor that it reads.
    private func follower(of tensor: TensorID, _ members: inout [Int]) -> (tensor: TensorID, node: Int)? {
        var tensor = tensor
        while uses[tensor.index] == 1, let next = reader[tensor.index], let node = nodes[next] {
            guard case .view = node.operation else { return (tensor, next) }
            members.append(next)
            tensor = node.output
        }
        return nil
    }

    /// A product with known weights behind a tensor, with at most one function.
    private func layer(
        behind tensor: TensorID, _ members: inout [Int]
    ) -> (layer: SqueezeExcitation.Layer, inputs: Int, outputs: Int, output: TensorID)? {
        guard let (input, index) = follower(of: tensor, &members), let node = nodes[index], node.inputs == [input],
            let (weights, bias) = product(node), isConstant(weights), bias.map(isConstant) ?? true,
            let function = function(node)
        else { return nil }
        members.append(index)
        let dims = graph[weights].dims
        return (
            SqueezeExcitation.Layer(weights: weights, bias: bias, function: function.0), dims[1], dims[0], node.output
        )
    }

    private func product(_ node: RegionNode) -> (weights: TensorID, bias: TensorID?)? {
        switch node.operation {
        case .convolution(let convolution)
        where convolution.isPlainPointwise(graph) && graph[node.inputs[0]].dims.dropFirst(2).allSatisfy({ $0 == 1 }):
            return (convolution.weights, convolution.bias)
        case .product(let product)
        where product.isTransposed && graph[product.weights].dims.count == 2 && graph[node.output].dims.count == 2:
            return (product.weights, product.bias)
        default: return nil
        }
    }

    private func isConstant(_ tensor: TensorID) -> Bool {
        graph[tensor].constant.map { $0.strides == nil } ?? false
    }

    /// The only step behind a node, if it is one that the kernel has, and nil within the result if there is none.
    private func function(_ node: RegionNode) -> (EltwiseFunction?, Void)? {
        guard let step = node.postOps.first else { return (nil, ()) }
        guard node.postOps.count == 1, case .eltwise(let function) = step.kind, function.gateActivation != nil else {
            return nil
        }
        return (function, ())
    }
}

extension SqueezeExcitation {
    /// The shape as the kernel wants it, without layouts; nil when it is too large for it.
    func kernel(_ dims: [Int]) -> tkernel_squeeze? {
        let (batch, channels) = (dims[0], dims[1])
        var kernel = tkernel_squeeze()
        kernel.batch = Int64(batch)
        kernel.channels = Int64(channels)
        kernel.hidden = Int64(hidden)
        kernel.pixels = Int64(dims.dropFirst(2).reduce(1, *))
        kernel.target_image = Int64(channels)
        kernel.middle = squeeze.function?.gateActivation ?? tkernel_activation()
        kernel.last = excite.function?.gateActivation ?? tkernel_activation()
        // The kernel's sums of sizes stay far from overflow.
        let (values, overflow) = batch.multipliedReportingOverflow(by: hidden)
        let weights = tkernel_squeeze_weights(&kernel)
        guard !overflow, values < 1 << 30, weights > 0, weights < 1 << 30 else { return nil }
        return kernel
    }
}

extension EltwiseFunction {
    /// The function for the kernel of a gate; it has those of layers.
    fileprivate var gateActivation: tkernel_activation? {
        switch algorithm {
        case TDNNL_ELTWISE_EXP, TDNNL_ELTWISE_MISH: nil
        default: kernelActivation
        }
    }
}
