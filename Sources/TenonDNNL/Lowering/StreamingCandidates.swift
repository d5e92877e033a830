import CDNNL
import TenonIR

/// Operations that read and write about as much as they compute.
extension CandidateMaker {
    func pooling(_ node: RegionNode, _ pooling: Pooling) throws -> [Candidate] {
        try perLayout(node, "pooling") { source, target, attributes in
            var handle: OpaquePointer?
            let status = tdnnl_pooling_create(
                &handle, engine, Int32(pooling.algorithm.rawValue), source.handle, target.handle, pooling.strides,
                pooling.kernel, pooling.dilations, pooling.padsBegin, pooling.padsEnd, attributes)
            return (status, handle)
        }.map { candidate in
            // Windows on row-major images are gathered element by element.
            var candidate = candidate
            if candidate.output == .plain { candidate.time *= 3 }
            return candidate
        }
    }

    func eltwise(_ node: RegionNode, _ function: EltwiseFunction) throws -> [Candidate] {
        let found =
            try perLayout(node, "element-wise function") { source, target, attributes in
                var handle: OpaquePointer?
                let status = tdnnl_eltwise_create(
                    &handle, engine, Int32(function.algorithm.rawValue), source.handle, target.handle, function.alpha,
                    function.beta, attributes)
                return (status, handle)
            }
            .map { candidate in
                var candidate = candidate
                candidate.time += context.costs.transcendental(function, count: graph[node.output].count)
                return candidate
            } + (try kernel(node, function))
        // The reference loop of oneDNN 2.6 counts over dimension 1, which a vector has not, and writes nothing.
        if graph[node.output].dims.count > 1 { return found }
        return found.filter { $0.descriptor?.isReference != true }
    }

    func softmax(_ node: RegionNode, axis: Int) throws -> [Candidate] {
        try perLayout(node, "softmax") { source, target, attributes in
            var handle: OpaquePointer?
            let status = tdnnl_softmax_create(
                &handle, engine, source.handle, target.handle, Int32(truncatingIfNeeded: axis), attributes)
            return (status, handle)
        }
    }

    func binary(_ node: RegionNode, _ algorithm: tdnnl_algorithm) throws -> [Candidate] {
        let shape = graph[node.output].dims
        if misreadsSteps(node, shape) { return [] }
        var found: [Candidate] = []
        for layout in context.layouts(shape, graph[node.output].dtype) {
            let second: BoundOperand?
            if graph[node.inputs[1]].dims == shape {
                second = try context.laidOut(node.inputs[1], layout, argument: TDNNL_ARG_SRC_1)
            } else {
                second = try context.broadcast(
                    node.inputs[1], to: shape, argument: Int32(TDNNL_ARG_SRC_1.rawValue), beside: layout)
            }
            guard let second else { continue }
            let bytes = context.byteCount(node.inputs[1], layout)
            found += try perLayout(node, "binary operation", layouts: [layout], extra: [second]) {
                source, target, attributes in
                var handle: OpaquePointer?
                let status = tdnnl_binary_create(
                    &handle, engine, Int32(algorithm.rawValue), source.handle, second.descriptor.handle, target.handle,
                    attributes)
                return (status, handle)
            }.map { candidate in
                var candidate = candidate
                candidate.time += Double(bytes) / context.costs.bandwidth + functions(node)
                return candidate
            }
        }
        return found
    }

    /// With several images of one place per channel, oneDNN's binary operation reads the operand of a later step wrongly
    /// unless that is of full size.
    private func misreadsSteps(_ node: RegionNode, _ shape: [Int]) -> Bool {
        guard shape.count > 2, shape[0] > 1, shape.dropFirst(2).allSatisfy({ $0 == 1 }) else { return false }
        return node.postOps.contains { step in
            guard case .binary(_, let operand) = step.kind else { return false }
            return graph[operand].count > 1 && graph[operand].dims != shape
        }
    }

