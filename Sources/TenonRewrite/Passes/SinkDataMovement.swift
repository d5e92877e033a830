import TenonIR

/// Moves element-wise operators in front of a `reshape`, `permute_dims` or `nn.depth_to_space` that stands between them and a convolution or
/// product, so that bias, normalisation, activation and residual meet the layer that they can be fused with.
///
/// `relu(reshape(conv(x)) + b)` becomes `reshape(relu(conv(x) + b'))`, b' being b seen through the movement: for a
/// permutation its dimensions are permuted, for a reshape its sizes are regrouped, which must be possible without repeating
/// anything. ReLU, ReLU6 and clip move in front of max pooling as well: they keep the order of what they are applied to.
/// What is moved over must have no other user. Earlier passes have written `flatten`, `squeeze` and `expand_dims` as
/// `reshape`.
public struct SinkDataMovement: BindingPass {
    public init() {}

    public var name: String { "SinkDataMovement" }

    struct State {
        var uses: UseCounts
        /// By value: what is computed by a layer, or element by element from what a layer computes, moved or not. Grows with
        /// the values.
        var followsLayer: [Bool]
    }

    func begin(_ function: Function, _ context: PassContext) throws -> State {
        State(
            uses: UseCounts(function), followsLayer: [Bool](repeating: false, count: function.values.count))
    }

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return nil }
        let isElementwise = op.has([.unary, .binary])
        if isElementwise, let moved = try sink(op, call, binding, &transformer, &state) { return moved }
        let isAfterLayer =
            op.has(.linear)
            || op.has([.movesElements, .maxPooling]) && call.arguments.first.map { state.follows($0) } == true
            || isElementwise
                && call.arguments.contains {
                    state.follows($0) && transformer.type(of: $0) == transformer.type(of: .value(binding.id))
                }
        if isAfterLayer { state.mark(.value(binding.id)) }
        return nil
    }

    /// A movement that can be passed, and what it moves.
    private struct Passage {
        var movement: Movement
        var call: Call
        var source: Operand
        var before: TensorType
    }

    private func passage(
        _ op: OperatorID, _ moved: Operand, _ type: ValueType, _ transformer: BindingTransformer, _ state: State
    ) -> Passage? {
        let reader = Reader(transformer: transformer, uses: state.uses)
        guard reader.isSpent(moved), transformer.type(of: moved) == type, let (name, call) = reader.call(moved),
            let source = call.arguments.first, reader.isSpent(source), state.follows(source),
            let before = transformer.type(of: source).asTensor,
            let movement = Movement(name, call, from: before, to: type, overPooling: op.has(.clamps))
        else { return nil }
        return Passage(movement: movement, call: call, source: source, before: before)
    }

    private func sink(
        _ op: OperatorID, _ call: Call, _ binding: Binding, _ transformer: inout BindingTransformer,
        _ state: inout State
    ) throws -> Operand? {
        let type = transformer.type(of: .value(binding.id))
        let isBinary = op.has(.binary)
        for position in 0..<(isBinary ? 2 : 1) where call.arguments.indices.contains(position) {
            var arguments = call.arguments
            var types = [type]
            var passed: [Call] = []
            // As many movements as the operator passes.
            while let passage = passage(op, arguments[position], types[passed.count], transformer, state) {
                if isBinary {
                    guard let other = try passage.movement.undone(arguments[1 - position], &transformer) else { break }
                    arguments[1 - position] = other
                }
                arguments[position] = passage.source
                types.append(.tensor(passage.before))
                passed.append(passage.call)
            }
            guard !passed.isEmpty else { continue }
            let typed = try? Inference.call(
                op, arguments, call.attributes,
                types: arguments.map { transformer.type(of: $0) },
                constants: arguments.map { transformer.constant($0) })
            guard typed?.type == types[passed.count] else { continue }
            let name = transformer.function.values[binding.id.int].name
            var result = try transformer.emit(op.name, arguments, call.attributes, name: name)
            state.mark(result)
            for (movement, type) in zip(passed, types).reversed() {
                var operands = movement.arguments
                operands[0] = result
                result = transformer.emit(
                    .call(Call(movement.callee, operands, movement.attributes)), type, name: name)
                state.mark(result)
            }
            state.uses.setUses(of: result, as: binding.id)
            return result
        }
        return nil
    }
}

