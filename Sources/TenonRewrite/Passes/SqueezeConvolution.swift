import TenonIR

/// Writes a 2-D convolution of pictures one pixel wide (or high) as a 1-D convolution where a reshape drops that size behind
/// it: `reshape(conv2d(x, w))` becomes `conv1d(x', w')`. TensorFlow has 1-D convolutions only in this form.
///
/// The kernel has size 1 along the dropped dimension, and no padding there. Nothing else may use the 2-D result.
public struct SqueezeConvolution: BindingPass {
    public init() {}

    public var name: String { "SqueezeConvolution" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee, op.name == "reshape",
            let wide = Reader(transformer: transformer, uses: state).inner(call.arguments[0], "nn.conv2d"),
            let shape = transformer.type(of: call.arguments[0]).asTensor?.shape, shape.count == 4
        else { return nil }
        let type = transformer.type(of: .value(binding.id))
        // The last dimension first: of pictures of one pixel either would do.
        for dropped in [3, 2] where shape[dropped] == 1 {
            let kept = 5 - dropped
            guard type.asTensor?.shape == [shape[0], shape[1], shape[kept]],
                let attributes = attributes(wide, keeping: kept - 2),
                let data = try squeezed(wide.arguments[0], dropped, "x", &transformer),
                let weight = try squeezed(wide.arguments[1], dropped, "weight", &transformer)
            else { continue }
            let name = transformer.function.values[binding.id.int].name
            let result = try transformer.emit("nn.conv1d", [data, weight], attributes, name: name)
            guard transformer.type(of: result) == type else { return nil }
            state.setUses(of: result, as: binding.id)
            return result
        }
        return nil
    }

    /// Those of one spatial dimension, when the other is not padded.
    private func attributes(_ call: Call, keeping kept: Int) -> Attributes? {
        var attributes = call.attributes
        for name in ["strides", "dilation"] {
            guard let values = attributes.ints(name), values.count == 2 else { return nil }
            attributes[name] = .ints([values[kept]])
        }
        guard let padding = attributes.ints("padding"), padding.count == 4, padding[1 - kept] == 0,
            padding[3 - kept] == 0
        else { return nil }
        attributes["padding"] = .ints([padding[kept], padding[kept + 2]])
        return attributes
    }

    /// The operand without a dimension of size 1; nil when it has another size.
    private func squeezed(
        _ operand: Operand, _ dropped: Int, _ name: String, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        guard var shape = transformer.type(of: operand).asTensor?.shape, shape.count == 4, shape[dropped] == 1 else {
            return nil
        }
        shape.remove(at: dropped)
        if let constant = transformer.constant(operand) {
            let sizes = shape.compactMap(\.value)
            guard sizes.count == shape.count else { return nil }
            return .constant(
                try Constant(dtype: constant.dtype, shape: sizes, borrowing: constant.bytes, owner: constant))
        }
        if let (_, op, call) = transformer.call(operand), op.name == "reshape", let source = call.arguments.first,
            transformer.type(of: source).asTensor?.shape == shape
        {
            return source
        }
        return try transformer.emit("reshape", [operand, .shape(shape)], name: name)
    }
}
