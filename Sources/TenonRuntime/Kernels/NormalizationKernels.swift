import Glibc
import TenonIR

/// Normalisations whose statistics come from the data: layer, RMS, instance and group norm.
enum NormalizationKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("nn.layer_norm", { try layer($0, isRMS: false) }), ("nn.rms_norm", { try layer($0, isRMS: true) }),
        ("nn.instance_norm", { try grouped($0, groups: nil) }),
        ("nn.group_norm", { try grouped($0, groups: try $0.int("num_groups")) }),
    ]

    /// Operands of both loops: data (and result), scale, shift.
    struct Plan: Sendable {
        /// Over the slices that have statistics of their own.
        var kept: BroadcastLoop
        /// Over the values of one slice.
        var reduced: BroadcastLoop
        var length: Int
        var epsilon: Double
        var isRMS: Bool
        var scales: Bool
        var shifts: Bool
    }

    private static func layer(_ call: KernelCall, isRMS: Bool) throws -> PreparedKernel {
        try call.require(inputs: isRMS ? 2 : 3)
        let shape = call.inputs[0].shape
        let axes = try call.ints("axes").map { try call.axis($0, rank: shape.count) }
        if let rows = try RowKernels.norm(call, axes: axes, isRMS: isRMS) { return rows }
        guard Set(axes).count == axes.count else { throw call.error(.invalidArgument, "'axes' lists an axis twice") }
        let steps = StridedCopy.steps(shape)
        let sizes = axes.map { shape[$0] }
        var operands = [axes.map { steps[$0] }]
        for index in 1...2 {
            guard index < call.inputs.count else {
                operands.append(sizes.map { _ in 0 })
                continue
            }
            let given = call.inputs[index].shape
            guard given.count <= sizes.count else {
                throw call.error(.invalidShape, "input \(index) expects shape \(sizes), found \(given)")
            }
            let own = StridedCopy.steps(given)
            var broadcast = [Int](repeating: 0, count: sizes.count)
            for (position, size) in given.enumerated() {
                let target = position + sizes.count - given.count
                guard size == sizes[target] || size == 1 else {
                    throw call.error(.invalidShape, "input \(index) expects shape \(sizes), found \(given)")
                }
                if size != 1 { broadcast[target] = own[position] }
            }
            operands.append(broadcast)
        }
        let kept = shape.indices.filter { !axes.contains($0) }
        let none = kept.map { _ in 0 }
        return try prepare(
            call,
            Plan(
                kept: BroadcastLoop(sizes: kept.map { shape[$0] }, steps: [kept.map { steps[$0] }, none, none]),
                reduced: BroadcastLoop(sizes: sizes, steps: operands), length: sizes.reduce(1, *),
                epsilon: try call.float("epsilon"), isRMS: isRMS, scales: isRMS || call.bool("scale"),
                shifts: !isRMS && call.bool("center")))
    }

    private static func grouped(_ call: KernelCall, groups: Int?) throws -> PreparedKernel {
        try call.require(inputs: 3)
        let shape = call.inputs[0].shape
        let channel = try call.axis(try call.int("channel_axis"), rank: shape.count)
        let axes = try call.axes("axes", rank: shape.count)
        try call.requireShape(1, [shape[channel]])
        try call.requireShape(2, [shape[channel]])
        let groups = groups ?? shape[channel]
        guard !axes.contains(channel), groups > 0 || shape[channel] == 0, shape[channel] % max(groups, 1) == 0 else {
            throw call.error(.invalidArgument, "\(groups) groups do not divide \(shape[channel]) channels")
        }
        let each = shape[channel] / max(groups, 1)
        let steps = StridedCopy.steps(shape)
        // The channels are two dimensions here: groups, which are kept, and channels of a group, which are not.
        var (keptSizes, keptSteps, keptParameters): ([Int], [Int], [Int]) = ([], [], [])
        for axis in shape.indices where !axes.contains(axis) {
            keptSizes.append(axis == channel ? groups : shape[axis])
            keptSteps.append(axis == channel ? steps[axis] * each : steps[axis])
            keptParameters.append(axis == channel ? each : 0)
        }
        let sizes = [each] + axes.map { shape[$0] }
        let parameters = [1] + axes.map { _ in 0 }
        return try prepare(
            call,
            Plan(
                kept: BroadcastLoop(sizes: keptSizes, steps: [keptSteps, keptParameters, keptParameters]),
                reduced: BroadcastLoop(
                    sizes: sizes, steps: [[steps[channel]] + axes.map { steps[$0] }, parameters, parameters]),
                length: sizes.reduce(1, *), epsilon: try call.float("epsilon"), isRMS: false,
                scales: call.bool("scale"), shifts: call.bool("center")))
    }

    private static func prepare(_ call: KernelCall, _ plan: Plan) throws -> PreparedKernel {
        try call.requireOutput(0, call.inputs[0].shape)
        for input in call.inputs where input.dtype != call.inputs[0].dtype { throw call.unsupported(input.dtype) }
        guard call.outputs[0].dtype == call.inputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
        return try call.dispatchReal(call.inputs[0].dtype, Visitor(plan: plan))
    }

    private struct Visitor: RealVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let plan = plan
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let scale = plan.scales ? arguments.input(1, S.self) : nil
                let shift = plan.shifts ? arguments.input(2, S.self) : nil
                let (inner, rows) = (plan.kept.inner, plan.kept.rows)
                guard inner > 0, plan.length > 0 else { return }
                let grain = max(1, 8192 / plan.length)
                arguments.parallel.forEach(rows * inner, grain: grain) { range in
                    // Whole and part rows of the outer loop alike: a row is entered where the range begins.
                    let first = range.lowerBound / inner
                    let last = (range.upperBound - 1) / inner
                    plan.kept.forEachRow(first..<last + 1) { row, startX, startScale, startShift in
                        let begin = max(range.lowerBound, row * inner) - row * inner
                        let end = min(range.upperBound, (row + 1) * inner) - row * inner
                        for index in begin..<end {
                            normalise(
                                plan, x + startX + index * plan.kept.innerStep(0),
                                y + startX + index * plan.kept.innerStep(0),
                                scale.map { $0 + startScale + index * plan.kept.innerStep(1) },
                                shift.map { $0 + startShift + index * plan.kept.innerStep(2) })
                        }
                    }
                }
            }
        }
    }

    @inline(__always) private static func normalise<S: Storage>(
        _ plan: Plan, _ x: UnsafePointer<S>, _ y: UnsafeMutablePointer<S>, _ scale: UnsafePointer<S>?,
        _ shift: UnsafePointer<S>?
    ) where S.Value: RealNumber {
        let loop = plan.reduced
        let (inner, rows) = (loop.inner, loop.rows)
        let (stepX, stepScale, stepShift) = (loop.innerStep(0), loop.innerStep(1), loop.innerStep(2))
        let count = Double(plan.length)
        var mean = 0.0
        if !plan.isRMS {
            loop.forEachRow(0..<rows) { _, a, _, _ in mean += total(x + a, inner, stepX) }
            mean /= count
        }
        var squares = 0.0
        loop.forEachRow(0..<rows) { _, a, _, _ in squares += squaredDistance(x + a, inner, stepX, mean) }
        let factor = S.Value(1 / (squares / count + plan.epsilon).squareRoot())
        let center = S.Value(mean)
        loop.forEachRow(0..<rows) { _, a, b, c in
            let (from, to) = (x + a, y + a)
            if let scale, let shift, stepX == 1, stepScale == 1, stepShift == 1 {
                let (g, s) = (scale + b, shift + c)
                for index in 0..<inner {
                    to[index] = S(storing: (from[index].value - center) * factor * g[index].value + s[index].value)
                }
            } else {
                for index in 0..<inner {
                    var value = (from[index &* stepX].value - center) * factor
                    if let scale { value *= scale[b &+ index &* stepScale].value }
                    if let shift { value += shift[c &+ index &* stepShift].value }
                    to[index &* stepX] = S(storing: value)
                }
            }
        }
    }

    @inline(__always) private static func total<S: Storage>(_ x: UnsafePointer<S>, _ count: Int, _ step: Int) -> Double
    {
        if S.self == Float.self, step == 1 {
            let x = UnsafeRawPointer(x).assumingMemoryBound(to: Float.self)
            var sums = Vector.zero
            var index = 0
            while index &+ 8 <= count {
                sums += Vector(loading: x + index)
                index &+= 8
            }
            var total = Double(sums.sum())
            while index < count {
                total += Double(x[index])
                index &+= 1
            }
            return total
        }
        var total = 0.0
        for index in 0..<count { total += x[index &* step].value.double }
        return total
    }

    @inline(__always) private static func squaredDistance<S: Storage>(
        _ x: UnsafePointer<S>, _ count: Int, _ step: Int, _ mean: Double
    ) -> Double {
        if S.self == Float.self, step == 1 {
            let x = UnsafeRawPointer(x).assumingMemoryBound(to: Float.self)
            let center = Vector(repeating: Float(mean))
            var sums = Vector.zero
            var index = 0
            while index &+ 8 <= count {
                let distance = Vector(loading: x + index) - center
                sums += distance * distance
                index &+= 8
            }
            var total = Double(sums.sum())
            while index < count {
                let distance = Double(x[index]) - mean
                total += distance * distance
                index &+= 1
            }
            return total
        }
        var total = 0.0
        for index in 0..<count {
            let distance = x[index &* step].value.double - mean
            total += distance * distance
        }
        return total
    }
}
