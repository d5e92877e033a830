import TenonIR

/// Reads normalisations off arithmetic.
struct NormalizationReader {
    let reader: Reader

    init(_ reader: Reader) { self.reader = reader }

    struct Normalization {
        var x: Operand
        /// Counted from the end: [-1], [-2, -1].
        var axes: [Int64]
        var epsilon: Double
        var isCentred: Bool
        /// Of the squares their sum is taken, not their mean.
        var isSum = false
    }

    struct Bare {
        var name: String
        var arguments: [Operand]
        var attributes: Attributes
        var hasUnitScale: Bool
        var hasNoShift: Bool
    }

    /// d / sqrt(mean(d²) + ε), d · rsqrt(mean(d²) + ε), d · (1 / sqrt(…)); d is x - mean(x) or x itself.
    func normalized(_ call: Call, _ op: String) -> Normalization? {
        for position in op == "divide" ? 0...0 : 0...1 {
            let d = call.arguments[position]
            let factor = call.arguments[1 - position]
            guard let variance = op == "divide" ? underRoot(factor) : underReciprocalRoot(factor),
                let mean = epsilonAndMean(variance, of: d)
            else { continue }
            if mean.isVariance {
                guard let x = centred(d, axes: mean.axes), x == mean.of else { continue }
                return Normalization(x: x, axes: mean.axes, epsilon: mean.epsilon, isCentred: true)
            }
            if mean.isSum {
                // Without a number the arithmetic is `lp_normalize`.
                if mean.epsilon == 0 { continue }
                return Normalization(x: d, axes: mean.axes, epsilon: mean.epsilon, isCentred: false, isSum: true)
            }
            if let x = centred(d, axes: mean.axes) {
                return Normalization(x: x, axes: mean.axes, epsilon: mean.epsilon, isCentred: true)
            }
            return Normalization(x: d, axes: mean.axes, epsilon: mean.epsilon, isCentred: false)
        }
        return nil
    }

