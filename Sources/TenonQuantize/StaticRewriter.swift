import TenonIR

/// Writes `quantize` and `dequantize` around layers, with scales that calibration found.
///
/// A tensor that a quantised layer takes is quantised where it is made. Who else takes it sees what the integers stand for if a
/// quantised layer makes it, so that it need not be made twice; else what it was.
struct StaticRewriter {
    let usage: Usage
    let layers: [Layer]
    /// By value: how it is quantised. Of every tensor that a layer takes or joins to.
    let parameters: [ValueID: ActivationParameters]
    /// What is added to the biases, by layer.
    let corrections: [Int: [Float]]
    let options: QuantizationOptions

    /// - Parameter chosen: places in `layers`.
    func function(_ chosen: Set<Int>) throws -> Function {
        var writing = try Writing(self, chosen)
        return try writing.function()
    }

    /// The values that the layers need quantised, each with the one that determines its parameters: what only moves elements, and
    /// the largest value of a window, keep integers.
    func tensors(_ chosen: Set<Int>) -> [ValueID: ValueID] {
        let makers = Dictionary(chosen.map { (layers[$0].output, $0) }) { first, _ in first }
        var determines: [ValueID: ValueID] = [:]
        func insert(_ value: ValueID) -> ValueID {
            if let known = determines[value] { return known }
            determines[value] = value
            let source = usage.source(value)
            if source != value {
                if makers[usage.origin(source)] != nil { determines[value] = insert(source) }
            } else if let maker = makers[value], layers[maker].op.name.contains("max_pool"),
                let input = layers[maker].inputs.first
            {
                determines[value] = insert(input)
            }
            return determines[value] ?? value
        }
        for index in chosen.sorted() {
            for input in layers[index].inputs { _ = insert(input) }
            if case .joining = layers[index].kind { _ = insert(layers[index].end) }
        }
        return determines
    }

    private struct Writing {
        let rewriter: StaticRewriter
        let chosen: Set<Int>
        let anchors: [ValueID: Int]
        let biases: [ValueID: Int]
        let determines: [ValueID: ValueID]
        /// The value that a quantised layer made, perhaps moved and bounded since.
        let isInteger: Set<ValueID>
        var emitter: Emitter
        /// By tensor: what its integers stand for.
        var real: [ValueID: Operand] = [:]
        var constants: [ValueID: (scale: Operand, zero: Operand)] = [:]

        init(_ rewriter: StaticRewriter, _ chosen: Set<Int>) throws {
            self.rewriter = rewriter
            self.chosen = chosen
            let layers = rewriter.layers
            anchors = Dictionary(chosen.map { (layers[$0].anchor, $0) }) { first, _ in first }
            biases = Dictionary(
                chosen.filter { layers[$0].output != layers[$0].anchor }.map { (layers[$0].output, $0) }
            ) {
                first, _ in first
            }
            determines = rewriter.tensors(chosen)
            let outputs = Set(chosen.map { layers[$0].output })
            isInteger = Set(determines.keys.filter { outputs.contains(rewriter.usage.origin($0)) })
            emitter = Emitter(rewriter.usage.function)
        }

        mutating func function() throws -> Function {
            let function = emitter.function
            var blocks = function.body.blocks
            let isAlone = blocks.count == 1
            for index in blocks.indices {
                emitter.bindings = []
                if index == 0 {
                    for parameter in function.parameters where determines[parameter] != nil {
                        try quantize(parameter, isDataflow: isAlone && blocks[index].isDataflow)
                    }
                }
                for binding in blocks[index].bindings { try visit(binding, blocks[index].isDataflow) }
                blocks[index].bindings = emitter.bindings
            }
            emitter.function.body.blocks = blocks
            emitter.function.body.result = function.body.result.mapValues { operand($0, nil) }
            emitter.function.body.result.forEachValue { emitter.function.values[$0.int].isDataflow = false }
            return emitter.function
        }

        /// What a user reads where the function says `value`; `layer` is the layer that the user is.
        private func operand(_ value: ValueID, _ layer: Int?) -> Operand {
            guard let real = real[value] else { return .value(value) }
            if isInteger.contains(value) { return real }
            if let layer, rewriter.layers[layer].inputs.contains(value) { return real }
            return .value(value)
        }

        private mutating func visit(_ binding: Binding, _ isDataflow: Bool) throws {
            let layer = anchors[binding.id]
            var expression = binding.expression
            if case .conditional = expression {
                // Branches see values as they were.
            } else {
                expression = expression.mapValues { operand($0, layer) }
            }
            if let layer, let weighted = rewriter.layers[layer].weighted, case .call(var call) = expression {
                try write(layer, weighted, &call, binding, isDataflow)
            } else if let layer = biases[binding.id], let weighted = rewriter.layers[layer].weighted,
                let bias = try biasOperand(layer, weighted, isDataflow), case .call(var call) = expression
            {
                call.arguments = [.value(rewriter.layers[layer].anchor), bias]
                emitter.bindings.append(Binding(binding.id, .call(call)))
            } else {
                emitter.bindings.append(Binding(binding.id, expression))
            }
            if determines[binding.id] != nil { try quantize(binding.id, isDataflow: isDataflow) }
        }

