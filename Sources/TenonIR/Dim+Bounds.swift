/// What can be told about the value of a dimension from its symbols being sizes.
extension Dim {
    /// Whether it is 0 at least, whatever the symbols are. False also where that cannot be told.
    public var isNonNegative: Bool {
        switch self {
        case .fixed(let value): value >= 0
        case .symbolic(let expression): expression.isNonNegative(depth: 0)
        }
    }

    /// Whether it is always above 0.
    public var isPositive: Bool { Dim.subtracting(self, 1)?.isNonNegative ?? false }
}

extension DimExpression {
    /// The least and the largest value, as far as intervals tell.
    var bounds: (least: Int64?, most: Int64?) {
        var (least, most): (Int64?, Int64?) = (constant, constant)
        for term in terms {
            let bounds = term.bounds
            least = DimExpression.sum(least, bounds.least)
            most = DimExpression.sum(most, bounds.most)
        }
        return (least, most)
    }

    private static func sum(_ a: Int64?, _ b: Int64?) -> Int64? {
        guard let a, let b else { return nil }
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? nil : sum
    }

    /// By intervals, and where they do not tell, with a function that is taken away replaced by something larger, or one
    /// that is added by something smaller: n - min(n, m) is n - n at least.
    fileprivate func isNonNegative(depth: Int) -> Bool {
        if let least = bounds.least, least >= 0 { return true }
        guard depth < 4, terms.count <= 16 else { return false }
        for (index, term) in terms.enumerated() where term.factors.count == 1 {
            for replacement in term.factors[0].replacements(above: term.coefficient < 0) {
                var others = terms
                others.remove(at: index)
                guard let rest = DimExpression.normalised(others, constant),
                    let part = Dim.multiplying(Dim(replacement), .fixed(term.coefficient)),
                    let bound = Dim.adding(rest, part)
                else { continue }
                switch bound {
                case .fixed(let value): if value >= 0 { return true }
                case .symbolic(let expression): if expression.isNonNegative(depth: depth + 1) { return true }
                }
            }
        }
        return false
    }
}

extension DimExpression.Term {
    fileprivate var bounds: (least: Int64?, most: Int64?) {
        var (least, most): (Int64?, Int64?) = (1, 1)
        for factor in factors {
            let bounds = factor.bounds
            // Products of what may be negative are not told apart, save for a factor that stands alone.
            guard let low = bounds.least, low >= 0 || factors.count == 1 else { return (nil, nil) }
            least = DimExpression.Term.product(least, low)
            most = DimExpression.Term.product(most, bounds.most)
        }
        (least, most) = (
            DimExpression.Term.product(least, coefficient), DimExpression.Term.product(most, coefficient)
        )
        return coefficient < 0 ? (most, least) : (least, most)
    }

    private static func product(_ a: Int64?, _ b: Int64?) -> Int64? {
        guard let a, let b else { return nil }
        let (product, overflow) = a.multipliedReportingOverflow(by: b)
        return overflow ? nil : product
    }
}

extension DimExpression.Factor {
    fileprivate var bounds: (least: Int64?, most: Int64?) {
        switch self {
        case .symbol: return (0, nil)
        case .floorDivide(let inner, let divisor):
            let (least, most) = inner.bounds
            return (
                least.flatMap { Dim.floorDividing(.fixed($0), by: divisor)?.value },
                most.flatMap { Dim.floorDividing(.fixed($0), by: divisor)?.value }
            )
        case .quotient(let a, let b):
            guard let divisor = b.bounds.least, divisor >= 0 else { return (nil, nil) }
            let (least, most) = a.bounds
            return (least.map { Swift.min($0, 0) }, most.map { Swift.max($0, -1) })
        case .max(let a, let b):
            let (x, y) = (a.bounds, b.bounds)
            let known = [x.least, y.least].compactMap { $0 }
            return (known.max(), x.most.flatMap { p in y.most.map { Swift.max(p, $0) } })
        case .min(let a, let b):
            let (x, y) = (a.bounds, b.bounds)
            let known = [x.most, y.most].compactMap { $0 }
            return (x.least.flatMap { p in y.least.map { Swift.min(p, $0) } }, known.min())
        case .broadcast(let a, let b):
            let (x, y) = (a.bounds, b.bounds)
            return (
                x.least.flatMap { p in y.least.map { Swift.min(p, $0) } },
                x.most.flatMap { p in y.most.map { Swift.max(p, $0) } }
            )
        }
    }

    /// Expressions that are never below (or above) the value.
    fileprivate func replacements(above: Bool) -> [DimExpression] {
        switch self {
        case .min(let a, let b): above ? [a, b] : []
        case .max(let a, let b): above ? [] : [a, b]
        case .floorDivide(let a, _), .quotient(let a, _): above && (a.bounds.least ?? -1) >= 0 ? [a] : []
        case .symbol, .broadcast: []
        }
    }
}
