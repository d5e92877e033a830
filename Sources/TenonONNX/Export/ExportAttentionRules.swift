import TenonIR

/// Attention in ONNX, spelled out: the operator set that is written has none. Linear attention has a later one.
enum ExportAttentionRules {
    static let table: [String: ExportRules.Rule] = [
        "nn.attention": attention, "nn.linear_attention": linearAttention,
    ]

    @Sendable private static func linearAttention(_ call: ExportCall) throws -> GraphExport.Value {
        guard let heads = try call.tensor(3).type.shape?[1].value else { throw call.unsupported("an unknown shape") }
        let rule = ["linear", "gated", "gated_delta"][min(max(call.arguments.count - 4, 0), 2)]
        var attributes: Attributes = [
            "q_num_heads": .int(try call.int("query_heads")), "kv_num_heads": .int(heads), "update_rule": .string(rule),
        ]
        if let scale = call.attributes.float("scale") {
            guard scale != 0 else { throw call.unsupported("a scale of 0") }
            attributes["scale"] = .float(scale)
        }
        call.graph.need(operatorSet: 27)
        return try call.results(
            "LinearAttention", try call.arguments.indices.map { try call.input($0) }, attributes)
    }

    @Sendable private static func attention(_ call: ExportCall) throws -> GraphExport.Value {
        let value = try byHeads(call, 2, "value_layout")
        let probabilities = try weights(call)
        let grouped = try shared(call, value.name, heads: value.shape[1], value.shape[3])
        let layout = AttentionLayout(call.attributes.string("out_layout"))
        if layout == .bhtd { return try call.result("MatMul", [probabilities, grouped]) }
        let product = call.step("MatMul", [probabilities, grouped])
        return try call.result("Transpose", [product], ["perm": .ints(layout.inverse.map(Int64.init))])
    }

    /// An operand as [batch, head, token, size].
    private static func byHeads(
        _ call: ExportCall, _ index: Int, _ layout: String
    ) throws -> (name: String, shape: [Dim]) {
        let (name, type) = try call.tensor(index)
        guard let shape = type.shape, shape.count == 4 else { throw call.unsupported("operands of unknown rank") }
        let layout = AttentionLayout(call.attributes.string(layout))
        if layout == .bhtd { return (name, shape) }
        return (
            call.step("Transpose", [name], ["perm": .ints(layout.axes.map(Int64.init))]), layout.byHead(shape)
        )
    }

    /// Heads as often as query heads share them.
    private static func shared(_ call: ExportCall, _ name: String, heads: Dim, _ size: Dim) throws -> String {
        let query = try byHeads(call, 0, "query_layout").shape
        if query[1] == heads { return name }
        guard let all = query[1].value, let own = heads.value, own > 0, let size = size.value else {
            throw call.unsupported("shared heads of symbolic numbers")
        }
        let apart = call.step("Unsqueeze", [name, try call.list([2])])
        let wide = call.step("Expand", [apart, try call.list([1, 1, all / own, 1, 1])])
        return call.step("Reshape", [wide, try call.list([0, all, -1, size])])
    }

    private static func weights(_ call: ExportCall) throws -> String {
        let query = try byHeads(call, 0, "query_layout")
        let key = try byHeads(call, 1, "key_layout")
        guard let dtype = try call.tensor(0).type.dtype else { throw call.unsupported("an unknown element type") }
        let all = try shared(call, key.name, heads: key.shape[1], key.shape[3])
        var scores = call.step(
            "MatMul", [query.name, call.step("Transpose", [all], ["perm": .ints([0, 1, 3, 2])])])
        guard let scale = call.attributes.float("scale") ?? query.shape[3].value.map({ 1 / Double($0).squareRoot() })
        else { throw call.unsupported("heads of symbolic size without a scale") }
        scores = call.step("Mul", [scores, try call.scalar(scale, dtype)])
        let cap = try call.float("softcap")
        if cap > 0 {
            let limit = try call.scalar(cap, dtype)
            scores = call.step("Mul", [call.step("Tanh", [call.step("Div", [scores, limit])]), limit])
        }
        let masked = try masked(call, scores, query.name, key.name, dtype)
        let result = call.step("Softmax", [masked], ["axis": -1])
        guard masked != scores, call.attributes.string("hidden_value") != "nan" else { return result }
        let largest = call.step("ReduceMax", [masked, try call.list([-1])], ["keepdims": 1])
        let hidden = call.step("Equal", [largest, try call.scalar(-.infinity, dtype)])
        return call.step("Where", [hidden, try call.scalar(0, dtype), result])
    }

    private static func masked(
        _ call: ExportCall, _ scores: String, _ query: String, _ key: String, _ dtype: DataType
    ) throws -> String {
        var result = scores
        let value = call.attributes.float("mask_value") ?? -.infinity
        if call.arguments.count > 3 {
            let mask = try call.tensor(3)
            if mask.type.dtype == .bool {
                result = call.step("Where", [mask.name, result, try call.scalar(value, dtype)])
            } else {
                result = call.step("Add", [result, mask.name])
            }
        }
        func size(_ name: String) throws -> String {
            call.step("Gather", [call.step("Shape", [name]), try call.scalar(2, .int64)])
        }
        func positions(_ count: String, _ axis: Int64) throws -> String {
            let range = call.step("Range", [try call.scalar(0, .int64), count, try call.scalar(1, .int64)])
            return call.step("Unsqueeze", [range, try call.list([axis])])
        }
        let causal = call.attributes.string("causal_mask")
        let (left, right) = (try call.int("left_window"), try call.int("right_window"))
        guard causal != nil || left >= 0 || right >= 0 || call.arguments.count > 4 else { return result }
        let (queries, keys) = (try size(query), try size(key))
        let at = try positions(keys, 0)
        func hide(_ seen: String, _ value: Double) throws {
            result = call.step("Where", [seen, result, try call.scalar(value, dtype)])
        }
        var lengths: String?
        if call.arguments.count > 4 {
            let name = call.step("Unsqueeze", [try call.input(4), try call.list([1, 2, 3])])
            lengths = name
            try hide(call.step("Less", [at, name]), -.infinity)
        }
        var own = try positions(queries, 1)
        if causal == "BottomRight" { own = call.step("Add", [own, call.step("Sub", [keys, queries])]) }
        if causal == "Lengths", let lengths { own = call.step("Add", [own, call.step("Sub", [lengths, queries])]) }
        if causal != nil { try hide(call.step("LessOrEqual", [at, own]), value) }
        if left >= 0 {
            let first = call.step("Sub", [own, try call.scalar(Double(left), .int64)])
            try hide(call.step("GreaterOrEqual", [at, first]), -.infinity)
        }
        if right >= 0 {
            let last = call.step("Add", [own, try call.scalar(Double(right), .int64)])
            try hide(call.step("LessOrEqual", [at, last]), -.infinity)
        }
        return result
    }
}
