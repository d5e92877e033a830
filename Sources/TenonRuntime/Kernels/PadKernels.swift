import TenonIR

/// Padding in all modes, by tables that say where each position of the result comes from.
enum PadKernels {
    static let table: [(String, Kernels.Prepare)] = [("nn.pad", pad)]

    private static func pad(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let (shape, target) = (call.inputs[0].shape, call.outputs[0].shape)
        let widths = try call.ints("pad_width", count: shape.count * 2)
        let mode = call.attributes.string("pad_mode") ?? "constant"
        let bytes = call.inputs[0].dtype.byteCount
        guard bytes > 0, call.outputs[0].dtype == call.inputs[0].dtype else {
            throw call.unsupported(call.inputs[0].dtype)
        }
        guard shape.count == target.count else {
            throw call.error(.invalidShape, "\(target) is not the shape of the result")
        }
        var sources: [[Int]] = []
        for axis in shape.indices {
            let (before, after) = (widths[axis * 2], widths[axis * 2 + 1])
            guard before.magnitude <= Int32.max, after.magnitude <= Int32.max,
                target[axis] == shape[axis] + before + after, mode == "constant" || shape[axis] > 0 || target[axis] == 0
            else {
                throw call.error(
                    .invalidShape,
                    "axis \(axis): \(shape[axis]) padded by \(before) and \(after) is not \(target[axis])")
            }
            try KernelMemory.require(target[axis], 8, call)
            sources.append((0..<target[axis]).map { source($0 - before, shape[axis], mode) })
        }
        // A scalar has one row of one element.
        if shape.isEmpty { sources.append([0]) }
        let steps = shape.isEmpty ? [1] : StridedCopy.steps(shape)
        let value = try Constant.filled(call.inputs[0].dtype, [], try call.float("pad_value"))
        let plan = Plan(sources: sources, steps: steps, value: value, sizes: sources.map(\.count))
        switch bytes {
        case 1: return plan.kernel(UInt8.self)
        case 2: return plan.kernel(UInt16.self)
        case 4: return plan.kernel(UInt32.self)
        default: return plan.kernel(UInt64.self)
        }
    }

    /// Where a position comes from, counted from the first element of the source; -1 for the constant.
    private static func source(_ position: Int, _ size: Int, _ mode: String) -> Int {
        if position >= 0, position < size { return position }
        switch mode {
        case "replicate": return position < 0 ? 0 : size - 1
        case "circular": return (position % size + size) % size
        case "reflect":
            if size == 1 { return 0 }
            let period = 2 * (size - 1)
            let phase = (position % period + period) % period
            return phase < size ? phase : period - phase
        default: return -1
        }
    }

    private struct Plan: Sendable {
        let sources: [[Int]]
        let steps: [Int]
        let value: Constant
        let sizes: [Int]

        func kernel<T: BitwiseCopyable & Sendable>(_: T.Type) -> PreparedKernel {
            let plan = self
            let inner = sizes[sizes.count - 1]
            let rows = sizes.dropLast().reduce(1, *)
            let columns = sources[sources.count - 1]
            // The longest run of neighbours is copied as a whole.
            let first = columns.firstIndex { $0 >= 0 && $0 + 1 < columns.count } ?? 0
            var last = columns.isEmpty ? 0 : first + 1
            while last < columns.count, columns[last] == columns[last - 1] + 1, columns[last] > 0 { last += 1 }
            let run = columns.isEmpty || columns[first] < 0 ? 0..<0 : first..<last
            return PreparedKernel { arguments in
                guard let bytes = plan.value.bytes.baseAddress else { return }
                let value = bytes.loadUnaligned(as: T.self)
                let (x, y) = (arguments.input(0, T.self), arguments.output(0, T.self))
                arguments.parallel.forEach(rows, grain: max(1, 16_384 / max(inner, 1))) { range in
                    for row in range {
                        let to = y + row * inner
                        guard let from = plan.offset(row) else {
                            to.update(repeating: value, count: inner)
                            continue
                        }
                        for index in 0..<run.lowerBound {
                            to[index] = columns[index] < 0 ? value : x[from + columns[index]]
                        }
                        if !run.isEmpty {
                            (to + run.lowerBound).update(from: x + from + columns[run.lowerBound], count: run.count)
                        }
                        for index in run.upperBound..<inner {
                            to[index] = columns[index] < 0 ? value : x[from + columns[index]]
                        }
                    }
                }
            }
        }

        /// First element of the source's row, nil when the whole row is constant.
        private func offset(_ row: Int) -> Int? {
            var rest = row
            var offset = 0
            for axis in stride(from: sizes.count - 2, through: 0, by: -1) {
                let source = sources[axis][rest % sizes[axis]]
                if source < 0 { return nil }
                offset += source * steps[axis]
                rest /= sizes[axis]
            }
            return offset
        }
    }
}
