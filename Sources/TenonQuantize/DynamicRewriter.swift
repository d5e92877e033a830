import TenonIR

/// Writes convolutions and products with known weights so that they quantise their data as it comes: `dynamic_quantize` in front of
/// `nn.quantized_convNd` and `quantized_matmul`.
struct DynamicRewriter {
    let usage: Usage
    let layers: [Layer]
    let options: QuantizationOptions

    func function(_ chosen: Set<Int>) throws -> Function {
        let anchors = Dictionary(chosen.map { (layers[$0].anchor, $0) }) { first, _ in first }
        var emitter = Emitter(usage.function)
        var blocks = usage.function.body.blocks
        for index in blocks.indices {
            emitter.bindings = []
            let isDataflow = blocks[index].isDataflow
            // One quantisation serves all products of a block that take the same data.
            var quantized: [ValueID: [Operand]] = [:]
            for binding in blocks[index].bindings {
                guard let layer = anchors[binding.id], let weighted = layers[layer].weighted,
                    let data = layers[layer].inputs.first
                else {
                    emitter.bindings.append(binding)
                    continue
                }
                let parts = try quantized[data] ?? self.parts(data, isDataflow, &emitter)
                quantized[data] = parts
                emitter.bindings.append(
                    Binding(
                        binding.id, try product(layer, weighted, parts, usage.function.type(of: binding.id), emitter)))
            }
            blocks[index].bindings = emitter.bindings
        }
        emitter.function.body.blocks = blocks
        return emitter.function
    }

    /// The integers, their scale and their zero point.
    private func parts(_ data: ValueID, _ isDataflow: Bool, _ emitter: inout Emitter) throws -> [Operand] {
        let name = usage.name(data)
        let all = try emitter.emit("dynamic_quantize", [.value(data)], name: name + "_all", isDataflow: isDataflow)
        guard case .tuple(let types) = emitter.function.type(of: all) else {
            throw TenonError(.internal, "quantize: dynamic_quantize gives no tuple")
        }
        return zip(types, ["_q", "_scale", "_zero"]).enumerated().map { index, part in
            emitter.bind(.tupleGetItem(all, index), part.0, name: name + part.1, isDataflow: isDataflow)
        }
    }

    private func product(
        _ layer: Int, _ weighted: Layer.Weighted, _ parts: [Operand], _ type: ValueType, _ emitter: Emitter
    ) throws -> Expression {
        let weight = try QuantizedWeight(
            weighted.weight, axis: weighted.outputAxis, isPerTensor: options.isPerTensor,
            least: [Float](repeating: 0, count: weighted.outputs))
        let parameters: [Operand] = [.constant(weight.scale), .constant(weight.zero)]
        let arguments: [Operand]
        var attributes = Attributes()
        let name: String
        if layers[layer].op.name.hasPrefix("nn.conv") {
            name = "nn.quantized_" + layers[layer].op.name.dropFirst("nn.".count)
            arguments = [parts[0], .constant(weight.integers), parts[1], parts[2]] + parameters
            for attribute in ["strides", "padding", "dilation", "groups"] {
                attributes[attribute] = usage.makers[layers[layer].anchor]?.call.attributes[attribute]
            }
        } else {
            name = "quantized_matmul"
            let columns = weighted.outputAxis == 0 ? try weight.transposedIntegers() : weight.integers
            arguments = parts + [.constant(columns)] + parameters
        }
        let op = try Operators.require(name)
        let typed = try Inference.call(
            op, arguments, attributes, types: arguments.map { emitter.function.type(of: $0) },
            constants: arguments.map { $0.constant })
        guard typed.type == type else {
            throw TenonError(
                .internal, "quantize: '\(layers[layer].name)' would be \(typed.type), expected \(type)",
                node: layers[layer].name)
        }
        return .call(Call(.op(op), arguments, typed.attributes))
    }
}
