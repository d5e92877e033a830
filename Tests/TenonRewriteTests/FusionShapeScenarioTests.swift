import Testing

@testable import TenonIR
@testable import TenonRewrite

/// Branches, tuples, order and sharing.
@Suite struct FusionShapeScenarioTests {
    @Test("F-22 Dataflow blocks inside branches") func branches() throws {
        func main(_ first: String, _ second: String) -> String {
            """
            fn @main(%x: f32[4,4], %w: f32[4,4], %flag: bool[]) {
              %r: f32[4,4] = if %flag {
                dataflow { \(first) output %o1 }
                yield %o1
              } else {
                dataflow { \(second) output %o2 }
                yield %o2
              }
              return %r
            }
            """
        }
        func region(_ name: String, _ parameters: String, _ pattern: String, _ body: String) -> String {
            let types = parameters.split(separator: ",").map { "%\($0): f32[4,4]" }.joined(separator: ", ")
            let values = parameters.split(separator: ",").map { "%\($0)" }.joined(separator: ", ")
            return """
                fn @\(name)(\(types)) {Codegen="cublas", global_symbol="\(name)"} {
                  %f = fn(\(types)) {Composite="cublas.\(pattern)"} {
                    dataflow { \(body) output %o }
                    return %o
                  }
                  %r = %f(\(values))
                  return %r
                }

                """
        }
        let fused = try fuse(
            main("%wt = permute_dims(%w) %o1 = matmul(%x, %wt)", "%o2 = matmul(%x, %w)"),
            [
                FusionPattern("cublas.matmul_transposed", try op("matmul", any, try op("permute_dims", any))),
                FusionPattern("cublas.matmul", try op("matmul", any, any)),
            ], bindConstants: false, annotate: true)
        try expect(
            fused,
            equals: region(
                "fused_relax_permute_dims_relax_matmul_cublas", "w,x", "matmul_transposed",
                "%t = permute_dims(%w) %o = matmul(%x, %t)")
                + region("fused_relax_matmul_cublas", "x,w", "matmul", "%o = matmul(%x, %w)")
                + main(
                    "%o1 = @fused_relax_permute_dims_relax_matmul_cublas(%w, %x)",
                    "%o2 = @fused_relax_matmul_cublas(%x, %w)"))
    }

    private static func concatOf(_ body: String) -> String {
        """
        fn @main(%x: f32[2,4], %y: f32[2,4]) {
          dataflow { \(body) %r = nn.relu(%c) output %r }
          return %r
        }
        """
    }

    @Test("F-23 Tuple arguments") func tupleArguments() throws {
        let text = Self.concatOf("%a = abs(%x) %b = abs(%y) %c = concat((%a, %b))")
        let whole = try op("concat", isTuple([try op("abs", any), try op("abs", any)]))
        try expect(
            try fuse(text, [FusionPattern("x.concat_abs_abs", whole)]),
            equals: """
                fn @fused_relax_abs_relax_abs_relax_concat(%x: f32[2,4], %y: f32[2,4])
                {Composite="x.concat_abs_abs", Primitive=true} {
                  dataflow { %a = abs(%x) %b = abs(%y) %c = concat((%a, %b)) output %c }
                  return %c
                }
                \(Self.concatOf("%c = @fused_relax_abs_relax_abs_relax_concat(%x, %y)"))
                """)
        try expect(
            try fuse(text, [FusionPattern("x.concat", try op("concat", any))]),
            equals: """
                fn @fused_relax_concat(%p: f32[2,4], %q: f32[2,4]) {Composite="x.concat", Primitive=true} {
                  dataflow { %c = concat((%p, %q)) output %c }
                  return %c
                }
                \(Self.concatOf("%a = abs(%x) %b = abs(%y) %c = @fused_relax_concat(%a, %b)"))
                """)
    }

