import TenonIR

/// Tensors of one value, diagonals and one-hot codes.
enum CreationKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("zeros", { try filled($0, 0) }), ("ones", { try filled($0, 1) }), ("zeros_like", { try filled($0, 0) }),
        ("ones_like", { try filled($0, 1) }), ("full", full), ("eye", eye), ("one_hot", oneHot),
        ("tril", { try triangle($0, keepsLower: true) }), ("triu", { try triangle($0, keepsLower: false) }),
    ]

    private static func filled(_ call: KernelCall, _ value: Double) throws -> PreparedKernel {
        try call.require(inputs: 0)
        let constant = try Constant.filled(call.outputs[0].dtype, [], value)
        return try fill(call) { _ in constant.bytes.baseAddress }
    }

    private static func full(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        guard call.inputs[0].count == 1 else { throw call.error(.invalidShape, "fill_value expects one element") }
        if call.inputs[0].dtype == call.outputs[0].dtype { return try fill(call) { $0.inputs[0] } }
        guard let constant = call.constants.first.flatMap({ $0 }), let value = constant.double(at: 0) else {
            throw call.error(.unsupported, "a fill_value of another element type must be known")
        }
        let converted = try Constant.filled(call.outputs[0].dtype, [], value)
        return try fill(call) { _ in converted.bytes.baseAddress }
    }

    private static func fill(
        _ call: KernelCall, _ value: @escaping @Sendable (borrowing KernelArguments) -> UnsafeRawPointer?
    ) throws -> PreparedKernel {
        let count = call.outputs[0].count
        func kernel<T: BitwiseCopyable & Sendable>(_: T.Type) -> PreparedKernel {
            PreparedKernel { arguments in
                guard let pointer = value(arguments) else { return }
                let element = pointer.loadUnaligned(as: T.self)
                let result = arguments.output(0, T.self)
                arguments.parallel.forEach(count, grain: 1 << 16) { range in
                    (result + range.lowerBound).update(repeating: element, count: range.count)
                }
            }
        }
        switch call.outputs[0].dtype.byteCount {
        case 1: return kernel(UInt8.self)
        case 2: return kernel(UInt16.self)
        case 4: return kernel(UInt32.self)
        case 8: return kernel(UInt64.self)
        default: throw call.unsupported(call.outputs[0].dtype)
        }
    }

    private static func eye(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 0)
        let shape = call.outputs[0].shape
        guard shape.count == 2 else {
            throw call.error(.invalidShape, "the result expects 2 dimensions, found \(shape)")
        }
        let shift = try call.int("k")
        return try call.dispatch(
            call.outputs[0].dtype, allowingBool: true, EyeVisitor(rows: shape[0], columns: shape[1], shift: shift))
    }

    private struct EyeVisitor: StorageVisitor {
        let rows: Int
        let columns: Int
        let shift: Int

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (rows, columns, shift) = (rows, columns, shift)
            return PreparedKernel { arguments in
                let result = arguments.output(0, S.self)
                result.update(repeating: S(storing: .zero), count: rows * columns)
                for row in 0..<rows {
                    let (column, overflow) = row.addingReportingOverflow(shift)
                    if !overflow, column >= 0, column < columns { result[row * columns + column] = S(storing: .one) }
                }
            }
        }
    }

    private static func triangle(_ call: KernelCall, keepsLower: Bool) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        try call.requireOutput(0, shape)
        guard shape.count >= 2, call.outputs[0].dtype == call.inputs[0].dtype, call.inputs[0].dtype.byteCount > 0 else {
            throw call.error(.invalidShape, "expects 2 dimensions at least, found \(shape)")
        }
        let (rows, columns) = (shape[shape.count - 2], shape[shape.count - 1])
        let lines = call.inputs[0].count / max(columns, 1)
        let bytes = call.inputs[0].dtype.byteCount
        // Beyond these every element is on the same side.
        let shift = min(max(try call.int("k"), -rows - 1), columns + 1)
        return PreparedKernel { arguments in
            let (x, y) = (arguments.inputs[0], arguments.outputs[0])
            arguments.parallel.forEach(lines, grain: max(1, 16_384 / max(columns, 1))) { range in
                for line in range {
                    let row = line % rows
                    let kept =
                        keepsLower
                        ? 0..<min(max(row + shift + 1, 0), columns) : min(max(row + shift, 0), columns)..<columns
                    let start = line * columns * bytes
                    let target = UnsafeMutableRawBufferPointer(start: y + start, count: columns * bytes)
                    _ = target.initializeMemory(as: UInt8.self, repeating: 0)
                    (y + start + kept.lowerBound * bytes).copyMemory(
                        from: x + start + kept.lowerBound * bytes, byteCount: kept.count * bytes)
                }
            }
        }
    }

    private static func oneHot(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let (indices, result) = (call.inputs[0], call.outputs[0])
        let axis = try call.axis(try call.int("axis"), rank: result.shape.count)
        let depth = result.shape[axis]
        guard indices.dtype.isInteger, indices.count * depth == result.count, call.inputs.count != 2 else {
            throw call.error(.invalidShape, "indices \(indices.shape) do not give \(result.shape)")
        }
        let given = call.inputs.count >= 3
        var constants: [Constant] = []
        if given {
            for index in 1...2 where call.inputs[index].dtype != result.dtype || call.inputs[index].count != 1 {
                throw call.error(.invalidType, "input \(index) expects one \(result.dtype.name)")
            }
        } else {
            constants = try [1, 2].map { try Constant.filled(result.dtype, [], try call.number($0)) }
        }
        let (values, inner) = (constants, result.shape[(axis + 1)...].reduce(1, *))
        let (count, dtype) = (indices.count, indices.dtype)
        func kernel<T: BitwiseCopyable & Sendable>(_: T.Type) -> PreparedKernel {
            PreparedKernel { arguments in
                let on = given ? arguments.inputs[1] : values[0].bytes.baseAddress
                let off = given ? arguments.inputs[2] : values[1].bytes.baseAddress
                guard let on, let off else { return }
                let (yes, no) = (on.loadUnaligned(as: T.self), off.loadUnaligned(as: T.self))
                let (list, y) = (IndexList(base: arguments.inputs[0], dtype: dtype), arguments.output(0, T.self))
                y.update(repeating: no, count: count * depth)
                for index in 0..<count {
                    // Negative positions count from the end; what is out of range is nowhere.
                    let position = list[index] < 0 ? list[index] &+ depth : list[index]
                    guard position >= 0, position < depth else { continue }
                    y[(index / inner * depth + position) * inner + index % inner] = yes
                }
            }
        }
        switch result.dtype.byteCount {
        case 1: return kernel(UInt8.self)
        case 2: return kernel(UInt16.self)
        case 4: return kernel(UInt32.self)
        case 8: return kernel(UInt64.self)
        default: throw call.unsupported(result.dtype)
        }
    }
}
