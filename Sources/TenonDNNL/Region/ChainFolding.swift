import CDNNL
import TenonIR
import TenonRewrite

/// Turns the operators of a region into nodes: inside a composite, what follows an operation becomes its bias and its
/// post-ops. What oneDNN has no words for stays a node of its own, so that any composite can run.
struct ChainFolding {
    private var graph: RegionGraph
    private let movements: MovementFolding
    private var uses: [Int]
    private var nodes: [RegionNode?] = []
    /// The node that makes a tensor, and the composite it belongs to.
    private var producer: [Int: (node: Int, composite: Int)] = [:]

    /// Every operator that may lose NaN or infinities in oneDNN stays a node of its own, on its Swift kernel.
    private let isExact: Bool
    /// So does what no primitive computes in time for a run that is told to end.
    private let endsEarly: Bool
    private let threads: Int

    static func fold(
        _ graph: RegionGraph, isExact: Bool = false, endsEarly: Bool = false, threads: Int = 1
    ) throws -> (graph: RegionGraph, nodes: [RegionNode]) {
        var folding = ChainFolding(graph, isExact, endsEarly, threads)
        try folding.run()
        return (folding.graph, folding.nodes.compactMap { $0 })
    }

    private init(_ given: RegionGraph, _ isExact: Bool, _ endsEarly: Bool, _ threads: Int) {
        self.isExact = isExact
        self.endsEarly = endsEarly
        self.threads = threads
        movements = MovementFolding(given)
        graph = movements.graph
        uses = graph.useCounts()
    }

    private mutating func run() throws {
        if !isExact { recogniseGates() }
        let quantised = quantisedComposites()
        for op in graph.ops {
            if let composite = op.composite, let node = quantised[composite] {
                if op.outputs == node.outputs { nodes.append(node) }
                continue
            }
            if let view = MovementLowering.constantView(op, graph) {
                graph.tensors[op.outputs[0].index].origin = .constant(view)
                continue
            }
            try straighten(op)
            let isOurs =
                isExact && !NumericsPolicy.isFaithful(op.name)
                || endsEarly && LongSteps.isTooLong(op, graph, threads: threads)
            if !isOurs, absorb(op) { continue }
            let node = isOurs ? Lowering.kernel(op, graph) : movedNode(op) ?? Lowering.node(op, &graph)
            if let composite = op.composite { producer[node.output.index] = (nodes.count, composite) }
            nodes.append(node)
            if op.name == "nn.batch_norm", case .normalization = node.operation { passStatistics(op) }
        }
        for output in graph.outputs { try straighten(output) }
    }

    /// Composites of quantised tensors that one of our kernels computes, by number.
    private func quantisedComposites() -> [Int: RegionNode] {
        var members: [Int: [RegionOp]] = [:]
        for op in graph.ops {
            if let composite = op.composite { members[composite, default: []].append(op) }
        }
        return members.compactMapValues { QuantizedFolding.node($0, graph) }
    }

    /// The node of an operator that makes the movements in front of it.
    private func movedNode(_ op: RegionOp) -> RegionNode? {
        guard let composite = op.composite, let output = op.outputs.first else { return nil }
        let name = graph.composites[composite]
        if let (shuffle, source) = movements.shuffles[output] {
            return RegionNode(
                operation: .shuffle(shuffle), inputs: [source], outputs: [output], binding: op.binding, composite: name)
        }
        guard movements.transposed.contains(output),
            let product = ProductLowering.lower(op, graph, isTransposed: true)
        else { return nil }
        return RegionNode(
            operation: product, inputs: [op.inputs[0]], outputs: [output], binding: op.binding, composite: name)
    }

    /// Only weights may be constants that lie in another order than row-major: packing them costs nothing more.
    private mutating func straighten(_ op: RegionOp) throws {
        let hasWeights =
            op.inputs.count == 2 && (op.name == "matmul" || op.name == "nn.dense" || op.name.hasPrefix("nn.conv"))
        for (position, input) in op.inputs.enumerated() where !(hasWeights && position == 1) { try straighten(input) }
    }

    private mutating func straighten(_ tensor: TensorID) throws {
        guard let view = graph[tensor].constant, view.strides != nil else { return }
        graph.tensors[tensor.index].origin = .constant(
            ConstantView(constant: try view.rowMajor(graph[tensor].dims), strides: nil))
    }

    /// Batch normalisation in inference hands its statistics on unchanged.
    private mutating func passStatistics(_ op: RegionOp) {
        guard op.outputs.count == 3, op.inputs.count == 5 else { return }
        for (output, input) in [(1, 3), (2, 4)] where uses[op.outputs[output].index] > 0 {
            nodes.append(
                RegionNode(
                    operation: .view, inputs: [op.inputs[input]], outputs: [op.outputs[output]], binding: op.binding,
                    composite: op.name))
        }
    }

    /// Makes `op` part of the node that computes one of its inputs, if that input is used by nothing else.
    private mutating func absorb(_ op: RegionOp) -> Bool {
        guard let composite = op.composite, op.outputs.count == 1 else { return false }
        var candidates: [(node: Int, tensor: TensorID)] = []
        for input in op.inputs where uses[input.index] == 1 {
            if let made = producer[input.index], made.composite == composite { candidates.append((made.node, input)) }
        }
        candidates.sort { $0.node > $1.node }
        for (index, tensor) in candidates {
            guard var node = nodes[index], node.outputs == [tensor], node.acceptsPostOps else { continue }
            guard extend(&node, with: op, behind: tensor) else { continue }
            node.outputs = op.outputs
            node.binding = op.binding
            // Behind everything that its new operands come from.
            nodes[index] = nil
            producer[op.outputs[0].index] = (nodes.count, composite)
            nodes.append(node)
            return true
        }
        return false
    }

