import TenonIR

/// Takes the large tensor payloads out of a model file, so that parsing it copies only the structure.
///
/// swift-protobuf copies every bytes field. The scan walks the messages that can hold a tensor and writes
/// them again without the payloads; each tensor gets a `payload_range` that says where in the original bytes
/// its values stand. A payload is a `raw_data` field, or a single packed `float_data` or `double_data`
/// field, whose bytes are the same little-endian values. The result is never larger than the input.
struct WireScanner {
    /// Shorter payloads stay where they are.
    static let threshold = 256

    private let bytes: UnsafeRawBufferPointer
    private let limits: ONNXLimits
    private var nodes = 0

    private init(_ bytes: UnsafeRawBufferPointer, limits: ONNXLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    /// The model's bytes with the payloads taken out.
    ///
    /// - Throws: `malformed` for bytes that are no protobuf message, `limit` for too many nodes, too deep
    ///   nesting or too large a structure.
    static func strip(_ bytes: UnsafeRawBufferPointer, limits: ONNXLimits) throws -> [UInt8] {
        var scanner = WireScanner(bytes, limits: limits)
        var output: [UInt8] = []
        try scanner.rewrite(.model, 0..<bytes.count, depth: 0, into: &output)
        return output
    }

    /// The messages on the way to a tensor.
    private enum Message {
        case model, graph, node, attribute, tensor, sparse, function

        /// The message in a delimited field, or nil for a field that cannot hold a tensor.
        func child(_ field: UInt64) -> Message? {
            switch (self, field) {
            case (.model, 7), (.attribute, 6), (.attribute, 11): .graph
            case (.model, 25): .function
            case (.graph, 1), (.function, 7): .node
            case (.graph, 5), (.attribute, 5), (.attribute, 10), (.sparse, 1), (.sparse, 2): .tensor
            case (.graph, 15), (.attribute, 22), (.attribute, 23): .sparse
            case (.node, 5), (.function, 11): .attribute
            default: nil
            }
        }
    }

    private mutating func rewrite(
        _ message: Message, _ range: Range<Int>, depth: Int, into output: inout [UInt8]
    ) throws {
        // A graph inside an attribute adds four messages: graph, node, attribute, and the graph again.
        guard depth <= limits.nesting * 4 else {
            throw TenonError.onnxLimit("messages are nested deeper than \(limits.nesting) graphs")
        }
        if message == .tensor {
            return try rewriteTensor(range, into: &output)
        }
        if message == .node {
            nodes += 1
            guard nodes <= limits.nodes else { throw TenonError.onnxLimit("it has over \(limits.nodes) nodes") }
        }
        var reader = WireReader(bytes, from: range.lowerBound, to: range.upperBound)
        while !reader.isAtEnd {
            let field = try reader.next()
            guard field.kind == .delimited, let child = message.child(field.number) else {
                try copy(field.start..<field.payload.upperBound, into: &output)
                continue
            }
            var inner: [UInt8] = []
            try rewrite(child, field.payload, depth: depth + 1, into: &inner)
            try checkStructure(output.count, adding: inner.count)
            output.appendVarint(field.number << 3 | WireReader.Kind.delimited.rawValue)
            output.appendVarint(UInt64(inner.count))
            output.append(contentsOf: inner)
        }
    }

    private func rewriteTensor(_ range: Range<Int>, into output: inout [UInt8]) throws {
        var raw: WireReader.Field?
        var packed: WireReader.Field?
        var typedFields = 0
        var reader = WireReader(bytes, from: range.lowerBound, to: range.upperBound)
        while !reader.isAtEnd {
            let field = try reader.next()
            switch (field.number, field.kind) {
            case (TensorField.rawData, .delimited):
                raw = field  // protobuf: the last one counts
            case (TensorField.payloadRange, _):
                continue  // ours; a file cannot set it
            case (TensorField.floatData, _), (TensorField.doubleData, _):
                // Values spread over several fields are one list in file order, so they all stay.
                typedFields += 1
                if typedFields == 1 && field.kind == .delimited {
                    packed = field
                    continue
                }
                if let first = packed { try copy(first.start..<first.payload.upperBound, into: &output) }
                packed = nil
                try copy(field.start..<field.payload.upperBound, into: &output)
            default:
                try copy(field.start..<field.payload.upperBound, into: &output)
            }
        }
        for field in [raw, packed] {
            guard let field else { continue }
            // Two sources at once stay visible to the tensor reader, which refuses them.
            if field.payload.count < Self.threshold || (raw != nil && packed != nil) {
                try copy(field.start..<field.payload.upperBound, into: &output)
            } else {
                output.appendPayloadRange(field)
            }
        }
    }

    private func copy(_ range: Range<Int>, into output: inout [UInt8]) throws {
        try checkStructure(output.count, adding: range.count)
        output.append(contentsOf: bytes[range])
    }

    private func checkStructure(_ count: Int, adding more: Int) throws {
        guard more <= limits.structureBytes, count <= limits.structureBytes - more else {
            throw TenonError.onnxLimit("it has over \(limits.structureBytes) bytes besides tensor payloads")
        }
    }
}

/// Field numbers of TensorProto that the scan treats itself.
private enum TensorField {
    static let floatData: UInt64 = 4
    static let rawData: UInt64 = 9
    static let doubleData: UInt64 = 10
    static let payloadRange: UInt64 = 20001
}

extension [UInt8] {
    fileprivate mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// Appends TensorProto.payload_range.
    fileprivate mutating func appendPayloadRange(_ field: WireReader.Field) {
        var inner: [UInt8] = []
        for (number, value) in [(1, field.payload.lowerBound), (2, field.payload.count), (3, Int(field.number))] {
            inner.appendVarint(UInt64(number) << 3)
            inner.appendVarint(UInt64(value))
        }
        appendVarint(TensorField.payloadRange << 3 | WireReader.Kind.delimited.rawValue)
        appendVarint(UInt64(inner.count))
        append(contentsOf: inner)
    }
}
