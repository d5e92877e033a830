import TenonIR

/// `image.resize` as ONNX's Resize: per axis each position of the result has taps, source positions with weights.
enum ResizeKernels {
    static let table: [(String, Kernels.Prepare)] = (1...3).map { spatial in
        ("image.resize\(spatial)d", { try prepare($0, spatial: spatial) })
    }

    /// The taps of all positions along one axis, `count` for each.
    struct Taps: Sendable {
        var count: Int
        var indices: [Int32]
        var weights: [Double]
        /// Positions outside the region of interest, which take the extrapolation value.
        var isOutside: [Bool]
    }

    private struct Plan: Sendable {
        var planes: Int
        /// Depth, height and width.
        var source: [Int]
        var result: [Int]
        var taps: [Taps]
        var outside: Double
        var isNearest: Bool { taps.allSatisfy { $0.count == 1 } }
    }

    private static func prepare(_ call: KernelCall, spatial: Int) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let (x, y) = (call.inputs[0].shape, call.outputs[0].shape)
        guard x.count == spatial + 2, y.count == x.count, x[..<2] == y[..<2],
            call.outputs[0].dtype == call.inputs[0].dtype, (x + y).allSatisfy({ $0 <= Int32.max }),
            x[2...].allSatisfy({ $0 > 0 })
        else { throw call.error(.invalidShape, "data \(x) and result \(y) do not fit") }
        let coordinates = try ResizeCoordinates(call, spatial: spatial)
        let missing = 3 - spatial
        let one = Taps(count: 1, indices: [0], weights: [1], isOutside: [false])
        let plan = Plan(
            planes: x[0] * x[1], source: [Int](repeating: 1, count: missing) + x[2...],
            result: [Int](repeating: 1, count: missing) + y[2...],
            taps: [Taps](repeating: one, count: missing)
                + (try (0..<spatial).map { try coordinates.taps(axis: $0, size: x[$0 + 2], count: y[$0 + 2]) }),
            outside: call.attributes.float("extrapolation_value") ?? 0)
        return try call.dispatch(call.inputs[0].dtype, Visitor(plan: plan))
    }

    private struct Visitor: StorageVisitor {
        let plan: Plan

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let plan = plan
            let width = plan.source[2]
            let rowBytes = width * MemoryLayout<Double>.stride
            return PreparedKernel(scratchBytes: plan.isNearest ? 0 : Pieces.most * rowBytes) { arguments in
                let (x, y) = (arguments.input(0, S.self), arguments.output(0, S.self))
                let rows = plan.planes * plan.result[0] * plan.result[1]
                let work = max(1, plan.result[2] * plan.taps[2].count)
                let scratch = arguments.scratch
                Pieces.forEach(arguments.parallel, rows, grain: max(1, 16_384 / work)) { piece, range in
                    let line = (scratch + (plan.isNearest ? 0 : piece * rowBytes)).assumingMemoryBound(to: Double.self)
                    for row in range { resize(plan, row: row, x, y, line) }
                }
            }
        }
    }

    /// One row of the result: the source rows that it meets are summed into `line`, then taken along the width.
    private static func resize<S: Storage>(
        _ plan: Plan, row: Int, _ x: UnsafePointer<S>, _ y: UnsafeMutablePointer<S>,
        _ line: UnsafeMutablePointer<Double>
    ) {
        let (depth, height, width) = (plan.source[0], plan.source[1], plan.source[2])
        let h = row % plan.result[1]
        let d = row / plan.result[1] % plan.result[0]
        let plane = x + row / (plan.result[1] * plan.result[0]) * (depth * height * width)
        let to = y + row * plan.result[2]
        let (deep, high, wide) = (plan.taps[0], plan.taps[1], plan.taps[2])
        let outside = S(storing: S.Value(converting: plan.outside))
        if deep.isOutside[d] || high.isOutside[h] {
            for w in 0..<plan.result[2] { to[w] = outside }
            return
        }
        wide.indices.withUnsafeBufferPointer { indices in
            if plan.isNearest {
                let from = plane + (Int(deep.indices[d]) * height + Int(high.indices[h])) * width
                for w in 0..<plan.result[2] { to[w] = wide.isOutside[w] ? outside : from[Int(indices[w])] }
                return
            }
            for w in 0..<width { line[w] = 0 }
            for i in 0..<deep.count {
                for j in 0..<high.count {
                    let weight = deep.weights[d * deep.count + i] * high.weights[h * high.count + j]
                    if weight == 0 { continue }
                    let place = Int(deep.indices[d * deep.count + i]) * height + Int(high.indices[h * high.count + j])
                    let from = plane + place * width
                    for w in 0..<width { line[w] += weight * from[w].value.double }
                }
            }
            wide.weights.withUnsafeBufferPointer { weights in
                for w in 0..<plan.result[2] {
                    var sum = 0.0
                    for k in 0..<wide.count {
                        let tap = w &* wide.count &+ k
                        sum += weights[tap] * line[Int(indices[tap])]
                    }
                    to[w] = wide.isOutside[w] ? outside : S(storing: S.Value(converting: sum))
                }
            }
        }
    }
}
