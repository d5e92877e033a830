import TenonIR
import Testing

@testable import TenonONNX

/// Shape arithmetic is done while importing, with symbols.
@Suite struct FoldingTests {
    /// x.reshape(first dimension of x, the rest), as exporters write it.
    private func viewModel(_ input: [Any]) -> ModelBuilder {
        var builder = ModelBuilder()
        builder.input("x", input)
        builder.constant(ModelBuilder.ints("zero", [0], dims: []))
        builder.constant(ModelBuilder.ints("minus", [-1]))
        builder.constant(ModelBuilder.ints("axes", [0]))
        builder.node("Shape", ["x"], ["s"])
        builder.node("Gather", ["s", "zero"], ["n"])
        builder.node("Unsqueeze", ["n", "axes"], ["n1"])
        builder.node("Concat", ["n1", "minus"], ["target"], [attribute("axis", 0)])
        builder.node("Reshape", ["x", "target"], ["y"])
        builder.output("y")
        return builder
    }

    @Test func viewOfFixedAndSymbolicBatch() throws {
        let fixed = try viewModel([2, 3, 4]).function()
        #expect(fixed.operators == ["reshape"] && fixed.resultType == .tensor(.float32, [2, 12] as [Int64]))
        let symbolic = try viewModel(["batch", 3, 4]).function()
        #expect(symbolic.operators == ["reshape"])
        #expect(symbolic.resultType.asTensor?.shape == [.symbol("batch"), 12])
    }

    @Test func arithmeticOnSizes() throws {
        var builder = ModelBuilder()
        builder.input("x", ["n", 8])
        builder.constant(ModelBuilder.ints("two", [2], dims: []))
        builder.constant(ModelBuilder.ints("i1", [1], dims: []))
        builder.constant(ModelBuilder.ints("i0", [0]))
        builder.node("Shape", ["x"], ["s"])
        builder.node("Gather", ["s", "i1"], ["c"])
        builder.node("Div", ["c", "two"], ["half"])
        builder.node("Cast", ["half"], ["half32"], [attribute("to", 6)])
        builder.node("Cast", ["half32"], ["half64"], [attribute("to", 7)])
        builder.node("Gather", ["s", "i0"], ["n"])
        builder.node("Mul", ["n", "two"], ["n2"])
        builder.node("Unsqueeze", ["half64", "i0"], ["h1"])
        builder.node("Concat", ["n2", "h1"], ["target"], [attribute("axis", 0)])
        builder.node("Reshape", ["x", "target"], ["y"])
        builder.output("y")
        let main = try builder.function()
        #expect(main.operators == ["reshape"])
        #expect(main.resultType.asTensor?.shape?.map(\.description) == ["2*n", "4"])
    }

