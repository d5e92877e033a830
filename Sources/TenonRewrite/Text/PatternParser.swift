import TenonIR

extension Pattern {
    /// Reads the text form of a pattern.
    /// - Throws: `.parseError` with line and column, `.limitExceeded` for what is nested too deep.
    public static func parse(_ text: String) throws -> Pattern {
        try PatternParser.read(text) { parser in
            let pattern = try parser.pattern()
            try parser.end()
            return pattern
        }
    }

    /// The first node of that name, in the order of matching.
    public func node(named name: String) -> Pattern? {
        var stack = [self]
        var seen: Set<ObjectIdentifier> = []
        while let node = stack.popLast() {
            guard seen.insert(ObjectIdentifier(node)).inserted else { continue }
            if node.name == name { return node }
            stack.append(contentsOf: node.children.reversed())
        }
        return nil
    }
}

/// Reads patterns. Words, literals, types and attributes are those of the text form of modules.
struct PatternParser {
    static let nestingLimit = 200

    var parser: Parser
    /// Nodes by the names that the text gives them.
    private(set) var named: [String: Pattern] = [:]
    private var numbered: [Int: Pattern] = [:]
    private var depth = 0

    static func read<T>(_ text: String, _ body: (inout PatternParser) throws -> T) throws -> T {
        var text = text
        return try text.withUTF8 { bytes in
            var parser = PatternParser(parser: Parser(bytes, constants: []))
            return try body(&parser)
        }
    }

    private init(parser: Parser) { self.parser = parser }

    mutating func forgetNames() {
        named = [:]
        numbered = [:]
    }

    func end() throws {
        guard parser.token.kind == .end else { throw parser.expected("the end of the pattern") }
    }

    // MARK: - Choice, conjunction, negation

    mutating func pattern() throws -> Pattern {
        guard depth < Self.nestingLimit else {
            throw TenonError(
                .limitExceeded, "\(parser.place(parser.token.start)): nested deeper than \(Self.nestingLimit) levels")
        }
        depth += 1
        defer { depth -= 1 }
        var result = try conjunction()
        while try parser.skip("|") { result = try checked(.or(result, try conjunction())) }
        return result
    }

    private mutating func conjunction() throws -> Pattern {
        var result = try negation()
        while try parser.skip("&") { result = try checked(.and(result, try negation())) }
        return result
    }

    private mutating func negation() throws -> Pattern {
        var count = 0
        while try parser.skip("!") { count += 1 }
        var result = try postfix()
        for _ in 0..<count { result = try checked(.not(result)) }
        return result
    }

    /// A node, unless the pattern gets too deep with it.
    private func checked(_ kind: Pattern.Kind, name: String = "") throws -> Pattern {
        let node = Pattern(kind, name: name)
        guard node.depth <= 256 else {
            throw TenonError(.limitExceeded, "\(parser.place(parser.token.start)): a pattern of more than 256 levels")
        }
        return node
    }

    // MARK: - Calls, projections, constraints

    private mutating func postfix() throws -> Pattern {
        var commutes: Bool?
        if parser.isWord("commutative") || parser.isWord("ordered") {
            commutes = parser.isWord("commutative")
            parser.advance()
        }
        var result = try primary()
        while true {
            if parser.isNext("(") {
                result = try call(result, commutes)
                commutes = nil
            } else if try parser.skip(".") {
                result = try projection(of: result)
            } else if parser.token.kind == .global {
                result = try constraint(on: result)
            } else {
                break
            }
        }
        guard commutes == nil else { throw parser.expected("'(' after 'commutative' or 'ordered' and an operator") }
        return result
    }

    private mutating func call(_ callee: Pattern, _ commutes: Bool?) throws -> Pattern {
        parser.advance()
        var arguments: [Pattern] = []
        var isVariadic = false
        while !parser.isNext(")") {
            if parser.token.kind == .ellipsis {
                parser.advance()
                isVariadic = true
                guard parser.isNext(")") else { throw parser.expected("')' after '...'") }
                break
            }
            arguments.append(try pattern())
            if !parser.isNext(")") { try parser.require(",") }
        }
        parser.advance()
        return try checked(
            .call(
                callee: callee, arguments: isVariadic && arguments.isEmpty ? nil : arguments, isVariadic: isVariadic,
                commutes: commutes ?? Pattern.commutesByDefault(callee)))
    }

