/// The value of an attribute of a call, an operator or a function.
public enum AttributeValue: Hashable, Sendable {
    case int(Int64)
    case float(Double)
    case bool(Bool)
    case string(String)
    case dtype(DataType)
    case ints([Int64])
    case floats([Double])
    case strings([String])

    /// What schemas, messages and the C API call the kinds.
    public enum Kind: UInt32, Sendable {
        case int = 1
        case float = 2
        case bool = 3
        case string = 4
        case dtype = 5
        case ints = 6
        case floats = 7
        case strings = 8

        public var name: String {
            switch self {
            case .int: "int"
            case .float: "float"
            case .bool: "bool"
            case .string: "string"
            case .dtype: "dtype"
            case .ints: "list of int"
            case .floats: "list of float"
            case .strings: "list of string"
            }
        }
    }

    public var kind: Kind {
        switch self {
        case .int: .int
        case .float: .float
        case .bool: .bool
        case .string: .string
        case .dtype: .dtype
        case .ints: .ints
        case .floats: .floats
        case .strings: .strings
        }
    }
}

extension AttributeValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByStringLiteral
{
    public init(integerLiteral value: Int64) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .float(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(stringLiteral value: String) { self = .string(value) }
}

/// Attributes by name, in the order of names. Few per call, so a sorted array beats a dictionary.
public struct Attributes: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    public struct Entry: Hashable, Sendable {
        public var name: String
        public var value: AttributeValue
    }

    public private(set) var entries: [Entry] = []

    public init() {}

    public init(dictionaryLiteral elements: (String, AttributeValue)...) {
        for (name, value) in elements { self[name] = value }
    }

    public var isEmpty: Bool { entries.isEmpty }
    public var count: Int { entries.count }

    public subscript(name: String) -> AttributeValue? {
        get {
            for entry in entries where entry.name == name { return entry.value }
            return nil
        }
        set {
            if let index = entries.firstIndex(where: { $0.name == name }) {
                if let newValue { entries[index].value = newValue } else { entries.remove(at: index) }
            } else if let newValue {
                let index = entries.firstIndex { $0.name > name } ?? entries.count
                entries.insert(Entry(name: name, value: newValue), at: index)
            }
        }
    }

    public func int(_ name: String) -> Int64? {
        if case .int(let value)? = self[name] { return value }
        return nil
    }

    public func ints(_ name: String) -> [Int64]? {
        if case .ints(let value)? = self[name] { return value }
        return nil
    }

    public func float(_ name: String) -> Double? {
        switch self[name] {
        case .float(let value)?: return value
        case .int(let value)?: return Double(value)
        default: return nil
        }
    }

    public func string(_ name: String) -> String? {
        if case .string(let value)? = self[name] { return value }
        return nil
    }

    public func bool(_ name: String) -> Bool? {
        if case .bool(let value)? = self[name] { return value }
        return nil
    }

    public func dtype(_ name: String) -> DataType? {
        if case .dtype(let value)? = self[name] { return value }
        return nil
    }

    /// Every entry of `other` is here with an equal value.
    public func contains(_ other: Attributes) -> Bool {
        for entry in other.entries where self[entry.name] != entry.value { return false }
        return true
    }
}
