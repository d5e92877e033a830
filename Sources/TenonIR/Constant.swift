import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Memory that can be read again from where it came, as a mapped file.
public protocol RereadableMemory: AnyObject {
    /// The pages inside of `part` need not be kept.
    func releasePages(of part: UnsafeRawBufferPointer)
}

/// An immutable tensor of known contents, dense and row-major. Shared by reference; equal when type and bytes are.
public final class Constant: Hashable, @unchecked Sendable {
    public let dtype: DataType
    public let shape: [Int64]
    public let count: Int
    /// The elements where they were given, perhaps not aligned for their type. Valid as long as this object lives; empty for
    /// strings.
    public let source: UnsafeRawBufferPointer
    /// Address of a copy of `source` for those who need it aligned; 0 as long as nobody did.
    private let aligned = Mutex<UInt>(0)
    /// The elements of a tensor of strings.
    public let strings: [String]
    /// Keeps borrowed memory (a mapped file, a host's tensor) alive; nil when the bytes are our own.
    private let owner: AnyObject?
    private let ownsBytes: Bool

    /// Takes a copy of `source`, which holds exactly the elements.
    public init(dtype: DataType, shape: [Int64], copying source: UnsafeRawBufferPointer) throws {
        let (count, byteCount) = try Constant.size(dtype, shape)
        guard byteCount == source.count else {
            throw TenonError(
                .invalidArgument,
                "constant \(Constant.text(dtype, shape)): expected \(byteCount) bytes, found \(source.count)")
        }
        guard let memory = AlignedMemory.allocate(byteCount) else {
            throw TenonError(.outOfMemory, "constant \(Constant.text(dtype, shape)): \(byteCount) bytes not available")
        }
        if let base = source.baseAddress { memory.copyMemory(from: base, byteCount: byteCount) }
        self.dtype = dtype
        self.shape = shape
        self.count = count
        self.source = UnsafeRawBufferPointer(start: memory, count: byteCount)
        strings = []
        owner = nil
        ownsBytes = true
    }

    /// Borrows `source`, which must not change and stays valid as long as `owner` lives; it need not be aligned.
    public init(dtype: DataType, shape: [Int64], borrowing source: UnsafeRawBufferPointer, owner: AnyObject) throws {
        let (count, byteCount) = try Constant.size(dtype, shape)
        guard byteCount == source.count else {
            throw TenonError(
                .invalidArgument,
                "constant \(Constant.text(dtype, shape)): expected \(byteCount) bytes, found \(source.count)")
        }
        self.dtype = dtype
        self.shape = shape
        self.count = count
        self.source = source
        strings = []
        self.owner = owner
        ownsBytes = false
    }

    /// Takes memory over that `free` gives back.
    private init(_ dtype: DataType, _ shape: [Int64], _ count: Int, adopting source: UnsafeRawBufferPointer) {
        self.dtype = dtype
        self.shape = shape
        self.count = count
        self.source = source
        strings = []
        owner = nil
        ownsBytes = true
    }

    /// A tensor of strings.
    public init(shape: [Int64], strings: [String]) throws {
        guard let count = checkedElementCount(shape), count == strings.count else {
            throw TenonError(.invalidArgument, "constant str\(shape): \(strings.count) elements do not fill the shape")
        }
        dtype = .string
        self.shape = shape
        self.count = count
        self.source = UnsafeRawBufferPointer(start: nil, count: 0)
        self.strings = strings
        owner = nil
        ownsBytes = false
    }

    /// Elements given as a Swift array whose element type has the layout of `dtype`.
    public convenience init<T: BitwiseCopyable>(_ dtype: DataType, _ shape: [Int64], _ elements: [T]) throws {
        try self.init(dtype: dtype, shape: shape, elements: elements)
    }

    private convenience init<T: BitwiseCopyable>(dtype: DataType, shape: [Int64], elements: [T]) throws {
        guard MemoryLayout<T>.stride == dtype.byteCount else {
            throw TenonError(.invalidType, "constant \(Constant.text(dtype, shape)): elements of another size")
        }
        let copy = try elements.withUnsafeBytes { try Constant(dtype: dtype, shape: shape, copying: $0) }
        try self.init(dtype: dtype, shape: shape, borrowing: copy.bytes, owner: copy)
    }

