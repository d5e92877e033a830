import TenonIR

/// Element-wise operators of two operands with broadcasting.
enum BinaryKernels {
    static let table: [(String, Kernels.Prepare)] = [
        arithmetic("add", Add.self), arithmetic("subtract", Subtract.self), arithmetic("multiply", Multiply.self),
        arithmetic("divide", Divide.self), arithmetic("minimum", Minimum.self), arithmetic("maximum", Maximum.self),
        arithmetic("floor_divide", FloorDivide.self), arithmetic("mod", Remainder.self),
        arithmetic("floor_mod", FloorModulo.self), arithmetic("nn.prelu", ParametricRelu.self),
        ("power", PowerKernel.prepare), real("atan2", ArcTangent2.self),
        compare("equal", Equal.self), compare("not_equal", NotEqual.self), compare("less", Less.self),
        compare("less_equal", LessEqual.self), compare("greater", Greater.self),
        compare("greater_equal", GreaterEqual.self),
        logical("logical_and", BitAnd.self), logical("logical_or", BitOr.self), logical("logical_xor", BitXor.self),
        bitwise("bitwise_and", BitAnd.self), bitwise("bitwise_or", BitOr.self), bitwise("bitwise_xor", BitXor.self),
        bitwise("left_shift", LeftShift.self), bitwise("right_shift", RightShift.self),
    ]

    private static func arithmetic<O: ArithmeticOperation>(_ name: String, _: O.Type) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                try check(call)
                return try call.dispatch(call.inputs[0].dtype, ArithmeticVisitor<O>(loop: try loop(call)))
            }
        )
    }

    private static func real<O: RealOperation>(_ name: String, _: O.Type) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                try check(call)
                return try call.dispatchReal(call.inputs[0].dtype, RealOperationVisitor<O>(loop: try loop(call)))
            }
        )
    }

    private static func compare<O: Comparison>(_ name: String, _: O.Type) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                try call.require(inputs: 2)
                try call.requireSameType(0, 1)
                guard call.outputs[0].dtype == .bool else { throw call.unsupported(call.outputs[0].dtype) }
                return try call.dispatch(
                    call.inputs[0].dtype, allowingBool: true, ComparisonVisitor<O>(loop: try loop(call)))
            }
        )
    }

    private static func logical<O: BitOperation>(_ name: String, _: O.Type) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                try check(call)
                guard call.inputs[0].dtype == .bool else { throw call.unsupported(call.inputs[0].dtype) }
                return BinaryLoop.kernel(try loop(call), BitElement<O, UInt8>())
            }
        )
    }

    private static func bitwise<O: BitOperation>(_ name: String, _: O.Type) -> (String, Kernels.Prepare) {
        (
            name,
            { call in
                try check(call)
                let loop = try loop(call)
                func kernel<T: FixedWidthInteger & BitwiseCopyable & Sendable>(_: T.Type) -> PreparedKernel {
                    BinaryLoop.kernel(loop, BitElement<O, T>())
                }
                switch call.inputs[0].dtype {
                case .int8: return kernel(Int8.self)
                case .int16: return kernel(Int16.self)
                case .int32: return kernel(Int32.self)
                case .int64: return kernel(Int64.self)
                case .uint8, .bool: return kernel(UInt8.self)
                case .uint16: return kernel(UInt16.self)
                case .uint32: return kernel(UInt32.self)
                case .uint64: return kernel(UInt64.self)
                default: throw call.unsupported(call.inputs[0].dtype)
                }
            }
        )
    }

    private static func check(_ call: KernelCall) throws {
        try call.require(inputs: 2)
        try call.requireSameType(0, 1)
        guard call.outputs[0].dtype == call.inputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
    }

    static func loop(_ call: KernelCall) throws -> BroadcastLoop {
        guard let loop = BroadcastLoop(call.outputs[0].shape, operands: [call.inputs[0].shape, call.inputs[1].shape])
        else {
            throw call.error(
                .invalidShape,
                "shapes \(call.inputs[0].shape) and \(call.inputs[1].shape) do not broadcast to \(call.outputs[0].shape)"
            )
        }
        return loop
    }
}

/// A function of two elements in memory, as a type of its own so that each gets its own loop.
protocol BinaryElement: Sendable {
    associatedtype A: BitwiseCopyable
    associatedtype B: BitwiseCopyable
    associatedtype R: BitwiseCopyable
    static func apply(_ a: A, _ b: B) -> R
}

