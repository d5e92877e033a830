import TenonIR

/// A pattern made ready for matching: nodes numbered, so that a match is an array, and the operators that its root can have
/// collected, so that most bindings are passed over without a look inside.
public struct CompiledPattern: Sendable {
    /// Operators that a matching root call must have; nil when it may be anything.
    public let rootOperators: Set<OperatorID>?
    /// The same for asking often.
    let roots: OperatorSet?
    let nodes: [Pattern]
    let indices: [ObjectIdentifier: Int]
    let root: Pattern

    /// Fails when the pattern has more than `nodeLimit` nodes or is nested deeper than `depthLimit`.
    public init(_ pattern: Pattern, nodeLimit: Int = 100_000, depthLimit: Int = 256) throws {
        var nodes: [Pattern] = []
        var indices: [ObjectIdentifier: Int] = [:]
        guard pattern.depth <= depthLimit else {
            throw TenonError(
                .limitExceeded, "pattern: nested \(pattern.depth) levels deep; expected at most \(depthLimit)")
        }
        var stack: [Pattern] = [pattern]
        while let node = stack.popLast() {
            guard indices[ObjectIdentifier(node)] == nil else { continue }
            guard nodes.count < nodeLimit else {
                throw TenonError(.limitExceeded, "pattern: more than \(nodeLimit) nodes")
            }
            if case .unorderedTuple(let fields) = node.kind, fields.count > 64 {
                throw TenonError(
                    .limitExceeded, "pattern: an unordered tuple of \(fields.count) fields; expected at most 64")
            }
            indices[ObjectIdentifier(node)] = nodes.count
            nodes.append(node)
            stack.append(contentsOf: node.children.reversed())
        }
        self.nodes = nodes
        self.indices = indices
        root = pattern
        var known: [ObjectIdentifier: Set<OperatorID>?] = [:]
        rootOperators = CompiledPattern.operators(of: pattern, &known)
        roots = rootOperators.map { OperatorSet($0) }
    }

    /// Operators that the root call of what `pattern` matches has one of; nil when it may be anything.
    static func operators(of pattern: Pattern) -> Set<OperatorID>? {
        var known: [ObjectIdentifier: Set<OperatorID>?] = [:]
        return operators(of: pattern, &known)
    }

    /// Whether the block has a call that the root could match.
    func mayMatch(in block: Block) -> Bool {
        guard let roots else { return true }
        return block.bindings.contains { binding in
            guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return false }
            return roots.contains(op)
        }
    }

    func index(_ node: Pattern) -> Int { indices[ObjectIdentifier(node)] ?? 0 }

    /// What is shared in the pattern is looked at once.
    private static func operators(
        of pattern: Pattern, _ known: inout [ObjectIdentifier: Set<OperatorID>?]
    ) -> Set<OperatorID>? {
        if let found = known[ObjectIdentifier(pattern)] { return found }
        let found: Set<OperatorID>?
        switch pattern.kind {
        case .call(let callee, _, _, _): found = operators(of: callee, &known)
        case .op(let id): found = [id]
        case .or(let a, let b):
            if let x = operators(of: a, &known), let y = operators(of: b, &known) {
                found = x.union(y)
            } else {
                found = nil
            }
        case .and(let a, let b):
            switch (operators(of: a, &known), operators(of: b, &known)) {
            case (let x?, let y?): found = x.intersection(y)
            case (let x, let y): found = x ?? y
            }
        case .attributes(let inner, _), .dtype(let inner, _), .shape(let inner, _), .type(let inner, _):
            found = operators(of: inner, &known)
        case .chain(let base, let steps, let minimum, _):
            let tails = Set(steps.map(\.op))
            found = minimum > 0 ? tails : operators(of: base, &known).map { $0.union(tails) }
        default: found = nil
        }
        known[ObjectIdentifier(pattern)] = .some(found)
        return found
    }
}
