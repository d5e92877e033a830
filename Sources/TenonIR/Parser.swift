/// Reads the text form. Checks everything that the text says; what the text means is checked by the verifier.
package struct Parser {
    package var lexer: Lexer
    package var token: Token
    package var depth = 0
    /// The module so far.
    private var result = Module()
    /// The function whose body is being read.
    var scope = FunctionScope()
    var constants: ConstantTable

    /// The values of a function by the names that the text gives them.
    struct FunctionScope {
        var function = Function()
        var named: [String: ValueID] = [:]
        var numbered: [Int: ValueID] = [:]
    }

    package init(_ bytes: UnsafeBufferPointer<UInt8>, constants: [Constant]) {
        lexer = Lexer(bytes)
        token = lexer.next()
        self.constants = ConstantTable(given: constants)
    }

    // MARK: - Module

    mutating func module() throws -> Module {
        if isWord("module") {
            advance()
            result.attributes = try attributes()
        }
        while token.kind != .end {
            if isWord("fn") {
                try moduleFunction()
            } else if isWord("constants") {
                try constantSection()
            } else {
                throw expected("'fn' or 'constants'")
            }
        }
        return result
    }

    private mutating func moduleFunction() throws {
        advance()
        let start = token
        let name: String
        switch token.kind {
        case .global, .quotedGlobal, .identifier, .string: name = try self.name()
        default: throw expected("the function's name")
        }
        guard result.functions[name] == nil else { throw error("function '\(name)' is defined twice", at: start) }
        result.functions[name] = try function()
    }

    /// The type of the results of a function of the module that was read already.
    func resultType(of function: String) -> ValueType? { result.functions[function]?.resultType }

    // MARK: - Functions

    /// From the parenthesis in front of the parameters to the closing brace.
    mutating func function() throws -> Function {
        try enter()
        defer { depth -= 1 }
        let outer = scope
        scope = FunctionScope()
        defer { scope = outer }
        try require("(")
        while !isNext(")") {
            let name = token
            guard isValueToken else { throw expected("a parameter, as %x: f32[2]") }
            advance()
            try require(":")
            let id = try define(name, try type())
            scope.function.parameters.append(id)
            if !isNext(")") { try require(",") }
        }
        advance()
        var declared: ValueType?
        var declaredAt = token
        if token.kind == .arrow {
            advance()
            declaredAt = token
            declared = try type()
        }
        try require("{")
        if try startsAttributes() {
            scope.function.attributes = try attributesAfterBrace()
            try require("{")
        }
        scope.function.body = try body(ending: "return")
        if let declared, declared != scope.function.resultType {
            throw error("the function returns \(scope.function.resultType), not \(declared)", at: declaredAt)
        }
        return scope.function
    }

    /// After `{`: attributes begin with a name and `=`, a body never does.
    private mutating func startsAttributes() throws -> Bool {
        if isNext("}") { return true }
        guard token.kind == .identifier || token.kind == .string else { return false }
        var ahead = lexer
        let next = ahead.next()
        return next.kind == .punctuation && lexer.bytes[next.start] == UInt8(ascii: "=")
    }

    /// Blocks, `return` or `yield`, result and closing brace.
    mutating func body(ending: StaticString) throws -> Body {
        try enter()
        defer { depth -= 1 }
        var blocks: [Block] = []
        // Bindings that stand in no braces belong to the plain block that is open.
        var isOpen = false
        while true {
            if isValueToken {
                if !isOpen { blocks.append(Block(isDataflow: false)) }
                isOpen = true
                let binding = try binding(isDataflow: false)
                blocks[blocks.count - 1].bindings.append(binding)
            } else if isWord("dataflow") || isWord("block") {
                blocks.append(try block(isDataflow: isWord("dataflow")))
                isOpen = false
            } else if isWord(ending) {
                advance()
                let result = try operand()
                try require("}")
                return Body(blocks: blocks, result: result)
            } else {
                throw expected("a binding, 'dataflow', 'block' or '\(ending)'")
            }
        }
    }

    private mutating func block(isDataflow: Bool) throws -> Block {
        advance()
        try require("{")
        var block = Block(isDataflow: isDataflow)
        while !isNext("}") {
            if isDataflow, isWord("output") {
                advance()
                try outputs(of: block)
                break
            }
            guard isValueToken else { throw expected(isDataflow ? "a binding, 'output' or '}'" : "a binding or '}'") }
            block.bindings.append(try binding(isDataflow: isDataflow))
        }
        try require("}")
        return block
    }

    private mutating func outputs(of block: Block) throws {
        let first = block.bindings.first?.id
        repeat {
            let start = token
            let id = try value()
            // Ids grow, so whatever is not older than the first binding belongs to this block.
            guard let first, id >= first, scope.function.values[id.int].isDataflow else {
                throw error("\(found(start)) is not a value of this block, or is an output already", at: start)
            }
            scope.function.values[id.int].isDataflow = false
        } while try skip(",")
    }

    private mutating func binding(isDataflow: Bool) throws -> Binding {
        let name = token
        advance()
        var type: ValueType?
        if isNext(":") {
            advance()
            type = try self.type()
        }
        try require("=")
        let start = token
        let (expression, inferred) = try self.expression(isTyped: type != nil)
        guard let known = type ?? inferred else {
            throw error("the type of \(found(name)) cannot be inferred; write it in front of '='", at: start)
        }
        let id = try define(name, known)
        scope.function.values[id.int].isDataflow = isDataflow
        return Binding(id, expression)
    }

    private mutating func define(_ name: Token, _ type: ValueType) throws -> ValueID {
        let id: ValueID
        if name.kind == .numberedValue {
            guard let number = Int(string(name.start, name.end)) else { throw error("the number is too big", at: name) }
            id = scope.function.addValue("", type)
            guard scope.numbered.updateValue(id, forKey: number) == nil else {
                throw error("\(found(name)) is defined twice", at: name)
            }
        } else {
            let text = try self.text(of: name)
            id = scope.function.addValue(text, type)
            guard scope.named.updateValue(id, forKey: text) == nil else {
                throw error("\(found(name)) is defined twice", at: name)
            }
        }
        return id
    }

    // MARK: - Names of values

    var isValueToken: Bool {
        token.kind == .value || token.kind == .numberedValue || token.kind == .quotedValue
    }

    /// A value that is defined already.
    mutating func value() throws -> ValueID {
        guard isValueToken else { throw expected("a value, as %x") }
        let id: ValueID?
        if token.kind == .numberedValue {
            id = Int(string(token.start, token.end)).flatMap { scope.numbered[$0] }
        } else {
            id = scope.named[try text(of: token)]
        }
        guard let id else { throw error("\(found(token)) is not defined before its use", at: token) }
        advance()
        return id
    }
}
