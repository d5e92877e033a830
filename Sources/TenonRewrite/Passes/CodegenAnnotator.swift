import TenonIR

/// Makes a region of each composite alone, as `FuseOpsByPattern` does with `annotateCodegen`: what `MergeCompositeFunctions`
/// is measured against, and for backends that take one composite at a time.
public struct AnnotateCodegen: ModulePass {
    public init() {}

    public var name: String { "AnnotateCodegen" }

    public func run(on module: Module, _ context: PassContext) throws -> Module {
        try CodegenAnnotator.annotate(module, nil)
    }
}

/// Wraps composites in region functions, one composite per region.
enum CodegenAnnotator {
    /// Composites of these patterns; of all with nil.
    static func annotate(_ module: Module, _ patternNames: [String]?) throws -> Module {
        var result = module
        var wrapped: [String: String] = [:]
        for (name, function) in module.functions {
            guard let composite = function.composite, function.isPrimitive,
                patternNames?.contains(composite) ?? true
            else { continue }
            guard let dot = composite.firstIndex(of: ".") else {
                throw TenonError(
                    .invalidArgument,
                    "AnnotateCodegen: pattern '\(composite)' names no backend; expected 'backend.pattern'")
            }
            let compiler = String(composite[..<dot])
            let outer = result.uniqueName("\(name)_\(compiler)")
            result[outer] = region(function, name: outer, compiler: compiler)
            wrapped[name] = outer
        }
        guard !wrapped.isEmpty else { return result }
        for (name, function) in result.functions where function.composite == nil && function.codegen == nil {
            result[name] = function.renamingCalls(wrapped)
        }
        for name in wrapped.keys { result[name] = nil }
        return result
    }

    /// `local = fn …; output = local(parameters); ret output`
    private static func region(_ composite: Function, name: String, compiler: String) -> Function {
        var inner = composite
        inner.attributes["Primitive"] = nil
        var outer = Function(attributes: ["Codegen": .string(compiler), "global_symbol": .string(name)])
        for id in composite.parameters {
            guard let info = composite.info(id) else { continue }
            outer.parameters.append(outer.addValue(info.name, info.type))
        }
        let type = ValueType.function(parameters: composite.parameterTypes, result: composite.resultType)
        let local = outer.addValue("local_func", type)
        let output = outer.addValue("output", composite.resultType)
        outer.body = Body(
            blocks: [
                Block(
                    isDataflow: false,
                    bindings: [
                        Binding(local, .function(inner)),
                        Binding(output, .call(Call(.local(local), outer.parameters.map { .value($0) }))),
                    ])
            ], result: .value(output))
        return outer
    }
}

extension Function {
    /// The function with calls of module functions redirected.
    func renamingCalls(_ names: [String: String]) -> Function {
        var renamed = self
        renamed.body = Function.renamingCalls(names, in: body)
        return renamed
    }

    private static func renamingCalls(_ names: [String: String], in body: Body) -> Body {
        var body = body
        for block in body.blocks.indices {
            for index in body.blocks[block].bindings.indices {
                switch body.blocks[block].bindings[index].expression {
                case .call(var call):
                    guard case .function(let name) = call.callee, let other = names[name] else { continue }
                    call.callee = .function(other)
                    body.blocks[block].bindings[index].expression = .call(call)
                case .conditional(let condition, let thenBody, let elseBody):
                    body.blocks[block].bindings[index].expression = .conditional(
                        condition, then: renamingCalls(names, in: thenBody), else: renamingCalls(names, in: elseBody))
                default: continue
                }
            }
        }
        return body
    }
}
