#if canImport(Glibc)
    import Glibc
#endif

/// Memory for tensors: aligned for vector loads and, when large, to huge pages, which spares most of the page faults of a first
/// touch and most misses of the address cache.
public enum AlignedMemory {
    public static let alignment = 64
    private static let hugePage = 2 << 20

    /// Uninitialised; nil when it is not to be had. Given back with `free`.
    public static func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        guard byteCount >= 0 else { return nil }
        let isLarge = byteCount >= 2 * hugePage
        var memory: UnsafeMutableRawPointer?
        guard posix_memalign(&memory, isLarge ? hugePage : alignment, max(byteCount, alignment)) == 0, let memory else {
            return nil
        }
        // Whole huge pages only: the last, partial one would take memory that nobody asked for. A refusal costs only speed.
        if isLarge { madvise(memory, byteCount / hugePage * hugePage, MADV_HUGEPAGE) }
        return memory
    }
}
