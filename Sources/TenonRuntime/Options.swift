import TenonIR

/// How an executable is to be made; every field has a sensible default.
public struct CompileOptions: Sendable {
    /// Threads of one run; at least 1. The compiler of a region must create primitives for exactly this number.
    public var threads: Int
    /// Milliseconds that may be spent on measuring alternatives; 0 decides by cost model.
    public var tuningMilliseconds: Int
    /// The same input gives the same bits, run after run.
    public var isReproducible: Bool
    /// Numbers too small for the normal range count as 0 in runs, as inputs and as results.
    public var flushesDenormals = false
    /// No step of a backend, which nothing ends before it is done, is expected to take longer than a deadline may be passed.
    public var isCancellable = false
    /// Upper bound for packed weights, arenas and scratch together, in bytes; nil for none.
    public var memoryLimit: Int?
    /// How many shapes of a module with symbolic dimensions are kept compiled at once; at least 1.
    public var cachedShapes: Int
    /// Bytes that the plans of cached shapes may hold together (packed weights and one arena each); nil for no bound. The
    /// plan in use stays in any case.
    public var cachedBytes: Int?
    /// Runs at the same time; further callers wait. Nil: as many as the usable CPUs can serve with `threads` each.
    public var concurrentRuns: Int?
    /// Ignore what backends could do and run everything on the Swift kernels: the yardstick for the fused run.
    public var usesReferenceKernels: Bool
    /// Backends may lose NaN and infinities where their fastest kernels do.
    public var losesNaN: Bool
    /// How long threads of a run that wait for each other spin before they sleep.
    public var spin = Spin.adaptive
    /// Asked for kernels beside the library's own, except by the reference.
    public var providers: [any KernelProvider] = []
    /// Told how far compiling has come, on one thread at a time; only by the call that these options are given to.
    public var progress: ProgressReport?

    /// Those that are asked.
    var askedProviders: [any KernelProvider] { usesReferenceKernels ? [] : providers }

    public init(
        threads: Int = 1, tuningMilliseconds: Int = 0, isReproducible: Bool = false, memoryLimit: Int? = nil,
        cachedShapes: Int = 16, cachedBytes: Int? = 512 << 20, concurrentRuns: Int? = nil,
        usesReferenceKernels: Bool = false, losesNaN: Bool = false
    ) {
        self.threads = threads
        self.tuningMilliseconds = tuningMilliseconds
        self.isReproducible = isReproducible
        self.memoryLimit = memoryLimit
        self.cachedShapes = cachedShapes
        self.cachedBytes = cachedBytes
        self.concurrentRuns = concurrentRuns
        self.usesReferenceKernels = usesReferenceKernels
        self.losesNaN = losesNaN
    }
}

/// How long threads of a run that wait for each other spin before they sleep; the numbers are those of the C header.
public enum Spin: UInt32, Sendable {
    /// As OpenMP is set up to; a few microseconds while others need the CPUs.
    case adaptive = 0
    /// As OpenMP is set up to.
    case long = 1
    /// A few microseconds.
    case short = 2
}
