import TenonIR

/// Takes dataflow blocks apart: all bindings stand in plain blocks afterwards.
public struct ToNonDataflow: ModulePass {
    public init() {}

    public var name: String { "ToNonDataflow" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions
        where !function.isPrimitive && function.composite == nil && function.codegen == nil {
            result[name] = Self.flat(function)
        }
        return result
    }

    private static func flat(_ function: Function) -> Function {
        func flat(_ body: Body) -> Body {
            var bindings: [Binding] = []
            for block in body.blocks {
                for var binding in block.bindings {
                    if case .conditional(let condition, let then, let other) = binding.expression {
                        binding.expression = .conditional(condition, then: flat(then), else: flat(other))
                    }
                    bindings.append(binding)
                }
            }
            return Body(
                blocks: bindings.isEmpty ? [] : [Block(isDataflow: false, bindings: bindings)], result: body.result)
        }
        var result = function
        result.body = flat(function.body)
        return result.withoutDataflowMarksOutside()
    }
}

/// Types calls anew where that says more, drops empty blocks and unites those of a kind that touch.
public struct Normalize: ModulePass {
    public init() {}

    public var name: String { "Normalize" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        for (name, function) in module.functions {
            do {
                var typed = try function.withInferredTypes()
                typed.body = Self.united(typed.body)
                result[name] = typed.withScopedValues(showing: true) ?? typed
            } catch let error as TenonError {
                throw TenonError(error.status, "Normalize: @\(name): \(error)", operatorName: error.operatorName)
            }
        }
        return result
    }

    private static func united(_ body: Body) -> Body {
        var blocks: [Block] = []
        for block in body.blocks where !block.bindings.isEmpty {
            let bindings = block.bindings.map { binding in
                guard case .conditional(let condition, let then, let other) = binding.expression else { return binding }
                return Binding(binding.id, .conditional(condition, then: united(then), else: united(other)))
            }
            if let last = blocks.last, last.isDataflow == block.isDataflow {
                blocks[blocks.count - 1].bindings += bindings
            } else {
                blocks.append(Block(isDataflow: block.isDataflow, bindings: bindings))
            }
        }
        return Body(blocks: blocks, result: body.result)
    }
}

/// Gives every function that is not internal `global_symbol`, its name.
public struct AttachGlobalSymbol: ModulePass {
    public init() {}

    public var name: String { "AttachGlobalSymbol" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        var result = module
        let called = module.onlyCalled()
        for (name, function) in module.functions
        where function.globalSymbol == nil && !function.isPrivate && !called.contains(name) {
            result[name]?.attributes["global_symbol"] = .string(name)
        }
        return result
    }
}
