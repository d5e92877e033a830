import TenonIR

/// Products and convolutions of ONNX Runtime's own operators, with what is fused to them.
enum ContribProducts {
    static let table: [String: OperatorImporter] = [
        "com.microsoft.FusedMatMul": OperatorImporter(fusedMatMul),
        "com.microsoft.TransposeMatMul": OperatorImporter(fusedMatMul),
        "com.microsoft.FusedGemm": OperatorImporter { node in
            let product = try LinearImporters.product(node)
            let parameters = try ["activation_alpha", "activation_beta", "activation_gamma"].compactMap {
                try node.optionalFloat($0)
            }
            let name = try node.string("activation", "")
            return [.operand(try ContribActivations.applied(node, to: product, name, parameters))]
        },
        "com.microsoft.GemmFastGelu": OperatorImporter { node in
            try node.requireInputs(2...3)
            var x = try node.call("matmul", [try node.operand(0), try node.operand(1)])
            if node.has(2) { x = try node.call("add", [x, try node.operand(2)]) }
            return try node.result("nn.gelu_tanh", [x])
        },
        "com.microsoft.FusedConv": OperatorImporter { node in
            try node.requireInputs(2...4)
            var x = try ConvolutionImporters.convolution(node)
            if node.has(3) { x = try node.call("add", [x, try node.operand(3)]) }
            let name = try node.string("activation", "")
            return [
                .operand(
                    try ContribActivations.applied(node, to: x, name, try node.floats("activation_params") ?? []))
            ]
        },
        "com.microsoft.Inverse": OperatorImporter { node in
            try node.result("linalg.inv", [try ArithmeticImporters.single(node)])
        },
    ]

    /// alpha × A' B'. With transBatchA the first dimension of A, by which it is batched, stands before the last one:
    /// [m, batch…, k] for [batch…, m, k].
    private static func fusedMatMul(_ node: Node) throws -> [ImportedValue] {
        try node.requireInputs(2...2)
        let alpha = try node.float("alpha", 1)
        func side(_ index: Int, _ transpose: String, _ batch: String) throws -> Operand {
            var x = try node.operand(index)
            let (isTransposed, movesBatch) = (try node.bool(transpose, false), try node.bool(batch, false))
            guard isTransposed || movesBatch else { return x }
            let rank = try node.rank(index)
            // A vector, or a number, has nothing to transpose.
            guard rank >= 2 else { return x }
            var axes = (0..<Int64(rank)).map { $0 }
            if movesBatch {
                guard rank >= 3 else {
                    throw node.error(.invalidShape, "\(batch) expects 3 dimensions at least, found \(rank)")
                }
                axes.insert(axes.removeFirst(), at: rank - 2)
            }
            if isTransposed { axes.swapAt(rank - 1, rank - 2) }
            if let constant = x.constant, rank == 2 {
                x = .constant(try ConstantTransform.transposed(constant))
            } else {
                x = try node.call("permute_dims", [x], ["axes": .ints(axes)])
            }
            return x
        }
        let product = try node.call(
            "matmul", [try side(0, "transA", "transBatchA"), try side(1, "transB", "transBatchB")])
        if alpha == 1 { return [.operand(product)] }
        return try node.result("multiply", [product, try node.scalar(alpha, like: product)])
    }
}
