/// The message of an error, which knows what in it says what was expected and what was found.
///
/// Messages have one of these forms: "… expects E, found F", "… expected E, found F", "… is F, expected E". The words that divide
/// them count in the literal parts only: names and types that are put in may hold any text.
public struct ErrorMessage: ExpressibleByStringInterpolation, Sendable {
    public let text: String
    /// What was expected, as the text says it; empty when it does not.
    public let expectation: String
    /// What was found instead, as the text says it; empty when it does not.
    public let found: String

    public init(stringLiteral text: String) {
        var interpolation = StringInterpolation(literalCapacity: text.utf8.count, interpolationCount: 0)
        interpolation.appendLiteral(text)
        self.init(stringInterpolation: interpolation)
    }

    public init(stringInterpolation: StringInterpolation) {
        text = stringInterpolation.text
        (expectation, found) = stringInterpolation.parts
    }

    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""
        /// Where "expects" and "found" begin and end, in bytes of the text, the first time.
        private var expects: Range<Int>?
        private var finds: Range<Int>?
        /// Where what is said to be wrong begins: behind "is", "has" or a colon.
        private var subject = 0
        /// What a message or an error that was put in knows.
        private var inner = (expectation: "", found: "")

        public init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity + 64) }

        public mutating func appendLiteral(_ literal: String) {
            let base = text.utf8.count
            text += literal
            let bytes = Array(literal.utf8)
            for start in bytes.indices {
                if start == 0 ? base == 0 : bytes[start - 1] == UInt8(ascii: " ") {
                    note(Self.word(in: bytes, at: start), at: base + start)
                }
                if expects == nil, bytes[start...].starts(with: ": ".utf8) { subject = base + start + 2 }
            }
        }

        public mutating func appendInterpolation<T>(_ value: T) { text += "\(value)" }

        public mutating func appendInterpolation(_ message: ErrorMessage) {
            text += message.text
            if inner.expectation.isEmpty && inner.found.isEmpty { inner = (message.expectation, message.found) }
        }

        public mutating func appendInterpolation(_ error: TenonError) {
            text += error.message
            if inner.expectation.isEmpty && inner.found.isEmpty { inner = (error.expectation, error.found) }
        }

        private enum Word { case expects, finds, verb }

        /// The dividing word at a position, and its length with the space behind it.
        private static func word(in bytes: [UInt8], at start: Int) -> (word: Word, length: Int)? {
            for (text, word) in words where bytes[start...].starts(with: text.utf8) { return (word, text.utf8.count) }
            return nil
        }

        private static let words: [(text: String, word: Word)] = [
            ("expects ", .expects), ("expect ", .expects), ("expected ", .expects), ("found ", .finds), ("is ", .verb),
            ("has ", .verb), ("have ", .verb),
        ]

        private mutating func note(_ met: (word: Word, length: Int)?, at start: Int) {
            guard let met else { return }
            let place = start..<start + met.length
            switch met.word {
            case .expects: if expects == nil { expects = place }
            case .finds:
                // The one behind the expectation counts, if there is one.
                if let expects, let before = finds, before.lowerBound < expects.lowerBound { finds = nil }
                if finds == nil { finds = place }
            case .verb: if expects == nil { subject = place.upperBound }
            }
        }

        fileprivate var parts: (expectation: String, found: String) {
            let bytes = Array(text.utf8)
            guard let expects else {
                guard let finds else { return inner }
                return (inner.expectation, Self.part(bytes[finds.upperBound...]))
            }
            if let finds {
                if finds.lowerBound > expects.lowerBound {
                    return (
                        Self.part(bytes[expects.upperBound..<finds.lowerBound]), Self.part(bytes[finds.upperBound...])
                    )
                }
                return (
                    Self.part(bytes[expects.upperBound...]), Self.part(bytes[finds.upperBound..<expects.lowerBound])
                )
            }
            let before = bytes[..<expects.lowerBound]
            let divided = before.dropLast().last.map { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: ";") } ?? false
            return (Self.part(bytes[expects.upperBound...]), divided ? Self.part(before[subject...]) : "")
        }

        /// Without the punctuation that divides it from what follows.
        private static func part(_ bytes: ArraySlice<UInt8>) -> String {
            let divider = Array(" ,;".utf8)
            var end = bytes.endIndex
            while end > bytes.startIndex, divider.contains(bytes[end - 1]) { end -= 1 }
            return String(decoding: bytes[..<end], as: UTF8.self)
        }
    }
}
