import Testing

@testable import TenonIR
@testable import TenonRewrite

/// Sets of related nodes against a block.
@Suite struct BlockMatchingScenarioTests {
    private struct Scene {
        let function: Function

        init(_ text: String) throws { function = try #require(try Module(text: text).main) }

        init(_ parameters: String, _ body: String, _ outputs: String) throws {
            try self.init(
                """
                fn @main(\(parameters)) {
                  dataflow { \(body) output \(outputs) }
                  return \(outputs.contains(",") ? "(\(outputs))" : outputs)
                }
                """)
        }

        func match(_ context: PatternContext) throws -> BlockMatch? {
            try matchDataflowBlock(context, function.body.blocks[0], of: function)
        }

        func match(_ build: (inout PatternContext) throws -> Void) throws -> BlockMatch? {
            var context = PatternContext()
            try build(&context)
            return try match(context)
        }

        /// Names of what the nodes met.
        func names(_ match: BlockMatch?, _ nodes: Pattern...) -> String? {
            guard let match else { return nil }
            return nodes.map { match[$0].map { function.values[$0.int].name } ?? "-" }.joined(separator: " ")
        }
    }

    private static func simple() throws -> Scene {
        try Scene(
            "%x: f32[32,32], %w: f32[32,32]",
            "%a = matmul(%x, %w) %b = nn.relu(%a) %c = zeros(shape[32]) %t = (%b, %c)", "%t")
    }

    @Test("M-14 Use by anything") func useByAnything() throws {
        let scene = try Self.simple()
        let (p, q) = (isVar("x"), any)
        #expect(scene.names(try scene.match { try $0.state(p ^ q) }, p, q) == "x a")
    }

    @Test("M-15 One edge") func oneEdge() throws {
        let scene = try Self.simple()
        let (p, q) = (try anyCall("matmul"), try anyCall("nn.relu"))
        #expect(scene.names(try scene.match { try $0.state(p ^ q) }, p, q) == "a b")
        #expect(scene.names(try scene.match { try $0.state(p >> q) }, p, q) == "a b")
        let (r, s) = (try anyCall("tanh"), try anyCall("sigmoid"))
        #expect(try scene.match { try $0.state(r >> s) } == nil)
        #expect(try scene.match { try $0.state(r ^ s) } == nil)
    }

    private static func diamond() throws -> Scene {
        try Scene(
            "%x: f32[32,32], %w: f32[32,32]",
            "%a = matmul(%x, %w) %b = nn.relu(%a) %c = sigmoid(%a) %d = add(%b, %c)", "%d")
    }

    @Test("M-16 Diamond") func diamond() throws {
        let scene = try Self.diamond()
        let m = try anyCall("matmul")
        let (r, s, j) = (try anyCall("nn.relu"), try anyCall("sigmoid"), try anyCall("add"))
        let separate = try scene.match {
            try $0.state(m ^ r)
            try $0.state(m ^ s)
            try $0.state(r >> j)
            try $0.state(s >> j)
        }
        #expect(scene.names(separate, m, r, s, j) == "a b c d")
        let forked = try scene.match {
            try $0.fork(m, to: r, s)
            try $0.state(r >> j)
            try $0.state(s >> j)
        }
        #expect(scene.names(forked, m, r, s, j) == "a b c d")
    }

    @Test("M-17 Diamond, too strict") func strictDiamond() throws {
        let scene = try Self.diamond()
        let m = try anyCall("matmul")
        let (r, s, j) = (try anyCall("nn.relu"), try anyCall("sigmoid"), try anyCall("add"))
        #expect(
            try scene.match {
                try $0.state(m >> r)
                try $0.state(m >> s)
                try $0.state(r >> j)
                try $0.state(s >> j)
            } == nil)
    }

    @Test("M-18 Small diamond or two parallel branches") func diamondOrBranches() throws {
        let single = try Scene("%x: f32[4]", "%a = nn.relu(%x) %b = add(%a, %a)", "%b")
        let parallel = try Scene("%x: f32[4]", "%a = nn.relu(%x) %a2 = nn.relu(%x) %b = add(%a, %a2)", "%b")
        func oneNode(_ context: inout PatternContext) throws {
            let (r, j) = (try anyCall("nn.relu"), try anyCall("add"))
            try context.state(r.onlyUsed(by: j, operand: 0))
            try context.state(r.onlyUsed(by: j, operand: 1))
        }
        func twoNodes(_ context: inout PatternContext) throws {
            let j = try anyCall("add")
            try context.state(try anyCall("nn.relu") >> j)
            try context.state(try anyCall("nn.relu") >> j)
        }
        #expect(try single.match(oneNode) != nil)
        #expect(try parallel.match(oneNode) == nil)
        #expect(try single.match(twoNodes) == nil)
        #expect(try parallel.match(twoNodes) != nil)
    }

