import Glibc
import TenonIR

/// What kernels compute with. Nothing here traps: integers wrap, and division by zero gives 0.
protocol Arithmetic: AdditiveArithmetic, Comparable, BitwiseCopyable, Sendable {
    static var one: Self { get }
    /// Not above any other value, and not below.
    static var lowest: Self { get }
    static var highest: Self { get }
    static var isFloating: Bool { get }
    static func add(_ a: Self, _ b: Self) -> Self
    static func subtract(_ a: Self, _ b: Self) -> Self
    static func multiply(_ a: Self, _ b: Self) -> Self
    static func divide(_ a: Self, _ b: Self) -> Self
    /// The remainder with the sign of `a`.
    static func remainder(_ a: Self, _ b: Self) -> Self
    static func floorDivide(_ a: Self, _ b: Self) -> Self
    static func power(_ a: Self, _ b: Self) -> Self
    static func power(_ a: Self, real b: Double) -> Self
    /// Floating-point values above the range of an integer become its bounds, NaN becomes 0.
    init(converting value: Double)
    init(converting value: Int64)
    var double: Double { get }
    /// An integer without the bits beyond 64; 0 for floating-point types, which `double` converts.
    var bits: Int64 { get }
    var isNotANumber: Bool { get }
}

extension Arithmetic {
    /// NaN wins, as in NumPy and ONNX.
    @inline(__always) static func larger(_ a: Self, _ b: Self) -> Self { a > b || a.isNotANumber ? a : b }
    @inline(__always) static func smaller(_ a: Self, _ b: Self) -> Self { a < b || a.isNotANumber ? a : b }
    /// The remainder with the sign of `b`.
    @inline(__always) static func floorModulo(_ a: Self, _ b: Self) -> Self {
        let rest = remainder(a, b)
        return rest != .zero && (rest < .zero) != (b < .zero) ? add(rest, b) : rest
    }
}

protocol RealNumber: Arithmetic, BinaryFloatingPoint {
    static func raise(_ a: Self, _ b: Self) -> Self
    static func fmodulo(_ a: Self, _ b: Self) -> Self
}

extension RealNumber {
    @inline(__always) static var one: Self { 1 }
    @inline(__always) static var lowest: Self { -.infinity }
    @inline(__always) static var highest: Self { .infinity }
    @inline(__always) static var isFloating: Bool { true }
    @inline(__always) static func add(_ a: Self, _ b: Self) -> Self { a + b }
    @inline(__always) static func subtract(_ a: Self, _ b: Self) -> Self { a - b }
    @inline(__always) static func multiply(_ a: Self, _ b: Self) -> Self { a * b }
    @inline(__always) static func divide(_ a: Self, _ b: Self) -> Self { a / b }
    static func remainder(_ a: Self, _ b: Self) -> Self { fmodulo(a, b) }
    static func floorDivide(_ a: Self, _ b: Self) -> Self { (a / b).rounded(.down) }
    static func power(_ a: Self, _ b: Self) -> Self { raise(a, b) }
    static func power(_ a: Self, real b: Double) -> Self { raise(a, Self(b)) }
    @inline(__always) var bits: Int64 { 0 }
    @inline(__always) init(converting value: Double) { self.init(value) }
    @inline(__always) init(converting value: Int64) { self.init(value) }
    @inline(__always) var isNotANumber: Bool { self != self }
}

extension Float: RealNumber {
    static func raise(_ a: Float, _ b: Float) -> Float { powf(a, b) }
    static func fmodulo(_ a: Float, _ b: Float) -> Float { fmodf(a, b) }
    @inline(__always) var double: Double { Double(self) }
}

extension Double: RealNumber {
    static func raise(_ a: Double, _ b: Double) -> Double { pow(a, b) }
    static func fmodulo(_ a: Double, _ b: Double) -> Double { fmod(a, b) }
    @inline(__always) var double: Double { self }
}

protocol IntegerNumber: Arithmetic, FixedWidthInteger {}

