import Glibc
import TenonIR

/// LSTM, GRU and plain recurrent layers, step by step; each step's units are computed in parallel. Single precision has
/// ways of its own: `PackedRecurrence` where weights are known, `FloatRecurrence` otherwise.
enum RecurrentKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("nn.lstm", { try prepare($0, gates: 4) }), ("nn.gru", { try prepare($0, gates: 3) }),
        ("nn.rnn", { try prepare($0, gates: 1) }),
    ]

    enum Activation: Sendable {
        case sigmoid, tanh, relu

        init(_ name: String) { self = name == "sigmoid" ? .sigmoid : name == "relu" ? .relu : .tanh }

        @inline(__always) func callAsFunction<T: RealNumber>(_ x: T) -> T {
            switch self {
            case .sigmoid: T(1 / (1 + Glibc.exp(-x.double)))
            case .tanh: T(Glibc.tanh(x.double))
            case .relu: x > 0 ? x : (x.isNotANumber ? x : 0)
            }
        }
    }

    struct Layer: Sendable {
        var gates: Int
        var steps: Int
        var batch: Int
        var inputs: Int
        var hidden: Int
        /// Whether each direction runs backwards.
        var reverse: [Bool]
        /// f1, f2 and f3 of each direction.
        var functions: [[Activation]]
        var clip: Double?
        var linearBeforeReset: Bool
        var inputForget: Bool
    }

    private static func prepare(_ call: KernelCall, gates: Int) throws -> PreparedKernel {
        let states = gates == 4 ? 2 : 1
        try call.require(inputs: gates == 4 ? 7 : 5, outputs: 1 + states)
        for index in 0..<3 { try call.requireRank(index, 3) }
        let (x, r) = (call.inputs[0].shape, call.inputs[2].shape)
        let (directions, hidden) = (r[0], r[2])
        let names: [String] = if case .strings(let list)? = call.attributes["activations"] { list } else { [] }
        let perDirection = gates == 4 ? 3 : gates == 3 ? 2 : 1
        guard names.count == perDirection || names.count == perDirection * directions, (1...2).contains(directions)
        else {
            throw call.error(.invalidArgument, "\(names.count) activations for \(directions) directions")
        }
        let size = CheckedSize(call: call)
        try call.requireShape(1, [directions, try size.multiply(gates, hidden), x[2]])
        try call.requireShape(2, [directions, gates * hidden, hidden])
        try call.requireShape(3, [directions, try size.multiply(2, gates, hidden)])
        let state = [directions, x[1], hidden]
        for index in 4..<(4 + states) { try call.requireShape(index, state) }
        if gates == 4 { try call.requireShape(6, [directions, 3 * hidden]) }
        try call.requireOutput(0, [x[0]] + state)
        for index in 1...states { try call.requireOutput(index, state) }
        for spec in call.inputs + call.outputs where spec.dtype != call.inputs[0].dtype {
            throw call.unsupported(spec.dtype)
        }
        let backwards = call.attributes.string("direction") == "reverse"
        let layer = Layer(
            gates: gates, steps: x[0], batch: x[1], inputs: x[2], hidden: hidden,
            reverse: directions == 2 ? [false, true] : [backwards],
            functions: (0..<directions).map { direction in
                (0..<perDirection).map { Activation(names[(direction * perDirection + $0) % names.count]) }
            },
            clip: call.attributes.float("clip"), linearBeforeReset: call.bool("linear_before_reset"),
            inputForget: call.bool("input_forget"))
        if call.inputs[0].dtype == .float32 {
            if let packed = try PackedRecurrence.prepare(layer, call) { return packed }
            return PreparedKernel(scratchBytes: try FloatRecurrence.scratchBytes(layer, size)) { arguments in
                for direction in layer.reverse.indices {
                    FloatRecurrence(layer, direction, arguments).run(arguments.parallel)
                }
            }
        }
        let scratch = try size.multiply(x[1], hidden, gates + 1, MemoryLayout<Double>.stride)
        return try call.dispatchReal(call.inputs[0].dtype, Visitor(layer: layer, scratchBytes: scratch))
    }

    private struct Visitor: RealVisitor {
        let layer: Layer
        let scratchBytes: Int

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let layer = layer
            return PreparedKernel(scratchBytes: scratchBytes) { arguments in
                for direction in layer.reverse.indices {
                    let run = RecurrentRun<S>(layer, direction, arguments)
                    for step in 0..<layer.steps { run.step(step, arguments.parallel) }
                }
            }
        }
    }
}
