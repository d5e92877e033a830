import TenonIR

/// Removes operations that change nothing and merges those that only move elements, so that patterns meet one spelling.
///
/// - A reshape, `flatten`, `squeeze`, `expand_dims`, `broadcast_to`, `astype` or `permute_dims` to the type and order it
///   already has is its operand.
/// - `flatten`, `squeeze`, `expand_dims` to a known shape, and a `permute_dims` that moves only sizes of 1, are a `reshape`;
///   a reshape of a reshape is one.
/// - Two `permute_dims` in a row are one, also with a reshape between them that only adds sizes of 1, or that splits or joins
///   leading dimensions which the first leaves in order.
/// - One element of an axis of a permuted tensor (`take`) is taken before the permutation: queries, keys and values that a layer
///   computes together.
/// - A slice of everything, a pad of nothing, one tile and a `concat` of one tensor are the operand; two constant pads of one
///   value in a row are one.
/// - `x · 1`, `x / 1`, `x + 0`, `x - 0`, `x ^ 1` are x; `x ^ 2` is `square(x)`; `relu(relu(x))` is `relu(x)`.
/// - `x - c` is `x + (-c)`; `(x + c) + d` is `x + (c + d)` and `(x · c) · d` is `x · (c · d)` when nothing else uses the value
///   in between and `JoinedConstants` allows it.
/// - An operand that is only repeated to the shape of the other one (`broadcast_to`) is used as it was.
/// - `matmul(x, permute_dims(w))` with the last two axes of a matrix exchanged is `dense(x, w)`, and
///   `dense(x, permute_dims(w))` is `matmul(x, w)`.
public struct SimplifyExpressions: BindingPass {
    public init() {}

    public var name: String { "SimplifyExpressions" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard let simpler = try simplified(binding, &transformer, state) else { return nil }
        if transformer.isNew(simpler) {
            state.setUses(of: simpler, as: binding.id)
        } else {
            state.addUses(of: simpler, as: binding)
        }
        return simpler
    }

    private func simplified(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ uses: UseCounts
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee, let x = call.arguments.first
        else {
            return nil
        }
        let type = transformer.type(of: .value(binding.id))
        switch op.name {
        case "reshape", "flatten", "squeeze", "expand_dims":
            return try reshape(op.name, x, type, &transformer, binding)
        case "broadcast_to", "astype", "tile", "strided_slice":
            return try unchanged(op.name, call, x, type, transformer) ? x : nil
        case "nn.pad": return try pad(call, x, type, &transformer, binding, uses)
        case "concat":
            guard case .tuple(let fields) = x, fields.count == 1 else { return nil }
            return fields[0]
        case "power":
            guard call.arguments.count == 2, transformer.type(of: x) == type, isKnown(type),
                let exponent = transformer.constant(call.arguments[1])?.splatValue
            else { return nil }
            if exponent == 1 { return x }
            guard exponent == 2, type.asTensor?.dtype?.isFloatingPoint == true else { return nil }
            return try checked(
                try transformer.emit("square", [x], name: name(binding, transformer)), type, transformer)
        case "permute_dims": return try permute(call, x, type, &transformer, binding)
        case "take": return try take(call, x, type, &transformer, binding)
        case "multiply", "divide", "add", "subtract", "maximum", "minimum":
            return try neutral(op.name, call, type, transformer)
                ?? arithmetic(op.name, call, type, &transformer, binding, uses)
        case "nn.relu": return transformer.call(x)?.op.name == "nn.relu" ? x : nil
        case "matmul", "nn.dense": return try product(op.name, call, type, &transformer, binding)
        default: return nil
        }
    }

    func isKnown(_ type: ValueType) -> Bool { type.asTensor?.shape != nil && type.asTensor?.dtype != nil }

    func name(_ binding: Binding, _ transformer: BindingTransformer) -> String {
        transformer.function.values[binding.id.int].name
    }

    private func reshape(
        _ op: String, _ x: Operand, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding
    ) throws -> Operand? {
        guard isKnown(type), let shape = type.asTensor?.shape else { return nil }
        if transformer.type(of: x) == type { return x }
        // Of a constant it is left to folding.
        if let inner = transformer.call(x), ["reshape", "flatten", "squeeze", "expand_dims"].contains(inner.op.name),
            let source = inner.call.arguments.first, transformer.type(of: source).asTensor?.shape != nil
        {
            if transformer.type(of: source) == type { return source }
            return try checked(
                try transformer.emit("reshape", [source, .shape(shape)], name: name(binding, transformer)), type,
                transformer)
        }
        if op == "reshape" { return nil }
        return try checked(
            try transformer.emit("reshape", [x, .shape(shape)], name: name(binding, transformer)), type, transformer)
    }

    /// The operand, if its type is what it stands for.
    func checked(_ operand: Operand, _ type: ValueType, _ transformer: BindingTransformer) throws -> Operand? {
        transformer.type(of: operand) == type ? operand : nil
    }

    /// The axes of a permutation, all from 0.
    func axes(_ call: Call, _ x: Operand, _ transformer: BindingTransformer) -> [Int]? {
        guard let rank = transformer.type(of: x).asTensor?.rank else { return nil }
        guard let given = call.attributes.ints("axes") else { return Array((0..<rank).reversed()) }
        let resolved = given.map { Int(clamping: $0 < 0 ? $0 + Int64(rank) : $0) }
        return resolved.sorted() == Array(0..<rank) ? resolved : nil
    }

