import CKernels
import TenonIR

/// Conversions between element types, and choice between two tensors.
enum CastKernels {
    static let table: [(String, Kernels.Prepare)] = [("astype", cast), ("where", choose)]

    private static func cast(_ call: KernelCall) throws -> PreparedKernel {
        let count = try UnaryKernels.check(call, sameType: false)
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        if from == to { return try CopyKernels.bytes(call) }
        if from.isStorageOnly || to.isStorageOnly { return try SmallCastKernels.kernel(call, count: count) }
        if let vectorised = vectorised(from, to, count) { return vectorised }
        return try call.dispatch(from, allowingBool: true, Source(call: call, count: count, to: to))
    }

    /// Between the larger floating-point types and integers the loops are C's, with vectors.
    private static func vectorised(_ from: DataType, _ to: DataType, _ count: Int) -> PreparedKernel? {
        let (fromSize, toSize) = (from.byteCount, to.byteCount)
        func kernel(
            _ convert: @escaping @Sendable (Int64, UnsafeRawPointer, UnsafeMutableRawPointer) -> Void
        ) -> PreparedKernel {
            PreparedKernel { arguments in
                let (x, y) = (arguments.inputs[0], arguments.outputs[0])
                arguments.parallel.forEach(count, grain: 16_384) { range in
                    convert(Int64(range.count), x + range.lowerBound * fromSize, y + range.lowerBound * toSize)
                }
            }
        }
        switch (from, to) {
        case (.float32, _):
            guard let kind = QuantizationKernels.kind(to) else { return nil }
            return kernel { tkernel_float_to_integer(kind, $0, $1.assumingMemoryBound(to: Float.self), $2) }
        case (.float64, _):
            guard let kind = QuantizationKernels.kind(to) else { return nil }
            return kernel { tkernel_double_to_integer(kind, $0, $1.assumingMemoryBound(to: Double.self), $2) }
        case (_, .float32):
            guard let kind = QuantizationKernels.kind(from == .bool ? .uint8 : from) else { return nil }
            return kernel { tkernel_integer_to_float(kind, $0, $1, $2.assumingMemoryBound(to: Float.self)) }
        case (_, .float64):
            guard let kind = QuantizationKernels.kind(from == .bool ? .uint8 : from) else { return nil }
            return kernel { tkernel_integer_to_double(kind, $0, $1, $2.assumingMemoryBound(to: Double.self)) }
        default: return nil
        }
    }

    private struct Source: StorageVisitor {
        let call: KernelCall
        let count: Int
        let to: DataType

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            if to == .bool {
                return UnaryLoop.kernel(count, TruthElement<S>())
            }
            return try call.dispatch(to, Target<S>(count: count))
        }
    }

    private struct TruthElement<S: Storage>: UnaryElement {
        @inline(__always) func apply(_ x: S) -> UInt8 { x.value == .zero ? 0 : 1 }
    }

    private struct CastElement<S: Storage, R: Storage>: UnaryElement {
        @inline(__always) func apply(_ x: S) -> R { R(storing: convert(x.value)) }
    }

    private struct Target<S: Storage>: StorageVisitor {
        let count: Int

        func visit<R: Storage>(_: R.Type) throws -> PreparedKernel {
            UnaryLoop.kernel(count, CastElement<S, R>())
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
                loop.forEachRow(rows) { row, startC, startA, startB in
                    select(
                        elements, condition + startC, stepC, a + startA, stepA, b + startB, stepB, result + row * inner)
                }
            }
        }
    }

    @inline(never) private static func select<T>(
        _ elements: Range<Int>, _ condition: UnsafePointer<UInt8>, _ stepC: Int, _ a: UnsafePointer<T>, _ stepA: Int,
        _ b: UnsafePointer<T>, _ stepB: Int, _ result: UnsafeMutablePointer<T>
    ) {
        if stepC == 1, stepA == 1, stepB == 1 {
            for index in elements {
                let (x, y) = (a[index], b[index])
                result[index] = condition[index] != 0 ? x : y
            }
        } else {
            for index in elements {
                let (x, y) = (a[index &* stepA], b[index &* stepB])
                result[index] = condition[index &* stepC] != 0 ? x : y
            }
        }
    }
}
