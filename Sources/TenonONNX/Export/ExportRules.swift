import TenonIR

/// The ONNX forms of operators.
enum ExportRules {
    typealias Rule = @Sendable (ExportCall) throws -> GraphExport.Value

    static func export(_ call: ExportCall) throws -> GraphExport.Value {
        guard let rule = table[call.op.name] else { throw call.unsupported("it has no form in ONNX") }
        return try rule(call)
    }

    static let table: [String: Rule] = {
        var table: [String: Rule] = [:]
        for (name, op) in plain { table[name] = { call in try same(call, op) } }
        for (name, form) in withAttributes {
            table[name] = { call in try same(call, form.op, call.attributes, form.renamed) }
        }
        for name in ["conv1d", "conv2d", "conv3d"] { table["nn." + name] = { try convolution($0, "Conv") } }
        for spatial in 1...3 {
            table["nn.conv\(spatial)d_transpose"] = { try convolution($0, "ConvTranspose") }
            table["nn.max_pool\(spatial)d"] = { try pool($0, "MaxPool") }
            table["nn.avg_pool\(spatial)d"] = { try pool($0, "AveragePool") }
            table["nn.adaptive_avg_pool\(spatial)d"] = { try adaptivePool($0, "AveragePool") }
            table["nn.adaptive_max_pool\(spatial)d"] = { try adaptivePool($0, "MaxPool") }
        }
        for (name, op) in reductions { table[name] = { try reduction($0, op) } }
        table.merge(others) { first, _ in first }
        for more in [
            ExportShapeRules.table, ExportArithmeticRules.table, ExportNormalizationRules.table, ExportIndexRules.table,
            ExportImageRules.table, ExportRecurrentRules.table, ExportDynamicRules.table, ExportAttentionRules.table,
            ExportQuantizationRules.table,
        ] { table.merge(more) { first, _ in first } }
        return table
    }()

    /// Operators of the same inputs and no attributes.
    private static let plain: [String: String] = [
        "abs": "Abs", "negative": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "erf": "Erf", "floor": "Floor",
        "ceil": "Ceil", "round": "Round", "sign": "Sign", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
        "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh", "acosh": "Acosh",
        "atanh": "Atanh", "reciprocal": "Reciprocal", "nn.relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh",
        "nn.softsign": "Softsign", "nn.gelu": "Gelu", "nn.hard_swish": "HardSwish", "nn.mish": "Mish",
        "logical_not": "Not", "isnan": "IsNaN", "add": "Add", "subtract": "Sub", "multiply": "Mul",
        "divide": "Div", "power": "Pow", "minimum": "Min", "maximum": "Max", "equal": "Equal", "less": "Less",
        "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual", "logical_and": "And",
        "logical_or": "Or", "logical_xor": "Xor", "where": "Where",
    ]

    /// Operators whose attributes are ONNX's, under other names where it says so.
    private static let withAttributes: [String: (op: String, renamed: [String: String])] = [
        "nn.leakyrelu": ("LeakyRelu", [:]), "nn.elu": ("Elu", [:]), "nn.selu": ("Selu", [:]), "nn.celu": ("Celu", [:]),
        "nn.thresholded_relu": ("ThresholdedRelu", [:]), "nn.shrink": ("Shrink", [:]),
        "nn.hard_sigmoid": ("HardSigmoid", [:]), "nn.softmax": ("Softmax", [:]), "nn.log_softmax": ("LogSoftmax", [:]),
        "gather_elements": ("GatherElements", [:]), "gather_nd": ("GatherND", [:]),
    ]

    private static let reductions: [String: String] = [
        "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd",
        "sum_square": "ReduceSumSquare", "l1_norm": "ReduceL1", "l2_norm": "ReduceL2", "log_sum": "ReduceLogSum",
        "log_sum_exp": "ReduceLogSumExp",
    ]

    private static let others: [String: Rule] = [
        "square": { call in try call.result("Mul", [try call.input(0), try call.input(0)]) },
        "rsqrt": { call in try call.result("Reciprocal", [call.step("Sqrt", [try call.input(0)])]) },
        "nn.silu": { call in
            try call.result("Mul", [try call.input(0), call.step("Sigmoid", [try call.input(0)])])
        },
        "nn.gelu_tanh": { call in try call.result("Gelu", [try call.input(0)], ["approximate": "tanh"]) },
        "nn.relu6": { call in try clip(call, 0, 6) },
        "clip": { call in try clip(call, try call.number(1), try call.number(2)) },
        "not_equal": { call in
            try call.result("Not", [call.step("Equal", [try call.input(0), try call.input(1)])])
        },
        "mod": { call in try call.result("Mod", [try call.input(0), try call.input(1)], ["fmod": 1]) },
        "astype": { call in
            var attributes: Attributes = ["to": .dtype(call.attributes.dtype("dtype") ?? .float32)]
            if call.attributes.bool("saturate") == false { attributes["saturate"] = .int(0) }
            if let mode = call.attributes.string("round_mode") { attributes["round_mode"] = .string(mode) }
            return try call.result("Cast", [try call.input(0)], attributes)
        },
        "argmax": { call in try position(call, "ArgMax") },
        "argmin": { call in try position(call, "ArgMin") },
        "cumsum": { call in try cumulative(call) },
        "topk": { call in
            guard call.attributes.dtype("dtype") ?? .int64 == .int64 else { throw call.unsupported("other than int64") }
            return try call.results(
                "TopK", [try call.input(0), try call.list([try call.int("k")])],
                call.kept(["axis", "largest", "sorted"]))
        },
    ]

