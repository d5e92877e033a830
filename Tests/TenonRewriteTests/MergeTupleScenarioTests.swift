import Testing

@testable import TenonIR
@testable import TenonRewrite

/// Merging around tuples, aliases and literals.
@Suite struct MergeTupleScenarioTests {
    private static func split(_ marks: String) -> String {
        """
        (%x: f32[8]) {Composite="compiler_A.split"\(marks)} {
          %r = split(%x) {sections=2}
          return %r
        }

        """
    }

    private static func unary(_ op: String, _ pattern: String, _ marks: String) -> String {
        """
        (%x: f32[4]) {Composite="\(pattern)"\(marks)} {
          %r = \(op)(%x)
          return %r
        }

        """
    }

    private static func binary(_ op: String, _ pattern: String, _ marks: String, _ type: String = "f32[4]") -> String {
        """
        (%p: \(type), %q: \(type)) {Composite="\(pattern)"\(marks)} {
          %r = \(op)(%p, %q)
          return %r
        }

        """
    }

    private static let primitive = ", Primitive=true"

    private static func merge(_ text: String) throws -> Module {
        try MergeCompositeFunctions().apply(to: try Module(text: text))
    }

    @Test("C-10 Projections and repacking are absorbed") func absorbed() throws {
        func main(_ body: String) -> String {
            "fn @main(%x: f32[8]) { dataflow { \(body) %o = concat((%d, %d)) output %o } return %o }\n"
        }
        let merged = try Self.merge(
            "fn @split\(Self.split(Self.primitive))fn @subtract"
                + Self.binary("subtract", "compiler_A.subtract", Self.primitive)
                + main(
                    """
                    %t = @split(%x) %l = %t.0 %r = %t.1 %q = (%l, %r) %l2 = %q.0 %r2 = %q.1
                    %d = @subtract(%r2, %l2)
                    """))
        try expect(
            merged,
            equals: """
                fn @fused_split_subtract_compiler_A(%x: f32[8])
                {Codegen="compiler_A", global_symbol="fused_split_subtract_compiler_A"} {
                  %f = fn\(Self.split(""))
                  %t = %f(%x)
                  %l = %t.0
                  %r = %t.1
                  %q = (%l, %r)
                  %l2 = %q.0
                  %r2 = %q.1
                  %g = fn\(Self.binary("subtract", "compiler_A.subtract", ""))
                  %d = %g(%r2, %l2)
                  return %d
                }
                \(main("%d = @fused_split_subtract_compiler_A(%x)"))
                """)
    }

    @Test("C-11 Projections do not bridge a real cycle") func noBridge() throws {
        func main(_ body: String) -> String {
            "fn @main(%x: f32[8]) { dataflow { \(body) output %o } return %o }\n"
        }
        let merged = try Self.merge(
            "fn @split\(Self.split(Self.primitive))fn @foreign_relu"
                + Self.unary("nn.relu", "compiler_B.relu", Self.primitive) + "fn @add"
                + Self.binary("add", "compiler_A.add", Self.primitive)
                + main("%t = @split(%x) %l = %t.0 %r = %t.1 %f = @foreign_relu(%l) %o = @add(%r, %f)"))
        try expect(
            merged,
            equals: """
                fn @fused_split_compiler_A(%x: f32[8]) {Codegen="compiler_A", global_symbol="fused_split_compiler_A"} {
                  %f = fn\(Self.split(""))
                  %t = %f(%x)
                  %l = %t.0
                  %r = %t.1
                  return (%l, %r)
                }
                fn @fused_foreign_relu_compiler_B(%l: f32[4])
                {Codegen="compiler_B", global_symbol="fused_foreign_relu_compiler_B"} {
                  %g = fn\(Self.unary("nn.relu", "compiler_B.relu", ""))
                  %f = %g(%l)
                  return %f
                }
                fn @fused_add_compiler_A(%r: f32[4], %f: f32[4])
                {Codegen="compiler_A", global_symbol="fused_add_compiler_A"} {
                  %g = fn\(Self.binary("add", "compiler_A.add", ""))
                  %o = %g(%r, %f)
                  return %o
                }
                \(main(
                    """
                    %t = @fused_split_compiler_A(%x) %l = %t.0 %r = %t.1
                    %f = @fused_foreign_relu_compiler_B(%l) %o = @fused_add_compiler_A(%r, %f)
                    """))
                """)
    }

