/// One word of the text form: a kind and where it stands.
package struct Token {
    package enum Kind {
        case identifier
        /// Digits only.
        case integer
        /// With a point or an exponent.
        case float
        /// `0x…`
        case hexadecimal
        case string
        /// `%name`; the range covers the name.
        case value
        /// `%12`; the range covers the digits.
        case numberedValue
        /// `%"name"`; the range covers the string with its quotes.
        case quotedValue
        /// `@name`.
        case global
        /// `@"name"`.
        case quotedGlobal
        case arrow
        case ellipsis
        /// One byte that stands for itself.
        case punctuation
        case end
        /// Something that no token begins with, or that does not end.
        case invalid
    }

    package var kind: Kind
    package var start: Int
    package var end: Int
}

/// Cuts UTF-8 into tokens. Never reads outside of `bytes`.
package struct Lexer {
    package let bytes: UnsafeBufferPointer<UInt8>
    package private(set) var position = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private func byte(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }

    package mutating func next() -> Token {
        skipBlanks()
        guard position < bytes.count else { return Token(kind: .end, start: bytes.count, end: bytes.count) }
        let start = position
        let first = bytes[start]
        if TextForm.isLetter(first) {
            position = identifierEnd(start)
            return Token(kind: .identifier, start: start, end: position)
        }
        if TextForm.isDigit(first) { return number(start) }
        switch first {
        case UInt8(ascii: "\""): return string(start, .string)
        case UInt8(ascii: "%"): return sigil(start, .value, .quotedValue)
        case UInt8(ascii: "@"): return sigil(start, .global, .quotedGlobal)
        case UInt8(ascii: "-") where byte(start + 1) == UInt8(ascii: ">"):
            position = start + 2
            return Token(kind: .arrow, start: start, end: position)
        case UInt8(ascii: ".") where byte(start + 1) == UInt8(ascii: ".") && byte(start + 2) == UInt8(ascii: "."):
            position = start + 3
            return Token(kind: .ellipsis, start: start, end: position)
        case 0x21...0x7e:
            position = start + 1
            return Token(kind: .punctuation, start: start, end: position)
        default:
            position = start + 1
            return Token(kind: .invalid, start: start, end: position)
        }
    }

    private mutating func skipBlanks() {
        while position < bytes.count {
            let byte = bytes[position]
            if byte == 0x20 || (byte >= 0x09 && byte <= 0x0d) {
                position += 1
            } else if byte == UInt8(ascii: "/"), self.byte(position + 1) == UInt8(ascii: "/") {
                while position < bytes.count, bytes[position] != 0x0a { position += 1 }
            } else {
                return
            }
        }
    }

    private func identifierEnd(_ start: Int) -> Int {
        var end = start
        while true {
            let byte = self.byte(end)
            if TextForm.isLetter(byte) || TextForm.isDigit(byte) {
                end += 1
            } else if byte == UInt8(ascii: "."), TextForm.isLetter(self.byte(end + 1)) {
                end += 2
            } else {
                return end
            }
        }
    }

    private func digitsEnd(_ start: Int) -> Int {
        var end = start
        while TextForm.isDigit(byte(end)) { end += 1 }
        return end
    }

    private mutating func number(_ start: Int) -> Token {
        if byte(start) == UInt8(ascii: "0"), byte(start + 1) == UInt8(ascii: "x") {
            var end = start + 2
            while TextForm.isDigit(byte(end)) || TextForm.isLetter(byte(end)) { end += 1 }
            position = end
            return Token(kind: .hexadecimal, start: start, end: end)
        }
        var end = digitsEnd(start)
        var kind = Token.Kind.integer
        if byte(end) == UInt8(ascii: "."), TextForm.isDigit(byte(end + 1)) {
            end = digitsEnd(end + 1)
            kind = .float
        }
        if byte(end) | 0x20 == UInt8(ascii: "e") {
            let sign = byte(end + 1) == UInt8(ascii: "+") || byte(end + 1) == UInt8(ascii: "-")
            let digits = end + (sign ? 2 : 1)
            if TextForm.isDigit(byte(digits)) {
                end = digitsEnd(digits)
                kind = .float
            }
        }
        position = end
        return Token(kind: kind, start: start, end: end)
    }

    private mutating func string(_ start: Int, _ kind: Token.Kind) -> Token {
        var end = start + 1
        while end < bytes.count {
            let byte = bytes[end]
            if byte == UInt8(ascii: "\"") {
                position = end + 1
                return Token(kind: kind, start: start, end: position)
            }
            // A line break ends it too, so that a forgotten quote is reported where it is missing.
            if byte == 0x0a { break }
            end += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        position = min(end, bytes.count)
        return Token(kind: .invalid, start: start, end: position)
    }

    private mutating func sigil(_ start: Int, _ plain: Token.Kind, _ quoted: Token.Kind) -> Token {
        let next = byte(start + 1)
        if next == UInt8(ascii: "\"") { return string(start + 1, quoted) }
        if TextForm.isLetter(next) {
            position = identifierEnd(start + 1)
            return Token(kind: plain, start: start + 1, end: position)
        }
        if plain == .value, TextForm.isDigit(next) {
            position = digitsEnd(start + 1)
            return Token(kind: .numberedValue, start: start + 1, end: position)
        }
        position = start + 1
        return Token(kind: .invalid, start: start, end: position)
    }
}
