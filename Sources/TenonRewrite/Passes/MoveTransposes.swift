import TenonIR

/// Moves permutations of dimensions behind what follows them, so that those which undo each other meet and go: models whose
/// images are [n, h, w, c] have one in front of every convolution and one behind it.
///
/// Moved are permutations of what a layer computes: behind element-wise operators whose other operands are permuted alike,
/// known or single values, behind concatenation, padding, pooling over whole axes, normalisation. A permutation that moves
/// dimensions of size 1 only is a reshape.
public struct MoveTransposes: BindingPass {
    public init() {}

    public var name: String { "MoveTransposes" }

    struct State {
        /// By value: what a layer on images computes, and what is computed element by element of that. Grows with the values.
        private(set) var isImage: [Bool]

        func follows(_ operand: Operand) -> Bool {
            guard case .value(let id) = operand, isImage.indices.contains(id.int) else { return false }
            return isImage[id.int]
        }

        mutating func mark(_ operand: Operand) {
            guard case .value(let id) = operand else { return }
            while isImage.count <= id.int { isImage.append(false) }
            isImage[id.int] = true
        }
    }

    func begin(_ function: Function, _ context: PassContext) throws -> State {
        State(isImage: [Bool](repeating: false, count: function.values.count))
    }

    /// The result of a batch normalisation of permuted data.
    private func normalised(
        _ tuple: Operand, _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State
    ) throws -> Operand? {
        guard let (_, op, call) = transformer.call(tuple), op.name == "nn.batch_norm",
            call.attributes.bool("training") != true
        else { return nil }
        var mover = PermutationMover(
            call: call, op: op.name, name: transformer.function.values[binding.id.int].name)
        guard let moved = try mover.normalisation(&transformer, state),
            transformer.type(of: moved) == transformer.type(of: .value(binding.id))
        else { return nil }
        state.mark(moved)
        for part in mover.images { state.mark(part) }
        return moved
    }

    /// The function with permutations moved in it and in the functions that it binds.
    public func moved(_ function: Function) throws -> Function {
        var result = function
        result.body = try function.body.mapExpressions { expression in
            guard case .function(let local) = expression else { return expression }
            return .function(try moved(local))
        }
        var state = try begin(result, PassContext())
        let context = PassContext()
        let changed = try BindingTransformer.transform(result) { transformer, binding in
            if case .call(let call) = binding.expression, !call.isPlain { return nil }
            return try visit(binding, &transformer, &state, context)
        }
        guard let changed else { return result }
        return changed.removingUnusedBindings(.unknown) ?? changed.compacted()
    }

    /// Where images come from.
    static func isLayer(_ op: OperatorID) -> Bool {
        op.has([.convolution, .transposedConvolution, .maxPooling, .averagePooling, .adaptivePooling])
            || others.contains(op.name)
    }

    private static let others: Set<String> = [
        "image.resize1d", "image.resize2d", "image.resize3d", "nn.batch_norm", "nn.instance_norm", "nn.group_norm",
        "nn.lrn", "nn.depth_to_space", "nn.space_to_depth",
    ]

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State, _ context: PassContext
    ) throws -> Operand? {
        if case .tupleGetItem(let tuple, 0) = binding.expression {
            return try normalised(tuple, binding, &transformer, &state)
        }
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return nil }
        var mover = PermutationMover(
            call: call, op: op.name, name: transformer.function.values[binding.id.int].name)
        if let moved = try mover.moved(&transformer, state),
            transformer.type(of: moved) == transformer.type(of: .value(binding.id))
        {
            state.mark(moved)
            for part in mover.images { state.mark(part) }
            return moved
        }
        if Self.isLayer(op) || call.arguments.contains(where: { state.follows($0) }) {
            state.mark(.value(binding.id))
        }
        return nil
    }
}
