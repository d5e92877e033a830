import Glibc
import TenonIR

/// Folds inference batch normalisation, and multiplications and additions of one constant per channel, into the constant
/// weights beside them.
///
/// After a convolution, transposed convolution or dense layer (with or without a bias):
/// `(W∗x + b)·s + t = (s·W)∗x + (b·s + t)`. Before a convolution, where it is exact (no padding, or nothing added):
/// `W∗(x·s + t) = (W·s)∗x + Σ W·t`. A value that is folded away must have no other user. Whatever batch normalisation is left
/// becomes a multiplication and an addition. Folded values too small for a normal number become 0.
public struct FoldBatchNorm: BindingPass {
    public init() {}

    public var name: String { "FoldBatchNorm" }
    public var optimisationLevel: Int { 1 }

    typealias State = UseCounts

    func begin(_ function: Function, _ context: PassContext) throws -> UseCounts { UseCounts(function) }

    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State, _ context: PassContext
    ) throws -> Operand? {
        if let affine = ChannelAffine(binding, transformer) {
            if let folded = try foldAfter(affine, &transformer, state) { return folded }
            guard affine.isBatchNorm, let alone = try decompose(affine, &transformer) else { return nil }
            state.setUses(of: alone, as: binding.id)
            return alone
        }
        return try foldBefore(binding, &transformer, state)
    }

    /// Nothing else sees the value. Values made by this pass have one user by construction.
    private func hasOneUse(_ operand: Operand, _ transformer: BindingTransformer, _ state: State) -> Bool {
        guard case .value(let id) = operand, transformer.function.values[id.int].isDataflow else { return false }
        return state.count(id) == 1
    }

    // MARK: - After

    private func foldAfter(
        _ affine: ChannelAffine, _ transformer: inout BindingTransformer, _ state: State
    ) throws -> Operand? {
        guard !affine.isBatchNorm || affine.tuple.map { state.count($0) == 1 } ?? true,
            hasOneUse(affine.input, transformer, state),
            let producer = LinearProducer(affine.input, transformer), producer.channels == affine.channels
        else { return nil }
        if producer.bias == nil && affine.isIdentityScale { return nil }
        if producer.bias != nil, !hasOneUse(producer.output, transformer, state) { return nil }
        guard let weight = producer.scaled(affine.scale) else { return nil }
        var bias = affine.shift
        if let old = producer.bias {
            for channel in bias.indices { bias[channel] += old[channel] * affine.scale[channel] }
        }
        return try producer.emit(weight, bias, &transformer)
    }

    // MARK: - Before

    private func foldBefore(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: State
    ) throws -> Operand? {
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee, op.name.hasPrefix("nn.conv"),
            !op.name.hasSuffix("transpose"), call.arguments.count == 2, case .value(let input) = call.arguments[0],
            hasOneUse(call.arguments[0], transformer, state), let definition = transformer.definition(.value(input)),
            let weight = transformer.constant(call.arguments[1]), weight.dtype == .float32, weight.shape.count >= 3
        else { return nil }
        // By now the input is a multiplication or an addition: batch normalisation has been decomposed where it stood.
        guard let outer = ChannelAffine(Binding(input, definition), transformer) else { return nil }
        var affine = outer
        if hasOneUse(outer.input, transformer, state), case .value(let id) = outer.input,
            let inner = transformer.definition(outer.input).flatMap({ ChannelAffine(Binding(id, $0), transformer) }),
            inner.channels == outer.channels
        {
            affine = inner.followed(by: outer)
        }
        let groups = call.attributes.int("groups") ?? 1
        let isPadded = (call.attributes.ints("padding") ?? []).contains { $0 != 0 }
        guard !isPadded || affine.shift.allSatisfy({ $0 == 0 }),
            let folded = InputFolding(weight, groups: Int(groups), affine)
        else { return nil }
        let convolution = try transformer.emit(
            op.name, [affine.input, .constant(folded.weight)], call.attributes, name: "conv")
        if folded.bias.allSatisfy({ $0 == 0 }) { return convolution }
        return try ChannelConstant.add(folded.bias, to: convolution, &transformer)
    }

    // MARK: - Alone

    private func decompose(_ affine: ChannelAffine, _ transformer: inout BindingTransformer) throws -> Operand? {
        guard let rank = transformer.type(of: affine.input).asTensor?.rank,
            let scale = try? ChannelConstant.make(affine.scale, rank: rank),
            let shift = try? ChannelConstant.make(affine.shift, rank: rank)
        else { return nil }
        let product = try transformer.emit("multiply", [affine.input, .constant(scale)], name: "scaled")
        return try transformer.emit("add", [product, .constant(shift)], name: "shifted")
    }
}

