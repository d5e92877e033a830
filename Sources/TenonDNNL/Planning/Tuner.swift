import CDNNL
import Glibc
import TenonIR
import TenonRuntime

/// Replaces the expected times of candidates by measured ones, most expensive nodes first, as long as the budget lasts.
/// Times measured before, here or in another process, cost nothing.
struct Tuner {
    private let engine: Engine
    private let threads: Int
    private let deadline: UInt64
    private let cache: TuningCache
    private let machine: UInt64

    init(_ engine: Engine, threads: Int, milliseconds: Int, cache: TuningCache = .shared) {
        self.engine = engine
        self.threads = threads
        self.cache = cache
        let budget = UInt64(clamping: milliseconds).multipliedReportingOverflow(by: 1_000_000)
        deadline = MonotonicClock.now &+ (budget.overflow ? UInt64(Int64.max) : budget.partialValue)
        machine = Self.machineKey(threads)
    }

    /// Candidates that are expected to take so many times the best one's time are not measured.
    private let hopeless = 4.0

    /// Throws only what `progress` throws; times measured by then are kept.
    func tune(
        _ nodes: [RegionNode], _ candidates: inout [[Candidate]], _ context: PlanContext,
        _ progress: ProgressReport? = nil
    ) throws {
        let order = nodes.indices.filter { candidates[$0].count > 1 }.sorted {
            lowest(candidates[$0]) > lowest(candidates[$1])
        }
        var hasNew = false
        defer { if hasNew { cache.save() } }
        for (done, index) in order.enumerated() {
            try progress?("tune", done, order.count)
            let best = lowest(candidates[index])
            var measured: [Int: Double] = [:]
            for (number, candidate) in candidates[index].enumerated() where candidate.time <= best * hopeless {
                guard candidate.isKernel || candidate.descriptor != nil else { continue }
                try Work.check()
                let key = key(nodes[index], candidate, context)
                if let known = cache.time(key) {
                    measured[number] = Double(known)
                } else if MonotonicClock.now < deadline, let time = try? measure(candidate) {
                    cache.record(key, time)
                    measured[number] = Double(time)
                    hasNew = true
                }
            }
            apply(measured, to: &candidates[index])
        }
        try progress?("tune", order.count, order.count)
    }

    private func lowest(_ candidates: [Candidate]) -> Double { candidates.map(\.time).min() ?? 0 }

    /// Expected times of what was not measured are corrected by what the measured ones show, so that both compare.
    private func apply(_ measured: [Int: Double], to candidates: inout [Candidate]) {
        guard !measured.isEmpty else { return }
        var ratio = 0.0
        for (number, time) in measured { ratio = max(ratio, time / max(candidates[number].time, 1)) }
        for number in candidates.indices {
            candidates[number].time = measured[number] ?? candidates[number].time * ratio
        }
    }

    // MARK: - Keys

    private func key(_ node: RegionNode, _ candidate: Candidate, _ context: PlanContext) -> UInt64 {
        var hash = machine
        func mix(_ value: UInt64) {
            hash = (hash ^ value) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 29
        }
        func mix(_ text: String) { for byte in text.utf8 { mix(UInt64(byte)) } }
        mix(candidate.implementation)
        mix(candidate.outputDescriptor.hash)
        for operand in candidate.operands {
            mix(UInt64(bitPattern: Int64(operand.argument)))
            mix(operand.descriptor.hash)
        }
        mix(candidate.accumulates == nil ? 0 : 1)
        // What is a step of its own behind the primitive, and what is part of it, is said by the same chain.
        if let tail = candidate.tail { mix(tail.addend == nil ? 2 : 3) }
        if case .convolution(let convolution) = node.operation {
            for value in convolution.strides + convolution.dilations + convolution.padsBegin + convolution.padsEnd {
                mix(UInt64(bitPattern: value))
            }
            mix(convolution.isTransposed ? 1 : 0)
        }
        if case .pooling(let pooling) = node.operation {
            for value in pooling.kernel + pooling.strides + pooling.padsBegin { mix(UInt64(bitPattern: value)) }
        }
        for op in node.postOps {
            switch op.kind {
            case .eltwise(let function): mix(UInt64(function.algorithm.rawValue))
            case .binary(let algorithm, _): mix(UInt64(algorithm.rawValue))
            }
        }
        return hash
    }

