/// Types, numbers, dimensions and attributes as text.
package enum Literals {
    /// Shortest digits that read back to the same number; always with a point, an exponent or a word.
    package static func text(_ number: Double) -> String {
        if number.isNaN {
            return number.bitPattern == Double.nan.bitPattern
                ? "nan" : "nan(0x\(String(number.bitPattern, radix: 16)))"
        }
        return number.description
    }

    static func text(_ number: Float) -> String {
        if number.isNaN {
            return number.bitPattern == Float.nan.bitPattern
                ? "nan" : "nan(0x\(String(number.bitPattern, radix: 16)))"
        }
        return number.description
    }

    package static func text(_ value: AttributeValue) -> String {
        switch value {
        case .int(let number): "\(number)"
        case .float(let number): text(number)
        case .bool(let flag): flag ? "true" : "false"
        case .string(let string): TextForm.quoted(string)
        case .dtype(let dtype): dtype.name
        case .ints(let numbers): numbers.isEmpty ? "ints[]" : "[\(numbers.map(String.init).joined(separator: ", "))]"
        case .floats(let numbers):
            numbers.isEmpty ? "floats[]" : "[\(numbers.map { text($0) }.joined(separator: ", "))]"
        case .strings(let strings):
            strings.isEmpty ? "strings[]" : "[\(strings.map(TextForm.quoted).joined(separator: ", "))]"
        }
    }

    package static func text(_ type: ValueType) -> String {
        switch type {
        case .tensor(let tensor):
            let name = tensor.dtype?.name ?? "?"
            if let shape = tensor.shape { return name + text(shape) }
            if let rank = tensor.rank { return "\(name)[rank=\(rank)]" }
            return "\(name)[...]"
        case .tuple(let fields):
            return "(\(fields.map { text($0) }.joined(separator: ", "))\(fields.count == 1 ? "," : ""))"
        case .shape(let dims?): return "shape" + text(dims)
        case .shape(nil): return "shape"
        case .scalar(let dtype): return "scalar \(dtype.name)"
        case .function(let parameters, let result):
            return "fn(\(parameters.map { text($0) }.joined(separator: ", "))) -> \(text(result))"
        case .object: return "object"
        }
    }

    package static func text(_ dims: [Dim]) -> String {
        var text = "["
        for (index, dim) in dims.enumerated() {
            if index > 0 { text += "," }
            switch dim {
            case .fixed(let size): text += "\(size)"
            case .symbolic(let expression): text += expression.text(TextForm.name)
            }
        }
        return text + "]"
    }

    /// Each element as text that reads back to the same bits.
    package static func elements(_ constant: Constant) -> [String] {
        func load<T: BitwiseCopyable>(_: T.Type, _ text: (T) -> String) -> [String] {
            (0..<constant.count).map { index in
                text(constant.bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.stride, as: T.self))
            }
        }
        /// 16-bit floats widen exactly; only NaNs keep their own bits.
        func narrow(_ bits: UInt16, _ value: Float, canonical: UInt16) -> String {
            if !value.isNaN { return value.description }
            return bits == canonical ? "nan" : "nan(0x\(String(bits, radix: 16)))"
        }
        switch constant.dtype {
        case .float32: return load(Float.self) { text($0) }
        case .float64: return load(Double.self) { text($0) }
        case .float16:
            return load(UInt16.self) { narrow($0, HalfPrecision.float(fromHalf: $0), canonical: 0x7e00) }
        case .bfloat16:
            return load(UInt16.self) { narrow($0, HalfPrecision.float(fromBFloat16: $0), canonical: 0x7fc0) }
        case .int8: return load(Int8.self) { "\($0)" }
        case .int16: return load(Int16.self) { "\($0)" }
        case .int32: return load(Int32.self) { "\($0)" }
        case .int64: return load(Int64.self) { "\($0)" }
        case .uint8: return load(UInt8.self) { "\($0)" }
        case .uint16: return load(UInt16.self) { "\($0)" }
        case .uint32: return load(UInt32.self) { "\($0)" }
        case .uint64: return load(UInt64.self) { "\($0)" }
        case .bool: return load(UInt8.self) { $0 == 0 ? "false" : $0 == 1 ? "true" : "\($0)" }
        case .string: return constant.strings.map(TextForm.quoted)
        default:
            let values = SmallTypes.values(constant.dtype)
            return load(UInt8.self) { byte in
                let value = values[Int(byte)]
                // Bits beyond the type's, and NaN, are kept as they are.
                guard !value.isNaN, SmallTypes.byte(Double(value), constant.dtype) == byte else {
                    return "nan(0x\(String(byte, radix: 16)))"
                }
                return constant.int(at: 0) == nil ? value.description : "\(Int(value))"
            }
        }
    }
}

/// Base64 (RFC 4648, with padding).
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xff, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }()

    static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        let length = (bytes.count + 2) / 3 * 4
        return String(unsafeUninitializedCapacity: length) { out in
            var position = 0
            var index = 0
            while index < bytes.count {
                let rest = bytes.count - index
                let a = UInt32(bytes[index])
                let b = rest > 1 ? UInt32(bytes[index + 1]) : 0
                let c = rest > 2 ? UInt32(bytes[index + 2]) : 0
                let group = a << 16 | b << 8 | c
                out[position] = alphabet[Int(group >> 18)]
                out[position + 1] = alphabet[Int(group >> 12 & 63)]
                out[position + 2] = rest > 1 ? alphabet[Int(group >> 6 & 63)] : 0x3d
                out[position + 3] = rest > 2 ? alphabet[Int(group & 63)] : 0x3d
                position += 4
                index += 3
            }
            return length
        }
    }

    /// Nil unless `text` is base64 of exactly `count` bytes.
    static func decode(_ text: UnsafeBufferPointer<UInt8>, count: Int) -> [UInt8]? {
        guard text.count % 4 == 0, text.count / 4 == count / 3 + (count % 3 == 0 ? 0 : 1) else { return nil }
        var isValid = true
        let result = [UInt8](unsafeUninitializedCapacity: count) { out, initialised in
            var position = 0
            var index = 0
            while index < text.count {
                let rest = count - position
                let (a, b) = (values[Int(text[index])], values[Int(text[index + 1])])
                let c = rest > 1 ? values[Int(text[index + 2])] : (text[index + 2] == 0x3d ? 0 : 0xff)
                let d = rest > 2 ? values[Int(text[index + 3])] : (text[index + 3] == 0x3d ? 0 : 0xff)
                if (a | b | c | d) & 0xc0 != 0 { isValid = false }
                let group = UInt32(a & 63) << 18 | UInt32(b & 63) << 12 | UInt32(c & 63) << 6 | UInt32(d & 63)
                out[position] = UInt8(truncatingIfNeeded: group >> 16)
                if rest > 1 { out[position + 1] = UInt8(truncatingIfNeeded: group >> 8) }
                if rest > 2 { out[position + 2] = UInt8(truncatingIfNeeded: group) }
                position += min(rest, 3)
                index += 4
            }
            initialised = count
        }
        return isValid ? result : nil
    }
}
