import TenonIR

/// Known values under other shapes, and values made from shapes.
enum ReshapingFolding {
    static let table: [String: HostFolding.Fold] = [
        "Identity": { _, inputs in inputs.first.flatMap { $0.map { [$0] } } },
        "Unsqueeze": unsqueeze,
        "Squeeze": squeeze,
        "Reshape": reshape,
        "Flatten": flatten,
        "Range": range,
        "ConstantOfShape": constantOfShape,
        "Expand": expand,
        "Transpose": transpose,
        "Tile": tile,
    ]

    /// The product, or nil on overflow.
    static func product(_ dims: [Dim]) -> Dim? { Dim.product(dims) }

    private static let unsqueeze: HostFolding.Fold = { node, inputs in
        guard let x = inputs.first ?? nil, let axes = try axes(node, inputs) else { return nil }
        var shape = x.shape
        let rank = shape.count + axes.count
        let places = Set(try axes.map { try node.axis($0, rank: rank, what: "axes") })
        guard places.count == axes.count else { throw node.error(.invalidArgument, "axes \(axes) repeat one") }
        for place in places.sorted() { shape.insert(1, at: place) }
        return [try x.reshaped(shape)]
    }

    private static let squeeze: HostFolding.Fold = { node, inputs in
        guard let x = inputs.first ?? nil else { return nil }
        guard let listed = try axes(node, inputs) else { return [try x.reshaped(x.shape.filter { $0 != 1 })] }
        let places = Set(try listed.map { try node.axis($0, rank: x.shape.count, what: "axes") })
        guard places.allSatisfy({ x.shape[$0] == 1 }) else {
            throw node.error(.invalidShape, "axes \(listed) expect size 1, found \(x.shape)")
        }
        return [try x.reshaped(x.shape.indices.filter { !places.contains($0) }.map { x.shape[$0] })]
    }

    /// Axes from the second input (opset 13) or the attribute; nil when neither is given.
    private static func axes(_ node: Node, _ inputs: [HostTensor?]) throws -> [Int64]? {
        if let attribute = try node.ints("axes") { return attribute }
        return inputs.count > 1 ? inputs[1]?.ints : nil
    }

    private static let reshape: HostFolding.Fold = { node, inputs in
        guard inputs.count == 2, let x = inputs[0], let target = inputs[1]?.ints else { return nil }
        let allowZero = try node.bool("allowzero", false)
        var shape = target
        for (index, size) in target.enumerated() where size == 0 && !allowZero {
            guard index < x.shape.count else {
                throw node.error(.invalidShape, "shape \(target) copies dimension \(index) of \(x.shape)")
            }
            shape[index] = x.shape[index]
        }
        if let unknown = shape.firstIndex(of: -1) {
            shape[unknown] = 1
            guard let rest = checkedElementCount(shape), rest > 0, x.elements.count % rest == 0 else {
                throw node.error(.invalidShape, "shape \(target) does not divide \(x.elements.count) elements")
            }
            shape[unknown] = Int64(x.elements.count / rest)
        }
        guard checkedElementCount(shape) == x.elements.count else {
            throw node.error(.invalidShape, "shape \(target) does not hold \(x.elements.count) elements")
        }
        return [try x.reshaped(shape)]
    }

    private static let flatten: HostFolding.Fold = { node, inputs in
        guard let x = inputs.first ?? nil else { return nil }
        let axis = try node.int("axis", 1)
        let rank = Int64(x.shape.count)
        guard axis >= -rank, axis <= rank else { throw node.error(.invalidArgument, "axis \(axis) for rank \(rank)") }
        let place = Int(axis < 0 ? axis + rank : axis)
        return [try x.reshaped([x.shape[..<place].reduce(1, *), x.shape[place...].reduce(1, *)])]
    }

