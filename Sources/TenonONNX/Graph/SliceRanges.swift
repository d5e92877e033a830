import TenonIR

/// What a Slice node takes from each axis.
struct SliceRanges {
    struct Entry {
        let axis: Int
        let start: Int64
        let end: Int64
        let step: Int64

        /// First position and number of positions in an axis of `size`, clamped as ONNX says; nil for a negative size.
        func resolved(size: Int64) -> (start: Int64, count: Int64)? {
            guard size >= 0 else { return nil }
            let lowest: Int64 = step > 0 ? 0 : -1
            let highest = step > 0 ? size : size - 1
            // A negative position plus a size cannot overflow.
            let first = min(max(start < 0 ? start + size : start, max(lowest, 0)), highest)
            let last = min(max(end < 0 ? end + size : end, lowest), highest)
            let distance = step > 0 ? last - first : first - last
            guard distance > 0, first >= 0 else { return (max(first, 0), 0) }
            return (first, (distance - 1) / Int64(clamping: step.magnitude) + 1)
        }
    }

    let entries: [Entry]

    /// Nil when starts, ends, axes or steps are not known while importing.
    init?(_ node: Node, rank: Int) throws {
        let starts: [Int64]
        let ends: [Int64]
        var axes: [Int64]?
        var steps: [Int64]?
        if node.opset < 10 {
            starts = try node.ints("starts") ?? []
            ends = try node.ints("ends") ?? []
            axes = try node.ints("axes")
        } else {
            try node.requireInputs(3...5)
            guard let first = try node.host(1)?.ints, let last = try node.host(2)?.ints else { return nil }
            (starts, ends) = (first, last)
            if node.has(3) {
                guard let given = try node.host(3)?.ints else { return nil }
                axes = given
            }
            if node.has(4) {
                guard let given = try node.host(4)?.ints else { return nil }
                steps = given
            }
        }
        let listed = axes ?? (0..<Int64(starts.count)).map { $0 }
        let strides = steps ?? [Int64](repeating: 1, count: starts.count)
        guard starts.count == ends.count, listed.count == starts.count, strides.count == starts.count else {
            throw node.error(
                .invalidArgument,
                "starts, ends, axes and steps have \(starts.count), \(ends.count), \(listed.count) and \(strides.count) values, expected one number"
            )
        }
        var entries: [Entry] = []
        for index in starts.indices {
            guard strides[index] != 0 else { throw node.error(.invalidArgument, "a step is 0") }
            let axis = try node.axis(listed[index], rank: rank, what: "axes")
            guard !entries.contains(where: { $0.axis == axis }) else {
                throw node.error(.invalidArgument, "axis \(axis) is sliced twice")
            }
            entries.append(Entry(axis: axis, start: starts[index], end: ends[index], step: strides[index]))
        }
        self.entries = entries
    }
}

/// The sizes of the parts of a Split node.
enum SplitSizes {
    /// Nil when they are not known while importing.
    ///
    /// - Throws: when sizes are negative or do not add up to `total`.
    static func fixed(_ node: Node, total: Int64) throws -> [Int64]? {
        var given = node.opset < 13 ? try node.ints("split") : nil
        if node.opset >= 13, node.has(1) {
            guard let sizes = try node.host(1)?.ints else { return nil }
            given = sizes
        }
        let outputs = Int64(node.proto.output.count)
        let count = try node.opset >= 18 ? node.int("num_outputs", outputs) : outputs
        if let given {
            var rest = total
            for size in given {
                guard size >= 0, size <= rest else { throw mismatch(node, given, total) }
                rest -= size
            }
            guard rest == 0 else { throw mismatch(node, given, total) }
            return given
        }
        guard count > 0, count <= Int64(HostTensor.maximumCount) else {
            throw node.error(.invalidArgument, "\(count) outputs")
        }
        // The last part is smaller when the parts are not even (opset 18).
        let size = total / count + (total % count == 0 ? 0 : 1)
        guard total % count == 0 || node.opset >= 18 else {
            throw node.error(.invalidShape, "size \(total) does not divide into \(count) parts")
        }
        var rest = total
        return (0..<count).map { _ in
            let part = min(size, rest)
            rest -= part
            return part
        }
    }

    private static func mismatch(_ node: Node, _ sizes: [Int64], _ total: Int64) -> TenonError {
        node.error(.invalidShape, "the parts \(sizes) do not add up to \(total)")
    }
}
