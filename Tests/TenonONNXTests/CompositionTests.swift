import TenonIR
import Testing

@testable import TenonONNX

/// Operators that become several of ours.
@Suite struct CompositionTests {
    private func function(_ opset: Int64, _ inputs: [(String, [Any])], _ build: (inout ModelBuilder) -> Void) throws
        -> Function
    {
        var builder = ModelBuilder(opset: opset)
        for (name, dims) in inputs { builder.input(name, dims) }
        build(&builder)
        builder.output("y")
        return try builder.function()
    }

    private func einsum(_ equation: String, _ shapes: [[Any]]) throws -> Function {
        let names = shapes.indices.map { "x\($0)" }
        return try function(13, Array(zip(names, shapes))) {
            $0.node("Einsum", names, ["y"], [attribute("equation", equation)])
        }
    }

    @Test func einsumOfOneAndTwoTerms() throws {
        func shape(_ function: Function) -> [Int64]? { function.resultType.asTensor?.staticShape }
        #expect(shape(try einsum("ij->ji", [[2, 3]])) == [3, 2])
        #expect(try einsum("ij->i", [[2, 3]]).operators == ["sum"])
        #expect(shape(try einsum("bhid,bhjd->bhij", [[2, 4, 5, 8], [2, 4, 7, 8]])) == [2, 4, 5, 7])
        #expect(shape(try einsum("...ij,...jk", [[2, 3, 4], [2, 4, 5]])) == [2, 3, 5])
        #expect(shape(try einsum("i,j,k->kij", [[2], [3], [4]])) == [4, 2, 3])
        #expect(try einsum("ij,jk->ik", [[2, 3], [3, 4]]).operators.contains("matmul"))
        #expect(
            try einsum("bi,ij->bj", [["n", 3], [3, 4]]).resultType.asTensor?.shape == [.symbol("n"), 4])
    }

    @Test(arguments: [
        ("ij-ji", [[2, 3]]), ("ij->k", [[2, 3]]), ("ijk->i", [[2, 3]]), ("i,j->ij", [[2]]), ("i1->i", [[2, 3]]),
        ("ij,jk->ik", [[2, 3], [4, 5]]), ("", [[2]]), ("......->", [[2, 3]]),
    ]) func equationsThatDoNotFitAreErrors(equation: String, shapes: [[Int]]) throws {
        let error = try #require(failure { _ = try einsum(equation, shapes) })
        #expect([.invalidArgument, .invalidShape, .unsupported].contains(error.status))
        #expect(error.message.contains("Einsum"))
    }

    @Test func attentionOfSharedHeadsWithAPast() throws {
        let main = try function(
            24,
            [("q", [2, 5, 32]), ("k", [2, 5, 16]), ("v", [2, 5, 16]), ("pk", [2, 2, 3, 8]), ("pv", [2, 2, 3, 8])]
        ) {
            $0.node(
                "Attention", ["q", "k", "v", "", "pk", "pv"], ["y", "key", "value"],
                [attribute("q_num_heads", 4), attribute("kv_num_heads", 2), attribute("is_causal", 1)])
            $0.output("key")
        }
        // The declared order of outputs is "key" and "y": the helper adds "y" last.
        #expect(
            main.resultType
                == .tuple([.tensor(.float32, [2, 2, 8, 8] as [Int64]), .tensor(.float32, [2, 5, 32] as [Int64])]))
        let attention = try #require(main.call("nn.attention"))
        #expect(attention.attributes.string("causal_mask") == "BottomRight")
    }

    @Test func attentionOverSymbolicSequences() throws {
        let main = try function(23, [("q", ["b", 4, "s", 8]), ("k", ["b", 4, "t", 8]), ("v", ["b", 4, "t", 8])]) {
            $0.node("Attention", ["q", "k", "v"], ["y"], [attribute("is_causal", 1)])
        }
        #expect(main.resultType.asTensor?.shape?.map(\.description) == ["b", "4", "s", "8"])
    }

    @Test func quantisationPerChannel() throws {
        let main = try function(13, [("x", [2, 3, 4])]) { builder in
            builder.constant(ModelBuilder.floats("scale", [3], [1, 2, 4]))
            var zero = ONNXTensorProto()
            zero.name = "zero"
            zero.dataType = 3
            zero.dims = [3]
            zero.int32Data = [-1, 0, 1]
            builder.constant(zero)
            builder.node("QuantizeLinear", ["x", "scale", "zero"], ["q"])
            builder.node("DequantizeLinear", ["q", "scale", "zero"], ["y"])
        }
        #expect(main.resultType == .tensor(.float32, [2, 3, 4] as [Int64]))
        #expect(main.operators == ["quantize", "dequantize"])
        #expect(main.call("quantize")?.attributes.int("axis") == 1)
        #expect(main.call("dequantize")?.attributes.int("axis") == 1)
    }
}

