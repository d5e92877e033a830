import TenonIR

/// Running: stages in order, and what ends them.
extension ProgramContext {
    func run(_ block: Int, _ environment: borrowing RunEnvironment) throws {
        for number in program.blocks[block].stages {
            try program.sizes.evaluate(program.stages[number].sizes, table)
            if !program.stages[number].nodes.isEmpty {
                try run(try bound(number, environment), environment)
            }
            if program.stages[number].end != nil { try end(number, environment) }
        }
    }

    // MARK: - Nodes

    /// The stage made ready for the sizes in the table.
    private func bound(_ number: Int, _ environment: borrowing RunEnvironment) throws -> BoundStage {
        let table = UnsafePointer(table)
        let current = stages[number]
        if let current {
            if current.plan.fits(program.stages[number].slots, table, threads: threads) {
                try current.rebind()
                return current
            }
            if try moved(current, number) {
                try current.rebind()
                return current
            }
        }
        let plan = try shared.plan(number, table, threads: threads)
        // Sizes that change from one iteration to the next: the plan is made once and moves.
        let own = loopDepth > 0 && current != nil ? try shared.movable(number, plan, table) : nil
        let chosen = own?.plan ?? plan
        let memory = current?.memory ?? GrowingMemory(shared.account)
        try memory.reserve(chosen.bytes, what: "main: an arena")
        let bound = try BoundStage(chosen, memory: memory, own: own)
        stages[number] = bound
        return bound
    }

    /// Whether a plan of this context's own could be made ready for the sizes in the table.
    private func moved(_ stage: BoundStage, _ number: Int) throws -> Bool {
        guard let own = stage.own, own.plan.threads == threads else { return false }
        // A plan that is left half-way would be for no size at all.
        stages[number] = nil
        let nodes = NodePreparation(program: program, table: table, providers: shared.providers)
        guard try nodes.move(own.plan, number) else { return false }
        stages[number] = stage
        return true
    }

    private func run(_ stage: BoundStage, _ environment: borrowing RunEnvironment) throws {
        let plan = stage.plan
        let base = stage.base
        for (root, offset) in plan.escaping { roots[root] = base + offset }
        expectedNanoseconds += plan.expectedNanoseconds
        let isProfiled = isProfiled
        if isProfiled, !stage.isListed {
            stage.isListed = true
            stage.timings.update(repeating: 0, count: plan.descriptions.count + 1)
            profiled.append(stage)
        }
        var region = 0
        var started = isProfiled ? MonotonicClock.now : 0
        for step in plan.steps {
            try environment.check()
            let count = Int(step.end &- step.inputs)
            reserveArguments(count)
            let arguments = arguments
            for index in 0..<count {
                let place = plan.places[Int(step.inputs) &+ index]
                arguments[index] = (place.root < 0 ? base : roots[Int(place.root)]) + place.offset
            }
            let into = UnsafePointer(arguments + Int(step.outputs &- step.inputs))
            let from = UnsafeRawPointer(arguments).assumingMemoryBound(to: UnsafeRawPointer.self)
            do {
                switch step.work {
                case .kernel(let index):
                    try plan.kernels[index].run(
                        KernelArguments(
                            inputs: from, outputs: into, scratch: base + step.workspace, parallel: environment.parallel)
                    )
                case .region:
                    let instance = stage.regions[region]
                    region &+= 1
                    let timings = isProfiled ? stage.regionTimings + step.description : nil
                    try instance.run(inputs: from, outputs: into, timings: timings, environment: environment)
                case .sizes(let sizes):
                    let target = into[0].assumingMemoryBound(to: Int64.self)
                    for index in sizes.indices { target[index] = SizeProgram.value(sizes[index], table) }
                }
            } catch let error as TenonError {
                throw error.status == .cancelled || error.status == .deadlineExceeded
                    ? error : error.located(at: step.name)
            }
            if isProfiled {
                let now = MonotonicClock.now
                if case .region(let index) = step.work {
                    for entry in step.description..<step.description + plan.regions[index].steps.count {
                        stage.timings[entry] &+= stage.regionTimings[entry]
                    }
                } else {
                    stage.timings[step.description] &+= now &- started
                }
                started = now
            }
        }
    }

    // MARK: - Ends of stages

