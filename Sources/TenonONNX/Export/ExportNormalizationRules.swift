import TenonIR

/// The ONNX forms of normalisations. Those that came after the operator set that is written are spelled out.
enum ExportNormalizationRules {
    static let table: [String: ExportRules.Rule] = [
        "nn.batch_norm": batchNorm, "nn.layer_norm": layerNorm, "nn.rms_norm": rmsNorm,
        "nn.instance_norm": instanceNorm,
        "nn.group_norm": groupNorm,
        "nn.lp_normalize": { call in
            try call.result("LpNormalization", [try call.input(0)], call.kept(["axis", "p"]))
        },
        "nn.lrn": { call in
            guard try call.int("axis") == 1 else { throw call.unsupported("another axis than 1") }
            return try call.result("LRN", [try call.input(0)], call.kept(["size", "alpha", "beta", "bias"]))
        },
        "variance": { call in try variance(call) },
        "std": { call in try call.result("Sqrt", [try call.tensorName(variance(call))]) },
    ]

    @Sendable private static func batchNorm(_ call: ExportCall) throws -> GraphExport.Value {
        guard try call.int("axis") == 1, call.attributes.bool("training") != true, case .tuple(let fields) = call.type,
            call.attributes.bool("center") != false, call.attributes.bool("scale") != false,
            case .tensor(let type)? = fields.first
        else { throw call.unsupported("training, or another axis than 1") }
        let name = call.step(
            "BatchNormalization", try (0..<5).map { try call.input($0) }, call.kept(["epsilon"]))
        return .tuple([.tensor(name, type), call.arguments[3], call.arguments[4]])
    }

    @Sendable private static func layerNorm(_ call: ExportCall) throws -> GraphExport.Value {
        let rank = Int64(try call.rank(0))
        let axes = try call.ints("axes").map { $0 < 0 ? $0 + rank : $0 }.sorted()
        guard let first = axes.first, axes == Array(first..<rank), call.attributes.bool("center") != false,
            call.attributes.bool("scale") != false
        else { throw call.unsupported("axes that are not the last ones") }
        return try call.result(
            "LayerNormalization", try (0..<3).map { try call.input($0) },
            ["axis": .int(first), "epsilon": .float(try call.float("epsilon"))])
    }

    @Sendable private static func rmsNorm(_ call: ExportCall) throws -> GraphExport.Value {
        let x = try call.tensor(0)
        let axes = try call.list(try call.ints("axes"))
        let square = call.step("Mul", [x.name, x.name])
        let mean = call.step("ReduceMean", [square, axes], ["keepdims": 1])
        let epsilon = try call.scalar(try call.float("epsilon"), x.type.dtype ?? .float32)
        let root = call.step("Sqrt", [call.step("Add", [mean, epsilon])])
        return try call.result("Mul", [call.step("Div", [x.name, root]), try call.input(1)])
    }

    /// Channels second, statistics over everything behind them.
    private static func requireUsualAxes(_ call: ExportCall) throws {
        let rank = Int64(try call.rank(0))
        let axes = try call.ints("axes").map { $0 < 0 ? $0 + rank : $0 }.sorted()
        guard try call.int("channel_axis") == 1, rank > 2, axes == Array(2..<rank), call.isTrue("center"),
            call.isTrue("scale")
        else { throw call.unsupported("other axes, or without scale or offset") }
    }

    @Sendable private static func instanceNorm(_ call: ExportCall) throws -> GraphExport.Value {
        try requireUsualAxes(call)
        return try call.result(
            "InstanceNormalization", try (0..<3).map { try call.input($0) }, call.kept(["epsilon"]))
    }

    /// ONNX's GroupNormalization has factors per group in this operator set: statistics come from an instance normalisation.
    @Sendable private static func groupNorm(_ call: ExportCall) throws -> GraphExport.Value {
        try requireUsualAxes(call)
        let x = try call.tensor(0)
        let groups = try call.int("num_groups")
        guard let dtype = x.type.dtype, groups > 0, groups < 1 << 20 else { throw call.unsupported("its groups") }
        func numbers(_ value: Double) throws -> String {
            call.graph.name(of: try Constant.filled(dtype, [groups], value))
        }
        let grouped = call.step("Reshape", [x.name, try call.list([0, groups, -1])])
        let normal = call.step(
            "InstanceNormalization", [grouped, try numbers(1), try numbers(0)], call.kept(["epsilon"]))
        let back = call.step("Reshape", [normal, call.step("Shape", [x.name])])
        let axes = try call.list((1..<Int64(try call.rank(0)) - 1).map { $0 })
        let scaled = call.step("Mul", [back, call.step("Unsqueeze", [try call.input(1), axes])])
        return try call.result("Add", [scaled, call.step("Unsqueeze", [try call.input(2), axes])])
    }

    private static func variance(_ call: ExportCall) throws -> GraphExport.Value {
        let x = try call.input(0)
        var axes: [String] = []
        if let given = call.attributes.ints("axis") {
            guard !given.isEmpty else { throw call.unsupported("a variance over no axis") }
            axes = [try call.list(given)]
        }
        let mean = call.step("ReduceMean", [x] + axes, ["keepdims": 1])
        let distance = call.step("Sub", [x, mean])
        return try call.result(
            "ReduceMean", [call.step("Mul", [distance, distance])] + axes, ["keepdims": .bool(call.isTrue("keepdims"))])
    }
}
