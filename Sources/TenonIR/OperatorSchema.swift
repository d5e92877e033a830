/// Names an operator of the registry; cheap to compare and to index with.
public struct OperatorID: Hashable, Sendable {
    public let index: UInt16

    public init(index: UInt16) { self.index = index }

    public var schema: OperatorSchema { Operators.all[Int(index)] }
    public var name: String { schema.name }
}

/// Operators, found without hashing.
public struct OperatorSet: Sendable {
    private var words: [UInt64] = []

    public init(_ operators: some Sequence<OperatorID>) {
        for id in operators {
            let word = Int(id.index / 64)
            while words.count <= word { words.append(0) }
            words[word] |= 1 << UInt64(id.index % 64)
        }
    }

    public func contains(_ id: OperatorID) -> Bool {
        let word = Int(id.index / 64)
        return word < words.count && words[word] >> UInt64(id.index % 64) & 1 == 1
    }
}

/// An operator as data. The builder, verifier, parser, importers, the C API and the documentation read it.
public struct OperatorSchema: Sendable {
    public struct Input: Sendable {
        public enum Kind: Sendable {
            case tensor
            case tuple
            case shape
            /// A plain number.
            case scalar
            case any
        }
        public var name: String
        public var kind: Kind
        /// May be left out at the end.
        public var isOptional: Bool

        public init(_ name: String, _ kind: Kind = .tensor, optional: Bool = false) {
            self.name = name
            self.kind = kind
            self.isOptional = optional
        }
    }

    public struct Attribute: Sendable {
        public var name: String
        public var kind: AttributeValue.Kind
        /// Nil: must be given, or, with `isOptional`, may be absent.
        public var defaultValue: AttributeValue?
        public var isOptional: Bool
        /// Values that a string attribute may have; empty for any.
        public var allowed: [String]
        /// What it means that the attribute is absent; said, it is left out, so that equal calls are equal.
        public var impliedValue: AttributeValue?
        /// The attribute whose value this one has when it is absent.
        public var impliedBy: String?
        /// Fewer numbers than this are repeated: one for all, or half of them for begins and ends alike.
        public var spread: Int?

        public static func required(_ name: String, _ kind: AttributeValue.Kind, allowed: [String] = []) -> Attribute {
            Attribute(name: name, kind: kind, defaultValue: nil, isOptional: false, allowed: allowed)
        }

        public static func optional(_ name: String, _ kind: AttributeValue.Kind, allowed: [String] = []) -> Attribute {
            Attribute(name: name, kind: kind, defaultValue: nil, isOptional: true, allowed: allowed)
        }

        public static func defaulted(_ name: String, _ value: AttributeValue, allowed: [String] = []) -> Attribute {
            Attribute(name: name, kind: value.kind, defaultValue: value, isOptional: false, allowed: allowed)
        }

        public static func implied(_ name: String, _ value: AttributeValue) -> Attribute {
            var attribute = Attribute.optional(name, value.kind)
            attribute.impliedValue = value
            return attribute
        }

        public static func spread(_ name: String, _ value: AttributeValue, _ count: Int) -> Attribute {
            var attribute = Attribute.defaulted(name, value)
            attribute.spread = count
            return attribute
        }
    }

    /// As in the text form, without Relax's prefix: `nn.conv2d`.
    public var name: String
    /// One sentence with the formula.
    public var summary: String
    public var inputs: [Input]
    /// The last input may be given any number of times.
    public var isVariadic: Bool
    public var attributes: [Attribute]
    /// The first two inputs may be exchanged.
    public var isCommutative: Bool
    /// The type of the result, or an error that says which argument breaks which rule.
    public var infer: @Sendable (CallSite) throws -> ValueType
    /// What a call is in terms of other operators; nil for what stays as it is. Where an operator has this, and gives
    /// something, there is no kernel for it.
    public var expansion: Expansion?
    /// Attributes that say how the operator sees its operands. Passes and kernels know the operator without them.
    public var viewAttributes: [String] = []
    /// The layouts that the operator can be told.
    public var layoutView: LayoutView?
    /// Other names for attributes, by which they are given too.
    public var aliases: [String: [String]] = [:]

