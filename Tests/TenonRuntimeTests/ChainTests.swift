import TenonIR
import Testing

@testable import TenonRuntime

/// A product and what follows it as one kernel give what the operators give one after another.
@Suite struct ChainTests {
    private static func numbers(_ shape: [Int], _ seed: Int) throws -> Constant {
        var state = UInt64(seed &* 7919 &+ 13)
        let count = shape.reduce(1, *)
        let elements = (0..<count).map { _ -> Float in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int64(state >> 40) % 1000) / 500 - 1
        }
        return try Constant.floats(shape.map { Int64($0) }, elements)
    }

    private static func spec(_ constant: Constant) -> TensorSpec {
        TensorSpec(constant.dtype, constant.shape.map { Int($0) })
    }

    private struct Step {
        var op: String
        var operand: [Int]?
        var isLeft = true
        var attributes = Attributes()
        var arguments: [Operand] = []
    }

    private static func run(_ call: KernelCall, _ inputs: [Constant]) throws -> Constant {
        try KernelRun.evaluate(Kernels.prepare(call), inputs, call.outputs, environment: RunEnvironment())[0]
    }

    private func check(_ op: String, _ left: [Int], _ right: [Int], _ output: [Int], _ steps: [Step]) throws {
        let (a, b) = (try Self.numbers(left, 1), try Self.numbers(right, 2))
        let result = TensorSpec(.float32, output)
        let id = try Operators.require(op)
        for isKnown in [true, false] {
            let anchor = KernelCall(
                op: id, inputs: [Self.spec(a), Self.spec(b)], constants: isKnown ? [nil, b] : [nil, nil],
                outputs: [result],
                attributes: Attributes())
            var expected = try Self.run(anchor, [a, b])
            var chain: [ChainStep] = []
            var operands: [Constant] = []
            for (index, step) in steps.enumerated() {
                let op = try Operators.require(step.op)
                var inputs = [expected]
                if let shape = step.operand {
                    let other = try Self.numbers(shape, index + 3)
                    inputs.insert(other, at: step.isLeft ? 1 : 0)
                    chain.append(ChainStep(op: op, operand: operands.count, isLeft: step.isLeft))
                    operands.append(other)
                } else {
                    chain.append(ChainStep(op: op, attributes: step.attributes, arguments: step.arguments))
                }
                let call = KernelCall(
                    op: op, inputs: inputs.map { Self.spec($0) }, outputs: [result], attributes: step.attributes,
                    arguments: step.arguments)
                expected = try Self.run(call, inputs)
            }
            let whole = ChainCall(
                anchor: anchor, steps: chain, operands: operands.map { Self.spec($0) }, output: result)
            let kernel = try #require(try Kernels.prepareChain(whole))
            let found = try KernelRun.evaluate(
                kernel, [a, b] + operands, [result], environment: RunEnvironment())[0]
            for index in 0..<found.count {
                let (x, y) = (try #require(found.double(at: index)), try #require(expected.double(at: index)))
                #expect(abs(x - y) <= 1e-5 * max(1, abs(y)), "\(op) \(left) \(index)")
            }
        }
    }

    @Test func stepsFollowProducts() throws {
        try check(
            "nn.dense", [5, 7, 33], [40, 33], [5, 7, 40], [Step(op: "add", operand: [40]), Step(op: "nn.gelu")])
        try check("matmul", [13, 20], [20, 9], [13, 9], [Step(op: "multiply", operand: []), Step(op: "nn.silu")])
        try check(
            "nn.dense", [2, 3, 8], [17, 8], [2, 3, 17],
            [
                Step(op: "add", operand: [17]), Step(op: "subtract", operand: [2, 3, 17], isLeft: false),
                Step(op: "tanh"), Step(op: "divide", operand: [2, 1, 1], isLeft: false),
            ])
        try check(
            "matmul", [2, 3, 4, 5], [2, 3, 5, 6], [2, 3, 4, 6],
            [Step(op: "add", operand: [3, 1, 6]), Step(op: "nn.relu")])
        try check("matmul", [2, 3, 4, 5], [5], [2, 3, 4], [Step(op: "add", operand: [3, 1]), Step(op: "sigmoid")])
        try check(
            "nn.dense", [6, 5], [4, 5], [6, 4],
            [
                Step(op: "clip", arguments: [.tuple([]), .float(-0.5), .float(0.5)]),
                Step(op: "maximum", operand: [6, 1]),
            ])
    }

    @Test func otherAnchorsAreFollowedInOnePass() throws {
        let x = try Self.numbers([4, 30], 1)
        let spec = Self.spec(x)
        let softmax = KernelCall(
            op: try Operators.require("nn.softmax"), inputs: [spec], outputs: [spec], attributes: ["axis": -1])
        let more = try Self.numbers([4, 30], 2)
        let call = ChainCall(
            anchor: softmax, steps: [ChainStep(op: try Operators.require("add"), operand: 0)], operands: [spec],
            output: spec)
        let kernel = try #require(try Kernels.prepareChain(call))
        let found = try KernelRun.evaluate(kernel, [x, more], [spec], environment: RunEnvironment())[0]
        let plain = try Self.run(softmax, [x])
        for index in 0..<found.count {
            #expect(abs(found.double(at: index)! - plain.double(at: index)! - more.double(at: index)!) < 1e-6)
        }
    }

    @Test func whatNoStepCanSayIsRefused() throws {
        let spec = TensorSpec(.float32, [2, 3, 4, 5])
        let anchor = KernelCall(
            op: try Operators.require("nn.softmax"), inputs: [spec], outputs: [spec], attributes: ["axis": -1])
        func chain(_ step: ChainStep, _ operands: [TensorSpec]) throws -> PreparedKernel? {
            try Kernels.prepareChain(ChainCall(anchor: anchor, steps: [step], operands: operands, output: spec))
        }
        let add = try Operators.require("add")
        // Dimensions that count, repeat and count again; an operand that makes the result larger; one of another type.
        #expect(try chain(ChainStep(op: add, operand: 0), [TensorSpec(.float32, [2, 1, 4, 1])]) == nil)
        #expect(try chain(ChainStep(op: add, operand: 0), [TensorSpec(.float32, [7, 2, 3, 4, 5])]) == nil)
        #expect(try chain(ChainStep(op: add, operand: 0), [TensorSpec(.int32, [5])]) == nil)
        #expect(try chain(ChainStep(op: add, operand: 1), [TensorSpec(.float32, [5])]) == nil)
        #expect(try chain(ChainStep(op: try Operators.require("sin")), []) == nil)
        #expect(try chain(ChainStep(op: add, operand: 0), [TensorSpec(.float32, [3, 1, 5])]) != nil)
    }

    @Test func weightsArePackedOnce() throws {
        let weight = try Self.numbers([40, 33], 1)
        func kernel(_ rows: Int) throws -> PreparedKernel {
            try Kernels.prepare(
                KernelCall(
                    op: try Operators.require("nn.dense"),
                    inputs: [TensorSpec(.float32, [rows, 33]), TensorSpec(.float32, [40, 33])],
                    constants: [nil, weight],
                    outputs: [TensorSpec(.float32, [rows, 40])], attributes: Attributes()))
        }
        let (one, many) = (try kernel(1), try kernel(300))
        guard let first = one.sharedWeights.first else { return }  // A machine without the kernels.
        #expect(many.sharedWeights.first === first)
        #expect(one.absorbedInputs == [1])
    }
}
