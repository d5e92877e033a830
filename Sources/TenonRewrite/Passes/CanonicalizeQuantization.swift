import TenonIR

/// Brings `quantize` and `dequantize` to where rules of a backend look for them.
///
/// - A pair with the same parameters that cancels goes: of integers, over real numbers that tell them all apart.
/// - Both move over what only moves elements: `quantize(reshape(dequantize(q)))` with one scale is `reshape(q)`; and over a
///   concatenation, `quantize(concat(x, y))` is `concat(quantize(x), quantize(y))`.
/// - `permute_dims(dequantize(w))` of known weights is `dequantize(permute_dims(w))`, so that weights stay small integers.
/// - Every user of a `dequantize` gets one of its own, which can then be part of that user's composite.
public struct CanonicalizeQuantization: BindingPass {
    public init() {}

    public var name: String { "CanonicalizeQuantization" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return nil }
        let info = transformer.function.values[binding.id.int]
        switch op.name {
        case "quantize":
            if let result = try cancelled(call, info.type, &transformer, state) { return result }
            return try spread(call, info, binding, &transformer, &state)
        case "dequantize": return nil
        case "permute_dims":
            if let moved = try weights(call, info, &transformer) { return moved }
        default: break
        }
        return try separated(call, op, info, binding, &transformer, &state)
    }

    /// The parameters of a `quantize` or `dequantize` with known scale and zero point of one value each.
    private struct Parameters: Equatable {
        var scale: Double
        var zero: Double

        init?(_ call: Call, _ transformer: BindingTransformer) {
            guard call.arguments.count == 3, let scale = transformer.constant(call.arguments[1]), scale.count == 1,
                let zero = transformer.constant(call.arguments[2]), zero.count == 1, let s = scale.double(at: 0),
                let z = zero.double(at: 0)
            else { return nil }
            (self.scale, self.zero) = (s, z)
        }
    }

    private func dequantized(_ operand: Operand, _ transformer: BindingTransformer) -> Call? {
        guard let (_, op, call) = transformer.call(operand), op.name == "dequantize", call.arguments.count == 3 else {
            return nil
        }
        return call
    }

    private func cancelled(
        _ call: Call, _ type: ValueType, _ transformer: inout BindingTransformer, _ uses: UseCounts
    ) throws -> Operand? {
        guard let data = call.arguments.first, let outer = Parameters(call, transformer), outer.scale > 0 else {
            return nil
        }
        var movements: [(op: OperatorID, call: Call)] = []
        var current = data
        while movements.count < 8, let (id, op, inner) = transformer.call(current), op.has(.movesElements),
            uses.count(id) == 1, let next = inner.arguments.first
        {
            movements.append((op, inner))
            current = next
        }
        guard let source = dequantized(current, transformer), Parameters(source, transformer) == outer,
            let dtype = transformer.type(of: source.arguments[0]).asTensor?.dtype, dtype == type.asTensor?.dtype,
            Self.isExact(dtype, over: source.attributes.dtype("out_dtype"), call.attributes.dtype("precision"))
        else { return nil }
        var result = source.arguments[0]
        for (op, inner) in movements.reversed() {
            result = try transformer.emit(op.name, [result] + inner.arguments.dropFirst(), inner.attributes)
        }
        return transformer.type(of: result) == type ? result : nil
    }

    /// Whether a dequantised number, rounded to `real`, is still the nearest of its own integer when it is divided in `precision`.
    /// Floats that are infinite or NaN do not come back as they were.
    private static func isExact(_ dtype: DataType, over real: DataType?, _ precision: DataType?) -> Bool {
        let types = [real ?? .float32, precision ?? .float32]
        switch dtype {
        case .uint2, .int2, .uint4, .int4: return true
        case .uint8, .int8: return !types.contains(.bfloat16)
        case .uint16, .int16: return types.allSatisfy { $0 == .float32 || $0 == .float64 }
        default: return false
        }
    }

    /// A concatenation of what has been dequantised is quantised part by part.
    private func spread(
        _ call: Call, _ info: ValueInfo, _ binding: Binding, _ transformer: inout BindingTransformer,
        _ state: inout UseCounts
    ) throws -> Operand? {
        guard Parameters(call, transformer) != nil, let data = call.arguments.first,
            let (id, op, concat) = transformer.call(data), op.name == "concat", state.count(id) == 1,
            case .tuple(let fields)? = concat.arguments.first,
            fields.allSatisfy({ dequantized($0, transformer) != nil })
        else { return nil }
        var parts: [Operand] = []
        for field in fields {
            guard let inner = dequantized(field, transformer) else { return nil }
            if Parameters(inner, transformer) == Parameters(call, transformer),
                let dtype = transformer.type(of: inner.arguments[0]).asTensor?.dtype,
                dtype == info.type.asTensor?.dtype,
                Self.isExact(dtype, over: inner.attributes.dtype("out_dtype"), call.attributes.dtype("precision"))
            {
                parts.append(inner.arguments[0])
                continue
            }
            let own = try transformer.emit("dequantize", inner.arguments, inner.attributes)
            parts.append(try transformer.emit("quantize", [own] + call.arguments.dropFirst(), call.attributes))
        }
        let made = try transformer.emit("concat", [.tuple(parts)], concat.attributes, name: info.name)
        guard transformer.type(of: made) == info.type else { return nil }
        state.setUses(of: made, as: binding.id)
        return made
    }

    /// A permutation of known weights.
    private func weights(_ call: Call, _ info: ValueInfo, _ transformer: inout BindingTransformer) throws -> Operand? {
        guard let data = call.arguments.first, let inner = dequantized(data, transformer),
            transformer.constant(inner.arguments[0]) != nil, inner.attributes.int("block") == 0,
            let rank = transformer.type(of: data).asTensor?.rank, var axis = inner.attributes.int("axis")
        else { return nil }
        let axes = call.attributes.ints("axes") ?? (0..<Int64(rank)).reversed().map { $0 }
        axis = axis < 0 ? axis + Int64(rank) : axis
        guard let place = axes.firstIndex(where: { ($0 < 0 ? $0 + Int64(rank) : $0) == axis }) else { return nil }
        let moved = try transformer.emit("permute_dims", [inner.arguments[0]], call.attributes)
        var attributes = inner.attributes
        attributes["axis"] = .int(Int64(place))
        let made = try transformer.emit(
            "dequantize", [moved] + inner.arguments.dropFirst(), attributes, name: info.name)
        return transformer.type(of: made) == info.type ? made : nil
    }

    /// The call with a `dequantize` of its own for each that others use too.
    private func separated(
        _ call: Call, _ op: OperatorID, _ info: ValueInfo, _ binding: Binding, _ transformer: inout BindingTransformer,
        _ state: inout UseCounts
    ) throws -> Operand? {
        var arguments = call.arguments
        var isChanged = false
        for index in arguments.indices {
            guard case .value(let id) = arguments[index], state.count(id) > 1,
                let inner = dequantized(arguments[index], transformer)
            else { continue }
            arguments[index] = try transformer.emit("dequantize", inner.arguments, inner.attributes)
            isChanged = true
        }
        guard isChanged else { return nil }
        let made = transformer.emit(.call(Call(.op(op), arguments, call.attributes)), info.type, name: info.name)
        state.setUses(of: made, as: binding.id)
        return made
    }
}
