/// Sums and products of dimensions.
extension Dim {
    /// a + b, or nil on overflow and for more than 256 terms.
    public static func adding(_ a: Dim, _ b: Dim) -> Dim? {
        if case .fixed(let x) = a, case .fixed(let y) = b {
            let (sum, overflow) = x.addingReportingOverflow(y)
            return overflow ? nil : .fixed(sum)
        }
        let (x, y) = (a.expression, b.expression)
        let (constant, overflow) = x.constant.addingReportingOverflow(y.constant)
        // Bounded as products are: a chain of sums would take time and memory with the square of its length.
        guard !overflow, x.terms.count + y.terms.count <= 256 else { return nil }
        return DimExpression.normalised(x.terms + y.terms, constant)
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

    /// -a, or nil on overflow.
    public static func negating(_ a: Dim) -> Dim? { multiplying(a, .fixed(-1)) }

    /// The product, or nil on overflow.
    public static func product(_ dims: some Sequence<Dim>) -> Dim? {
        var result: Dim = 1
        for dim in dims {
            guard let next = multiplying(result, dim) else { return nil }
            result = next
        }
        return result
    }
}
