import TenonIR

/// Element-wise functions of one and two tensors, with NumPy's broadcasting.
enum ArithmeticImporters {
    static let table: [String: OperatorImporter] = [
        "Add": binary("add"), "Sub": binary("subtract"), "Mul": binary("multiply"), "Div": binary("divide"),
        "Pow": OperatorImporter(since: 1, power),
        "Min": variadic("minimum"), "Max": variadic("maximum"), "Sum": variadic("add"),
        "Mean": OperatorImporter(since: 6) { node in
            let total = try chain(node, "add")
            return try node.result("divide", [total, try node.scalar(Double(node.inputCount), like: total)])
        },
        "Abs": unary("abs"), "Neg": unary("negative"), "Exp": unary("exp"), "Log": unary("log"), "Sqrt": unary("sqrt"),
        "Erf": unary("erf"), "Floor": unary("floor"), "Ceil": unary("ceil"), "Round": unary("round"),
        "Sign": unary("sign"), "Sin": unary("sin"), "Cos": unary("cos"),
        "Tan": unary("tan"), "Asin": unary("asin"), "Acos": unary("acos"), "Atan": unary("atan"), "Sinh": unary("sinh"),
        "Cosh": unary("cosh"), "Asinh": unary("asinh"), "Acosh": unary("acosh"), "Atanh": unary("atanh"),
        "Reciprocal": unary("reciprocal"),
    ]

    static func unary(_ op: String, since: Int64 = 6) -> OperatorImporter {
        OperatorImporter(since: since) { node in try node.result(op, [try single(node)]) }
    }

    /// The only input.
    static func single(_ node: Node) throws -> Operand {
        try node.requireInputs(1...1)
        return try node.operand(0)
    }

    private static func binary(_ op: String) -> OperatorImporter {
        OperatorImporter(since: 6) { node in
            try node.requireInputs(2...2)
            return try node.result(op, [try node.operand(0), try second(node)])
        }
    }

    /// The second operand; before opset 7 it broadcasts only when told to, from dimension `axis` of the first one on.
    static func second(_ node: Node) throws -> Operand {
        let b = try node.operand(1)
        guard node.opset < 7 else { return b }
        guard try node.bool("broadcast", false) else {
            let types = (try node.type(0), try node.type(1))
            guard try node.int("axis") == nil, types.0.staticShape == types.1.staticShape else {
                throw node.error(
                    .invalidShape, "expected equal shapes without broadcast, found \(types.0) and \(types.1)")
            }
            return b
        }
        let (rank, shape) = (try node.rank(0), try node.shape(1))
        guard let given = try node.int("axis") else { return b }
        let missing = rank - (try node.axis(given, rank: rank)) - shape.count
        guard missing >= 0 else {
            throw node.error(
                .invalidShape, "\(try node.type(1)) does not fit \(try node.type(0)) from axis \(given) on")
        }
        return try node.reshape(b, shape + [Dim](repeating: 1, count: missing))
    }

    /// One input gives itself, several are combined from the left.
    private static func variadic(_ op: String) -> OperatorImporter {
        OperatorImporter(since: 6) { node in [.operand(try chain(node, op))] }
    }

    private static func chain(_ node: Node, _ op: String) throws -> Operand {
        guard node.inputCount > 0 else { throw node.error(.invalidGraph, "expected at least 1 input") }
        var result = try node.operand(0)
        for index in 1..<max(node.inputCount, 1) { result = try node.call(op, [result, try node.operand(index)]) }
        return result
    }

    private static func power(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        let base = try node.operand(0)
        var exponent = try second(node)
        // The exponent may have a type of its own (opset 12).
        if let dtype = try node.type(of: base).dtype, let own = try node.type(of: exponent).dtype, own != dtype {
            if dtype.isInteger, own.isFloatingPoint,
                exponent.constant?.doubleElements?.allSatisfy({ $0 == $0.rounded() && abs($0) < 128 }) != true
            {
                // Roots of integers are taken as NumPy takes them, in double precision.
                let power = try node.call(
                    "power", [try node.cast(base, .float64), try node.cast(exponent, .float64)])
                return [.operand(try node.cast(power, dtype))]
            }
            if let constant = exponent.constant, let values = constant.doubleElements {
                exponent = .constant(try Constant.from(doubles: values, dtype, constant.shape))
            } else {
                exponent = try node.call("astype", [exponent], ["dtype": .dtype(dtype)])
            }
        }
        return try node.result("power", [base, exponent])
    }
}
