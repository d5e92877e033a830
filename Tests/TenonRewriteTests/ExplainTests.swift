import Testing

@testable import TenonIR
@testable import TenonRewrite

@Suite struct ExplainTests {
    private static func explained(_ body: String, _ outputs: String, _ patterns: [FusionPattern]) throws -> Explanation
    {
        let module = try Module(
            text: """
                fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1], %b: f32[1,4,1,1]) {
                  dataflow { \(body) output \(outputs) }
                  return \(outputs.contains(",") ? "(\(outputs))" : outputs)
                }
                """)
        let before = module.text()
        let explanation = try explain(module, FuseOpsByPattern(patterns))
        #expect(module.text() == before)
        return explanation
    }

    private static func rule(
        _ name: String, _ text: String, leaks: Bool = false,
        check: (@Sendable (FusionCandidate) throws -> Refusal?)? = nil
    ) throws -> FusionPattern {
        FusionPattern(name, try Pattern.parse(text), check: check, allowsLeak: leaks)
    }

    private static let biasRelu = "nn.relu(add(nn.conv2d(*, *), *))"

    /// The only near miss.
    private static func miss(
        _ body: String, _ outputs: String, _ pattern: FusionPattern
    ) throws -> Explanation.NearMiss {
        let explanation = try explained(body, outputs, [pattern])
        #expect(explanation.nearMisses.count == 1, "\(explanation.text())")
        return try #require(explanation.nearMisses.first)
    }

