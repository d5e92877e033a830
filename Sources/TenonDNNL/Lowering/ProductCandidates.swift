import CDNNL
import TenonIR

extension CandidateMaker {
    func product(_ node: RegionNode, _ product: MatrixProduct) throws -> [Candidate] {
        var found: [Candidate] = []
        if graph[product.weights].dims.count == 2 {
            found += try innerProduct(node, product)
            found += try matmul(node, product, isCollapsed: true)
        }
        if found.allSatisfy({ $0.descriptor?.isReference == true }) {
            found += try matmul(node, product, isCollapsed: false)
        }
        guard context.numerics != .exact, let own = try ownProduct(node, product) else { return found }
        // What cannot be cut short enough is computed by the kernel that looks whether a run is over.
        if context.endsEarly { found.removeAll { $0.time / Double($0.pieces?.cut.count ?? 1) > LongSteps.limit } }
        // Where both wait for memory, oneDNN's products are ahead only where they keep packed weights too.
        return found.contains { $0.implementation.hasPrefix("brg") } ? found + [own] : [own] + found
    }

    /// Rows and columns of a result whose leading dimensions are taken together.
    private func collapsed(_ dims: [Int]) -> [Int] { [dims.dropLast().reduce(1, *), dims[dims.count - 1]] }

    /// Post-ops on the collapsed result: operands must be full, one row, or one number.
    private func collapsedPostOps(_ node: RegionNode, cut: Pieces.Cut? = nil) throws -> PostOpPlan? {
        let y = graph[node.output].dims
        guard y.count > 2 else {
            return try PostOpPlan(node, context, shape: y, layout: .plain, usesSum: false, cut: cut)
        }
        var copy = context
        for op in node.postOps {
            guard case .binary(_, let operand) = op.kind else { continue }
            let dims = graph[operand].dims
            if dims == y {
                copy.graph.tensors[operand.index].dims = collapsed(y)
            } else if graph[operand].count == 1 {
                copy.graph.tensors[operand.index].dims = [1, 1]
            } else if dims[dims.count - 1] == y[y.count - 1], graph[operand].count == y[y.count - 1] {
                copy.graph.tensors[operand.index].dims = [1, y[y.count - 1]]
            } else {
                return nil
            }
        }
        return try PostOpPlan(node, copy, shape: collapsed(y), layout: .plain, usesSum: false, cut: cut)
    }

    func productTime(_ node: RegionNode, _ product: MatrixProduct, _ name: String) -> Double {
        let (x, w, y) = (graph[node.inputs[0]], graph[product.weights], graph[node.output])
        let flops = 2 * Double(y.count) * Double(x.dims[x.dims.count - 1])
        // A row-major copy of the weights is read with large strides by a product of few rows.
        let efficiency =
            name.hasPrefix("ref") ? 0.01 : name.hasPrefix("brg") ? 0.8 : name == ProductImplementation.name ? 0.7 : 0.6
        return functions(node)
            + context.costs.compute(flops: flops, bytes: x.bytes + w.bytes + y.bytes, efficiency: efficiency)
    }

    private func innerProduct(_ node: RegionNode, _ product: MatrixProduct) throws -> [Candidate] {
        let (x, y) = (collapsed(graph[node.inputs[0]].dims), collapsed(graph[node.output].dims))
        // oneDNN wants [outputs, inputs].
        let stored = graph[product.weights].constant?.strides ?? rowMajorStrides(graph[product.weights].dims)
        let strides = product.isTransposed ? stored : [stored[1], stored[0]]
        let dims = [y[1], x[1]]
        let weights = try MemoryDescriptor.any(dims, graph[product.weights].dtype)
        let bias = try product.bias.map { try MemoryDescriptor.any([y[1]], graph[$0].dtype) }
        let form = ProductForm(what: "inner product", limit: 2, x: x, y: y) { source, target, _ in
            { attributes in
                var handle: OpaquePointer?
                let status = tdnnl_inner_product_create(
                    &handle, engine, source.handle, weights.handle, bias?.handle, target.handle, attributes)
                return (status, handle)
            }
        } operands: { descriptor, _ in
            try descriptor.packed(
                weights: product.weights, dims: dims, strides: strides, bias: product.bias, outputs: y[1])?
                .map { Pieces.Operand(bound: $0) }
        } postOps: {
            try collapsedPostOps(node, cut: $0)
        }
        return try candidates(node, product, form)
    }

