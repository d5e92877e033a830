import TenonIR

/// What a pattern node matched.
public enum Subject: Sendable {
    /// The expression bound to a value of the function (aliases already looked through).
    case bound(ValueID)
    /// An operand that no binding explains: a parameter, a literal, an inline tuple.
    case operand(Operand)
    /// What a call calls.
    case callee(Callee)

    /// The value concerned, for bound values and for variables.
    public var valueID: ValueID? {
        switch self {
        case .bound(let id), .operand(.value(let id)): id
        default: nil
        }
    }

    public var constant: Constant? {
        if case .operand(.constant(let constant)) = self { return constant }
        return nil
    }

    /// The operand that names this subject in the function it was matched in; nil for callees.
    public var asOperand: Operand? {
        switch self {
        case .bound(let id): .value(id)
        case .operand(let operand): operand
        case .callee: nil
        }
    }

    /// Whether both are the same object: values by identity, literals of tensors by reference, other literals by value.
    func isSame(as other: Subject) -> Bool {
        switch (self, other) {
        case (.bound(let a), .bound(let b)): a == b
        case (.operand(let a), .operand(let b)): Subject.same(a, b)
        case (.callee(let a), .callee(let b)): a == b
        default: false
        }
    }

    private static func same(_ a: Operand, _ b: Operand) -> Bool {
        switch (a, b) {
        case (.constant(let x), .constant(let y)): x === y
        case (.tuple(let x), .tuple(let y)): x.count == y.count && zip(x, y).allSatisfy { same($0, $1) }
        default: a == b
        }
    }
}

/// The bindings that matching sees through.
public struct BindingTable: Sendable {
    public let function: Function
    /// Indexed by value; nil for parameters and for values that are not seen through.
    var definitions: [Expression?]

    /// All bindings of the function, at every depth.
    public init(_ function: Function) {
        self.function = function
        var definitions = [Expression?](repeating: nil, count: function.values.count)
        function.forEachBinding { definitions[$0.id.int] = $0.expression }
        self.definitions = definitions
    }

    /// Only the values' types are known; nothing is seen through.
    public init(opaque function: Function) {
        self.function = function
        definitions = [Expression?](repeating: nil, count: function.values.count)
    }

    @inlinable public func definition(_ id: ValueID) -> Expression? { lookup(id) }

    @usableFromInline func lookup(_ id: ValueID) -> Expression? {
        definitions.indices.contains(id.int) ? definitions[id.int] : nil
    }

    /// Stops seeing through a value.
    mutating func hide(_ id: ValueID) { definitions[id.int] = nil }

    /// Sees through a value from now on.
    mutating func show(_ id: ValueID, _ expression: Expression) { definitions[id.int] = expression }

    /// Looks through aliases.
    public func unwrap(_ operand: Operand) -> Subject {
        var current = operand
        while case .value(let id) = current {
            switch lookup(id) {
            case .operand(let next)?: current = next
            case _?: return .bound(id)
            case nil: return .operand(current)
            }
        }
        return .operand(current)
    }

    public func type(of subject: Subject) -> ValueType {
        switch subject {
        case .bound(let id): function.type(of: id)
        case .operand(let operand): function.type(of: operand)
        case .callee: .object
        }
    }

    /// The call that a subject is, if it is one.
    public func call(_ subject: Subject) -> Call? {
        guard case .bound(let id) = subject, case .call(let call)? = lookup(id) else { return nil }
        return call
    }

    /// The contents of an operand when it is a tensor literal, also through aliases.
    public func constant(_ operand: Operand) -> Constant? { unwrap(operand).constant }
}
