/// Tokens and expressions of TVMScript.
struct ScriptSyntax {
    var lexer: ScriptLexer
    var token: ScriptToken
    private var depth = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        lexer = ScriptLexer(bytes)
        token = lexer.next()
    }

    // MARK: - Tokens

    mutating func advance() { token = lexer.next() }

    func text(_ token: ScriptToken) -> String {
        String(decoding: lexer.bytes.prefix(token.end).dropFirst(token.start), as: UTF8.self)
    }

    private func spells(_ text: StaticString) -> Bool {
        guard token.end - token.start == text.utf8CodeUnitCount else { return false }
        return text.withUTF8Buffer { $0.elementsEqual(lexer.bytes.prefix(token.end).dropFirst(token.start)) }
    }

    func isNext(_ punctuation: StaticString) -> Bool { token.kind == .punctuation && spells(punctuation) }

    func isWord(_ word: StaticString) -> Bool { token.kind == .name && spells(word) }

    mutating func skip(_ punctuation: StaticString) -> Bool {
        guard isNext(punctuation) else { return false }
        advance()
        return true
    }

    mutating func require(_ punctuation: StaticString) throws {
        guard skip(punctuation) else { throw expected("'\(punctuation)'") }
    }

    mutating func name() throws -> String {
        guard token.kind == .name else { throw expected("a name") }
        let name = text(token)
        advance()
        return name
    }

    mutating func endLine() throws {
        if skip(";") { return }
        guard token.kind == .newline else { throw expected("the end of the line") }
        advance()
    }

    /// Counts a level of nesting; the caller takes it back.
    mutating func enter(_ levels: Int = 1) throws {
        guard depth + levels <= 2 * TextForm.nestingLimit else {
            throw TenonError(
                .limitExceeded,
                "\(TextForm.place(token.start, in: lexer.bytes)): nested deeper than \(2 * TextForm.nestingLimit) levels"
            )
        }
        depth += levels
    }

    mutating func leave(_ levels: Int = 1) { depth -= levels }

    // MARK: - Errors

    func expected(_ what: String) -> TenonError { error("expected \(what), found \(found(token))", at: token.start) }

    func error(_ message: ErrorMessage, at offset: Int) -> TenonError {
        TenonError(.parseError, "\(TextForm.place(offset, in: lexer.bytes)): \(message)")
    }

    private func found(_ token: ScriptToken) -> String {
        switch token.kind {
        case .end: return "the end of the text"
        case .newline: return "the end of the line"
        case .indent, .dedent: return "another indentation"
        default: return "'\(TextForm.oneLine(lexer.bytes, token.start, token.end))'"
        }
    }

    // MARK: - Expressions

    /// Several in a row without brackets are a tuple.
    mutating func expressions() throws -> ScriptNode {
        let start = token.start
        let first = try expression()
        guard isNext(",") else { return first }
        var entries = [first]
        while skip(","), token.kind != .newline, !isNext("=") { entries.append(try expression()) }
        return ScriptNode(kind: .tuple(entries), at: start)
    }

    mutating func expression() throws -> ScriptNode {
        try enter()
        defer { leave() }
        return try operations(0)
    }

    /// From loosely to tightly binding ones.
    private static let operators: [[StaticString]] = [
        ["<=", ">=", "==", "!=", "<", ">"], ["+", "-"], ["*", "//", "/", "%"],
    ]

    private mutating func operations(_ level: Int) throws -> ScriptNode {
        guard level < ScriptSyntax.operators.count else { return try signed() }
        var left = try operations(level + 1)
        // A long row nests to the left, as deep as it is long.
        var levels = 0
        defer { leave(levels) }
        while let found = ScriptSyntax.operators[level].first(where: { isNext($0) }) {
            try enter()
            levels += 1
            advance()
            let right = try operations(level + 1)
            left = ScriptNode(kind: .operation("\(found)", left, right), at: left.at)
        }
        return left
    }

    private mutating func signed() throws -> ScriptNode {
        let start = token.start
        guard skip("-") else { return try power() }
        try enter()
        defer { leave() }
        // The least integer has no positive counterpart.
        if token.kind == .integer, let value = Int64("-" + text(token)) {
            advance()
            return ScriptNode(kind: .int(value), at: start)
        }
        let operand = try signed()
        if case .float(let value) = operand.kind { return ScriptNode(kind: .float(-value), at: start) }
        return ScriptNode(kind: .negated(operand), at: start)
    }

    private mutating func power() throws -> ScriptNode {
        let base = try postfix()
        guard skip("**") else { return base }
        try enter()
        defer { leave() }
        return ScriptNode(kind: .operation("**", base, try signed()), at: base.at)
    }

    private mutating func postfix() throws -> ScriptNode {
        var node = try primary()
        var levels = 0
        defer { leave(levels) }
        while true {
            if isNext("(") {
                try enter()
                levels += 1
                node = try call(node)
            } else if isNext("[") {
                try enter()
                levels += 1
                advance()
                let index = try expression()
                try require("]")
                node = ScriptNode(kind: .item(node, index: index), at: node.at)
            } else {
                return node
            }
        }
    }

    private mutating func call(_ callee: ScriptNode) throws -> ScriptNode {
        try require("(")
        var arguments: [ScriptNode] = []
        var named: [(name: String, value: ScriptNode)] = []
        while !isNext(")") {
            var ahead = lexer
            let next = ahead.next()
            if token.kind == .name, next.kind == .punctuation, next.end == next.start + 1,
                lexer.bytes[next.start] == UInt8(ascii: "=")
            {
                let name = try self.name()
                advance()
                guard !named.contains(where: { $0.name == name }) else {
                    throw error("'\(name)' is given twice", at: next.start)
                }
                named.append((name, try expression()))
            } else {
                guard named.isEmpty else { throw expected("an argument by name") }
                arguments.append(try expression())
            }
            if !isNext(")") { try require(",") }
        }
        advance()
        return ScriptNode(kind: .call(callee, arguments: arguments, named: named), at: callee.at)
    }

    private mutating func primary() throws -> ScriptNode {
        let start = token.start
        func node(_ kind: ScriptNode.Kind) -> ScriptNode { ScriptNode(kind: kind, at: start) }
        switch token.kind {
        case .name:
            let name = try self.name()
            switch name {
            case "None": return node(.none)
            case "True": return node(.bool(true))
            case "False": return node(.bool(false))
            case "lambda": return node(.string(try indices()))
            default: return node(.name(name))
            }
        case .integer:
            guard let value = Int64(text(token)) else { throw error("the integer does not fit 64 bits", at: start) }
            advance()
            return node(.int(value))
        case .float:
            let digits = text(token)
            guard let value = Double(digits.hasSuffix(".") ? digits + "0" : digits) else { throw expected("a number") }
            advance()
            return node(.float(value))
        case .string: return node(.string(try strings()))
        case .punctuation:
            if isNext("(") { return try parenthesised() }
            if skip("[") { return node(.list(try entries(until: "]"))) }
            if skip("{") { return node(.dictionary(try pairs())) }
            throw expected("an expression")
        default: throw expected("an expression")
        }
    }

    /// `i, j: (j, i // 2, i % 2)` as `i, j -> j, i // 2, i % 2`, what an attribute says of indices.
    private mutating func indices() throws -> String {
        var names = [try name()]
        while skip(",") { names.append(try name()) }
        try require(":")
        let start = token.start
        let isTuple = isNext("(")
        let body = try expression()
        // Up to the last of what is neither a blank nor, in a tuple, its end.
        var text = lexer.bytes.prefix(token.start).dropFirst(start)
        while let last = text.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\n") { text = text.dropLast() }
        if isTuple, case .tuple = body.kind {
            text = text.dropFirst().dropLast()
            while let last = text.last, [UInt8(ascii: " "), UInt8(ascii: ",")].contains(last) { text = text.dropLast() }
        }
        return "\(names.joined(separator: ", ")) -> \(String(decoding: text, as: UTF8.self))"
    }

    /// A tuple, or an expression in parentheses.
    private mutating func parenthesised() throws -> ScriptNode {
        let start = token.start
        advance()
        if skip(")") { return ScriptNode(kind: .tuple([]), at: start) }
        let first = try expression()
        if skip(")") { return first }
        try require(",")
        return ScriptNode(kind: .tuple([first] + (try entries(until: ")"))), at: start)
    }

    private mutating func entries(until end: StaticString) throws -> [ScriptNode] {
        var entries: [ScriptNode] = []
        while !isNext(end) {
            entries.append(try expression())
            if !isNext(end) { try require(",") }
        }
        advance()
        return entries
    }

    private mutating func pairs() throws -> [(key: String, value: ScriptNode)] {
        var pairs: [(key: String, value: ScriptNode)] = []
        while !isNext("}") {
            guard token.kind == .string else { throw expected("a name in quotes") }
            let key = try strings()
            try require(":")
            pairs.append((key, try expression()))
            if !isNext("}") { try require(",") }
        }
        advance()
        return pairs
    }

    /// Strings that follow each other are one.
    private mutating func strings() throws -> String {
        var bytes: [UInt8] = []
        let start = token.start
        while token.kind == .string {
            try unescape(token, into: &bytes)
            advance()
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("the string is not valid UTF-8", at: start)
        }
        return text
    }

    private func unescape(_ token: ScriptToken, into bytes: inout [UInt8]) throws {
        let source = lexer.bytes
        let quotes = token.end - token.start >= 6 && source[token.start + 1] == source[token.start] ? 3 : 1
        var index = token.start + quotes
        let last = token.end - quotes
        while index < last {
            let byte = source[index]
            index += 1
            guard byte == UInt8(ascii: "\\"), index < last else {
                bytes.append(byte)
                continue
            }
            let escape = source[index]
            index += 1
            switch escape {
            case UInt8(ascii: "n"): bytes.append(0x0a)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "r"): bytes.append(0x0d)
            case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "\\"): bytes.append(escape)
            case UInt8(ascii: "x"), UInt8(ascii: "u"):
                let count = escape == UInt8(ascii: "x") ? 2 : 4
                let digits = source.prefix(last).dropFirst(index).prefix(count)
                guard digits.count == count, let number = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
                    let scalar = Unicode.Scalar(number)
                else { throw error("expected an escape as \\x1f", at: index) }
                bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
                index += count
            default: throw error("unknown escape; known are \\n \\t \\r \\\" \\' \\\\ \\x… \\u…", at: index)
            }
        }
    }
}