    @Test("C-12 Tuple that escapes") func escaping() throws {
        func main(_ body: String) -> String {
            "fn @main(%x: f32[8]) { dataflow { \(body) %res = (%s, %o) output %res } return %res }\n"
        }
        let merged = try Self.merge(
            "fn @split\(Self.split(Self.primitive))fn @relu"
                + Self.unary("nn.relu", "compiler_A.relu", Self.primitive)
                + main("%t = @split(%x) %s = %t %l = %s.0 %o = @relu(%l)"))
        let region = try #require(merged["fused_split_compiler_A"])
        #expect(region.codegen == "compiler_A")
        #expect(merged["fused_relu_compiler_A"]?.codegen == "compiler_A")
        #expect(merged.functions.count == 3)
        let bindings = try #require(merged.main?.body.blocks.first?.bindings)
        // The alias is inside the region or beside the call; either way one projection, and the call's result escapes.
        var source: [ValueID: ValueID] = [:]
        var projections: [(ValueID, Int)] = []
        var call: ValueID?
        for binding in bindings {
            switch binding.expression {
            case .operand(.value(let id)): source[binding.id] = source[id] ?? id
            case .tupleGetItem(.value(let id), let index): projections.append((source[id] ?? id, index))
            case .call(let made) where made.callee == .function("fused_split_compiler_A"): call = binding.id
            default: break
            }
        }
        #expect(projections.count == 1)
        #expect(projections.first?.0 == call)
        #expect(projections.first?.1 == 0)
        guard case .tuple(let fields)? = bindings.last?.expression, case .value(let first)? = fields.first else {
            Issue.record("the last binding is not the tuple")
            return
        }
        #expect((source[first] ?? first) == call)
    }

    private static func unaryComposites() -> String {
        "fn @fused_relax_nn_relu\(unary("nn.relu", "A.relu", primitive))"
            + "fn @fused_relax_nn_gelu\(unary("nn.gelu", "A.gelu", primitive))"
            + "fn @fused_relax_nn_silu\(unary("nn.silu", "A.silu", primitive))"
    }

    @Test("C-13 Siblings of one producer") func siblings() throws {
        let merged = try Self.merge(
            Self.unaryComposites() + """
                fn @main(%x: f32[4]) {
                  dataflow {
                    %p = @fused_relax_nn_relu(%x) %q = @fused_relax_nn_gelu(%p) %r = @fused_relax_nn_silu(%p)
                    output %q, %r
                  }
                  return (%q, %r)
                }
                """)
        let name = "fused_relax_nn_relu_relax_nn_gelu_relax_nn_silu_A"
        try expect(
            merged,
            equals: """
                fn @\(name)(%x: f32[4]) {Codegen="A", global_symbol="\(name)"} {
                  %f = fn\(Self.unary("nn.relu", "A.relu", ""))
                  %p = %f(%x)
                  %g = fn\(Self.unary("nn.gelu", "A.gelu", ""))
                  %q = %g(%p)
                  %h = fn\(Self.unary("nn.silu", "A.silu", ""))
                  %r = %h(%p)
                  return (%q, %r)
                }
                fn @main(%x: f32[4]) {
                  dataflow { %t = @\(name)(%x) %q = %t.0 %r = %t.1 output %q, %r }
                  return (%q, %r)
                }
                """)
    }

