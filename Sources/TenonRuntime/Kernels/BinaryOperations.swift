import Glibc

/// The functions of two elements behind the binary operators.
protocol ArithmeticOperation: Sendable {
    static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V
}

enum Add: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.add(a, b) }
}

enum Subtract: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.subtract(a, b) }
}

enum Multiply: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.multiply(a, b) }
}

enum Divide: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.divide(a, b) }
}

enum Minimum: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.smaller(a, b) }
}

enum Maximum: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.larger(a, b) }
}

enum FloorDivide: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.floorDivide(a, b) }
}

enum Remainder: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.remainder(a, b) }
}

enum FloorModulo: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.floorModulo(a, b) }
}

enum Power: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { V.power(a, b) }
}

/// x, or slope × x below 0.
enum ParametricRelu: ArithmeticOperation {
    @inline(__always) static func apply<V: Arithmetic>(_ a: V, _ b: V) -> V { a < .zero ? V.multiply(a, b) : a }
}

/// Functions of two elements that only floating-point types have.
protocol RealOperation: Sendable {
    static func apply<V: RealNumber>(_ a: V, _ b: V) -> V
}

enum ArcTangent2: RealOperation {
    static func apply<V: RealNumber>(_ a: V, _ b: V) -> V { V(converting: atan2(a.double, b.double)) }
}

protocol Comparison: Sendable {
    static func holds<V: Arithmetic>(_ a: V, _ b: V) -> Bool
}

enum Equal: Comparison {
    @inline(__always) static func holds<V: Arithmetic>(_ a: V, _ b: V) -> Bool { a == b }
}

enum NotEqual: Comparison {
    @inline(__always) static func holds<V: Arithmetic>(_ a: V, _ b: V) -> Bool { a != b }
}

enum Less: Comparison {
    @inline(__always) static func holds<V: Arithmetic>(_ a: V, _ b: V) -> Bool { a < b }
}

enum LessEqual: Comparison {
    @inline(__always) static func holds<V: Arithmetic>(_ a: V, _ b: V) -> Bool { a <= b }
}

enum Greater: Comparison {
    @inline(__always) static func holds<V: Arithmetic>(_ a: V, _ b: V) -> Bool { a > b }
}

enum GreaterEqual: Comparison {
    @inline(__always) static func holds<V: Arithmetic>(_ a: V, _ b: V) -> Bool { a >= b }
}

/// Functions of bits; with bools as 0 and 1 these are the logical operators too.
protocol BitOperation: Sendable {
    static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T
}

enum BitAnd: BitOperation {
    @inline(__always) static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a & b }
}

enum BitOr: BitOperation {
    @inline(__always) static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a | b }
}

enum BitXor: BitOperation {
    @inline(__always) static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a ^ b }
}

/// Swift's smart shifts are defined for any amount.
enum LeftShift: BitOperation {
    @inline(__always) static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a << b }
}

enum RightShift: BitOperation {
    @inline(__always) static func apply<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a >> b }
}
