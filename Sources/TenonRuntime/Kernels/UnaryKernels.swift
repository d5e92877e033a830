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
            plain("nn.mish", Mish()), plain("nn.softsign", Softsign()), plain("nn.hard_swish", HardSwish()),
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
                switch call.inputs[0].dtype {
                case .float32: return RealLoop.single(count, function)
                case .float16: return RealLoop.converted(count, function, Half.self)
                case .bfloat16: return RealLoop.converted(count, function, BFloat16.self)
                case .float64: return UnaryLoop.kernel(count) { (x: Double) -> Double in function.apply(x) }
                default: throw call.unsupported(call.inputs[0].dtype)
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

/// Runs a scalar function over all elements.
enum UnaryLoop {
    @inline(__always) static func kernel<A: BitwiseCopyable, R: BitwiseCopyable>(
        _ count: Int, _ function: @escaping @Sendable (A) -> R
    ) -> PreparedKernel {
        PreparedKernel { arguments in
            let (x, result) = (arguments.input(0, A.self), arguments.output(0, R.self))
            arguments.parallel.forEach(count, grain: 16_384) { range in
                for index in range { result[index] = function(x[index]) }
            }
        }
    }
}

/// Runs a vector function over all elements. The end of a range goes through a vector of its own, so that an element's
/// result does not depend on its place.
enum RealLoop {
    static func single<F: RealFunction>(_ count: Int, _ function: F) -> PreparedKernel {
        PreparedKernel { arguments in
            let (x, result) = (arguments.input(0, Float.self), arguments.output(0, Float.self))
            arguments.parallel.forEach(count, grain: 4096) { range in
                run(function, range.count, x + range.lowerBound, result + range.lowerBound)
            }
        }
    }

    @inline(__always) static func run<F: RealFunction>(
        _ function: F, _ count: Int, _ x: UnsafePointer<Float>, _ result: UnsafeMutablePointer<Float>
    ) {
        var index = 0
        while index &+ 8 <= count {
            function.apply(Vector(loading: x + index)).store(to: result + index)
            index &+= 8
        }
        if index < count {
            var rest = Vector.zero
            for lane in 0..<(count &- index) { rest[lane] = x[index &+ lane] }
            rest = function.apply(rest)
            for lane in 0..<(count &- index) { result[index &+ lane] = rest[lane] }
        }
    }

    static func converted<F: RealFunction, S: Storage>(_ count: Int, _ function: F, _: S.Type) -> PreparedKernel
    where S.Value == Float {
        PreparedKernel { arguments in
            let (x, result) = (arguments.input(0, S.self), arguments.output(0, S.self))
            arguments.parallel.forEach(count, grain: 4096) { range in
                var index = range.lowerBound
                while index < range.upperBound {
                    let lanes = min(8, range.upperBound &- index)
                    var part = Vector.zero
                    for lane in 0..<lanes { part[lane] = x[index &+ lane].value }
                    part = function.apply(part)
                    for lane in 0..<lanes { result[index &+ lane] = S(storing: part[lane]) }
                    index &+= lanes
                }
            }
        }
    }
}