    private mutating func extend(_ node: inout RegionNode, with op: RegionOp, behind tensor: TensorID) -> Bool {
        if op.name == "add", node.postOps.isEmpty, op.inputs.count == 2,
            addBias(&node, op.inputs[0] == tensor ? op.inputs[1] : op.inputs[0], tensor)
        {
            return true
        }
        guard var step = ElementwiseLowering.postOp(op, behind: tensor, graph) else { return false }
        if let last = node.postOps.last, let joined = last.joined(with: step) {
            node.postOps[node.postOps.count - 1] = joined
        } else {
            if step.isLinear, node.isLinear || node.postOps.contains(where: \.isLinear) {
                guard let apart = ElementwiseLowering.binaryPostOp(op, behind: tensor, graph) else { return false }
                step = apart
            }
            node.postOps.append(step)
        }
        return true
    }

    /// One value per output channel, in the channel's place, is a bias.
    private mutating func addBias(_ node: inout RegionNode, _ operand: TensorID, _ tensor: TensorID) -> Bool {
        let shape = graph[tensor].dims
        guard operand != tensor, graph[operand].dtype == .float32, graph[operand].constant?.strides == nil,
            let dims = Broadcasting.aligned(graph[operand].dims, to: shape), isSmall(operand)
        else { return false }
        func fits(_ axis: Int) -> Bool {
            dims.indices.allSatisfy { $0 == axis ? dims[$0] == shape[$0] : dims[$0] == 1 }
        }
        switch node.operation {
        case .convolution(var convolution) where fits(1):
            guard let bias = convolution.bias.map({ joined($0, operand) }) ?? operand else { return false }
            convolution.bias = bias
            node.operation = .convolution(convolution)
        case .product(var product) where product.bias == nil && fits(shape.count - 1):
            product.bias = operand
            node.operation = .product(product)
        default: return false
        }
        return true
    }

    /// Kernels may add a bias before they have the whole sum, so a constant that rounds on purpose must stay a step behind.
    private func isSmall(_ bias: TensorID) -> Bool {
        guard let values = graph[bias].constant?.constant.doubleElements else { return true }
        return values.allSatisfy { abs($0) <= 65536 }
    }

    /// Two constant biases as one; nil when one is not constant.
    private mutating func joined(_ a: TensorID, _ b: TensorID) -> TensorID? {
        guard let first = graph[a].constant, let second = graph[b].constant, first.strides == nil,
            second.strides == nil,
            graph[a].count == graph[b].count, let x = first.constant.bytes.baseAddress,
            let y = second.constant.bytes.baseAddress
        else { return nil }
        var sums: [Float] = []
        for index in 0..<graph[a].count {
            let terms = (
                x.loadUnaligned(fromByteOffset: index * 4, as: Float.self),
                y.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
            )
            guard let sum = JoinedConstants.sum(Double(terms.0), Double(terms.1)) else { return nil }
            sums.append(Float(sum))
        }
        guard let constant = try? Constant(.float32, graph[a].dims.map(Int64.init), sums) else { return nil }
        let tensor = graph[a]
        return graph.add(
            RegionTensor(
                name: tensor.name, dims: tensor.dims, dtype: tensor.dtype,
                origin: .constant(ConstantView(constant: constant, strides: nil))))
    }

    // MARK: - Gates

    /// `x * sigmoid(x)` is SiLU and `x * hard_sigmoid(x)` with 1/6 and 1/2 is hard swish: one function of x, where the pair
    /// would be a diamond.
    private mutating func recogniseGates() {
        var gates: [Int: Int] = [:]
        for (index, op) in graph.ops.enumerated() where op.composite != nil {
            if op.name == "sigmoid" || isHalfSixth(op), uses[op.outputs[0].index] == 1 {
                gates[op.outputs[0].index] = index
            }
        }
        guard !gates.isEmpty else { return }
        var removed: Set<Int> = []
        for index in graph.ops.indices {
            let op = graph.ops[index]
            guard op.name == "multiply", op.inputs.count == 2 else { continue }
            for (value, gate) in [(op.inputs[0], op.inputs[1]), (op.inputs[1], op.inputs[0])] {
                guard let at = gates[gate.index], graph.ops[at].inputs == [value],
                    graph.ops[at].composite == op.composite,
                    let id = Operators.named(graph.ops[at].name == "sigmoid" ? "nn.silu" : "nn.hard_swish")
                else { continue }
                graph.ops[index].op = id
                graph.ops[index].inputs = [value]
                graph.ops[index].arguments = [op.arguments[value == op.inputs[0] ? 0 : 1]]
                removed.insert(at)
                uses[value.index] -= 1
                break
            }
        }
        if !removed.isEmpty {
            graph.ops = graph.ops.enumerated().filter { !removed.contains($0.offset) }.map(\.element)
        }
    }

    private func isHalfSixth(_ op: RegionOp) -> Bool {
        guard op.name == "nn.hard_sigmoid", let alpha = op.attributes.float("alpha"), op.attributes.float("beta") == 0.5
        else { return false }
        return abs(alpha - 1.0 / 6) < 1e-6
    }
}
