import TenonIR

/// The ONNX forms of operators whose axes, counts and sizes a run computes: mostly inputs there.
enum ExportDynamicRules {
    static let table: [String: ExportRules.Rule] = {
        var table = others
        for (name, op) in reductions {
            table["dyn." + name] = { call in
                try call.result(
                    op, [try call.input(0), try call.vector(1)], ["keepdims": .bool(call.isTrue("keepdims"))])
            }
        }
        return table
    }()

    private static let reductions: [String: String] = [
        "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd",
        "sum_square": "ReduceSumSquare", "l1_norm": "ReduceL1", "l2_norm": "ReduceL2", "log_sum": "ReduceLogSum",
        "log_sum_exp": "ReduceLogSumExp",
    ]

    private static let others: [String: ExportRules.Rule] = [
        "dyn.all": { call in try ExportArithmeticRules.truth(call, "ReduceProd", axes: try call.vector(1)) },
        "dyn.any": { call in try ExportArithmeticRules.truth(call, "ReduceSum", axes: try call.vector(1)) },
        "dyn.squeeze": { call in try call.result("Squeeze", [try call.input(0), try call.vector(1)]) },
        "dyn.expand_dims": { call in try call.result("Unsqueeze", [try call.input(0), try call.vector(1)]) },
        "dyn.cumsum": { call in
            if let dtype = call.attributes.dtype("dtype"), try call.tensor(0).type.dtype != dtype {
                throw call.unsupported("sums of another element type")
            }
            return try call.result(
                "CumSum", [try call.input(0), try call.index(1)], call.kept(["exclusive", "reverse"]))
        },
        "dyn.topk": { call in
            guard call.attributes.dtype("dtype") ?? .int64 == .int64 else { throw call.unsupported("other than int64") }
            return try call.results(
                "TopK", [try call.input(0), try call.vector(1)], call.kept(["axis", "largest", "sorted"]))
        },
        "dyn.tril": { call in try call.result("Trilu", [try call.input(0), try call.index(1)], ["upper": 0]) },
        "dyn.triu": { call in try call.result("Trilu", [try call.input(0), try call.index(1)], ["upper": 1]) },
        "dyn.one_hot": { call in try ExportIndexRules.oneHot(call, depth: try call.vector(3)) },
        "dyn.tile": { call in
            guard try call.tensor(1).type.staticShape == [Int64(try call.rank(0))] else {
                throw call.unsupported("repeats of other dimensions")
            }
            return try call.result("Tile", [try call.input(0), try call.vector(1)])
        },
        "dyn.split": split,
        "dyn.nn.pad": { call in
            let modes = ["constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"]
            guard let mode = modes[call.attributes.string("pad_mode") ?? "constant"] else {
                throw call.unsupported("its mode")
            }
            // Pairs per axis; ONNX has all begins, then all ends.
            let pairs = call.step("Reshape", [try call.vector(1), try call.list([-1, 2])])
            let pads = call.step(
                "Reshape", [call.step("Transpose", [pairs], ["perm": .ints([1, 0])]), try call.list([-1])])
            let value = call.step("Reshape", [try call.operand(2, try call.dtype()), try call.list([])])
            return try call.result("Pad", [try call.input(0), pads, value], ["mode": .string(mode)])
        },
        "dyn.vision.all_class_non_max_suppression": { call in
            try call.result(
                "NonMaxSuppression",
                [
                    try call.input(0), try call.input(1), try call.vector(2), try call.operand(3, .float32),
                    try call.operand(4, .float32),
                ], ["center_point_box": .bool(call.isTrue("center_point_box"))])
        },
    ]

    /// Positions to sizes: their distances.
    @Sendable private static func split(_ call: ExportCall) throws -> GraphExport.Value {
        let axis = try call.int("axis")
        let place = axis < 0 ? axis + Int64(try call.rank(0)) : axis
        let x = try call.input(0)
        let size = call.step("Shape", [x], ["start": .int(place), "end": .int(place + 1)])
        let positions = try call.vector(1)
        let ends = call.step("Concat", [positions, size], ["axis": 0])
        let begins = call.step("Concat", [try call.list([0]), positions], ["axis": 0])
        return try call.results("Split", [x, call.step("Sub", [ends, begins])], ["axis": .int(axis)])
    }
}
