/// Recurrent layers over sequences [steps, batch, inputs]. Gates stand in ONNX's order: input, output, forget, cell for
/// LSTM; update, reset, hidden for GRU. With sequence_lens each sample ends after as many steps as it says: later steps are 0,
/// the last states are those of its last step, and backwards it begins there. The results are a tuple: every step [steps, directions, batch, hidden], then the
/// last hidden (and cell) state [directions, batch, hidden].
enum RecurrentOperators {
    static let schemas: [OperatorSchema] = [
        OperatorSchema(
            "nn.lstm",
            """
            i, o, f = f1(x W' + h R' + b + p * c) per gate, c = f * c + i * f2(…), h = o * f3(c) step by step; b lists the \
            biases of W, then of R; peephole lists i, o, f.
            """,
            inputs: [
                .init("x"), .init("weight"), .init("recurrence"), .init("bias"), .init("initial_h"), .init("initial_c"),
                .init("peephole"), .init("sequence_lens", optional: true),
            ], attributes: attributes(3) + [.defaulted("input_forget", false)],
            infer: { try layer($0, gates: 4, states: 2) }),
        OperatorSchema(
            "nn.gru",
            """
            z, r = f1(x W' + h R' + b), n = f2(x W' + (r * h) R' + b), h = (1 - z) * n + z * h step by step; with \
            linear_before_reset r multiplies h R' + b instead of h.
            """,
            inputs: recurrent,
            attributes: attributes(2) + [.defaulted("linear_before_reset", false)],
            infer: { try layer($0, gates: 3, states: 1) }),
        OperatorSchema(
            "nn.rnn", "h = f(x W' + h R' + b) step by step.",
            inputs: recurrent,
            attributes: attributes(1), infer: { try layer($0, gates: 1, states: 1) }),
    ]

    private static let recurrent: [OperatorSchema.Input] = [
        .init("x"), .init("weight"), .init("recurrence"), .init("bias"), .init("initial_h"),
        .init("sequence_lens", optional: true),
    ]

    /// Functions per direction: f1, f2, f3. Some have one or two numbers, alpha and beta.
    static let activations = [
        "sigmoid", "tanh", "relu", "affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu",
        "softsign",
        "softplus",
    ]

    private static func attributes(_ functions: Int) -> [OperatorSchema.Attribute] {
        [
            .defaulted("direction", "forward", allowed: ["forward", "reverse", "bidirectional"]),
            .defaulted(
                "activations",
                .strings(Array((functions == 1 ? ["tanh"] : ["sigmoid", "tanh", "tanh"]).prefix(functions)))),
            .optional("activation_alpha", .floats), .optional("activation_beta", .floats), .optional("clip", .float),
        ]
    }

    private static func layer(_ site: CallSite, gates: Int64, states: Int) throws -> ValueType {
        let x = try site.tensor(0, rank: 3)
        let (weight, recurrence) = (try site.tensor(1, rank: 3), try site.tensor(2, rank: 3))
        var dtype = x.dtype
        let lengths = 4 + states + (gates == 4 ? 1 : 0)
        for index in 1..<min(site.count, lengths) { dtype = try site.sameDType(0, index) ?? dtype }
        if site.has(lengths) {
            try ComparisonOperators.require(site, lengths, "an integer tensor") { $0.isInteger }
            if let count = try site.tensor(lengths, rank: 1).shape?[0].value, let batch = x.shape?[1].value,
                count != batch
            {
                throw site.inputError(lengths, expects: "\(batch) numbers, one per sample")
            }
        }
        let directions: Int64 = site.attributes.string("direction") == "bidirectional" ? 2 : 1
        if case .strings(let names)? = site.attributes["activations"] {
            let count = (gates == 4 ? 3 : gates == 3 ? 2 : 1) * Int(directions)
            guard names.count == count || names.count * Int(directions) == count, names.allSatisfy(activations.contains)
            else {
                throw site.attributeError("activations", expects: "\(count) of \(activations.joined(separator: ", "))")
            }
            for name in ["activation_alpha", "activation_beta"] {
                if case .floats(let values)? = site.attributes[name], values.count != names.count {
                    throw site.attributeError(name, expects: "a number for each of the \(names.count) activations")
                }
            }
        }
        guard let hidden = recurrence.shape?[2].value, hidden > 0, hidden <= Int64(Int32.max) else {
            if recurrence.shape != nil { throw site.inputError(2, expects: "a known hidden size above 0") }
            let state = ValueType.tensor(TensorType(dtype: dtype, rank: 3))
            return .tuple([.tensor(TensorType(dtype: dtype, rank: 4))] + [ValueType](repeating: state, count: states))
        }
        func check(_ index: Int, _ expected: [Dim]) throws {
            guard let shape = try site.tensor(index, rank: expected.count).shape else { return }
            guard zip(shape, expected).allSatisfy({ $0 == $1 || !$0.isFixed || !$1.isFixed }) else {
                throw site.inputError(index, expects: "shape \(TensorType(dtype, expected))")
            }
        }
        let inputs = weight.shape?[2] ?? .symbol("inputs")
        let (steps, batch) = (x.shape?[0], x.shape?[1])
        try check(0, [steps ?? 1, batch ?? 1, inputs])
        try check(1, [.fixed(directions), .fixed(gates * hidden), inputs])
        try check(2, [.fixed(directions), .fixed(gates * hidden), .fixed(hidden)])
        try check(3, [.fixed(directions), .fixed(2 * gates * hidden)])
        guard let steps, let batch else {
            let state = ValueType.tensor(TensorType(dtype: dtype, rank: 3))
            return .tuple([.tensor(TensorType(dtype: dtype, rank: 4))] + [ValueType](repeating: state, count: states))
        }
        let state: [Dim] = [.fixed(directions), batch, .fixed(hidden)]
        for index in 4..<(4 + states) { try check(index, state) }
        if gates == 4 { try check(6, [.fixed(directions), .fixed(3 * hidden)]) }
        return .tuple(
            [.tensor(dtype, [steps] + state)] + [ValueType](repeating: .tensor(dtype, state), count: states))
    }
}
