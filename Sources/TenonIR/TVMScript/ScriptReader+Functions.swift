/// Functions and their statements.
extension ScriptReader {
    /// From the parenthesis in front of the parameters to the end of the body.
    mutating func function() throws -> Function {
        try syntax.enter()
        defer { syntax.leave() }
        let outer = scope
        scope = Scope()
        scope.around = outer.around
        for (name, operand) in outer.names { scope.around[name] = outer.function.type(of: operand) }
        defer {
            let captured = scope.captured
            scope = outer
            self.captured = captured
        }
        try syntax.require("(")
        while !syntax.isNext(")") {
            let name = try syntax.name()
            let type: ValueType = syntax.skip(":") ? try self.type(try syntax.expression()) : .object
            let id = scope.function.addValue(name, type)
            scope.function.parameters.append(id)
            scope.names[name] = .value(id)
            if !syntax.isNext(")") { try syntax.require(",") }
        }
        syntax.advance()
        var declared: ValueType?
        if syntax.skip("->") { declared = try type(try syntax.expression()) }
        try begin()
        var result: Operand?
        while try statement() {
            guard syntax.isWord("return") else {
                if syntax.token.kind == .dedent || syntax.token.kind == .end { break }
                continue
            }
            syntax.advance()
            result = try operand(try syntax.expressions())
            try syntax.endLine()
            break
        }
        while syntax.token.kind == .newline { syntax.advance() }
        guard let result, syntax.token.kind == .dedent else {
            throw syntax.expected(result == nil ? "'return'" : "the end of the function")
        }
        syntax.advance()
        dropEmptyBlock()
        scope.function.body = Body(blocks: scope.blocks, result: result)
        if let declared, declared != scope.function.resultType { bindResult(result, declared) }
        return scope.function
    }

    /// What a function says that it returns may say less than what it computes, or sizes by other names.
    private mutating func bindResult(_ result: Operand, _ declared: ValueType) {
        guard declared != .object, case .value(let id) = result,
            scope.function.type(of: id) == .object, !scope.function.parameters.contains(id)
        else { return }
        scope.function.values[id.int].type = declared
    }

    /// `:`, the end of the line and a deeper indentation.
    private mutating func begin() throws {
        try syntax.require(":")
        guard syntax.token.kind == .newline else { throw syntax.expected("the end of the line") }
        syntax.advance()
        guard syntax.token.kind == .indent else { throw syntax.expected("an indented block") }
        syntax.advance()
    }

    /// Reads statements up to what ends them. Gives true where a `return` or the end of the block follows.
    private mutating func statement() throws -> Bool {
        switch syntax.token.kind {
        case .newline: syntax.advance()
        case .string: skipLine()
        case .dedent, .end: return true
        case .name where syntax.isWord("return"): return true
        case .name where syntax.isWord("pass"): skipLine()
        case .name where syntax.isWord("with"): try dataflow()
        case .name where syntax.isWord("if"): try conditional()
        case .name where syntax.isWord("def"): try localFunction()
        case .punctuation where syntax.isNext("@"):
            _ = try decorators()
            guard syntax.isWord("def") else { throw syntax.expected("'def'") }
            try localFunction()
        default: try simpleStatement()
        }
        return true
    }

    /// The statements of an indented block.
    private mutating func block() throws {
        try begin()
        while syntax.token.kind != .dedent {
            if syntax.token.kind == .end || syntax.isWord("return") { throw syntax.expected("a binding") }
            _ = try statement()
        }
        syntax.advance()
    }

    private mutating func dataflow() throws {
        let start = syntax.token.start
        syntax.advance()
        let node = try syntax.expression()
        guard case .call(let callee, _, _) = node.kind, callee.name == "R.dataflow", !scope.isDataflow else {
            throw syntax.error("expected 'R.dataflow()', and not within another one", at: start)
        }
        try syntax.enter()
        defer { syntax.leave() }
        open(isDataflow: true)
        try block()
        open(isDataflow: false)
    }

