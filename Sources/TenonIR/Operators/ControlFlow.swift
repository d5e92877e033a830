/// Operators that call a function.
enum ControlFlowOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "loop",
            """
            (condition, state…, scan…) = body(i, condition, state…, captures…) for i = 0, 1, … while condition holds, \
            trip_count times at most: the last state, and each scan value of all iterations along a new first axis.
            """,
            inputs: [
                .init("body", .any), .init("trip_count"), .init("condition"), .init("state", .tuple),
                .init("captures", .tuple),
            ]
        ) { site in
            try ComparisonOperators.require(site, 1, "an integer tensor") { $0.isInteger }
            try ComparisonOperators.require(site, 2, "a bool tensor") { $0 == .bool }
            for index in 1...2 {
                if let count = try site.tensor(index).elementCount, count != 1 {
                    throw site.inputError(index, expects: "one value")
                }
            }
            // The body's type stands in the module, and how often it runs in the data.
            return .object
        }
    ]
}
