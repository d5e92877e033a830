import CDNNL
import CKernels
import TenonIR

/// A 1×1 convolution and the depthwise one behind it, computed together.
struct DepthwiseFusion {
    var pointwise: Convolution
    /// What stands between the two.
    var middle: EltwiseFunction?
    var depthwise: Convolution
    /// What stands behind both.
    var last: EltwiseFunction?
    /// What the first convolution gives; it is never in memory as a whole.
    var expanded: TensorID
}

/// Makes one node of a 1×1 convolution and the depthwise convolution that alone reads it. What lies between them is the largest
/// tensor far and wide, and writing and reading it takes as long as computing it. (oneDNN has this as a post-operation, and
/// declines it where the source fits into the second cache.)
struct DepthwiseFolding {
    private let context: PlanContext
    private var nodes: [RegionNode?]
    private var uses: [Int]
    private var maker: [Int?]

    private var graph: RegionGraph { context.graph }

    static func fold(_ nodes: [RegionNode], _ context: PlanContext) -> [RegionNode] {
        guard context.blockSize == 16 else { return nodes }
        var folding = DepthwiseFolding(nodes, context)
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
        guard let second = nodes[index], case .convolution(let depthwise) = second.operation,
            depthwise.isDepthwise(graph), let last = function(second), let first = producer(second.inputs[0]),
            let node = nodes[first], case .convolution(let pointwise) = node.operation,
            pointwise.isPlainPointwise(graph),
            let middle = function(node), pointwise.hasConstantWeights(graph),
            depthwise.hasConstantWeights(graph)
        else { return }
        let fusion = DepthwiseFusion(
            pointwise: pointwise, middle: middle.function, depthwise: depthwise, last: last.function,
            expanded: second.inputs[0])
        guard var block = block(fusion, node.inputs[0], second.output), tkernel_block_is_supported(&block) != 0,
            isWorthwhile(fusion)
        else { return }
        nodes[index] = RegionNode(
            operation: .depthwiseFusion(fusion), inputs: node.inputs, outputs: second.outputs, binding: second.binding,
            composite: node.composite == second.composite
                ? second.composite : "\(node.composite) + \(second.composite)")
        nodes[first] = nil
    }

    /// The node that makes a tensor which nothing else reads.
    private func producer(_ tensor: TensorID) -> Int? { uses[tensor.index] == 1 ? maker[tensor.index] : nil }

    /// The only step behind a node, if it is one that the kernel has, and nil within the result if there is none.
    private func function(_ node: RegionNode) -> (function: EltwiseFunction?, Void)? {
        guard let step = node.postOps.first else { return (nil, ()) }
        guard node.postOps.count == 1, case .eltwise(let function) = step.kind else { return nil }
        return function.blockActivation != nil ? (function, ()) : nil
    }

    private func block(_ fusion: DepthwiseFusion, _ input: TensorID, _ output: TensorID) -> tkernel_block? {
        fusion.block(graph[input].dims, graph[fusion.expanded].dims, graph[output].dims, graph)
    }

    /// Below a few hundred kilobytes everything stays in the second cache anyway; functions made of exponentials are cheaper
    /// in our kernel than behind a primitive.
    private func isWorthwhile(_ fusion: DepthwiseFusion) -> Bool {
        let bytes = graph[fusion.expanded].bytes
        return bytes >= (fusion.middle?.isTranscendental == true ? 64 << 10 : 256 << 10)
    }
}

extension DepthwiseFusion {
    /// The shape as the kernel wants it, without layouts; nil when it is none for it.
    func block(_ x: [Int], _ middle: [Int], _ y: [Int], _ graph: RegionGraph) -> tkernel_block? {
        guard x.count == 4, x.reduce(1, *) < 1 << 40, var block = tkernel_block(depthwise, middle, y, graph) else {
            return nil
        }
        block.inputs = Int64(x[1])
        block.middle = self.middle?.blockActivation ?? tkernel_activation()
        block.last = last?.blockActivation ?? tkernel_activation()
        return block
    }

    func flops(_ x: [Int], _ y: [Int], _ graph: RegionGraph) -> Double {
        let middle = graph[expanded].dims
        return pointwise.flops(x, middle, graph) + depthwise.flops(middle, y, graph)
    }
}

extension tkernel_block {
    /// A depthwise convolution alone; nil when it is none for the kernel.
    init?(_ depthwise: Convolution, _ x: [Int], _ y: [Int], _ graph: RegionGraph) {
        let kernel = graph[depthwise.weights].dims
        guard x.count == 4, y.count == 4, kernel.count == 4, kernel[2] == kernel[3], depthwise.groups == x[1],
            y[1] == x[1], depthwise.strides[0] == depthwise.strides[1],
            depthwise.dilations.allSatisfy({ $0 == 1 }),
            // The kernel's sums of sizes stay far from overflow, and so does its scratch memory.
            [x, y].allSatisfy({ $0.reduce(1, *) < 1 << 40 })
        else { return nil }
        self.init()
        batch = Int64(x[0])
        channels = Int64(x[1])
        height = Int64(x[2])
        width = Int64(x[3])
        out_height = Int64(y[2])
        out_width = Int64(y[3])
        self.kernel = Int64(kernel[2])
        stride = depthwise.strides[0]
        pad_top = depthwise.padsBegin[0]
        pad_left = depthwise.padsBegin[1]
    }
}

extension Convolution {
    /// A product of the channels of each pixel, and nothing else.
    func isPlainPointwise(_ graph: RegionGraph) -> Bool {
        isPointwise(graph) && !isTransposed && groups == 1 && strides.allSatisfy { $0 == 1 }
            && padsBegin.allSatisfy { $0 == 0 } && padsEnd.allSatisfy { $0 == 0 }
    }

    /// Whether weights and bias are known and lie in order.
    func hasConstantWeights(_ graph: RegionGraph) -> Bool {
        ([weights] + (bias.map { [$0] } ?? [])).allSatisfy { graph[$0].constant.map { $0.strides == nil } ?? false }
    }
}

extension EltwiseFunction {
    /// The function for the convolution kernels, if they have it.
    var blockActivation: tkernel_activation? {
        switch algorithm {
        case TDNNL_ELTWISE_RELU, TDNNL_ELTWISE_CLIP, TDNNL_ELTWISE_SWISH, TDNNL_ELTWISE_HARDSWISH:
            // Channels that only fill a block up have to stay zero.
            keepsZero ? kernelActivation : nil
        default: nil
        }
    }
}
