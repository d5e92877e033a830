import TenonIR

/// Finds the layers of a function that quantising makes faster.
struct LayerFinder {
    private let usage: Usage

    init(_ usage: Usage) { self.usage = usage }

    /// In program order. Of those that join, the ones between layers with weights.
    func layers(mode: QuantizationOptions.Mode) -> [Layer] {
        var all: [Layer] = []
        for block in usage.function.body.blocks {
            for binding in block.bindings {
                guard let (op, call) = usage.makers[binding.id], usage.isFloat(binding.id) else { continue }
                if let layer = weighted(binding.id, op, call) {
                    all.append(layer)
                } else if mode == .calibrated, let layer = joining(binding.id, op, call) {
                    all.append(layer)
                }
            }
        }
        return connected(all)
    }

    private func weighted(_ id: ValueID, _ op: OperatorID, _ call: Call) -> Layer? {
        guard call.arguments.count == 2, case .value(let data) = call.arguments[0], usage.isFloat(data),
            case .constant(let weight) = call.arguments[1], weight.dtype == .float32, weight.count > 0,
            let rank = usage.function.type(of: id).asTensor?.rank,
            let dataRank = usage.function.type(of: data).asTensor?.rank, dataRank >= 2
        else { return nil }
        let axes: (output: Int, input: Int, data: Int, channel: Int)
        var groups = 1
        switch op.name {
        case "nn.conv1d", "nn.conv2d", "nn.conv3d":
            guard let given = call.attributes.int("groups").flatMap({ Int(exactly: $0) }), given > 0, rank == dataRank,
                weight.shape.count == rank, Int(weight.shape[0]) % given == 0
            else { return nil }
            groups = given
            axes = (0, 1, 1, 1)
        case "nn.dense":
            guard weight.shape.count == 2 else { return nil }
            axes = (0, 1, dataRank - 1, rank - 1)
        case "matmul":
            guard weight.shape.count == 2, rank == dataRank else { return nil }
            axes = (1, 0, dataRank - 1, rank - 1)
        default: return nil
        }
        var output = id
        var bias: Constant?
        if let user = usage.onlyUser(id), let (adder, sum) = usage.makers[user], adder.name == "add",
            usage.function.type(of: user) == usage.function.type(of: id),
            let other = sum.arguments.first(where: { $0 != .value(id) })?.constant, other.dtype == .float32,
            isChannels(other, Int(weight.shape[axes.output]), axis: axes.channel, rank: rank)
        {
            (output, bias) = (user, other)
        }
        return Layer(
            name: usage.name(id), op: op, anchor: id, inputs: [data], output: output, end: usage.end(output),
            kind: .weighted(
                Layer.Weighted(
                    weight: weight, outputAxis: axes.output, inputAxis: axes.input, dataAxis: axes.data,
                    channelAxis: axes.channel, groups: groups, bias: bias)))
    }

    /// Whether a constant has one value, or one per channel of a result of `rank` dimensions.
    private func isChannels(_ constant: Constant, _ channels: Int, axis: Int, rank: Int) -> Bool {
        if constant.count == 1 { return constant.shape.count <= rank }
        guard constant.count == channels, constant.shape.count <= rank else { return false }
        let place = axis - (rank - constant.shape.count)
        return constant.shape.indices.contains(place) && constant.shape[place] == Int64(channels)
    }

    /// Functions of one tensor, which are tables of small integers.
    private static let functions: Set<String> = [
        "sigmoid", "tanh", "nn.silu", "nn.gelu", "nn.gelu_tanh", "nn.hard_swish", "nn.hard_sigmoid", "nn.leakyrelu",
        "nn.elu", "nn.mish",
    ]

    private func joining(_ id: ValueID, _ op: OperatorID, _ call: Call) -> Layer? {
        var inputs: [ValueID] = []
        switch op.name {
        case "add", "multiply":
            guard call.arguments.count == 2, let shape = usage.function.type(of: id).asTensor?.shape else { return nil }
            // Of one shape: what is broadcast is no tensor of its own size.
            for argument in call.arguments {
                guard case .value(let value) = argument, usage.function.type(of: value).asTensor?.shape == shape else {
                    return nil
                }
                inputs.append(value)
            }
        case "concat":
            guard case .tuple(let fields)? = call.arguments.first else { return nil }
            for field in fields {
                guard case .value(let value) = field else { return nil }
                inputs.append(value)
            }
        default:
            guard case .value(let data)? = call.arguments.first,
                isPooling(op, call, data) || Self.functions.contains(op.name)
            else { return nil }
            inputs = [data]
        }
        guard !inputs.isEmpty, inputs.allSatisfy({ usage.isFloat($0) }) else { return nil }
        var seen = Set<ValueID>()
        inputs = inputs.filter { seen.insert($0).inserted }
        return Layer(
            name: usage.name(id), op: op, anchor: id, inputs: inputs, output: id,
            // The largest value of a window is one of the integers.
            end: op.has(.maxPooling) ? id : usage.end(id), kind: .joining)
    }

    private func isPooling(_ op: OperatorID, _ call: Call, _ data: ValueID) -> Bool {
        guard let rank = usage.function.type(of: data).asTensor?.rank, (3...5).contains(rank) else { return false }
        if op.name == "mean" {
            guard call.attributes.bool("keepdims") == true, let axes = call.attributes.ints("axis") else {
                return false
            }
            return Set(axes.map { $0 < 0 ? $0 + Int64(rank) : $0 }) == Set((0..<rank).dropFirst(2).map { Int64($0) })
        }
        return op.has([.maxPooling, .averagePooling]) || op.name == "nn.adaptive_avg_pool\(rank - 2)d"
    }

    /// Without what joins but does not stand between layers: there quantising would cost accuracy and gain nothing.
    private func connected(_ all: [Layer]) -> [Layer] {
        var layers = all
        while true {
            let makers = Set(layers.map(\.output))
            let quantized = Set(layers.filter { $0.weighted != nil }.flatMap(\.inputs))
            let takers = Set(layers.flatMap { layer in layer.inputs.map { usage.origin($0) } + layer.inputs })
            let kept = layers.filter { layer in
                guard case .joining = layer.kind else { return true }
                let comesFromLayers = layer.inputs.allSatisfy {
                    makers.contains(usage.origin($0)) || quantized.contains($0)
                }
                // Consumers of the result have it as the origin of an input.
                return comesFromLayers && takers.contains(usage.origin(layer.output))
            }
            if kept.count == layers.count { return kept }
            layers = kept
        }
    }
}
