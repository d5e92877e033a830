import TenonIR

/// Sorts the bindings of one block into regions of composites of one backend, so that no region needs what depends on it.
///
/// Every binding is a node in a union–find forest; edges go from a group to the groups whose values it takes. A composite
/// joins the first operand's group of its backend that no other operand depends on, and unites with it all others of which
/// the same holds.
struct RegionGroups {
    private let function: Function
    private let compilerOf: (String) -> String?
    /// By value: its group before union–find, or -1 for what the block does not bind (leaves: nothing to depend on).
    private var node: [Int32]
    private var parent: [Int32] = []
    /// By group root: the backend, as an index into `compilers`; -1 for plain bindings.
    private var compiler: [Int32] = []
    private(set) var compilers: [String] = []
    /// By group root: positions of the first and the last member.
    private var first: [Int32] = []
    private var last: [Int32] = []
    /// By group root: groups whose values its members take, not resolved.
    private var needs: [[Int32]] = []
    private var visited: [Int32] = []
    private var visit: Int32 = 0
    /// Runs of positions that groups span together, ascending: no group has members in two of them.
    private var spans: [(first: Int32, last: Int32)] = []

    init(_ block: Block, _ function: Function, compilerOf: @escaping (_ function: String) -> String?) {
        self.function = function
        self.compilerOf = compilerOf
        node = [Int32](repeating: -1, count: function.values.count)
        build(block)
    }

    /// The group of a value: its number and its backend; nil for values that belong to no region.
    func region(of id: ValueID) -> (group: Int, compiler: String)? {
        guard node[id.int] >= 0 else { return nil }
        var root = Int(node[id.int])
        while Int(parent[root]) != root { root = Int(parent[root]) }
        return compiler[root] < 0 ? nil : (root, compilers[Int(compiler[root])])
    }

    private mutating func find(_ group: Int32) -> Int32 {
        var root = group
        while parent[Int(root)] != root { root = parent[Int(root)] }
        var current = group
        while parent[Int(current)] != root { (current, parent[Int(current)]) = (parent[Int(current)], root) }
        return root
    }

    private mutating func newGroup(_ position: Int, compiler: Int32) -> Int32 {
        let group = Int32(parent.count)
        parent.append(group)
        self.compiler.append(compiler)
        first.append(Int32(position))
        last.append(Int32(position))
        needs.append([])
        visited.append(0)
        spans.append((Int32(position), Int32(position)))
        return group
    }

    /// Records a member at `position`, the last one so far.
    private mutating func extend(_ group: Int32, to position: Int) {
        last[Int(group)] = Int32(position)
        while let end = spans.last, end.first > first[Int(group)] { spans.removeLast() }
        if !spans.isEmpty { spans[spans.count - 1].last = Int32(position) }
    }

