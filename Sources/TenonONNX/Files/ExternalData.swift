import Glibc
import TenonIR

/// Files of tensor data beside a model, each mapped once.
///
/// A location is relative, goes down only, and no step of it is a symbolic link: a model cannot make its
/// reader open a file outside the model's folder.
struct ExternalData {
    private let directory: String?
    private let limits: ONNXLimits
    private var files: [String: MappedFile] = [:]

    init(directory: String?, limits: ONNXLimits) {
        self.directory = directory
        self.limits = limits
    }

    /// The bytes that `entries` of tensor `name` point to, and the mapping they belong to.
    ///
    /// - Parameter byteCount: what the tensor's type needs; a `length` that differs is refused.
    mutating func bytes(
        _ entries: [ONNXStringStringEntryProto], byteCount: Int, tensor name: String
    ) throws -> (MappedFile, Range<Int>) {
        var location: String?
        var offset = 0
        for entry in entries {
            switch entry.key {
            case "location": location = entry.value
            case "offset": offset = try number(entry, name)
            case "length":
                let length = try number(entry, name)
                guard length == byteCount else {
                    throw TenonError.malformedONNX(
                        "tensor \(quoted(name)): external length is \(length) bytes, its type needs \(byteCount)")
                }
            default: break  // a checksum, or a key that came later
            }
        }
        guard let location else {
            throw TenonError.malformedONNX("tensor \(quoted(name)): external data without a location")
        }
        let file = try open(location, tensor: name)
        guard offset <= file.bytes.count, byteCount <= file.bytes.count - offset else {
            let range = "\(offset) to \(offset) + \(byteCount)"
            throw TenonError.malformedONNX(
                "tensor \(quoted(name)): bytes \(range) of \(quoted(location)), which has \(file.bytes.count)")
        }
        return (file, offset..<offset + byteCount)
    }

    private func number(_ entry: ONNXStringStringEntryProto, _ name: String) throws -> Int {
        guard let value = Int(entry.value), value >= 0 else {
            throw TenonError.malformedONNX(
                "tensor \(quoted(name)): external \(entry.key) is \(quoted(entry.value)), expected a number >= 0")
        }
        return value
    }

    private mutating func open(_ location: String, tensor name: String) throws -> MappedFile {
        if let file = files[location] { return file }
        let place = "tensor \(quoted(name)): external file \(quoted(location))"
        guard let directory else {
            throw TenonError(.io, "\(place): a model in memory has no folder to look in")
        }
        var steps = location.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: true).map {
            String(Substring($0))
        }
        steps.removeAll { $0 == "." }
        guard !location.hasPrefix("/"), !steps.isEmpty, steps.count <= 32, !steps.contains(".."),
            !location.utf8.contains(0), !location.utf8.contains(UInt8(ascii: "\\"))
        else {
            throw TenonError.malformedONNX("\(place): expected a relative path inside the model's folder")
        }
        // The folder itself may be reached through links; every step below it may not.
        var descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw TenonError(.io, "\(directory): \(MappedFile.reason(errno))") }
        defer { close(descriptor) }
        for (index, step) in steps.enumerated() {
            let kind = index == steps.count - 1 ? O_NONBLOCK : O_DIRECTORY
            let next = openat(descriptor, step, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind)
            guard next >= 0 else {
                let reason = errno == ELOOP ? "symbolic links are not followed" : MappedFile.reason(errno)
                throw TenonError(.io, "\(place): \(reason)")
            }
            close(descriptor)
            descriptor = next
        }
        let file = try MappedFile(descriptor: descriptor, name: place, limit: limits.fileBytes)
        files[location] = file
        return file
    }
}
