import TenonIR

/// A chain kernel by kernel, where no single one does it: each step reads what the one before has written.
enum ChainKernels {
    static func prepare(_ call: ChainCall, _ providers: [any KernelProvider]) throws -> PreparedKernel {
        if let fused = try Kernels.prepareChain(call) { return fused }
        let anchor = try Kernels.prepare(call.anchor, providers)
        var prepared: [(kernel: PreparedKernel, operand: Int?, isLeft: Bool)] = []
        for step in call.steps {
            var inputs = [call.output]
            var constants: [Constant?] = [nil]
            if let operand = step.operand {
                let known = call.constants.indices.contains(operand) ? call.constants[operand] : nil
                inputs.insert(call.operands[operand], at: step.isLeft ? 1 : 0)
                constants.insert(known, at: step.isLeft ? 1 : 0)
            }
            let kernel = try Kernels.prepare(
                KernelCall(
                    op: step.op, inputs: inputs, constants: constants, outputs: [call.output],
                    attributes: step.attributes,
                    arguments: step.operand == nil && !step.arguments.isEmpty
                        ? step.arguments : inputs.indices.map { .value(ValueID($0)) }), providers)
            prepared.append((kernel, step.operand.map { $0 + call.anchor.inputs.count }, step.isLeft))
        }
        let kernels = prepared
        guard let temporary = ArenaPlanner.rounded(call.output.byteCount) else {
            throw call.anchor.error(.invalidShape, "a size overflows")
        }
        let scratch = kernels.reduce(anchor.scratchBytes) { max($0, $1.kernel.scratchBytes) }
        let (bytes, overflow) = temporary.addingReportingOverflow(scratch)
        guard !overflow else { throw call.anchor.error(.invalidShape, "a size overflows") }
        var result = PreparedKernel(scratchBytes: bytes) { arguments in
            let (own, rest) = (arguments.scratch, arguments.scratch + temporary)
            // The last one writes the result, those before it take turns.
            func target(_ index: Int) -> UnsafeMutableRawPointer {
                (kernels.count - index) % 2 == 0 ? arguments.outputs[0] : own
            }
            try withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer.self, capacity: 3) { pointers in
                guard let base = pointers.baseAddress else { return }
                base.initialize(to: target(0))
                try anchor.run(
                    KernelArguments(
                        inputs: arguments.inputs, outputs: UnsafePointer(base), scratch: rest,
                        parallel: arguments.parallel))
                for (index, step) in kernels.enumerated() {
                    (base + 2).initialize(to: target(index + 1))
                    let value = target(index)
                    if let operand = step.operand {
                        let other = UnsafeMutableRawPointer(mutating: arguments.inputs[operand])
                        base.initialize(to: step.isLeft ? value : other)
                        (base + 1).initialize(to: step.isLeft ? other : value)
                    } else {
                        base.initialize(to: value)
                    }
                    try step.kernel.run(
                        KernelArguments(
                            inputs: UnsafeRawPointer(base).assumingMemoryBound(to: UnsafeRawPointer.self),
                            outputs: UnsafePointer(base + 2), scratch: rest, parallel: arguments.parallel))
                }
            }
        }
        result.provider = anchor.provider
        result.packedBytes = kernels.reduce(anchor.packedBytes) { $0 &+ $1.kernel.packedBytes }
        result.sharedWeights = anchor.sharedWeights + kernels.flatMap(\.kernel.sharedWeights)
        return result
    }
}