    @Test("C-14 Neighbours without an edge") func neighbours() throws {
        let merged = try Self.merge(
            Self.unaryComposites() + """
                fn @main(%x: f32[4], %y: f32[4]) {
                  dataflow {
                    %p = @fused_relax_nn_relu(%x) %q = @fused_relax_nn_gelu(%y) %c = subtract(%p, %q)
                    output %c
                  }
                  return %c
                }
                """)
        #expect(
            Set(merged.functions.keys) == ["main", "fused_relax_nn_relu1_A", "fused_relax_nn_gelu1_A"])
        #expect(merged.main?.body.blocks[0].bindings.count == 3)
    }

    @Test("C-15 Literals, bound") func boundLiterals() throws {
        let text = """
            fn @main(%x: f32[4]) {
              dataflow { %m = multiply(%x, const f32[](2)) %c = add(%m, const f32[](3)) output %c }
              return %c
            }
            """
        let patterns = [
            FusionPattern("A.multiply", try op("multiply", any, isConst())),
            FusionPattern("A.add", try op("add", any, isConst())),
        ]
        func local(_ op: String, _ value: String) -> String {
            """
            fn(%x: f32[4]) {Composite="A.\(op)"} {
              dataflow { %r = \(op)(%x, const f32[](\(value))) output %r }
              return %r
            }
            """
        }
        let name = "fused_relax_multiply_relax_add_A"
        try expect(
            try MergeCompositeFunctions().apply(to: try fuse(text, patterns)),
            equals: """
                fn @\(name)(%x: f32[4]) {Codegen="A", global_symbol="\(name)"} {
                  %f = \(local("multiply", "2")) %m = %f(%x) %g = \(local("add", "3")) %c = %g(%m)
                  return %c
                }
                fn @main(%x: f32[4]) { dataflow { %c = @\(name)(%x) output %c } return %c }
                """)
        func open(_ op: String) -> String {
            """
            fn(%x: f32[4], %y: f32[]) {Composite="A.\(op)"} {
              dataflow { %r = \(op)(%x, %y) output %r }
              return %r
            }
            """
        }
        try expect(
            try MergeCompositeFunctions().apply(to: try fuse(text, patterns, bindConstants: false)),
            equals: """
                fn @\(name)(%x: f32[4], %p0: f32[], %p1: f32[]) {Codegen="A", global_symbol="\(name)"} {
                  %f = \(open("multiply")) %m = %f(%x, %p0) %g = \(open("add")) %c = %g(%m, %p1)
                  return %c
                }
                fn @main(%x: f32[4]) {
                  dataflow { %c = @\(name)(%x, const f32[](2), const f32[](3)) output %c }
                  return %c
                }
                """)
    }

    @Test("C-16 Alias between composites") func aliasBetween() throws {
        let merged = try Self.merge(
            Self.unaryComposites() + """
                fn @main(%x: f32[4]) {
                  dataflow { %p = @fused_relax_nn_relu(%x) %p1 = %p %q = @fused_relax_nn_gelu(%p1) output %q }
                  return %q
                }
                """)
        let name = "fused_relax_nn_relu_relax_nn_gelu_A"
        try expect(
            merged,
            equals: """
                fn @\(name)(%x: f32[4]) {Codegen="A", global_symbol="\(name)"} {
                  %f = fn\(Self.unary("nn.relu", "A.relu", ""))
                  %p = %f(%x)
                  %p1 = %p
                  %g = fn\(Self.unary("nn.gelu", "A.gelu", ""))
                  %q = %g(%p1)
                  return %q
                }
                fn @main(%x: f32[4]) { dataflow { %q = @\(name)(%x) output %q } return %q }
                """)
    }

    @Test("C-17 Flattened tuple operands") func flattened() throws {
        let fused = try fuse(
            """
            fn @main(%x: f32[4], %y: f32[4]) {
              dataflow { %a = nn.relu(%x) %b = nn.gelu(%y) %c = concat((%a, %b)) output %c }
              return %c
            }
            """,
            [
                FusionPattern("A.relu", try op("nn.relu", any)), FusionPattern("A.gelu", try op("nn.gelu", any)),
                FusionPattern("A.concat", try op("concat", any)),
            ])
        #expect(fused["fused_relax_concat"]?.parameters.count == 2)
        let merged = try MergeCompositeFunctions().apply(to: fused)
        #expect(
            Array(merged.functions.keys) == ["main", "fused_relax_nn_relu_relax_nn_gelu_relax_concat_A"])
        #expect(merged.main?.body.blocks[0].bindings.count == 1)
    }

    @Test("C-18 Outdated dependencies") func outdated() throws {
        func both(_ op: String, _ pattern: String) -> String {
            "fn @fused_relax_\(op)\(Self.binary(op, pattern, Self.primitive))"
        }
        let merged = try Self.merge(
            "fn @fused_relax_nn_relu\(Self.unary("nn.relu", "A.relu", Self.primitive))"
                + "fn @fused_relax_nn_gelu\(Self.unary("nn.gelu", "B.gelu", Self.primitive))"
                + "fn @fused_relax_nn_silu\(Self.unary("nn.silu", "B.silu", Self.primitive))"
                + both("add", "A.add") + both("multiply", "B.multiply") + """
                    fn @main(%x: f32[4], %y: f32[4]) {
                      dataflow {
                        %p = @fused_relax_nn_relu(%x) %h = @fused_relax_nn_gelu(%p) %q = @fused_relax_nn_silu(%y)
                        %c = @fused_relax_add(%p, %q) %d = @fused_relax_multiply(%h, %q) %e = subtract(%c, %d)
                        output %e
                      }
                      return %e
                    }
                    """)
        try expect(
            merged,
            equals: """
                fn @fused_relax_nn_silu1_B(%y: f32[4]) {Codegen="B", global_symbol="fused_relax_nn_silu1_B"} {
                  %f = fn\(Self.unary("nn.silu", "B.silu", ""))
                  %q = %f(%y)
                  return %q
                }
                fn @fused_relax_nn_relu_relax_add_A(%x: f32[4], %q: f32[4])
                {Codegen="A", global_symbol="fused_relax_nn_relu_relax_add_A"} {
                  %f = fn\(Self.unary("nn.relu", "A.relu", ""))
                  %p = %f(%x)
                  %g = fn\(Self.binary("add", "A.add", ""))
                  %c = %g(%p, %q)
                  return (%p, %c)
                }
                fn @fused_relax_nn_gelu_relax_multiply_B(%p: f32[4], %q: f32[4])
                {Codegen="B", global_symbol="fused_relax_nn_gelu_relax_multiply_B"} {
                  %f = fn\(Self.unary("nn.gelu", "B.gelu", ""))
                  %h = %f(%p)
                  %g = fn\(Self.binary("multiply", "B.multiply", ""))
                  %d = %g(%h, %q)
                  return %d
                }
                fn @main(%x: f32[4], %y: f32[4]) {
                  dataflow {
                    %q = @fused_relax_nn_silu1_B(%y)
                    %t = @fused_relax_nn_relu_relax_add_A(%x, %q)
                    %p = %t.0
                    %c = %t.1
                    %d = @fused_relax_nn_gelu_relax_multiply_B(%p, %q)
                    %e = subtract(%c, %d)
                    output %e
                  }
                  return %e
                }
                """)
    }

    @Test("C-19 What main does not need goes; what may have effects stays") func unused() throws {
        let opaque = """
            fn @opaque(%x: f32[4]) { %y: f32[4] = extern "test.opaque"(%x) return %y }
            fn @outer(%x: f32[4]) { %y: f32[4] = @opaque(%x) return %y }
            fn @pure(%x: f32[4]) { %y = nn.relu(%x) return %y }

            """
        func main(_ body: String) -> String {
            "fn @main(%x: f32[4]) { dataflow { \(body) %e = exp(%x) output %e } return %e }"
        }
        try expect(
            try Self.merge(opaque + main("%a = tanh(%x) %b = @outer(%a) %c = @pure(%x) %d = nn.gelu(%c)")),
            equals: opaque + main("%a = tanh(%x) %b = @outer(%a)"))
    }

    @Test("C-19 Other functions") func otherFunctions() throws {
        let other = """
            fn @other(%x: f32[4]) { dataflow { %p = @fused_relax_nn_relu(%x) output %p } return %p }

            """
        let text =
            "fn @fused_relax_nn_relu\(Self.unary("nn.relu", "A.relu", Self.primitive))" + other
            + "fn @main(%x: f32[4]) { dataflow { %p = @fused_relax_nn_relu(%x) output %p } return %p }"
        let merged = try Self.merge(text)
        let before = try #require(try Module(text: text)["other"])
        #expect(merged["other"]?.isStructurallyEqual(to: before) == true)
        #expect(merged["fused_relax_nn_relu1_A"]?.codegen == "A")
        let error = #expect(throws: TenonError.self) { try Self.merge(other.replacingFused()) }
        #expect(error?.status == .notFound)
    }
}

extension String {
    /// The text with the composite's call replaced by the operator, so that it stands alone.
    fileprivate func replacingFused() -> String {
        guard let range = firstRange(of: "@fused_relax_nn_relu") else { return self }
        return self[..<range.lowerBound] + "nn.relu" + self[range.upperBound...]
    }
}
