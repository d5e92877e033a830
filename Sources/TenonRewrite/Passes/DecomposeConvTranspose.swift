import TenonIR

/// Writes a 2-D transposed convolution whose windows do not overlap, strides equal to the kernel, as a 1×1 convolution and
/// `nn.depth_to_space`.
///
/// Each pixel then becomes a square of k × k pixels of its own: `y[o, k·i + a, k·j + b] = Σ x[c, i, j] · w[c, o, a, b]`, a product over
/// the channels with weights `[o·k·k + a·k + b, c]`. Deconvolution primitives treat it as the general case and take many times
/// as long. Weights must be known; no padding, dilation or groups.
public struct DecomposeConvTranspose: BindingPass {
    public init() {}

    public var name: String { "DecomposeConvTranspose" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee,
            op.name == "nn.conv2d_transpose", call.arguments.count == 2,
            let weight = transformer.constant(call.arguments[1]), weight.shape.count == 4,
            let kernel = weight.shape.last, kernel > 1, weight.shape[2] == kernel, fits(call.attributes, kernel)
        else { return nil }
        let info = transformer.function.values[binding.id.int]
        let outputs = weight.shape[1].multipliedReportingOverflow(by: kernel * kernel)
        guard kernel < 1 << 10, !outputs.overflow else { return nil }
        // FoldConstant makes one constant of these two.
        let moved = try transformer.emit(
            "permute_dims", [call.arguments[1]], ["axes": .ints([1, 2, 3, 0])], name: "weight")
        let product = try transformer.emit(
            "reshape", [moved, .shape([.fixed(outputs.partialValue), .fixed(weight.shape[0]), 1, 1])], name: "weight")
        let pixels = try transformer.emit("nn.conv2d", [call.arguments[0], product], name: info.name)
        let result = try transformer.emit(
            "nn.depth_to_space", [pixels], ["block_size": .int(kernel), "mode": .string("CRD")], name: info.name)
        guard transformer.type(of: result) == info.type else { return nil }
        state.setUses(of: result, as: binding.id)
        return result
    }

    private func fits(_ attributes: Attributes, _ kernel: Int64) -> Bool {
        func all(_ name: String, _ value: Int64) -> Bool { attributes.ints(name)?.allSatisfy { $0 == value } ?? false }
        return all("strides", kernel) && all("padding", 0) && all("dilation", 1) && all("output_padding", 0)
            && attributes.int("groups") == 1
    }
}
