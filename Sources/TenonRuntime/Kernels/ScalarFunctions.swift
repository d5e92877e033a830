import Glibc
import TenonIR

/// Functions of one floating-point element that libm computes.
enum ScalarFunctions {
    static let table: [(String, Kernels.Prepare)] = [
        function("sin", sinf, sin), function("cos", cosf, cos), function("tan", tanf, tan),
        function("asin", asinf, asin), function("acos", acosf, acos), function("atan", atanf, atan),
        function("sinh", sinhf, sinh), function("cosh", coshf, cosh), function("asinh", asinhf, asinh),
        function("acosh", acoshf, acosh), function("atanh", atanhf, atanh),
    ]

    private static func function(
        _ name: String, _ single: @escaping @Sendable (Float) -> Float, _ double: @escaping @Sendable (Double) -> Double
    ) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                let count = try UnaryKernels.check(call)
                switch call.inputs[0].dtype {
                case .float32: return UnaryLoop.kernel(count) { (x: Float) -> Float in single(x) }
                case .float64: return UnaryLoop.kernel(count) { (x: Double) -> Double in double(x) }
                case .float16: return UnaryLoop.kernel(count) { (x: Half) -> Half in Half(storing: single(x.value)) }
                case .bfloat16:
                    return UnaryLoop.kernel(count) { (x: BFloat16) -> BFloat16 in BFloat16(storing: single(x.value)) }
                default: throw call.unsupported(call.inputs[0].dtype)
                }
            }
        )
    }
}

/// Functions of one element that integers have as well.
enum AnyTypeFunctions {
    static let table: [(String, Kernels.Prepare)] = [
        arithmetic("nn.relu", Relu()), arithmetic("negative", Negative()), arithmetic("abs", Magnitude()),
        arithmetic("sign", Sign()), arithmetic("square", Square()),
        rounding("floor", .down), rounding("ceil", .up), rounding("round", .toNearestOrEven),
        rounding("trunc", .towardZero),
        ("nn.relu6", { try clip($0, 0, 6) }),
        ("clip", { try clip($0, try $0.number(1), try $0.number(2)) }),
        ("isnan", { try test($0, Test(nan: true, positive: false, negative: false, finite: false)) }),
        (
            "isinf",
            {
                try test(
                    $0,
                    Test(
                        nan: false, positive: $0.bool("detect_positive"), negative: $0.bool("detect_negative"),
                        finite: false))
            }
        ),
        ("isfinite", { try test($0, Test(nan: false, positive: false, negative: false, finite: true)) }),
        (
            "logical_not",
            { call in
                let count = try UnaryKernels.check(call)
                guard call.inputs[0].dtype == .bool else { throw call.unsupported(call.inputs[0].dtype) }
                return UnaryLoop.kernel(count) { (x: UInt8) -> UInt8 in x == 0 ? 1 : 0 }
            }
        ),
        ("bitwise_not", invert),
    ]

    private static func arithmetic<F: ArithmeticFunction>(_ name: String, _ function: F) -> (String, Kernels.Prepare) {
        (name, { try $0.dispatch($0.inputs[0].dtype, Visitor(count: try UnaryKernels.check($0), function: function)) })
    }

    private static func clip(_ call: KernelCall, _ low: Double, _ high: Double) throws -> PreparedKernel {
        try call.dispatch(
            call.inputs[0].dtype,
            ClipVisitor(
                count: try UnaryKernels.check(call), low: low.isNaN ? -.infinity : low,
                high: high.isNaN ? .infinity : high))
    }

    private static func test(_ call: KernelCall, _ test: Test) throws -> PreparedKernel {
        let count = try UnaryKernels.check(call, sameType: false)
        return try call.dispatch(call.inputs[0].dtype, allowingBool: true, TestVisitor(count: count, test: test))
    }

