import TenonIR

/// Slices of a tensor picked by position along one axis.
enum TakeKernels {
    static let table: [(String, Kernels.Prepare)] = [("take", take)]

    private enum Mode: Sendable { case checked, clip, wrap }

    private static func take(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 2)
        let (x, indices) = (call.inputs[0], call.inputs[1])
        guard indices.dtype.isInteger, x.dtype.byteCount > 0, call.outputs[0].dtype == x.dtype else {
            throw call.error(.invalidType, "expects integer indices and one element type, found \(indices.dtype.name)")
        }
        let axis = try call.axis(Int(call.attributes.int("axis") ?? 0), rank: x.shape.count)
        try call.requireOutput(0, Array(x.shape[..<axis]) + indices.shape + Array(x.shape[(axis + 1)...]))
        let mode: Mode =
            switch call.attributes.string("mode") {
            case "clip": .clip
            case "wrap": .wrap
            default: .checked
            }
        let (size, count, dtype) = (x.shape[axis], indices.count, indices.dtype)
        let outer = x.shape[..<axis].reduce(1, *)
        let bytes = x.shape[(axis + 1)...].reduce(1, *) * x.dtype.byteCount
        if size == 0, count > 0, outer > 0, bytes > 0 {
            throw call.error(.invalidShape, "nothing can be taken from axis \(axis) of size 0")
        }
        let name = call.op.name
        return PreparedKernel { arguments in
            let list = IndexList(base: arguments.inputs[1], dtype: dtype)
            if mode == .checked {
                for index in 0..<count where list[index] < -size || list[index] >= size {
                    throw TenonError(
                        .invalidArgument,
                        "\(name): index \(list[index]) is out of range for axis \(axis) of size \(size)",
                        operatorName: name)
                }
            }
            let (from, to) = (arguments.inputs[0], arguments.outputs[0])
            guard bytes > 0, size > 0 else { return }
            arguments.parallel.forEach(outer * count, grain: max(1, (1 << 16) / bytes)) { range in
                for row in range {
                    var position = list[row % count]
                    switch mode {
                    case .checked: if position < 0 { position &+= size }
                    case .clip: position = min(max(position, 0), size - 1)
                    case .wrap:
                        position %= size
                        if position < 0 { position += size }
                    }
                    let source = from + (row / count * size + position) * bytes
                    if bytes == 4 {
                        (to + row &* 4).storeBytes(of: source.loadUnaligned(as: UInt32.self), as: UInt32.self)
                    } else {
                        (to + row * bytes).copyMemory(from: source, byteCount: bytes)
                    }
                }
            }
        }
    }
}