extension IntegerNumber {
    @inline(__always) static var one: Self { 1 }
    @inline(__always) static var lowest: Self { .min }
    @inline(__always) static var highest: Self { .max }
    @inline(__always) static var isFloating: Bool { false }
    @inline(__always) static func add(_ a: Self, _ b: Self) -> Self { a &+ b }
    @inline(__always) static func subtract(_ a: Self, _ b: Self) -> Self { a &- b }
    @inline(__always) static func multiply(_ a: Self, _ b: Self) -> Self { a &* b }
    static func divide(_ a: Self, _ b: Self) -> Self { b == 0 ? 0 : a.dividedReportingOverflow(by: b).partialValue }
    static func remainder(_ a: Self, _ b: Self) -> Self {
        b == 0 ? 0 : a.remainderReportingOverflow(dividingBy: b).partialValue
    }
    static func floorDivide(_ a: Self, _ b: Self) -> Self {
        let quotient = divide(a, b)
        let rest = remainder(a, b)
        return rest != 0 && (rest < 0) != (b < 0) ? quotient &- 1 : quotient
    }
    static func power(_ a: Self, _ b: Self) -> Self {
        // 1 / a^|b| towards zero.
        if b < 0 { return a == 1 ? 1 : a == -1 as Int64 ? (b & 1 == 0 ? 1 : a) : 0 }
        var (result, factor, rest): (Self, Self, Self) = (1, a, b)
        while rest > 0 {
            if rest & 1 == 1 { result = result &* factor }
            factor = factor &* factor
            rest >>= 1
        }
        return result
    }
    static func power(_ a: Self, real b: Double) -> Self {
        if b >= 0, let exponent = Self(exactly: b) { return power(a, exponent) }
        return Self(converting: pow(Double(a), b))
    }
    @inline(__always) init(converting value: Double) {
        // The bounds as doubles: the upper one is rounded up, and just out of range.
        if value >= Double(Self.max) {
            self = .max
        } else if value <= Double(Self.min) {
            self = .min
        } else {
            self = value == value ? Self(value) : 0
        }
    }
    @inline(__always) init(converting value: Int64) { self.init(truncatingIfNeeded: value) }
    @inline(__always) var double: Double { Double(self) }
    @inline(__always) var bits: Int64 { Int64(truncatingIfNeeded: self) }
    @inline(__always) var isNotANumber: Bool { false }
}

extension Int8: IntegerNumber {}
extension Int16: IntegerNumber {}
extension Int32: IntegerNumber {}
extension Int64: IntegerNumber {}
extension UInt8: IntegerNumber {}
extension UInt16: IntegerNumber {}
extension UInt32: IntegerNumber {}
extension UInt64: IntegerNumber {}

/// How elements lie in memory, and the type that they are computed in: itself, except for the 16-bit floating-point types.
protocol Storage: BitwiseCopyable, Sendable {
    associatedtype Value: Arithmetic
    init(storing value: Value)
    var value: Value { get }
}

extension Storage where Value == Self {
    @inline(__always) init(storing value: Self) { self = value }
    @inline(__always) var value: Self { self }
}

extension Float: Storage { typealias Value = Float }
extension Double: Storage { typealias Value = Double }
extension Int8: Storage { typealias Value = Int8 }
extension Int16: Storage { typealias Value = Int16 }
extension Int32: Storage { typealias Value = Int32 }
extension Int64: Storage { typealias Value = Int64 }
extension UInt8: Storage { typealias Value = UInt8 }
extension UInt16: Storage { typealias Value = UInt16 }
extension UInt32: Storage { typealias Value = UInt32 }
extension UInt64: Storage { typealias Value = UInt64 }

/// A generic piece of work; `dispatch` calls it with the Swift type of a dtype, so that each type gets its own loop.
protocol StorageVisitor {
    associatedtype Result
    func visit<S: Storage>(_ type: S.Type) throws -> Result
}

/// As `StorageVisitor`, for floating-point types only.
protocol RealVisitor {
    associatedtype Result
    func visit<S: Storage>(_ type: S.Type) throws -> Result where S.Value: RealNumber
}

extension KernelCall {
    /// Bool counts as uint8 with the values 0 and 1, where `allowingBool` says that this is right.
    @inline(__always) func dispatch<V: StorageVisitor>(
        _ dtype: DataType, allowingBool: Bool = false, _ visitor: V
    ) throws -> V.Result {
        switch dtype {
        case .float32: return try visitor.visit(Float.self)
        case .float64: return try visitor.visit(Double.self)
        case .float16: return try visitor.visit(Half.self)
        case .bfloat16: return try visitor.visit(BFloat16.self)
        case .int8: return try visitor.visit(Int8.self)
        case .int16: return try visitor.visit(Int16.self)
        case .int32: return try visitor.visit(Int32.self)
        case .int64: return try visitor.visit(Int64.self)
        case .uint8: return try visitor.visit(UInt8.self)
        case .uint16: return try visitor.visit(UInt16.self)
        case .uint32: return try visitor.visit(UInt32.self)
        case .uint64: return try visitor.visit(UInt64.self)
        case .bool where allowingBool: return try visitor.visit(UInt8.self)
        default: throw unsupported(dtype)
        }
    }

    @inline(__always) func dispatchReal<V: RealVisitor>(_ dtype: DataType, _ visitor: V) throws -> V.Result {
        switch dtype {
        case .float32: return try visitor.visit(Float.self)
        case .float64: return try visitor.visit(Double.self)
        case .float16: return try visitor.visit(Half.self)
        case .bfloat16: return try visitor.visit(BFloat16.self)
        default: throw unsupported(dtype)
        }
    }

    func unsupported(_ dtype: DataType) -> TenonError { error(.unsupported, "no kernel for \(dtype.name)") }
}
