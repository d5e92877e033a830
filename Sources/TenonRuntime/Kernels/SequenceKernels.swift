import TenonIR

/// Sequences turned round, and shapes as tensors.
enum SequenceKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("reverse_sequence", reverse), ("shape_to_tensor", shape), ("size", size),
    ]

    private static func reverse(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 2)
        let data = call.inputs[0]
        try call.requireOutput(0, data.shape)
        let sequence = try call.axis(try call.int("seq_axis"), rank: data.shape.count)
        let batch = try call.axis(try call.int("batch_axis"), rank: data.shape.count)
        guard sequence != batch, call.inputs[1].dtype.isInteger, data.dtype == call.outputs[0].dtype,
            data.dtype.byteCount > 0
        else { throw call.error(.invalidArgument, "expects two axes and integer lengths") }
        try call.requireShape(1, [data.shape[batch]])
        // Blocks of what lies behind both axes; each knows its place on both.
        let last = max(sequence, batch)
        let bytes = data.shape[(last + 1)...].reduce(1, *) * data.dtype.byteCount
        let blocks = data.shape[...last].reduce(1, *)
        let steps = StridedCopy.steps(Array(data.shape[...last]))
        let (length, samples) = (data.shape[sequence], data.shape[batch])
        let (dtype, name) = (call.inputs[1].dtype, call.op.name)
        return PreparedKernel { arguments in
            let lengths = IndexList(base: arguments.inputs[1], dtype: dtype)
            for sample in 0..<samples where lengths[sample] < 0 || lengths[sample] > length {
                throw TenonError(
                    .invalidArgument, "\(name): length \(lengths[sample]) is out of range for \(length) entries",
                    operatorName: name)
            }
            let (from, to) = (arguments.inputs[0], arguments.outputs[0])
            arguments.parallel.forEach(blocks, grain: max(1, (1 << 15) / max(bytes, 1))) { range in
                for block in range {
                    let time = block / steps[sequence] % length
                    let count = lengths[block / steps[batch] % samples]
                    let source = time < count ? block + (count - 1 - 2 * time) * steps[sequence] : block
                    (to + block * bytes).copyMemory(from: from + source * bytes, byteCount: bytes)
                }
            }
        }
    }

    private static func shape(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 0)
        let values = try call.integers(0)
        try call.requireOutput(0, [values.count])
        guard call.outputs[0].dtype == .int64 else { throw call.unsupported(call.outputs[0].dtype) }
        return PreparedKernel { arguments in
            let result = arguments.output(0, Int64.self)
            for index in values.indices { result[index] = Int64(values[index]) }
        }
    }

    private static func size(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1)
        guard call.outputs[0].dtype == .int64, call.outputs[0].count == 1 else {
            throw call.unsupported(call.outputs[0].dtype)
        }
        let count = Int64(call.inputs[0].count)
        return PreparedKernel { $0.output(0, Int64.self)[0] = count }
    }
}