    /// The last position that belongs to the same span as `position`.
    private func spanEnd(_ position: Int32) -> Int32 {
        var low = 0
        var high = spans.count
        while low < high {
            let middle = (low + high) / 2
            if spans[middle].first <= position { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? spans[low - 1].last : position
    }

    private mutating func compilerIndex(_ name: String) -> Int32 {
        if let index = compilers.firstIndex(of: name) { return Int32(index) }
        compilers.append(name)
        return Int32(compilers.count - 1)
    }

    private mutating func build(_ block: Block) {
        let tuples = AbsorbedTuples(block, function)
        for (position, binding) in block.bindings.enumerated() {
            let operands = groups(of: binding.expression)
            let group: Int32
            switch binding.expression {
            case .operand(.value(let source)) where node[source.int] >= 0:
                group = find(node[source.int])
                extend(group, to: position)
            case .call(let call):
                if case .function(let name) = call.callee, let backend = compilerOf(name) {
                    group = join(operands, position, compiler: compilerIndex(backend))
                } else {
                    group = newGroup(position, compiler: -1)
                }
            case .tuple(let fields):
                // All fields from one region: the tuple is made there.
                if tuples.isAbsorbed(binding.id), operands.count == 1, compiler[Int(operands[0])] >= 0,
                    fields.allSatisfy({ $0.valueID.map { node[$0.int] >= 0 } ?? false })
                {
                    group = operands[0]
                    extend(group, to: position)
                } else {
                    group = newGroup(position, compiler: -1)
                }
            case .tupleGetItem(.value(let tuple), _):
                if tuples.isAbsorbed(tuple), operands.count == 1, compiler[Int(operands[0])] >= 0 {
                    group = operands[0]
                    extend(group, to: position)
                } else {
                    group = newGroup(position, compiler: -1)
                }
            default: group = newGroup(position, compiler: -1)
            }
            node[binding.id.int] = group
            for operand in operands where operand != group { needs[Int(group)].append(operand) }
        }
    }

    /// Groups of the values that an expression mentions, each once, in order.
    private mutating func groups(of expression: Expression) -> [Int32] {
        var result: [Int32] = []
        visit += 1
        let stamp = visit
        var mentioned: [Int32] = []
        expression.forEachValue { if node[$0.int] >= 0 { mentioned.append(node[$0.int]) } }
        for group in mentioned {
            let root = find(group)
            if visited[Int(root)] != stamp {
                visited[Int(root)] = stamp
                result.append(root)
            }
        }
        return result
    }

    private mutating func join(_ operands: [Int32], _ position: Int, compiler index: Int32) -> Int32 {
        var joinable: [Int32] = []
        for group in operands where compiler[Int(group)] == index {
            if operands.count == 1 || !anyDepends(operands, on: group) { joinable.append(group) }
        }
        guard let target = joinable.first else { return newGroup(position, compiler: index) }
        for other in joinable.dropFirst() { unite(target, other) }
        extend(target, to: position)
        return target
    }

    private mutating func unite(_ target: Int32, _ other: Int32) {
        parent[Int(other)] = target
        first[Int(target)] = min(first[Int(target)], first[Int(other)])
        last[Int(target)] = max(last[Int(target)], last[Int(other)])
        needs[Int(target)].append(contentsOf: needs[Int(other)])
        needs[Int(other)] = []
    }

    /// Whether one of the groups, `group` itself left out, takes values from `group`, directly or through others.
    private mutating func anyDepends(_ groups: [Int32], on group: Int32) -> Bool {
        visit += 1
        let stamp = visit
        var stack: [Int32] = []
        for other in groups where other != group {
            visited[Int(other)] = stamp
            stack.append(other)
        }
        let earliest = first[Int(group)]
        while let current = stack.popLast() {
            // Needs lie in the same span or before it: what ends before the group begins cannot reach it.
            if spanEnd(last[Int(current)]) < earliest { continue }
            for need in needs[Int(current)] {
                let root = find(need)
                if root == group { return true }
                if visited[Int(root)] != stamp {
                    visited[Int(root)] = stamp
                    stack.append(root)
                }
            }
        }
        return false
    }
}

/// Tuples that are only taken apart again: flat, of tensors, used by projections alone (also through aliases).
private struct AbsorbedTuples {
    private var candidates: [Bool]

    init(_ block: Block, _ function: Function) {
        // By value: what it is another name of, itself otherwise; aliases come after what they name.
        var source = function.values.indices.map { Int32(truncatingIfNeeded: $0) }
        var absorbed = [Bool](repeating: false, count: function.values.count)
        func root(_ id: ValueID) -> Int { Int(source[id.int]) }
        for binding in block.bindings {
            if case .operand(.value(let of)) = binding.expression { source[binding.id.int] = source[of.int] }
            if case .tuple(let fields) = function.values[binding.id.int].type {
                absorbed[binding.id.int] = fields.allSatisfy { $0.asTensor != nil }
            }
        }
        for binding in block.bindings {
            switch binding.expression {
            case .tupleGetItem(.value, _), .operand(.value): break
            default: binding.expression.forEachValue { absorbed[root($0)] = false }
            }
            if !function.values[binding.id.int].isDataflow { absorbed[root(binding.id)] = false }
        }
        function.body.result.forEachValue { absorbed[root($0)] = false }
        for binding in block.bindings { absorbed[binding.id.int] = absorbed[root(binding.id)] }
        candidates = absorbed
    }

    func isAbsorbed(_ id: ValueID) -> Bool { candidates[id.int] }
}
