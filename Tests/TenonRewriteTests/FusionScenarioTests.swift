import Testing

@testable import TenonIR
@testable import TenonRewrite

@Suite struct FusionScenarioTests {
    static let twoPairs = """
        fn @main(%data: f32[1,64,56,56], %w1: f32[64,64,3,3], %w2: f32[64,64,3,3]) {
          dataflow {
            %a = nn.conv2d(%data, %w1) {padding=[1, 1, 1, 1]}
            %b = nn.relu(%a)
            %c = nn.conv2d(%b, %w2)
            %d = nn.relu(%c)
            output %d
          }
          return %d
        }
        """

    static let onePair = """
        fn @main(%data: f32[1,64,56,56], %w: f32[64,64,3,3]) {
          dataflow {
            %a = nn.conv2d(%data, %w) {padding=[1, 1, 1, 1]}
            %b = nn.relu(%a)
            output %b
          }
          return %b
        }
        """

    @Test("F-01 Two matches of one pattern") func twoMatches() throws {
        let fused = try fuse(Self.twoPairs, [FusionPattern("dnnl.conv2d_relu", try convRelu())])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_conv2d_relax_nn_relu(%p: f32[1,64,56,56], %q: f32[64,64,3,3])
                {Composite="dnnl.conv2d_relu", Primitive=true} {
                  dataflow {
                    %a = nn.conv2d(%p, %q) {padding=[1, 1, 1, 1]}
                    %b = nn.relu(%a)
                    output %b
                  }
                  return %b
                }
                fn @fused_relax_nn_conv2d_relax_nn_relu1(%p: f32[1,64,56,56], %q: f32[64,64,3,3])
                {Composite="dnnl.conv2d_relu", Primitive=true} {
                  dataflow {
                    %a = nn.conv2d(%p, %q)
                    %b = nn.relu(%a)
                    output %b
                  }
                  return %b
                }
                fn @main(%data: f32[1,64,56,56], %w1: f32[64,64,3,3], %w2: f32[64,64,3,3]) {
                  dataflow {
                    %x = @fused_relax_nn_conv2d_relax_nn_relu(%data, %w1)
                    %d = @fused_relax_nn_conv2d_relax_nn_relu1(%x, %w2)
                    output %d
                  }
                  return %d
                }
                """)
    }

    @Test("F-02 Priority: the longer pattern first") func longerFirst() throws {
        let fused = try fuse(
            """
            fn @main(%data: f32[1,4,8,8], %w1: f32[4,4,3,3], %w2: f32[4,4,3,3]) {
              dataflow {
                %a = nn.conv2d(%data, %w1) {padding=[1, 1, 1, 1]}
                %c = nn.conv2d(%a, %w2)
                %d = nn.relu(%c)
                output %d
              }
              return %d
            }
            """,
            [FusionPattern("dnnl.conv2d_relu", try convRelu()), FusionPattern("dnnl.conv2d", try conv())])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_conv2d(%p: f32[1,4,8,8], %q: f32[4,4,3,3]) {Composite="dnnl.conv2d", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) {padding=[1, 1, 1, 1]} output %a }
                  return %a
                }
                fn @fused_relax_nn_conv2d_relax_nn_relu(%p: f32[1,4,8,8], %q: f32[4,4,3,3])
                {Composite="dnnl.conv2d_relu", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) %b = nn.relu(%a) output %b }
                  return %b
                }
                fn @main(%data: f32[1,4,8,8], %w1: f32[4,4,3,3], %w2: f32[4,4,3,3]) {
                  dataflow {
                    %x = @fused_relax_nn_conv2d(%data, %w1)
                    %d = @fused_relax_nn_conv2d_relax_nn_relu(%x, %w2)
                    output %d
                  }
                  return %d
                }
                """)
    }

    @Test("F-03 Priority: the shorter pattern first") func shorterFirst() throws {
        let fused = try fuse(
            Self.twoPairs,
            [FusionPattern("dnnl.conv2d", try conv()), FusionPattern("dnnl.conv2d_relu", try convRelu())])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_conv2d(%p: f32[1,64,56,56], %q: f32[64,64,3,3])
                {Composite="dnnl.conv2d", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) {padding=[1, 1, 1, 1]} output %a }
                  return %a
                }
                fn @fused_relax_nn_conv2d1(%p: f32[1,64,56,56], %q: f32[64,64,3,3])
                {Composite="dnnl.conv2d", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) output %a }
                  return %a
                }
                fn @main(%data: f32[1,64,56,56], %w1: f32[64,64,3,3], %w2: f32[64,64,3,3]) {
                  dataflow {
                    %x = @fused_relax_nn_conv2d(%data, %w1)
                    %b = nn.relu(%x)
                    %y = @fused_relax_nn_conv2d1(%b, %w2)
                    %d = nn.relu(%y)
                    output %d
                  }
                  return %d
                }
                """)
    }

    @Test("F-04 Intermediate value with an outside user") func outsideUser() throws {
        let fused = try fuse(
            """
            fn @main(%data: f32[1,4,8,8], %w: f32[4,4,3,3]) {
              dataflow {
                %a = nn.conv2d(%data, %w)
                %b = nn.relu(%a)
                %g1 = nn.gelu(%b)
                %g2 = nn.gelu(%a)
                %o = add(%g1, %g2)
                output %o
              }
              return %o
            }
            """, [FusionPattern("dnnl.conv2d_relu", try convRelu())])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_conv2d_relax_nn_relu(%p: f32[1,4,8,8], %q: f32[4,4,3,3])
                {Composite="dnnl.conv2d_relu", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) %b = nn.relu(%a) output %a, %b }
                  return (%b, %a)
                }
                fn @main(%data: f32[1,4,8,8], %w: f32[4,4,3,3]) {
                  dataflow {
                    %t = @fused_relax_nn_conv2d_relax_nn_relu(%data, %w)
                    %a = %t.1
                    %b = %t.0
                    %g1 = nn.gelu(%b)
                    %g2 = nn.gelu(%a)
                    %o = add(%g1, %g2)
                    output %o
                  }
                  return %o
                }
                """)
    }

    @Test("F-05 A group that would feed itself") func selfFeeding() throws {
        let pattern = try op("add", try convRelu(), any)
        let error = #expect(throws: TenonError.self) {
            try fuse(
                """
                fn @main(%data: f32[1,4,8,8], %w: f32[4,4,3,3]) {
                  dataflow {
                    %a = nn.conv2d(%data, %w)
                    %r = nn.relu(%a)
                    %g = nn.gelu(%a)
                    %o = add(%r, %g)
                    output %o
                  }
                  return %o
                }
                """, [FusionPattern("x.chain", pattern)])
        }
        #expect(error?.message.contains("A cyclic dependency detected") == true)
        #expect(error?.message.contains("x.chain") == true)
    }

    private static func convOfLiteral(_ values: String, relu: Bool) -> String {
        """
        fn @main(%data: f32[1,1,4,4], %w: f32[1,1,1,1]) {
          dataflow {
            %a = nn.conv2d(%data, const f32[1,1,1,1](\(values)))
            \(relu ? "%b = nn.relu(%a) output %b" : "output %a")
          }
          return \(relu ? "%b" : "%a")
        }
        """
    }

    @Test("F-06 Constants, bound and not bound") func constants() throws {
        let bound = try fuse(
            Self.convOfLiteral("3", relu: true), [FusionPattern("dnnl.conv2d_relu", try convRelu())])
        try expect(
            bound,
            equals: """
                fn @fused_relax_nn_conv2d_relax_nn_relu(%p: f32[1,1,4,4])
                {Composite="dnnl.conv2d_relu", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, const f32[1,1,1,1](3)) %b = nn.relu(%a) output %b }
                  return %b
                }
                fn @main(%data: f32[1,1,4,4], %w: f32[1,1,1,1]) {
                  dataflow { %b = @fused_relax_nn_conv2d_relax_nn_relu(%data) output %b }
                  return %b
                }
                """)
        let unbound = try fuse(
            Self.convOfLiteral("3", relu: false), [FusionPattern("cutlass.conv2d", try conv())], bindConstants: false)
        try expect(
            unbound,
            equals: """
                fn @fused_relax_nn_conv2d(%p: f32[1,1,4,4], %q: f32[1,1,1,1])
                {Composite="cutlass.conv2d", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) output %a }
                  return %a
                }
                fn @main(%data: f32[1,1,4,4], %w: f32[1,1,1,1]) {
                  dataflow { %a = @fused_relax_nn_conv2d(%data, const f32[1,1,1,1](3)) output %a }
                  return %a
                }
                """)
    }

    @Test("F-06 Groups that differ in literal data only", arguments: [true, false])
    func literalData(bound: Bool) throws {
        let text = """
            fn @main(%data: f32[1,1,4,4]) {
              dataflow {
                %a = nn.conv2d(%data, const f32[1,1,1,1](3))
                %b = nn.conv2d(%a, const f32[1,1,1,1](4))
                output %b
              }
              return %b
            }
            """
        let fused = try fuse(text, [FusionPattern("x.conv", try conv())], bindConstants: bound)
        #expect(fused.functions.count == (bound ? 3 : 2))
    }

    @Test("F-07 Annotated for code generation") func annotated() throws {
        let fused = try fuse(
            Self.onePair, [FusionPattern("dnnl.conv2d_relu", try convRelu())], annotate: true)
        try expect(fused, equals: Self.annotatedPair)
    }

    static let annotatedPair = """
        fn @fused_relax_nn_conv2d_relax_nn_relu_dnnl(%p: f32[1,64,56,56], %q: f32[64,64,3,3])
        {Codegen="dnnl", global_symbol="fused_relax_nn_conv2d_relax_nn_relu_dnnl"} {
          %f = fn(%p2: f32[1,64,56,56], %q2: f32[64,64,3,3]) {Composite="dnnl.conv2d_relu"} {
            dataflow {
              %a = nn.conv2d(%p2, %q2) {padding=[1, 1, 1, 1]}
              %b = nn.relu(%a)
              output %b
            }
            return %b
          }
          %r = %f(%p, %q)
          return %r
        }
        fn @main(%data: f32[1,64,56,56], %w: f32[64,64,3,3]) {
          dataflow { %b = @fused_relax_nn_conv2d_relax_nn_relu_dnnl(%data, %w) output %b }
          return %b
        }
        """

    @Test("F-08 Nothing to do", arguments: [true, false]) func nothingToDo(annotate: Bool) throws {
        try expect(try fuse(Self.onePair, [], annotate: annotate), equals: Self.onePair)
        let withLocal =
            Self.onePair + """

                fn @other(%x: f32[4]) {
                  %f = fn(%y: f32[4]) {
                    dataflow { %z = nn.relu(%y) output %z }
                    return %z
                  }
                  %r = %f(%x)
                  return %r
                }
                """
        try expect(try fuse(withLocal, [], annotate: annotate), equals: withLocal)
    }

    @Test("F-09 Two routes to an external region") func twoRoutes() throws {
        let text = """
            fn @main(%x: f32[4], %y: f32[4]) {
              dataflow { %m = multiply(%x, %y) output %m }
              return %m
            }
            """
        let pattern = FusionPattern("cutlass.multiply", try op("multiply", any, any))
        func expected(_ region: String) -> String {
            """
            fn @\(region)(%p: f32[4], %q: f32[4]) {Codegen="cutlass", global_symbol="\(region)"} {
              %f = fn(%p2: f32[4], %q2: f32[4]) {Composite="cutlass.multiply"} {
                dataflow { %m = multiply(%p2, %q2) output %m }
                return %m
              }
              %r = %f(%p, %q)
              return %r
            }
            fn @main(%x: f32[4], %y: f32[4]) {
              dataflow { %m = @\(region)(%x, %y) output %m }
              return %m
            }
            """
        }
        try expect(try fuse(text, [pattern], annotate: true), equals: expected("fused_relax_multiply_cutlass"))
        try expect(
            try MergeCompositeFunctions().apply(to: try fuse(text, [pattern])),
            equals: expected("fused_relax_multiply1_cutlass"))
    }

    @Test("F-10 Several functions, identical matches") func severalFunctions() throws {
        let types = "%d: f16[16,16,32,32], %w1: f16[16,16,3,3], %w2: f16[16,16,3,3]"
        let layout = #"{padding=[1, 1, 1, 1]}"#
        func functions(_ callee: String, _ attributes: String) -> String {
            """
            fn @main2(\(types)) {
              dataflow { %a = \(callee)(%d, %w1) \(attributes) %b = \(callee)(%a, %w2) \(attributes) output %b }
              return %b
            }
            fn @main(\(types)) {
              dataflow {
                %a = \(callee)(%d, %w1) \(attributes)
                %b = \(callee)(%a, %w2) \(attributes)
                %e = @main2(%d, %w1, %w2)
                %o = add(%b, %e)
                output %o
              }
              return %o
            }
            """
        }
        let fused = try fuse(
            functions("nn.conv2d", layout), [FusionPattern("cutlass.conv2d", try conv())], annotate: true)
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_conv2d_cutlass(%p: f16[16,16,32,32], %q: f16[16,16,3,3])
                {Codegen="cutlass", global_symbol="fused_relax_nn_conv2d_cutlass"} {
                  %f = fn(%p2: f16[16,16,32,32], %q2: f16[16,16,3,3]) {Composite="cutlass.conv2d"} {
                    dataflow { %a = nn.conv2d(%p2, %q2) \(layout) output %a }
                    return %a
                  }
                  %r = %f(%p, %q)
                  return %r
                }
                \(functions("@fused_relax_nn_conv2d_cutlass", ""))
                """)
    }

    @Test("F-11 Opaque consumer") func opaqueConsumer() throws {
        let text = """
            fn @opaque(%x: f32[1,4,8,8]) {
              %y: f32[1,4,8,8] = extern "test.opaque"(%x)
              return %y
            }
            """
        func main(_ callee: String, _ attributes: String) -> String {
            """
            \(text)
            fn @main(%data: f32[1,4,8,8], %w: f32[4,4,3,3]) {
              dataflow { %a = \(callee)(%data, %w) \(attributes) %o = @opaque(%a) output %o }
              return %o
            }
            """
        }
        let fused = try fuse(
            main("nn.conv2d", "{padding=[1, 1, 1, 1]}"), [FusionPattern("cutlass.conv2d", try conv())])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_conv2d(%p: f32[1,4,8,8], %q: f32[4,4,3,3])
                {Composite="cutlass.conv2d", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) {padding=[1, 1, 1, 1]} output %a }
                  return %a
                }
                \(main("@fused_relax_nn_conv2d", ""))
                """)
    }

    @Test("F-12 Dead unmatched binding") func deadBinding() throws {
        func main(_ callee: String, _ attributes: String) -> String {
            """
            fn @main(%data: f32[1,4,8,8], %w: f32[4,4,3,3]) {
              dataflow { %a = \(callee)(%data, %w) \(attributes) %z = nn.relu(%data) output %a }
              return %a
            }
            """
        }
        let fused = try fuse(main("nn.conv2d", "{padding=[1, 1, 1, 1]}"), [FusionPattern("x.conv", try conv())])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_conv2d(%p: f32[1,4,8,8], %q: f32[4,4,3,3]) {Composite="x.conv", Primitive=true} {
                  dataflow { %a = nn.conv2d(%p, %q) {padding=[1, 1, 1, 1]} output %a }
                  return %a
                }
                \(main("@fused_relax_nn_conv2d", ""))
                """)
    }
}
