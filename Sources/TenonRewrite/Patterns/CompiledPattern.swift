import TenonIR

/// A pattern made ready for matching: nodes numbered, so that a match is an array, and the operators that its root can have
/// collected, so that most bindings are passed over without a look inside.
public struct CompiledPattern: Sendable {
    /// Operators that a matching root call must have; nil when it may be anything.
    public let rootOperators: Set<OperatorID>?
    let nodes: [Pattern]
    let indices: [ObjectIdentifier: Int]
    let root: Pattern

    /// Fails when the pattern has more than `nodeLimit` nodes or is nested deeper than `depthLimit`.
    public init(_ pattern: Pattern, nodeLimit: Int = 100_000, depthLimit: Int = 256) throws {
        var nodes: [Pattern] = []
        var indices: [ObjectIdentifier: Int] = [:]
        var stack: [(Pattern, Int)] = [(pattern, 1)]
        while let (node, depth) = stack.popLast() {
            guard indices[ObjectIdentifier(node)] == nil else { continue }
            guard depth <= depthLimit, nodes.count < nodeLimit else {
                throw TenonError(
                    .limitExceeded, "pattern: more than \(nodeLimit) nodes or nested deeper than \(depthLimit)")
            }
            indices[ObjectIdentifier(node)] = nodes.count
            nodes.append(node)
            for child in node.children.reversed() { stack.append((child, depth + 1)) }
        }
        self.nodes = nodes
        self.indices = indices
        root = pattern
        rootOperators = CompiledPattern.operators(of: pattern)
    }

    /// Whether the block has a call that the root could match.
    func mayMatch(in block: Block) -> Bool {
        guard let rootOperators else { return true }
        return block.bindings.contains { binding in
            guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return false }
            return rootOperators.contains(op)
        }
    }

    func index(_ node: Pattern) -> Int { indices[ObjectIdentifier(node)] ?? 0 }

    private static func operators(of pattern: Pattern) -> Set<OperatorID>? {
        switch pattern.kind {
        case .call(let callee, _, _, _): return callees(of: callee)
        case .or(let a, let b):
            guard let x = operators(of: a), let y = operators(of: b) else { return nil }
            return x.union(y)
        case .and(let a, let b):
            switch (operators(of: a), operators(of: b)) {
            case (let x?, let y?): return x.intersection(y)
            case (let x, let y): return x ?? y
            }
        case .attributes(let inner, _), .dtype(let inner, _), .shape(let inner, _), .type(let inner, _):
            return operators(of: inner)
        case .chain(let base, let steps, let minimum, _):
            let tails = Set(steps.map(\.op))
            if minimum > 0 { return tails }
            return operators(of: base).map { $0.union(tails) }
        default: return nil
        }
    }

    private static func callees(of pattern: Pattern) -> Set<OperatorID>? {
        switch pattern.kind {
        case .op(let id): return [id]
        case .or(let a, let b):
            guard let x = callees(of: a), let y = callees(of: b) else { return nil }
            return x.union(y)
        default: return nil
        }
    }
}
