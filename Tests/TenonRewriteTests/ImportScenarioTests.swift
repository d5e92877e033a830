import Testing

@testable import TenonIR
@testable import TenonRewrite

/// An imported convolution with bias and activation.
@Suite struct ImportScenarioTests {
    private static let bias = "const f32[6](1, 2, 3, 4, 5, 6)"
    private static let weight = "const f32[6,1,1,1](1, 2, 3, 4, 5, 6)"

    private static func layer(alias: Bool = false) -> String {
        """
        fn @main(%x: f32[1,1,10,10]) {
          dataflow {
            %a = nn.conv2d(%x, \(weight))
            %s = reshape(\(bias), shape[1,6,1,1])
            %b = add(%a, %s)
            %r = nn.relu(%b)
            \(alias ? "%r2 = %r output %r2" : "output %r")
          }
          return \(alias ? "%r2" : "%r")
        }
        """
    }

    private static func pattern(allowReshape: Bool) throws -> FusionPattern {
        FusionPattern(
            "conv2d_bias_relu",
            try fusedBiasActivationPattern(
                "nn.conv2d", withBias: true, activation: "nn.relu", allowReshape: allowReshape))
    }

    @Test("D-01 Imported convolution block, reshape allowed", arguments: [false, true])
    func reshapeAllowed(alias: Bool) throws {
        let fused = try fuse(
            Self.layer(alias: alias), [try Self.pattern(allowReshape: true)], bindConstants: false)
        let made = fused.functions.filter { $0.key.contains("fused") }
        #expect(made.count == 1)
        let name = "fused_relax_nn_conv2d_relax_reshape_relax_add_relax_nn_relu"
        let call = "%r = @\(name)(%x, \(Self.weight), \(Self.bias))"
        try expect(
            fused,
            equals: """
                fn @\(name)(%x: f32[1,1,10,10], %w: f32[6,1,1,1], %b: f32[6])
                {Composite="conv2d_bias_relu", Primitive=true} {
                  dataflow {
                    %a = nn.conv2d(%x, %w)
                    %s = reshape(%b, shape[1,6,1,1])
                    %sum = add(%a, %s)
                    %r = nn.relu(%sum)
                    output %r
                  }
                  return %r
                }
                fn @main(%x: f32[1,1,10,10]) {
                  dataflow { \(alias ? "\(call) %r2 = %r output %r2" : "\(call) output %r") }
                  return \(alias ? "%r2" : "%r")
                }
                """)
    }

    @Test("D-02 The same graph without the reshape option") func reshapeNotAllowed() throws {
        let fused = try fuse(Self.layer(), [try Self.pattern(allowReshape: false)], bindConstants: false)
        let name = "fused_relax_nn_conv2d_relax_add_relax_nn_relu"
        try expect(
            fused,
            equals: """
                fn @\(name)(%x: f32[1,1,10,10], %w: f32[6,1,1,1], %s: f32[1,6,1,1])
                {Composite="conv2d_bias_relu", Primitive=true} {
                  dataflow { %a = nn.conv2d(%x, %w) %sum = add(%a, %s) %r = nn.relu(%sum) output %r }
                  return %r
                }
                fn @main(%x: f32[1,1,10,10]) {
                  dataflow {
                    %s = reshape(\(Self.bias), shape[1,6,1,1])
                    %r = @\(name)(%x, \(Self.weight), %s)
                    output %r
                  }
                  return %r
                }
                """)
    }

    @Test("D-03 No bias, no activation") func bareConvolution() throws {
        let text = """
            fn @main(%x: f32[1,1,10,10]) {
              dataflow { %a = nn.conv2d(%x, \(Self.weight)) output %a }
              return %a
            }
            """
        let fused = try fuse(text, [try Self.pattern(allowReshape: true)], bindConstants: false)
        try expect(fused, equals: text)
        #expect(fused.functions.keys.allSatisfy { !$0.contains("fused") })
    }
}
