import Testing

@testable import TenonIR

@Suite struct VerifierTests {
    private static let head = "fn @main(%x: f32[n,4], %c: bool[]) {\n"

    private func findings(_ text: String) throws -> [String] {
        try Module(text: text).findings().map(\.message)
    }

    private func expectFinding(_ body: String, _ message: String, rest: String = "") throws {
        let found = try findings(Self.head + body + "\n}\n" + rest)
        #expect(found.contains { $0.contains(message) }, "\(found)")
    }

    @Test func wellFormedModulesHaveNoFindings() throws {
        let text = """
            fn @main(%x: f32[n,4], %c: bool[]) -> f32[n,4] {
              dataflow {
                %a: f32[n,4] = nn.relu(%x)
                %b: f32[n,4] = @region(%a)
                %t: (f32[n,4], f32[n,4]) = (%a, %b)
                %d: f32[n,4] = %t.1
                output %d
              }
              %r: f32[n,4] = if %c {
                %e: f32[n,4] = add(%d, const f32[](1))
                yield %e
              } else {
                yield %d
              }
              return %r
            }
            fn @region(%x: f32[m,4]) -> f32[m,4] {Codegen="dnnl", global_symbol="region"} {
              %f: fn(f32[m,4]) -> f32[m,4] = fn(%p: f32[m,4]) -> f32[m,4] {Composite="dnnl.relu"} {
                %q: f32[m,4] = nn.relu(%p)
                return %q
              }
              %y: f32[m,4] = %f(%x)
              return %y
            }
            """
        #expect(try findings(text) == [])
        try Module(text: text).verify()
    }

    @Test func typesMustBeWhatInferenceGives() throws {
        try expectFinding(
            "%a: f32[n,5] = nn.relu(%x) return %a",
            "binding '%a': is declared as f32[n,5], but its expression gives f32[n,4]")
        try expectFinding("%a: f32[n,4] = %x %b: f32[4,n] = %a return %b", "binding '%b'")
        try expectFinding("%t: (f32[n,4], f32[n,4]) = (%x,) return %t", "is declared as")
        try expectFinding("%t: (f32[n,4],) = (%x,) %u: f32[n,4] = %t.1 return %u", "item 1 of a value of type")
        try expectFinding("%a: object = nn.relu(%x, %x) return %a", "nn.relu: expected 1 inputs, found 2")
        try expectFinding(
            "%r: f32[n,4] = if %x { yield %x } else { yield %x } return %r", "a condition is bool[], found f32[n,4]")
    }

    @Test func valuesAreVisibleWhereTheyMayBe() throws {
        try expectFinding(
            "dataflow { %a = nn.relu(%x) } return %a", "'%a' is used outside of the block that defines it")
        try expectFinding(
            "%r: f32[n,4] = if %c { %a = nn.relu(%x) yield %a } else { yield %x } return %a", "outside of the block")
        try expectFinding(
            "dataflow { %r: f32[n,4] = if %c { yield %x } else { yield %x } output %r } return %r", "no control flow")
    }

    @Test func valuesAreDefinedOnceAndBeforeUse() throws {
        var builder = FunctionBuilder()
        let x = builder.parameter("x", .tensor(.float32, [2] as [Int64]))
        let y = try builder.call("nn.relu", [.value(x)], name: "y")
        let z = try builder.call("nn.relu", [.value(y)], name: "z")
        let good = try builder.finish(.value(z))

        var swapped = good
        swapped.body.blocks[0].bindings.swapAt(0, 1)
        #expect(
            Module(functions: ["f": swapped]).findings().map(\.message) == [
                "function 'f', binding '%z': value '%y' is used before it is defined"
            ])
        var twice = good
        twice.body.blocks[0].bindings.append(good.body.blocks[0].bindings[0])
        #expect(Module(functions: ["f": twice]).findings()[0].message.contains("is defined twice"))
        var outside = good
        outside.body.result = .value(ValueID(99))
        #expect(Module(functions: ["f": outside]).findings()[0].message.contains("'%99' is used before it is defined"))
        var negative = good
        negative.body.blocks[0].bindings[0].id = ValueID(-1)
        #expect(!Module(functions: ["f": negative]).findings().isEmpty)
    }

    @Test func callsMatchSignatures() throws {
        let callee = "fn @g(%a: f32[m,4], %b: f32[m,k]) -> f32[k] { %r: f32[k] = extern \"e\"(%a, %b) return %r }"
        try expectFinding("%r: f32[4] = @g(%x) return %r", "'@g' expects 2 arguments, found 1", rest: callee)
        try expectFinding("%r: f32[5] = @g(%x, %x) return %r", "is declared as f32[5]", rest: callee)
        try expectFinding(
            "%r: f32[4] = @g(%x, %c) return %r", "expects argument 2 to be f32[m,k], found bool[]", rest: callee)
        try expectFinding("%r: f32[4] = @h(%x) return %r", "calls '@h', which is not in the module")
        try expectFinding("%r: object = %x(%c) return %r", "calls '%x', which is no function")
        #expect(try findings(Self.head + "%r: f32[4] = @g(%x, %x) return %r }" + callee) == [])
    }

    @Test func functionsDoNotCallThemselves() throws {
        try expectFinding(
            "%a: f32[n,4] = @g(%x) return %a", "calls itself, through main → g → main",
            rest: "fn @g(%x: f32[n,4]) { %c: bool[] = const bool[](true) %a: object = @main(%x, %c) return %a }")
    }

    @Test func attributesOfFunctions() throws {
        #expect(try findings("fn @f() {Codegen=\"dnnl\"} { return 1 }")[0].contains("no 'global_symbol'"))
        #expect(
            try findings("fn @f() {Composite=3} { return 1 }")[0].contains(
                "attribute 'Composite' expects a name, found 3"))
        #expect(
            try findings("fn @f() {global_symbol=\"s\"} { return 1 } fn @g() {global_symbol=\"s\"} { return 1 }")[0]
                .contains("has the global_symbol 's' of function 'f'"))
    }

    @Test(arguments: 0..<200) func anyModuleIsCheckedWithoutTrap(seed: Int) throws {
        var generator = RandomModules(seed: UInt64(seed + 1))
        let module = try generator.module()
        let all = module.findings()
        #expect(all.allSatisfy { !$0.message.contains("\n") || $0.message.contains("say") })
        #expect(module.findings(limit: 1).count == min(all.count, 1))
    }
}
