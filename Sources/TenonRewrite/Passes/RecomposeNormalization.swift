import TenonIR

/// Puts layer normalisation, RMS normalisation, L2 normalisation, softmax and log-softmax that exporters write as arithmetic
/// back together.
///
/// Read are means over trailing axes with the dimensions kept, or `variance`; squares as product, power or `square`; division
/// by a square root or multiplication by `rsqrt` or `power(-0.5)`; scale and shift on either side of their operator, or
/// missing. The variance may be the mean of the squares less the square of the mean, held above 0 or not, with the mean a sum
/// times 1/n without its dimensions and a reshape, and then over any axes. The constant added to the variance becomes `epsilon`. A division by the root of the sum of squares is
/// `nn.lp_normalize`, also with the root held above a number up to 1e-12; with a constant added to the sum it is
/// `nn.rms_norm` with another epsilon and one scale. Nothing is recomposed when a value in between has another user or leaves its block.
public struct RecomposeNormalization: BindingPass {
    public init() {}

    public var name: String { "RecomposeNormalization" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return nil }
        let type = transformer.type(of: .value(binding.id))
        let reader = NormalizationReader(Reader(transformer: transformer, uses: state))
        let made: Operand?
        switch op.name {
        case "divide", "multiply":
            if let norm = reader.normalized(call, op.name) {
                made = try emit(norm, type, &transformer)
            } else if let norm = reader.moments(call, op.name) {
                made = try emit(norm, type, &transformer, reader)
            } else if let axis = reader.unitLength(call, op.name) {
                made = try emitLp(axis.x, axis.axis, type, &transformer)
            } else if op.name == "divide", let softmax = reader.softmax(call) {
                made = try transformer.emit(
                    "nn.softmax", [softmax.x], ["axis": .int(softmax.axis)], name: "softmax")
            } else if op.name == "multiply" {
                made = try scale(call, type, &transformer, reader)
            } else {
                made = nil
            }
        case "add": made = try shift(call, type, &transformer, reader)
        case "log", "subtract":
            guard let softmax = op.name == "log" ? reader.logOfSoftmax(call) : reader.logSoftmax(call) else {
                return nil
            }
            made = try transformer.emit(
                "nn.log_softmax", [softmax.x], ["axis": .int(softmax.axis)], name: "log_softmax")
        default: made = nil
        }
        guard let made else { return nil }
        state.setUses(of: made, as: binding.id)
        return made
    }

    private func emitLp(
        _ x: Operand, _ axis: Int64, _ type: ValueType, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        guard transformer.type(of: x) == type, type.asTensor?.dtype == .float32 else { return nil }
        return try transformer.emit("nn.lp_normalize", [x], ["axis": .int(axis)], name: "normalized")
    }

    /// The bare normalisation: gamma 1 (or what makes of the mean the sum), beta 0.
    private func emit(
        _ norm: NormalizationReader.Normalization, _ type: ValueType, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        guard let shape = transformer.type(of: norm.x).asTensor?.staticTail(norm.axes),
            type == transformer.type(of: norm.x)
        else { return nil }
        // Of a sum instead of a mean, x / √(Σx² + ε) = x / √(n · (mean + ε/n)).
        let count = shape.reduce(1.0) { $0 * Double($1) }
        // A text can name any size: parameters of it are not made.
        guard count <= 16_777_216 else { return nil }
        let ones = try Constant.filled(.float32, shape, norm.isSum ? 1 / count.squareRoot() : 1)
        if norm.isCentred {
            let zeros = try Constant.filled(.float32, shape, 0)
            return try transformer.emit(
                "nn.layer_norm", [norm.x, .constant(ones), .constant(zeros)],
                ["axes": .ints(norm.axes), "epsilon": .float(norm.epsilon)], name: "normalized")
        }
        return try transformer.emit(
            "nn.rms_norm", [norm.x, .constant(ones)],
            ["axes": .ints(norm.axes), "epsilon": .float(norm.isSum ? norm.epsilon / max(count, 1) : norm.epsilon)],
            name: "normalized")
    }

    /// With the gamma that it already has, beta 0; axes that are not the last ones are counted from the front.
    private func emit(
        _ norm: NormalizationReader.Moments, _ type: ValueType, _ transformer: inout BindingTransformer,
        _ reader: NormalizationReader
    ) throws -> Operand? {
        guard type == transformer.type(of: norm.x), let shape = type.asTensor?.shape else { return nil }
        let sizes = norm.axes.compactMap { shape[$0].value }
        let gamma =
            try norm.gamma.map { reader.parameter($0, axes: norm.axes, of: norm.x) }
            ?? .constant(try Constant.filled(.float32, sizes, 1))
        guard let gamma else { return nil }
        let isTrailing = norm.axes.first == shape.count - norm.axes.count
        let axes = norm.axes.map { Int64(isTrailing ? $0 - shape.count : $0) }
        return try transformer.emit(
            "nn.layer_norm", [norm.x, gamma, .constant(try Constant.filled(.float32, sizes, 0))],
            ["axes": .ints(axes), "epsilon": .float(norm.epsilon)], name: "normalized")
    }

    /// normalised · gamma, where the normalisation has no scale yet.
    private func scale(
        _ call: Call, _ type: ValueType, _ transformer: inout BindingTransformer, _ reader: NormalizationReader
    ) throws -> Operand? {
        for position in 0...1 {
            guard let norm = reader.bare(call.arguments[position]), norm.hasUnitScale, norm.hasNoShift,
                let gamma = reader.parameter(call.arguments[1 - position], norm.arguments[1], of: norm)
            else { continue }
            var arguments = norm.arguments
            arguments[1] = gamma
            guard transformer.type(of: arguments[0]) == type else { continue }
            return try transformer.emit(norm.name, arguments, norm.attributes, name: "scaled")
        }
        return nil
    }

    /// layer normalisation + beta, where it has no shift yet.
    private func shift(
        _ call: Call, _ type: ValueType, _ transformer: inout BindingTransformer, _ reader: NormalizationReader
    ) throws -> Operand? {
        for position in 0...1 {
            guard let norm = reader.bare(call.arguments[position]), norm.name == "nn.layer_norm", norm.hasNoShift,
                let beta = reader.parameter(call.arguments[1 - position], norm.arguments[2], of: norm)
            else { continue }
            var arguments = norm.arguments
            arguments[2] = beta
            guard transformer.type(of: arguments[0]) == type else { continue }
            return try transformer.emit(norm.name, arguments, norm.attributes, name: "shifted")
        }
        return nil
    }
}

extension TensorType {
    /// The sizes of the last axes, f32 only, when they are numbers.
    fileprivate func staticTail(_ axes: [Int64]) -> [Int64]? {
        guard dtype == .float32, let shape, axes.count <= shape.count else { return nil }
        var sizes: [Int64] = []
        for dim in shape.suffix(axes.count) {
            guard let size = dim.value else { return nil }
            sizes.append(size)
        }
        return sizes
    }
}
