import Glibc
import TenonIR

/// A regular file mapped read-only for as long as this object lives.
///
/// Whoever shortens the file meanwhile takes pages away that are in use; a model that is loaded must not be
/// truncated in place (writing a new file and renaming it is safe).
final class MappedFile: RereadableMemory, @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    /// Maps the file behind `descriptor`, which stays open and belongs to the caller.
    ///
    /// - Parameter name: how messages call the file.
    init(descriptor: Int32, name: String, limit: UInt64) throws {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw TenonError(.io, "\(name): \(MappedFile.reason(errno))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw TenonError(.io, "\(name): expected a regular file")
        }
        guard let size = Int(exactly: status.st_size), size >= 0, UInt64(size) <= limit else {
            throw TenonError(.limitExceeded, "\(name): \(status.st_size) bytes, the limit is \(limit)")
        }
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let address, address != MAP_FAILED else {
            throw TenonError(.io, "\(name): mapping \(size) bytes: \(MappedFile.reason(errno))")
        }
        bytes = UnsafeRawBufferPointer(start: address, count: size)
    }

    /// Maps the file at `path`; symbolic links are followed.
    convenience init(path: String, limit: UInt64) throws {
        guard !path.utf8.contains(0) else { throw TenonError(.io, "path \(quoted(path)): contains a zero byte") }
        // Non-blocking, so that a named pipe is refused instead of waited for.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw TenonError(.io, "\(path): \(MappedFile.reason(errno))") }
        defer { close(descriptor) }
        try self.init(descriptor: descriptor, name: path, limit: limit)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }

    /// Lets the kernel take back the pages inside of `part`; they are read from the file again when needed.
    func releasePages(of part: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, let first = part.baseAddress else { return }
        let offset = first - UnsafeRawPointer(base)
        guard offset >= 0, offset <= bytes.count, part.count <= bytes.count - offset else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        guard page > 0 else { return }
        let begin = (offset + page - 1) / page * page
        let end = (offset + part.count) / page * page
        guard begin < end else { return }
        madvise(UnsafeMutableRawPointer(mutating: base) + begin, end - begin, MADV_DONTNEED)
    }

    /// The system's text for an error number.
    static func reason(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
