import TenonIR

/// Operators that carry a state from one call of the model to the next.
enum StateImporters {
    static let table: [String: OperatorImporter] = [
        "CausalConvWithState": OperatorImporter(since: 27, causalConvolution),
        "LinearAttention": OperatorImporter(since: 27, linearAttention),
        "TensorScatter": OperatorImporter(since: 24, tensorScatter),
    ]

    /// A convolution per channel of what came before and the input; its last positions are the next state.
    private static func causalConvolution(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...4)
        let (shape, weight) = (try node.shape(0), try node.shape(1))
        guard shape.count == 3, weight.count == 3, let channels = shape[1].value, let kernel = weight[2].value,
            kernel > 0, kernel <= Int64(Int32.max)
        else {
            throw node.error(
                .invalidShape, "expected [batch, channels, length] and [channels, 1, k], found \(shape) and \(weight)")
        }
        var padded = try node.operand(0)
        let dtype = try node.type(0).dtype ?? .float32
        if node.has(3) {
            padded = try node.call("concat", [.tuple([try node.operand(3), padded])], ["axis": 2])
        } else if kernel > 1 {
            padded = try node.call("nn.pad", [padded], ["pad_width": .ints([0, 0, 0, 0, kernel - 1, 0])])
        }
        let product = try node.call("nn.conv1d", [padded, try node.operand(1)], ["groups": .int(channels)])
        var result = try ConvolutionImporters.addBias(node, to: product, channels: shape[1], spatial: 1)
        switch try node.string("activation", "none") {
        case "none": break
        case "silu", "swish":
            let wide = try node.cast(result, dtype == .float64 ? .float64 : .float32)
            result = try node.cast(try node.call("nn.silu", [wide]), dtype)
        case let other: throw node.error(.invalidArgument, "activation is \(quoted(other))")
        }
        guard node.wants(1) else { return [.operand(result)] }
        guard let length = try node.type(of: padded).shape?[2], let first = Dim.adding(length, .fixed(1 - kernel))
        else {
            throw node.unsupported("a length that is not known")
        }
        let state = try node.call("strided_slice", [padded, .tuple([.int(2)]), .shape([first]), .shape([length])])
        return [.operand(result), .operand(state)]
    }

    /// States are computed in f32; the one that comes out has the type of the one that came in, else that of the query.
    private static func linearAttention(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...6)
        node.ignore("chunk_size")
        let (queryHeads, heads) = (try node.int("q_num_heads", 0), try node.int("kv_num_heads", 0))
        guard heads > 0, queryHeads > 0, queryHeads % heads == 0 else {
            throw node.error(.invalidArgument, "q_num_heads is \(queryHeads), kv_num_heads is \(heads)")
        }
        let rule = try node.string("update_rule", "gated_delta")
        guard ["linear", "gated", "delta", "gated_delta"].contains(rule) else {
            throw node.error(.invalidArgument, "update_rule is \(quoted(rule))")
        }
        for (index, name) in [(4, "gated"), (5, "delta")] where rule.contains(name) != node.has(index) {
            throw node.error(
                .invalidGraph, "update_rule \(quoted(rule)) expects \(node.has(index) ? "no" : "an") input \(index)")
        }
        let (query, value) = (try node.shape(0), try node.shape(2))
        guard query.count == 3, value.count == 3, let keySize = Dim.floorDividing(query[2], by: queryHeads),
            let valueSize = Dim.floorDividing(value[2], by: heads)
        else { throw node.error(.invalidShape, "expected [batch, tokens, heads × size], found \(query) and \(value)") }
        let dtype = try node.type(0).dtype ?? .float32
        let wide: DataType = dtype == .float64 ? .float64 : .float32
        let stateShape = [query[0], .fixed(heads), keySize, valueSize]
        let given = try node.has(3) ? node.type(3).dtype ?? wide : dtype
        let state =
            try node.has(3)
            ? node.cast(node.operand(3), wide)
            : node.call("zeros", [.shape(stateShape)], ["dtype": .dtype(wide)])
        var operands = try [node.operand(0), node.operand(1), node.operand(2), state]
        if node.has(4) {
            operands.append(try node.operand(4))
        } else if node.has(5) {
            // Nothing decays.
            let shape: [Dim] = [query[0], query[1], .fixed(heads)]
            operands.append(try node.call("zeros", [.shape(shape)], ["dtype": .dtype(dtype)]))
        }
        if node.has(5) { operands.append(try node.operand(5)) }
        var attributes: Attributes = ["query_heads": .int(queryHeads)]
        let scale = try node.float("scale", 0)
        if scale != 0 { attributes["scale"] = .float(scale) }
        let all = try node.call("nn.linear_attention", operands, attributes)
        let last = try node.cast(try node.item(1, of: all), given)
        return [.operand(try node.item(0, of: all)), .operand(last)]
    }

    /// The update put into the cache of each sample from its position on, around the end with mode 'circular'.
    private static func tensorScatter(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        let (cache, update) = (try node.shape(0), try node.shape(1))
        let axis = try node.axis(try node.int("axis", -2), rank: cache.count)
        guard axis > 0, cache.count == update.count, let steps = update[axis].value, steps <= HostTensor.maximumCount
        else {
            throw node.unsupported("an update \(update) for \(cache) along axis \(axis)")
        }
        var places = try node.list((0..<steps).map { $0 })
        if node.has(2) {
            let starts = try node.reshape(try node.cast(try node.operand(2), .int64), [update[0], 1])
            places = try node.call("add", [starts, places])
        }
        switch try node.string("mode", "linear") {
        case "linear": break
        case "circular": places = try node.call("floor_mod", [places, try node.sizes(of: [cache[axis]])])
        case let other: throw node.error(.invalidArgument, "mode is \(quoted(other))")
        }
        var shape = [Dim](repeating: 1, count: update.count)
        if node.has(2) { shape[0] = update[0] }
        shape[axis] = update[axis]
        let indices = try node.call("broadcast_to", [try node.reshape(places, shape), .shape(update)])
        return try node.result(
            "scatter_elements", [try node.operand(0), indices, try node.operand(1)], ["axis": .int(Int64(axis))])
    }
}
