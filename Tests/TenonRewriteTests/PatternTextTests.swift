import Testing

@testable import TenonIR
@testable import TenonRewrite

@Suite struct PatternTextTests {
    private static let samples = [
        "*", "var", "var \"x\"", "dfvar", "dfvar \"x\"", "gvar", "gvar \"f\"", "const", "const(0.5)",
        "const(0.5, tolerance=0.01)", "nn.relu(*)", "nn.conv2d(%x, %w)", "add(%0, %0)", "add(nn.relu(%n), %n)",
        "nn.relu(...)", "add(*, ...)", "(add | multiply)(*, const)", "(%f: (add | multiply))(%a, %c: const)",
        "extern \"f\"(*, *)", "extern(...)", "gvar \"g\"(*)", "*(*)", "commutative maximum(*, const)",
        "ordered add(*, const)", "tuple(*, const)", "tuple()", "unordered(*, const)", "split(*).0", "(%s: split(*)).1",
        "(split(*).0).1", "split(*).?", "* | const", "* | const | var", "* & const & var", "(* | const) & var",
        "!const", "!(* & var)", "!!const", "* @dtype f32", "nn.relu(*) @shape[2,n + 1]",
        "%x: nn.relu(*) @type ?[2,n]", "conv @attr{}", "* @attr{name=\"a\", strides=[1, 1]} @dtype f16",
        "shape[2,n]", "clip(*, 0, 6)", "clip(*, 0.5, -6)", "literal shape[2]", "literal (1, 2)", "literal f32",
        "literal inf", "\"text\"", "const f32[2](1.0, 2.0)", "fn(%p, %q) -> add(%p, %q)",
        "(fn(*) -> *) | *", "chain(nn.conv2d(*, *), 0...4, nn.relu(^), commutative add(^, *))",
        "chain(*, 1..., subtract(const, ^), clip(^2) @attr{})", "%\"odd name\": nn.relu(*)",
        "nn.softmax(multiply(matmul(%q, permute_dims(%k)), const(0.125)))",
    ]

    @Test("Patterns print as they read", arguments: samples)
    func readsAndPrints(sample: String) throws {
        let text = sample.replacingFirst("conv @attr", "nn.conv2d(*, *) @attr")
        #expect(try Pattern.parse(text).text() == text.replacingFirst("clip(^2) @attr{}", "clip(^2)"))
    }

    @Test("Names define nodes, and refer to them") func names() throws {
        let pattern = try Pattern.parse("add(%c: nn.conv2d(%x, %w), nn.relu(%c))")
        let conv = try #require(pattern.node(named: "c"))
        guard case .call(_, let arguments?, _, _) = pattern.kind, case .call(_, let inner?, _, _) = arguments[1].kind
        else {
            Issue.record("not calls")
            return
        }
        #expect(arguments[0] === conv && inner[0] === conv)
        #expect(pattern.node(named: "x")?.kind.isWildcard == true)
        #expect(pattern.node(named: "y") == nil)
    }

