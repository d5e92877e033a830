/// Comparisons, logic, bits and choice.
enum ComparisonOperators {
    static let schemas: [OperatorSchema] =
        comparisons + logic + bits + [
            OperatorSchema(
                "where", "a where condition holds, else b; all three broadcast.",
                inputs: [.init("condition"), .init("a"), .init("b")], infer: choice)
        ]

    private static let comparisons: [OperatorSchema] = [
        comparison("equal", "a = b with broadcasting.", commutative: true),
        comparison("not_equal", "a ≠ b with broadcasting; true if either is NaN.", commutative: true),
        comparison("less", "a < b with broadcasting; false if either is NaN."),
        comparison("less_equal", "a ≤ b with broadcasting; false if either is NaN."),
        comparison("greater", "a > b with broadcasting; false if either is NaN."),
        comparison("greater_equal", "a ≥ b with broadcasting; false if either is NaN."),
        test("isnan", "Whether x is not a number."),
        test("isfinite", "Whether x is neither infinite nor NaN."),
        test(
            "isinf", "Whether x is infinite, of a sign that is asked for.",
            attributes: [.defaulted("detect_positive", true), .defaulted("detect_negative", true)]),
    ]

    private static let logic: [OperatorSchema] = [
        logical("logical_and", "Both hold, with broadcasting."),
        logical("logical_or", "One holds at least, with broadcasting."),
        logical("logical_xor", "Exactly one holds, with broadcasting."),
        OperatorSchema("logical_not", "x does not hold.", inputs: [.init("x")]) { site in
            try require(site, 0, "bool") { $0 == .bool }
            return .tensor(try site.tensor(0))
        },
    ]

    private static let bits: [OperatorSchema] = [
        bitwise("bitwise_and", "The bits that both have, with broadcasting.", commutative: true),
        bitwise("bitwise_or", "The bits that one has at least, with broadcasting.", commutative: true),
        bitwise("bitwise_xor", "The bits that exactly one has, with broadcasting.", commutative: true),
        bitwise("left_shift", "a × 2^b without the bits that do not fit, with broadcasting."),
        bitwise("right_shift", "⌊a / 2^b⌋ with broadcasting."),
        OperatorSchema("bitwise_not", "Every bit of x the other way.", inputs: [.init("x")]) { site in
            try require(site, 0, "an integer or bool tensor") { $0.isInteger || $0 == .bool }
            return .tensor(try site.tensor(0))
        },
    ]

    private static func comparison(_ name: String, _ summary: String, commutative: Bool = false) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("a"), .init("b")], commutative: commutative) { site in
            _ = try site.sameDType(0, 1)
            return try Broadcast.type(site, 0, 1, dtype: .bool)
        }
    }

    private static func test(
        _ name: String, _ summary: String, attributes: [OperatorSchema.Attribute] = []
    ) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("x")], attributes: attributes) { site in
            var type = try site.tensor(0)
            type.dtype = .bool
            return .tensor(type)
        }
    }

    private static func logical(_ name: String, _ summary: String) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("a"), .init("b")], commutative: true) { site in
            for index in 0...1 { try require(site, index, "a bool tensor") { $0 == .bool } }
            return try Broadcast.type(site, 0, 1, dtype: .bool)
        }
    }

    private static func bitwise(_ name: String, _ summary: String, commutative: Bool = false) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("a"), .init("b")], commutative: commutative) { site in
            try require(site, 0, "an integer or bool tensor") { $0.isInteger || $0 == .bool }
            return try Broadcast.type(site, 0, 1, dtype: try site.sameDType(0, 1))
        }
    }

    /// Checks the element type of an input where it is known.
    static func require(
        _ site: CallSite, _ index: Int, _ expectation: String, _ fits: (DataType) -> Bool
    ) throws {
        if let dtype = try site.tensor(index).dtype, !fits(dtype) {
            throw site.inputError(index, .invalidType, expects: expectation)
        }
    }

    private static func choice(_ site: CallSite) throws -> ValueType {
        try require(site, 0, "a bool tensor") { $0 == .bool }
        let values = try Broadcast.type(site, 1, 2, dtype: try site.sameDType(1, 2))
        let condition = try site.tensor(0)
        guard let type = values.asTensor, let p = condition.shape, let q = type.shape else {
            let rank = condition.rank.flatMap { r in values.asTensor?.rank.map { max(r, $0) } }
            return .tensor(TensorType(dtype: values.asTensor?.dtype, rank: rank))
        }
        guard let shape = Broadcast.shape(p, q) else {
            throw site.inputError(0, expects: "a shape that broadcasts with \(type)")
        }
        return .tensor(TensorType(type.dtype, shape))
    }
}
