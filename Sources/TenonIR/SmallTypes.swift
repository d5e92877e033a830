/// Element types of at most 8 bits that are stored and converted, but not computed in.
///
/// In memory each element has a byte of its own, its bits in the lowest places and zeros above, as NumPy's ml_dtypes has them.
/// ONNX files hold two or four in a byte where the type has 4 or 2 bits.
public enum SmallTypes {
    /// What `float8e8m0` rounds to.
    public enum Rounding: String, Sendable {
        case up, down, nearest
    }

    /// A floating-point format.
    private struct Format {
        var mantissa: Int
        var bias: Int
        var largest: Double
        /// The code of NaN without its sign; nil where there is none.
        var nan: UInt8?
        var infinity: UInt8?
        /// The only code with a sign and nothing else is NaN: there is no negative zero.
        var isUnsignedZero = false
        var signBit: UInt8 = 0x80
    }

    private static func format(_ dtype: DataType) -> Format? {
        switch dtype {
        case .float8e4m3fn: Format(mantissa: 3, bias: 7, largest: 448, nan: 0x7f)
        case .float8e4m3fnuz: Format(mantissa: 3, bias: 8, largest: 240, nan: 0x80, isUnsignedZero: true)
        case .float8e5m2: Format(mantissa: 2, bias: 15, largest: 57344, nan: 0x7e, infinity: 0x7c)
        case .float8e5m2fnuz: Format(mantissa: 2, bias: 16, largest: 57344, nan: 0x80, isUnsignedZero: true)
        case .float4e2m1: Format(mantissa: 1, bias: 1, largest: 6, nan: nil, signBit: 8)
        default: nil
        }
    }

    /// Bits of an element in an ONNX file; nil for other types.
    public static func bitCount(_ dtype: DataType) -> Int? {
        switch dtype {
        case .int2, .uint2: 2
        case .int4, .uint4, .float4e2m1: 4
        case .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0: 8
        default: nil
        }
    }

    /// The values of all 256 bytes; bits above the type's are ignored.
    public static func values(_ dtype: DataType) -> [Float] { tables[Int(dtype.rawValue)] }

    private static let tables: [[Float]] = (0...UInt8(26)).map { raw in
        guard let dtype = DataType(rawValue: raw), bitCount(dtype) != nil else { return [] }
        return (0...255).map { decoded(UInt8($0), dtype) }
    }

    private static func decoded(_ byte: UInt8, _ dtype: DataType) -> Float {
        switch dtype {
        case .uint2: return Float(byte & 3)
        case .uint4: return Float(byte & 15)
        case .int2: return Float(Int8(bitPattern: byte << 6) >> 6)
        case .int4: return Float(Int8(bitPattern: byte << 4) >> 4)
        case .float8e8m0: return byte == 255 ? .nan : Float(sign: .plus, exponent: Int(byte) - 127, significand: 1)
        default: break
        }
        guard let format = format(dtype) else { return 0 }
        let magnitude = byte & (format.signBit - 1)
        let isNegative = byte & format.signBit != 0
        if format.isUnsignedZero ? byte == format.nan : format.infinity == nil && magnitude == format.nan {
            return .nan
        }
        if let infinity = format.infinity, magnitude >= infinity {
            return magnitude > infinity ? .nan : isNegative ? -.infinity : .infinity
        }
        let exponent = Int(magnitude >> UInt8(format.mantissa))
        let fraction = Int(magnitude) & (1 << format.mantissa - 1)
        let significand = Float(exponent == 0 ? fraction : fraction + 1 << format.mantissa)
        let value = Float(
            sign: .plus, exponent: max(exponent, 1) - format.bias - format.mantissa, significand: significand)
        return isNegative ? -value : value
    }

