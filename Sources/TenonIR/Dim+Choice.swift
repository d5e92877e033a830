/// The larger and the smaller of two dimensions, broadcasting, comparisons and choices.
extension Dim {
    public static func maximum(_ a: Dim, _ b: Dim) -> Dim? {
        if case .fixed(let x) = a, case .fixed(let y) = b { return .fixed(Swift.max(x, y)) }
        guard let difference = subtracting(a, b) else { return nil }
        if difference.isNonNegative { return a }
        if let opposite = negating(difference), opposite.isNonNegative { return b }
        return joined(
            a, b, { if case .max(let x, let y) = $0 { [x, y] } else { nil } }, by: { .max($0, $1) },
            isCovered: { Dim.subtracting($1, $0)?.isNonNegative ?? false })
    }

    public static func minimum(_ a: Dim, _ b: Dim) -> Dim? {
        if case .fixed(let x) = a, case .fixed(let y) = b { return .fixed(Swift.min(x, y)) }
        guard let difference = subtracting(a, b) else { return nil }
        if difference.isNonNegative { return b }
        if let opposite = negating(difference), opposite.isNonNegative { return a }
        return joined(
            a, b, { if case .min(let x, let y) = $0 { [x, y] } else { nil } }, by: { .min($0, $1) },
            isCovered: { Dim.subtracting($0, $1)?.isNonNegative ?? false })
    }

    /// The common size of two sizes under NumPy's broadcasting; nil for two that never agree, or on overflow.
    ///
    /// Two sizes that are not known are not taken as equal: one of them may turn out to be 1. The expression says both, and
    /// has no value where they disagree, so that a run fails there.
    public static func broadcasting(_ a: Dim, _ b: Dim) -> Dim? {
        if a == b || b == 1 { return a }
        if a == 1 { return b }
        if case .fixed = a, case .fixed = b { return nil }
        // A size that cannot be 1 wins; the run checks that the other one is 1 or the same.
        if a.isFixed || Dim.subtracting(a, 2)?.isNonNegative ?? false { return a }
        if b.isFixed || Dim.subtracting(b, 2)?.isNonNegative ?? false { return b }
        return joined(
            a, b, { if case .broadcast(let x, let y) = $0 { [x, y] } else { nil } }, by: { .broadcast($0, $1) },
            isCovered: { _, _ in false })
    }

    /// One function of all that it is a function of already, each once and in order, since these functions do not care how
    /// often and in which order they are told something.
    ///
    /// - Parameter isCovered: whether the first of two operands makes no difference beside the second.
    private static func joined(
        _ a: Dim, _ b: Dim, _ operands: (DimExpression.Factor) -> [DimExpression]?,
        by function: (DimExpression, DimExpression) -> DimExpression.Factor, isCovered: (Dim, Dim) -> Bool
    ) -> Dim? {
        var parts: [(key: String, part: Dim)] = []
        func collect(_ expression: DimExpression) {
            if let inner = expression.bareFactor.flatMap(operands) {
                for operand in inner { collect(operand) }
                return
            }
            let (key, part) = (expression.description, Dim(expression))
            guard !parts.contains(where: { $0.key == key || isCovered(part, $0.part) }) else { return }
            parts.removeAll { isCovered($0.part, part) }
            parts.append((key, part))
        }
        collect(a.expression)
        collect(b.expression)
        guard parts.reduce(0, { $0 + $1.part.expression.size }) <= DimExpression.maximumSize else { return nil }
        parts.sort { $0.key < $1.key }
        guard var result = parts.first?.part else { return nil }
        for (_, part) in parts.dropFirst() { result = Dim(function(result.expression, part.expression)) }
        return result
    }

    // MARK: - Truth

    /// 1 where a < b, else 0.
    public static func less(_ a: Dim, _ b: Dim) -> Dim? {
        guard let difference = subtracting(b, a) else { return nil }
        if difference.isPositive { return 1 }
        if let opposite = negating(difference), opposite.isNonNegative { return 0 }
        return maximum(difference, 0).flatMap { minimum($0, 1) }
    }

    /// 1 where a = b, else 0.
    public static func equal(_ a: Dim, _ b: Dim) -> Dim? {
        if a == b { return 1 }
        guard let difference = subtracting(a, b), let opposite = negating(difference) else { return nil }
        if difference.isPositive || opposite.isPositive { return 0 }
        return maximum(difference, opposite).flatMap { minimum($0, 1) }.flatMap(not)
    }

    /// 1 - a, for an a that is 0 or 1.
    public static func not(_ a: Dim) -> Dim? { subtracting(1, a) }

    /// a where the condition is 1, b where it is 0.
    public static func select(_ condition: Dim, _ a: Dim, _ b: Dim) -> Dim? {
        if let value = condition.value { return value != 0 ? a : b }
        if a == b { return a }
        return subtracting(a, b).flatMap { multiplying(condition, $0) }.flatMap { adding(b, $0) }
    }

    /// Whether it can be nothing but 0 and 1.
    public var isTruth: Bool {
        let (least, most) = expression.bounds
        return least ?? -1 >= 0 && most ?? 2 <= 1
    }
}
