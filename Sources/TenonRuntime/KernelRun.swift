import Glibc
import TenonIR

/// Memory aligned to 64 bytes that is given back with the object.
final class AlignedBytes: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let count: Int
    /// What the bytes are held in, if anybody counts them.
    private let budget: MemoryBudget?

    /// Contents are undefined. Somebody else counts the bytes, or nobody.
    init(_ count: Int) throws {
        base = try AlignedBytes.allocate(count)
        self.count = count
        budget = nil
    }

    /// Bytes that count against the memory limit of the work under way as long as they are held.
    init(counted count: Int) throws {
        let budget = Work.memory
        if let budget, !budget.reserve(count) { throw budget.exceeded(count, "a value of the run") }
        do {
            base = try AlignedBytes.allocate(count)
        } catch {
            budget?.release(count)
            throw error
        }
        self.count = count
        self.budget = budget
    }

    private static func allocate(_ count: Int) throws -> UnsafeMutableRawPointer {
        guard let memory = AlignedMemory.allocate(count) else {
            throw TenonError(.outOfMemory, "\(count) bytes are not available")
        }
        return memory
    }

    deinit {
        free(base)
        budget?.release(count)
    }
}

/// Arrays that a kernel makes for itself.
enum KernelMemory {
    /// Asked before such an array is made: Swift ends the process when an array gets no memory. Throws when the array would
    /// pass the memory limit of the work under way, or is not to be had.
    static func require(_ count: Int, _ bytesEach: Int, _ call: KernelCall) throws {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: bytesEach)
        guard !overflow else { throw call.error(.limitExceeded, "a table of \(count) entries is too large") }
        guard bytes > 1 << 16 else { return }
        try Work.check()
        try Work.memory?.require(bytes, call.op.name)
        guard let memory = malloc(bytes) else {
            throw call.error(.outOfMemory, "\(bytes) bytes for a table are not available")
        }
        free(memory)
    }
}

/// Runs of single kernels outside a plan, with constants in and out.
enum KernelRun {
    static func evaluate(
        _ kernel: PreparedKernel, _ inputs: [Constant], _ outputs: [TensorSpec], environment: borrowing RunEnvironment
    ) throws -> [Constant] {
        let scratch = try AlignedBytes(counted: kernel.scratchBytes)
        let results = try outputs.map { try AlignedBytes(counted: $0.byteCount) }
        let sources = inputs.map { $0.bytes.baseAddress ?? UnsafeRawPointer(scratch.base) }
        let targets = results.map(\.base)
        let parallel = environment.parallel
        // Never an empty table, whose address would be null.
        try (sources + [UnsafeRawPointer(scratch.base)]).withUnsafeBufferPointer { sources in
            try (targets + [scratch.base]).withUnsafeBufferPointer { targets in
                guard let from = sources.baseAddress, let into = targets.baseAddress else { return }
                try kernel.run(KernelArguments(inputs: from, outputs: into, scratch: scratch.base, parallel: parallel))
                try parallel.limits?.checkCut()
            }
        }
        return try zip(results, outputs).map { memory, spec in
            try Constant(
                dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
                borrowing: UnsafeRawBufferPointer(start: memory.base, count: spec.byteCount), owner: memory)
        }
    }
}
