import Testing

@testable import TenonIR
@testable import TenonRewrite

/// Rules that rewrite one call at a time.
@Suite struct RewriteScenarioTests {
    private static func function(_ text: String) throws -> Function { try #require(try Module(text: text).main) }

    private static func scalar(_ value: Double) throws -> Operand { .constant(try Constant.scalar(.float32, value)) }

    private static func main(_ parameters: String, _ body: String, _ output: String) -> String {
        """
        fn @main(\(parameters)) {global_symbol="main"} {
          dataflow { \(body) output \(output) }
          return \(output)
        }
        """
    }

    private static let doubled = main("%x: f32[16,16]", "%a = add(%x, %x) %b = add(%a, %a)", "%b")

    @Test("R-01 Doubling") func doubling() throws {
        let function = try Self.function(Self.doubled)
        let n = any
        let once = try rewriteCall(try op("add", n, n), in: function) { match, builder in
            try builder.call("multiply", [try #require(match.operand(n)), try Self.scalar(2)])
        }
        try expect(
            once,
            equals: Self.main(
                "%x: f32[16,16]", "%a = multiply(%x, const f32[](2)) %b = multiply(%a, const f32[](2))", "%b"))
        let d = try op("add", n, n)
        let twice = try rewriteCall(try op("add", d, d), in: function) { match, builder in
            try builder.call("multiply", [try #require(match.operand(n)), try Self.scalar(4)])
        }
        try expect(twice, equals: Self.main("%x: f32[16,16]", "%b = multiply(%x, const f32[](4))", "%b"))
        let same = try rewriteCall(try op("add", d, d), in: function) { match, _ in match.root }
        try expect(same, equals: Self.doubled)
    }

    @Test("R-02 Collapsing attention") func attention() throws {
        let type = "f32[2,4096,8,40]"
        func heads(_ name: String) -> String {
            """
            %\(name)t = permute_dims(%\(name)) {axes=[0, 2, 1, 3]}
            %\(name)r = reshape(%\(name)t, shape[16,4096,40])

            """
        }
        let function = try Self.function(
            Self.main(
                "%Q: \(type), %K: \(type), %V: \(type)",
                heads("Q") + heads("K") + heads("V") + """
                    %kt = permute_dims(%Kr) {axes=[0, 2, 1]}
                    %s = matmul(%Qr, %kt)
                    %s2 = multiply(%s, const f32[](0.158))
                    %p = nn.softmax(%s2) {axis=2}
                    %o = matmul(%p, %Vr)
                    %o2 = reshape(%o, shape[2,8,4096,40])
                    %r: f32[2,4096,8,40] = permute_dims(%o2) {axes=[0, 2, 1, 3]}
                    """, "%r"))
        let (a, b, c) = (any, any, any)
        func h(_ z: Pattern) throws -> Pattern { try op("reshape", try op("permute_dims", z), any) }
        let scores = try op("matmul", try h(a), try op("permute_dims", try h(b)))
        let weights = try op("nn.softmax", try op("multiply", scores, isConst()))
        let pattern = try op("permute_dims", try op("reshape", try op("matmul", weights, try h(c)), any))
        let rewritten = try rewriteCall(pattern, in: function) { match, builder in
            let operands = try [a, c, b].map { try #require(match.operand($0)) }
            return try builder.bind(
                .call(Call(.external("attention"), operands)), builder.type(of: try #require(match.root)))
        }
        try expect(
            rewritten,
            equals: Self.main(
                "%Q: \(type), %K: \(type), %V: \(type)", "%r: \(type) = extern \"attention\"(%Q, %V, %K)", "%r"))
    }

    @Test("R-03 Operator alternatives and commutation") func alternatives() throws {
        let function = try Self.function(
            Self.main("%x: f32[4]", "%y = add(%x, %x) %o = add(const f32[](1), %y)", "%o"))
        let f = (try isOp("add")) | (try isOp("multiply"))
        let (a, c) = (any, isConst())
        let rewritten = try rewriteCall(f.call([a, c]), in: function) { match, builder in
            guard match.constant(c)?.splatValue == 1 else { return match.root }
            return try builder.call(
                try #require(match.op(f)), [try #require(match.operand(a)), try Self.scalar(2)])
        }
        try expect(
            rewritten, equals: Self.main("%x: f32[4]", "%y = add(%x, %x) %o = add(%y, const f32[](2))", "%o"))
    }

    @Test("R-04 Until nothing changes") func untilNothingChanges() throws {
        let parameters = "%x: f32[4], %y: f32[4], %z: f32[4]"
        let function = try Self.function(
            Self.main(parameters, "%a = add(%x, %y) %b = add(%a, %z) %o = multiply(%b, const f32[](5))", "%o"))
        let (l, r, c) = (any, any, isConst())
        let rewritten = try rewriteCall(try op("multiply", try op("add", l, r), c), in: function) { match, builder in
            let factor = try #require(match.operand(c))
            let left = try builder.call("multiply", [try #require(match.operand(l)), factor])
            let right = try builder.call("multiply", [try #require(match.operand(r)), factor])
            return try builder.call("add", [left, right])
        }
        try expect(
            rewritten,
            equals: Self.main(
                parameters,
                """
                %x5 = multiply(%x, const f32[](5)) %y5 = multiply(%y, const f32[](5)) %a = add(%x5, %y5)
                %z5 = multiply(%z, const f32[](5)) %b = add(%a, %z5)
                """, "%b"))
    }

    @Test("R-05 No trivial bindings left behind") func noTrivialBindings() throws {
        let a = any
        let pattern = try op("reshape", a, any)
        func rewrite(_ text: String) throws -> Function {
            try rewriteCall(pattern, in: try Self.function(text)) { match, _ in
                match.tensorType(a)?.shape == match.tensorType(pattern)?.shape ? match.operand(a) : nil
            }
        }
        try expect(
            try rewrite(Self.main("%x: f32[1024]", "%a = add(%x, %x) %b = reshape(%a, shape[1024])", "%b")),
            equals: Self.main("%x: f32[1024]", "%b = add(%x, %x)", "%b"))
        try expect(
            try rewrite("fn @main(%x: f32[1024]) { %a = add(%x, %x) %b = reshape(%a, shape[1024]) return %b }"),
            equals: "fn @main(%x: f32[1024]) { %a = add(%x, %x) return %a }")
    }

    @Test("R-06 New common sub-expressions are shared") func sharedSubexpressions() throws {
        let function = try Self.function(
            Self.main(
                "%x: f32[1024]",
                """
                %a = strided_slice(%x, shape[0], shape[0], shape[512], shape[1])
                %b = strided_slice(%x, shape[0], shape[512], shape[1024], shape[1])
                %c = add(%a, %b)
                """, "%c"))
        let operands = (0..<5).map { _ in any }
        let rewritten = try rewriteCall(try isOp("strided_slice").call(operands), in: function) { match, builder in
            func first(_ index: Int) -> Int64? {
                if case .shape(let dims)? = match.operand(operands[index]) { return dims.first?.value }
                return nil
            }
            let data = try #require(match.operand(operands[0]))
            let size = try #require(match.tensorType(operands[0])?.staticShape?.first)
            guard let begin = first(2), let end = first(3), first(1) == 0, first(4) == 1, end > begin,
                size % (end - begin) == 0, begin % (end - begin) == 0
            else { return nil }
            let split = try builder.call("split", [data], ["sections": .int(size / (end - begin)), "axis": 0])
            return try builder.tupleGetItem(split, Int(begin / (end - begin)))
        }
        try expect(
            rewritten,
            equals: Self.main(
                "%x: f32[1024]", "%s = split(%x) {sections=2} %a = %s.0 %b = %s.1 %c = add(%a, %b)", "%c"))
    }

    @Test("R-07 Rewrites that enable others") func enablingRewrites() throws {
        let function = try Self.function(
            Self.main(
                "%a: f32[1024], %b: f32[1024]",
                """
                %c = concat((%a, %b)) %d = split(%c) {sections=2} %e = %d.0 %f = %d.1 %g = add(%a, %e)
                %h = add(%f, %g)
                """, "%h"))
        let (t, n) = (any, any)
        let joined = try op("concat", t).hasAttributes(["axis": 0])
        let first = try op("split", joined).hasAttributes(["axis": 0, "sections": 2])
        let second = try op("add", n, n)
        let rewritten = try rewriteCall(first | second, in: function) { match, builder in
            if match[first] != nil {
                guard case .tuple(let fields)? = match.operand(t), fields.count == 2,
                    builder.type(of: fields[0]) == builder.type(of: fields[1])
                else { return nil }
                return .tuple(fields)
            }
            guard match[second] != nil else { return nil }
            return try builder.call("multiply", [try #require(match.operand(n)), try Self.scalar(2)])
        }
        try expect(
            rewritten,
            equals: Self.main(
                "%a: f32[1024], %b: f32[1024]", "%g = multiply(%a, const f32[](2)) %h = add(%b, %g)", "%h"))
    }

    private static func typed(_ constraint: ValueType, _ text: String) throws -> Function {
        let (l, r) = (any.hasType(constraint), any.hasType(constraint))
        return try rewriteCall(try op("add", l, r), in: try function(text)) { match, builder in
            try builder.call("multiply", [try #require(match.operand(l)), try #require(match.operand(r))])
        }
    }

    private static func pair(_ a: String, _ b: String, _ op: String, _ shapes: (String, String)) -> String {
        """
        fn @main() {
          dataflow {
            %a = zeros(shape[\(shapes.0)]) {dtype=\(a)}
            %b = ones(shape[\(shapes.1)]) {dtype=\(b)}
            %c = \(op)(%a, %b)
            output %c
          }
          return %c
        }
        """
    }

    @Test("R-08 Type-constrained wildcards") func typeConstrained() throws {
        let fixed = ValueType.tensor(nil, [2, 3] as [Int64])
        try expect(
            try Self.typed(fixed, Self.pair("i32", "i32", "add", ("2,3", "2,3"))),
            equals: Self.pair("i32", "i32", "multiply", ("2,3", "2,3")))
        let other = Self.pair("i32", "i32", "add", ("16,32", "16,32"))
        try expect(try Self.typed(fixed, other), equals: other)
        func both(_ op: String) -> String {
            """
            fn @main() {
              dataflow {
                %a = zeros(shape[2,3]) {dtype=i32} %b = ones(shape[2,3]) {dtype=i32} %c = \(op)(%a, %b)
                %d = zeros(shape[2,3]) %e = ones(shape[2,3]) %f = \(op)(%d, %e)
                output %c, %f
              }
              return (%c, %f)
            }
            """
        }
        try expect(try Self.typed(fixed, both("add")), equals: both("multiply"))
        let symbolic = ValueType.tensor(nil, [.symbol("m"), .symbol("n")] as [Dim])
        try expect(
            try Self.typed(symbolic, Self.pair("i32", "i32", "add", ("64,128", "64,128"))),
            equals: Self.pair("i32", "i32", "multiply", ("64,128", "64,128")))
        let broadcast = Self.pair("f32", "f32", "add", ("64,128", "1,128"))
        try expect(try Self.typed(symbolic, broadcast), equals: broadcast)
    }

    private static let onesPlusZeros = pair("i32", "i32", "add", ("64,128", "64,128"))
        .replacingFirst("zeros", "ones").replacingFirst("%b = ones", "%b = zeros")

    @Test("R-09 A declining callback makes the next alternative eligible") func nextAlternative() throws {
        let n = any
        let (p, q) = (try op("add", any, any), try op("add", n, try op("zeros", any)))
        var both = 0
        let rewritten = try rewriteCall(p | q, in: try Self.function(Self.onesPlusZeros)) { match, _ in
            if match[p] != nil && match[q] != nil { both += 1 }
            if match[p] != nil { return match.root }
            return match.operand(n)
        }
        #expect(both == 0)
        try expect(
            rewritten,
            equals: "fn @main() { dataflow { %c = ones(shape[64,128]) {dtype=i32} output %c } return %c }")
    }

    @Test("R-10 The callback sees values, never variables") func seesValues() throws {
        let (p, q) = (try op("add", any, any), try op("add", any, any))
        let choice = p | q
        var calls = 0
        let rewritten = try rewriteCall(choice, in: try Self.function(Self.onesPlusZeros)) { match, _ in
            calls += 1
            guard case .bound? = match[choice], match.call(choice)?.callee == .op(try Operators.require("add")) else {
                Issue.record("the choice met no call")
                return nil
            }
            return match.root
        }
        #expect(calls == 2)
        try expect(rewritten, equals: Self.onesPlusZeros)
    }

    // MARK: - What a callback must not do

    @Test("R-04 A rule that always fires ends with an error") func endless() throws {
        let function = try Self.function(Self.main("%x: f32[4]", "%a = nn.relu(%x)", "%a"))
        let n = any
        let error = #expect(throws: TenonError.self) {
            try rewriteCall(try op("nn.relu", n), in: function, roundLimit: 5) { match, builder in
                let inner = try builder.call("negative", [try #require(match.operand(n))])
                return try builder.call("nn.relu", [inner])
            }
        }
        #expect(error?.status == .limitExceeded)
    }

    @Test("R-01 Replacements that cannot stand there are refused") func badReplacements() throws {
        let function = try Self.function(Self.main("%x: f32[4]", "%a = nn.relu(%x) %b = nn.gelu(%a)", "%b"))
        let pattern = try op("nn.relu", any)
        func status(_ callback: (RuleMatch, inout ReplacementBuilder) throws -> Operand?) -> Status? {
            do {
                _ = try rewriteCall(pattern, in: function, callback)
                return nil
            } catch let error as TenonError { return error.status } catch { return nil }
        }
        #expect(status { _, _ in .value(ValueID(99)) } == .invalidGraph)
        #expect(status { _, _ in .value(ValueID(-1)) } == .invalidGraph)
        #expect(status { _, builder in try builder.call("zeros", [.shape([5])]) } == .invalidType)
        #expect(status { _, _ in .shape([1]) } == .invalidType)
        // The result of what comes later depends on this one.
        let b = try value("b", in: function)
        #expect(status { _, _ in .value(b) } == .invalidGraph)
        #expect(status { _, _ in throw TenonError(.callback, "host failed") } == .callback)
        #expect(status { _, _ in throw Refusal(.checkRefused, found: "", expected: "") } == nil)
    }

    @Test("R-05 Branches and local functions are rewritten too") func nested() throws {
        func text(_ op: String, _ literal: String) -> String {
            """
            fn @main(%x: f32[4], %flag: bool[]) {
              %f = fn(%y: f32[4]) {
                dataflow { %z = \(op)(%y, \(literal == "" ? "%y" : literal)) output %z }
                return %z
              }
              %r: f32[4] = if %flag {
                dataflow { %p = \(op)(%x, \(literal == "" ? "%x" : literal)) output %p }
                yield %p
              } else {
                %q = %f(%x)
                yield %q
              }
              return %r
            }
            """
        }
        let n = any
        let rewritten = try rewriteCall(
            try op("add", n, n), in: try Self.function(text("add", ""))
        ) { match, builder in
            try builder.call("multiply", [try #require(match.operand(n)), try Self.scalar(2)])
        }
        try expect(rewritten, equals: text("multiply", "const f32[](2)"))
    }
}