    @Test("What fused into what") func fused() throws {
        let explanation = try Self.explained(
            "%c = nn.conv2d(%x, %w) %s = add(%c, %b) %r = nn.relu(%s) %d = nn.conv2d(%r, %w) %0 = tanh(%d)", "%0",
            [try Self.rule("dnnl.conv_bias_relu", Self.biasRelu), try Self.rule("dnnl.conv", "nn.conv2d(*, *)")])
        #expect(explanation.nearMisses.isEmpty)
        #expect(explanation.fusions.map(\.rule) == ["dnnl.conv_bias_relu", "dnnl.conv"])
        #expect(explanation.fusions[0].root == "r")
        #expect(explanation.fusions[0].members.map(\.binding) == ["c", "s", "r"])
        #expect(explanation.fusions[0].members.map(\.operatorName) == ["nn.conv2d", "add", "nn.relu"])
        #expect(explanation.fusions[1].members.map(\.binding) == ["d"])
        #expect(
            explanation.text() == """
                @main
                  fused   %r by dnnl.conv_bias_relu: %c nn.conv2d, %s add, %r nn.relu
                  fused   %d by dnnl.conv: %d nn.conv2d

                """)
    }

    @Test("Another operator than expected") func otherOperator() throws {
        let miss = try Self.miss(
            "%c = nn.conv2d_transpose(%x, %w) %s = add(%c, %b) %r = nn.relu(%s)", "%r",
            try Self.rule("x.p", Self.biasRelu))
        #expect((miss.root, miss.place) == ("r", "c"))
        #expect(miss.kind == .operatorMismatch)
        #expect((miss.found, miss.expected) == ("nn.conv2d_transpose", "nn.conv2d"))
        #expect(miss.matchedOperators == 2)
    }

    @Test("A root alone is no near miss") func rootAlone() throws {
        let explanation = try Self.explained(
            "%c = nn.conv2d(%x, %w) %r = nn.relu(%c)", "%r", [try Self.rule("x.p", Self.biasRelu)])
        #expect(explanation.fusions.isEmpty && explanation.nearMisses.isEmpty)
        #expect(explanation.text() == "nothing fused, and nothing nearly did\n")
    }

    @Test(
        "The first thing that failed, by kind",
        arguments: [
            ("nn.relu(add(nn.conv2d(*, *) @attr{groups=4}, *))", "attribute", "groups=1"),
            ("nn.relu(add(nn.conv2d(*, *) @shape[1,4,9,9], *))", "shape", "f32[1,4,8,8]"),
            ("nn.relu(add(nn.conv2d(*, *) @dtype f16, *))", "dtype", "f32[1,4,8,8]"),
            ("nn.relu(add(nn.conv2d(*, *), const))", "constant_value", "parameter %b"),
            ("nn.relu(add(nn.conv2d(*, *), * @type f16[1,4,1,1]))", "dtype", "f32[1,4,1,1]"),
        ]) func kinds(pattern: String, kind: String, found: String) throws
    {
        let miss = try Self.miss(
            "%c = nn.conv2d(%x, %w) %s = add(%c, %b) %r = nn.relu(%s)", "%r", try Self.rule("x.p", pattern))
        #expect(miss.kind.rawValue == kind)
        #expect(miss.found == found)
        #expect(!miss.expected.isEmpty)
    }

    @Test("A constant of another value") func constantValue() throws {
        let miss = try Self.miss(
            "%c = nn.conv2d(%x, %w) %s = multiply(%c, const f32[](3)) %r = nn.relu(%s)", "%r",
            try Self.rule("x.p", "nn.relu(multiply(nn.conv2d(*, *), const(2)))"))
        #expect(miss.kind == .constantValue)
        #expect((miss.found, miss.expected) == ("3.0", "2.0"))
    }

    @Test("An extra user, and an output that leaks") func leaks() throws {
        let body = "%c = nn.conv2d(%x, %w) %s = add(%c, %b) %r = nn.relu(%s)"
        let user = try Self.miss("\(body) %t = tanh(%c) %u = add(%r, %t)", "%u", try Self.rule("x.p", Self.biasRelu))
        #expect(user.kind == .extraUser)
        #expect(user.found == "%c is also used by %t")
        let output = try Self.miss(body, "%r, %s", try Self.rule("x.p", Self.biasRelu))
        #expect(output.kind == .outputLeak)
        #expect(output.found == "%s leaves its block")
        let allowed = try Self.explained(body, "%r, %s", [try Self.rule("x.p", Self.biasRelu, leaks: true)])
        #expect(allowed.fusions.count == 1 && allowed.nearMisses.isEmpty)
    }

    @Test("A group that would need its own result") func convexity() throws {
        let body = """
            %c = nn.conv2d(%x, %w) %r = nn.relu(%c) %g = nn.gelu(%c) %o = add(%r, %g)
            %c2 = nn.conv2d(%o, %w) %r2 = nn.relu(%c2) %o2 = add(%r2, %x)
            """
        let explanation = try Self.explained(
            body, "%o2",
            [
                try Self.rule("x.sum", "add(nn.relu(nn.conv2d(*, *)), *)", leaks: true),
                try Self.rule("x.conv", "nn.conv2d(*, *)", leaks: true),
            ])
        let miss = try #require(explanation.nearMisses.first { $0.rule == "x.sum" })
        #expect(miss.kind == .convexity)
        #expect(miss.root == "o")
        // The pattern that fails is left out; the next one sees the module as it was.
        #expect(explanation.fusions.filter { $0.rule == "x.conv" }.count == 2)
    }

    @Test("A check that refuses", arguments: [true, false]) func check(throwing: Bool) throws {
        let refusal = Refusal(.checkRefused, found: "a bias of 4 dimensions", expected: "1")
        let miss = try Self.miss(
            "%c = nn.conv2d(%x, %w) %s = add(%c, %b) %r = nn.relu(%s)", "%r",
            try Self.rule("x.p", Self.biasRelu) { _ in
                if throwing { throw refusal }
                return refusal
            })
        #expect(miss.kind == .checkRefused)
        #expect(miss.found == "a bias of 4 dimensions")
        #expect(miss.matchedOperators == 3)
    }

    @Test("A backend that refuses, be it one operator") func backend() throws {
        let miss = try Self.miss(
            "%c = nn.conv2d(%x, %w) %r = nn.relu(%c)", "%r",
            try Self.rule("x.conv", "nn.conv2d(*, *)") { _ in
                Refusal(.backendRefused, found: "ref:any", expected: "an optimised implementation")
            })
        #expect((miss.kind, miss.root, miss.matchedOperators) == (.backendRefused, "c", 1))
        #expect(miss.kind.rawValue == "backend_refused")
        #expect((miss.found, miss.expected) == ("ref:any", "an optimised implementation"))
    }

    @Test("A near miss that another rule fused says so") func fusedByAnother() throws {
        let explanation = try Self.explained(
            "%c = nn.conv2d(%x, %w) %s = add(%c, %b) %r = nn.relu(%s)", "%r, %s",
            [try Self.rule("x.long", Self.biasRelu), try Self.rule("x.relu", "nn.relu(*)")])
        #expect(explanation.nearMisses.map(\.fusedBy) == ["x.relu"])
        #expect(
            explanation.text() == """
                @main
                  fused   %r by x.relu: %r nn.relu
                  missed  %r by x.long: output_leak: found %s leaves its block, expected intermediate values used inside \
                the match only (fused by x.relu)

                """)
    }

    @Test("Names are those of the printed module") func printedNames() throws {
        var builder = FunctionBuilder()
        let x = builder.parameter("", .tensor(.float32, [4] as [Int64]))
        let a = try builder.call("nn.relu", [.value(x)])
        let b = try builder.call("nn.gelu", [.value(a)], name: "y")
        let c = try builder.call("tanh", [.value(b)], name: "y")
        let module = Module(functions: ["main": try builder.finish(.value(c))])
        let explanation = try explain(
            module, FuseOpsByPattern([try Self.rule("x.p", "tanh(nn.gelu(nn.relu(*)))")]))
        #expect(explanation.fusions[0].members.map(\.binding) == ["1", "y", "y_1"])
        #expect(module.text().contains("%y_1: f32[4] = tanh(%y)"))
    }

    @Test("As JSON") func json() throws {
        let explanation = try Self.explained(
            "%c = nn.conv2d(%x, %w) %s = add(%c, %b) %r = nn.relu(%s)", "%r, %s",
            [try Self.rule("x.\"p\"", Self.biasRelu), try Self.rule("x.relu", "nn.relu(*)")])
        #expect(
            explanation.json() == #"""
                {"fused": [{"function": "main", "rule": "x.relu", "root": "r", "members": [{"binding": "r", "operator": "nn.relu"}]}], "near_misses": [{"function": "main", "rule": "x.\"p\"", "root": "r", "binding": "", "matched_operators": 3, "kind": "output_leak", "found": "%s leaves its block", "expected": "intermediate values used inside the match only", "fused_by": "x.relu"}], "outside_dataflow": []}
                """#)
    }

    @Test("Patterns whose choices multiply are given up, not waited for") func exhausted() throws {
        var pattern = any & any
        for _ in 0..<40 { pattern = (pattern & isVar("no")) | (pattern & isVar("nothing")) }
        let relu = try op("nn.relu", pattern)
        let module = try Module(text: "fn @main(%x: f32[4]) { dataflow { %y = nn.relu(%x) output %y } return %y }")
        let error = #expect(throws: TenonError.self) {
            try FuseOpsByPattern([FusionPattern("x.p", relu)]).apply(to: module)
        }
        #expect(error?.status == .limitExceeded)
        #expect(throws: TenonError.self) {
            try rewriteCall(relu, in: try #require(module.main)) { _, _ in nil }
        }
    }
}