    deinit {
        if ownsBytes { free(UnsafeMutableRawPointer(mutating: source.baseAddress)) }
        aligned.withLock { free(UnsafeMutableRawPointer(bitPattern: $0)) }
    }

    /// The elements, aligned for their type. Copies them the first time when `source` is not aligned.
    public var bytes: UnsafeRawBufferPointer {
        let alignment = max(dtype.byteCount, 1)
        guard Int(bitPattern: source.baseAddress) % alignment != 0, let base = source.baseAddress else { return source }
        let copy = ForkBarrier.away {
            aligned.withLock { copy in
                if copy == 0, let memory = AlignedMemory.allocate(source.count) {
                    memory.copyMemory(from: base, byteCount: source.count)
                    copy = UInt(bitPattern: memory)
                    releasePages()
                }
                return copy
            }
        }
        // Without memory for a copy slow loads are left.
        return copy == 0
            ? source : UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: copy), count: source.count)
    }

    /// To be called when `source` is not read again soon: a mapped file need not stay in memory.
    public func releasePages() { (owner as? any RereadableMemory)?.releasePages(of: source) }

    public var type: TensorType { TensorType(dtype, shape.map { .fixed($0) }) }

    public var isScalar: Bool { count == 1 }

    private static func text(_ dtype: DataType, _ shape: [Int64]) -> String {
        "\(dtype.name)[\(shape.map(String.init).joined(separator: ","))]"
    }

    private static func size(_ dtype: DataType, _ shape: [Int64]) throws -> (count: Int, bytes: Int) {
        guard let count = checkedElementCount(shape) else {
            throw TenonError(
                .invalidShape, "constant \(text(dtype, shape)): dimensions must be >= 0 and their product fit")
        }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: dtype.byteCount)
        guard !overflow, dtype != .string else {
            throw TenonError(.invalidShape, "constant \(text(dtype, shape)): size in bytes does not fit")
        }
        return (count, bytes)
    }

    public static func == (a: Constant, b: Constant) -> Bool {
        if a === b { return true }
        guard a.dtype == b.dtype, a.shape == b.shape, a.strings == b.strings else { return false }
        guard let p = a.source.baseAddress, let q = b.source.baseAddress else {
            return a.source.count == b.source.count
        }
        return p == q || memcmp(p, q, a.source.count) == 0
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(dtype)
        hasher.combine(shape)
        hasher.combine(strings)
        // A sample tells constants apart well enough; equality compares everything.
        hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: source.prefix(64)))
        hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: source.suffix(64)))
    }
}