    private static func machineKey(_ threads: Int) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "\(DNNLLibrary.machine) \(threads)".utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        return hash
    }

    /// Family, model and name of the first processor as the kernel gives them; empty where it does not.
    // MARK: - Measuring

    /// Nanoseconds of the fastest of a few runs on zeros.
    private func measure(_ candidate: Candidate) throws -> UInt64 {
        let arena = TunerArena()
        var steps: [() throws -> Void] = []
        let target = try arena.take(candidate.outputDescriptor.byteCount)
        var source = target
        if let descriptor = candidate.descriptor {
            steps.append(try primitive(descriptor, candidate, target, arena))
        } else if let operand = candidate.operands.first {
            source = try arena.take(operand.descriptor.byteCount)
        }
        if let implementation = candidate.kernel {
            let packed = implementation.packedBytes > 0 ? [try arena.take(implementation.packedBytes)] : []
            let others = try candidate.operands.dropFirst().map { try arena.take($0.descriptor.byteCount) }
            let step = try implementation.kernel(
                threads: threads, operands: candidate.operands.count, inPlace: candidate.accumulates != nil)
            steps.append(try kernel(step, [source] + packed + others, target, arena))
        }
        if let tail = candidate.tail {
            let bytes = candidate.outputDescriptor.byteCount
            let addend = try tail.addend.map { _ in try arena.take(bytes) }
            steps.append(
                try kernel(
                    tail.kernel(count: bytes / MemoryLayout<Float>.size), [source] + (addend.map { [$0] } ?? []),
                    target, arena))
        }
        return try withExtendedLifetime(arena) {
            var best = UInt64.max
            let start = MonotonicClock.now
            for run in 0..<12 {
                let before = MonotonicClock.now
                for step in steps { try step() }
                let after = MonotonicClock.now
                // The first run touches memory and code for the first time.
                if run > 0 { best = min(best, after &- before) }
                if run > 1, after &- start > 2_000_000 { break }
            }
            return max(best, 1)
        }
    }

    private func primitive(
        _ descriptor: PrimitiveDescriptor, _ candidate: Candidate, _ target: UnsafeMutableRawPointer,
        _ arena: TunerArena
    ) throws -> () throws -> Void {
        let primitive = try Primitive(descriptor)
        var entries: [(argument: Int32, memory: Memory)] = try candidate.operands.map {
            ($0.argument, try Memory($0.descriptor, engine, try arena.take($0.descriptor.byteCount)))
        }
        entries.append((Int32(TDNNL_ARG_DST.rawValue), try Memory(candidate.outputDescriptor, engine, target)))
        if let scratch = try descriptor.descriptor(TDNNL_QUERY_SCRATCHPAD) {
            entries.append(
                (
                    Int32(TDNNL_ARG_SCRATCHPAD.rawValue),
                    try Memory(scratch, engine, try arena.take(scratch.byteCount))
                ))
        }
        let list = try ArgumentList(entries)
        let stream = try Stream(engine)
        return {
            try DNNLStatus.check(tdnnl_execute(primitive.handle, stream.handle, list.handle), "measuring")
        }
    }

    private func kernel(
        _ kernel: PreparedKernel, _ sources: [UnsafeMutableRawPointer], _ target: UnsafeMutableRawPointer,
        _ arena: TunerArena
    ) throws -> () throws -> Void {
        let scratch = try arena.take(kernel.scratchBytes)
        let parallel = Parallel.openMP(threads: threads)
        return {
            try sources.map { UnsafeRawPointer($0) }.withUnsafeBufferPointer { inputs in
                try [target].withUnsafeBufferPointer { outputs in
                    guard let from = inputs.baseAddress, let to = outputs.baseAddress else { return }
                    try kernel.run(KernelArguments(inputs: from, outputs: to, scratch: scratch, parallel: parallel))
                }
            }
        }
    }
}

/// Memory to measure with, all zeros.
private final class TunerArena {
    private var pieces: [UnsafeMutableRawPointer] = []

    func take(_ bytes: Int) throws -> UnsafeMutableRawPointer {
        var memory: UnsafeMutableRawPointer?
        let size = try MemoryPlanner.rounded(max(bytes, 1))
        guard size < 1 << 32, posix_memalign(&memory, 64, size) == 0, let memory else {
            throw TenonError(.outOfMemory, "no memory to measure with")
        }
        memset(memory, 0, size)
        pieces.append(memory)
        return memory
    }

    deinit {
        for piece in pieces { free(piece) }
    }
}