    private static func same(
        _ call: ExportCall, _ op: String, _ attributes: Attributes = Attributes(), _ renamed: [String: String] = [:]
    ) throws -> GraphExport.Value {
        var written = Attributes()
        for entry in attributes.entries { written[renamed[entry.name] ?? entry.name] = entry.value }
        return try call.result(op, try call.arguments.indices.map { try call.input($0) }, written)
    }

    private static func clip(_ call: ExportCall, _ least: Double, _ most: Double) throws -> GraphExport.Value {
        let x = try call.tensor(0)
        let dtype = x.type.dtype ?? .float32
        /// Whole numbers beyond 2^53 are written as they are.
        func bound(_ index: Int, _ value: Double) throws -> String {
            if dtype == .int64, call.op.name == "clip", let exact = call.wholeNumber(index) {
                return call.name(of: try Constant.ints([], [exact]))
            }
            return try call.scalar(value, dtype)
        }
        return try call.result("Clip", [x.name, try bound(1, least), try bound(2, most)])
    }

    private static func convolution(_ call: ExportCall, _ op: String) throws -> GraphExport.Value {
        var attributes: Attributes = [
            "strides": .ints(try call.ints("strides")), "pads": .ints(try call.ints("padding")),
            "dilations": .ints(try call.ints("dilation")), "group": .int(try call.int("groups")),
        ]
        if let padding = call.attributes.ints("output_padding") { attributes["output_padding"] = .ints(padding) }
        // The third is a bias.
        return try call.result(op, try call.arguments.indices.map { try call.input($0) }, attributes)
    }

    private static func pool(_ call: ExportCall, _ op: String) throws -> GraphExport.Value {
        var attributes: Attributes = [
            "kernel_shape": .ints(try call.ints("pool_size")), "strides": .ints(try call.ints("strides")),
            "pads": .ints(try call.ints("padding")),
            "ceil_mode": .bool(call.attributes.bool("ceil_mode") ?? false),
        ]
        // ONNX Runtime keeps the attribute on its quantised pooling, which has none.
        let dilations = try call.ints("dilation")
        if dilations.contains(where: { $0 != 1 }) { attributes["dilations"] = .ints(dilations) }
        if let counts = call.attributes.bool("count_include_pad") { attributes["count_include_pad"] = .bool(counts) }
        return try call.result(op, [try call.input(0)], attributes)
    }

    /// Windows of one size, or all values.
    private static func adaptivePool(_ call: ExportCall, _ op: String) throws -> GraphExport.Value {
        let sizes = try call.ints("output_size")
        if sizes.allSatisfy({ $0 == 1 }) { return try call.result("Global" + op, [try call.input(0)]) }
        guard let shape = try call.tensor(0).type.staticShape, shape.count == sizes.count + 2,
            zip(shape.dropFirst(2), sizes).allSatisfy({ $1 > 0 && $0 > 0 && $0 % $1 == 0 })
        else { throw call.unsupported("windows of different sizes") }
        let window = AttributeValue.ints(zip(shape.dropFirst(2), sizes).map { $0 / $1 })
        return try call.result(op, [try call.input(0)], ["kernel_shape": window, "strides": window])
    }

    private static func reduction(_ call: ExportCall, _ op: String) throws -> GraphExport.Value {
        let keepsDims: Attributes = ["keepdims": .bool(call.attributes.bool("keepdims") ?? false)]
        guard let axes = call.attributes.ints("axis") else {
            return try call.result(op, [try call.input(0)], keepsDims)
        }
        // Without an axis nothing is reduced here; ONNX would reduce all.
        guard !axes.isEmpty else { throw call.unsupported("a reduction over no axis") }
        return try call.result(op, [try call.input(0), try call.list(axes)], keepsDims)
    }

    private static func position(_ call: ExportCall, _ op: String) throws -> GraphExport.Value {
        if call.attributes.int("axis") == nil {
            guard !call.isTrue("keepdims") else { throw call.unsupported("a position among all values with keepdims") }
            let flat = call.step("Reshape", [try call.input(0), try call.list([-1])])
            var attributes = call.kept(["select_last_index"])
            attributes["axis"] = 0
            attributes["keepdims"] = false
            return try call.result(op, [flat], attributes)
        }
        return try call.result(op, [try call.input(0)], call.kept(["axis", "keepdims", "select_last_index"]))
    }

    private static func cumulative(_ call: ExportCall) throws -> GraphExport.Value {
        if let dtype = call.attributes.dtype("dtype"), try call.tensor(0).type.dtype != dtype {
            throw call.unsupported("sums of another element type")
        }
        let axis = call.graph.name(of: try Constant.ints([], [try call.int("axis")]))
        return try call.result("CumSum", [try call.input(0), axis], call.kept(["exclusive", "reverse"]))
    }
}
