import TenonIR

/// What a run takes and gives, by name.
public struct Signature: Sendable {
    public struct Port: Sendable, Hashable {
        public var name: String
        /// Sizes may be symbolic or unknown.
        public var type: TensorType
    }

    public let inputs: [Port]
    public let outputs: [Port]

    /// Names are those of the function's attributes `input_names` and `output_names` (a model's own names), else those of
    /// the values. Tuples are flattened.
    init(_ function: Function) throws {
        var inputs: [Port] = []
        for id in function.parameters {
            try Signature.flatten(function.type(of: id), function.info(id)?.name ?? "input", into: &inputs)
        }
        var outputs: [Port] = []
        try Signature.flatten(function.body.result, function, "output", into: &outputs)
        Signature.rename(&inputs, function.attributes["input_names"])
        Signature.rename(&outputs, function.attributes["output_names"])
        self.inputs = inputs
        self.outputs = outputs
    }

    private static func flatten(_ type: ValueType, _ name: String, into ports: inout [Port]) throws {
        switch type {
        case .tensor(let tensor): ports.append(Port(name: name, type: tensor))
        case .object: ports.append(Port(name: name, type: TensorType(dtype: nil, rank: nil)))
        case .tuple(let fields):
            for (index, field) in fields.enumerated() { try flatten(field, "\(name).\(index)", into: &ports) }
        case .shape, .scalar, .function:
            throw TenonError(
                .unsupported, "main: '\(name)' has type \(type), which a run cannot take or give", node: name)
        }
    }

    private static func flatten(
        _ result: Operand, _ function: Function, _ name: String, into ports: inout [Port]
    ) throws {
        switch result {
        case .tuple(let fields): for field in fields { try flatten(field, function, name, into: &ports) }
        case .value(let id): try flatten(function.type(of: id), function.info(id)?.name ?? name, into: &ports)
        default: try flatten(function.type(of: result), name, into: &ports)
        }
    }

    private static func rename(_ ports: inout [Port], _ names: AttributeValue?) {
        guard case .strings(let names)? = names, names.count == ports.count else { return }
        for (index, name) in names.enumerated() { ports[index].name = name }
    }
}

/// Holds a caller's tensors against a plan. Nothing is allocated when all is well.
enum TensorCheck {
    static func count(_ found: Int, _ ports: [Signature.Port], _ what: String) throws {
        guard found == ports.count else {
            let names = ports.map { "'\($0.name)'" }.joined(separator: ", ")
            throw TenonError(
                .invalidArgument,
                "expected \(ports.count) \(what)\(ports.count == 1 ? "" : "s") (\(names)), found \(found)")
        }
    }

    /// The types of the caller's inputs, checked against the signature and its symbols.
    static func specs(
        _ inputs: UnsafeBufferPointer<TensorView>, _ ports: [Signature.Port]
    ) throws -> [TensorSpec] {
        var symbols = SymbolTable()
        var types: [ValueType] = []
        for (view, port) in zip(inputs, ports) {
            guard view.rank >= 0, view.rank == 0 || view.shape != nil else {
                throw error(.invalidArgument, port, "input", "has rank \(view.rank) and no shape")
            }
            if let rank = port.type.rank, rank != view.rank {
                throw error(.invalidShape, port, "input", "expects \(port.type), found \(view.text)")
            }
            let type = ValueType.tensor(view.dtype, (0..<view.rank).map { view.dim($0) })
            try symbols.bind(.tensor(port.type), to: type, port.name)
            types.append(type)
        }
        var specs: [TensorSpec] = []
        for (type, port) in zip(types, ports) {
            try symbols.check(.tensor(port.type), against: type, port.name)
            guard let tensor = type.asTensor, let spec = TensorSpec(tensor), spec.dtype != .string else {
                throw error(.invalidShape, port, "input", "has sizes below 0 or too large: \(type)")
            }
            specs.append(spec)
        }
        return specs
    }

    static func fits(_ view: TensorView, _ spec: TensorSpec) -> Bool {
        guard view.dtype == spec.dtype, view.rank == spec.shape.count else { return false }
        for (axis, size) in spec.shape.enumerated() where view.dim(axis) != Int64(size) { return false }
        return true
    }

    static func input(_ view: TensorView, _ spec: TensorSpec, _ port: Signature.Port) throws {
        try type(view, spec, port, "input")
        try memory(view, spec, port, "input")
    }

    static func output(_ view: TensorView, _ spec: TensorSpec, _ port: Signature.Port) throws {
        try type(view, spec, port, "output")
        try memory(view, spec, port, "output")
        guard view.isDense else {
            throw error(.invalidArgument, port, "output", "expects a dense row-major tensor, found strides")
        }
        guard view.isAligned else {
            throw error(
                .invalidArgument, port, "output",
                "expects memory aligned to \(spec.dtype.byteCount) bytes, found \(view.text)")
        }
    }

    /// No output may share memory with another one.
    static func disjoint(_ views: UnsafeBufferPointer<TensorView>, _ specs: [TensorSpec], _ ports: [Signature.Port])
        throws
    {
        guard views.count > 1 else { return }
        for first in views.indices {
            guard let a = views[first].data, specs[first].byteCount > 0 else { continue }
            for second in views.indices where second > first {
                guard let b = views[second].data, specs[second].byteCount > 0 else { continue }
                if a < b + specs[second].byteCount, b < a + specs[first].byteCount {
                    throw error(
                        .invalidArgument, ports[second], "output", "shares memory with output '\(ports[first].name)'")
                }
            }
        }
    }

    private static func type(_ view: TensorView, _ spec: TensorSpec, _ port: Signature.Port, _ what: String) throws {
        if view.dtype != spec.dtype {
            throw error(.invalidType, port, what, "expects \(port.type), found \(view.text)")
        }
        guard view.rank == 0 || view.shape != nil else {
            throw error(.invalidArgument, port, what, "has rank \(view.rank) and no shape")
        }
        if !fits(view, spec) {
            throw error(.invalidShape, port, what, "expects \(describe(spec)), found \(view.text)")
        }
    }

    private static func memory(_ view: TensorView, _ spec: TensorSpec, _ port: Signature.Port, _ what: String) throws {
        let bytes = spec.byteCount
        guard bytes > 0 else { return }
        guard view.data != nil else {
            throw error(.invalidArgument, port, what, "expects \(bytes) bytes of data, found a null pointer")
        }
        guard let extent = view.extent() else {
            throw error(.invalidArgument, port, what, "has strides that reach further than memory can")
        }
        if let given = view.byteCount, extent.upper > given || extent.lower < 0 {
            throw error(
                .invalidArgument, port, what,
                "expects \(extent.upper - min(0, extent.lower)) bytes for \(describe(spec)), found \(given)")
        }
    }

    static func describe(_ spec: TensorSpec) -> String {
        "\(spec.dtype.name)[\(spec.shape.map(String.init).joined(separator: ","))]"
    }

    static func error(_ status: Status, _ port: Signature.Port, _ what: String, _ text: ErrorMessage) -> TenonError {
        TenonError(status, "\(what) '\(port.name)' \(text)", node: port.name)
    }
}
