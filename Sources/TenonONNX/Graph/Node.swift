import TenonIR

/// One ONNX node as its importer sees it: operands by position, attributes by name, and calls into the builder.
///
/// Every accessor checks, and throws an error that says what was expected and what was found. Attributes that no
/// accessor asked for are refused afterwards, so that none is ignored by accident.
final class Node {
    let proto: ONNXNodeProto
    /// Version of the operator set that the node's domain has in this model.
    let opset: Int64
    unowned let graph: GraphImport
    private var readAttributes: Set<String> = []
    private let attributes: [String: ONNXAttributeProto]

    init(_ proto: ONNXNodeProto, opset: Int64, graph: GraphImport) throws {
        self.proto = proto
        self.opset = opset
        self.graph = graph
        var attributes: [String: ONNXAttributeProto] = [:]
        for attribute in proto.attribute {
            guard attributes.updateValue(attribute, forKey: attribute.name) == nil else {
                throw TenonError.malformedONNX("attribute \(quoted(attribute.name)) is given twice")
            }
        }
        self.attributes = attributes
    }

    /// The same node as if it were ONNX's operator of that name in operator set `opset`.
    func asONNX(opset: Int64) throws -> Node {
        for name in attributes.keys { readAttributes.insert(name) }
        return try Node(proto, opset: opset, graph: graph)
    }

    /// An error about this node: operator and name are put in front where it is caught.
    func error(_ status: Status, _ message: ErrorMessage) -> TenonError {
        TenonError(status, message, operatorName: proto.opType)
    }

    func unsupported(_ message: ErrorMessage) -> TenonError { error(.unsupported, message) }

    // MARK: - Inputs

    var inputCount: Int { proto.input.count }

    /// Whether input `index` is given; trailing inputs may be missing, others have an empty name.
    func has(_ index: Int) -> Bool { proto.input.indices.contains(index) && !proto.input[index].isEmpty }

    /// Whether output `index` is asked for.
    func wants(_ index: Int) -> Bool { proto.output.indices.contains(index) && !proto.output[index].isEmpty }

    func requireInputs(_ range: ClosedRange<Int>) throws {
        guard range.contains(inputCount) else {
            let expected =
                range.lowerBound == range.upperBound
                ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
            throw error(.invalidGraph, "expected \(expected) inputs, found \(inputCount)")
        }
    }

    private func value(_ index: Int) throws -> ImportedValue {
        guard has(index) else { throw error(.invalidGraph, "input \(index) is missing") }
        guard let value = graph.value(named: proto.input[index]) else {
            throw error(.invalidGraph, "input \(index), \(quoted(proto.input[index])), is not defined")
        }
        return value
    }

    /// Input `index` as the tensors of a sequence.
    func sequence(_ index: Int) throws -> [Operand] {
        guard case .sequence(let items) = try value(index) else {
            throw error(.invalidType, "input \(index) expects a sequence, found \(try type(index))")
        }
        return items
    }

    /// Input `index` as a tensor cut into slices, or nil when it is none.
    func slices(_ index: Int) throws -> SliceSequence? {
        if case .slices(let slices) = try value(index) { return slices }
        return nil
    }

    /// Input `index` as it is, whatever it is.
    func imported(_ index: Int) throws -> ImportedValue { try value(index) }

    /// Input `index` as an operand of a call.
    func operand(_ index: Int) throws -> Operand {
        switch try value(index) {
        case .operand(let operand): return operand
        case .unsupported: throw unsupported("input \(index) was not imported")
        case .sequence, .slices: throw unsupported("a sequence as input \(index)")
        case .absent: throw error(.invalidType, "input \(index) is an optional that holds nothing")
        case .host(let host):
            return try graph.operand(host, name: graph.hint(proto.input[index]))
        }
    }

    /// Type of input `index`.
    func type(_ index: Int) throws -> TensorType {
        switch try value(index) {
        case .operand(let operand): return try type(of: operand)
        case .host(let host): return TensorType(host.dtype, host.shape.map { .fixed($0) })
        case .unsupported, .sequence, .slices, .absent: return TensorType(dtype: nil, rank: nil)
        }
    }

    func type(of operand: Operand) throws -> TensorType {
        guard let type = graph.builder.type(of: operand).asTensor else {
            throw error(.invalidType, "expected a tensor, found \(graph.builder.type(of: operand))")
        }
        return type
    }

    /// Rank of input `index`, which the importer cannot do without.
    func rank(_ index: Int) throws -> Int {
        guard let rank = try type(index).rank else {
            throw unsupported("the rank of input \(index), \(quoted(proto.input[index])), is not known")
        }
        return rank
    }

    /// Dimensions of input `index`, which the importer cannot do without.
    func shape(_ index: Int) throws -> [Dim] {
        guard let shape = try type(index).shape else {
            throw unsupported("the shape of input \(index), \(quoted(proto.input[index])), is not known")
        }
        return shape
    }

    /// Input `index` if its contents are known numbers, else nil.
    func constant(_ index: Int) throws -> Constant? {
        switch try value(index) {
        case .operand(.constant(let constant)): constant
        case .host(let host): try host.constant()
        default: nil
        }
    }

    /// Input `index` if its contents are known and small, with symbols in integers, else nil.
    func host(_ index: Int) throws -> HostTensor? {
        switch try value(index) {
        case .operand(.constant(let constant)): HostTensor(constant)
        case .host(let host): host
        default: nil
        }
    }

