import Testing

@testable import TenonIR
@testable import TenonRewrite

/// What checks see, and what becomes of operands and results.
@Suite struct FusionOperandScenarioTests {
    /// What a check was called with, in order.
    private final class Seen: @unchecked Sendable {
        var candidates: [FusionCandidate] = []
    }

    @Test("F-13 A check that refuses leaves the module as it is") func refusingCheck() throws {
        let (lhs, rhs) = (any, any)
        let root = try op("nn.conv2d", lhs, rhs)
        let seen = Seen()
        let pattern = FusionPattern(
            "dnnl.conv2d", root, annotations: [("root", root), ("lhs", lhs), ("rhs", rhs)],
            check: {
                seen.candidates.append($0)
                return Refusal(.checkRefused, found: "anything", expected: "nothing")
            })
        try expect(
            try fuse(FusionScenarioTests.onePair, [pattern], annotate: true), equals: FusionScenarioTests.onePair)
        let candidate = try #require(seen.candidates.first)
        #expect(seen.candidates.count == 1)
        let function = candidate.table.function
        #expect(candidate.annotated("lhs")?.asOperand == .value(try value("data", in: function)))
        #expect(candidate.annotated("rhs")?.asOperand == .value(try value("w", in: function)))
        #expect(candidate.annotated("root")?.valueID == (try value("a", in: function)))
        #expect(candidate.call(root)?.callee == .op(try Operators.require("nn.conv2d")))
    }

    @Test("F-13 What a check sees") func whatChecksSee() throws {
        let (l, r, s) = (any, any, any)
        let m = try op("matmul", l, r)
        let sum = try op("add", m, s)
        let seen = Seen()
        let pattern = FusionPattern(
            "x.p", sum | (try op("nn.relu", sum)),
            annotations: [("lhs", l), ("rhs", r), ("bias", s), ("root", m), ("foreign", any)],
            check: {
                seen.candidates.append($0)
                return $0.leak()
            })
        let text = """
            fn @main(%x: f32[4,4], %z: f32[4,4]) {
              dataflow {
                %a = matmul(%x, %z)
                %b = add(%a, %x)
                %c = nn.relu(%b)
                %d = tanh(%a)
                output %b, %c, %d
              }
              return (%b, %c, %d)
            }
            """
        try expect(try fuse(text, [pattern]), equals: text)
        #expect(seen.candidates.count == 2)
        let function = seen.candidates[0].table.function
        func ids(_ names: String) throws -> [ValueID] {
            try names.map { try value(String($0), in: function) }
        }
        let roots = try ids("bc")
        let members = [try ids("ab"), try ids("abc")]
        for (index, candidate) in seen.candidates.enumerated() {
            #expect(candidate.root == roots[index])
            #expect(Set(candidate.interior) == Set(members[index]))
            #expect(candidate.annotated("lhs")?.asOperand == .value(try value("x", in: function)))
            #expect(candidate.annotated("rhs")?.asOperand == .value(try value("z", in: function)))
            #expect(candidate.annotated("bias")?.asOperand == .value(try value("x", in: function)))
            #expect(candidate.annotated("root")?.valueID == (try value("a", in: function)))
            #expect(candidate.annotated("foreign") == nil)
            #expect(candidate.annotatedSubjects.map(\.label) == ["lhs", "rhs", "bias", "root"])
            for (name, users) in [("x", "ab"), ("z", "a"), ("a", "bd"), ("b", "c"), ("c", ""), ("d", "")] {
                #expect(candidate.users(of: try value(name, in: function)) == (try ids(users)))
            }
            #expect(candidate.leak()?.kind == (index == 0 ? .extraUser : candidate.leak()?.kind))
            #expect(candidate.leak() != nil)
        }
    }

    @Test("F-14 Tuple-producing operator") func tupleProducer() throws {
        let text = """
            fn @main(%x: f32[4,32]) {
              dataflow {
                %s = split(%x) {indices=[16], axis=1}
                %l = %s.0
                %r = %s.1
                %o = add(%l, %r)
                output %o
              }
              return %o
            }
            """
        try expect(
            try fuse(text, [FusionPattern("x.split", try op("split", any))]),
            equals: """
                fn @fused_relax_split(%x: f32[4,32]) {Composite="x.split", Primitive=true} {
                  dataflow { %s = split(%x) {indices=[16], axis=1} output %s }
                  return %s
                }
                fn @main(%x: f32[4,32]) {
                  dataflow {
                    %s = @fused_relax_split(%x)
                    %l = %s.0
                    %r = %s.1
                    %o = add(%l, %r)
                    output %o
                  }
                  return %o
                }
                """)
        let split = try op("split", any)
        try expect(
            try fuse(text, [FusionPattern("x.split", try op("add", try split.item(0), try split.item(1)))]),
            equals: """
                fn @fused_relax_split_relax_add(%x: f32[4,32]) {Composite="x.split", Primitive=true} {
                  dataflow {
                    %s = split(%x) {indices=[16], axis=1}
                    %l = %s.0
                    %r = %s.1
                    %o = add(%l, %r)
                    output %o
                  }
                  return %o
                }
                fn @main(%x: f32[4,32]) {
                  dataflow { %o = @fused_relax_split_relax_add(%x) output %o }
                  return %o
                }
                """)
    }

