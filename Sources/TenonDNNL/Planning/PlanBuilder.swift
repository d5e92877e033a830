import CDNNL
import TenonIR
import TenonRuntime

/// Turns chosen candidates into steps over buffers: reorders where a layout is missing, weights packed, residuals and
/// outputs in place.
struct PlanBuilder {
    let context: PlanContext
    let nodes: [RegionNode]
    var plan = Plan()
    /// Where each tensor is, by layout.
    var places: [[BufferID?]]
    private var lastUse: [Int]
    /// Tensors that are put, in a layout, where a concatenation wants them.
    var slots: [PlacedTensor: ConcatSlot] = [:]
    /// Memory of concatenations whose parts are computed in place, by node.
    var joined: [Int: BufferID] = [:]
    var joinedBytes: [Int: Int] = [:]
    /// Concatenations that own memory for their parts.
    var owners: Set<Int> = []
    private var weights: [WeightKey: BufferID] = [:]
    let packer: WeightPacker

    private struct WeightKey: Hashable {
        var tensor: TensorID
        var hash: UInt64
        var dims: [Int]
    }

    var graph: RegionGraph { context.graph }

    static func build(_ context: PlanContext, _ nodes: [RegionNode], _ choices: [Candidate]) throws -> Plan {
        var builder = PlanBuilder(context, nodes)
        return try builder.build(choices)
    }

    private init(_ context: PlanContext, _ nodes: [RegionNode]) {
        self.context = context
        self.nodes = nodes
        packer = WeightPacker(context.engine, threads: context.threads)
        places = context.graph.tensors.map { _ in [BufferID?](repeating: nil, count: Layout.allCases.count) }
        lastUse = [Int](repeating: -1, count: context.graph.tensors.count)
        for (index, node) in nodes.enumerated() {
            for operand in node.operands { lastUse[operand.index] = index }
        }
        for output in context.graph.outputs { lastUse[output.index] = nodes.count }
    }

    private mutating func build(_ choices: [Candidate]) throws -> Plan {
        for (number, tensor) in graph.inputs.enumerated() {
            places[tensor.index][Int(Layout.plain.rawValue)] = addBuffer(graph[tensor].bytes, .input(number))
        }
        assignSlots(choices)
        let flags = NumericsFlags(graph, nodes)
        plan.mayLoseNaN = flags.mayLoseNaN
        for (index, node) in nodes.enumerated() {
            do {
                try emit(node, choices[index], index)
                if context.numerics == .strict, flags.needsLowestCheck(node) { checkLowest(node, choices[index]) }
            } catch let error as TenonError {
                throw error.located(at: node.binding)
            }
        }
        try writeOutputs()
        setAside()
        try MemoryPlanner.place(&plan)
        return plan
    }

    mutating func addBuffer(_ bytes: Int, _ storage: PlanBuffer.Storage) -> BufferID {
        plan.buffers.append(PlanBuffer(bytes: bytes, storage: storage))
        return BufferID(index: plan.buffers.count - 1)
    }

    // MARK: - Nodes

    private mutating func emit(_ node: RegionNode, _ candidate: Candidate, _ index: Int) throws {
        switch node.operation {
        case .view:
            let source = try buffer(node.inputs[0], .plain)
            let alias = addBuffer(plan.buffers[source.index].bytes, .alias(source, 0))
            places[node.output.index][Int(Layout.plain.rawValue)] = alias
        case .transposition(let toSecond):
            let source = try buffer(node.inputs[0], toSecond ? .plain : .channelsLast)
            let alias = addBuffer(plan.buffers[source.index].bytes, .alias(source, 0))
            places[node.output.index][Int(candidate.output.rawValue)] = alias
        case .kernel(let op): try emitKernel(node, op)
        case .concat where try joinInPlace(node, candidate, index): break
        case _ where candidate.kernel != nil:
            if let kernel = candidate.kernel { try emitImplementation(node, kernel, candidate, index) }
            try emitTail(node, candidate)
        case .eltwise where candidate.descriptor == nil: try emitEltwise(node, candidate, index)
        default:
            try emitPrimitive(node, candidate, index)
            try emitTail(node, candidate)
        }
    }

