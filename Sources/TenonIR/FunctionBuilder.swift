/// Builds a function binding by binding; every call is checked and typed when it is added. A call that throws adds nothing.
public struct FunctionBuilder: Sendable {
    public private(set) var function: Function
    private var openBlock: Block
    /// Values whose contents are known because they name a literal.
    private var known: [ValueID: Operand] = [:]

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
        return bind(.tuple(fields), .tuple(fields.map { function.type(of: $0) }), name: name)
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
        closeBlock()
        result.forEachValue { function.values[$0.int].isDataflow = false }
        function.body.result = result
        return function
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
        let complete = try schema.normalised(attributes)
        let site = CallSite(
            schema: schema, arguments: arguments, types: types, constants: constants, attributes: complete)
        return (try schema.infer(site), complete)
    }
}
