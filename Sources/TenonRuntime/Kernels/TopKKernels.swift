import TenonIR

/// The k largest or smallest values along an axis, in order, and their positions; equal values by position.
enum TopKKernels {
    static let table: [(String, Kernels.Prepare)] = [("topk", topK)]

    private static func topK(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1, outputs: 2)
        let x = call.inputs[0]
        let axis = try call.axis(try call.int("axis"), rank: x.shape.count)
        let k = try call.int("k")
        var shape = x.shape
        guard k >= 0, k <= shape[axis] else {
            throw call.error(.invalidArgument, "k expects 0 to \(shape[axis]), found \(k)")
        }
        shape[axis] = k
        try call.requireOutput(0, shape)
        try call.requireOutput(1, shape)
        guard call.outputs[0].dtype == x.dtype, [.int64, .int32].contains(call.outputs[1].dtype) else {
            throw call.error(.unsupported, "no kernel for positions as \(call.outputs[1].dtype.name)")
        }
        return try call.dispatch(
            x.dtype, allowingBool: true,
            Visitor(
                lines: LineKernels.Lines(x.shape, axis: axis), k: k, isLargest: call.bool("largest"),
                isWide: call.outputs[1].dtype == .int64))
    }

    private struct Visitor: StorageVisitor {
        let lines: LineKernels.Lines
        let k: Int
        let isLargest: Bool
        let isWide: Bool

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (lines, k, isLargest, isWide) = (lines, k, isLargest, isWide)
            let bytes = k * MemoryLayout<Int>.stride
            return PreparedKernel(scratchBytes: Pieces.most * bytes) { arguments in
                guard k > 0 else { return }
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let scratch = arguments.scratch
                let positions = arguments.outputs[1]
                Pieces.forEach(arguments.parallel, lines.outer * lines.inner, grain: 16) { piece, range in
                    let heap = (scratch + piece * bytes).assumingMemoryBound(to: Int.self)
                    for line in range {
                        let (outer, inner) = (line / lines.inner, line % lines.inner)
                        let source = x + (outer * lines.size * lines.inner + inner)
                        let best = Best<S>(
                            heap: heap, capacity: k, line: source, stride: lines.inner, isLargest: isLargest)
                        best.fill(lines.size, arguments.parallel.limits)
                        for rank in 0..<k {
                            let place = (outer * k + rank) * lines.inner + inner
                            y[place] = source[heap[rank] * lines.inner]
                            if isWide {
                                positions.storeBytes(of: Int64(heap[rank]), toByteOffset: place * 8, as: Int64.self)
                            } else {
                                positions.storeBytes(
                                    of: Int32(truncatingIfNeeded: heap[rank]), toByteOffset: place * 4, as: Int32.self)
                            }
                        }
                    }
                }
            }
        }
    }

    /// A heap of positions whose root is the worst one kept.
    private struct Best<S: Storage> {
        let heap: UnsafeMutablePointer<Int>
        let capacity: Int
        let line: UnsafePointer<S>
        let stride: Int
        let isLargest: Bool

        /// Whether position `a` comes before position `b` in the result; NaN counts as the largest.
        @inline(__always) private func isBefore(_ a: Int, _ b: Int) -> Bool {
            let (x, y) = (line[a &* stride].value, line[b &* stride].value)
            if x.isNotANumber != y.isNotANumber { return x.isNotANumber == isLargest }
            if x < y { return !isLargest }
            if y < x { return isLargest }
            return a < b
        }

        @inline(__always) private func swap(_ a: Int, _ b: Int) {
            let kept = heap[a]
            heap[a] = heap[b]
            heap[b] = kept
        }

        private func sink(_ from: Int, _ count: Int) {
            var node = from
            while true {
                var worst = node
                for child in [2 &* node &+ 1, 2 &* node &+ 2] where child < count && isBefore(heap[worst], heap[child])
                {
                    worst = child
                }
                if worst == node { return }
                swap(node, worst)
                node = worst
            }
        }

        /// Leaves the best of `size` positions in the heap, in order.
        func fill(_ size: Int, _ limits: WorkLimits?) {
            /// Asked now and then: a line may be as long as the tensor.
            func isOver(_ step: Int) -> Bool { step & 0xffff == 0 && limits?.isOver == true }
            for position in 0..<capacity { heap[position] = position }
            for node in (0..<capacity / 2).reversed() {
                if isOver(node) { return }
                sink(node, capacity)
            }
            for position in capacity..<max(size, capacity) {
                if isOver(position) { return }
                guard isBefore(position, heap[0]) else { continue }
                heap[0] = position
                sink(0, capacity)
            }
            for last in (1..<max(capacity, 1)).reversed() {
                if isOver(last) { return }
                swap(0, last)
                sink(0, last)
            }
        }
    }
}
