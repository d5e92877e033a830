import TenonIR

/// Movements inside a composite that a primitive makes as it reads: a product with its second operand transposed, and the
/// reshape, permutation and reshape that are a shuffle of channels.
struct MovementFolding {
    private(set) var graph: RegionGraph
    /// By result of a product: its weights come [outputs, inputs].
    private(set) var transposed: Set<TensorID> = []
    /// By result of the last reshape.
    private(set) var shuffles: [TensorID: (shuffle: Shuffle, source: TensorID)] = [:]
    private var uses: [Int]
    /// By tensor: the operator that makes it.
    private var maker: [Int?]

    init(_ graph: RegionGraph) {
        self.graph = graph
        uses = graph.useCounts()
        maker = [Int?](repeating: nil, count: graph.tensors.count)
        for (index, op) in graph.ops.enumerated() where op.composite != nil {
            for output in op.outputs { maker[output.index] = index }
        }
        var removed: Set<Int> = []
        for index in graph.ops.indices where graph.ops[index].composite != nil {
            switch graph.ops[index].name {
            case "matmul": foldTranspose(index, &removed)
            case "reshape": foldShuffle(index, &removed)
            default: break
            }
        }
        if !removed.isEmpty {
            self.graph.ops = self.graph.ops.enumerated().filter { !removed.contains($0.offset) }.map(\.element)
        }
    }

    /// The operator of that name in the same composite that makes a tensor for nothing else.
    private func producer(of tensor: TensorID, _ name: String, of op: RegionOp) -> Int? {
        guard let index = maker[tensor.index], uses[tensor.index] == 1, graph.ops[index].name == name,
            graph.ops[index].composite == op.composite, graph.ops[index].inputs.count == 1
        else { return nil }
        return index
    }

    private func axes(_ op: RegionOp) -> [Int]? {
        let rank = graph[op.inputs[0]].dims.count
        guard let given = op.attributes.ints("axes") else { return (0..<rank).reversed() }
        return given.map { Int(clamping: $0 < 0 ? $0 + Int64(rank) : $0) }
    }

    private mutating func foldTranspose(_ index: Int, _ removed: inout Set<Int>) {
        let op = graph.ops[index]
        guard op.inputs.count == 2, op.inputs[0] != op.inputs[1],
            let at = producer(of: op.inputs[1], "permute_dims", of: op), !graph[graph.ops[at].inputs[0]].isConstant,
            let axes = axes(graph.ops[at]), axes.count >= 2
        else { return }
        var swapped = Array(axes.indices)
        swapped.swapAt(axes.count - 1, axes.count - 2)
        guard axes == swapped else { return }
        graph.ops[index].inputs[1] = graph.ops[at].inputs[0]
        transposed.insert(op.outputs[0])
        removed.insert(at)
    }

    /// [n, g·m, …] → [n, g, m, …] → [n, m, g, …] → [n, m·g, …]
    private mutating func foldShuffle(_ index: Int, _ removed: inout Set<Int>) {
        let last = graph.ops[index]
        guard let second = last.inputs.first.flatMap({ producer(of: $0, "permute_dims", of: last) }),
            let first = producer(of: graph.ops[second].inputs[0], "reshape", of: last),
            let axes = axes(graph.ops[second])
        else { return }
        let source = graph.ops[first].inputs[0]
        let (whole, split) = (graph[source].dims, graph[graph.ops[second].inputs[0]].dims)
        guard graph[last.outputs[0]].dims == whole, graph[source].dtype == .float32, whole.count >= 2,
            split.count == whole.count + 1, axes.count == split.count, split[0] == whole[0],
            whole[1] == split[1] * split[2], whole.dropFirst(2).elementsEqual(split.dropFirst(3)),
            axes.prefix(3) == [0, 2, 1], axes.dropFirst(3).elementsEqual(3..<axes.count)
        else { return }
        shuffles[last.outputs[0]] = (Shuffle(axis: 1, groupSize: split[2]), source)
        removed.insert(first)
        removed.insert(second)
    }
}
