/// Operators that pick or put elements by position.
enum IndexingOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "strided_slice",
            """
            Elements begin, begin + stride, … before end along each of axes (begin, end and strides one number per axis); \
            negative positions count from the end and both ends are clamped.
            """,
            inputs: [
                .init("x"), .init("axes", .any), .init("begin", .any), .init("end", .any),
                .init("strides", .any, optional: true),
            ], attributes: [.defaulted("assume_inbound", false)], infer: Slicing.infer),
        OperatorSchema(
            "take",
            """
            Elements of x at indices along axis; 'fast' takes indices from -size to size - 1 and fails on others, 'clip' \
            and 'wrap' bring any index into the range.
            """,
            inputs: [.init("x"), .init("indices")],
            attributes: [.optional("axis", .int), .defaulted("mode", "fast", allowed: ["fast", "clip", "wrap"])],
            infer: take),
        OperatorSchema(
            "gather_elements", "result[i…] = data[i…] with the position along axis taken from indices[i…].",
            inputs: [.init("data"), .init("indices")], attributes: [.defaulted("axis", 0)]
        ) { site in
            let (data, indices) = (try site.tensor(0), try indices(site, 1))
            if let p = data.rank, let q = indices.rank, p != q { throw site.inputError(1, expects: "\(p) dimensions") }
            if let rank = data.rank { _ = try site.axis(try site.int("axis"), rank: rank) }
            return .tensor(TensorType(sized: data.dtype, as: indices))
        },
        OperatorSchema(
            "gather_nd", "Elements or slices of data at the positions that the last dimension of indices lists.",
            inputs: [.init("data"), .init("indices")], attributes: [.defaulted("batch_dims", 0)], infer: gatherND),
        scatter("scatter_elements", "data with updates[i…] put where indices[i…] says along axis.", axis: true),
        scatter(
            "scatter_nd", "data with updates put at the positions that the last dimension of indices lists.",
            axis: false),
        RelaxForms.choosingResult(
            OperatorSchema(
                "topk", "The k largest or smallest values along axis in order, and their positions; ties by position.",
                inputs: [.init("data")],
                attributes: [
                    .defaulted("k", 1), .defaulted("axis", -1), .defaulted("largest", true), .defaulted("sorted", true),
                    .defaulted("dtype", .dtype(.int64)),
                ], infer: topK)),
        OperatorSchema(
            "argsort", "Positions that would sort along axis; equal values keep their order.", inputs: [.init("data")],
            attributes: [.defaulted("axis", -1), .defaulted("descending", false), .defaulted("dtype", .dtype(.int64))]
        ) { site in
            var data = try site.tensor(0)
            if let rank = data.rank { _ = try site.axis(try site.int("axis"), rank: rank) }
            data.dtype = site.attributes.dtype("dtype")
            return .tensor(data)
        },
        OperatorSchema(
            "sort", "The values along axis in order; NaN last.", inputs: [.init("data")],
            attributes: [.defaulted("axis", -1), .defaulted("descending", false)]
        ) { site in
            let data = try site.tensor(0)
            if let rank = data.rank { _ = try site.axis(try site.int("axis"), rank: rank) }
            return .tensor(data)
        },
    ]

    /// An input of integers.
    private static func indices(_ site: CallSite, _ index: Int) throws -> TensorType {
        try ComparisonOperators.require(site, index, "an integer tensor") { $0.isInteger }
        return try site.tensor(index)
    }

    private static func take(_ site: CallSite) throws -> ValueType {
        let (x, indices) = (try site.tensor(0), try indices(site, 1))
        guard let rank = x.rank else { return .tensor(TensorType(dtype: x.dtype, rank: nil)) }
        guard let given = site.attributes.int("axis") ?? (rank == 1 ? 0 : nil) else {
            throw site.attributeError("axis", expects: "an axis when x has \(rank) dimensions")
        }
        let axis = try site.axis(given, rank: rank)
        guard let shape = x.shape, let picked = indices.shape else {
            return .tensor(TensorType(dtype: x.dtype, rank: indices.rank.map { $0 + rank - 1 }))
        }
        return .tensor(x.dtype, Array(shape[..<axis]) + picked + Array(shape[(axis + 1)...]))
    }

    /// How many dimensions the last dimension of `indices` addresses; nil when unknown.
    private static func depth(_ site: CallSite, _ indices: TensorType, rank: Int, batch: Int) throws -> Int? {
        guard let shape = indices.shape else { return nil }
        guard let last = shape.last, let depth = last.value, depth >= 0, depth <= Int64(rank - batch) else {
            if shape.last?.value == nil, shape.last != nil { return nil }
            throw site.inputError(1, expects: "a last dimension from 0 to \(rank - batch)")
        }
        return Int(depth)
    }

    private static func gatherND(_ site: CallSite) throws -> ValueType {
        let (data, indices) = (try site.tensor(0), try indices(site, 1))
        let batch = try site.int("batch_dims")
        guard let rank = data.rank, let shape = data.shape, let positions = indices.shape else {
            return .tensor(TensorType(dtype: data.dtype, rank: nil))
        }
        guard batch >= 0, batch <= Int64(min(rank, positions.count - 1)) else {
            throw site.attributeError("batch_dims", expects: "a number of dimensions that both inputs have")
        }
        guard let depth = try depth(site, indices, rank: rank, batch: Int(batch)) else {
            return .tensor(TensorType(dtype: data.dtype, rank: nil))
        }
        for axis in 0..<Int(batch) {
            if let a = shape[axis].value, let b = positions[axis].value, a != b {
                throw site.inputError(1, expects: "\(a) in dimension \(axis), as data (\(data))")
            }
        }
        return .tensor(data.dtype, Array(positions.dropLast()) + Array(shape[(Int(batch) + depth)...]))
    }

    private static func scatter(_ name: String, _ summary: String, axis: Bool) -> OperatorSchema {
        OperatorSchema(
            name, summary, inputs: [.init("data"), .init("indices"), .init("updates")],
            attributes: (axis ? [.defaulted("axis", 0)] : []) + [
                .defaulted("reduction", "update", allowed: ["update", "add", "mul", "min", "max"])
            ]
        ) { site in
            let data = try site.tensor(0)
            let indices = try indices(site, 1)
            let updates = try site.tensor(2)
            _ = try site.sameDType(0, 2)
            guard let rank = data.rank, let shape = data.shape else { return .tensor(data) }
            let expected: [Dim]?
            if axis {
                _ = try site.axis(try site.int("axis"), rank: rank)
                if let count = indices.rank, count != rank { throw site.inputError(1, expects: "\(rank) dimensions") }
                expected = indices.shape
            } else {
                expected = try depth(site, indices, rank: rank, batch: 0).flatMap { depth in
                    indices.shape.map { Array($0.dropLast()) + Array(shape[depth...]) }
                }
            }
            if let expected, let found = updates.shape {
                guard expected.count == found.count,
                    zip(expected, found).allSatisfy({ $0 == $1 || !$0.isFixed || !$1.isFixed })
                else { throw site.inputError(2, expects: "shape \(TensorType(updates.dtype, expected))") }
            }
            return .tensor(data)
        }
    }

    private static func topK(_ site: CallSite) throws -> ValueType {
        let data = try site.tensor(0)
        let k = try site.int("k")
        let dtype = site.attributes.dtype("dtype")
        guard k >= 0 else { throw site.attributeError("k", expects: "a number from 0") }
        guard dtype?.isInteger ?? true else { throw site.attributeError("dtype", expects: "an integer type") }
        guard var shape = data.shape else {
            return .tuple([.tensor(data), .tensor(TensorType(dtype: dtype, rank: data.rank))])
        }
        let axis = try site.axis(try site.int("axis"), rank: shape.count)
        if let size = shape[axis].value, k > size { throw site.attributeError("k", expects: "at most \(size)") }
        shape[axis] = .fixed(k)
        return .tuple([.tensor(TensorType(data.dtype, shape)), .tensor(TensorType(dtype, shape))])
    }
}

extension TensorType {
    /// `dtype` in the shape, as far as it is known, of another tensor.
    init(sized dtype: DataType?, as other: TensorType) {
        self = other
        self.dtype = dtype
    }
}
