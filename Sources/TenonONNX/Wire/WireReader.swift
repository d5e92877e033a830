import TenonIR

/// A cursor over protobuf's wire format; every step is checked against the end of the bytes it was given.
struct WireReader {
    let bytes: UnsafeRawBufferPointer
    private(set) var position: Int
    let end: Int

    /// - Precondition: none; a range outside `bytes` reads as empty.
    init(_ bytes: UnsafeRawBufferPointer, from begin: Int, to end: Int) {
        self.bytes = bytes
        self.end = min(max(end, 0), bytes.count)
        self.position = min(max(begin, 0), self.end)
    }

    /// Kinds of field on the wire; groups (3 and 4) do not occur in ONNX and are refused.
    enum Kind: UInt64 {
        case varint = 0
        case fixed64 = 1
        case delimited = 2
        case fixed32 = 5
    }

    struct Field {
        let number: UInt64
        let kind: Kind
        /// Where the field's key begins.
        let start: Int
        /// The bytes after the key, or after the length of a delimited field.
        let payload: Range<Int>
    }

    var isAtEnd: Bool { position >= end }

    /// Reads one base-128 number of at most ten bytes.
    mutating func varint() throws -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end {
            let byte = UInt64(bytes[position])
            position += 1
            if shift == 63 && byte > 1 { break }
            value |= (byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
            if shift > 63 { break }
        }
        throw TenonError.malformedONNX("a number at byte \(position) is cut off or longer than 64 bits")
    }

    /// Reads one field and moves behind it.
    mutating func next() throws -> Field {
        let start = position
        let key = try varint()
        guard let kind = Kind(rawValue: key & 7), key >> 3 > 0, key >> 3 < 1 << 29 else {
            throw TenonError.malformedONNX("byte \(start) is no field of a protobuf message")
        }
        let count: UInt64
        switch kind {
        case .varint:
            let begin = position
            _ = try varint()
            return Field(number: key >> 3, kind: kind, start: start, payload: begin..<position)
        case .fixed64: count = 8
        case .fixed32: count = 4
        case .delimited: count = try varint()
        }
        guard count <= UInt64(end - position) else {
            throw TenonError.malformedONNX(
                "field \(key >> 3) at byte \(start) wants \(count) bytes, \(end - position) are left in its message")
        }
        let begin = position
        position += Int(count)
        return Field(number: key >> 3, kind: kind, start: start, payload: begin..<position)
    }
}
