import Testing

@testable import TenonIR
@testable import TenonRewrite

/// Rewriting of related nodes of a block.
@Suite struct BlockRewriteScenarioTests {
    private static func function(_ text: String) throws -> Function { try #require(try Module(text: text).main) }

    /// Three products of one input become one wide product and three slices.
    private static func widen(_ text: String) throws -> Function {
        let (i, q, k, v) = (any, any, any, any)
        let products = try [q, k, v].map { try op("matmul", i, $0) }
        var context = PatternContext()
        for product in products { try context.add(product) }
        return try rewriteBindings(context, in: try function(text)) { match, builder in
            guard let width = match.type(of: q)?.asTensor?.staticShape?.last else { return nil }
            func operand(_ node: Pattern) throws -> Operand { .value(try #require(match[node])) }
            let joined = try builder.call("concat", [.tuple(try [q, k, v].map(operand))], ["axis": 1])
            let wide = try builder.call("matmul", [try operand(i), joined])
            var result: [ValueID: Operand] = [:]
            for (index, product) in products.enumerated() {
                let begin = Int64(index) * width
                result[try #require(match[product])] = try builder.call(
                    "strided_slice", [wide, .shape([2]), .shape([.fixed(begin)]), .shape([.fixed(begin + width)])])
            }
            return result
        }
    }

    private static func slices(_ source: String, _ first: Int, _ width: Int) -> String {
        (0..<3).map {
            "%lv\(first + $0) = strided_slice(%\(source), shape[2], shape[\($0 * width)], shape[\(($0 + 1) * width)])"
        }.joined(separator: " ")
    }

    private static let weights = (0..<6).map { "%w\($0): f32[640,640]" }.joined(separator: ", ")

    @Test("R-11 Block rewrite, repeatedly in one block") func repeatedly() throws {
        func main(_ body: String) -> String {
            """
            fn @main(%x1: f32[2,1024,640], %x2: f32[2,1024,640], \(Self.weights)) {
              dataflow { \(body) %t = (%lv0, %lv1, %lv2, %lv3, %lv4, %lv5) output %t }
              return %t
            }
            """
        }
        let products = (0..<6).map { "%lv\($0) = matmul(%x\($0 < 3 ? 1 : 2), %w\($0))" }.joined(separator: " ")
        try expect(
            try Self.widen(main(products)),
            equals: main(
                """
                %c1 = concat((%w0, %w1, %w2)) {axis=1} %m1 = matmul(%x1, %c1) \(Self.slices("m1", 0, 640))
                %c2 = concat((%w3, %w4, %w5)) {axis=1} %m2 = matmul(%x2, %c2) \(Self.slices("m2", 3, 640))
                """))
    }

    @Test("R-12 Block that begins with type assertions") func typeAssertions() throws {
        func main(_ body: String) -> String {
            """
            fn @main(%x_: object, %a_: object, %b_: object, %c_: object) {
              dataflow {
                %x = match_cast(%x_, f32[2,1024,640])
                %w0 = match_cast(%a_, f32[640,640])
                %w1 = match_cast(%b_, f32[640,640])
                %w2 = match_cast(%c_, f32[640,640])
                \(body)
                %t = (%lv0, %lv1, %lv2)
                output %t
              }
              return %t
            }
            """
        }
        try expect(
            try Self.widen(main("%lv0 = matmul(%x, %w0) %lv1 = matmul(%x, %w1) %lv2 = matmul(%x, %w2)")),
            equals: main(
                """
                %c = concat((%w0, %w1, %w2)) {axis=1} %m = matmul(%x, %c) \(Self.slices("m", 0, 640))
                """))
    }

    @Test("R-13 Replacement that needs later bindings") func laterBindings() throws {
        func main(_ body: String) -> String {
            """
            fn @main(%x: f32[2,1024,640], %w0: f32[640,640], %w1: f32[640,640], %w2: f32[640,640]) {
              dataflow { \(body) %t = (%lv0, %lv1, %lv2) output %t }
              return %t
            }
            """
        }
        try expect(
            try Self.widen(
                main(
                    """
                    %a = permute_dims(%w0) %lv0 = matmul(%x, %a)
                    %b = permute_dims(%w1) %b2 = permute_dims(%b) %lv1 = matmul(%x, %b2)
                    %c = permute_dims(%w2) %lv2 = matmul(%x, %c)
                    """)),
            equals: main(
                """
                %a = permute_dims(%w0) %b = permute_dims(%w1) %b2 = permute_dims(%b) %c = permute_dims(%w2)
                %cat = concat((%a, %b2, %c)) {axis=1} %m = matmul(%x, %cat) \(Self.slices("m", 0, 640))
                """))
    }

    @Test("R-14 Pairs with transposed weights") func transposedPairs() throws {
        func main(_ body: String) -> String {
            """
            fn @main(%x1: f32[2,1024,640], %x2: f32[2,1024,640], \(Self.weights)) {
              dataflow { \(body) %t = (%lv0, %lv1, %lv2, %lv3) output %t }
              return %t
            }
            """
        }
        let products = (0..<4).map {
            "%t\($0) = permute_dims(%w\($0)) %lv\($0) = matmul(%x\($0 < 2 ? 1 : 2), %t\($0))"
        }.joined(separator: " ")
        let (i, a, b) = (any, any, any)
        let first = try op("matmul", i, try op("permute_dims", a))
        let second = try op("matmul", i, try op("permute_dims", b))
        var context = PatternContext()
        try context.add(first)
        try context.add(second)
        let rewritten = try rewriteBindings(context, in: try Self.function(main(products))) { match, builder in
            func operand(_ node: Pattern) throws -> Operand { .value(try #require(match[node])) }
            let rows = try #require(match.type(of: a)?.asTensor?.staticShape?.first)
            let joined = try builder.call("concat", [.tuple([try operand(a), try operand(b)])], ["axis": 0])
            let wide = try builder.call("matmul", [try operand(i), try builder.call("permute_dims", [joined])])
            let split = try builder.call("split", [wide], ["indices": .ints([rows]), "axis": -1])
            return [
                try #require(match[first]): try builder.tupleGetItem(split, 0),
                try #require(match[second]): try builder.tupleGetItem(split, 1),
            ]
        }
        func pair(_ index: Int) -> String {
            let (p, q, x) = (index * 2, index * 2 + 1, index + 1)
            return """
                %c\(index) = concat((%w\(p), %w\(q))) %p\(index) = permute_dims(%c\(index))
                %m\(index) = matmul(%x\(x), %p\(index)) %s\(index) = split(%m\(index)) {indices=[640], axis=-1}
                %lv\(p) = %s\(index).0 %lv\(q) = %s\(index).1

                """
        }
        try expect(rewritten, equals: main(pair(0) + pair(1)))
    }

    @Test("R-11 A callback that gives nothing stops in the block") func stops() throws {
        let text = """
            fn @main(%x: f32[4]) {
              dataflow { %a = nn.relu(%x) %b = nn.gelu(%a) %c = nn.relu(%b) %d = nn.gelu(%c) output %d }
              return %d
            }
            """
        let (r, g) = (try anyCall("nn.relu"), try anyCall("nn.gelu"))
        var context = PatternContext()
        try context.state(r >> g)
        var calls = 0
        let same = try rewriteBindings(context, in: try Self.function(text)) { _, _ in
            calls += 1
            return nil
        }
        #expect(calls == 1)
        try expect(same, equals: text)
        let error = #expect(throws: TenonError.self) {
            try rewriteBindings(context, in: try Self.function(text)) { match, builder in
                [try #require(match.table.function.parameters.first): .value(try #require(match[r]))]
            }
        }
        #expect(error?.status == .invalidGraph)
    }

    @Test("R-11 Many groups in one block take linear time") func manyGroups() throws {
        let count = 3_000
        var builder = FunctionBuilder()
        var x = builder.parameter("x", .tensor(.float32, [4] as [Int64]))
        for _ in 0..<count {
            x = try builder.call("nn.relu", [.value(x)])
            x = try builder.call("nn.gelu", [.value(x)])
        }
        let function = try builder.finish(.value(x))
        let (r, g) = (try anyCall("nn.relu"), try anyCall("nn.gelu"))
        var context = PatternContext()
        try context.state(r >> g)
        let start = MonotonicClock.now
        let rewritten = try rewriteBindings(context, in: function) { match, builder in
            guard case .value(let input)? = match.call(r)?.arguments.first else { return nil }
            return [try #require(match[g]): try builder.call("nn.silu", [.value(input)])]
        }
        #expect(rewritten.body.blocks[0].bindings.count == count)
        // Quadratic work would take minutes here.
        #expect(MonotonicClock.now - start < 20_000_000_000)
    }
}
