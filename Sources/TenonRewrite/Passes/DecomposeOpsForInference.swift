import TenonIR

/// Writes normalisation as the arithmetic that it is at inference: batch normalisation, and layer, group, instance and RMS
/// normalisation where asked for.
///
/// Batch normalisation becomes `(x − mean) / √(variance + ε) · γ + β` with the statistics given, its other results those
/// statistics, with `training` too: who asks for this pass says that the module is for inference.
public struct DecomposeOpsForInference: ConfigurablePass {
    /// The function to look at; nil for all.
    private let function: String?
    private let operators: Set<String>

    /// Those that it knows; batch normalisation is what it takes when none is named.
    public static let known = ["nn.batch_norm", "nn.group_norm", "nn.instance_norm", "nn.layer_norm", "nn.rms_norm"]

    public init(function: String? = nil) {
        self.function = function
        operators = ["nn.batch_norm"]
    }

    public static let arguments: [OperatorSchema.Attribute] = [
        .optional("func_name", .string), .defaulted("ops", .strings(["nn.batch_norm"])),
    ]

    public init(arguments: Attributes) throws {
        function = arguments.string("func_name")
        var operators: Set<String> = []
        if case .strings(let names)? = arguments["ops"] { operators = Set(names) }
        if let unknown = operators.subtracting(Self.known).min() {
            throw TenonError(
                .invalidArgument,
                "DecomposeOpsForInference: ops expects some of \(Self.known.joined(separator: ", ")), found '\(unknown)'"
            )
        }
        self.operators = operators
    }

