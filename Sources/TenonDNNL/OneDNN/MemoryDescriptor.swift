import CDNNL
import TenonIR

/// Sizes, element type and layout of a tensor, as oneDNN describes them. Immutable.
final class MemoryDescriptor: @unchecked Sendable {
    let handle: OpaquePointer

    /// Takes ownership.
    init(owning handle: OpaquePointer) { self.handle = handle }

    deinit { tdnnl_md_destroy(handle) }

    private static func make(
        _ dims: [Int], _ create: (UnsafePointer<Int64>) -> (Int32, OpaquePointer?)
    ) throws(TenonError) -> MemoryDescriptor {
        let (status, handle) = dims.map(Int64.init).withUnsafeBufferPointer { dims in
            dims.baseAddress.map(create) ?? (DNNLStatus.invalidArguments.rawValue, nil)
        }
        try DNNLStatus.check(status, "memory descriptor \(dims)")
        guard let handle else { throw TenonError(.backend, "memory descriptor \(dims): oneDNN gave none") }
        return MemoryDescriptor(owning: handle)
    }

    /// A layout by name, or whatever a primitive likes best with `TDNNL_TAG_any`.
    static func tagged(
        _ dims: [Int], _ dtype: DataType, _ tag: tdnnl_tag
    ) throws(TenonError) -> MemoryDescriptor {
        let kind = try number(dtype)
        return try make(dims) { list in
            var handle: OpaquePointer?
            let status = tdnnl_md_create_with_tag(
                &handle, Int32(truncatingIfNeeded: dims.count), list, kind, Int32(tag.rawValue))
            return (status, handle)
        }
    }

    static func any(_ dims: [Int], _ dtype: DataType) throws(TenonError) -> MemoryDescriptor {
        try tagged(dims, dtype, TDNNL_TAG_any)
    }

    /// oneDNN's number of an element type.
    private static func number(_ dtype: DataType) throws(TenonError) -> Int32 {
        switch dtype {
        case .float32: Int32(TDNNL_F32.rawValue)
        case .float16: Int32(TDNNL_F16.rawValue)
        case .bfloat16: Int32(TDNNL_BF16.rawValue)
        case .int32: Int32(TDNNL_S32.rawValue)
        case .int8: Int32(TDNNL_S8.rawValue)
        case .uint8: Int32(TDNNL_U8.rawValue)
        default: throw TenonError(.unsupported, "oneDNN has no tensors of \(dtype.name)")
        }
    }

    /// Row-major, or with the given strides in elements.
    static func strided(
        _ dims: [Int], _ dtype: DataType, _ strides: [Int]? = nil
    ) throws(TenonError) -> MemoryDescriptor {
        let kind = try number(dtype)
        let strides = strides?.map(Int64.init)
        return try make(dims) { list in
            var handle: OpaquePointer?
            let rank = Int32(truncatingIfNeeded: dims.count)
            let status =
                if let strides {
                    tdnnl_md_create_with_strides(&handle, rank, list, kind, strides)
                } else {
                    tdnnl_md_create_with_strides(&handle, rank, list, kind, nil)
                }
            return (status, handle)
        }
    }

    /// Nil when the rank is not one that oneDNN knows.
    var dims: [Int]? {
        let sizes = [Int64](unsafeUninitializedCapacity: 12) { buffer, count in
            count = buffer.baseAddress.map { Int(tdnnl_md_dims(handle, $0, 12)) } ?? 0
        }
        return sizes.count == rank ? sizes.map { Int(clamping: $0) } : nil
    }

    var byteCount: Int { Int(exactly: tdnnl_md_size(handle)) ?? Int.max }
    var rank: Int { Int(tdnnl_md_ndims(handle)) }
    var hash: UInt64 { tdnnl_md_hash(handle) }
    var isRowMajor: Bool { tdnnl_md_is_row_major(handle) != 0 }
    var isAny: Bool { tdnnl_md_format_kind(handle) == Int32(TDNNL_FORMAT_ANY.rawValue) }

    func isEqual(to other: MemoryDescriptor) -> Bool { tdnnl_md_equal(handle, other.handle) != 0 }

    enum Letters: Int32 {
        case plain = 0
        case data = 1
        case weights = 2
        case groupedWeights = 3
    }

    /// `nchw`, `nChw16c`, …
    func layoutText(_ letters: Letters = .data) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            _ = tdnnl_md_layout_text(handle, letters.rawValue, base, 64)
            return String(cString: base)
        }
    }
}
