import TenonIR

/// How far the outputs of one module lie from another's: the root of the summed squares of the differences over that of the summed
/// squares of the reference, over all outputs and samples.
struct OutputError {
    private var differences = 0.0
    private var reference = 0.0
    private let countsIntegers: Bool

    /// Positions and classes count only where a module gives nothing else.
    init(_ expected: [[Constant]]) {
        countsIntegers = !expected.contains { $0.contains { $0.dtype.isFloatingPoint } }
    }

    static func between(_ found: [[Constant]], _ expected: [[Constant]]) -> Double {
        var error = OutputError(expected)
        for (found, expected) in zip(found, expected) {
            for (found, expected) in zip(found, expected) { error.add(found, expected) }
        }
        return error.value
    }

    /// The number of elements may depend on the data; then all of the reference is missed.
    private mutating func add(_ found: Constant, _ expected: Constant) {
        guard expected.dtype.isFloatingPoint || countsIntegers else { return }
        let isAlike = found.shape == expected.shape && found.dtype == expected.dtype
        for index in 0..<expected.count {
            guard let b = expected.double(at: index), b.isFinite else { continue }
            reference += b * b
            let a = isAlike ? found.double(at: index) ?? 0 : 0
            let difference = a.isFinite ? a - b : b
            differences += difference * difference
        }
    }

    private var value: Double {
        if differences == 0 { return 0 }
        return reference > 0 ? (differences / reference).squareRoot() : .infinity
    }
}
