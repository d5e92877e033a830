import TenonIR

/// Makes functions of the module of those that are bound inside others; they capture nothing. Regions keep theirs: a backend
/// reads its composites there.
public struct LambdaLift: ModulePass {
    public init() {}

    public var name: String { "LambdaLift" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions where function.codegen == nil {
            if let lifted = Self.lifted(function, within: name, &result) { result[name] = lifted }
        }
        return result
    }

    /// - Parameter name: of the function of the module that all stand in, which new names begin with.
    private static func lifted(_ function: Function, within name: String, _ module: inout Module) -> Function? {
        var names: [ValueID: String] = [:]
        function.forEachBinding { binding in
            guard case .function(let local) = binding.expression else { return }
            let hint = function.info(binding.id)?.name ?? ""
            let global = module.uniqueName(hint.isEmpty ? "\(name)_function" : "\(name)_\(hint)")
            // Taken before what is inside it looks for a name.
            module[global] = local
            if let inner = lifted(local, within: name, &module) { module[global] = inner }
            names[binding.id] = global
        }
        guard !names.isEmpty else { return nil }
        func renamed(_ operand: Operand) -> Operand {
            operand.mapValues { id in names[id].map { .global($0) } ?? .value(id) }
        }
        var result = function
        func rewritten(_ body: Body) -> Body {
            var body = body
            for block in body.blocks.indices {
                body.blocks[block].bindings.removeAll { names[$0.id] != nil }
                for index in body.blocks[block].bindings.indices {
                    switch body.blocks[block].bindings[index].expression {
                    case .call(var call):
                        if case .local(let id) = call.callee, let global = names[id] { call.callee = .function(global) }
                        call.arguments = call.arguments.map(renamed)
                        body.blocks[block].bindings[index].expression = .call(call)
                    case .conditional(let condition, let then, let other):
                        body.blocks[block].bindings[index].expression = .conditional(
                            renamed(condition), then: rewritten(then), else: rewritten(other))
                    case let expression:
                        body.blocks[block].bindings[index].expression = expression.mapValues { id in
                            names[id].map { .global($0) } ?? .value(id)
                        }
                    }
                }
            }
            body.blocks.removeAll { $0.bindings.isEmpty }
            body.result = renamed(body.result)
            return body
        }
        result.body = rewritten(function.body)
        return result.compacted()
    }
}
