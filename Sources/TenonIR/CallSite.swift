/// One call as type inference sees it, with accessors that turn what is missing or wrong into messages.
public struct CallSite: Sendable {
    public let schema: OperatorSchema
    public let arguments: [Operand]
    public let types: [ValueType]
    /// Contents of the arguments where they are known.
    public let constants: [Constant?]
    public let attributes: Attributes

    public init(
        schema: OperatorSchema, arguments: [Operand], types: [ValueType], constants: [Constant?], attributes: Attributes
    ) {
        self.schema = schema
        self.arguments = arguments
        self.types = types
        self.constants = constants
        self.attributes = attributes
    }

    public var count: Int { types.count }

    public func inputName(_ index: Int) -> String {
        let inputs = schema.inputs
        if index < inputs.count { return inputs[index].name }
        return "\(inputs.last?.name ?? "input") #\(index)"
    }

    /// An error about this call: "nn.conv2d: …".
    public func error(_ status: Status, _ message: ErrorMessage) -> TenonError {
        TenonError(status, "\(schema.name): \(message)", operatorName: schema.name)
    }

    /// An error about one argument: "nn.conv2d: input 'weight' expects …, found f32[3,3]".
    public func inputError(_ index: Int, _ status: Status = .invalidShape, expects expectation: String) -> TenonError {
        error(status, "input '\(inputName(index))' expects \(expectation), found \(found(index))")
    }

    public func attributeError(_ name: String, expects expectation: String) -> TenonError {
        error(
            .invalidArgument,
            "attribute '\(name)' expects \(expectation), found \(attributes[name].map(CallSite.brief) ?? "none")")
    }

    private func found(_ index: Int) -> String {
        types.indices.contains(index) ? CallSite.brief(types[index].description) : "nothing"
    }

    /// What a model says, in a message of a length that the model does not choose.
    private static func brief(_ text: String) -> String {
        text.utf8.count <= 2048 ? text : text.prefix(2047) + "…"
    }

    private static func brief(_ value: AttributeValue) -> String {
        let most = 256
        switch value {
        case .ints(let list) where list.count > most:
            return "\(AttributeValue.ints(Array(list.prefix(most)))) and \(list.count - most) more"
        case .floats(let list) where list.count > most:
            return "\(AttributeValue.floats(Array(list.prefix(most)))) and \(list.count - most) more"
        case .strings(let list) where list.count > most:
            return brief("\(AttributeValue.strings(Array(list.prefix(most)))) and \(list.count - most) more")
        default: return brief("\(value)")
        }
    }

    /// Whether input `index` is given.
    public func has(_ index: Int) -> Bool { types.indices.contains(index) }

    /// The tensor type of input `index`; an input of unknown type counts as a tensor of which nothing is known.
    public func tensor(_ index: Int) throws -> TensorType {
        guard types.indices.contains(index) else { throw inputError(index, .invalidArgument, expects: "a tensor") }
        switch types[index] {
        case .tensor(let type): return type
        case .object: return TensorType(dtype: nil, rank: nil)
        default: throw inputError(index, .invalidType, expects: "a tensor")
        }
    }

    /// The tensor type of input `index`, whose rank, where known, must be `rank`.
    public func tensor(_ index: Int, rank: Int) throws -> TensorType {
        let type = try tensor(index)
        if let found = type.rank, found != rank { throw inputError(index, expects: "\(rank) dimensions") }
        return type
    }

    /// The fields of a tuple of tensors.
    public func tensors(_ index: Int) throws -> [TensorType] {
        guard types.indices.contains(index), case .tuple(let fields) = types[index] else {
            throw inputError(index, .invalidType, expects: "a tuple of tensors")
        }
        return try fields.map { field in
            guard let type = field.asTensor else {
                throw inputError(index, .invalidType, expects: "a tuple of tensors")
            }
            return type
        }
    }

    /// The dimensions of a shape literal or of a value of known shape type.
    public func dims(_ index: Int) -> [Dim]? {
        if types.indices.contains(index), case .shape(let dims) = types[index] { return dims }
        return nil
    }

    /// The element type that two inputs share; an error when both are known and differ.
    public func sameDType(_ a: Int, _ b: Int) throws -> DataType? {
        let (x, y) = (try tensor(a).dtype, try tensor(b).dtype)
        if let x, let y, x != y {
            throw inputError(b, .invalidType, expects: "the element type of '\(inputName(a))' (\(x.name))")
        }
        return x ?? y
    }

    public func int(_ name: String) throws -> Int64 {
        guard let value = attributes.int(name) else { throw attributeError(name, expects: "an int") }
        return value
    }

    public func bool(_ name: String) -> Bool { attributes.bool(name) ?? false }

    public func ints(_ name: String, count: Int? = nil) throws -> [Int64] {
        guard let value = attributes.ints(name) else { throw attributeError(name, expects: "a list of int") }
        if let count, value.count != count { throw attributeError(name, expects: "\(count) values") }
        return value
    }

    /// Turns an axis from -rank to rank-1 into 0 to rank-1.
    public func axis(_ axis: Int64, rank: Int, attribute: String = "axis") throws -> Int {
        let resolved = axis < 0 ? axis + Int64(rank) : axis
        guard axis >= -Int64(rank), resolved < Int64(rank) else {
            throw error(.invalidArgument, "\(attribute) \(axis) is out of range for rank \(rank)")
        }
        return Int(resolved)
    }

    /// Unwraps a dimension computed with checked arithmetic.
    public func dim(_ dim: Dim?) throws -> Dim {
        guard let dim else { throw error(.invalidShape, "a dimension overflows") }
        return dim
    }
}
