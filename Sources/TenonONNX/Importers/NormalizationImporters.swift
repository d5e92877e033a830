import TenonIR

/// Normalisation and softmax.
enum NormalizationImporters {
    static let table: [String: OperatorImporter] = [
        "BatchNormalization": OperatorImporter(since: 6, batchNormalization),
        "Softmax": softmax("nn.softmax"),
        "InstanceNormalization": OperatorImporter(since: 6, instanceNormalization),
        "GroupNormalization": OperatorImporter(since: 18, groupNormalization),
        // Files that ONNX Runtime saved have it in older operator sets too.
        "LayerNormalization": OperatorImporter(layerNormalization),
        "com.microsoft.LayerNormalization": OperatorImporter(layerNormalization),
        "RMSNormalization": OperatorImporter(since: 23, rmsNormalization),
        "LRN": OperatorImporter(lrn),
        "LpNormalization": OperatorImporter { node in
            try node.result(
                "nn.lp_normalize", [try ArithmeticImporters.single(node)],
                ["p": .int(try node.int("p", 2)), "axis": .int(try node.int("axis", -1))])
        },
        "MeanVarianceNormalization": OperatorImporter(since: 9, meanVariance),
        "LogSoftmax": softmax("nn.log_softmax"),
    ]

    private static func softmax(_ op: String) -> OperatorImporter {
        OperatorImporter { node in
            try SoftmaxAxis.apply(node) { x, axis in try node.call(op, [x], ["axis": .int(Int64(axis))]) }
        }
    }

    private static func batchNormalization(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(5...5)
        if node.opset < 7, try node.int("is_test", 0) == 0 { throw node.unsupported("is_test 0") }
        let momentum = try node.float("momentum", Double(Float(0.9)))
        if try node.int("training_mode", 0) != 0 { return try batchStatistics(node, momentum: momentum) }
        guard try node.int("spatial", 1) == 1 else { throw node.unsupported("spatial 0") }
        guard !(1..<5).contains(where: node.wants) else { throw node.unsupported("outputs of training") }
        let all = try node.call(
            "nn.batch_norm", try (0..<5).map { try node.operand($0) },
            ["axis": 1, "epsilon": .float(try node.float("epsilon", Double(Float(1e-5))))])
        return [.operand(try node.item(0, of: all))]
    }

    /// As while training: by the mean and variance of the batch itself, which the running ones follow. Exporters write this for
    /// weights that a model normalises each time.
    private static func batchStatistics(_ node: Node, momentum: Double) throws -> [ImportedValue] {
        let x = try node.operand(0)
        let rank = try node.rank(0)
        guard rank >= 2 else { throw node.error(.invalidShape, "input expects 2 dimensions at least, found \(rank)") }
        let over: Attributes = ["axis": .ints((0..<Int64(rank)).filter { $0 != 1 })]
        let statistics = [try node.call("mean", [x], over), try node.call("variance", [x], over)]
        let all = try node.call(
            "nn.batch_norm", [x, try node.operand(1), try node.operand(2)] + statistics,
            ["axis": 1, "epsilon": try epsilon(node)])
        var results: [ImportedValue] = [.operand(try node.item(0, of: all))]
        for (index, statistic) in statistics.enumerated() where (1..<5).contains(where: node.wants) {
            let before = try node.operand(3 + index)
            let kept = try node.call("multiply", [before, try node.scalar(momentum, like: before)])
            let new = try node.call(
                "astype", [statistic], ["dtype": .dtype(try node.type(of: before).dtype ?? .float32)])
            let added = try node.call("multiply", [new, try node.scalar(1 - momentum, like: before)])
            results.append(.operand(try node.call("add", [kept, added])))
        }
        return results
    }

    private static func epsilon(_ node: Node) throws -> AttributeValue {
        .float(try node.float("epsilon", Double(Float(1e-5))))
    }

    private static func spatialAxes(_ node: Node) throws -> AttributeValue {
        let rank = try node.rank(0)
        guard rank > 2 else { throw node.error(.invalidShape, "input expects 3 dimensions at least, found \(rank)") }
        return .ints((2..<Int64(rank)).map { $0 })
    }