    private mutating func emitKernel(_ node: RegionNode, _ op: RegionOp) throws {
        let inputs = try node.inputs.map { try buffer($0, .plain) }
        let kernel = try Kernels.prepare(
            KernelCall(
                op: op.op, inputs: op.inputs.map { TensorSpec(graph[$0].dtype, graph[$0].dims) },
                constants: op.inputs.map { graph[$0].constant.flatMap { $0.strides == nil ? $0.constant : nil } },
                outputs: op.outputs.map { TensorSpec(graph[$0].dtype, graph[$0].dims) }, attributes: op.attributes,
                arguments: op.arguments))
        var outputs: [BufferID] = []
        for output in op.outputs {
            let buffer = addBuffer(graph[output].bytes, .workspace)
            places[output.index][Int(Layout.plain.rawValue)] = buffer
            outputs.append(buffer)
        }
        let bytes = (op.inputs + op.outputs).reduce(0) { $0 &+ graph[$1].bytes }
        for weights in kernel.sharedWeights { plan.hold(weights) }
        plan.steps.append(
            PlanStep(
                action: .kernel(kernel, inputs: inputs, outputs: outputs), scratchBytes: kernel.scratchBytes,
                description: StepDescription(
                    binding: node.binding, composite: node.composite, implementation: "swift", bytes: bytes)))
    }

    private mutating func emitPrimitive(_ node: RegionNode, _ candidate: Candidate, _ index: Int) throws {
        guard let descriptor = candidate.descriptor else {
            throw TenonError(.internal, "\(node.composite) has no primitive")
        }
        if let pieces = candidate.pieces { return try emitPieces(node, candidate, pieces, index) }
        var operands: [PlanOperand] = []
        for operand in candidate.operands {
            operands.append((operand.argument, try memory(operand, node), operand.descriptor))
        }
        let output = try result(node, candidate, index, operands.map(\.buffer))
        operands.append((Int32(TDNNL_ARG_DST.rawValue), output, candidate.outputDescriptor))
        try append(descriptor, operands, describe(node, candidate))
        if case .resampling = node.operation { plan.steps[plan.steps.count - 1].needsAlignedResult = true }
    }

    mutating func memory(_ operand: BoundOperand, _ node: RegionNode) throws -> BufferID {
        try operand.scale.map { try scaledWeights(operand, $0, node) } ?? buffer(for: operand)
    }

    /// Memory that a node's result is written to, which is the residual's where the primitive adds to that.
    mutating func result(
        _ node: RegionNode, _ candidate: Candidate, _ index: Int, _ operands: [BufferID]
    ) throws -> BufferID {
        let output =
            try candidate.accumulates.map { try accumulator($0, candidate, index, operands) } ?? place(node, candidate)
        places[node.output.index][Int(candidate.output.rawValue)] = output
        return output
    }

    func describe(_ node: RegionNode, _ candidate: Candidate) -> StepDescription {
        let layouts = candidate.operands.first.map { $0.descriptor.layoutText() } ?? ""
        let bytes = candidate.operands.reduce(candidate.outputDescriptor.byteCount) { $0 &+ $1.descriptor.byteCount }
        return StepDescription(
            binding: node.binding, composite: node.composite, implementation: candidate.implementation,
            layouts: layouts + ":" + candidate.outputDescriptor.layoutText(), bytes: bytes, flops: node.flops(graph))
    }

    /// Memory for a result: where a concatenation wants it, else of its own.
    private mutating func place(_ node: RegionNode, _ candidate: Candidate) -> BufferID {
        let bytes = candidate.outputDescriptor.byteCount
        if let slot = slots[PlacedTensor(tensor: node.output, layout: candidate.output)] { return slice(slot, bytes) }
        return addBuffer(bytes, .workspace)
    }

    private mutating func emitImplementation(
        _ node: RegionNode, _ implementation: any Implementation, _ candidate: Candidate, _ index: Int
    ) throws {
        let kernel = try implementation.kernel(
            threads: context.threads, operands: candidate.operands.count, inPlace: candidate.accumulates != nil)
        try appendKernel(node, candidate, index, try implementation.pack(packer, graph), kernel)
    }

