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
                case .float32: return UnaryLoop.kernel(count, Element<Float>(function: single))
                case .float64: return UnaryLoop.kernel(count, Element<Double>(function: double))
                case .float16: return UnaryLoop.kernel(count, Element<Half>(function: single))
                case .bfloat16: return UnaryLoop.kernel(count, Element<BFloat16>(function: single))
                default: throw call.unsupported(call.inputs[0].dtype)
                }
            }
        )
    }

    private struct Element<S: Storage>: UnaryElement {
        let function: @Sendable (S.Value) -> S.Value
        func apply(_ x: S) -> S { S(storing: function(x.value)) }
    }
}

/// Functions of one element that integers have as well.
enum AnyTypeFunctions {
    static let table: [(String, Kernels.Prepare)] = [
        arithmetic("nn.relu", Relu()), arithmetic("negative", Negative()), arithmetic("abs", Magnitude()),
        arithmetic("sign", Sign()), arithmetic("square", Square()),
        ("nn.relu6", { try clip($0, 0, 6) }),
        (
            "clip",
            { try clip($0, try $0.number(1), try $0.number(2), whole: ($0.wholeNumber(1), $0.wholeNumber(2))) }
        ),
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
                return UnaryLoop.kernel(count, NotElement())
            }
        ),
        ("bitwise_not", invert),
    ]

    private static func arithmetic<F: ArithmeticFunction>(_ name: String, _ function: F) -> (String, Kernels.Prepare) {
        (name, { try $0.dispatch($0.inputs[0].dtype, Visitor(count: try UnaryKernels.check($0), function: function)) })
    }

    private static func clip(
        _ call: KernelCall, _ low: Double, _ high: Double, whole: (low: Int64?, high: Int64?) = (nil, nil)
    ) throws -> PreparedKernel {
        try call.dispatch(
            call.inputs[0].dtype,
            ClipVisitor(
                count: try UnaryKernels.check(call), low: low.isNaN ? -.infinity : low,
                high: high.isNaN ? .infinity : high, wholeLow: whole.low, wholeHigh: whole.high))
    }

    private static func test(_ call: KernelCall, _ test: Test) throws -> PreparedKernel {
        let count = try UnaryKernels.check(call, sameType: false)
        return try call.dispatch(call.inputs[0].dtype, allowingBool: true, TestVisitor(count: count, test: test))
    }

    private static func invert(_ call: KernelCall) throws -> PreparedKernel {
        let count = try UnaryKernels.check(call)
        func kernel<T: FixedWidthInteger & BitwiseCopyable & Sendable>(_: T.Type) -> PreparedKernel {
            UnaryLoop.kernel(count, InvertElement<T>())
        }
        switch call.inputs[0].dtype {
        case .int8, .uint8: return kernel(UInt8.self)
        case .int16, .uint16: return kernel(UInt16.self)
        case .int32, .uint32: return kernel(UInt32.self)
        case .int64, .uint64: return kernel(UInt64.self)
        case .bool: return UnaryLoop.kernel(count, NotElement())
        default: throw call.unsupported(call.inputs[0].dtype)
        }
    }

    private struct NotElement: UnaryElement {
        @inline(__always) func apply(_ x: UInt8) -> UInt8 { x == 0 ? 1 : 0 }
    }

    private struct InvertElement<T: FixedWidthInteger & BitwiseCopyable & Sendable>: UnaryElement {
        @inline(__always) func apply(_ x: T) -> T { ~x }
    }

    private struct Element<F: ArithmeticFunction, S: Storage>: UnaryElement {
        let function: F
        @inline(__always) func apply(_ x: S) -> S { S(storing: function.apply(x.value)) }
    }

    private struct Visitor<F: ArithmeticFunction>: StorageVisitor {
        let count: Int
        let function: F

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            UnaryLoop.kernel(count, Element<F, S>(function: function))
        }
    }

    private struct ClipElement<S: Storage>: UnaryElement {
        let low: S.Value
        let high: S.Value
        @inline(__always) func apply(_ x: S) -> S {
            let raised = x.value < low ? low : x.value
            return S(storing: raised > high ? high : raised)
        }
    }

    private struct ClipVisitor: StorageVisitor {
        let count: Int
        let low: Double
        let high: Double
        /// The bounds where they are integers: doubles do not have all of 64 bits.
        let wholeLow: Int64?
        let wholeHigh: Int64?

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            func bound(_ whole: Int64?, _ value: Double) -> S.Value {
                guard let whole, !S.Value.isFloating, MemoryLayout<S.Value>.size == 8 else {
                    return S.Value(converting: value)
                }
                return S.Value.lowest == .zero && whole < 0 ? .zero : S.Value(converting: whole)
            }
            return UnaryLoop.kernel(
                count, ClipElement<S>(low: bound(wholeLow, low), high: bound(wholeHigh, high)))
        }
    }

    private struct Test: Sendable {
        var nan: Bool
        var positive: Bool
        var negative: Bool
        var finite: Bool
    }

    private struct TestElement<S: Storage>: UnaryElement {
        let test: Test
        @inline(__always) func apply(_ x: S) -> UInt8 {
            let value = x.value
            if value.isNotANumber { return test.nan ? 1 : 0 }
            // Only floating-point types reach their bounds as infinities.
            if S.Value.isFloating, value == .highest { return test.positive ? 1 : 0 }
            if S.Value.isFloating, value == .lowest { return test.negative ? 1 : 0 }
            return test.finite ? 1 : 0
        }
    }

    private struct TestVisitor: StorageVisitor {
        let count: Int
        let test: Test

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            UnaryLoop.kernel(count, TestElement<S>(test: test))
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
