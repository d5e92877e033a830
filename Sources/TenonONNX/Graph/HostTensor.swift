import TenonIR

/// A small tensor whose contents the importer knows: what shape computations work on.
///
/// Integers may be symbolic, so that `Shape` of an input with a dynamic batch is as good as a constant.
struct HostTensor {
    enum Elements {
        /// Integers and booleans.
        case dims([Dim])
        case floats([Double])

        var count: Int {
            switch self {
            case .dims(let dims): dims.count
            case .floats(let floats): floats.count
            }
        }
    }

    /// Larger tensors are weights, not shape arithmetic, and are left to operators.
    static let maximumCount = 4096

    let dtype: DataType
    let shape: [Int64]
    let elements: Elements

    /// - Throws: when the elements do not fill the shape.
    init(_ dtype: DataType, _ shape: [Int64], _ elements: Elements) throws {
        guard checkedElementCount(shape) == elements.count else {
            throw TenonError(.invalidShape, "\(elements.count) elements do not fill the shape \(shape)")
        }
        self.dtype = dtype
        self.shape = shape
        self.elements = elements
    }

    /// A one-dimensional tensor of int64.
    init(dims: [Dim]) {
        dtype = .int64
        shape = [Int64(dims.count)]
        elements = .dims(dims)
    }

    /// The contents of `constant`, or nil when it is large or holds strings.
    init?(_ constant: Constant) {
        guard constant.count <= Self.maximumCount else { return nil }
        if constant.dtype.isFloatingPoint {
            guard let values = constant.doubleElements else { return nil }
            elements = .floats(values)
        } else {
            guard let values = constant.intElements else { return nil }
            elements = .dims(values.map { .fixed($0) })
        }
        dtype = constant.dtype
        shape = constant.shape
    }

    /// As a constant, or nil when an element is symbolic.
    func constant() throws -> Constant? {
        switch elements {
        case .floats(let values):
            return try Constant.from(doubles: values, dtype, shape)
        case .dims(let dims):
            guard let values = ints else { return nil }
            // Through doubles only where every value is exact.
            if dtype == .int64 { return try Constant.ints(shape, values) }
            return dims.isEmpty
                ? try Constant.from(doubles: [], dtype, shape)
                : try Constant.from(doubles: values.map { Double($0) }, dtype, shape)
        }
    }

    /// All elements as integers when none is symbolic.
    var ints: [Int64]? {
        guard case .dims(let dims) = elements else { return nil }
        var values: [Int64] = []
        values.reserveCapacity(dims.count)
        for dim in dims {
            guard let value = dim.value else { return nil }
            values.append(value)
        }
        return values
    }

    var dims: [Dim]? {
        if case .dims(let dims) = elements { return dims }
        return nil
    }

    /// All elements as floating-point numbers when none is symbolic.
    var doubles: [Double]? {
        switch elements {
        case .floats(let values): values
        case .dims: ints?.map { Double($0) }
        }
    }

    /// The elements at `indices`, under another shape.
    func selecting(_ indices: [Int], shape: [Int64]) throws -> HostTensor {
        switch elements {
        case .floats(let values):
            guard indices.allSatisfy(values.indices.contains) else { throw outOfRange }
            return try HostTensor(dtype, shape, .floats(indices.map { values[$0] }))
        case .dims(let dims):
            guard indices.allSatisfy(dims.indices.contains) else { throw outOfRange }
            return try HostTensor(dtype, shape, .dims(indices.map { dims[$0] }))
        }
    }

    private var outOfRange: TenonError {
        TenonError(.invalidShape, "an element outside the shape \(shape) is selected")
    }

    func reshaped(_ shape: [Int64]) throws -> HostTensor { try HostTensor(dtype, shape, elements) }
}

/// What a name of an ONNX graph stands for while it is imported.
indirect enum ImportedValue {
    /// A value of the function being built, or a constant.
    case operand(Operand)
    /// Integers or numbers known while importing.
    case host(HostTensor)
    /// A sequence whose length is known while importing; it leaves nothing behind but its tensors.
    case sequence([Operand])
    /// The slices of a tensor along an axis, whose number only a run knows.
    case slices(SliceSequence)
    /// An optional that holds nothing.
    case absent
    /// The result of a node that could not be imported; what depends on it is skipped and not reported again.
    case unsupported
}

/// A sequence that a tensor is cut into.
struct SliceSequence {
    let tensor: Operand
    let axis: Int
    /// How much of the axis an element has; the last one may have less.
    let size: Int64
    /// Whether elements, of size 1 then, keep the axis.
    let keepsAxis: Bool
    /// How many elements there are.
    let count: Dim
}