    /// A kernel of ours that reads packed weights, if it has any, behind its first operand.
    private mutating func appendKernel(
        _ node: RegionNode, _ candidate: Candidate, _ index: Int, _ memory: WeightMemory?, _ kernel: PreparedKernel
    ) throws {
        guard let first = candidate.operands.first else {
            throw TenonError(.internal, "\(node.composite) has no operand")
        }
        var inputs: [BufferID] = []
        for operand in candidate.operands { inputs.append(try buffer(for: operand)) }
        if let memory { plan.hold(memory) }
        for weights in kernel.sharedWeights { plan.hold(weights) }
        let output: BufferID
        if let residual = candidate.accumulates {
            output = try accumulator(residual, candidate, index, inputs)
        } else {
            output = place(node, candidate)
        }
        if let memory { inputs.insert(addBuffer(memory.bytes, .weights(memory)), at: 1) }
        places[node.output.index][Int(candidate.output.rawValue)] = output
        let bytes = candidate.operands.reduce((memory?.bytes ?? 0) &+ candidate.outputDescriptor.byteCount) {
            $0 &+ $1.descriptor.byteCount
        }
        plan.steps.append(
            PlanStep(
                action: .kernel(kernel, inputs: inputs, outputs: [output]), scratchBytes: kernel.scratchBytes,
                description: StepDescription(
                    binding: node.binding, composite: node.composite, implementation: candidate.implementation,
                    layouts: first.descriptor.layoutText() + ":" + candidate.outputDescriptor.layoutText(),
                    bytes: bytes, flops: node.flops(graph))))
    }

    /// A function alone, on the memory of its operand where nothing else needs that.
    private mutating func emitEltwise(_ node: RegionNode, _ candidate: Candidate, _ index: Int) throws {
        guard let operand = candidate.operands.first, let tail = candidate.tail else {
            throw TenonError(.internal, "\(node.composite) has no kernel")
        }
        let source = try buffer(for: operand)
        let hasSlot = slots[PlacedTensor(tensor: node.output, layout: candidate.output)] != nil
        let isFree = !hasSlot && isFree(source, of: operand.tensor, index)
        let output =
            isFree ? addBuffer(plan.buffers[source.index].bytes, .alias(source, 0)) : place(node, candidate)
        places[node.output.index][Int(candidate.output.rawValue)] = output
        appendEltwise(tail, node, candidate, [source], output)
    }

    /// What our kernel does behind a primitive, on its result.
    private mutating func emitTail(_ node: RegionNode, _ candidate: Candidate) throws {
        guard let tail = candidate.tail, let result = places[node.output.index][Int(candidate.output.rawValue)] else {
            return
        }
        let addend = try tail.addend.map { try buffer(for: $0) }
        appendEltwise(tail, node, candidate, [result] + (addend.map { [$0] } ?? []), result)
    }

    private mutating func appendEltwise(
        _ tail: EltwiseTail, _ node: RegionNode, _ candidate: Candidate, _ sources: [BufferID], _ output: BufferID
    ) {
        let bytes = candidate.outputDescriptor.byteCount
        let layout = candidate.outputDescriptor.layoutText()
        plan.steps.append(
            PlanStep(
                action: .kernel(
                    tail.kernel(count: bytes / graph[node.output].dtype.byteCount), inputs: sources, outputs: [output]),
                scratchBytes: 0,
                description: StepDescription(
                    binding: tail.binding, composite: node.composite, implementation: EltwiseTail.implementation,
                    layouts: layout + ":" + layout, bytes: bytes &* (sources.count + 1))))
    }

    mutating func append(
        _ descriptor: PrimitiveDescriptor, _ operands: [PlanOperand], _ description: StepDescription
    ) throws {
        try append(Primitive(descriptor), descriptor, operands, description)
    }

    mutating func append(
        _ primitive: Primitive, _ descriptor: PrimitiveDescriptor, _ operands: [PlanOperand],
        _ description: StepDescription
    ) throws {
        let scratch = try descriptor.descriptor(TDNNL_QUERY_SCRATCHPAD)
        plan.steps.append(
            PlanStep(
                action: .primitive(primitive, operands: operands),
                scratchBytes: scratch?.byteCount ?? 0, scratch: scratch, description: description))
    }

    /// The memory that a sum in place reads and overwrites: the residual's own when nothing else needs it, else a copy.
    private mutating func accumulator(
        _ residual: TensorID, _ candidate: Candidate, _ index: Int, _ others: [BufferID]
    ) throws -> BufferID {
        let source = try buffer(residual, candidate.output)
        let root = plan.root(source)
        // The convolution must not read what it overwrites.
        if isFree(source, of: residual, index), !others.contains(where: { plan.root($0) == root }) {
            return addBuffer(plan.buffers[source.index].bytes, .alias(source, 0))
        }
        let copy = addBuffer(plan.buffers[source.index].bytes, .workspace)
        addCopy(from: source, to: copy, graph[residual].name)
        return copy
    }

