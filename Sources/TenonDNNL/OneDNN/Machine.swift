import Glibc

extension DNNLLibrary {
    /// What decides how fast an implementation is and how it rounds, besides the number of threads: oneDNN's version, the
    /// instructions that it uses, the processor.
    static let machine = "\(version) \(isa) \(processorName())"

    private static func processorName() -> String {
        let file = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = read(file, &bytes, bytes.count)
        guard count > 0 else { return "" }
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
        return lines.filter { $0.hasPrefix("model") || $0.hasPrefix("cpu family") || $0.hasPrefix("stepping") }.joined()
    }
}
