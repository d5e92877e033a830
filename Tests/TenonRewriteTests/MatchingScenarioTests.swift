import Testing

@testable import TenonIR
@testable import TenonRewrite

/// One pattern against one expression.
@Suite struct MatchingScenarioTests {
    /// A function with variables of every kind; `matches` sees through nothing unless told.
    private static let leaves = """
        fn @main(%x: f32[4], %y: f32[4]) {
          dataflow {
            %dx = nn.relu(%x)
            %dy = nn.relu(%y)
            %t: object = (@x, %dy).0
            %u: object = (@x, %dy).1
            %nop: object = extern "test.nop"()
            output %t, %u, %nop
          }
          return (%t, %u, %nop)
        }
        """

    private struct Scene {
        let function: Function
        let opaque: BindingTable

        init(_ text: String) throws {
            function = try #require(try Module(text: text).main)
            opaque = BindingTable(opaque: function)
        }

        func id(_ name: String) throws -> ValueID { try value(name, in: function) }

        func matches(_ pattern: Pattern, _ operand: Operand) throws -> Bool {
            try pattern.match(operand, in: opaque) != nil
        }

        func matches(_ pattern: Pattern, variable name: String) throws -> Bool {
            try matches(pattern, .value(try id(name)))
        }

        func matches(_ pattern: Pattern, valueOf name: String, seeingThrough: Bool = true) throws -> Bool {
            try pattern.match(valueOf: try id(name), in: function, seeingThrough: seeingThrough) != nil
        }
    }

    @Test("M-01 Leaf patterns") func leaves() throws {
        let scene = try Scene(
            Self.leaves.replacingFirst("%dx = nn.relu(%x)", "%\"dfx\" = nn.relu(%x) %dx = nn.relu(%x)"))
        let x = Operand.value(try scene.id("x"))
        guard case .expression(let wrapped) = isExpr(x).kind else {
            Issue.record("not an expression pattern")
            return
        }
        #expect(wrapped == x)
        #expect(try scene.matches(isExpr(x), x))
        #expect(try !scene.matches(isExpr(x), .value(try scene.id("y"))))
        #expect(try scene.matches(isVar("x"), x))
        #expect(try !scene.matches(isVar("x"), variable: "y"))
        #expect(try !scene.matches(isVar("x"), .global("x")))
        #expect(try scene.matches(isVar(), x))
        #expect(try scene.matches(isVar(), variable: "dx"))
        #expect(try scene.matches(isDataflowVar("dfx"), variable: "dfx"))
        #expect(try !scene.matches(isDataflowVar("x"), .global("x")))
        #expect(try !scene.matches(isDataflowVar("x"), x))
        #expect(try scene.matches(isDataflowVar(), variable: "dx"))
        #expect(try scene.matches(isGlobalVar("x"), .global("x")))
        #expect(try !scene.matches(isGlobalVar("x"), .global("y")))
        #expect(try !scene.matches(isGlobalVar("x"), x))
        #expect(try scene.matches(isGlobalVar(), .global("x")))
        #expect(try scene.matches(isConst(), .constant(try Constant.floats([1, 2], [1, 2]))))
        #expect(try !scene.matches(isConst(), .shape([1, 2])))
        #expect(try !scene.matches(isConst(), .int(3)))
        #expect(try scene.matches(any, x))
        #expect(try scene.matches(isExternal("test.nop", nil), valueOf: "nop"))
        #expect(try scene.matches(isExternal(nil, []), valueOf: "nop"))
        #expect(try !scene.matches(isExternal("test.no", nil), valueOf: "nop"))
        #expect(wildcard().named("n").name == "n")
    }

    @Test("M-01 Constants with a required value") func constantValues() throws {
        let scene = try Scene(Self.leaves)
        let half = Operand.constant(try Constant.filled(.float32, [2, 2], 0.5))
        #expect(try scene.matches(isConst(0.5), half))
        #expect(try scene.matches(isConst(0.500001), half))
        #expect(try !scene.matches(isConst(0.51), half))
        #expect(try scene.matches(isConst(0.51, tolerance: 0.1), half))
        #expect(try !scene.matches(isConst(1), .constant(try Constant.floats([2], [1, 2]))))
    }

    private static let sum = """
        fn @main(%x: f32[4], %y: f32[4]) {
          %s = add(%x, %y)
          return %s
        }
        """

