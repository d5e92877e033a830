import CKernels
import TenonIR

/// Real numbers to small integers and back.
enum QuantizationKernels {
    static let table: [(String, Kernels.Prepare)] = [
        ("quantize", quantize), ("dequantize", dequantize), ("dynamic_quantize", dynamicQuantize),
    ]

    /// How elements meet scales: `lines` of `length` elements each. Within a line the parameters are one or one per element.
    struct Geometry {
        var lines = 1
        var length: Int
        /// The parameters of a line begin at line / every % axis.
        var every = 1
        var axis = 1
        /// With blocks: how far the parameters of a line lie from those of the block before, and how many lines share them.
        var block = 1
        var parameters = 1
        var isEach = false

        init(_ call: KernelCall) throws {
            let shape = call.inputs[0].shape
            parameters = call.inputs[1].count
            length = shape.reduce(1, *)
            let block = try call.int("block")
            guard call.inputs[1].count != 1 || call.inputs[2].count != 1 || block > 0 && call.inputs[1].shape.count > 1
            else { return }
            let place = try call.axis(try call.int("axis"), rank: shape.count)
            let inner = shape[(place + 1)...].reduce(1, *)
            let outer = shape[..<place].reduce(1, *)
            axis = shape[place]
            if block > 0 {
                let blocks = axis / block + (axis % block > 0 ? 1 : 0)
                let expected = shape[..<place] + [blocks] + shape[(place + 1)...]
                for index in [1, 2] where call.inputs[index].count != 1 {
                    try call.requireShape(index, Array(expected))
                }
                parameters = expected.reduce(1, *)
                self.block = block
                lines = outer * axis
                length = inner
                isEach = true
                return
            }
            for index in [1, 2] {
                guard call.inputs[index].count == 1 || call.inputs[index].shape == [axis] else {
                    throw call.error(
                        .invalidShape,
                        "input \(index) expects one value or one per index of axis \(place) of \(shape), found \(call.inputs[index].shape)"
                    )
                }
            }
            parameters = axis
            if inner == 1 {
                (lines, length, isEach) = (outer, axis, true)
                axis = 1
            } else {
                (lines, length) = (outer * axis, inner)
            }
        }

        /// Where the parameters of a line begin.
        @inline(__always) func start(_ line: Int) -> Int {
            guard block > 1 || isEach && axis > 1 else { return isEach ? 0 : line % axis }
            let (outer, index) = (line / axis, line % axis)
            let blocks = axis / block + (axis % block > 0 ? 1 : 0)
            return (outer * blocks + index / block) * length
        }

        /// Calls `body` with the first element, the number of elements and the first parameter of parts of lines.
        func forEach(_ parallel: Parallel, _ body: (_ element: Int, _ count: Int, _ parameter: Int) -> Void) {
            guard lines > 0, length > 0 else { return }
            if lines == 1 {
                parallel.forEach(length, grain: 16_384) { range in
                    body(range.lowerBound, range.count, isEach ? range.lowerBound : 0)
                }
            } else {
                parallel.forEach(lines, grain: max(1, 16_384 / length)) { range in
                    for line in range { body(line * length, length, start(line)) }
                }
            }
        }
    }

    static func kind(_ dtype: DataType) -> Int32? {
        switch dtype {
        case .uint8: Int32(TKERNEL_U8.rawValue)
        case .int8: Int32(TKERNEL_S8.rawValue)
        case .uint16: Int32(TKERNEL_U16.rawValue)
        case .int16: Int32(TKERNEL_S16.rawValue)
        case .uint32: Int32(TKERNEL_U32.rawValue)
        case .int32: Int32(TKERNEL_S32.rawValue)
        case .uint64: Int32(TKERNEL_U64.rawValue)
        case .int64: Int32(TKERNEL_S64.rawValue)
        default: nil
        }
    }

    /// Elements of `dtype` as floats, one at a time.
    static func floatReader(_ call: KernelCall, _ dtype: DataType) throws -> @Sendable (UnsafeRawPointer, Int) -> Float
    {
        switch dtype {
        case .float32: return { $0.loadUnaligned(fromByteOffset: $1 * 4, as: Float.self) }
        case .float64: return { Float($0.loadUnaligned(fromByteOffset: $1 * 8, as: Double.self)) }
        case .float16: return { $0.loadUnaligned(fromByteOffset: $1 * 2, as: Half.self).value }
        case .bfloat16: return { $0.loadUnaligned(fromByteOffset: $1 * 2, as: BFloat16.self).value }
        default:
            let values = SmallTypes.values(dtype)
            guard values.count == 256 else { throw call.unsupported(dtype) }
            return { values[Int($0.loadUnaligned(fromByteOffset: $1, as: UInt8.self))] }
        }
    }

