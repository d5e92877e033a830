import TenonIR

extension Function {
    /// The function with functions of the module called and mentioned by other names: `names` by their present ones.
    func callingFunctions(_ names: [String: String]) -> Function {
        guard names.contains(where: { $0.key != $0.value }) else { return self }
        func renamed(_ operand: Operand) -> Operand {
            switch operand {
            case .global(let name): .global(names[name] ?? name)
            case .tuple(let fields): .tuple(fields.map(renamed))
            default: operand
            }
        }
        func renamed(_ body: Body) -> Body {
            var body = body
            for block in body.blocks.indices {
                for index in body.blocks[block].bindings.indices {
                    let expression = body.blocks[block].bindings[index].expression
                    body.blocks[block].bindings[index].expression = renamed(expression)
                }
            }
            body.result = renamed(body.result)
            return body
        }
        func renamed(_ expression: Expression) -> Expression {
            switch expression {
            case .call(var call):
                if case .function(let name) = call.callee { call.callee = .function(names[name] ?? name) }
                call.arguments = call.arguments.map(renamed)
                return .call(call)
            case .tuple(let fields): return .tuple(fields.map(renamed))
            case .tupleGetItem(let operand, let index): return .tupleGetItem(renamed(operand), index)
            case .operand(let operand): return .operand(renamed(operand))
            case .matchCast(let operand, let type): return .matchCast(renamed(operand), type)
            case .function(let local): return .function(local.callingFunctions(names))
            case .conditional(let condition, let then, let other):
                return .conditional(renamed(condition), then: renamed(then), else: renamed(other))
            }
        }
        var result = self
        result.body = renamed(body)
        return result
    }
}
