import TenonIR

/// Values that the nodes of a context were assigned.
public struct BlockMatch: Sendable {
    /// The function of the block, and what its bindings bind.
    public let table: BindingTable
    /// Nodes in the order in which they were first related.
    public let nodes: [Pattern]
    let values: [ValueID]
    private let indices: [ObjectIdentifier: Int]

    init(_ table: BindingTable, _ nodes: [Pattern], _ indices: [ObjectIdentifier: Int], _ values: [ValueID]) {
        self.table = table
        self.nodes = nodes
        self.indices = indices
        self.values = values
    }

    /// The variable that a node met; nil for nodes without a relation.
    public subscript(node: Pattern) -> ValueID? { indices[ObjectIdentifier(node)].map { values[$0] } }

    /// The variable that the first node of that name met.
    public subscript(name: String) -> ValueID? {
        for (index, node) in nodes.enumerated() where node.name == name { return values[index] }
        return nil
    }

    public func type(of node: Pattern) -> ValueType? { self[node].map { table.function.type(of: $0) } }

    public func call(_ node: Pattern) -> Call? { self[node].flatMap { table.definition($0)?.asCall } }
}

/// The first assignment of values of `block` to the nodes of `context`, or nil.
///
/// Nodes without a producer are tried on the variables that the block uses, in the order of first use; the others on what
/// uses or is used by what was assigned before them. The search is exhaustive.
/// - Throws: `.limitExceeded` when the search takes more than `stepLimit` attempts.
public func matchDataflowBlock(
    _ context: PatternContext, _ block: Block, of function: Function, stepLimit: Int = 10_000_000
) throws -> BlockMatch? {
    var matcher = try BlockMatcher(context, block.bindings[...], of: function, stepLimit: stepLimit)
    return try matcher?.next()
}

/// Searches one run of bindings for assignments, one after another; bindings may be taken out in between.
struct BlockMatcher {
    private let plan: BlockMatchPlan
    private let table: BindingTable
    private let stepLimit: Int
    /// By node: its own matcher; nil for wildcards, which need none.
    private var matchers: [Matcher?]
    /// By node, then by value: 0 not tried, 1 no, 2 yes.
    private var memo: [[UInt8]]
    /// Variables that bindings mention, in the order of first mention.
    private let used: [ValueID]
    private let uses: UseTable
    /// By value: how many bindings that are still there mention it.
    private var userCount: [Int32]
    /// By value: bound here and not taken out.
    private var isBound: [Bool]
    private var isTaken: [Bool]
    private var hasRemoved = false
    private var isRemoved: [Bool]
    /// Where the search goes on among the candidates of the first root: those before it have failed.
    private var start = 0

    /// Nil when the context relates nothing: it never matches.
    init?(_ context: PatternContext, _ bindings: ArraySlice<Binding>, of function: Function, stepLimit: Int) throws {
        guard let plan = try BlockMatchPlan(context) else { return nil }
        let count = function.values.count
        var table = BindingTable(opaque: function)
        var isBound = [Bool](repeating: false, count: count)
        var isMentioned = isBound
        var used: [ValueID] = []
        for binding in bindings {
            table.show(binding.id, binding.expression)
            isBound[binding.id.int] = true
            binding.expression.forEachValue { id in
                if !isMentioned[id.int] {
                    isMentioned[id.int] = true
                    used.append(id)
                }
            }
        }
        self.plan = plan
        self.stepLimit = stepLimit
        self.table = table
        self.used = used
        self.isBound = isBound
        isTaken = [Bool](repeating: false, count: count)
        isRemoved = isTaken
        uses = UseTable(Block(isDataflow: true, bindings: Array(bindings)), valueCount: count)
        userCount = [Int32](repeating: 0, count: count)
        for id in used { userCount[id.int] = Int32(uses.count(of: id)) }
        matchers = plan.compiled.map { compiled in
            if case .wildcard = compiled.root.kind { return nil }
            return Matcher(compiled, table)
        }
        memo = [[UInt8]](repeating: [], count: plan.nodes.count)
    }

    /// Takes bindings out: they are neither candidates nor users any more.
    mutating func remove(_ ids: some Sequence<ValueID>) {
        for id in ids where isBound[id.int] {
            isBound[id.int] = false
            isRemoved[id.int] = true
            hasRemoved = true
            var seen: [ValueID] = []
            table.lookup(id)?.forEachValue { mentioned in
                if !seen.contains(mentioned) {
                    seen.append(mentioned)
                    userCount[mentioned.int] -= 1
                }
            }
        }
    }

