import Glibc
import TenonIR

/// Batch normalisation, and normalisations along one axis.
enum BatchNormKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("nn.batch_norm", batchNorm), ("nn.lrn", localResponse), ("nn.lp_normalize", lpNormalize),
    ]

    private static func batchNorm(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 5, outputs: 3)
        let shape = call.inputs[0].shape
        let axis = try call.axis(try call.int("axis"), rank: shape.count)
        for index in 1...4 { try call.requireShape(index, [shape[axis]]) }
        try call.requireOutput(0, shape)
        for index in 1...2 { try call.requireOutput(index, [shape[axis]]) }
        for spec in call.inputs + call.outputs where spec.dtype != call.inputs[0].dtype {
            throw call.unsupported(spec.dtype)
        }
        return try call.dispatchReal(
            call.inputs[0].dtype,
            BatchNormVisitor(
                outer: shape[..<axis].reduce(1, *), channels: shape[axis], inner: shape[(axis + 1)...].reduce(1, *),
                epsilon: try call.float("epsilon"), momentum: try call.float("momentum"), scales: call.bool("scale"),
                shifts: call.bool("center"), trains: call.bool("training")))
    }

    private struct BatchNormVisitor: RealVisitor {
        let outer: Int
        let channels: Int
        let inner: Int
        let epsilon: Double
        let momentum: Double
        let scales: Bool
        let shifts: Bool
        let trains: Bool

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let norm = self
            return PreparedKernel(scratchBytes: channels * 2 * MemoryLayout<S.Value>.stride) { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let (mean, variance) = (arguments.input(3, S.self), arguments.input(4, S.self))
                let factors = arguments.scratch.assumingMemoryBound(to: S.Value.self)
                let offsets = factors + norm.channels
                for channel in 0..<norm.channels {
                    var (m, v) = (mean[channel].value.double, variance[channel].value.double)
                    if norm.trains {
                        let batch = norm.statistics(x, channel)
                        arguments.output(1, S.self)[channel] = S(
                            storing: S.Value(m * (1 - norm.momentum) + batch.mean * norm.momentum))
                        arguments.output(2, S.self)[channel] = S(
                            storing: S.Value(v * (1 - norm.momentum) + batch.variance * norm.momentum))
                        (m, v) = batch
                    } else {
                        arguments.output(1, S.self)[channel] = mean[channel]
                        arguments.output(2, S.self)[channel] = variance[channel]
                    }
                    let scale = norm.scales ? arguments.input(1, S.self)[channel].value.double : 1
                    let shift = norm.shifts ? arguments.input(2, S.self)[channel].value.double : 0
                    let factor = scale / (v + norm.epsilon).squareRoot()
                    factors[channel] = S.Value(factor)
                    offsets[channel] = S.Value(shift - m * factor)
                }
                norm.apply(x, y, factors, offsets, arguments.parallel)
            }
        }

        private func apply<S: Storage>(
            _ x: UnsafePointer<S>, _ y: UnsafeMutablePointer<S>, _ factors: UnsafePointer<S.Value>,
            _ offsets: UnsafePointer<S.Value>, _ parallel: Parallel
        ) where S.Value: RealNumber {
            if inner == 1 {
                // Channels last: neighbours have different factors.
                parallel.forEach(outer, grain: max(1, 16_384 / max(channels, 1))) { range in
                    for row in range {
                        let (from, to) = (x + row * channels, y + row * channels)
                        for index in 0..<channels {
                            to[index] = S(storing: from[index].value * factors[index] + offsets[index])
                        }
                    }
                }
            } else {
                parallel.forEach(outer * channels, grain: max(1, 16_384 / max(inner, 1))) { range in
                    for plane in range {
                        let (factor, offset) = (factors[plane % channels], offsets[plane % channels])
                        let (from, to) = (x + plane * inner, y + plane * inner)
                        for index in 0..<inner { to[index] = S(storing: from[index].value * factor + offset) }
                    }
                }
            }
        }

        private func statistics<S: Storage>(_ x: UnsafePointer<S>, _ channel: Int) -> (mean: Double, variance: Double) {
            func sum(_ map: (Double) -> Double) -> Double {
                var total = 0.0
                for row in 0..<outer {
                    let line = x + (row * channels + channel) * inner
                    for index in 0..<inner { total += map(line[index].value.double) }
                }
                return total / Double(outer * inner)
            }
            let mean = sum { $0 }
            return (mean, sum { ($0 - mean) * ($0 - mean) })
        }
    }

    private static func localResponse(_ call: KernelCall) throws -> PreparedKernel {
        let slices = try slices(call)
        let size = try call.int("size")
        guard size > 0, size <= Int32.max else { throw call.error(.invalidArgument, "'size' expects a number above 0") }
        return try call.dispatchReal(
            call.inputs[0].dtype,
            LocalResponseVisitor(
                slices: slices, size: size, alpha: try call.float("alpha"), beta: try call.float("beta"),
                bias: try call.float("bias")))
    }

    private static func slices(_ call: KernelCall) throws -> Slices {
        try call.require(inputs: 1)
        try call.requireOutput(0, call.inputs[0].shape)
        guard call.outputs[0].dtype == call.inputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
        let rank = call.inputs[0].shape.count
        return Slices(call.inputs[0].shape, axis: try call.axis(try call.int("axis"), rank: rank))
    }

    private struct LocalResponseVisitor: RealVisitor {
        let slices: Slices
        let size: Int
        let alpha: Double
        let beta: Double
        let bias: Double

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let norm = self
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let (length, step) = (norm.slices.length, norm.slices.step)
                let (before, after) = ((norm.size - 1) / 2, norm.size / 2)
                let limits = arguments.parallel.limits
                arguments.parallel.forEach(norm.slices.count, grain: max(1, 1024 / max(length, 1))) { range in
                    for slice in range {
                        let (from, to) = (x + norm.slices.start(slice), y + norm.slices.start(slice))
                        var rest = Countdown(limits)
                        for index in 0..<length {
                            if rest.isOver(after: min(norm.size, length)) { return }
                            var sum = 0.0
                            for other in max(0, index - before)...min(length - 1, index + after) {
                                let value = from[other * step].value.double
                                sum += value * value
                            }
                            let scale = pow(norm.bias + norm.alpha / Double(norm.size) * sum, norm.beta)
                            to[index * step] = S(storing: S.Value(from[index * step].value.double / scale))
                        }
                    }
                }
            }
        }
    }

    private static func lpNormalize(_ call: KernelCall) throws -> PreparedKernel {
        let slices = try slices(call)
        let p = try call.int("p")
        return try call.dispatchReal(call.inputs[0].dtype, LpNormalizeVisitor(slices: slices, isSquare: p == 2))
    }

    private struct LpNormalizeVisitor: RealVisitor {
        let slices: Slices
        let isSquare: Bool

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let (slices, isSquare) = (slices, isSquare)
            return PreparedKernel { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                arguments.parallel.forEach(slices.count, grain: max(1, 4096 / max(slices.length, 1))) { range in
                    for slice in range {
                        let (from, to) = (x + slices.start(slice), y + slices.start(slice))
                        var norm = 0.0
                        for index in 0..<slices.length {
                            let value = from[index * slices.step].value.double
                            norm += isSquare ? value * value : abs(value)
                        }
                        if isSquare { norm = norm.squareRoot() }
                        for index in 0..<slices.length {
                            let value = from[index * slices.step].value.double
                            to[index * slices.step] = S(storing: S.Value(norm == 0 ? 0 : value / norm))
                        }
                    }
                }
            }
        }
    }
}
