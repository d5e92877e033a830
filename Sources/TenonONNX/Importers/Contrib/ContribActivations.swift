import TenonIR

/// Activations of ONNX Runtime's own operators (domain com.microsoft), which its optimiser puts in place of several nodes.
enum ContribActivations {
    static let table: [String: OperatorImporter] = [
        "com.microsoft.Gelu": OperatorImporter { node in
            try node.result("nn.gelu", [try ArithmeticImporters.single(node)])
        },
        "com.microsoft.BiasGelu": OperatorImporter { node in
            try node.requireInputs(2...2)
            return try node.result("nn.gelu", [try biased(node)])
        },
        "com.microsoft.FastGelu": OperatorImporter { node in
            try node.requireInputs(1...2)
            return try node.result("nn.gelu_tanh", [try biased(node)])
        },
        "com.microsoft.QuickGelu": OperatorImporter { node in
            let x = try ArithmeticImporters.single(node)
            let alpha = try node.float("alpha", Double(Float(1.702)))
            if alpha == 1 { return try node.result("nn.silu", [x]) }
            let scaled = try node.call("multiply", [x, try node.scalar(alpha, like: x)])
            return try node.result("multiply", [x, try node.call("sigmoid", [scaled])])
        },
        // The first half times the gelu of the second.
        "com.microsoft.BiasSplitGelu": OperatorImporter { node in
            try node.requireInputs(2...2)
            let x = try biased(node)
            let parts = try node.call("split", [x], ["sections": 2, "axis": -1])
            let gate = try node.call("nn.gelu", [try node.item(1, of: parts)])
            return try node.result("multiply", [try node.item(0, of: parts), gate])
        },
        "com.microsoft.BiasAdd": OperatorImporter { node in
            try node.requireInputs(3...3)
            return try node.result("add", [try biased(node), try node.operand(2)])
        },
        // Names of ONNX's operators in that domain, from before ONNX had them.
        "com.microsoft.Trilu": alias("Trilu", opset: 14),
        "com.microsoft.GridSample": alias("GridSample", opset: 16),
        "com.microsoft.ExpandDims": OperatorImporter { node in
            try node.requireInputs(2...2)
            return try node.result("expand_dims", [try node.operand(0)], ["axis": .ints(try node.constantInts(1))])
        },
    ]

    /// Input 0 plus input 1, a vector along the last dimension, where it is given.
    private static func biased(_ node: Node) throws -> Operand {
        let x = try node.operand(0)
        guard node.has(1) else { return x }
        if let rank = try node.type(1).rank, rank != 1 {
            throw node.error(.invalidShape, "bias expects 1 dimension, found \(try node.type(1))")
        }
        if let size = try node.type(0).shape?.last?.value, let own = try node.type(1).elementCount, Int64(own) != size {
            throw node.error(.invalidShape, "bias expects \(size) values, found \(own)")
        }
        return try node.call("add", [x, try node.operand(1)])
    }

    /// As ONNX's operator of that name had it in operator set `opset`.
    private static func alias(_ op: String, opset: Int64) -> OperatorImporter {
        OperatorImporter { node in
            guard let importer = OperatorImporters.find(op, domain: "") else { throw node.unsupported("'\(op)'") }
            let inner = try node.asONNX(opset: opset)
            let results = try importer.run(inner)
            if let unread = inner.unreadAttribute { throw node.unsupported("attribute \(quoted(unread))") }
            return results
        }
    }

    // MARK: - Activations as attributes

    /// What FusedConv and FusedGemm do at the end.
    static func applied(_ node: Node, to x: Operand, _ name: String, _ parameters: [Double]) throws -> Operand {
        func parameter(_ index: Int, _ fallback: Double) -> Double {
            parameters.indices.contains(index) ? parameters[index] : Double(Float(fallback))
        }
        switch name {
        case "": return x
        case "Relu": return try node.call("nn.relu", [x])
        case "Tanh": return try node.call("tanh", [x])
        case "Sigmoid": return try node.call("sigmoid", [x])
        case "LeakyRelu": return try node.call("nn.leakyrelu", [x], ["alpha": .float(parameter(0, 0.01))])
        case "Elu": return try node.call("nn.elu", [x], ["alpha": .float(parameter(0, 1))])
        case "HardSigmoid":
            return try node.call(
                "nn.hard_sigmoid", [x], ["alpha": .float(parameter(0, 0.2)), "beta": .float(parameter(1, 0.5))])
        case "HardSwish": return try node.call("nn.hard_swish", [x])
        case "Softplus": return try node.call("nn.softplus", [x])
        case "Softsign": return try node.call("nn.softsign", [x])
        case "ThresholdedRelu":
            return try node.call("nn.thresholded_relu", [x], ["alpha": .float(parameter(0, 1))])
        case "Selu":
            return try node.call(
                "nn.selu", [x],
                [
                    "alpha": .float(parameter(0, 1.67326319217681884765625)),
                    "gamma": .float(parameter(1, 1.05070102214813232421875)),
                ])
        case "QuickGelu":
            let scaled = try node.call("multiply", [x, try node.scalar(parameter(0, 1.702), like: x)])
            return try node.call("multiply", [x, try node.call("sigmoid", [scaled])])
        case "Clip":
            return try node.call(
                "clip", [x, .float(parameter(0, -.infinity)), .float(parameter(1, .infinity))])
        default: throw node.unsupported("activation \(quoted(name))")
        }
    }
}
