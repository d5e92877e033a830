import TenonIR

/// Conversions from and to the types that are only stored, over a table of their values.
enum SmallCastKernels {
    static func kernel(_ call: KernelCall, count: Int) throws -> PreparedKernel {
        let (from, to) = (call.inputs[0].dtype, call.outputs[0].dtype)
        let target = Target(
            dtype: to, saturates: call.attributes.bool("saturate") ?? true,
            rounding: call.attributes.string("round_mode").flatMap { SmallTypes.Rounding(rawValue: $0) } ?? .up)
        guard from.isStorageOnly else {
            return try call.dispatch(from, allowingBool: true, Encoder(count: count, target: target))
        }
        let values = SmallTypes.values(from)
        if to.isStorageOnly {
            return bytes(count, values.map { target.byte(Double($0)) })
        }
        if to == .bool { return bytes(count, values.map { $0 == 0 ? 0 : 1 }) }
        return try call.dispatch(to, Decoder(count: count, values: values))
    }

    private struct Target {
        let dtype: DataType
        let saturates: Bool
        let rounding: SmallTypes.Rounding

        func byte(_ value: Double) -> UInt8 {
            switch dtype {
            case .int2, .uint2, .int4, .uint4: byte(bits: Int64(clamping: value))
            default: SmallTypes.byte(value, dtype, saturates: saturates, rounding: rounding)
            }
        }

        /// Integers drop the bits that the type has not.
        func byte(bits value: Int64) -> UInt8 {
            switch dtype {
            case .int2, .uint2: UInt8(truncatingIfNeeded: value & 3)
            case .int4, .uint4: UInt8(truncatingIfNeeded: value & 15)
            default: byte(Double(value))
            }
        }
    }

    private static func bytes(_ count: Int, _ table: [UInt8]) -> PreparedKernel { decoded(count, table) }

    private static func decoded<R: BitwiseCopyable & Sendable>(_ count: Int, _ table: [R]) -> PreparedKernel {
        PreparedKernel { arguments in
            let (x, result) = (arguments.input(0, UInt8.self), arguments.output(0, R.self))
            table.withUnsafeBufferPointer { table in
                for index in 0..<count { result[index] = table[Int(x[index])] }
            }
        }
    }

    private struct Decoder: StorageVisitor {
        let count: Int
        let values: [Float]

        func visit<R: Storage>(_: R.Type) throws -> PreparedKernel {
            decoded(count, values.map { R(storing: CastKernels.convert($0)) })
        }
    }

    private struct Encoder: StorageVisitor {
        let count: Int
        let target: Target

        func visit<S: Storage>(_: S.Type) throws -> PreparedKernel {
            let (count, target) = (count, target)
            return PreparedKernel { arguments in
                let (x, result) = (arguments.input(0, S.self), arguments.output(0, UInt8.self))
                arguments.parallel.forEach(count, grain: 4096) { range in
                    for index in range {
                        let value = x[index].value
                        result[index] =
                            S.Value.isFloating ? target.byte(value.double) : target.byte(bits: value.bits)
                    }
                }
            }
        }
    }
}
