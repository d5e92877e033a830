/// What holds for every call of an operator. Passes and rules ask for a trait where they mean a kind of operator, and for a
/// name only where they mean that operator.
public struct OperatorTraits: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Each element of the result depends on the elements at its place alone, operands being broadcast.
    public static let elementwise = OperatorTraits(rawValue: 1 << 0)
    /// Element-wise in one tensor; whatever else it takes is a number.
    public static let unary = OperatorTraits(rawValue: 1 << 1)
    /// Element-wise in two tensors, which are broadcast.
    public static let binary = OperatorTraits(rawValue: 1 << 2)
    /// Unary, non-decreasing, and equal operands give equal bits: bounds from below, above or both.
    public static let clamps = OperatorTraits(rawValue: 1 << 3)
    /// No number of the result is below 0.
    public static let nonNegative = OperatorTraits(rawValue: 1 << 4)
    /// Sums of products of the first operand with the second, which are weights: linear in each.
    public static let linear = OperatorTraits(rawValue: 1 << 5)
    public static let convolution = OperatorTraits(rawValue: 1 << 6)
    public static let transposedConvolution = OperatorTraits(rawValue: 1 << 7)
    /// Windows of an image, given by `pool_size`.
    public static let maxPooling = OperatorTraits(rawValue: 1 << 8)
    public static let averagePooling = OperatorTraits(rawValue: 1 << 9)
    /// Windows that follow from the size of the result.
    public static let adaptivePooling = OperatorTraits(rawValue: 1 << 10)
    /// The result has each element of the first operand once, elsewhere.
    public static let movesElements = OperatorTraits(rawValue: 1 << 11)
    /// Moves elements and keeps their row-major order: the same bytes under another shape.
    public static let view = OperatorTraits(rawValue: 1 << 12)
    /// One value for all elements along axes.
    public static let reduces = OperatorTraits(rawValue: 1 << 13)

    /// By name; the schemas get their traits from here.
    static let table: [(traits: OperatorTraits, operators: [String])] = [
        ([.elementwise, .unary], functions),
        (
            [.elementwise, .binary],
            [
                "add", "subtract", "multiply", "divide", "power", "floor_divide", "mod", "floor_mod", "atan2",
                "minimum", "maximum", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
                "logical_and", "logical_or", "logical_xor",
            ]
        ),
        (.elementwise, ["where"]),
        (.clamps, ["nn.relu", "nn.relu6", "clip"]),
        (
            .nonNegative,
            ["nn.relu", "nn.relu6", "sigmoid", "nn.hard_sigmoid", "abs", "square", "exp", "nn.softplus", "nn.softmax"]
        ),
        ([.linear, .convolution], ["nn.conv1d", "nn.conv2d", "nn.conv3d"]),
        ([.linear, .transposedConvolution], ["nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose"]),
        (.linear, ["nn.dense", "matmul"]),
        (.maxPooling, ["nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d"]),
        (.averagePooling, ["nn.avg_pool1d", "nn.avg_pool2d", "nn.avg_pool3d"]),
        (
            .adaptivePooling,
            [
                "nn.adaptive_avg_pool1d", "nn.adaptive_avg_pool2d", "nn.adaptive_avg_pool3d",
                "nn.adaptive_max_pool1d", "nn.adaptive_max_pool2d", "nn.adaptive_max_pool3d",
            ]
        ),
        ([.movesElements, .view], ["reshape", "flatten", "squeeze", "expand_dims"]),
        (.movesElements, ["permute_dims", "nn.depth_to_space", "nn.space_to_depth"]),
        (.reduces, ["mean", "sum", "max", "min", "prod"]),
    ]

    private static let functions = [
        "abs", "negative", "exp", "log", "sqrt", "rsqrt", "erf", "floor", "ceil", "round", "sign", "sin", "cos", "tan",
        "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "trunc", "square", "reciprocal", "log1p",
        "clip", "astype", "nn.relu", "nn.relu6", "nn.leakyrelu", "nn.elu", "nn.selu", "nn.celu", "nn.hard_sigmoid",
        "nn.hard_swish", "nn.softplus", "nn.softsign", "nn.thresholded_relu", "nn.mish", "nn.silu", "nn.gelu",
        "nn.gelu_tanh", "sigmoid", "tanh",
    ]

    /// As the documentation lists them.
    static let names: [(trait: OperatorTraits, name: String)] = [
        (.elementwise, "element-wise"), (.unary, "unary"), (.binary, "binary"), (.clamps, "clamps"),
        (.nonNegative, "non-negative"), (.linear, "linear"), (.convolution, "convolution"),
        (.transposedConvolution, "transposed convolution"), (.maxPooling, "max pooling"),
        (.averagePooling, "average pooling"), (.adaptivePooling, "adaptive pooling"),
        (.movesElements, "moves elements"), (.view, "view"), (.reduces, "reduces"),
    ]
}

extension OperatorID {
    /// Whether the operator has one of the traits.
    public func has(_ traits: OperatorTraits) -> Bool { !Operators.traits[Int(index)].isDisjoint(with: traits) }
}

extension Operators {
    /// The operators that have one of the traits, in the order of the registry.
    public static func all(with traits: OperatorTraits) -> [OperatorID] {
        all.indices.map { OperatorID(index: UInt16($0)) }.filter { $0.has(traits) }
    }

    /// By operator.
    static let traits: [OperatorTraits] = {
        var table = [OperatorTraits](repeating: [], count: all.count)
        for (traits, operators) in OperatorTraits.table {
            for name in operators {
                if let id = named(name) { table[Int(id.index)].insert(traits) }
            }
        }
        return table
    }()
}