    func normalization(_ node: RegionNode, _ normalization: Normalization) throws -> [Candidate] {
        let dims = graph[node.output].dims
        switch normalization.kind {
        case .batch:
            var flags = TDNNL_USE_GLOBAL_STATS.rawValue
            if normalization.usesScale { flags |= TDNNL_USE_SCALE.rawValue }
            if normalization.usesShift { flags |= TDNNL_USE_SHIFT.rawValue }
            var extra = try parameters(
                normalization, [TDNNL_ARG_SCALE, TDNNL_ARG_SHIFT, TDNNL_ARG_MEAN, TDNNL_ARG_VARIANCE])
            if !normalization.usesShift { extra.remove(at: 1) }
            if !normalization.usesScale { extra.remove(at: 0) }
            return try perLayout(node, "batch normalization", extra: extra) { source, target, attributes in
                var handle: OpaquePointer?
                let status = tdnnl_batch_normalization_create(
                    &handle, engine, source.handle, target.handle, normalization.epsilon, flags, attributes)
                return (status, handle)
            }
        case .layer:
            var flags: UInt32 = 0
            if normalization.usesScale { flags |= TDNNL_USE_SCALE.rawValue }
            if normalization.usesShift { flags |= TDNNL_USE_SHIFT.rawValue }
            var extra = try parameters(normalization, [TDNNL_ARG_SCALE, TDNNL_ARG_SHIFT], count: dims[dims.count - 1])
            if !normalization.usesShift { extra.remove(at: 1) }
            if !normalization.usesScale { extra.remove(at: 0) }
            return try perLayout(node, "layer normalization", layouts: [.plain], extra: extra) {
                source, target, attributes in
                var handle: OpaquePointer?
                let status = tdnnl_layer_normalization_create(
                    &handle, engine, source.handle, target.handle, nil, normalization.epsilon, flags, attributes)
                return (status, handle)
            }
        case .localResponse(let size, let alpha, let beta, let bias):
            return try perLayout(node, "local response normalization") { source, target, attributes in
                var handle: OpaquePointer?
                let status = tdnnl_lrn_create(
                    &handle, engine, Int32(TDNNL_LRN_ACROSS_CHANNELS.rawValue), source.handle, target.handle, size,
                    alpha, beta, bias, attributes)
                return (status, handle)
            }
        }
    }

    private func parameters(
        _ normalization: Normalization, _ arguments: [tdnnl_argument], count: Int? = nil
    ) throws -> [BoundOperand] {
        try zip(normalization.parameters, arguments).map { tensor, argument in
            try context.plain(tensor, argument: argument, dims: [count ?? graph[tensor].count])
        }
    }

    func concat(_ node: RegionNode, axis: Int) throws -> [Candidate] {
        let shape = graph[node.output].dims
        var found: [Candidate] = []
        for layout in context.layouts(shape, graph[node.output].dtype) {
            guard node.inputs.allSatisfy({ context.layouts(graph[$0].dims, graph[node.output].dtype).contains(layout) })
            else { continue }
            var operands: [BoundOperand] = []
            for (index, input) in node.inputs.enumerated() {
                var operand = try context.laidOut(input, layout, argument: TDNNL_ARG_MULTIPLE_SRC)
                operand.argument += Int32(truncatingIfNeeded: index)
                operands.append(operand)
            }
            let target = try context.descriptor(shape, graph[node.output].dtype, layout)
            let sources: [OpaquePointer?] = operands.map(\.descriptor.handle)
            let create: Create = { attributes in
                var handle: OpaquePointer?
                let status = tdnnl_concat_create(
                    &handle, engine, target.handle, Int32(truncatingIfNeeded: axis), sources,
                    Int32(truncatingIfNeeded: sources.count), attributes)
                return (status, handle)
            }
            try implementations(limit: 1, PostOpList(), "concat", create) { descriptor in
                found.append(
                    Candidate(
                        descriptor: descriptor, implementation: descriptor.implementation, operands: operands,
                        output: layout, outputDescriptor: target,
                        time: context.isContiguous(axis: axis, layout, shape)
                            // Parts that are computed for it are computed where they belong.
                            ? 100
                            : context.costs.streaming(
                                bytes: 10 * context.byteCount(shape, graph[node.output].dtype, layout),
                                isReference: descriptor.isReference)))
            }
        }
        return found
    }
}