    /// Whether node `index` may overwrite an operand: nothing needs it behind the node. A view shares its memory with tensors that
    /// may live on.
    private func isFree(_ buffer: BufferID, of tensor: TensorID, _ index: Int) -> Bool {
        let root = plan.root(buffer)
        guard case .workspace = plan.buffers[root.index].storage else { return false }
        return lastUse[tensor.index] <= index && !isAliased(root, by: tensor, index)
    }

    /// Whether memory holds another tensor that is needed at node `index` or behind it.
    private func isAliased(_ root: BufferID, by tensor: TensorID, _ index: Int) -> Bool {
        for (other, buffers) in places.enumerated() where other != tensor.index && lastUse[other] >= index {
            for case let buffer? in buffers where plan.root(buffer) == root { return true }
        }
        return false
    }

    private mutating func addCopy(from source: BufferID, to target: BufferID, _ name: String) {
        let bytes = plan.buffers[target.index].bytes
        plan.steps.append(
            PlanStep(
                action: .copy(from: source, to: target, bytes: bytes), scratchBytes: 0,
                description: StepDescription(
                    binding: name, composite: "copy", implementation: "memcpy", bytes: bytes &* 2)))
    }

    // MARK: - Operands

    mutating func buffer(for operand: BoundOperand) throws -> BufferID {
        if let view = graph[operand.tensor].constant { return try packedWeights(operand, view) }
        switch operand.place {
        case .layout(let layout): return try buffer(operand.tensor, layout)
        case .packed:
            let plain = try buffer(operand.tensor, .plain)
            let source = try MemoryDescriptor.strided(
                operand.sourceDims, graph[operand.tensor].dtype, operand.sourceStrides)
            if source.isEqual(to: operand.descriptor) { return plain }
            let target = addBuffer(operand.descriptor.byteCount, .workspace)
            try addReorder(plain, source, target, operand.descriptor, graph[operand.tensor].name)
            return target
        }
    }

    /// With `pieces` the operand describes one of so many pieces of the constant's outputs.
    mutating func packedWeights(_ operand: BoundOperand, _ view: ConstantView, pieces: Int = 1) throws -> BufferID {
        let dims = operand.sourceDims
        let key = WeightKey(tensor: operand.tensor, hash: operand.descriptor.hash, dims: dims)
        if let known = weights[key] { return known }
        let source: MemoryDescriptor
        switch operand.place {
        case .packed: source = try .strided(dims, graph[operand.tensor].dtype, operand.sourceStrides ?? view.strides)
        // Row-major, so leading dimensions of 1 make no difference; folding leaves strides to weights only.
        case .layout(.plain): source = operand.descriptor
        case .layout: source = try .strided(graph[operand.tensor].dims, graph[operand.tensor].dtype)
        }
        var slices = WeightPacker.Slices()
        if pieces > 1, let outputs = dims.first {
            let strides = operand.sourceStrides ?? view.strides ?? rowMajorStrides(dims)
            slices = .init(count: pieces, step: outputs &* strides[0] &* graph[operand.tensor].dtype.byteCount)
        }
        let memory = try packer.pack(view.constant, from: source, to: operand.descriptor, slices: slices)
        // Weights that lie in the constant itself take nothing.
        if memory.bytes > 0 { plan.hold(memory) }
        let buffer = addBuffer(max(memory.bytes, graph[operand.tensor].bytes), .weights(memory))
        weights[key] = buffer
        return buffer
    }

