import TenonIR

extension Function {
    /// The function with each value of its dataflow blocks local to its block exactly when nothing outside uses it. With
    /// `showing` false, values are only made local, none visible. Nil when all are so already.
    func withScopedValues(showing: Bool) -> Function? {
        // By value: the number of the dataflow block that binds it, or -1.
        var home = [Int32](repeating: -1, count: values.count)
        var isShared = [Bool](repeating: false, count: values.count)
        var blocks: Int32 = 0
        func visit(_ body: Body) {
            for block in body.blocks.indices {
                let own = blocks
                blocks += 1
                let isDataflow = body.blocks[block].isDataflow
                func use(_ id: ValueID) {
                    if home[id.int] >= 0, home[id.int] != own { isShared[id.int] = true }
                }
                for index in body.blocks[block].bindings.indices {
                    let binding = body.blocks[block].bindings[index]
                    if case .conditional(let condition, let then, let other) = binding.expression {
                        condition.forEachValue(use)
                        visit(then)
                        visit(other)
                    } else {
                        binding.expression.forEachValue(use)
                    }
                    if isDataflow { home[binding.id.int] = own }
                }
            }
            body.result.forEachValue { isShared[$0.int] = true }
        }
        visit(body)
        var scoped = self
        var changed = false
        for index in home.indices where home[index] >= 0 {
            let isLocal = !isShared[index]
            guard scoped.values[index].isDataflow != isLocal, isLocal || showing else { continue }
            scoped.values[index].isDataflow = isLocal
            changed = true
        }
        return changed ? scoped : nil
    }
}