    private func end(_ number: Int, _ environment: borrowing RunEnvironment) throws {
        switch program.stages[number].end {
        case nil: break
        case .late(let late): try self.late(late, environment)
        case .sizes(let tensor, let dims, let name):
            let sizes = try integers(tensor, name)
            guard sizes.count == dims.count else {
                throw TenonError(
                    .invalidShape, "'\(name)' expects \(dims.count) sizes, found \(sizes.count)", node: name)
            }
            for size in sizes where size < 0 {
                throw TenonError(.invalidShape, "'\(name)' expects sizes from 0, found \(sizes)", node: name)
            }
            try bind(dims, sizes, name)
        case .cast(let tensor, let output, let name):
            try bind(output, try spec(tensor), pointer(tensor), name)
        case .branch(let branch): try self.branch(branch, environment)
        case .loop(let loop): try self.loop(loop, number, environment)
        }
    }

    private func integers(_ tensor: Int, _ name: String) throws -> [Int] {
        let spec = try spec(tensor)
        guard spec.dtype.isInteger, let values = try constant(tensor, spec).intElements else {
            throw TenonError(.invalidType, "'\(name)' expects integers, found \(spec.dtype.name)", node: name)
        }
        return values.map { Int($0) }
    }

    private func branch(_ branch: Program.Branch, _ environment: borrowing RunEnvironment) throws {
        guard let flag = try flag(branch.condition) else {
            throw TenonError(.invalidType, "a condition is one number or bool", node: branch.name)
        }
        try run(flag ? branch.then : branch.other, environment)
        for join in branch.joins {
            let chosen = flag ? join.then : join.other
            try bind(join.output, try spec(chosen), pointer(chosen), branch.name)
        }
    }

    // MARK: - Late operators

    private static let shapeOf = Operators.named("shape_of")

    private func late(_ late: Program.Late, _ environment: borrowing RunEnvironment) throws {
        do {
            let started = isProfiled ? MonotonicClock.now : 0
            let results = try evaluate(late, environment)
            guard results.count == late.outputs.count else {
                throw TenonError(.internal, "\(late.operation.op.name): \(results.count) results")
            }
            for (output, result) in zip(late.outputs, results) {
                let spec = TensorSpec(result.dtype, result.shape.map { Int($0) })
                held[program.tensors[output.tensor].root] = result
                let address = result.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) }
                try bind(output, spec, address ?? PlanInstance.empty, late.name)
            }
            if isProfiled { shared.note(late, MonotonicClock.now &- started) }
        } catch let error as TenonError {
            throw error.located(at: late.name)
        }
    }

    private func evaluate(_ late: Program.Late, _ environment: borrowing RunEnvironment) throws -> [Constant] {
        let op = late.operation.op
        let specs = try late.inputs.map { try spec($0) }
        if op == ProgramContext.shapeOf, let first = specs.first {
            return [try Constant.ints([Int64(first.shape.count)], first.shape.map { Int64($0) })]
        }
        guard !specs.contains(where: { $0.dtype == .string }) else {
            throw TenonError(.unsupported, "\(op.name): strings cannot be computed with", operatorName: op.name)
        }
        var inputs: [Constant] = []
        for (tensor, spec) in zip(late.inputs, specs) { inputs.append(try constant(tensor, spec)) }
        var next = 0
        let operands = try late.operation.arguments.map { try operand($0, inputs, &next) }
        return try LateOperator.evaluate(
            op, operands, late.operation.attributes, inputs, environment: environment, account: shared.account)
    }

    /// An argument with what its tensors hold now.
    private func operand(
        _ argument: Program.Argument, _ inputs: [Constant], _ next: inout Int
    ) throws -> Operand {
        switch argument {
        case .tensor:
            next += 1
            guard inputs.indices.contains(next - 1) else { throw TenonError(.internal, "an operand is missing") }
            return .constant(inputs[next - 1])
        case .shapeTensor:
            next += 1
            guard inputs.indices.contains(next - 1), let values = inputs[next - 1].intElements else {
                throw TenonError(.internal, "a shape is missing")
            }
            return .shape(values.map { .fixed($0) })
        case .literal(let literal): return literal
        case .shape(let sizes): return .shape(sizes.map { .fixed(SizeProgram.value($0, table)) })
        case .tuple(let fields):
            var operands: [Operand] = []
            for field in fields { operands.append(try operand(field, inputs, &next)) }
            return .tuple(operands)
        }
    }
}