    @Test("M-02 Operator call") func operatorCall() throws {
        let scene = try Scene(Self.sum)
        let (a, b) = (any, any)
        let pattern = try op("add", a, b)
        let match = try #require(try pattern.match(valueOf: try scene.id("s"), in: scene.function))
        #expect(match[a]?.asOperand == .value(try scene.id("x")))
        #expect(match[b]?.asOperand == .value(try scene.id("y")))
        guard case .call(_, let arguments?, _, _) = pattern.kind else {
            Issue.record("not a call pattern")
            return
        }
        #expect(arguments.count == 2 && arguments[0] === a && arguments[1] === b)
        let extracted = try #require(try pattern.extract(valueOf: try scene.id("s"), in: scene.function))
        #expect(extracted.count == 4)
        #expect(extracted.first?.node === pattern)
    }

    @Test("M-03 Arity of calls") func arity() throws {
        let scene = try Scene(
            """
            fn @main(%x: f32[4], %w: f32[4]) {
              %m: f32[4] = extern "mul"(%x, %w)
              return %m
            }
            """)
        #expect(try scene.matches(isExternal("mul", [any, any]), valueOf: "m"))
        #expect(try scene.matches(isExternal("mul", [], variadic: true), valueOf: "m"))
        #expect(try scene.matches(isExternal("mul", [any], variadic: true), valueOf: "m"))
        #expect(try !scene.matches(isExternal("mul", [any]), valueOf: "m"))
        #expect(try !scene.matches(isExternal("mul", []), valueOf: "m"))
        #expect(try !scene.matches(isExternal("mul", [any, any, any], variadic: true), valueOf: "m"))
        #expect(try scene.matches(isExternal("mul", nil), valueOf: "m"))
        #expect(try scene.matches(isExternal("mul", [isVar("x"), isVar("w")]), valueOf: "m"))
        #expect(try !scene.matches(isExternal("mul", [isVar("w"), isVar("x")]), valueOf: "m"))
    }

    private static func functions(_ op: String, _ attributes: String = "") -> String {
        """
        fn @main(%a: f32[4]) {
          %f = fn(%x: f32[4], %y: f32[4]) \(attributes) {
            %r = \(op)(%x, %y)
            return %r
          }
          %r = %f(%a, %a)
          return %r
        }
        """
    }

    private static func sumFunction(_ p: Pattern, _ q: Pattern) throws -> Pattern {
        Pattern(.function(parameters: [p, q], body: try op("add", p, q)))
    }

