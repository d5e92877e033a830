import TenonIR

/// Matrix products: `matmul` with broadcast leading dimensions, and `nn.dense` with a transposed right side.
enum MatMulKernels {
    static let table: [(String, Kernels.Prepare)] = [("matmul", matmul), ("nn.dense", dense)]

    /// Sizes and places of one product or of many.
    struct Geometry: Sendable {
        var rows: Int
        var columns: Int
        var depth: Int
        /// The right side is [columns, depth].
        var isTransposed: Bool
        /// First element of both sides, per product.
        var offsets: [(a: Int, b: Int)]
    }

    static func isProduct(_ op: OperatorID) -> Bool { op == matmulID || op == denseID }
    private static let matmulID = Operators.named("matmul")
    private static let denseID = Operators.named("nn.dense")

    /// A product with what follows it; nil where there is no such kernel.
    static func prepareChain(_ call: KernelCall, _ steps: KernelSteps) throws -> PreparedKernel? {
        guard isProduct(call.op) else { return nil }
        return try GemmKernels.prepare(
            call, call.op == denseID ? denseGeometry(call) : matmulGeometry(call), steps: steps)
    }

    private static func matmul(_ call: KernelCall) throws -> PreparedKernel {
        try prepare(call, matmulGeometry(call))
    }

    private static func dense(_ call: KernelCall) throws -> PreparedKernel { try prepare(call, denseGeometry(call)) }

    private static func matmulGeometry(_ call: KernelCall) throws -> Geometry {
        try call.require(inputs: 2)
        try call.requireSameType(0, 1)
        var (a, b) = (call.inputs[0].shape, call.inputs[1].shape)
        guard !a.isEmpty, !b.isEmpty else { throw call.error(.invalidShape, "expects at least 1 dimension") }
        if a.count == 1 { a.insert(1, at: 0) }
        if b.count == 1 { b.append(1) }
        let (rows, depth, columns) = (a[a.count - 2], a[a.count - 1], b[b.count - 1])
        guard b[b.count - 2] == depth else {
            throw call.error(.invalidShape, "\(a) and \(b) have no common inner size")
        }
        let (batchA, batchB) = (Array(a.dropLast(2)), Array(b.dropLast(2)))
        let rank = max(batchA.count, batchB.count)
        guard call.outputs[0].shape.count >= rank else {
            throw call.error(.invalidShape, "\(call.outputs[0].shape) is not the shape of the result")
        }
        let batch = Array(call.outputs[0].shape.prefix(rank))
        guard let loop = BroadcastLoop(batch, operands: [batchA, batchB]),
            batch.reduce(1, *) * rows * columns == call.outputs[0].count
        else { throw call.error(.invalidShape, "\(a) and \(b) do not give \(call.outputs[0].shape)") }
        // A matrix that every product has on its right makes one product of many rows.
        if loop.steps[1].allSatisfy({ $0 == 0 }), batchA.reduce(1, *) == batch.reduce(1, *) {
            return Geometry(
                rows: batch.reduce(1, *) * rows, columns: columns, depth: depth, isTransposed: false, offsets: [(0, 0)])
        }
        try KernelMemory.require(batch.reduce(1, *), 16, call)
        var offsets: [(a: Int, b: Int)] = []
        loop.forEachRow(0..<(loop.inner == 0 ? 0 : loop.rows)) { _, startA, startB, _ in
            for index in 0..<loop.inner {
                offsets.append(
                    (
                        (startA + index * loop.innerStep(0)) * rows * depth,
                        (startB + index * loop.innerStep(1)) * depth * columns
                    ))
            }
        }
        return Geometry(rows: rows, columns: columns, depth: depth, isTransposed: false, offsets: offsets)
    }

    private static func denseGeometry(_ call: KernelCall) throws -> Geometry {
        try call.require(inputs: 2)
        try call.requireSameType(0, 1)
        try call.requireRank(1, 2)
        guard let depth = call.inputs[0].shape.last, call.inputs[1].shape[1] == depth else {
            throw call.error(
                .invalidShape, "\(call.inputs[0].shape) and \(call.inputs[1].shape) have no common inner size")
        }
        let rows = call.inputs[0].shape.dropLast().reduce(1, *)
        let columns = call.inputs[1].shape[0]
        guard rows * columns == call.outputs[0].count else {
            throw call.error(.invalidShape, "\(call.outputs[0].shape) is not the shape of the result")
        }
        return Geometry(rows: rows, columns: columns, depth: depth, isTransposed: true, offsets: [(0, 0)])
    }

    private static func prepare(_ call: KernelCall, _ geometry: Geometry) throws -> PreparedKernel {
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        if let kernel = try GemmKernels.prepare(call, geometry) { return kernel }
        if from == to { return try call.dispatch(from, Visitor(call: call, geometry: geometry)) }
        switch (from, to) {
        case (.int8, .int32): return widening(geometry, Int8.self, Int32.self)
        case (.uint8, .int32): return widening(geometry, UInt8.self, Int32.self)
        case (.float16, .float32): return widening(geometry, Half.self, Float.self)
        case (.bfloat16, .float32): return widening(geometry, BFloat16.self, Float.self)
        default: throw call.error(.unsupported, "no kernel for \(from.name) with result \(to.name)")
        }
    }

