import TenonIR

/// Quantisation one element at a time: for the types of less than 8 bits, floats of 8 bits, and other precisions than f32.
///
/// Steps are computed in doubles and rounded to the type that defines them. A double has more than twice the bits of a float, so
/// that this gives what the narrower arithmetic gives.
enum ExactQuantization {
    private typealias Reader = @Sendable (UnsafeRawPointer, Int) -> Double
    private typealias Writer = @Sendable (UnsafeMutableRawPointer, Int, Double) -> Void

    static func quantize(_ call: KernelCall, _ geometry: QuantizationKernels.Geometry) throws -> PreparedKernel {
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        let rounded = try rounding(call, precision(call))
        let parameters = try Parameters(call, geometry)
        let read = try reader(call, from)
        let write = try encoder(call, to)
        let isInteger = !floats.contains(to)
        let step = geometry.isEach ? 1 : 0
        return PreparedKernel(scratchBytes: parameters.bytes) { arguments in
            let (scales, zeros) = parameters.load(arguments)
            let (x, y) = (arguments.inputs[0], arguments.outputs[0])
            geometry.forEach(arguments.parallel) { element, lineCount, first in
                for index in 0..<lineCount {
                    let (scale, zero) = (scales[first + index * step], zeros[first + index * step])
                    var value = rounded(rounded(read(x, element + index)) / rounded(scale))
                    if isInteger {
                        value = value.isNaN ? 0 : value.rounded(.toNearestOrEven)
                        value += zero
                    } else if zero != 0 {
                        // Nothing added leaves -0 what it is.
                        value = rounded(value + zero)
                    }
                    write(y, element + index, value)
                }
            }
        }
    }

    static func dequantize(_ call: KernelCall, _ geometry: QuantizationKernels.Geometry) throws -> PreparedKernel {
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        let parameters = try Parameters(call, geometry)
        let read = try reader(call, from)
        let write = try realWriter(call, to)
        let step = geometry.isEach ? 1 : 0
        return PreparedKernel(scratchBytes: parameters.bytes) { arguments in
            let (scales, zeros) = parameters.load(arguments)
            let (x, y) = (arguments.inputs[0], arguments.outputs[0])
            geometry.forEach(arguments.parallel) { element, lineCount, first in
                for index in 0..<lineCount {
                    let (scale, zero) = (scales[first + index * step], zeros[first + index * step])
                    let value = read(x, element + index)
                    write(y, element + index, (zero == 0 ? value : value - zero) * scale)
                }
            }
        }
    }

    /// The type that the division is rounded to: as the call says, else f64 for scales of that type, else f32.
    static func precision(_ call: KernelCall) -> DataType {
        call.attributes.dtype("precision") ?? (call.inputs[1].dtype == .float64 ? .float64 : .float32)
    }

    private static let floats: Set<DataType> = [
        .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float4e2m1,
    ]

    private static func rounding(_ call: KernelCall, _ dtype: DataType) throws -> @Sendable (Double) -> Double {
        switch dtype {
        case .float64: { $0 }
        case .float32: { Double(Float($0)) }
        case .float16: { Double(Half(storing: Float($0)).value) }
        case .bfloat16: { Double(BFloat16(storing: Float($0)).value) }
        default: throw call.unsupported(dtype)
        }
    }

    private static func reader(_ call: KernelCall, _ dtype: DataType) throws -> Reader {
        switch dtype {
        case .float64: return { $0.loadUnaligned(fromByteOffset: $1 * 8, as: Double.self) }
        case .uint8, .int8, .uint16, .int16, .int32:
            let read = try QuantizationKernels.integerReader(call, dtype)
            return { Double(read($0, $1)) }
        default:
            let read = try QuantizationKernels.floatReader(call, dtype)
            return { Double(read($0, $1)) }
        }
    }

    /// Within the bounds of the type.
    private static func encoder(_ call: KernelCall, _ dtype: DataType) throws -> Writer {
        switch dtype {
        case .uint8: return { $0.storeBytes(of: UInt8(clamping: whole($2)), toByteOffset: $1, as: UInt8.self) }
        case .int8: return { $0.storeBytes(of: Int8(clamping: whole($2)), toByteOffset: $1, as: Int8.self) }
        case .uint16: return { $0.storeBytes(of: UInt16(clamping: whole($2)), toByteOffset: $1 * 2, as: UInt16.self) }
        case .int16: return { $0.storeBytes(of: Int16(clamping: whole($2)), toByteOffset: $1 * 2, as: Int16.self) }
        default:
            guard QuantizationOperators.isQuantized(dtype), dtype.isStorageOnly else { throw call.unsupported(dtype) }
            let saturates = call.attributes.bool("saturate") ?? true
            return {
                $0.storeBytes(of: SmallTypes.byte($2, dtype, saturates: saturates), toByteOffset: $1, as: UInt8.self)
            }
        }
    }

    private static func whole(_ value: Double) -> Int64 { Int64(converting: value) }

    private static func realWriter(_ call: KernelCall, _ dtype: DataType) throws -> Writer {
        switch dtype {
        case .float64: { $0.storeBytes(of: $2, toByteOffset: $1 * 8, as: Double.self) }
        case .float32: { $0.storeBytes(of: Float($2), toByteOffset: $1 * 4, as: Float.self) }
        case .float16: { $0.storeBytes(of: Half(storing: Float($2)), toByteOffset: $1 * 2, as: Half.self) }
        case .bfloat16: { $0.storeBytes(of: BFloat16(storing: Float($2)), toByteOffset: $1 * 2, as: BFloat16.self) }
        default: throw call.unsupported(dtype)
        }
    }

    /// Scales and zero points as doubles.
    private struct Parameters {
        let parameterCount: Int
        let scaleCount: Int
        let zeroCount: Int
        let scale: Reader
        let zero: Reader

        init(_ call: KernelCall, _ geometry: QuantizationKernels.Geometry) throws {
            parameterCount = geometry.parameters
            (scaleCount, zeroCount) = (call.inputs[1].count, call.inputs[2].count)
            scale = try reader(call, call.inputs[1].dtype)
            zero = try reader(call, call.inputs[2].dtype)
        }

        /// A count of elements leaves room for this product.
        var bytes: Int { parameterCount * 16 }

        func load(_ arguments: borrowing KernelArguments) -> (UnsafePointer<Double>, UnsafePointer<Double>) {
            let scales = arguments.scratch.assumingMemoryBound(to: Double.self)
            let zeros = scales + parameterCount
            for index in 0..<parameterCount {
                scales[index] = scale(arguments.inputs[1], scaleCount == 1 ? 0 : index)
                zeros[index] = zero(arguments.inputs[2], zeroCount == 1 ? 0 : index)
            }
            return (UnsafePointer(scales), UnsafePointer(zeros))
        }
    }
}