    /// Bindings after this go into a block of their own.
    private mutating func open(isDataflow: Bool) {
        dropEmptyBlock()
        scope.blocks.append(Block(isDataflow: isDataflow))
        scope.isDataflow = isDataflow
    }

    private mutating func dropEmptyBlock() {
        if scope.blocks.last?.bindings.isEmpty == true { _ = scope.blocks.popLast() }
    }

    private mutating func localFunction() throws {
        syntax.advance()
        let name = try syntax.name()
        let start = syntax.token.start
        let function = try self.function()
        let captured = try self.captured.map { try value($0, ScriptNode(kind: .name($0), at: start)) }
        let id = bind(
            .function(function), .function(parameters: function.parameterTypes, result: function.resultType), name: name
        )
        scope.captures[id] = captured.isEmpty ? nil : captured
    }

    private mutating func conditional() throws {
        let start = syntax.token.start
        syntax.advance()
        let condition = try operand(try syntax.expression())
        try syntax.enter()
        defer { syntax.leave() }
        let (thenBody, name) = try branch(at: start)
        let other: (body: Body, name: String)
        if syntax.isWord("elif") {
            other = try within(at: start) { try $0.conditional() }
        } else {
            guard syntax.isWord("else") else { throw syntax.expected("'else'") }
            syntax.advance()
            other = try branch(at: start)
        }
        guard name == other.name else {
            throw syntax.error(
                "both branches bind the same name last; here they bind '\(name)' and '\(other.name)'", at: start)
        }
        let (a, b) = (scope.function.type(of: thenBody.result), scope.function.type(of: other.body.result))
        bind(.conditional(condition, then: thenBody, else: other.body), ScriptReader.common(a, b), name: name)
    }

    private mutating func branch(at start: Int) throws -> (body: Body, name: String) {
        try within(at: start) { try $0.block() }
    }

    /// What is read into blocks of its own, and the name that is bound last there.
    private mutating func within(
        at start: Int, _ read: (inout ScriptReader) throws -> Void
    ) throws -> (body: Body, name: String) {
        let (blocks, names, isDataflow) = (scope.blocks, scope.names, scope.isDataflow)
        scope.blocks = []
        scope.isDataflow = false
        scope.last = nil
        try read(&self)
        guard let (name, id) = scope.last else { throw syntax.error("a branch binds nothing", at: start) }
        dropEmptyBlock()
        var result = Operand.value(id)
        // A name for the value that the branch has is none.
        if let last = scope.blocks.last, !last.isDataflow, let binding = last.bindings.last, binding.id == id,
            case .operand(let operand) = binding.expression
        {
            _ = scope.blocks[scope.blocks.count - 1].bindings.popLast()
            dropEmptyBlock()
            result = operand
        }
        let body = Body(blocks: scope.blocks, result: result)
        (scope.blocks, scope.names, scope.isDataflow) = (blocks, names, isDataflow)
        return (body, name)
    }

    /// What is known of a value that has one of two types.
    private static func common(_ a: ValueType, _ b: ValueType) -> ValueType {
        if a == b { return a }
        guard case .tensor(let x) = a, case .tensor(let y) = b else { return .object }
        let dtype = x.dtype == y.dtype ? x.dtype : nil
        return .tensor(TensorType(dtype: dtype, rank: x.rank == y.rank ? x.rank : nil))
    }

    // MARK: - Simple statements

    private mutating func simpleStatement() throws {
        let start = syntax.token.start
        let target = try syntax.expressions()
        var declared: ValueType?
        if syntax.skip(":") {
            let annotation = try syntax.expression()
            // Symbols may be declared with a type of TIR.
            if annotation.name?.hasPrefix("T.") != true { declared = try type(annotation) }
        }
        guard syntax.skip("=") else {
            try effect(target)
            return try syntax.endLine()
        }
        let value = try syntax.expressions()
        try syntax.endLine()
        if let name = target.name, !name.contains(".") {
            return try assign(name, declared, value)
        }
        guard let names = target.entries?.map(\.name), !names.contains(nil) else {
            throw syntax.error("expected a name before '='", at: start)
        }
        try unpack(names.compactMap { $0 }, value, at: start)
    }

