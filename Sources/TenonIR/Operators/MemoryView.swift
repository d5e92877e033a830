/// Relax's `memory.view`: the bytes of a tensor, read as another one.
enum MemoryView {
    static let schema = OperatorSchema(
        "memory.view",
        "The bytes of data from relative_byte_offset on, as a tensor of the given shape and element type; as data where not said.",
        inputs: [.init("data"), .init("shape", .shape, optional: true)],
        attributes: [.optional("dtype", .dtype), .defaulted("relative_byte_offset", 0)]
    ) { site in
        let data = try site.tensor(0)
        let dtype = site.attributes.dtype("dtype") ?? data.dtype
        let offset = try site.int("relative_byte_offset")
        guard offset >= 0 else { throw site.attributeError("relative_byte_offset", expects: "0 or a number above") }
        for type in [data.dtype, dtype] where type == .string || type?.byteCount == 0 {
            throw site.attributeError("dtype", expects: "element types of whole bytes")
        }
        // Truth values are 0 or 1, which bytes of something else need not be.
        if dtype == .bool, let own = data.dtype, own != .bool {
            throw site.attributeError("dtype", expects: "no bool, which not all bytes are")
        }
        let shape = site.has(1) ? site.dims(1) : data.shape
        if let own = data.dtype, let dtype, let count = data.elementCount, let shape {
            var bytes = Int64(dtype.byteCount)
            for size in shape {
                guard let size = size.value else { return .tensor(TensorType(dtype, shape)) }
                let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
                guard !overflow else { throw site.inputError(1, expects: "sizes that can be counted") }
                bytes = product
            }
            let (available, overflow) = Int64(count).multipliedReportingOverflow(by: Int64(own.byteCount))
            guard !overflow, offset <= available, bytes <= available - offset else {
                throw site.inputError(0, expects: "\(bytes) bytes from byte \(offset) on")
            }
        }
        guard let shape else {
            var rank: Int?
            if !site.has(1) { rank = data.rank }
            return .tensor(TensorType(dtype: dtype, rank: rank))
        }
        return .tensor(TensorType(dtype, shape))
    }
}
