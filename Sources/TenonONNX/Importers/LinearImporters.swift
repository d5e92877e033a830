import TenonIR

/// Matrix products. Gemm becomes nn.dense or matmul, and add; what it scales or transposes is folded into constants.
enum LinearImporters {
    static let table: [String: OperatorImporter] = [
        "Gemm": OperatorImporter(since: 6) { node in [.operand(try product(node))] },
        "Det": OperatorImporter(since: 11) { node in
            try node.result("linalg.det", [try ArithmeticImporters.single(node)])
        },
        "MatMul": OperatorImporter { node in
            try node.requireInputs(2...2)
            return try node.result("matmul", [try node.operand(0), try node.operand(1)])
        },
    ]

    /// alpha × A' B' + beta × C with A' and B' transposed where the node says so.
    static func product(_ node: Node) throws -> Operand {
        try node.requireInputs(2...3)
        // Said before opset 7 what is always so since.
        if node.opset < 7 { node.ignore("broadcast") }
        for index in 0...1 {
            if let rank = try node.type(index).rank, rank != 2 {
                throw node.error(.invalidShape, "input \(index) expects 2 dimensions, found \(try node.type(index))")
            }
        }
        let alpha = try node.float("alpha", 1)
        let beta = try node.float("beta", 1)
        let (transposeA, transposeB) = (try node.bool("transA", false), try node.bool("transB", false))
        let a = try transposed(node, try node.operand(0), transposeA)
        // Weights as `nn.dense` takes them, output by input, stay where they are.
        var b = try node.operand(1)
        let scalesConstant = b.constant != nil
        if alpha != 1, scalesConstant { b = try scaled(node, b, alpha) }
        var result = try node.call(transposeB ? "nn.dense" : "matmul", [a, b])
        if alpha != 1, !scalesConstant { result = try scaled(node, result, alpha) }
        if node.has(2), beta != 0 {
            let bias = try scaled(node, try node.operand(2), beta)
            let product = try node.type(of: result)
            result = try node.call("add", [result, bias])
            if let before = product.staticShape, let after = try node.type(of: result).staticShape, before != after {
                throw node.error(.invalidShape, "C (\(try node.type(2))) does not broadcast to \(product)")
            }
        }
        return result
    }

    private static func transposed(_ node: Node, _ operand: Operand, _ transpose: Bool) throws -> Operand {
        guard transpose else { return operand }
        if let constant = operand.constant { return .constant(try ConstantTransform.transposed(constant)) }
        return try node.call("permute_dims", [operand], ["axes": .ints([1, 0])])
    }

    private static func scaled(_ node: Node, _ operand: Operand, _ factor: Double) throws -> Operand {
        guard factor != 1 else { return operand }
        if let constant = operand.constant, let scaled = try ConstantTransform.scaled(constant, by: factor) {
            return .constant(scaled)
        }
        return try node.call("multiply", [operand, try node.scalar(factor, like: operand)])
    }
}