    /// Convolution, bias and relu, twice; `subtract` stands for the bias.
    private static func branches() throws -> Scene {
        try Scene(
            "%x: f32[1,4,8,8], %w0: f32[4,4,1,1], %b0: f32[], %w1: f32[4,4,1,1], %b1: f32[]",
            """
            %a = nn.conv2d(%x, %w0) %b = subtract(%a, %b0) %c = nn.relu(%b)
            %d = nn.conv2d(%x, %w1) %e = subtract(%d, %b1) %f = nn.relu(%e)
            %g = concat((%c, %f))
            """, "%g")
    }

    @Test("M-19 Nested contexts are independent") func nestedContexts() throws {
        let scene = try Self.branches()
        let (c, b, r) = (try anyCall("nn.conv2d"), try anyCall("subtract"), try anyCall("nn.relu"))
        var outer = PatternContext()
        try outer.state((c >> b) >> r)
        var middle = PatternContext()
        try middle.state(c >> r)
        var inner = PatternContext()
        try inner.state(b >> r)
        #expect(try scene.match(middle) == nil)
        #expect(scene.names(try scene.match(inner), b, r) == "b c")
        #expect(scene.names(try scene.match(outer), c, b, r) == "a b c")
    }

    @Test("M-20 Two identical branches") func identicalBranches() throws {
        let scene = try Self.branches()
        let first = (try anyCall("nn.conv2d") >> (try anyCall("subtract"))) >> (try anyCall("nn.relu"))
        let second = first.duplicated()
        #expect(zip(first.nodes, second.nodes).allSatisfy { $0 !== $1 })
        let match = try scene.match { try $0.fork(isVar("x"), to: [first, second]) }
        #expect(scene.names(match, first.nodes[0], first.nodes[2], second.nodes[0], second.nodes[2]) == "a c d f")
        #expect(try scene.match { try $0.fork(isVar("y"), to: [first, second]) } == nil)
    }

    @Test("M-20 Duplicating is deep") func deepDuplicate() throws {
        let n = any
        let copy = try isOp("add").call([n, n, isConst()], variadic: true).duplicated()
        guard case .call(_, let arguments?, let isVariadic, _) = copy.kind else {
            Issue.record("not a call")
            return
        }
        #expect(isVariadic)
        #expect(arguments[0] !== n && arguments[0] === arguments[1])
    }

