import TenonIR

/// Memory of a loop that its iterations share.
final class LoopMemory {
    /// Of each state what the body reads and what it will read next.
    fileprivate var current: [GrowingMemory]
    fileprivate var following: [GrowingMemory]
    fileprivate let scans: [GrowingMemory]
    /// The number of the iteration, then the condition.
    fileprivate let cells: UnsafeMutableRawPointer

    init(_ loop: Program.Loop, _ account: MemoryAccount) {
        current = loop.states.map { _ in GrowingMemory(account) }
        following = loop.states.map { _ in GrowingMemory(account) }
        scans = loop.scans.map { _ in GrowingMemory(account) }
        cells = .allocate(byteCount: 64, alignment: 64)
    }

    deinit { cells.deallocate() }
}

extension ProgramContext {
    func loop(_ loop: Program.Loop, _ number: Int, _ environment: borrowing RunEnvironment) throws {
        let memory = loops[number] ?? LoopMemory(loop, shared.account)
        loops[number] = memory
        guard let most = try integer(loop.tripCount), let holds = try flag(loop.condition) else {
            throw error("expects one number and one condition", loop)
        }
        loopDepth += 1
        defer { loopDepth -= 1 }
        var condition = holds
        roots[program.tensors[loop.iteration].root] = memory.cells
        roots[program.tensors[loop.given].root] = memory.cells + 8
        for (index, state) in loop.states.enumerated() {
            try enter(state, index, try spec(state.initial), pointer(state.initial), memory, loop.name)
        }
        var scanSpecs = [TensorSpec?](repeating: nil, count: loop.scans.count)
        var iteration: Int64 = 0
        var nextSpecs: [TensorSpec] = []
        nextSpecs.reserveCapacity(loop.states.count)
        while iteration < most, condition {
            try environment.check()
            memory.cells.storeBytes(of: iteration, as: Int64.self)
            (memory.cells + 8).storeBytes(of: condition ? 1 : 0, as: UInt8.self)
            try run(loop.body, environment)
            guard let next = try flag(loop.next) else { throw error("expects one condition", loop) }
            condition = next
            for (index, scan) in loop.scans.enumerated() {
                try append(scan, index, Int(iteration), &scanSpecs, memory, loop)
            }
            // What a body gives may lie where its parameters do, so all states move before any is read again.
            for (index, state) in loop.states.enumerated() {
                let spec = try spec(state.next)
                let bytes = spec.byteCount
                try memory.following[index].reserve(grown(bytes, memory.following[index].bytes), what: "a loop state")
                memory.following[index].base.copyMemory(from: pointer(state.next), byteCount: bytes)
                nextSpecs.append(spec)
            }
            for (index, state) in loop.states.enumerated() {
                (memory.current[index], memory.following[index]) = (memory.following[index], memory.current[index])
                try bind(state.parameter, nextSpecs[index], memory.current[index].base, loop.name)
            }
            nextSpecs.removeAll(keepingCapacity: true)
            iteration += 1
        }
        for (index, state) in loop.states.enumerated() {
            let spec = try spec(state.parameter.tensor)
            try bind(state.output, spec, memory.current[index].base, loop.name)
        }
        for (index, scan) in loop.scans.enumerated() {
            try finish(scan, index, Int(iteration), scanSpecs[index], memory, loop)
        }
    }

    private func error(_ message: ErrorMessage, _ loop: Program.Loop) -> TenonError {
        TenonError(.invalidGraph, "loop: \(message)", operatorName: "loop", node: loop.name)
    }

    /// Room to grow, where something has grown before.
    private func grown(_ bytes: Int, _ before: Int) -> Int {
        bytes <= before || before == 0 ? bytes : max(bytes, before &+ before / 2)
    }

    private func enter(
        _ state: Program.State, _ index: Int, _ spec: TensorSpec, _ source: UnsafeMutableRawPointer,
        _ memory: LoopMemory, _ name: String
    ) throws {
        let bytes = spec.byteCount
        try memory.current[index].reserve(grown(bytes, memory.current[index].bytes), what: "a loop state")
        memory.current[index].base.copyMemory(from: source, byteCount: bytes)
        try bind(state.parameter, spec, memory.current[index].base, name)
    }

    // MARK: - Scans

    private func append(
        _ scan: Program.Scan, _ index: Int, _ iteration: Int, _ specs: inout [TensorSpec?], _ memory: LoopMemory,
        _ loop: Program.Loop
    ) throws {
        let spec = try spec(scan.value)
        if let first = specs[index] {
            guard first == spec else {
                throw TenonError(
                    .invalidShape,
                    "loop: a scan value is \(TensorCheck.describe(spec)) in iteration \(iteration), \(TensorCheck.describe(first)) before",
                    operatorName: "loop", node: loop.name)
            }
        } else {
            specs[index] = spec
        }
        let bytes = spec.byteCount
        let (start, overflow) = bytes.multipliedReportingOverflow(by: iteration)
        let (end, more) = start.addingReportingOverflow(bytes)
        guard !overflow, !more else { throw error("its scan values need more memory than can be addressed", loop) }
        let target = memory.scans[index]
        if end > target.bytes {
            try target.reserve(
                max(end, target.bytes &+ target.bytes / 2), keeping: start, what: "scan values of a loop")
        }
        (target.base + start).copyMemory(from: pointer(scan.value), byteCount: bytes)
    }

    /// All values along a new first axis; where the body never ran, of its type with unknown sizes as 0.
    private func finish(
        _ scan: Program.Scan, _ index: Int, _ iterations: Int, _ spec: TensorSpec?, _ memory: LoopMemory,
        _ loop: Program.Loop
    ) throws {
        let one =
            spec
            ?? TensorSpec(
                scan.dtype,
                program.tensors[scan.value].dims.map { dims in
                    dims.map { if case .fixed(let size) = $0 { Int(clamping: size) } else { 0 } }
                } ?? [Int](repeating: 0, count: scan.rank))
        try bind(
            scan.output, TensorSpec(one.dtype, [iterations] + one.shape), memory.scans[index].base, loop.name)
    }
}