    @Test("What Swift builds and what the text says match alike") func samePower() throws {
        let function = try #require(
            try Module(
                text: """
                    fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1], %b: f32[4]) {
                      %c = nn.conv2d(%x, %w)
                      %r = reshape(%b, shape[1,4,1,1])
                      %s = add(%r, %c)
                      %y = nn.relu(%s)
                      return %y
                    }
                    """
            ).main)
        let text = try Pattern.parse("nn.relu(add(nn.conv2d(%x, %w) @attr{groups=1}, reshape(%b @shape[4], ...)))")
        let match = try #require(try text.match(valueOf: try value("y", in: function), in: function))
        #expect(match["b"]?.asOperand == .value(try value("b", in: function)))
        #expect(match["w"]?.asOperand == .value(try value("w", in: function)))
        let wrong = try Pattern.parse("nn.relu(add(nn.conv2d(*, *) @attr{groups=2}, *))")
        #expect(try wrong.match(valueOf: try value("y", in: function), in: function) == nil)
    }

    @Test(
        "Errors say where and what",
        arguments: [
            ("", "line 1, column 1: expected a pattern, found the end of the text"),
            ("nn.relo(*)", "line 1, column 1: unknown operator or word 'nn.relo'"),
            ("nn.relu(*", "line 1, column 10: expected ',', found the end of the text"),
            ("add(*,\n  ], *)", "line 2, column 3: expected a pattern, found ']'"),
            ("add(..., *)", "line 1, column 8: expected ')' after '...', found ','"),
            ("nn.relu(*) *", "line 1, column 12: expected the end of the pattern, found '*'"),
            ("* @color red", "line 1, column 4: expected @attr, @dtype, @shape or @type, found '@color'"),
            ("tuple(*, *).5", "line 1, column 13: tuple item 5: the pattern has 2 fields"),
            ("add(%x: *, %x: *)", "line 1, column 13: '%x' is defined twice"),
            ("%x: nn.relu(%x)", "line 1, column 2: '%x' is used within its own definition"),
            (
                "commutative const",
                "line 1, column 18: expected '(' after 'commutative' or 'ordered' and an operator, found the end of the text"
            ),
            ("chain(*, 3...2)", "line 1, column 10: the range of a chain begins above its end"),
            (
                "chain(*, 0...1, add(*, *))",
                "line 1, column 17: a step has '^' for the value before it and at most one more operand"
            ),
            ("literal %x", "line 1, column 10: '%x' is not defined before its use"),
            ("*.99999999999999999999", "line 1, column 3: '99999999999999999999' does not fit 64 bits"),
        ]) func errors(text: String, message: String)
    {
        let error = #expect(throws: TenonError.self) { try Pattern.parse(text) }
        #expect(error?.message == message)
        #expect(error?.status == .parseError)
    }

    @Test("Nesting is limited", arguments: ["(", "!(", "nn.relu(", "tuple(", "fn(", "chain(", "%a: ", "add(*|"])
    func nesting(part: String) {
        let error = #expect(throws: TenonError.self) {
            try Pattern.parse(String(repeating: part, count: 100_000) + "*")
        }
        #expect(error?.status == .limitExceeded || error?.status == .parseError)
    }

    @Test("Long chains of operators are limited", arguments: ["|", "&", ".?", "@dtype f32 ", "(*)"])
    func longChains(part: String) {
        let joined = String(repeating: part.hasPrefix("|") || part.hasPrefix("&") ? "\(part) *" : part, count: 10_000)
        let error = #expect(throws: TenonError.self) { try Pattern.parse("*" + joined) }
        #expect(error?.status == .limitExceeded)
        let negations = #expect(throws: TenonError.self) {
            try Pattern.parse(String(repeating: "!", count: 10_000) + "*")
        }
        #expect(negations?.status == .limitExceeded)
    }

    @Test("Contexts print as they read") func contexts() throws {
        let text = """
            fork(%x: var "x", %a: nn.conv2d(...) >> %b: add(...) >> %c: nn.relu(...), %d: nn.conv2d(...) >> %e: add(...));
            %c ^[1] %f: concat(...);
            same_shape(%a, %d);
            """
        let (context, nodes) = try PatternContext.parse(text)
        #expect(context.relations.count == 6)
        #expect(context.sameShapes.count == 1)
        #expect(nodes.count == 7)
        let printed = try context.text()
        let again = try PatternContext.parse(printed)
        #expect(try again.context.text() == printed)
        #expect(again.context.relations.count == 6)
    }

    @Test("Contexts in text: calls state the use of their arguments") func contextCalls() throws {
        let function = try #require(
            try Module(
                text: """
                    fn @main(%x: f32[4,4], %w0: f32[4,4], %w1: f32[4,4]) {
                      dataflow { %a = matmul(%x, %w0) %b = matmul(%x, %w1) %t = (%a, %b) output %t }
                      return %t
                    }
                    """
            ).main)
        let (context, nodes) = try PatternContext.parse("%p: matmul(%i, %q); %r: matmul(%i, %k)")
        let match = try #require(try matchDataflowBlock(context, function.body.blocks[0], of: function))
        func name(_ node: String) throws -> String? {
            match[try #require(nodes[node])].map { function.values[$0.int].name }
        }
        #expect(try ["i", "q", "k", "p", "r"].map { try name($0) } == ["x", "w0", "w1", "a", "b"])
        let printed = try PatternContext.parse(try context.text()).context
        #expect(try matchDataflowBlock(printed, function.body.blocks[0], of: function) != nil)
        #expect(throws: TenonError.self) { try PatternContext.parse("%a >> %b; %a >> %b;") }
        #expect(throws: TenonError.self) { try PatternContext.parse("same_shape(%a);") }
        #expect(throws: TenonError.self) { try PatternContext.parse("%a > %b;") }
    }

    @Test("Lists of fusion rules") func rules() throws {
        let rules = try FusionPattern.parseRules(
            """
            dnnl.conv2d_relu = nn.relu(%c: nn.conv2d(%x, *)); // the longer one first
            closed "dnnl.other one" = nn.gelu(%c: nn.conv2d(*, *));
            closed = nn.silu(*)
            """)
        #expect(rules.map(\.name) == ["dnnl.conv2d_relu", "dnnl.other one", "closed"])
        #expect(rules.map(\.allowsLeak) == [true, false, true])
        #expect(rules[0].annotations.map(\.label) == ["c", "x"])
        #expect(rules[0].annotations[0].node !== rules[1].annotations[0].node)
        #expect(try FusionPattern.parseRules("").isEmpty)
        for text in ["=", "a nn.relu(*)", "a = nn.relu(*) b = *", "a = ;", "1 = *"] {
            #expect(throws: TenonError.self) { try FusionPattern.parseRules(text) }
        }
    }

    // MARK: - Random texts

    @Test("Damaged texts are errors, never crashes") func damaged() throws {
        var random = SplitMix(seed: 0x7e0_0a11)
        let pieces =
            Self.samples + ["%x:", "^", ">>", ";", "{", "}", "@attr{", "@shape[", "[", "]", "0...", "...", "\"", "\\"]
        for _ in 0..<4_000 {
            var bytes = Array(pieces[random.below(pieces.count)].utf8)
            for _ in 0..<random.below(6) {
                switch random.below(4) {
                case 0 where !bytes.isEmpty: bytes.remove(at: random.below(bytes.count))
                case 1 where !bytes.isEmpty: bytes[random.below(bytes.count)] = UInt8(random.below(256))
                case 2:
                    bytes.insert(contentsOf: pieces[random.below(pieces.count)].utf8, at: random.below(bytes.count + 1))
                default: bytes.insert(UInt8(random.below(128)), at: random.below(bytes.count + 1))
                }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            if let pattern = try? Pattern.parse(text) {
                let printed = try pattern.text()
                #expect(try Pattern.parse(printed).text() == printed, "of \(text)")
            }
            if let (context, _) = try? PatternContext.parse(text) { _ = try context.text() }
            _ = try? FusionPattern.parseRules(text)
        }
    }

    @Test("Random patterns print and read back") func randomPatterns() throws {
        var random = SplitMix(seed: 42)
        for _ in 0..<500 {
            var pool: [Pattern] = []
            let pattern = try Self.randomPattern(&random, 4, &pool)
            let text = try pattern.text()
            let again = try Pattern.parse(text)
            #expect(try again.text() == text)
            #expect(again.depth == pattern.depth)
            let (mine, theirs) = (try CompiledPattern(pattern), try CompiledPattern(again))
            // Operator nodes are not kept apart by the text; everything else is.
            func count(_ compiled: CompiledPattern) -> Int {
                compiled.nodes.count { if case .op = $0.kind { false } else { true } }
            }
            #expect(count(mine) == count(theirs))
        }
    }

    private static func randomPattern(_ random: inout SplitMix, _ depth: Int, _ pool: inout [Pattern]) throws -> Pattern
    {
        func next(_ random: inout SplitMix, _ pool: inout [Pattern]) throws -> Pattern {
            try randomPattern(&random, depth - 1, &pool)
        }
        if !pool.isEmpty, random.below(6) == 0 { return pool[random.below(pool.count)] }
        let made: Pattern
        switch depth == 0 ? random.below(5) : random.below(16) {
        case 0: made = any
        case 1: made = isConst(Double(random.below(10)) / 4)
        case 2: made = isVar(random.below(2) == 0 ? nil : "x")
        case 3: made = isExpr(.int(Int64(random.below(9)) - 4))
        case 4: made = isShape([.fixed(Int64(random.below(5))), .symbol("n")])
        case 5: made = try op("add", try next(&random, &pool), try next(&random, &pool))
        case 6: made = try isOp("nn.relu").call([try next(&random, &pool)], variadic: random.below(2) == 0)
        case 7: made = try next(&random, &pool) | next(&random, &pool)
        case 8: made = try next(&random, &pool) & next(&random, &pool)
        case 9: made = try !next(&random, &pool)
        case 10: made = try any.hasAttributes(["axis": 1])
        case 11: made = try next(&random, &pool).hasDType(.float16)
        case 12: made = isTuple([try next(&random, &pool), any], unordered: random.below(2) == 0)
        case 13: made = try Pattern(.tupleGetItem(next(&random, &pool), random.below(2)))
        case 14:
            made = try next(&random, &pool).hasType(.tensor(.float32, [.symbol("m")] as [Dim])).named(
                "t\(random.below(99))")
        default:
            made = try next(&random, &pool).followed(
                by: [
                    ChainStep(try Operators.require("nn.relu")),
                    ChainStep(try Operators.require("add"), other: try next(&random, &pool), chainOperand: nil),
                ], 0...random.below(5))
        }
        // Names are unique here, as the text form would make them.
        if !made.name.isEmpty, pool.contains(where: { $0.name == made.name }) { return any }
        pool.append(made)
        return made
    }
}

extension Pattern.Kind {
    fileprivate var isWildcard: Bool { if case .wildcard = self { true } else { false } }
}

/// A small generator with a seed.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
