import TenonIR

/// Operators that only move elements.
enum CopyKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("reshape", bytes), ("flatten", bytes), ("squeeze", bytes), ("expand_dims", bytes),
        ("reinterpret", reinterpret), ("memory.view", view), ("permute_dims", permute), ("broadcast_to", broadcast),
        ("strided_slice", slice),
        ("flip", flip),
        ("tile", tile), ("repeat", repeatElements), ("nn.depth_to_space", depthToSpace),
        ("nn.space_to_depth", spaceToDepth), ("concat", concat), ("stack", stack), ("split", split),
    ]

    static func bytes(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        guard call.inputs[0].count == call.outputs[0].count, call.inputs[0].dtype == call.outputs[0].dtype else {
            throw call.error(
                .invalidShape, "\(call.inputs[0].shape) does not have as many elements as \(call.outputs[0].shape)")
        }
        let count = try checkedBytes(call)
        return PreparedKernel { BlockCopy.all(count, $0.inputs[0], $0.outputs[0], $0.parallel) }
    }

    /// The same bytes; as truth values, any bit counts.
    private static func reinterpret(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let (x, y) = (call.inputs[0], call.outputs[0])
        guard x.shape == y.shape, x.dtype.byteCount == y.dtype.byteCount else {
            throw call.error(.invalidType, "\(x.dtype.name) and \(y.dtype.name) differ in size")
        }
        let count = try checkedBytes(call)
        guard y.dtype == .bool, x.dtype != .bool else {
            return PreparedKernel { BlockCopy.all(count, $0.inputs[0], $0.outputs[0], $0.parallel) }
        }
        return PreparedKernel { arguments in
            let (from, to) = (arguments.input(0, UInt8.self), arguments.output(0, UInt8.self))
            for index in 0..<count { to[index] = from[index] == 0 ? 0 : 1 }
        }
    }

    /// Bytes from an offset on, read as what the result is.
    private static func view(_ call: KernelCall) throws -> PreparedKernel {
        let (x, y) = (call.inputs[0], call.outputs[0])
        let offset = Int(call.attributes.int("relative_byte_offset") ?? 0)
        guard x.dtype.byteCount > 0, y.dtype.byteCount > 0 else { throw call.unsupported(x.dtype) }
        let (available, needed) = (x.byteCount, y.byteCount)
        guard offset >= 0, offset <= available, needed <= available - offset else {
            throw call.error(.invalidShape, "\(needed) bytes from byte \(offset) on are not within \(available) bytes")
        }
        return PreparedKernel { BlockCopy.all(needed, $0.inputs[0] + offset, $0.outputs[0], $0.parallel) }
    }

    /// Bytes of the first input, whose elements must have a size.
    private static func checkedBytes(_ call: KernelCall) throws -> Int {
        guard call.inputs[0].dtype.byteCount > 0 else { throw call.unsupported(call.inputs[0].dtype) }
        return call.inputs[0].byteCount
    }

    static func copy(_ call: KernelCall, sizes: [Int], steps: [Int], start: Int = 0) throws -> PreparedKernel {
        guard call.inputs[0].dtype == call.outputs[0].dtype, call.inputs[0].dtype.byteCount > 0 else {
            throw call.unsupported(call.inputs[0].dtype)
        }
        guard sizes.reduce(1, *) == call.outputs[0].count else {
            throw call.error(.invalidShape, "\(call.outputs[0].shape) is not the shape of the result")
        }
        let copy = StridedCopy(sizes: sizes, steps: steps, start: start, elementBytes: call.inputs[0].dtype.byteCount)
        return PreparedKernel { copy.run($0.inputs[0], $0.outputs[0], $0.parallel) }
    }

    private static func permute(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        let axes =
            try call.attributes.ints("axes")?.map { try call.axis(Int($0), rank: shape.count) }
            ?? Array(shape.indices.reversed())
        guard axes.sorted() == Array(shape.indices) else {
            throw call.error(.invalidArgument, "'axes' expects each of the \(shape.count) dimensions once")
        }
        let steps = StridedCopy.steps(shape)
        return try copy(call, sizes: axes.map { shape[$0] }, steps: axes.map { steps[$0] })
    }

    private static func broadcast(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let (shape, target) = (call.inputs[0].shape, call.outputs[0].shape)
        guard shape.count <= target.count else {
            throw call.error(.invalidShape, "\(shape) does not broadcast to \(target)")
        }
        let own = StridedCopy.steps(shape)
        var steps = [Int](repeating: 0, count: target.count)
        for (index, size) in shape.enumerated() {
            let position = index + target.count - shape.count
            guard size == target[position] || size == 1 else {
                throw call.error(.invalidShape, "\(shape) does not broadcast to \(target)")
            }
            if size != 1 { steps[position] = own[index] }
        }
        return try copy(call, sizes: target, steps: steps)
    }

    private static func slice(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        let axes = try call.integers(1).map { try call.axis($0, rank: shape.count) }
        let (begin, end) = (try call.integers(2), try call.integers(3))
        let strides = call.arguments.count > 4 ? try call.integers(4) : axes.map { _ in 1 }
        guard begin.count == axes.count, end.count == axes.count, strides.count == axes.count,
            Set(axes).count == axes.count
        else { throw call.error(.invalidArgument, "begin, end and strides expect \(axes.count) numbers each") }
        var sizes = shape
        var steps = StridedCopy.steps(shape)
        var start = 0
        for (index, axis) in axes.enumerated() {
            guard strides[index] != 0, strides[index] != .min else {
                throw call.error(.invalidArgument, "stride \(strides[index]) is out of range")
            }
            let resolved = Slicing.resolve(
                size: Int64(shape[axis]), begin: Int64(begin[index]), end: Int64(end[index]),
                stride: Int64(strides[index]))
            sizes[axis] = Int(resolved.count)
            if resolved.count > 0 { start += Int(resolved.first) * steps[axis] }
            // With one element there is no step, and with more the steps stay inside the axis.
            steps[axis] = resolved.count > 1 ? steps[axis] * strides[index] : 0
        }
        guard sizes == call.outputs[0].shape else {
            throw call.error(.invalidShape, "the slice has shape \(sizes), found \(call.outputs[0].shape)")
        }
        return try copy(call, sizes: sizes, steps: steps, start: sizes.contains(0) ? 0 : start)
    }

    private static func flip(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        let axis = try call.axis(try call.int("axis"), rank: shape.count)
        var steps = StridedCopy.steps(shape)
        let start = max(shape[axis] - 1, 0) * steps[axis]
        steps[axis] = -steps[axis]
        return try copy(call, sizes: shape, steps: steps, start: start)
    }

    private static func tile(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        var shape = call.inputs[0].shape
        var repeats = try call.ints("repeats")
        let rank = max(shape.count, repeats.count)
        shape = [Int](repeating: 1, count: rank - shape.count) + shape
        repeats = [Int](repeating: 1, count: rank - repeats.count) + repeats
        guard zip(shape, repeats).map({ $0.multipliedReportingOverflow(by: $1).partialValue }) == call.outputs[0].shape
        else { throw call.error(.invalidShape, "\(shape) repeated \(repeats) times is not \(call.outputs[0].shape)") }
        let own = StridedCopy.steps(shape)
        var (sizes, steps): ([Int], [Int]) = ([], [])
        for axis in 0..<rank {
            sizes += [repeats[axis], shape[axis]]
            steps += [0, own[axis]]
        }
        return try copy(call, sizes: sizes, steps: steps)
    }

    private static func repeatElements(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let shape = call.inputs[0].shape
        let axis = try call.axis(try call.int("axis"), rank: shape.count)
        var sizes = shape
        var steps = StridedCopy.steps(shape)
        sizes.insert(try call.int("repeats"), at: axis + 1)
        steps.insert(0, at: axis + 1)
        guard call.outputs[0].shape[axis] == shape[axis] * sizes[axis + 1] else {
            throw call.error(.invalidShape, "axis \(axis) of the result has another size")
        }
        return try copy(call, sizes: sizes, steps: steps)
    }

    /// [n, c, h, w] seen as [n, parts of c…, h, w] and read in another order.
    private static func depthToSpace(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        try call.requireRank(0, 4)
        let x = call.inputs[0].shape
        let block = try call.int("block_size")
        guard block > 0, block < 1 << 16, x[1] % (block * block) == 0 else {
            throw call.error(.invalidArgument, "block_size \(block) does not fit \(x[1]) channels")
        }
        let channels = x[1] / (block * block)
        let isColumnRow = call.attributes.string("mode") == "CRD"
        let parts =
            isColumnRow ? [x[0], channels, block, block, x[2], x[3]] : [x[0], block, block, channels, x[2], x[3]]
        let order = isColumnRow ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]
        let steps = StridedCopy.steps(parts)
        return try copy(call, sizes: order.map { parts[$0] }, steps: order.map { steps[$0] })
    }

    private static func spaceToDepth(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        try call.requireRank(0, 4)
        let x = call.inputs[0].shape
        let block = try call.int("block_size")
        guard block > 0, x[2] % block == 0, x[3] % block == 0 else {
            throw call.error(.invalidArgument, "block_size \(block) does not fit height and width of \(x)")
        }
        let parts = [x[0], x[1], x[2] / block, block, x[3] / block, block]
        let order = [0, 3, 5, 1, 2, 4]
        let steps = StridedCopy.steps(parts)
        return try copy(call, sizes: order.map { parts[$0] }, steps: order.map { steps[$0] })
    }

    private static func concat(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let result = call.outputs[0].shape
        let axis = try call.axis(try call.int("axis"), rank: result.count)
        return try join(call, at: axis) { shape in
            guard shape.count == result.count, shape.indices.allSatisfy({ $0 == axis || shape[$0] == result[$0] })
            else {
                return nil
            }
            return shape[axis]
        }
    }

    private static func stack(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        var part = call.outputs[0].shape
        let axis = try call.axis(try call.int("axis"), rank: part.count)
        part.remove(at: axis)
        return try join(call, at: axis) { $0 == part ? 1 : nil }
    }

    /// Inputs one after the other along an axis of the result; `size` gives the part of it that an input fills.
    private static func join(
        _ call: KernelCall, at axis: Int, _ size: ([Int]) -> Int?
    ) throws -> PreparedKernel {
        let result = call.outputs[0]
        let inner = result.shape[(axis + 1)...].reduce(1, *) * result.dtype.byteCount
        let outer = result.shape[..<axis].reduce(1, *)
        var parts: [(offset: Int, bytes: Int)] = []
        var position = 0
        for input in call.inputs {
            guard input.dtype == result.dtype, input.dtype.byteCount > 0 else { throw call.unsupported(input.dtype) }
            guard let size = size(input.shape) else {
                throw call.error(.invalidShape, "\(input.shape) does not fit into \(result.shape) along axis \(axis)")
            }
            parts.append((position * inner, size * inner))
            position += size
        }
        guard position == result.shape[axis] else {
            throw call.error(
                .invalidShape, "axis \(axis) of the result expects size \(position), found \(result.shape[axis])")
        }
        let total = position * inner
        let table = parts.map { Part(offset: $0.offset, bytes: $0.bytes) }
        return PreparedKernel { arguments in
            for (index, part) in table.enumerated() {
                BlockCopy.blocks(
                    outer, part.bytes, arguments.inputs[index], every: part.bytes, arguments.outputs[0] + part.offset,
                    every: total, arguments.parallel)
            }
        }
    }

    private struct Part: Sendable {
        var offset: Int
        var bytes: Int
    }

    private static func split(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        let source = call.inputs[0]
        guard source.dtype.byteCount > 0 else { throw call.unsupported(source.dtype) }
        let axis = try call.axis(try call.int("axis"), rank: source.shape.count)
        let inner = source.shape[(axis + 1)...].reduce(1, *) * source.dtype.byteCount
        let outer = source.shape[..<axis].reduce(1, *)
        var table: [Part] = []
        var position = 0
        for output in call.outputs {
            guard output.dtype == source.dtype, output.shape.count == source.shape.count,
                output.shape.indices.allSatisfy({ $0 == axis || output.shape[$0] == source.shape[$0] })
            else {
                throw call.error(.invalidShape, "\(output.shape) is not a part of \(source.shape) along axis \(axis)")
            }
            table.append(Part(offset: position * inner, bytes: output.shape[axis] * inner))
            position += output.shape[axis]
        }
        guard position == source.shape[axis] else {
            throw call.error(.invalidShape, "parts of axis \(axis) sum up to \(position), found \(source.shape[axis])")
        }
        let total = position * inner
        let parts = table
        return PreparedKernel { arguments in
            for (index, part) in parts.enumerated() {
                BlockCopy.blocks(
                    outer, part.bytes, arguments.inputs[0] + part.offset, every: total, arguments.outputs[index],
                    every: part.bytes, arguments.parallel)
            }
        }
    }
}
