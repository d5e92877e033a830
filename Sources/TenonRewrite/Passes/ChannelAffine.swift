import Glibc
import TenonIR

/// A binding of the form `input · scale + shift` with one constant each per channel, f32.
struct ChannelAffine {
    var input: Operand
    /// Of the channels, from 0.
    var axis: Int
    var scale: [Double]
    var shift: [Double]
    var isBatchNorm = false
    /// The tuple of a batch normalisation.
    private(set) var tuple: ValueID?

    var channels: Int { scale.count }
    var isIdentityScale: Bool { scale.allSatisfy { $0 == 1 } }

    /// Both as one; nil where that would be another result.
    func followed(by next: ChannelAffine) -> ChannelAffine? {
        var result = self
        for channel in scale.indices {
            guard let factor = JoinedConstants.product(scale[channel], next.scale[channel]),
                let term = JoinedConstants.bias(shift[channel], next.scale[channel], next.shift[channel])
            else { return nil }
            result.scale[channel] = factor
            result.shift[channel] = term
        }
        return result
    }

    /// Whether a layer's weights may take the factors. Those of batch normalisation go with its statistics, and may be as small
    /// as training has made them.
    var isFoldable: Bool {
        scale.allSatisfy {
            isBatchNorm ? abs($0) <= JoinedConstants.factors.upperBound : JoinedConstants.isFactor($0)
        }
    }

    /// What such a binding maps: the data of a batch normalisation, or the operand beside a constant.
    static func input(of binding: Binding, _ transformer: BindingTransformer) -> Operand? {
        switch binding.expression {
        case .tupleGetItem(let tuple, 0):
            guard let (_, op, call) = transformer.call(tuple), op.name == "nn.batch_norm" else { return nil }
            return call.arguments.first
        case .call(let call):
            guard case .op(let op) = call.callee, call.arguments.count == 2, operators.contains(op.name) else {
                return nil
            }
            if transformer.constant(call.arguments[1]) != nil { return call.arguments[0] }
            return transformer.constant(call.arguments[0]) == nil ? nil : call.arguments[1]
        default: return nil
        }
    }

    private static let operators: Set<String> = ["add", "subtract", "multiply", "divide"]

    /// The channels are on `axis`; without one, on that of the batch normalisation or of the constant, which must then
    /// have more than one value.
    init?(_ binding: Binding, _ transformer: BindingTransformer, axis: Int? = nil) {
        switch binding.expression {
        case .tupleGetItem(let tuple, 0):
            guard let (id, op, call) = transformer.call(tuple), op.name == "nn.batch_norm" else { return nil }
            self.init(batchNorm: call, transformer)
            self.tuple = id
            if let axis, axis != self.axis { return nil }
        case .call(let call):
            guard case .op(let op) = call.callee, call.arguments.count == 2 else { return nil }
            self.init(op.name, call.arguments, transformer, axis)
        default: return nil
        }
    }

    private init?(batchNorm call: Call, _ transformer: BindingTransformer) {
        guard call.attributes.bool("training") != true, call.arguments.count == 5,
            let type = transformer.type(of: call.arguments[0]).asTensor, type.dtype == .float32, let rank = type.rank,
            let given = call.attributes.int("axis"), (-Int64(rank)..<Int64(rank)).contains(given),
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
        axis = Int(given < 0 ? given + Int64(rank) : given)
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

    private init?(_ op: String, _ arguments: [Operand], _ transformer: BindingTransformer, _ wanted: Int?) {
        guard Self.operators.contains(op) else { return nil }
        let commutes = op == "add" || op == "multiply"
        for position in commutes ? 0...1 : 0...0 {
            guard let constant = transformer.constant(arguments[1 - position]),
                let type = transformer.type(of: arguments[position]).asTensor,
                let axis = wanted ?? ChannelConstant.axis(constant, of: type),
                let values = ChannelConstant.perChannel(constant, of: type, axis: axis)
            else { continue }
            input = arguments[position]
            self.axis = axis
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

/// Constants with one value per channel, shaped to broadcast along the channels' axis.
enum ChannelConstant {
    /// The axis along which a constant of more than one value has all of them.
    static func axis(_ constant: Constant, of type: TensorType) -> Int? {
        guard let rank = type.rank, constant.shape.count <= rank, constant.count > 1,
            let position = constant.shape.firstIndex(where: { $0 != 1 })
        else { return nil }
        return position + rank - constant.shape.count
    }

    /// The values, one per index of `axis` in `type`, when adding or multiplying `constant` treats each channel alike.
    static func perChannel(_ constant: Constant, of type: TensorType, axis: Int) -> [Double]? {
        guard constant.dtype == .float32, type.dtype == .float32, let shape = type.shape, shape.count >= 2,
            shape.indices.contains(axis), let channels = shape[axis].value, channels > 0, channels <= 1 << 24,
            constant.shape.count <= shape.count
        else { return nil }
        let aligned = [Int64](repeating: 1, count: shape.count - constant.shape.count) + constant.shape
        for (position, size) in aligned.enumerated() where position != axis && size != 1 { return nil }
        guard aligned[axis] == channels || aligned[axis] == 1, let values = constant.doubleElements else { return nil }
        return aligned[axis] == channels ? values : [Double](repeating: values[0], count: Int(channels))
    }

    static func make(_ values: [Double], rank: Int, axis: Int) throws -> Constant {
        var shape = [Int64](repeating: 1, count: max(rank, axis + 1))
        shape[axis] = Int64(values.count)
        return try Constant.floats(shape, values.map(flushed))
    }

    /// Adds a bias as importers write it: a vector, reshaped to the channel's place where that is not the last one.
    static func add(
        _ values: [Double], to output: Operand, axis: Int, _ transformer: inout BindingTransformer
    ) throws -> Operand {
        let vector = try Constant.floats([Int64(values.count)], values.map(flushed))
        guard let rank = transformer.type(of: output).asTensor?.rank, axis < rank - 1 else {
            return try transformer.emit("add", [output, .constant(vector)], name: "biased")
        }
        var dims = [Dim](repeating: 1, count: rank)
        dims[axis] = .fixed(Int64(values.count))
        let reshaped = try transformer.emit("reshape", [.constant(vector), .shape(dims)], name: "bias")
        return try transformer.emit("add", [output, reshaped], name: "biased")
    }

    /// As f32, with 0 for what would be a denormal number: those are slow, and nothing measurable.
    static func flushed(_ value: Double) -> Float {
        let float = Float(value)
        return float.isSubnormal ? 0 : float
    }
}