    private static func instanceNormalization(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...3)
        return try node.result(
            "nn.instance_norm", try (0..<3).map { try node.operand($0) },
            ["axes": try spatialAxes(node), "epsilon": try epsilon(node)])
    }

    /// Scale and bias have one value per channel since opset 21, one per group before.
    private static func groupNormalization(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(3...3)
        node.ignore("stash_type")
        let groups = try node.int("num_groups", 0)
        guard groups > 0 else {
            throw node.error(.invalidArgument, "num_groups expects a number above 0, found \(groups)")
        }
        func perChannel(_ index: Int) throws -> Operand {
            let operand = try node.operand(index)
            guard node.opset < 21 else { return operand }
            guard let channels = try node.shape(0).dropFirst().first?.value else {
                throw node.unsupported("a symbolic number of channels")
            }
            return try node.call("repeat", [operand], ["repeats": .int(channels / groups), "axis": 0])
        }
        return try node.result(
            "nn.group_norm", [try node.operand(0), try perChannel(1), try perChannel(2)],
            ["num_groups": .int(groups), "axes": try spatialAxes(node), "epsilon": try epsilon(node)])
    }

    private static func layerNormalization(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...3)
        node.ignore("stash_type")
        let rank = try node.rank(0)
        let first = try node.axis(try node.int("axis", -1), rank: rank)
        let axes = (Int64(first)..<Int64(rank)).map { $0 }
        let scale = try node.operand(1)
        let bias: Operand
        if node.has(2) {
            bias = try node.operand(2)
        } else {
            let type = try node.type(of: scale)
            guard let shape = type.staticShape, shape.count <= rank, let count = checkedElementCount(shape),
                count <= node.graph.options.limits.structureBytes / 8
            else { throw node.unsupported("no bias and a scale of symbolic shape") }
            bias = .constant(try Constant.filled(type.dtype ?? .float32, shape, 0))
        }
        let x = try node.operand(0)
        var results: [ImportedValue] = [
            .operand(
                try node.call("nn.layer_norm", [x, scale, bias], ["axes": .ints(axes), "epsilon": try epsilon(node)]))
        ]
        if node.wants(1) || node.wants(2) {
            let over: Attributes = ["axis": .ints(axes), "keepdims": true]
            results.append(.operand(try node.call("mean", [x], over)))
            let variance = try node.call("variance", [x], over)
            let shifted = try node.call(
                "add", [variance, try node.scalar(try node.float("epsilon", Double(Float(1e-5))), like: x)])
            results.append(.operand(try node.call("rsqrt", [shifted])))
        }
        return results
    }

    private static func rmsNormalization(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        node.ignore("stash_type")
        let rank = try node.rank(0)
        let first = try node.axis(try node.int("axis", -1), rank: rank)
        return try node.result(
            "nn.rms_norm", [try node.operand(0), try node.operand(1)],
            ["axes": .ints((Int64(first)..<Int64(rank)).map { $0 }), "epsilon": try epsilon(node)])
    }

    private static func lrn(_ node: Node) throws -> [ImportedValue] {
        try node.result(
            "nn.lrn", [try ArithmeticImporters.single(node)],
            [
                "size": .int(try node.int("size", 0)), "alpha": .float(try node.float("alpha", Double(Float(1e-4)))),
                "beta": .float(try node.float("beta", 0.75)), "bias": .float(try node.float("bias", 1)),
            ])
    }

    /// (x - mean) / (sqrt(variance) + 1e-9) over `axes`.
    private static func meanVariance(_ node: Node) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        let over: Attributes = ["axis": .ints(try node.ints("axes") ?? [0, 2, 3]), "keepdims": true]
        let centred = try node.call("subtract", [x, try node.call("mean", [x], over)])
        let deviation = try node.call("std", [x], over)
        let below = try node.call("add", [deviation, try node.scalar(1e-9, like: x)])
        return try node.result("divide", [centred, below])
    }
}

/// The axis of softmax and its kin.
enum SoftmaxAxis {
    /// Applies `body` along one axis since opset 13; before, over all dimensions from `axis` on taken as one.
    static func apply(_ node: Node, _ body: (Operand, Int) throws -> Operand) throws -> [ImportedValue] {
        let x = try ArithmeticImporters.single(node)
        let rank = try node.rank(0)
        if node.opset >= 13 {
            return [.operand(try body(x, try node.axis(try node.int("axis", -1), rank: rank)))]
        }
        let axis = try node.axis(try node.int("axis", 1), rank: rank)
        let shape = try node.type(0).shape
        if axis == rank - 1 || shape?.dropFirst(axis + 1).allSatisfy({ $0.value == 1 }) == true {
            return [.operand(try body(x, axis))]
        }
        guard let shape, let rows = ReshapingFolding.product(Array(shape[..<axis])),
            let columns = ReshapingFolding.product(Array(shape[axis...]))
        else { throw node.unsupported("axis \(axis) of an input whose shape is not known") }
        let flat = try node.call("reshape", [x, .shape([rows, columns])])
        return try node.result("reshape", [try body(flat, 1), .shape(shape)])
    }
}
