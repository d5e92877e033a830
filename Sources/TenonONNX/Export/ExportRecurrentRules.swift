import TenonIR

/// The ONNX forms of recurrent layers, whose weights lie as ONNX has them.
enum ExportRecurrentRules {
    static let table: [String: ExportRules.Rule] = [
        "nn.lstm": { call in
            try layer(call, "LSTM", states: 2, functions: 3, ["input_forget": .bool(call.isTrue("input_forget"))])
        },
        "nn.gru": { call in
            try layer(
                call, "GRU", states: 1, functions: 2, ["linear_before_reset": .bool(call.isTrue("linear_before_reset"))]
            )
        },
        "nn.rnn": { call in try layer(call, "RNN", states: 1, functions: 1, Attributes()) },
    ]

    private static func layer(
        _ call: ExportCall, _ op: String, states: Int, functions: Int, _ more: Attributes
    ) throws -> GraphExport.Value {
        var attributes = more
        let recurrence = try call.tensor(2).type
        guard let hidden = recurrence.shape?.last?.value else { throw call.unsupported("a state of unknown size") }
        attributes["hidden_size"] = .int(hidden)
        let direction = call.attributes.string("direction") ?? "forward"
        attributes["direction"] = .string(direction)
        if case .strings(var names)? = call.attributes["activations"] {
            if direction == "bidirectional", names.count == functions { names += names }
            let known = [
                "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "affine": "Affine", "leakyrelu": "LeakyRelu",
                "thresholdedrelu": "ThresholdedRelu", "scaledtanh": "ScaledTanh", "hardsigmoid": "HardSigmoid",
                "elu": "Elu",
                "softsign": "Softsign", "softplus": "Softplus",
            ]
            // ONNX lists numbers only for the functions that have some.
            for (name, takers) in [
                ("activation_alpha", ["affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"]),
                ("activation_beta", ["affine", "scaledtanh", "hardsigmoid"]),
            ] {
                guard case .floats(let values)? = call.attributes[name] else { continue }
                let all = values.count < names.count ? values + values : values
                attributes[name] = .floats(zip(names, all).filter { takers.contains($0.0) }.map(\.1))
            }
            attributes["activations"] = .strings(
                try names.map { name in
                    guard let known = known[name] else { throw call.unsupported("activation '\(name)'") }
                    return known
                })
        }
        attributes["clip"] = call.attributes["clip"]
        let count = 4 + states + (states == 2 ? 1 : 0)
        guard call.arguments.count == count || call.arguments.count == count + 1 else {
            throw call.unsupported("\(call.arguments.count) inputs")
        }
        // Without lengths all sequences are as long as the input.
        var lengths = ""
        if call.arguments.count > count {
            let given = try call.tensor(count)
            lengths = given.type.dtype == .int32 ? given.name : call.step("Cast", [given.name], ["to": .dtype(.int32)])
        }
        var inputs = try (0..<4).map { try call.input($0) } + [lengths]
        for index in 4..<count { inputs.append(try call.input(index)) }
        return try call.results(op, inputs, attributes)
    }
}
