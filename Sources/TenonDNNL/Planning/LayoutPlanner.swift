import TenonIR

/// Chooses one candidate per node so that the whole region is fastest, reorders between layouts included.
///
/// Nodes are taken in program order. A state says in which layouts the tensors that are still needed exist, and what the
/// best way there costs; the states worth keeping stay few because few tensors are alive at a time. With more, the cheapest
/// are kept.
struct LayoutPlanner {
    let context: PlanContext
    let nodes: [RegionNode]
    let candidates: [[Candidate]]

    private let beam = 64

    private struct State {
        /// Layouts of the live tensors, in the order of `live`.
        var masks: [UInt8]
        var cost: Double
        var parent: Int
        var choice: Int
    }

    /// The states of one node, one for each combination of layouts: the cheapest way there.
    private struct Frontier {
        var states: [State] = []
        /// Positions in `states` plus one, by hash.
        private var slots = [Int32](repeating: 0, count: 256)

        mutating func add(_ masks: [UInt8], _ cost: Double, _ parent: Int, _ choice: Int) {
            if states.count * 2 >= slots.count { grow() }
            var slot = Frontier.hash(masks) & (slots.count - 1)
            while slots[slot] != 0 {
                let known = Int(slots[slot]) - 1
                if states[known].masks == masks {
                    if cost < states[known].cost {
                        states[known] = State(masks: masks, cost: cost, parent: parent, choice: choice)
                    }
                    return
                }
                slot = (slot + 1) & (slots.count - 1)
            }
            states.append(State(masks: masks, cost: cost, parent: parent, choice: choice))
            slots[slot] = Int32(truncatingIfNeeded: states.count)
        }

        private mutating func grow() {
            slots = [Int32](repeating: 0, count: slots.count * 2)
            for (index, state) in states.enumerated() {
                var slot = Frontier.hash(state.masks) & (slots.count - 1)
                while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
                slots[slot] = Int32(truncatingIfNeeded: index + 1)
            }
        }

        /// FNV-1a; the masks are few and short, and no caller chooses them.
        private static func hash(_ masks: [UInt8]) -> Int {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for mask in masks { hash = (hash ^ UInt64(mask)) &* 0x100_0000_01b3 }
            return Int(truncatingIfNeeded: hash ^ hash >> 32)
        }
    }

    /// Index of the last node that reads each tensor; outputs of the region are read behind the last node.
    private func lastUses() -> [Int] {
        var last = [Int](repeating: -1, count: context.graph.tensors.count)
        for (index, node) in nodes.enumerated() {
            for operand in node.operands { last[operand.index] = index }
        }
        for output in context.graph.outputs { last[output.index] = nodes.count }
        return last
    }

    /// The chosen candidate of each node, and the expected nanoseconds of the whole.
    func plan() -> (choices: [Int], time: Double) {
        let lastUse = lastUses()
        var history: [[State]] = []
        var live: [TensorID] = context.graph.inputs.filter { lastUse[$0.index] >= 0 }
        var slot = [Int](repeating: -1, count: context.graph.tensors.count)
        var states = [
            State(
                masks: live.map { context.closure(Layout.plain.bit, context.graph[$0].dims) }, cost: 0, parent: -1,
                choice: -1)
        ]
        for (index, node) in nodes.enumerated() {
            for (position, tensor) in live.enumerated() { slot[tensor.index] = position }
            let kept = live.filter { lastUse[$0.index] > index }
            let added = node.outputs.filter { lastUse[$0.index] > index }
            let results = candidates[index].map { candidate in
                added.map { context.closure(candidate.output.bit, context.graph[$0].dims) }
            }
            var frontier = Frontier()
            for (parent, state) in states.enumerated() {
                for (choice, candidate) in candidates[index].enumerated() {
                    var masks = state.masks
                    let cost = state.cost + cost(of: candidate, node, &masks, slot, index, lastUse)
                    var result = [UInt8]()
                    result.reserveCapacity(kept.count + added.count)
                    for tensor in kept { result.append(masks[slot[tensor.index]]) }
                    result += results[choice]
                    frontier.add(result, cost, parent, choice)
                }
            }
            var next = frontier.states
            if next.count > beam {
                next.sort { $0.cost < $1.cost }
                next.removeLast(next.count - beam)
            }
            history.append(next)
            states = next
            live = kept + added
        }
        return backtrack(history, live, states)
    }

    private func backtrack(_ history: [[State]], _ live: [TensorID], _ states: [State]) -> ([Int], Double) {
        var best = 0
        var lowest = Double.infinity
        for (index, state) in states.enumerated() {
            var cost = state.cost
            for (position, tensor) in live.enumerated() where state.masks[position] & Layout.plain.bit == 0 {
                cost += reorderCost(tensor, state.masks[position], .plain)
            }
            if cost < lowest { (best, lowest) = (index, cost) }
        }
        var choices = [Int](repeating: 0, count: nodes.count)
        for index in nodes.indices.reversed() {
            let state = history[index][best]
            choices[index] = state.choice
            best = max(state.parent, 0)
        }
        return (choices, lowest)
    }

    /// From the layout that `PlanBuilder` would take: the first that is there.
    private func reorderCost(_ tensor: TensorID, _ mask: UInt8, _ layout: Layout) -> Double {
        let source = Layout.allCases.first { mask & $0.bit != 0 } ?? .plain
        return context.costs.reorder(
            bytes: context.byteCount(tensor, layout), from: source, to: layout)
    }

    /// What running `candidate` costs on top, reorders included, which stay for later readers.
    private func cost(
        of candidate: Candidate, _ node: RegionNode, _ masks: inout [UInt8], _ slot: [Int], _ index: Int,
        _ lastUse: [Int]
    ) -> Double {
        var cost = candidate.time
        func require(_ tensor: TensorID, _ layout: Layout) {
            let dims = context.graph[tensor].dims
            let position = slot[tensor.index]
            guard masks.indices.contains(position) else { return }
            if masks[position] & layout.bit == 0 {
                cost += reorderCost(tensor, masks[position], layout)
                masks[position] = context.closure(masks[position] | layout.bit, dims)
            }
        }
        for scale in candidate.operands.compactMap(\.scale) { require(scale, .plain) }
        for operand in candidate.allOperands where !context.graph[operand.tensor].isConstant {
            switch operand.place {
            case .layout(let layout): require(operand.tensor, layout)
            case .packed:
                require(operand.tensor, .plain)
                if !operand.descriptor.isRowMajor { cost += reorderCost(operand.tensor, Layout.plain.bit, .blocked) }
            }
        }
        if let residual = candidate.accumulates {
            require(residual, candidate.output)
            var isInput = false
            if case .input = context.graph[residual].origin { isInput = true }
            if lastUse[residual.index] > index || isInput {
                cost += context.costs.copy(bytes: context.byteCount(residual, candidate.output))
            }
        }
        return cost
    }
}
