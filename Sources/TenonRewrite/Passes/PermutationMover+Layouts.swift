import TenonIR

/// What moves only where a layout is asked for.
extension PermutationMover {
    /// The call with inputs and result in the layouts wanted, between permutations; nil when it has them.
    mutating func inLayouts(
        _ wanted: [String], _ view: LayoutView, _ schema: OperatorSchema, _ transformer: inout BindingTransformer
    ) throws -> Operand? {
        var (arguments, attributes) = (call.arguments, call.attributes)
        var isChanged = false
        for (input, order) in zip(view.inputs, wanted) {
            guard let given = layout(input.attribute, schema),
                let axes = DimensionOrder.axes(from: given, to: order), arguments.indices.contains(input.index)
            else { return nil }
            isChanged = isChanged || !isIdentity(axes)
            attributes[input.attribute] = .string(order)
            arguments[input.index] = try composed(arguments[input.index], axes, &transformer)
        }
        let order = wanted.count > view.inputs.count ? wanted[view.inputs.count] : wanted[0]
        guard let first = view.inputs.first,
            let given = layout(view.output.attribute ?? first.attribute, schema),
            let back = DimensionOrder.axes(from: order, to: given), isChanged || !isIdentity(back)
        else { return nil }
        if let attribute = view.output.attribute { attributes[attribute] = .string(order) }
        let result = try transformer.emit(op, arguments, attributes, name: name)
        return try permuted(result, back, &transformer)
    }

    /// An operator of one image in the layout that the image has in front of the permutation.
    mutating func inLayoutOfImage(
        _ view: LayoutView, _ schema: OperatorSchema, _ transformer: inout BindingTransformer,
        _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard view.inputs.count == 1, let input = view.inputs.first, let given = layout(input.attribute, schema),
            let axes = leading(Array(call.arguments.prefix(1)), transformer, state)
        else { return nil }
        let letters = Array(given)
        guard letters.count == axes.count else { return nil }
        return try inLayouts(
            [String(DimensionOrder.inverse(axes).map { letters[Int($0)] })], view, schema, &transformer)
    }

    private func layout(_ attribute: String, _ schema: OperatorSchema) -> String? {
        guard case .string(let order)? = schema.value(of: attribute, in: call.attributes) else { return nil }
        return order
    }

    /// Normalisation with scale and shift per channel: the statistics are of the same elements in any order of dimensions.
    mutating func channelNormalisation(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let axes = leading(Array(call.arguments.prefix(1)), transformer, state),
            let found = permutation(call.arguments[0], transformer),
            let channel = axis(call.attributes, axes.count, "channel_axis"),
            let given = call.attributes.ints("axes")
        else { return nil }
        let rank = Int64(axes.count)
        let resolved = given.map { $0 < 0 ? $0 + rank : $0 }
        guard resolved.allSatisfy({ $0 >= 0 && $0 < rank }) else { return nil }
        var attributes = call.attributes
        attributes["channel_axis"] = .int(axes[channel])
        attributes["axes"] = .ints(resolved.map { axes[Int($0)] }.sorted())
        let result = try transformer.emit(op, [found.source] + call.arguments.dropFirst(), attributes, name: name)
        return try permuted(result, axes, &transformer)
    }

    /// Normalisation over axes of which scale and shift have the sizes: they must come in the same order.
    mutating func layerNormalisation(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> Operand? {
        guard let axes = leading(Array(call.arguments.prefix(1)), transformer, state),
            let found = permutation(call.arguments[0], transformer), let given = call.attributes.ints("axes")
        else { return nil }
        let rank = Int64(axes.count)
        let resolved = given.map { $0 < 0 ? $0 + rank : $0 }
        guard resolved.allSatisfy({ $0 >= 0 && $0 < rank }) else { return nil }
        let inner = resolved.map { axes[Int($0)] }
        guard resolved == resolved.sorted(), inner == inner.sorted() else { return nil }
        var attributes = call.attributes
        attributes["axes"] = .ints(inner)
        let result = try transformer.emit(op, [found.source] + call.arguments.dropFirst(), attributes, name: name)
        return try permuted(result, axes, &transformer)
    }

    /// The pieces of an image that is cut, in front of the permutation; the axes bring each into its place.
    func split(
        _ transformer: inout BindingTransformer, _ state: MoveTransposes.State
    ) throws -> (tuple: Operand, axes: [Int64])? {
        guard let axes = leading(Array(call.arguments.prefix(1)), transformer, state),
            let found = permutation(call.arguments[0], transformer), let axis = axis(call.attributes, axes.count)
        else { return nil }
        var attributes = call.attributes
        attributes["axis"] = .int(axes[axis])
        return (try transformer.emit(op, [found.source], attributes, name: name), axes)
    }
}
