import Testing

@testable import TenonDNNL
@testable import TenonIR
@testable import TenonRewrite

@Suite struct FuseConv2dReshapeAddReluTests {
    /// A function that convolves `%x` to `%c: f32[1,4,8,8]` and goes on with `tail`.
    private func module(_ tail: String, parameters: String = "") throws -> Module {
        let module = try Module(
            text: """
                fn @main(%x: f32[1,3,10,10], %w: f32[4,3,3,3], %b: f32[4]\(parameters)) {
                  dataflow {
                    %c = nn.conv2d(%x, %w)
                    \(tail)
                """)
        try module.verify()
        return module
    }

    private func composites(_ module: Module) throws -> [Function] {
        let fused = try FuseConv2dReshapeAddRelu().apply(to: module, PassContext(verifies: true))
        return fused.functions.values.filter { $0.composite != nil }
    }

    /// The four operators as the seed has them; the pieces can be replaced one by one.
    private func chain(
        reshape: String = "%r = reshape(%b, shape[1,4,1,1])", add: String = "%s = add(%c, %r)",
        relu: String = "%y = nn.relu(%s)", more: String = "", output: String = "%y", parameters: String = ""
    ) throws -> Module {
        try module(
            """
            \(reshape)
            \(add)
            \(relu)
            \(more)
            output \(output)
            }
            return (\(output))
            }
            """, parameters: parameters)
    }

    @Test func fusesTheSeedsGraph() throws {
        let fused = try FuseConv2dReshapeAddRelu().apply(to: try chain(), PassContext(verifies: true))
        let composite = try #require(fused["fused_relax_nn_conv2d_relax_reshape_relax_add_relax_nn_relu"])
        #expect(composite.composite == "dnnl.conv2d_reshape_add_relu")
        #expect(composite.isPrimitive)
        #expect(composite.parameters.count == 3)
        #expect(composite.body.blocks[0].bindings.count == 4)
        let merged = try MergeCompositeFunctions().apply(to: fused, PassContext(verifies: true))
        let region = try #require(merged.functions.values.first { $0.codegen == "dnnl" })
        #expect(region.globalSymbol == merged.functions.keys.first { $0 != "main" })
    }

    @Test func fusesWithTheAddendsExchanged() throws {
        #expect(try composites(try chain(add: "%s = add(%r, %c)")).count == 1)
    }

    @Test(arguments: ["shape[1,4,1,1]", "shape[4,1,1]"])
    func fusesWhatBroadcastsTheSame(shape: String) throws {
        #expect(try composites(try chain(reshape: "%r = reshape(%b, \(shape))")).count == 1)
    }

    @Test func fusesAConstantBias() throws {
        let module = try chain(reshape: "%r = reshape(const f32[4](1.0, 2.0, 3.0, 4.0), shape[1,4,1,1])")
        let made = try composites(module)
        #expect(made.count == 1)
        #expect(made.first?.parameters.count == 2)
    }

    @Test(arguments: [
        // Not one value per output channel in the channel's place.
        "%r = reshape(%big, shape[1,4,8,8])",
        "%r = reshape(%eight, shape[1,1,8,1])",
        "%r = reshape(%eight, shape[8])",
        "%r = reshape(%one, shape[1,1,1,1])",
    ])
    func leavesWhatIsNoBias(reshape: String) throws {
        let module = try chain(
            reshape: reshape, parameters: ", %big: f32[256], %eight: f32[8], %one: f32[1]")
        #expect(try composites(module).isEmpty)
    }

    @Test func leavesAResidualAddition() throws {
        let module = try chain(reshape: "", add: "%s = add(%c, %res)", parameters: ", %res: f32[1,4,8,8]")
        #expect(try composites(module).isEmpty)
    }

    @Test func leavesAReshapedResidual() throws {
        let module = try chain(
            reshape: "%r = reshape(%res, shape[1,4,8,8])", parameters: ", %res: f32[4,8,8]")
        #expect(try composites(module).isEmpty)
    }

    @Test func leavesAComputedBias() throws {
        let module = try chain(reshape: "%t = tanh(%b)\n%r = reshape(%t, shape[1,4,1,1])")
        #expect(try composites(module).isEmpty)
    }

    @Test(arguments: ["%c", "%r", "%s"])
    func leavesAnIntermediateWithAnotherUser(value: String) throws {
        let module = try chain(more: "%z = tanh(\(value))", output: "%y, %z")
        #expect(try composites(module).isEmpty)
    }

    @Test(arguments: ["%c", "%r", "%s"])
    func leavesAnIntermediateThatIsReturned(value: String) throws {
        #expect(try composites(try chain(output: "%y, \(value)")).isEmpty)
    }

    @Test func leavesTheConvolutionAddedToItself() throws {
        #expect(try composites(try chain(reshape: "", add: "%s = add(%c, %c)")).isEmpty)
    }

    @Test func leavesOtherActivations() throws {
        #expect(try composites(try chain(relu: "%y = tanh(%s)")).isEmpty)
    }