    public var name: String { "DecomposeOpsForInference" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        if let function, module[function] == nil {
            throw TenonError(.notFound, "\(name): the module has no function '\(function)'", node: function)
        }
        var result = module
        for (name, given) in module.functions
        where (function ?? name) == name && !given.isPrimitive && given.composite == nil && given.codegen == nil {
            do {
                let changed = try BindingTransformer.transform(given) { transformer, binding in
                    try Work.check()
                    return try visit(binding, &transformer)
                }
                if let changed { result[name] = changed.removingUnusedBindings(.unknown) ?? changed.compacted() }
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(self.name): @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        return result
    }

    private func visit(_ binding: Binding, _ transformer: inout BindingTransformer) throws -> Operand? {
        let info = transformer.function.values[binding.id.int]
        if case .tupleGetItem(.value(let tuple), let index) = binding.expression,
            case .tuple(let fields)? = transformer.definition(.value(tuple)), fields.indices.contains(index)
        {
            return fields[index]
        }
        guard case .call(let call) = binding.expression, case .op(let op) = call.callee,
            operators.contains(op.name), let data = call.arguments.first,
            let type = transformer.type(of: data).asTensor, let rank = type.rank,
            let dtype = type.dtype, dtype.isFloatingPoint
        else { return nil }
        let writer = NormalizationWriter(call: call, rank: rank, dtype: dtype, name: info.name)
        let made: Operand?
        switch op.name {
        case "nn.batch_norm": made = try writer.batch(&transformer)
        case "nn.layer_norm": made = try writer.layer(&transformer)
        case "nn.rms_norm": made = try writer.rootMeanSquare(&transformer)
        case "nn.instance_norm": made = try writer.instance(&transformer)
        case "nn.group_norm": made = try writer.group(type.shape, &transformer)
        default: made = nil
        }
        guard let made, transformer.type(of: made) == info.type else { return nil }
        return made
    }
}

/// One normalisation as arithmetic.
private struct NormalizationWriter {
    let call: Call
    let rank: Int
    let dtype: DataType
    let name: String

    private func axis(_ attribute: String) -> Int? {
        call.attributes.int(attribute).flatMap { resolved($0) }
    }

    private func resolved(_ axis: Int64) -> Int? {
        let resolved = axis < 0 ? axis + Int64(rank) : axis
        return resolved >= 0 && resolved < Int64(rank) ? Int(resolved) : nil
    }

    private func axes() -> [Int]? {
        guard let given = call.attributes.ints("axes") else { return nil }
        let axes = given.compactMap { resolved($0) }
        return axes.count == given.count && Set(axes).count == axes.count ? axes : nil
    }

    private func epsilon() throws -> Operand {
        .constant(try Constant.filled(dtype, [], call.attributes.float("epsilon") ?? 0))
    }

    /// A parameter with dimensions of size 1 around those of the given axes.
    private func aligned(
        _ operand: Operand, to axes: [Int], rank: Int, _ transformer: inout BindingTransformer
    ) throws -> Operand {
        let others = (0..<rank).filter { !axes.contains($0) }
        if others.isEmpty || others == Array(0..<others.count) { return operand }
        return try transformer.emit("expand_dims", [operand], ["axis": .ints(others.map { Int64($0) })], name: name)
    }

    /// times gamma, plus beta, where the call has them in use.
    private func scaled(
        _ operand: Operand, _ axes: [Int], rank: Int, _ transformer: inout BindingTransformer
    ) throws -> Operand {
        var result = operand
        for (index, attribute, op) in [(1, "scale", "multiply"), (2, "center", "add")]
        where call.arguments.indices.contains(index) && call.attributes.bool(attribute) != false {
            let factor = try aligned(call.arguments[index], to: axes, rank: rank, &transformer)
            result = try transformer.emit(op, [result, factor], name: name)
        }
        return result
    }

    func batch(_ transformer: inout BindingTransformer) throws -> Operand? {
        guard call.arguments.count == 5, let axis = axis("axis") else {
            return nil
        }
        let mean = try aligned(call.arguments[3], to: [axis], rank: rank, &transformer)
        let variance = try aligned(call.arguments[4], to: [axis], rank: rank, &transformer)
        let centred = try transformer.emit("subtract", [call.arguments[0], mean], name: name)
        let held = try transformer.emit("add", [variance, try epsilon()], name: name)
        let deviation = try transformer.emit("sqrt", [held], name: name)
        let normal = try transformer.emit("divide", [centred, deviation], name: name)
        let result = try scaled(normal, [axis], rank: rank, &transformer)
        let fields = [result, call.arguments[3], call.arguments[4]]
        return transformer.emit(.tuple(fields), .tuple(fields.map { transformer.type(of: $0) }), name: name)
    }

    /// (x − mean) / √(variance + ε) with the statistics over axes.
    private func normal(
        _ data: Operand, _ axes: [Int], _ transformer: inout BindingTransformer
    ) throws -> Operand {
        let over: Attributes = ["axis": .ints(axes.map { Int64($0) }), "keepdims": true]
        let mean = try transformer.emit("mean", [data], over, name: name)
        let centred = try transformer.emit("subtract", [data, mean], name: name)
        let squares = try transformer.emit("multiply", [centred, centred], name: name)
        let variance = try transformer.emit("mean", [squares], over, name: name)
        let held = try transformer.emit("add", [variance, try epsilon()], name: name)
        let deviation = try transformer.emit("sqrt", [held], name: name)
        return try transformer.emit("divide", [centred, deviation], name: name)
    }

    func layer(_ transformer: inout BindingTransformer) throws -> Operand? {
        // Scale and shift have their dimensions in the order of the axes.
        guard let axes = axes(), axes == axes.sorted() else { return nil }
        return try scaled(try normal(call.arguments[0], axes, &transformer), axes, rank: rank, &transformer)
    }

    func rootMeanSquare(_ transformer: inout BindingTransformer) throws -> Operand? {
        guard let axes = axes(), axes == axes.sorted() else { return nil }
        let squares = try transformer.emit("multiply", [call.arguments[0], call.arguments[0]], name: name)
        let mean = try transformer.emit(
            "mean", [squares], ["axis": .ints(axes.map { Int64($0) }), "keepdims": true], name: name)
        let held = try transformer.emit("add", [mean, try epsilon()], name: name)
        let root = try transformer.emit("sqrt", [held], name: name)
        let normal = try transformer.emit("divide", [call.arguments[0], root], name: name)
        return try scaled(normal, axes, rank: rank, &transformer)
    }

    func instance(_ transformer: inout BindingTransformer) throws -> Operand? {
        guard let axes = axes(), let channel = axis("channel_axis"), !axes.contains(channel) else { return nil }
        return try scaled(try normal(call.arguments[0], axes, &transformer), [channel], rank: rank, &transformer)
    }

    /// The channels cut into groups: one more dimension, over the second half of which the statistics go too.
    func group(_ shape: [Dim]?, _ transformer: inout BindingTransformer) throws -> Operand? {
        guard let shape, let axes = axes(), let channel = axis("channel_axis"), !axes.contains(channel),
            let groups = call.attributes.int("num_groups"), groups > 0, let channels = shape[channel].value,
            channels % groups == 0
        else { return nil }
        var cut = shape
        cut[channel] = .fixed(groups)
        cut.insert(.fixed(channels / groups), at: channel + 1)
        let pieces = try transformer.emit("reshape", [call.arguments[0], .shape(cut)], name: name)
        let over = (axes.map { $0 > channel ? $0 + 1 : $0 } + [channel + 1]).sorted()
        let normal = try normal(pieces, over, &transformer)
        let whole = try transformer.emit("reshape", [normal, .shape(shape)], name: name)
        return try scaled(whole, [channel], rank: rank, &transformer)
    }
}
