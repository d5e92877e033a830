import TenonIR

extension Match {
    /// What the named nodes met, in the order in which patterns are visited; of several nodes of a name the first that met
    /// something.
    public var captures: [(name: String, subject: Subject)] {
        var seen: Set<String> = []
        var result: [(name: String, subject: Subject)] = []
        for choice in choices where !choice.name.isEmpty && seen.insert(choice.name).inserted {
            result.append((choice.name, root))
        }
        for (index, node) in pattern.nodes.enumerated() where !node.name.isEmpty {
            guard let subject = subjects[index], seen.insert(node.name).inserted else { continue }
            result.append((node.name, subject))
        }
        return result
    }
}

extension BlockMatch {
    /// What the named nodes met, in the order in which they were first related.
    public var captures: [(name: String, subject: Subject)] {
        var seen: Set<String> = []
        var result: [(name: String, subject: Subject)] = []
        for (index, node) in nodes.enumerated() where !node.name.isEmpty && seen.insert(node.name).inserted {
            result.append((node.name, .bound(values[index])))
        }
        return result
    }

    /// The values of all nodes.
    public var assigned: [ValueID] { values }
}