    private static let range: HostFolding.Fold = { node, inputs in
        guard inputs.count == 3, let start = inputs[0], let limit = inputs[1], let delta = inputs[2],
            start.elements.count == 1, limit.elements.count == 1, delta.elements.count == 1
        else { return nil }
        if let first = start.ints?.first, let end = limit.ints?.first, let step = delta.ints?.first {
            guard step != 0 else { throw node.error(.invalidArgument, "delta is 0") }
            var elements: [Dim] = []
            var value = first
            while step > 0 ? value < end : value > end {
                elements.append(.fixed(value))
                guard elements.count <= HostTensor.maximumCount else { return nil }
                let (next, overflow) = value.addingReportingOverflow(step)
                if overflow { break }
                value = next
            }
            return [try HostTensor(start.dtype, [Int64(elements.count)], .dims(elements))]
        }
        guard let first = start.doubles?.first, let end = limit.doubles?.first, let step = delta.doubles?.first,
            let count = Int(exactly: max(((end - first) / step).rounded(.up), 0)), count <= HostTensor.maximumCount
        else { return nil }
        let elements = (0..<count).map { ArithmeticFolding.rounded(first + Double($0) * step, start.dtype) }
        return [try HostTensor(start.dtype, [Int64(count)], .floats(elements))]
    }

    private static let constantOfShape: HostFolding.Fold = { node, inputs in
        let value = try node.tensor("value")
        guard let shape = inputs.first??.ints else { return nil }
        guard let count = checkedElementCount(shape) else {
            throw node.error(.invalidShape, "shape \(shape) must be >= 0 and its product must fit")
        }
        guard count <= HostTensor.maximumCount else { return nil }
        guard let value else {
            return [try HostTensor(.float32, shape, .floats([Double](repeating: 0, count: count)))]
        }
        guard value.count == 1, let host = HostTensor(value) else {
            throw node.error(.invalidShape, "value expects one element, found \(value.type)")
        }
        return [try host.selecting([Int](repeating: 0, count: count), shape: shape)]
    }

    private static let expand: HostFolding.Fold = { node, inputs in
        guard inputs.count == 2, let x = inputs[0], let target = inputs[1]?.ints,
            let broadcast = HostBroadcast([x.shape, target])
        else { return nil }
        return [try x.selecting((0..<broadcast.count).map { broadcast.index($0, of: 0) }, shape: broadcast.shape)]
    }

    /// A vector or a number some times over.
    private static let tile: HostFolding.Fold = { node, inputs in
        guard node.opset >= 6, inputs.count == 2, let x = inputs[0], let repeats = inputs[1]?.ints, x.shape.count == 1,
            repeats.count == 1, repeats[0] >= 0, repeats[0] <= Int64(HostTensor.maximumCount)
        else { return nil }
        let count = x.elements.count
        let (total, overflow) = count.multipliedReportingOverflow(by: Int(repeats[0]))
        guard !overflow, total <= HostTensor.maximumCount else { return nil }
        return [try x.selecting((0..<total).map { $0 % count }, shape: [Int64(total)])]
    }

    private static let transpose: HostFolding.Fold = { node, inputs in
        guard let x = inputs.first ?? nil else { return nil }
        let rank = x.shape.count
        let order = try node.ints("perm") ?? (0..<Int64(rank)).reversed()
        let axes = try order.map { try node.axis($0, rank: rank, what: "perm") }
        guard axes.sorted() == Array(0..<rank) else {
            throw node.error(.invalidArgument, "perm \(order) is no order of \(rank) dimensions")
        }
        let shape = axes.map { x.shape[$0] }
        var strides = [Int64](repeating: 1, count: rank)
        for axis in (0..<max(rank - 1, 0)).reversed() { strides[axis] = strides[axis + 1] * x.shape[axis + 1] }
        let picked = (0..<x.elements.count).map { index in
            var rest = Int64(index)
            var position: Int64 = 0
            for axis in shape.indices.reversed() {
                position += rest % shape[axis] * strides[axes[axis]]
                rest /= shape[axis]
            }
            return Int(position)
        }
        return [try x.selecting(picked, shape: shape)]
    }
}
