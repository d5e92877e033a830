import TenonIR

/// Moves a separate `nn.pad` of spatial axes into the convolution or pooling behind it, where that is exact and nothing else
/// uses the padded value.
///
/// - Convolution: a constant pad of 0.
/// - Average pooling without `ceil_mode`: a constant pad of 0, which then counts (`count_include_pad`); pooling that has padding
///   of its own must count it already.
/// - Max pooling: a pad of minus infinity; of 0 when what is padded is a ReLU's result, a sigmoid's or a
///   clip's above 0. Windows must be larger than the padding.
public struct FoldPadding: BindingPass {
    public init() {}

    public var name: String { "FoldPadding" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee,
            let data = call.arguments.first,
            let padding = call.attributes.ints("padding")
        else { return nil }
        let reader = Reader(transformer: transformer, uses: state)
        guard let pad = reader.inner(data, "nn.pad"), pad.attributes.string("pad_mode") == "constant",
            let widths = spatial(pad, axes: padding.count / 2), let value = pad.attributes.float("pad_value"),
            let source = pad.arguments.first
        else { return nil }
        var attributes = call.attributes
        if op.has(.convolution) {
            guard value == 0 else { return nil }
        } else if op.has(.averagePooling) {
            guard value == 0, call.attributes.bool("ceil_mode") != true,
                call.attributes.bool("count_include_pad") == true || padding.allSatisfy({ $0 == 0 })
            else { return nil }
            attributes["count_include_pad"] = .bool(true)
        } else if op.has(.maxPooling) {
            guard value == -.infinity || value == 0 && Self.isNeverNegative(source, transformer),
                call.attributes.bool("ceil_mode") != true, let kernel = call.attributes.ints("pool_size"),
                kernel.count * 2 == padding.count
            else { return nil }
            for axis in padding.indices where padding[axis] + widths[axis] >= kernel[axis % kernel.count] { return nil }
        } else {
            return nil
        }
        attributes["padding"] = .ints(zip(padding, widths).map { $0 + $1 })
        var arguments = call.arguments
        arguments[0] = source
        let info = transformer.function.values[binding.id.int]
        let typed = try Inference.call(
            op, arguments, attributes, types: arguments.map { transformer.type(of: $0) },
            constants: arguments.map { transformer.constant($0) })
        guard typed.type == info.type else { return nil }
        let made = try transformer.emit(op.name, arguments, attributes, name: info.name)
        state.setUses(of: made, as: binding.id)
        return made
    }

    private static func isNeverNegative(_ operand: Operand, _ transformer: BindingTransformer) -> Bool {
        guard let (_, op, call) = transformer.call(operand) else { return false }
        if op.has(.nonNegative) { return true }
        guard op.name == "clip", call.arguments.count == 3 else { return false }
        switch call.arguments[1] {
        case .float(let low): return low >= 0
        case .int(let low): return low >= 0
        default: return false
        }
    }

    /// Widths as `padding` lists them — all begins, then all ends — when only the last axes are padded and none is cut.
    private func spatial(_ pad: Call, axes: Int) -> [Int64]? {
        guard let widths = pad.attributes.ints("pad_width"), widths.count == (axes + 2) * 2,
            widths.allSatisfy({ $0 >= 0 && $0 < 1 << 30 }), widths.prefix(4).allSatisfy({ $0 == 0 })
        else { return nil }
        let inner = widths.dropFirst(4)
        return stride(from: inner.startIndex, to: inner.endIndex, by: 2).map { inner[$0] }
            + stride(from: inner.startIndex + 1, to: inner.endIndex, by: 2).map { inner[$0] }
    }
}
