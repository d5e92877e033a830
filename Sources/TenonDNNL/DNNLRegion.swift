import CDNNL
import CParallel
import Glibc
import TenonIR
import TenonRuntime

/// A region planned and compiled.
final class DNNLRegion: CompiledRegion, @unchecked Sendable {
    let plan: Plan
    let threads: Int
    /// What runs in its place when a NaN has been seen.
    let exact: ExactRegion?

    init(_ plan: Plan, threads: Int, exact: ExactRegion? = nil) {
        self.plan = plan
        self.threads = threads
        self.exact = exact
    }

    var packedWeightBytes: Int { plan.packedWeights.reduce(0) { $0 &+ $1.bytes } }
    var sharedWeights: [any SharedWeights] { plan.packedWeights }
    var workspaceBytes: Int { plan.arenaBytes + plan.scratchBytes }
    var expectedNanoseconds: Double { plan.expectedNanoseconds }
    var steps: [StepDescription] { plan.steps.map(\.description) }

    func makeInstance(workspace: UnsafeMutableRawPointer) throws -> any RegionInstance {
        try DNNLInstance(self, workspace)
    }
}

/// One context's memory objects and argument lists, bound to its workspace.
final class DNNLInstance: RegionInstance {
    /// A memory object or a kernel's pointer that follows a buffer of the caller.
    private enum Follower {
        case memory(OpaquePointer)
        case input(UnsafeMutablePointer<UnsafeRawPointer>)
        case output(UnsafeMutablePointer<UnsafeMutableRawPointer>)
        case result(Int)
    }

    /// The result of a primitive that writes aligned memory alone.
    private struct Result {
        var memory: OpaquePointer
        var aside: UnsafeMutableRawPointer
        var target: UnsafeMutableRawPointer
        var bytes: Int
        /// The target is not aligned.
        var isAside = true
    }

    private enum Action {
        case primitive(OpaquePointer, OpaquePointer, locks: Bool, result: Int?)
        case kernel(
            PreparedKernel, UnsafeMutablePointer<UnsafeRawPointer>, UnsafeMutablePointer<UnsafeMutableRawPointer>)
        case copy(UnsafeMutablePointer<UnsafeRawPointer>, UnsafeMutablePointer<UnsafeMutableRawPointer>, Int)
    }

    private let region: DNNLRegion
    private let stream: Stream
    private let scratch: UnsafeMutableRawPointer
    private var actions: ContiguousArray<Action> = []
    /// Which buffer of the caller, and where in it.
    private struct Binding {
        var number: Int
        var offset: Int
    }

    private var inputs: ContiguousArray<(binding: Binding, follower: Follower)> = []
    private var outputs: ContiguousArray<(binding: Binding, follower: Follower)> = []
    private var results: ContiguousArray<Result> = []
    private var lists: [ArgumentList] = []
    private var pointers: [UnsafeMutableRawPointer] = []
    /// Of the exact plan.
    private var ownWorkspace: UnsafeMutableRawPointer?

    init(_ region: DNNLRegion, _ workspace: UnsafeMutableRawPointer) throws {
        self.region = region
        let engine = try Engine.shared()
        stream = try Stream(engine)
        scratch = workspace + region.plan.arenaBytes
        for step in region.plan.steps { try bind(step, engine, workspace) }
    }

    deinit {
        for pointer in pointers { pointer.deallocate() }
        free(ownWorkspace)
    }

    // MARK: - Binding

    private enum Address {
        case fixed(UnsafeMutableRawPointer)
        case input(Binding)
        case output(Binding)
    }

    private func address(_ id: BufferID, _ workspace: UnsafeMutableRawPointer) -> Address {
        let (root, offset) = region.plan.place(id)
        let buffer = region.plan.buffers[root.index]
        switch buffer.storage {
        case .workspace, .alias: return .fixed(workspace + buffer.offset + offset)
        case .weights(let memory): return .fixed(memory.address + offset)
        case .input(let number): return .input(Binding(number: number, offset: offset))
        case .output(let number): return .output(Binding(number: number, offset: offset))
        }
    }

