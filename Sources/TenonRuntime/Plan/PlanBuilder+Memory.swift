import TenonIR

extension PlanBuilder {
    /// Gives every buffer its place: the caller's memory, a constant, or an offset in the arena.
    consuming func finish(inputs: [TensorSpec], outputs: [PlannedTensor]) throws -> Plan {
        bindOutputs(outputs)
        var requests: [ArenaRequest] = []
        // Index of a buffer's request; scratch follows, one request per step.
        var request = [Int?](repeating: nil, count: buffers.count)
        measureLifetimes()
        for (index, buffer) in buffers.enumerated() {
            guard case .intermediate = buffer.kind, buffer.output == nil, buffer.bytes > 0 else { continue }
            request[index] = requests.count
            requests.append(ArenaRequest(bytes: buffer.bytes, first: buffer.first, last: buffer.last))
        }
        let firstScratch = requests.count
        for (index, step) in steps.enumerated() {
            requests.append(ArenaRequest(bytes: step.workspace, first: index, last: index))
        }
        guard let arena = ArenaPlanner.plan(requests) else {
            throw TenonError(.limitExceeded, "main: intermediates need more bytes than can be addressed")
        }

        var constants: [Constant] = []
        var storage: [ArgumentPlace] = []
        storage.reserveCapacity(buffers.count)
        for (index, buffer) in buffers.enumerated() {
            switch buffer.kind {
            case .input(let input): storage.append(buffer.bytes == 0 ? .empty : .input(input))
            case .constant(let constant):
                storage.append(constant.bytes.baseAddress.map { .constant($0) } ?? .empty)
            case .intermediate:
                if let output = buffer.output {
                    storage.append(.output(output))
                } else {
                    storage.append(request[index].map { .arena(offset: arena.offsets[$0]) } ?? .empty)
                }
            }
        }

        var arguments: [ArgumentPlace] = []
        var planned: [PlanStep] = []
        var kernels: [PreparedKernel] = []
        var regions: [any CompiledRegion] = []
        var descriptions: [StepDescription] = []
        var kept: Set<ObjectIdentifier> = []
        for (index, step) in steps.enumerated() {
            let work: StepWork
            switch step.work {
            case .kernel(let kernel):
                work = .kernel(kernels.count)
                kernels.append(kernel)
            case .copy(let bytes): work = .copy(bytes)
            case .region(let region):
                work = .region(regions.count)
                regions.append(region)
            }
            let first = arguments.count
            arguments += step.inputs.map { storage[$0] }
            let second = arguments.count
            arguments += step.outputs.map { storage[$0] }
            for buffer in step.inputs {
                guard case .constant(let constant) = buffers[buffer].kind else { continue }
                if kept.insert(ObjectIdentifier(constant)).inserted { constants.append(constant) }
            }
            planned.append(
                PlanStep(
                    work: work, inputs: first, outputs: second, workspace: arena.offsets[firstScratch + index],
                    description: descriptions.count, node: step.node))
            descriptions += step.descriptions
        }
        return Plan(
            inputs: inputs, outputs: outputs.map(\.spec), steps: planned, arguments: arguments, kernels: kernels,
            regions: regions,
            descriptions: descriptions, arenaBytes: arena.bytes,
            scratchBytes: steps.reduce(0) { max($0, $1.workspace) }, constants: constants, threads: options.threads,
            expectedNanoseconds: isRefused ? .infinity : steps.reduce(0) { $0 + $1.nanoseconds },
            known: known.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    /// An intermediate that is an output is computed right into the caller's memory; whatever else is an output (an input, a
    /// constant, the same value again) is copied there.
    private mutating func bindOutputs(_ outputs: [PlannedTensor]) {
        for (index, tensor) in outputs.enumerated() {
            if case .intermediate = buffers[tensor.buffer].kind, buffers[tensor.buffer].output == nil {
                buffers[tensor.buffer].output = index
                continue
            }
            let bytes = tensor.spec.byteCount
            guard bytes > 0 else { continue }
            var target = Buffer(kind: .intermediate, bytes: bytes)
            target.output = index
            buffers.append(target)
            let description = StepDescription(
                binding: "output \(index)", composite: "copy", implementation: "tenon:copy", bytes: bytes &* 2)
            steps.append(
                DraftStep(
                    work: .copy(bytes), inputs: [tensor.buffer], outputs: [buffers.count - 1], workspace: 0,
                    descriptions: [description], node: "output \(index)", nanoseconds: Double(bytes) / 4))
        }
    }

    private mutating func measureLifetimes() {
        var isBorn = [Bool](repeating: false, count: buffers.count)
        for (index, step) in steps.enumerated() {
            for buffer in step.outputs {
                if !isBorn[buffer] { buffers[buffer].first = index }
                isBorn[buffer] = true
                buffers[buffer].last = index
            }
            for buffer in step.inputs { buffers[buffer].last = index }
        }
    }
}
