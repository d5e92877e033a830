import TenonIR

/// Which bindings of a function belong together. Groups are numbered from 0 within one block.
struct Grouping {
    /// By value: the group, or -1.
    var groupOf: [Int32]

    init(valueCount: Int) { groupOf = [Int32](repeating: -1, count: valueCount) }

    func group(_ id: ValueID) -> Int {
        groupOf.indices.contains(id.int) ? Int(groupOf[id.int]) : -1
    }
}

/// A block cut into units — groups and single bindings — in an order that respects what they need of each other.
struct BlockPlan {
    struct Unit {
        /// -1 for a single binding.
        var group: Int
        /// Positions of the members in the block, ascending.
        var members: [Int32]
    }

    private(set) var units: [Unit] = []
    /// Units in the order of emission.
    private(set) var order: [Int] = []
    /// By group: the values needed outside, in the order of the fused function's outputs.
    private(set) var outputs: [[ValueID]]
    /// By value: its position among the outputs of its group, or -1.
    private var outputPosition: [Int32]

    /// Throws when a group would have to run both before and after something outside it.
    init(_ block: Block, _ function: Function, _ grouping: Grouping, groupCount: Int, context: String) throws {
        outputs = [[ValueID]](repeating: [], count: groupCount)
        outputPosition = [Int32](repeating: -1, count: function.values.count)
        var unitOfGroup = [Int](repeating: -1, count: groupCount)
        var unitOfValue: [Int32] = [Int32](repeating: -1, count: function.values.count)
        for position in block.bindings.indices {
            let id = block.bindings[position].id
            let group = grouping.group(id)
            let unit: Int
            if group >= 0, unitOfGroup[group] >= 0 {
                unit = unitOfGroup[group]
                units[unit].members.append(Int32(position))
            } else {
                unit = units.count
                units.append(Unit(group: group, members: [Int32(position)]))
                if group >= 0 { unitOfGroup[group] = unit }
            }
            unitOfValue[id.int] = Int32(unit)
        }
        findOutputs(block, function, grouping)
        try sort(block, unitOfValue, context)
    }

    /// Where a value stands among the outputs of its group; nil for what is not needed outside.
    func outputPosition(of id: ValueID) -> Int? {
        outputPosition[id.int] < 0 ? nil : Int(outputPosition[id.int])
    }

    private mutating func addOutput(_ id: ValueID, of group: Int) {
        guard outputPosition[id.int] < 0 else { return }
        outputPosition[id.int] = Int32(truncatingIfNeeded: outputs[group].count)
        outputs[group].append(id)
    }

    private mutating func findOutputs(_ block: Block, _ function: Function, _ grouping: Grouping) {
        for index in block.bindings.indices {
            let id = block.bindings[index].id
            let group = grouping.group(id)
            if group >= 0, !function.values[id.int].isDataflow { addOutput(id, of: group) }
        }
        for index in block.bindings.indices {
            let user = grouping.group(block.bindings[index].id)
            block.bindings[index].expression.forEachValue { used in
                let group = grouping.group(used)
                if group >= 0, group != user { addOutput(used, of: group) }
            }
        }
    }

    /// Units in the order of their first members, what they need hoisted in front of them.
    private mutating func sort(_ block: Block, _ unitOfValue: [Int32], _ context: String) throws {
        enum State: UInt8 { case untouched, open, done }
        var state = [State](repeating: .untouched, count: units.count)
        order.reserveCapacity(units.count)
        // An explicit stack: the depth is as large as the graph allows.
        var stack: [(unit: Int, needs: [Int32], next: Int)] = []
        for first in units.indices where state[first] == .untouched {
            stack.append((first, needs(of: first, block, unitOfValue), 0))
            state[first] = .open
            while let top = stack.last {
                guard top.next < top.needs.count else {
                    state[top.unit] = .done
                    order.append(top.unit)
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                let need = Int(top.needs[top.next])
                switch state[need] {
                case .done: continue
                case .open:
                    throw TenonError(
                        .invalidGraph,
                        "\(context): A cyclic dependency detected between groups: a fused group would need a value that depends on its own result"
                    )
                case .untouched:
                    state[need] = .open
                    stack.append((need, needs(of: need, block, unitOfValue), 0))
                }
            }
        }
    }

    private func needs(of unit: Int, _ block: Block, _ unitOfValue: [Int32]) -> [Int32] {
        var needs: [Int32] = []
        for member in units[unit].members {
            block.bindings[Int(member)].expression.forEachValue { used in
                let other = unitOfValue[used.int]
                if other >= 0, other != unit, needs.last != other { needs.append(other) }
            }
        }
        return needs
    }
}