extension SinkDataMovement.State {
    func follows(_ operand: Operand) -> Bool {
        guard case .value(let id) = operand, followsLayer.indices.contains(id.int) else { return false }
        return followsLayer[id.int]
    }

    mutating func mark(_ operand: Operand) {
        guard case .value(let id) = operand else { return }
        while followsLayer.count <= id.int { followsLayer.append(false) }
        followsLayer[id.int] = true
    }
}

/// A movement of elements, and how the second operand of a binary operation looks on its other side.
private enum Movement {
    case permutation([Int])
    case reshape(from: [Dim], to: [Dim])
    /// `block` × `block` channels become one.
    case depthToSpace(block: Int64)
    /// Nothing but functions of one operand passes it.
    case pooling

    init?(_ name: String, _ call: Call, from before: TensorType, to after: ValueType, overPooling: Bool) {
        guard let source = before.shape, let target = after.asTensor?.shape else { return nil }
        switch name {
        case "reshape": self = .reshape(from: source, to: target)
        case "permute_dims":
            let rank = Int64(source.count)
            let axes = call.attributes.ints("axes") ?? (0..<rank).reversed()
            let resolved = axes.map { Int(clamping: $0 < 0 ? $0 + rank : $0) }
            guard resolved.sorted() == Array(source.indices) else { return nil }
            self = .permutation(resolved)
        case "nn.depth_to_space":
            guard let block = call.attributes.int("block_size"), block > 0, call.attributes.string("mode") == "CRD"
            else {
                return nil
            }
            self = .depthToSpace(block: block)
        case "nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d":
            // Each window must meet the image: what it gives for nothing is no value of it.
            guard overPooling, call.attributes.bool("ceil_mode") != true,
                let kernel = call.attributes.ints("pool_size"),
                let padding = call.attributes.ints("padding"), padding.count == 2 * kernel.count,
                padding.indices.allSatisfy({ padding[$0] < kernel[$0 % kernel.count] })
            else { return nil }
            self = .pooling
        default: return nil
        }
    }

    /// An operand that, combined with what lies before the movement, gives what `operand` gives behind it; nil when there
    /// is none that is only seen differently.
    func undone(_ operand: Operand, _ transformer: inout BindingTransformer) throws -> Operand? {
        guard let shape = transformer.type(of: operand).asTensor?.shape else { return nil }
        switch self {
        case .pooling: return nil
        case .depthToSpace(let block):
            // One number, or one per channel, which each of the channels that it was has.
            let aligned = [Dim](repeating: 1, count: max(0, 4 - shape.count)) + shape
            guard aligned.count == 4, aligned[0] == 1, aligned[2] == 1, aligned[3] == 1 else { return nil }
            if aligned[1] == 1 { return operand }
            guard Self.isKnown(operand, transformer) else { return nil }
            let channels = try Self.reshaped(operand, shape, to: aligned, &transformer)
            return try transformer.emit(
                "repeat", [channels], ["repeats": .int(block * block), "axis": .int(1)], name: "seen")
        case .permutation(let axes):
            // What was moved in the same way, a residual say, is taken from where it was.
            if let (_, op, call) = transformer.call(operand), op.name == "permute_dims",
                let source = call.arguments.first,
                let type = transformer.type(of: source).asTensor,
                case .permutation(axes)? = Movement(
                    op.name, call, from: type, to: transformer.type(of: operand), overPooling: false)
            {
                return source
            }
            guard shape.count <= axes.count else { return nil }
            let aligned = [Dim](repeating: 1, count: axes.count - shape.count) + shape
            var before = [Dim](repeating: 1, count: axes.count)
            for (position, axis) in axes.enumerated() { before[axis] = aligned[position] }
            let kept = axes.indices.filter { aligned[$0] != 1 }.map { axes[$0] }
            if kept == kept.sorted() { return try Self.reshaped(operand, shape, to: before, &transformer) }
            // The elements move: for free in a constant only.
            guard transformer.constant(operand) != nil else { return nil }
            let full = try Self.reshaped(operand, shape, to: aligned, &transformer)
            var inverse = [Int64](repeating: 0, count: axes.count)
            for (position, axis) in axes.enumerated() { inverse[axis] = Int64(position) }
            return try transformer.emit("permute_dims", [full], ["axes": .ints(inverse)], name: "seen")
        case .reshape(let from, let to):
            guard let before = Self.regrouped(shape, from: from, to: to) else { return nil }
            return try Self.reshaped(operand, shape, to: before, &transformer)
        }
    }

