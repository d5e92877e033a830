import TenonIR

/// What runs along one axis: running sums and products, and positions of extremes.
enum LineKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("cumsum", { try cumulative($0, isProduct: false) }), ("cumprod", { try cumulative($0, isProduct: true) }),
        ("argmax", { try position($0, isMax: true) }), ("argmin", { try position($0, isMax: false) }),
    ]

    /// A tensor seen as lines along an axis: element `i` of line (o, k) is at (o × size + i) × inner + k.
    struct Lines: Sendable {
        var outer: Int
        var size: Int
        var inner: Int

        init(_ shape: [Int], axis: Int) {
            outer = shape[..<axis].reduce(1, *)
            size = shape[axis]
            inner = shape[(axis + 1)...].reduce(1, *)
        }

        /// Calls `body` with the number of each line and the place of its first element.
        @inline(__always) func forEach(_ parallel: Parallel, _ body: (_ line: Int, _ start: Int) -> Void) {
            let (size, inner) = (size, inner)
            parallel.forEach(outer * inner, grain: max(1, 16_384 / max(size, 1))) { range in
                for line in range { body(line, line / inner * size * inner + line % inner) }
            }
        }
    }

    private static func cumulative(_ call: KernelCall, isProduct: Bool) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let x = call.inputs[0]
        try call.requireOutput(0, x.shape)
        guard call.outputs[0].dtype == x.dtype else {
            throw call.error(.unsupported, "no kernel that gives \(call.outputs[0].dtype.name) from \(x.dtype.name)")
        }
        let axis = try call.axis(try call.int("axis"), rank: x.shape.count)
        return try call.dispatch(
            x.dtype,
            CumulativeVisitor(
                lines: Lines(x.shape, axis: axis), isProduct: isProduct, isExclusive: call.bool("exclusive"),
                isReverse: call.bool("reverse")))
    }

    private struct CumulativeVisitor: StorageVisitor {
        let lines: Lines
        let isProduct: Bool
        let isExclusive: Bool
        let isReverse: Bool

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (lines, isProduct, isExclusive) = (lines, isProduct, isExclusive)
            let step = isReverse ? -lines.inner : lines.inner
            let first = isReverse ? (lines.size - 1) * lines.inner : 0
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let limits = arguments.parallel.limits
                lines.forEach(arguments.parallel) { _, start in
                    var rest = Countdown(limits)
                    var total = isProduct ? S.Value.one : S.Value.zero
                    var place = start + first
                    var begin = 0
                    while begin < lines.size {
                        let end = min(lines.size, begin + Countdown.most)
                        for _ in begin..<end {
                            let value = x[place].value
                            let next = isProduct ? S.Value.multiply(total, value) : S.Value.add(total, value)
                            y[place] = S(storing: isExclusive ? total : next)
                            total = next
                            place &+= step
                        }
                        if rest.isOver(after: end - begin) { return }
                        begin = end
                    }
                }
            }
        }
    }

    private static func position(_ call: KernelCall, isMax: Bool) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let x = call.inputs[0]
        let lines: Lines
        if let axis = call.attributes.int("axis") {
            lines = Lines(x.shape, axis: try call.axis(Int(axis), rank: x.shape.count))
        } else {
            lines = Lines([x.count], axis: 0)
        }
        guard call.outputs[0].dtype == .int64, call.outputs[0].count == lines.outer * lines.inner else {
            throw call.error(.invalidShape, "the result \(call.outputs[0].shape) does not fit \(x.shape)")
        }
        guard lines.size > 0 || call.outputs[0].count == 0 else {
            throw call.error(.invalidShape, "nothing to choose from in \(x.shape)")
        }
        return try call.dispatch(
            x.dtype, allowingBool: true,
            PositionVisitor(lines: lines, isMax: isMax, takesLast: call.bool("select_last_index")))
    }

    private struct PositionVisitor: StorageVisitor {
        let lines: Lines
        let isMax: Bool
        let takesLast: Bool

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (lines, isMax, takesLast) = (lines, isMax, takesLast)
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, Int64.self))
                let limits = arguments.parallel.limits
                guard lines.size > 0 else { return }
                lines.forEach(arguments.parallel) { line, start in
                    var best = x[start].value
                    var found = 0
                    var place = start
                    var rest = Countdown(limits)
                    var begin = 1
                    scan: while begin < lines.size {
                        let end = min(lines.size, begin + Countdown.most)
                        if rest.isOver(after: end - begin) { return }
                        for index in begin..<end {
                            place &+= lines.inner
                            let value = x[place].value
                            // The first NaN wins, as in NumPy.
                            if best.isNotANumber { break scan }
                            let isBetter = isMax ? value > best : value < best
                            if isBetter || value.isNotANumber || (takesLast && value == best) {
                                best = value
                                found = index
                            }
                        }
                        begin = end
                    }
                    y[line] = Int64(found)
                }
            }
        }
    }
}
