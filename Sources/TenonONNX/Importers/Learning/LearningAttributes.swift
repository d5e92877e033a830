import TenonIR

/// What the operators of ai.onnx.ml have in common.
extension Node {
    func strings(_ name: String) throws -> [String]? {
        try attribute(name, .strings)?.strings.map { String(decoding: $0, as: UTF8.self) }
    }

    /// Numbers of an attribute, or of the tensor that a later version has for doubles.
    func numbers(_ name: String) throws -> [Double]? {
        if let tensor = try tensor(name + "_as_tensor") {
            guard let values = tensor.doubleElements else {
                throw error(.invalidArgument, "attribute '\(name)_as_tensor' expects numbers, found \(tensor.type)")
            }
            return values
        }
        return try floats(name)
    }

    /// Input `index` in single or double precision.
    func features(_ index: Int) throws -> Operand {
        let x = try operand(index)
        return try type(of: x).dtype == .float64 ? x : try cast(x, .float32)
    }

    /// A matrix; a vector counts as one of one row.
    func rows(_ operand: Operand) throws -> Operand {
        guard let shape = try type(of: operand).shape, shape.count == 1 else { return operand }
        return try reshape(operand, [1, shape[0]])
    }

    /// A constant in the element type of an operand.
    func floats(_ values: [Double], _ shape: [Int], like operand: Operand) throws -> Operand {
        .constant(try Constant.from(doubles: values, try type(of: operand).dtype ?? .float32, shape.map(Int64.init)))
    }

    /// The number of columns of a matrix.
    func columns(_ operand: Operand) throws -> Int {
        guard let size = try type(of: operand).shape?.last?.value, size < 1 << 31 else {
            throw unsupported("a number of columns that is not known")
        }
        return Int(size)
    }

    func sum(_ x: Operand) throws -> Operand { try call("sum", [x], ["axis": .ints([-1]), "keepdims": .bool(true)]) }
    func largest(_ x: Operand) throws -> Operand {
        try call("max", [x], ["axis": .ints([-1]), "keepdims": .bool(true)])
    }

    func add(_ a: Operand, _ b: Operand) throws -> Operand { try call("add", [a, b]) }
    func multiply(_ a: Operand, _ b: Operand) throws -> Operand { try call("multiply", [a, b]) }
    func divide(_ a: Operand, _ b: Operand) throws -> Operand { try call("divide", [a, b]) }
    func select(_ condition: Operand, _ yes: Operand, _ no: Operand) throws -> Operand {
        try call("where", [condition, yes, no])
    }
}

/// The labels of a classifier.
struct ClassLabels {
    var values: Constant
    var count: Int { values.count }

    /// From two attributes of which one is given.
    init?(_ node: Node, ints: String, strings: String) throws {
        let numbers = try node.ints(ints) ?? []
        let texts = try node.strings(strings) ?? []
        if !texts.isEmpty {
            values = try Constant(shape: [Int64(texts.count)], strings: texts)
        } else if !numbers.isEmpty {
            values = try Constant.ints([Int64(numbers.count)], numbers)
        } else {
            return nil
        }
    }

    /// The label of each index; of texts the index itself, and beside it what it stands for.
    func pick(_ indices: Operand, _ node: Node) throws -> Operand {
        if values.dtype == .string {
            if let name = node.proto.output.first { node.graph.textValues[name] = values.strings }
            return try node.cast(indices, .int64)
        }
        return try node.call("take", [.constant(values), indices], ["axis": .int(0)])
    }

    /// The label with the highest score.
    func best(_ scores: Operand, _ node: Node) throws -> Operand {
        try pick(try node.call("argmax", [scores], ["axis": .int(1), "keepdims": .bool(false)]), node)
    }
}

/// What a classifier or regressor does to its scores [n, classes] at the end.
enum PostTransform {
    static func apply(_ mode: String, to scores: Operand, _ node: Node) throws -> Operand {
        switch mode {
        case "NONE": return scores
        case "LOGISTIC": return try node.call("sigmoid", [scores])
        case "SOFTMAX": return try node.call("nn.softmax", [scores], ["axis": .int(1)])
        case "SOFTMAX_ZERO": return try softmaxZero(scores, node)
        case "PROBIT": return try probit(scores, node)
        default: throw node.error(.invalidArgument, "attribute 'post_transform' is \(quoted(mode))")
        }
    }

    /// Softmax in which a score of 0 stays about 0.
    private static func softmaxZero(_ scores: Operand, _ node: Node) throws -> Operand {
        func number(_ value: Double) throws -> Operand { try node.scalar(value, like: scores) }
        let largest = try node.largest(scores)
        let power = try node.call("exp", [try node.call("subtract", [scores, largest])])
        let small = try node.multiply(scores, try node.call("exp", [try node.call("negative", [largest])]))
        let isLarge = try node.call("greater", [try node.call("abs", [scores]), try number(1e-7)])
        let shares = try node.select(isLarge, power, small)
        let sum = try node.sum(shares)
        let isNothing = try node.call("equal", [sum, try number(0)])
        return try node.select(isNothing, try number(0.5), try node.divide(shares, sum))
    }

    /// √2 · erfinv(2p - 1), by Winitzki's approximation.
    private static func probit(_ scores: Operand, _ node: Node) throws -> Operand {
        func number(_ value: Double) throws -> Operand { try node.scalar(value, like: scores) }
        let x = try node.add(try node.multiply(scores, try number(2)), try number(-1))
        let inside = try node.call("subtract", [try number(1), try node.multiply(x, x)])
        let log = try node.call("log", [inside])
        let v = try node.add(try node.multiply(log, try number(0.5)), try number(2 / (Double.pi * 0.147)))
        let v2 = try node.multiply(log, try number(1 / 0.147))
        let root = try node.call("sqrt", [try node.call("subtract", [try node.multiply(v, v), v2])])
        let size = try node.call("sqrt", [try node.call("subtract", [root, v])])
        return try node.multiply(try node.multiply(try node.call("sign", [x]), size), try number(1.41421356))
    }
}