    func underRoot(_ operand: Operand) -> Operand? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        if name == "sqrt" { return call.arguments[0] }
        if name == "power", reader.number(call.arguments[1]) == 0.5 { return call.arguments[0] }
        return nil
    }

    func underReciprocalRoot(_ operand: Operand) -> Operand? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        switch name {
        case "rsqrt": return call.arguments[0]
        case "reciprocal": return underRoot(call.arguments[0])
        case "power": return reader.number(call.arguments[1]) == -0.5 ? call.arguments[0] : nil
        case "divide": return reader.number(call.arguments[0]) == 1 ? underRoot(call.arguments[1]) : nil
        default: return nil
        }
    }

    private struct MeanSquare {
        var axes: [Int64]
        var epsilon: Double
        /// Of `variance`: what it is the variance of.
        var of: Operand
        var isVariance = false
        var isSum = false
    }

    /// mean(d², axes) + ε, variance(x, axes) + ε, sum(d², axes) + ε
    private func epsilonAndMean(_ operand: Operand, of d: Operand) -> MeanSquare? {
        guard let (name, sum) = reader.call(operand), name == "add", reader.isSpent(operand),
            let (mean, epsilon) = reader.splitConstant(sum), epsilon >= 0, let (kind, inner) = reader.call(mean),
            reader.isSpent(mean), let axes = trailing(inner)
        else { return nil }
        switch kind {
        case "variance":
            return MeanSquare(axes: axes, epsilon: epsilon, of: inner.arguments[0], isVariance: true)
        case "sum_square":
            guard inner.arguments[0] == d else { return nil }
            return MeanSquare(axes: axes, epsilon: epsilon, of: d, isSum: true)
        case "mean", "sum":
            guard let square = reader.power(inner.arguments[0], of: d), square.exponent == 2, square.factor == 1 else {
                return nil
            }
            return MeanSquare(axes: axes, epsilon: epsilon, of: d, isSum: kind == "sum")
        default: return nil
        }
    }

    /// x, when d is x - mean(x, axes).
    private func centred(_ d: Operand, axes: [Int64]) -> Operand? {
        guard let (name, call) = reader.call(d), name == "subtract", reader.hasUses(d, atMost: 3),
            let inner = reader.call(call.arguments[1]), inner.name == "mean",
            inner.call.arguments[0] == call.arguments[0],
            trailing(inner.call) == axes
        else { return nil }
        return call.arguments[0]
    }

    /// The axes of a mean with dimensions kept, counted from the end, when they are the last ones.
    private func trailing(_ call: Call) -> [Int64]? {
        guard call.attributes.bool("keepdims") == true,
            let rank = reader.transformer.type(of: call.arguments[0]).asTensor?.rank,
            let axes = call.attributes.ints("axis") ?? call.attributes.ints("axes"), !axes.isEmpty
        else { return nil }
        let fromEnd = axes.map { $0 < 0 ? $0 : $0 - Int64(rank) }.sorted()
        return fromEnd == (0..<axes.count).map { Int64($0 - axes.count) } ? fromEnd : nil
    }

    /// x / √Σx² along one axis, the root perhaps held above a number up to 1e-12 so that zeros stay zeros.
    func unitLength(_ call: Call, _ op: String) -> (x: Operand, axis: Int64)? {
        for position in op == "divide" ? 0...0 : 0...1 {
            let x = call.arguments[position]
            let factor = call.arguments[1 - position]
            if op == "divide" {
                guard let root = held(factor), let axis = norm(root, of: x) else { continue }
                return (x, axis)
            }
            guard let (name, inverse) = reader.call(factor), name == "reciprocal", reader.isSpent(factor),
                let root = held(inverse.arguments[0]), let axis = norm(root, of: x)
            else { continue }
            return (x, axis)
        }
        return nil
    }

    /// What `maximum` or `clip` holds above a small number; the operand itself without one.
    private func held(_ operand: Operand) -> Operand? {
        guard let (name, call) = reader.call(operand), name == "maximum" || name == "clip" else { return operand }
        guard reader.isSpent(operand) else { return nil }
        if name == "clip" {
            guard let (low, high) = reader.bounds(call), low >= 0, low <= 1e-12,
                high >= Double(Float.greatestFiniteMagnitude)
            else { return nil }
            return call.arguments[0]
        }
        guard let (inner, bound) = reader.splitConstant(call), bound >= 0, bound <= 1e-12 else { return nil }
        return inner
    }

    /// The axis of √Σx².
    private func norm(_ operand: Operand, of x: Operand) -> Int64? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        if name == "l2_norm" { return call.arguments[0] == x ? single(call) : nil }
        guard let sum = underRoot(operand), let (kind, inner) = reader.call(sum), reader.isSpent(sum) else {
            return nil
        }
        if kind == "sum_square" { return inner.arguments[0] == x ? single(inner) : nil }
        guard kind == "sum", let square = reader.power(inner.arguments[0], of: x), square.exponent == 2,
            square.factor == 1
        else { return nil }
        return single(inner)
    }

    /// log(softmax(x))
    func logOfSoftmax(_ call: Call) -> (x: Operand, axis: Int64)? {
        guard let softmax = reader.inner(call.arguments[0], "nn.softmax"), let axis = softmax.attributes.int("axis")
        else { return nil }
        return (softmax.arguments[0], axis)
    }

    /// d - log(Σ exp(d)) for d of x - max(x) along the same axis; x - log_sum_exp(x). Without the largest taken away the
    /// exponentials overflow, and must.
    func logSoftmax(_ call: Call) -> (x: Operand, axis: Int64)? {
        let d = call.arguments[0]
        if let whole = reader.inner(call.arguments[1], "log_sum_exp"), whole.arguments[0] == d, let axis = single(whole)
        {
            return (d, axis)
        }
        guard let log = reader.inner(call.arguments[1], "log"), let sum = reader.inner(log.arguments[0], "sum"),
            let axis = single(sum), let exp = reader.inner(sum.arguments[0], "exp"), exp.arguments[0] == d
        else { return nil }
        return unshifted(d, axis, uses: 2).map { ($0, axis) }
    }

    /// x, when d is x - max(x) along the axis and has no other users than so many.
    private func unshifted(_ d: Operand, _ axis: Int64, uses: Int32) -> Operand? {
        guard let (name, difference) = reader.call(d), name == "subtract", reader.hasUses(d, atMost: uses),
            let largest = reader.inner(difference.arguments[1], "max"), largest.arguments[0] == difference.arguments[0],
            single(largest) == axis
        else { return nil }
        return difference.arguments[0]
    }

    /// exp(d) / Σ exp(d) along one axis, for d of x - max(x) along the same axis.
    func softmax(_ call: Call) -> (x: Operand, axis: Int64)? {
        guard let (name, exponential) = reader.call(call.arguments[0]), name == "exp",
            reader.hasUses(call.arguments[0], atMost: 2), let sum = reader.inner(call.arguments[1], "sum"),
            sum.arguments[0] == call.arguments[0], let axis = single(sum)
        else { return nil }
        let d = exponential.arguments[0]
        return unshifted(d, axis, uses: 1).map { ($0, axis) }
    }

    private func single(_ call: Call) -> Int64? {
        guard call.attributes.bool("keepdims") == true,
            let rank = reader.transformer.type(of: call.arguments[0]).asTensor?.rank,
            let axes = call.attributes.ints("axis") ?? call.attributes.ints("axes"), axes.count == 1
        else { return nil }
        return axes[0] < 0 ? axes[0] + Int64(rank) : axes[0]
    }

    /// A normalisation that nothing else uses, and whether its parameters are still the neutral ones.
    func bare(_ operand: Operand) -> Bare? {
        guard let (name, call) = reader.call(operand), name == "nn.layer_norm" || name == "nn.rms_norm",
            reader.isSpent(operand)
        else { return nil }
        let scale = reader.transformer.constant(call.arguments[1])?.splatValue
        let shift = call.arguments.count > 2 ? reader.transformer.constant(call.arguments[2])?.splatValue : 0
        return Bare(
            name: name, arguments: call.arguments, attributes: call.attributes, hasUnitScale: scale == 1,
            hasNoShift: shift == 0)
    }

    /// The operand as parameter in the place of `neutral`: of its type where the axes are the last ones, a constant that lies
    /// along the axes, or one of a single element filled out.
    func parameter(_ operand: Operand, _ neutral: Operand, of norm: Bare) -> Operand? {
        let wanted = reader.transformer.type(of: neutral)
        guard let rank = reader.transformer.type(of: norm.arguments[0]).asTensor?.rank,
            let axes = norm.attributes.ints("axes")?.map({ Int(clamping: $0 < 0 ? $0 + Int64(rank) : $0) })
        else { return nil }
        let isTrailing = axes == Array(max(0, rank - axes.count)..<rank)
        if isTrailing, reader.transformer.type(of: operand) == wanted { return operand }
        if axes == axes.sorted(), let along = parameter(operand, axes: axes, of: norm.arguments[0]) { return along }
        guard let value = reader.number(operand), let type = wanted.asTensor, let dtype = type.dtype,
            let shape = type.staticShape, let count = checkedElementCount(shape), count <= 1 << 24,
            let filled = try? Constant.filled(dtype, shape, value)
        else { return nil }
        return .constant(filled)
    }
}

extension Reader {
    /// The value stays in its block and is mentioned at most so often.
    func hasUses(_ operand: Operand, atMost limit: Int32) -> Bool {
        guard case .value(let id) = operand else { return false }
        return transformer.function.values[id.int].isDataflow && uses.count(id) <= limit
    }
}
