import Glibc
import TenonIR

/// Memory aligned to 64 bytes that is given back with the object.
final class AlignedBytes: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let count: Int

    /// Contents are undefined.
    init(_ count: Int) throws {
        guard let memory = AlignedMemory.allocate(count) else {
            throw TenonError(.outOfMemory, "\(count) bytes are not available")
        }
        base = memory
        self.count = count
    }

    deinit { free(base) }
}

/// Runs of single kernels outside a plan, with constants in and out.
enum KernelRun {
    static func evaluate(
        _ kernel: PreparedKernel, _ inputs: [Constant], _ outputs: [TensorSpec], environment: borrowing RunEnvironment
    ) throws -> [Constant] {
        let scratch = try AlignedBytes(kernel.scratchBytes)
        let results = try outputs.map { try AlignedBytes($0.byteCount) }
        let sources = inputs.map { $0.bytes.baseAddress ?? UnsafeRawPointer(scratch.base) }
        let targets = results.map(\.base)
        let parallel = environment.parallel
        // Never an empty table, whose address would be null.
        try (sources + [UnsafeRawPointer(scratch.base)]).withUnsafeBufferPointer { sources in
            try (targets + [scratch.base]).withUnsafeBufferPointer { targets in
                guard let from = sources.baseAddress, let into = targets.baseAddress else { return }
                try kernel.run(KernelArguments(inputs: from, outputs: into, scratch: scratch.base, parallel: parallel))
            }
        }
        return try zip(results, outputs).map { memory, spec in
            try Constant(
                dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
                borrowing: UnsafeRawBufferPointer(start: memory.base, count: spec.byteCount), owner: memory)
        }
    }
}
