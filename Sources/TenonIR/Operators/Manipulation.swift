/// Operators that move or regroup elements.
enum ManipulationOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "reshape", "The same elements in row-major order under another shape; one entry may be -1.",
            inputs: [.init("x"), .init("shape", .shape)], infer: reshape)
    ]

    static func reshape(_ site: CallSite) throws -> ValueType {
        let x = try site.tensor(0)
        guard var target = site.dims(1) else { return .tensor(TensorType(dtype: x.dtype, rank: nil)) }
        let unknown = target.indices.filter { target[$0].value == -1 }
        if target.contains(where: { ($0.value ?? 0) < -1 }) || unknown.count > 1 {
            throw site.inputError(1, expects: "sizes from 0 and at most one -1")
        }
        guard let source = x.shape else {
            return unknown.isEmpty
                ? .tensor(TensorType(x.dtype, target)) : .tensor(TensorType(dtype: x.dtype, rank: target.count))
        }
        if let position = unknown.first {
            target[position] = try missing(site, source, target, at: position)
        }
        if let before = product(source), let after = product(target), before.isFixed, after.isFixed, before != after {
            throw site.inputError(1, expects: "\(before) elements, as in \(x)")
        }
        return .tensor(TensorType(x.dtype, target))
    }

    /// The size that makes both products equal.
    private static func missing(_ site: CallSite, _ source: [Dim], _ target: [Dim], at position: Int) throws -> Dim {
        // Equal factors cancel, so that [n, 4] as [n, -1] needs no division by n.
        var numerator = source
        var denominator: [Dim] = []
        for (index, dim) in target.enumerated() where index != position {
            if let match = numerator.firstIndex(of: dim) {
                numerator.remove(at: match)
            } else {
                denominator.append(dim)
            }
        }
        let total = try site.dim(product(numerator))
        let divisor = try site.dim(product(denominator))
        guard let number = divisor.value, number > 0 else {
            throw site.inputError(1, expects: "known sizes beside -1")
        }
        if let size = total.value, size % number != 0 {
            throw site.inputError(1, expects: "sizes that divide \(size) elements")
        }
        return try site.dim(Dim.floorDividing(total, by: number))
    }

    /// The product, or nil on overflow.
    static func product(_ dims: [Dim]) -> Dim? {
        var result: Dim = 1
        for dim in dims {
            guard let next = Dim.multiplying(result, dim) else { return nil }
            result = next
        }
        return result
    }
}