extension Constant {
    /// Element `index` as a double; nil outside the tensor or for strings.
    public func double(at index: Int) -> Double? {
        guard index >= 0, index < count, let base = source.baseAddress else { return nil }
        func load<T: BitwiseCopyable>(_: T.Type) -> T {
            base.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.stride, as: T.self)
        }
        switch dtype {
        case .float32: return Double(load(Float.self))
        case .float64: return load(Double.self)
        case .float16: return Double(HalfPrecision.float(fromHalf: load(UInt16.self)))
        case .bfloat16: return Double(HalfPrecision.float(fromBFloat16: load(UInt16.self)))
        case .int8: return Double(load(Int8.self))
        case .int16: return Double(load(Int16.self))
        case .int32: return Double(load(Int32.self))
        case .int64: return Double(load(Int64.self))
        case .uint8: return Double(load(UInt8.self))
        case .uint16: return Double(load(UInt16.self))
        case .uint32: return Double(load(UInt32.self))
        case .uint64: return Double(load(UInt64.self))
        case .bool: return load(UInt8.self) == 0 ? 0 : 1
        case .string: return nil
        default: return Double(SmallTypes.values(dtype)[Int(load(UInt8.self))])
        }
    }

    /// Element `index` as an integer; nil outside the tensor, for strings and for floating-point types.
    public func int(at index: Int) -> Int64? {
        guard index >= 0, index < count, let base = source.baseAddress else { return nil }
        switch dtype {
        case .int64: return base.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)
        case .uint64: return Int64(exactly: base.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
        case .float32, .float64, .float16, .bfloat16, .string, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2,
            .float8e5m2fnuz, .float4e2m1, .float8e8m0:
            return nil
        default: return double(at: index).map { Int64($0) }
        }
    }

    /// All elements as integers, or nil for types that are not integers.
    public var intElements: [Int64]? {
        var elements: [Int64] = []
        elements.reserveCapacity(count)
        for index in 0..<count {
            guard let element = int(at: index) else { return nil }
            elements.append(element)
        }
        return elements
    }

    /// All elements as doubles, or nil for strings.
    public var doubleElements: [Double]? {
        var elements: [Double] = []
        elements.reserveCapacity(count)
        for index in 0..<count {
            guard let element = double(at: index) else { return nil }
            elements.append(element)
        }
        return elements
    }

    /// The value that every element has, if there is one element at least and all are equal.
    public var splatValue: Double? {
        guard let first = double(at: 0) else { return nil }
        for index in 1..<max(count, 1) where double(at: index) != first { return nil }
        return first
    }

    /// A tensor of `dtype` with every element `value`, converted. Throws `outOfMemory` when there is not as much.
    public static func filled(_ dtype: DataType, _ shape: [Int64], _ value: Double) throws -> Constant {
        // The element, as the conversion of lists makes it.
        let element = try from(doubles: [value], dtype, [1])
        let (count, byteCount) = try Constant.size(dtype, shape)
        guard let memory = AlignedMemory.allocate(byteCount) else {
            throw TenonError(.outOfMemory, "constant \(text(dtype, shape)): \(byteCount) bytes not available")
        }
        func fill<T: BitwiseCopyable>(_: T.Type) {
            let bits = withExtendedLifetime(element) { $0.bytes.loadUnaligned(as: T.self) }
            memory.bindMemory(to: T.self, capacity: count).initialize(repeating: bits, count: count)
        }
        switch dtype.byteCount {
        case 1: fill(UInt8.self)
        case 2: fill(UInt16.self)
        case 4: fill(UInt32.self)
        default: fill(UInt64.self)
        }
        return Constant(dtype, shape, count, adopting: UnsafeRawBufferPointer(start: memory, count: byteCount))
    }

    public static func scalar(_ dtype: DataType, _ value: Double) throws -> Constant { try filled(dtype, [], value) }

    public static func floats(_ shape: [Int64], _ elements: [Float]) throws -> Constant {
        try Constant(.float32, shape, elements)
    }

    public static func ints(_ shape: [Int64], _ elements: [Int64]) throws -> Constant {
        try Constant(.int64, shape, elements)
    }

    /// Converts doubles to `dtype`; integers saturate, fractions are cut.
    public static func from(doubles: [Double], _ dtype: DataType, _ shape: [Int64]) throws -> Constant {
        func integers<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> [T] { doubles.map { T(clamping: $0) } }
        switch dtype {
        case .float32: return try Constant(dtype, shape, doubles.map { Float($0) })
        case .float64: return try Constant(dtype, shape, doubles)
        case .float16: return try Constant(dtype, shape, doubles.map { HalfPrecision.half(from: Float($0)) })
        case .bfloat16: return try Constant(dtype, shape, doubles.map { HalfPrecision.bfloat16(from: Float($0)) })
        case .int8: return try Constant(dtype, shape, integers(Int8.self))
        case .int16: return try Constant(dtype, shape, integers(Int16.self))
        case .int32: return try Constant(dtype, shape, integers(Int32.self))
        case .int64: return try Constant(dtype, shape, integers(Int64.self))
        case .uint8: return try Constant(dtype, shape, integers(UInt8.self))
        case .uint16: return try Constant(dtype, shape, integers(UInt16.self))
        case .uint32: return try Constant(dtype, shape, integers(UInt32.self))
        case .uint64: return try Constant(dtype, shape, integers(UInt64.self))
        case .bool: return try Constant(dtype, shape, doubles.map { $0 != 0 ? UInt8(1) : 0 })
        case .string: throw TenonError(.invalidType, "constant \(text(dtype, shape)): numbers given for strings")
        default: return try Constant(dtype, shape, doubles.map { SmallTypes.byte($0, dtype) })
        }
    }
}

extension FixedWidthInteger {
    /// The nearest representable integer towards zero; 0 for NaN. Never traps.
    public init(clamping value: Double) {
        if value.isNaN {
            self = 0
        } else if let exact = Self(exactly: value.rounded(.towardZero)) {
            self = exact
        } else {
            self = value < 0 ? .min : .max
        }
    }
}