    /// The tensor in a layout, moved there if it is not yet.
    mutating func buffer(_ tensor: TensorID, _ layout: Layout) throws -> BufferID {
        if let buffer = places[tensor.index][Int(layout.rawValue)] { return buffer }
        if let view = graph[tensor].constant {
            guard layout == .plain else {
                return try packedWeights(
                    BoundOperand(
                        argument: 0, tensor: tensor, place: .layout(layout),
                        descriptor: try context.descriptor(tensor, layout)), view)
            }
            let buffer = addBuffer(graph[tensor].bytes, .weights(try WeightMemory(borrowing: view.constant)))
            places[tensor.index][Int(layout.rawValue)] = buffer
            return buffer
        }
        let dims = graph[tensor].dims
        for other in Layout.allCases {
            guard let existing = places[tensor.index][Int(other.rawValue)], context.coincide(other, layout, dims) else {
                continue
            }
            let alias = addBuffer(plan.buffers[existing.index].bytes, .alias(existing, 0))
            places[tensor.index][Int(layout.rawValue)] = alias
            return alias
        }
        for other in Layout.allCases {
            guard let existing = places[tensor.index][Int(other.rawValue)] else { continue }
            let (from, to) = (try context.descriptor(tensor, other), try context.descriptor(tensor, layout))
            let slot = slots[PlacedTensor(tensor: tensor, layout: layout)]
            let target = slot.map { slice($0, to.byteCount) } ?? addBuffer(to.byteCount, .workspace)
            try addReorder(existing, from, target, to, graph[tensor].name)
            places[tensor.index][Int(layout.rawValue)] = target
            return target
        }
        throw TenonError(.internal, "'\(graph[tensor].name)' is used before it is computed")
    }

    mutating func addReorder(
        _ source: BufferID, _ from: MemoryDescriptor, _ target: BufferID, _ to: MemoryDescriptor, _ name: String
    ) throws {
        var handle: OpaquePointer?
        let status = tdnnl_reorder_create(&handle, context.engine.handle, from.handle, to.handle, nil)
        guard let descriptor = try PrimitiveDescriptor.wrap(status, handle, "reorder") else {
            throw TenonError(
                .unsupported, "reorder: oneDNN has none from \(from.layoutText(.plain)) to \(to.layoutText(.plain))")
        }
        try append(
            descriptor,
            [(Int32(TDNNL_ARG_SRC.rawValue), source, from), (Int32(TDNNL_ARG_DST.rawValue), target, to)],
            StepDescription(
                binding: name, composite: "reorder", implementation: descriptor.implementation,
                layouts: from.layoutText() + ":" + to.layoutText(), bytes: from.byteCount &+ to.byteCount))
    }

    // MARK: - Outputs

    /// The last step of an output writes the caller's memory where it can.
    private mutating func writeOutputs() throws {
        for (number, tensor) in graph.outputs.enumerated() {
            let source = try buffer(tensor, .plain)
            let root = plan.root(source)
            if case .workspace = plan.buffers[root.index].storage, plan.buffers[root.index].bytes == graph[tensor].bytes
            {
                plan.buffers[root.index].storage = .output(number)
                continue
            }
            let target = addBuffer(graph[tensor].bytes, .output(number))
            addCopy(from: source, to: target, graph[tensor].name)
        }
    }
}

extension PlanBuilder {
    /// Memory for results that may have to be computed beside their place: a caller's, or a part of another one.
    private mutating func setAside() {
        for index in plan.steps.indices where plan.steps[index].needsAlignedResult {
            guard case .primitive(_, let operands) = plan.steps[index].action,
                let result = operands.first(where: { $0.argument == Int32(TDNNL_ARG_DST.rawValue) })
            else { continue }
            let (root, offset) = plan.place(result.buffer)
            if case .workspace = plan.buffers[root.index].storage, offset % MemoryPlanner.alignment == 0 { continue }
            plan.steps[index].aside = addBuffer(result.descriptor.byteCount, .workspace)
        }
    }
}

extension RegionTensor {
    /// Cannot overflow: the reader has checked the size.
    var bytes: Int { count * dtype.byteCount }
}

extension RegionNode {
    /// Multiplications and additions, for reports.
    func flops(_ graph: RegionGraph) -> Int {
        let value: Double
        switch operation {
        case .convolution(let convolution):
            value = convolution.flops(graph[inputs[0]].dims, graph[output].dims, graph)
        case .depthwiseFusion(let fusion):
            value = fusion.flops(graph[inputs[0]].dims, graph[output].dims, graph)
        case .squeezeExcitation(let block): value = 4 * Double(graph[output].count) * Double(block.hidden)
        case .product: value = 2 * Double(graph[output].count) * Double(graph[inputs[0]].dims.last ?? 1)
        default: value = 0
        }
        return Int(exactly: value.rounded()) ?? Int.max
    }
}