    private struct Visitor: StorageVisitor {
        let call: KernelCall
        let geometry: Geometry

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let geometry = geometry
            let product = PanelProduct<S>(rows: geometry.rows, depth: geometry.depth)
            guard let elements = product.scratchElements else { throw call.error(.invalidShape, "a size overflows") }
            if S.self == Float.self, geometry.rows < 4 { return vectorTimesMatrix(geometry) }
            let blocks = (geometry.columns + 63) / 64
            let work = max(1, geometry.rows * max(geometry.depth, 1) * 64)
            return PreparedKernel(scratchBytes: elements * MemoryLayout<S.Value>.stride * Pieces.most) { arguments in
                let (a, b) = (arguments.input(0, S.self), arguments.input(1, S.self))
                let c = arguments.output(0, S.self)
                let scratch = arguments.scratch.assumingMemoryBound(to: S.Value.self)
                let units = blocks * geometry.offsets.count
                Pieces.forEach(arguments.parallel, units, grain: max(1, 100_000 / work)) { piece, range in
                    for unit in range {
                        let (index, block) = (unit / blocks, unit % blocks)
                        let offsets = geometry.offsets[index]
                        let right = b + offsets.b
                        product.run(
                            a: a + offsets.a, stepA: geometry.depth,
                            c: c + index * geometry.rows * geometry.columns, stepC: geometry.columns,
                            columns: block * 64..<min(block * 64 + 64, geometry.columns),
                            scratch: scratch + piece * elements, limits: arguments.parallel.limits
                        ) { k, count, column, columns, target in
                            if geometry.isTransposed {
                                pack(right + column * geometry.depth + k, 1, geometry.depth, count, columns, target)
                            } else {
                                pack(right + k * geometry.columns + column, geometry.columns, 1, count, columns, target)
                            }
                        }
                    }
                }
            }
        }
    }

    @inline(__always) private static func pack<S: Storage>(
        _ from: UnsafePointer<S>, _ rowStep: Int, _ columnStep: Int, _ count: Int, _ columns: Int,
        _ target: UnsafeMutablePointer<S.Value>
    ) {
        if columns == 8 {
            for k in 0..<count {
                for lane in 0..<8 { target[k &* 8 &+ lane] = from[k &* rowStep &+ lane &* columnStep].value }
            }
        } else {
            for k in 0..<count {
                for lane in 0..<8 {
                    target[k &* 8 &+ lane] = lane < columns ? from[k &* rowStep &+ lane &* columnStep].value : .zero
                }
            }
        }
    }

    /// Few rows: packing would cost more than the product.
    private static func vectorTimesMatrix(_ geometry: Geometry) -> PreparedKernel {
        PreparedKernel { arguments in
            let (a, b) = (arguments.input(0, Float.self), arguments.input(1, Float.self))
            let c = arguments.output(0, Float.self)
            let (rows, depth, columns) = (geometry.rows, geometry.depth, geometry.columns)
            for (index, offset) in geometry.offsets.enumerated() {
                for row in 0..<rows {
                    let x = a + offset.a + row * depth
                    let right = b + offset.b
                    let result = c + (index * rows + row) * columns
                    arguments.parallel.forEach(columns, grain: max(8, 100_000 / max(depth, 1))) { range in
                        if geometry.isTransposed {
                            for column in range { result[column] = dot(x, right + column * depth, depth) }
                        } else {
                            for column in range { result[column] = 0 }
                            for k in 0..<depth {
                                let factor = x[k]
                                let line = right + k * columns
                                for column in range { result[column] += factor * line[column] }
                            }
                        }
                    }
                }
            }
        }
    }

    static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int) -> Float {
        var (even, odd) = (Vector.zero, Vector.zero)
        var index = 0
        while index &+ 16 <= count {
            even += Vector(loading: x + index) * Vector(loading: y + index)
            odd += Vector(loading: x + (index &+ 8)) * Vector(loading: y + (index &+ 8))
            index &+= 16
        }
        var total = (even + odd).sum()
        while index < count {
            total += x[index] * y[index]
            index &+= 1
        }
        return total
    }

    /// A result of another type than the inputs', in which the sums are made.
    private static func widening<S: Storage, R: Storage>(_ geometry: Geometry, _: S.Type, _: R.Type) -> PreparedKernel
    where R.Value == R {
        PreparedKernel { arguments in
            let (a, b) = (arguments.input(0, S.self), arguments.input(1, S.self))
            let c = arguments.output(0, R.self)
            let (rows, depth, columns) = (geometry.rows, geometry.depth, geometry.columns)
            let rowStep = geometry.isTransposed ? 1 : columns
            let columnStep = geometry.isTransposed ? depth : 1
            arguments.parallel.forEach(rows * geometry.offsets.count) { range in
                for index in range {
                    let (product, row) = (index / rows, index % rows)
                    let offset = geometry.offsets[product]
                    let x = a + offset.a + row * depth
                    let result = c + index * columns
                    for column in 0..<columns { result[column] = .zero }
                    for k in 0..<depth {
                        let factor = R(converting: x[k].value.double)
                        let line = b + offset.b + k * rowStep
                        for column in 0..<columns {
                            let other = R(converting: line[column * columnStep].value.double)
                            result[column] = R.add(result[column], R.multiply(factor, other))
                        }
                    }
                }
            }
        }
    }
}
