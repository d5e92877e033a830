import TenonIR

/// Writes attention that is spelled out, `softmax(scale · q kᵀ + mask) v`, as `nn.attention`, which no permutation stands around.
///
/// Read algebraically: the scale may stand before or behind the product, on both sides, as a factor or a divisor; masks are added
/// or chosen with `where`; what several query heads share may be repeated or expanded; behind the softmax a row that is NaN may be
/// replaced by 0. Single precision only. Scores that are used elsewhere stay as they are.
public struct RecomposeAttention: BindingPass {
    public init() {}

    public var name: String { "RecomposeAttention" }

    typealias State = UseCounts

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout UseCounts, _ context: PassContext
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee else { return nil }
        let name = transformer.function.values[binding.id.int].name
        let result: Operand?
        switch op.name {
        case "matmul": result = try attention(binding, call, name, state, &transformer)
        case "permute_dims":
            result = try permuted(call, name, Reader(transformer: transformer, uses: state), &transformer)
        case "nn.attention":
            result = try gathered(call, name, Reader(transformer: transformer, uses: state), &transformer)
        default: return nil
        }
        guard let result, transformer.type(of: result) == transformer.type(of: .value(binding.id)) else { return nil }
        state.setUses(of: result, as: binding.id)
        return result
    }

    /// A permutation behind attention becomes the layout of its result.
    private func permuted(
        _ call: Call, _ name: String, _ reader: Reader, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        guard let attention = reader.inner(call.arguments[0], "nn.attention"), let axes = AttentionForm.axes(call, 4)
        else { return nil }
        var attributes = attention.attributes
        let places = AttentionLayout(attributes.string("out_layout")).axes.compactMap { axes.firstIndex(of: Int64($0)) }
        guard let layout = AttentionLayout(axes: places.map(Int64.init)) else { return nil }
        attributes["out_layout"] = .string(layout.rawValue)
        return try transformer.emit("nn.attention", attention.arguments, attributes, name: name)
    }

    /// Permutations and repetitions in front of attention become layouts and shared heads.
    private func gathered(
        _ call: Call, _ name: String, _ reader: Reader, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        var form = AttentionForm()
        var sides: [AttentionForm.Side] = []
        for (index, layout) in ["query_layout", "key_layout", "value_layout"].enumerated() {
            let axes = AttentionLayout(call.attributes.string(layout)).axes.map(Int64.init)
            let side = AttentionForm.Side(operand: call.arguments[index], axes: axes)
            let peeled = form.peel(side, reader, scales: false)
            sides.append(peeled.layout == nil ? side : peeled)
        }
        var (key, value) = (sides[1], sides[2])
        ungroup(&key, &value, reader)
        (sides[1], sides[2]) = (key, value)
        guard zip(sides, call.arguments).contains(where: { $0.operand != $1 }) else { return nil }
        var (arguments, attributes) = (call.arguments, call.attributes)
        for (index, layout) in ["query_layout", "key_layout", "value_layout"].enumerated() {
            let (operand, found) = try placed(sides[index], 4, name, &transformer)
            arguments[index] = operand
            attributes[layout] = .string(found)
        }
        return try transformer.emit("nn.attention", arguments, attributes, name: name)
    }

    private func attention(
        _ binding: Binding, _ call: Call, _ name: String, _ uses: UseCounts, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        let reader = Reader(transformer: transformer, uses: uses)
        guard let type = transformer.type(of: .value(binding.id)).asTensor, type.dtype == .float32,
            let (softmax, keepsRows) = probabilities(call.arguments[0], reader),
            var form = AttentionForm.read(softmax.arguments[0], reader),
            let rank = transformer.type(of: softmax.arguments[0]).asTensor?.rank,
            transformer.type(of: call.arguments[1]).asTensor?.rank == rank
        else { return nil }
        let axis = softmax.attributes.int("axis") ?? -1
        guard axis == -1 || axis == Int64(rank) - 1 else { return nil }
        var value = form.peel(
            AttentionForm.Side(operand: call.arguments[1], axes: (0..<Int64(rank)).map { $0 }), reader, scales: false)
        if rank == 4 { ungroup(&form.key, &value, reader) }
        let causal = causality(&form, softmax.arguments[0], reader)
        let mask = try mask(form, name, &transformer)
        var attributes: Attributes = [
            "scale": .float(form.scale), "softcap": .float(form.softcap),
            "hidden_value": .string(keepsRows ? "nan" : "zero"), "out_layout": "bhtd",
        ]
        if let causal { attributes["causal_mask"] = .string(causal.name) }
        let lowest = causal?.value ?? form.allowed?.value ?? -.infinity
        if lowest != -.infinity { attributes["mask_value"] = .float(lowest) }
        var operands: [Operand] = []
        for (side, layout) in [(form.query, "query_layout"), (form.key, "key_layout"), (value, "value_layout")] {
            let (operand, found) = try placed(side, rank, name, &transformer)
            operands.append(operand)
            attributes[layout] = .string(found)
        }
        if let mask {
            guard let lifted = try lifted(mask, rank, name, &transformer) else { return nil }
            operands.append(lifted)
        }
        let result = try transformer.emit("nn.attention", operands, attributes, name: name)
        guard rank == 3, let shape = type.shape else { return result }
        return try transformer.emit("reshape", [result, .shape(shape)], name: name)
    }

    /// The softmax behind what may replace rows of NaN by 0; whether such rows stay NaN.
    private func probabilities(_ operand: Operand, _ reader: Reader) -> (softmax: Call, keepsRows: Bool)? {
        if let softmax = reader.inner(operand, "nn.softmax") { return (softmax, true) }
        guard let choice = reader.inner(operand, "where"), choice.arguments.count == 3,
            reader.number(choice.arguments[1]) == 0, let test = reader.inner(choice.arguments[0], "isnan"),
            test.arguments[0] == choice.arguments[2], let (name, softmax) = reader.call(choice.arguments[2]),
            name == "nn.softmax", case .value(let id) = choice.arguments[2], reader.uses.count(id) == 2,
            reader.transformer.type(of: operand) == reader.transformer.type(of: choice.arguments[2])
        else { return nil }
        return (softmax, false)
    }

    /// Heads of keys and values that are repeated for the query heads that share them.
    private func ungroup(_ key: inout AttentionForm.Side, _ value: inout AttentionForm.Side, _ reader: Reader) {
        // Permuted keys come from the repeated ones.
        guard let own = repeated(key, reader), let other = repeated(value, reader), own.group == other.group else {
            return
        }
        var form = AttentionForm()
        key = form.peel(own, reader, scales: false)
        value = form.peel(other, reader, scales: false)
    }

    private func repeated(_ side: AttentionForm.Side, _ reader: Reader) -> AttentionForm.Side? {
        guard let (name, call) = reader.call(side.operand) else { return nil }
        var result = side
        // Where the heads are in the operand.
        let heads = side.axes[1]
        if name == "repeat", call.attributes.int("axis") == heads || call.attributes.int("axis") == heads - 4,
            let group = call.attributes.int("repeats"), group > 0
        {
            result.operand = call.arguments[0]
            result.group = group
            return result
        }
        // [b, h, …] → [b, h, 1, …] → [b, h, g, …] → [b, h · g, …]
        guard name == "reshape", let wide = reader.call(call.arguments[0]), wide.name == "broadcast_to",
            let from = reader.call(wide.call.arguments[0]), from.name == "expand_dims" || from.name == "reshape",
            let inner = reader.transformer.type(of: from.call.arguments[0]).asTensor?.shape, inner.count == 4,
            let target = reader.transformer.type(of: call.arguments[0]).asTensor?.shape, target.count == 5,
            let middle = reader.transformer.type(of: wide.call.arguments[0]).asTensor?.shape, middle.count == 5,
            let group = target[Int(heads) + 1].value, group > 0, let own = inner[Int(heads)].value,
            let all = reader.transformer.type(of: side.operand).asTensor?.shape, all[Int(heads)].value == own * group
        else { return nil }
        var expected = inner
        expected.insert(.fixed(1), at: Int(heads) + 1)
        guard middle == expected else { return nil }
        expected[Int(heads) + 1] = .fixed(group)
        var joined = inner
        joined[Int(heads)] = all[Int(heads)]
        guard target == expected, all == joined else { return nil }
        result.operand = from.call.arguments[0]
        result.group = group
        return result
    }

    /// One operand in a layout that attention reads.
    private func placed(
        _ side: AttentionForm.Side, _ rank: Int, _ name: String, _ transformer: inout BindingTransformer
    ) throws -> (Operand, String) {
        var operand = side.operand
        if let shape = side.shape {
            operand = try transformer.emit("reshape", [operand, .shape(shape)], name: name)
        }
        if rank == 4, let layout = side.layout { return (operand, layout) }
        if side.axes != (0..<Int64(rank)).map({ $0 }) {
            operand = try transformer.emit("permute_dims", [operand], ["axes": .ints(side.axes)], name: name)
        }
        if rank == 3, let shape = transformer.type(of: operand).asTensor?.shape {
            // One head per sample.
            operand = try transformer.emit(
                "reshape", [operand, .shape([shape[0], 1, shape[1], shape[2]])], name: name)
        }
        return (operand, "bhtd")
    }

    /// Takes a mask that says no more than causality out of the form; gives `causal_mask`, and what later keys score.
    private func causality(
        _ form: inout AttentionForm, _ scores: Operand, _ reader: Reader
    ) -> (name: String, value: Double)? {
        guard let shape = reader.transformer.type(of: scores).asTensor?.shape, shape.count >= 2 else { return nil }
        let causality = AttentionCausality(
            reader: reader, queries: shape[shape.count - 2], keys: shape[shape.count - 1])
        if let allowed = form.allowed,
            let name = causality.condition(allowed.condition, isInverted: allowed.isInverted)
        {
            form.allowed = nil
            return (name, allowed.value)
        }
        // A finite number in the place of scores would be added to.
        guard form.allowed.map({ $0.value == -.infinity }) ?? true else { return nil }
        for (index, mask) in form.masks.enumerated() {
            if mask.shape == nil, let name = causality.added(mask.operand) {
                form.masks.remove(at: index)
                return (name, -.infinity)
            }
        }
        return nil
    }

    /// Masks and conditions as one operand.
    private func mask(
        _ form: AttentionForm, _ name: String, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        var mask: Operand?
        for added in form.masks {
            var more = added.operand
            if let repeated = added.repeated, let shape = added.shape {
                more = try transformer.emit("broadcast_to", [more, .shape(repeated)], name: name)
                more = try transformer.emit("reshape", [more, .shape(shape)], name: name)
            }
            mask = try mask.map { try transformer.emit("add", [$0, more], name: name) } ?? more
        }
        guard let allowed = form.allowed else { return mask }
        guard let added = mask else {
            return allowed.isInverted
                ? try transformer.emit("logical_not", [allowed.condition], name: name) : allowed.condition
        }
        let hidden = Operand.constant(try Constant.scalar(.float32, -.infinity))
        return try transformer.emit(
            "where", allowed.isInverted ? [allowed.condition, hidden, added] : [allowed.condition, added, hidden],
            name: name)
    }

    /// A mask over products of three dimensions for those of four.
    private func lifted(
        _ mask: Operand, _ rank: Int, _ name: String, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        guard rank == 3 else { return mask }
        guard let shape = transformer.type(of: mask).asTensor?.shape else { return nil }
        guard shape.count == 3 else { return mask }
        return try transformer.emit("reshape", [mask, .shape([shape[0], 1, shape[1], shape[2]])], name: name)
    }
}
