import Glibc
import TenonIR

/// LSTM, GRU and plain recurrent layers, step by step; each step's units are computed in parallel. Single precision has
/// ways of its own: `PackedRecurrence` where weights are known, `FloatRecurrence` otherwise.
enum RecurrentKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("nn.lstm", { try prepare($0, gates: 4) }), ("nn.gru", { try prepare($0, gates: 3) }),
        ("nn.rnn", { try prepare($0, gates: 1) }),
    ]

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
        let inputs = gates == 4 ? 7 : 5
        let hasLengths = call.inputs.count == inputs + 1
        try call.require(inputs: hasLengths ? inputs + 1 : inputs, outputs: 1 + states)
        for index in 0..<3 { try call.requireRank(index, 3) }
        let (x, r) = (call.inputs[0].shape, call.inputs[2].shape)
        let (directions, hidden) = (r[0], r[2])
        let names: [String] = if case .strings(let list)? = call.attributes["activations"] { list } else { [] }
        let perDirection = gates == 4 ? 3 : gates == 3 ? 2 : 1
        guard names.count == perDirection || names.count == perDirection * directions, (1...2).contains(directions)
        else {
            throw call.error(.invalidArgument, "\(names.count) activations for \(directions) directions")
        }
        func number(_ name: String, _ place: Int) -> Double {
            guard case .floats(let values)? = call.attributes[name], values.indices.contains(place) else { return 0 }
            return values[place]
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
        if hasLengths {
            try call.requireShape(inputs, [x[1]])
            guard call.inputs[inputs].dtype.isInteger else { throw call.unsupported(call.inputs[inputs].dtype) }
        }
        for spec in call.inputs.prefix(inputs) + call.outputs where spec.dtype != call.inputs[0].dtype {
            throw call.unsupported(spec.dtype)
        }
        let backwards = call.attributes.string("direction") == "reverse"
        let layer = Layer(
            gates: gates, steps: x[0], batch: x[1], inputs: x[2], hidden: hidden,
            reverse: directions == 2 ? [false, true] : [backwards],
            functions: (0..<directions).map { direction in
                (0..<perDirection).map { index in
                    let place = (direction * perDirection + index) % names.count
                    return Activation(names[place], number("activation_alpha", place), number("activation_beta", place))
                }
            },
            clip: call.attributes.float("clip"), linearBeforeReset: call.bool("linear_before_reset"),
            inputForget: call.bool("input_forget"))
        let scratch = try size.multiply(x[1], hidden, gates + 1, MemoryLayout<Double>.stride)
        let general = Visitor(
            layer: layer, scratchBytes: scratch, name: call.op.name,
            lengths: hasLengths ? (inputs, call.inputs[inputs].dtype) : nil)
        guard call.inputs[0].dtype == .float32 else { return try call.dispatchReal(call.inputs[0].dtype, general) }
        if !hasLengths { return try single(layer, call, size) }
        // Often all samples are as long as they can be.
        let (fast, slow) = (try single(layer, call, size), try call.dispatchReal(.float32, general))
        let (dtype, steps, batch) = (call.inputs[inputs].dtype, layer.steps, layer.batch)
        var both = PreparedKernel(scratchBytes: max(fast.scratchBytes, slow.scratchBytes)) { arguments in
            let lengths = IndexList(base: arguments.inputs[inputs], dtype: dtype)
            let isWhole = (0..<batch).allSatisfy { lengths[$0] == steps }
            try isWhole ? fast.run(arguments) : slow.run(arguments)
        }
        both.packedBytes = fast.packedBytes
        return both
    }

    /// Single precision, whole sequences.
    private static func single(_ layer: Layer, _ call: KernelCall, _ size: CheckedSize) throws -> PreparedKernel {
        if let packed = try PackedRecurrence.prepare(layer, call) { return packed }
        return PreparedKernel(scratchBytes: try FloatRecurrence.scratchBytes(layer, size)) { arguments in
            for direction in layer.reverse.indices {
                FloatRecurrence(layer, direction, arguments).run(arguments.parallel)
            }
        }
    }

    private struct Visitor: RealVisitor {
        let layer: Layer
        let scratchBytes: Int
        let name: String
        /// The input that says how long each sample is.
        let lengths: (index: Int, dtype: DataType)?

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
            let (layer, name, lengths) = (layer, name, lengths)
            return PreparedKernel(scratchBytes: scratchBytes) { arguments in
                let list = lengths.map { IndexList(base: arguments.inputs[$0.index], dtype: $0.dtype) }
                for sample in 0..<layer.batch {
                    guard let length = list?[sample], length < 0 || length > layer.steps else { continue }
                    throw TenonError(
                        .invalidArgument, "\(name): sequence_lens expects 0 to \(layer.steps), found \(length)",
                        operatorName: name)
                }
                for direction in layer.reverse.indices {
                    let run = RecurrentRun<S>(layer, direction, arguments, list)
                    for step in 0..<layer.steps { run.step(step, arguments.parallel) }
                }
            }
        }
    }
}
