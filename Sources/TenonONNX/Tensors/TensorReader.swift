import TenonIR

/// Turns TensorProto messages into constants; every size is checked before anything is allocated.
struct TensorReader {
    private let source: ModelSource
    private let limits: ONNXLimits
    private var external: ExternalData

    init(source: ModelSource, limits: ONNXLimits) {
        self.source = source
        self.limits = limits
        external = ExternalData(directory: source.directory, limits: limits)
    }

    /// The tensor's contents.
    ///
    /// The bytes of a mapped file are borrowed where they are aligned for the element type, else copied.
    /// - Parameter name: how messages call the tensor; an attribute's tensor has none of its own.
    mutating func constant(_ tensor: ONNXTensorProto, name: String) throws -> Constant {
        guard let dtype = DataType(onnx: tensor.dataType) else {
            throw TenonError(
                .unsupported,
                "ONNX: tensor \(quoted(name)): element type \(DataType.nameOfONNX(tensor.dataType)) is not supported")
        }
        guard tensor.dims.count <= limits.rank else {
            throw TenonError.onnxLimit("tensor \(quoted(name)): \(tensor.dims.count) dimensions")
        }
        guard let count = checkedElementCount(tensor.dims) else {
            throw TenonError.malformedONNX(
                "tensor \(quoted(name)): dimensions \(tensor.dims) must be >= 0 and their product must fit")
        }
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: max(dtype.byteCount, 1))
        guard !overflow, byteCount <= limits.tensorBytes else {
            throw TenonError.onnxLimit("tensor \(quoted(name)): \(count) elements of \(dtype.name)")
        }
        let small = SmallTypes.bitCount(dtype).flatMap { $0 < 8 ? SmallTypes.packedByteCount(count, $0) : nil }
        try checkSources(tensor, name: name)
        if dtype == .string { return try strings(tensor, count, name) }
        if tensor.dataLocation == .external {
            let (file, range) = try external.bytes(tensor.externalData, byteCount: small ?? byteCount, tensor: name)
            return try constant(dtype, tensor.dims, file.bytes, range, owner: file)
        }
        if tensor.hasPayloadRange {
            let range = try payload(tensor, dtype, small ?? byteCount, name)
            return try constant(dtype, tensor.dims, source.bytes, range, owner: source.file)
        }
        if tensor.hasRawData {
            try check(tensor.rawData.count, small ?? byteCount, "bytes of raw_data", name)
            if small != nil {
                return try tensor.rawData.withUnsafeBytes { try unpacked($0, dtype, tensor.dims, name) }
            }
            return try tensor.rawData.withUnsafeBytes { try Constant(dtype: dtype, shape: tensor.dims, copying: $0) }
        }
        return try typed(tensor, dtype, count, name)
    }

    private func check(_ found: Int, _ expected: Int, _ what: String, _ name: String) throws {
        guard found == expected else {
            throw TenonError.malformedONNX("tensor \(quoted(name)): \(found) \(what), its type needs \(expected)")
        }
    }

    /// At most one field holds the values.
    private func checkSources(_ tensor: ONNXTensorProto, name: String) throws {
        let present = [
            tensor.hasRawData, tensor.hasPayloadRange, tensor.dataLocation == .external, !tensor.floatData.isEmpty,
            !tensor.int32Data.isEmpty, !tensor.int64Data.isEmpty, !tensor.doubleData.isEmpty,
            !tensor.uint64Data.isEmpty, !tensor.stringData.isEmpty,
        ]
        guard present.lazy.filter({ $0 }).count <= 1 else {
            throw TenonError.malformedONNX("tensor \(quoted(name)): values stand in more than one field")
        }
    }

    private func payload(
        _ tensor: ONNXTensorProto, _ dtype: DataType, _ byteCount: Int, _ name: String
    ) throws -> Range<Int> {
        let range = tensor.payloadRange
        guard let begin = Int(exactly: range.begin), let count = Int(exactly: range.count),
            begin <= source.bytes.count, count <= source.bytes.count - begin
        else { throw TenonError.malformedONNX("tensor \(quoted(name)): values lie outside the file") }
        let fits = [4: dtype == .float32, 9: true, 10: dtype == .float64][range.field] ?? false
        guard fits else {
            throw TenonError.malformedONNX("tensor \(quoted(name)): field \(range.field) holds no \(dtype.name)")
        }
        try check(count, byteCount, "bytes of data", name)
        return begin..<begin + count
    }

    private func constant(
        _ dtype: DataType, _ shape: [Int64], _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, owner: MappedFile?
    ) throws -> Constant {
        let part = UnsafeRawBufferPointer(rebasing: bytes[range])
        if let bits = SmallTypes.bitCount(dtype), bits < 8 { return try unpacked(part, dtype, shape, "") }
        guard let owner else { return try Constant(dtype: dtype, shape: shape, copying: part) }
        return try Constant(dtype: dtype, shape: shape, borrowing: part, owner: owner)
    }

    /// Elements of which several are in a byte.
    private func unpacked(
        _ bytes: UnsafeRawBufferPointer, _ dtype: DataType, _ shape: [Int64], _ name: String
    ) throws -> Constant {
        guard let count = checkedElementCount(shape), let elements = SmallTypes.unpacked(bytes, dtype, count: count)
        else {
            throw TenonError.malformedONNX(
                "tensor \(quoted(name)): \(bytes.count) bytes of \(dtype.name) do not fill \(shape)")
        }
        return try Constant(dtype, shape, elements)
    }

    private func strings(_ tensor: ONNXTensorProto, _ count: Int, _ name: String) throws -> Constant {
        try check(tensor.stringData.count, count, "strings", name)
        return try Constant(shape: tensor.dims, strings: tensor.stringData.map { String(decoding: $0, as: UTF8.self) })
    }

    /// Values in one of the typed lists.
    private func typed(_ tensor: ONNXTensorProto, _ dtype: DataType, _ count: Int, _ name: String) throws -> Constant {
        let shape = tensor.dims

        func list<T: BitwiseCopyable>(_ values: [T], _ field: String) throws -> Constant {
            try check(values.count, count, "values in \(field)", name)
            return try Constant(dtype, shape, values)
        }
        /// Each value as the narrower type that the tensor has.
        func narrowed<T: BinaryInteger, U: FixedWidthInteger & BitwiseCopyable>(
            _ values: [T], _ field: String, as _: U.Type
        ) throws -> Constant {
            try check(values.count, count, "values in \(field)", name)
            return try Constant(
                dtype, shape,
                values.map { value in
                    guard let narrow = U(exactly: value) else {
                        throw TenonError.malformedONNX("tensor \(quoted(name)): \(value) is no \(dtype.name)")
                    }
                    return narrow
                })
        }
        switch dtype {
        case .float32: return try list(tensor.floatData, "float_data")
        case .float64: return try list(tensor.doubleData, "double_data")
        case .int64: return try list(tensor.int64Data, "int64_data")
        case .uint64: return try list(tensor.uint64Data, "uint64_data")
        case .uint32: return try narrowed(tensor.uint64Data, "uint64_data", as: UInt32.self)
        case .int32: return try list(tensor.int32Data, "int32_data")
        case .int16: return try narrowed(tensor.int32Data, "int32_data", as: Int16.self)
        case .int8: return try narrowed(tensor.int32Data, "int32_data", as: Int8.self)
        case .uint8: return try narrowed(tensor.int32Data, "int32_data", as: UInt8.self)
        case .uint16, .float16, .bfloat16: return try narrowed(tensor.int32Data, "int32_data", as: UInt16.self)
        case .bool: return try narrowed(tensor.int32Data.map { $0 == 0 ? 0 : 1 }, "int32_data", as: UInt8.self)
        case .string: return try strings(tensor, count, name)
        default:
            // Each value of the list is a byte, of one element or of several.
            let bytes = tensor.int32Data.map { UInt8(truncatingIfNeeded: $0) }
            let expected = SmallTypes.packedByteCount(count, SmallTypes.bitCount(dtype) ?? 8)
            try check(bytes.count, expected, "values in int32_data", name)
            return try bytes.withUnsafeBytes { try unpacked($0, dtype, shape, name) }
        }
    }
}