    @Test func constantsThatAreOutputsAreComputed() throws {
        func result(_ build: (inout ModelBuilder) -> Void) throws -> Constant? {
            var builder = ModelBuilder()
            builder.input("x", [2, 3])
            build(&builder)
            builder.output("y")
            var found: Constant?
            try builder.function().forEachBinding { binding in
                if case .operand(.constant(let constant)) = binding.expression { found = constant }
            }
            return found
        }
        let range = try result {
            $0.constant(ModelBuilder.ints("a", [10], dims: []))
            $0.constant(ModelBuilder.ints("b", [1], dims: []))
            $0.constant(ModelBuilder.ints("c", [-4], dims: []))
            $0.node("Range", ["a", "b", "c"], ["y"])
        }
        #expect(range?.intElements == [10, 6, 2])
        let slice = try result {
            $0.constant(ModelBuilder.ints("a", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], dims: [3, 4]))
            $0.constant(ModelBuilder.ints("s", [2, -1]))
            $0.constant(ModelBuilder.ints("e", [.min, 0]))
            $0.constant(ModelBuilder.ints("ax", [0, 1]))
            $0.constant(ModelBuilder.ints("st", [-2, -2]))
            $0.node("Slice", ["a", "s", "e", "ax", "st"], ["y"])
        }
        #expect(slice?.shape == [2, 2] && slice?.intElements == [11, 9, 3, 1])
        let transposed = try result {
            $0.constant(ModelBuilder.ints("a", [0, 1, 2, 3, 4, 5], dims: [2, 3]))
            $0.node("Transpose", ["a"], ["y"])
        }
        #expect(transposed?.shape == [3, 2] && transposed?.intElements == [0, 3, 1, 4, 2, 5])
        let gathered = try result {
            $0.constant(ModelBuilder.ints("a", [0, 1, 2, 3, 4, 5], dims: [2, 3]))
            $0.constant(ModelBuilder.ints("i", [-1, 0], dims: [1, 2]))
            $0.node("Gather", ["a", "i"], ["y"], [attribute("axis", 1)])
        }
        #expect(gathered?.shape == [2, 1, 2] && gathered?.intElements == [2, 0, 5, 3])
        let chosen = try result {
            $0.constant(ModelBuilder.ints("a", [1, 5, 3]))
            $0.constant(ModelBuilder.ints("b", [2], dims: []))
            $0.node("Greater", ["a", "b"], ["c"])
            $0.node("Where", ["c", "a", "b"], ["y"])
        }
        #expect(chosen?.intElements == [2, 5, 3])
        let size = try result { $0.node("Size", ["x"], ["y"]) }
        #expect(size?.intElements == [6])
    }

    @Test func arithmeticThatDoesNotFitIsAnErrorOrNotDone() {
        func load(_ op: String, _ a: Int64, _ b: Int64) -> TenonError? {
            var builder = ModelBuilder()
            builder.constant(ModelBuilder.ints("a", [a]))
            builder.constant(ModelBuilder.ints("b", [b]))
            builder.node(op, ["a", "b"], ["y"])
            builder.output("y")
            return failure { _ = try builder.load() }
        }
        // Left to the run, whose integers wrap.
        for (op, a, b) in [
            ("Add", .max, .max), ("Mul", .max, 2), ("Sub", .min, 1), ("Div", .min, -1), ("Div", 1, 0), ("Mod", 1, 0),
            ("Mod", .min, -1),
        ] as [(String, Int64, Int64)] {
            #expect(load(op, a, b) == nil)
        }
        #expect(load("Gather", 5, 3)?.message.contains("index 3 is out of range") == true)
        #expect(load("Unsqueeze", 5, 7)?.status == .invalidArgument)
        #expect(load("Reshape", 5, 7)?.status == .invalidShape)
    }

    @Test func dimensionsCanBeFixedByTheCaller() throws {
        var options = ONNXImportOptions()
        options.dimensions["batch"] = 5
        #expect(try viewModel(["batch", 3, 4]).function(options).resultType == .tensor(.float32, [5, 12] as [Int64]))
        options = ONNXImportOptions()
        options.inputShapes["x"] = [7, 3, 4]
        #expect(try viewModel(["batch", 3, 4]).function(options).resultType == .tensor(.float32, [7, 12] as [Int64]))
        options.inputShapes["x"] = [7, 9, 4]
        #expect(failure { _ = try viewModel(["batch", 3, 4]).load(options) }?.status == .invalidShape)
        options.inputShapes = ["nobody": [1]]
        #expect(failure { _ = try viewModel(["batch", 3, 4]).load(options) }?.status == .notFound)
    }

    @Test func namesOfDimensionsBecomeSymbols() throws {
        var builder = ModelBuilder()
        builder.input("in.0", ["batch size", "?", "?", -1, "batch size"])
        builder.node("Relu", ["in.0"], ["y"])
        builder.output("y")
        let main = try builder.function()
        #expect(
            main.parameterTypes.first?.asTensor?.shape?.map(\.description)
                == ["batch_size", "in_0_1", "in_0_2", "in_0_3", "batch_size"])
        #expect(main.attributes["input_names"] == .strings(["in.0"]))
    }

    @Test func initialisersAmongTheInputsAreConstants() throws {
        var builder = ModelBuilder(opset: 7)
        builder.input("x", [1, 3])
        builder.input("w", [3])
        builder.constant(ModelBuilder.floats("w", [3]))
        builder.node("Add", ["x", "w"], ["y"])
        builder.output("y")
        let main = try builder.function()
        #expect(main.parameters.count == 1 && main.call("add")?.arguments[1].constant != nil)
    }

    @Test func nodesInAnyOrder() throws {
        var builder = ModelBuilder()
        builder.input("x", [3])
        builder.node("Sigmoid", ["b"], ["y"])
        builder.node("Relu", ["x"], ["a"])
        builder.node("Tanh", ["a"], ["b"])
        builder.output("y")
        builder.output("a")
        let main = try builder.function()
        #expect(main.operators == ["nn.relu", "tanh", "sigmoid", "tuple"])
        #expect(main.attributes["output_names"] == .strings(["y", "a"]))
    }

    @Test func symbolicSizesUsedAsDataBecomeTensors() throws {
        var builder = ModelBuilder()
        builder.input("x", ["n", 3])
        builder.constant(ModelBuilder.ints("zero", [0], dims: []))
        builder.node("Shape", ["x"], ["s"])
        builder.node("Gather", ["s", "zero"], ["n"])
        builder.node("Cast", ["n"], ["count"], [attribute("to", 1)])
        builder.node("Div", ["x", "count"], ["y"])
        builder.output("y")
        builder.output("s")
        let main = try builder.function()
        #expect(main.operators == ["shape_to_tensor", "reshape", "astype", "divide", "shape_to_tensor", "tuple"])
        #expect(main.call("shape_to_tensor")?.arguments == [.shape([.symbol("n")])])
        #expect(main.resultType == .tuple([.tensor(.float32, [.symbol("n"), 3]), .tensor(.int64, [2] as [Int64])]))
    }

    @Test func resultsWhoseSizeDependsOnTheData() throws {
        var builder = ModelBuilder()
        builder.input("boxes", [1, 6, 4])
        builder.input("scores", [1, 2, 6])
        builder.constant(ModelBuilder.ints("most", [3]))
        builder.constant(ModelBuilder.floats("overlap", [1], [0.5]))
        builder.node("NonMaxSuppression", ["boxes", "scores", "most", "overlap"], ["kept"])
        builder.node("NonZero", ["scores"], ["places"])
        builder.output("kept")
        builder.output("places")
        let main = try builder.function()
        let call = try #require(main.call("vision.all_class_non_max_suppression"))
        #expect(call.attributes.int("max_output_boxes_per_class") == 3)
        #expect(call.attributes.float("iou_threshold") == 0.5)
        #expect(call.attributes.float("score_threshold") == nil)
    }
}