    @Test("F-24 The only output precedes the last member") func earlyOutput() throws {
        let chain = try op("nn.relu", try op("nn.relu", try op("nn.relu", any)))
        let fused = try fuse(
            """
            fn @main(%x: f32[4]) {
              dataflow { %f = nn.relu(%x) %k = nn.relu(%f) %d = nn.relu(%k) output %k }
              return %k
            }
            """, [FusionPattern("compiler_A.relu_chain", chain)], annotate: true)
        let name = "fused_relax_nn_relu_relax_nn_relu_relax_nn_relu_compiler_A"
        try expect(
            fused,
            equals: """
                fn @\(name)(%x: f32[4]) {Codegen="compiler_A", global_symbol="\(name)"} {
                  %local = fn(%y: f32[4]) {Composite="compiler_A.relu_chain"} {
                    dataflow { %f = nn.relu(%y) %k = nn.relu(%f) %d = nn.relu(%k) output %k }
                    return %k
                  }
                  %r = %local(%x)
                  return %r
                }
                fn @main(%x: f32[4]) {
                  dataflow { %k = @\(name)(%x) output %k }
                  return %k
                }
                """)
    }

    @Test("F-25 Statically known operand bound elsewhere") func staticOperand() throws {
        func main(_ call: String) -> String {
            """
            fn @main(%x: f32[4]) {
              %sh = shape[2,2]
              dataflow { %o = \(call) output %o }
              return %o
            }
            """
        }
        let pattern = FusionPattern("compiler_A.reshape", try op("reshape", any, any))
        try expect(
            try fuse(main("reshape(%x, %sh)"), [pattern]),
            equals: """
                fn @fused_relax_reshape(%x: f32[4]) {Composite="compiler_A.reshape", Primitive=true} {
                  dataflow { %o = reshape(%x, shape[2,2]) output %o }
                  return %o
                }
                \(main("@fused_relax_reshape(%x)"))
                """)
    }

    @Test("F-26 Dead group") func deadGroup() throws {
        let fused = try fuse(
            """
            fn @main(%x: f32[4]) {
              dataflow { %a = nn.relu(%x) %g = nn.gelu(%a) %d = tanh(%x) output %d }
              return %d
            }
            """, [FusionPattern("x.p", try op("nn.gelu", try op("nn.relu", any)))])
        try expect(fused, equals: "fn @main(%x: f32[4]) { dataflow { %d = tanh(%x) output %d } return %d }")
    }

