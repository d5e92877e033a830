import TenonIR

/// The same for convolutions: scales have one value, or one per channel behind dimensions of 1.
extension RecomposeIntegerProducts {
    static let integerConvolutions = [
        "nn.conv1d_integer": "nn.quantized_conv1d", "nn.conv2d_integer": "nn.quantized_conv2d",
        "nn.conv3d_integer": "nn.quantized_conv3d",
    ]

    /// The operator, its arguments and its attributes for `multiply(astype(sums), scales)`.
    func scaledConvolution(
        _ call: Call, _ transformer: inout BindingTransformer, _ uses: UseCounts
    ) throws -> (op: String, arguments: [Operand], attributes: Attributes)? {
        for (sums, scales) in [(call.arguments[0], call.arguments[1]), (call.arguments[1], call.arguments[0])] {
            let reader = Reader(transformer: transformer, uses: uses)
            guard let cast = reader.inner(sums, "astype"), cast.attributes.dtype("dtype") == .float32,
                let inner = cast.arguments.first,
                let (name, quantized) = Self.integerConvolutions.first(where: { reader.inner(inner, $0.key) != nil }),
                let convolution = reader.inner(inner, name), convolution.arguments.count >= 2,
                let outputs = transformer.type(of: convolution.arguments[1]).asTensor?.shape?.first,
                let rank = transformer.type(of: convolution.arguments[1]).asTensor?.rank
            else { continue }
            var pair: (data: Operand, weight: Operand)?
            if let (_, op, product) = transformer.call(scales), op.name == "multiply", product.arguments.count == 2 {
                for (a, b) in [(0, 1), (1, 0)] where pair == nil {
                    let (data, weight) = (product.arguments[a], product.arguments[b])
                    guard isScale(data, nil, rank, transformer), isScale(weight, outputs, rank, transformer) else {
                        continue
                    }
                    pair = (data, weight)
                }
            }
            if pair == nil, isScale(scales, outputs, rank, transformer) {
                pair = (.constant(try Constant.scalar(.float32, 1)), scales)
            }
            guard let pair else { continue }
            var zeros: [Operand] = []
            for (place, of) in [(2, 0), (3, 1)] {
                if convolution.arguments.count > place {
                    zeros.append(convolution.arguments[place])
                } else if let dtype = transformer.type(of: convolution.arguments[of]).asTensor?.dtype {
                    zeros.append(.constant(try Constant.scalar(dtype, 0)))
                }
            }
            guard zeros.count == 2 else { continue }
            let data = try flat(pair.data, nil, &transformer)
            let weight = try flat(pair.weight, outputs, &transformer)
            return (
                quantized, [convolution.arguments[0], convolution.arguments[1], data, zeros[0], weight, zeros[1]],
                convolution.attributes
            )
        }
        return nil
    }

    /// The same for an addition of one value per channel behind it.
    func biasedConvolution(
        _ call: Call, _ transformer: inout BindingTransformer, _ uses: UseCounts
    ) throws -> (op: String, arguments: [Operand], attributes: Attributes)? {
        for (sums, bias) in [(call.arguments[0], call.arguments[1]), (call.arguments[1], call.arguments[0])] {
            let reader = Reader(transformer: transformer, uses: uses)
            guard let name = Self.integerConvolutions.values.first(where: { reader.inner(sums, $0) != nil }),
                let convolution = reader.inner(sums, name), convolution.arguments.count == 6,
                let outputs = transformer.type(of: convolution.arguments[1]).asTensor?.shape?.first,
                let rank = transformer.type(of: convolution.arguments[1]).asTensor?.rank,
                isScale(bias, outputs, rank, transformer)
            else { continue }
            let flat = try flat(bias, outputs, &transformer)
            return (name, convolution.arguments + [flat], convolution.attributes)
        }
        return nil
    }

    /// One value, or with `outputs` one per channel of a result of `rank` dimensions.
    private func isScale(_ operand: Operand, _ outputs: Dim?, _ rank: Int, _ transformer: BindingTransformer) -> Bool {
        guard let type = transformer.type(of: operand).asTensor, type.dtype == .float32, let shape = type.shape,
            shape.count <= rank
        else { return false }
        if shape.allSatisfy({ $0.value == 1 }) { return true }
        // Channels are the second dimension of the result.
        let place = 1 - (rank - shape.count)
        guard let outputs, shape.indices.contains(place), shape[place] == outputs else { return false }
        return shape.indices.allSatisfy { $0 == place || shape[$0].value == 1 }
    }

    /// Without the dimensions around its values.
    private func flat(
        _ operand: Operand, _ outputs: Dim?, _ transformer: inout BindingTransformer
    ) throws -> Operand {
        guard let shape = transformer.type(of: operand).asTensor?.shape, shape.count > 1 else { return operand }
        let isOne = shape.allSatisfy { $0.value == 1 }
        return try transformer.emit("reshape", [operand, .shape(isOne ? [] : [outputs ?? 1])])
    }
}
