/// Attributes and constants.
extension Parser {
    package mutating func attributes() throws -> Attributes {
        try require("{")
        return try attributesAfterBrace()
    }

    /// With `untilEnd` the end of the text stands for the closing brace.
    mutating func attributesAfterBrace(untilEnd: Bool = false) throws -> Attributes {
        func isOver() -> Bool { untilEnd ? token.kind == .end : isNext("}") }
        var attributes = Attributes()
        while !isOver() {
            let start = token
            guard token.kind == .identifier || token.kind == .string else {
                throw expected("an attribute, as strides=[1, 1]")
            }
            let name = try self.name()
            guard attributes[name] == nil else { throw error("attribute '\(name)' is given twice", at: start) }
            try require("=")
            attributes[name] = try attributeValue()
            if !isOver() { try require(",") }
        }
        if !untilEnd { advance() }
        return attributes
    }

    private mutating func attributeValue() throws -> AttributeValue {
        if isNext("[") { return try list(nil) }
        if token.kind == .identifier {
            switch string(token.start, token.end) {
            case "ints": return try emptyList(.ints([]))
            case "floats": return try emptyList(.floats([]))
            case "strings": return try emptyList(.strings([]))
            default: break
            }
        }
        return try scalarAttribute()
    }

    private mutating func emptyList(_ value: AttributeValue) throws -> AttributeValue {
        advance()
        try require("[")
        try require("]")
        return value
    }

    private mutating func scalarAttribute() throws -> AttributeValue {
        let isNegative = try skip("-")
        switch token.kind {
        case .integer: return .int(try integer(isNegative: isNegative))
        case .float: return .float(try double(isNegative: isNegative))
        case .string where !isNegative: return .string(try name())
        case .identifier:
            if isWord("inf") || isWord("nan") { return .float(try double(isNegative: isNegative)) }
            if isNegative { break }
            if isWord("true") || isWord("false") {
                let flag = isWord("true")
                advance()
                return .bool(flag)
            }
            if let dtype = DataType(name: string(token.start, token.end)) {
                advance()
                return .dtype(dtype)
            }
        default: break
        }
        throw expected("the value of an attribute")
    }

    /// A list whose elements are of one kind; integers among floats count as floats.
    private mutating func list(_ kind: AttributeValue.Kind?) throws -> AttributeValue {
        advance()
        var ints: [Int64] = []
        var floats: [Double] = []
        var strings: [String] = []
        while !isNext("]") {
            let start = token
            switch try scalarAttribute() {
            case .int(let number) where strings.isEmpty:
                if floats.isEmpty { ints.append(number) } else { floats.append(Double(number)) }
            case .float(let number) where strings.isEmpty:
                floats.append(contentsOf: ints.map { Double($0) })
                ints = []
                floats.append(number)
            case .string(let text) where ints.isEmpty && floats.isEmpty: strings.append(text)
            default: throw error("expected elements of one kind, found \(found(start))", at: start)
            }
            if !isNext("]") { try require(",") }
        }
        advance()
        if !floats.isEmpty { return .floats(floats) }
        return strings.isEmpty ? .ints(ints) : .strings(strings)
    }

    // MARK: - Constants

    /// What references mean: first what the text's own section says, then what the caller gave.
    struct ConstantTable {
        let given: [Constant]
        var section: [Int: Constant] = [:]
        var isSectionRead = false

        init(given: [Constant]) { self.given = given }

        func constant(_ number: Int) -> Constant? {
            section[number] ?? (given.indices.contains(number) ? given[number] : nil)
        }
    }

    /// `const f32[2](1, 2)` or `const#3: f32[64]`.
    package mutating func constant() throws -> Constant {
        advance()
        guard try skip("#") else {
            let start = token
            let (dtype, shape) = try constantType()
            return try elements(dtype, shape, at: start)
        }
        let start = token
        guard let number = Int(exactly: try integer(isNegative: false)) else { throw expected("a number") }
        if !constants.isSectionRead { try findConstantSection() }
        guard let constant = constants.constant(number) else {
            throw error("constant #\(number) is neither in the text nor in the table given with it", at: start)
        }
        if try skip(":") {
            let declaredAt = token
            let (dtype, shape) = try constantType()
            guard dtype == constant.dtype, shape == constant.shape else {
                throw error("constant #\(number) is \(constant.type), not what is written here", at: declaredAt)
            }
        }
        return constant
    }

    private mutating func constantType() throws -> (DataType, [Int64]) {
        let start = token
        guard case .tensor(let type) = try type(), let dtype = type.dtype, let shape = type.staticShape else {
            throw error("a constant has a known element type and known dimensions", at: start)
        }
        return (dtype, shape)
    }

