import TenonIR
import Testing

@testable import TenonONNX

/// Well-formed protobufs that contradict themselves: the message names node, operator and tensor.
@Suite struct HostileModelTests {
    private func expectFailure(
        _ status: Status, _ parts: [String], _ sourceLocation: SourceLocation = #_sourceLocation,
        build: (inout ModelBuilder) -> Void
    ) {
        var builder = ModelBuilder()
        builder.input("x", [1, 3, 8, 8])
        build(&builder)
        if builder.model.graph.output.isEmpty { builder.output("y") }
        guard let error = failure({ _ = try builder.load() }) else {
            Issue.record("imported", sourceLocation: sourceLocation)
            return
        }
        #expect(error.status == status, sourceLocation: sourceLocation)
        for part in parts {
            #expect(error.message.contains(part), "\(error.message)", sourceLocation: sourceLocation)
        }
        #expect(!error.message.contains("\n"), sourceLocation: sourceLocation)
    }

    @Test func namesThatNothingDefines() {
        expectFailure(.invalidModel, ["Relu", "node_y", "'nowhere'"]) { $0.node("Relu", ["nowhere"], ["y"]) }
        expectFailure(.invalidModel, ["output 'y'"]) { $0.node("Relu", ["x"], ["z"]) }
    }

    @Test func cycles() {
        expectFailure(.invalidModel, ["Add", "depends on its own output"]) {
            $0.node("Add", ["x", "b"], ["a"])
            $0.node("Relu", ["a"], ["b"])
            $0.node("Relu", ["b"], ["y"])
        }
        expectFailure(.invalidModel, ["Add", "depends on its own output"]) { $0.node("Add", ["x", "y"], ["y"]) }
    }

    @Test func valuesDefinedTwice() {
        expectFailure(.invalidModel, ["Relu", "'y'", "second time"]) {
            $0.node("Relu", ["x"], ["y"])
            $0.node("Relu", ["x"], ["y"])
        }
        expectFailure(.invalidModel, ["'x'", "second time"]) { $0.node("Relu", ["x"], ["x"]) }
        expectFailure(.invalidModel, ["'w'", "twice"]) {
            $0.constant(ModelBuilder.floats("w", [2]))
            $0.constant(ModelBuilder.floats("w", [2]))
            $0.node("Relu", ["x"], ["y"])
        }
        expectFailure(.invalidModel, ["'x'", "twice"]) {
            $0.input("x", [1])
            $0.node("Relu", ["x"], ["y"])
        }
    }

    @Test func tensorsWhoseDataDoNotFit() {
        func tensor(_ change: (inout ONNXTensorProto) -> Void) -> (inout ModelBuilder) -> Void {
            var tensor = ModelBuilder.floats("w", [2, 2])
            change(&tensor)
            return { builder in
                builder.constant(tensor)
                builder.node("Add", ["x", "w"], ["y"])
            }
        }
        expectFailure(.invalidModel, ["'w'", "3 values", "needs 4"], build: tensor { $0.floatData = [1, 2, 3] })
        expectFailure(.invalidModel, ["'w'", "0 values"], build: tensor { $0.floatData = [] })
        expectFailure(
            .invalidModel, ["'w'", "15 bytes", "needs 16"],
            build: tensor {
                $0.floatData = []
                $0.rawData = .init(repeating: 0, count: 15)
            })
        expectFailure(
            .invalidModel, ["'w'", "4000 bytes", "needs 16"],
            build: tensor {
                $0.floatData = []
                $0.rawData = .init(repeating: 0, count: 4000)
            })
        expectFailure(
            .invalidModel, ["'w'", "more than one field"],
            build: tensor { $0.rawData = .init(repeating: 0, count: 16) })
        expectFailure(.invalidModel, ["'w'", "-2"], build: tensor { $0.dims = [-2, -2] })
        expectFailure(.invalidModel, ["'w'", "product"], build: tensor { $0.dims = [1 << 40, 1 << 40] })
        expectFailure(.limitExceeded, ["'w'", "elements"], build: tensor { $0.dims = [1 << 40] })
        expectFailure(
            .limitExceeded, ["'w'", "dimensions"], build: tensor { $0.dims = [Int64](repeating: 1, count: 17) })
        expectFailure(.unsupported, ["'w'", "COMPLEX64"], build: tensor { $0.dataType = 14 })
        expectFailure(.unsupported, ["'w'", "number 999"], build: tensor { $0.dataType = 999 })
        expectFailure(
            .invalidModel, ["'w'", "300", "u8"],
            build: tensor {
                $0.dataType = 2
                $0.floatData = []
                $0.int32Data = [1, 2, 300, 4]
            })
    }

    @Test func axesAndShapesOutOfRange() {
        expectFailure(.invalidArgument, ["Softmax", "node_y", "axis 4", "rank 4"]) {
            $0.node("Softmax", ["x"], ["y"], [attribute("axis", 4)])
        }
        expectFailure(.invalidArgument, ["Flatten", "axis -5"]) {
            $0.node("Flatten", ["x"], ["y"], [attribute("axis", -5)])
        }
        expectFailure(.invalidArgument, ["Concat", "axis"]) {
            $0.node("Concat", ["x", "x"], ["y"], [attribute("axis", Int64.min)])
        }
        expectFailure(.invalidArgument, ["Transpose", "axes"]) {
            $0.node("Transpose", ["x"], ["y"], [attribute("perm", [0, 1, 2, 9])])
        }
        expectFailure(.invalidShape, ["Reshape", "shape"]) {
            $0.constant(ModelBuilder.ints("s", [7, -1]))
            $0.node("Reshape", ["x", "s"], ["y"])
        }
        expectFailure(.invalidShape, ["Reshape"]) {
            $0.constant(ModelBuilder.ints("s", [.max, .max, 2]))
            $0.node("Reshape", ["x", "s"], ["y"])
        }
        expectFailure(.invalidShape, ["Reshape", "copies dimension 4"]) {
            $0.constant(ModelBuilder.ints("s", [0, 0, 0, 0, 0]))
            $0.node("Reshape", ["x", "s"], ["y"])
        }
    }