    @Test("F-15 Plain number operands") func plainNumbers() throws {
        let pattern = FusionPattern("x.clip", try op("clip", any, any, any))
        func composite(_ name: String, _ range: String) -> String {
            """
            fn @\(name)(%x: f32[10,10]) {Composite="x.clip", Primitive=true} {
              dataflow { %g = clip(%x, \(range)) output %g }
              return %g
            }

            """
        }
        try expect(
            try fuse(
                "fn @main(%x: f32[10,10]) { dataflow { %g = clip(%x, 0, 4) output %g } return %g }", [pattern]),
            equals: composite("fused_relax_clip", "0, 4")
                + "fn @main(%x: f32[10,10]) { dataflow { %g = @fused_relax_clip(%x) output %g } return %g }")
        try expect(
            try fuse(
                """
                fn @main(%x: f32[10,10]) {
                  dataflow { %g0 = clip(%x, 0, 4) %g1 = clip(%x, 1, 3) output %g0, %g1 }
                  return (%g0, %g1)
                }
                """, [pattern]),
            equals: composite("fused_relax_clip", "0, 4") + composite("fused_relax_clip1", "1, 3") + """
                fn @main(%x: f32[10,10]) {
                  dataflow { %g0 = @fused_relax_clip(%x) %g1 = @fused_relax_clip1(%x) output %g0, %g1 }
                  return (%g0, %g1)
                }
                """)
    }

    @Test("F-16 Overlap: the earlier match wins") func overlap() throws {
        let pattern = try op("add", try op("add", try op("matmul", any, any), any), any)
        func main(_ body: String) -> String {
            """
            fn @main(%x: f32[4,4], %y: f32[4,4], %x2: f32[4,4], %y2: f32[4,4], %bias: f32[4], %res: f32[4,4]) {
              dataflow { %m2 = matmul(%x2, %y2) \(body) %o = add(%b, %res) output %o }
              return %o
            }
            """
        }
        try expect(
            try fuse(
                main("%m = matmul(%x, %y) %a = add(%m, %bias) %b = add(%a, %m2)"), [FusionPattern("x.p", pattern)]),
            equals: """
                fn @fused_relax_matmul_relax_add_relax_add(
                  %x: f32[4,4], %y: f32[4,4], %bias: f32[4], %m2: f32[4,4]
                ) {Composite="x.p", Primitive=true} {
                  dataflow { %m = matmul(%x, %y) %a = add(%m, %bias) %b = add(%a, %m2) output %b }
                  return %b
                }
                \(main("%b = @fused_relax_matmul_relax_add_relax_add(%x, %y, %bias, %m2)"))
                """)
    }

    private static let aliasInside = """
        fn @main(%x: f32[4,4], %w: f32[4,4]) {
          dataflow {
            %w1 = permute_dims(%w)
            %y = matmul(%x, %w1)
            %y1 = %y
            %o = add(%x, %y1)
            output %o
          }
          return %o
        }
        """

    @Test("F-17 Alias inside a candidate") func aliasInside() throws {
        let product = try op("matmul", any, try op("permute_dims", any))
        let biased = try op("add", try op("matmul", any, try op("permute_dims", any)), any)
        let fused = try fuse(
            Self.aliasInside,
            [FusionPattern("k.b", biased, check: refusesLeaks), FusionPattern("k.m", product, check: refusesLeaks)],
            annotate: true)
        try expect(
            fused,
            equals: """
                fn @fused_relax_permute_dims_relax_matmul_k(%w: f32[4,4], %x: f32[4,4])
                {Codegen="k", global_symbol="fused_relax_permute_dims_relax_matmul_k"} {
                  %f = fn(%w2: f32[4,4], %x2: f32[4,4]) {Composite="k.m"} {
                    dataflow { %w1 = permute_dims(%w2) %y = matmul(%x2, %w1) output %y }
                    return %y
                  }
                  %r = %f(%w, %x)
                  return %r
                }
                fn @main(%x: f32[4,4], %w: f32[4,4]) {
                  dataflow {
                    %y = @fused_relax_permute_dims_relax_matmul_k(%w, %x)
                    %y1 = %y
                    %o = add(%x, %y1)
                    output %o
                  }
                  return %o
                }
                """)
    }

