import TenonIR

/// Data with elements or slices replaced by, or combined with, updates. Updates to one place apply in their order.
enum ScatterKernels {
    static let table: [(String, Kernels.Prepare)] = [("scatter_elements", elements), ("scatter_nd", slices)]

    private enum Reduction: Sendable {
        case update, add, mul, min, max

        init(_ call: KernelCall) {
            switch call.attributes.string("reduction") {
            case "add": self = .add
            case "mul": self = .mul
            case "min": self = .min
            case "max": self = .max
            default: self = .update
            }
        }
    }

    private static func elements(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 3)
        let (data, indices) = (call.inputs[0], call.inputs[1])
        let place = try ElementPlaces(call, data.shape, indices)
        try check(call, updates: indices.shape)
        return try call.dispatch(
            data.dtype, allowingBool: true,
            Visitor(
                bytes: data.byteCount, count: place.count, slice: 1, dtype: indices.dtype, reduction: Reduction(call),
                check: { try place.check($0) }, offset: { place.offset($0, $1) }))
    }

    private static func slices(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 3)
        let (data, indices) = (call.inputs[0], call.inputs[1])
        let place = try SlicePlaces(call, data.shape, indices, batch: 0)
        try check(call, updates: place.resultShape)
        return try call.dispatch(
            data.dtype, allowingBool: true,
            Visitor(
                bytes: data.byteCount, count: place.rows, slice: place.slice, dtype: indices.dtype,
                reduction: Reduction(call), check: { try place.check($0) }, offset: { place.offset($0, $1) }))
    }

    private static func check(_ call: KernelCall, updates: [Int]) throws {
        try call.requireOutput(0, call.inputs[0].shape)
        try call.requireSameType(0, 2)
        guard call.inputs[2].shape == updates, call.outputs[0].dtype == call.inputs[0].dtype else {
            throw call.error(.invalidShape, "updates expect shape \(updates), found \(call.inputs[2].shape)")
        }
    }

    private struct Visitor: StorageVisitor {
        let bytes: Int
        let count: Int
        let slice: Int
        let dtype: DataType
        let reduction: Reduction
        let check: @Sendable (IndexList) throws -> Void
        let offset: @Sendable (Int, IndexList) -> Int

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (bytes, count, slice, dtype, reduction) = (bytes, count, slice, dtype, reduction)
            let (check, offset) = (check, offset)
            return PreparedKernel { arguments in
                let list = IndexList(base: arguments.inputs[1], dtype: dtype)
                try check(list)
                if bytes > 0 { arguments.outputs[0].copyMemory(from: arguments.inputs[0], byteCount: bytes) }
                let (updates, y) = (arguments.input(2, S.self), arguments.output(0, S.self))
                for row in 0..<(slice > 0 ? count : 0) {
                    let (from, to) = (updates + row * slice, y + offset(row, list))
                    for k in 0..<slice {
                        let (old, new) = (to[k].value, from[k].value)
                        let value: S.Value
                        switch reduction {
                        case .update: value = new
                        case .add: value = S.Value.add(old, new)
                        case .mul: value = S.Value.multiply(old, new)
                        case .min: value = S.Value.smaller(new, old)
                        case .max: value = S.Value.larger(new, old)
                        }
                        to[k] = S(storing: value)
                    }
                }
            }
        }
    }
}
