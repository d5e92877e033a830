import TenonIR

/// Puts layer normalisation, RMS normalisation and softmax that exporters write as arithmetic back together.
///
/// Read are means over trailing axes with the dimensions kept; squares as product, power or `square`; division by a square root
/// or multiplication by `rsqrt` or `power(-0.5)`; scale and shift on either side of their operator, or missing. The constant
/// added to the variance becomes `epsilon`. Nothing is recomposed when a value in between has another user or leaves its block.
public struct RecomposeNormalization: BindingPass {
    public init() {}

    public var name: String { "RecomposeNormalization" }
    public var optimisationLevel: Int { 1 }

    typealias State = UseCounts

    func begin(_ function: Function, _ context: PassContext) throws -> UseCounts { UseCounts(function) }

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
            } else if op.name == "divide", let softmax = reader.softmax(call) {
                made = try transformer.emit(
                    "nn.softmax", [softmax.x], ["axis": .int(softmax.axis)], name: "softmax")
            } else if op.name == "multiply" {
                made = try scale(call, type, &transformer, reader)
            } else {
                made = nil
            }
        case "add": made = try shift(call, type, &transformer, reader)
        default: made = nil
        }
        guard let made else { return nil }
        state.setUses(of: made, as: binding.id)
        return made
    }

    /// The bare normalisation: gamma 1, beta 0.
    private func emit(
        _ norm: NormalizationReader.Normalization, _ type: ValueType, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        guard let shape = transformer.type(of: norm.x).asTensor?.staticTail(norm.axes),
            type == transformer.type(of: norm.x)
        else { return nil }
        let ones = try Constant.filled(.float32, shape, 1)
        if norm.isCentred {
            let zeros = try Constant.filled(.float32, shape, 0)
            return try transformer.emit(
                "nn.layer_norm", [norm.x, .constant(ones), .constant(zeros)],
                ["axes": .ints(norm.axes), "epsilon": .float(norm.epsilon)], name: "normalized")
        }
        return try transformer.emit(
            "nn.rms_norm", [norm.x, .constant(ones)], ["axes": .ints(norm.axes), "epsilon": .float(norm.epsilon)],
            name: "normalized")
    }

    /// normalised · gamma, where the normalisation has no scale yet.
    private func scale(
        _ call: Call, _ type: ValueType, _ transformer: inout BindingTransformer, _ reader: NormalizationReader
    ) throws -> Operand? {
        for position in 0...1 {
            guard let norm = reader.bare(call.arguments[position]), norm.hasUnitScale, norm.hasNoShift,
                let gamma = reader.parameter(call.arguments[1 - position], norm.arguments[1])
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
                let beta = reader.parameter(call.arguments[1 - position], norm.arguments[2])
            else { continue }
            var arguments = norm.arguments
            arguments[2] = beta
            guard transformer.type(of: arguments[0]) == type else { continue }
            return try transformer.emit(norm.name, arguments, norm.attributes, name: "shifted")
        }
        return nil
    }
}

/// Reads normalisations off arithmetic.
private struct NormalizationReader {
    let reader: Reader

    init(_ reader: Reader) { self.reader = reader }

    struct Normalization {
        var x: Operand
        /// Counted from the end: [-1], [-2, -1].
        var axes: [Int64]
        var epsilon: Double
        var isCentred: Bool
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
            if let x = centred(d, axes: mean.axes) {
                return Normalization(x: x, axes: mean.axes, epsilon: mean.epsilon, isCentred: true)
            }
            return Normalization(x: d, axes: mean.axes, epsilon: mean.epsilon, isCentred: false)
        }
        return nil
    }

    private func underRoot(_ operand: Operand) -> Operand? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        if name == "sqrt" { return call.arguments[0] }
        if name == "power", reader.number(call.arguments[1]) == 0.5 { return call.arguments[0] }
        return nil
    }

    private func underReciprocalRoot(_ operand: Operand) -> Operand? {
        guard let (name, call) = reader.call(operand), reader.isSpent(operand) else { return nil }
        switch name {
        case "rsqrt": return call.arguments[0]
        case "reciprocal": return underRoot(call.arguments[0])
        case "power": return reader.number(call.arguments[1]) == -0.5 ? call.arguments[0] : nil
        case "divide": return reader.number(call.arguments[0]) == 1 ? underRoot(call.arguments[1]) : nil
        default: return nil
        }
    }

    /// mean(d², axes) + ε
    private func epsilonAndMean(_ operand: Operand, of d: Operand) -> (axes: [Int64], epsilon: Double)? {
        guard let (name, sum) = reader.call(operand), name == "add", reader.isSpent(operand),
            let (mean, epsilon) = reader.splitConstant(sum), epsilon >= 0, let inner = reader.inner(mean, "mean"),
            let axes = trailing(inner), let square = reader.power(inner.arguments[0], of: d), square.exponent == 2,
            square.factor == 1
        else { return nil }
        return (axes, epsilon)
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

    /// exp(x - max(x)) / sum(exp(x - max(x))) along the same axis.
    func softmax(_ call: Call) -> (x: Operand, axis: Int64)? {
        guard let (name, exponential) = reader.call(call.arguments[0]), name == "exp",
            reader.hasUses(call.arguments[0], atMost: 2), let sum = reader.inner(call.arguments[1], "sum"),
            sum.arguments[0] == call.arguments[0], let axis = single(sum),
            let difference = reader.inner(exponential.arguments[0], "subtract"),
            let largest = reader.inner(difference.arguments[1], "max"), largest.arguments[0] == difference.arguments[0],
            single(largest) == axis
        else { return nil }
        return (difference.arguments[0], axis)
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

    /// The operand as parameter in the place of `neutral`: of its type, a constant of one element filled out.
    func parameter(_ operand: Operand, _ neutral: Operand) -> Operand? {
        let wanted = reader.transformer.type(of: neutral)
        if reader.transformer.type(of: operand) == wanted { return operand }
        guard let value = reader.number(operand), let type = wanted.asTensor, let dtype = type.dtype,
            let shape = type.staticShape, let filled = try? Constant.filled(dtype, shape, value)
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
