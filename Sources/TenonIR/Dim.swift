/// One dimension of a tensor, or one entry of a shape: a number, or an integer expression over named symbols.
public enum Dim: Hashable, Sendable {
    case fixed(Int64)
    case symbolic(DimExpression)

    @inlinable public var value: Int64? {
        if case .fixed(let value) = self { return value }
        return nil
    }

    public static func symbol(_ name: String) -> Dim {
        .symbolic(DimExpression(terms: [.init(coefficient: 1, factors: [.symbol(name)])], constant: 0))
    }

    public var isFixed: Bool { value != nil }

    /// Names of the symbols that occur, in order of first occurrence.
    public var symbols: [String] {
        guard case .symbolic(let expression) = self else { return [] }
        var names: [String] = []
        expression.collectSymbols(into: &names)
        return names
    }
}

/// A polynomial with integer coefficients over symbols and a few functions of such polynomials, kept in a normal form so that
/// equal sums compare equal (`n + m` is `m + n`).
///
/// A symbol stands for a size, so it is never negative: what is simplified below relies on it, and a run refuses to bind one
/// to a number below 0. Comparisons are the numbers 0 and 1, and a choice between sizes is a sum of products with them.
public struct DimExpression: Hashable, Sendable {
    public enum Factor: Hashable, Sendable {
        case symbol(String)
        /// ⌊a / b⌋ for a number b above 0.
        indirect case floorDivide(DimExpression, Int64)
        /// ⌊a / b⌋; no value where b is 0.
        indirect case quotient(DimExpression, DimExpression)
        indirect case max(DimExpression, DimExpression)
        indirect case min(DimExpression, DimExpression)
        /// What the sizes a and b are together under NumPy's broadcasting; no value where they differ and neither is 1.
        indirect case broadcast(DimExpression, DimExpression)

        var sortKey: String {
            switch self {
            case .symbol(let name): name
            case .floorDivide(let expression, let divisor): "~(\(expression))/\(divisor)"
            case .quotient(let a, let b): "~(\(a))/(\(b))"
            case .max(let a, let b): "~max(\(a),\(b))"
            case .min(let a, let b): "~min(\(a),\(b))"
            case .broadcast(let a, let b): "~broadcast(\(a),\(b))"
            }
        }

        /// The expressions inside.
        var operands: [DimExpression] {
            switch self {
            case .symbol: []
            case .floorDivide(let a, _): [a]
            case .quotient(let a, let b), .max(let a, let b), .min(let a, let b), .broadcast(let a, let b): [a, b]
            }
        }
    }

    public struct Term: Hashable, Sendable {
        public var coefficient: Int64
        public var factors: [Factor]
    }

    public var terms: [Term]
    public var constant: Int64

    func collectSymbols(into names: inout [String]) {
        for term in terms {
            for factor in term.factors {
                if case .symbol(let name) = factor {
                    if !names.contains(name) { names.append(name) }
                } else {
                    for operand in factor.operands { operand.collectSymbols(into: &names) }
                }
            }
        }
    }

    /// Sorted by factors, like terms added up, zero terms dropped. Nil on overflow.
    static func normalised(_ terms: [Term], _ constant: Int64) -> Dim? {
        // Keys are made once: they are texts.
        var keyed = terms.map { term -> (key: String, term: Term) in
            let factors = term.factors.map { (key: $0.sortKey, factor: $0) }.sorted { $0.key < $1.key }
            return (
                factors.map(\.key).joined(separator: "*"),
                Term(coefficient: term.coefficient, factors: factors.map(\.factor))
            )
        }
        keyed.sort { $0.key < $1.key }
        var merged: [Term] = []
        for (_, term) in keyed {
            if let last = merged.indices.last, merged[last].factors == term.factors {
                let (sum, overflow) = merged[last].coefficient.addingReportingOverflow(term.coefficient)
                if overflow { return nil }
                merged[last].coefficient = sum
            } else {
                merged.append(term)
            }
        }
        merged.removeAll { $0.coefficient == 0 }
        return merged.isEmpty ? .fixed(constant) : .symbolic(DimExpression(terms: merged, constant: constant))
    }

    /// The factor, when the expression is nothing else.
    var bareFactor: Factor? {
        guard constant == 0, terms.count == 1, terms[0].coefficient == 1, terms[0].factors.count == 1 else {
            return nil
        }
        return terms[0].factors[0]
    }
}

extension Dim {
    var expression: DimExpression {
        switch self {
        case .fixed(let value): DimExpression(terms: [], constant: value)
        case .symbolic(let expression): expression
        }
    }

    public init(_ expression: DimExpression) {
        self = expression.terms.isEmpty ? .fixed(expression.constant) : .symbolic(expression)
    }

