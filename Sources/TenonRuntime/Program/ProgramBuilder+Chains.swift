import TenonIR

extension ProgramBuilder {
    /// A composite as one node, where it is an anchor with steps on its result; else its operators one by one.
    mutating func composite(
        _ function: Function, _ arguments: [Lowered], _ id: ValueID, _ caller: Scope
    ) throws -> Lowered? {
        guard let chain = ChainReader.read(function), arguments.count == function.parameters.count,
            let anchor = chain.bindings[chain.anchor].expression.asCall, case .op(let op) = anchor.callee
        else { return nil }
        if let codegen = caller.codegen, ProgramBuilder.isSpecialised(op), backends[codegen] != nil {
            let wrapped = ProgramBuilder.region(of: function, codegen)
            let name = "\(caller.name(id))_\(codegen)"
            if !refused.contains(name), let region = try region(wrapped, name, codegen, arguments, id, caller) {
                return region
            }
        }
        var scope = Scope(function, composite: function.composite ?? "", depth: caller.depth + 1)
        for (id, argument) in zip(function.parameters, arguments) {
            let name = function.info(id)?.name ?? "parameter"
            scope.values[id.int] = try meet(argument, function.type(of: id), name, &scope.symbols)
        }
        let own = Set([chain.anchor] + chain.steps.map(\.binding))
        for (index, binding) in chain.bindings.enumerated() where !own.contains(index) {
            scope.values[binding.id.int] = try lower(binding, &scope)
        }
        if let node = try node(chain, op, anchor, &scope, name: caller.name(id)) { return node }
        for index in [chain.anchor] + chain.steps.map(\.binding) {
            let binding = chain.bindings[index]
            scope.values[binding.id.int] = try lower(binding, &scope)
        }
        return try resolve(function.body.result, scope)
    }

    /// The chain as a node, or nil where a size or an operand is not known before a run.
    private mutating func node(
        _ chain: ChainReader, _ op: OperatorID, _ anchor: Call, _ scope: inout Scope, name: String
    ) throws -> Lowered? {
        guard !chain.steps.isEmpty, Kernels.isAvailable(op), !Kernels.dependsOnData(op), DynamicForm.of(op) == nil
        else { return nil }
        let given = try anchor.arguments.map { try resolve($0, scope) }
        let inferred = try Inference.call(
            op, given.map { operand($0) }, anchor.attributes, types: given.map { type(of: $0) },
            constants: given.map { constant($0) })
        guard case .tensor(let type) = inferred.type, isSized(inferred.type) else { return nil }
        var inputs: [Int] = []
        for value in given { collectTensors(value, into: &inputs) }
        let anchorInputs = inputs.count
        var steps: [Program.Chain.Step] = []
        for step in chain.steps {
            guard let call = chain.bindings[step.binding].expression.asCall, case .op(let op) = call.callee else {
                return nil
            }
            var made = Program.Chain.Step(
                op: op, attributes: try op.schema.normalised(call.attributes), arguments: [], operand: nil,
                isLeft: step.value == 0)
            var literals: [Operand] = []
            for (index, argument) in call.arguments.enumerated() {
                if index == step.value {
                    literals.append(.value(ValueID(0)))
                    continue
                }
                switch try resolve(argument, scope) {
                case .tensor(let tensor):
                    guard made.operand == nil, let own = dims[tensor], let target = type.shape,
                        program.tensors[tensor].isPlanned, Broadcast.shape(own, target) == target
                    else { return nil }
                    made.operand = inputs.count - anchorInputs
                    inputs.append(tensor)
                case .literal(let literal): literals.append(literal)
                default: return nil
                }
            }
            if made.operand == nil { made.arguments = literals }
            steps.append(made)
        }
        guard inputs.allSatisfy({ program.tensors[$0].isPlanned }) else { return nil }
        let operation = Program.Operation(
            op: op, attributes: inferred.attributes, arguments: try given.map { try argument($0) })
        var outputs: [Int] = []
        let result = try newResult(inferred.type, name, into: &outputs)
        open.nodes.append(
            Program.Node(
                work: .chain(Program.Chain(anchor: operation, anchorInputs: anchorInputs, steps: steps)),
                inputs: inputs, outputs: outputs, name: name, composite: scope.composite))
        return result
    }

    // MARK: - What needs a plan for exact sizes

    /// Operators that kernels made for exact sizes do many times as fast.
    private static let specialised: [Bool] = Operators.all.map { schema in
        ["conv", "pool", "resize", "lrn"].contains { Substring(schema.name).contains($0) }
    }

    static func isSpecialised(_ op: OperatorID) -> Bool {
        specialised.indices.contains(Int(op.index)) && specialised[Int(op.index)]
    }

    private static let products: Set<OperatorID> = Set(
        ["matmul", "nn.dense", "nn.attention"].compactMap { Operators.named($0) })

    /// Whether one program for all sizes serves a module: its work lies in products, whose kernels take any number of rows.
    /// Networks of convolutions are planned for exact sizes, layouts and all.
    static func servesAllSizes(_ module: Module, _ backends: [String: Bool]) -> Bool {
        var (products, others) = (0, 0)
        for case let codegen? in module.functions.values.map(\.codegen) where backends[codegen] != true { return false }
        func count(_ function: Function) {
            function.forEachBinding { binding in
                if case .function(let local) = binding.expression { count(local) }
                guard let call = binding.expression.asCall, case .op(let op) = call.callee else { return }
                if ProgramBuilder.products.contains(op) { products += 1 }
                if isSpecialised(op) { others += 1 }
            }
        }
        for function in module.functions.values { count(function) }
        return products > 0 && products >= others
    }

    /// A region of nothing but a call of one composite.
    private static func region(of composite: Function, _ codegen: String) -> Function {
        var region = Function(attributes: ["Codegen": .string(codegen)])
        var arguments: [Operand] = []
        for (index, type) in composite.parameterTypes.enumerated() {
            let id = region.addValue("p\(index)", type)
            region.parameters.append(id)
            arguments.append(.value(id))
        }
        let local = region.addValue(
            "composite", .function(parameters: composite.parameterTypes, result: composite.resultType))
        let result = region.addValue("result", composite.resultType)
        region.body = Body(
            blocks: [
                Block(
                    isDataflow: true,
                    bindings: [
                        Binding(local, .function(composite)), Binding(result, .call(Call(.local(local), arguments))),
                    ])
            ], result: .value(result))
        return region
    }
}
