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
        return found
    }

    /// Rows and columns of a result whose leading dimensions are taken together.
    private func collapsed(_ dims: [Int]) -> [Int] { [dims.dropLast().reduce(1, *), dims[dims.count - 1]] }

    /// Post-ops on the collapsed result: operands must be full, one row, or one number.
    private func collapsedPostOps(_ node: RegionNode) throws -> PostOpPlan? {
        let y = graph[node.output].dims
        guard y.count > 2 else { return try PostOpPlan(node, context, shape: y, layout: .plain, usesSum: false) }
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
        return try PostOpPlan(node, copy, shape: collapsed(y), layout: .plain, usesSum: false)
    }

    private func time(_ node: RegionNode, _ product: MatrixProduct, _ name: String) -> Double {
        let (x, w, y) = (graph[node.inputs[0]], graph[product.weights], graph[node.output])
        let flops = 2 * Double(y.count) * Double(x.dims[x.dims.count - 1])
        // A row-major copy of the weights is read with large strides by a product of few rows.
        let efficiency = name.hasPrefix("ref") ? 0.01 : name.hasPrefix("brg") ? 0.8 : 0.6
        return functions(node)
            + context.costs.compute(flops: flops, bytes: x.bytes + w.bytes + y.bytes, efficiency: efficiency)
    }

    private func innerProduct(_ node: RegionNode, _ product: MatrixProduct) throws -> [Candidate] {
        let (x, y) = (collapsed(graph[node.inputs[0]].dims), collapsed(graph[node.output].dims))
        guard let postOps = try collapsedPostOps(node) else { return [] }
        let source = try context.plain(node.inputs[0], argument: TDNNL_ARG_SRC, dims: x)
        let target = try MemoryDescriptor.strided(y, graph[node.output].dtype)
        // oneDNN wants [outputs, inputs].
        let stored = graph[product.weights].constant?.strides ?? rowMajorStrides(graph[product.weights].dims)
        let strides = product.isTransposed ? stored : [stored[1], stored[0]]
        let dims = [y[1], x[1]]
        let weights = try MemoryDescriptor.any(dims, graph[product.weights].dtype)
        let bias = try product.bias.map { try MemoryDescriptor.any([y[1]], graph[$0].dtype) }
        var found: [Candidate] = []
        let create: Create = { attributes in
            var handle: OpaquePointer?
            let status = tdnnl_inner_product_create(
                &handle, engine, source.descriptor.handle, weights.handle, bias?.handle, target.handle, attributes)
            return (status, handle)
        }
        try implementations(limit: 2, postOps.list, "inner product", create) { descriptor in
            guard
                let packed = try descriptor.packed(
                    weights: product.weights, dims: dims, strides: strides, bias: product.bias, outputs: y[1])
            else { return }
            let operands = [source] + packed + postOps.bound(to: descriptor)
            found.append(
                Candidate(
                    descriptor: descriptor, implementation: descriptor.implementation, operands: operands,
                    output: .plain, outputDescriptor: target, time: time(node, product, descriptor.implementation)))
        }
        return found
    }

    private func matmul(_ node: RegionNode, _ product: MatrixProduct, isCollapsed: Bool) throws -> [Candidate] {
        let (a, b, c) = (graph[node.inputs[0]].dims, graph[product.weights].dims, graph[node.output].dims)
        let (x, y) = isCollapsed ? (collapsed(a), collapsed(c)) : (a, c)
        let postOps =
            isCollapsed
            ? try collapsedPostOps(node) : try PostOpPlan(node, context, shape: y, layout: .plain, usesSum: false)
        guard let postOps else { return [] }
        let source = try context.plain(node.inputs[0], argument: TDNNL_ARG_SRC, dims: x)
        let target = try MemoryDescriptor.strided(y, graph[node.output].dtype)
        // [..., inputs, outputs] with the rank of the result.
        let leading = y.count - b.count
        var dims = [Int](repeating: 1, count: leading) + b
        let stored = graph[product.weights].constant?.strides ?? rowMajorStrides(b)
        var strides = [Int](repeating: graph[product.weights].count, count: leading) + stored
        if product.isTransposed {
            dims.swapAt(dims.count - 1, dims.count - 2)
            strides.swapAt(strides.count - 1, strides.count - 2)
        }
        let isConstant = graph[product.weights].isConstant
        let weights =
            isConstant
            ? try MemoryDescriptor.any(dims, graph[product.weights].dtype)
            : try .strided(dims, graph[product.weights].dtype, strides)
        let bias = try product.bias.map { _ in
            try MemoryDescriptor.strided(
                [Int](repeating: 1, count: y.count - 1) + [y[y.count - 1]], graph[node.output].dtype)
        }
        var found: [Candidate] = []
        let create: Create = { attributes in
            var handle: OpaquePointer?
            let status = tdnnl_matmul_create(
                &handle, engine, source.descriptor.handle, weights.handle, bias?.handle, target.handle, attributes)
            return (status, handle)
        }
        try implementations(limit: 1, postOps.list, "matmul", create) { descriptor in
            var operands = [source]
            if isConstant {
                guard let packed = try descriptor.descriptor(TDNNL_QUERY_WEIGHTS) else { return }
                operands.append(
                    BoundOperand(
                        argument: Int32(TDNNL_ARG_WEIGHTS.rawValue), tensor: product.weights, place: .packed,
                        descriptor: packed, sourceDims: dims, sourceStrides: strides))
            } else {
                operands.append(
                    BoundOperand(
                        argument: Int32(TDNNL_ARG_WEIGHTS.rawValue), tensor: product.weights, place: .layout(.plain),
                        descriptor: weights))
            }
            if let tensor = product.bias, let bias {
                operands.append(
                    BoundOperand(
                        argument: Int32(TDNNL_ARG_BIAS.rawValue), tensor: tensor, place: .layout(.plain),
                        descriptor: bias))
            }
            operands += postOps.bound(to: descriptor)
            found.append(
                Candidate(
                    descriptor: descriptor, implementation: descriptor.implementation, operands: operands,
                    output: .plain, outputDescriptor: target, time: time(node, product, descriptor.implementation)))
        }
        return found
    }
}
