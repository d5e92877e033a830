/// One word of TVMScript: a kind and where it stands.
struct ScriptToken {
    enum Kind {
        /// `R.nn.relu`: names joined by dots are one.
        case name
        case integer
        case float
        case string
        /// One byte that stands for itself, or one of `->`, `//`, `**`, `<=`, `>=`, `==`, `!=`.
        case punctuation
        case newline
        case indent
        case dedent
        case end
        /// Something that no token begins with, or that does not end.
        case invalid
    }

    var kind: Kind
    var start: Int
    var end: Int
}

/// Cuts Python's syntax into tokens, with lines and indentation. Never reads outside of `bytes`.
struct ScriptLexer {
    let bytes: UnsafeBufferPointer<UInt8>
    private(set) var position = 0
    /// Columns of the blocks that are open.
    private var columns = [0]
    /// Blocks that end here and have not been told.
    private var closing = 0
    private var brackets = 0
    private var startsLine = true
    /// The end of the last line has been told.
    private var isEnded = false

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private func byte(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }

    mutating func next() -> ScriptToken {
        if closing > 0 {
            closing -= 1
            return ScriptToken(kind: .dedent, start: position, end: position)
        }
        if startsLine, brackets == 0, let token = indentation() { return token }
        startsLine = false
        skipBlanks()
        guard position < bytes.count else { return atEnd() }
        let start = position
        let first = bytes[start]
        if first == 0x0a {
            position += 1
            startsLine = true
            return ScriptToken(kind: .newline, start: start, end: position)
        }
        if TextForm.isLetter(first) { return word(start) }
        if TextForm.isDigit(first) || (first == 0x2e && TextForm.isDigit(byte(start + 1))) { return number(start) }
        if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") { return string(start) }
        return punctuation(start)
    }

    /// At the beginning of a line: where blocks begin and end. Blank lines and comments say nothing.
    private mutating func indentation() -> ScriptToken? {
        var column = 0
        while position < bytes.count {
            switch bytes[position] {
            case 0x20: column += 1
            case 0x09: column = (column / 8 + 1) * 8
            case 0x0d, 0x0c: break
            case 0x0a: column = 0
            case UInt8(ascii: "#"):
                skipComment()
                continue
            default: return opened(at: column)
            }
            position += 1
        }
        return nil
    }

    private mutating func opened(at column: Int) -> ScriptToken? {
        startsLine = false
        let current = columns.last ?? 0
        if column == current { return nil }
        if column > current {
            columns.append(column)
            return ScriptToken(kind: .indent, start: position, end: position)
        }
        var count = 0
        while let last = columns.last, last > column {
            _ = columns.popLast()
            count += 1
        }
        guard columns.last == column else {
            columns.append(column)
            return ScriptToken(kind: .invalid, start: position, end: min(position + 1, bytes.count))
        }
        closing = count - 1
        return ScriptToken(kind: .dedent, start: position, end: position)
    }

    /// What is open ends with the text.
    private mutating func atEnd() -> ScriptToken {
        if !isEnded {
            isEnded = true
            return ScriptToken(kind: .newline, start: position, end: position)
        }
        guard columns.count > 1 else { return ScriptToken(kind: .end, start: position, end: position) }
        _ = columns.popLast()
        return ScriptToken(kind: .dedent, start: position, end: position)
    }

    private mutating func skipComment() {
        while position < bytes.count, bytes[position] != 0x0a { position += 1 }
    }

    private mutating func skipBlanks() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0d, 0x0c: position += 1
            case 0x0a where brackets > 0: position += 1
            case UInt8(ascii: "\\") where byte(position + 1) == 0x0a: position += 2
            case UInt8(ascii: "#"): skipComment()
            default: return
            }
        }
    }

    private mutating func word(_ start: Int) -> ScriptToken {
        var end = start
        while true {
            let byte = self.byte(end)
            if TextForm.isLetter(byte) || TextForm.isDigit(byte) {
                end += 1
            } else if byte == UInt8(ascii: "."), TextForm.isLetter(self.byte(end + 1)) {
                end += 2
            } else {
                break
            }
        }
        position = end
        return ScriptToken(kind: .name, start: start, end: end)
    }

    private mutating func number(_ start: Int) -> ScriptToken {
        var end = start
        var kind = ScriptToken.Kind.integer
        func digits() { while TextForm.isDigit(byte(end)) { end += 1 } }
        digits()
        if byte(end) == UInt8(ascii: ".") {
            end += 1
            digits()
            kind = .float
        }
        if byte(end) | 0x20 == UInt8(ascii: "e") {
            let sign = byte(end + 1) == UInt8(ascii: "+") || byte(end + 1) == UInt8(ascii: "-")
            if TextForm.isDigit(byte(end + (sign ? 2 : 1))) {
                end += sign ? 2 : 1
                digits()
                kind = .float
            }
        }
        position = end
        return ScriptToken(kind: kind, start: start, end: end)
    }

    /// In single or double quotes, or in three of them over several lines.
    private mutating func string(_ start: Int) -> ScriptToken {
        let quote = bytes[start]
        let isLong = byte(start + 1) == quote && byte(start + 2) == quote
        var end = start + (isLong ? 3 : 1)
        while end < bytes.count {
            let byte = bytes[end]
            if byte == UInt8(ascii: "\\") {
                end += 2
            } else if byte == quote, !isLong || (self.byte(end + 1) == quote && self.byte(end + 2) == quote) {
                position = end + (isLong ? 3 : 1)
                return ScriptToken(kind: .string, start: start, end: position)
            } else if byte == 0x0a, !isLong {
                break
            } else {
                end += 1
            }
        }
        position = min(end, bytes.count)
        return ScriptToken(kind: .invalid, start: start, end: position)
    }

    private static let pairs: [[UInt8]] = ["->", "//", "**", "<=", ">=", "==", "!="].map { Array($0.utf8) }

    private mutating func punctuation(_ start: Int) -> ScriptToken {
        let first = bytes[start]
        let isPair = ScriptLexer.pairs.contains { $0[0] == first && $0[1] == byte(start + 1) }
        position = start + (isPair ? 2 : 1)
        switch first {
        case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): brackets += 1
        case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"): brackets = max(brackets - 1, 0)
        default: break
        }
        let isPrintable = first > 0x20 && first < 0x7f
        return ScriptToken(kind: isPrintable ? .punctuation : .invalid, start: start, end: position)
    }
}
