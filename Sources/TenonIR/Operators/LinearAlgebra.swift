/// Operators on square matrices, one per entry of the leading dimensions.
enum LinearAlgebraOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "linalg.inv", "The inverse of each matrix; inf and NaN where there is none.", inputs: [.init("x")]
        ) {
            site in .tensor(try square(site))
        },
        OperatorSchema("linalg.det", "The determinant of each matrix.", inputs: [.init("x")]) { site in
            let x = try square(site)
            guard let shape = x.shape else { return .tensor(TensorType(dtype: x.dtype, rank: x.rank.map { $0 - 2 })) }
            return .tensor(TensorType(x.dtype, Array(shape.dropLast(2))))
        },
    ]

    private static func square(_ site: CallSite) throws -> TensorType {
        let x = try site.tensor(0)
        if let dtype = x.dtype, !dtype.isFloatingPoint {
            throw site.inputError(0, .invalidType, expects: "a floating-point type")
        }
        if let rank = x.rank, rank < 2 { throw site.inputError(0, expects: "2 dimensions at least") }
        if let shape = x.shape, let a = shape[shape.count - 2].value, let b = shape[shape.count - 1].value, a != b {
            throw site.inputError(0, expects: "square matrices")
        }
        return x
    }
}
