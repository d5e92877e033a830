import TenonIR

/// How often each value of a function is mentioned; the result counts as one mention each.
struct UseCounts {
    private var uses: [Int32]

    init(_ function: Function) {
        var uses = [Int32](repeating: 0, count: function.values.count)
        function.body.forEachValue { uses[$0.int] += 1 }
        self.uses = uses
    }

    /// Values made by the pass itself have one user.
    func count(_ id: ValueID) -> Int32 { uses.indices.contains(id.int) ? uses[id.int] : 1 }

    /// A new value that takes the place of an old one has its users.
    mutating func setUses(of operand: Operand, as old: ValueID) {
        guard case .value(let id) = operand, uses.indices.contains(old.int) else { return }
        while uses.count <= id.int { uses.append(1) }
        uses[id.int] = uses[old.int]
    }

    /// An older value that takes the place of `binding` has its users besides its own.
    mutating func addUses(of operand: Operand, as binding: Binding) {
        guard case .value(let id) = operand, uses.indices.contains(id.int), uses.indices.contains(binding.id.int) else {
            return
        }
        uses[id.int] &+= uses[binding.id.int]
        binding.expression.forEachValue { if $0 == id { uses[id.int] &-= 1 } }
    }
}

/// Reads arithmetic off bindings, whatever order and spelling it has.
struct Reader {
    /// Powers above are no part of anything that is recognised, and their sums do not overflow.
    static let exponentLimit = 64.0

    let transformer: BindingTransformer
    let uses: UseCounts

    /// A product or quotient as factors that are not constant and one constant.
    struct Product {
        var factors: [Operand]
        var constant: Double
    }

    /// The operator call that an operand names.
    func call(_ operand: Operand) -> (name: String, call: Call)? {
        transformer.call(operand).map { ($0.op.name, $0.call) }
    }

    /// Nothing else sees the value.
    func isSpent(_ operand: Operand) -> Bool {
        guard case .value(let id) = operand else { return false }
        return transformer.function.values[id.int].isDataflow && uses.count(id) == 1
    }

    /// The call that a value used once is, when it is of that operator.
    func inner(_ operand: Operand, _ name: String) -> Call? {
        guard let (found, call) = call(operand), found == name, isSpent(operand) else { return nil }
        return call
    }

    /// The number that every element of a constant of one element is.
    func number(_ operand: Operand) -> Double? {
        switch operand {
        case .int(let value): return Double(value)
        case .float(let value): return value
        default:
            guard let constant = transformer.constant(operand), constant.count == 1, constant.dtype.isFloatingPoint
            else {
                return nil
            }
            return constant.double(at: 0)
        }
    }

    /// The operand that is no number, and the number, of a call with one of each. For `add`, `multiply`, `minimum`, …
    func splitConstant(_ call: Call) -> (operand: Operand, number: Double)? {
        guard call.arguments.count == 2 else { return nil }
        if let value = number(call.arguments[1]) { return (call.arguments[0], value) }
        if let value = number(call.arguments[0]) { return (call.arguments[1], value) }
        return nil
    }

    func bounds(_ call: Call) -> (low: Double, high: Double)? {
        guard call.arguments.count == 3, let low = number(call.arguments[1]), let high = number(call.arguments[2])
        else {
            return nil
        }
        return (low, high)
    }

    /// Factors of a multiplication or division, through inner ones that nothing else uses.
    func product(of call: Call, _ op: String) -> Product? {
        var product = Product(factors: [], constant: 1)
        guard collect(call, op, inverted: false, &product, depth: 0), product.constant.isFinite else { return nil }
        return product
    }

    private func collect(_ call: Call, _ op: String, inverted: Bool, _ product: inout Product, depth: Int) -> Bool {
        guard call.arguments.count == 2 else { return false }
        for (position, operand) in call.arguments.enumerated() {
            let inverted = op == "divide" && position == 1 ? !inverted : inverted
            if let value = number(operand) {
                product.constant = inverted ? product.constant / value : product.constant * value
                // Factors that cancel each other may overflow in between.
                guard product.constant == 0 || (0x1p-60...0x1p60).contains(abs(product.constant)) else { return false }
            } else if depth < 6, let (name, inner) = self.call(operand), name == "multiply" || name == "divide",
                isSpent(operand)
            {
                guard collect(inner, name, inverted: inverted, &product, depth: depth + 1) else { return false }
            } else {
                // A quotient by a value is no product of values.
                if inverted { return false }
                product.factors.append(operand)
            }
        }
        return true
    }

    /// An operand as factor times another; the factor is 1 when it is no product.
    func scaled(_ operand: Operand) -> (operand: Operand, factor: Double)? {
        guard let (name, call) = call(operand), isSpent(operand) else { return (operand, 1) }
        if name == "negative" { return (call.arguments[0], -1) }
        guard name == "multiply" || name == "divide", let product = product(of: call, name), product.factors.count == 1
        else { return (operand, 1) }
        return (product.factors[0], product.constant)
    }

    /// factor · x^exponent, for products of x with itself and integer powers.
    func power(_ operand: Operand, of x: Operand) -> (factor: Double, exponent: Int)? {
        if operand == x { return (1, 1) }
        guard let (name, call) = call(operand), isSpent(operand) else { return nil }
        switch name {
        case "power":
            guard call.arguments[0] == x, let exponent = number(call.arguments[1]),
                abs(exponent) <= Reader.exponentLimit,
                let whole = Int(exactly: exponent)
            else { return nil }
            return (1, whole)
        case "square": return call.arguments[0] == x ? (1, 2) : nil
        case "multiply", "divide":
            guard let product = product(of: call, name) else { return nil }
            var exponent = 0
            var factor = product.constant
            for part in product.factors {
                guard let power = power(part, of: x) else { return nil }
                exponent += power.exponent
                factor *= power.factor
                guard abs(exponent) <= Int(Reader.exponentLimit) else { return nil }
            }
            return (factor, exponent)
        default: return nil
        }
    }

    enum Slope {
        case number(Double)
        case tensor(Operand, scale: Double)

        var negated: Slope {
            switch self {
            case .number(let value): .number(-value)
            case .tensor(let operand, let scale): .tensor(operand, scale: -scale)
            }
        }
    }

    /// The ways to read a product as a slope and something else that is computed.
    func slopes(_ operand: Operand) -> [(slope: Slope, other: Operand)] {
        guard let (name, call) = call(operand), isSpent(operand) else { return [] }
        if name == "negative" { return slopes(call.arguments[0]).map { ($0.slope.negated, $0.other) } }
        guard name == "multiply" || name == "divide", let product = product(of: call, name) else { return [] }
        switch product.factors.count {
        case 1: return [(.number(product.constant), product.factors[0])]
        case 2:
            return [1, 0].map { position in
                (.tensor(product.factors[1 - position], scale: product.constant), product.factors[position])
            }
        default: return []
        }
    }
}