    /// Integers that input `index` must hold while importing; the operator is not supported for computed ones.
    func constantInts(_ index: Int) throws -> [Int64] {
        guard let host = try host(index), let ints = host.ints else {
            throw unsupported("input \(index), \(quoted(proto.input[index])), must be constant integers")
        }
        return ints
    }

    /// Integers that input `index` must hold while importing, symbolic ones included.
    func hostDims(_ index: Int) throws -> [Dim] {
        guard let host = try host(index), let dims = host.dims else {
            throw unsupported("input \(index), \(quoted(proto.input[index])), must be integers known from shapes")
        }
        return dims
    }

    /// The single number that input `index` must hold while importing.
    func constantScalar(_ index: Int) throws -> Double {
        guard let constant = try constant(index) else {
            throw unsupported("input \(index), \(quoted(proto.input[index])), must be constant")
        }
        guard constant.count == 1, let value = constant.double(at: 0) else {
            throw error(.invalidShape, "input \(index): expected one number, found \(constant.type)")
        }
        return value
    }

    /// Turns an axis from -rank to rank-1 into 0 to rank-1.
    func axis(_ axis: Int64, rank: Int, what: String = "axis") throws -> Int {
        guard axis >= -Int64(rank), axis < Int64(rank) else {
            throw error(.invalidArgument, "\(what) \(axis) is out of range for rank \(rank)")
        }
        return Int(axis < 0 ? axis + Int64(rank) : axis)
    }

    // MARK: - Attributes

    func attribute(_ name: String, _ kind: ONNXAttributeProto.AttributeType) throws -> ONNXAttributeProto? {
        readAttributes.insert(name)
        guard let attribute = attributes[name] else { return nil }
        guard attribute.refAttrName.isEmpty else {
            throw error(.invalidGraph, "attribute '\(name)' refers to one of a function, outside of a function")
        }
        // Files of the first format version leave the type out.
        guard attribute.type == kind || (attribute.type == .undefined && !attribute.hasType) else {
            throw error(.invalidArgument, "attribute '\(name)' expects \(kind), found \(attribute.type)")
        }
        return attribute
    }

    func int(_ name: String) throws -> Int64? { try attribute(name, .int)?.i }
    func int(_ name: String, _ fallback: Int64) throws -> Int64 { try int(name) ?? fallback }
    func ints(_ name: String) throws -> [Int64]? { try attribute(name, .ints)?.ints }
    func floats(_ name: String) throws -> [Double]? { try attribute(name, .floats)?.floats.map { Double($0) } }

    /// A number of an attribute; the file's f32 as its exact double.
    func float(_ name: String, _ fallback: Double) throws -> Double {
        try attribute(name, .float).map { Double($0.f) } ?? fallback
    }

    func optionalFloat(_ name: String) throws -> Double? { try attribute(name, .float).map { Double($0.f) } }

    func string(_ name: String, _ fallback: String) throws -> String {
        try attribute(name, .string).map { String(decoding: $0.s, as: UTF8.self) } ?? fallback
    }

    func bool(_ name: String, _ fallback: Bool) throws -> Bool { try int(name, fallback ? 1 : 0) != 0 }

    func tensor(_ name: String) throws -> Constant? {
        guard let attribute = try attribute(name, .tensor) else { return nil }
        return try graph.constant(attribute.t, name: proto.output.first ?? name)
    }

    func dtype(_ name: String) throws -> DataType? {
        guard let number = try int(name) else { return nil }
        guard let dtype = Int32(exactly: number).flatMap({ DataType(onnx: $0) }) else {
            throw unsupported("element type \(DataType.nameOfONNX(Int32(truncatingIfNeeded: number)))")
        }
        return dtype
    }

    /// Attributes without influence on inference.
    func ignore(_ names: String...) { readAttributes.formUnion(names) }

    /// The first attribute that no accessor asked for.
    var unreadAttribute: String? { proto.attribute.lazy.map(\.name).first { !self.readAttributes.contains($0) } }

    // MARK: - Calls

    /// Adds a call of a Tenon operator; the value takes the name of this node's first output.
    func call(_ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes()) throws -> Operand {
        guard let id = Operators.named(op) else { throw unsupported("it needs the operator '\(op)'") }
        return .value(try graph.builder.call(id, arguments, attributes, name: graph.hint(proto.output.first ?? "")))
    }

    /// As `call`, as the only result of the node.
    func result(_ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes()) throws -> [ImportedValue]
    {
        [.operand(try call(op, arguments, attributes))]
    }

    /// Field `index` of a tuple.
    func item(_ index: Int, of tuple: Operand) throws -> Operand {
        .value(try graph.builder.tupleGetItem(tuple, index, name: graph.hint(proto.output.first ?? "")))
    }

    /// A symbol for a size that only a run knows.
    func freshSize(_ name: String) -> Dim { graph.freshSize(name) }

    /// `operand` with the type that its values will have; the run checks it and binds the symbols in it.
    func sized(_ operand: Operand, _ type: TensorType) throws -> Operand {
        .value(
            graph.builder.bind(
                .matchCast(operand, .tensor(type)), .tensor(type), name: graph.hint(proto.output.first ?? "")))
    }

    /// `operand` under another shape, without a call where it has that shape already.
    func reshape(_ operand: Operand, _ shape: [Dim]) throws -> Operand {
        if try type(of: operand).shape == shape { return operand }
        return try call("reshape", [operand, .shape(shape)])
    }

    /// A scalar constant of the element type of `operand`.
    func scalar(_ value: Double, like operand: Operand) throws -> Operand {
        .constant(try Constant.scalar(try type(of: operand).dtype ?? .float32, value))
    }
}
