/// Convolutions of small integers as they come: `nn.convNd_integer` gives sums, `nn.quantized_convNd` what they stand for.
enum QuantizedConvolutionOperators {
    static let schemas: [OperatorSchema] = (1...3).flatMap { spatial -> [OperatorSchema] in
        let ones = AttributeValue.ints([Int64](repeating: 1, count: spatial))
        let zeros = AttributeValue.ints([Int64](repeating: 0, count: spatial * 2))
        let window: [OperatorSchema.Attribute] = [
            .spread("strides", ones, spatial), .spread("padding", zeros, spatial * 2),
            .spread("dilation", ones, spatial), .defaulted("groups", 1),
        ]
        return [
            OperatorSchema(
                "nn.conv\(spatial)d_integer",
                "\(spatial)-D convolution of (data - data_zero) with (weight - weight_zero), summed in i32; padding stands for data_zero, weight_zero has one value or one per output.",
                inputs: [
                    .init("data"), .init("weight"), .init("data_zero", optional: true),
                    .init("weight_zero", optional: true),
                ], attributes: window
            ) { site in
                let type = try convolution(site, spatial, dtype: .int32)
                if site.has(2) { try checkZero(site, 2, of: 0, perOutput: false) }
                if site.has(3) { try checkZero(site, 3, of: 1, perOutput: true) }
                return type
            },
            OperatorSchema(
                "nn.quantized_conv\(spatial)d",
                "\(spatial)-D convolution of the numbers that (data, data_scale, data_zero) and (weight, weight_scale, weight_zero) stand for, plus bias; weight's and bias per output. Sums are exact.",
                inputs: [
                    .init("data"), .init("weight"), .init("data_scale"), .init("data_zero"), .init("weight_scale"),
                    .init("weight_zero"), .init("bias", optional: true),
                ], attributes: window
            ) { site in
                let type = try convolution(site, spatial, dtype: .float32)
                try checkZero(site, 3, of: 0, perOutput: false)
                try checkZero(site, 5, of: 1, perOutput: true)
                for index in [2, 4, 6] where site.has(index) {
                    if let dtype = try site.tensor(index).dtype, dtype != .float32 {
                        throw site.inputError(index, .invalidType, expects: "f32")
                    }
                    try checkCount(site, index, perOutput: index != 2)
                }
                return type
            },
        ]
    }

    private static func convolution(_ site: CallSite, _ spatial: Int, dtype: DataType) throws -> ValueType {
        for index in [0, 1] {
            if let type = try site.tensor(index).dtype, type != .uint8, type != .int8 {
                throw site.inputError(index, .invalidType, expects: "u8 or i8")
            }
        }
        // The type rule of a convolution, whatever the types of its operands.
        let alike = CallSite(
            schema: site.schema, arguments: Array(site.arguments.prefix(2)),
            types: site.types.prefix(2).map { type in
                guard case .tensor(let tensor) = type else { return type }
                guard let shape = tensor.shape else { return .tensor(TensorType(dtype: dtype, rank: tensor.rank)) }
                return .tensor(TensorType(dtype, shape))
            }, constants: [nil, nil], attributes: site.attributes)
        return try ConvolutionOperators.convolution(alike, spatial: spatial)
    }

    private static func checkZero(_ site: CallSite, _ index: Int, of tensor: Int, perOutput: Bool) throws {
        if let own = try site.tensor(index).dtype, let expected = try site.tensor(tensor).dtype, own != expected {
            throw site.inputError(
                index, .invalidType, expects: "the element type of '\(site.inputName(tensor))' (\(expected.name))")
        }
        try checkCount(site, index, perOutput: perOutput)
    }

    private static func checkCount(_ site: CallSite, _ index: Int, perOutput: Bool) throws {
        guard let shape = try site.tensor(index).shape, let outputs = try site.tensor(1).shape?.first else { return }
        if shape.count <= 1, shape.allSatisfy({ $0.value == 1 }) { return }
        guard perOutput else { throw site.inputError(index, expects: "one value") }
        let isAlike = shape.count == 1 && (shape[0].value == nil || outputs.value == nil || shape[0] == outputs)
        guard isAlike else { throw site.inputError(index, expects: "one value or one per output (\(outputs))") }
    }
}
