extension ProgramBuilder {
    /// Notes which roots are read after the nodes of the stage that writes them, and which sizes each stage depends on.
    mutating func findEscapes() {
        var reads: [(tensor: Int, stage: Int)] = []
        for (number, stage) in program.stages.enumerated() {
            for node in stage.nodes {
                for tensor in node.inputs { reads.append((tensor, number)) }
            }
            let found = stage.nodes.map(slots)
            let all = Set(found.joined()).sorted()
            program.stages[number].slots = all
            let positions = Dictionary(uniqueKeysWithValues: zip(all, Int32(0)...))
            for (index, slots) in found.enumerated() {
                program.stages[number].nodes[index].slots = slots.compactMap { positions[$0] }.sorted()
            }
        }
        func escape(_ tensor: Int) {
            if case .node(let stage) = program.roots[program.tensors[tensor].root] {
                program.stages[stage].escaping.insert(program.tensors[tensor].root)
            }
        }
        for (tensor, stage) in reads {
            if case .node(let own) = program.roots[program.tensors[tensor].root], own != stage { escape(tensor) }
        }
        for block in program.blocks { block.results.forEach(escape) }
        program.outputs.forEach(escape)
        for stage in program.stages {
            switch stage.end {
            case .late(let late)?: late.inputs.forEach(escape)
            case .sizes(let tensor, _, _)?, .cast(let tensor, _, _)?: escape(tensor)
            case .branch(let branch)?: escape(branch.condition)
            case .loop(let loop)?:
                escape(loop.tripCount)
                escape(loop.condition)
                for state in loop.states { escape(state.initial) }
            case nil: break
            }
        }
    }

    private func slots(of node: Program.Node) -> Set<Int32> {
        var slots: Set<Int32> = []
        func add(_ size: Size) { if case .slot(let slot) = size { slots.insert(slot) } }
        func add(_ argument: Program.Argument) {
            switch argument {
            case .shape(let sizes): sizes.forEach(add)
            case .tuple(let fields): for field in fields { add(field) }
            case .tensor, .literal, .shapeTensor: break
            }
        }
        for tensor in node.inputs + node.outputs { program.tensors[tensor].dims?.forEach(add) }
        switch node.work {
        case .operation(let operation): operation.arguments.forEach(add)
        case .chain(let chain): chain.anchor.arguments.forEach(add)
        case .region(let region): region.arguments.forEach(add)
        case .sizes: break
        }
        return slots
    }
}