    private mutating func assign(_ name: String, _ declared: ValueType?, _ value: ScriptNode) throws {
        if let other = value.name, moduleNames.contains(other) {
            moduleNames.insert(name)
            return
        }
        if try declaresSymbol(name, value) { return }
        // What is left out of a call has a name sometimes.
        guard !value.isNone else {
            scope.absent.insert(name)
            return
        }
        scope.absent.remove(name)
        if case .call(let callee, let arguments, _) = value.kind, callee.name == "R.make_closure" {
            guard arguments.count == 2, let function = arguments[0].name.flatMap({ function(named: $0) }) else {
                throw syntax.error("make_closure: expected a function of the module and a tuple", at: value.at)
            }
            let given = arguments[1].entries ?? [arguments[1]]
            scope.closures[name] = (function, try arguments[1].isEmptyTuple ? [] : given.map { try operand($0) })
            return
        }
        scope.closures[name] = nil
        let (expression, inferred) = try self.expression(value, declared)
        guard let type = declared ?? inferred else {
            throw syntax.error("the type of '\(name)' cannot be inferred; write it behind the name", at: value.at)
        }
        bind(expression, type, name: name)
    }

    /// `n = T.int64()`, `n = T.Var("n", "int64")`, `n = TypeVar("n")`
    private mutating func declaresSymbol(_ name: String, _ value: ScriptNode) throws -> Bool {
        guard case .call(let callee, let arguments, _) = value.kind, let called = callee.name else { return false }
        let isSymbol =
            (["T.int64", "T.int32"].contains(called) && arguments.isEmpty)
            || ["T.Var", "T.var", "TypeVar", "tir.Var", "R.SizeVar", "T.SizeVar", "T.dyn"].contains(called)
        guard isSymbol else { return false }
        if case .string(let symbol)? = arguments.first?.kind, called != "T.var" {
            scope.symbols[name] = .symbol(symbol)
        } else {
            scope.symbols[name] = .symbol(name)
        }
        return true
    }

    /// `a, b = R.split(…)`
    private mutating func unpack(_ names: [String], _ value: ScriptNode, at start: Int) throws {
        let tuple = try operand(value)
        guard case .tuple(let fields) = scope.function.type(of: tuple), fields.count == names.count else {
            throw syntax.error("expected a tuple of \(names.count) fields", at: start)
        }
        for (index, name) in names.enumerated() { bind(.tupleGetItem(tuple, index), fields[index], name: name) }
    }

    /// A call that stands alone.
    private mutating func effect(_ node: ScriptNode) throws {
        guard case .call(let callee, let arguments, _) = node.kind else {
            throw syntax.error("expected a binding", at: node.at)
        }
        switch callee.name {
        case "R.func_attr", "T.func_attr":
            guard let first = arguments.first else { return }
            for entry in try attributes(first).entries { scope.function.attributes[entry.name] = entry.value }
        case "R.output": for argument in arguments { try output(argument) }
        case "R.func_ret_ty", "R.func_ret_struct_info", "R.func_ret_value": break
        default: _ = try operand(node)
        }
    }

    private mutating func output(_ node: ScriptNode) throws {
        guard scope.isDataflow, let name = node.name, case .value(let id)? = scope.names[name],
            // Ids grow, so whatever is not older than the first binding belongs to this block.
            let first = scope.blocks.last?.bindings.first?.id, id >= first
        else { throw syntax.error("expected a value of this block", at: node.at) }
        scope.function.values[id.int].isDataflow = false
    }

    @discardableResult
    mutating func bind(_ expression: Expression, _ type: ValueType, name: String) -> ValueID {
        let id = scope.function.addValue(name, type, isDataflow: scope.isDataflow)
        if scope.blocks.isEmpty { scope.blocks.append(Block(isDataflow: scope.isDataflow)) }
        scope.blocks[scope.blocks.count - 1].bindings.append(Binding(id, expression))
        if !name.isEmpty {
            scope.names[name] = .value(id)
            scope.last = (name, id)
        }
        return id
    }
}
