import TenonIR

/// A node of a pattern. Nodes have identity: one node used twice in a pattern must match the same value twice.
public final class Pattern: Sendable {
    public enum Kind: Sendable {
        /// Anything.
        case wildcard
        /// A variable that the binding table does not see through; with a name, only that one.
        case variable(String?)
        /// A variable local to a dataflow block.
        case dataflowVariable(String?)
        /// A function of the module.
        case globalVariable(String?)
        /// A tensor literal; with a requirement, of that contents.
        case constant(ConstantRequirement?)
        /// This very operand, compared by structure.
        case expression(Operand)
        /// An operator, as callee.
        case op(OperatorID)
        /// An external function, as callee; nil for any.
        case external(String?)
        /// A call. `arguments == nil`: any arguments, and no edges to them.
        case call(callee: Pattern, arguments: [Pattern]?, isVariadic: Bool, commutes: Bool)
        case tuple([Pattern])
        /// The same fields in any order.
        case unorderedTuple([Pattern])
        /// A projection; nil for any index.
        case tupleGetItem(Pattern, Int?)
        case or(Pattern, Pattern)
        case and(Pattern, Pattern)
        case not(Pattern)
        case attributes(Pattern, Attributes)
        case dtype(Pattern, DataType)
        case shape(Pattern, [Dim])
        case type(Pattern, ValueType)
        /// A shape literal with these entries.
        case shapeLiteral([Dim])
        /// A local function.
        case function(parameters: [Pattern], body: Pattern)
        /// `base`, followed by `minimum` to `maximum` steps, each taking the value before it as one operand and giving a
        /// value of the same type. The longest chain wins.
        case chain(base: Pattern, steps: [ChainStep], minimum: Int, maximum: Int)
    }

    /// More steps than this a chain never has.
    public static let longestChain = 64

    public let kind: Kind
    /// What text form, annotations and explanations call this node; empty for none.
    public let name: String
    /// Nodes on the longest way down, this one included.
    public let depth: Int

    public init(_ kind: Kind, name: String = "") {
        self.kind = kind
        self.name = name
        depth = 1 + (Pattern.children(of: kind).map(\.depth).max() ?? 0)
    }

    /// A node of the same kind, with a name and an identity of its own.
    public func named(_ name: String) -> Pattern { Pattern(kind, name: name) }
}

/// What the contents of a constant must be.
public struct ConstantRequirement: Sendable, Hashable {
    /// The value that every element must have.
    public var value: Double
    /// The largest accepted difference, relative to `max(1, |value|)`.
    public var tolerance: Double

    public init(value: Double, tolerance: Double = 1e-5) {
        self.value = value
        self.tolerance = tolerance
    }

    public func isSatisfied(by constant: Constant) -> Bool {
        guard let found = constant.splatValue else { return false }
        if found == value { return true }
        return abs(found - value) <= tolerance * max(1, abs(value))
    }
}

/// One kind of step of a chain.
public struct ChainStep: Sendable {
    public var op: OperatorID
    /// Nil for an operator of one input; else what the operand that is not the chain must match. It is matched afresh for
    /// each step.
    public var other: Pattern?
    /// Index of the operand that carries on the chain; nil for either of two.
    public var chainOperand: Int?
    /// What is asked of the step's attributes.
    public var attributes: Attributes

    public init(_ op: OperatorID, other: Pattern? = nil, chainOperand: Int? = 0, attributes: Attributes = Attributes())
    {
        self.op = op
        self.other = other
        self.chainOperand = chainOperand
        self.attributes = attributes
    }
}

extension Pattern {
    /// Nodes directly below this one, in the order in which the matcher visits them.
    public var children: [Pattern] { Pattern.children(of: kind) }

    private static func children(of kind: Kind) -> [Pattern] {
        switch kind {
        case .wildcard, .variable, .dataflowVariable, .globalVariable, .constant, .expression, .op, .external,
            .shapeLiteral:
            []
        case .call(let callee, let arguments, _, _): [callee] + (arguments ?? [])
        case .tuple(let fields), .unorderedTuple(let fields): fields
        case .tupleGetItem(let inner, _), .not(let inner), .attributes(let inner, _), .dtype(let inner, _),
            .shape(let inner, _), .type(let inner, _):
            [inner]
        case .or(let a, let b), .and(let a, let b): [a, b]
        case .function(let parameters, let body): parameters + [body]
        case .chain(let base, let steps, _, _): [base] + steps.compactMap(\.other)
        }
    }
}

// MARK: - Construction

