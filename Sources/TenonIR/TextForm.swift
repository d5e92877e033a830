/// How a module is printed.
public struct PrintOptions: Sendable {
    /// Where the contents of big constants go.
    public enum Constants: Sendable {
        /// They stay out: `const#2: f32[64,3,7,7]`. The text reads back only with the table of constants.
        case references
        /// The same, and a section at the end holds the data in base64.
        case data
    }

    /// Where the contents of big constants go.
    public var constants: Constants
    /// A constant with at most so many elements is printed in place.
    public var inlineElements: Int

    /// Short and readable by default.
    public init(constants: Constants = .references, inlineElements: Int = 16) {
        self.constants = constants
        self.inlineElements = inlineElements
    }
}

extension Module {
    /// The text form, which parses back to an equal module when constants are included or all small.
    public func text(_ options: PrintOptions = PrintOptions()) -> String { printed(options).text }

    /// The text form, and the constants that its references `const#i` mean, by number.
    public func printed(_ options: PrintOptions = PrintOptions()) -> (text: String, constants: [Constant]) {
        var printer = Printer(options)
        printer.module(self)
        return (printer.text, printer.constants)
    }

    /// Reads the text form, or TVMScript. `constants` gives the contents of references that the text itself does not hold.
    ///
    /// Types are taken as written, and where none is written inferred; `verify()` checks them.
    /// - Throws: `.parseError` with line and column.
    public init(text: String, constants: [Constant] = []) throws {
        var text = text
        self = try text.withUTF8 { try Module(utf8: $0, constants: constants) }
    }

    /// As above, from bytes that need not be valid UTF-8.
    public init(utf8: UnsafeBufferPointer<UInt8>, constants: [Constant] = []) throws {
        if ScriptReader.isScript(utf8) {
            var reader = ScriptReader(utf8, constants: constants)
            self = try reader.read()
            return
        }
        var parser = Parser(utf8, constants: constants)
        self = try parser.module()
    }
}

extension Module: CustomStringConvertible {
    /// The text form, with big constants as references.
    public var description: String { text() }
}

extension Function {
    /// The function alone as text.
    public func text(named name: String, _ options: PrintOptions = PrintOptions()) -> String {
        var printer = Printer(options)
        printer.function(self, named: name)
        return printer.text
    }
}

extension ValueType {
    /// The text form, which `init(text:)` reads; unlike `description` it quotes names where it must.
    public var text: String { Literals.text(self) }

    /// Reads a type: `f32[n,3,224,224]`.
    /// - Throws: `.parseError`.
    public init(text: String) throws { self = try Parser.whole(text) { try $0.type() } }
}

extension Operand {
    /// Reads a literal: `shape[n,64]`, `4`, `0.5`, `const f32[2](1, 2)`. Values have no meaning here.
    /// - Throws: `.parseError`.
    public init(text: String) throws { self = try Parser.whole(text) { try $0.operand() } }
}

extension Attributes {
    /// Reads attributes: `strides=[2, 2], padding=[1, 1, 1, 1]`, with or without braces.
    /// - Throws: `.parseError`.
    public init(text: String) throws {
        self = try Parser.whole(text) { parser in
            parser.isNext("{") ? try parser.attributes() : try parser.attributesAfterBrace(untilEnd: true)
        }
    }
}

extension Parser {
    /// Reads something that fills the whole text.
    fileprivate static func whole<T>(_ text: String, _ read: (inout Parser) throws -> T) throws -> T {
        var text = text
        return try text.withUTF8 { bytes in
            var parser = Parser(bytes, constants: [])
            let result = try read(&parser)
            guard parser.token.kind == .end else { throw parser.expected("the end of the text") }
            return result
        }
    }
}

/// What printer and parser agree on.
package enum TextForm {
    package static let nestingLimit = 64
    /// Numbers and symbols in one dimension.
    static let dimensionLimit = 1024

    /// Line and column, from 1; columns count characters (Unicode scalars).
    static func place(_ offset: Int, in bytes: UnsafeBufferPointer<UInt8>) -> String {
        var line = 1
        var column = 1
        for index in 0..<min(max(offset, 0), bytes.count) {
            let byte = bytes[index]
            if byte == 0x0a {
                line += 1
                column = 1
            } else if byte & 0xc0 != 0x80 {
                column += 1
            }
        }
        return "line \(line), column \(column)"
    }

    /// A piece of a text as a message shows it: quotes and line breaks of the text must not break the message's one line.
    static func oneLine(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> String {
        let shown = String(decoding: bytes.prefix(end).dropFirst(start).prefix(40), as: UTF8.self)
        let letters = shown.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : String($0) }
        return letters.joined() + (end - start > 40 ? "…" : "")
    }

    static func isLetter(_ byte: UInt8) -> Bool {
        (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7a) || byte == 0x5f
    }

    static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    /// Letters, digits and `_`, not beginning with a digit; also several such words joined by dots. A dot in front of a
    /// digit is the projection of a tuple, so names like `layer.0` are quoted.
    package static func isIdentifier(_ name: String) -> Bool {
        var expectsLetter = true
        for byte in name.utf8 {
            if isLetter(byte) {
                expectsLetter = false
            } else if expectsLetter {
                return false
            } else if byte == 0x2e {
                expectsLetter = true
            } else if !isDigit(byte) {
                return false
            }
        }
        return !expectsLetter
    }

    /// The name, quoted unless it is an identifier.
    package static func name(_ name: String) -> String { isIdentifier(name) ? name : quoted(name) }

    package static func quoted(_ text: String) -> String {
        quoted(text) { $0 < 0x20 || $0 == 0x7f ? "\\u{\(String($0, radix: 16))}" : nil }
    }

    /// `text` in double quotes, with the escapes that the text form, JSON and Python share. `escape` gives that of any other
    /// character, or nil where it stands for itself.
    static func quoted(_ text: String, escape: (UInt32) -> String?) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            default:
                if let escaped = escape(scalar.value) {
                    result += escaped
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