    private func matmul(_ node: RegionNode, _ product: MatrixProduct, isCollapsed: Bool) throws -> [Candidate] {
        let (a, b, c) = (graph[node.inputs[0]].dims, graph[product.weights].dims, graph[node.output].dims)
        let (x, y) = isCollapsed ? (collapsed(a), collapsed(c)) : (a, c)
        // [..., inputs, outputs] with the rank of the result.
        let leading = y.count - b.count
        var dims = [Int](repeating: 1, count: leading) + b
        let stored = graph[product.weights].constant?.strides ?? rowMajorStrides(b)
        var strides = [Int](repeating: graph[product.weights].count, count: leading) + stored
        if product.isTransposed {
            dims.swapAt(dims.count - 1, dims.count - 2)
            strides.swapAt(strides.count - 1, strides.count - 2)
        }
        let (isConstant, dtype) = (graph[product.weights].isConstant, graph[product.weights].dtype)
        // Products of many matrices are cut between them.
        let isBatched = y.count > 2 && dims[0] > 1
        func weights(_ samples: Int?) throws -> MemoryDescriptor {
            let dims = isBatched ? [samples ?? dims[0]] + dims.dropFirst() : dims
            return isConstant ? try .any(dims, dtype) : try .strided(dims, dtype, strides)
        }
        let bias = try product.bias.map { _ in
            try MemoryDescriptor.strided(
                [Int](repeating: 1, count: y.count - 1) + [y[y.count - 1]], graph[node.output].dtype)
        }
        let form = ProductForm(
            what: "matmul", limit: 1, x: x, y: y, isCut: isCollapsed || x[0] == y[0] && !(isBatched && isConstant)
        ) { source, target, samples in
            let weights = try weights(samples)
            return { attributes in
                var handle: OpaquePointer?
                let status = tdnnl_matmul_create(
                    &handle, engine, source.handle, weights.handle, bias?.handle, target.handle, attributes)
                return (status, handle)
            }
        } operands: { descriptor, samples in
            let argument = Int32(TDNNL_ARG_WEIGHTS.rawValue)
            var operands: [Pieces.Operand] = []
            if isConstant {
                guard let packed = try descriptor.descriptor(TDNNL_QUERY_WEIGHTS) else { return nil }
                operands.append(
                    Pieces.Operand(
                        bound: BoundOperand(
                            argument: argument, tensor: product.weights, place: .packed, descriptor: packed,
                            sourceDims: dims, sourceStrides: strides)))
            } else {
                operands.append(
                    Pieces.Operand(
                        bound: BoundOperand(
                            argument: argument, tensor: product.weights, place: .layout(.plain),
                            descriptor: try weights(samples)),
                        sampleBytes: isBatched ? strides[0] &* dtype.byteCount : 0))
            }
            if let tensor = product.bias, let bias {
                operands.append(
                    Pieces.Operand(
                        bound: BoundOperand(
                            argument: Int32(TDNNL_ARG_BIAS.rawValue), tensor: tensor, place: .layout(.plain),
                            descriptor: bias)))
            }
            return operands
        } postOps: {
            try isCollapsed
                ? collapsedPostOps(node, cut: $0)
                : PostOpPlan(node, context, shape: y, layout: .plain, usesSum: false, cut: $0)
        }
        return try candidates(node, product, form)
    }

    private func candidates(
        _ node: RegionNode, _ product: MatrixProduct, _ form: ProductForm
    ) throws -> [Candidate] {
        guard let postOps = try form.postOps(nil) else { return [] }
        let source = try context.plain(node.inputs[0], argument: TDNNL_ARG_SRC, dims: form.x)
        let target = try MemoryDescriptor.strided(form.y, graph[node.output].dtype)
        var found: [Candidate] = []
        let create = try form.create(source.descriptor, target, nil)
        try implementations(limit: form.limit, postOps.list, form.what, create) { descriptor in
            guard let operands = try form.operands(descriptor, nil) else { return }
            var candidate = Candidate(
                descriptor: descriptor, implementation: descriptor.implementation,
                operands: [source] + operands.map(\.bound) + postOps.bound(to: descriptor), output: .plain,
                outputDescriptor: target, time: productTime(node, product, descriptor.implementation))
            candidate.pieces = try pieces(of: candidate, node, form)
            found.append(candidate)
        }
        return found
    }

    private func pieces(of candidate: Candidate, _ node: RegionNode, _ form: ProductForm) throws -> Pieces? {
        let flops = 2 * Double(graph[node.output].count) * Double(form.x.last ?? 1)
        // A product of a column and a row is more writing than computing.
        let bytes = Double(candidate.allOperands.reduce(graph[node.output].bytes) { $0 &+ graph[$1.tensor].bytes })
        let excess = LongSteps.excess(
            flops, expected: max(candidate.time, bytes / LongSteps.byteRate), threads: context.threads)
        let fewest = form.y.count > 2 ? 1 : LongSteps.fewestRows(context.endsEarly)
        guard form.isCut, let cut = LongSteps.cut(excess, rows: form.y[0], fewest: fewest),
            let postOps = try form.postOps(cut)
        else { return nil }
        let dims = [cut.samples] + form.x.dropFirst()
        let source = try context.plain(node.inputs[0], argument: TDNNL_ARG_SRC, dims: dims)
        let target = try MemoryDescriptor.strided(cut.piece(form.y, of: form.y), graph[node.output].dtype)
        let create = try form.create(source.descriptor, target, cut.samples)
        var found: Pieces?
        try implementations(limit: form.limit, postOps.list, form.what, create) { descriptor in
            guard found == nil, descriptor.implementation == candidate.implementation,
                let operands = try form.operands(descriptor, cut.samples)
            else { return }
            let data = Pieces.Operand(bound: source, sampleBytes: source.descriptor.byteCount / cut.samples)
            let result = BoundOperand(
                argument: Int32(TDNNL_ARG_DST.rawValue), tensor: node.output, place: .layout(.plain), descriptor: target
            )
            found = Pieces(
                descriptor: descriptor, cut: cut,
                operands: [data] + operands + postOps.pieces(of: form.y, cut, for: descriptor),
                result: Pieces.Operand(bound: result, sampleBytes: target.byteCount / cut.samples))
        }
        return found
    }
}

/// A product as oneDNN is told of it, whole or with so many samples of its first dimension.
private struct ProductForm {
    var what: String
    var limit: Int
    var x: [Int]
    var y: [Int]
    /// Whether pieces of the first dimension can be computed apart.
    var isCut = true
    var create: (MemoryDescriptor, MemoryDescriptor, Int?) throws -> CandidateMaker.Create
    /// Weights and bias as an implementation takes them.
    var operands: (PrimitiveDescriptor, Int?) throws -> [Pieces.Operand]?
    var postOps: (Pieces.Cut?) throws -> PostOpPlan?
}
