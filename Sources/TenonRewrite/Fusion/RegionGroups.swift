import TenonIR

/// Sorts the bindings of one block into regions of composites of one backend, so that no region needs what depends on it.
///
/// Every binding is a node in a union–find forest; edges go from a group to the groups whose values it takes. A composite
/// joins the first operand's group of its backend that no other operand depends on, and unites with it all others of which
/// the same holds.
///
/// Groups are kept in an order in which each stands behind what it needs: whether one depends on another is then looked for
/// between the two only. What was looked at in vain moves in front of the group joined, so that it is not looked at again.
struct RegionGroups {
    private let function: Function
    private let compilerOf: (String) -> String?
    /// By value: its group before union–find, or -1 for what the block does not bind (leaves: nothing to depend on).
    private var node: [Int32]
    private var parent: [Int32] = []
    /// By group root: the backend, as an index into `compilers`; -1 for plain bindings.
    private var compiler: [Int32] = []
    private(set) var compilers: [String] = []
    /// By group root: groups whose values its members take, not resolved.
    private var needs: [[Int32]] = []
    /// By group root: a group that it was found to depend on; what was found stays true.
    private var known: [Int32] = []
    private var order = OrderedList()
    private var visited: [Int64] = []
    private var visit: Int64 = 0
    /// As `visited`, for what one group needs.
    private var mentioned: [Int64] = []
    private var mention: Int64 = 0

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

    private mutating func newGroup(compiler: Int32) -> Int32 {
        let group = Int32(parent.count)
        parent.append(group)
        self.compiler.append(compiler)
        needs.append([])
        known.append(-1)
        visited.append(0)
        mentioned.append(0)
        order.append()
        return group
    }

    private mutating func compilerIndex(_ name: String) -> Int32 {
        if let index = compilers.firstIndex(of: name) { return Int32(index) }
        compilers.append(name)
        return Int32(compilers.count - 1)
    }

    private mutating func build(_ block: Block) {
        let tuples = AbsorbedTuples(block, function)
        for binding in block.bindings {
            let operands = groups(of: binding.expression)
            let group: Int32
            switch binding.expression {
            case .operand(.value(let source)) where node[source.int] >= 0:
                group = find(node[source.int])
            case .call(let call):
                if case .function(let name) = call.callee, let backend = compilerOf(name) {
                    group = join(operands, compiler: compilerIndex(backend))
                } else {
                    group = newGroup(compiler: -1)
                }
            case .tuple(let fields):
                // All fields from one region: the tuple is made there.
                if tuples.isAbsorbed(binding.id), operands.count == 1, compiler[Int(operands[0])] >= 0,
                    fields.allSatisfy({ $0.valueID.map { node[$0.int] >= 0 } ?? false })
                {
                    group = operands[0]
                } else {
                    group = newGroup(compiler: -1)
                }
            case .tupleGetItem(.value(let tuple), _):
                if tuples.isAbsorbed(tuple), operands.count == 1, compiler[Int(operands[0])] >= 0 {
                    group = operands[0]
                } else {
                    group = newGroup(compiler: -1)
                }
            default: group = newGroup(compiler: -1)
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
        var used: [Int32] = []
        expression.forEachValue { if node[$0.int] >= 0 { used.append(node[$0.int]) } }
        for group in used {
            let root = find(group)
            if visited[Int(root)] != stamp {
                visited[Int(root)] = stamp
                result.append(root)
            }
        }
        return result
    }

    private mutating func join(_ operands: [Int32], compiler index: Int32) -> Int32 {
        var joinable: [Int32] = []
        for group in operands where compiler[Int(group)] == index {
            if operands.count == 1 || !anyDepends(operands, on: group) { joinable.append(group) }
        }
        guard let target = joinable.first else { return newGroup(compiler: index) }
        guard operands.count > 1 else { return target }
        // All operands come to stand in front of the group: so does what they need of that which stands behind it.
        let place = joinable.min { order[$0] < order[$1] } ?? target
        let before = needed(operands, behind: place)
        for other in joinable where other != target { unite(target, other) }
        for group in before where find(group) != target { order.move(group, before: place) }
        if place != target { order.move(target, before: place) }
        return target
    }

    private mutating func unite(_ target: Int32, _ other: Int32) {
        parent[Int(other)] = target
        needs[Int(target)].append(contentsOf: needs[Int(other)])
        needs[Int(other)] = []
    }

    /// The groups that stand behind `place` among the given ones and all that they need, in order.
    private mutating func needed(_ groups: [Int32], behind place: Int32) -> [Int32] {
        visit += 1
        let stamp = visit
        var result: [Int32] = []
        var next = 0
        let limit = order[place]
        func add(_ group: Int32) {
            guard visited[Int(group)] != stamp, order[group] > limit else { return }
            visited[Int(group)] = stamp
            result.append(group)
        }
        for group in groups { add(group) }
        while next < result.count {
            for need in resolved(result[next]) { add(need) }
            next += 1
        }
        return result.sorted { order[$0] < order[$1] }
    }

    /// What a group needs, each once.
    private mutating func resolved(_ group: Int32) -> [Int32] {
        var roots: [Int32] = []
        mention += 1
        mentioned[Int(group)] = mention
        for need in needs[Int(group)] {
            let root = find(need)
            guard mentioned[Int(root)] != mention else { continue }
            mentioned[Int(root)] = mention
            roots.append(root)
        }
        needs[Int(group)] = roots
        return roots
    }

    /// Whether one of the groups, `group` itself left out, takes values from `group`, directly or through others.
    private mutating func anyDepends(_ groups: [Int32], on group: Int32) -> Bool {
        visit += 1
        let stamp = visit
        let limit = order[group]
        // What was found, and the index there of what it was found from.
        var found: [(group: Int32, from: Int)] = []
        func add(_ next: Int32, from: Int) {
            guard visited[Int(next)] != stamp, order[next] > limit else { return }
            visited[Int(next)] = stamp
            found.append((next, from))
        }
        for other in groups where other != group { add(other, from: -1) }
        var next = 0
        while next < found.count {
            let current = found[next].group
            let isKnown = known[Int(current)] >= 0 && find(known[Int(current)]) == group
            let needed = isKnown ? [group] : resolved(current)
            if needed.contains(group) {
                var step = next
                while step >= 0 {
                    known[Int(found[step].group)] = group
                    step = found[step].from
                }
                return true
            }
            for need in needed { add(need, from: next) }
            next += 1
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
