/// NumPy's broadcasting, with symbols: equal expressions are equal sizes, and an unknown size against 1 is itself.
public enum Broadcast {
    /// The common shape, or nil when two sizes cannot agree. A size that is not known takes that of a number other than 1: the
    /// run checks it.
    public static func shape(_ a: [Dim], _ b: [Dim]) -> [Dim]? {
        let rank = max(a.count, b.count)
        var result: [Dim] = []
        result.reserveCapacity(rank)
        for position in 0..<rank {
            let x: Dim = position + a.count < rank ? 1 : a[position + a.count - rank]
            let y: Dim = position + b.count < rank ? 1 : b[position + b.count - rank]
            guard let size = Dim.broadcasting(x, y) else { return nil }
            result.append(size)
        }
        return result
    }

    /// The type of an element-wise operation on two tensors.
    public static func type(_ site: CallSite, _ a: Int, _ b: Int, dtype: DataType?) throws -> ValueType {
        let (x, y) = (try site.tensor(a), try site.tensor(b))
        guard let p = x.shape, let q = y.shape else {
            let rank = x.rank.flatMap { r in y.rank.map { max(r, $0) } }
            return .tensor(TensorType(dtype: dtype, rank: rank))
        }
        guard let shape = shape(p, q) else {
            throw site.inputError(b, expects: "a shape that broadcasts with '\(site.inputName(a))' (\(x))")
        }
        return .tensor(TensorType(dtype, shape))
    }
}
