/// Reads the part of TVMScript that is Relax: functions of a module, and functions alone. Functions of TIR are passed over, calls
/// of them are calls of what this library knows nothing of.
struct ScriptReader {
    var syntax: ScriptSyntax
    let constants: [Constant]
    var module = Module()
    /// The function whose body is being read.
    var scope = Scope()
    /// The functions of the module, read or not, and what they say that they return.
    private(set) var results: [String: ValueType?] = [:]
    /// What the function read last used of those around it.
    var captured: [String] = []
    /// Names that mean the module itself, as the class's own.
    var moduleNames: Set<String> = ["cls"]

    struct Scope {
        var function = Function()
        var blocks: [Block] = []
        /// What a name means. Python gives the same name again and again.
        var names: [String: Operand] = [:]
        var symbols: [String: Dim] = [:]
        /// Names of nothing.
        var absent: Set<String> = []
        var isDataflow = false
        /// What the functions around this one can see, and what of that this one uses: it becomes parameters of its own.
        var around: [String: ValueType] = [:]
        var captured: [String] = []
        /// What a local function takes behind its parameters.
        var captures: [ValueID: [Operand]] = [:]
        /// Functions of the module with their last arguments, as TVM's passes make them of local functions.
        var closures: [String: (function: String, arguments: [Operand])] = [:]
        /// What was bound last, by name and value.
        var last: (name: String, id: ValueID)?
    }

    init(_ bytes: UnsafeBufferPointer<UInt8>, constants: [Constant]) {
        syntax = ScriptSyntax(bytes)
        self.constants = constants
    }

    /// Whether a text is Python's rather than the text form: that begins with `fn`, `module`, `constants` or a comment of its
    /// own, and never with what a script begins with.
    static func isScript(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let start = bytes.firstIndex(where: { $0 > 0x20 }) else { return false }
        if bytes[start] == UInt8(ascii: "#") || bytes[start] == UInt8(ascii: "@") { return true }
        var lexer = ScriptLexer(bytes)
        var first = lexer.next()
        if first.kind == .indent { first = lexer.next() }
        guard first.kind == .name else { return false }
        let word = String(decoding: bytes.prefix(first.end).dropFirst(first.start), as: UTF8.self)
        if ["from", "import", "class", "def"].contains(word) { return true }
        let next = lexer.next()
        return next.kind == .punctuation && bytes[next.start] == UInt8(ascii: "=")
    }

    mutating func read() throws -> Module {
        var probe = self
        results = try probe.declaredResults()
        // A text that is cut out of a program may be indented as a whole.
        if syntax.token.kind == .indent { syntax.advance() }
        while syntax.token.kind != .end { try item() }
        return module
    }

    // MARK: - Modules

    private mutating func item() throws {
        switch syntax.token.kind {
        case .newline, .dedent: syntax.advance()
        case .string: skipLine()
        case .name where syntax.isWord("class"): try classBody()
        case .name where syntax.isWord("def"): try definition(decorators: [])
        case .name where syntax.isWord("from") || syntax.isWord("import") || syntax.isWord("pass"): skipLine()
        case .name: try moduleStatement()
        case .punctuation where syntax.isNext("@"): try definition(decorators: try decorators())
        default: throw syntax.expected("a class, a function or '@'")
        }
    }

    /// `I.module_attrs({…})`, and what only Python needs: symbols, metadata, devices.
    private mutating func moduleStatement() throws {
        guard syntax.isWord("I.module_attrs") else { return skipLine() }
        let node = try syntax.expression()
        if case .call(_, let arguments, _) = node.kind, let first = arguments.first {
            module.attributes = try attributes(first)
        }
        try syntax.endLine()
    }

    private mutating func classBody() throws {
        syntax.advance()
        moduleNames.insert(try syntax.name())
        while syntax.token.kind != .newline, syntax.token.kind != .end { syntax.advance() }
        syntax.advance()
        guard syntax.token.kind == .indent else { throw syntax.expected("an indented block") }
        syntax.advance()
        while syntax.token.kind != .dedent, syntax.token.kind != .end { try item() }
    }

    mutating func decorators() throws -> [ScriptNode] {
        var decorators: [ScriptNode] = []
        while syntax.skip("@") {
            decorators.append(try syntax.expression())
            try syntax.endLine()
        }
        return decorators
    }

    private mutating func definition(decorators: [ScriptNode]) throws {
        if syntax.isWord("class") { return try classBody() }
        let start = syntax.token.start
        guard syntax.isWord("def") else { throw syntax.expected("'def' or 'class'") }
        syntax.advance()
        let name = try syntax.name()
        guard ScriptReader.isRelax(decorators) else { return skipBody() }
        guard module[name] == nil else { throw syntax.error("function '\(name)' is defined twice", at: start) }
        var function = try self.function()
        // What is not private can be called from outside, by this name.
        let isPrivate = decorators.contains { ScriptReader.flag("private", of: $0) }
        if !isPrivate, name != "main", function.attributes["global_symbol"] == nil {
            function.attributes["global_symbol"] = .string(name)
        }
        module[name] = function
        results[name] = function.resultType
    }

    private static func isRelax(_ decorators: [ScriptNode]) -> Bool {
        decorators.contains { node in
            if case .call(let callee, _, _) = node.kind { return callee.name == "R.function" }
            return node.name == "R.function"
        }
    }

    private static func flag(_ name: String, of decorator: ScriptNode) -> Bool {
        guard case .call(_, _, let named) = decorator.kind,
            case .bool(let flag)? = named.first(where: { $0.name == name })?.value.kind
        else { return false }
        return flag
    }

    // MARK: - What is passed over

    mutating func skipLine() {
        while syntax.token.kind != .newline, syntax.token.kind != .end { syntax.advance() }
        if syntax.token.kind == .newline { syntax.advance() }
    }

    /// The rest of a header and the block behind it.
    private mutating func skipBody() {
        skipLine()
        guard syntax.token.kind == .indent else { return }
        var depth = 0
        repeat {
            if syntax.token.kind == .indent { depth += 1 }
            if syntax.token.kind == .dedent { depth -= 1 }
            syntax.advance()
        } while depth > 0 && syntax.token.kind != .end
    }

    /// Functions by name with the results that they declare, so that a call may stand in front of what it calls.
    private mutating func declaredResults() throws -> [String: ValueType?] {
        var found: [String: ValueType?] = [:]
        var depth = 0
        var isClass = false
        while syntax.token.kind != .end {
            switch syntax.token.kind {
            case .indent: depth += 1
            case .dedent: depth -= 1
            case .name where depth == 0 && syntax.isWord("class"): isClass = true
            case .name where depth <= (isClass ? 1 : 0) && syntax.isWord("def"):
                syntax.advance()
                if syntax.token.kind == .name {
                    found.updateValue(try declaredResult(), forKey: syntax.text(syntax.token))
                }
                continue
            default: break
            }
            syntax.advance()
        }
        return found
    }

    private mutating func declaredResult() throws -> ValueType? {
        var ahead = self
        ahead.syntax.advance()
        var brackets = 0
        while ahead.syntax.token.kind != .newline, ahead.syntax.token.kind != .end {
            if ahead.syntax.isNext("(") { brackets += 1 }
            if ahead.syntax.isNext(")") { brackets -= 1 }
            ahead.syntax.advance()
            if brackets == 0 { break }
        }
        guard ahead.syntax.skip("->"), let node = try? ahead.syntax.expression() else { return nil }
        return try? ahead.type(node)
    }
}