    static func integerReader(_ call: KernelCall, _ dtype: DataType) throws
        -> @Sendable (UnsafeRawPointer, Int) -> Int32
    {
        switch dtype {
        case .uint8: { Int32($0.loadUnaligned(fromByteOffset: $1, as: UInt8.self)) }
        case .int8: { Int32($0.loadUnaligned(fromByteOffset: $1, as: Int8.self)) }
        case .uint16: { Int32($0.loadUnaligned(fromByteOffset: $1 * 2, as: UInt16.self)) }
        case .int16: { Int32($0.loadUnaligned(fromByteOffset: $1 * 2, as: Int16.self)) }
        case .int32: { $0.loadUnaligned(fromByteOffset: $1 * 4, as: Int32.self) }
        default: throw call.unsupported(dtype)
        }
    }

    /// Scales and zero points as floats and integers, one of each per parameter.
    private struct Parameters {
        let count: Int
        let scaleCount: Int
        let zeroCount: Int
        let scale: @Sendable (UnsafeRawPointer, Int) -> Float
        let zero: @Sendable (UnsafeRawPointer, Int) -> Int32

        init(_ call: KernelCall, _ geometry: Geometry) throws {
            count = geometry.parameters
            (scaleCount, zeroCount) = (call.inputs[1].count, call.inputs[2].count)
            scale = try QuantizationKernels.floatReader(call, call.inputs[1].dtype)
            zero = try QuantizationKernels.integerReader(call, call.inputs[2].dtype)
        }

        /// Rounded up, so that what lies behind is aligned.
        var bytes: Int { (count * 8 + 63) / 64 * 64 }

        func load(_ arguments: borrowing KernelArguments) -> (UnsafePointer<Float>, UnsafePointer<Int32>) {
            let scales = arguments.scratch.assumingMemoryBound(to: Float.self)
            let zeros = (arguments.scratch + count * 4).assumingMemoryBound(to: Int32.self)
            for index in 0..<count {
                scales[index] = scale(arguments.inputs[1], scaleCount == 1 ? 0 : index)
                zeros[index] = zero(arguments.inputs[2], zeroCount == 1 ? 0 : index)
            }
            return (UnsafePointer(scales), UnsafePointer(zeros))
        }
    }

    private static func check(_ call: KernelCall) throws {
        try call.require(inputs: 3)
        try call.requireOutput(0, call.inputs[0].shape)
    }

