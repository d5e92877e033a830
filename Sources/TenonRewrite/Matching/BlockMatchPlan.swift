import TenonIR

/// A context made ready for matching: nodes numbered, and put in an order in which each is next to one before it.
struct BlockMatchPlan {
    struct Relation {
        var producer: Int
        var consumer: Int
        var isOnlyUser: Bool
        var operand: Int?
    }

    /// One node's turn in the search.
    struct Place {
        var node: Int
        /// Where its candidates come from; nil for the first node of a connected part.
        var generator: Relation?
        /// Relations to nodes that come before it.
        var checks: [Relation]
        /// Earlier nodes whose shapes must equal its own.
        var sameShapes: [Int]
        /// It consumes something, so that only bindings of the block will do.
        var mustBeBound: Bool
        var isOnlyUsed: Bool
    }

    static let nodeLimit = 4096

    private(set) var nodes: [Pattern] = []
    private(set) var indices: [ObjectIdentifier: Int] = [:]
    private(set) var compiled: [CompiledPattern] = []
    private(set) var order: [Place] = []
    private var relations: [Relation] = []

    /// Nil when nothing is related.
    init?(_ context: PatternContext) throws {
        for relation in context.relations {
            relations.append(
                Relation(
                    producer: try index(relation.producer), consumer: try index(relation.consumer),
                    isOnlyUser: relation.isOnlyUser, operand: relation.operand))
        }
        guard !relations.isEmpty else { return nil }
        compiled = try nodes.map { try CompiledPattern($0) }
        var sameShapes: [[Int]] = [[Int]](repeating: [], count: nodes.count)
        for group in context.sameShapes {
            let members = try group.map { node -> Int in
                guard let index = indices[ObjectIdentifier(node)] else {
                    throw TenonError(.invalidArgument, "pattern context: a same-shape node takes part in no relation")
                }
                return index
            }
            for member in members { sameShapes[member].append(contentsOf: members.filter { $0 != member }) }
        }
        sort(sameShapes)
    }

    private mutating func index(_ node: Pattern) throws -> Int {
        if let known = indices[ObjectIdentifier(node)] { return known }
        guard nodes.count < Self.nodeLimit else {
            throw TenonError(.limitExceeded, "pattern context: more than \(Self.nodeLimit) nodes")
        }
        indices[ObjectIdentifier(node)] = nodes.count
        nodes.append(node)
        return nodes.count - 1
    }

    /// Roots in the order in which they were first named as producer, each followed by what hangs together with it.
    private mutating func sort(_ sameShapes: [[Int]]) {
        var consumers = [[Int]](repeating: [], count: nodes.count)
        var producers = consumers
        for relation in relations {
            consumers[relation.producer].append(relation.consumer)
            producers[relation.consumer].append(relation.producer)
        }
        var position = [Int](repeating: -1, count: nodes.count)
        var sequence: [Int] = []
        let roots = relations.map(\.producer).filter { producers[$0].isEmpty }
        // Relations in a circle have no root; whatever comes first starts.
        for first in roots + relations.map(\.producer) {
            var stack = [first]
            while let node = stack.popLast() {
                guard position[node] < 0 else { continue }
                position[node] = sequence.count
                sequence.append(node)
                stack.append(contentsOf: producers[node].reversed())
                stack.append(contentsOf: consumers[node].reversed())
            }
        }
        order = sequence.map { node in place(node, position, sameShapes[node]) }
    }

    private func place(_ node: Int, _ position: [Int], _ sameShapes: [Int]) -> Place {
        var checks: [Relation] = []
        var isConsumer = false
        var isOnlyUsed = false
        for relation in relations where relation.producer == node || relation.consumer == node {
            if relation.consumer == node { isConsumer = true }
            if relation.producer == node && relation.isOnlyUser { isOnlyUsed = true }
            let other = relation.producer == node ? relation.consumer : relation.producer
            if position[other] < position[node] { checks.append(relation) }
        }
        // An operand of what is known leaves fewer candidates than a user of it.
        let generator =
            checks.first { $0.producer == node && $0.operand != nil } ?? checks.first { $0.producer == node }
            ?? checks.first
        return Place(
            node: node, generator: generator, checks: checks,
            sameShapes: sameShapes.filter { position[$0] < position[node] }, mustBeBound: isConsumer,
            isOnlyUsed: isOnlyUsed)
    }
}
