/// Names a value of one function: a parameter or the result of a binding. Dense, so that tables are arrays.
public struct ValueID: Hashable, Comparable, Sendable {
    public let index: Int32

    @inlinable public init(_ index: Int) { self.index = Int32(truncatingIfNeeded: index) }
    @inlinable public var int: Int { Int(index) }
    @inlinable public static func < (a: ValueID, b: ValueID) -> Bool { a.index < b.index }
}

/// What a call takes: a named value or a literal. Literals are written in place, as in Relax's normal form.
public enum Operand: Hashable, Sendable {
    case value(ValueID)
    case constant(Constant)
    case shape([Dim])
    case int(Int64)
    case float(Double)
    case string(String)
    case dtype(DataType)
    /// A function of the module.
    case global(String)
    indirect case tuple([Operand])

    @inlinable public var valueID: ValueID? {
        if case .value(let id) = self { return id }
        return nil
    }

    @inlinable public var constant: Constant? {
        if case .constant(let constant) = self { return constant }
        return nil
    }

    /// Calls `body` for each value named, also inside tuples, in order and as often as named.
    @inlinable public func forEachValue(_ body: (ValueID) throws -> Void) rethrows {
        switch self {
        case .value(let id): try body(id)
        case .tuple(let fields): for field in fields { try field.forEachValue(body) }
        default: break
        }
    }

    /// The operand with every value replaced.
    public func mapValues(_ transform: (ValueID) throws -> Operand) rethrows -> Operand {
        switch self {
        case .value(let id): return try transform(id)
        case .tuple(let fields): return .tuple(try fields.map { try $0.mapValues(transform) })
        default: return self
        }
    }
}

/// What a call calls.
public enum Callee: Hashable, Sendable {
    case op(OperatorID)
    /// A function of the module, by name.
    case function(String)
    /// A local function bound earlier in the same function.
    case local(ValueID)
    /// Something the library knows nothing about; may have effects.
    case external(String)
}

public struct Call: Hashable, Sendable {
    public var callee: Callee
    public var arguments: [Operand]
    public var attributes: Attributes

    public init(_ callee: Callee, _ arguments: [Operand], _ attributes: Attributes = Attributes()) {
        self.callee = callee
        self.arguments = arguments
        self.attributes = attributes
    }
}

/// Blocks in order and the result they compute: the inside of a function or of a branch.
public struct Body: Hashable, Sendable {
    public var blocks: [Block]
    public var result: Operand

    public init(blocks: [Block], result: Operand) {
        self.blocks = blocks
        self.result = result
    }
}

/// What a binding binds.
public enum Expression: Hashable, Sendable {
    // Boxed: bindings are copied about far more often than calls are made.
    indirect case call(Call)
    case tuple([Operand])
    case tupleGetItem(Operand, Int)
    /// An alias of a value, or a literal given a name.
    case operand(Operand)
    /// Asserts a type at run time, and binds its symbols.
    case matchCast(Operand, ValueType)
    /// A local function; it captures nothing.
    indirect case function(Function)
    indirect case conditional(Operand, then: Body, else: Body)
}

public struct Binding: Hashable, Sendable {
    public var id: ValueID
    public var expression: Expression

    public init(_ id: ValueID, _ expression: Expression) {
        self.id = id
        self.expression = expression
    }
}

/// Bindings in program order. A dataflow block is pure and has no control flow.
public struct Block: Hashable, Sendable {
    public var isDataflow: Bool
    public var bindings: [Binding]

    public init(isDataflow: Bool, bindings: [Binding] = []) {
        self.isDataflow = isDataflow
        self.bindings = bindings
    }
}

extension Expression {
    /// Calls `body` for each value that the expression mentions, branches included, local functions not (they capture
    /// nothing).
    @inlinable public func forEachValue(_ body: (ValueID) throws -> Void) rethrows {
        switch self {
        case .call(let call):
            if case .local(let id) = call.callee { try body(id) }
            for argument in call.arguments { try argument.forEachValue(body) }
        case .tuple(let fields): for field in fields { try field.forEachValue(body) }
        case .tupleGetItem(let operand, _), .operand(let operand), .matchCast(let operand, _):
            try operand.forEachValue(body)
        case .function: break
        case .conditional(let condition, let thenBody, let elseBody):
            try condition.forEachValue(body)
            try thenBody.forEachValue(body)
            try elseBody.forEachValue(body)
        }
    }

    /// The expression with every mentioned value replaced; callees that are local values must map to values.
    public func mapValues(_ transform: (ValueID) throws -> Operand) rethrows -> Expression {
        switch self {
        case .call(var call):
            if case .local(let id) = call.callee, case .value(let replaced) = try transform(id) {
                call.callee = .local(replaced)
            }
            for index in call.arguments.indices {
                call.arguments[index] = try call.arguments[index].mapValues(transform)
            }
            return .call(call)
        case .tuple(let fields): return .tuple(try fields.map { try $0.mapValues(transform) })
        case .tupleGetItem(let operand, let index): return .tupleGetItem(try operand.mapValues(transform), index)
        case .operand(let operand): return .operand(try operand.mapValues(transform))
        case .matchCast(let operand, let type): return .matchCast(try operand.mapValues(transform), type)
        case .function: return self
        case .conditional(let condition, let thenBody, let elseBody):
            return .conditional(
                try condition.mapValues(transform), then: try thenBody.mapValues(transform),
                else: try elseBody.mapValues(transform))
        }
    }

    public var asCall: Call? {
        if case .call(let call) = self { return call }
        return nil
    }
}

extension Body {
    @inlinable public func forEachValue(_ body: (ValueID) throws -> Void) rethrows {
        for block in blocks.indices {
            for index in blocks[block].bindings.indices {
                try blocks[block].bindings[index].expression.forEachValue(body)
            }
        }
        try result.forEachValue(body)
    }

    func mapValues(_ transform: (ValueID) throws -> Operand) rethrows -> Body {
        var mapped = self
        for block in mapped.blocks.indices {
            for index in mapped.blocks[block].bindings.indices {
                mapped.blocks[block].bindings[index].expression =
                    try mapped.blocks[block].bindings[index].expression.mapValues(transform)
            }
        }
        mapped.result = try result.mapValues(transform)
        return mapped
    }
}