    @Test func contradictoryConvolutions() {
        func conv(_ weight: [Int64], _ attributes: [ONNXAttributeProto], bias: Int64? = nil) -> (inout ModelBuilder) ->
            Void
        {
            { builder in
                builder.constant(ModelBuilder.floats("w", weight))
                if let bias { builder.constant(ModelBuilder.floats("b", [bias])) }
                builder.node("Conv", ["x", "w"] + (bias == nil ? [] : ["b"]), ["y"], attributes)
            }
        }
        expectFailure(.invalidShape, ["Conv", "node_y", "4 dimensions", "3"], build: conv([4, 3, 3], []))
        expectFailure(.invalidShape, ["Conv", "channels"], build: conv([4, 2, 3, 3], []))
        expectFailure(.invalidShape, ["Conv", "kernel"], build: conv([4, 3, 9, 9], []))
        expectFailure(.invalidShape, ["Conv", "bias"], build: conv([4, 3, 3, 3], [], bias: 5))
        expectFailure(
            .invalidShape, ["kernel_shape"], build: conv([4, 3, 3, 3], [attribute("kernel_shape", [5, 5])]))
        expectFailure(
            .invalidArgument, ["strides"], build: conv([4, 3, 3, 3], [attribute("strides", [0, 1])]))
        expectFailure(
            .invalidArgument, ["pads"], build: conv([4, 3, 3, 3], [attribute("pads", [0, 0, 0])]))
        expectFailure(
            .invalidArgument, ["pads"], build: conv([4, 3, 3, 3], [attribute("pads", [-1, 0, 0, 0])]))
        expectFailure(
            .invalidArgument, ["dilations"], build: conv([4, 3, 3, 3], [attribute("dilations", [.max, .max])]))
        expectFailure(.invalidArgument, ["groups"], build: conv([4, 3, 3, 3], [attribute("group", 0)]))
        expectFailure(.invalidShape, ["groups"], build: conv([4, 3, 3, 3], [attribute("group", .max)]))
        expectFailure(.invalidArgument, ["auto_pad"], build: conv([4, 3, 3, 3], [attribute("auto_pad", "MAYBE")]))
    }

    @Test func attributesOfTheWrongKind() {
        expectFailure(.invalidArgument, ["Softmax", "'axis'", "int"]) {
            $0.node("Softmax", ["x"], ["y"], [attribute("axis", "one")])
        }
        expectFailure(.invalidModel, ["Softmax", "'axis'", "twice"]) {
            $0.node("Softmax", ["x"], ["y"], [attribute("axis", 1), attribute("axis", 1)])
        }
        expectFailure(.unsupported, ["Relu", "node_y", "'slope'"]) {
            $0.node("Relu", ["x"], ["y"], [attribute("slope", 1)])
        }
    }

    @Test func wrongNumbersOfInputsAndOutputs() {
        expectFailure(.invalidGraph, ["Add", "expected 2 inputs, found 1"]) { $0.node("Add", ["x"], ["y"]) }
        expectFailure(.invalidGraph, ["Add", "input 1 is missing"]) { $0.node("Add", ["x", ""], ["y"]) }
        expectFailure(.unsupported, ["Relu", "output 1", "'z'"]) { $0.node("Relu", ["x"], ["y", "z"]) }
    }

    @Test func everythingUnsupportedInOneError() throws {
        var builder = ModelBuilder(opset: 18)
        builder.input("x", [1, 4])
        builder.node("Frobnicate", ["x"], ["a"])
        builder.node("Relu", ["a"], ["b"])
        builder.node("Sharpen", ["b"], ["c"], domain: "com.example")
        builder.node("Frobnicate", ["c"], ["d"])
        builder.node("Sigmoid", ["x"], ["e", "f"])
        builder.output("d")
        let error = try #require(failure { _ = try builder.load() })
        #expect(error.status == .unsupported)
        #expect(error.operatorName == "Frobnicate" && error.node == "node_a")
        for part in [
            "Frobnicate (opset 18, node 'node_a', 'node_d')", "com.example.Sharpen (no opset, node 'node_c')",
            "Sigmoid (opset 18, node 'node_e'): output 1 ('f')",
        ] {
            #expect(error.message.contains(part), "\(error.message)")
        }
        #expect(!error.message.contains("Relu"))
    }

    @Test func modelsWithoutWhatTheyNeed() {
        var model = ONNXModelProto()
        model.irVersion = 8
        #expect(failure { _ = try importBytes(try model.serializedBytes()) }?.message.contains("no graph") == true)
        #expect(failure { _ = try importBytes([]) }?.message.contains("empty") == true)
        let noOutput = ModelBuilder()
        #expect(failure { _ = try noOutput.load() }?.message.contains("no output") == true)
        var badVersion = ModelBuilder(opset: -3)
        badVersion.output("y")
        #expect(failure { _ = try badVersion.load() }?.message.contains("version -3") == true)
    }

    @Test func controlCharactersDoNotReachMessages() throws {
        var builder = ModelBuilder()
        builder.input("x", [1])
        builder.node("Bad\nOp\u{1b}[31m", ["x"], ["y\n"])
        builder.output("y\n")
        let error = try #require(failure { _ = try builder.load() })
        #expect(!error.message.unicodeScalars.contains { $0.value < 0x20 })
    }
}
