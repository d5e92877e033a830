import TenonIR

/// Operators that move or regroup elements.
enum MovementLowering {
    static let rules: [(String, Lowering.Rule)] = {
        var rules: [(String, Lowering.Rule)] = [("concat", { op, graph in concat(op, graph) })]
        rules.append(
            (
                "permute_dims",
                { op, graph in
                    channelMove(op.attributes, rank: graph[op.outputs[0]].dims.count).map {
                        .transposition(toSecond: $0)
                    }
                }
            ))
        for id in Operators.all(with: .view) { rules.append((id.name, { op, graph in view(op, graph) })) }
        return rules
    }()

    private static func view(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        graph[op.inputs[0]].count == graph[op.outputs[0]].count ? .view : nil
    }

    /// Whether a permutation makes the last dimension the second one (true) or the second one the last (false); nil for others.
    static func channelMove(_ attributes: Attributes, rank: Int) -> Bool? {
        guard (3...5).contains(rank), let axes = attributes.ints("axes")?.map({ $0 < 0 ? $0 + Int64(rank) : $0 }) else {
            return nil
        }
        let last = Int64(rank - 1)
        // Of three dimensions both are the same.
        if axes == [0, last] + Array(1..<last) { return true }
        return axes == [0] + Array(2...last) + [1] ? false : nil
    }

    private static func concat(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        let rank = graph[op.outputs[0]].dims.count
        guard let axis = op.axis(rank: rank), op.inputs.count <= 1024,
            op.inputs.allSatisfy({ graph[$0].dims.count == rank })
        else { return nil }
        return .concat(axis: axis)
    }

    /// A view or permutation of a constant is another way to look at it. Nil when `op` is something else.
    static func constantView(_ op: RegionOp, _ graph: RegionGraph) -> ConstantView? {
        guard op.outputs.count == 1, let first = op.inputs.first, op.inputs.count == 1,
            let view = graph[first].constant
        else { return nil }
        if op.op.has(.view) { return view.strides == nil ? view : nil }
        guard op.name == "permute_dims", graph[first].dtype == .float32 else { return nil }
        let dims = graph[first].dims
        let strides = view.strides ?? rowMajorStrides(dims)
        var axes = (0..<dims.count).reversed().map { $0 }
        if let given = op.attributes.ints("axes") { axes = given.map { Int($0 < 0 ? $0 + Int64(dims.count) : $0) } }
        guard axes.count == dims.count, axes.allSatisfy({ dims.indices.contains($0) }) else { return nil }
        return ConstantView(constant: view.constant, strides: axes.map { strides[$0] })
    }
}

/// Strides of a dense row-major tensor, in elements. The product of the dimensions is known to fit.
func rowMajorStrides(_ dims: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: dims.count)
    for index in dims.indices.dropLast().reversed() { strides[index] = strides[index + 1] * max(dims[index + 1], 1) }
    return strides
}

extension RegionOp {
    /// The attribute `axis`, counted from 0; nil when it is out of range.
    func axis(_ name: String = "axis", rank: Int) -> Int? {
        guard let axis = attributes.int(name) else { return nil }
        let resolved = axis < 0 ? axis + Int64(rank) : axis
        return resolved >= 0 && resolved < Int64(rank) ? Int(resolved) : nil
    }
}
