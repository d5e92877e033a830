/// Types and dimensions.
extension Parser {
    package mutating func type() throws -> ValueType {
        try enter()
        defer { depth -= 1 }
        if isNext("(") { return .tuple(try types()) }
        if isNext("?") {
            advance()
            return .tensor(try tensor(nil))
        }
        guard token.kind == .identifier else { throw expected("a type") }
        if isWord("shape") {
            advance()
            return .shape(isNext("[") ? try dims() : nil)
        }
        if isWord("scalar") {
            advance()
            return .scalar(try dtype())
        }
        if isWord("object") {
            advance()
            return .object
        }
        if isWord("fn") {
            advance()
            let parameters = try types()
            guard token.kind == .arrow else { throw expected("'->'") }
            advance()
            return .function(parameters: parameters, result: try type())
        }
        guard let dtype = DataType(name: string(token.start, token.end)) else { throw expected("a type") }
        advance()
        return .tensor(try tensor(dtype))
    }

    /// A list in parentheses; a comma may follow the last.
    private mutating func types() throws -> [ValueType] {
        try require("(")
        var types: [ValueType] = []
        while !isNext(")") {
            types.append(try type())
            if !isNext(")") { try require(",") }
        }
        advance()
        return types
    }

    package mutating func dtype() throws -> DataType {
        guard token.kind == .identifier, let dtype = DataType(name: string(token.start, token.end)) else {
            throw expected("an element type, as f32")
        }
        advance()
        return dtype
    }

    /// The brackets of a tensor's type.
    private mutating func tensor(_ dtype: DataType?) throws -> TensorType {
        guard isNext("[") else { throw expected("'['") }
        var ahead = lexer
        let first = ahead.next()
        if first.kind == .ellipsis {
            advance()
            advance()
            try require("]")
            return TensorType(dtype: dtype, rank: nil)
        }
        let second = ahead.next()
        if first.kind == .identifier, string(first.start, first.end) == "rank", second.kind == .punctuation,
            lexer.bytes[second.start] == UInt8(ascii: "=")
        {
            advance()
            advance()
            advance()
            let start = token
            guard token.kind == .integer, let rank = Int(string(token.start, token.end)), rank <= Int(Int16.max) else {
                throw error("expected a rank, found \(found(start))", at: start)
            }
            advance()
            try require("]")
            return TensorType(dtype: dtype, rank: rank)
        }
        return TensorType(dtype, try dims())
    }

    package mutating func dims() throws -> [Dim] {
        try require("[")
        var dims: [Dim] = []
        while !isNext("]") {
            var budget = TextForm.dimensionLimit
            dims.append(try sum(&budget))
            if !isNext("]") { try require(",") }
        }
        advance()
        return dims
    }

    private mutating func sum(_ budget: inout Int) throws -> Dim {
        try enter()
        defer { depth -= 1 }
        let start = token
        var isNegative = try skip("-")
        let first = try product(&budget, isNegative: isNegative)
        guard isNext("+") || isNext("-") else { return first }
        // Terms are put in order once, at the end, so that a long sum takes no longer than its length.
        var terms = first.expression.terms
        var constant = first.expression.constant
        while isNext("+") || isNext("-") {
            isNegative = isNext("-")
            advance()
            let next = try product(&budget, isNegative: isNegative).expression
            terms += next.terms
            let (sum, overflow) = constant.addingReportingOverflow(next.constant)
            guard !overflow else { throw self.overflow(start) }
            constant = sum
        }
        guard let total = DimExpression.normalised(terms, constant) else { throw overflow(start) }
        return total
    }

    private mutating func product(_ budget: inout Int, isNegative: Bool) throws -> Dim {
        let start = token
        var total = try factor(&budget, isNegative: isNegative)
        while try skip("*") {
            guard let result = Dim.multiplying(total, try factor(&budget, isNegative: false)) else {
                throw overflow(start)
            }
            total = result
        }
        return total
    }

    private mutating func factor(_ budget: inout Int, isNegative: Bool) throws -> Dim {
        let start = token
        budget -= 1
        guard budget > 0 else { throw error("a dimension has more than \(TextForm.dimensionLimit) parts", at: start) }
        if token.kind == .integer { return .fixed(try integer(isNegative: isNegative)) }
        let dim = try symbolic(&budget)
        guard isNegative else { return dim }
        guard let negative = Dim.multiplying(dim, .fixed(-1)) else { throw overflow(start) }
        return negative
    }

    private mutating func symbolic(_ budget: inout Int) throws -> Dim {
        let start = token
        if try skip("(") {
            let inner = try sum(&budget)
            try require(")")
            return inner
        }
        guard token.kind == .identifier || token.kind == .string else { throw expected("a dimension") }
        let isBare = token.kind == .identifier
        let name = try self.name()
        guard isBare, isNext("("), let function = Self.dimensionFunctions[name] else { return .symbol(name) }
        advance()
        let first = try sum(&budget)
        try require(",")
        let second = token
        let argument = try sum(&budget)
        try require(")")
        if name == "floordiv", let number = argument.value, number <= 0 {
            throw error("expected a divisor above 0, found \(number)", at: second)
        }
        guard let result = function(first, argument) else {
            if name == "floordiv", !argument.isNonNegative {
                throw error("expected a divisor that is not below 0, found \(argument)", at: second)
            }
            throw overflow(start)
        }
        return result
    }

    /// What a name before two dimensions in parentheses computes.
    private static let dimensionFunctions: [String: @Sendable (Dim, Dim) -> Dim?] = [
        "floordiv": { Dim.floorDividing($0, by: $1) }, "max": { Dim.maximum($0, $1) },
        "min": { Dim.minimum($0, $1) }, "broadcast": { Dim.broadcasting($0, $1) },
    ]

    private func overflow(_ token: Token) -> TenonError { error("a dimension overflows", at: token) }

    /// The integer token that is next.
    package mutating func integer(isNegative: Bool) throws -> Int64 {
        let text = string(token.start, token.end)
        guard token.kind == .integer else { throw expected("an integer") }
        guard let value = Int64(isNegative ? "-" + text : text) else {
            throw error("\(found(token)) does not fit 64 bits", at: token)
        }
        advance()
        return value
    }
}