/// A binding of the form `input · scale + shift` with one constant each per channel (axis 1), f32.
struct ChannelAffine {
    var input: Operand
    var scale: [Double]
    var shift: [Double]
    var isBatchNorm = false
    /// The tuple of a batch normalisation.
    private(set) var tuple: ValueID?

    var channels: Int { scale.count }
    var isIdentityScale: Bool { scale.allSatisfy { $0 == 1 } }

    func followed(by next: ChannelAffine) -> ChannelAffine {
        var result = self
        for channel in scale.indices {
            result.scale[channel] = scale[channel] * next.scale[channel]
            result.shift[channel] = shift[channel] * next.scale[channel] + next.shift[channel]
        }
        return result
    }

    init?(_ binding: Binding, _ transformer: BindingTransformer) {
        switch binding.expression {
        case .tupleGetItem(let tuple, 0):
            guard let (id, op, call) = transformer.call(tuple), op.name == "nn.batch_norm" else { return nil }
            self.init(batchNorm: call, transformer)
            self.tuple = id
        case .call(let call):
            guard case .op(let op) = call.callee, call.arguments.count == 2 else { return nil }
            self.init(op.name, call.arguments, transformer)
        default: return nil
        }
    }

    private init?(batchNorm call: Call, _ transformer: BindingTransformer) {
        guard call.attributes.bool("training") != true, call.attributes.int("axis") == 1, call.arguments.count == 5,
            let type = transformer.type(of: call.arguments[0]).asTensor, type.dtype == .float32,
            let epsilon = call.attributes.float("epsilon")
        else { return nil }
        var parameters: [[Double]] = []
        for argument in call.arguments.dropFirst() {
            guard let values = transformer.constant(argument)?.doubleElements else { return nil }
            parameters.append(values)
        }
        let count = parameters[0].count
        guard count > 0, parameters.allSatisfy({ $0.count == count }) else { return nil }
        let usesGamma = call.attributes.bool("scale") != false
        let usesBeta = call.attributes.bool("center") != false
        input = call.arguments[0]
        scale = []
        shift = []
        for channel in 0..<count {
            let deviation = (parameters[3][channel] + epsilon).squareRoot()
            let factor = (usesGamma ? parameters[0][channel] : 1) / deviation
            guard factor.isFinite else { return nil }
            scale.append(factor)
            shift.append((usesBeta ? parameters[1][channel] : 0) - parameters[2][channel] * factor)
        }
        isBatchNorm = true
    }

    private init?(_ op: String, _ arguments: [Operand], _ transformer: BindingTransformer) {
        guard ["add", "subtract", "multiply", "divide"].contains(op) else { return nil }
        let commutes = op == "add" || op == "multiply"
        for position in commutes ? 0...1 : 0...0 {
            guard let constant = transformer.constant(arguments[1 - position]),
                let type = transformer.type(of: arguments[position]).asTensor,
                let values = ChannelConstant.perChannel(constant, of: type)
            else { continue }
            input = arguments[position]
            switch op {
            case "add": (scale, shift) = (values.map { _ in 1 }, values)
            case "subtract": (scale, shift) = (values.map { _ in 1 }, values.map { -$0 })
            case "multiply": (scale, shift) = (values, values.map { _ in 0 })
            default:
                scale = values.map { 1 / $0 }
                guard scale.allSatisfy(\.isFinite) else { return nil }
                shift = values.map { _ in 0 }
            }
            return
        }
        return nil
    }
}

