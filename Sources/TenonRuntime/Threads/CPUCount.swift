import CParallel
import Glibc

/// How many CPUs this process may use.
public enum CPUCount {
    /// The smaller of the affinity mask and the cgroup's quota, rounded up; at least 1.
    public static var usable: Int {
        let allowed = max(1, Int(tenon_parallel_allowed_cpus()))
        return max(1, min(allowed, quota(root: "/sys/fs/cgroup", membership: "/proc/self/cgroup") ?? allowed))
    }

    /// CPUs that the quotas of version 2 (`cpu.max`, here and in the groups above) or 1 leave; nil without a quota.
    static func quota(root: String, membership: String) -> Int? {
        var smallest: Double?
        func consider(_ quota: Double?, _ period: Double?) {
            guard let quota, let period, quota > 0, period > 0 else { return }
            smallest = min(smallest ?? .infinity, quota / period)
        }
        for line in (contents(membership) ?? "").split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("cpu") else { continue }
            var path = String(fields[2])
            while true {
                for base in isUnified ? [root + path] : ["\(root)/cpu\(path)", "\(root)/cpu,cpuacct\(path)"] {
                    if isUnified, let text = contents(base + "/cpu.max") {
                        let parts = text.split(whereSeparator: \.isWhitespace)
                        if parts.count == 2 { consider(Double(parts[0]), Double(parts[1])) }
                    } else if !isUnified {
                        consider(number(base + "/cpu.cfs_quota_us"), number(base + "/cpu.cfs_period_us"))
                    }
                }
                guard let slash = path.lastIndex(of: "/"), path != "/" else { break }
                path = slash == path.startIndex ? "/" : String(path[..<slash])
            }
        }
        return smallest.flatMap { Int(exactly: min($0, 65536).rounded(.up)) }.map { max(1, $0) }
    }

    private static func number(_ path: String) -> Double? {
        contents(path).flatMap { Double($0.prefix { !$0.isWhitespace }) }
    }

    /// A small file as text.
    private static func contents(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4096) { buffer in
            let count = read(file, buffer.baseAddress, buffer.count)
            return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
        }
    }
}
