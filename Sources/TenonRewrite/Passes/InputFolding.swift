import TenonIR

/// An affine map of a layer's input channels, moved into its weight and a bias.
struct InputFolding {
    var weight: Constant
    var bias: [Double]

    /// How a weight is laid out: blocks of `length` elements, each read for one input and added to one output channel.
    private struct Blocks {
        var count: Int
        var length: Int
        var outputs: Int
        var input: (_ block: Int) -> Int
        var output: (_ block: Int) -> Int
    }

    /// Weights [outputs, inputs per group, kernel…].
    init?(_ weight: Constant, groups: Int, _ affine: ChannelAffine) {
        guard weight.shape.count >= 2 else { return nil }
        let outputs = Int(weight.shape[0])
        let perGroup = Int(weight.shape[1])
        guard outputs > 0, perGroup > 0, groups > 0, outputs % groups == 0, perGroup * groups == affine.channels
        else { return nil }
        let outputsPerGroup = outputs / groups
        self.init(
            weight, affine,
            Blocks(
                count: outputs * perGroup, length: weight.count / (outputs * perGroup), outputs: outputs,
                input: { $0 / perGroup / outputsPerGroup * perGroup + $0 % perGroup }, output: { $0 / perGroup }))
    }

    /// Weights with the inputs first: [inputs, outputs] of a product; of a transposed convolution with scales alone.
    init?(inputsFirst weight: Constant, _ affine: ChannelAffine) {
        guard weight.shape.count >= 2 else { return nil }
        let inputs = Int(weight.shape[0])
        let outputs = Int(weight.shape[1])
        guard inputs == affine.channels, inputs > 0, outputs > 0 else { return nil }
        self.init(
            weight, affine,
            Blocks(
                count: inputs * outputs, length: weight.count / (inputs * outputs), outputs: outputs,
                input: { $0 / outputs }, output: { $0 % outputs }))
    }

    private init?(_ weight: Constant, _ affine: ChannelAffine, _ blocks: Blocks) {
        guard let source = weight.bytes.baseAddress?.assumingMemoryBound(to: Float.self),
            let scaled = ScaledWeight.make(
                weight, blocks: blocks.count, blockLength: blocks.length, allowsDead: false,
                { Float(affine.scale[blocks.input($0)]) })
        else { return nil }
        self.weight = scaled
        bias = [Double](repeating: 0, count: blocks.outputs)
        for block in 0..<blocks.count {
            let shift = affine.shift[blocks.input(block)]
            if shift == 0 { continue }
            var sum = 0.0
            for index in block * blocks.length..<(block + 1) * blocks.length { sum += Double(source[index]) }
            bias[blocks.output(block)] += sum * shift
        }
    }
}
