import Testing

@testable import TenonIR
@testable import TenonRewrite

/// `count` times conv2d → reshape(bias) → add → relu on f32[1,4,8,8].
func seedChain(_ count: Int) throws -> Module {
    var builder = FunctionBuilder(attributes: ["global_symbol": "main"])
    var x = builder.parameter("x", .tensor(.float32, [1, 4, 8, 8] as [Int64]))
    for layer in 0..<count {
        let weight = try Constant.filled(.float32, [4, 4, 3, 3], Double(layer))
        let bias = try Constant.filled(.float32, [4], Double(layer))
        let c = try builder.call(
            "nn.conv2d", [.value(x), .constant(weight)], ["padding": .ints([1, 1, 1, 1])], name: "conv")
        let b = try builder.call("reshape", [.constant(bias), .shape([1, 4, 1, 1])], name: "bias")
        let s = try builder.call("add", [.value(c), .value(b)], name: "sum")
        x = try builder.call("nn.relu", [.value(s)], name: "relu")
    }
    return Module(functions: ["main": try builder.finish(.value(x))])
}

func seedPattern() throws -> FusionPattern {
    let conv = try isOp("nn.conv2d")(wildcard(), wildcard())
    let bias = try isOp("reshape").call([wildcard()], variadic: true)
    return FusionPattern(
        "dnnl.conv2d_reshape_add_relu", try isOp("nn.relu")(try isOp("add")(conv, bias)), allowsLeak: false)
}

@Suite struct SeedChainTests {
    @Test func fusesAndMerges() throws {
        let module = try seedChain(3)
        let fused = try FuseOpsByPattern([try seedPattern()]).apply(to: module)
        #expect(fused.functions.count == 4)
        #expect(fused.main?.body.blocks[0].bindings.count == 3)
        let composite = try #require(
            fused["fused_relax_nn_conv2d_relax_reshape_relax_add_relax_nn_relu"])
        #expect(composite.composite == "dnnl.conv2d_reshape_add_relu")
        #expect(composite.isPrimitive)
        let merged = try MergeCompositeFunctions().apply(to: fused)
        #expect(merged.functions.count == 2)
        let region = try #require(merged.functions.values.first { $0.codegen == "dnnl" })
        #expect(region.globalSymbol != nil)
        #expect(merged.main?.body.blocks[0].bindings.count == 1)
    }

    @Test func tenThousandOperators() throws {
        let module = try seedChain(2500)
        let start = MonotonicClock.now
        let fused = try FuseOpsByPattern([try seedPattern()]).apply(to: module)
        let middle = MonotonicClock.now
        let merged = try MergeCompositeFunctions().apply(to: fused)
        let end = MonotonicClock.now
        print("fuse \(Double(middle - start) / 1e6) ms, merge \(Double(end - middle) / 1e6) ms")
        #expect(merged.functions.count == 2)
    }
}
