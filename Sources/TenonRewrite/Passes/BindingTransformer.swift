import TenonIR

/// Walks a function's bindings in order and lets a pass put something else in the place of each. The frame of passes that
/// look at one binding at a time: uses are redirected, types kept, new values numbered.
struct BindingTransformer {
    private(set) var function: Function
    /// By value of the given function: what stands for it now.
    private var replacement: [Operand?]
    /// By value: what it was bound to, after replacement of its operands.
    private(set) var definitions: [Expression?]
    private var emitted: [Binding] = []
    private var isDataflow = true
    private var changed = false
    /// By value: the number of the block that binds it; 0 for none.
    private var home: [Int32]
    private var block: Int32 = 0
    private var blocks: Int32 = 0

    init(_ function: Function) {
        self.function = function
        replacement = [Operand?](repeating: nil, count: function.values.count)
        definitions = [Expression?](repeating: nil, count: function.values.count)
        home = [Int32](repeating: 0, count: function.values.count)
    }

    /// Calls `visit` for every binding of every block with its operands already redirected. What `visit` returns stands
    /// for the binding from then on; nil keeps it. Returns nil when nothing changed. Values are not yet numbered anew.
    static func transform(
        _ function: Function, _ visit: (inout BindingTransformer, Binding) throws -> Operand?
    ) rethrows -> Function? {
        var transformer = BindingTransformer(function)
        var body = function.body
        try transformer.rewrite(&body, visit)
        guard transformer.changed else { return nil }
        transformer.function.body = body
        return transformer.function
    }

    private mutating func rewrite(
        _ body: inout Body, _ visit: (inout BindingTransformer, Binding) throws -> Operand?
    ) rethrows {
        for index in body.blocks.indices {
            let bindings = body.blocks[index].bindings
            let outer = (emitted, isDataflow, block)
            emitted = []
            emitted.reserveCapacity(bindings.count)
            isDataflow = body.blocks[index].isDataflow
            blocks &+= 1
            block = blocks
            for binding in bindings {
                var expression = binding.expression
                if case .conditional(let condition, var thenBody, var elseBody) = expression {
                    try rewrite(&thenBody, visit)
                    try rewrite(&elseBody, visit)
                    expression = .conditional(redirected(condition), then: thenBody, else: elseBody)
                } else {
                    expression = expression.mapValues { redirected(.value($0)) }
                }
                let current = Binding(binding.id, expression)
                home[binding.id.int] = block
                if let operand = try visit(&self, current) {
                    changed = true
                    replacement[binding.id.int] = operand
                    show(operand)
                    if case .value(let id) = operand, !function.values[binding.id.int].isDataflow {
                        function.values[id.int].isDataflow = false
                    }
                } else {
                    definitions[binding.id.int] = expression
                    emitted.append(current)
                }
            }
            body.blocks[index].bindings = emitted
            (emitted, isDataflow, block) = outer
        }
        body.blocks.removeAll { $0.bindings.isEmpty }
        body.result = redirected(body.result)
    }

    /// Values of other blocks that the current one is about to use must be seen outside of theirs.
    private mutating func show(_ operand: Operand) {
        operand.forEachValue { id in
            if home.indices.contains(id.int), home[id.int] != block { function.values[id.int].isDataflow = false }
        }
    }

    /// What stands now for an operand of the given function.
    func redirected(_ operand: Operand) -> Operand {
        operand.mapValues { id in replacement.indices.contains(id.int) ? replacement[id.int] ?? .value(id) : .value(id)
        }
    }

    /// The type of an operand.
    func type(of operand: Operand) -> ValueType { function.type(of: operand) }

    func definition(_ operand: Operand) -> Expression? {
        guard case .value(let id) = operand, definitions.indices.contains(id.int) else { return nil }
        return definitions[id.int]
    }

    /// The operator call that an operand names, through aliases.
    func call(_ operand: Operand) -> (id: ValueID, op: OperatorID, call: Call)? {
        var current = operand
        while case .value(let id) = current, let expression = definition(current) {
            switch expression {
            case .operand(let next): current = next
            case .call(let call):
                guard case .op(let op) = call.callee, call.isPlain else { return nil }
                return (id, op, call)
            default: return nil
            }
        }
        return nil
    }

    /// The tensor literal that an operand is or names.
    func constant(_ operand: Operand) -> Constant? {
        var current = operand
        while true {
            switch current {
            case .constant(let constant): return constant
            case .value:
                guard case .operand(let next)? = definition(current) else { return nil }
                current = next
            default: return nil
            }
        }
    }

    /// Whether an operand was made for the current binding: nothing has used it yet.
    func isNew(_ operand: Operand) -> Bool {
        if case .value(let id) = operand { return emitted.last?.id == id }
        return false
    }

    /// Adds a call in front of the current binding.
    mutating func emit(
        _ op: String, _ arguments: [Operand], _ attributes: Attributes = Attributes(), name: String = ""
    ) throws -> Operand {
        let id = try Operators.require(op)
        let typed = try Inference.call(
            id, arguments, attributes, types: arguments.map { function.type(of: $0) },
            constants: arguments.map { constant($0) })
        return emit(.call(Call(.op(id), arguments, typed.attributes)), typed.type, name: name)
    }

    /// Adds a binding of known type in front of the current one.
    mutating func emit(_ expression: Expression, _ type: ValueType, name: String = "") -> Operand {
        let value = function.addValue(name, type, isDataflow: isDataflow)
        definitions.append(expression)
        replacement.append(nil)
        home.append(block)
        expression.forEachValue { show(.value($0)) }
        emitted.append(Binding(value, expression))
        return .value(value)
    }
}

/// A pass that treats every function that is not yet part of a composite or region, one binding at a time. What is not used
/// any more goes with it, so that the next pass counts no users that are none.
protocol BindingPass: ModulePass {
    /// Told before each function; gives what `visit` needs to know of it.
    associatedtype State
    func begin(_ function: Function, _ context: PassContext) throws -> State
    func visit(
        _ binding: Binding, _ transformer: inout BindingTransformer, _ state: inout State, _ context: PassContext
    ) throws -> Operand?
}

extension BindingPass where State == UseCounts {
    func begin(_ function: Function, _ context: PassContext) throws -> UseCounts { UseCounts(function) }
}

extension BindingPass where State == Void {
    func begin(_ function: Function, _ context: PassContext) throws {}
}

extension BindingPass {
    public var optimisationLevel: Int { 1 }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        var effects: Effects?
        for (name, function) in module.functions
        where !function.isPrimitive && function.composite == nil && function.codegen == nil {
            do {
                var state = try begin(function, context)
                if let changed = try BindingTransformer.transform(
                    function,
                    { transformer, binding in
                        try Work.check()
                        // A pass knows operators as they are defined, seen through no layout.
                        if case .call(let call) = binding.expression, !call.isPlain { return nil }
                        return try visit(binding, &transformer, &state, context)
                    })
                {
                    let known = effects ?? Effects(module)
                    effects = known
                    result[name] = changed.removingUnusedBindings(known) ?? changed.compacted()
                }
            } catch let error as TenonError {
                throw TenonError(
                    error.status, "\(self.name): @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        return result
    }
}
