import CParallel

/// What the processor can do, as far as it matters here.
public enum CPUFeatures {
    /// Instruction sets, from the oldest on.
    public static let names: [String] = {
        var names: [String] = []
        while let name = tenon_parallel_cpu_feature(Int32(names.count)) { names.append(String(cString: name)) }
        return names
    }()

    /// Which of the kernels in C are used: those for AVX-512, or the portable ones.
    public static var kernels: String { names.contains("avx512f") ? "avx512" : "portable" }
}
