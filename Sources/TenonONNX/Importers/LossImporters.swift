import TenonIR

/// Losses, which models exported from training keep in their graph.
enum LossImporters {
    static let table: [String: OperatorImporter] = [
        "NegativeLogLikelihoodLoss": OperatorImporter(since: 12) { node in
            try node.requireInputs(2...3)
            return [.operand(try loss(node, of: try node.operand(0)))]
        },
        "SoftmaxCrossEntropyLoss": OperatorImporter(since: 12) { node in
            try node.requireInputs(2...3)
            let logarithms = try node.call("nn.log_softmax", [try node.operand(0)], ["axis": 1])
            return [.operand(try loss(node, of: logarithms)), .operand(logarithms)]
        },
    ]

    /// -x[n, target[n, …], …], weighted by class, without ignored targets, and reduced.
    private static func loss(_ node: Node, of x: Operand) throws -> Operand {
        let reduction = try node.string("reduction", "mean")
        guard ["none", "sum", "mean"].contains(reduction) else {
            throw node.error(.invalidArgument, "reduction is \(quoted(reduction))")
        }
        let ignored = try node.int("ignore_index")
        var target = try node.operand(1)
        var counts: Operand?
        if let ignored {
            let index = Operand.constant(
                try Constant.from(
                    doubles: [Double(ignored)], try node.type(1).dtype ?? .int64, []))
            counts = try node.call("not_equal", [target, index])
        }
        if let counts {
            let zeros = try node.scalar(0, like: target)
            target = try node.call("where", [counts, target, zeros])
        }
        let picked = try node.call(
            "gather_elements", [x, try node.call("expand_dims", [target], ["axis": .ints([1])])], ["axis": 1])
        var values = try node.call("negative", [try node.call("squeeze", [picked], ["axis": .ints([1])])])
        // Weights per element: the class's, and nothing for ignored ones.
        var weights: Operand? = node.has(2) ? try node.call("take", [try node.operand(2), target], ["axis": 0]) : nil
        if let counts {
            let ones = try weights ?? node.call("ones_like", [values])
            weights = try node.call("where", [counts, ones, try node.scalar(0, like: values)])
        }
        if let weights { values = try node.call("multiply", [values, weights]) }
        switch reduction {
        case "none": return values
        case "sum": return try node.call("sum", [values])
        default:
            guard let weights else { return try node.call("mean", [values]) }
            return try node.call("divide", [try node.call("sum", [values]), try node.call("sum", [weights])])
        }
    }
}
