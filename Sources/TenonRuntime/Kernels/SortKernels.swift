import TenonIR

/// Sorting along an axis.
enum SortKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("sort", { try sorted($0, givesPositions: false) }),
        ("argsort", { try sorted($0, givesPositions: true) }),
    ]

    private struct Plan: Sendable {
        var slices: Slices
        var isDescending: Bool
        /// Outputs that get the values and the positions; nil for none.
        var values: Int?
        var positions: Int?
        var positionType: DataType
    }

    private static func sorted(_ call: KernelCall, givesPositions: Bool) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        let axis = try call.axis(try call.int("axis"), rank: shape.count)
        try call.requireOutput(0, shape)
        return try prepare(
            call,
            Plan(
                slices: Slices(shape, axis: axis), isDescending: call.bool("descending"),
                values: givesPositions ? nil : 0, positions: givesPositions ? 0 : nil,
                positionType: givesPositions ? call.outputs[0].dtype : .int64))
    }

    private static func prepare(_ call: KernelCall, _ plan: Plan) throws -> PreparedKernel {
        if let values = plan.values, call.outputs[values].dtype != call.inputs[0].dtype {
            throw call.unsupported(call.outputs[values].dtype)
        }
        guard plan.positionType == .int64 || plan.positionType == .int32 else {
            throw call.unsupported(plan.positionType)
        }
        return try call.dispatch(call.inputs[0].dtype, allowingBool: true, SortVisitor(plan: plan))
    }

    private struct SortVisitor: StorageVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (plan, length) = (plan, plan.slices.length)
            return PreparedKernel(scratchBytes: length * Pieces.most * MemoryLayout<Int>.stride) { arguments in
                let x = arguments.input(0, S.self)
                let scratch = arguments.scratch.assumingMemoryBound(to: Int.self)
                Pieces.forEach(arguments.parallel, plan.slices.count, grain: max(1, 512 / max(length, 1))) {
                    piece, range in
                    let order = UnsafeMutableBufferPointer(start: scratch + piece * length, count: length)
                    for slice in range {
                        let from = x + plan.slices.start(slice)
                        let step = plan.slices.step
                        for index in 0..<length { order[index] = index }
                        SortKernels.sort(order) { SortKernels.precedes(from, step, $0, $1, plan.isDescending) }
                        let start = plan.slices.start(slice)
                        if let output = plan.values {
                            let y = arguments.output(output, S.self) + start
                            for index in 0..<length { y[index * step] = from[order[index] * step] }
                        }
                        if let output = plan.positions {
                            write(order, length, arguments.outputs[output], plan.positionType, start, step)
                        }
                    }
                }
            }
        }

        private func write(
            _ order: UnsafeMutableBufferPointer<Int>, _ count: Int, _ output: UnsafeMutableRawPointer,
            _ dtype: DataType,
            _ start: Int, _ step: Int
        ) {
            for index in 0..<count {
                let place = start + index * step
                if dtype == .int64 {
                    output.storeBytes(of: Int64(order[index]), toByteOffset: place * 8, as: Int64.self)
                } else {
                    output.storeBytes(
                        of: Int32(truncatingIfNeeded: order[index]), toByteOffset: place * 4, as: Int32.self)
                }
            }
        }
    }

    /// Whether element `a` stands before element `b`: NaN counts as the largest, equal values keep their order.
    @inline(__always) private static func precedes<S: Storage>(
        _ x: UnsafePointer<S>, _ step: Int, _ a: Int, _ b: Int, _ isDescending: Bool
    ) -> Bool {
        let (p, q) = (x[a &* step].value, x[b &* step].value)
        if p.isNotANumber || q.isNotANumber {
            if p.isNotANumber && q.isNotANumber { return a < b }
            return isDescending ? p.isNotANumber : q.isNotANumber
        }
        if p == q { return a < b }
        return isDescending ? p > q : p < q
    }

    /// Heap sort: in place, and never worse than n log n.
    @inline(__always) private static func sort(
        _ order: UnsafeMutableBufferPointer<Int>, _ precedes: (Int, Int) -> Bool
    ) {
        let count = order.count
        func sink(_ start: Int, _ end: Int) {
            var root = start
            while true {
                var child = 2 &* root &+ 1
                if child >= end { return }
                if child &+ 1 < end, precedes(order[child], order[child &+ 1]) { child &+= 1 }
                if !precedes(order[root], order[child]) { return }
                order.swapAt(root, child)
                root = child
            }
        }
        for start in stride(from: count / 2 - 1, through: 0, by: -1) { sink(start, count) }
        for end in stride(from: count - 1, to: 0, by: -1) {
            order.swapAt(0, end)
            sink(0, end)
        }
    }
}
