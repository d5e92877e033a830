import TenonIR

/// Picking and joining elements of known values.
enum SelectionFolding {
    static let table: [String: HostFolding.Fold] = [
        "Gather": gather,
        "Slice": slice,
        "Concat": concat,
        "Split": split,
        "Where": select,
    ]

    private static let gather: HostFolding.Fold = { node, inputs in
        guard inputs.count == 2, let data = inputs[0], let indices = inputs[1] else { return nil }
        guard let positions = indices.ints else { return nil }
        let rank = data.shape.count
        guard rank > 0 else { throw node.error(.invalidShape, "data expects at least 1 dimension") }
        let axis = try node.axis(try node.int("axis", 0), rank: rank)
        let size = data.shape[axis]
        let shape = data.shape[..<axis] + indices.shape + data.shape[(axis + 1)...]
        guard let count = checkedElementCount(Array(shape)), count <= HostTensor.maximumCount else { return nil }
        let (outer, inner) = (data.shape[..<axis].reduce(1, *), data.shape[(axis + 1)...].reduce(1, *))
        var picked: [Int] = []
        for block in 0..<(count > 0 ? outer : 0) {
            for position in positions {
                guard position >= -size, position < size else {
                    throw node.error(.invalidArgument, "index \(position) is out of range for \(size) in axis \(axis)")
                }
                let begin = (block * size + (position < 0 ? position + size : position)) * inner
                for offset in 0..<inner { picked.append(Int(begin + offset)) }
            }
        }
        return [try data.selecting(picked, shape: Array(shape))]
    }

    private static let slice: HostFolding.Fold = { node, inputs in
        guard let data = inputs.first ?? nil else { return nil }
        guard let ranges = try SliceRanges(node, rank: data.shape.count) else { return nil }
        var shape = data.shape
        var starts = [Int64](repeating: 0, count: shape.count)
        var steps = [Int64](repeating: 1, count: shape.count)
        for entry in ranges.entries {
            guard let (start, count) = entry.resolved(size: shape[entry.axis]) else { return nil }
            starts[entry.axis] = start
            steps[entry.axis] = entry.step
            shape[entry.axis] = count
        }
        guard let count = checkedElementCount(shape) else { return nil }
        var picked: [Int] = []
        picked.reserveCapacity(count)
        for index in 0..<count {
            var rest = Int64(index)
            var position: Int64 = 0
            var stride: Int64 = 1
            for axis in shape.indices.reversed() {
                // Inside the shape, which is small: resolved() has clamped start and count.
                position += (starts[axis] + rest % shape[axis] * steps[axis]) * stride
                rest /= shape[axis]
                stride *= data.shape[axis]
            }
            picked.append(Int(position))
        }
        return [try data.selecting(picked, shape: shape)]
    }

    private static let concat: HostFolding.Fold = { node, inputs in
        let parts = inputs.compactMap { $0 }
        guard parts.count == inputs.count, let first = parts.first else { return nil }
        let rank = first.shape.count
        guard rank > 0, try node.axis(try node.int("axis", node.opset < 4 ? 1 : 0), rank: rank) == 0,
            parts.allSatisfy({ $0.dtype == first.dtype && $0.shape.count == rank }),
            parts.allSatisfy({ $0.shape.dropFirst() == first.shape.dropFirst() })
        else { return nil }
        var shape = first.shape
        var total: Dim = 0
        for part in parts {
            guard let next = Dim.adding(total, .fixed(part.shape[0])) else { return nil }
            total = next
        }
        shape[0] = total.value ?? 0
        guard let count = checkedElementCount(shape), count <= HostTensor.maximumCount else { return nil }
        if first.dims != nil {
            return [try HostTensor(first.dtype, shape, .dims(parts.flatMap { $0.dims ?? [] }))]
        }
        return [try HostTensor(first.dtype, shape, .floats(parts.flatMap { $0.doubles ?? [] }))]
    }

    private static let split: HostFolding.Fold = { node, inputs in
        guard let data = inputs.first ?? nil, data.shape.count == 1 else { return nil }
        _ = try node.axis(try node.int("axis", 0), rank: 1)
        guard let sizes = try SplitSizes.fixed(node, total: data.shape[0]) else { return nil }
        var begin = 0
        var parts: [HostTensor] = []
        for size in sizes {
            parts.append(try data.selecting(Array(begin..<begin + Int(size)), shape: [size]))
            begin += Int(size)
        }
        return parts
    }

    private static let select: HostFolding.Fold = { node, inputs in
        guard inputs.count == 3, let condition = inputs[0]?.dims, let a = inputs[1], let b = inputs[2],
            a.dtype == b.dtype,
            let broadcast = HostBroadcast([inputs[0]?.shape ?? [], a.shape, b.shape])
        else { return nil }
        var dims: [Dim] = []
        var doubles: [Double] = []
        for index in 0..<broadcast.count {
            let flag = condition[broadcast.index(index, of: 0)]
            let (i, j) = (broadcast.index(index, of: 1), broadcast.index(index, of: 2))
            if let x = a.dims, let y = b.dims {
                guard flag.isTruth, let chosen = Dim.select(flag, x[i], y[j]) else { return nil }
                dims.append(chosen)
            } else if let x = a.doubles, let y = b.doubles, let flag = flag.value {
                doubles.append(flag != 0 ? x[i] : y[j])
            } else {
                return nil
            }
        }
        return [try HostTensor(a.dtype, broadcast.shape, a.dims == nil ? .floats(doubles) : .dims(dims))]
    }
}
