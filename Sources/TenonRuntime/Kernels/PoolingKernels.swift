import TenonIR

/// Pooling over windows, with one or two spatial dimensions seen as three.
enum PoolingKernels {
    static let table: [(String, Kernels.Prepare)] = (1...3).flatMap { spatial -> [(String, Kernels.Prepare)] in
        [
            ("nn.max_pool\(spatial)d", { try windowed($0, isMax: true) }),
            ("nn.avg_pool\(spatial)d", { try windowed($0, isMax: false) }),
            ("nn.adaptive_max_pool\(spatial)d", { try adaptive($0, isMax: true) }),
            ("nn.adaptive_avg_pool\(spatial)d", { try adaptive($0, isMax: false) }),
        ]
    }

    /// What one position of the result covers along one axis: [first, last) of the source in steps, and how many taps
    /// count in a mean.
    struct Span: Sendable {
        var first: Int
        var count: Int
        var divisor: Int
    }

    private struct Plan: Sendable {
        var planes: Int
        var source: [Int]
        /// Spans per axis (depth, height, width), one per position of the result.
        var spans: [[Span]]
        var steps: [Int]
    }

    private static func sizes(_ call: KernelCall, outputs: Int = 1) throws -> (x: [Int], y: [Int], planes: Int) {
        try call.require(inputs: 1, outputs: outputs)
        let (x, y) = (call.inputs[0].shape, call.outputs[0].shape)
        guard (3...5).contains(x.count), x.count == y.count, x[..<2] == y[..<2],
            call.outputs[0].dtype == call.inputs[0].dtype
        else { throw call.error(.invalidShape, "data \(x) and result \(y) expect 3 to 5 dimensions alike") }
        return (Array(x[2...]), Array(y[2...]), x[0] * x[1])
    }

    private static func windowed(_ call: KernelCall, isMax: Bool) throws -> PreparedKernel {
        let windows = try windows(call)
        return try prepare(call, windows.planes, windows.source, windows.spans, windows.steps, isMax)
    }

    /// Spans per spatial axis of the call's data, one per position of the result.
    static func windows(
        _ call: KernelCall, outputs: Int = 1
    ) throws -> (planes: Int, source: [Int], spans: [[Span]], steps: [Int]) {
        let (x, y, planes) = try sizes(call, outputs: outputs)
        let window = try call.ints("pool_size", count: x.count)
        let strides = try call.ints("strides", count: x.count)
        let padding = try call.ints("padding", count: x.count * 2)
        let dilation = try call.ints("dilation", count: x.count)
        let countsPadding = call.bool("count_include_pad")
        let all = window + strides + padding + dilation
        guard all.allSatisfy({ $0 >= 0 && $0 <= Int32.max }), (window + strides + dilation).allSatisfy({ $0 > 0 }),
            (x + y).allSatisfy({ $0 <= Int32.max })
        else { throw call.error(.invalidShape, "a size, stride, pad or dilation is out of range") }
        for size in y { try KernelMemory.require(size, MemoryLayout<Span>.stride, call) }
        let spans = try x.indices.map { axis -> [Span] in
            let (size, step) = (x[axis], dilation[axis])
            return try (0..<y[axis]).map { position in
                if position & 0xffff == 0xffff { try Work.check() }
                let start = position * strides[axis] - padding[axis]
                let lowest = start >= 0 ? 0 : (-start + step - 1) / step
                let highest = size - 1 - start < 0 ? 0 : min(window[axis], (size - 1 - start) / step + 1)
                let count = max(0, highest - lowest)
                // Padding counts, but not what ceil_mode lets a window reach beyond it.
                let end = size + padding[axis + x.count]
                let padded = end - 1 - start < 0 ? 0 : min(window[axis], (end - 1 - start) / step + 1)
                return Span(first: start + lowest * step, count: count, divisor: countsPadding ? padded : count)
            }
        }
        return (planes, x, spans, dilation)
    }

    private static func adaptive(_ call: KernelCall, isMax: Bool) throws -> PreparedKernel {
        let (x, y, planes) = try sizes(call)
        guard (x + y).allSatisfy({ $0 <= Int32.max }) else { throw call.error(.invalidShape, "a size is out of range") }
        for size in y { try KernelMemory.require(size, MemoryLayout<Span>.stride, call) }
        let spans = try x.indices.map { axis -> [Span] in
            try (0..<y[axis]).map { position in
                if position & 0xffff == 0xffff { try Work.check() }
                let first = position * x[axis] / y[axis]
                let last = ((position + 1) * x[axis] + y[axis] - 1) / y[axis]
                return Span(first: first, count: last - first, divisor: last - first)
            }
        }
        return try prepare(call, planes, x, spans, x.map { _ in 1 }, isMax)
    }

