import TenonIR

/// A function of one floating-point element: eight floats at a time, and one double.
protocol RealFunction: Sendable {
    func apply(_ x: Vector) -> Vector
    func apply(_ x: Double) -> Double
}

/// Element-wise operators of one operand.
enum UnaryKernels {
    static let table: [(String, Kernels.Prepare)] =
        [
            plain("exp", Exponential()), plain("log", Logarithm()), plain("sqrt", SquareRoot()),
            plain("rsqrt", ReciprocalSquareRoot()), plain("erf", ErrorFunction()), plain("sigmoid", Sigmoid()),
            plain("tanh", HyperbolicTangent()), plain("reciprocal", Reciprocal()), plain("log1p", LogOnePlus()),
            plain("nn.gelu", Gelu()), plain("nn.gelu_tanh", GeluTanh()), plain("nn.silu", Silu()),
            plain("nn.mish", Mish()), plain("floor", Floor()), plain("ceil", Ceil()),
            plain("round", RoundEven()), plain("trunc", Truncate()), plain("nn.softsign", Softsign()),
            plain("nn.hard_swish", HardSwish()),
            real("nn.leakyrelu") { LeakyRelu(alpha: try $0.float("alpha")) },
            real("nn.elu") { Elu(alpha: try $0.float("alpha"), gamma: 1) },
            real("nn.selu") { Elu(alpha: try $0.float("alpha"), gamma: try $0.float("gamma")) },
            real("nn.celu") { Celu(alpha: try $0.float("alpha")) },
            real("nn.hard_sigmoid") { HardSigmoid(alpha: try $0.float("alpha"), beta: try $0.float("beta")) },
            real("nn.softplus") { Softplus(beta: try $0.float("beta"), threshold: try $0.float("threshold")) },
            real("nn.thresholded_relu") { ThresholdedRelu(alpha: try $0.float("alpha")) },
            real("nn.shrink") { Shrink(lambda: try $0.float("lambd"), bias: try $0.float("bias")) },
        ] + ScalarFunctions.table + AnyTypeFunctions.table

    private static func plain<F: RealFunction>(_ name: String, _ function: F) -> (String, Kernels.Prepare) {
        real(name) { _ in function }
    }

    private static func real<F: RealFunction>(
        _ name: String, _ make: @escaping @Sendable (KernelCall) throws -> F
    ) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                let count = try check(call)
                let function = try make(call)
                if let kernel = RowKernels.function(call) { return kernel }
                switch call.inputs[0].dtype {
                case .float32: return RealLoop.single(count, function)
                case .float16: return RealLoop.converted(count, function, Half.self)
                case .bfloat16: return RealLoop.converted(count, function, BFloat16.self)
                case .float64: return UnaryLoop.kernel(count, DoubleElement(function: function))
                default:
                    // Integers are round already.
                    if F.self is any RoundingFunction.Type, call.inputs[0].dtype.isInteger {
                        return try CopyKernels.bytes(call)
                    }
                    throw call.unsupported(call.inputs[0].dtype)
                }
            }
        )
    }

    /// Checks one input and an output of the same size, and returns that.
    static func check(_ call: KernelCall, sameType: Bool = true) throws -> Int {
        try call.require(inputs: 1)
        try call.requireOutput(0, call.inputs[0].shape)
        if sameType, call.outputs[0].dtype != call.inputs[0].dtype { throw call.unsupported(call.outputs[0].dtype) }
        return call.inputs[0].count
    }
}

/// A function of one element in memory, as a type of its own so that each gets its own loop.
protocol UnaryElement: Sendable {
    associatedtype A: BitwiseCopyable
    associatedtype R: BitwiseCopyable
    func apply(_ x: A) -> R
}

private struct DoubleElement<F: RealFunction>: UnaryElement {
    let function: F
    @inline(__always) func apply(_ x: Double) -> Double { function.apply(x) }
}

/// Runs a scalar function over all elements.
enum UnaryLoop {
    static func kernel<F: UnaryElement>(_ count: Int, _ function: F) -> PreparedKernel {
        PreparedKernel { arguments in
            let (x, result) = (arguments.input(0, F.A.self), arguments.output(0, F.R.self))
            arguments.parallel.forEach(count, grain: 16_384) { range in
                run(function, range.count, x + range.lowerBound, result + range.lowerBound)
            }
        }
    }

    @inline(never) private static func run<F: UnaryElement>(
        _ function: F, _ count: Int, _ x: UnsafePointer<F.A>, _ result: UnsafeMutablePointer<F.R>
    ) {
        for index in 0..<count { result[index] = function.apply(x[index]) }
    }
}

/// Runs a vector function over all elements. The end of a range goes through a vector of its own, so that an element's
/// result does not depend on its place.
enum RealLoop {
    static func single<F: RealFunction>(_ count: Int, _ function: F) -> PreparedKernel {
        converted(count, function, Float.self)
    }

    static func converted<F: RealFunction, S: FloatStorage>(_ count: Int, _ function: F, _: S.Type) -> PreparedKernel {
        PreparedKernel { arguments in
            let (x, result) = (arguments.input(0, S.self), arguments.output(0, S.self))
            arguments.parallel.forEach(count, grain: 4096) { range in
                run(function, range.count, x + range.lowerBound, result + range.lowerBound)
            }
        }
    }

    @inline(never) private static func run<F: RealFunction, S: FloatStorage>(
        _ function: F, _ count: Int, _ x: UnsafePointer<S>, _ result: UnsafeMutablePointer<S>
    ) {
        var index = 0
        while index &+ 8 <= count {
            S.store(function.apply(S.load(x + index)), to: result + index)
            index &+= 8
        }
        if index < count {
            let rest = function.apply(S.load(x + index, lanes: count &- index, filling: 0))
            S.store(rest, to: result + index, lanes: count &- index)
        }
    }
}
