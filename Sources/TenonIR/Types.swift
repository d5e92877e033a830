/// The type of a tensor as far as it is known. `dtype == nil`: not known. `shape == nil`: at most the rank is known.
public struct TensorType: Hashable, Sendable {
    public var dtype: DataType?
    public var shape: [Dim]?
    /// Number of dimensions; nil when not known.
    public var rank: Int?

    public init(_ dtype: DataType?, _ shape: [Dim]) {
        self.dtype = dtype
        self.shape = shape
        self.rank = shape.count
    }

    public init(dtype: DataType?, rank: Int?) {
        self.dtype = dtype
        self.shape = nil
        self.rank = rank
    }

    /// All dimensions as numbers, or nil when one is symbolic or unknown.
    public var staticShape: [Int64]? {
        guard let shape else { return nil }
        var result: [Int64] = []
        result.reserveCapacity(shape.count)
        for dim in shape {
            guard let value = dim.value else { return nil }
            result.append(value)
        }
        return result
    }

    /// Number of elements when every dimension is a number and the product does not overflow.
    public var elementCount: Int? { staticShape.flatMap(checkedElementCount) }

    /// Bytes of a dense tensor of this type, when known and representable.
    public var byteCount: Int? {
        guard let count = elementCount, let dtype else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
        return overflow ? nil : bytes
    }
}

/// The product of dimensions, or nil when one is negative or the product overflows.
public func checkedElementCount(_ shape: [Int64]) -> Int? {
    var count = 1
    var hasZero = false
    for dim in shape {
        guard dim >= 0, let size = Int(exactly: dim) else { return nil }
        if size == 0 {
            hasZero = true
            continue
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: size)
        if overflow { return nil }
        count = product
    }
    return hasZero ? 0 : count
}

/// The type of a value.
public indirect enum ValueType: Hashable, Sendable {
    case tensor(TensorType)
    case tuple([ValueType])
    /// A shape; nil when not even its rank is known.
    case shape([Dim]?)
    /// A plain number or string that is not a tensor.
    case scalar(DataType)
    case function(parameters: [ValueType], result: ValueType)
    /// Anything; nothing is known.
    case object

    public static func tensor(_ dtype: DataType?, _ shape: [Dim]) -> ValueType { .tensor(TensorType(dtype, shape)) }

    public static func tensor(_ dtype: DataType?, _ shape: [Int64]) -> ValueType {
        .tensor(TensorType(dtype, shape.map { .fixed($0) }))
    }

    public var isFunction: Bool {
        switch self {
        case .function: true
        default: false
        }
    }

    public var asTensor: TensorType? {
        if case .tensor(let type) = self { return type }
        return nil
    }

    /// A type of nested tuples that a few bindings can make larger than memory: each holds the one before twice.
    static let mostFields = 1 << 16

    /// The type of a tuple of these, unless it nests too deep or holds too much.
    public static func tuple(checking fields: [ValueType]) throws -> ValueType {
        let type = ValueType.tuple(fields)
        var left = mostFields
        func visit(_ type: ValueType, _ depth: Int) -> Bool {
            guard depth <= TextForm.nestingLimit else { return false }
            left -= 1
            guard left >= 0, case .tuple(let fields) = type else { return left >= 0 }
            for field in fields where !visit(field, depth + 1) { return false }
            return true
        }
        guard visit(type, 0) else {
            throw TenonError(
                .limitExceeded,
                "a tuple holds more than \(mostFields) values, or nests deeper than \(TextForm.nestingLimit) levels")
        }
        return type
    }

    /// Names of the symbols that occur in dimensions, in order of first occurrence.
    public func collectSymbols(into names: inout [String]) {
        switch self {
        case .tensor(let type):
            for dim in type.shape ?? [] {
                if case .symbolic(let expression) = dim { expression.collectSymbols(into: &names) }
            }
        case .tuple(let fields): for field in fields { field.collectSymbols(into: &names) }
        case .shape(let dims):
            for dim in dims ?? [] {
                if case .symbolic(let expression) = dim { expression.collectSymbols(into: &names) }
            }
        case .function(let parameters, let result):
            for parameter in parameters { parameter.collectSymbols(into: &names) }
            result.collectSymbols(into: &names)
        case .scalar, .object: break
        }
    }

    /// The type with symbols replaced; nil when an expression overflows.
    public func substituting(_ replacements: [String: Dim]) -> ValueType? {
        switch self {
        case .tensor(let type):
            guard let shape = type.shape else { return self }
            guard let replaced = shape.substituting(replacements) else { return nil }
            return .tensor(TensorType(type.dtype, replaced))
        case .tuple(let fields):
            var replaced: [ValueType] = []
            for field in fields {
                guard let next = field.substituting(replacements) else { return nil }
                replaced.append(next)
            }
            return .tuple(replaced)
        case .shape(let dims?): return dims.substituting(replacements).map { .shape($0) }
        default: return self
        }
    }
}

extension [Dim] {
    public func substituting(_ replacements: [String: Dim]) -> [Dim]? {
        var replaced: [Dim] = []
        replaced.reserveCapacity(count)
        for dim in self {
            guard let next = dim.substituting(replacements) else { return nil }
            replaced.append(next)
        }
        return replaced
    }
}

extension TensorType: CustomStringConvertible {
    public var description: String {
        let name = dtype?.name ?? "?"
        if let shape { return "\(name)[\(shape.map(\.description).joined(separator: ","))]" }
        if let rank { return "\(name)[rank=\(rank)]" }
        return "\(name)[...]"
    }
}

extension ValueType: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tensor(let type): type.description
        case .tuple(let fields): "(\(fields.map(\.description).joined(separator: ", "))\(fields.count == 1 ? "," : ""))"
        case .shape(let dims?): "shape[\(dims.map(\.description).joined(separator: ","))]"
        case .shape(nil): "shape"
        case .scalar(let dtype): "scalar \(dtype.name)"
        case .function(let parameters, let result):
            "fn(\(parameters.map(\.description).joined(separator: ", "))) -> \(result)"
        case .object: "object"
        }
    }
}
