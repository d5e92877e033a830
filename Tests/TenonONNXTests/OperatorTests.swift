import TenonIR
import Testing

@testable import TenonONNX

/// What single nodes become, where versions and optional parts make a difference.
@Suite struct OperatorTests {
    private func function(
        opset: Int64 = 17, input: [Any] = [1, 4, 6, 6], constants: [ONNXTensorProto] = [], _ op: String,
        _ inputs: [String] = ["x"], _ attributes: [ONNXAttributeProto] = []
    ) throws -> Function {
        var builder = ModelBuilder(opset: opset)
        builder.input("x", input)
        for constant in constants { builder.constant(constant) }
        builder.node(op, inputs, ["y"], attributes)
        builder.output("y")
        return try builder.function()
    }

    private func shape(_ function: Function) -> [Int64]? { function.resultType.asTensor?.staticShape }

    @Test func convolutionWithBias() throws {
        let main = try function(
            constants: [ModelBuilder.floats("w", [8, 2, 3, 3]), ModelBuilder.floats("b", [8])], "Conv",
            ["x", "w", "b"],
            [
                attribute("group", 2), attribute("strides", [2, 1]), attribute("pads", [1, 0, 1, 2]),
                attribute("dilations", [1, 2]),
            ])
        #expect(main.operators == ["nn.conv2d", "reshape", "add"])
        let conv = try #require(main.call("nn.conv2d"))
        #expect(conv.attributes.ints("padding") == [1, 0, 1, 2])
        #expect(conv.attributes.int("groups") == 2)
        #expect(main.call("reshape")?.arguments[1] == .shape([1, 8, 1, 1]))
        #expect(shape(main) == [1, 8, 3, 4])
    }

    @Test(arguments: [
        ("SAME_UPPER", [0, 0, 1, 1] as [Int64]), ("SAME_LOWER", [1, 1, 0, 0]), ("VALID", [0, 0, 0, 0]),
        ("NOTSET", [0, 0, 0, 0]),
    ]) func automaticPadding(mode: String, expected: [Int64]) throws {
        let main = try function(
            constants: [ModelBuilder.floats("w", [1, 4, 3, 3])], "Conv", ["x", "w"],
            [attribute("auto_pad", mode), attribute("strides", [2, 2])])
        #expect(main.call("nn.conv2d")?.attributes.ints("padding") == expected)
    }

    @Test func automaticPaddingOfSymbolicSizes() throws {
        func build(_ stride: Int64) throws -> Function {
            try function(
                input: ["n", 4, "h", "w"], constants: [ModelBuilder.floats("w", [1, 4, 4, 4])], "Conv", ["x", "w"],
                [attribute("auto_pad", "SAME_UPPER"), attribute("strides", [stride, stride])])
        }
        #expect(try build(1).call("nn.conv2d")?.attributes.ints("padding") == [1, 1, 2, 2])
        // The padding depends on the size, so it is an operator of its own.
        let strided = try build(2)
        #expect(strided.call("nn.conv2d")?.attributes.ints("padding") == [0, 0, 0, 0])
        #expect(strided.operators.contains { $0.hasSuffix("nn.pad") })
    }

    @Test func convolutionsOfOneAndThreeDimensions() throws {
        let one = try function(
            input: [1, 4, 10], constants: [ModelBuilder.floats("w", [2, 4, 3]), ModelBuilder.floats("b", [2])], "Conv",
            ["x", "w", "b"])
        #expect(one.operators == ["nn.conv1d", "reshape", "add"] && shape(one) == [1, 2, 8])
        let three = try function(
            input: [1, 4, 5, 5, 5], constants: [ModelBuilder.floats("w", [2, 4, 3, 3, 3])], "Conv", ["x", "w"])
        #expect(three.operators == ["nn.conv3d"] && shape(three) == [1, 2, 3, 3, 3])
    }

