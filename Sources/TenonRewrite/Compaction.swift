import TenonIR

extension Function {
    /// The same function with values renumbered in order of definition, and entries that nothing defines dropped.
    public func compacted() -> Function {
        var numbering = [Int32](repeating: -1, count: values.count)
        var compact = Function(attributes: attributes)
        compact.values.reserveCapacity(values.count)
        func define(_ id: ValueID) {
            guard values.indices.contains(id.int), numbering[id.int] < 0 else { return }
            numbering[id.int] = Int32(compact.values.count)
            compact.values.append(values[id.int])
        }
        for id in parameters { define(id) }
        forEachBinding { define($0.id) }
        func renumbered(_ id: ValueID) -> ValueID {
            guard numbering.indices.contains(id.int), numbering[id.int] >= 0 else { return id }
            return ValueID(Int(numbering[id.int]))
        }
        // Nothing moved: spare the walk.
        if compact.values.count == values.count, numbering.enumerated().allSatisfy({ $0 == Int($1) }) { return self }
        compact.parameters = parameters.map(renumbered)
        func rewrite(_ body: Body) -> Body {
            var body = body
            for block in body.blocks.indices {
                for index in body.blocks[block].bindings.indices {
                    let binding = body.blocks[block].bindings[index]
                    let id = renumbered(binding.id)
                    if case .conditional(let condition, let thenBody, let elseBody) = binding.expression {
                        body.blocks[block].bindings[index] = Binding(
                            id,
                            .conditional(
                                condition.mapValues { .value(renumbered($0)) }, then: rewrite(thenBody),
                                else: rewrite(elseBody)))
                    } else {
                        body.blocks[block].bindings[index] = Binding(
                            id, binding.expression.mapValues { .value(renumbered($0)) })
                    }
                }
            }
            body.result = body.result.mapValues { .value(renumbered($0)) }
            return body
        }
        compact.body = rewrite(body)
        return compact
    }
}
