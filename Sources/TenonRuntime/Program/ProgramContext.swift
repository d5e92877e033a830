import TenonIR

/// Memory that grows and does not shrink while a context lives; its bytes are counted in an account.
final class GrowingMemory {
    private(set) var base: UnsafeMutableRawPointer = PlanInstance.empty
    private(set) var bytes = 0
    private var memory: AlignedBytes?
    private let account: MemoryAccount

    init(_ account: MemoryAccount) { self.account = account }

    deinit { account.release(bytes) }

    /// Makes room; what was there stays when `keeping` says how much of it there is.
    func reserve(_ wanted: Int, keeping: Int = 0, what: String) throws {
        if wanted <= bytes { return }
        guard account.reserve(wanted) else {
            throw TenonError(
                .limitExceeded,
                "\(what) needs \(wanted) bytes, the memory limit is \(account.limit ?? 0) and \(account.bytes) are in use"
            )
        }
        let grown: AlignedBytes
        do {
            grown = try AlignedBytes(wanted)
        } catch {
            account.release(wanted)
            throw error
        }
        if keeping > 0 { grown.base.copyMemory(from: base, byteCount: min(keeping, bytes)) }
        account.release(bytes)
        (memory, base, bytes) = (grown, grown.base, wanted)
    }
}

/// One run's memory of a program: the table of sizes, an address per root, the stages bound to memory. Used by one thread
/// at a time, and kept for the next run.
final class ProgramContext {
    let program: Program
    let shared: ProgramState
    let table: UnsafeMutablePointer<Int64>
    let roots: UnsafeMutablePointer<UnsafeMutableRawPointer>
    /// Shapes that only the run knows, by tensor.
    var specs: [TensorSpec?]
    /// Memory of results that the run has made, by root.
    var held: [AnyObject?]
    var stages: [BoundStage?]
    var loops: [LoopMemory?]
    /// Pointers that a step is called with.
    private(set) var arguments: UnsafeMutablePointer<UnsafeMutableRawPointer>
    private var argumentCapacity = 64
    /// Stages in the order in which a profiled run met them.
    var profiled: [BoundStage] = []
    var isProfiled = false
    var threads = 1
    /// How many loops are being run, one in another.
    var loopDepth = 0
    var expectedNanoseconds = 0.0
    private var packed: [GrowingMemory?]

    init(_ shared: ProgramState) {
        program = shared.program
        self.shared = shared
        table = .allocate(capacity: program.sizes.slotCount + 1)
        table.initialize(repeating: 0, count: program.sizes.slotCount + 1)
        roots = .allocate(capacity: program.roots.count + 1)
        roots.initialize(repeating: PlanInstance.empty, count: program.roots.count + 1)
        specs = [TensorSpec?](repeating: nil, count: program.tensors.count)
        held = [AnyObject?](repeating: nil, count: program.roots.count)
        stages = [BoundStage?](repeating: nil, count: program.stages.count)
        loops = [LoopMemory?](repeating: nil, count: program.stages.count)
        packed = [GrowingMemory?](repeating: nil, count: program.inputs.count)
        arguments = .allocate(capacity: argumentCapacity)
        for (index, root) in program.roots.enumerated() {
            if case .constant(let constant) = root, let base = program.constants[constant].bytes.baseAddress {
                roots[index] = UnsafeMutableRawPointer(mutating: base)
            }
        }
    }

    deinit {
        table.deallocate()
        roots.deallocate()
        arguments.deallocate()
    }

    /// Room for the pointers of a step.
    func reserveArguments(_ count: Int) {
        guard count > argumentCapacity else { return }
        arguments.deallocate()
        argumentCapacity = count * 2
        arguments = .allocate(capacity: argumentCapacity)
    }

    // MARK: - Tensors

    func spec(_ tensor: Int) throws -> TensorSpec {
        if let known = specs[tensor] { return known }
        return try NodePreparation.spec(program.tensors[tensor], table)
    }

    @inline(__always) func pointer(_ tensor: Int) -> UnsafeMutableRawPointer { roots[program.tensors[tensor].root] }

    /// The single number of a tensor; nil when it has not exactly one element.
    func number(_ tensor: Int) throws -> Double? {
        let spec = try spec(tensor)
        guard spec.count == 1 else { return nil }
        return try constant(tensor, spec).double(at: 0)
    }

    func integer(_ tensor: Int) throws -> Int64? {
        let spec = try spec(tensor)
        guard spec.count == 1 else { return nil }
        if spec.dtype == .int64 { return pointer(tensor).load(as: Int64.self) }
        return try constant(tensor, spec).int(at: 0)
    }