    @Test func leavesOtherElementTypes() throws {
        let module = try Module(
            text: """
                fn @main(%x: f64[1,3,10,10], %w: f64[4,3,3,3], %b: f64[4]) {
                  dataflow {
                    %c = nn.conv2d(%x, %w)
                    %r = reshape(%b, shape[1,4,1,1])
                    %s = add(%c, %r)
                    %y = nn.relu(%s)
                    output %y
                  }
                  return %y
                }
                """)
        #expect(try composites(module).isEmpty)
    }

    @Test func sharesEqualComposites() throws {
        let module = try module(
            """
            %r = reshape(%b, shape[1,4,1,1])
            %s = add(%c, %r)
            %y = nn.relu(%s)
            %c2 = nn.conv2d(%x, %w)
            %r2 = reshape(%b, shape[1,4,1,1])
            %s2 = add(%c2, %r2)
            %y2 = nn.relu(%s2)
            output %y, %y2
            }
            return (%y, %y2)
            }
            """)
        #expect(try composites(module).count == 1)
    }
}

@Suite struct RuleTableTests {
    private func fused(_ text: String) throws -> [String] {
        let module = try Module(text: text)
        try module.verify()
        let result = try FuseOpsForDNNL().apply(to: module, PassContext(verifies: true))
        return result.functions.values.compactMap(\.composite)
    }

    @Test func residualAndActivationJoinTheConvolution() throws {
        let composites = try fused(
            """
            fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1], %res: f32[1,4,8,8]) {
              dataflow {
                %c = nn.conv2d(%x, %w)
                %b = add(%c, const f32[1,4,1,1](1.0, 2.0, 3.0, 4.0))
                %a = nn.silu(%b)
                %s = add(%res, %a)
                %y = nn.relu(%s)
                output %y
              }
              return %y
            }
            """)
        #expect(composites == ["dnnl.conv2d_post_ops"])
    }

    /// The default rules know a bias whose reshape has been folded, and leave longer chains to the rule that takes all of them.
    @Test(arguments: [
        ("%y = nn.relu(%b)", ["dnnl.conv2d_reshape_add_relu"]),
        ("%r = nn.relu(%b)\n%y = add(%r, %res)", ["dnnl.conv2d_post_ops"]),
        (
            "%r = nn.relu(%b)\n%t = tanh(%r)\n%y = add(%r, %t)",
            ["dnnl.conv2d_reshape_add_relu", "dnnl.eltwise_post_ops"]
        ),
    ])
    func aFoldedBias(rest: String, expected: [String]) throws {
        let composites = try fused(
            """
            fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1], %res: f32[1,4,8,8]) {
              dataflow {
                %c = nn.conv2d(%x, %w)
                %b = add(%c, const f32[1,4,1,1](1.0, 2.0, 3.0, 4.0))
                \(rest)
                output %y
              }
              return %y
            }
            """)
        #expect(composites.sorted() == expected)
    }

    @Test(arguments: ["const f32[1,1,8,1](1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)", "const f32[](1.0)"])
    func aFoldedAddendThatIsNoBias(addend: String) throws {
        let composites = try fused(
            """
            fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1]) {
              dataflow {
                %c = nn.conv2d(%x, %w)
                %b = add(%c, \(addend))
                %y = nn.relu(%b)
                output %y
              }
              return %y
            }
            """)
        #expect(composites == ["dnnl.conv2d_post_ops"])
    }

    @Test func aSharedConvolutionEndsItsChain() throws {
        let composites = try fused(
            """
            fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1]) {
              dataflow {
                %c = nn.conv2d(%x, %w)
                %a = nn.relu(%c)
                %b = tanh(%c)
                %s = add(%a, %b)
                output %s
              }
              return %s
            }
            """)
        #expect(composites.sorted() == ["dnnl.conv2d_post_ops", "dnnl.eltwise_post_ops", "dnnl.eltwise_post_ops"])
    }

    @Test func aSumOfTwoConvolutionsJoinsOne() throws {
        let composites = try fused(
            """
            fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1], %v: f32[4,4,1,1]) {
              dataflow {
                %p = nn.max_pool2d(%x) {pool_size=[1,1]}
                %c = nn.conv2d(%x, %w)
                %s = add(%p, %c)
                output %s
              }
              return %s
            }
            """)
        #expect(composites.sorted() == ["dnnl.conv2d_post_ops", "dnnl.max_pool2d"])
    }

    @Test func aBroadcastThatGrowsTheResultIsNoPostOperation() throws {
        let composites = try fused(
            """
            fn @main(%x: f32[1,4,8,8], %w: f32[4,4,1,1], %big: f32[2,4,8,8]) {
              dataflow {
                %c = nn.conv2d(%x, %w)
                %s = add(%c, %big)
                output %s
              }
              return %s
            }
            """)
        #expect(composites == ["dnnl.conv2d_post_ops"])
    }
}