    @Test("M-21 Chains of the same operator") func sameOperator() throws {
        let scene = try Scene(
            "%x: f32[32,32], %y: f32[48,32], %z: f32[48,32]",
            "%a: f32[32,48] = matmul(%x, %y) %b: f32[32,32] = matmul(%a, %z)", "%b")
        func product() throws -> Pattern { try anyCall("matmul") }
        #expect(try scene.match { try $0.state(try product() >> (try product())) } != nil)
        #expect(
            try scene.match {
                try $0.state(try product().hasShape([32, 48]) >> (try product().hasShape([32, 32])))
            } != nil)
        #expect(try scene.match { try $0.state((try product() >> (try product())) >> (try product())) } == nil)
    }

    @Test("M-22 Tuple-producing step") func tupleStep() throws {
        let scene = try Scene(
            "%p: f32[32,16], %q: f32[32,16], %x: f32[32,32]",
            """
            %a = concat((%p, %q)) {axis=1} %b = matmul(%x, %a) %s = split(%b) {sections=2}
            %l = %s.0 %r = %s.1 %o = add(%l, %r)
            """, "%o")
        #expect(
            try scene.match {
                try $0.state((try anyCall("concat") >> (try anyCall("matmul"))) >> (try anyCall("split")))
            } != nil)
        let s = try anyCall("split")
        let (l, r) = (try s.item(0).hasShape([16, 32]), try s.item(1).hasShape([16, 32]))
        let sum = try op("add", l, r)
        let match = try scene.match {
            try $0.fork(s, to: l, r)
            try $0.state(l >> sum)
            try $0.state(r >> sum)
        }
        #expect(scene.names(match, s, l, r, sum) == "s l r o")
    }

    @Test("M-23 Three-way fork") func threeWayFork() throws {
        let scene = try Scene(
            "%x: f32[n,m], %w0: f32[k,m], %w1: f32[k,m], %w2: f32[k,m]",
            """
            %f0 = nn.dense(%x, %w0) %t0 = permute_dims(%f0)
            %f1 = nn.dense(%x, %w1) %t1 = permute_dims(%f1)
            %f2 = nn.dense(%x, %w2) %t2 = permute_dims(%f2)
            %s = multiply(%t0, %t1) %d = multiply(%s, const f32[](0.5)) %p = nn.softmax(%d) %o = multiply(%p, %t2)
            """, "%o")
        let first = try anyCall("nn.dense") >> (try anyCall("permute_dims"))
        let (second, third) = (first.duplicated(), first.duplicated())
        let match = try scene.match { try $0.fork(isVar("x"), to: [first, second, third]) }
        #expect(scene.names(match, first.nodes[1], second.nodes[1], third.nodes[1]) == "t0 t1 t2")
    }

    @Test("M-24 Interlocking diamonds") func interlocking() throws {
        let scene = try Scene(
            "%x: f32[4,4], %w: f32[4,4]",
            """
            %a = matmul(%x, %w) %b = matmul(%x, %w) %c = sigmoid(%a) %d = sigmoid(%b) %e = add(%a, %b)
            %f = add(%c, %e) %g = add(%d, %e) %h = add(%f, %g)
            """, "%h")
        let (m, s, e) = (try anyCall("matmul"), try anyCall("sigmoid"), try anyCall("add"))
        let (f, g, h) = (try anyCall("add"), try anyCall("add"), try anyCall("add"))
        let first = try scene.match {
            try $0.fork(m, to: s, e)
            try $0.state(s >> f)
            try $0.state(e ^ f)
        }
        #expect(scene.names(first, m, s, e, f) == "a c e f")
        #expect(
            try scene.match {
                try $0.fork(m, to: s, e)
                try $0.state(s >> f)
                try $0.state(e >> f)
            } == nil)
        #expect(
            try scene.match {
                try $0.fork(m, to: s, e)
                try $0.state(s >> g)
                try $0.state(e ^ g)
            } != nil)
        let last = try scene.match {
            try $0.fork(e, to: f, g)
            try $0.state(f >> h)
            try $0.state(g >> h)
        }
        #expect(scene.names(last, e, f, g, h) == "e f g h")
    }

    @Test("M-25 Incremental contexts") func incremental() throws {
        let (r, s, n) = (try anyCall("nn.relu"), try anyCall("sigmoid"), try anyCall("negative"))
        let chain = try Scene("%x: f32[4]", "%a = nn.relu(%x) %b = sigmoid(%a) %c = negative(%b)", "%c")
        let short = try Scene("%x: f32[4]", "%b = sigmoid(%x) %c = negative(%b)", "%c")
        var outer = PatternContext()
        try outer.state(r >> s)
        var inner = PatternContext(extending: outer)
        try inner.state(s >> n)
        #expect(chain.names(try chain.match(inner), r, s, n) == "a b c")
        #expect(chain.names(try chain.match(outer), r, s, n) == "a b -")
        var fresh = PatternContext()
        try fresh.state(s >> n)
        #expect(short.names(try short.match(fresh), s, n) == "b c")
        #expect(try short.match(inner) == nil)
    }

    private static func products(_ first: String, _ others: String) throws -> Scene {
        try Scene(
            "%x1: f32[4,4], %x2: f32[4,4], %w0: f32[4,4], %w1: f32[4,4], %w2: f32[4,4]",
            """
            %a = matmul(\(first), %w0) %b = matmul(\(others), %w1) %c = matmul(\(others), %w2) %t = (%a, %b, %c)
            """, "%t")
    }

    @Test("M-26 Shared input") func sharedInput() throws {
        let scene = try Self.products("%x1", "%x1")
        let (i, q, k, v) = (any, any, any, any)
        let (m1, m2, m3) = (try op("matmul", i, q), try op("matmul", i, k), try op("matmul", i, v))
        let match = try scene.match { for node in [m1, m2, m3] { try $0.add(node) } }
        #expect(scene.names(match, i, q, k, v, m1, m2, m3) == "x1 w0 w1 w2 a b c")
    }

    @Test("M-27 Not the same input") func notSharedInput() throws {
        let scene = try Self.products("%x1", "%x2")
        let i = any
        let nodes = try (0..<3).map { _ in try op("matmul", i, any) }
        #expect(try scene.match { for node in nodes { try $0.add(node) } } == nil)
    }

    @Test(
        "M-28 Same-shape constraint",
        arguments: [
            ("1024,128", "1024,128", true), ("n,128", "n,128", true), ("1024,128", "1,128", false),
            ("n,128", "m,128", false),
        ])
    func sameShape(a: String, b: String, matches: Bool) throws {
        let scene = try Scene(
            "%a: f32[\(a)], %b: f32[\(b)]",
            "%c = multiply(%a, const f32[](2)) %d: f32[\(a)] = add(%b, %c)", "%d")
        let (l, r) = (any, any)
        let sum = try op("add", l, r)
        let match = try scene.match {
            try $0.add(sum)
            try $0.sameShape([l, r])
        }
        #expect((match != nil) == matches)
        if matches { #expect(scene.names(match, l, r, sum) == "b c d") }
    }

    @Test("M-29 Side conditions") func sideConditions() throws {
        let scene = try Scene("%x: f32[4]", "%a = nn.relu(%x) %b = nn.gelu(%a)", "%a, %b")
        #expect(try scene.match { try $0.state(try anyCall("nn.relu") >> (try anyCall("nn.gelu"))) } != nil)
        #expect(try scene.match { try $0.state(try op("nn.relu", any) >> (try op("nn.gelu", any))) } == nil)
        let r = try op("nn.relu", any)
        let g = try op("nn.gelu", r)
        #expect(scene.names(try scene.match { try $0.state(r >> g) }, r, g) == "a b")
        let alias = try Scene("%x: f32[4]", "%a = nn.relu(%x) %a2 = %a %b = nn.gelu(%a2)", "%b")
        let (p, q) = (try anyCall("nn.relu"), try anyCall("nn.gelu"))
        #expect(alias.names(try alias.match { try $0.state(p >> q) }, p, q) == "a2 b")
        let literal = try Scene("%x: f32[4]", "%a = nn.relu(%x) %b = subtract(const f32[](1), %a)", "%b")
        let difference = try anyCall("subtract")
        #expect(try literal.match { try $0.state(p.used(by: difference, operand: 0)) } != nil)
        #expect(try literal.match { try $0.state(p.used(by: difference, operand: 1)) } == nil)
        #expect(try scene.match(PatternContext()) == nil)
    }

    @Test("M-29 The same relation twice is an error") func twice() throws {
        var context = PatternContext()
        let (p, q) = (try anyCall("nn.relu"), try anyCall("nn.gelu"))
        try context.state(p >> q)
        try context.state(p ^ q)
        try context.state(p.used(by: q, operand: 0))
        #expect(throws: TenonError.self) { try context.state(p >> q) }
        #expect(context.relations.count == 3)
    }

    @Test("M-26 Literals in call patterns have no place among variables") func literalArgument() throws {
        let scene = try Scene("%x: f32[4]", "%a = nn.relu(%x) %b = subtract(const f32[](1), %a)", "%b")
        let (r, c) = (try op("nn.relu", any), isConst())
        let difference = try op("subtract", c, r)
        #expect(scene.names(try scene.match { try $0.add(difference) }, r, difference) == "a b")
    }

    @Test("M-24 The search is bounded") func bounded() throws {
        // Sixteen equal products: an assignment of nine of them that share a second operand does not exist.
        var body = ""
        for index in 0..<16 { body += "%m\(index) = matmul(%x, %w\(index)) " }
        let weights = (0..<16).map { "%w\($0): f32[4,4]" }.joined(separator: ", ")
        let outputs = (0..<16).map { "%m\($0)" }.joined(separator: ", ")
        let scene = try Scene("%x: f32[4,4], \(weights)", body, outputs)
        let i = any
        var context = PatternContext()
        for _ in 0..<8 { try context.add(try op("matmul", i, any)) }
        let same = any
        try context.add(try op("matmul", same, same))
        try context.state(i ^ (try op("matmul", i, same)))
        let error = #expect(throws: TenonError.self) {
            try matchDataflowBlock(context, scene.function.body.blocks[0], of: scene.function, stepLimit: 10_000)
        }
        #expect(error?.status == .limitExceeded)
    }
}
