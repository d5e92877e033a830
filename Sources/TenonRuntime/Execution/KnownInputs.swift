import TenonIR

/// How an executable makes its plans.
enum Planning: Int {
    /// For shapes alone.
    case shapes
    /// For shapes and the values of small inputs, which decide what shapes or branches there are: axes, a target shape, a
    /// sampling rate.
    case values
    /// Not at all: shapes depend on other data.
    case none
}

/// The values of small inputs that a plan was made for.
enum KnownInputs {
    /// So many different values are planned for before runs are interpreted: they seem to be new each time.
    static let planLimit = 16
    private static let elementLimit = 16

    /// Whether the values of an input of this type may decide a plan: integers or truth values, and few.
    static func canDecide(_ spec: TensorSpec) -> Bool {
        (spec.dtype.isInteger || spec.dtype == .bool) && spec.shape.count <= 1
            && spec.shape.allSatisfy { $0 <= elementLimit }
    }

    /// Copies of the inputs that may decide, by position; nil when one has no data.
    static func values(
        _ inputs: UnsafeBufferPointer<TensorView>, _ specs: [TensorSpec], _ ports: [Signature.Port]
    ) throws -> [Int: Constant]? {
        var values: [Int: Constant] = [:]
        for (index, spec) in specs.enumerated() where canDecide(spec) {
            if inputs[index].data == nil, spec.byteCount > 0 { return nil }
            try TensorCheck.input(inputs[index], spec, ports[index])
            let memory = try AlignedBytes(spec.byteCount)
            inputs[index].pack(to: memory.base)
            values[index] = try Constant(
                dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
                borrowing: UnsafeRawBufferPointer(start: memory.base, count: spec.byteCount), owner: memory)
        }
        return values
    }

    /// Whether inputs that fit a plan's types have the values that it was made for. Allocates nothing.
    static func fit(_ inputs: UnsafeBufferPointer<TensorView>, _ plan: Plan) -> Bool {
        for (index, value) in plan.known {
            let count = value.bytes.count
            guard count > 0 else { continue }
            guard inputs.indices.contains(index), inputs[index].data != nil, let extent = inputs[index].extent(),
                inputs[index].byteCount.map({ extent.lower >= 0 && extent.upper <= $0 }) ?? true
            else { return false }
            let isSame = withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { buffer in
                guard let base = buffer.baseAddress else { return false }
                inputs[index].pack(to: base)
                return value.bytes.elementsEqual(buffer)
            }
            if !isSame { return false }
        }
        return true
    }
}
