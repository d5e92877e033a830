import CDNNL
import TenonIR

/// Element-wise functions and binary operations, alone or as steps behind another operation.
enum ElementwiseLowering {
    static let rules: [(String, Lowering.Rule)] =
        functions.keys.map { name in (name, { op, _ in function(op).map { .eltwise($0) } }) }
        + algorithms.keys.map { name in (name, { op, graph in binary(op, graph) }) }

    private typealias Reader = @Sendable (RegionOp) -> EltwiseFunction?

    private static let functions: [String: Reader] = [
        "nn.relu": constant(TDNNL_ELTWISE_RELU),
        "nn.leakyrelu": { EltwiseFunction(algorithm: TDNNL_ELTWISE_RELU, alpha: $0.float("alpha")) },
        "sigmoid": constant(TDNNL_ELTWISE_LOGISTIC),
        "tanh": constant(TDNNL_ELTWISE_TANH),
        "nn.gelu": constant(TDNNL_ELTWISE_GELU_ERF),
        "nn.gelu_tanh": constant(TDNNL_ELTWISE_GELU_TANH),
        "nn.silu": constant(TDNNL_ELTWISE_SWISH, 1),
        "nn.relu6": constant(TDNNL_ELTWISE_CLIP, 0, 6),
        "nn.hard_sigmoid": {
            EltwiseFunction(algorithm: TDNNL_ELTWISE_HARDSIGMOID, alpha: $0.float("alpha"), beta: $0.float("beta"))
        },
        "nn.hard_swish": constant(TDNNL_ELTWISE_HARDSWISH, 1.0 / 6, 0.5),
        "nn.mish": constant(TDNNL_ELTWISE_MISH),
        "abs": constant(TDNNL_ELTWISE_ABS),
        "exp": constant(TDNNL_ELTWISE_EXP),
        "sqrt": constant(TDNNL_ELTWISE_SQRT),
        "square": constant(TDNNL_ELTWISE_SQUARE),
        "round": constant(TDNNL_ELTWISE_ROUND),
        "negative": constant(TDNNL_ELTWISE_LINEAR, -1),
        "clip": { op in
            guard op.arguments.count == 3, let low = op.number(1), let high = op.number(2), low <= high else {
                return nil
            }
            return EltwiseFunction(algorithm: TDNNL_ELTWISE_CLIP, alpha: Float(low), beta: Float(high))
        },
    ]

    private static func constant(_ algorithm: tdnnl_algorithm, _ alpha: Float = 0, _ beta: Float = 0) -> Reader {
        let function = EltwiseFunction(algorithm: algorithm, alpha: alpha, beta: beta)
        return { _ in function }
    }

    private static let algorithms: [String: tdnnl_algorithm] = [
        "add": TDNNL_BINARY_ADD, "subtract": TDNNL_BINARY_SUB, "multiply": TDNNL_BINARY_MUL,
        "divide": TDNNL_BINARY_DIV, "maximum": TDNNL_BINARY_MAX, "minimum": TDNNL_BINARY_MIN,
    ]

    /// The function that a call of one operand is; nil if it is none of oneDNN's.
    static func function(_ op: RegionOp) -> EltwiseFunction? { functions[op.name]?(op) }

    static func algorithm(_ op: RegionOp) -> tdnnl_algorithm? { algorithms[op.name] }

    private static func binary(_ op: RegionOp, _ graph: RegionGraph) -> RegionNode.Operation? {
        guard let algorithm = algorithms[op.name], op.inputs.count == 2 else { return nil }
        // The first operand has the shape of the result; oneDNN broadcasts the second one only.
        let shape = graph[op.outputs[0]].dims
        let inputs = binaryInputs(op, graph)
        guard graph[inputs[0]].dims == shape, !shape.isEmpty,
            Broadcasting.aligned(graph[inputs[1]].dims, to: shape) != nil
        else { return nil }
        return .binary(algorithm)
    }

    /// The operands, the one of the result's shape first where their order makes no difference.
    static func binaryInputs(_ op: RegionOp, _ graph: RegionGraph) -> [TensorID] {
        guard op.inputs.count == 2, op.name != "subtract", op.name != "divide",
            graph[op.inputs[0]].dims != graph[op.outputs[0]].dims
        else { return op.inputs }
        return op.inputs.reversed()
    }

