/// Moving through tokens, and saying what is wrong with them.
extension Parser {
    package mutating func advance() { token = lexer.next() }

    package func isNext(_ punctuation: Unicode.Scalar) -> Bool {
        token.kind == .punctuation && lexer.bytes[token.start] == UInt8(ascii: punctuation)
    }

    package func isWord(_ word: StaticString) -> Bool {
        guard token.kind == .identifier, token.end - token.start == word.utf8CodeUnitCount else { return false }
        return word.withUTF8Buffer { buffer in
            for index in 0..<buffer.count where buffer[index] != lexer.bytes[token.start + index] { return false }
            return true
        }
    }

    package mutating func require(_ punctuation: Unicode.Scalar) throws {
        guard isNext(punctuation) else { throw expected("'\(punctuation)'") }
        advance()
    }

    package mutating func skip(_ punctuation: Unicode.Scalar) throws -> Bool {
        guard isNext(punctuation) else { return false }
        advance()
        return true
    }

    /// Counts a level of nesting; the caller takes it back.
    package mutating func enter() throws {
        guard depth < TextForm.nestingLimit else {
            throw TenonError(
                .limitExceeded, "\(place(token.start)): nested deeper than \(TextForm.nestingLimit) levels")
        }
        depth += 1
    }

    /// The bytes as they stand.
    package func string(_ start: Int, _ end: Int) -> String {
        String(decoding: UnsafeBufferPointer(rebasing: lexer.bytes[start..<end]), as: UTF8.self)
    }

    /// The name or string that a token means, with quotes and escapes removed.
    package func text(of token: Token) throws -> String {
        switch token.kind {
        case .string, .quotedValue, .quotedGlobal: return try unescaped(token)
        default: return string(token.start, token.end)
        }
    }

    /// A name, bare or quoted.
    package mutating func name() throws -> String {
        switch token.kind {
        case .identifier, .string, .global, .quotedGlobal:
            let text = try self.text(of: token)
            advance()
            return text
        default: throw expected("a name")
        }
    }

    private func unescaped(_ token: Token) throws -> String {
        var bytes: [UInt8] = []
        let last = token.end - 1
        var index = token.start + 1
        bytes.reserveCapacity(last - index)
        while index < last {
            let byte = lexer.bytes[index]
            index += 1
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            guard index < last else { throw error("the string ends within an escape", at: token) }
            let escape = lexer.bytes[index]
            index += 1
            switch escape {
            case UInt8(ascii: "n"): bytes.append(0x0a)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "r"): bytes.append(0x0d)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(escape)
            case UInt8(ascii: "u"):
                guard index < last, lexer.bytes[index] == UInt8(ascii: "{"),
                    let close = (index..<min(last, index + 10)).first(where: { lexer.bytes[$0] == UInt8(ascii: "}") }),
                    let number = UInt32(string(index + 1, close), radix: 16), let scalar = Unicode.Scalar(number)
                else { throw error("expected an escape as \\u{1f}", at: token) }
                bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
                index = close + 1
            default: throw error("unknown escape; known are \\n \\t \\r \\\" \\\\ \\u{…}", at: token)
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("the string is not valid UTF-8", at: token)
        }
        return text
    }

    // MARK: - Errors

    package func expected(_ what: String) -> TenonError { error("expected \(what), found \(found(token))", at: token) }

    package func error(_ message: ErrorMessage, at token: Token) -> TenonError {
        TenonError(.parseError, "\(place(token.start)): \(message)")
    }

    package func place(_ offset: Int) -> String { TextForm.place(offset, in: lexer.bytes) }

    package func found(_ token: Token) -> String {
        if token.kind == .end { return "the end of the text" }
        let sigil =
            switch token.kind {
            case .value, .numberedValue, .quotedValue: "%"
            case .global, .quotedGlobal: "@"
            default: ""
            }
        let text = sigil + TextForm.oneLine(lexer.bytes, token.start, token.end)
        if token.kind == .invalid, lexer.bytes[token.start] == UInt8(ascii: "\"") {
            return "a string without end: \(text)"
        }
        return "'\(text)'"
    }
}