    init(_ factor: DimExpression.Factor) {
        self = .symbolic(DimExpression(terms: [.init(coefficient: 1, factors: [factor])], constant: 0))
    }

    /// The value under given values of the symbols; nil when a symbol has none or an operation overflows.
    public func evaluate(_ symbols: [String: Int64]) -> Int64? {
        guard case .symbolic(let expression) = self else { return value }
        return expression.evaluate(symbols)
    }

    /// The expression with symbols replaced by expressions; symbols that have no replacement stay.
    public func substituting(_ replacements: [String: Dim]) -> Dim? {
        guard case .symbolic(let expression) = self else { return self }
        return expression.substituting(replacements)
    }
}

extension DimExpression {
    /// Larger expressions are not built: sizes would double with each step, and walks recurse as deep as they nest.
    static let maximumSize = 256

    /// How many symbols and functions there are.
    var size: Int {
        terms.reduce(1) { total, term in
            term.factors.reduce(total) { total, factor in
                factor.operands.reduce(total + 1) { $0 + $1.size }
            }
        }
    }

    func evaluate(_ symbols: [String: Int64]) -> Int64? {
        var total = constant
        for term in terms {
            var product = term.coefficient
            for factor in term.factors {
                guard let value = factor.evaluate(symbols) else { return nil }
                let (next, overflow) = product.multipliedReportingOverflow(by: value)
                if overflow { return nil }
                product = next
            }
            let (next, overflow) = total.addingReportingOverflow(product)
            if overflow { return nil }
            total = next
        }
        return total
    }

    func substituting(_ replacements: [String: Dim]) -> Dim? {
        var total: Dim = .fixed(constant)
        for term in terms {
            var product: Dim = .fixed(term.coefficient)
            for factor in term.factors {
                guard let value = factor.substituting(replacements), let next = Dim.multiplying(product, value) else {
                    return nil
                }
                product = next
            }
            guard let next = Dim.adding(total, product) else { return nil }
            total = next
        }
        return total
    }
}

extension DimExpression.Factor {
    func evaluate(_ symbols: [String: Int64]) -> Int64? {
        if case .symbol(let name) = self { return symbols[name] }
        var values: [Dim] = []
        for operand in operands {
            guard let value = operand.evaluate(symbols) else { return nil }
            values.append(.fixed(value))
        }
        return applied(to: values)?.value
    }

    func substituting(_ replacements: [String: Dim]) -> Dim? {
        if case .symbol(let name) = self { return replacements[name] ?? .symbol(name) }
        var values: [Dim] = []
        for operand in operands {
            guard let value = operand.substituting(replacements) else { return nil }
            values.append(value)
        }
        return applied(to: values)
    }

    /// The same function of other operands.
    private func applied(to values: [Dim]) -> Dim? {
        switch self {
        case .symbol(let name): .symbol(name)
        case .floorDivide(_, let divisor): Dim.floorDividing(values[0], by: divisor)
        case .quotient: Dim.floorDividing(values[0], by: values[1])
        case .max: Dim.maximum(values[0], values[1])
        case .min: Dim.minimum(values[0], values[1])
        case .broadcast: Dim.broadcasting(values[0], values[1])
        }
    }
}

extension Dim: CustomStringConvertible {
    public var description: String {
        switch self {
        case .fixed(let value): "\(value)"
        case .symbolic(let expression): expression.description
        }
    }
}

extension DimExpression: CustomStringConvertible {
    public var description: String { text { $0 } }

    /// As the text form has it, with names written as `name` says.
    func text(_ name: (String) -> String) -> String {
        var text = ""
        for term in terms {
            var factors = term.factors.map { factor in
                switch factor {
                case .symbol(let symbol): name(symbol)
                case .floorDivide(let inner, let divisor): "floordiv(\(inner.text(name)), \(divisor))"
                case .quotient(let a, let b): "floordiv(\(a.text(name)), \(b.text(name)))"
                case .max(let a, let b): "max(\(a.text(name)), \(b.text(name)))"
                case .min(let a, let b): "min(\(a.text(name)), \(b.text(name)))"
                case .broadcast(let a, let b): "broadcast(\(a.text(name)), \(b.text(name)))"
                }
            }
            if term.coefficient.magnitude != 1 || factors.isEmpty {
                factors.insert("\(term.coefficient.magnitude)", at: 0)
            }
            text += text.isEmpty ? (term.coefficient < 0 ? "-" : "") : (term.coefficient < 0 ? " - " : " + ")
            text += factors.joined(separator: "*")
        }
        if text.isEmpty { return "\(constant)" }
        if constant != 0 { text += constant < 0 ? " - \(constant.magnitude)" : " + \(constant)" }
        return text
    }
}

extension Dim: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int64) { self = .fixed(value) }
}
