import CTenon
import TenonIR
import TenonRuntime

/// Elements of a caller that lie dense and row-major.
struct DenseElements {
    let dtype: DataType
    let shape: [Int64]
    let bytes: UnsafeRawBufferPointer

    init(_ pointer: UnsafePointer<tenon_tensor>?) throws {
        guard let pointer else { throw invalid("tensor is NULL") }
        let tensor = try Sized.read(pointer, tenon_tensor(), "tenon_tensor")
        try Tensors.check(tensor, "tensor")
        guard let dtype = DataType(rawValue: UInt8(truncatingIfNeeded: tensor.dtype)) else {
            throw invalid("tensor: unknown element type")
        }
        let shape = try sizes(tensor.shape, tensor.rank, least: 0, "tensor")
        guard let count = checkedElementCount(shape) else {
            throw TenonError(.invalidShape, "tensor: the number of elements does not fit 64 bits")
        }
        let (size, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
        guard !overflow else { throw TenonError(.invalidShape, "tensor: the size in bytes does not fit 64 bits") }
        guard tensor.strides == nil else { throw TenonError(.unsupported, "tensor: a constant has no strides") }
        guard tensor.byte_count == 0 || tensor.byte_count >= size else {
            throw invalid("tensor: \(size) bytes needed, byte_count is \(tensor.byte_count)")
        }
        guard tensor.data != nil || size == 0 else { throw invalid("tensor: data is NULL") }
        self.dtype = dtype
        self.shape = shape
        bytes = UnsafeRawBufferPointer(start: tensor.data, count: size)
    }
}

enum Tensors {
    /// What every tensor must satisfy, whatever it is for.
    static func check(_ tensor: tenon_tensor, _ what: @autoclosure () -> String) throws {
        guard let raw = UInt8(exactly: tensor.dtype), let dtype = DataType(rawValue: raw), dtype != .string else {
            throw TenonError(.invalidType, "\(what()): \(tensor.dtype) is no element type of a tensor in memory")
        }
        guard tensor.rank <= UInt32(TENON_MAX_RANK) else {
            throw TenonError(.invalidShape, "\(what()): rank \(tensor.rank) is more than \(TENON_MAX_RANK)")
        }
        guard tensor.shape != nil || tensor.rank == 0 else {
            throw invalid("\(what()): shape is NULL, but rank is \(tensor.rank)")
        }
        guard tensor.flags == 0 else { throw invalid("\(what()): flags \(tensor.flags) is not 0") }
        guard tensor.byte_count >= 0 else { throw invalid("\(what()): byte_count is out of range") }
    }

    /// The dense tensors in a caller's array.
    static func dense(
        _ tensors: UnsafePointer<tenon_tensor>?, _ count: Int, _ what: StaticString
    ) throws -> [DenseElements] {
        guard let first = try array(tensors, count, what).baseAddress, count > 0 else { return [] }
        let base = UnsafeRawPointer(first)
        let step = try Sized.size(of: base, known: MemoryLayout<tenon_tensor>.size, "tenon_tensor")
        guard step % MemoryLayout<tenon_tensor>.alignment == 0 else {
            throw invalid("tenon_tensor has struct_size \(step)")
        }
        return try (0..<count).map { index in
            try DenseElements((base + index * step).assumingMemoryBound(to: tenon_tensor.self))
        }
    }

    /// Calls `body` with views of a caller's tensors. Allocates nothing on the heap.
    static func withViews<T>(
        _ tensors: UnsafePointer<tenon_tensor>?, _ count: Int, expected: Int, _ what: StaticString,
        _ body: (UnsafeBufferPointer<TensorView>) throws -> T
    ) throws -> T {
        guard count == expected else { throw invalid("expected \(expected) \(what)s, found \(count)") }
        guard count > 0 else { return try body(UnsafeBufferPointer(start: nil, count: 0)) }
        guard let tensors else { throw invalid("\(what)s is NULL, but its count is \(count)") }
        let base = UnsafeRawPointer(tensors)
        let step = try Sized.size(of: base, known: MemoryLayout<tenon_tensor>.size, "tenon_tensor")
        guard step % MemoryLayout<tenon_tensor>.alignment == 0 else {
            throw invalid("tenon_tensor has struct_size \(step)")
        }
        return try withUnsafeTemporaryAllocation(of: TensorView.self, capacity: count) { views in
            for index in 0..<count {
                let pointer = (base + index * step).assumingMemoryBound(to: tenon_tensor.self)
                let tensor = try Sized.read(pointer, tenon_tensor(), "tenon_tensor")
                guard Int(tensor.struct_size) == step else {
                    throw invalid(
                        "\(what) \(index): struct_size \(tensor.struct_size) differs from the first's \(step)")
                }
                try check(tensor, "\(what) \(index)")
                views.initializeElement(at: index, to: view(tensor))
            }
            return try body(UnsafeBufferPointer(views))
        }
    }

    /// `tensor` has been checked.
    private static func view(_ tensor: tenon_tensor) -> TensorView {
        TensorView(
            dtype: DataType(rawValue: UInt8(truncatingIfNeeded: tensor.dtype)) ?? .float32, data: tensor.data,
            rank: Int(tensor.rank), shape: tensor.shape, strides: tensor.strides,
            byteCount: tensor.byte_count == 0 ? nil : Int(tensor.byte_count))
    }
}
