import TenonIR

/// That the value which one node matches is used by the binding which another node matches.
public struct UseRelation: Sendable {
    public var producer: Pattern
    public var consumer: Pattern
    /// The producer's value has no other user in the block.
    public var isOnlyUser: Bool
    /// Which of the variables that the consumer's binding mentions, counted from 0 through tuples and past literals, is the
    /// producer's; nil for any.
    public var operand: Int?

    public init(producer: Pattern, consumer: Pattern, isOnlyUser: Bool = false, operand: Int? = nil) {
        self.producer = producer
        self.consumer = consumer
        self.isOnlyUser = isOnlyUser
        self.operand = operand
    }

    func isSame(as other: UseRelation) -> Bool {
        producer === other.producer && consumer === other.consumer && isOnlyUser == other.isOnlyUser
            && operand == other.operand
    }
}

/// Nodes one after another, each used by the next. Stating it in a context makes it count.
public struct PatternSequence: Sendable {
    /// At least one.
    public private(set) var nodes: [Pattern]
    public private(set) var relations: [UseRelation]

    public init(_ pattern: Pattern) {
        nodes = [pattern]
        relations = []
    }

    public var first: Pattern { nodes[0] }
    public var last: Pattern { nodes[nodes.count - 1] }

    public func used(by next: PatternSequence, operand: Int? = nil) -> PatternSequence {
        joined(next, isOnlyUser: false, operand)
    }

    public func onlyUsed(by next: PatternSequence, operand: Int? = nil) -> PatternSequence {
        joined(next, isOnlyUser: true, operand)
    }

    private func joined(_ next: PatternSequence, isOnlyUser: Bool, _ operand: Int?) -> PatternSequence {
        var result = self
        result.relations.append(contentsOf: next.relations)
        result.relations.append(
            UseRelation(producer: last, consumer: next.first, isOnlyUser: isOnlyUser, operand: operand))
        result.nodes.append(contentsOf: next.nodes)
        return result
    }

    /// The same sequence of nodes of their own, copied with everything below them.
    public func duplicated() -> PatternSequence {
        var copier = PatternCopier()
        var result = self
        result.nodes = nodes.map { copier.copy($0) }
        for index in relations.indices {
            result.relations[index].producer = copier.copy(relations[index].producer)
            result.relations[index].consumer = copier.copy(relations[index].consumer)
        }
        return result
    }
}

extension Pattern {
    public func used(by next: Pattern, operand: Int? = nil) -> PatternSequence {
        PatternSequence(self).used(by: PatternSequence(next), operand: operand)
    }

    public func onlyUsed(by next: Pattern, operand: Int? = nil) -> PatternSequence {
        PatternSequence(self).onlyUsed(by: PatternSequence(next), operand: operand)
    }

    /// A pattern of nodes of its own, copied with everything below it. What was shared inside stays shared.
    public func duplicated() -> Pattern {
        var copier = PatternCopier()
        return copier.copy(self)
    }

    /// Used by.
    public static func ^ (a: Pattern, b: Pattern) -> PatternSequence { a.used(by: b) }
    public static func ^ (a: PatternSequence, b: Pattern) -> PatternSequence { a.used(by: PatternSequence(b)) }
    public static func ^ (a: Pattern, b: PatternSequence) -> PatternSequence { PatternSequence(a).used(by: b) }
    /// Used by this and nothing else.
    public static func >> (a: Pattern, b: Pattern) -> PatternSequence { a.onlyUsed(by: b) }
    public static func >> (a: PatternSequence, b: Pattern) -> PatternSequence { a.onlyUsed(by: PatternSequence(b)) }
    public static func >> (a: Pattern, b: PatternSequence) -> PatternSequence { PatternSequence(a).onlyUsed(by: b) }
}

extension PatternSequence {
    public static func ^ (a: PatternSequence, b: PatternSequence) -> PatternSequence { a.used(by: b) }
    public static func >> (a: PatternSequence, b: PatternSequence) -> PatternSequence { a.onlyUsed(by: b) }
}

/// Relations between nodes that a whole block is matched against. A value: a context that goes on from another one starts
/// as a copy of it.
public struct PatternContext: Sendable {
    public private(set) var relations: [UseRelation] = []
    /// Groups of nodes whose shapes must be provably equal.
    public private(set) var sameShapes: [[Pattern]] = []
    private var stated: Set<Key> = []

    private struct Key: Hashable {
        var producer: ObjectIdentifier
        var consumer: ObjectIdentifier
        var isOnlyUser: Bool
        var operand: Int?

        init(_ relation: UseRelation) {
            producer = ObjectIdentifier(relation.producer)
            consumer = ObjectIdentifier(relation.consumer)
            isOnlyUser = relation.isOnlyUser
            operand = relation.operand
        }
    }

    static let relationLimit = 65_536

    public init() {}

    /// Starts with the relations of `outer`; adding here does not change it. Same-shape constraints are not taken over.
    public init(extending outer: PatternContext) {
        relations = outer.relations
        stated = outer.stated
    }

    /// Adds one relation.
    /// - Throws: `.invalidArgument` when it is stated already, `.limitExceeded` when there are too many.
    public mutating func state(_ relation: UseRelation) throws {
        guard relations.count < Self.relationLimit else {
            throw TenonError(.limitExceeded, "pattern context: more than \(Self.relationLimit) relations")
        }
        if let operand = relation.operand, operand < 0 {
            throw TenonError(.invalidArgument, "pattern context: operand \(operand); expected 0 or above")
        }
        guard stated.insert(Key(relation)).inserted else {
            throw TenonError(.invalidArgument, "pattern context: the same relation of two nodes is stated twice")
        }
        relations.append(relation)
    }

