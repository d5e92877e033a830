import TenonIR

/// A plan that one context owns goes from size to size, as iterations of a loop do whose states grow: only what depends on
/// sizes that have changed is prepared again, in memory that has room.
extension NodePreparation {
    /// Makes the plan ready for the sizes in the table. False when its memory has not the room or weights would be packed; the
    /// plan is of no use then, as after an error.
    func move(_ plan: StagePlan, _ number: Int) throws -> Bool {
        let slots = program.stages[number].slots
        for index in program.stages[number].nodes.indices {
            guard
                program.stages[number].nodes[index].slots.contains(where: {
                    plan.key[Int($0)] != table[Int(slots[Int($0)])]
                })
            else { continue }
            guard try move(plan, index, program.stages[number].nodes[index]) else { return false }
        }
        plan.setKey(slots, table)
        return true
    }

    private func move(_ plan: StagePlan, _ index: Int, _ node: Program.Node) throws -> Bool {
        guard case .kernel(let old) = plan.steps[index].work else { return true }
        do {
            let (kernel, specs) = try prepare(node)
            let step = plan.steps[index]
            guard kernel.scratchBytes <= step.workspaceBytes, kernel.hasWeights(of: plan.kernels[old]) else {
                return false
            }
            for (position, spec) in specs.enumerated() {
                let place = plan.places[Int(step.inputs) + position]
                guard place.root >= 0 || spec.byteCount <= place.room else { return false }
            }
            plan.replace(index, kernel, bytes: specs.totalBytes)
            return true
        } catch let error as TenonError {
            throw error.located(at: node.name)
        }
    }
}

extension PreparedKernel {
    fileprivate func hasWeights(of other: PreparedKernel) -> Bool {
        packedBytes == other.packedBytes && sharedWeights.count == other.sharedWeights.count
            && zip(sharedWeights, other.sharedWeights).allSatisfy { $0 === $1 }
    }
}

extension [TensorSpec] {
    var totalBytes: Int { reduce(0) { $0 &+ $1.byteCount } }
}
