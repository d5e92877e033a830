import TenonIR

/// Moves what is computed of weights alone into a function of its own, so that it can be done once. Weights are the parameters
/// behind the first `num_input` ones, as the attribute of that name of a function says.
///
/// `f_transform_params` takes the weights as one tuple and gives the tuple of what `f` then takes behind its inputs: the weights
/// that it still needs, and what was computed.
public struct LiftTransformParams: ConfigurablePass {
    /// One function, `transform_params`, for all: each takes all that it gives.
    public var isShared: Bool

    public init(shared: Bool = false) { isShared = shared }

    public static let arguments: [OperatorSchema.Attribute] = [.defaulted("shared_transform", false)]

    public init(arguments: Attributes) throws {
        isShared = arguments.bool("shared_transform") ?? false
        if isShared {
            throw TenonError(
                .unsupported,
                "LiftTransformParams: shared_transform expects False; each function gets a transformation of its own")
        }
    }

    public var name: String { "LiftTransformParams" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        let effects = Effects(module)
        for (name, function) in module.functions {
            guard let count = function.attributes.int("num_input") else { continue }
            guard count >= 0, count <= function.parameters.count else {
                throw TenonError(
                    .invalidArgument,
                    "LiftTransformParams: @\(name): num_input expects 0 to \(function.parameters.count), found \(count)"
                )
            }
            let (rest, transform) = Self.split(function, Int(count), effects)
            result[name] = rest
            // To be called from outside, and all of its own parameters are weights.
            let other = result.uniqueName("\(name)_transform_params")
            var shown = transform
            shown.attributes["num_input"] = 0
            shown.attributes["global_symbol"] = .string(other)
            result[other] = shown
        }
        return result
    }

    private static func split(
        _ function: Function, _ inputs: Int, _ effects: Effects
    ) -> (rest: Function, transform: Function) {
        let weights = Array(function.parameters[inputs...])
        var isKnown = [Bool](repeating: false, count: function.values.count)
        var symbols: Set<String> = []
        for id in weights {
            isKnown[id.int] = true
            symbols.formUnion(Function.plainSymbols(of: function.type(of: id)))
        }
        var lifted: [Binding] = []
        for block in function.body.blocks {
            for binding in block.bindings where liftable(binding, function, isKnown, symbols, effects) {
                isKnown[binding.id.int] = true
                lifted.append(binding)
            }
        }
        let isLifted = Set(lifted.map(\.id))
        // What the rest still mentions.
        var isNeeded = [Bool](repeating: false, count: function.values.count)
        for block in function.body.blocks {
            for binding in block.bindings where !isLifted.contains(binding.id) {
                binding.expression.forEachValue { isNeeded[$0.int] = true }
            }
        }
        function.body.result.forEachValue { isNeeded[$0.int] = true }
        let passed = (weights + lifted.map(\.id)).filter { isNeeded[$0.int] }

        var rest = function
        rest.parameters = Array(function.parameters[..<inputs]) + passed
        for id in passed { rest.values[id.int].isDataflow = false }
        for block in rest.body.blocks.indices {
            rest.body.blocks[block].bindings.removeAll { isLifted.contains($0.id) }
        }
        rest.body.blocks.removeAll { $0.bindings.isEmpty }

        var transform = Function()
        let tuple = transform.addValue("params", .tuple(weights.map { function.type(of: $0) }))
        transform.parameters = [tuple]
        var block = Block(isDataflow: true)
        var copies: [ValueID: ValueID] = [:]
        func define(_ id: ValueID, _ expression: Expression) {
            let info = function.values[id.int]
            let copy = transform.addValue(info.name, info.type, isDataflow: true)
            copies[id] = copy
            block.bindings.append(Binding(copy, expression))
        }
        for (index, id) in weights.enumerated() { define(id, .tupleGetItem(.value(tuple), index)) }
        for binding in lifted {
            define(binding.id, binding.expression.mapValues { .value(copies[$0] ?? $0) })
        }
        transform.body = Body(
            blocks: block.bindings.isEmpty ? [] : [block], result: .tuple(passed.map { .value(copies[$0] ?? $0) }))
        transform = transform.withScopedValues(showing: true) ?? transform
        return (rest.compacted(), transform.removingUnusedBindings(effects) ?? transform)
    }

    private static func liftable(
        _ binding: Binding, _ function: Function, _ isKnown: [Bool], _ symbols: Set<String>, _ effects: Effects
    ) -> Bool {
        switch binding.expression {
        case .conditional, .function, .matchCast: return false
        case .call(let call): if case .local = call.callee { return false }
        default: break
        }
        if effects.mayHave(binding.expression, in: function) { return false }
        var mentions = 0
        var all = true
        binding.expression.forEachValue {
            mentions += 1
            if !isKnown[$0.int] { all = false }
        }
        var used: [String] = []
        function.type(of: binding.id).collectSymbols(into: &used)
        binding.expression.forEachOperand {
            if case .shape(let dims) = $0 { ValueType.shape(dims).collectSymbols(into: &used) }
        }
        return mentions > 0 && all && symbols.isSuperset(of: used)
    }
}