    public typealias Expansion = @Sendable (inout OperatorExpander, Call) throws -> Operand?

    public init(
        _ name: String, _ summary: String, inputs: [Input], variadic: Bool = false, attributes: [Attribute] = [],
        commutative: Bool = false, expansion: Expansion? = nil,
        infer: @escaping @Sendable (CallSite) throws -> ValueType
    ) {
        self.name = name
        self.summary = summary
        self.inputs = inputs
        self.isVariadic = variadic
        self.attributes = attributes
        self.isCommutative = commutative
        self.expansion = expansion
        self.infer = infer
    }

    /// The name in Relax's registry, which generated function names are made of.
    public var registryName: String { "relax." + name }

    public var requiredInputCount: Int { inputs.prefix { !$0.isOptional }.count }

    /// Checks names, kinds and allowed values, and fills in defaults.
    public func normalised(_ given: Attributes) throws -> Attributes {
        let given = respelled(given)
        for entry in given.entries where !attributes.contains(where: { $0.name == entry.name }) {
            let known = attributes.map(\.name).joined(separator: ", ")
            throw TenonError(
                .invalidArgument,
                "\(name): unknown attribute '\(entry.name)'; expected \(known.isEmpty ? "none" : "one of \(known)")",
                operatorName: name)
        }
        var result = Attributes()
        for attribute in attributes {
            guard let value = given[attribute.name] ?? attribute.defaultValue else {
                if attribute.isOptional { continue }
                throw TenonError(
                    .invalidArgument, "\(name): attribute '\(attribute.name)' (\(attribute.kind.name)) is missing",
                    operatorName: name)
            }
            // An empty name is none.
            if attribute.isOptional, value == .string("") || value == .string("void") { continue }
            let checked = try checked(value, attribute)
            if let implied = attribute.impliedValue, checked == implied { continue }
            if let other = attribute.impliedBy, checked == self.value(of: other, in: result) { continue }
            result[attribute.name] = checked
        }
        return result
    }

    /// The attributes under this schema's own names.
    public func respelled(_ given: Attributes) -> Attributes {
        guard !aliases.isEmpty else { return given }
        var result = given
        for (alias, names) in aliases {
            // An attribute of two kinds has a name for each here.
            guard let value = given[alias],
                let name = names.first(where: { name in
                    given[name] == nil && attributes.contains { $0.name == name && $0.kind == value.kind }
                })
            else { continue }
            result[alias] = nil
            result[name] = value
        }
        return result
    }

    /// What an attribute of a call is, said or not.
    public func value(of name: String, in given: Attributes) -> AttributeValue? {
        if let value = given[name] { return value }
        if let attribute = attributes.first(where: { $0.name == name }) {
            return attribute.defaultValue ?? attribute.impliedValue
                ?? attribute.impliedBy.flatMap { $0 == name ? nil : self.value(of: $0, in: given) }
        }
        return nil
    }

    private func checked(_ value: AttributeValue, _ attribute: Attribute) throws -> AttributeValue {
        var value = value
        switch (attribute.kind, value) {
        case (.float, .int(let number)): value = .float(Double(number))
        case (.floats, .ints(let numbers)): value = .floats(numbers.map { Double($0) })
        case (.bool, .int(let number)) where number == 0 || number == 1: value = .bool(number == 1)
        // One axis may be given as a number where a list of them is possible.
        case (.ints, .int(let number)): value = .ints([number])
        case (.dtype, .string(let text)): if let dtype = DataType(name: text) { value = .dtype(dtype) }
        // An empty list has no element that could tell its kind.
        case (.ints, .floats(let numbers)) where numbers.isEmpty: value = .ints([])
        case (.floats, .strings(let texts)) where texts.isEmpty: value = .floats([])
        case (.strings, .ints(let numbers)) where numbers.isEmpty: value = .strings([])
        case (.floats, .ints(let numbers)) where numbers.isEmpty: value = .floats([])
        default: break
        }
        if let spread = attribute.spread, case .ints(let numbers) = value,
            numbers.count == 1 || numbers.count * 2 == spread, numbers.count < spread
        {
            value = .ints((0..<spread / numbers.count).flatMap { _ in numbers })
        }
        guard value.kind == attribute.kind else {
            throw TenonError(
                .invalidType,
                "\(name): attribute '\(attribute.name)' expects \(attribute.kind.name), found \(value.kind.name)",
                operatorName: name)
        }
        if !attribute.allowed.isEmpty, case .string(let text) = value, !attribute.allowed.contains(text) {
            let allowed = attribute.allowed.map { "'\($0)'" }.joined(separator: ", ")
            throw TenonError(
                .invalidArgument, "\(name): attribute '\(attribute.name)' expects one of \(allowed), found '\(text)'",
                operatorName: name)
        }
        return value
    }

