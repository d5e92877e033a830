import TenonIR

/// Puts activation functions that exporters write as arithmetic back together: sigmoid, hard-swish, hard-sigmoid, SiLU, Mish,
/// soft-plus, GELU (by erf and by tanh), ReLU, PReLU and leaky ReLU, ReLU6 and clip.
///
/// Products and quotients by constants are read as one product with one constant factor, so that order and spelling
/// (`x * 0.5 * e`, `x * (e / 2)`) do not matter. Constants are checked. Nothing is recomposed when a value in between has
/// another user or leaves its block.
public struct RecomposeActivations: BindingPass {
    public init() {}

    public var name: String { "RecomposeActivations" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let found) = call.callee else { return nil }
        let reader = Reader(transformer: transformer, uses: state)
        guard let made = try Self.recompose(found.name, call, reader) else { return nil }
        // A recomposed activation has the type of what it stands for, or the arithmetic was not what it seemed.
        let arguments = made.arguments
        let op = try Operators.require(made.op)
        let typed = try? Inference.call(
            op, arguments, made.attributes, types: arguments.map { transformer.type(of: $0) },
            constants: arguments.map { transformer.constant($0) })
        guard typed?.type == transformer.type(of: .value(binding.id)) else { return nil }
        let info = transformer.function.values[binding.id.int]
        let operand = try transformer.emit(made.op, arguments, made.attributes, name: info.name)
        state.setUses(of: operand, as: binding.id)
        return operand
    }

    struct Made {
        var op: String
        var arguments: [Operand]
        var attributes = Attributes()
    }

    private static func recompose(_ op: String, _ call: Call, _ reader: Reader) throws -> Made? {
        switch op {
        case "multiply", "divide": return product(call, op, reader) ?? logistic(call, op, reader)
        case "reciprocal": return logistic(call, op, reader)
        case "clip": return hardSigmoid(call, reader) ?? relu(call, op, reader)
        case "minimum", "maximum": return clip(call, op, reader) ?? relu(call, op, reader) ?? largest(call, op, reader)
        case "where": return choice(call, reader)
        case "add", "subtract": return leaky(call, op, reader) ?? stableSoftplus(call, op, reader)
        default: return nil
        }
    }

    // MARK: - Products

    private static func product(_ call: Call, _ op: String, _ reader: Reader) -> Made? {
        guard let product = reader.product(of: call, op) else { return nil }
        switch product.factors.count {
        case 1:
            // clip(x + 3, 0, 6) / 6
            guard isClose(product.constant, 1 / 6), let x = shiftedRelu6(product.factors[0], reader) else { return nil }
            return Made(
                op: "nn.hard_sigmoid", arguments: [x], attributes: ["alpha": .float(1 / 6), "beta": .float(0.5)])
        case 2:
            return pair(product.factors[0], product.factors[1], product.constant, reader)
                ?? pair(product.factors[1], product.factors[0], product.constant, reader)
        default: return nil
        }
    }

    /// x times a function of x.
    private static func pair(_ x: Operand, _ gate: Operand, _ constant: Double, _ reader: Reader) -> Made? {
        guard let (name, call) = reader.call(gate), reader.isSpent(gate) else { return nil }
        switch name {
        case "sigmoid":
            guard isClose(constant, 1), call.arguments[0] == x else { return nil }
            return Made(op: "nn.silu", arguments: [x])
        case "nn.hard_sigmoid":
            guard isClose(constant, 1), call.arguments[0] == x,
                isClose(call.attributes.float("alpha") ?? 0, 1 / 6), isClose(call.attributes.float("beta") ?? 0, 0.5)
            else { return nil }
            return Made(op: "nn.hard_swish", arguments: [x])
        case "clip", "nn.relu6":
            guard isClose(constant, 1 / 6), shiftedRelu6(gate, reader) == x else { return nil }
            return Made(op: "nn.hard_swish", arguments: [x])
        case "tanh":
            guard isClose(constant, 1), softplus(call.arguments[0], reader) == x else { return nil }
            return Made(op: "nn.mish", arguments: [x])
        case "add": return gelu(x, call, constant, reader)
        default: return nil
        }
    }

    /// x/2 · (1 + erf(x / √2)), or x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
    private static func gelu(_ x: Operand, _ sum: Call, _ constant: Double, _ reader: Reader) -> Made? {
        // x · (f/2 + 1/2) is the same.
        guard let (term, one) = reader.splitConstant(sum), isClose(constant * one, 0.5),
            let (curve, factor) = reader.scaled(term), isClose(factor, one),
            let (name, call) = reader.call(curve), reader.isSpent(curve)
        else { return nil }
        switch name {
        case "erf":
            guard let inside = reader.scaled(call.arguments[0]), inside.operand == x,
                isClose(inside.factor, 0.5.squareRoot())
            else { return nil }
            return Made(op: "nn.gelu", arguments: [x])
        case "tanh":
            guard let (product, inner) = reader.call(call.arguments[0]), reader.isSpent(call.arguments[0]) else {
                return nil
            }
            if product == "multiply", let inside = reader.product(of: inner, product), inside.factors.count == 2 {
                return factored(x, inside, reader) ? Made(op: "nn.gelu_tanh", arguments: [x]) : nil
            }
            guard let inside = reader.scaled(call.arguments[0]), isClose(inside.factor, (2 / Double.pi).squareRoot()),
                let (add, polynomial) = reader.call(inside.operand), add == "add", reader.isSpent(inside.operand)
            else { return nil }
            for position in 0...1 where polynomial.arguments[position] == x {
                guard let cubic = reader.power(polynomial.arguments[1 - position], of: x), cubic.exponent == 3,
                    isClose(cubic.factor, 0.044715)
                else { continue }
                return Made(op: "nn.gelu_tanh", arguments: [x])
            }
            return nil
        default: return nil
        }
    }

    /// x, when the operand is clip(x + 3, 0, 6).
    private static func shiftedRelu6(_ operand: Operand, _ reader: Reader) -> Operand? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        if name == "clip" {
            guard let (low, high) = reader.bounds(call), low == 0, isClose(high, 6) else { return nil }
        } else if name != "nn.relu6" {
            return nil
        }
        guard let (sum, inner) = reader.call(call.arguments[0]), sum == "add", reader.isSpent(call.arguments[0]),
            let (x, three) = reader.splitConstant(inner), isClose(three, 3)
        else { return nil }
        return x
    }

    /// √(2/π) · x · (1 + 0.044715 x²), the argument of the tanh factored.
    private static func factored(_ x: Operand, _ product: Reader.Product, _ reader: Reader) -> Bool {
        guard isClose(product.constant, (2 / Double.pi).squareRoot()) else { return false }
        for position in 0...1 where product.factors[position] == x {
            guard let (name, sum) = reader.call(product.factors[1 - position]), name == "add",
                reader.isSpent(product.factors[1 - position]), let (term, one) = reader.splitConstant(sum),
                isClose(one, 1), let square = reader.power(term, of: x), square.exponent == 2,
                isClose(square.factor, 0.044715)
            else { continue }
            return true
        }
        return false
    }

    // MARK: - Exponentials

    /// clip(αx + β, 0, 1)
    private static func hardSigmoid(_ call: Call, _ reader: Reader) -> Made? {
        guard let (low, high) = reader.bounds(call), low == 0, high == 1,
            let (sum, inner) = reader.call(call.arguments[0]), sum == "add", reader.isSpent(call.arguments[0]),
            let (line, beta) = reader.splitConstant(inner), let x = reader.scaled(line), x.operand != line
        else { return nil }
        return Made(
            op: "nn.hard_sigmoid", arguments: [x.operand],
            attributes: ["alpha": .float(x.factor), "beta": .float(beta)])
    }

    /// 1 / (1 + exp(-x)), and x over the same.
    private static func logistic(_ call: Call, _ op: String, _ reader: Reader) -> Made? {
        guard op != "multiply", let denominator = call.arguments.last, let (name, sum) = reader.call(denominator),
            name == "add", reader.isSpent(denominator), let (exponential, one) = reader.splitConstant(sum),
            isClose(one, 1), let exp = reader.inner(exponential, "exp"),
            let negated = reader.scaled(exp.arguments[0]), negated.operand != exp.arguments[0], negated.factor == -1
        else { return nil }
        let x = negated.operand
        if op == "divide" {
            if call.arguments[0] == x { return Made(op: "nn.silu", arguments: [x]) }
            guard let numerator = reader.number(call.arguments[0]), numerator == 1 else { return nil }
        }
        return Made(op: "sigmoid", arguments: [x])
    }

    /// u of log(1 + exp(u)), log1p(exp(u)) and softplus(u). The first two are infinite where exp is: alone they stay as they
    /// are.
    private static func softplus(_ operand: Operand, _ reader: Reader) -> Operand? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        switch name {
        case "nn.softplus": return call.attributes.float("beta") == 1 ? call.arguments[0] : nil
        case "log1p": return reader.inner(call.arguments[0], "exp")?.arguments[0]
        case "log":
            guard let sum = reader.inner(call.arguments[0], "add"), let (exponential, one) = reader.splitConstant(sum),
                isClose(one, 1)
            else { return nil }
            return reader.inner(exponential, "exp")?.arguments[0]
        default: return nil
        }
    }

    /// max(x, 0) + log(1 + exp(-|x|)), which does not overflow.
    private static func stableSoftplus(_ call: Call, _ op: String, _ reader: Reader) -> Made? {
        guard op == "add" else { return nil }
        for position in 0...1 {
            guard let relu = reader.inner(call.arguments[position], "nn.relu"),
                let rest = softplus(call.arguments[1 - position], reader), let negated = reader.scaled(rest),
                negated.factor == -1, let magnitude = reader.inner(negated.operand, "abs"),
                magnitude.arguments[0] == relu.arguments[0]
            else { continue }
            return Made(op: "nn.softplus", arguments: [relu.arguments[0]])
        }
        return nil
    }

    /// As close as six written digits of a constant are: 0.166667, 1.41421.
    static func isClose(_ value: Double, _ expected: Double) -> Bool { abs(value - expected) <= 3e-6 * abs(expected) }
}