    /// The step that `op` is behind `chain`, one of its inputs; nil when oneDNN cannot say it.
    static func postOp(_ op: RegionOp, behind chain: TensorID, _ graph: RegionGraph) -> PostOp? {
        guard op.outputs.count == 1, graph[op.outputs[0]].dims == graph[chain].dims,
            graph[op.outputs[0]].dtype == .float32
        else { return nil }
        if op.inputs == [chain], let function = function(op) {
            return PostOp(kind: .eltwise(function), binding: op.binding)
        }
        guard algorithms[op.name] != nil, op.inputs.count == 2 else { return nil }
        let isFirst = op.inputs[0] == chain
        let other = isFirst ? op.inputs[1] : op.inputs[0]
        guard other != chain, graph[other].dtype == .float32, graph[other].count > 0 else { return nil }
        if let value = graph[other].scalarValue, let function = withScalar(op.name, Float(value), isFirst: isFirst) {
            return PostOp(kind: .eltwise(function), binding: op.binding)
        }
        return binaryPostOp(op, behind: chain, graph)
    }

    /// The same as a step with a second operand, whatever that is.
    static func binaryPostOp(_ op: RegionOp, behind chain: TensorID, _ graph: RegionGraph) -> PostOp? {
        guard let algorithm = algorithms[op.name], op.inputs.count == 2 else { return nil }
        let isFirst = op.inputs[0] == chain
        let other = isFirst ? op.inputs[1] : op.inputs[0]
        let isOrdered = op.name == "subtract" || op.name == "divide"
        guard isFirst || !isOrdered, other != chain, graph[other].dtype == .float32,
            Broadcasting.aligned(graph[other].dims, to: graph[chain].dims) != nil
        else { return nil }
        return PostOp(kind: .binary(algorithm, operand: other), binding: op.binding)
    }

    /// A binary operation with a known number is a function of one operand.
    private static func withScalar(_ name: String, _ value: Float, isFirst: Bool) -> EltwiseFunction? {
        let linear = TDNNL_ELTWISE_LINEAR
        switch (name, isFirst) {
        case ("add", _): return EltwiseFunction(algorithm: linear, alpha: 1, beta: value)
        case ("subtract", true): return EltwiseFunction(algorithm: linear, alpha: 1, beta: -value)
        case ("subtract", false): return EltwiseFunction(algorithm: linear, alpha: -1, beta: value)
        case ("multiply", _): return EltwiseFunction(algorithm: linear, alpha: value)
        case ("divide", true):
            // Exact for powers of two only; what rounds the quotient next would see the difference.
            let factor = 1 / value
            guard value.significand == 1, factor.isNormal else { return nil }
            return EltwiseFunction(algorithm: linear, alpha: factor)
        case ("maximum", _): return EltwiseFunction(algorithm: TDNNL_ELTWISE_CLIP, alpha: value, beta: .infinity)
        case ("minimum", _): return EltwiseFunction(algorithm: TDNNL_ELTWISE_CLIP, alpha: -.infinity, beta: value)
        default: return nil
        }
    }
}

enum Broadcasting {
    /// `dims` with leading ones up to the rank of `shape`, if each is 1 or that of `shape`.
    static func aligned(_ dims: [Int], to shape: [Int]) -> [Int]? {
        guard dims.count <= shape.count else { return nil }
        let aligned = [Int](repeating: 1, count: shape.count - dims.count) + dims
        for (dim, size) in zip(aligned, shape) where dim != 1 && dim != size { return nil }
        return aligned
    }
}

extension RegionOp {
    func float(_ name: String) -> Float { Float(attributes.float(name) ?? 0) }

    /// Argument `index` when it is a plain number.
    func number(_ index: Int) -> Double? {
        guard arguments.indices.contains(index) else { return nil }
        switch arguments[index] {
        case .float(let value): return value
        case .int(let value): return Double(value)
        default: return nil
        }
    }
}

extension RegionTensor {
    /// The value of a constant of one element.
    var scalarValue: Double? { count == 1 ? constant?.constant.double(at: 0) : nil }
}
