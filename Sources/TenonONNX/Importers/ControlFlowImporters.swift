import TenonIR

/// Branches whose condition is known while importing; only the one that runs is imported.
enum ControlFlowImporters {
    static let table: [String: OperatorImporter] = [
        "If": OperatorImporter { node in
            try node.requireInputs(1...1)
            let branches = (try node.attribute("then_branch", .graph), try node.attribute("else_branch", .graph))
            guard let condition = try node.constant(0) else {
                throw node.unsupported("a condition that is not known while importing")
            }
            guard condition.count == 1, let value = condition.double(at: 0) else {
                throw node.error(.invalidShape, "the condition expects one value, found \(condition.type)")
            }
            guard let branch = value != 0 ? branches.0 : branches.1 else {
                throw node.error(.invalidArgument, "attribute '\(value != 0 ? "then" : "else")_branch' is missing")
            }
            return try node.graph.expand(branch.g)
        }
    ]
}
