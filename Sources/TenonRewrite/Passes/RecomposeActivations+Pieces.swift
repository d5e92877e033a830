import TenonIR

/// Activations made of straight pieces: ReLU, leaky ReLU, PReLU, clip.
extension RecomposeActivations {
    /// min(max(x, a), b), also where the inner one is a ReLU.
    static func clip(_ call: Call, _ op: String, _ reader: Reader) -> Made? {
        guard let (inner, outerBound) = reader.splitConstant(call), let (name, innerCall) = reader.call(inner),
            reader.isSpent(inner)
        else { return nil }
        let x: Operand
        let innerBound: Double
        switch name {
        case "nn.relu" where op == "minimum": (x, innerBound) = (innerCall.arguments[0], 0)
        case "maximum" where op == "minimum", "minimum" where op == "maximum":
            guard let split = reader.splitConstant(innerCall) else { return nil }
            (x, innerBound) = split
        default: return nil
        }
        let (low, high) = op == "minimum" ? (innerBound, outerBound) : (outerBound, innerBound)
        guard low <= high else { return nil }
        return Made(op: "clip", arguments: [x, .float(low), .float(high)])
    }

    /// max(x, 0), clip(x, 0, ∞)
    static func relu(_ call: Call, _ op: String, _ reader: Reader) -> Made? {
        if op == "clip" {
            guard let (low, high) = reader.bounds(call), low == 0, high >= Double(Float.greatestFiniteMagnitude) else {
                return nil
            }
            return Made(op: "nn.relu", arguments: [call.arguments[0]])
        }
        guard op == "maximum", let (x, bound) = reader.splitConstant(call), bound == 0 else { return nil }
        return Made(op: "nn.relu", arguments: [x])
    }

    /// max(x, s·x) with a slope above 0 and up to 1.
    static func largest(_ call: Call, _ op: String, _ reader: Reader) -> Made? {
        guard op == "maximum", call.arguments.count == 2 else { return nil }
        for position in 0...1 {
            let x = call.arguments[position]
            guard call.arguments[1 - position] != x, let line = reader.scaled(call.arguments[1 - position]),
                line.operand == x, line.factor > 0, line.factor <= 1
            else { continue }
            return Made(op: "nn.leakyrelu", arguments: [x], attributes: ["alpha": .float(line.factor)])
        }
        return nil
    }

    /// where(x > 0, x, s·x), where(x < 0, s·x, x) and the same with ≥ and ≤, s a number or a tensor; 0 for ReLU.
    static func choice(_ call: Call, _ reader: Reader) -> Made? {
        guard call.arguments.count == 3, let (comparison, sides) = reader.call(call.arguments[0]),
            reader.isSpent(call.arguments[0]), sides.arguments.count == 2
        else { return nil }
        var isAbove: Bool
        switch comparison {
        case "greater", "greater_equal": isAbove = true
        case "less", "less_equal": isAbove = false
        default: return nil
        }
        var x = sides.arguments[0]
        var bound = sides.arguments[1]
        if reader.number(x) != nil { (x, bound, isAbove) = (bound, x, !isAbove) }
        guard reader.number(bound) == 0 else { return nil }
        let (positive, negative) = (call.arguments[isAbove ? 1 : 2], call.arguments[isAbove ? 2 : 1])
        guard positive == x else { return nil }
        // NaN compares with nothing and takes the last operand; it must stay NaN.
        if reader.number(negative) == 0 { return isAbove ? nil : Made(op: "nn.relu", arguments: [x]) }
        for (slope, other) in reader.slopes(negative) where other == x {
            switch slope {
            case .number(let value):
                return Made(op: "nn.leakyrelu", arguments: [x], attributes: ["alpha": .float(value)])
            case .tensor(let operand, let scale):
                if scale == 1 { return Made(op: "nn.prelu", arguments: [x, operand]) }
            }
        }
        return nil
    }

    /// relu(x) - slope · relu(-x), relu(x) + slope · min(x, 0), relu(x) + slope · (x - |x|) / 2.
    static func leaky(_ call: Call, _ op: String, _ reader: Reader) -> Made? {
        for position in op == "add" ? 0...1 : 0...0 {
            guard let relu = reader.inner(call.arguments[position], "nn.relu") else { continue }
            let x = relu.arguments[0]
            for (slope, part) in reader.slopes(call.arguments[1 - position]) {
                guard let share = share(ofNegativePart: part, x, reader) else { continue }
                // What is added must be slope · min(x, 0).
                let factor = (op == "subtract" ? -1.0 : 1.0) * share
                switch slope {
                case .number(let value):
                    return Made(op: "nn.leakyrelu", arguments: [x], attributes: ["alpha": .float(value * factor)])
                case .tensor(let operand, let scale):
                    if scale * factor == 1 { return Made(op: "nn.prelu", arguments: [x, operand]) }
                }
            }
        }
        return nil
    }

    /// How many times min(x, 0) an operand is: 1 for min(x, 0) itself, -1 for relu(-x), 2 for x - |x|; nil for all else.
    private static func share(ofNegativePart operand: Operand, _ x: Operand, _ reader: Reader) -> Double? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        switch name {
        case "nn.relu":
            guard let negated = reader.scaled(call.arguments[0]), negated.operand == x, negated.factor == -1 else {
                return nil
            }
            return -1
        case "minimum":
            guard let (inner, bound) = reader.splitConstant(call), bound == 0, inner == x else { return nil }
            return 1
        case "clip":
            guard let (low, high) = reader.bounds(call), low <= -Double(Float.greatestFiniteMagnitude), high == 0,
                call.arguments[0] == x
            else { return nil }
            return 1
        case "subtract":
            guard call.arguments[0] == x, let magnitude = reader.inner(call.arguments[1], "abs"),
                magnitude.arguments[0] == x
            else { return nil }
            return 2
        default: return nil
        }
    }
}
