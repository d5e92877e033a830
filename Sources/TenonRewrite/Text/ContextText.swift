import TenonIR

extension PatternContext {
    /// Reads statements that end with `;`: a pattern (whose calls state the use of their arguments), a sequence of patterns
    /// joined by `^` (used by) and `>>` (used only by), either with an operand as in `>>[0]`, `fork(pattern, sequence, …)`,
    /// or `same_shape(pattern, …)`. `exact;` in front of all leaves out what calls state by themselves.
    /// - Returns: the context, and the nodes by the names that the text gives them.
    public static func parse(_ text: String) throws -> (context: PatternContext, nodes: [String: Pattern]) {
        try PatternParser.read(text) { reader in
            var context = PatternContext()
            var isExact = false
            if reader.parser.isWord("exact") {
                reader.parser.advance()
                isExact = true
                try reader.parser.require(";")
            }
            while reader.parser.token.kind != .end {
                let start = reader.parser.token
                do {
                    try reader.statement(&context, isExact: isExact)
                } catch let error as TenonError where error.status == .invalidArgument {
                    throw reader.parser.error("\(error)", at: start)
                }
                guard reader.parser.token.kind != .end else { break }
                try reader.parser.require(";")
            }
            return (context, reader.named)
        }
    }

    /// The text form, which reads back to an equal context.
    public func text() throws -> String {
        var nodes: [Pattern] = []
        var seen: Set<ObjectIdentifier> = []
        for relation in relations {
            for node in [relation.producer, relation.consumer] where seen.insert(ObjectIdentifier(node)).inserted {
                nodes.append(node)
            }
        }
        for node in sameShapes.joined() where seen.insert(ObjectIdentifier(node)).inserted { nodes.append(node) }
        var printer = try PatternPrinter(nodes, alwaysNamed: nodes + nodes)
        var text = "exact;\n"
        for node in nodes { text += "\(try printer.text(node));\n" }
        for relation in relations {
            let operand = relation.operand.map { "[\($0)]" } ?? ""
            text +=
                "\(try printer.text(relation.producer)) \(relation.isOnlyUser ? ">>" : "^")\(operand) \(try printer.text(relation.consumer));\n"
        }
        for group in sameShapes {
            var parts: [String] = []
            for node in group { parts.append(try printer.text(node)) }
            text += "same_shape(\(parts.joined(separator: ", ")));\n"
        }
        return text
    }
}

extension PatternParser {
    fileprivate mutating func statement(_ context: inout PatternContext, isExact: Bool) throws {
        if parser.isWord("same_shape") {
            parser.advance()
            var nodes: [Pattern] = []
            try parser.require("(")
            while !parser.isNext(")") {
                nodes.append(try pattern())
                if !parser.isNext(")") { try parser.require(",") }
            }
            parser.advance()
            return try context.sameShape(nodes)
        }
        if parser.isWord("fork") {
            parser.advance()
            try parser.require("(")
            let producer = try pattern()
            if !isExact { try context.add(producer) }
            while try parser.skip(",") {
                if parser.isNext(")") { break }
                let consumer = try sequence()
                try state(consumer, in: &context, isExact: isExact)
                try context.state(
                    UseRelation(producer: producer, consumer: consumer.first, isOnlyUser: false, operand: nil))
            }
            return try parser.require(")")
        }
        try state(try sequence(), in: &context, isExact: isExact)
    }

    private func state(_ sequence: PatternSequence, in context: inout PatternContext, isExact: Bool) throws {
        if isExact {
            for relation in sequence.relations { try context.state(relation) }
        } else {
            try context.state(sequence)
        }
    }

    private mutating func sequence() throws -> PatternSequence {
        var result = PatternSequence(try pattern())
        while parser.isNext("^") || parser.isNext(">") {
            let isOnlyUser = parser.isNext(">")
            parser.advance()
            if isOnlyUser { try parser.require(">") }
            var operand: Int?
            if try parser.skip("[") {
                let start = parser.token
                guard let index = Int(exactly: try parser.integer(isNegative: false)), index < 1 << 20 else {
                    throw parser.error("the operand's number is too big", at: start)
                }
                operand = index
                try parser.require("]")
            }
            guard result.nodes.count < 4096 else {
                throw TenonError(
                    .limitExceeded, "\(parser.place(parser.token.start)): a sequence of more than 4096 nodes")
            }
            let next = PatternSequence(try pattern())
            result = isOnlyUser ? result.onlyUsed(by: next, operand: operand) : result.used(by: next, operand: operand)
        }
        return result
    }
}