    private func permute(
        _ call: Call, _ x: Operand, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding
    ) throws -> Operand? {
        guard let outer = axes(call, x, transformer), isKnown(type), let shape = type.asTensor?.shape else {
            return nil
        }
        if outer == Array(outer.indices) { return x }
        if let inner = transformer.call(x), inner.op.name == "permute_dims", let source = inner.call.arguments.first,
            let first = axes(inner.call, source, transformer)
        {
            let both = outer.map { first[$0] }
            if both == Array(both.indices) { return source }
            return try transformer.emit(
                "permute_dims", [source], ["axes": .ints(both.map { Int64($0) })], name: name(binding, transformer))
        }
        if let both = try throughReshape(outer, x, type, &transformer, binding) { return both }
        if let both = try besideReshape(outer, x, type, &transformer, binding) { return both }
        // Sizes above 1 keep their order: nothing moves in memory.
        guard let before = transformer.type(of: x).asTensor?.shape else { return nil }
        let moved = outer.filter { before[$0].value != 1 }
        guard moved == moved.sorted() else { return nil }
        return try transformer.emit("reshape", [x, .shape(shape)], name: name(binding, transformer))
    }

    /// A permutation of a permuted tensor that a reshape gave more dimensions of size 1: one permutation, and the reshape.
    private func throughReshape(
        _ outer: [Int], _ x: Operand, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding
    ) throws -> Operand? {
        guard let (_, op, reshape) = transformer.call(x), op.name == "reshape", let y = reshape.arguments.first,
            let (_, movement, inner) = transformer.call(y), movement.name == "permute_dims",
            let source = inner.arguments.first, let first = axes(inner, source, transformer),
            let before = transformer.type(of: y).asTensor?.shape, let after = transformer.type(of: x).asTensor?.shape,
            let shape = type.asTensor?.shape
        else { return nil }
        // Where each dimension was before the reshape; nil for a new one.
        var places: [Int?] = []
        var next = 0
        for size in after {
            if next < before.count, before[next] == size {
                places.append(next)
                next += 1
            } else if size == 1 {
                places.append(nil)
            } else {
                return nil
            }
        }
        guard next == before.count else { return nil }
        let both = outer.compactMap { places[$0] }.map { first[$0] }
        var moved = source
        if both != Array(both.indices) {
            moved = try transformer.emit(
                "permute_dims", [source], ["axes": .ints(both.map { Int64($0) })], name: name(binding, transformer))
        }
        return try checked(
            try transformer.emit("reshape", [moved, .shape(shape)], name: name(binding, transformer)), type, transformer
        )
    }

    /// A permutation of a permuted tensor whose leading dimensions, in order in both, a reshape splits or joins: the reshape, and one
    /// permutation. Transposed keys of PyTorch's exporters are written so.
    private func besideReshape(
        _ outer: [Int], _ x: Operand, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding
    ) throws -> Operand? {
        guard let (_, op, reshape) = transformer.call(x), op.name == "reshape", let y = reshape.arguments.first,
            let (_, movement, inner) = transformer.call(y), movement.name == "permute_dims",
            let source = inner.arguments.first, let first = axes(inner, source, transformer),
            let before = transformer.type(of: y).asTensor?.shape, let after = transformer.type(of: x).asTensor?.shape,
            let origin = transformer.type(of: source).asTensor?.shape
        else { return nil }
        let fixed = zip(first, first.indices).prefix { $0 == $1 }.count
        let moving = before.count - fixed
        guard moving > 0, after.count > moving, after.suffix(moving) == before.suffix(moving) else { return nil }
        let leading = after.count - moving
        let shape = Array(after.prefix(leading) + origin.suffix(moving))
        let shaped: Operand
        if let (_, op, earlier) = transformer.call(source), op.name == "reshape", let given = earlier.arguments.first,
            transformer.type(of: given).asTensor?.shape == shape
        {
            shaped = given
        } else {
            shaped = try transformer.emit("reshape", [source, .shape(shape)], name: name(binding, transformer))
        }
        let both = outer.map { $0 < leading ? $0 : leading + first[$0 - leading + fixed] - fixed }
        if both == Array(both.indices) { return try checked(shaped, type, transformer) }
        return try checked(
            try transformer.emit(
                "permute_dims", [shaped], ["axes": .ints(both.map { Int64($0) })], name: name(binding, transformer)),
            type, transformer)
    }

    private func neutral(_ op: String, _ call: Call, _ type: ValueType, _ transformer: BindingTransformer) -> Operand? {
        guard call.arguments.count == 2, op != "maximum", op != "minimum" else { return nil }
        let wanted = op == "multiply" || op == "divide" ? 1.0 : 0.0
        let commutes = op == "multiply" || op == "add"
        for position in commutes ? 0...1 : 0...0 {
            let x = call.arguments[position]
            guard transformer.type(of: x) == type, isKnown(type),
                let constant = transformer.constant(call.arguments[1 - position]), constant.count <= 1 << 16,
                constant.splatValue == wanted
            else { continue }
            return x
        }
        return nil
    }

    /// `matmul` by a transposed matrix is `dense`, and the other way round.
    private func product(
        _ op: String, _ call: Call, _ type: ValueType, _ transformer: inout BindingTransformer, _ binding: Binding
    ) throws -> Operand? {
        guard call.arguments.count == 2, call.attributes.dtype("out_dtype") == nil,
            let rank = transformer.type(of: call.arguments[0]).asTensor?.rank, rank >= 2,
            let (_, inner, permutation) = transformer.call(call.arguments[1]), inner.name == "permute_dims",
            let weight = permutation.arguments.first, axes(permutation, weight, transformer) == [1, 0]
        else { return nil }
        return try checked(
            try transformer.emit(
                op == "matmul" ? "nn.dense" : "matmul", [call.arguments[0], weight], name: name(binding, transformer)),
            type, transformer)
    }
}
