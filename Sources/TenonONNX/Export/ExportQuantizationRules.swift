import TenonIR

/// Quantised tensors in ONNX.
enum ExportQuantizationRules {
    static let table: [String: ExportRules.Rule] = [
        "quantize": { call in try linear(call, "QuantizeLinear") },
        "dequantize": { call in try linear(call, "DequantizeLinear") },
        "dynamic_quantize": { call in try call.results("DynamicQuantizeLinear", [try call.input(0)]) },
        "matmul_integer": { call in
            try call.result("MatMulInteger", try call.arguments.indices.map { try call.input($0) })
        },
        "quantized_matmul": { call in
            // Sums in integers, then the scales.
            let sum = call.step(
                "MatMulInteger", [try call.input(0), try call.input(3), try call.input(2), try call.input(5)])
            let scale = call.step("Mul", [try call.input(1), try call.input(4)])
            let real = call.step("Cast", [sum], ["to": .dtype(.float32)])
            guard call.arguments.count > 6 else { return try call.result("Mul", [real, scale]) }
            return try call.result("Add", [call.step("Mul", [real, scale]), try call.input(6)])
        },
    ]

    private static func linear(_ call: ExportCall, _ op: String) throws -> GraphExport.Value {
        var attributes = Attributes()
        let isOne = try call.tensor(1).type.shape.map { $0.count <= 1 && $0.allSatisfy { $0.value == 1 } } ?? false
        if !isOne {
            attributes["axis"] = .int(try call.int("axis"))
            let block = try call.int("block")
            if block > 0 { attributes["block_size"] = .int(block) }
        }
        let (x, scale) = (try call.tensor(0), try call.tensor(1))
        if op == "DequantizeLinear", let dtype = call.attributes.dtype("out_dtype"), dtype != scale.type.dtype {
            let real = call.step(op, [x.name, scale.name, try call.input(2)], attributes)
            return try call.result("Cast", [real], ["to": .dtype(dtype)])
        }
        guard op == "DequantizeLinear" || x.type.dtype == scale.type.dtype else {
            throw call.unsupported("a scale of another element type")
        }
        return try call.result(op, [x.name, scale.name, try call.input(2)], attributes)
    }
}
