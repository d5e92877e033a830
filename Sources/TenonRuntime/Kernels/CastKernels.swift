import TenonIR

/// Conversions between element types, and choice between two tensors.
enum CastKernels {
    static let table: [(String, Kernels.Prepare)] = [("astype", cast), ("where", choose)]

    private static func cast(_ call: KernelCall) throws -> PreparedKernel {
        let count = try UnaryKernels.check(call, sameType: false)
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        if from == to { return try CopyKernels.bytes(call) }
        return try call.dispatch(from, allowingBool: true, Source(call: call, count: count, to: to))
    }

    private struct Source: StorageVisitor {
        let call: KernelCall
        let count: Int
        let to: DataType

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            if to == .bool {
                return UnaryLoop.kernel(count) { (x: S) -> UInt8 in x.value == .zero ? 0 : 1 }
            }
            return try call.dispatch(to, Target<S>(count: count))
        }
    }

    private struct Target<S: Storage>: StorageVisitor {
        let count: Int

        func visit<R: Storage>(_: R.Type) throws -> PreparedKernel {
            UnaryLoop.kernel(count) { (x: S) -> R in R(storing: convert(x.value)) }
        }
    }

    /// Floating-point to integer towards zero and within bounds; integer to integer by dropping high bits, as NumPy does.
    @inline(__always) static func convert<A: Arithmetic, B: Arithmetic>(_ value: A) -> B {
        if A.isFloating || A.self == UInt64.self && B.isFloating { return B(converting: value.double) }
        return B(converting: value.bits)
    }

    private static func choose(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 3)
        try call.requireSameType(1, 2)
        let dtype = call.outputs[0].dtype
        guard call.inputs[0].dtype == .bool, dtype == call.inputs[1].dtype else {
            throw call.error(.invalidType, "expects a bool condition and one element type")
        }
        guard let loop = BroadcastLoop(call.outputs[0].shape, operands: call.inputs[..<3].map(\.shape)) else {
            throw call.error(.invalidShape, "inputs do not broadcast to \(call.outputs[0].shape)")
        }
        switch dtype.byteCount {
        case 1: return kernel(loop, UInt8.self)
        case 2: return kernel(loop, UInt16.self)
        case 4: return kernel(loop, UInt32.self)
        case 8: return kernel(loop, UInt64.self)
        default: throw call.unsupported(dtype)
        }
    }

    private static func kernel<T: BitwiseCopyable & Sendable>(_ loop: BroadcastLoop, _: T.Type) -> PreparedKernel {
        PreparedKernel { arguments in
            let (condition, a, b) = (
                arguments.input(0, UInt8.self), arguments.input(1, T.self), arguments.input(2, T.self)
            )
            let result = arguments.output(0, T.self)
            let (inner, stepC, stepA, stepB) = (loop.inner, loop.innerStep(0), loop.innerStep(1), loop.innerStep(2))
            loop.forEachPart(arguments.parallel) { rows, elements in
                loop.forEachRow3(rows, operandC: 2) { row, startC, startA, startB in
                    let to = result + row * inner
                    let (c, x, y) = (condition + startC, a + startA, b + startB)
                    for index in elements {
                        let (left, right) = (x[index &* stepA], y[index &* stepB])
                        to[index] = c[index &* stepC] != 0 ? left : right
                    }
                }
            }
        }
    }
}
