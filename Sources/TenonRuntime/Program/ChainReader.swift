import TenonIR

/// The bindings of a composite as an anchor and element-wise steps on its result.
struct ChainReader {
    /// The binding whose result the steps change.
    var anchor: Int
    /// Bindings of the steps in order, with the argument that is the chain's value.
    var steps: [(binding: Int, value: Int)]
    /// All bindings of the function.
    var bindings: [Binding]

    /// Element-wise operators that may be steps.
    private static let steps: Set<OperatorID> = Set(
        [
            "add", "subtract", "multiply", "divide", "maximum", "minimum", "nn.relu", "nn.relu6", "nn.leakyrelu",
            "clip",
            "nn.silu", "nn.gelu", "nn.gelu_tanh", "nn.elu", "nn.mish", "nn.hard_swish", "nn.hard_sigmoid", "sigmoid",
            "tanh", "exp", "sqrt", "abs", "negative", "square",
        ].compactMap { Operators.named($0) })

    /// Nil where a function is no single block of calls of operators that ends in such a chain.
    static func read(_ function: Function) -> ChainReader? {
        guard function.body.blocks.count == 1, let block = function.body.blocks.first,
            case .value(let result) = function.body.result
        else { return nil }
        var definition: [ValueID: Int] = [:]
        var uses: [ValueID: Int] = [result: 1]
        for (index, binding) in block.bindings.enumerated() {
            guard case .call(let call) = binding.expression, case .op = call.callee else { return nil }
            definition[binding.id] = index
            binding.expression.forEachValue { uses[$0, default: 0] += 1 }
        }
        guard var current = definition[result] else { return nil }
        var steps: [(binding: Int, value: Int)] = []
        while let call = block.bindings[current].expression.asCall, case .op(let op) = call.callee,
            ChainReader.steps.contains(op)
        {
            let type = function.type(of: block.bindings[current].id)
            var found: (argument: Int, binding: Int)?
            var isSingle = true
            for (index, argument) in call.arguments.enumerated() {
                guard case .value(let id) = argument, let source = definition[id], function.type(of: id) == type,
                    uses[id] == 1
                else { continue }
                if found != nil { isSingle = false }
                found = (index, source)
            }
            guard isSingle, let found else { break }
            steps.append((current, found.argument))
            current = found.binding
        }
        return ChainReader(anchor: current, steps: steps.reversed(), bindings: block.bindings)
    }
}
