import TenonIR

/// A convolution, transposed convolution or dense layer with constant f32 weight, and its constant bias if it has one.
struct LinearProducer {
    let op: OperatorID
    let call: Call
    let weight: Constant
    /// One per output channel, when an addition of a constant follows.
    private(set) var bias: [Double]?
    /// The layer's own result, before the bias.
    let output: Operand
    let channels: Int
    /// Axis of the channels in the result: 1 behind a convolution, the last one behind a product.
    let channelAxis: Int
    /// Axis of the output channel in the weight.
    private let axis: Int
    private let groups: Int

    init?(_ operand: Operand, _ transformer: BindingTransformer) {
        if let producer = LinearProducer(operand, operand, nil, transformer) {
            self = producer
            return
        }
        // An addition of one constant per channel in between is the bias.
        guard case .value(let id) = operand, let expression = transformer.definition(operand) else { return nil }
        let binding = Binding(id, expression)
        guard let input = ChannelAffine.input(of: binding, transformer),
            let alone = LinearProducer(input, input, nil, transformer),
            let bias = ChannelAffine(binding, transformer, axis: alone.channelAxis), bias.isIdentityScale,
            !bias.isBatchNorm, bias.channels == alone.channels
        else { return nil }
        self = alone
        self.bias = bias.shift
    }

    private init?(_ operand: Operand, _ output: Operand, _ bias: [Double]?, _ transformer: BindingTransformer) {
        guard let (_, op, call) = transformer.call(operand), call.arguments.count == 2,
            let weight = transformer.constant(call.arguments[1]), weight.dtype == .float32, weight.shape.count >= 2,
            let rank = transformer.type(of: operand).asTensor?.rank, rank >= 2
        else { return nil }
        var channelAxis = 1
        groups = Int(clamping: call.attributes.int("groups") ?? 1)
        switch op.name {
        case _ where op.has(.convolution):
            axis = 0
            channels = Int(weight.shape[0])
        case _ where op.has(.transposedConvolution):
            axis = 1
            channels = Int(weight.shape[1]) * groups
        case "nn.dense":
            axis = 0
            channels = Int(weight.shape[0])
            channelAxis = rank - 1
        case "matmul":
            guard weight.shape.count == 2, transformer.type(of: call.arguments[0]).asTensor?.rank == rank else {
                return nil
            }
            axis = 1
            channels = Int(weight.shape[1])
            channelAxis = rank - 1
        default: return nil
        }
        self.channelAxis = channelAxis
        self.op = op
        self.call = call
        self.weight = weight
        self.bias = bias
        self.output = output
    }

    /// The weight with each output channel multiplied; nil where one would overflow or vanish. With `allowsDead` what is
    /// almost nothing may become nothing.
    func scaled(_ scale: [Double], allowsDead: Bool) -> Constant? {
        guard scale.count == channels, channels > 0 else { return nil }
        let factors = scale.map { Float($0) }
        if axis == 0 {
            return ScaledWeight.make(
                weight, blocks: channels, blockLength: weight.count / channels, allowsDead: allowsDead
            ) { factors[$0] }
        }
        // [inputs, outputs per group, …]: the group is that of the input channel.
        let inputs = Int(weight.shape[0])
        let perGroup = Int(weight.shape[1])
        guard inputs > 0, perGroup > 0, groups > 0, inputs % groups == 0 else { return nil }
        let inputsPerGroup = inputs / groups
        return ScaledWeight.make(
            weight, blocks: inputs * perGroup, blockLength: weight.count / (inputs * perGroup), allowsDead: allowsDead
        ) {
            factors[$0 / perGroup / inputsPerGroup * perGroup + $0 % perGroup]
        }
    }

    func emit(_ weight: Constant, _ bias: [Double], _ transformer: inout BindingTransformer) throws -> Operand {
        let output = try transformer.emit(
            op.name, [call.arguments[0], .constant(weight)], call.attributes, name: "folded")
        if bias.allSatisfy({ $0 == 0 }) { return output }
        return try ChannelConstant.add(bias, to: output, axis: channelAxis, &transformer)
    }
}

/// Weights multiplied block by block.
enum ScaledWeight {
    static func make(
        _ weight: Constant, blocks: Int, blockLength: Int, allowsDead: Bool, _ factor: (Int) -> Float
    ) -> Constant? {
        guard blocks > 0, blockLength >= 0, blocks * blockLength == weight.count,
            let source = weight.bytes.baseAddress?.assumingMemoryBound(to: Float.self)
        else { return nil }
        let dead = Float(JoinedConstants.dead)
        var isFaithful = true
        let scaled = [Float](unsafeUninitializedCapacity: weight.count) { buffer, count in
            for block in 0..<blocks {
                let factor = factor(block)
                for index in block * blockLength..<(block + 1) * blockLength {
                    let element = source[index]
                    var value = element * factor
                    if value.magnitude < Float.leastNormalMagnitude {
                        let vanishes = element.isNormal && factor != 0
                        if vanishes, !allowsDead || element.magnitude >= dead && factor.magnitude >= dead {
                            isFaithful = false
                        }
                        // Denormal numbers are slow.
                        if allowsDead { value = 0 }
                    } else if !value.isFinite, element.isFinite {
                        isFaithful = false
                    }
                    buffer[index] = value
                }
            }
            count = weight.count
        }
        return isFaithful ? try? Constant.floats(weight.shape, scaled) : nil
    }
}
