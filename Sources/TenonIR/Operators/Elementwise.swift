/// Element-wise operators: one value out per value in.
enum ElementwiseOperators {
    static let schemas: [OperatorSchema] = binary + activations

    static let binary: [OperatorSchema] = [
        arithmetic("add", "a + b with broadcasting.", commutative: true),
        arithmetic("subtract", "a - b with broadcasting."),
        arithmetic("multiply", "a * b with broadcasting.", commutative: true),
        arithmetic("divide", "a / b with broadcasting; integers towards zero."),
    ]

    static let activations: [OperatorSchema] = [
        unary("nn.relu", "max(x, 0)."),
        unary("sigmoid", "1 / (1 + exp(-x))."),
        unary("tanh", "Hyperbolic tangent."),
        unary("nn.gelu", "x * (1 + erf(x / sqrt(2))) / 2."),
        unary("nn.silu", "x * sigmoid(x)."),
    ]

    static func arithmetic(_ name: String, _ summary: String, commutative: Bool = false) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("a"), .init("b")], commutative: commutative) { site in
            try Broadcast.type(site, 0, 1, dtype: try site.sameDType(0, 1))
        }
    }

    static func unary(_ name: String, _ summary: String, attributes: [OperatorSchema.Attribute] = []) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("x")], attributes: attributes) { site in
            .tensor(try site.tensor(0))
        }
    }
}