    /// The next assignment that `accept` takes.
    mutating func next(accept: (BlockMatch) throws -> Bool = { _ in true }) throws -> BlockMatch? {
        let count = plan.order.count
        var assigned = [ValueID](repeating: ValueID(-1), count: plan.nodes.count)
        var candidates = [[ValueID]](repeating: [], count: count)
        var cursor = [Int](repeating: 0, count: count)
        var steps = 0
        var level = 0
        candidates[0] = used
        cursor[0] = start
        // Backtracking without recursion: a context may hold thousands of nodes.
        while true {
            guard cursor[level] < candidates[level].count else {
                guard level > 0 else {
                    start = used.count
                    return nil
                }
                level -= 1
                isTaken[assigned[plan.order[level].node].int] = false
                continue
            }
            if level == 0 { start = cursor[0] }
            let candidate = candidates[level][cursor[level]]
            cursor[level] += 1
            steps += 1
            guard steps <= stepLimit else {
                throw TenonError(.limitExceeded, "pattern context: more than \(stepLimit) attempts in one block")
            }
            let place = plan.order[level]
            guard isAcceptable(candidate, place, assigned) else { continue }
            assigned[place.node] = candidate
            isTaken[candidate.int] = true
            if level + 1 == count {
                let found = BlockMatch(table, plan.nodes, plan.indices, assigned)
                guard try accept(found) else {
                    isTaken[candidate.int] = false
                    continue
                }
                for done in plan.order { isTaken[assigned[done.node].int] = false }
                return found
            }
            level += 1
            candidates[level] = self.candidates(plan.order[level], assigned)
            cursor[level] = 0
        }
    }

    private func candidates(_ place: BlockMatchPlan.Place, _ assigned: [ValueID]) -> [ValueID] {
        guard let relation = place.generator else { return used }
        if relation.producer == place.node {
            let mentioned = mentions(of: assigned[relation.consumer])
            if let operand = relation.operand { return mentioned.indices.contains(operand) ? [mentioned[operand]] : [] }
            return mentioned
        }
        return uses.users(of: assigned[relation.producer]).filter { isBound[$0.int] }
    }

    private func mentions(of id: ValueID) -> [ValueID] {
        var mentioned: [ValueID] = []
        table.lookup(id)?.forEachValue { mentioned.append($0) }
        return mentioned
    }

    private mutating func isAcceptable(
        _ candidate: ValueID, _ place: BlockMatchPlan.Place, _ assigned: [ValueID]
    ) -> Bool {
        guard !isTaken[candidate.int], !isRemoved[candidate.int] || userCount[candidate.int] > 0 else { return false }
        if place.mustBeBound && !isBound[candidate.int] { return false }
        if place.isOnlyUsed && userCount[candidate.int] != 1 { return false }
        for relation in place.checks {
            let producer = relation.producer == place.node ? candidate : assigned[relation.producer]
            let consumer = relation.consumer == place.node ? candidate : assigned[relation.consumer]
            if !holds(relation, producer, consumer) { return false }
        }
        for node in place.sameShapes where !hasSameShape(candidate, assigned[node]) { return false }
        return matches(place.node, candidate)
    }

    private func holds(_ relation: BlockMatchPlan.Relation, _ producer: ValueID, _ consumer: ValueID) -> Bool {
        guard isBound[consumer.int] else { return false }
        var place = 0
        var found = false
        table.lookup(consumer)?.forEachValue { id in
            if id == producer, relation.operand == nil || relation.operand == place { found = true }
            place += 1
        }
        return found
    }

    private func hasSameShape(_ a: ValueID, _ b: ValueID) -> Bool {
        guard let x = table.function.type(of: a).asTensor?.shape, let y = table.function.type(of: b).asTensor?.shape
        else { return false }
        return x == y
    }

    private mutating func matches(_ node: Int, _ candidate: ValueID) -> Bool {
        guard matchers[node] != nil else { return true }
        if memo[node].isEmpty { memo[node] = [UInt8](repeating: 0, count: isBound.count) }
        let known = memo[node][candidate.int]
        if known == 1 || (known == 2 && !hasRemoved) { return known == 2 }
        let match = matchers[node]?.match(.value(candidate))
        memo[node][candidate.int] = match == nil ? 1 : 2
        // What was taken out is no longer there to be looked at.
        return match?.interior.allSatisfy { !isRemoved[$0.int] } ?? false
    }
}
