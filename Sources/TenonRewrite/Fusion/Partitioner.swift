import TenonIR

/// Replaces groups of bindings by calls of functions made of them.
struct Partitioner {
    let options: GroupExtractor.Options
    /// Attributes of the function made of a group, and what is appended to its name.
    let describe: (_ group: Int) -> (attributes: Attributes, suffix: String)
    /// Prefix of error messages.
    let context: String

    /// Rewrites one block, appending to `function.values` what is new. Returns false when there is nothing to do.
    func apply(
        to block: inout Block, of function: inout Function, _ grouping: Grouping, groupCount: Int,
        _ extractor: inout GroupExtractor, _ functions: inout FunctionTable
    ) throws {
        let plan = try BlockPlan(block, extractor.source, grouping, groupCount: groupCount, context: context)
        var emitted: [Binding] = []
        emitted.reserveCapacity(block.bindings.count)
        for index in plan.order {
            let unit = plan.units[index]
            guard unit.group >= 0 else {
                emitted.append(block.bindings[Int(unit.members[0])])
                continue
            }
            try Work.check()
            let outputs = plan.outputs[unit.group]
            guard !outputs.isEmpty else { continue }
            let (attributes, suffix) = describe(unit.group)
            let extracted = try extractor.extract(
                block.bindings, members: unit.members, outputs: outputs, attributes: attributes)
            let name = functions.add(extracted.function) { (FusedName.make(extracted.callees), suffix) }
            let call = Expression.call(Call(.function(name), extracted.arguments))
            if outputs.count == 1 {
                emitted.append(Binding(outputs[0], call))
            } else {
                let tuple = function.addValue("", extracted.function.resultType, isDataflow: block.isDataflow)
                emitted.append(Binding(tuple, call))
                for member in unit.members {
                    let id = block.bindings[Int(member)].id
                    if let position = plan.outputPosition(of: id) {
                        emitted.append(Binding(id, .tupleGetItem(.value(tuple), position)))
                    }
                }
            }
        }
        block.bindings = emitted
    }
}
