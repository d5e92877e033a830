import TenonIR

/// What type constraints of one match demand of symbolic dimensions. Symbols of the constraints are unknowns shared by the
/// whole match; a demand is refused only when it is provably false.
struct TypeEquations {
    private var unknowns: [(name: String, value: Dim)] = []

    /// Demands that `type` is at least as specific as `constraint`.
    mutating func require(_ type: ValueType, atLeast constraint: ValueType) -> Bool {
        switch (type, constraint) {
        case (_, .object): return true
        case (.tensor(let found), .tensor(let wanted)):
            if let dtype = wanted.dtype, found.dtype != dtype { return false }
            if let rank = wanted.rank, found.rank != rank { return false }
            guard let dims = wanted.shape else { return true }
            return found.shape.map { require($0, equal: dims) } ?? false
        case (.tuple(let found), .tuple(let wanted)):
            guard found.count == wanted.count else { return false }
            for (type, constraint) in zip(found, wanted) where !require(type, atLeast: constraint) { return false }
            return true
        case (.shape, .shape(nil)): return true
        case (.shape(let found?), .shape(let wanted?)): return require(found, equal: wanted)
        default: return type == constraint
        }
    }

    private mutating func require(_ found: [Dim], equal wanted: [Dim]) -> Bool {
        guard found.count == wanted.count else { return false }
        for (dim, constraint) in zip(found, wanted) where !require(dim, equals: constraint) { return false }
        return true
    }

    private mutating func require(_ dim: Dim, equals constraint: Dim) -> Bool {
        guard case .symbolic(let expression) = constraint else { return !Dim.differProvably(dim, constraint) }
        if let name = constraint.plainSymbol {
            if let known = unknowns.first(where: { $0.name == name }) {
                return !Dim.differProvably(dim, known.value)
            }
            unknowns.append((name, dim))
            return true
        }
        var values: [String: Dim] = [:]
        for unknown in unknowns { values[unknown.name] = unknown.value }
        guard let replaced = Dim.symbolic(expression).substituting(values) else { return true }
        return !Dim.differProvably(dim, replaced)
    }
}

extension Dim {
    /// The name when the dimension is a symbol alone.
    public var plainSymbol: String? {
        guard case .symbolic(let expression) = self, expression.constant == 0, expression.terms.count == 1,
            expression.terms[0].coefficient == 1, expression.terms[0].factors.count == 1,
            case .symbol(let name) = expression.terms[0].factors[0]
        else { return nil }
        return name
    }

    /// Whether the two cannot be equal whatever the symbols are.
    static func differProvably(_ a: Dim, _ b: Dim) -> Bool {
        guard let difference = Dim.subtracting(a, b), let value = difference.value else { return false }
        return value != 0
    }
}