    @Test("M-04 Function pattern") func functionPattern() throws {
        let pattern = try Self.sumFunction(any, any)
        #expect(try Scene(Self.functions("add")).matches(pattern, valueOf: "f"))
        #expect(try !Scene(Self.functions("multiply")).matches(pattern, valueOf: "f"))
        let one = any
        #expect(
            try !Scene(Self.functions("add")).matches(
                Pattern(.function(parameters: [one], body: try op("add", one, one))), valueOf: "f"))
        // The body's nodes must be the parameters themselves.
        let swapped = Pattern(.function(parameters: [any, any], body: try op("add", isConst(), any)))
        #expect(try !Scene(Self.functions("add")).matches(swapped, valueOf: "f"))
    }

    @Test("M-05 Tuple pattern") func tuplePattern() throws {
        let scene = try Scene(Self.leaves)
        let dataflow = Operand.value(try scene.id("dy"))
        let t = isTuple([any, isDataflowVar()])
        #expect(try scene.matches(t, .tuple([.global("x"), dataflow])))
        #expect(try !scene.matches(t, .tuple([dataflow, .global("x")])))
        #expect(try !scene.matches(t, .tuple([])))
        #expect(try scene.matches(isTuple([]), .tuple([])))
        #expect(try scene.matches(t.item(0), valueOf: "t", seeingThrough: false))
        #expect(try scene.matches(t.item(1), valueOf: "u", seeingThrough: false))
        #expect(try !scene.matches(t.item(1), valueOf: "t", seeingThrough: false))
        #expect(try scene.matches(t.item(-1), valueOf: "u", seeingThrough: false))
        #expect(try scene.matches(t.anyItem(), valueOf: "t", seeingThrough: false))
        #expect(try scene.matches(t.anyItem(), valueOf: "u", seeingThrough: false))
        #expect(throws: TenonError.self) { try t.item(2) }
        #expect(throws: TenonError.self) { try t.item(-3) }
    }

    @Test("M-06 Unordered tuple") func unorderedTuple() throws {
        let scene = try Scene(Self.leaves)
        let dataflow = Operand.value(try scene.id("dy"))
        let literal = Operand.constant(try Constant.scalar(.float32, 1))
        let u = isTuple([isConst(), isDataflowVar()], unordered: true)
        #expect(try scene.matches(u, .tuple([literal, dataflow])))
        #expect(try scene.matches(u, .tuple([dataflow, literal])))
        #expect(try !scene.matches(u, .tuple([dataflow, dataflow])))
        #expect(try !scene.matches(u, .tuple([])))
        // All permutations are searched, not only the greedy one.
        let greedy = isTuple([any, isConst()], unordered: true)
        #expect(try scene.matches(greedy, .tuple([literal, .value(try scene.id("x"))])))
    }

    @Test("M-07 Projection") func projection() throws {
        let scene = try Scene(Self.leaves)
        let pattern = try isTuple([isGlobalVar("x"), isDataflowVar("dy")]).item(0)
        #expect(try scene.matches(pattern, valueOf: "t", seeingThrough: false))
        #expect(try !scene.matches(pattern, valueOf: "u", seeingThrough: false))
    }

    @Test("M-08 Logic") func logic() throws {
        let scene = try Scene(
            """
            fn @main(%x: f32[4], %a: f32[2,3,3], %b: f32[3,3,3], %c: f32[rank=3]) {
              dataflow { %dx = nn.relu(%x) %dy = nn.relu(%x) output %dy }
              return %dy
            }
            """)
        let either = isDataflowVar("dx") | isGlobalVar("x")
        #expect(try scene.matches(either, variable: "dx"))
        #expect(try scene.matches(either, .global("x")))
        #expect(try !scene.matches(either, variable: "x"))
        #expect(try !scene.matches(either, variable: "dy"))
        #expect(try !scene.matches(either, .global("y")))
        let both = any.hasShape([2, 3, 3]) & any.hasDType(.float32)
        #expect(try scene.matches(both, variable: "a"))
        #expect(try !scene.matches(both, variable: "b"))
        #expect(try !scene.matches(both, variable: "c"))
        let negated = !any.hasShape([2, 3, 3])
        #expect(try scene.matches(negated, variable: "b"))
        #expect(try !scene.matches(negated, variable: "a"))
    }

    @Test("M-09 Dtype, shape, shape literal") func shapes() throws {
        let scene = try Scene(
            "fn @main(%v: f32[32,32], %s: f32[n,m,n+m], %u: ?[4], %r: f32[rank=2]) { return (%v, %s, %u, %r) }")
        let (n, m) = (Dim.symbol("n"), Dim.symbol("m"))
        let sum = try #require(Dim.adding(n, m))
        let otherSum = try #require(Dim.adding(m, n))
        #expect(try scene.matches(any.hasDType(.float32), variable: "v"))
        #expect(try !scene.matches(any.hasDType(.float16), variable: "v"))
        #expect(try !scene.matches(any.hasDType(.float32), variable: "u"))
        #expect(try scene.matches(any.hasShape([32, 32]), variable: "v"))
        #expect(try scene.matches(any.hasShape([n, m, sum]), variable: "s"))
        #expect(try scene.matches(any.hasShape([n, m, otherSum]), variable: "s"))
        #expect(try !scene.matches(any.hasShape([1, 2, 3]), variable: "s"))
        #expect(try !scene.matches(any.hasShape([m, n, sum]), variable: "s"))
        #expect(try !scene.matches(any.hasShape([n, 32]), variable: "v"))
        #expect(try !scene.matches(any.hasShape([32, 32]), variable: "r"))
        #expect(try scene.matches(isShape([32, 32]), .shape([32, 32])))
        #expect(try scene.matches(isShape([n, m, sum]), .shape([n, m, otherSum])))
        let product = try #require(Dim.multiplying(n, m))
        #expect(try !scene.matches(isShape([n, m, product]), .shape([n, m, sum])))
        guard case .shapeLiteral(let entries) = isShape([n, m]).kind else {
            Issue.record("not a shape literal")
            return
        }
        #expect(entries[1] == m)
    }

    @Test("M-09 Types accept what cannot be disproved") func types() throws {
        let scene = try Scene("fn @main(%s: f32[n,4], %r: f32[rank=2]) { return (%s, %r) }")
        #expect(try scene.matches(any.hasType(.tensor(.float32, [4, 4] as [Int64])), variable: "s"))
        #expect(try !scene.matches(any.hasShape([4, 4]), variable: "s"))
        #expect(try scene.matches(any.hasType(.tensor(nil, [4, 4] as [Int64])), variable: "s"))
        #expect(try !scene.matches(any.hasType(.tensor(.float16, [4, 4] as [Int64])), variable: "s"))
        #expect(try !scene.matches(any.hasType(.tensor(.float32, [4, 5] as [Int64])), variable: "s"))
        #expect(try !scene.matches(any.hasType(.tensor(.float32, [4, 4] as [Int64])), variable: "r"))
        #expect(try scene.matches(any.hasType(.tensor(TensorType(dtype: .float32, rank: 2))), variable: "r"))
        #expect(try !scene.matches(any.hasType(.tensor(TensorType(dtype: .float32, rank: 3))), variable: "r"))
    }

    @Test("M-10 Call attributes") func callAttributes() throws {
        let scene = try Scene(
            """
            fn @main(%x: f32[1,4,9,9], %y: f32[4,4,3,3]) {
              %c = nn.conv2d(%x, %y) {strides=[3, 3]}
              return %c
            }
            """)
        let call = try op("nn.conv2d", isVar("x"), isVar("y"))
        #expect(try scene.matches(call.hasAttributes(["strides": .ints([3, 3])]), valueOf: "c"))
        #expect(try !scene.matches(call.hasAttributes(["strides": .ints([4, 3])]), valueOf: "c"))
        #expect(try !scene.matches(call.hasAttributes(["stride": .ints([3, 3])]), valueOf: "c"))
        #expect(try scene.matches(call.hasAttributes([:]), valueOf: "c"))
    }

    @Test("M-11 Function attributes") func functionAttributes() throws {
        let scene = try Scene(
            Self.functions("add", #"{Codegen="test-codegen", global_symbol="test-symbol"}"#))
        let pattern = try Self.sumFunction(isVar("x"), isVar("y"))
        let both: Attributes = ["Codegen": "test-codegen", "global_symbol": "test-symbol"]
        #expect(try scene.matches(pattern.hasAttributes(both), valueOf: "f"))
        #expect(try scene.matches(pattern.hasAttributes(["Codegen": "test-codegen"]), valueOf: "f"))
        #expect(try !scene.matches(pattern.hasAttributes(["ping": "pong"]), valueOf: "f"))
        #expect(try scene.matches(pattern.hasAttributes([:]), valueOf: "f"))
    }

    @Test("M-12 Seeing through bindings") func seeingThrough() throws {
        let scene = try Scene(
            """
            fn @main(%x: f32[32,32], %w: f32[32,32]) {
              dataflow {
                %a = matmul(%x, %w)
                %b = nn.relu(%a)
                %c = zeros(shape[32])
                %t = (%b, %c)
                output %t
              }
              return %t
            }
            """)
        #expect(try scene.matches(anyCall("nn.relu"), valueOf: "b", seeingThrough: false))
        let product = try op("nn.relu", try anyCall("matmul"))
        #expect(try scene.matches(product, valueOf: "b"))
        #expect(try !scene.matches(product, valueOf: "b", seeingThrough: false))
        #expect(try !scene.matches(op("nn.relu", try anyCall("nn.relu")), valueOf: "b"))
        #expect(try scene.matches(op("zeros", any), valueOf: "c"))
    }

    @Test("M-13 Node reuse") func nodeReuse() throws {
        let scene = try Scene(
            """
            fn @main(%x: f32[4], %y: f32[4]) {
              %k = const f32[4](1, 2, 3, 4)
              %xx = add(%x, %x)
              %xy = add(%x, %y)
              %r = nn.relu(%x)
              %rx = add(%r, %x)
              %xr = add(%x, %r)
              %ry = add(%r, %y)
              %kk = add(%k, %k)
              %k2 = add(const f32[4](1, 2, 3, 4), const f32[4](1, 2, 3, 4))
              %ak = add(%x, %k)
              %mk = multiply(%x, %k)
              %sk = subtract(%x, %k)
              %xk = maximum(%x, %k)
              return %x
            }
            """)
        let n = any
        #expect(try scene.matches(op("add", n, n), valueOf: "xx"))
        #expect(try !scene.matches(op("add", n, n), valueOf: "xy"))
        let mixed = try op("add", try op("nn.relu", n), n)
        #expect(try scene.matches(mixed, valueOf: "rx"))
        #expect(try scene.matches(mixed, valueOf: "xr"))
        #expect(try !scene.matches(mixed, valueOf: "ry"))
        let c = isConst()
        #expect(try scene.matches(op("add", c, c), valueOf: "kk"))
        #expect(try !scene.matches(op("add", c, c), valueOf: "k2"))
        #expect(try scene.matches(op("add", isConst(), any), valueOf: "ak"))
        #expect(try scene.matches(op("multiply", isConst(), any), valueOf: "mk"))
        #expect(try !scene.matches(op("subtract", isConst(), any), valueOf: "sk"))
        #expect(try !scene.matches(op("maximum", isConst(), any), valueOf: "xk"))
        let asked = try isOp("maximum").call([isConst(), any], commutes: true)
        #expect(try scene.matches(asked, valueOf: "xk"))
    }
}

extension String {
    func replacingFirst(_ part: String, _ other: String) -> String {
        guard let range = firstRange(of: part) else { return self }
        return self[..<range.lowerBound] + other + self[range.upperBound...]
    }
}
