import TenonIR

/// Where a model's bytes come from, and whether its constants may point into them.
struct ModelSource {
    let bytes: UnsafeRawBufferPointer
    /// The mapping that owns `bytes`; nil when a caller lends them for the call only, so that constants copy.
    let file: MappedFile?
    /// The folder that external data is confined to; nil when there is none.
    let directory: String?

    /// The model file at `path`; external data is looked for beside it.
    static func file(_ path: String, limits: ONNXLimits) throws -> ModelSource {
        let file = try MappedFile(path: path, limit: limits.fileBytes)
        return ModelSource(bytes: file.bytes, file: file, directory: directory(of: path))
    }

    /// A model in memory that the caller lends for the call.
    static func memory(
        _ bytes: UnsafeRawBufferPointer, directory: String?, limits: ONNXLimits
    ) throws -> ModelSource {
        guard UInt64(bytes.count) <= limits.fileBytes else {
            throw TenonError(.limitExceeded, "model in memory: \(bytes.count) bytes, the limit is \(limits.fileBytes)")
        }
        return ModelSource(bytes: bytes, file: nil, directory: directory)
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.utf8.startIndex ? "/" : String(path[..<slash])
    }
}