/// Constants with one value per channel, shaped to broadcast along axis 1.
enum ChannelConstant {
    /// The values, one per channel of `type`, when adding or multiplying `constant` treats each channel alike.
    static func perChannel(_ constant: Constant, of type: TensorType) -> [Double]? {
        guard constant.dtype == .float32, type.dtype == .float32, let shape = type.shape, shape.count >= 2,
            let channels = shape[1].value, channels > 0, channels <= 1 << 24, constant.shape.count <= shape.count
        else { return nil }
        let aligned = [Int64](repeating: 1, count: shape.count - constant.shape.count) + constant.shape
        for (axis, size) in aligned.enumerated() where axis != 1 && size != 1 { return nil }
        guard let values = constant.doubleElements else { return nil }
        if aligned[1] == channels { return values }
        return values.count == 1 ? [Double](repeating: values[0], count: Int(channels)) : nil
    }

    static func make(_ values: [Double], rank: Int) throws -> Constant {
        var shape = [Int64](repeating: 1, count: max(rank, 2))
        shape[1] = Int64(values.count)
        return try Constant.floats(shape, values.map(flushed))
    }

    /// Adds a bias as importers write it: a vector, reshaped to the channel's place. Of a matrix it is added directly.
    static func add(_ values: [Double], to output: Operand, _ transformer: inout BindingTransformer) throws -> Operand {
        let vector = try Constant.floats([Int64(values.count)], values.map(flushed))
        guard let rank = transformer.type(of: output).asTensor?.rank, rank > 2 else {
            return try transformer.emit("add", [output, .constant(vector)], name: "biased")
        }
        var dims = [Dim](repeating: 1, count: rank)
        dims[1] = .fixed(Int64(values.count))
        let reshaped = try transformer.emit("reshape", [.constant(vector), .shape(dims)], name: "bias")
        return try transformer.emit("add", [output, reshaped], name: "biased")
    }

    /// As f32, with 0 for what would be a denormal number: those are slow, and nothing measurable.
    static func flushed(_ value: Double) -> Float {
        let float = Float(value)
        return float.isSubnormal ? 0 : float
    }
}

/// A convolution, transposed convolution or dense layer with constant f32 weight, and its constant bias if it has one.
struct LinearProducer {
    let op: OperatorID
    let call: Call
    let weight: Constant
    /// One per output channel, when an addition of a constant follows.
    let bias: [Double]?
    /// The layer's own result, before the bias.
    let output: Operand
    let channels: Int
    /// Axis of the output channel in the weight.
    private let axis: Int
    private let groups: Int

    init?(_ operand: Operand, _ transformer: BindingTransformer) {
        if let producer = LinearProducer(operand, operand, nil, transformer) {
            self = producer
            return
        }
        // An addition of one constant per channel in between is the bias.
        guard case .value(let id) = operand, let expression = transformer.definition(operand),
            let bias = ChannelAffine(Binding(id, expression), transformer), bias.isIdentityScale, !bias.isBatchNorm,
            let producer = LinearProducer(bias.input, bias.input, bias.shift, transformer),
            producer.channels == bias.channels
        else { return nil }
        self = producer
    }

    private init?(_ operand: Operand, _ output: Operand, _ bias: [Double]?, _ transformer: BindingTransformer) {
        guard let (_, op, call) = transformer.call(operand), call.arguments.count == 2,
            let weight = transformer.constant(call.arguments[1]), weight.dtype == .float32, weight.shape.count >= 2
        else { return nil }
        groups = Int(clamping: call.attributes.int("groups") ?? 1)
        switch op.name {
        case "nn.conv1d", "nn.conv2d", "nn.conv3d":
            axis = 0
            channels = Int(weight.shape[0])
        case "nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose":
            axis = 1
            channels = Int(weight.shape[1]) * groups
        case "nn.dense":
            // Of more dimensions than two, the channels are not in axis 1.
            guard transformer.type(of: operand).asTensor?.rank == 2 else { return nil }
            axis = 0
            channels = Int(weight.shape[0])
        case "matmul":
            guard transformer.type(of: operand).asTensor?.rank == 2, weight.shape.count == 2 else { return nil }
            axis = 1
            channels = Int(weight.shape[1])
        default: return nil
        }
        self.op = op
        self.call = call
        self.weight = weight
        self.bias = bias
        self.output = output
    }

