import Glibc
import TenonIR

/// Folds inference batch normalisation, and multiplications and additions of one constant per channel, into the constant
/// weights beside them.
///
/// After a convolution, transposed convolution, dense layer or product (with or without a bias):
/// `(W∗x + b)·s + t = (s·W)∗x + (b·s + t)`. Before one, where it is exact (no padding, or nothing added; a transposed
/// convolution only with nothing added): `W∗(x·s + t) = (W·s)∗x + Σ W·t`. A value that is folded away must have no other
/// user. Whatever batch normalisation is left becomes a multiplication and an addition. `JoinedConstants` says which factors
/// and terms may be folded: none that overflows, vanishes, cancels or rounds on purpose. Batch normalisation is one operator,
/// and folded whatever its statistics are; where training has switched a channel off, what is too small for a normal number
/// becomes 0.
public struct FoldBatchNorm: BindingPass {
    public init() {}

    public var name: String { "FoldBatchNorm" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State, _ context: PassContext
    ) throws -> Operand? {
        if let folded = try foldAfter(binding, &transformer, state) { return folded }
        if case .tupleGetItem = binding.expression, let affine = ChannelAffine(binding, transformer) {
            guard let alone = try decompose(affine, &transformer) else { return nil }
            state.setUses(of: alone, as: binding.id)
            return alone
        }
        return try foldBefore(binding, &transformer, state)
    }

    /// Nothing else sees the value. Values made by this pass have one user by construction.
    private func hasOneUse(_ operand: Operand, _ transformer: BindingTransformer, _ state: State) -> Bool {
        guard case .value(let id) = operand, transformer.function.values[id.int].isDataflow else { return false }
        return state.count(id) == 1
    }

    // MARK: - After

    private func foldAfter(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: State
    ) throws -> Operand? {
        guard let input = ChannelAffine.input(of: binding, transformer), hasOneUse(input, transformer, state),
            let producer = LinearProducer(input, transformer),
            let affine = ChannelAffine(binding, transformer, axis: producer.channelAxis), affine.input == input,
            producer.channels == affine.channels,
            !affine.isBatchNorm || affine.tuple.map({ state.count($0) == 1 }) ?? true,
            transformer.type(of: .value(binding.id)) == transformer.type(of: input)
        else { return nil }
        if producer.bias == nil && affine.isIdentityScale { return nil }
        if producer.bias != nil, !hasOneUse(producer.output, transformer, state) { return nil }
        guard affine.isFoldable, let bias = Self.bias(producer.bias, affine),
            let weight = producer.scaled(affine.scale, allowsDead: affine.isBatchNorm)
        else { return nil }
        return try producer.emit(weight, bias, &transformer)
    }

    /// The layer's bias behind the affine map; nil when it must stay apart.
    private static func bias(_ old: [Double]?, _ affine: ChannelAffine) -> [Double]? {
        var bias = affine.shift
        for channel in bias.indices {
            let before = old?[channel] ?? 0
            if affine.isBatchNorm {
                // A term this large rounds on purpose.
                guard abs(before) <= 65536 else { return nil }
                bias[channel] += before * affine.scale[channel]
            } else if let term = JoinedConstants.bias(before, affine.scale[channel], bias[channel]) {
                bias[channel] = term
            } else {
                return nil
            }
        }
        return bias
    }

    // MARK: - Before

    private func foldBefore(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: State
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee,
            op.has(.linear), call.arguments.count == 2, case .value(let input) = call.arguments[0],
            hasOneUse(call.arguments[0], transformer, state), let definition = transformer.definition(.value(input)),
            let weight = transformer.constant(call.arguments[1]), weight.dtype == .float32,
            let rank = transformer.type(of: call.arguments[0]).asTensor?.rank, rank >= 2
        else { return nil }
        let isProduct = op.name == "nn.dense" || op.name == "matmul"
        let axis = isProduct ? rank - 1 : 1
        // By now the input is a multiplication or an addition: batch normalisation has been decomposed where it stood.
        guard let outer = ChannelAffine(Binding(input, definition), transformer, axis: axis),
            transformer.type(of: outer.input) == transformer.type(of: call.arguments[0])
        else { return nil }
        var affine = outer
        if hasOneUse(outer.input, transformer, state), case .value(let id) = outer.input,
            let inner = transformer.definition(outer.input).flatMap({
                ChannelAffine(Binding(id, $0), transformer, axis: axis)
            }),
            inner.channels == outer.channels, transformer.type(of: inner.input) == transformer.type(of: outer.input),
            let both = inner.followed(by: outer)
        {
            affine = both
        }
        guard affine.isFoldable, !isBias(affine, transformer, state),
            // x + t may cancel what the layer would then have to find in its sums.
            affine.shift.allSatisfy({ abs($0) <= JoinedConstants.largestCancelledTerm }),
            let folded = folding(op.name, call, weight, affine)
        else { return nil }
        let layer = try transformer.emit(
            op.name, [affine.input, .constant(folded.weight)], call.attributes, name: "folded")
        if folded.bias.allSatisfy({ $0 == 0 }) { return layer }
        let outputAxis = isProduct ? (transformer.type(of: layer).asTensor?.rank ?? rank) - 1 : 1
        return try ChannelConstant.add(folded.bias, to: layer, axis: outputAxis, &transformer)
    }

    /// Whether it only adds to what a layer gives, which the layer does at no cost. Behind the next one it would be a second
    /// addition there, which cannot always be joined with the first.
    private func isBias(_ affine: ChannelAffine, _ transformer: BindingTransformer, _ state: State) -> Bool {
        guard affine.isIdentityScale, hasOneUse(affine.input, transformer, state),
            let producer = LinearProducer(affine.input, transformer)
        else { return false }
        return producer.bias == nil && producer.channelAxis == affine.axis
    }

    private func folding(_ op: String, _ call: Call, _ weight: Constant, _ affine: ChannelAffine) -> InputFolding? {
        let shiftsNothing = affine.shift.allSatisfy { $0 == 0 }
        switch op {
        case "nn.dense": return InputFolding(weight, groups: 1, affine)
        case "matmul": return weight.shape.count == 2 ? InputFolding(inputsFirst: weight, affine) : nil
        default: break
        }
        if op.hasSuffix("transpose") {
            // At the edges of the result fewer taps meet the input: a shift would not be one number per channel.
            return shiftsNothing ? InputFolding(inputsFirst: weight, affine) : nil
        }
        let isPadded = (call.attributes.ints("padding") ?? []).contains { $0 != 0 }
        guard !isPadded || shiftsNothing else { return nil }
        return InputFolding(weight, groups: Int(clamping: call.attributes.int("groups") ?? 1), affine)
    }

    // MARK: - Alone

    private func decompose(_ affine: ChannelAffine, _ transformer: inout BindingTransformer) throws -> Operand? {
        guard let rank = transformer.type(of: affine.input).asTensor?.rank,
            let scale = try? ChannelConstant.make(affine.scale, rank: rank, axis: affine.axis),
            let shift = try? ChannelConstant.make(affine.shift, rank: rank, axis: affine.axis)
        else { return nil }
        let product = try transformer.emit("multiply", [affine.input, .constant(scale)], name: "scaled")
        return try transformer.emit("add", [product, .constant(shift)], name: "shifted")
    }
}
