import TenonIR

/// What a node needs when an input that shapes its result (axes, sizes, positions) is computed by the model itself: calls of
/// dynamic forms, and results whose sizes are symbols that the run binds.
extension Node {
    /// A list of integers that an input gives.
    enum Integers {
        case known([Int64])
        /// Known from shapes, so that the run knows them before it computes anything.
        case sizes([Dim])
        /// A vector of so many integers; nil where not even their number is known.
        case computed(Operand, count: Int?)

        var count: Int? {
            switch self {
            case .known(let values): values.count
            case .sizes(let dims): dims.count
            case .computed(_, let count): count
            }
        }

        /// The integers where they are known while importing, with symbols.
        var dims: [Dim]? {
            switch self {
            case .known(let values): values.map { .fixed($0) }
            case .sizes(let dims): dims
            case .computed: nil
            }
        }
    }

    /// Input `index` as integers, known while importing or computed.
    func integers(_ index: Int) throws -> Integers {
        let host = try host(index)
        if let values = host?.ints { return .known(values) }
        let type = try type(index)
        guard type.dtype?.isInteger ?? true, type.rank ?? 1 <= 1 else {
            throw error(.invalidType, "input \(index) expects a list of integers, found \(type)")
        }
        if let dims = host?.dims { return .sizes(dims) }
        guard let count = type.elementCount, count <= HostTensor.maximumCount else {
            return .computed(try operand(index), count: nil)
        }
        // None is known after all.
        return count == 0 ? .known([]) : .computed(try operand(index), count: count)
    }

    /// As above, where the operator says how many there are.
    func integers(_ index: Int, count: Int) throws -> Integers {
        let given = try integers(index)
        guard let found = given.count else {
            if case .computed(let operand, _) = given { return .computed(operand, count: count) }
            return given
        }
        guard found == count else {
            throw error(.invalidShape, "input \(index) expects \(count) integers, found \(found)")
        }
        return given
    }

    /// Integers as a vector of int64.
    func vector(_ integers: Integers) throws -> Operand {
        switch integers {
        case .known(let values): return try list(values)
        case .sizes(let dims): return try sizes(of: dims)
        case .computed(let operand, let count):
            return try reshape(try cast(operand, .int64), [count.map { .fixed(Int64($0)) } ?? -1])
        }
    }

    /// The dimensions of input `index` as a vector of int64, also where not even their number is known.
    func sizes(_ index: Int) throws -> Operand {
        if let shape = try type(index).shape { return try sizes(of: shape) }
        return try call("shape_to_tensor", [try call("shape_of", [try operand(index)])])
    }

    /// A vector of int64 as a shape of which nothing is known.
    func unknownShape(_ vector: Operand) throws -> Operand { try call("tensor_to_shape", [vector]) }

    /// `operand` as a tensor of which only the element type is known, and perhaps the rank.
    func unsized(_ operand: Operand, _ dtype: DataType?, rank: Int? = nil) throws -> Operand {
        if let rank { return try freshlySized(operand, dtype, rank: rank) }
        return try sized(operand, TensorType(dtype: dtype, rank: nil))
    }

    /// `operand` in another element type, without a call where it has that type already.
    func cast(_ operand: Operand, _ dtype: DataType) throws -> Operand {
        if try type(of: operand).dtype == dtype { return operand }
        return try call("astype", [operand], ["dtype": .dtype(dtype)])
    }

    /// A constant vector of int64.
    func list(_ values: [Int64]) throws -> Operand { .constant(try Constant.ints([Int64(values.count)], values)) }

    /// The dimensions of a tensor as a vector of int64: a constant, or filled in by the run.
    func sizes(of dims: [Dim]) throws -> Operand {
        let values = dims.compactMap(\.value)
        if values.count == dims.count { return try list(values) }
        return try call("shape_to_tensor", [.shape(dims)])
    }

    /// A vector of integers as a shape, whose dimensions are symbols that the run binds.
    ///
    /// - Parameter known: dimensions that are known already; the run fails when the vector has others.
    func shape(_ vector: Operand, count: Int, known: [Dim?] = []) throws -> Operand {
        let dims = (0..<count).map { known.indices.contains($0) ? known[$0] ?? freshSize("size") : freshSize("size") }
        let shape = try call("tensor_to_shape", [vector])
        let hint = graph.hint(proto.output.first ?? "")
        return .value(graph.builder.bind(.matchCast(shape, .shape(dims)), .shape(dims), name: hint))
    }

    /// `dyn.op`, which takes `computed` as attributes.
    func dynamic(
        _ op: String, _ arguments: [Operand], _ computed: [Operand], _ attributes: Attributes = Attributes()
    ) throws -> Operand {
        try call("dyn." + op, arguments + computed, attributes)
    }

    /// `operand` with a fresh symbol for each of its `rank` dimensions that `known` does not give.
    func freshlySized(_ operand: Operand, _ dtype: DataType?, rank: Int, known: [Dim?] = []) throws -> Operand {
        let shape = (0..<rank).map { known.indices.contains($0) ? known[$0] ?? freshSize("size") : freshSize("size") }
        return try sized(operand, TensorType(dtype, shape))
    }
}