    /// The byte of the nearest value, halves to even. Beyond the largest, `saturates` gives the largest, else infinity or NaN;
    /// 4-bit floats saturate always. Integers lose their fraction and stay within bounds; NaN is 0 in them.
    public static func byte(
        _ value: Double, _ dtype: DataType, saturates: Bool = true, rounding: Rounding = .up
    ) -> UInt8 {
        switch dtype {
        case .uint2: return UInt8(clamping: max(0, min(3, value.isNaN ? 0 : value)))
        case .uint4: return UInt8(clamping: max(0, min(15, value.isNaN ? 0 : value)))
        case .int2: return UInt8(bitPattern: Int8(clamping: max(-2, min(1, value.isNaN ? 0 : value)))) & 3
        case .int4: return UInt8(bitPattern: Int8(clamping: max(-8, min(7, value.isNaN ? 0 : value)))) & 15
        case .float8e8m0: return scale(Float(value), saturates, rounding)
        default: break
        }
        guard let format = format(dtype) else { return 0 }
        let sign: UInt8 = value.sign == .minus ? format.signBit : 0
        guard !value.isNaN else {
            guard let nan = format.nan else { return format.signBit - sign }
            return format.isUnsignedZero ? nan : nan | sign
        }
        let magnitude = value.magnitude
        guard magnitude.isFinite else { return beyond(format, sign, saturates) }
        // Numbers below the least normal one have its exponent.
        let exponent = max(magnitude == 0 ? Int.min / 2 : Int(magnitude.exponent), 1 - format.bias)
        let quantum = Double(sign: .plus, exponent: exponent - format.mantissa, significand: 1)
        let steps = (magnitude / quantum).rounded(.toNearestOrEven)
        if steps * quantum > format.largest { return beyond(format, sign, saturates) }
        if steps == 0 { return format.isUnsignedZero ? 0 : sign }
        // Steps that reach the next power of two carry into the exponent; those below the implicit bit have none.
        let code = (exponent + format.bias - 1) << format.mantissa + Int(steps)
        return UInt8(truncatingIfNeeded: code) | sign
    }

    private static func beyond(_ format: Format, _ sign: UInt8, _ saturates: Bool) -> UInt8 {
        if saturates || format.nan == nil {
            let exponent = Int(format.largest.exponent)
            let steps = Int(format.largest / Double(sign: .plus, exponent: exponent - format.mantissa, significand: 1))
            return UInt8(truncatingIfNeeded: (exponent + format.bias - 1) << format.mantissa + steps) | sign
        }
        if let infinity = format.infinity { return infinity | sign }
        return format.isUnsignedZero ? format.nan ?? 0 : (format.nan ?? 0) | sign
    }

    /// The exponent of a number, as ONNX rounds it; the sign is dropped.
    private static func scale(_ value: Float, _ saturates: Bool, _ rounding: Rounding) -> UInt8 {
        let bits = value.bitPattern
        let exponent = UInt8(truncatingIfNeeded: bits >> 23)
        guard exponent != 255 else { return 255 }
        let fraction = bits & 0x7f_ffff
        let roundsUp =
            switch rounding {
            case .down: false
            case .up: fraction > 0
            case .nearest: fraction > 0x40_0000 || fraction == 0x40_0000 && exponent > 0
            }
        if !roundsUp || saturates && exponent == 254 { return exponent }
        return exponent + 1
    }

    /// Elements of an ONNX file, each in a byte of its own; nil when the bytes are not as many as the elements need.
    public static func unpacked(_ bytes: UnsafeRawBufferPointer, _ dtype: DataType, count: Int) -> [UInt8]? {
        guard let bits = bitCount(dtype), bytes.count == packedByteCount(count, bits) else { return nil }
        let (perByte, mask) = (8 / bits, UInt8(truncatingIfNeeded: 1 << bits - 1))
        return (0..<count).map { bytes[$0 / perByte] >> UInt8($0 % perByte * bits) & mask }
    }

    /// Elements as an ONNX file has them; nil for types that a byte or more holds.
    public static func packed(_ constant: Constant) -> [UInt8]? {
        guard let bits = bitCount(constant.dtype), bits < 8 else { return nil }
        let perByte = 8 / bits
        var packed = [UInt8](repeating: 0, count: packedByteCount(constant.count, bits))
        let mask = UInt8(truncatingIfNeeded: 1 << bits - 1)
        for index in 0..<constant.count {
            packed[index / perByte] |= (constant.bytes[index] & mask) << UInt8(index % perByte * bits)
        }
        return packed
    }

    /// Bytes of so many elements in an ONNX file.
    public static func packedByteCount(_ count: Int, _ bits: Int) -> Int {
        let perByte = 8 / bits
        return count / perByte + (count % perByte > 0 ? 1 : 0)
    }
}