    private static func prepare(
        _ call: KernelCall, _ planes: Int, _ source: [Int], _ spans: [[Span]], _ steps: [Int], _ isMax: Bool
    ) throws -> PreparedKernel {
        let missing = 3 - source.count
        let one = Span(first: 0, count: 1, divisor: 1)
        let plan = Plan(
            planes: planes, source: [Int](repeating: 1, count: missing) + source,
            spans: [[Span]](repeating: [one], count: missing) + spans,
            steps: [Int](repeating: 1, count: missing) + steps)
        return isMax
            ? try call.dispatch(call.inputs[0].dtype, Visitor<MaxReduction>(plan: plan))
            : try call.dispatch(call.inputs[0].dtype, Visitor<SumReduction>(plan: plan))
    }

    private struct Visitor<R: Reduction>: StorageVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let plan = plan
            let (depth, height, width) = (plan.spans[0].count, plan.spans[1].count, plan.spans[2].count)
            let line = plan.source[2]
            let area = plan.source[0] * plan.source[1] * line
            // Lines rounded up to cache lines, so that pieces do not share one.
            let lineElements = (line + 63) / 64 * 64
            let work = max(1, line * (plan.spans[1].first?.count ?? 1), width * (plan.spans[2].first?.count ?? 1))
            return PreparedKernel(scratchBytes: lineElements * Pieces.most * MemoryLayout<S.Value>.stride) {
                arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let scratch = arguments.scratch.assumingMemoryBound(to: S.Value.self)
                let limits = arguments.parallel.limits
                Pieces.forEach(
                    arguments.parallel, plan.planes * depth * height, grain: max(1, 16_384 / work)
                ) { piece, range in
                    var rest = Countdown(limits)
                    for index in range {
                        let (plane, position) = (index / (depth * height), index % (depth * height))
                        let (d, h) = (plan.spans[0][position / height], plan.spans[1][position % height])
                        let sums = scratch + piece * lineElements
                        PoolingKernels.gather(R.self, plan, x + plane * area, d, h, sums, &rest)
                        plan.spans[2].withUnsafeBufferPointer { spans in
                            PoolingKernels.finish(
                                R.self, spans, plan.steps[2], d.divisor * h.divisor, sums, y + index * width, &rest)
                        }
                        if rest.isOver { return }
                    }
                }
            }
        }
    }

    /// All lines that a row of windows meets, combined into one.
    @inline(never) private static func gather<R: Reduction, S: Storage>(
        _: R.Type, _ plan: Plan, _ plane: UnsafePointer<S>, _ d: Span, _ h: Span,
        _ sums: UnsafeMutablePointer<S.Value>, _ rest: inout Countdown
    ) {
        let (height, width) = (plan.source[1], plan.source[2])
        var isFirst = true
        for i in 0..<d.count {
            for j in 0..<h.count {
                if rest.isOver(after: width) { return }
                let line = plane + ((d.first + i * plan.steps[0]) * height + h.first + j * plan.steps[1]) * width
                if isFirst {
                    for index in 0..<width { sums[index] = line[index].value }
                } else {
                    for index in 0..<width { sums[index] = R.combine(sums[index], line[index].value) }
                }
                isFirst = false
            }
        }
        if isFirst {
            for index in 0..<width { sums[index] = R.start(S.Value.self) }
        }
    }

    /// The windows of one row. The maximum is exact; a sum becomes a mean.
    @inline(never) private static func finish<R: Reduction, S: Storage>(
        _: R.Type, _ spans: UnsafeBufferPointer<Span>, _ step: Int, _ divisor: Int, _ sums: UnsafePointer<S.Value>,
        _ row: UnsafeMutablePointer<S>, _ rest: inout Countdown
    ) {
        // The window in the middle is a whole one.
        let taps = spans.isEmpty ? 1 : spans[spans.count / 2].count &+ 1
        let part = max(1, Countdown.most / taps)
        var begin = 0
        while begin < spans.count {
            let end = min(spans.count, begin &+ part)
            if rest.isOver(after: (end &- begin) &* taps) { return }
            for position in begin..<end {
                let span = spans[position]
                var total = R.start(S.Value.self)
                for k in 0..<span.count { total = R.combine(total, sums[span.first &+ k &* step]) }
                if R.self == SumReduction.self {
                    // A window that meets nothing has the mean 0.
                    total = S.Value.divide(total, S.Value(converting: Int64(max(1, divisor &* span.divisor))))
                }
                row[position] = S(storing: total)
            }
            begin = end
        }
    }
}
