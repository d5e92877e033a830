import CKernels
import TenonIR
import Testing

@testable import TenonRuntime

/// Recurrent layers in single precision, which have a way of their own, against double precision.
@Suite struct RecurrentTests {
    static let isThere: Bool = {
        var kernel = tkernel_recurrent()
        (kernel.gates, kernel.inputs, kernel.hidden) = (4, 3, 5)
        return tkernel_recurrent_is_supported(&kernel) != 0
    }()

    struct Case: CustomTestStringConvertible, Sendable {
        var op: String
        var steps = 5
        var batch = 2
        var inputs = 7
        var hidden = 11
        var direction = "forward"
        var activations: [String]?
        var clip: Double?
        var flag: String?

        var gates: Int { op == "nn.lstm" ? 4 : op == "nn.gru" ? 3 : 1 }
        var testDescription: String { "\(op) \(direction) \(steps)×\(batch)×\(inputs)→\(hidden) \(flag ?? "")" }
    }

    static let cases: [Case] =
        ["nn.lstm", "nn.gru", "nn.rnn"].flatMap { op -> [Case] in
            ["forward", "reverse", "bidirectional"].flatMap { direction -> [Case] in
                [
                    Case(op: op, direction: direction),
                    // Whole vectors, several pieces of work, one sample, one step, one unit.
                    Case(op: op, steps: 3, batch: 1, inputs: 64, hidden: 64, direction: direction),
                    Case(op: op, steps: 1, batch: 3, inputs: 1, hidden: 1, direction: direction),
                    Case(op: op, steps: 4, batch: 2, inputs: 3, hidden: 9, direction: direction, clip: 0.3),
                ]
            } + [
                // More steps than are computed ahead.
                Case(op: op, steps: 40, batch: 40, inputs: 5, hidden: 48, direction: "bidirectional"),
                Case(op: op, steps: 0, batch: 2), Case(op: op, steps: 2, batch: 0),
            ]
        } + [
            Case(op: "nn.lstm", flag: "input_forget"), Case(op: "nn.gru", flag: "linear_before_reset"),
            Case(op: "nn.gru", batch: 1, hidden: 48, direction: "bidirectional", flag: "linear_before_reset"),
            Case(op: "nn.lstm", activations: ["relu", "sigmoid", "relu"]),
            Case(op: "nn.gru", activations: ["tanh", "relu"]), Case(op: "nn.rnn", activations: ["relu"]),
        ]

    private func inputs(_ test: Case, _ dtype: DataType) throws -> [Operand] {
        let directions = test.direction == "bidirectional" ? 2 : 1
        let rows = test.gates * test.hidden
        var shapes = [
            [test.steps, test.batch, test.inputs], [directions, rows, test.inputs], [directions, rows, test.hidden],
            [directions, 2 * rows], [directions, test.batch, test.hidden],
        ]
        if test.gates == 4 { shapes += [[directions, test.batch, test.hidden], [directions, 3 * test.hidden]] }
        var state: UInt64 = 7
        return try shapes.map { shape in
            let values = (0..<shape.reduce(1, *)).map { _ -> Double in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                // The same numbers in both precisions; of many units so small that rounding does not grow from step to step.
                return Double((Float(state >> 40) / Float(1 << 24) - 0.5) * (test.hidden > 40 ? 0.25 : 1))
            }
            return .constant(try Constant.from(doubles: values, dtype, shape.map { Int64($0) }))
        }
    }

    /// Weights, biases and peepholes.
    private static let weights: Set<Int> = [1, 2, 3, 6]

    @Test(arguments: cases, [1, 2]) func packedWeightsAgreeWithDouble(test: Case, threads: Int) throws {
        try compare(test, KernelRunner(parallel: .openMP(threads: threads), known: Self.weights))
    }

    @Test(arguments: cases, [1, 2]) func singleAgreesWithDouble(test: Case, threads: Int) throws {
        try compare(test, KernelRunner(parallel: .openMP(threads: threads)))
    }

