import CKernels
import CParallel

/// What the processor can do, as far as it matters here.
public enum CPUFeatures {
    /// Instruction sets, from the oldest on.
    public static let names: [String] = {
        var names: [String] = []
        while let name = tenon_parallel_cpu_feature(Int32(names.count)) { names.append(String(cString: name)) }
        return names
    }()

    /// Which of the kernels in C are used, by the widest instructions in them.
    public static var kernels: String {
        switch tkernel_isa() {
        case Int32(TKERNEL_ISA_AVX512.rawValue): return "avx512"
        case Int32(TKERNEL_ISA_AVX2.rawValue): return "avx2"
        default: return "portable"
        }
    }
}
