import TenonIR

/// Writes the mean of an image over all its rows and columns as global average pooling, which keeps the layout that
/// convolutions leave. Of `mean` over axes 2 and 3 (and 4) of an f32 tensor of 4 (5) dimensions; without `keepdims` a reshape
/// follows.
public struct RecomposeGlobalPooling: BindingPass {
    public init() {}

    public var name: String { "RecomposeGlobalPooling" }

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout Void, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee, op.name == "mean",
            let data = transformer.type(of: call.arguments[0]).asTensor, data.dtype == .float32,
            let rank = data.rank, rank == 4 || rank == 5, let shape = data.shape,
            let axes = call.attributes.ints("axis"),
            axes.map({ $0 < 0 ? $0 + Int64(rank) : $0 }).sorted() == Array(2..<Int64(rank)),
            // The mean over nothing is NaN.
            shape.dropFirst(2).allSatisfy({ ($0.value ?? 0) > 0 }),
            let target = transformer.type(of: .value(binding.id)).asTensor?.shape
        else { return nil }
        let name = transformer.function.values[binding.id.int].name
        let pooled = try transformer.emit(
            "nn.adaptive_avg_pool\(rank - 2)d", [call.arguments[0]],
            ["output_size": .ints([Int64](repeating: 1, count: rank - 2))], name: name)
        if call.attributes.bool("keepdims") == true { return pooled }
        return try transformer.emit("reshape", [pooled, .shape(target)], name: name)
    }
}