    func flag(_ tensor: Int) throws -> Bool? {
        if program.tensors[tensor].dtype == .bool, try spec(tensor).count == 1 {
            return pointer(tensor).load(as: UInt8.self) != 0
        }
        return try number(tensor).map { $0 != 0 }
    }

    /// A tensor as a constant that borrows its memory: for the moment only.
    func constant(_ tensor: Int, _ spec: TensorSpec) throws -> Constant {
        try Constant(
            dtype: spec.dtype, shape: spec.shape.map { Int64($0) },
            borrowing: UnsafeRawBufferPointer(start: pointer(tensor), count: spec.byteCount), owner: self)
    }

    /// Gives a tensor an address and the sizes that the run found, which bind symbols or must be those expected.
    func bind(
        _ output: Program.LateOutput, _ spec: TensorSpec, _ address: UnsafeMutableRawPointer, _ name: String
    ) throws {
        let tensor = program.tensors[output.tensor]
        if let dtype = tensor.dtype, dtype != spec.dtype {
            throw TenonError(.invalidType, "'\(name)' has type \(dtype.name), found \(spec.dtype.name)", node: name)
        }
        roots[tensor.root] = address
        if let dims = output.dims {
            guard dims.count == spec.shape.count else {
                throw TenonError(
                    .invalidShape, "'\(name)' expects \(dims.count) dimensions, found \(spec.shape)", node: name)
            }
            try bind(dims, spec.shape, name)
        }
        specs[output.tensor] = tensor.isPlanned ? nil : spec
    }

    func bind(_ dims: [Program.Found], _ shape: [Int], _ name: String) throws {
        for (axis, dim) in dims.enumerated() {
            if case .bind(let slot) = dim { table[Int(slot)] = Int64(shape[axis]) }
        }
        for (axis, dim) in dims.enumerated() {
            guard case .check(let size) = dim else { continue }
            let expected = SizeProgram.value(size, table)
            guard expected == Int64(shape[axis]) else {
                throw TenonError(
                    .invalidShape, "'\(name)' expects size \(expected) in dimension \(axis), found \(shape)", node: name
                )
            }
        }
    }

    // MARK: - Inputs

    /// A dense copy of an input that came strided, misaligned or overlapping an output.
    func pack(_ view: TensorView, _ index: Int, bytes: Int, _ limits: WorkLimits?) throws -> UnsafeMutableRawPointer {
        let memory = packed[index] ?? GrowingMemory(shared.account)
        packed[index] = memory
        try memory.reserve(bytes, what: "a dense copy of input #\(index)")
        view.pack(to: memory.base, limits)
        try limits?.checkCut()
        return memory.base
    }

    /// Lets go of what the last run made.
    func clear() {
        for index in held.indices where held[index] != nil { held[index] = nil }
    }
}

/// A stage bound to memory of one context.
final class BoundStage {
    let plan: StagePlan
    let memory: GrowingMemory
    private(set) var base: UnsafeMutableRawPointer
    private(set) var regions: [any RegionInstance] = []
    /// Nanoseconds per description, summed up over a run, and those of one region.
    let timings: UnsafeMutablePointer<UInt64>
    let regionTimings: UnsafeMutablePointer<UInt64>
    var isListed = false
    /// Set when the plan is this context's own, which moves from size to size.
    let own: HeldPlan?

    /// `memory` has room for the plan.
    init(_ plan: StagePlan, memory: GrowingMemory, own: HeldPlan? = nil) throws {
        self.plan = plan
        self.memory = memory
        self.own = own
        base = memory.base
        timings = .allocate(capacity: plan.descriptions.count + 1)
        timings.initialize(repeating: 0, count: plan.descriptions.count + 1)
        regionTimings = .allocate(capacity: plan.descriptions.count + 1)
        regionTimings.initialize(repeating: 0, count: plan.descriptions.count + 1)
        try bindRegions()
    }

    deinit {
        timings.deallocate()
        regionTimings.deallocate()
    }

    private func bindRegions() throws {
        regions = []
        for step in plan.steps {
            if case .region(let index) = step.work {
                regions.append(try plan.regions[index].makeInstance(workspace: base + step.workspace))
            }
        }
    }

    /// Memory that has grown lies elsewhere.
    func rebind() throws {
        guard base != memory.base else { return }
        base = memory.base
        if !plan.regions.isEmpty { try bindRegions() }
    }
}
