/// Builds a function binding by binding; every call is checked and typed when it is added. A call that throws adds nothing.
public struct FunctionBuilder: Sendable {
    public private(set) var function: Function
    private var openBlock: Block
    /// Values whose contents are known because they name a literal.
    private var known: [ValueID: Operand] = [:]
    /// The blocks around each branch that is being built.
    private var around: [[Block]] = []
    private var hasBranches = false

    /// Bindings go into one dataflow block unless `dataflow` is false.
    public init(attributes: Attributes = Attributes(), dataflow: Bool = true) {
        function = Function(attributes: attributes)
        openBlock = Block(isDataflow: dataflow)
    }

    public mutating func parameter(_ name: String, _ type: ValueType) -> ValueID {
        let id = function.addValue(name, type)
        function.parameters.append(id)
        return id
    }

    /// Starts a new block; bindings after this go there.
    public mutating func beginBlock(dataflow: Bool) {
        closeBlock()
        openBlock = Block(isDataflow: dataflow)
    }

    private mutating func closeBlock() {
        if !openBlock.bindings.isEmpty { function.body.blocks.append(openBlock) }
        openBlock.bindings = []
    }

    public func type(of operand: Operand) -> ValueType { function.type(of: operand) }

    /// The type that a call of an operator would have, with its attributes checked and completed.
    public func typed(
        _ op: OperatorID, _ arguments: [Operand], _ attributes: Attributes = Attributes()
    ) throws -> (type: ValueType, attributes: Attributes) {
        for argument in arguments { try check(argument) }
        return try Inference.call(
            op, arguments, attributes, types: arguments.map { function.type(of: $0) },
            constants: arguments.map { constant($0) })
    }

    /// Adds a call of an operator and returns its result.
    public mutating func call(
        _ op: OperatorID, _ arguments: [Operand], _ attributes: Attributes = Attributes(), name: String = ""
    ) throws -> ValueID {
        let typed = try typed(op, arguments, attributes)
        return bind(.call(Call(.op(op), arguments, typed.attributes)), typed.type, name: name)
    }

    /// As above, by operator name.
    public mutating func call(
        _ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes(), name: String = ""
    ) throws -> ValueID {
        try call(try Operators.require(op), arguments, attributes, name: name)
    }

    /// Adds a binding whose type the caller knows. The expression may name only values of this function.
    public mutating func bind(_ expression: Expression, _ type: ValueType, name: String = "") -> ValueID {
        let id = function.addValue(name, type, isDataflow: openBlock.isDataflow)
        if case .operand(let operand) = expression { known[id] = literal(operand) }
        openBlock.bindings.append(Binding(id, expression))
        return id
    }

    public mutating func tuple(_ fields: [Operand], name: String = "") throws -> ValueID {
        for field in fields { try check(field) }
        return bind(.tuple(fields), try .tuple(checking: fields.map { function.type(of: $0) }), name: name)
    }

    public mutating func tupleGetItem(_ tuple: Operand, _ index: Int, name: String = "") throws -> ValueID {
        try check(tuple)
        guard case .tuple(let fields) = function.type(of: tuple), fields.indices.contains(index) else {
            throw TenonError(.invalidArgument, "tuple item \(index) of a value of type \(function.type(of: tuple))")
        }
        return bind(.tupleGetItem(tuple, index), fields[index], name: name)
    }

    public mutating func alias(_ operand: Operand, name: String = "") throws -> ValueID {
        try check(operand)
        return bind(.operand(operand), function.type(of: operand), name: name)
    }

    /// Closes the function. Values in the result become visible outside their block.
    public mutating func finish(_ result: Operand) throws -> Function {
        try check(result)
        guard around.isEmpty else { throw TenonError(.invalidArgument, "a branch is not closed") }
        closeBlock()
        result.forEachValue { function.values[$0.int].isDataflow = false }
        function.body.result = result
        if hasBranches { exposeSharedValues() }
        return function
    }

