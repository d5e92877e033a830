import TenonIR

/// Comparisons, logic, bits, choice and remainders.
enum ComparisonImporters {
    static let table: [String: OperatorImporter] = [
        "Equal": binary("equal"), "Less": binary("less"), "Greater": binary("greater"),
        "LessOrEqual": binary("less_equal"), "GreaterOrEqual": binary("greater_equal"),
        "And": binary("logical_and"), "Or": binary("logical_or"), "Xor": binary("logical_xor"),
        "Not": ArithmeticImporters.unary("logical_not", since: 1),
        "BitwiseAnd": binary("bitwise_and"), "BitwiseOr": binary("bitwise_or"), "BitwiseXor": binary("bitwise_xor"),
        "BitwiseNot": ArithmeticImporters.unary("bitwise_not"),
        "BitShift": OperatorImporter(since: 11) { node in
            let direction = try node.string("direction", "")
            guard direction == "LEFT" || direction == "RIGHT" else {
                throw node.error(.invalidArgument, "direction expects LEFT or RIGHT, found \(quoted(direction))")
            }
            try node.requireInputs(2...2)
            var count = try node.operand(1)
            // A negative count is as large as its bits say without a sign: everything is shifted out.
            if let dtype = try node.type(1).dtype, dtype.isSignedInteger {
                let isNegative = try node.call("less", [count, try node.scalar(0, like: count)])
                count = try node.call(
                    "where", [isNegative, try node.scalar(Double(dtype.byteCount * 8), like: count), count])
            }
            return try node.result(direction == "LEFT" ? "left_shift" : "right_shift", [try node.operand(0), count])
        },
        "Mod": OperatorImporter(since: 10) { node in try apply(node, try node.bool("fmod", false) ? "mod" : "floor_mod")
        },
        "IsNaN": ArithmeticImporters.unary("isnan", since: 9),
        "IsInf": OperatorImporter(since: 10) { node in
            try node.result(
                "isinf", [try ArithmeticImporters.single(node)],
                [
                    "detect_positive": .bool(try node.bool("detect_positive", true)),
                    "detect_negative": .bool(try node.bool("detect_negative", true)),
                ])
        },
        "Where": OperatorImporter(since: 9) { node in
            try node.requireInputs(3...3)
            return try node.result("where", try (0..<3).map { try node.operand($0) })
        },
    ]

    private static func binary(_ op: String) -> OperatorImporter {
        OperatorImporter(since: 7) { node in try apply(node, op) }
    }

    private static func apply(_ node: Node, _ op: String) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        return try node.result(op, [try node.operand(0), try node.operand(1)])
    }
}
