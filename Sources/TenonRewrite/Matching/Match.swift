import TenonIR

/// A successful match: what each node of the pattern met.
public struct Match: Sendable {
    public let root: Subject
    let pattern: CompiledPattern
    let subjects: [Subject?]
    /// Bindings matched by call and projection nodes and by chain steps: what would be fused. In the order of discovery.
    public let interior: [ValueID]
    /// The steps of chains, first applied first.
    public let chainSteps: [ChainMatch]
    /// Choices above the pattern that was tried; they met what the root met.
    var choices: [Pattern] = []

    /// What a node matched; nil when it is not on the successful path.
    public subscript(node: Pattern) -> Subject? {
        guard let index = pattern.indices[ObjectIdentifier(node)] else {
            return choices.contains { $0 === node } ? root : nil
        }
        return subjects[index]
    }

    /// What the first node of that name matched.
    public subscript(name: String) -> Subject? {
        for (index, node) in pattern.nodes.enumerated() where node.name == name {
            if let subject = subjects[index] { return subject }
        }
        return choices.contains { $0.name == name } ? root : nil
    }
}

/// One step of a chain that matched.
public struct ChainMatch: Sendable, Hashable {
    public var binding: ValueID
    public var op: OperatorID
    /// Index of the operand that carries on the chain.
    public var chainOperand: Int
}