    /// A constant, perhaps under another shape, as biases are spelled: what is made of it can be folded.
    private static func isKnown(_ operand: Operand, _ transformer: BindingTransformer) -> Bool {
        if transformer.constant(operand) != nil { return true }
        guard let (_, op, call) = transformer.call(operand), op.name == "reshape", let source = call.arguments.first
        else {
            return false
        }
        return transformer.constant(source) != nil
    }

    private static func reshaped(
        _ operand: Operand, _ shape: [Dim], to target: [Dim], _ transformer: inout BindingTransformer
    ) throws -> Operand {
        if shape == target { return operand }
        if let constant = transformer.constant(operand) {
            // The same bytes under another shape, so that the pass behind this one can fold them.
            let sizes = target.compactMap(\.value)
            guard sizes.count == target.count else { return operand }
            return .constant(
                try Constant(dtype: constant.dtype, shape: sizes, borrowing: constant.bytes, owner: constant))
        }
        if let (_, op, call) = transformer.call(operand), op.name == "reshape", let source = call.arguments.first,
            transformer.type(of: source).asTensor?.shape == target
        {
            return source
        }
        return try transformer.emit("reshape", [operand, .shape(target)], name: "seen")
    }

    /// The sizes of an operand that broadcasts to `to`, as it would broadcast to `from`.
    ///
    /// Both shapes are cut into the shortest runs of equal product. In each run the operand has all elements, and then has
    /// the sizes of the other side, or one, and then has one there too.
    private static func regrouped(_ operand: [Dim], from: [Dim], to: [Dim]) -> [Dim]? {
        guard operand.count <= to.count else { return nil }
        let aligned = [Dim](repeating: 1, count: to.count - operand.count) + operand
        var result: [Dim] = []
        var (i, j) = (0, 0)
        while i < from.count || j < to.count {
            let (firstFrom, firstTo) = (i, j)
            if i < from.count, j < to.count, from[i] == to[j] {
                (i, j) = (i + 1, j + 1)
            } else {
                guard let end = run(from, to, i, j) else { return nil }
                (i, j) = end
            }
            let part = aligned[firstTo..<j]
            if part.allSatisfy({ $0 == 1 }) {
                result += [Dim](repeating: 1, count: i - firstFrom)
            } else if part == to[firstTo..<j] {
                result += from[firstFrom..<i]
            } else {
                return nil
            }
        }
        return result
    }

    /// Where the shortest runs from `i` and `j` with equal products end. Known sizes only.
    private static func run(_ from: [Dim], _ to: [Dim], _ i: Int, _ j: Int) -> (Int, Int)? {
        var (i, j) = (i, j)
        var (left, right): (Int64, Int64) = (1, 1)
        func take(_ dims: [Dim], _ index: inout Int, _ product: inout Int64) -> Bool {
            guard index < dims.count, let size = dims[index].value, size > 0 else { return false }
            let (next, overflow) = product.multipliedReportingOverflow(by: size)
            (product, index) = (next, index + 1)
            return !overflow
        }
        // One dimension at least; sizes of 1 make runs of their own.
        let isFromFirst = i < from.count && (j >= to.count || from[i] == 1 || to[j] != 1)
        guard isFromFirst ? take(from, &i, &left) : take(to, &j, &right) else { return nil }
        while left != right {
            guard left < right ? take(from, &i, &left) : take(to, &j, &right) else { return nil }
        }
        return (i, j)
    }
}