    private func bind(_ step: PlanStep, _ engine: Engine, _ workspace: UnsafeMutableRawPointer) throws {
        switch step.action {
        case .primitive(let primitive, let operands):
            var entries: [(argument: Int32, memory: Memory)] = []
            for (argument, buffer, descriptor) in operands {
                let place = address(buffer, workspace)
                if let aside = step.aside, argument == Int32(TDNNL_ARG_DST.rawValue),
                    case .fixed(let own) = address(aside, workspace)
                {
                    entries.append((argument, try bindResult(descriptor, engine, place, aside: own)))
                    continue
                }
                var pointer: UnsafeMutableRawPointer?
                if case .fixed(let fixed) = place { pointer = fixed }
                let memory = try Memory(descriptor, engine, pointer)
                switch place {
                case .fixed: break
                case .input(let binding): inputs.append((binding, .memory(memory.handle)))
                case .output(let binding): outputs.append((binding, .memory(memory.handle)))
                }
                entries.append((argument, memory))
            }
            if let descriptor = step.scratch {
                entries.append((Int32(TDNNL_ARG_SCRATCHPAD.rawValue), try Memory(descriptor, engine, scratch)))
            }
            let list = try ArgumentList(entries)
            lists.append(list)
            let result = step.aside == nil ? nil : results.indices.last
            actions.append(
                .primitive(primitive.handle, list.handle, locks: primitive.locksAsItRuns, result: result))
        case .kernel(let kernel, let sources, let targets):
            let (from, to) = bindPointers(sources, targets, workspace)
            actions.append(.kernel(kernel, from, to))
        case .copy(let source, let target, let bytes):
            let (from, to) = bindPointers([source], [target], workspace)
            actions.append(.copy(from, to, bytes))
        }
    }

    private func bindResult(
        _ descriptor: MemoryDescriptor, _ engine: Engine, _ place: Address, aside: UnsafeMutableRawPointer
    ) throws -> Memory {
        let memory = try Memory(descriptor, engine, aside)
        var result = Result(memory: memory.handle, aside: aside, target: aside, bytes: descriptor.byteCount)
        switch place {
        case .fixed(let pointer): result.target = pointer
        case .output(let binding): outputs.append((binding, .result(results.count)))
        case .input(let binding): inputs.append((binding, .result(results.count)))
        }
        results.append(result)
        return memory
    }

