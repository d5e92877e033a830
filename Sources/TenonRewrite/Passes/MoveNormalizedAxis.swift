import TenonIR

/// Moves the axis of a layer normalisation over one axis to the end, where its values lie side by side: what backends have
/// primitives for. Of f32 tensors of known rank; a permutation in front and its inverse behind, which may cancel with others.
public struct MoveNormalizedAxis: BindingPass {
    public init() {}

    public var name: String { "MoveNormalizedAxis" }

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout Void, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee, op.name == "nn.layer_norm",
            let type = transformer.type(of: call.arguments[0]).asTensor, type.dtype == .float32, type.shape != nil,
            let rank = type.rank, let axes = call.attributes.ints("axes"), axes.count == 1
        else { return nil }
        let axis = Int(clamping: axes[0] < 0 ? axes[0] + Int64(rank) : axes[0])
        guard axis >= 0, axis < rank - 1 else { return nil }
        let order = (0..<rank).filter { $0 != axis } + [axis]
        var inverse = [Int64](repeating: 0, count: rank)
        for (position, axis) in order.enumerated() { inverse[axis] = Int64(position) }
        let name = transformer.function.values[binding.id.int].name
        var (arguments, attributes) = (call.arguments, call.attributes)
        arguments[0] = try transformer.emit(
            "permute_dims", [arguments[0]], ["axes": .ints(order.map { Int64($0) })], name: name)
        attributes["axes"] = .ints([-1])
        let normalized = try transformer.emit("nn.layer_norm", arguments, attributes, name: name)
        return try transformer.emit("permute_dims", [normalized], ["axes": .ints(inverse)], name: name)
    }
}
