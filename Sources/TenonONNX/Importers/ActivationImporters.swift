import TenonIR

/// Activation functions.
enum ActivationImporters {
    static let table: [String: OperatorImporter] = [
        "Relu": ArithmeticImporters.unary("nn.relu"),
        "Sigmoid": ArithmeticImporters.unary("sigmoid"),
        "Tanh": ArithmeticImporters.unary("tanh"),
        "Softplus": ArithmeticImporters.unary("nn.softplus", since: 1),
        "Mish": ArithmeticImporters.unary("nn.mish", since: 18),
        "HardSwish": ArithmeticImporters.unary("nn.hard_swish", since: 14),
        "LeakyRelu": parametric("nn.leakyrelu", ["alpha": 0.01]),
        "Elu": parametric("nn.elu", ["alpha": 1]),
        "HardSigmoid": parametric("nn.hard_sigmoid", ["alpha": 0.2, "beta": 0.5]),
        "Clip": OperatorImporter(since: 6, clip),
        "PRelu": OperatorImporter(since: 6) { node in
            try node.requireInputs(2...2)
            var slope = try node.operand(1)
            // Before opset 7 a slope of one dimension has one value per channel, or one for all.
            if node.opset < 7, try node.rank(1) == 1, try node.type(1).elementCount != 1, try node.rank(0) > 2 {
                slope = try node.reshape(slope, try node.shape(1) + [Dim](repeating: 1, count: try node.rank(0) - 2))
            }
            return try node.result("nn.prelu", [try node.operand(0), slope])
        },
        "Gelu": OperatorImporter(since: 20) { node in
            let mode = try node.string("approximate", "none")
            guard mode == "none" || mode == "tanh" else {
                throw node.error(.invalidArgument, "approximate is \(quoted(mode))")
            }
            return try node.result(mode == "tanh" ? "nn.gelu_tanh" : "nn.gelu", [try ArithmeticImporters.single(node)])
        },
        "Softsign": ArithmeticImporters.unary("nn.softsign", since: 1),
        "Swish": OperatorImporter(since: 24) { node in
            let x = try ArithmeticImporters.single(node)
            let alpha = try node.float("alpha", 1)
            if alpha == 1 { return try node.result("nn.silu", [x]) }
            let scaled = try node.call("multiply", [x, try node.scalar(alpha, like: x)])
            return try node.result("multiply", [x, try node.call("sigmoid", [scaled])])
        },
        "SwiGLU": OperatorImporter(since: 28) { node in
            try node.requireInputs(2...2)
            let (gate, x) = (try node.operand(0), try node.operand(1))
            guard let a = try node.type(0).rank, let b = try node.type(1).rank, a == b else {
                throw node.error(
                    .invalidShape, "A and B expect one shape, found \(try node.type(0)) and \(try node.type(1))")
            }
            let alpha = try node.float("alpha", 1)
            if alpha == 1 { return try node.result("multiply", [try node.call("nn.silu", [gate]), x]) }
            let scaled = try node.call("multiply", [gate, try node.scalar(alpha, like: gate)])
            let swish = try node.call("multiply", [gate, try node.call("sigmoid", [scaled])])
            return try node.result("multiply", [swish, x])
        },
        "Celu": parametric("nn.celu", ["alpha": 1]),
        "Selu": parametric("nn.selu", ["alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875]),
        "ThresholdedRelu": parametric("nn.thresholded_relu", ["alpha": 1]),
        "Shrink": OperatorImporter(since: 9) { node in
            try node.result(
                "nn.shrink", [try ArithmeticImporters.single(node)],
                ["bias": .float(try node.float("bias", 0)), "lambd": .float(try node.float("lambd", 0.5))])
        },
    ]

    /// A function whose numbers are attributes of the same names; the file's f32 is passed on exactly.
    private static func parametric(_ op: String, _ parameters: [String: Double]) -> OperatorImporter {
        OperatorImporter(since: 6) { node in
            var attributes = Attributes()
            for (name, fallback) in parameters {
                attributes[name] = .float(try node.float(name, Double(Float(fallback))))
            }
            return try node.result(op, [try ArithmeticImporters.single(node)], attributes)
        }
    }

    /// Bounds are attributes before opset 11 and optional inputs from then on; one left out does not bound.
    private static func clip(_ node: Node) throws -> [ImportedValue] {
        var bounds: [Operand] = [.float(-.infinity), .float(.infinity)]
        var result = try node.operand(0)
        if node.opset < 11 {
            try node.requireInputs(1...1)
            if let low = try node.optionalFloat("min") { bounds[0] = .float(low) }
            if let high = try node.optionalFloat("max") { bounds[1] = .float(high) }
            return try node.result("clip", [result] + bounds)
        }
        try node.requireInputs(1...3)
        var isPlain = false
        // Plain numbers are doubles, which do not have every integer of 64 bits.
        let isWide = [.int64, .uint64].contains(try node.type(of: result).dtype)
        for (index, op) in [(1, "maximum"), (2, "minimum")] where node.has(index) {
            if !isWide, try node.constant(index) != nil {
                bounds[index - 1] = .float(try node.constantScalar(index))
                isPlain = true
            } else {
                result = try node.call(op, [result, try node.operand(index)])
            }
        }
        return isPlain ? try node.result("clip", [result] + bounds) : [.operand(result)]
    }
}