    /// The weight with each output channel multiplied.
    func scaled(_ scale: [Double]) -> Constant? {
        guard scale.count == channels, channels > 0 else { return nil }
        let factors = scale.map { Float($0) }
        if axis == 0 {
            return ScaledWeight.make(weight, blocks: channels, blockLength: weight.count / channels) { factors[$0] }
        }
        // [inputs, outputs per group, …]: the group is that of the input channel.
        let inputs = Int(weight.shape[0])
        let perGroup = Int(weight.shape[1])
        guard inputs > 0, perGroup > 0, groups > 0, inputs % groups == 0 else { return nil }
        let inputsPerGroup = inputs / groups
        return ScaledWeight.make(weight, blocks: inputs * perGroup, blockLength: weight.count / (inputs * perGroup)) {
            factors[$0 / perGroup / inputsPerGroup * perGroup + $0 % perGroup]
        }
    }

    func emit(_ weight: Constant, _ bias: [Double], _ transformer: inout BindingTransformer) throws -> Operand {
        let output = try transformer.emit(
            op.name, [call.arguments[0], .constant(weight)], call.attributes, name: "folded")
        if bias.allSatisfy({ $0 == 0 }) { return output }
        return try ChannelConstant.add(bias, to: output, &transformer)
    }
}

/// Weights multiplied block by block.
enum ScaledWeight {
    static func make(_ weight: Constant, blocks: Int, blockLength: Int, _ factor: (Int) -> Float) -> Constant? {
        guard blocks > 0, blockLength >= 0, blocks * blockLength == weight.count,
            let source = weight.bytes.baseAddress?.assumingMemoryBound(to: Float.self)
        else { return nil }
        let scaled = [Float](unsafeUninitializedCapacity: weight.count) { buffer, count in
            for block in 0..<blocks {
                let factor = factor(block)
                for index in block * blockLength..<(block + 1) * blockLength {
                    let value = source[index] * factor
                    buffer[index] = value.magnitude < Float.leastNormalMagnitude ? 0 : value
                }
            }
            count = weight.count
        }
        return try? Constant.floats(weight.shape, scaled)
    }
}

/// An affine map of a convolution's input channels, moved into its weight and a bias.
struct InputFolding {
    var weight: Constant
    var bias: [Double]

    init?(_ weight: Constant, groups: Int, _ affine: ChannelAffine) {
        let outputs = Int(weight.shape[0])
        let perGroup = Int(weight.shape[1])
        guard outputs > 0, perGroup > 0, groups > 0, outputs % groups == 0, perGroup * groups == affine.channels,
            let source = weight.bytes.baseAddress?.assumingMemoryBound(to: Float.self)
        else { return nil }
        let kernel = weight.count / (outputs * perGroup)
        let outputsPerGroup = outputs / groups
        func channel(_ block: Int) -> Int { block / perGroup / outputsPerGroup * perGroup + block % perGroup }
        guard
            let scaled = ScaledWeight.make(
                weight, blocks: outputs * perGroup, blockLength: kernel, { Float(affine.scale[channel($0)]) })
        else { return nil }
        self.weight = scaled
        bias = [Double](repeating: 0, count: outputs)
        for block in 0..<outputs * perGroup {
            let shift = affine.shift[channel(block)]
            if shift == 0 { continue }
            var sum = 0.0
            for index in block * kernel..<(block + 1) * kernel { sum += Double(source[index]) }
            bias[block / perGroup] += sum * shift
        }
    }
}
