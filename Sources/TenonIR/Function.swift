/// What is known of one value.
public struct ValueInfo: Hashable, Sendable {
    /// A hint for printing; not necessarily unique.
    public var name: String
    public var type: ValueType
    /// Visible only inside the dataflow block that binds it.
    public var isDataflow: Bool

    public init(name: String, type: ValueType, isDataflow: Bool = false) {
        self.name = name
        self.type = type
        self.isDataflow = isDataflow
    }
}

/// A function in A-normal form: each binding is one operation on values already named.
public struct Function: Hashable, Sendable {
    /// The table that `ValueID`s index, for parameters and for bindings at every depth (branches included, local functions
    /// not: those have a table of their own).
    public var values: [ValueInfo]
    public var parameters: [ValueID]
    public var body: Body
    public var attributes: Attributes

    public init(
        values: [ValueInfo] = [], parameters: [ValueID] = [], body: Body = Body(blocks: [], result: .tuple([])),
        attributes: Attributes = Attributes()
    ) {
        self.values = values
        self.parameters = parameters
        self.body = body
        self.attributes = attributes
    }

    public func info(_ id: ValueID) -> ValueInfo? {
        values.indices.contains(id.int) ? values[id.int] : nil
    }

    public func type(of id: ValueID) -> ValueType {
        values.indices.contains(id.int) ? values[id.int].type : .object
    }

    public func type(of operand: Operand) -> ValueType {
        switch operand {
        case .value(let id): type(of: id)
        case .constant(let constant): .tensor(constant.type)
        case .shape(let dims): .shape(dims)
        case .int: .scalar(.int64)
        case .float: .scalar(.float64)
        case .string: .scalar(.string)
        case .dtype, .global: .object
        case .tuple(let fields): .tuple(fields.map { type(of: $0) })
        }
    }

    public var resultType: ValueType { type(of: body.result) }

    public var parameterTypes: [ValueType] { parameters.map { type(of: $0) } }

    /// Adds a value to the table.
    public mutating func addValue(_ name: String, _ type: ValueType, isDataflow: Bool = false) -> ValueID {
        values.append(ValueInfo(name: name, type: type, isDataflow: isDataflow))
        return ValueID(values.count - 1)
    }

    /// `Composite`: the name of the pattern that made this function.
    public var composite: String? { attributes.string("Composite") }
    /// `Codegen`: the backend that runs this function.
    public var codegen: String? { attributes.string("Codegen") }
    public var globalSymbol: String? { attributes.string("global_symbol") }
    public var isPrimitive: Bool { attributes.bool("Primitive") == true || attributes.int("Primitive") == 1 }

    /// Calls `body` for every binding in program order, branches included after their condition's binding.
    public func forEachBinding(_ visit: (Binding) throws -> Void) rethrows {
        try Function.forEachBinding(in: body, visit)
    }

    /// Whether any binding has the property; the search ends at the first that has it.
    public func containsBinding(where holds: (Expression) throws -> Bool) rethrows -> Bool {
        try Function.containsBinding(in: body, holds)
    }

    private static func containsBinding(
        in body: Body, _ holds: (Expression) throws -> Bool
    ) rethrows -> Bool {
        for block in body.blocks.indices {
            for index in body.blocks[block].bindings.indices {
                if try holds(body.blocks[block].bindings[index].expression) { return true }
                if case .conditional(_, let thenBody, let elseBody) = body.blocks[block].bindings[index].expression,
                    try containsBinding(in: thenBody, holds) || containsBinding(in: elseBody, holds)
                {
                    return true
                }
            }
        }
        return false
    }

    public static func forEachBinding(in body: Body, _ visit: (Binding) throws -> Void) rethrows {
        for block in body.blocks.indices {
            for index in body.blocks[block].bindings.indices {
                try visit(body.blocks[block].bindings[index])
                if case .conditional(_, let thenBody, let elseBody) = body.blocks[block].bindings[index].expression {
                    try forEachBinding(in: thenBody, visit)
                    try forEachBinding(in: elseBody, visit)
                }
            }
        }
    }
}