    // MARK: - Branches

    /// Starts the inside of a branch: bindings go there until `endBranch` or `abandonBranch`.
    public mutating func beginBranch() {
        closeBlock()
        around.append(function.body.blocks)
        function.body.blocks = []
    }

    /// Closes the branch that was begun last.
    public mutating func endBranch(_ result: Operand) throws -> Body {
        try check(result)
        guard let blocks = around.popLast() else { throw TenonError(.invalidArgument, "no branch is open") }
        closeBlock()
        defer { function.body.blocks = blocks }
        return Body(blocks: function.body.blocks, result: result)
    }

    /// Forgets the bindings of the branch that was begun last.
    public mutating func abandonBranch() {
        guard let blocks = around.popLast() else { return }
        openBlock.bindings = []
        function.body.blocks = blocks
    }

    /// Puts the bindings of a branch that was closed here after all: nothing chooses, it always runs.
    public mutating func inline(_ branch: Body) {
        closeBlock()
        function.body.blocks += branch.blocks
        hasBranches = true
    }

    /// Adds a conditional, in a block of its own since a dataflow block has no control flow.
    ///
    /// - Parameter type: what both branches give, as far as they agree.
    public mutating func conditional(
        _ condition: Operand, then: Body, else other: Body, _ type: ValueType, name: String = ""
    ) throws -> ValueID {
        try check(condition)
        let isDataflow = openBlock.isDataflow
        beginBlock(dataflow: false)
        let id = bind(.conditional(condition, then: then, else: other), type, name: name)
        beginBlock(dataflow: isDataflow)
        hasBranches = true
        return id
    }

    /// Makes values visible that are used outside the block that binds them.
    private mutating func exposeSharedValues() {
        var place = [Int](repeating: -1, count: function.values.count)
        var shared: [ValueID] = []
        var blocks = 0
        func visit(_ body: Body) {
            for block in body.blocks {
                let own = blocks
                blocks += 1
                func use(_ id: ValueID) { if place[id.int] != own { shared.append(id) } }
                for binding in block.bindings {
                    if case .conditional(let condition, let then, let other) = binding.expression {
                        condition.forEachValue(use)
                        visit(then)
                        visit(other)
                    } else {
                        binding.expression.forEachValue(use)
                    }
                    place[binding.id.int] = own
                }
            }
            body.result.forEachValue { shared.append($0) }
        }
        visit(function.body)
        for id in shared { function.values[id.int].isDataflow = false }
    }

    /// Makes values visible outside their dataflow block.
    public mutating func output(_ ids: [ValueID]) throws {
        for id in ids {
            try check(.value(id))
            function.values[id.int].isDataflow = false
        }
    }

    private func literal(_ operand: Operand) -> Operand? {
        if case .value(let id) = operand { return known[id] }
        return operand
    }

    private func constant(_ operand: Operand) -> Constant? { literal(operand)?.constant }

    private func check(_ operand: Operand) throws {
        try operand.forEachValue { id in
            guard function.values.indices.contains(id.int) else {
                throw TenonError(.invalidArgument, "value \(id.index) does not belong to this function")
            }
        }
    }
}

/// Typing of calls, shared by builder, verifier and passes.
public enum Inference {
    public static func call(
        _ op: OperatorID, _ arguments: [Operand], _ attributes: Attributes, types: [ValueType], constants: [Constant?]
    ) throws -> (type: ValueType, attributes: Attributes) {
        guard Int(op.index) < Operators.all.count else { throw TenonError(.notFound, "unknown operator \(op.index)") }
        let schema = op.schema
        try schema.checkInputs(types)
        try schema.checkLiterals(arguments)
        let complete = try schema.normalised(attributes)
        let site = CallSite(
            schema: schema, arguments: arguments, types: types, constants: constants, attributes: complete)
        return (try schema.infer(site), complete)
    }
}
