import SwiftProtobuf
import TenonIR

/// A model as it is written: bytes of messages, and between them the elements of constants, which are not copied.
///
/// Protobuf merges parts of a message that follow one another, so that each part is encoded by itself.
struct EncodedModel {
    enum Piece {
        case bytes([UInt8])
        case elements(Constant)
        case zeros(Int)
    }

    /// A file as pieces in order.
    struct File {
        private(set) var pieces: [Piece] = []
        private(set) var byteCount = 0

        mutating func append(_ bytes: [UInt8]) throws { try append(.bytes(bytes), bytes.count) }
        mutating func append(_ constant: Constant) throws { try append(.elements(constant), constant.source.count) }

        /// Zeros up to a multiple of `alignment`.
        mutating func align(_ alignment: Int) throws {
            let rest = byteCount % alignment
            if rest > 0 { try append(.zeros(alignment - rest), alignment - rest) }
        }

        mutating func append(_ file: File) throws {
            for piece in file.pieces {
                switch piece {
                case .bytes(let bytes): try append(bytes)
                case .elements(let constant): try append(constant)
                case .zeros(let count): try append(piece, count)
                }
            }
        }

        private mutating func append(_ piece: Piece, _ count: Int) throws {
            let (sum, overflow) = byteCount.addingReportingOverflow(count)
            guard !overflow else { throw TenonError(.limitExceeded, "ONNX: the model's size does not fit 64 bits") }
            pieces.append(piece)
            byteCount = sum
        }
    }

    private(set) var model = File()
    /// The file beside the model; empty when everything is in the model.
    private(set) var data = File()

    /// - Parameter location: the name of the file into which constants of `sizeThreshold` bytes or more go; nil keeps all in the
    ///   model.
    init(
        _ message: ONNXModelProto, _ constants: [(name: String, constant: Constant)], location: String?,
        sizeThreshold: Int
    )
        throws
    {
        var head = message
        head.clearGraph()
        var graph = File()
        try graph.append(EncodedModel.serialized(message.graph))
        for (name, original) in constants {
            var tensor = ONNXTensorProto()
            tensor.name = name
            tensor.dims = original.shape
            tensor.dataType = Int32(original.dtype.rawValue)
            let packed = SmallTypes.packed(original)
            let constant = try packed.map { try Constant(.uint8, [Int64($0.count)], $0) } ?? original
            let count = constant.source.count
            let isOutside = location != nil && constant.dtype != .string && count >= max(sizeThreshold, 1)
            var encoded = File()
            if constant.dtype == .string {
                tensor.stringData = constant.strings.map { .init($0.utf8) }
            } else if isOutside, let location {
                // Large ones at a page, so that they can be mapped by themselves.
                try data.align(count >= 1 << 20 ? 4096 : 64)
                tensor.dataLocation = .external
                tensor.externalData = [
                    ("location", location), ("offset", String(data.byteCount)), ("length", String(count)),
                ].map { key, value in
                    var entry = ONNXStringStringEntryProto()
                    (entry.key, entry.value) = (key, value)
                    return entry
                }
                try data.append(constant)
            }
            try encoded.append(EncodedModel.serialized(tensor))
            if constant.dtype != .string, !isOutside {
                try encoded.append(EncodedModel.header(field: 9, count))
                try encoded.append(constant)
            }
            try graph.append(EncodedModel.header(field: 5, encoded.byteCount))
            try graph.append(encoded)
        }
        try model.append(EncodedModel.serialized(head))
        try model.append(EncodedModel.header(field: 7, graph.byteCount))
        try model.append(graph)
    }

    private static func serialized(_ message: some SwiftProtobuf.Message) throws -> [UInt8] {
        do {
            return try message.serializedBytes()
        } catch {
            throw TenonError(.limitExceeded, "ONNX: the model cannot be written (\(error))")
        }
    }

    /// The key of a field with a length, and the length.
    private static func header(field: Int, _ count: Int) -> [UInt8] {
        var bytes = [UInt8(truncatingIfNeeded: field << 3 | 2)]
        var rest = UInt64(count)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(truncatingIfNeeded: rest)]
    }
}
