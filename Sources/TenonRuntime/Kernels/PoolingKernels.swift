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

    private static func sizes(_ call: KernelCall) throws -> (x: [Int], y: [Int], planes: Int) {
        try call.require(inputs: 1)
        let (x, y) = (call.inputs[0].shape, call.outputs[0].shape)
        guard (3...5).contains(x.count), x.count == y.count, x[..<2] == y[..<2],
            call.outputs[0].dtype == call.inputs[0].dtype
        else { throw call.error(.invalidShape, "data \(x) and result \(y) expect 3 to 5 dimensions alike") }
        return (Array(x[2...]), Array(y[2...]), x[0] * x[1])
    }

    private static func windowed(_ call: KernelCall, isMax: Bool) throws -> PreparedKernel {
        let (x, y, planes) = try sizes(call)
        let window = try call.ints("pool_size", count: x.count)
        let strides = try call.ints("strides", count: x.count)
        let padding = try call.ints("padding", count: x.count * 2)
        let dilation = try call.ints("dilation", count: x.count)
        let countsPadding = call.bool("count_include_pad")
        let all = window + strides + padding + dilation
        guard all.allSatisfy({ $0 >= 0 && $0 <= Int32.max }), (window + strides + dilation).allSatisfy({ $0 > 0 }),
            (x + y).allSatisfy({ $0 <= Int32.max })
        else { throw call.error(.invalidShape, "a size, stride, pad or dilation is out of range") }
        let spans = x.indices.map { axis -> [Span] in
            let (size, step) = (x[axis], dilation[axis])
            return (0..<y[axis]).map { position in
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
        return try prepare(call, planes, x, spans, dilation, isMax)
    }

    private static func adaptive(_ call: KernelCall, isMax: Bool) throws -> PreparedKernel {
        let (x, y, planes) = try sizes(call)
        guard (x + y).allSatisfy({ $0 <= Int32.max }) else { throw call.error(.invalidShape, "a size is out of range") }
        let spans = x.indices.map { axis -> [Span] in
            (0..<y[axis]).map { position in
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
            ? try call.dispatch(call.inputs[0].dtype, MaxVisitor(plan: plan))
            : try call.dispatch(call.inputs[0].dtype, MeanVisitor(plan: plan))
    }

    /// Calls `body` for each row of the result with the plane's first element and the spans of depth and height.
    @inline(__always) private static func forEachRow<S: Storage>(
        _ plan: Plan, _ x: UnsafePointer<S>, _ y: UnsafeMutablePointer<S>, _ parallel: Parallel,
        _ body: (_ plane: UnsafePointer<S>, _ d: Span, _ h: Span, _ row: UnsafeMutablePointer<S>) -> Void
    ) {
        let (depth, height, width) = (plan.spans[0].count, plan.spans[1].count, plan.spans[2].count)
        let area = plan.source[0] * plan.source[1] * plan.source[2]
        let work = max(1, plan.source[2] * (plan.spans[1].first?.count ?? 1))
        parallel.forEach(plan.planes * depth * height, grain: max(1, 16_384 / work)) { range in
            for index in range {
                let (plane, line) = (index / (depth * height), index % (depth * height))
                body(
                    x + plane * area, plan.spans[0][line / height], plan.spans[1][line % height], y + index * width)
            }
        }
    }

    private struct MaxVisitor: StorageVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let plan = plan
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let (height, width) = (plan.source[1], plan.source[2])
                forEachRow(plan, x, y, arguments.parallel) { plane, d, h, row in
                    plan.spans[2].withUnsafeBufferPointer { spans in
                        for position in 0..<spans.count {
                            let w = spans[position]
                            var best = S.Value.lowest
                            for i in 0..<d.count {
                                for j in 0..<h.count {
                                    let line =
                                        plane
                                        + ((d.first &+ i &* plan.steps[0]) &* height &+ h.first &+ j &* plan.steps[1])
                                        &* width
                                    for k in 0..<w.count {
                                        best = S.Value.larger(line[w.first &+ k &* plan.steps[2]].value, best)
                                    }
                                }
                            }
                            row[position] = S(storing: best)
                        }
                    }
                }
            }
        }
    }

    private struct MeanVisitor: StorageVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let plan = plan
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let (height, width) = (plan.source[1], plan.source[2])
                forEachRow(plan, x, y, arguments.parallel) { plane, d, h, row in
                    plan.spans[2].withUnsafeBufferPointer { spans in
                        for position in 0..<spans.count {
                            let w = spans[position]
                            var sum = S.Value.zero
                            for i in 0..<d.count {
                                for j in 0..<h.count {
                                    let line =
                                        plane
                                        + ((d.first &+ i &* plan.steps[0]) &* height &+ h.first &+ j &* plan.steps[1])
                                        &* width
                                    for k in 0..<w.count {
                                        sum = S.Value.add(sum, line[w.first &+ k &* plan.steps[2]].value)
                                    }
                                }
                            }
                            // A window that meets nothing has the mean 0.
                            let divisor = max(1, d.divisor &* h.divisor &* w.divisor)
                            row[position] = S(storing: S.Value.divide(sum, S.Value(converting: Int64(divisor))))
                        }
                    }
                }
            }
        }
    }
}