    private static func quantize(_ call: KernelCall) throws -> PreparedKernel {
        try check(call)
        let geometry = try Geometry(call)
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        guard let kind = kind(to), to.byteCount <= 2, ExactQuantization.precision(call) == .float32 else {
            return try ExactQuantization.quantize(call, geometry)
        }
        let parameters = try Parameters(call, geometry)
        let size = to.byteCount
        let step: Int64 = geometry.isEach ? 1 : 0
        if from == .float32 {
            return PreparedKernel(scratchBytes: parameters.bytes) { arguments in
                let (scales, zeros) = parameters.load(arguments)
                let (x, y) = (arguments.input(0, Float.self), arguments.outputs[0])
                geometry.forEach(arguments.parallel) { element, count, first in
                    tkernel_quantize(
                        kind, Int64(count), x + element, scales + first, zeros + first, step, y + element * size)
                }
            }
        }
        let read = try floatReader(call, from)
        return PreparedKernel(scratchBytes: parameters.bytes) { arguments in
            let (scales, zeros) = parameters.load(arguments)
            let (x, y) = (arguments.inputs[0], arguments.outputs[0])
            geometry.forEach(arguments.parallel) { element, count, first in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: 1024) { buffer in
                    guard let floats = buffer.baseAddress else { return }
                    for begin in stride(from: 0, to: count, by: 1024) {
                        let part = min(1024, count - begin)
                        for index in 0..<part { floats[index] = read(x, element + begin + index) }
                        let place = first + begin * Int(step)
                        tkernel_quantize(
                            kind, Int64(part), floats, scales + place, zeros + place, step,
                            y + (element + begin) * size)
                    }
                }
            }
        }
    }

    private static func dequantize(_ call: KernelCall) throws -> PreparedKernel {
        try check(call)
        let geometry = try Geometry(call)
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        guard let kind = kind(from), from.byteCount <= 2 || from == .int32, to != .float64 else {
            return try ExactQuantization.dequantize(call, geometry)
        }
        let parameters = try Parameters(call, geometry)
        let size = from.byteCount
        let step: Int64 = geometry.isEach ? 1 : 0
        if to == .float32 {
            return PreparedKernel(scratchBytes: parameters.bytes) { arguments in
                let (scales, zeros) = parameters.load(arguments)
                let (x, y) = (arguments.inputs[0], arguments.output(0, Float.self))
                geometry.forEach(arguments.parallel) { element, count, first in
                    tkernel_dequantize(
                        kind, Int64(count), x + element * size, scales + first, zeros + first, step, y + element)
                }
            }
        }
        let write = try floatWriter(call, to)
        return PreparedKernel(scratchBytes: parameters.bytes) { arguments in
            let (scales, zeros) = parameters.load(arguments)
            let (x, y) = (arguments.inputs[0], arguments.outputs[0])
            geometry.forEach(arguments.parallel) { element, count, first in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: 1024) { buffer in
                    guard let floats = buffer.baseAddress else { return }
                    for begin in stride(from: 0, to: count, by: 1024) {
                        let part = min(1024, count - begin)
                        let place = first + begin * Int(step)
                        tkernel_dequantize(
                            kind, Int64(part), x + (element + begin) * size, scales + place, zeros + place, step, floats
                        )
                        for index in 0..<part { write(y, element + begin + index, floats[index]) }
                    }
                }
            }
        }
    }

    private static func floatWriter(
        _ call: KernelCall, _ dtype: DataType
    ) throws -> @Sendable (UnsafeMutableRawPointer, Int, Float) -> Void {
        switch dtype {
        case .float16: { $0.storeBytes(of: Half(storing: $2), toByteOffset: $1 * 2, as: Half.self) }
        case .bfloat16: { $0.storeBytes(of: BFloat16(storing: $2), toByteOffset: $1 * 2, as: BFloat16.self) }
        default: throw call.unsupported(dtype)
        }
    }

    /// The scale covers all values and 0; the zero point is where 0 falls.
    private static func dynamicQuantize(_ call: KernelCall) throws -> PreparedKernel {
        try call.require(inputs: 1, outputs: 3)
        try call.requireOutput(0, call.inputs[0].shape)
        for index in [1, 2] { try call.requireOutput(index, []) }
        guard call.inputs[0].dtype == .float32, call.outputs.map(\.dtype) == [.uint8, .float32, .uint8] else {
            throw call.unsupported(call.inputs[0].dtype)
        }
        let count = call.inputs[0].count
        return PreparedKernel(scratchBytes: Pieces.most * 64) { arguments in
            let x = arguments.input(0, Float.self)
            // A cache line for each thread.
            let ranges = arguments.scratch.assumingMemoryBound(to: Float.self)
            for piece in 0..<Pieces.most { (ranges[piece * 16], ranges[piece * 16 + 1]) = (0, 0) }
            Pieces.forEach(arguments.parallel, count, grain: 16_384) { piece, range in
                tkernel_range(
                    Int64(range.count), x + range.lowerBound, ranges + piece * 16, ranges + piece * 16 + 1)
            }
            var (low, high): (Float, Float) = (0, 0)
            for piece in 0..<Pieces.most {
                low = min(low, ranges[piece * 16])
                high = max(high, ranges[piece * 16 + 1])
            }
            var scale: Float = 1
            var zero: Int32 = 0
            tkernel_dynamic_parameters(low, high, &scale, &zero)
            arguments.output(1, Float.self).pointee = scale
            arguments.output(2, UInt8.self).pointee = UInt8(clamping: zero)
            let y = arguments.output(0, UInt8.self)
            let (s, z) = (scale, zero)
            arguments.parallel.forEach(count, grain: 16_384) { range in
                var (s, z) = (s, z)
                tkernel_quantize(
                    Int32(TKERNEL_U8.rawValue), Int64(range.count), x + range.lowerBound, &s, &z, 0,
                    y + range.lowerBound)
            }
        }
    }
}
