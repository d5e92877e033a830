import TenonIR

extension FusionPattern {
    /// Reads a list of rules, `name = pattern;` each, first rule first. `closed` in front of a name makes a rule that is not
    /// applied where a value inside the match is used outside it. Named nodes are what checks and explanations call by name.
    /// - Throws: `.parseError` with line and column.
    public static func parseRules(_ text: String) throws -> [FusionPattern] {
        try PatternParser.read(text) { reader in
            var rules: [FusionPattern] = []
            while reader.parser.token.kind != .end {
                rules.append(try reader.rule())
                guard reader.parser.token.kind != .end else { break }
                try reader.parser.require(";")
            }
            return rules
        }
    }
}

extension PatternParser {
    fileprivate mutating func rule() throws -> FusionPattern {
        var allowsLeak = true
        if parser.isWord("closed") {
            var ahead = parser.lexer
            let next = ahead.next()
            if next.kind == .identifier || next.kind == .string {
                allowsLeak = false
                parser.advance()
            }
        }
        guard parser.token.kind == .identifier || parser.token.kind == .string else {
            throw parser.expected("a rule, as dnnl.conv2d = nn.conv2d(*, *);")
        }
        let name = try parser.name()
        try parser.require("=")
        // Names of nodes belong to one rule.
        forgetNames()
        let pattern = try pattern()
        let annotations = named.sorted { $0.key < $1.key }.map { (label: $0.key, node: $0.value) }
        return FusionPattern(name, pattern, annotations: annotations, allowsLeak: allowsLeak)
    }
}
