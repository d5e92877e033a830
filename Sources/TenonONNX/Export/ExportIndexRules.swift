import TenonIR

/// The ONNX forms of operators that create, order, select and scatter elements.
enum ExportIndexRules {
    static let table: [String: ExportRules.Rule] = [
        "zeros": { call in try filled(call, 0) },
        "ones": { call in try filled(call, 1) },
        "full": { call in
            try call.result("Expand", [try call.operand(1, try call.dtype()), try call.vector(0)])
        },
        "zeros_like": { call in try filledLike(call, 0) },
        "ones_like": { call in try filledLike(call, 1) },
        "eye": { call in
            let zeros = call.step("Expand", [try call.scalar(0, .float32), try call.vector(0)])
            return try call.result(
                "EyeLike", [zeros], ["dtype": .dtype(try call.dtype()), "k": .int(try call.int("k"))])
        },
        "tril": { call in try triangle(call, isUpper: false) },
        "triu": { call in try triangle(call, isUpper: true) },
        "flip": { call in
            try call.result(
                "Slice",
                [
                    try call.input(0), try call.list([-1]), try call.list([.min]),
                    try call.list([try call.int("axis")]),
                    try call.list([-1]),
                ])
        },
        "repeat": repeated,
        "one_hot": { call in
            try oneHot(call, depth: try call.list([try call.int("depth")]))
        },
        "scatter_elements": { call in
            var attributes = reduction(call)
            attributes["axis"] = .int(try call.int("axis"))
            return try call.result("ScatterElements", try (0..<3).map { try call.input($0) }, attributes)
        },
        "scatter_nd": { call in
            try call.result("ScatterND", try (0..<3).map { try call.input($0) }, reduction(call))
        },
        "argsort": { call in
            guard try call.dtype() == .int64 else { throw call.unsupported("positions other than int64") }
            return try sorted(call)[1]
        },
        "sort": { call in try sorted(call)[0] },
        "shape_of": { call in
            .tensor(call.step("Shape", [try call.input(0)]), TensorType(dtype: .int64, rank: 1))
        },
        "shape_to_tensor": { call in try call.result("Identity", [try call.vector(0)]) },
        "tensor_to_shape": { call in .tensor(try call.vector(0), TensorType(dtype: .int64, rank: 1)) },
        "arange": { call in
            let dtype = try call.dtype()
            // Sizes are counted as int64.
            guard case .tensor? = call.arguments.first else {
                let counted = call.step("Range", try (0..<3).map { try call.index($0) })
                return dtype == .int64
                    ? try call.result("Identity", [counted]) : try call.result("Cast", [counted], ["to": .dtype(dtype)])
            }
            return try call.result("Range", try (0..<3).map { try call.operand($0, dtype) })
        },
        "nonzero": { call in try call.result("NonZero", [try call.input(0)]) },
        "unique": { call in try call.results("Unique", [try call.input(0)], call.kept(["sorted", "axis"])) },
        "compress": { call in
            try call.result("Compress", [try call.input(0), try call.input(1)], call.kept(["axis"]))
        },
        "reverse_sequence": { call in
            try call.result(
                "ReverseSequence", [try call.input(0), try call.vector(1)],
                ["time_axis": .int(try call.int("seq_axis")), "batch_axis": .int(try call.int("batch_axis"))])
        },
    ]

    private static func filled(_ call: ExportCall, _ value: Double) throws -> GraphExport.Value {
        try call.result("Expand", [try call.scalar(value, try call.dtype()), try call.vector(0)])
    }

    private static func filledLike(_ call: ExportCall, _ value: Double) throws -> GraphExport.Value {
        try call.result(
            "Expand", [try call.scalar(value, try call.dtype()), call.step("Shape", [try call.input(0)])])
    }

    private static func triangle(_ call: ExportCall, isUpper: Bool) throws -> GraphExport.Value {
        let diagonal = call.graph.name(of: try Constant.ints([], [try call.int("k")]))
        return try call.result("Trilu", [try call.input(0), diagonal], ["upper": .bool(isUpper)])
    }

    static func oneHot(_ call: ExportCall, depth: String) throws -> GraphExport.Value {
        let dtype = try call.dtype()
        let parts = try [2, 1].map { call.step("Reshape", [try call.operand($0, dtype), try call.list([1])]) }
        return try call.result(
            "OneHot", [try call.input(0), depth, call.step("Concat", parts, ["axis": 0])], call.kept(["axis"]))
    }

    private static func reduction(_ call: ExportCall) -> Attributes {
        let reduction = call.attributes.string("reduction") ?? "update"
        return ["reduction": .string(reduction == "update" ? "none" : reduction)]
    }

    /// Values and positions in order, by way of as many of the first as there are.
    private static func sorted(_ call: ExportCall) throws -> [GraphExport.Value] {
        let x = try call.tensor(0)
        let axis = try call.int("axis")
        let rank = Int64(try call.rank(0))
        let place = axis < 0 ? axis + rank : axis
        let size = call.step("Shape", [x.name], ["start": .int(place), "end": .int(place + 1)])
        let names = [call.graph.unique(call.name), call.graph.unique(call.name)]
        call.graph.add(
            "TopK", [x.name, size], names,
            ["axis": .int(axis), "largest": .bool(call.isTrue("descending")), "sorted": true])
        guard case .tensor(let type) = call.type else { throw call.unsupported("a result of type \(call.type)") }
        return names.map { .tensor($0, type) }
    }

    /// Each element beside itself: a new axis behind, repeated, and folded into the one before.
    @Sendable private static func repeated(_ call: ExportCall) throws -> GraphExport.Value {
        let rank = Int64(try call.rank(0))
        let axis = try call.int("axis")
        let place = axis < 0 ? axis + rank : axis
        guard place >= 0, place < rank else { throw call.unsupported("axis \(axis)") }
        var counts = [Int64](repeating: 1, count: Int(rank) + 1)
        counts[Int(place) + 1] = try call.int("repeats")
        let apart = call.step("Unsqueeze", [try call.input(0), try call.list([place + 1])])
        let tiled = call.step("Tile", [apart, try call.list(counts)])
        var shape = [Int64](repeating: 0, count: Int(rank))
        shape[Int(place)] = -1
        // What lies behind the new axis has moved by one: its sizes cannot be copied.
        guard place < rank - 1 else { return try call.result("Reshape", [tiled, try call.list(shape)]) }
        guard case .tensor(let type) = call.type, let dims = type.shape else {
            throw call.unsupported("a result of type \(call.type)")
        }
        return try call.result("Reshape", [tiled, try call.graph.vector(of: dims)])
    }
}