/// Layers over sequences.
@Suite struct RecurrentTests {
    private func layer(
        _ op: String, gates: Int64, _ attributes: [ONNXAttributeProto] = [], directions: Int64 = 1,
        input: [Any] = [5, 2, 3],
        outputs: [String] = ["y", "h"], lengths: [Int64]? = nil
    ) throws -> Function {
        var builder = ModelBuilder(opset: 14)
        builder.input("x", input)
        builder.constant(ModelBuilder.floats("w", [directions, gates * 4, 3]))
        builder.constant(ModelBuilder.floats("r", [directions, gates * 4, 4]))
        if let lengths { builder.constant(ModelBuilder.ints("l", lengths)) }
        builder.node(op, ["x", "w", "r"] + (lengths == nil ? [] : ["", "l"]), outputs, attributes)
        for output in outputs where !output.isEmpty { builder.output(output) }
        return try builder.function()
    }

    @Test func missingBiasesAndStatesAreZeros() throws {
        let lstm = try layer("LSTM", gates: 4, outputs: ["y", "h", "c"])
        #expect(lstm.call("nn.lstm")?.arguments.count == 7)
        #expect(
            lstm.resultType
                == .tuple([
                    .tensor(.float32, [5, 1, 2, 4] as [Int64]), .tensor(.float32, [1, 2, 4] as [Int64]),
                    .tensor(.float32, [1, 2, 4] as [Int64]),
                ]))
        #expect(try layer("GRU", gates: 3, outputs: ["", "h"]).resultType == .tensor(.float32, [1, 2, 4] as [Int64]))
        let symbolic = try layer("RNN", gates: 1, input: ["n", "b", 3], outputs: ["y"])
        #expect(symbolic.operators.first == "zeros")
        #expect(symbolic.resultType.asTensor?.shape?.map(\.description) == ["n", "1", "b", "4"])
    }

    @Test func directionsAndLayout() throws {
        let both = try layer(
            "GRU", gates: 3, [attribute("direction", "bidirectional"), attribute("hidden_size", 4)], directions: 2)
        #expect(both.call("nn.gru")?.attributes.string("direction") == "bidirectional")
        let batchFirst = try layer("LSTM", gates: 4, [attribute("layout", 1)], input: [2, 5, 3])
        #expect(
            batchFirst.resultType
                == .tuple([.tensor(.float32, [2, 5, 1, 4] as [Int64]), .tensor(.float32, [2, 1, 4] as [Int64])]))
    }

    @Test func layersThatDoNotFitAreErrors() throws {
        func status(_ attributes: [ONNXAttributeProto], gates: Int64 = 4, lengths: [Int64]? = nil) -> Status? {
            failure { _ = try layer("LSTM", gates: gates, attributes, lengths: lengths) }?.status
        }
        #expect(status([attribute("hidden_size", 5)]) == .invalidArgument)
        #expect(status([attribute("direction", "bidirectional")]) == .invalidArgument)
        #expect(status([attribute("direction", "sideways")]) == .invalidArgument)
        #expect(status([], gates: 3) == .invalidShape)
        #expect(status([], lengths: [5, 4, 5]) == .invalidShape)
        #expect(status([], lengths: [5, 4]) == nil)
    }
}
