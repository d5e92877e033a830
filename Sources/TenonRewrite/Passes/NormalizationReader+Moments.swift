import TenonIR

/// Layer normalisation by moments, as exporters of JAX and TensorFlow write it: the variance is mean(x²) - mean(x)², perhaps
/// held above 0; means are sums times 1/n, reduced without their dimensions and reshaped; gamma multiplies the reciprocal root.
extension NormalizationReader {
    struct Moments {
        var x: Operand
        /// From 0, in ascending order, static sizes.
        var axes: [Int]
        var epsilon: Double
        /// What scales the reciprocal root before it meets the data.
        var gamma: Operand?
    }

    private struct Mean {
        var of: Operand
        var axes: [Int]
        /// The mean as it is reduced, before a reshape puts its dimensions back.
        var base: Operand
    }

    /// d · (1/√v), d · (1/√v · gamma), d / √v for d = x - mean(x) and v = mean(x²) - mean(x)² + ε.
    func moments(_ call: Call, _ op: String) -> Moments? {
        for position in op == "divide" ? 0...0 : 0...1 {
            let factor = call.arguments[1 - position]
            guard let difference = reader.inner(call.arguments[position], "subtract"),
                let mean = readMean(difference.arguments[1]), mean.of == difference.arguments[0],
                keepsDimensions(difference.arguments[1], of: mean)
            else { continue }
            if op == "divide" {
                guard let epsilon = underRoot(factor).flatMap({ addend($0, mean) }),
                    keepsDimensions(factor, of: mean)
                else { continue }
                return Moments(x: mean.of, axes: mean.axes, epsilon: epsilon)
            }
            if let inverse = underReciprocalRoot(factor), keepsDimensions(factor, of: mean),
                let epsilon = addend(inverse, mean)
            {
                return Moments(x: mean.of, axes: mean.axes, epsilon: epsilon)
            }
            guard let scaled = reader.inner(factor, "multiply") else { continue }
            for side in 0...1 {
                guard keepsDimensions(scaled.arguments[side], of: mean),
                    let inverse = underReciprocalRoot(scaled.arguments[side]), let epsilon = addend(inverse, mean)
                else { continue }
                return Moments(x: mean.of, axes: mean.axes, epsilon: epsilon, gamma: scaled.arguments[1 - side])
            }
        }
        return nil
    }

    /// A mean over known sizes, `mean` or a sum divided by their number.
    private func readMean(_ operand: Operand) -> Mean? {
        var base = operand
        if let (name, call) = reader.call(operand), name == "reshape" { base = call.arguments[0] }
        guard let (kind, outer) = reader.call(base) else { return nil }
        var reduction = outer
        var factor: Double?
        if kind != "mean" {
            guard kind == "multiply" || kind == "divide", let (sum, number) = reader.splitConstant(outer),
                kind == "multiply" || sum == outer.arguments[0], let inner = reader.inner(sum, "sum")
            else { return nil }
            reduction = inner
            factor = kind == "multiply" ? number : 1 / number
        }
        guard let x = reduction.arguments.first, let type = reader.transformer.type(of: x).asTensor,
            type.dtype == .float32, let shape = type.shape, let given = reduction.attributes.ints("axis"),
            !given.isEmpty
        else { return nil }
        let axes = given.map { Int(clamping: $0 < 0 ? $0 + Int64(shape.count) : $0) }.sorted()
        var count = 1.0
        for (index, axis) in axes.enumerated() {
            guard shape.indices.contains(axis), index == 0 || axes[index - 1] != axis, let size = shape[axis].value,
                size > 0
            else { return nil }
            count *= Double(size)
        }
        if let factor, !(abs(factor * count - 1) < 1e-5) { return nil }
        return Mean(of: x, axes: axes, base: base)
    }

    /// Whether the operand has the sizes of the data, those that the mean is over being 1.
    private func keepsDimensions(_ operand: Operand, of mean: Mean) -> Bool {
        guard var shape = reader.transformer.type(of: mean.of).asTensor?.shape else { return false }
        for axis in mean.axes { shape[axis] = 1 }
        return reader.transformer.type(of: operand).asTensor?.shape == shape
    }

    /// ε of mean(x²) - mean(x)² + ε, through a reshape and what holds the difference above 0.
    private func addend(_ operand: Operand, _ mean: Mean) -> Double? {
        var (current, epsilon) = (operand, 0.0)
        for _ in 0..<6 {
            guard let (name, call) = reader.call(current), reader.isSpent(current) else { return nil }
            switch name {
            case "reshape", "nn.relu": current = call.arguments[0]
            case "add":
                guard epsilon == 0, let (inner, number) = reader.splitConstant(call), number >= 0 else { return nil }
                (current, epsilon) = (inner, number)
            case "maximum":
                guard let (inner, bound) = reader.splitConstant(call), bound == 0 else { return nil }
                current = inner
            case "subtract": return isVariance(call, mean) ? epsilon : nil
            default: return nil
            }
        }
        return nil
    }

    /// mean(x²) - mean(x)², both as they are reduced.
    private func isVariance(_ call: Call, _ mean: Mean) -> Bool {
        let type = reader.transformer.type(of: mean.base)
        guard call.arguments.allSatisfy({ reader.transformer.type(of: $0) == type }),
            reader.isSpent(call.arguments[0]), let squares = readMean(call.arguments[0]), squares.axes == mean.axes,
            squares.base == call.arguments[0], let power = reader.power(squares.of, of: mean.of), power.exponent == 2,
            power.factor == 1, let square = reader.power(call.arguments[1], of: mean.base), square.exponent == 2,
            square.factor == 1
        else { return false }
        // Twice in its own square, once below the data.
        return reader.hasUses(mean.base, atMost: 3)
    }

    /// A constant with the sizes of the axes and 1 elsewhere, as the parameter of a normalisation over those axes.
    func parameter(_ operand: Operand, axes: [Int], of x: Operand) -> Operand? {
        guard let constant = reader.transformer.constant(operand),
            let type = reader.transformer.type(of: x).asTensor, constant.dtype == type.dtype, let shape = type.shape,
            constant.shape.count <= shape.count
        else { return nil }
        let aligned = [Int64](repeating: 1, count: shape.count - constant.shape.count) + constant.shape
        var sizes: [Int64] = []
        for axis in shape.indices {
            if axes.contains(axis) {
                guard shape[axis].value == aligned[axis] else { return nil }
                sizes.append(aligned[axis])
            } else if aligned[axis] != 1 {
                return nil
            }
        }
        if sizes == constant.shape { return operand }
        let seen = try? Constant(dtype: constant.dtype, shape: sizes, borrowing: constant.bytes, owner: constant)
        return seen.map { .constant($0) }
    }
}