public func wildcard() -> Pattern { Pattern(.wildcard) }
public func isVar(_ name: String? = nil) -> Pattern { Pattern(.variable(name)) }
public func isDataflowVar(_ name: String? = nil) -> Pattern { Pattern(.dataflowVariable(name)) }
public func isGlobalVar(_ name: String? = nil) -> Pattern { Pattern(.globalVariable(name)) }
public func isConst() -> Pattern { Pattern(.constant(nil)) }
public func isConst(_ value: Double, tolerance: Double = 1e-5) -> Pattern {
    Pattern(.constant(ConstantRequirement(value: value, tolerance: tolerance)))
}
public func isExpr(_ operand: Operand) -> Pattern { Pattern(.expression(operand)) }
public func isShape(_ dims: [Dim]) -> Pattern { Pattern(.shapeLiteral(dims)) }
public func isTuple(_ fields: [Pattern], unordered: Bool = false) -> Pattern {
    Pattern(unordered ? .unorderedTuple(fields) : .tuple(fields))
}
public func isExternal(_ name: String?, _ arguments: [Pattern]?, variadic: Bool = false) -> Pattern {
    Pattern(.call(callee: Pattern(.external(name)), arguments: arguments, isVariadic: variadic, commutes: false))
}

/// The operator itself, to be called with patterns: `try isOp("add")(wildcard(), wildcard())`.
public func isOp(_ name: String) throws -> Pattern { Pattern(.op(try Operators.require(name))) }

extension Pattern {
    public func callAsFunction(_ arguments: Pattern...) -> Pattern { call(arguments) }

    /// A call of this callee. Only `add` and `multiply` commute unless asked.
    public func call(_ arguments: [Pattern]?, variadic: Bool = false, commutes: Bool? = nil) -> Pattern {
        Pattern(
            .call(
                callee: self, arguments: arguments, isVariadic: variadic,
                commutes: commutes ?? Pattern.commutesByDefault(self)))
    }

    private static let commutative = OperatorSet(["add", "multiply"].compactMap { Operators.named($0) })

    static func commutesByDefault(_ callee: Pattern) -> Bool {
        switch callee.kind {
        case .op(let id): commutative.contains(id)
        case .or(let a, let b): commutesByDefault(a) || commutesByDefault(b)
        default: false
        }
    }

    static func isCommutative(_ op: OperatorID) -> Bool { commutative.contains(op) }

    /// Projection `index` of what this matches; negative counts from the end of an ordered tuple pattern.
    public func item(_ index: Int) throws -> Pattern {
        guard case .tuple(let fields) = kind else {
            guard index >= 0 else { throw TenonError(.invalidArgument, "tuple item \(index): expected 0 or above") }
            return Pattern(.tupleGetItem(self, index))
        }
        let resolved = index < 0 ? index + fields.count : index
        guard fields.indices.contains(resolved) else {
            throw TenonError(.invalidArgument, "tuple item \(index): the pattern has \(fields.count) fields")
        }
        return Pattern(.tupleGetItem(self, resolved))
    }

    public func anyItem() -> Pattern { Pattern(.tupleGetItem(self, nil)) }
    /// This, with these attributes. `checkNames` tells whether the operators have attributes of these names.
    public func hasAttributes(_ attributes: Attributes) -> Pattern { Pattern(.attributes(self, attributes)) }

    /// Refuses names of attributes that none of the operators which this matches calls of has: such a pattern never matches.
    public func checkNames(_ attributes: Attributes) throws {
        guard let operators = CompiledPattern.operators(of: self), !operators.isEmpty else { return }
        for entry in attributes.entries {
            let known = operators.flatMap { $0.schema.attributes.map(\.name) + $0.schema.aliases.keys }
            guard !known.contains(entry.name) else { continue }
            let names = operators.map(\.name).sorted().joined(separator: ", ")
            let listed = Set(known).sorted().joined(separator: ", ")
            throw TenonError(
                .invalidArgument,
                "pattern: \(names): unknown attribute '\(entry.name)'; expected \(known.isEmpty ? "none" : "one of \(listed)")",
                operatorName: operators.count == 1 ? names : "")
        }
    }
    public func hasDType(_ dtype: DataType) -> Pattern { Pattern(.dtype(self, dtype)) }
    public func hasShape(_ shape: [Dim]) -> Pattern { Pattern(.shape(self, shape)) }
    public func hasType(_ type: ValueType) -> Pattern { Pattern(.type(self, type)) }

    /// This, or what `tail` makes of it.
    public func optional(_ tail: (Pattern) -> Pattern) -> Pattern { tail(self) | self }

    /// This, followed by `range` steps of the given kinds.
    public func followed(by steps: [ChainStep], _ range: ClosedRange<Int>) -> Pattern {
        Pattern(.chain(base: self, steps: steps, minimum: range.lowerBound, maximum: range.upperBound))
    }

    public static func | (a: Pattern, b: Pattern) -> Pattern { Pattern(.or(a, b)) }
    public static func & (a: Pattern, b: Pattern) -> Pattern { Pattern(.and(a, b)) }
    public static prefix func ! (a: Pattern) -> Pattern { Pattern(.not(a)) }
}