    @Test("F-17 Alias inside a candidate, without the check") func aliasWithoutCheck() throws {
        let biased = try op("add", try op("matmul", any, try op("permute_dims", any)), any)
        let error = #expect(throws: TenonError.self) {
            try fuse(Self.aliasInside, [FusionPattern("k.b", biased)])
        }
        #expect(error?.message.contains("A cyclic dependency detected") == true)
    }

    @Test("F-18 Running twice") func twice() throws {
        let pass = FuseOpsByPattern(
            [FusionPattern("dnnl.conv2d_relu", try convRelu())], annotateCodegen: true)
        let once = try pass.apply(to: try Module(text: FusionScenarioTests.onePair))
        try expect(try pass.apply(to: once), equals: FusionScenarioTests.annotatedPair)
    }

    /// The pass of that name does to composites that are there what the option does to those being made.
    @Test func annotateCodegenAsAPass() throws {
        let fused = try fuse(FusionScenarioTests.onePair, [FusionPattern("dnnl.conv2d_relu", try convRelu())])
        let pass = try PassRegistry().named("AnnotateCodegen")
        let annotated = try pass.apply(to: fused, PassContext(verifies: true))
        try expect(annotated, equals: FusionScenarioTests.annotatedPair)
        try expect(
            try pass.apply(to: annotated, PassContext(verifies: true)), equals: FusionScenarioTests.annotatedPair)
        let nameless = try fuse(FusionScenarioTests.onePair, [FusionPattern("conv2d_relu", try convRelu())])
        let error = #expect(throws: TenonError.self) { try pass.apply(to: nameless, PassContext()) }
        #expect(error?.message.contains("backend.pattern") == true)
    }

    @Test("F-20 Symbolic dimensions") func symbolicDimensions() throws {
        let fused = try fuse(
            """
            fn @main(%x: f16[n,1024], %w1: f16[1024,1024], %w2: f16[1024,M]) {
              dataflow { %a = matmul(%x, %w1) %b = matmul(%x, %w2) %t = (%a, %b) output %t }
              return %t
            }
            """, [FusionPattern("cublas.matmul", try op("matmul", any, any))], bindConstants: false, annotate: true)
        func region(_ name: String, _ width: String) -> String {
            """
            fn @\(name)(%p: f16[n,1024], %q: f16[1024,\(width)]) -> f16[n,\(width)]
            {Codegen="cublas", global_symbol="\(name)"} {
              %f = fn(%p2: f16[n,1024], %q2: f16[1024,\(width)]) {Composite="cublas.matmul"} {
                dataflow { %a = matmul(%p2, %q2) output %a }
                return %a
              }
              %r = %f(%p, %q)
              return %r
            }

            """
        }
        try expect(
            fused,
            equals: region("fused_relax_matmul_cublas", "1024") + region("fused_relax_matmul1_cublas", "M") + """
                fn @main(%x: f16[n,1024], %w1: f16[1024,1024], %w2: f16[1024,M]) {
                  dataflow {
                    %a = @fused_relax_matmul_cublas(%x, %w1)
                    %b = @fused_relax_matmul1_cublas(%x, %w2)
                    %t = (%a, %b)
                    output %t
                  }
                  return %t
                }
                """)
    }

    @Test("F-21 Growing a match") func growing() throws {
        let sum = try op("add", try op("matmul", any, any), any)
        let pattern = FusionPattern("orclip", sum | (try op("clip", sum, any, any)))
        let fused = try fuse(
            """
            fn @main(%x: f32[4,4], %y: f32[4,4], %bias: f32[4]) {
              dataflow { %a = matmul(%x, %y) %b = add(%a, %bias) %c = clip(%b, -128, 127) output %c }
              return %c
            }
            """, [pattern])
        try expect(
            fused,
            equals: """
                fn @fused_relax_matmul_relax_add_relax_clip(%x: f32[4,4], %y: f32[4,4], %bias: f32[4])
                {Composite="orclip", Primitive=true} {
                  dataflow { %a = matmul(%x, %y) %b = add(%a, %bias) %c = clip(%b, -128, 127) output %c }
                  return %c
                }
                fn @main(%x: f32[4,4], %y: f32[4,4], %bias: f32[4]) {
                  dataflow { %c = @fused_relax_matmul_relax_add_relax_clip(%x, %y, %bias) output %c }
                  return %c
                }
                """)
    }
}