    private func compare(_ test: Case, _ runner: KernelRunner) throws {
        var attributes: Attributes = ["direction": .string(test.direction)]
        if let names = test.activations { attributes["activations"] = .strings(names) }
        if let clip = test.clip { attributes["clip"] = .float(clip) }
        if let flag = test.flag { attributes[flag] = .bool(true) }
        let single = try runner.run(test.op, try inputs(test, .float32), attributes)
        let double = try KernelRunner().run(test.op, try inputs(test, .float64), attributes)
        #expect(single.count == double.count)
        for (found, expected) in zip(single, double) {
            #expect(found.shape == expected.shape)
            let (a, b) = (try #require(found.doubleElements), try #require(expected.doubleElements))
            #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 2e-5 * max(1, abs($1)) })
        }
    }

    /// Every tail of a block of 16 units, and of the samples that registers take at once.
    @Test(arguments: ["nn.lstm", "nn.gru", "nn.rnn"]) func packedWeightsOfAnySize(op: String) throws {
        for hidden in [1, 2, 15, 16, 17, 31, 33] {
            for batch in [1, 4, 5, 6, 7, 13] {
                for flag in [nil, op == "nn.gru" ? "linear_before_reset" : nil] {
                    let test = Case(op: op, steps: 2, batch: batch, inputs: hidden % 5 + 1, hidden: hidden, flag: flag)
                    try compare(test, KernelRunner(parallel: .openMP(threads: 2), known: Self.weights))
                }
            }
        }
    }

    @Test func manyUnitsOnTwoThreads() throws {
        for op in ["nn.lstm", "nn.gru", "nn.rnn"] {
            let test = Case(op: op, steps: 6, batch: 9, inputs: 70, hidden: 150)
            try compare(test, KernelRunner(parallel: .openMP(threads: 2), known: Self.weights))
        }
    }

    @Test(.enabled(if: RecurrentTests.isThere, "needs AVX-512")) func packedWeightsAreStatedAndReleased() throws {
        let text = """
            fn @main(%x: f32[4,2,3]) {
              dataflow {
                %h = zeros(shape[1,2,5]) {dtype=f32}
                %w = ones(shape[1,20,3]) {dtype=f32}
                %r = ones(shape[1,20,5]) {dtype=f32}
                %b = ones(shape[1,40]) {dtype=f32}
                %p = zeros(shape[1,15]) {dtype=f32}
                %t = nn.lstm(%x, %w, %r, %b, %h, %h, %p) {activations=["sigmoid", "tanh", "tanh"]}
                %y = %t.0
                output %y
              }
              return %y
            }
            """
        let executable = try Executable(
            module: try Module(text: text), backends: [], options: CompileOptions(threads: 1))
        // One block of 16 units: seven rows of biases and peepholes, and four gates' rows of 3 inputs and 5 states.
        #expect(executable.memory.packedWeights == (7 + 4 * (3 + 5)) * 16 * 4)
        // The initial states are read; the weights are not any more.
        #expect(executable.memory.constants == 2 * 5 * 4)
    }

    @Test(arguments: [false, true]) func notANumberSpreads(isPacked: Bool) throws {
        let test = Case(op: "nn.rnn", batch: 1, hidden: 8, activations: ["relu"])
        var operands = try inputs(test, .float32)
        let count = test.steps * test.inputs
        operands[0] = .constant(
            try Constant.from(
                doubles: (0..<count).map { $0 == 0 ? Double.nan : 1 }, .float32,
                [Int64(test.steps), 1, Int64(test.inputs)]))
        let found = try KernelRunner(known: isPacked ? Self.weights : []).run(
            "nn.rnn", operands, ["activations": .strings(["relu"])])
        #expect(try #require(found[0].doubleElements).allSatisfy { $0.isNaN })
    }
}