    private static func rounding(_ name: String, _ rule: FloatingPointRoundingRule) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                let count = try UnaryKernels.check(call)
                switch call.inputs[0].dtype {
                case .float32: return UnaryLoop.kernel(count) { (x: Float) -> Float in x.rounded(rule) }
                case .float64: return UnaryLoop.kernel(count) { (x: Double) -> Double in x.rounded(rule) }
                case .float16:
                    return UnaryLoop.kernel(count) { (x: Half) -> Half in Half(storing: x.value.rounded(rule)) }
                case .bfloat16:
                    return UnaryLoop.kernel(count) { (x: BFloat16) -> BFloat16 in
                        BFloat16(storing: x.value.rounded(rule))
                    }
                default:
                    // Integers are round already.
                    return try CopyKernels.bytes(call)
                }
            }
        )
    }

    private static func invert(_ call: KernelCall) throws -> PreparedKernel {
        let count = try UnaryKernels.check(call)
        func kernel<T: FixedWidthInteger & BitwiseCopyable & Sendable>(_: T.Type) -> PreparedKernel {
            UnaryLoop.kernel(count) { (x: T) -> T in ~x }
        }
        switch call.inputs[0].dtype {
        case .int8, .uint8: return kernel(UInt8.self)
        case .int16, .uint16: return kernel(UInt16.self)
        case .int32, .uint32: return kernel(UInt32.self)
        case .int64, .uint64: return kernel(UInt64.self)
        case .bool: return UnaryLoop.kernel(count) { (x: UInt8) -> UInt8 in x ^ 1 }
        default: throw call.unsupported(call.inputs[0].dtype)
        }
    }

    private struct Visitor<F: ArithmeticFunction>: StorageVisitor {
        let count: Int
        let function: F

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            UnaryLoop.kernel(count) { (x: S) -> S in S(storing: function.apply(x.value)) }
        }
    }

    private struct ClipVisitor: StorageVisitor {
        let count: Int
        let low: Double
        let high: Double

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (low, high) = (S.Value(converting: low), S.Value(converting: high))
            return UnaryLoop.kernel(count) { (x: S) -> S in
                let raised = x.value < low ? low : x.value
                return S(storing: raised > high ? high : raised)
            }
        }
    }

    private struct Test: Sendable {
        var nan: Bool
        var positive: Bool
        var negative: Bool
        var finite: Bool
    }

    private struct TestVisitor: StorageVisitor {
        let count: Int
        let test: Test

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            UnaryLoop.kernel(count) { (x: S) -> UInt8 in
                let value = x.value
                if value.isNotANumber { return test.nan ? 1 : 0 }
                // Only floating-point types reach their bounds as infinities.
                if S.Value.isFloating, value == .highest { return test.positive ? 1 : 0 }
                if S.Value.isFloating, value == .lowest { return test.negative ? 1 : 0 }
                return test.finite ? 1 : 0
            }
        }
    }
}

protocol ArithmeticFunction: Sendable {
    func apply<V: Arithmetic>(_ x: V) -> V
}

private struct Relu: ArithmeticFunction {
    @inline(__always) func apply<V: Arithmetic>(_ x: V) -> V { x < .zero ? .zero : x }
}

private struct Negative: ArithmeticFunction {
    // 0 - x would lose the sign of zero.
    @inline(__always) func apply<V: Arithmetic>(_ x: V) -> V {
        V.isFloating ? V.multiply(x, V(converting: -1.0)) : V.subtract(.zero, x)
    }
}

private struct Magnitude: ArithmeticFunction {
    @inline(__always) func apply<V: Arithmetic>(_ x: V) -> V {
        // -0 is not below 0; adding 0 makes it positive.
        x < .zero ? V.subtract(.zero, x) : V.add(x, .zero)
    }
}

private struct Sign: ArithmeticFunction {
    @inline(__always) func apply<V: Arithmetic>(_ x: V) -> V {
        x > .zero ? .one : x < .zero ? V.subtract(.zero, .one) : x
    }
}

private struct Square: ArithmeticFunction {
    @inline(__always) func apply<V: Arithmetic>(_ x: V) -> V { V.multiply(x, x) }
}
