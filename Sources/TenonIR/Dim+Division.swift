/// Quotients and remainders of dimensions. Division by a number above 0 always has a form; by an expression it has one where
/// the expression cannot be negative.
extension Dim {
    /// ⌊a / divisor⌋ for a divisor above zero, or nil.
    public static func floorDividing(_ a: Dim, by divisor: Int64) -> Dim? {
        guard divisor > 0 else { return nil }
        if divisor == 1 { return a }
        switch a {
        case .fixed(let value):
            let quotient = value / divisor
            return .fixed(value % divisor < 0 ? quotient - 1 : quotient)
        case .symbolic(let expression):
            // What the divisor divides moves out, so that (2n + 4) / 2 is n + 2.
            var outside: [DimExpression.Term] = []
            var inside: [DimExpression.Term] = []
            for term in expression.terms {
                if term.coefficient % divisor == 0 {
                    outside.append(.init(coefficient: term.coefficient / divisor, factors: term.factors))
                } else {
                    inside.append(term)
                }
            }
            var constantOut = expression.constant / divisor
            var rest = expression.constant % divisor
            if rest < 0 {
                rest += divisor
                constantOut -= 1
            }
            if inside.isEmpty { return DimExpression.normalised(outside, constantOut) }
            var divided = DimExpression(terms: inside, constant: rest)
            var divisor = divisor
            // ⌊(⌊x / a⌋ + c) / b⌋ is ⌊(x + a × c) / (a × b)⌋, so that a chain of strides does not nest.
            if inside.count == 1, inside[0].coefficient == 1, inside[0].factors.count == 1,
                case .floorDivide(let inner, let first) = inside[0].factors[0]
            {
                let (product, overflow) = first.multipliedReportingOverflow(by: divisor)
                guard !overflow, let shift = multiplying(.fixed(rest), .fixed(first)),
                    case .symbolic(let moved)? = adding(.symbolic(inner), shift)
                else { return nil }
                (divided, divisor) = (moved, product)
            }
            guard divided.size <= DimExpression.maximumSize else { return nil }
            outside.append(.init(coefficient: 1, factors: [.floorDivide(divided, divisor)]))
            return DimExpression.normalised(outside, constantOut)
        }
    }

    /// ⌊a / b⌋, or nil: on overflow, for a b that is 0, and for an expression b whose sign is not known.
    public static func floorDividing(_ a: Dim, by b: Dim) -> Dim? {
        if let divisor = b.value {
            if divisor > 0 { return floorDividing(a, by: divisor) }
            guard divisor < 0, divisor != .min, let opposite = negating(a) else { return nil }
            return floorDividing(opposite, by: -divisor)
        }
        if a == 0 { return 0 }
        if let exact = dividingExactly(a, by: b) { return exact }
        guard b.isNonNegative, a.expression.size + b.expression.size <= DimExpression.maximumSize else { return nil }
        return Dim(.quotient(a.expression, b.expression))
    }

    /// a / b cut towards 0, as C and ONNX's Div, or nil.
    public static func truncatedDividing(_ a: Dim, by b: Dim) -> Dim? {
        if case .fixed(let x) = a, case .fixed(let y) = b {
            if y == 0 { return nil }
            let (quotient, overflow) = x.dividedReportingOverflow(by: y)
            return overflow ? nil : .fixed(quotient)
        }
        if let divisor = b.value, divisor < 0 {
            guard divisor != .min, let opposite = negating(a) else { return nil }
            return truncatedDividing(opposite, by: .fixed(-divisor))
        }
        if let exact = dividingExactly(a, by: b) { return exact }
        if a.isNonNegative { return floorDividing(a, by: b) }
        guard let opposite = negating(a) else { return nil }
        if opposite.isNonNegative { return floorDividing(opposite, by: b).flatMap(negating) }
        guard let positive = maximum(a, 0).flatMap({ floorDividing($0, by: b) }),
            let negative = maximum(opposite, 0).flatMap({ floorDividing($0, by: b) })
        else { return nil }
        return subtracting(positive, negative)
    }

    /// The remainder with the divisor's sign, as Python's, or nil.
    public static func floorRemainder(_ a: Dim, by b: Dim) -> Dim? {
        floorDividing(a, by: b).flatMap { multiplying($0, b) }.flatMap { subtracting(a, $0) }
    }

    /// The remainder with the dividend's sign, as C's, or nil.
    public static func truncatedRemainder(_ a: Dim, by b: Dim) -> Dim? {
        truncatedDividing(a, by: b).flatMap { multiplying($0, b) }.flatMap { subtracting(a, $0) }
    }

    /// a / b where b divides a as a polynomial, so that the quotient is one wherever b is not 0; else nil.
    public static func dividingExactly(_ a: Dim, by b: Dim) -> Dim? {
        if a == b, b != 0 { return 1 }
        let divisor = Monomial.list(b.expression)
        guard let leading = divisor.first else { return nil }
        var rest = a
        var quotient: Dim = 0
        // Each turn removes the leading term, so the number of turns is bounded by what can come up.
        for _ in 0..<64 {
            guard rest != 0 else { return quotient }
            guard let first = Monomial.list(rest.expression).first, let part = first.divided(by: leading),
                let removed = multiplying(part, b), let left = subtracting(rest, removed),
                let sum = adding(quotient, part)
            else { return nil }
            (rest, quotient) = (left, sum)
        }
        return nil
    }

    /// A term with the keys that put terms in an order which products keep: by degree, then by factors.
    private struct Monomial {
        let term: DimExpression.Term
        let keys: [String]

        static func list(_ expression: DimExpression) -> [Monomial] {
            var list = expression.terms.map { term in
                let factors = term.factors.map { (key: $0.sortKey, factor: $0) }.sorted { $0.key < $1.key }
                return Monomial(
                    term: .init(coefficient: term.coefficient, factors: factors.map(\.factor)),
                    keys: factors.map(\.key))
            }
            if expression.constant != 0 {
                list.append(Monomial(term: .init(coefficient: expression.constant, factors: []), keys: []))
            }
            return list.sorted { $0.leads($1) }
        }

        private func leads(_ other: Monomial) -> Bool {
            keys.count != other.keys.count
                ? keys.count > other.keys.count : keys.lexicographicallyPrecedes(other.keys)
        }

        func divided(by other: Monomial) -> Dim? {
            let (quotient, remainder) = term.coefficient.quotientAndRemainder(dividingBy: other.term.coefficient)
            guard remainder == 0, !(term.coefficient == .min && other.term.coefficient == -1) else { return nil }
            var factors = term.factors
            for factor in other.term.factors {
                guard let index = factors.firstIndex(of: factor) else { return nil }
                factors.remove(at: index)
            }
            return DimExpression.normalised([.init(coefficient: quotient, factors: factors)], 0).flatMap {
                factors.isEmpty ? .fixed(quotient) : $0
            }
        }
    }
}