/// Runs a function of two elements over a broadcast loop.
enum BinaryLoop {
    static func kernel<F: BinaryElement>(_ loop: BroadcastLoop, _: F) -> PreparedKernel {
        PreparedKernel { arguments in
            let (a, b, result) = (
                arguments.input(0, F.A.self), arguments.input(1, F.B.self), arguments.output(0, F.R.self)
            )
            let (inner, stepA, stepB) = (loop.inner, loop.innerStep(0), loop.innerStep(1))
            loop.forEachPart(arguments.parallel) { rows, elements in
                loop.forEachRow(rows) { row, startA, startB, _ in
                    let first = elements.lowerBound
                    run(
                        F.self, elements.count, a + startA + first * stepA, stepA, b + startB + first * stepB, stepB,
                        result + row * inner + first)
                }
            }
        }
    }

    /// One row. The usual steps get loops that the compiler vectorises.
    @inline(never) private static func run<F: BinaryElement>(
        _: F.Type, _ count: Int, _ a: UnsafePointer<F.A>, _ stepA: Int, _ b: UnsafePointer<F.B>, _ stepB: Int,
        _ result: UnsafeMutablePointer<F.R>
    ) {
        if stepA == 1, stepB == 1 {
            for index in 0..<count { result[index] = F.apply(a[index], b[index]) }
        } else if stepA == 1, stepB == 0 {
            let right = b[0]
            for index in 0..<count { result[index] = F.apply(a[index], right) }
        } else if stepA == 0, stepB == 1 {
            let left = a[0]
            for index in 0..<count { result[index] = F.apply(left, b[index]) }
        } else {
            for index in 0..<count { result[index] = F.apply(a[index &* stepA], b[index &* stepB]) }
        }
    }
}

private struct BitElement<O: BitOperation, T: FixedWidthInteger & BitwiseCopyable & Sendable>: BinaryElement {
    @inline(__always) static func apply(_ a: T, _ b: T) -> T { O.apply(a, b) }
}

private struct ArithmeticElement<O: ArithmeticOperation, S: Storage>: BinaryElement {
    @inline(__always) static func apply(_ a: S, _ b: S) -> S { S(storing: O.apply(a.value, b.value)) }
}

private struct RealElement<O: RealOperation, S: Storage>: BinaryElement where S.Value: RealNumber {
    @inline(__always) static func apply(_ a: S, _ b: S) -> S { S(storing: O.apply(a.value, b.value)) }
}

private struct ComparisonElement<O: Comparison, S: Storage>: BinaryElement {
    @inline(__always) static func apply(_ a: S, _ b: S) -> UInt8 { O.holds(a.value, b.value) ? 1 : 0 }
}

private struct PowerElement<S: Storage, E: Storage>: BinaryElement {
    static func apply(_ a: S, _ b: E) -> S { S(storing: S.Value.power(a.value, real: b.value.double)) }
}

private struct ArithmeticVisitor<O: ArithmeticOperation>: StorageVisitor {
    let loop: BroadcastLoop

    func visit<S: Storage>(_: S.Type) throws -> PreparedKernel { BinaryLoop.kernel(loop, ArithmeticElement<O, S>()) }
}

private struct RealOperationVisitor<O: RealOperation>: RealVisitor {
    let loop: BroadcastLoop

    func visit<S: Storage>(_: S.Type) throws -> PreparedKernel where S.Value: RealNumber {
        BinaryLoop.kernel(loop, RealElement<O, S>())
    }
}

private struct ComparisonVisitor<O: Comparison>: StorageVisitor {
    let loop: BroadcastLoop

    func visit<S: Storage>(_: S.Type) throws -> PreparedKernel { BinaryLoop.kernel(loop, ComparisonElement<O, S>()) }
}

/// `power`, whose exponent may have another element type than the base and the result.
private enum PowerKernel {
    static func prepare(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 2)
        guard call.outputs[0].dtype == call.inputs[0].dtype else { throw call.unsupported(call.outputs[0].dtype) }
        let loop = try BinaryKernels.loop(call)
        if call.inputs[0].dtype == call.inputs[1].dtype {
            return try call.dispatch(call.inputs[0].dtype, ArithmeticVisitor<Power>(loop: loop))
        }
        return try call.dispatch(call.inputs[0].dtype, Base(call: call, loop: loop))
    }

    private struct Base: StorageVisitor {
        let call: KernelCall
        let loop: BroadcastLoop

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            func kernel<E: Storage>(_: E.Type) -> PreparedKernel {
                BinaryLoop.kernel(loop, PowerElement<S, E>())
            }
            switch call.inputs[1].dtype {
            case .float32: return kernel(Float.self)
            case .float64: return kernel(Double.self)
            case .int32: return kernel(Int32.self)
            case .int64: return kernel(Int64.self)
            default: throw call.unsupported(call.inputs[1].dtype)
            }
        }
    }
}