    private mutating func projection(of tuple: Pattern) throws -> Pattern {
        if try parser.skip("?") { return try checked(.tupleGetItem(tuple, nil)) }
        let start = parser.token
        let index = try parser.integer(isNegative: try parser.skip("-"))
        guard let index = Int(exactly: index), index.magnitude <= Int32.max else {
            throw parser.error("the index is too big", at: start)
        }
        do {
            return try tuple.item(index)
        } catch let error as TenonError { throw parser.error("\(error)", at: start) }
    }

    private mutating func constraint(on inner: Pattern) throws -> Pattern {
        let start = parser.token
        switch try parser.name() {
        case "attr":
            let attributes = try parser.attributes()
            do {
                try inner.checkNames(attributes)
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(parser.place(start.start)): \(error)", operatorName: error.operatorName)
            }
            return try checked(.attributes(inner, attributes))
        case "dtype": return try checked(.dtype(inner, try parser.dtype()))
        case "shape": return try checked(.shape(inner, try parser.dims()))
        case "type": return try checked(.type(inner, try parser.type()))
        default: throw parser.error("expected @attr, @dtype, @shape or @type, found \(parser.found(start))", at: start)
        }
    }

    // MARK: - What stands alone

    private mutating func primary() throws -> Pattern {
        switch parser.token.kind {
        case .value, .quotedValue, .numberedValue: return try name()
        case .integer, .float, .string: return Pattern(.expression(try parser.operand()))
        case .identifier: return try word()
        default: break
        }
        if try parser.skip("*") { return Pattern(.wildcard) }
        if parser.isNext("-") { return Pattern(.expression(try parser.operand())) }
        guard try parser.skip("(") else { throw parser.expected("a pattern") }
        let inner = try pattern()
        try parser.require(")")
        return inner
    }

    /// `%x: pattern` defines, `%x` refers; a name that was not defined is that of a wildcard.
    private mutating func name() throws -> Pattern {
        let token = parser.token
        var number: Int?
        var text = ""
        if token.kind == .numberedValue {
            guard let value = Int(parser.string(token.start, token.end)) else {
                throw parser.error("the number is too big", at: token)
            }
            number = value
        } else {
            text = try parser.text(of: token)
        }
        let known = number.map { numbered[$0] } ?? named[text]
        parser.advance()
        let node: Pattern
        if try parser.skip(":") {
            guard known == nil else { throw parser.error("\(parser.found(token)) is defined twice", at: token) }
            depth += 1
            defer { depth -= 1 }
            guard depth < Self.nestingLimit else {
                throw TenonError(
                    .limitExceeded, "\(parser.place(token.start)): nested deeper than \(Self.nestingLimit) levels")
            }
            let defined = try negation()
            guard (number.map { numbered[$0] } ?? named[text]) == nil else {
                throw parser.error("\(parser.found(token)) is used within its own definition", at: token)
            }
            node = number == nil ? defined.named(text) : defined
        } else if let known {
            return known
        } else {
            node = Pattern(.wildcard, name: text)
        }
        if let number { numbered[number] = node } else { named[text] = node }
        return node
    }

    private mutating func word() throws -> Pattern {
        let start = parser.token
        switch parser.string(start.start, start.end) {
        case "var": return Pattern(.variable(try optionalName()))
        case "dfvar": return Pattern(.dataflowVariable(try optionalName()))
        case "gvar": return Pattern(.globalVariable(try optionalName()))
        case "extern": return Pattern(.external(try optionalName()))
        case "const": return try constant()
        case "shape":
            parser.advance()
            return Pattern(.shapeLiteral(try parser.dims()))
        case "tuple":
            parser.advance()
            return try checked(.tuple(try fields()))
        case "unordered":
            parser.advance()
            return try checked(.unorderedTuple(try fields()))
        case "literal":
            parser.advance()
            return Pattern(.expression(try parser.operand()))
        case "fn": return try function()
        case "chain": return try chain()
        case "commutative", "ordered": throw parser.expected("an operator")
        default:
            let name = try parser.name()
            guard let op = Operators.named(name) else {
                throw parser.error("unknown operator or word '\(name)'", at: start)
            }
            return Pattern(.op(op))
        }
    }

