/// Products of matrices.
enum LinearOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "matmul", "Matrix product as NumPy's: leading dimensions broadcast, a vector counts as a row or a column.",
            inputs: [.init("a"), .init("b")], attributes: [.optional("out_dtype", .dtype)], infer: matmul),
        OperatorSchema(
            "nn.dense", "data × weight transposed: f[..., i] with weight [o, i] gives [..., o].",
            inputs: [.init("data"), .init("weight")], attributes: [.optional("out_dtype", .dtype)], infer: dense),
    ]

    /// The element type of the result: `out_dtype`, else that of the inputs.
    private static func resultType(_ site: CallSite) throws -> DataType? {
        let dtype = try site.sameDType(0, 1)
        return site.attributes.dtype("out_dtype") ?? dtype
    }

    static func dense(_ site: CallSite) throws -> ValueType {
        let (data, weight) = (try site.tensor(0), try site.tensor(1, rank: 2))
        let dtype = try resultType(site)
        if data.rank == 0 { throw site.inputError(0, expects: "at least 1 dimension") }
        guard var shape = data.shape, let w = weight.shape else {
            return .tensor(TensorType(dtype: dtype, rank: data.rank))
        }
        if let inner = shape[shape.count - 1].value, let other = w[1].value, inner != other {
            throw site.inputError(1, expects: "\(inner) in dimension 1, the last dimension of 'data' (\(data))")
        }
        shape[shape.count - 1] = w[0]
        return .tensor(TensorType(dtype, shape))
    }

    static func matmul(_ site: CallSite) throws -> ValueType {
        let (a, b) = (try site.tensor(0), try site.tensor(1))
        let dtype = try resultType(site)
        for (index, type) in [a, b].enumerated() where type.rank == 0 {
            throw site.inputError(index, expects: "at least 1 dimension")
        }
        guard var x = a.shape, var y = b.shape else {
            guard let p = a.rank, let q = b.rank else { return .tensor(TensorType(dtype: dtype, rank: nil)) }
            let batch = max(p, q, 2) - 2
            return .tensor(TensorType(dtype: dtype, rank: batch + (p > 1 ? 1 : 0) + (q > 1 ? 1 : 0)))
        }
        let (rowVector, columnVector) = (x.count == 1, y.count == 1)
        if rowVector { x.insert(1, at: 0) }
        if columnVector { y.append(1) }
        if let inner = x[x.count - 1].value, let other = y[y.count - 2].value, inner != other {
            throw site.inputError(
                1, expects: "\(inner) in dimension \(columnVector ? 0 : y.count - 2), the last dimension of 'a' (\(a))")
        }
        guard var shape = Broadcast.shape(x.dropLast(2), y.dropLast(2)) else {
            throw site.inputError(1, expects: "leading dimensions that broadcast with those of 'a' (\(a))")
        }
        if !rowVector { shape.append(x[x.count - 2]) }
        if !columnVector { shape.append(y[y.count - 1]) }
        return .tensor(TensorType(dtype, shape))
    }
}