    /// Elements in parentheses, or base64 in quotes.
    private mutating func elements(_ dtype: DataType, _ shape: [Int64], at start: Token) throws -> Constant {
        guard let count = checkedElementCount(shape) else {
            throw error("dimensions of a constant must be 0 or more, and their product fit", at: start)
        }
        if token.kind == .string, dtype != .string {
            let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
            let body = lexer.bytes[(token.start + 1)..<(token.end - 1)]
            guard !overflow, let bytes = Base64.decode(UnsafeBufferPointer(rebasing: body), count: size) else {
                throw error("expected base64 of \(count) elements of \(dtype.name)", at: token)
            }
            advance()
            return try bytes.withUnsafeBytes { try Constant(dtype: dtype, shape: shape, copying: $0) }
        }
        try require("(")
        var strings: [String] = []
        var bytes: [UInt8] = []
        var number = 0
        while !isNext(")") {
            // Counted before it is stored: a text must not make us hold more than its type says.
            guard number < count else { throw error("more than \(count) elements", at: token) }
            number += 1
            if dtype == .string {
                guard token.kind == .string else { throw expected("a string") }
                strings.append(try name())
            } else {
                try element(dtype, into: &bytes)
            }
            if !isNext(")") { try require(",") }
        }
        guard number == count else { throw error("expected \(count) elements, found \(number)", at: token) }
        advance()
        if dtype == .string { return try Constant(shape: shape, strings: strings) }
        return try bytes.withUnsafeBytes { try Constant(dtype: dtype, shape: shape, copying: $0) }
    }

    private mutating func element(_ dtype: DataType, into bytes: inout [UInt8]) throws {
        func append<T: BitwiseCopyable>(_ value: T) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
        if dtype.isFloatingPoint || dtype.isStorageOnly {
            let isNegative = try skip("-")
            switch dtype {
            case _ where dtype.isStorageOnly:
                let (value, bits) = try float(isNegative)
                append(
                    bits.map { UInt8(truncatingIfNeeded: $0) }
                        ?? SmallTypes.byte(Double(value), dtype, rounding: .nearest))
            case .float64: append(try double(isNegative: isNegative))
            case .float32: append(try float(isNegative).value)
            case .float16: append(try narrow(isNegative, HalfPrecision.half(from:)))
            default: append(try narrow(isNegative, HalfPrecision.bfloat16(from:)))
            }
            return
        }
        if dtype == .bool, isWord("true") || isWord("false") {
            append(UInt8(isWord("true") ? 1 : 0))
            advance()
            return
        }
        switch dtype {
        case .int8: append(try number(Int8.self))
        case .int16: append(try number(Int16.self))
        case .int32: append(try number(Int32.self))
        case .int64: append(try number(Int64.self))
        case .uint16: append(try number(UInt16.self))
        case .uint32: append(try number(UInt32.self))
        case .uint64: append(try number(UInt64.self))
        default: append(try number(UInt8.self))
        }
    }

    private mutating func number<T: FixedWidthInteger>(_: T.Type) throws -> T {
        let start = token
        let isNegative = try skip("-")
        guard token.kind == .integer, let value = T((isNegative ? "-" : "") + string(token.start, token.end)) else {
            throw error("expected an integer of \(T.bitWidth) bits, found \(found(start))", at: start)
        }
        advance()
        return value
    }

    /// A float read as such (not through a double, which would round twice), and whether it came as bits.
    private mutating func float(_ isNegative: Bool) throws -> (value: Float, bits: UInt64?) {
        if isWord("nan") {
            advance()
            guard try skip("(") else { return (isNegative ? -.nan : .nan, nil) }
            let bits = try self.bits()
            try require(")")
            return (Float(bitPattern: UInt32(truncatingIfNeeded: bits)), bits)
        }
        if isWord("inf") {
            advance()
            return (isNegative ? -.infinity : .infinity, nil)
        }
        guard token.kind == .integer || token.kind == .float, let value = Float(string(token.start, token.end)),
            value.isFinite
        else { throw expected("a number that fits a float") }
        advance()
        return (isNegative ? -value : value, nil)
    }

    private mutating func narrow(_ isNegative: Bool, _ convert: (Float) -> UInt16) throws -> UInt16 {
        let (value, bits) = try float(isNegative)
        return bits.map { UInt16(truncatingIfNeeded: $0) } ?? convert(value)
    }

    /// Looks for the section that holds the data, which may stand behind its first use.
    private mutating func findConstantSection() throws {
        var probe = Lexer(lexer.bytes)
        var braces = 0
        while true {
            let next = probe.next()
            if next.kind == .end || next.kind == .invalid { break }
            if next.kind == .punctuation {
                if lexer.bytes[next.start] == UInt8(ascii: "{") { braces += 1 }
                if lexer.bytes[next.start] == UInt8(ascii: "}") { braces -= 1 }
            } else if braces == 0, next.kind == .identifier, string(next.start, next.end) == "constants",
                opensBrace(after: probe)
            {
                let (savedLexer, savedToken) = (lexer, token)
                (lexer, token) = (probe, next)
                try constantSection()
                (lexer, token) = (savedLexer, savedToken)
                return
            }
        }
        constants.isSectionRead = true
    }

    private func opensBrace(after lexer: Lexer) -> Bool {
        var ahead = lexer
        let next = ahead.next()
        return next.kind == .punctuation && lexer.bytes[next.start] == UInt8(ascii: "{")
    }

    /// `constants { #0: f32[64] = "…" }`
    mutating func constantSection() throws {
        // Read when the first reference was met; here only passed over.
        let isKnown = constants.isSectionRead
        constants.isSectionRead = true
        advance()
        try require("{")
        while !isNext("}") {
            let start = token
            try require("#")
            guard let number = Int(exactly: try integer(isNegative: false)) else { throw expected("a number") }
            try require(":")
            let (dtype, shape) = try constantType()
            try require("=")
            if isKnown, token.kind == .string {
                advance()
                continue
            }
            let constant = try elements(dtype, shape, at: start)
            guard isKnown || constants.section.updateValue(constant, forKey: number) == nil else {
                throw error("constant #\(number) is given twice", at: start)
            }
        }
        advance()
    }
}