    @Test("F-27 Mixed outputs") func mixedOutputs() throws {
        let fused = try fuse(
            """
            fn @main(%x: f32[4]) {
              dataflow { %a = nn.relu(%x) %g = nn.gelu(%a) %h = tanh(%g) %u = exp(%a) output %h, %u, %g }
              return (%h, %u, %g)
            }
            """, [FusionPattern("x.p", try op("tanh", try op("nn.gelu", try op("nn.relu", any))))])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_relu_relax_nn_gelu_relax_tanh(%x: f32[4]) {Composite="x.p", Primitive=true} {
                  dataflow { %a = nn.relu(%x) %g = nn.gelu(%a) %h = tanh(%g) output %a, %g, %h }
                  return (%g, %h, %a)
                }
                fn @main(%x: f32[4]) {
                  dataflow {
                    %t = @fused_relax_nn_relu_relax_nn_gelu_relax_tanh(%x)
                    %a = %t.2
                    %g = %t.0
                    %h = %t.1
                    %u = exp(%a)
                    output %h, %u, %g
                  }
                  return (%h, %u, %g)
                }
                """)
    }

    @Test("F-28 Tuple used only by projection") func projectionsOnly() throws {
        func main(_ sum: String) -> String {
            """
            fn @main(%x: f32[4,8]) {
              dataflow { %s = split(%x) {sections=2, axis=1} %l = %s.1 %r = %s.0 %o = \(sum) output %o }
              return %o
            }
            """
        }
        let n = any
        try expect(
            try fuse(main("add(%l, %r)"), [FusionPattern("x.p", try op("add", try n.item(1), try n.item(0)))]),
            equals: """
                fn @fused_relax_add(%p: f32[4,4], %q: f32[4,4]) {Composite="x.p", Primitive=true} {
                  dataflow { %o = add(%p, %q) output %o }
                  return %o
                }
                \(main("@fused_relax_add(%l, %r)"))
                """)
    }

    @Test("F-29 Repeated operand") func repeatedOperand() throws {
        let fused = try fuse(
            """
            fn @main(%x: f32[4,4]) {
              dataflow { %a = matmul(%x, %x) %o = add(%a, %x) output %o }
              return %o
            }
            """, [FusionPattern("x.p", try op("add", try op("matmul", any, any), any))])
        try expect(
            fused,
            equals: """
                fn @fused_relax_matmul_relax_add(%x: f32[4,4]) {Composite="x.p", Primitive=true} {
                  dataflow { %a = matmul(%x, %x) %o = add(%a, %x) output %o }
                  return %o
                }
                fn @main(%x: f32[4,4]) {
                  dataflow { %o = @fused_relax_matmul_relax_add(%x) output %o }
                  return %o
                }
                """)
    }

    @Test("F-30 Placement") func placement() throws {
        let fused = try fuse(
            """
            fn @main(%x: f32[4], %y: f32[4]) {
              dataflow {
                %a = nn.relu(%x) %g = nn.gelu(%y) %d = exp(%y) %b = add(%a, %d) %c = multiply(%b, %g)
                output %c
              }
              return %c
            }
            """, [FusionPattern("x.p", try op("add", try op("nn.relu", any), any))])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_relu_relax_add(%x: f32[4], %d: f32[4]) {Composite="x.p", Primitive=true} {
                  dataflow { %a = nn.relu(%x) %b = add(%a, %d) output %b }
                  return %b
                }
                fn @main(%x: f32[4], %y: f32[4]) {
                  dataflow {
                    %d = exp(%y)
                    %b = @fused_relax_nn_relu_relax_add(%x, %d)
                    %g = nn.gelu(%y)
                    %c = multiply(%b, %g)
                    output %c
                  }
                  return %c
                }
                """)
    }

    @Test("F-31 Entry functions and extra attributes", arguments: [false, true])
    func entryFunctions(annotate: Bool) throws {
        func function(_ name: String, _ callee: String) -> String {
            "fn @\(name)(%x: f32[4]) { dataflow { %a = \(callee)(%x) output %a } return %a }\n"
        }
        let root = try op("nn.relu", any)
        let pattern = FusionPattern(
            "x.relu", root, annotations: [("root", root)],
            attributes: { ["rank": .int(Int64($0.annotated("root").flatMap { $0.valueID }.map { _ in 1 } ?? 0))] })
        let fused = try fuse(
            function("main", "nn.relu") + function("second", "nn.relu"), [pattern], annotate: annotate,
            entries: ["second"])
        let composite = """
            (%x: f32[4]) {Composite="x.relu", rank=1\(annotate ? "" : ", Primitive=true")} {
              dataflow { %a = nn.relu(%x) output %a }
              return %a
            }

            """
        let plain = "fn @fused_relax_nn_relu" + composite + function("second", "@fused_relax_nn_relu")
        let region = """
            fn @fused_relax_nn_relu_x(%x: f32[4]) {Codegen="x", global_symbol="fused_relax_nn_relu_x"} {
              %f = fn\(composite)
              %r = %f(%x)
              return %r
            }
            \(function("second", "@fused_relax_nn_relu_x"))
            """
        try expect(fused, equals: function("main", "nn.relu") + (annotate ? region : plain))
    }

    @Test("F-32 Greedy chain") func greedyChain() throws {
        let fused = try fuse(
            """
            fn @main(%x: f32[4]) {
              dataflow {
                %a = nn.relu(%x) %b = nn.relu(%a) %c = nn.relu(%b) %d = nn.relu(%c) %e = nn.relu(%d)
                output %e
              }
              return %e
            }
            """, [FusionPattern("x.p", try op("nn.relu", try op("nn.relu", any)))])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_relu_relax_nn_relu(%x: f32[4]) {Composite="x.p", Primitive=true} {
                  dataflow { %a = nn.relu(%x) %b = nn.relu(%a) output %b }
                  return %b
                }
                fn @main(%x: f32[4]) {
                  dataflow {
                    %b = @fused_relax_nn_relu_relax_nn_relu(%x)
                    %d = @fused_relax_nn_relu_relax_nn_relu(%b)
                    %e = nn.relu(%d)
                    output %e
                  }
                  return %e
                }
                """)
    }

    @Test("F-33 Shared interior") func sharedInterior() throws {
        let r = try op("nn.relu", any)
        let fused = try fuse(
            """
            fn @main(%x: f32[4]) {
              dataflow { %a = nn.relu(%x) %b = nn.gelu(%a) %c = nn.silu(%a) %o = add(%b, %c) output %o }
              return %o
            }
            """, [FusionPattern("x.p", (try op("nn.gelu", r)) | (try op("nn.silu", r)))])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_relu_relax_nn_gelu(%x: f32[4]) {Composite="x.p", Primitive=true} {
                  dataflow { %a = nn.relu(%x) %b = nn.gelu(%a) output %a, %b }
                  return (%a, %b)
                }
                fn @main(%x: f32[4]) {
                  dataflow {
                    %t = @fused_relax_nn_relu_relax_nn_gelu(%x)
                    %a = %t.0
                    %b = %t.1
                    %c = nn.silu(%a)
                    %o = add(%b, %c)
                    output %o
                  }
                  return %o
                }
                """)
    }

    @Test("F-34 Outside dataflow blocks") func outsideDataflow() throws {
        let text = "fn @main(%x: f32[4]) { %a = nn.relu(%x) %b = nn.gelu(%a) return %b }"
        let pattern = FusionPattern("x.p", try op("nn.gelu", try op("nn.relu", any)))
        try expect(try fuse(text, [pattern]), equals: text)
        let across = """
            fn @main(%x: f32[4]) {
              %a = nn.relu(%x)
              dataflow { %b = nn.gelu(%a) output %b }
              return %b
            }
            """
        try expect(try fuse(across, [pattern]), equals: across)
    }

    @Test("F-35 Bound tuple") func boundTuple() throws {
        let whole = try op("concat", isTuple([try op("abs", any), try op("abs", any)]))
        try expect(
            try fuse(
                Self.concatOf("%a = abs(%x) %b = abs(%y) %t = (%a, %b) %c = concat(%t)"),
                [FusionPattern("x.p", whole)]),
            equals: """
                fn @fused_relax_abs_relax_abs_relax_concat(%x: f32[2,4], %y: f32[2,4])
                {Composite="x.p", Primitive=true} {
                  dataflow { %a = abs(%x) %b = abs(%y) %t = (%a, %b) %c = concat(%t) output %c }
                  return %c
                }
                \(Self.concatOf("%c = @fused_relax_abs_relax_abs_relax_concat(%x, %y)"))
                """)
    }

    @Test("F-36 Longer cycle") func longerCycle() throws {
        let error = #expect(throws: TenonError.self) {
            try fuse(
                """
                fn @main(%x: f32[4]) {
                  dataflow { %a = nn.relu(%x) %g = nn.gelu(%a) %t = tanh(%g) %d = add(%a, %t) output %d }
                  return %d
                }
                """, [FusionPattern("x.p", try op("add", try op("nn.relu", any), any))])
        }
        #expect(error?.message.contains("A cyclic dependency detected") == true)
    }

    @Test("F-37 Symbolic shape operand") func symbolicShape() throws {
        let fused = try fuse(
            """
            fn @main(%x: f32[n,4]) {
              dataflow { %a = nn.relu(%x) %c = reshape(%a, shape[2,2*n]) output %c }
              return %c
            }
            """, [FusionPattern("x.p", try op("reshape", try op("nn.relu", any), any))])
        try expect(
            fused,
            equals: """
                fn @fused_relax_nn_relu_relax_reshape(%x: f32[n,4], %s: shape[2,2*n])
                {Composite="x.p", Primitive=true} {
                  dataflow { %a = nn.relu(%x) %c = reshape(%a, %s) output %c }
                  return %c
                }
                fn @main(%x: f32[n,4]) {
                  dataflow { %c = @fused_relax_nn_relu_relax_reshape(%x, shape[2,2*n]) output %c }
                  return %c
                }
                """)
    }
}