    private func bindPointers(
        _ sources: [BufferID], _ targets: [BufferID], _ workspace: UnsafeMutableRawPointer
    ) -> (UnsafeMutablePointer<UnsafeRawPointer>, UnsafeMutablePointer<UnsafeMutableRawPointer>) {
        let from = UnsafeMutablePointer<UnsafeRawPointer>.allocate(capacity: max(sources.count, 1))
        let to = UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: max(targets.count, 1))
        pointers.append(UnsafeMutableRawPointer(from))
        pointers.append(UnsafeMutableRawPointer(to))
        for (index, source) in sources.enumerated() {
            (from + index).initialize(to: UnsafeRawPointer(workspace))
            switch address(source, workspace) {
            case .fixed(let pointer): from[index] = UnsafeRawPointer(pointer)
            case .input(let binding): inputs.append((binding, .input(from + index)))
            case .output(let binding): outputs.append((binding, .input(from + index)))
            }
        }
        for (index, target) in targets.enumerated() {
            (to + index).initialize(to: workspace)
            switch address(target, workspace) {
            case .fixed(let pointer): to[index] = pointer
            case .input(let binding): inputs.append((binding, .output(to + index)))
            case .output(let binding): outputs.append((binding, .output(to + index)))
            }
        }
        return (from, to)
    }

    // MARK: - Running

    private var exact: DNNLInstance?

    func run(
        inputs sources: UnsafePointer<UnsafeRawPointer>, outputs targets: UnsafePointer<UnsafeMutableRawPointer>,
        timings: UnsafeMutablePointer<UInt64>?, environment: borrowing RunEnvironment
    ) throws {
        guard let spare = region.exact else {
            return try runSteps(inputs: sources, outputs: targets, timings: timings, environment: environment)
        }
        let threads = Int32(clamping: region.threads)
        let before = tenon_parallel_clear_invalid(threads)
        try runSteps(inputs: sources, outputs: targets, timings: timings, environment: environment)
        guard tenon_parallel_take_invalid(threads, before) != 0 else { return }
        let instance = try exact ?? makeExact(spare)
        try instance.runSteps(inputs: sources, outputs: targets, timings: nil, environment: environment)
    }

    private func makeExact(_ spare: ExactRegion) throws -> DNNLInstance {
        free(ownWorkspace)
        ownWorkspace = nil
        _ = tdnnl_set_threads(Int32(clamping: region.threads))
        let plan = try spare.plan()
        let other = DNNLRegion(plan, threads: region.threads)
        guard let workspace = AlignedMemory.allocate(other.workspaceBytes) else {
            throw TenonError(.outOfMemory, "\(other.workspaceBytes) bytes for a run that keeps NaN are not to be had")
        }
        ownWorkspace = workspace
        let instance = try DNNLInstance(other, workspace)
        exact = instance
        return instance
    }

    private func runSteps(
        inputs sources: UnsafePointer<UnsafeRawPointer>, outputs targets: UnsafePointer<UnsafeMutableRawPointer>,
        timings: UnsafeMutablePointer<UInt64>?, environment: borrowing RunEnvironment
    ) throws {
        _ = tdnnl_set_threads(Int32(clamping: region.threads))
        for (binding, follower) in inputs {
            try point(follower, to: UnsafeMutableRawPointer(mutating: sources[binding.number]) + binding.offset)
        }
        for (binding, follower) in outputs { try point(follower, to: targets[binding.number] + binding.offset) }
        for index in actions.indices {
            try environment.check()
            let start = timings == nil ? 0 : MonotonicClock.now
            switch actions[index] {
            case .primitive(let primitive, let arguments, let locks, let result):
                let status =
                    locks
                    ? ForkBarrier.away { tdnnl_execute(primitive, stream.handle, arguments) }
                    : tdnnl_execute(primitive, stream.handle, arguments)
                if status != 0 { throw failure(status, index) }
                if let result, results[result].isAside {
                    memcpy(results[result].target, results[result].aside, results[result].bytes)
                }
            case .kernel(let kernel, let from, let to):
                try kernel.run(
                    KernelArguments(inputs: from, outputs: to, scratch: scratch, parallel: environment.parallel))
            case .copy(let from, let to, let bytes):
                memcpy(to[0], from[0], bytes)
            }
            if let timings { timings[index] = MonotonicClock.now &- start }
        }
    }

    private func point(_ follower: Follower, to pointer: UnsafeMutableRawPointer) throws(TenonError) {
        switch follower {
        case .memory(let memory):
            try DNNLStatus.check(tdnnl_memory_set_handle(memory, pointer), "address of an operand")
        case .input(let place): place.pointee = UnsafeRawPointer(pointer)
        case .output(let place): place.pointee = pointer
        case .result(let index):
            let isAside = UInt(bitPattern: pointer) % UInt(MemoryPlanner.alignment) != 0
            results[index].target = pointer
            results[index].isAside = isAside
            try DNNLStatus.check(
                tdnnl_memory_set_handle(results[index].memory, isAside ? results[index].aside : pointer),
                "address of a result")
        }
    }

    private func failure(_ status: Int32, _ index: Int) -> TenonError {
        let step = region.plan.steps[index].description
        return TenonError(
            .backend, "\(step.composite) (\(step.implementation)): oneDNN says \(DNNLStatus(rawValue: status).name)",
            node: step.binding)
    }
}
