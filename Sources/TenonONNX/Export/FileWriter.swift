import Glibc
import TenonIR

/// Writes a file under another name in the same folder, which `commit` gives its own; whatever was there before stays until then.
///
/// Without `commit` nothing is left behind.
final class FileWriter {
    let path: String
    private let temporary: String
    private var descriptor: Int32
    private var isCommitted = false

    init(path: String) throws {
        self.path = path
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw TenonError(.io, "\(path): expected a regular file or none")
        }
        // The system's umask decides about the permissions, which mkstemp would not ask.
        var random = SystemRandomNumberGenerator()
        var (name, opened, code) = ("", Int32(-1), Int32(0))
        for _ in 0..<100 {
            name = path + "." + String(random.next() as UInt64, radix: 36) + ".tmp"
            opened = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            code = errno
            if opened >= 0 || code != EEXIST { break }
        }
        guard opened >= 0 else { throw TenonError(.io, "\(path): \(MappedFile.reason(code))") }
        (temporary, descriptor) = (name, opened)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isCommitted { unlink(temporary) }
    }

    /// Writes everything; the pages of mapped constants are given back one after the other.
    func write(_ file: EncodedModel.File) throws {
        // Small pieces are collected: there are several per node.
        var pending: [UInt8] = []
        func flush() throws {
            try pending.withUnsafeBytes { try write($0) }
            pending.removeAll(keepingCapacity: true)
        }
        for piece in file.pieces {
            switch piece {
            case .bytes(let bytes): pending += bytes
            case .zeros(let count): pending += [UInt8](repeating: 0, count: count)
            case .elements(let constant) where constant.source.count < 1 << 14: pending += constant.source
            case .elements(let constant):
                try flush()
                try write(constant.source)
                constant.releasePages()
            }
            if pending.count >= 1 << 16 { try flush() }
        }
        try flush()
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while rest.count > 0 {
            // More than this the system does not take at once.
            let count = Glibc.write(descriptor, rest.baseAddress, min(rest.count, 1 << 30))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw TenonError(.io, "\(path): \(MappedFile.reason(count == 0 ? ENOSPC : errno))") }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
        }
    }

    /// Everything is on its way to the disk: what fails late (a full disk far away) fails here.
    func finish() throws {
        let synced = fsync(descriptor)
        // A file system that cannot sync says EINVAL.
        guard synced == 0 || errno == EINVAL || errno == EROFS else {
            throw TenonError(.io, "\(path): \(MappedFile.reason(errno))")
        }
        let closed = close(descriptor)
        let code = errno
        descriptor = -1
        guard closed == 0 else { throw TenonError(.io, "\(path): \(MappedFile.reason(code))") }
    }

    func commit() throws {
        guard rename(temporary, path) == 0 else { throw TenonError(.io, "\(path): \(MappedFile.reason(errno))") }
        isCommitted = true
    }
}
