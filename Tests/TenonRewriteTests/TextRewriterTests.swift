import Testing

@testable import TenonIR
@testable import TenonRewrite

@Suite struct TextRewriterTests {
    private static func apply(_ rule: String, _ text: String) throws -> Module {
        try TextRewriter(name: "rule", text: rule).apply(to: try Module(text: text))
    }

    @Test("A rule in text rewrites every match") func simple() throws {
        let rule = """
            fn @before(%x: object) { %s = sigmoid(%x) %y = multiply(%x, %s) return %y }
            fn @after(%x: object) { %y = nn.silu(%x) return %y }
            """
        try expect(
            try Self.apply(
                rule,
                """
                fn @main(%a: f32[4], %b: f32[4]) {
                  dataflow {
                    %s = sigmoid(%a) %p = multiply(%s, %a) %t = sigmoid(%b) %q = multiply(%p, %t)
                    output %q
                  }
                  return %q
                }
                """),
            equals: """
                fn @main(%a: f32[4], %b: f32[4]) {
                  dataflow { %p = nn.silu(%a) %t = sigmoid(%b) %q = multiply(%p, %t) output %q }
                  return %q
                }
                """)
    }

    @Test("Symbols of types are captured") func symbols() throws {
        let rule = """
            fn @before(%x: ?[n,m]) {
              %a: ?[m,n] = permute_dims(%x)
              %y: ?[m * n] = flatten(%a)
              return %y
            }
            fn @after(%x: ?[n,m]) {
              %a: ?[m,n] = permute_dims(%x)
              %y: ?[m * n] = reshape(%a, shape[m * n])
              return %y
            }
            """
        try expect(
            try Self.apply(rule, "fn @main(%x: f32[3,k]) { %a = permute_dims(%x) %y = flatten(%a) return %y }"),
            equals: "fn @main(%x: f32[3,k]) { %a = permute_dims(%x) %y = reshape(%a, shape[3 * k]) return %y }")
    }

    @Test("Attributes and literals are compared, defaults included") func attributes() throws {
        let rule = """
            fn @before(%x: object) { %a: object = nn.softmax(%x) %y: object = multiply(%a, const f32[](2)) return %y }
            fn @after(%x: object) { %y: object = nn.log_softmax(%x) return %y }
            """
        func main(_ attributes: String, _ literal: String) -> String {
            """
            fn @main(%x: f32[4,4]) {
              %a = nn.softmax(%x) \(attributes)
              %y = multiply(%a, const f32[](\(literal)))
              return %y
            }
            """
        }
        try expect(
            try Self.apply(rule, main("", "2")), equals: "fn @main(%x: f32[4,4]) { %y = nn.log_softmax(%x) return %y }")
        for text in [main("{axis=0}", "2"), main("", "3")] { try expect(try Self.apply(rule, text), equals: text) }
    }

    @Test("A capture may be asked to be a constant") func constants() throws {
        let rule = """
            fn @before(%x: object, %k: object) {constants=["k"]} { %y: object = subtract(%x, %k) return %y }
            fn @after(%x: object, %k: object) { %n: object = negative(%k) %y: object = add(%x, %n) return %y }
            """
        let kept = "fn @main(%x: f32[4], %z: f32[4]) { %y = subtract(%x, %z) return %y }"
        try expect(try Self.apply(rule, kept), equals: kept)
        try expect(
            try Self.apply(rule, "fn @main(%x: f32[4]) { %y = subtract(%x, const f32[](3)) return %y }"),
            equals: "fn @main(%x: f32[4]) { %n = negative(const f32[](3)) %y = add(%x, %n) return %y }")
    }

    @Test("Several results are rewritten together") func severalResults() throws {
        let rule = """
            fn @before(%x: object, %p: ?[a,b], %q: ?[a,c]) {
              %y: object = matmul(%x, %p)
              %z: object = matmul(%x, %q)
              return (%y, %z)
            }
            fn @after(%x: object, %p: ?[a,b], %q: ?[a,c]) {
              %w: object = concat((%p, %q)) {axis=1}
              %m: object = matmul(%x, %w)
              %y: object = strided_slice(%m, shape[1], shape[0], shape[b])
              %z: object = strided_slice(%m, shape[1], shape[b], shape[b + c])
              return (%y, %z)
            }
            """
        try expect(
            try Self.apply(
                rule,
                """
                fn @main(%x: f32[2,4], %p: f32[4,3], %q: f32[4,5]) {
                  dataflow { %y = matmul(%x, %p) %z = matmul(%x, %q) output %y, %z }
                  return (%y, %z)
                }
                """),
            equals: """
                fn @main(%x: f32[2,4], %p: f32[4,3], %q: f32[4,5]) {
                  dataflow {
                    %w = concat((%p, %q)) {axis=1}
                    %m = matmul(%x, %w)
                    %y = strided_slice(%m, shape[1], shape[0], shape[3])
                    %z = strided_slice(%m, shape[1], shape[3], shape[8])
                    output %y, %z
                  }
                  return (%y, %z)
                }
                """)
    }

    @Test("A rule can be switched off by name, and leaves composites alone") func switchedOff() throws {
        let rule = try TextRewriter(
            name: "r",
            text: """
                fn @before(%x: object) { %y: object = nn.relu(%x) return %y }
                fn @after(%x: object) { %y: object = nn.gelu(%x) return %y }
                """)
        let module = try Module(
            text: #"fn @f(%x: f32[4]) {Composite="a.b", Primitive=true} { %y = nn.relu(%x) return %y } "#
                + "fn @main(%x: f32[4]) { %y = nn.relu(%x) %z = @f(%y) return %z }")
        let off = try rule.apply(to: module, PassContext(disabledRules: ["r"]))
        #expect(off.isStructurallyEqual(to: module))
        let on = try rule.apply(to: module)
        #expect(on["f"]?.isStructurallyEqual(to: try #require(module["f"])) == true)
        #expect(on.main?.body.blocks[0].bindings[0].expression.asCall?.callee == .op(try Operators.require("nn.gelu")))
    }

    @Test(
        "Rules that make no sense are refused",
        arguments: [
            "fn @before(%x: object) { %y: object = nn.relu(%x) return %y }",
            "fn @before(%x: object) { return %x } fn @after(%x: object) { return %x }",
            "fn @before(%x: object) { %y: object = nn.relu(%x) return %y } fn @after(%z: object) { return %z }",
            "fn @before(%x: object) { %y: object = nn.relu(%x) return %y } fn @after(%x: object) { return (%x, %x) }",
            """
            fn @before(%x: object) { %u: object = tanh(%x) %y: object = nn.relu(%x) return %y }
            fn @after(%x: object) { return %x }
            """,
            """
            fn @before(%x: object) {constants=["w"]} { %y: object = nn.relu(%x) return %y }
            fn @after(%x: object) { return %x }
            """,
        ]) func refused(rule: String)
    {
        #expect(throws: TenonError.self) { try TextRewriter(name: "r", text: rule) }
    }
}
