import TenonIR

/// Largest values of windows and where they stand, with one or two spatial dimensions seen as three.
enum MaxPoolIndicesKernels {
    static let table: [(String, Kernels.Prepare)] = (1...3).map { ("nn.max_pool\($0)d_with_indices", prepare) }

    private struct Plan: Sendable {
        var planes: Int
        var spans: [[PoolingKernels.Span]]
        var steps: [Int]
        /// Elements from one position to the next per axis, in memory and as positions are counted.
        var strides: [Int]
        var counted: [Int]
        var area: Int
    }

    private static func prepare(_ call: KernelCall) throws -> PreparedKernel {
        let windows = try PoolingKernels.windows(call, outputs: 2)
        try call.requireOutput(1, call.outputs[0].shape)
        guard call.outputs[1].dtype == .int64 else { throw call.unsupported(call.outputs[1].dtype) }
        let missing = 3 - windows.source.count
        let source = [Int](repeating: 1, count: missing) + windows.source
        let one = PoolingKernels.Span(first: 0, count: 1, divisor: 1)
        let strides = [source[1] * source[2], source[2], 1]
        let plan = Plan(
            planes: windows.planes, spans: [[PoolingKernels.Span]](repeating: [one], count: missing) + windows.spans,
            steps: [Int](repeating: 1, count: missing) + windows.steps, strides: strides,
            counted: call.bool("column_major") ? [1, source[0], source[0] * source[1]] : strides,
            area: source[0] * source[1] * source[2])
        return try call.dispatch(call.inputs[0].dtype, Visitor(plan: plan))
    }

    private struct Visitor: StorageVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let plan = plan
            let sizes = plan.spans.map(\.count)
            let row = sizes[2]
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let places = arguments.outputs[1].assumingMemoryBound(to: Int64.self)
                let limits = arguments.parallel.limits
                Pieces.forEach(arguments.parallel, plan.planes * sizes[0] * sizes[1], grain: max(1, 1024 / max(1, row)))
                {
                    _, range in
                    var rest = Countdown(limits)
                    for index in range {
                        let (plane, line) = (index / (sizes[0] * sizes[1]), index % (sizes[0] * sizes[1]))
                        let (d, h) = (plan.spans[0][line / sizes[1]], plan.spans[1][line % sizes[1]])
                        for position in 0..<row {
                            let found = MaxPoolIndicesKernels.largest(
                                x + plane * plan.area, plan, d, h, plan.spans[2][position], &rest)
                            if rest.isOver { return }
                            y[index * row + position] = S(storing: found.value)
                            places[index * row + position] =
                                found.place < 0 ? -1 : Int64(plane * plan.area + found.place)
                        }
                    }
                }
            }
        }
    }

    /// The first of the largest values; NaN wins.
    @inline(__always) private static func largest<S: Storage>(
        _ plane: UnsafePointer<S>, _ plan: Plan, _ d: PoolingKernels.Span, _ h: PoolingKernels.Span,
        _ w: PoolingKernels.Span, _ rest: inout Countdown
    ) -> (value: S.Value, place: Int) {
        var best = (value: S.Value.lowest, place: -1)
        for i in 0..<d.count {
            let z = d.first + i * plan.steps[0]
            for j in 0..<h.count {
                if rest.isOver(after: w.count) { return best }
                let y = h.first + j * plan.steps[1]
                for k in 0..<w.count {
                    let x = w.first + k * plan.steps[2]
                    let value = plane[z * plan.strides[0] + y * plan.strides[1] + x].value
                    guard best.place < 0 || value > best.value || value.isNotANumber && !best.value.isNotANumber else {
                        continue
                    }
                    best = (value, z * plan.counted[0] + y * plan.counted[1] + x * plan.counted[2])
                }
            }
        }
        return best
    }
}