    /// After a word: the name in quotes that may follow it.
    private mutating func optionalName() throws -> String? {
        parser.advance()
        return parser.token.kind == .string ? try parser.name() : nil
    }

    private mutating func fields() throws -> [Pattern] {
        try parser.require("(")
        var fields: [Pattern] = []
        while !parser.isNext(")") {
            fields.append(try pattern())
            if !parser.isNext(")") { try parser.require(",") }
        }
        parser.advance()
        return fields
    }

    /// `const`, `const(0.5)`, `const(0.5, tolerance=0.01)`, or a literal as in modules.
    private mutating func constant() throws -> Pattern {
        var ahead = parser.lexer
        let next = ahead.next()
        if next.kind == .identifier { return Pattern(.expression(.constant(try parser.constant()))) }
        parser.advance()
        guard try parser.skip("(") else { return Pattern(.constant(nil)) }
        var requirement = ConstantRequirement(value: try parser.double(isNegative: try parser.skip("-")))
        if try parser.skip(",") {
            guard parser.isWord("tolerance") else { throw parser.expected("'tolerance'") }
            parser.advance()
            try parser.require("=")
            requirement.tolerance = try parser.double(isNegative: try parser.skip("-"))
        }
        try parser.require(")")
        return Pattern(.constant(requirement))
    }

    /// `fn(%x, %y) -> body`
    private mutating func function() throws -> Pattern {
        parser.advance()
        let parameters = try fields()
        guard parser.token.kind == .arrow else { throw parser.expected("'->'") }
        parser.advance()
        return try checked(.function(parameters: parameters, body: try pattern()))
    }

    // MARK: - Chains

    /// `chain(base, 0...4, nn.relu(^), commutative add(^, *))`
    private mutating func chain() throws -> Pattern {
        parser.advance()
        try parser.require("(")
        let base = try pattern()
        try parser.require(",")
        let start = parser.token
        let minimum = try parser.integer(isNegative: false)
        guard parser.token.kind == .ellipsis else { throw parser.expected("'...'") }
        parser.advance()
        let maximum = parser.token.kind == .integer ? try parser.integer(isNegative: false) : Int64.max
        guard minimum <= maximum, let least = Int(exactly: minimum), let most = Int(exactly: maximum) else {
            throw parser.error("the range of a chain begins above its end", at: start)
        }
        var steps: [ChainStep] = []
        while try parser.skip(",") {
            if parser.isNext(")") { break }
            steps.append(try step())
        }
        try parser.require(")")
        return try checked(.chain(base: base, steps: steps, minimum: least, maximum: most))
    }

    private mutating func step() throws -> ChainStep {
        let commutes = parser.isWord("commutative")
        if commutes { parser.advance() }
        let start = parser.token
        guard start.kind == .identifier, let op = Operators.named(try parser.name()) else {
            throw parser.error("expected an operator, found \(parser.found(start))", at: start)
        }
        try parser.require("(")
        var carrier: Int?
        var others: [Pattern] = []
        var place = 0
        while !parser.isNext(")") {
            if parser.isNext("^") {
                guard carrier == nil else { throw parser.error("a step has one '^'", at: parser.token) }
                parser.advance()
                carrier = place
                if parser.token.kind == .integer {
                    let number = parser.token
                    guard place == 0, let index = Int(exactly: try parser.integer(isNegative: false)), index < 256
                    else {
                        throw parser.error("the operand's number stands alone and is below 256", at: number)
                    }
                    carrier = index
                }
            } else {
                others.append(try pattern())
            }
            place += 1
            if !parser.isNext(")") { try parser.require(",") }
        }
        guard let carrier, others.count <= 1 else {
            throw parser.error("a step has '^' for the value before it and at most one more operand", at: start)
        }
        parser.advance()
        var attributes = Attributes()
        if parser.token.kind == .global {
            guard try parser.name() == "attr" else { throw parser.expected("@attr") }
            attributes = try parser.attributes()
        }
        return ChainStep(op, other: others.first, chainOperand: commutes ? nil : carrier, attributes: attributes)
    }
}
