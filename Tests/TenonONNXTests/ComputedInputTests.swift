import TenonIR
import Testing

@testable import TenonONNX

/// Inputs that shape the result (axes, sizes, positions) and that only a run knows.
@Suite struct ComputedInputTests {
    /// A model of one node on x: f32[2,3,4] and vectors of so many int64.
    private func function(
        _ op: String, _ counts: [Int], outputs: Int = 1, opset: Int64 = 18, _ attributes: [ONNXAttributeProto] = []
    ) throws -> Function {
        var model = ModelBuilder(opset: opset)
        model.input("x", [2, 3, 4])
        for (index, count) in counts.enumerated() { model.input("i\(index)", [count], .int64) }
        let results = (0..<outputs).map { "y\($0)" }
        model.node(op, ["x"] + counts.indices.map { "i\($0)" }, results, attributes)
        for result in results { model.output(result) }
        return try model.function()
    }

    private func rank(_ function: Function) -> Int? { function.resultType.asTensor?.rank }

    @Test func ranksComeFromTheNumberOfValues() throws {
        #expect(rank(try function("ReduceSum", [2])) == 3)
        #expect(rank(try function("ReduceSum", [2], [attribute("keepdims", 0)])) == 1)
        #expect(rank(try function("Squeeze", [1])) == 2)
        #expect(rank(try function("Unsqueeze", [2])) == 5)
        #expect(rank(try function("Reshape", [2])) == 2)
        #expect(rank(try function("Expand", [4])) == 4)
        #expect(rank(try function("Tile", [3])) == 3)
        #expect(rank(try function("Pad", [6])) == 3)
        #expect(rank(try function("Slice", [1, 1, 1])) == 3)
    }

    @Test func sizesThatTheInputDoesNotTouchStay() throws {
        var model = ModelBuilder(opset: 18)
        model.input("x", [2, 3, 4])
        model.input("at", [1], .int64)
        model.constant(ModelBuilder.ints("axes", [1]))
        model.node("Slice", ["x", "at", "at", "axes"], ["y"])
        model.output("y")
        let shape = try model.function().resultType.asTensor?.shape
        #expect(shape?[0] == 2 && shape?[2] == 4 && shape?[1].isFixed == false)
    }

    @Test func partsOfASplitHaveTheSizesThatAreGiven() throws {
        guard case .tuple(let parts) = try function("Split", [2], outputs: 2).resultType else {
            Issue.record("no tuple")
            return
        }
        #expect(parts.count == 2 && parts.allSatisfy { $0.asTensor?.shape?.dropFirst() == [3, 4] })
    }

    @Test func anEmptyListIsKnown() throws {
        #expect(try function("ReduceSum", [0]).operators.first == "sum")
        #expect(try function("ReduceSum", [0], [attribute("noop_with_empty_axes", 1)]).call("sum") == nil)
    }

    @Test func aListOfUnknownLengthIsReadByTheRun() throws {
        var model = ModelBuilder(opset: 18)
        model.input("x", [2, 3, 4])
        model.input("axes", ["n"], .int64)
        model.node("ReduceSum", ["x", "axes"], ["y"])
        model.output("y")
        #expect(failure { _ = try model.load() } == nil)
    }

    @Test func listsThatDoNotFitAreErrors() throws {
        for (op, counts) in [("Squeeze", [4]), ("Unsqueeze", [20]), ("Pad", [5]), ("Slice", [1, 2])] {
            #expect(failure { _ = try function(op, counts) } != nil, "\(op)")
        }
    }

    /// Before opset 7 operands broadcast only where a node says so, from an axis on.
    @Test func broadcastingFromAnAxisAddsDimensions() throws {
        var model = ModelBuilder(opset: 6)
        model.input("x", [2, 3, 4])
        model.input("b", [3])
        model.node("Add", ["x", "b"], ["y"], [attribute("broadcast", 1), attribute("axis", 1)])
        model.output("y")
        let function = try model.function()
        #expect(function.call("reshape")?.arguments.last == .shape([3, 1]))
        #expect(function.resultType == .tensor(TensorType(.float32, [2, 3, 4])))
    }

    @Test func withoutBroadcastShapesAreEqual() throws {
        var model = ModelBuilder(opset: 6)
        model.input("x", [2, 3, 4])
        model.input("b", [4])
        model.node("Add", ["x", "b"], ["y"])
        model.output("y")
        #expect(failure { _ = try model.load() }?.status == .invalidShape)
    }
}
