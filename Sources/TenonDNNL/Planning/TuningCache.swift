import Glibc
import Synchronization
import TenonIR

/// Measured times by key, in memory and in a file that processes share.
///
/// One line per time: key, nanoseconds and a check of both, in hexadecimal. A line that does not pass its check is ignored,
/// so a damaged or half-written file costs measurements and nothing else. Writers put a whole new file in the place of the
/// old one.
final class TuningCache: Sendable {
    static let shared = TuningCache(directory: defaultDirectory())

    private let path: String?
    private let directory: String?
    private let times: Mutex<[UInt64: UInt64]>

    /// Nil keeps times in memory only.
    init(directory: String?) {
        self.directory = directory
        path = directory.map { $0 + "/tuning-1.txt" }
        times = Mutex(path.map { Self.read($0) } ?? [:])
    }

    /// `$XDG_CACHE_HOME/tenon`, else `~/.cache/tenon`.
    private static func defaultDirectory() -> String? {
        if let base = getenv("XDG_CACHE_HOME").map({ String(cString: $0) }), base.hasPrefix("/") {
            return base + "/tenon"
        }
        guard let home = getenv("HOME").map({ String(cString: $0) }), home.hasPrefix("/") else { return nil }
        return home + "/.cache/tenon"
    }

    func time(_ key: UInt64) -> UInt64? { ForkBarrier.away { times.withLock { $0[key] } } }

    func record(_ key: UInt64, _ nanoseconds: UInt64) {
        ForkBarrier.away { times.withLock { $0[key] = nanoseconds } }
    }

    /// Writes what is known here and what others have written meanwhile. Trouble is ignored: the file only saves time.
    func save() {
        guard let path, let directory else { return }
        var all = Self.read(path)
        ForkBarrier.away { times.withLock { all.merge($0) { _, mine in mine } } }
        var text = ""
        for (key, time) in all.sorted(by: { $0.key < $1.key }) {
            text += Self.hex(key) + " " + Self.hex(time) + " " + Self.hex(Self.check(key, time)) + "\n"
        }
        if let cut = directory.lastIndex(of: "/") { mkdir(String(directory[..<cut]), 0o700) }
        mkdir(directory, 0o700)
        let temporary = path + ".\(getpid()).\(UInt(bitPattern: Int(pthread_self())))"
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { return }
        var isWritten = true
        text.withUTF8 { bytes in
            var offset = 0
            while offset < bytes.count, let base = bytes.baseAddress {
                let count = write(file, base + offset, bytes.count - offset)
                if count <= 0 {
                    isWritten = false
                    break
                }
                offset += count
            }
        }
        close(file)
        if !isWritten || rename(temporary, path) != 0 { unlink(temporary) }
    }

    private static func check(_ key: UInt64, _ time: UInt64) -> UInt64 {
        ((key ^ 0x7465_6e6f_6e31) &* 0x9E37_79B9_7F4A_7C15 ^ time &* 0xC2B2_AE3D_27D4_EB4F) >> 32
    }

    private static func hex(_ value: UInt64) -> String { String(value, radix: 16) }

    private static func read(_ path: String) -> [UInt64: UInt64] {
        // Never waits, as a pipe in the file's place would make it, and reads nothing that another user could have written.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard file >= 0 else { return [:] }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(),
            status.st_mode & 0o022 == 0
        else { return [:] }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        // A cache that has grown beyond reason is not worth reading.
        while bytes.count < 16 << 20 {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        var known: [UInt64: UInt64] = [:]
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " ")).map {
                UInt64(String(decoding: $0, as: UTF8.self), radix: 16)
            }
            guard fields.count == 3, let key = fields[0], let time = fields[1], let sum = fields[2],
                sum == check(key, time), time > 0
            else { continue }
            known[key] = time
        }
        return known
    }
}