    /// Adds the relations of a sequence, and those that the call patterns in it state of their arguments.
    public mutating func state(_ sequence: PatternSequence) throws {
        for node in sequence.nodes { try add(node) }
        for relation in sequence.relations { try state(relation) }
    }

    /// Relates `producer` to each of several: all are used by, and a fork has several users by itself.
    public mutating func fork(_ producer: Pattern, to consumers: [PatternSequence]) throws {
        try add(producer)
        for consumer in consumers {
            try state(consumer)
            try state(
                UseRelation(producer: producer, consumer: consumer.first, isOnlyUser: false, operand: nil))
        }
    }

    public mutating func fork(_ producer: Pattern, to consumers: Pattern...) throws {
        try fork(producer, to: consumers.map { PatternSequence($0) })
    }

    /// The nodes must have shapes that are provably equal.
    public mutating func sameShape(_ nodes: [Pattern]) throws {
        guard nodes.count > 1 else {
            throw TenonError(
                .invalidArgument, "pattern context: same shape of \(nodes.count) nodes; expected 2 or more")
        }
        sameShapes.append(nodes)
    }

    /// States for every call pattern with listed arguments, here and below, that each argument is used by the call at its
    /// place. Alternatives and negations are left alone: what they hold need not be there. What was stated before is not
    /// stated again.
    public mutating func add(_ pattern: Pattern) throws {
        var stack = [pattern]
        var seen: Set<ObjectIdentifier> = []
        while let node = stack.popLast() {
            guard seen.insert(ObjectIdentifier(node)).inserted else { continue }
            switch node.kind {
            case .or, .not, .chain, .function: continue
            case .call(_, let arguments?, _, _):
                try addOperands(of: node, arguments)
                stack.append(contentsOf: arguments.reversed())
            case .call: continue
            default: stack.append(contentsOf: node.children.reversed())
            }
        }
    }

    /// The same for one call pattern, without what is below it.
    public mutating func addOperands(of call: Pattern) throws {
        if case .call(_, let arguments?, _, _) = call.kind { try addOperands(of: call, arguments) }
    }

    private mutating func addOperands(of call: Pattern, _ arguments: [Pattern]) throws {
        // Literals are no variables: they have no place among the mentioned ones.
        var place = 0
        for argument in arguments where !argument.isLiteral {
            let relation = UseRelation(producer: argument, consumer: call, isOnlyUser: false, operand: place)
            place += 1
            if !stated.contains(Key(relation)) { try state(relation) }
        }
    }
}

extension Pattern {
    /// Matches nothing but literals.
    fileprivate var isLiteral: Bool {
        switch kind {
        case .constant, .shapeLiteral: true
        default: false
        }
    }
}

/// Copies patterns; a node met twice becomes one new node.
struct PatternCopier {
    private var copies: [ObjectIdentifier: Pattern] = [:]

    /// Not recursive: patterns may be as deep as the host likes.
    mutating func copy(_ root: Pattern) -> Pattern {
        var stack: [(node: Pattern, isReady: Bool)] = [(root, false)]
        while let (node, isReady) = stack.popLast() {
            guard copies[ObjectIdentifier(node)] == nil else { continue }
            if isReady {
                copies[ObjectIdentifier(node)] = Pattern(rebuilt(node.kind), name: node.name)
            } else {
                stack.append((node, true))
                for child in node.children { stack.append((child, false)) }
            }
        }
        return copied(root)
    }

    private func copied(_ node: Pattern) -> Pattern { copies[ObjectIdentifier(node)] ?? node }

    private func rebuilt(_ kind: Pattern.Kind) -> Pattern.Kind {
        switch kind {
        case .wildcard, .variable, .dataflowVariable, .globalVariable, .constant, .expression, .op, .external,
            .shapeLiteral:
            kind
        case .call(let callee, let arguments, let isVariadic, let commutes):
            .call(
                callee: copied(callee), arguments: arguments?.map { copied($0) }, isVariadic: isVariadic,
                commutes: commutes)
        case .tuple(let fields): .tuple(fields.map { copied($0) })
        case .unorderedTuple(let fields): .unorderedTuple(fields.map { copied($0) })
        case .tupleGetItem(let inner, let index): .tupleGetItem(copied(inner), index)
        case .or(let a, let b): .or(copied(a), copied(b))
        case .and(let a, let b): .and(copied(a), copied(b))
        case .not(let inner): .not(copied(inner))
        case .attributes(let inner, let attributes): .attributes(copied(inner), attributes)
        case .dtype(let inner, let dtype): .dtype(copied(inner), dtype)
        case .shape(let inner, let shape): .shape(copied(inner), shape)
        case .type(let inner, let type): .type(copied(inner), type)
        case .function(let parameters, let body):
            .function(parameters: parameters.map { copied($0) }, body: copied(body))
        case .chain(let base, let steps, let minimum, let maximum):
            .chain(
                base: copied(base),
                steps: steps.map { step in
                    var step = step
                    step.other = step.other.map { copied($0) }
                    return step
                }, minimum: minimum, maximum: maximum)
        }
    }
}
