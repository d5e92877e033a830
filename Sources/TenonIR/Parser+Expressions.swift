/// Right-hand sides of bindings and their operands.
extension Parser {
    /// An expression, and its type where that can be inferred. Nothing is inferred when the binding has a type.
    mutating func expression(isTyped: Bool) throws -> (Expression, ValueType?) {
        try enter()
        defer { depth -= 1 }
        switch token.kind {
        case .value, .numberedValue, .quotedValue: return try valueExpression(isTyped)
        case .global, .quotedGlobal:
            let name = try self.name()
            guard isNext("(") else { return (.operand(.global(name)), .object) }
            return (try call(.function(name)), isTyped ? nil : resultType(of: name))
        case .identifier: return try wordExpression(isTyped)
        default:
            let operand = try self.operand()
            if case .tuple(let fields) = operand, !isNext(".") {
                _ = try ValueType.tuple(checking: fields.map { scope.function.type(of: $0) })
                return (.tuple(fields), isTyped ? nil : scope.function.type(of: operand))
            }
            return try projection(of: operand)
        }
    }

    private mutating func valueExpression(_ isTyped: Bool) throws -> (Expression, ValueType?) {
        let id = try value()
        guard isNext("(") else { return try projection(of: .value(id)) }
        var result: ValueType?
        if !isTyped, case .function(_, let type) = scope.function.type(of: id) { result = type }
        return (try call(.local(id)), result)
    }

    /// `.i` after an operand, or the operand alone.
    private mutating func projection(of operand: Operand) throws -> (Expression, ValueType?) {
        guard try skip(".") else { return (.operand(operand), scope.function.type(of: operand)) }
        let start = token
        guard let index = Int(exactly: try integer(isNegative: false)), index <= Int(Int32.max) else {
            throw error("the index is too big", at: start)
        }
        var type: ValueType?
        if case .tuple(let fields) = scope.function.type(of: operand), fields.indices.contains(index) {
            type = fields[index]
        }
        return (.tupleGetItem(operand, index), type)
    }

    private mutating func wordExpression(_ isTyped: Bool) throws -> (Expression, ValueType?) {
        let start = token
        var ahead = lexer
        let next = ahead.next()
        let opens = next.kind == .punctuation && lexer.bytes[next.start] == UInt8(ascii: "(")
        if isWord("fn"), opens {
            advance()
            let function = try self.function()
            return (.function(function), .function(parameters: function.parameterTypes, result: function.resultType))
        }
        if isWord("if") { return try conditional() }
        if isWord("match_cast"), opens {
            advance()
            advance()
            let source = try operand()
            try require(",")
            let target = try type()
            try require(")")
            return (.matchCast(source, target), target)
        }
        if isWord("alias") {
            advance()
            let operand = try self.operand()
            return (.operand(operand), scope.function.type(of: operand))
        }
        if isWord("extern") {
            advance()
            guard token.kind == .string else { throw expected("the name of an external function in quotes") }
            return (try call(.external(try name())), nil)
        }
        guard opens, !isLiteralWord(string(start.start, start.end)) else {
            return try projection(of: try operand())
        }
        let name = try self.name()
        guard let op = Operators.named(name) else { throw error("unknown operator '\(name)'", at: start) }
        return try operatorCall(op, at: start, isTyped)
    }

    /// Words that stand before a parenthesis without being operators.
    private func isLiteralWord(_ word: String) -> Bool { word == "nan" || word == "const" }

    private mutating func operatorCall(_ op: OperatorID, at start: Token, _ isTyped: Bool) throws -> (
        Expression, ValueType?
    ) {
        guard case .call(var call) = try call(.op(op)) else { throw expected("a call") }
        do {
            if isTyped {
                call.attributes = try op.schema.normalised(call.attributes)
                return (.call(call), nil)
            }
            let typed = try Inference.call(
                op, call.arguments, call.attributes, types: call.arguments.map { scope.function.type(of: $0) },
                constants: call.arguments.map(\.constant))
            call.attributes = typed.attributes
            return (.call(call), typed.type)
        } catch let problem as TenonError {
            var located = problem
            located.message = "\(place(start.start)): \(problem.message)"
            throw located
        }
    }

    private mutating func call(_ callee: Callee) throws -> Expression {
        try require("(")
        var arguments: [Operand] = []
        while !isNext(")") {
            arguments.append(try operand())
            if !isNext(")") { try require(",") }
        }
        advance()
        return .call(Call(callee, arguments, isNext("{") ? try attributes() : Attributes()))
    }

    private mutating func conditional() throws -> (Expression, ValueType?) {
        advance()
        let condition = try operand()
        try require("{")
        let thenBody = try body(ending: "yield")
        guard isWord("else") else { throw expected("'else'") }
        advance()
        try require("{")
        let elseBody = try body(ending: "yield")
        let (a, b) = (scope.function.type(of: thenBody.result), scope.function.type(of: elseBody.result))
        return (.conditional(condition, then: thenBody, else: elseBody), a == b ? a : nil)
    }

    // MARK: - Operands

    package mutating func operand() throws -> Operand {
        switch token.kind {
        case .value, .numberedValue, .quotedValue: return .value(try value())
        case .global, .quotedGlobal: return .global(try name())
        case .string: return .string(try name())
        case .integer, .float: return try number(isNegative: false)
        case .punctuation:
            if isNext("(") { return .tuple(try operands()) }
            if try skip("-") { return try number(isNegative: true) }
            throw expected("an operand")
        case .identifier:
            if isWord("const") { return .constant(try constant()) }
            if isWord("shape") {
                advance()
                return .shape(try dims())
            }
            if isWord("inf") || isWord("nan") { return .float(try double(isNegative: false)) }
            if let dtype = DataType(name: string(token.start, token.end)) {
                advance()
                return .dtype(dtype)
            }
            throw expected("an operand")
        default: throw expected("an operand")
        }
    }

    private mutating func operands() throws -> [Operand] {
        try enter()
        defer { depth -= 1 }
        try require("(")
        var operands: [Operand] = []
        while !isNext(")") {
            operands.append(try operand())
            if !isNext(")") { try require(",") }
        }
        advance()
        return operands
    }

    private mutating func number(isNegative: Bool) throws -> Operand {
        token.kind == .integer
            ? .int(try integer(isNegative: isNegative)) : .float(try double(isNegative: isNegative))
    }

    /// A number, `inf`, `nan` or `nan(0x…)` as a double.
    package mutating func double(isNegative: Bool) throws -> Double {
        if isWord("nan") {
            advance()
            guard try skip("(") else { return isNegative ? -.nan : .nan }
            let value = Double(bitPattern: try bits())
            try require(")")
            return value
        }
        if isWord("inf") {
            advance()
            return isNegative ? -.infinity : .infinity
        }
        guard token.kind == .integer || token.kind == .float, let value = Double(string(token.start, token.end)),
            value.isFinite
        else { throw expected("a number that fits a float") }
        advance()
        return isNegative ? -value : value
    }

    /// `0x…`
    mutating func bits() throws -> UInt64 {
        guard token.kind == .hexadecimal, let bits = UInt64(string(token.start + 2, token.end), radix: 16) else {
            throw expected("bits, as 0x7fc00001")
        }
        advance()
        return bits
    }
}
