/// Element-wise operators: one value out per value in.
enum ElementwiseOperators {
    static let schemas: [OperatorSchema] = binary + functions + activations

    static let binary: [OperatorSchema] = [
        arithmetic("add", "a + b with broadcasting.", commutative: true),
        arithmetic("subtract", "a - b with broadcasting."),
        arithmetic("multiply", "a * b with broadcasting.", commutative: true),
        arithmetic("divide", "a / b with broadcasting; integers towards zero."),
        OperatorSchema(
            "power", "a to the power b with broadcasting, in the element type of a.", inputs: [.init("a"), .init("b")]
        ) { site in try Broadcast.type(site, 0, 1, dtype: try site.tensor(0).dtype) },
        arithmetic("floor_divide", "The largest integer not above a / b, with broadcasting."),
        arithmetic("mod", "a - b * trunc(a / b) with broadcasting: the sign of a, as C's fmod."),
        arithmetic("floor_mod", "a - b * floor(a / b) with broadcasting: the sign of b, as Python's %."),
        arithmetic("atan2", "Angle of the point (b, a) in radians, with broadcasting."),
        arithmetic("minimum", "The smaller of a and b with broadcasting; NaN if either is NaN.", commutative: true),
        arithmetic("maximum", "The larger of a and b with broadcasting; NaN if either is NaN.", commutative: true),
    ]

    static let functions: [OperatorSchema] = [
        unary("abs", "|x|."), unary("negative", "-x."), unary("exp", "e to the power x."),
        unary("log", "Natural logarithm."), unary("sqrt", "Square root."), unary("rsqrt", "1 / sqrt(x)."),
        unary("erf", "Gauss error function."), unary("floor", "Largest integer not above x."),
        unary("ceil", "Smallest integer not below x."), unary("round", "Nearest integer, halves to even."),
        unary("sign", "-1, 0 or 1; NaN stays."), unary("sin", "Sine of radians."), unary("cos", "Cosine of radians."),
        unary("tan", "Tangent of radians."), unary("asin", "Inverse sine."), unary("acos", "Inverse cosine."),
        unary("atan", "Inverse tangent."), unary("sinh", "Hyperbolic sine."), unary("cosh", "Hyperbolic cosine."),
        unary("asinh", "Inverse hyperbolic sine."), unary("acosh", "Inverse hyperbolic cosine."),
        unary("atanh", "Inverse hyperbolic tangent."), unary("trunc", "Integer part, towards zero."),
        unary("square", "x * x."), unary("reciprocal", "1 / x."), unary("log1p", "log(1 + x)."),
        OperatorSchema(
            "clip", "min(max(x, min), max) with plain numbers; NaN stays, and max wins where min is above it.",
            inputs: [.init("x"), .init("min", .scalar), .init("max", .scalar)]
        ) { site in .tensor(try site.tensor(0)) },
    ]

    static let activations: [OperatorSchema] = [
        unary("nn.relu", "max(x, 0)."),
        unary("sigmoid", "1 / (1 + exp(-x))."),
        unary("tanh", "Hyperbolic tangent."),
        unary("nn.gelu", "x * (1 + erf(x / sqrt(2))) / 2."),
        unary("nn.gelu_tanh", "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2."),
        unary("nn.silu", "x * sigmoid(x)."),
        unary("nn.relu6", "min(max(x, 0), 6)."),
        unary(
            "nn.selu", "gamma * x where x > 0, else gamma * alpha * (exp(x) - 1).",
            attributes: [.defaulted("alpha", 1.6732632423543772), .defaulted("gamma", 1.0507009873554805)]),
        unary("nn.celu", "max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0).", attributes: [.defaulted("alpha", 1.0)]),
        unary("nn.softsign", "x / (1 + |x|)."),
        unary("nn.thresholded_relu", "x where x > alpha, else 0.", attributes: [.defaulted("alpha", 1.0)]),
        unary(
            "nn.shrink", "x - bias where x > lambd, x + bias where x < -lambd, else 0.",
            attributes: [.defaulted("lambd", 0.5), .defaulted("bias", 0.0)]),
        unary("nn.leakyrelu", "x where x > 0, else alpha * x.", attributes: [.defaulted("alpha", 0.01)]),
        unary("nn.elu", "x where x > 0, else alpha * (exp(x) - 1).", attributes: [.defaulted("alpha", 1.0)]),
        unary(
            "nn.hard_sigmoid", "max(0, min(1, alpha * x + beta)).",
            attributes: [.defaulted("alpha", 0.2), .defaulted("beta", 0.5)]),
        unary("nn.hard_swish", "x * max(0, min(1, x / 6 + 1 / 2))."),
        unary(
            "nn.softplus", "log(1 + exp(beta * x)) / beta; x itself where beta * x is above threshold.",
            attributes: [.defaulted("beta", 1.0), .defaulted("threshold", 20.0)]),
        unary("nn.mish", "x * tanh(log(1 + exp(x)))."),
        RelaxForms.alongAxis(
            OperatorSchema(
                "nn.prelu", "x where x > 0, else slope * x; slope broadcasts to x, or lies along axis.",
                inputs: [.init("x"), .init("slope")]
            ) { site in
                let (x, slope) = (try site.tensor(0), try site.tensor(1))
                _ = try site.sameDType(0, 1)
                if let p = x.shape, let q = slope.shape, Broadcast.shape(p, q) != p {
                    throw site.inputError(1, expects: "a shape that broadcasts to \(x)")
                }
                return .tensor(x)
            }),
    ]

    static func arithmetic(_ name: String, _ summary: String, commutative: Bool = false) -> OperatorSchema {
        OperatorSchema(name, summary, inputs: [.init("a"), .init("b")], commutative: commutative) { site in
            try Broadcast.type(site, 0, 1, dtype: try site.sameDType(0, 1))
        }
    }

    static func unary(_ name: String, _ summary: String, attributes: [OperatorSchema.Attribute] = []) -> OperatorSchema
    {
        OperatorSchema(name, summary, inputs: [.init("x")], attributes: attributes) { site in
            .tensor(try site.tensor(0))
        }
    }
}