        /// A layer with its weight as small integers.
        private mutating func write(
            _ layer: Int, _ weighted: Layer.Weighted, _ call: inout Call, _ binding: Binding, _ isDataflow: Bool
        ) throws {
            let name = rewriter.layers[layer].name
            let weight = try rewriter.weight(layer, weighted, input(layer).scale)
            var (integers, axis) = (weight.integers, weight.axis)
            if rewriter.layers[layer].op.name == "nn.dense" {
                // Runtimes of ONNX look for products whose scales are those of columns.
                (integers, axis) = (try weight.transposedIntegers(), 1)
                call.callee = .op(try Operators.require("matmul"))
            }
            call.arguments[1] = try emitter.emit(
                "dequantize", [.constant(integers), .constant(weight.scale), .constant(weight.zero)],
                ["axis": .int(Int64(axis))], name: name + "_weight", isDataflow: isDataflow)
            guard rewriter.layers[layer].output == binding.id, let correction = rewriter.corrections[layer],
                correction.contains(where: { $0 != 0 })
            else {
                emitter.bindings.append(Binding(binding.id, .call(call)))
                return
            }
            // A bias where there was none: the layer's value is the sum.
            let product = emitter.bind(
                .call(call), emitter.function.type(of: binding.id), name: name + "_product", isDataflow: isDataflow)
            guard let bias = try biasOperand(layer, weighted, isDataflow) else { return }
            emitter.bindings.append(
                Binding(binding.id, .call(Call(.op(try Operators.require("add")), [product, bias]))))
        }

        private func input(_ layer: Int) -> ActivationParameters {
            rewriter.input(layer, determines)
        }

        /// The bias in units of the sums that the layer makes, as ONNX's QLinearConv has it.
        private mutating func biasOperand(
            _ layer: Int, _ weighted: Layer.Weighted, _ isDataflow: Bool
        ) throws -> Operand? {
            let source = input(layer)
            guard let values = rewriter.bias(layer, weighted) else { return nil }
            let weight = try rewriter.weight(layer, weighted, source.scale)
            let units = weight.scales.map { $0 * source.scale }
            let wholes = zip(values, units).map { Int32(clamping: (Double($0) / Double($1)).rounded(.toNearestOrEven)) }
            let channels = Int64(weighted.outputs)
            let name = rewriter.layers[layer].name + "_bias"
            let real = try emitter.emit(
                "dequantize",
                [
                    .constant(try Constant(.int32, [channels], wholes)),
                    .constant(try Constant.floats([channels], units)),
                    .constant(try Constant.filled(.int32, [channels], 0)),
                ], ["axis": 0], name: name, isDataflow: isDataflow)
            guard let rank = emitter.function.type(of: rewriter.layers[layer].anchor).asTensor?.rank,
                weighted.channelAxis < rank - 1
            else { return real }
            var shape = [Dim](repeating: 1, count: rank)
            shape[weighted.channelAxis] = .fixed(channels)
            return try emitter.emit("reshape", [real, .shape(shape)], name: name, isDataflow: isDataflow)
        }

        private mutating func quantize(_ value: ValueID, isDataflow: Bool) throws {
            let root = determines[value] ?? value
            guard let parameters = rewriter.parameters[root] else {
                throw TenonError(.internal, "quantize: '\(rewriter.usage.name(value))' has no range")
            }
            if constants[root] == nil {
                constants[root] = (
                    .constant(try Constant.floats([], [parameters.scale])),
                    .constant(try Constant.scalar(rewriter.options.activations, Double(parameters.zero)))
                )
            }
            guard let constants = constants[root], let info = emitter.function.info(value) else { return }
            let isInside = isDataflow && (info.isDataflow || rewriter.usage.function.parameters.contains(value))
            let small = try emitter.emit(
                "quantize", [.value(value), constants.scale, constants.zero],
                ["out_dtype": .dtype(rewriter.options.activations)], name: info.name + "_q", isDataflow: isDataflow)
            real[value] = try emitter.emit(
                "dequantize", [small, constants.scale, constants.zero], name: info.name + "_dq", isDataflow: isInside)
        }
    }

    /// How the data of a layer with weights is quantised.
    private func input(_ layer: Int, _ determines: [ValueID: ValueID]) -> ActivationParameters {
        guard let value = layers[layer].inputs.first else { return ActivationParameters(scale: 1, zero: 0) }
        return parameters[determines[value] ?? value] ?? ActivationParameters(scale: 1, zero: 0)
    }

    /// The bias of a layer, corrected; nil where there is none.
    private func bias(_ layer: Int, _ weighted: Layer.Weighted) -> [Float]? {
        let outputs = weighted.outputs
        let correction = corrections[layer]
        guard let bias = weighted.bias else { return correction }
        var values = bias.withFloats { Array($0) }
        if values.count != outputs { values = [Float](repeating: values.first ?? 0, count: outputs) }
        guard let correction, correction.count == outputs else { return values }
        return zip(values, correction).map { $0 + $1 }
    }

    /// The weight of a layer behind data of a scale; large enough that the bias fits.
    private func weight(_ layer: Int, _ weighted: Layer.Weighted, _ scale: Float) throws -> QuantizedWeight {
        // Integer kernels take biases below 2^30 units.
        let least = (bias(layer, weighted) ?? [Float](repeating: 0, count: weighted.outputs)).map {
            min($0.magnitude / scale / 1_000_000_000, 1e30)
        }
        return try QuantizedWeight(
            weighted.weight, axis: weighted.outputAxis, isPerTensor: options.isPerTensor, least: least)
    }
}