    /// Checks number and kinds of the inputs.
    public func checkInputs(_ types: [ValueType]) throws {
        let least = requiredInputCount - (isVariadic ? 1 : 0)
        let most = isVariadic ? Int.max : inputs.count
        guard types.count >= max(least, 0), types.count <= most else {
            let expected =
                isVariadic ? "at least \(least)" : least == most ? "\(most)" : "\(least) to \(most)"
            throw TenonError(
                .invalidArgument, "\(name): expected \(expected) inputs, found \(types.count)", operatorName: name)
        }
        for (index, type) in types.enumerated() {
            guard let input = index < inputs.count ? inputs[index] : inputs.last else { continue }
            let fits =
                switch (input.kind, type) {
                case (_, .object), (.any, _), (.tensor, .tensor), (.tuple, .tuple), (.shape, .shape),
                    (.scalar, .scalar):
                    true
                default: false
                }
            guard fits else {
                throw TenonError(
                    .invalidType, "\(name): input '\(input.name)' expects a \(input.kind), found \(type)",
                    operatorName: name)
            }
        }
    }

    /// Element types and functions have no type of their own that could tell them from what is not known.
    func checkLiterals(_ arguments: [Operand]) throws {
        for (index, argument) in arguments.enumerated() {
            guard let input = index < inputs.count ? inputs[index] : inputs.last, input.kind != .any else { continue }
            let found: String
            switch argument {
            case .dtype(let dtype): found = "the element type \(dtype)"
            case .global(let name): found = "the function '@\(name)'"
            default: continue
            }
            throw TenonError(
                .invalidType, "\(name): input '\(input.name)' expects a \(input.kind), found \(found)",
                operatorName: name
            )
        }
    }
}

extension Call {
    /// Whether operands are seen as the operator is defined, through no layout.
    public var isPlain: Bool {
        guard case .op(let op) = callee else { return true }
        let names = op.schema.viewAttributes
        return names.isEmpty || names.allSatisfy { attributes[$0] == nil }
    }
}

/// All operators. Immutable; built once, on first use.
public enum Operators {
    public static let all: [OperatorSchema] = {
        let written = families.flatMap { $0 }
        return written + DynamicOperators.schemas(of: written)
    }()

    private static let byName: [String: OperatorID] = {
        var table: [String: OperatorID] = [:]
        for (index, schema) in all.enumerated() { table[schema.name] = OperatorID(index: UInt16(index)) }
        // Relax has a name of its own for a form of an operator.
        for (alias, name) in [("nn.attention_bias", "nn.attention")] { table[alias] = table[name] }
        return table
    }()

    /// Finds `nn.conv2d`, also under Relax's full name `relax.nn.conv2d`.
    public static func named(_ name: String) -> OperatorID? {
        byName[name] ?? (name.hasPrefix("relax.") ? byName[String(name.dropFirst(6))] : nil)
    }

    /// As `named`, but an unknown name is an error.
    public static func require(_ name: String) throws -> OperatorID {
        guard let id = named(name) else {
            throw TenonError(.notFound, "unknown operator '\(name)'", operatorName: name)
        }
        return id
    }
}
