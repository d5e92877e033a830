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

/// A polynomial with integer coefficients over symbols and floor divisions, kept sorted so that equal sums compare equal
/// (`n + m` is `m + n`).
public struct DimExpression: Hashable, Sendable {
    public enum Factor: Hashable, Sendable {
        case symbol(String)
        indirect case floorDivide(DimExpression, Int64)
        indirect case max(DimExpression, DimExpression)

        var sortKey: String {
            switch self {
            case .symbol(let name): name
            case .floorDivide(let expression, let divisor): "~(\(expression))/\(divisor)"
            case .max(let a, let b): "~max(\(a),\(b))"
            }
        }
    }

    public struct Term: Hashable, Sendable {
        public var coefficient: Int64
        public var factors: [Factor]

        var sortKey: String { factors.map(\.sortKey).joined(separator: "*") }
    }

    public var terms: [Term]
    public var constant: Int64

    func collectSymbols(into names: inout [String]) {
        for term in terms {
            for factor in term.factors {
                switch factor {
                case .symbol(let name):
                    if !names.contains(name) { names.append(name) }
                case .floorDivide(let inner, _): inner.collectSymbols(into: &names)
                case .max(let a, let b):
                    a.collectSymbols(into: &names)
                    b.collectSymbols(into: &names)
                }
            }
        }
    }

    /// Sorted by factors, like terms added up, zero terms dropped. Nil on overflow.
    static func normalised(_ terms: [Term], _ constant: Int64) -> Dim? {
        var sorted = terms.map { term in
            Term(coefficient: term.coefficient, factors: term.factors.sorted { $0.sortKey < $1.sortKey })
        }
        sorted.sort { $0.sortKey < $1.sortKey }
        var merged: [Term] = []
        for term in sorted {
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
}

extension Dim {
    var expression: DimExpression {
        switch self {
        case .fixed(let value): DimExpression(terms: [], constant: value)
        case .symbolic(let expression): expression
        }
    }

    /// a + b, or nil on overflow.
    public static func adding(_ a: Dim, _ b: Dim) -> Dim? {
        if case .fixed(let x) = a, case .fixed(let y) = b {
            let (sum, overflow) = x.addingReportingOverflow(y)
            return overflow ? nil : .fixed(sum)
        }
        let (x, y) = (a.expression, b.expression)
        let (constant, overflow) = x.constant.addingReportingOverflow(y.constant)
        return overflow ? nil : DimExpression.normalised(x.terms + y.terms, constant)
    }

    /// a - b, or nil on overflow.
    public static func subtracting(_ a: Dim, _ b: Dim) -> Dim? {
        guard let negative = multiplying(b, .fixed(-1)) else { return nil }
        return adding(a, negative)
    }

    /// a × b, or nil on overflow.
    public static func multiplying(_ a: Dim, _ b: Dim) -> Dim? {
        if case .fixed(let x) = a, case .fixed(let y) = b {
            let (product, overflow) = x.multipliedReportingOverflow(by: y)
            return overflow ? nil : .fixed(product)
        }
        let (x, y) = (a.expression, b.expression)
        // Bounded, so that a text cannot make a polynomial of unbounded size.
        guard (x.terms.count + 1) * (y.terms.count + 1) <= 256 else { return nil }
        var terms: [DimExpression.Term] = []
        func append(_ p: Int64, _ q: Int64, _ factors: [DimExpression.Factor]) -> Bool {
            let (coefficient, overflow) = p.multipliedReportingOverflow(by: q)
            if overflow || factors.count > 16 { return false }
            if coefficient != 0 { terms.append(.init(coefficient: coefficient, factors: factors)) }
            return true
        }
        for p in x.terms {
            for q in y.terms where !append(p.coefficient, q.coefficient, p.factors + q.factors) { return nil }
            if !append(p.coefficient, y.constant, p.factors) { return nil }
        }
        for q in y.terms where !append(q.coefficient, x.constant, q.factors) { return nil }
        let (constant, overflow) = x.constant.multipliedReportingOverflow(by: y.constant)
        return overflow ? nil : DimExpression.normalised(terms, constant)
    }

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

    /// How many symbols, divisions and maxima there are.
    var size: Int {
        terms.reduce(1) { total, term in
            term.factors.reduce(total) { total, factor in
                switch factor {
                case .symbol: total + 1
                case .floorDivide(let inner, _): total + 1 + inner.size
                case .max(let a, let b): total + 1 + a.size + b.size
                }
            }
        }
    }

    func evaluate(_ symbols: [String: Int64]) -> Int64? {
        var total = constant
        for term in terms {
            var product = term.coefficient
            for factor in term.factors {
                let value: Int64?
                switch factor {
                case .symbol(let name): value = symbols[name]
                case .floorDivide(let inner, let divisor):
                    value = inner.evaluate(symbols).flatMap { Dim.floorDividing(.fixed($0), by: divisor)?.value }
                case .max(let a, let b):
                    if let x = a.evaluate(symbols), let y = b.evaluate(symbols) {
                        value = Swift.max(x, y)
                    } else {
                        value = nil
                    }
                }
                guard let value else { return nil }
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
                let value: Dim?
                switch factor {
                case .symbol(let name): value = replacements[name] ?? .symbol(name)
                case .floorDivide(let inner, let divisor):
                    value = inner.substituting(replacements).flatMap { Dim.floorDividing($0, by: divisor) }
                case .max(let a, let b):
                    if let x = a.substituting(replacements), let y = b.substituting(replacements) {
                        value = Dim.maximum(x, y)
                    } else {
                        value = nil
                    }
                }
                guard let value, let next = Dim.multiplying(product, value) else { return nil }
                product = next
            }
            guard let next = Dim.adding(total, product) else { return nil }
            total = next
        }
        return total
    }
}

extension Dim {
    public static func maximum(_ a: Dim, _ b: Dim) -> Dim? {
        if case .fixed(let x) = a, case .fixed(let y) = b { return .fixed(Swift.max(x, y)) }
        if a == b { return a }
        guard a.expression.size + b.expression.size <= DimExpression.maximumSize else { return nil }
        return DimExpression.normalised(
            [.init(coefficient: 1, factors: [.max(a.expression, b.expression)])], 0)
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
    public var description: String {
        var text = ""
        for term in terms {
            var factors = term.factors.map { factor in
                switch factor {
                case .symbol(let name): name
                case .floorDivide(let inner, let divisor): "floordiv(\(inner), \(divisor))"
                case .max(let a, let b): "max(\(a), \(b))"
                }
            }
            let negative = term.coefficient < 0
            if term.coefficient.magnitude != 1 || factors.isEmpty {
                factors.insert("\(term.coefficient.magnitude)", at: 0)
            }
            let product = factors.joined(separator: "*")
            text += text.isEmpty ? (negative ? "-" : "") + product : (negative ? " - " : " + ") + product
        }
        if text.isEmpty { return "\(constant)" }
        if constant != 0 { text += constant < 0 ? " - \(constant.magnitude)" : " + \(constant)" }
        return text
    }
}

extension Dim: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int64) { self = .fixed(value) }
}
