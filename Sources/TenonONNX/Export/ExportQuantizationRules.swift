import TenonIR

/// Quantised tensors in ONNX.
enum ExportQuantizationRules {
    static let table: [String: ExportRules.Rule] = products.merging(convolutions) { first, _ in first }

    private static let convolutions: [String: ExportRules.Rule] = {
        var table: [String: ExportRules.Rule] = [:]
        for spatial in 1...3 {
            table["nn.conv\(spatial)d_integer"] = { call in
                try call.result(
                    "ConvInteger", try call.arguments.indices.map { try call.input($0) }, try window(call))
            }
            table["nn.quantized_conv\(spatial)d"] = { call in
                var inputs = [try call.input(0), try call.input(1), try call.input(3)]
                // ONNX Runtime takes no zero points per output, not even of 0.
                if !isZero(call.arguments[5]) { inputs.append(try call.input(5)) }
                let real = call.step(
                    "Cast", [call.step("ConvInteger", inputs, try window(call))], ["to": .dtype(.float32)])
                /// One per channel stands in front of the other dimensions.
                func perChannel(_ index: Int) throws -> String {
                    let (name, type) = try call.tensor(index)
                    if type.elementCount == 1 { return name }
                    return call.step("Reshape", [name, try call.list([-1] + [Int64](repeating: 1, count: spatial))])
                }
                let scale = call.step("Mul", [try call.input(2), try perChannel(4)])
                guard call.arguments.count > 6 else { return try call.result("Mul", [real, scale]) }
                return try call.result("Add", [call.step("Mul", [real, scale]), try perChannel(6)])
            }
        }
        return table
    }()

    private static func isZero(_ value: GraphExport.Value) -> Bool {
        guard case .literal(.constant(let constant)) = value else { return false }
        return constant.source.allSatisfy { $0 == 0 }
    }

    private static func window(_ call: ExportCall) throws -> Attributes {
        [
            "strides": .ints(try call.ints("strides")), "pads": .ints(try call.ints("padding")),
            "dilations": .ints(try call.ints("dilation")), "group": .int(try call.int("groups")),
        ]
    }

    private static let products: [String: ExportRules.Rule] = [
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
        var version = ONNXExporter.opset
        let isOne = try call.tensor(1).type.shape.map { $0.count <= 1 && $0.allSatisfy { $0.value == 1 } } ?? false
        if !isOne {
            attributes["axis"] = .int(try call.int("axis"))
            let block = try call.int("block")
            if block > 0 { (attributes["block_size"], version) = (.int(block), 21) }
        }
        if call.attributes.bool("saturate") == false { attributes["saturate"] = .int(0) }
        let (x, scale) = (try call.tensor(0), try call.tensor(1))
        let isQuantized = op == "QuantizeLinear"
        let real = isQuantized ? x.type.dtype : call.attributes.dtype("out_dtype")
        guard scale.type.dtype != .float64, real != .float64 else { throw call.unsupported("numbers of type f64") }
        if let small = try call.tensor(2).type.dtype {
            version = max(version, small == .uint16 || small == .int16 ? 21 : ONNXExporter.operatorSet(of: small))
        }
        if scale.type.dtype == .float8e8m0 { version = max(version, 24) }
        // Quotients are f32 where the call does not say otherwise, and rounded to the scale's type where the node does not.
        let precision = call.attributes.dtype("precision") ?? .float32
        if isQuantized, scale.type.dtype != .float32 || real != .float32 || precision != .float32 {
            (attributes["precision"], version) = (.dtype(precision), max(version, 23))
        }
        var converts = false
        if !isQuantized, let real, real != scale.type.dtype {
            converts = scale.type.dtype != .float8e8m0
            if !converts { attributes["output_dtype"] = .dtype(real) }
        }
        call.graph.need(operatorSet: version)
        let inputs = [x.name, scale.name, try call.input(2)]
        guard converts, let real else { return try call.result(op, inputs, attributes) }
        return try call.result("Cast", [call.step(op, inputs, attributes)], ["to": .dtype(real)])
    }
}