    @Test func transposedConvolutionReachesTheShapeAskedFor() throws {
        let main = try function(
            constants: [ModelBuilder.floats("w", [4, 3, 3, 3])], "ConvTranspose", ["x", "w"],
            [attribute("strides", [2, 2]), attribute("output_shape", [12, 11]), attribute("output_padding", [1, 1])])
        #expect(main.call("nn.conv2d_transpose")?.attributes.ints("padding") == [1, 2, 1, 1])
        #expect(shape(main) == [1, 3, 12, 11])
    }

    @Test func gemmFoldsWhatIsConstant() throws {
        let weight = ModelBuilder.floats("w", [3, 4], (0..<12).map(Float.init))
        let main = try function(
            input: [2, 4], constants: [weight, ModelBuilder.floats("c", [3], [1, 2, 3])], "Gemm", ["x", "w", "c"],
            [attribute("transB", 1), attribute("alpha", float: 0.5), attribute("beta", float: 2)])
        #expect(main.operators == ["nn.dense", "add"])
        let folded = try #require(main.call("nn.dense")?.arguments[1].constant)
        #expect(folded.shape == [3, 4])
        #expect(folded.doubleElements == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5])
        #expect(main.call("add")?.arguments[1].constant?.doubleElements == [2, 4, 6])
        let plain = try function(
            input: [4, 2], constants: [ModelBuilder.floats("w", [4, 3])], "Gemm", ["x", "w"], [attribute("transA", 1)])
        #expect(plain.operators == ["permute_dims", "matmul"] && shape(plain) == [2, 3])
        #expect(
            failure {
                _ = try function(
                    input: [1, 4], constants: [ModelBuilder.floats("w", [4, 3]), ModelBuilder.floats("c", [5, 3])],
                    "Gemm", ["x", "w", "c"])
            }?.status == .invalidShape)
    }

    @Test func clipBoundsFromAttributesAndInputs() throws {
        let old = try function(opset: 6, "Clip", ["x"], [attribute("min", float: 0), attribute("max", float: 6)])
        #expect(old.call("clip")?.arguments.dropFirst() == [.float(0), .float(6)])
        let new = try function(constants: [ModelBuilder.floats("hi", [], [6])], "Clip", ["x", "", "hi"])
        #expect(new.call("clip")?.arguments.dropFirst() == [.float(-.infinity), .float(6)])
        #expect(try function("Clip").operators == ["alias"])
    }

    @Test func softmaxBeforeAndSinceVersion13() throws {
        #expect(try function(opset: 13, "Softmax").call("nn.softmax")?.attributes.int("axis") == 3)
        let flattened = try function(opset: 11, "Softmax")
        #expect(flattened.operators == ["reshape", "nn.softmax", "reshape"])
        #expect(flattened.call("reshape")?.arguments[1] == .shape([1, 144]))
        #expect(shape(flattened) == [1, 4, 6, 6])
        #expect(try function(opset: 11, input: [2, 5], "Softmax").operators == ["nn.softmax"])
        #expect(try function(opset: 11, input: [2, 5, 1, 1], "Softmax").operators == ["nn.softmax"])
    }

    @Test func poolingGeometry() throws {
        let kernel = attribute("kernel_shape", [3, 3])
        let ceil = try function(
            "AveragePool", ["x"],
            [kernel, attribute("strides", [2, 2]), attribute("ceil_mode", 1), attribute("count_include_pad", 1)])
        #expect(shape(ceil) == [1, 4, 3, 3])
        #expect(ceil.call("nn.avg_pool2d")?.attributes.bool("count_include_pad") == true)
        #expect(shape(try function("MaxPool", ["x"], [kernel, attribute("dilations", [2, 2])])) == [1, 4, 2, 2])
        #expect(shape(try function("GlobalAveragePool")) == [1, 4, 1, 1])
        #expect(try function(input: [1, 4, 9], "GlobalMaxPool").operators == ["nn.adaptive_max_pool1d"])
    }

    @Test func batchNormalizationGivesItsFirstResult() throws {
        let names = ["scale", "bias", "mean", "variance"]
        let constants = names.map { ModelBuilder.floats($0, [4], [1, 2, 3, 4]) }
        let main = try function(
            constants: constants, "BatchNormalization", ["x"] + names, [attribute("epsilon", float: 0.001)])
        #expect(main.operators == ["nn.batch_norm", "item"])
        #expect(main.call("nn.batch_norm")?.attributes.float("epsilon") == Double(Float(0.001)))
        let training = try function(
            constants: constants, "BatchNormalization", ["x"] + names, [attribute("training_mode", 1)])
        #expect(training.operators == ["mean", "variance", "nn.batch_norm", "item"])
    }

    @Test func reshapeCopiesAndInfers() throws {
        let main = try function(constants: [ModelBuilder.ints("s", [0, -1, 12])], "Reshape", ["x", "s"])
        #expect(shape(main) == [1, 12, 12])
        let symbolic = try function(
            input: ["n", 4, 6, 6], constants: [ModelBuilder.ints("s", [0, -1])], "Reshape", ["x", "s"])
        #expect(symbolic.resultType.asTensor?.shape == [.symbol("n"), 144])
        #expect(shape(try function("Flatten", ["x"], [attribute("axis", -2)])) == [4, 36])
    }

    @Test func passThroughNodesLeaveNothing() throws {
        var builder = ModelBuilder()
        builder.input("x", [2])
        builder.node("Identity", ["x"], ["a"])
        builder.node("Dropout", ["a"], ["b"])
        builder.node("Relu", ["b"], ["y"])
        builder.output("y")
        #expect(try builder.function().operators == ["nn.relu"])
    }

    @Test func splitSlicePadAndReduce() throws {
        let split = try function(opset: 18, "Split", ["x"], [attribute("axis", 1), attribute("num_outputs", 1)])
        #expect(split.operators == ["split", "item"])
        let slice = try function(
            constants: [
                ModelBuilder.ints("s", [5, 1]), ModelBuilder.ints("e", [.min + 1, .max]),
                ModelBuilder.ints("a", [-1, 1]),
                ModelBuilder.ints("t", [-2, 2]),
            ], "Slice", ["x", "s", "e", "a", "t"])
        #expect(shape(slice) == [1, 2, 6, 3])
        let pad = try function(
            constants: [ModelBuilder.ints("p", [0, 0, 1, 2, 0, 0, 3, 4])], "Pad", ["x", "p"],
            [attribute("mode", "edge")])
        #expect(pad.call("nn.pad")?.attributes.ints("pad_width") == [0, 0, 0, 0, 1, 3, 2, 4])
        #expect(shape(pad) == [1, 4, 10, 12])
        #expect(shape(try function("ReduceMean", ["x"], [attribute("axes", [2, 3])])) == [1, 4, 1, 1])
        #expect(shape(try function("ReduceSum", ["x"], [attribute("keepdims", 0)])) == [])
    }

    @Test func resizeOfFixedAndSymbolicSizes() throws {
        let scales = ModelBuilder.floats("s", [4], [1, 1, 2, 0.5])
        let fixed = try function(
            constants: [scales], "Resize", ["x", "", "s"], [attribute("mode", "linear")])
        #expect(shape(fixed) == [1, 4, 12, 3])
        let symbolic = try function(input: [1, 4, "h", "w"], constants: [scales], "Resize", ["x", "", "s"])
        #expect(symbolic.resultType.asTensor?.shape?.map(\.description) == ["1", "4", "2*h", "floordiv(w, 2)"])
        let sizes = try function(constants: [ModelBuilder.ints("z", [1, 4, 9, 7])], "Resize", ["x", "", "", "z"])
        #expect(shape(sizes) == [1, 4, 9, 7])
    }
}
